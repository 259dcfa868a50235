//! A service point's site, on SQLite.

use std::sync::Arc;
use std::time::Duration;

use pxe::boot::{BootNote, Directory, Doer, Policy, Stage};
use pxe::dhcp::{ClientId, Lease, LeaseChange};
use pxe::machine::{Mac, Machine};
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use super::directory::Directory as SiteDirectory;
use super::journal::JournalState;
use crate::config::{Loaded, ServeArguments, Settings, Surroundings};
use crate::site::{Backend, BootFilter, ComputerRow, DeploymentRow, DeploymentTarget, PolicyChange, Site};

const LONG: Duration = Duration::from_secs(30);

/// A site, and one server of it.
struct Bed {
    folder: TempDir,
    site: Site,
    directory: Arc<SiteDirectory>,
    settings: watch::Sender<Arc<Settings>>,
    stop: watch::Sender<bool>,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(Backend::Sqlite { file: folder.path().join("site.sqlite") }).await.unwrap();
        let settings = settings(folder.path(), "");
        let directory = SiteDirectory::open(site.clone(), "here".to_owned(), &settings.pxe).await.unwrap();
        let (settings, changes) = watch::channel(Arc::new(settings));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(directory.memory().clone().follow(changes, stopped));
        Self { folder, site, directory, settings, stop }
    }

    /// Another program at the same file.
    async fn other(&self) -> AnyConnection {
        let url = format!("sqlite:{}", self.folder.path().join("site.sqlite").display());
        let mut other = AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 20000").execute(&mut other).await.unwrap();
        other
    }

    async fn deploy(&self, name: &str, once: bool) {
        let target = DeploymentTarget::All;
        let (boot_image, image) = ("client".to_owned(), Some("win11.wim".to_owned()));
        let row =
            DeploymentRow { name: name.to_owned(), target, boot_image, image, wait_s: None, once, until_ms: None };
        self.site.add_deployment(&row).await.unwrap();
    }

    /// Waits until the server knows what is to be known.
    async fn until(&self, known: impl Fn(&pxe::boot::Site) -> bool) {
        let wait = async {
            while !known(&self.directory.site()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, wait).await.unwrap();
    }

    async fn leases(&self) -> Vec<Lease> {
        let settings = self.settings.borrow().clone();
        self.site.take_pxe_leases("here", &settings.pxe.pools()).await.unwrap()
    }

    async fn noted(&self) -> Vec<String> {
        let all = self.site.boots(&BootFilter { limit: 1000, ..BootFilter::default() }).await.unwrap();
        all.into_iter().map(|seen| seen.row.text).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn settings(folder: &std::path::Path, more: &str) -> Settings {
    let file = folder.join("server.toml");
    let text = format!(
        "content.images = \".\"\n[pxe]\nenabled = true\nmode = \"full\"\ninterfaces = \"lo\"\n{more}\n\
         [[pxe.network]]\nnetwork = \"10.0.0.0/24\"\npool = \"10.0.0.50-10.0.0.99\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ServeArguments { config: Some(file), ..ServeArguments::default() };
    let around = Surroundings { variables: Vec::new(), ..Surroundings::here() };
    Loaded::load(&arguments, &around).unwrap().settings
}

fn machine(last: u8) -> Machine {
    Machine::new(Mac([0x52, 0x54, 0, 0, 0, last]))
}

fn note(text: &str) -> BootNote {
    let (machine, text) = (machine(1), text.to_owned());
    BootNote { machine, address: None, stage: Stage::Dhcp, deployment: None, text, refused: false }
}

fn lease(last: u8) -> Lease {
    let mac = machine(last).mac;
    Lease { address: [10, 0, 0, last].into(), client: ClientId::Card(mac), mac, until: Duration::from_secs(1 << 33) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_changes_is_noticed() {
    let bed = Bed::new().await;
    assert_eq!(bed.directory.site().policy, Policy::default());
    let computer = ComputerRow { name: "pc".to_owned(), macs: vec![machine(1).mac], uuid: None, address: None };
    bed.site.add_computer(&computer).await.unwrap();
    bed.until(|site| site.computers.len() == 1).await;
    let change = PolicyChange { unknown: Some(true), ..PolicyChange::default() };
    bed.site.set_pxe_policy(&change).await.unwrap();
    bed.directory.memory().refresh().await.unwrap();
    assert!(bed.directory.site().policy.unknown, "at once, if asked");
    bed.settings.send_replace(Arc::new(settings(bed.folder.path(), "unknown = \"ignore\"")));
    bed.until(|site| !site.policy.unknown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_state_holds_while_the_database_is_away() {
    let bed = Bed::new().await;
    bed.deploy("d", false).await;
    bed.until(|site| site.deployments.len() == 1).await;
    let mut other = bed.other().await;
    sqlx::raw_sql("ALTER TABLE pxe_site RENAME TO away").execute(&mut other).await.unwrap();
    let mut state = bed.directory.memory().state();
    timeout(LONG, state.wait_for(|state| !state.reachable)).await.unwrap().unwrap();
    assert!(bed.directory.memory().refresh().await.is_err());
    assert_eq!(bed.directory.site().deployments.len(), 1);
    sqlx::raw_sql("ALTER TABLE away RENAME TO pxe_site").execute(&mut other).await.unwrap();
    timeout(LONG, state.wait_for(|state| state.reachable)).await.unwrap().unwrap();
    bed.deploy("e", false).await;
    bed.until(|site| site.deployments.len() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_counts_at_once_and_until_it_is_forgotten() {
    let bed = Bed::new().await;
    bed.deploy("d", true).await;
    bed.until(|site| site.deployments.len() == 1).await;
    let mut other = bed.other().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let by = Doer::Machine(machine(1).mac);
    bed.directory.done("d", &by, machine(1).mac, true);
    let done = ("d".to_owned(), by.clone());
    assert!(bed.directory.site().done.contains(&done), "before it can be written");
    bed.directory.memory().refresh().await.unwrap();
    assert!(bed.directory.site().done.contains(&done), "though the database does not know it");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(bed.directory.journal().flush(LONG).await);
    assert_eq!(bed.site.done().await.unwrap().len(), 1);
    assert_eq!(bed.site.forget_done("d", None).await.unwrap(), 1);
    bed.until(|site| site.done.is_empty()).await;
    // What could not be started is taken back, also before it was written.
    for flush in [false, true] {
        bed.directory.done("d", &by, machine(1).mac, true);
        assert!(!flush || bed.directory.journal().flush(LONG).await);
        bed.directory.done("d", &by, machine(1).mac, false);
        assert!(bed.directory.site().done.is_empty());
        assert!(bed.directory.journal().flush(LONG).await);
        bed.directory.memory().refresh().await.unwrap();
        assert!(bed.directory.site().done.is_empty() && bed.site.done().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_its_machine_and_its_deployment() {
    let bed = Bed::new().await;
    bed.deploy("d", false).await;
    bed.until(|site| site.deployments.len() == 1).await;
    let deployment = bed.directory.site().deployments[0].clone();
    let token = bed.directory.token(&machine(1), &deployment).await.unwrap();
    let other = bed.directory.token(&machine(1), &deployment).await.unwrap();
    assert!(token != other && token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(bed.site.redeem_boot_token(&token, "boot", &[machine(2).mac]).await.is_err());
    let opened = bed.site.redeem_boot_token(&token, "boot", &[machine(1).mac]).await.unwrap();
    assert_eq!((opened.deployment.as_str(), opened.image.as_deref()), ("d", Some("win11.wim")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_during_an_outage_is_written_after_it() {
    let bed = Bed::new().await;
    bed.deploy("d", true).await;
    let journal = bed.directory.journal();
    journal.lease(&LeaseChange::Granted(lease(50)));
    assert!(journal.flush(LONG).await);
    let mut other = bed.other().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    for n in 0..700 {
        bed.directory.tell(note(&format!("n{n}")));
    }
    journal.lease(&LeaseChange::Granted(lease(51)));
    journal.lease(&LeaseChange::Granted(lease(52)));
    journal.lease(&LeaseChange::Ended { lease: lease(50), why: pxe::dhcp::leases::End::Released });
    journal.lease(&LeaseChange::Ended { lease: lease(52), why: pxe::dhcp::leases::End::Released });
    let mut state = journal.state();
    let all_kept = |state: &JournalState| state.failing && (state.pending, state.dropped) == (703, 0);
    timeout(LONG, state.wait_for(all_kept)).await.unwrap().unwrap();
    bed.directory.tell(note("last"));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(journal.flush(LONG).await);
    assert_eq!(bed.leases().await, [lease(51)]);
    let noted = bed.noted().await;
    assert_eq!((noted.len(), noted[0].as_str(), noted[1].as_str(), noted[700].as_str()), (701, "last", "n699", "n0"));
    timeout(LONG, state.wait_for(|state| !state.failing && state.pending == 0)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_written_before_what_is_only_told() {
    let bed = Bed::new().await;
    let mut other = bed.other().await;
    sqlx::raw_sql("ALTER TABLE pxe_boots RENAME TO away").execute(&mut other).await.unwrap();
    bed.directory.tell(note("told first"));
    bed.directory.journal().lease(&LeaseChange::Granted(lease(60)));
    let written = async {
        while bed.leases().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, written).await.unwrap();
    sqlx::raw_sql("ALTER TABLE away RENAME TO pxe_boots").execute(&mut other).await.unwrap();
    assert!(bed.directory.journal().flush(LONG).await);
    assert_eq!(bed.noted().await, ["told first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_costs_its_oldest_notes_and_no_memory() {
    let bed = Bed::new().await;
    let mut other = bed.other().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    for n in 0..20_000 {
        bed.directory.tell(note(&format!("n{n}")));
    }
    let mut state = bed.directory.journal().state();
    let bounded = |state: &JournalState| state.failing && state.pending <= 8192 && state.dropped >= 20_000 - 8192;
    timeout(LONG, state.wait_for(bounded)).await.unwrap().unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(bed.directory.journal().flush(LONG).await);
    assert_eq!(bed.noted().await[0], "n19999");
}
