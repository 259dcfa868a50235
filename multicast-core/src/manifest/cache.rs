//! Keeps a manifest in a file, so that an image is hashed once and not at each start of a server.
//!
//! A cached manifest counts only for files of the same size, modification time, inode and device
//! and for the same layout; everything else is a reason to hash again, and that reason is told.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{BuildError, Hash, Manifest, build};
use crate::image::{Delivery, FileStamp};
use crate::layout::Layout;

const MAGIC: [u8; 4] = *b"MCMC";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 8;
const STAMP_LEN: usize = 36;
const CHECKSUM_LEN: usize = 32;
const SUFFIX: &str = ".mcast-manifest";

/// Where manifests are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePlace {
    /// Nowhere: hash at each start.
    Nowhere,
    /// Beside the image, as `NAME.mcast-manifest`, by the name of its first file.
    Beside,
    /// In this folder, which is made if need be, by a hash of the absolute paths of the files.
    Folder(PathBuf),
}

/// A manifest, and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a manifest came from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Origin {
    /// From the cache.
    Cached {
        /// The cache file.
        path: PathBuf,
    },
    /// From the image, which was hashed.
    Built {
        /// Why the cache did not do.
        miss: CacheMiss,
        /// The cache file that the next start will find, or why there is none. A manifest that
        /// cannot be kept is as good as any.
        kept: Result<PathBuf, CacheWriteError>,
    },
}

/// Why a cached manifest was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheMiss {
    /// The caller wanted none.
    #[error("no cache is in use")]
    NotWanted,
    /// A device has no modification time by which to know that it is still the same.
    #[error("{path:?} is a block device: whether it changed since cannot be known")]
    Device {
        /// The device.
        path: PathBuf,
    },
    /// There is none yet.
    #[error("{path:?} does not exist yet")]
    Absent {
        /// The cache file.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read {path:?}: {source}")]
    Unreadable {
        /// The cache file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no whole cache file of this version.
    #[error("{path:?} is damaged: {what}")]
    Damaged {
        /// The cache file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is of other files or of another cut of them.
    #[error("{path:?} is of another layout: {what}")]
    OtherLayout {
        /// The cache file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The image is not the one that was hashed.
    #[error("{file:?} was changed since it was hashed: its {what} was {was}, now it is {now}")]
    Changed {
        /// The file of the image.
        file: PathBuf,
        /// Which property.
        what: &'static str,
        /// When it was hashed.
        was: String,
        /// Now.
        now: String,
    },
}

/// Why a manifest could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheWriteError {
    /// The caller or the kind of the image forbids it; the reason is that of the miss.
    #[error("not kept")]
    NotKept,
    /// The file could not be written.
    #[error("cannot keep the manifest in {path:?}: {source}")]
    Write {
        /// The cache file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The manifest of `image`, cut by `layout`: from the cache if it is still true, or else hashed as
/// [`build`] does and kept in the cache.
pub fn load_or_build(
    image: &Delivery,
    layout: &Layout,
    place: &CachePlace,
    threads: usize,
    progress: impl Fn(u64) + Sync,
    cancel: &AtomicBool,
) -> Result<Loaded, BuildError> {
    let (path, miss) = match cache_path(image, place) {
        Err(miss) => (None, miss),
        Ok(path) => match load(&path, image, layout) {
            Ok(manifest) => return Ok(Loaded { manifest, origin: Origin::Cached { path } }),
            Err(miss) => (Some(path), miss),
        },
    };
    let manifest = build(image, layout, threads, progress, cancel)?;
    let kept = match path {
        None => Err(CacheWriteError::NotKept),
        Some(path) => match write(&path, &encode(image, &manifest)) {
            Ok(()) => Ok(path),
            Err(source) => Err(CacheWriteError::Write { path, source }),
        },
    };
    Ok(Loaded { manifest, origin: Origin::Built { miss, kept } })
}

/// `taken from /images/os.wim.mcast-manifest`, or why it was made.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached { path } => write!(f, "taken from {path:?}"),
            Self::Built { miss, kept: Ok(path) } => write!(f, "made, as {miss}; kept in {path:?}"),
            Self::Built { miss, kept: Err(CacheWriteError::NotKept) } => write!(f, "made, as {miss}"),
            Self::Built { miss, kept: Err(error) } => write!(f, "made, as {miss}; {error}"),
        }
    }
}

/// The cache file of `image`, or why it has none.
fn cache_path(image: &Delivery, place: &CachePlace) -> Result<PathBuf, CacheMiss> {
    if *place == CachePlace::Nowhere {
        return Err(CacheMiss::NotWanted);
    }
    if let Some(device) = image.files().iter().find(|file| file.is_device()) {
        return Err(CacheMiss::Device { path: device.path().to_owned() });
    }
    let first = image.files()[0].path();
    Ok(match place {
        CachePlace::Folder(folder) => folder.join(format!("{}{SUFFIX}", paths_hash(image))),
        _ => first.with_file_name(format!("{}{SUFFIX}", image.name())),
    })
}

fn paths_hash(image: &Delivery) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for file in image.files() {
        let path = fs::canonicalize(file.path()).unwrap_or_else(|_| file.path().to_owned());
        hasher.update(path.as_os_str().as_encoded_bytes());
        // No path contains it, so no two lists of paths are the same bytes.
        hasher.update(&[0]);
    }
    Hash(hasher.finalize().into())
}

