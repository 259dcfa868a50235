//! Keeps the catalogue as the folder is: watches it, waits until files rest, and hashes them.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use command_line::chain;
use crossbeam_channel::{Receiver, Sender, bounded};
use multicast_core::image::{Delivery, ImageError};
use multicast_core::layout::{Geometry, Layout};
use multicast_core::manifest::{self, BuildError, CachePlace, Origin};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, info, warn};

use super::catalogue::{Catalogue, Image, ImageState, Progress, Ready};
use super::folder::{self, Found, Mark};
use crate::config::Settings;

/// Between two looks where nothing tells of changes: a folder of another machine, for example.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks at files that change.
const SETTLE_LOOK: Duration = Duration::from_millis(250);
/// Between two looks for a folder that is not there.
const RETURN_LOOK: Duration = Duration::from_secs(1);
/// After an image could not be hashed, until that is tried again: twice as long each time, up to the limit. A disk or
/// another machine that was away comes back without a sign at the files.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// After some tries the pause is at least so many times as long as the last one was: on a disk with a bad spot each
/// may read nearly all of a large image.
const RETRY_SHARE: u32 = 4;
/// After being told of a change, in which others follow.
const BREATH: Duration = Duration::from_millis(50);

/// How images are cut and where their hashes are kept.
#[derive(Debug, Clone)]
pub(crate) struct KeeperConfig {
    /// Payload bytes of a symbol.
    pub(crate) symbol_size: u16,
    pub(crate) cache: CachePlace,
}

/// A thread that looks and one that hashes; dropping it ends both.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    wake: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    settings: Mutex<Arc<Settings>>,
    config: KeeperConfig,
    catalogue: Catalogue,
    stop: AtomicBool,
}

/// An image to be hashed.
struct Task {
    image: Image,
    marks: Vec<Mark>,
    progress: Arc<Progress>,
    attempt: Arc<Attempt>,
}

/// A try to hash an image's files as they are.
#[derive(Default)]
struct Attempt {
    /// Set when it is not wanted any more.
    cancel: AtomicBool,
    /// Set when it has failed: how long it took.
    failed: OnceLock<Duration>,
}

/// Why an image was not hashed.
enum Unfinished {
    /// It is not wanted any more.
    Cancelled,
    /// Its files changed meanwhile.
    Changed,
    /// It cannot be read, or is not what it says.
    Failed(String),
}

/// How an image stood at the last look.
struct Known {
    found: Found,
    /// Since when its files are as they are.
    since: Instant,
    /// What is or was done about them.
    attempt: Option<Arc<Attempt>>,
    /// Tries that failed.
    failures: u32,
    /// Not to be tried before this.
    due: Option<Instant>,
}

impl Keeper {
    /// Begins to look; the catalogue fills by and by.
    pub(crate) fn start(settings: Arc<Settings>, config: KeeperConfig, catalogue: Catalogue) -> std::io::Result<Self> {
        let (wake, woken) = bounded(1);
        let (tasks, work) = crossbeam_channel::unbounded();
        let shared =
            Arc::new(Shared { settings: Mutex::new(settings), config, catalogue, stop: AtomicBool::new(false) });
        let (looker, hasher) = (shared.clone(), shared.clone());
        let (again, failed) = (wake.clone(), wake.clone());
        let threads = vec![
            std::thread::Builder::new()
                .name("content".into())
                .spawn(move || Look { shared: looker, tasks, known: HashMap::new() }.run(&woken, &again))?,
            std::thread::Builder::new().name("hashing".into()).spawn(move || hasher.hash_all(&work, &failed))?,
        ];
        Ok(Self { shared, wake, threads })
    }

    /// Takes over changed settings.
    pub(crate) fn reload(&self, settings: Arc<Settings>) {
        *self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.look();
    }

