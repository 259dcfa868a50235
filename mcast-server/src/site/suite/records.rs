//! What is kept, and what the recorder makes of it.

use std::time::Duration;

use tokio::task::JoinSet;

use super::bed::{Bed, run, server, silence};
use crate::site::{ClientRow, ImageRow, Recorder, SessionFilter, SessionRow, Site, SiteError};

pub(super) fn session(id: &str, server: &str) -> SessionRow {
    SessionRow {
        id: id.into(),
        server: server.into(),
        image: "win11".into(),
        version: "24H2".into(),
        group: "239.1.2.3".into(),
        port: 63000,
        state: "waiting".into(),
        started: false,
        rate_bits: 900_000_000,
        bytes: u64::MAX / 4,
        sent_bytes: 0,
        opened_ms: 1_000,
        ended_ms: None,
        outcome: None,
        clients: 0,
        complete: 0,
        detail: "{\"seed\":7}".into(),
    }
}

pub(super) fn client(name: &str, verified: u64) -> ClientRow {
    ClientRow {
        client: name.into(),
        host: format!("pc-{name}\0"),
        address: "192.0.2.7".into(),
        state: "receiving".into(),
        path: "multicast".into(),
        verified,
        blocks: 4096,
        loss: 0.015_625,
        reason: None,
        joined_ms: 2_000,
        ended_ms: None,
    }
}

fn image(name: &str) -> ImageRow {
    ImageRow {
        name: name.into(),
        version: "1".into(),
        bytes: 5 << 30,
        multicast: "allowed".into(),
        state: "ready".into(),
        root: "ab".repeat(32),
    }
}

pub(super) async fn a_session_is_seen_by_all_and_resumed_by_its_server(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a", "b"]).await, bed.open().await);
    let first = session("s1", "a");
    site.put_session(&first).await.unwrap();
    let running = SessionRow { started: true, state: "sending".into(), clients: 3, sent_bytes: 77, ..first.clone() };
    site.put_session(&running).await.unwrap();
    let second = SessionRow { ended_ms: Some(9_000), outcome: Some("complete".into()), ..session("s2", "b") };
    site.put_session(&second).await.unwrap();
    let third = SessionRow { ended_ms: Some(9_500), ..session("s3", "gone") };
    site.put_session(&third).await.unwrap();

    let live = other.sessions(SessionFilter::Live).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!((&live[0].row, live[0].server_name.as_str(), live[0].dead), (&running, "server a", false));
    let ended = other.sessions(SessionFilter::Ended { limit: 10 }).await.unwrap();
    assert_eq!(ended.iter().map(|seen| &seen.row).collect::<Vec<_>>(), [&third, &second]);
    assert_eq!((ended[0].server_name.as_str(), ended[0].dead), ("gone", true));
    assert_eq!(other.sessions(SessionFilter::Ended { limit: 1 }).await.unwrap().len(), 1);

    silence(&site, "a", 20).await;
    assert!(other.sessions(SessionFilter::Live).await.unwrap()[0].dead);
    assert_eq!(site.resumable("a").await.unwrap(), [running]);
    assert!(site.resumable("b").await.unwrap().is_empty());
}

pub(super) async fn clients_have_a_history(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    site.put_session(&session("s1", "a")).await.unwrap();
    site.put_session(&SessionRow { image: "linux".into(), ..session("s2", "gone") }).await.unwrap();
    // More than one statement's worth, and one of them twice.
    let mut rows: Vec<_> = (0..120).map(|n| client(&format!("{n:03}"), n)).collect();
    rows.push(client("007", 4096));
    site.put_clients("s1", &rows).await.unwrap();
    let done = ClientRow {
        state: "complete".into(),
        path: "unicast".into(),
        reason: Some("heard no multicast".into()),
        joined_ms: 3_000,
        ended_ms: Some(8_000),
        ..client("001", 4096)
    };
    site.put_clients("s2", std::slice::from_ref(&done)).await.unwrap();
    let of_first = site.clients("s1").await.unwrap();
    assert_eq!(of_first.len(), 120);
    assert_eq!(of_first[7], ClientRow { host: "pc-007\u{fffd}".into(), ..client("007", 4096) });
    assert_eq!(of_first[8].verified, 8);

    let history = site.history(3, None).await.unwrap();
    assert_eq!(history.len(), 3);
    let last = ClientRow { host: "pc-001\u{fffd}".into(), ..done };
    assert_eq!(
        (&history[0].client, history[0].image.as_str(), history[0].server_name.as_str()),
        (&last, "linux", "gone")
    );
    assert_eq!(site.history(1000, Some("win11")).await.unwrap().len(), 120);
    assert!(site.history(1000, Some("other")).await.unwrap().is_empty());
    site.put_clients("s1", &[]).await.unwrap();
}