fn load(path: &Path, image: &Delivery, layout: &Layout) -> Result<Manifest, CacheMiss> {
    let damaged = |what: String| CacheMiss::Damaged { path: path.to_owned(), what };
    let bytes = read(path, file_len(layout))?;
    let (stamps, manifest) = decode(&bytes).map_err(damaged)?;
    let manifest = Manifest::decode(manifest).map_err(|error| damaged(error.to_string()))?;
    if let Some(what) = layout_difference(&manifest.layout, layout) {
        return Err(CacheMiss::OtherLayout { path: path.to_owned(), what });
    }
    if stamps.len() != image.files().len() {
        return Err(damaged(format!("it describes {} files, its manifest {}", stamps.len(), image.files().len())));
    }
    for (stamp, file) in stamps.iter().zip(image.files()) {
        if let Some((what, was, now)) = stamp.difference(file.stamp()) {
            return Err(CacheMiss::Changed { file: file.path().to_owned(), what, was, now });
        }
    }
    if manifest.layout != *layout {
        return Err(damaged("its manifest has other sizes than its list of files".into()));
    }
    Ok(manifest)
}

/// The file's bytes; it is not taken to be one of ours if it is far larger than expected.
fn read(path: &Path, expected: u64) -> Result<Vec<u8>, CacheMiss> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CacheMiss::Absent { path: path.to_owned() },
        _ => CacheMiss::Unreadable { path: path.to_owned(), source },
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // Smaller blocks make a larger file: a change of geometry should still be named as such.
    let limit = expected.saturating_mul(16).saturating_add(1 << 20);
    if !metadata.is_file() || metadata.len() > limit {
        let what = format!("it is no file of at most {limit} bytes");
        return Err(CacheMiss::Damaged { path: path.to_owned(), what });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

/// What differs first, for people.
fn layout_difference(cached: &Layout, wanted: &Layout) -> Option<String> {
    let (was, now) = (cached.geometry(), wanted.geometry());
    if was != now {
        return Some(format!("it is cut by {was:?}, wanted is {now:?}"));
    }
    let names = |layout: &Layout| layout.files().iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    if names(cached) != names(wanted) {
        return Some(format!("it has the files {:?}, wanted are {:?}", names(cached), names(wanted)));
    }
    // Sizes are left to the stamps, which say which file changed.
    None
}

/// Bytes of the cache file of a manifest.
fn file_len(layout: &Layout) -> u64 {
    (HEADER_LEN + STAMP_LEN * layout.files().len() + CHECKSUM_LEN) as u64 + layout.manifest_len()
}

/// The cache file; all numbers big-endian.
///
/// | offset | width | field                                                           |
/// |-------:|------:|-----------------------------------------------------------------|
/// |      0 |     4 | magic: `MCMC`                                                   |
/// |      4 |     2 | version: 1                                                      |
/// |      6 |     2 | files, `n`                                                      |
/// |      8 | 36 × n | each file when it was hashed: size 8, modified 8 (seconds since 1970, signed) and 4 (nanoseconds), inode 8, device 8 |
/// |      … |     … | the manifest                                                    |
/// | 32 before the end | 32 | BLAKE3 of all bytes before                               |
fn encode(image: &Delivery, manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(file_len(&manifest.layout) as usize);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&(image.files().len() as u16).to_be_bytes());
    for file in image.files() {
        let stamp = file.stamp();
        bytes.extend_from_slice(&stamp.size.to_be_bytes());
        bytes.extend_from_slice(&stamp.modified_seconds.to_be_bytes());
        bytes.extend_from_slice(&stamp.modified_nanos.to_be_bytes());
        bytes.extend_from_slice(&stamp.inode.to_be_bytes());
        bytes.extend_from_slice(&stamp.device.to_be_bytes());
    }
    bytes.extend(manifest.encode());
    bytes.extend_from_slice(&Hash::of(&bytes).0);
    bytes
}

/// The stamps and the manifest's bytes, or what is wrong.
fn decode(bytes: &[u8]) -> Result<(Vec<FileStamp>, &[u8]), String> {
    let short = || format!("{} bytes are too few", bytes.len());
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or_else(short)?;
    let (header, rest) = content.split_first_chunk::<HEADER_LEN>().ok_or_else(short)?;
    let [m0, m1, m2, m3, v0, v1, n0, n1] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err("it does not begin with MCMC".into());
    }
    let version = u16::from_be_bytes([v0, v1]);
    if version != VERSION {
        return Err(format!("its version is {version}, it must be {VERSION}"));
    }
    if Hash::of(content).0 != *checksum {
        return Err("its checksum does not match".into());
    }
    let files = usize::from(u16::from_be_bytes([n0, n1]));
    let (stamps, manifest) = rest.split_at_checked(files * STAMP_LEN).ok_or_else(short)?;
    let (stamps, _) = stamps.as_chunks::<STAMP_LEN>();
    Ok((stamps.iter().map(decode_stamp).collect(), manifest))
}

fn decode_stamp(bytes: &[u8; STAMP_LEN]) -> FileStamp {
    let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    FileStamp {
        size: number(0..8),
        modified_seconds: number(8..16) as i64,
        modified_nanos: number(16..20) as u32,
        inode: number(20..28),
        device: number(28..36),
    }
}

/// Temp, fsync, rename, fsync of the folder: after a crash there is the old file or the new one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    // A bare file name has the parent "".
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temp = PathBuf::from(temp);
    let written = File::create_new(&temp)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temp, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // It may not exist; nothing better can be done about either.
        let _ = fs::remove_file(&temp);
    }
    written
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