    /// Looks now.
    pub(crate) fn look(&self) {
        // One look that is still to come sees it, too.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.look();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Hashes one image after the other, on half of the cores: sessions need the others. Has `failed` told of those
    /// that have to be tried again.
    fn hash_all(&self, work: &Receiver<Task>, failed: &Sender<()>) {
        for task in work {
            if task.attempt.cancel.load(Ordering::Relaxed) {
                continue;
            }
            let begun = Instant::now();
            let hashed = self.hash(&task);
            if !self.conclude(&task, hashed, begun.elapsed()) {
                // One look that is still to come sees it, too.
                let _ = failed.try_send(());
            }
        }
    }

    /// Shows what came of it; false if it has to be tried again.
    fn conclude(&self, task: &Task, hashed: Result<Ready, Unfinished>, took: Duration) -> bool {
        let name = &task.image.name;
        let (state, done) = match hashed {
            Ok(ready) => (ImageState::Ready(Arc::new(ready)), true),
            Err(Unfinished::Cancelled) => return true,
            Err(Unfinished::Changed) => (ImageState::Settling, false),
            Err(Unfinished::Failed(why)) => {
                let shown = self.catalogue.get(name);
                // Once is enough, however often it is tried.
                match shown.is_some_and(|image| matches!(&image.state, ImageState::Broken(shown) if *shown == why)) {
                    true => debug!(image = name, "{why}"),
                    false => warn!(image = name, "{why}"),
                }
                (ImageState::Broken(why), false)
            }
        };
        self.catalogue.set_state(name, state, &task.attempt.cancel);
        if !done {
            let _ = task.attempt.failed.set(took);
        }
        done
    }

    fn hash(&self, task: &Task) -> Result<Ready, Unfinished> {
        let Task { image, marks, progress, attempt } = task;
        let told = |error: &dyn std::error::Error| Unfinished::Failed(chain(error));
        let unread = |error: ImageError| match error {
            ImageError::Changed { .. } => Unfinished::Changed,
            error => told(&error),
        };
        let delivery = Delivery::open(&image.files).map_err(|error| told(&error))?;
        for file in 0..delivery.files().len() {
            delivery.wim(file).map_err(|error| told(&error))?;
        }
        let geometry = Geometry::for_size(delivery.size(), self.config.symbol_size);
        let layout = Layout::new(geometry, delivery.file_entries()).map_err(|error| told(&error))?;
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let begun = Instant::now();
        let note = |bytes| progress.note(bytes);
        let loaded = manifest::load_or_build(&delivery, &layout, &self.config.cache, threads, note, &attempt.cancel);
        let loaded = loaded.map_err(|error| match error {
            BuildError::Cancelled => Unfinished::Cancelled,
            BuildError::Image(error) => unread(error),
            error => told(&error),
        })?;
        delivery.check_unchanged().map_err(unread)?;
        let now = image.files.iter().map(|path| folder::mark(path)).collect::<Result<Vec<_>, _>>();
        if now.map_err(Unfinished::Failed)? != *marks {
            return Err(Unfinished::Changed);
        }
        let cached = matches!(loaded.origin, Origin::Cached { .. });
        if let Origin::Built { kept: Err(error @ manifest::CacheWriteError::Write { .. }), .. } = &loaded.origin {
            warn!(image = image.name, "{}", chain(error));
        }
        let seconds = begun.elapsed().as_secs_f64();
        info!(image = image.name, bytes = delivery.size(), cached, seconds, "image is ready");
        Ok(Ready::new(delivery, loaded.manifest))
    }
}

/// The thread that looks.
struct Look {
    shared: Arc<Shared>,
    tasks: Sender<Task>,
    known: HashMap<String, Known>,
}

impl Look {
    fn run(mut self, woken: &Receiver<()>, again: &Sender<()>) {
        let mut watched: Option<(Identity, RecommendedWatcher)> = None;
        let mut failed = false;
        while !self.shared.stops() {
            let settings = self.shared.settings();
            // Without one there are no images: a look finds none.
            let folder = settings.content.images.clone().unwrap_or_default();
            // Another folder may have taken its name, by a mount for example.
            let identity = identity(&folder);
            if watched.as_ref().map(|(watched, _)| *watched) != identity {
                watched = identity.and_then(|identity| Some((identity, watch(&folder, again.clone())?)));
            }
            let interval = match folder::look(&settings) {
                Ok(found) => {
                    failed = false;
                    self.compare(found, &settings, Instant::now())
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        warn!(folder = %folder.display(), "cannot read the images' folder: {error}");
                    }
                    RETURN_LOOK
                }
            };
            if woken.recv_timeout(interval).is_ok() && !self.shared.stops() {
                std::thread::sleep(BREATH);
                let _ = woken.try_recv();
            }
        }
        for known in self.known.values() {
            known.cancel();
        }
    }