pub(super) async fn what_is_old_is_forgotten(bed: &Bed) {
    const DAY: i64 = 86_400_000;
    let site = bed.with_servers(&["a", "old"]).await;
    let now: i64 = sqlx::query_scalar("SELECT beat_ms FROM site").fetch_one(&site.pool).await.unwrap();
    for number in 0..130 {
        let ended_ms = Some(now - 40 * DAY + DAY / 16 + number * DAY / 8);
        let id = format!("s{number}");
        site.put_session(&SessionRow { ended_ms, ..session(&id, "a") }).await.unwrap();
        site.put_clients(&id, &[client("1", 1)]).await.unwrap();
    }
    site.put_session(&session("lost", "old")).await.unwrap();
    site.put_session(&session("live", "a")).await.unwrap();
    silence(&site, "old", 31 * 86_400).await;
    // Those that ended 40 to 30 days ago, 8 a day, and the dead server's.
    assert_eq!(site.prune(30).await.unwrap(), 81);
    assert_eq!(site.prune(30).await.unwrap(), 0);
    assert_eq!(site.sessions(SessionFilter::Ended { limit: 1000 }).await.unwrap().len(), 50);
    assert_eq!(site.sessions(SessionFilter::Live).await.unwrap().len(), 1);
    assert_eq!(site.history(1000, None).await.unwrap().len(), 50);
    assert_eq!(site.servers().await.unwrap().len(), 1);
}

pub(super) async fn images_are_those_of_living_servers(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a", "b"]).await, bed.open().await);
    site.put_images("a", &[image("win11"), image("linux")]).await.unwrap();
    let many: Vec<_> = (0..60).map(|n| image(&format!("drivers-{n:02}"))).collect();
    other.put_images("b", &many).await.unwrap();
    assert_eq!(site.images().await.unwrap().len(), 62);
    site.put_images("a", &[image("win11")]).await.unwrap();
    let images = other.images().await.unwrap();
    assert_eq!(images.len(), 61);
    let last = &images[60];
    assert_eq!((&last.row, last.server.as_str(), last.server_name.as_str()), (&image("win11"), "a", "server a"));
    silence(&site, "b", 20).await;
    assert_eq!(site.images().await.unwrap().len(), 1);
    let twice = site.put_images("a", &[image("x"), image("x")]).await.unwrap_err();
    assert!(matches!(twice, SiteError::Data { .. }), "{twice:?}");
    assert_eq!(site.images().await.unwrap()[0].row.name, "win11", "the old list stays");
}

pub(super) async fn settings_are_settled_once(bed: &Bed) {
    let site = bed.open().await;
    assert_eq!(site.setting("motto").await.unwrap(), None);
    site.set_setting("motto", "one").await.unwrap();
    site.set_setting("motto", "two").await.unwrap();
    assert_eq!(site.setting("motto").await.unwrap().as_deref(), Some("two"));
    assert_eq!(site.settle("motto", "three").await.unwrap(), "two");
    let mut ids = JoinSet::new();
    for _ in 0..8 {
        let site = bed.open().await;
        ids.spawn(async move { site.site_id().await.unwrap() });
    }
    let ids = ids.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 32), "{ids:?}");
}

