//! Hashes an image, all cores at once.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::{HASH_PIECE, Hash, Manifest};
use crate::image::{Delivery, ImageError};
use crate::layout::{BlockSource, BlockSpan, FileEntry, Layout};
use crate::types::BlockIndex;

/// Why a manifest could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The image could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The layout is one of other files.
    #[error("the layout is one of the files {layout:?}, the image has {image:?}")]
    OtherFiles {
        /// Files of the layout.
        layout: Vec<FileEntry>,
        /// Files of the image.
        image: Vec<FileEntry>,
    },
    /// The caller's flag was raised.
    #[error("cancelled")]
    Cancelled,
}

/// Hashes every block of `image`, cut by `layout`, in `threads` threads (0: one a core).
///
/// Read with positional reads, not through the mapping: a file that is cut meanwhile must be an
/// error. `progress` is told the bytes hashed so far, one call at a time and never fewer than
/// before. Raising `cancel` ends it within a block.
pub fn build(
    image: &Delivery,
    layout: &Layout,
    threads: usize,
    progress: impl Fn(u64) + Sync,
    cancel: &AtomicBool,
) -> Result<Manifest, BuildError> {
    let entries = image.file_entries();
    if layout.files() != entries {
        return Err(BuildError::OtherFiles { layout: layout.files().to_vec(), image: entries });
    }
    let job = Job {
        image,
        layout,
        next: AtomicU32::new(layout.manifest_blocks()),
        stop: AtomicBool::new(false),
        cancel,
        done: Mutex::new(0),
        progress,
    };
    let threads = threads_for(threads, layout.image_blocks());
    let parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| job.work())).collect();
        // Only the caller's `progress` can panic.
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect::<Vec<_>>()
    });
    let mut hashes = vec![Hash([0; 32]); layout.image_blocks() as usize];
    for part in parts {
        for (block, hash) in part? {
            hashes[(block - layout.manifest_blocks()) as usize] = hash;
        }
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(BuildError::Cancelled);
    }
    image.check_unchanged()?;
    Ok(Manifest { layout: layout.clone(), hashes })
}

fn threads_for(asked: usize, blocks: u32) -> usize {
    let threads = match asked {
        0 => thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    };
    threads.clamp(1, blocks.max(1) as usize)
}

struct Job<'a, P> {
    image: &'a Delivery,
    layout: &'a Layout,
    /// The next block that nobody has taken.
    next: AtomicU32,
    /// One of the threads failed: the others need not go on.
    stop: AtomicBool,
    cancel: &'a AtomicBool,
    done: Mutex<u64>,
    progress: P,
}

impl<P: Fn(u64) + Sync> Job<'_, P> {
    /// Takes block after block until none is left; what it hashed, by stream block.
    fn work(&self) -> Result<Vec<(u32, Hash)>, ImageError> {
        let mut buf = vec![0; HASH_PIECE];
        let mut hashed = Vec::new();
        while !self.stop.load(Ordering::Relaxed) && !self.cancel.load(Ordering::Relaxed) {
            let block = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(span) = self.layout.block(BlockIndex(block)) else { break };
            let hash = self.hash(&span, &mut buf).inspect_err(|_| self.stop.store(true, Ordering::Relaxed))?;
            hashed.push((block, hash));
            let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *done += u64::from(span.len);
            (self.progress)(*done);
        }
        Ok(hashed)
    }

    fn hash(&self, span: &BlockSpan, buf: &mut [u8]) -> Result<Hash, ImageError> {
        let BlockSource::File(file) = span.source else { return Ok(Hash::of(&[])) };
        let mut hasher = blake3::Hasher::new();
        let (mut offset, end) = (span.offset, span.offset + u64::from(span.len));
        while offset < end {
            let len = (end - offset).min(buf.len() as u64) as usize;
            self.image.read_at(file, offset, &mut buf[..len])?;
            hasher.update(&buf[..len]);
            offset += len as u64;
        }
        Ok(Hash(hasher.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecId;
    use crate::layout::Geometry;
    use std::fs::{self, File};
    use std::path::PathBuf;

    fn image(folder: &tempfile::TempDir, sizes: &[usize]) -> (Delivery, Layout, Vec<Vec<u8>>, Vec<PathBuf>) {
        let mut rng = fastrand::Rng::with_seed(1);
        let contents: Vec<Vec<u8>> =
            sizes.iter().map(|&size| std::iter::repeat_with(|| rng.u8(..)).take(size).collect()).collect();
        let paths: Vec<PathBuf> = (0..sizes.len()).map(|i| folder.path().join(format!("f{i}.img"))).collect();
        for (path, bytes) in paths.iter().zip(&contents) {
            fs::write(path, bytes).unwrap();
        }
        let delivery = Delivery::open(&paths).unwrap();
        let geometry =
            Geometry { symbol_size: 100, block_symbols: 10, parity_symbols: 5, codec: CodecId::ReedSolomon8 };
        let layout = Layout::new(geometry, delivery.file_entries()).unwrap();
        (delivery, layout, contents, paths)
    }

    fn quiet() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn every_block_has_the_hash_of_its_own_bytes_whatever_the_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, layout, contents, _) = image(&folder, &[54_321, 1, 1000]);
        let expected: Vec<Hash> = contents.iter().flat_map(|file| file.chunks(1000).map(Hash::of)).collect();
        for threads in [0, 1, 3, 200] {
            let told = Mutex::new(vec![0]);
            let manifest = build(&delivery, &layout, threads, |n| told.lock().unwrap().push(n), &quiet()).unwrap();
            assert_eq!(manifest.hashes, expected);
            let told = told.into_inner().unwrap();
            assert!(told.is_sorted());
            assert_eq!(told.last(), Some(&delivery.size()));
        }
    }

    #[test]
    fn a_file_cut_while_it_is_hashed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, layout, _, paths) = image(&folder, &[20_000]);
        File::options().write(true).open(&paths[0]).unwrap().set_len(15_500).unwrap();
        let error = build(&delivery, &layout, 2, |_| (), &quiet()).unwrap_err();
        let truncated = ImageError::Truncated { path: paths[0].clone(), expected: 20_000, now: 15_500 };
        assert_eq!(error.to_string(), truncated.to_string());
    }

    #[test]
    fn a_file_written_to_while_it_is_hashed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, layout, _, paths) = image(&folder, &[20_000]);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        let touch = |_| File::options().write(true).open(&paths[0]).unwrap().set_modified(later).unwrap();
        let error = build(&delivery, &layout, 2, touch, &quiet()).unwrap_err();
        assert!(matches!(error, BuildError::Image(ImageError::Changed { what: "modification time", .. })));
    }

    #[test]
    fn it_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, layout, ..) = image(&folder, &[20_000]);
        let cancel = quiet();
        let error = build(&delivery, &layout, 2, |_| cancel.store(true, Ordering::Relaxed), &cancel).unwrap_err();
        assert!(matches!(error, BuildError::Cancelled));
    }

    #[test]
    fn a_layout_of_other_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, layout, ..) = image(&folder, &[20_000]);
        let other = Layout::new(*layout.geometry(), vec![FileEntry { name: "other".into(), size: 5 }]).unwrap();
        let error = build(&delivery, &other, 1, |_| (), &quiet()).unwrap_err();
        assert!(matches!(error, BuildError::OtherFiles { .. }));
    }
}