    /// Takes over what was found; tells how long it may be to the next look.
    fn compare(&mut self, found: Vec<Found>, settings: &Settings, now: Instant) -> Duration {
        let names: std::collections::HashSet<_> = found.iter().map(|found| found.entry.name.clone()).collect();
        self.known.retain(|name, known| {
            let stays = names.contains(name);
            if !stays {
                known.cancel();
                info!(image = name, "image is gone");
            }
            stays
        });
        self.shared.catalogue.keep(|name| names.contains(name));
        let next = found.into_iter().fold(LOOK_INTERVAL, |next, found| {
            let name = found.entry.name.clone();
            self.note(found, now, settings);
            next.min(self.advance(&name, now, settings))
        });
        self.shared.catalogue.complete();
        next
    }

    /// How one image stands.
    fn note(&mut self, found: Found, now: Instant, settings: &Settings) {
        let name = found.entry.name.clone();
        let before = self.known.get(&name);
        let same_files =
            before.is_some_and(|known| known.found.marks == found.marks && known.found.files == found.files);
        let same_terms = before.is_some_and(|known| known.found.entry == found.entry);
        if !same_files {
            let first = before.is_none();
            if let Some(known) = before {
                known.cancel();
                info!(image = name, "image changes");
            }
            let state = match &found.marks {
                Ok(_) => ImageState::Settling,
                Err(why) => ImageState::Broken(why.clone()),
            };
            self.shared.catalogue.put(image_of(&found, settings, state));
            // What has rested since long before is taken at once.
            let rested =
                first && found.marks.as_ref().is_ok_and(|marks| marks.iter().all(|m| m.rests(settings.content.settle)));
            let since = if rested { now.checked_sub(settings.content.settle).unwrap_or(now) } else { now };
            self.known.insert(name, Known { found, since, attempt: None, failures: 0, due: None });
        } else if !same_terms && let Some(known) = self.known.get_mut(&name) {
            known.found.entry = found.entry;
            if let Some(current) = self.shared.catalogue.get(&name) {
                self.shared.catalogue.put(image_of(&known.found, settings, current.state.clone()));
            }
        }
    }

    /// Has it hashed when it is time to; tells how long it may be to the next look.
    fn advance(&mut self, name: &str, now: Instant, settings: &Settings) -> Duration {
        let Some(known) = self.known.get_mut(name) else { return LOOK_INTERVAL };
        known.note_failure(now);
        let (Ok(marks), None) = (&known.found.marks, &known.attempt) else { return LOOK_INTERVAL };
        if now.duration_since(known.since) < settings.content.settle {
            return SETTLE_LOOK;
        }
        if let Some(pause) = known.due.and_then(|due| due.checked_duration_since(now)).filter(|pause| !pause.is_zero())
        {
            return pause.min(LOOK_INTERVAL);
        }
        let progress = Arc::new(Progress::of(marks.iter().map(|mark| mark.bytes).sum()));
        let attempt = Arc::new(Attempt::default());
        let task = Task {
            image: image_of(&known.found, settings, ImageState::Settling),
            marks: marks.clone(),
            progress: progress.clone(),
            attempt: attempt.clone(),
        };
        known.attempt = Some(attempt);
        // What could not be read keeps its reason until it was.
        let shown = self.shared.catalogue.get(name);
        if !shown.is_some_and(|image| matches!(image.state, ImageState::Broken(_))) {
            self.shared.catalogue.put(image_of(&known.found, settings, ImageState::Hashing(progress)));
        }
        // The hashing thread ends after this one.
        let _ = self.tasks.send(task);
        LOOK_INTERVAL
    }
}

