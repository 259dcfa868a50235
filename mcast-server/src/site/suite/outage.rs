//! The database goes away in mid-work and comes back.

use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::{sleep, timeout};

use super::bed::{Bed, server};
use super::proxy::{Mode, Proxy};
use super::records::{client, session};
use crate::site::{Account, Backend, Recorder, SessionRow, Site, TicketAsk, Verdict};

const ASK: TicketAsk<'static> = TicketAsk { server: "a", image: "i", client: "c", host: "h", priority: 0, cap: None };

/// Another program holds the file for some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_locked_for_some_seconds() {
    let bed = Bed::sqlite();
    let site = bed.open().await;
    let recorder = started(&site).await;
    let mut other = site.target.options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    endures(&site, &recorder).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    recovers(&site, &recorder).await;
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: MCAST_TEST_POSTGRES=postgres://…"]
async fn postgres_refuses_for_some_seconds() {
    postgres(Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: MCAST_TEST_POSTGRES=postgres://…"]
async fn postgres_is_cut_off_for_some_seconds() {
    postgres(Mode::Swallow).await;
}

async fn postgres(mode: Mode) {
    let bed = Bed::postgres().await;
    let Backend::Postgres { url, .. } = &bed.backend else { panic!("not PostgreSQL") };
    let mut options: AnyConnectOptions = url.parse().unwrap();
    let real = format!("{}:{}", options.database_url.host_str().unwrap(), options.database_url.port().unwrap_or(5432));
    let proxy = Proxy::before(real).await;
    options.database_url.set_host(Some(&proxy.address.ip().to_string())).unwrap();
    options.database_url.set_port(Some(proxy.address.port())).unwrap();
    let backend = Backend::Postgres { url: options.database_url.into(), account: Account::default() };

    let site = Site::open(backend.clone()).await.unwrap();
    let recorder = started(&site).await;
    proxy.set(mode);
    endures(&site, &recorder).await;
    assert!(Site::open(backend).await.unwrap_err().is_unreachable());
    proxy.set(Mode::Pass);
    recovers(&site, &recorder).await;
    bed.clear().await;
}

async fn started(site: &Site) -> Recorder {
    let recorder = Recorder::start(site.clone(), server("a"));
    recorder.session(session("s1", "a"));
    assert!(recorder.flush(Duration::from_secs(5)).await);
    assert_eq!(site.ask_ticket(ASK).await.unwrap(), Verdict::Admitted);
    recorder
}

/// Callers go on, are told within the limit, and states are kept.
async fn endures(site: &Site, recorder: &Recorder) {
    let begun = Instant::now();
    for n in 0..200 {
        let left = Instant::now();
        recorder.session(SessionRow { sent_bytes: n, ..session("s1", "a") });
        recorder.clients("s1", (0..50).map(|c| client(&c.to_string(), n)));
        assert!(left.elapsed() < Duration::from_millis(100), "the caller does not wait");
        sleep(Duration::from_millis(15)).await;
    }
    recorder.free_ticket("i", "c");
    let error = site.ask_ticket(ASK).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let asked = Instant::now();
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let site = site.clone();
        asks.spawn(async move { site.ask_ticket(ASK).await.unwrap_err().is_unreachable() });
    }
    assert!(asks.join_all().await.into_iter().all(|unreachable| unreachable));
    assert!(asked.elapsed() < Duration::from_millis(2_700), "all are told in time: {:?}", asked.elapsed());
    let mut state = recorder.state();
    timeout(Duration::from_secs(5), state.wait_for(|state| !state.reachable)).await.unwrap().unwrap();
    assert!(!recorder.flush(Duration::from_millis(100)).await);
    assert!(begun.elapsed() > Duration::from_secs(3));
}

/// All that was kept is written soon after.
async fn recovers(site: &Site, recorder: &Recorder) {
    let back = Instant::now();
    let mut state = recorder.state();
    timeout(Duration::from_secs(10), state.wait_for(|state| state.reachable)).await.unwrap().unwrap();
    assert!(recorder.flush(Duration::from_secs(5)).await);
    println!("written {:?} after the database came back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(6), "{:?}", back.elapsed());
    assert_eq!(site.resumable("a").await.unwrap()[0].sent_bytes, 199);
    let clients = site.clients("s1").await.unwrap();
    assert_eq!(clients.len(), 50);
    assert!(clients.iter().all(|client| client.verified == 199));
    assert_eq!(site.ticket_count().await.unwrap(), 0, "what was freed meanwhile is free");
    assert_eq!(site.ask_ticket(ASK).await.unwrap(), Verdict::Admitted);
    assert!(!site.servers().await.unwrap()[0].dead);
}
