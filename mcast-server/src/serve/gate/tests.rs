use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use multicast_core::manifest::CachePlace;
use tempfile::TempDir;

use super::super::content::{Keeper, KeeperConfig};
use super::*;
use crate::config::{Loaded, ServeArguments, Surroundings};

/// A gate before one image, `a.img`.
struct Bed {
    folder: TempDir,
    gate: Gate,
    wishes: Wishes,
    start: Instant,
    _keeper: Keeper,
}

impl Bed {
    fn new(clients: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        fs::write(folder.path().join("images/a.img"), [7; 4096]).unwrap();
        let settings = Arc::new(settings(&folder, clients));
        let catalogue = Catalogue::new();
        let config = KeeperConfig { symbol_size: 1024, cache: CachePlace::Nowhere };
        let keeper = Keeper::start(settings.clone(), config, catalogue.clone()).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while catalogue.ready("a.img").is_err() {
            assert!(Instant::now() < end, "the image is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        let (gate, wishes) = Gate::new(catalogue, &settings, true);
        Self { folder, gate, wishes, start: Instant::now(), _keeper: keeper }
    }

    fn reload(&self, clients: &str) {
        self.gate.reload(&settings(&self.folder, clients));
    }

    /// A join of a client `ms` after the start.
    fn join(&self, client: u64, ms: u64) -> Verdict {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let ask = Ask { client: ClientId(client), host: "pc", image: "a.img", address, credential: &[] };
        self.gate.judge_at(&ask, self.at(ms))
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// How many places were wished for since this was last asked.
    fn wished(&mut self) -> usize {
        std::iter::from_fn(|| self.wishes.places.try_recv().ok()).count()
    }
}

fn settings(folder: &TempDir, clients: &str) -> Settings {
    let path = folder.path().join("server.toml");
    fs::write(&path, format!("[content]\nimages = \"images\"\nsettle = \"0s\"\n[clients]\n{clients}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let around = Surroundings { folder: folder.path().to_owned(), variables: Vec::new(), ..Surroundings::here() };
    Loaded::load(&ServeArguments { config: Some(path), ..ServeArguments::default() }, &around).unwrap().settings
}

const QUEUED: Place = Place::Queued { place: 1, waiting: 1, admitted: 1 };

fn is_served(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Serve { .. })
}

fn is_full(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refuse { reason: RefuseReason::Full, .. })
}

#[test]
fn one_question_of_a_client_is_under_way_however_long_it_takes() {
    let mut bed = Bed::new("max = 1");
    let join_for_a_minute =
        |bed: &Bed, from| (0..600_u64).for_each(|n| assert!(!is_served(&bed.join(1, from + n * 100))));
    join_for_a_minute(&bed, 0);
    assert_eq!(bed.wished(), 1);
    assert!(bed.gate.settle("a.img", ClientId(1), QUEUED, bed.at(60_000)));
    join_for_a_minute(&bed, 60_000);
    assert_eq!(bed.wished(), 1, "the same for one in the queue");
}

#[test]
fn one_in_the_queue_is_asked_for_again_after_each_answer() {
    let mut bed = Bed::new("max = 1");
    for n in 0..10 {
        let verdict = bed.join(1, n * 2_000);
        assert_eq!(is_full(&verdict), n > 0);
        assert_eq!(bed.wished(), 1);
        bed.gate.settle("a.img", ClientId(1), QUEUED, bed.at(n * 2_000));
        bed.join(1, n * 2_000 + 100);
        assert_eq!(bed.wished(), 0, "not sooner than it may have changed");
    }
}

#[test]
fn who_still_asks_is_remembered_while_the_answer_is_late() {
    let mut bed = Bed::new("max = 1");
    for second in 0..60 {
        bed.join(1, second * 1_000);
        bed.gate.tidy(bed.at(second * 1_000));
    }
    assert_eq!(bed.wished(), 1);
    bed.gate.tidy(bed.at(80_000));
    assert!(!bed.gate.settle("a.img", ClientId(1), Place::Admitted, bed.at(80_000)), "it has gone");
}

#[test]
fn the_last_place_of_the_own_count_goes_to_one() {
    let bed = Bed::new("max = 2");
    for client in 1..=4 {
        bed.join(client, 0);
    }
    for client in 1..=4 {
        bed.gate.settle_alone("a.img", ClientId(client), bed.at(10));
    }
    bed.gate.settle_alone("a.img", ClientId(1), bed.at(20));
    let (served, doubts) = bed.gate.served();
    assert_eq!(served.admitted.len(), 2);
    bed.gate.doubt();
    bed.gate.counted(doubts);
    assert!(!bed.gate.doubts.borrow().are_settled(), "what came up since is not seen to");
    let verdicts: Vec<_> = (1..=4).map(|client| is_served(&bed.join(client, 100))).collect();
    assert_eq!(verdicts, [true, true, false, false]);
}

#[test]
fn clients_that_came_without_a_cap_count_when_there_is_one() {
    let mut bed = Bed::new("");
    assert!((1..=3).all(|client| is_served(&bed.join(client, 0))));
    assert_eq!(bed.wished(), 0);
    assert_eq!(bed.gate.counts(), (3, 0));
    bed.reload("max = 2");
    assert!(is_served(&bed.join(1, 100)), "it has its place");
    assert!(!is_served(&bed.join(4, 100)));
    assert_eq!(bed.wished(), 1);
    bed.gate.settle_alone("a.img", ClientId(4), bed.at(110));
    assert!(is_full(&bed.join(4, 120)));
    let (served, doubts) = bed.gate.served();
    assert!(!bed.gate.doubts.borrow().are_settled(), "the site has not counted them");
    bed.gate.counted(doubts);
    assert!(bed.gate.doubts.borrow().are_settled());
    assert_eq!(served.admitted.len(), 3);
    let waits = ("a.img".to_owned(), ClientId(4).to_string());
    assert_eq!(served.asking.into_iter().collect::<Vec<_>>(), [waits]);
}

#[test]
fn who_is_in_a_session_is_served_whatever_order_its_events_came_in() {
    let bed = Bed::new("max = 1");
    bed.join(1, 0);
    bed.gate.settle("a.img", ClientId(1), Place::Admitted, bed.at(0));
    assert!(is_served(&bed.join(1, 10)));
    bed.gate.joined("a.img", ClientId(1), "pc", bed.at(20));
    // Given up, and back before that was told.
    bed.gate.release("a.img", ClientId(1));
    bed.gate.joined("a.img", ClientId(1), "pc", bed.at(30));
    assert_eq!(bed.gate.counts(), (1, 0));
}
