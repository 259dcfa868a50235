//! Keeps the catalogue as the folder is: watches it, waits until files rest, and hashes them.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use command_line::chain;
use crossbeam_channel::{Receiver, Sender, bounded};
use multicast_core::image::Delivery;
use multicast_core::layout::{Geometry, Layout};
use multicast_core::manifest::{self, BuildError, CachePlace, Origin};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{info, warn};

use super::catalogue::{Catalogue, Image, ImageState, Progress, Ready};
use super::folder::{self, Found, Mark};
use crate::config::Settings;

/// Between two looks where nothing tells of changes: a folder of another machine, for example.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks at files that change.
const SETTLE_LOOK: Duration = Duration::from_millis(250);
/// Between two looks for a folder that is not there.
const RETURN_LOOK: Duration = Duration::from_secs(1);
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
    /// Set when it is not wanted any more.
    cancel: Arc<AtomicBool>,
}

/// How an image stood at the last look.
struct Known {
    found: Found,
    /// Since when its files are as they are.
    since: Instant,
    /// What is or was done about them.
    task: Option<Arc<AtomicBool>>,
}

impl Keeper {
    /// Begins to look; the catalogue fills by and by.
    pub(crate) fn start(settings: Arc<Settings>, config: KeeperConfig, catalogue: Catalogue) -> std::io::Result<Self> {
        let (wake, woken) = bounded(1);
        let (tasks, work) = crossbeam_channel::unbounded();
        let shared =
            Arc::new(Shared { settings: Mutex::new(settings), config, catalogue, stop: AtomicBool::new(false) });
        let (looker, hasher, again) = (shared.clone(), shared.clone(), wake.clone());
        let threads = vec![
            std::thread::Builder::new()
                .name("content".into())
                .spawn(move || Look { shared: looker, tasks, known: HashMap::new() }.run(&woken, &again))?,
            std::thread::Builder::new().name("hashing".into()).spawn(move || hasher.hash_all(&work))?,
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

    /// Hashes one image after the other, on half of the cores: sessions need the others.
    fn hash_all(&self, work: &Receiver<Task>) {
        for task in work {
            if !task.cancel.load(Ordering::Relaxed) {
                let name = task.image.name.clone();
                let state = match self.hash(&task) {
                    Ok(ready) => ImageState::Ready(Arc::new(ready)),
                    Err(None) => continue,
                    Err(Some(why)) => {
                        warn!(image = name, "{why}");
                        ImageState::Broken(why)
                    }
                };
                self.catalogue.set_state(&name, state);
            }
        }
    }

    /// `None` if it is not wanted any more.
    fn hash(&self, task: &Task) -> Result<Ready, Option<String>> {
        let Task { image, marks, progress, cancel } = task;
        let told = |error: &dyn std::error::Error| Some(chain(error));
        let delivery = Delivery::open(&image.files).map_err(|error| told(&error))?;
        for file in 0..delivery.files().len() {
            delivery.wim(file).map_err(|error| told(&error))?;
        }
        let geometry = Geometry::for_size(delivery.size(), self.config.symbol_size);
        let layout = Layout::new(geometry, delivery.file_entries()).map_err(|error| told(&error))?;
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let begun = Instant::now();
        let note = |bytes| progress.note(bytes);
        let loaded = manifest::load_or_build(&delivery, &layout, &self.config.cache, threads, note, cancel);
        let loaded = loaded.map_err(|error| match error {
            BuildError::Cancelled => None,
            error => told(&error),
        })?;
        // What changed meanwhile is seen at the next look, and hashed again.
        delivery.check_unchanged().map_err(|_| None)?;
        let now = image.files.iter().map(|path| Mark::of(path).ok()).collect::<Option<Vec<_>>>();
        if now.as_ref() != Some(marks) {
            return Err(None);
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
            let folder = settings.content.images.clone();
            // Another folder may have taken its name, by a mount for example.
            let identity = identity(&folder);
            if watched.as_ref().map(|(watched, _)| *watched) != identity {
                watched = identity.and_then(|identity| Some((identity, watch(&folder, again.clone())?)));
            }
            let interval = match folder::look(&settings) {
                Ok(found) => {
                    failed = false;
                    if self.compare(found, &settings) { SETTLE_LOOK } else { LOOK_INTERVAL }
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

    /// Takes over what was found; true while files change.
    fn compare(&mut self, found: Vec<Found>, settings: &Settings) -> bool {
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
        let now = Instant::now();
        let restless = found.into_iter().fold(false, |restless, found| self.note(found, now, settings) | restless);
        self.shared.catalogue.complete();
        restless
    }

    /// One image; true while its files change.
    fn note(&mut self, found: Found, now: Instant, settings: &Settings) -> bool {
        let name = found.entry.name.clone();
        let before = self.known.get(&name);
        let same_files =
            before.is_some_and(|known| known.found.marks == found.marks && known.found.files == found.files);
        let same_terms = before.is_some_and(|known| known.found.entry == found.entry);
        let image = |state| Image {
            name: name.clone(),
            files: found.files.clone(),
            version: found.entry.version.clone(),
            multicast: found.entry.multicast,
            encryption: found.entry.encryption,
            priority: found.entry.priority,
            start: found.entry.start.clone().unwrap_or_else(|| settings.start.clone()),
            state,
        };
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
            self.shared.catalogue.put(image(state));
            // What has rested since long before is taken at once.
            let rested =
                first && found.marks.as_ref().is_ok_and(|marks| marks.iter().all(|m| m.rests(settings.content.settle)));
            let since = if rested { now.checked_sub(settings.content.settle).unwrap_or(now) } else { now };
            self.known.insert(name.clone(), Known { found: found.clone(), since, task: None });
        } else if !same_terms && let Some(known) = self.known.get_mut(&name) {
            known.found.entry = found.entry.clone();
            if let Some(current) = self.shared.catalogue.get(&name) {
                self.shared.catalogue.put(image(current.state.clone()));
            }
        }
        let Some(known) = self.known.get_mut(&name) else { return false };
        let (Ok(marks), None) = (&known.found.marks, &known.task) else { return false };
        if now.duration_since(known.since) < settings.content.settle {
            return true;
        }
        let progress = Arc::new(Progress::of(marks.iter().map(|mark| mark.bytes).sum()));
        let cancel = Arc::new(AtomicBool::new(false));
        known.task = Some(cancel.clone());
        self.shared.catalogue.put(image(ImageState::Hashing(progress.clone())));
        let task = Task { image: image(ImageState::Settling), marks: marks.clone(), progress, cancel };
        // The hashing thread ends after this one.
        let _ = self.tasks.send(task);
        false
    }
}

impl Known {
    fn cancel(&self) {
        if let Some(task) = &self.task {
            task.store(true, Ordering::Relaxed);
        }
    }
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
