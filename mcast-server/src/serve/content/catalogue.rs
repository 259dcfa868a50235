//! The images that there are, and what is known of each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use multicast_core::image::Delivery;
use multicast_core::manifest::Manifest;
use tokio::sync::watch;

use crate::config::{Encryption, MulticastUse, Schedule};

/// An image of the folder.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// By which clients ask for it.
    pub(crate) name: String,
    /// Its files, in the order in which they are sent.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) version: Option<String>,
    pub(crate) multicast: MulticastUse,
    pub(crate) encryption: Encryption,
    pub(crate) priority: u8,
    /// When its sessions begin.
    pub(crate) start: Schedule,
    pub(crate) state: ImageState,
}

/// Whether an image can be had.
#[derive(Debug, Clone)]
pub(crate) enum ImageState {
    /// Its files change, or did so a moment ago.
    Settling,
    /// Waits to be hashed, or is being hashed.
    Hashing(Arc<Progress>),
    /// Can be had.
    Ready(Arc<Ready>),
    /// Cannot be read, and why.
    Broken(String),
}

impl ImageState {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Hashing(_) => "hashing",
            Self::Ready(_) => "ready",
            Self::Broken(_) => "broken",
        }
    }
}

/// How far the hashing of an image is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    pub(super) fn of(total: u64) -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(total) }
    }

    pub(super) fn note(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    /// From 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        let total = self.total.load(Ordering::Relaxed).max(1);
        (self.done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0)
    }
}

/// An image whose hashes are known. Its files stay open: what was hashed is what is served, whatever takes
/// its name in the folder.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) delivery: Delivery,
    pub(crate) manifest: Manifest,
    /// As clients fetch it.
    pub(crate) encoded: Bytes,
}

impl Ready {
    pub(super) fn new(delivery: Delivery, manifest: Manifest) -> Self {
        let encoded = manifest.encode().into();
        Self { delivery, manifest, encoded }
    }

    /// BLAKE3 of the manifest, which stands for all bytes of the image, in hexadecimal.
    pub(crate) fn root(&self) -> String {
        blake3::Hash::from_bytes(self.manifest.root().0).to_string()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.manifest.layout.image_size()
    }
}

/// Why an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unusable {
    /// There is none of that name.
    #[error("there is no image named {name:?}{}", known(.names))]
    Unknown { name: String, names: Vec<String> },
    /// No name was given, and there are several.
    #[error("there are several images, name one of: {}", some(.names))]
    Ambiguous { names: Vec<String> },
    /// No name was given, and there is none.
    #[error("there is no image yet")]
    None,
    /// Its files change.
    #[error("{name}: its files are still being written")]
    Settling { name: String },
    /// Its hashes are not known yet.
    #[error("{name}: it is being hashed, {percent} % of it so far")]
    Hashing { name: String, percent: u32 },
    /// It cannot be read.
    #[error("{name}: {why}")]
    Broken { name: String, why: String },
}

/// At most so many names are told: a refusal is one datagram.
const NAMES_TOLD: usize = 8;

fn some(names: &[String]) -> String {
    match names.split_at_checked(NAMES_TOLD) {
        Some((first, rest @ [_, ..])) => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}

fn known(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names if names.len() > NAMES_TOLD => format!(", but {} others", names.len()),
        names => format!(", only: {}", names.join(", ")),
    }
}

/// All images of this server; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    images: Arc<RwLock<BTreeMap<String, Arc<Image>>>>,
    /// The folder was read: what is not here is not there.
    complete: Arc<AtomicBool>,
    changed: watch::Sender<u64>,
}

impl Catalogue {
    pub(crate) fn new() -> Self {
        Self { images: Arc::default(), complete: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Image>> {
        self.read(|images| images.values().cloned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Image>> {
        self.read(|images| images.get(name).cloned())
    }

    /// The image that a client means by `name`, which may be empty for the only one.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Image>, Unusable> {
        self.read(|images| {
            let names = || images.keys().cloned().collect::<Vec<_>>();
            match (name, images.len()) {
                ("", 0) => Err(Unusable::None),
                ("", 1) => images.values().next().cloned().ok_or(Unusable::None),
                ("", _) => Err(Unusable::Ambiguous { names: names() }),
                (name, _) => {
                    images.get(name).cloned().ok_or_else(|| Unusable::Unknown { name: name.to_owned(), names: names() })
                }
            }
        })
    }

    /// The same, if it can be had now.
    pub(crate) fn ready(&self, name: &str) -> Result<(Arc<Image>, Arc<Ready>), Unusable> {
        let image = self.find(name)?;
        let name = image.name.clone();
        match &image.state {
            ImageState::Ready(ready) => {
                let ready = ready.clone();
                Ok((image, ready))
            }
            ImageState::Settling => Err(Unusable::Settling { name }),
            ImageState::Hashing(progress) => {
                Err(Unusable::Hashing { name, percent: (progress.share() * 100.0) as u32 })
            }
            ImageState::Broken(why) => Err(Unusable::Broken { name, why: why.clone() }),
        }
    }

    /// Sets an image, or replaces it.
    pub(super) fn put(&self, image: Image) {
        self.write(|images| images.insert(image.name.clone(), Arc::new(image)));
    }

    /// Sets an image's state, if it is still there. Not once `cancelled` is set: whoever does so before he puts another
    /// image in its place keeps what he put.
    pub(super) fn set_state(&self, name: &str, state: ImageState, cancelled: &AtomicBool) {
        self.write(|images| {
            if let Some(image) = images.get_mut(name).filter(|_| !cancelled.load(Ordering::Relaxed)) {
                *image = Arc::new(Image { state, ..Image::clone(image) });
            }
        });
    }

    /// Whether the folder was read at least once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// The folder was read.
    pub(super) fn complete(&self) {
        if !self.complete.swap(true, Ordering::AcqRel) {
            self.changed.send_modify(|number| *number += 1);
        }
    }

    /// Keeps only the images of these names.
    pub(super) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.write(|images| images.retain(|name, _| wanted(name)));
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Arc<Image>>) -> T) -> T {
        look(&self.images.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Image>>) -> T) {
        change(&mut self.images.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|number| *number += 1);
    }
}