pub(super) async fn a_command_arrives_once(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a", "b"]).await, bed.open().await);
    for n in 0..20 {
        site.post_command("b", &format!("{{\"n\":{n}}}")).await.unwrap();
    }
    site.post_command("a", "{}").await.unwrap();
    let (one, two) = tokio::join!(site.take_commands("b"), other.take_commands("b"));
    let (mut taken, two) = (one.unwrap(), two.unwrap());
    assert!(taken.is_empty() || two.is_empty(), "all go to one");
    taken.extend(two);
    assert_eq!(taken, (0..20).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
    assert!(site.take_commands("b").await.unwrap().is_empty());
    run(&site, "UPDATE commands SET posted_ms = posted_ms - 61000").await;
    assert!(site.take_commands("a").await.unwrap().is_empty(), "too old");
}

pub(super) async fn many_open_a_new_site_at_once(bed: &Bed) {
    let mut opened = JoinSet::new();
    for n in 0..6 {
        let backend = bed.backend.clone();
        opened.spawn(async move {
            let site = Site::open(backend).await.unwrap();
            site.register_server(&server(&n.to_string())).await.unwrap();
            site.check().await.unwrap();
        });
    }
    opened.join_all().await;
    assert_eq!(bed.open().await.servers().await.unwrap().len(), 6);
}

pub(super) async fn a_newer_schema_is_refused(bed: &Bed) {
    let site = bed.open().await;
    run(
        &site,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 99, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    site.close().await;
    let error = Site::open(bed.backend.clone()).await.unwrap_err();
    assert!(matches!(error, SiteError::SchemaNewer { found: 99, known: 3, .. }), "{error:?}");
    assert!(error.to_string().ends_with("has tables of version 99, this program knows versions up to 3"));
}

pub(super) async fn the_recorder_writes_the_latest(bed: &Bed) {
    let site = bed.open().await;
    let recorder = Recorder::start(site.clone(), server("a"));
    recorder.images(vec![image("win11")]);
    for n in 0..1000 {
        recorder.session(SessionRow { sent_bytes: n, ..session("s1", "a") });
        recorder.clients("s1", (0..20).map(|c| client(&c.to_string(), n)));
    }
    assert!(recorder.flush(Duration::from_secs(10)).await);
    assert_eq!(site.resumable("a").await.unwrap()[0].sent_bytes, 999);
    let clients = site.clients("s1").await.unwrap();
    assert_eq!(clients.len(), 20);
    assert!(clients.iter().all(|client| client.verified == 999));
    assert_eq!(site.images().await.unwrap().len(), 1);
    assert!(!site.servers().await.unwrap()[0].dead);
    let state = recorder.state().borrow().clone();
    assert!(state.reachable && state.pending == 0 && state.dropped == 0, "{state:?}");

    // The site forgets the server: the next beat finds out, and all is there again.
    run(&site, "DELETE FROM servers").await;
    run(&site, "DELETE FROM images").await;
    tokio::time::timeout(Duration::from_secs(12), async {
        while site.images().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
}

pub(super) async fn what_the_database_will_not_keep_is_given_up(bed: &Bed) {
    let site = bed.open().await;
    let recorder = Recorder::start(site.clone(), server("a"));
    // The same name twice in one list, and a number that is none.
    recorder.images(vec![image("x"), image("x")]);
    recorder.clients("s1", [client("1", 1), ClientRow { loss: f64::NAN, ..client("2", 1) }, client("3", 1)]);
    recorder.session(session("s1", "a"));
    assert!(recorder.flush(Duration::from_secs(10)).await, "it goes on");
    assert_eq!(site.resumable("a").await.unwrap().len(), 1);
    let clients = site.clients("s1").await.unwrap();
    assert!(clients.iter().any(|client| client.client == "1") && clients.iter().any(|client| client.client == "3"));
    recorder.session(session("s2", "a"));
    assert!(recorder.flush(Duration::from_secs(10)).await);
    let state = recorder.state().borrow().clone();
    assert!(state.reachable && state.dropped >= 1, "{state:?}");
}