/// The image as it is shown.
fn image_of(found: &Found, settings: &Settings, state: ImageState) -> Image {
    let entry = &found.entry;
    Image {
        name: entry.name.clone(),
        files: found.files.clone(),
        version: entry.version.clone(),
        multicast: entry.multicast,
        encryption: entry.encryption,
        priority: entry.priority,
        start: entry.start.clone().unwrap_or_else(|| settings.start.clone()),
        state,
    }
}

impl Known {
    fn cancel(&self) {
        if let Some(attempt) = &self.attempt {
            attempt.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Sees to another try if the last one has failed.
    fn note_failure(&mut self, now: Instant) {
        let Some(took) = self.attempt.as_ref().and_then(|attempt| attempt.failed.get()) else { return };
        self.due = Some(now + pause_after(self.failures, *took));
        self.failures = self.failures.saturating_add(1);
        self.attempt = None;
    }
}

/// After a try that failed and took so long, as `before` others had.
fn pause_after(before: u32, took: Duration) -> Duration {
    let growing = RETRY_FIRST * 2_u32.saturating_pow(before.min(16));
    growing.min(RETRY_LIMIT).max(took * before.min(RETRY_SHARE))
}

/// By which a folder is known, whatever its name.
type Identity = (u64, u64);

fn identity(folder: &std::path::Path) -> Option<Identity> {
    std::fs::metadata(folder).ok().map(|about| (about.dev(), about.ino()))
}

/// Has `again` told of changes in the folder; without that there are looks now and then.
fn watch(folder: &std::path::Path, again: Sender<()>) -> Option<RecommendedWatcher> {
    // To look opens the folder, and to hash opens files: news only to those who look at their own looking.
    let is_change = |kind: &EventKind| {
        !matches!(kind, EventKind::Access(_)) || matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
    };
    let told = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(&event.kind)) {
            let _ = again.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| warn!("changes of {folder:?} are not told, but looked for: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// The two sides of a keeper, driven by hand, for a folder with one image.
    struct Bench {
        site: tempfile::TempDir,
        settings: Settings,
        look: Look,
        work: Receiver<Task>,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let site = tempfile::tempdir().unwrap();
            let mut settings = Settings::default();
            settings.content.images = Some(site.path().join("images"));
            fs::create_dir(site.path().join("images")).unwrap();
            fs::write(site.path().join("images/a.img"), "content").unwrap();
            let shared = Shared {
                settings: Mutex::new(Arc::new(settings.clone())),
                config: KeeperConfig { symbol_size: 1024, cache: CachePlace::Nowhere },
                catalogue: Catalogue::new(),
                stop: AtomicBool::new(false),
            };
            let (tasks, work) = crossbeam_channel::unbounded();
            let look = Look { shared: Arc::new(shared), tasks, known: HashMap::new() };
            Self { site, settings, look, work, now: Instant::now() }
        }

        fn images(&self) -> PathBuf {
            self.site.path().join("images")
        }

        /// The folder goes to another place, as one whose machine is away.
        fn unmount(&self) -> PathBuf {
            let away = self.site.path().join("away");
            fs::rename(self.images(), &away).unwrap();
            away
        }

        /// A look after `pause`: the task that comes of it, and how long it may be to the next one.
        fn look_after(&mut self, pause: Duration) -> (Option<Task>, Duration) {
            self.now += pause;
            let found = folder::look(&self.settings).unwrap();
            let next = self.look.compare(found, &self.settings, self.now);
            (self.work.try_recv().ok(), next)
        }

        /// Hashes, which takes so long; false if it has to be tried again.
        fn hash(&self, task: &Task, took: Duration) -> bool {
            self.look.shared.conclude(task, self.look.shared.hash(task), took)
        }

        fn state(&self) -> ImageState {
            self.look.shared.catalogue.get("a.img").unwrap().state.clone()
        }

        fn problem(&self) -> String {
            match self.state() {
                ImageState::Broken(why) => why,
                other => panic!("it is {}", other.word()),
            }
        }
    }

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn an_image_that_could_not_be_read_for_a_while_is_served_once_it_can() {
        let mut bench = Bench::new();
        let (task, _) = bench.look_after(AT_ONCE);
        assert!(matches!(bench.state(), ImageState::Hashing(_)));
        let away = bench.unmount();
        assert!(!bench.hash(&task.unwrap(), AT_ONCE));
        assert!(bench.problem().contains("a.img\" does not exist"), "{}", bench.problem());
        // Back it is what it was, and nothing about its file tells that it was away.
        fs::rename(away, bench.images()).unwrap();
        let (task, next) = bench.look_after(AT_ONCE);
        assert!(task.is_none() && next == RETRY_FIRST, "{next:?}");
        let (task, _) = bench.look_after(next);
        let task = task.expect("it is tried again");
        assert!(bench.problem().contains("does not exist"), "nothing else is known yet");
        assert!(bench.hash(&task, AT_ONCE));
        assert!(matches!(bench.state(), ImageState::Ready(_)));
        let (task, next) = bench.look_after(RETRY_LIMIT);
        assert!(task.is_none() && next == LOOK_INTERVAL, "that was all");
    }

    #[test]
    fn an_image_that_changed_while_it_was_hashed_is_tried_again_even_if_no_change_is_seen() {
        let mut bench = Bench::new();
        let task = bench.look_after(AT_ONCE).0.unwrap();
        assert!(!bench.look.shared.conclude(&task, Err(Unfinished::Changed), AT_ONCE));
        assert!(matches!(bench.state(), ImageState::Settling));
        bench.look_after(AT_ONCE);
        let task = bench.look_after(RETRY_FIRST).0.unwrap();
        assert!(matches!(bench.state(), ImageState::Hashing(_)));
        assert!(bench.hash(&task, AT_ONCE));
    }

    #[test]
    fn tries_come_ever_more_seldom_and_begin_anew_with_other_bytes() {
        let mut bench = Bench::new();
        let mut task = bench.look_after(AT_ONCE).0;
        let fail = |bench: &Bench, task: &Task, took| {
            assert!(!bench.look.shared.conclude(task, Err(Unfinished::Failed("input/output error".into())), took));
        };
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&bench, &task.take().unwrap(), AT_ONCE);
            let begun = bench.now;
            let mut next = AT_ONCE;
            while task.is_none() {
                (task, next) = bench.look_after(next);
                assert!(next <= LOOK_INTERVAL && bench.now - begun <= RETRY_LIMIT);
            }
            assert_eq!(bench.now - begun, Duration::from_secs(seconds));
        }
        // One that reads for an hour before it fails is soon tried again, and does not keep the disk busy for ever.
        let hour = Duration::from_secs(3600);
        assert_eq!([0, 1, 9].map(|before| pause_after(before, hour)), [RETRY_FIRST, hour, 4 * hour]);

        fs::write(bench.images().join("a.img"), "other content").unwrap();
        let (other, _) = bench.look_after(AT_ONCE);
        let other = other.expect("it is new");
        // The old task ends late: it has no say any more.
        fail(&bench, &task.unwrap(), AT_ONCE);
        assert!(matches!(bench.state(), ImageState::Hashing(_)));
        fail(&bench, &other, AT_ONCE);
        assert!(bench.look_after(AT_ONCE).1 == RETRY_FIRST);
    }
}
