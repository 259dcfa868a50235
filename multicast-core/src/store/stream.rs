//! An image to a pipe: verified blocks only, strictly in order.
//!
//! Blocks ahead of the next one in order wait in a spool, an unlinked file used as a ring: byte
//! `n` of the image lies at `n` modulo the ring's size. A thread of its own passes the blocks on,
//! so that a slow reader at the pipe's other end holds up neither `write` nor `verified`; it only
//! keeps the window where it is.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::file::require_space;
use super::{Store, StoreError, check_bounds, sys, total_len};
use crate::bitmap::Bitmap;
use crate::layout::{BlockSpan, Layout};
use crate::types::BlockIndex;

/// Blocks that wait for their turn unless the user says otherwise; 360 MiB of the largest default block.
pub const DEFAULT_SPOOL_BLOCKS: u32 = 256;

/// Passes a delivery of one file on to a writer; what left cannot be read again.
pub struct StreamStore {
    shared: Arc<Shared>,
}

struct Shared {
    spool: File,
    folder: PathBuf,
    /// Bytes of the spool, a multiple of `block_size`.
    ring: u64,
    block_size: u64,
    /// Bytes of the image.
    size: u64,
    /// The first block of the image in the stream's numbering.
    first: u32,
    /// Blocks of the image.
    blocks: u32,
    /// Blocks of the spool.
    capacity: u32,
    /// Blocks of the image that have left. Only the passing thread moves it on.
    passed: AtomicU32,
    /// Whether `Queue::failure` is set; `write` asks without the lock.
    failed: AtomicBool,
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    /// Of the image's blocks.
    verified: Bitmap,
    failure: Option<Failure>,
    /// All has left and is flushed.
    finished: bool,
    /// The store is gone.
    abandoned: bool,
}

impl StreamStore {
    /// Passes the image of `layout` on to `output`, which the user knows as `name`. Up to
    /// `spool_blocks` blocks, at least one, wait in a file without a name in `folder`.
    pub fn open(
        output: impl Write + Send + 'static,
        name: &str,
        layout: &Layout,
        folder: &Path,
        spool_blocks: u32,
    ) -> Result<Self, StoreError> {
        if layout.files().len() != 1 {
            return Err(StoreError::OneFileOnly { output: name.to_owned(), files: layout.files().len() });
        }
        let block_size = u64::from(layout.geometry().block_size());
        let capacity = spool_blocks.clamp(1, layout.image_blocks().max(1));
        let ring = u64::from(capacity) * block_size;
        require_space(folder, ring)?;
        let shared = Arc::new(Shared {
            spool: unnamed_file(folder)?,
            folder: folder.to_owned(),
            ring,
            block_size,
            size: layout.image_size(),
            first: layout.manifest_blocks(),
            blocks: layout.image_blocks(),
            capacity,
            passed: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            queue: Mutex::new(Queue {
                verified: Bitmap::new(layout.image_blocks() as usize),
                failure: None,
                finished: false,
                abandoned: false,
            }),
            changed: Condvar::new(),
        });
        let passing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("pass-on".into()).spawn(move || passing.pass_on(output));
        thread.map_err(|source| StoreError::Thread { source })?;
        Ok(Self { shared })
    }
}

impl Store for StreamStore {
    /// Bytes of a block outside the window are an error: their place holds another block.
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let shared = &*self.shared;
        shared.check(file, offset, total_len(slices))?;
        shared.write(offset, slices).map_err(|source| {
            let path = shared.folder.clone();
            StoreError::Write { path, offset, len: total_len(slices), source }
        })
    }

    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.shared.check(file, offset, buf.len() as u64)?;
        self.shared.read(offset, buf)
    }

    fn window(&self) -> Range<BlockIndex> {
        self.shared.window()
    }

    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let mut queue = shared.lock();
        shared.check_failure(&queue)?;
        let window = shared.window();
        if !window.contains(&span.block) {
            return Err(shared.outside(span.block));
        }
        queue.verified.set(span.block.index() - shared.first as usize);
        shared.changed.notify_all();
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let mut queue = shared.lock();
        if !queue.verified.is_full() {
            return Err(StoreError::Unverified { missing: queue.verified.count_zeros() });
        }
        loop {
            shared.check_failure(&queue)?;
            if queue.finished {
                return Ok(());
            }
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread is not waited for: it may be stuck in a pipe that nobody reads.
impl Drop for StreamStore {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> Range<BlockIndex> {
        let passed = self.passed.load(Ordering::Acquire);
        let end = passed.saturating_add(self.capacity).min(self.blocks);
        BlockIndex(self.first + passed)..BlockIndex(self.first + end)
    }

    fn outside(&self, block: BlockIndex) -> StoreError {
        let Range { start, end } = self.window();
        StoreError::OutsideWindow { block, start, end }
    }

    /// Refuses bytes that are not in the window, and all after a failure.
    fn check(&self, file: usize, offset: u64, len: u64) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            self.check_failure(&self.lock())?;
        }
        check_bounds(file, (file == 0).then_some(self.size), offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let window = self.window();
        for byte in [offset, offset + len - 1] {
            let block = BlockIndex(self.first + (byte / self.block_size) as u32);
            if !window.contains(&block) {
                return Err(self.outside(block));
            }
        }
        Ok(())
    }

    fn check_failure(&self, queue: &Queue) -> Result<(), StoreError> {
        queue.failure.as_ref().map_or(Ok(()), |failure| Err(failure.error(self.size)))
    }

    fn write(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let at = offset % self.ring;
        if at + total_len(slices) <= self.ring {
            return sys::write_slices(&self.spool, slices, at);
        }
        let mut offset = offset;
        for slice in slices {
            let (head, tail) = slice.split_at(self.before_wrap(offset, slice.len()));
            self.spool.write_all_at(head, offset % self.ring)?;
            self.spool.write_all_at(tail, 0)?;
            offset += slice.len() as u64;
        }
        Ok(())
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let len = buf.len() as u64;
        let (head, tail) = buf.split_at_mut(self.before_wrap(offset, buf.len()));
        let head = self.spool.read_exact_at(head, offset % self.ring);
        head.and_then(|()| self.spool.read_exact_at(tail, 0)).map_err(|source| {
            let path = self.folder.clone();
            StoreError::Read { path, offset, len, source }
        })
    }

    /// Of `len` bytes from `offset` on, those before the end of the ring.
    fn before_wrap(&self, offset: u64, len: usize) -> usize {
        (self.ring - offset % self.ring).min(len as u64) as usize
    }

    /// The passing thread, until all has left, the output fails, or the store is gone.
    fn pass_on(&self, mut output: impl Write) {
        let mut buffer = vec![0; self.block_size as usize];
        while self.wait_for_next() {
            let offset = u64::from(self.passed.load(Ordering::Relaxed)) * self.block_size;
            let bytes = &mut buffer[..(self.size - offset).min(self.block_size) as usize];
            let done = self.read(offset, bytes).map_err(Failure::Spool);
            if let Err(failure) = done.and_then(|()| output.write_all(bytes).map_err(|e| Failure::output(offset, e))) {
                return self.fail(failure);
            }
            self.passed.fetch_add(1, Ordering::Release);
        }
        if self.passed.load(Ordering::Relaxed) < self.blocks {
            return;
        }
        match output.flush() {
            Ok(()) => {
                // Closed first: who waits for the end may wait for the reader's, too.
                drop(output);
                self.lock().finished = true;
                self.changed.notify_all();
            }
            Err(error) => self.fail(Failure::output(self.size, error)),
        }
    }

    /// Whether the next block in order has come; `false` at the end.
    fn wait_for_next(&self) -> bool {
        let mut queue = self.lock();
        loop {
            let passed = self.passed.load(Ordering::Relaxed);
            if queue.abandoned || passed == self.blocks {
                return false;
            }
            if queue.verified.get(passed as usize) {
                return true;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, failure: Failure) {
        self.lock().failure = Some(failure);
        self.failed.store(true, Ordering::Release);
        self.changed.notify_all();
    }
}

/// Why the passing thread ended; every later call tells it.
enum Failure {
    Output { passed: u64, error: io::Error },
    Spool(StoreError),
}

impl Failure {
    fn output(passed: u64, error: io::Error) -> Self {
        Self::Output { passed, error }
    }

    fn error(&self, size: u64) -> StoreError {
        match self {
            Self::Output { passed, error } if error.kind() == io::ErrorKind::BrokenPipe => {
                StoreError::StreamClosed { passed: *passed, size }
            }
            Self::Output { passed, error } => StoreError::Stream { passed: *passed, size, source: again(error) },
            Self::Spool(StoreError::Read { path, offset, len, source }) => {
                StoreError::Read { path: path.clone(), offset: *offset, len: *len, source: again(source) }
            }
            Self::Spool(other) => StoreError::Stream { passed: 0, size, source: io::Error::other(other.to_string()) },
        }
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// A file in `folder` that vanishes with its last handle.
fn unnamed_file(folder: &Path) -> Result<File, StoreError> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let error = |source| StoreError::FolderNotWritable { folder: folder.to_owned(), source };
    loop {
        let path = folder.join(format!(".mcast-spool-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
        match sys::open_part(&path, true) {
            Ok(file) => {
                fs::remove_file(&path).map_err(|source| StoreError::Remove { path, source })?;
                return Ok(file);
            }
            // Left by a process of the same number that died between the two calls.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(error(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreErrorKind;
    use super::super::testing::{content, deliver, image_spans, layout};
    use super::*;
    use proptest::prelude::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// What left, for a look from outside.
    #[derive(Clone, Default)]
    struct Tap(Arc<Mutex<Vec<u8>>>);

    impl Write for Tap {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn open(output: impl Write + Send + 'static, layout: &Layout, spool_blocks: u32) -> StreamStore {
        StreamStore::open(output, "test", layout, &std::env::temp_dir(), spool_blocks).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn blocks_leave_in_order_whatever_the_order_they_come_in(size in 1u64..3000, spool in 1u32..9, seed: u64) {
            let layout = layout(&[size]);
            let tap = Tap::default();
            let store = open(tap.clone(), &layout, spool);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut left = image_spans(&layout);
            while !left.is_empty() {
                let window = store.window();
                prop_assert!(window.end.0 - window.start.0 <= spool);
                let open: Vec<usize> = (0..left.len()).filter(|&i| window.contains(&left[i].block)).collect();
                if open.is_empty() {
                    std::thread::yield_now();
                    continue;
                }
                let span = left.remove(open[random.usize(..open.len())]);
                deliver(&store, &layout, &span).unwrap();
                prop_assert!(content(0, size).starts_with(&tap.0.lock().unwrap()));
            }
            store.commit().unwrap();
            prop_assert_eq!(&*tap.0.lock().unwrap(), &content(0, size));
            prop_assert!(store.window().is_empty());
        }
    }

    /// A pipe that nobody reads: takes `free` blocks, then waits for leave.
    struct Stuck {
        free: u32,
        leave: mpsc::Receiver<()>,
        tap: Tap,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.free == 0 {
                let _ = self.leave.recv();
            } else {
                self.free -= 1;
            }
            self.tap.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_holds_up_the_window_but_no_call() {
        let (layout, tap) = (layout(&[64 * 10]), Tap::default());
        let (go, leave) = mpsc::channel();
        let store = open(Stuck { free: 0, leave, tap: tap.clone() }, &layout, 4);
        let spans = image_spans(&layout);
        spans[..4].iter().for_each(|span| deliver(&store, &layout, span).unwrap());
        assert_eq!(store.window(), spans[0].block..spans[4].block);
        let error = store.write(0, spans[4].offset, &[IoSlice::new(&[0])]).unwrap_err();
        assert!(matches!(error, StoreError::OutsideWindow { block, .. } if block == spans[4].block));
        assert_eq!(error.kind(), StoreErrorKind::Misuse);
        assert!(matches!(store.verified(&spans[4]), Err(StoreError::OutsideWindow { .. })));
        assert!(matches!(store.commit(), Err(StoreError::Unverified { missing: 6 })));
        drop(go);
        while store.window().start < spans[4].block {
            std::thread::sleep(Duration::from_millis(1));
        }
        spans[4..8].iter().for_each(|span| deliver(&store, &layout, span).unwrap());
    }

    #[test]
    fn bytes_across_the_rings_end_are_kept_whole() {
        let (layout, tap) = (layout(&[64 * 10]), Tap::default());
        let store = open(tap.clone(), &layout, 3);
        let spans = image_spans(&layout);
        let image = content(0, 640);
        deliver(&store, &layout, &spans[0]).unwrap();
        while store.window().start == spans[0].block {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (start, end) = (150, 230);
        store.write(0, start, &[IoSlice::new(&image[150..160]), IoSlice::new(&image[160..230])]).unwrap();
        let mut back = vec![0; (end - start) as usize];
        store.read(0, start, &mut back).unwrap();
        assert_eq!(back, image[150..230]);
    }

    #[test]
    fn a_closed_pipe_is_told_by_every_later_call() {
        let layout = layout(&[1000]);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let store = open(writer, &layout, 4);
        let spans = image_spans(&layout);
        deliver(&store, &layout, &spans[0]).unwrap();
        let closed = |error: StoreError| {
            assert_eq!(error.to_string(), "the reader of the output closed it after 0 of 1000 bytes");
            assert_eq!(error.kind(), StoreErrorKind::Closed);
        };
        while let Ok(()) = store.write(0, spans[1].offset, &[IoSlice::new(&[0])]) {
            std::thread::sleep(Duration::from_millis(1));
        }
        closed(store.write(0, spans[1].offset, &[IoSlice::new(&[0])]).unwrap_err());
        closed(store.verified(&spans[1]).unwrap_err());
    }

    #[test]
    fn a_full_disk_behind_the_stream_is_an_error_at_commit() {
        let layout = layout(&[10]);
        let store = open(File::options().write(true).open("/dev/full").unwrap(), &layout, 4);
        deliver(&store, &layout, &image_spans(&layout)[0]).unwrap();
        let error = store.commit().unwrap_err();
        assert!(matches!(error, StoreError::Stream { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    }

    #[test]
    fn several_files_and_a_missing_spool_folder_are_refused() {
        let several = StreamStore::open(io::sink(), "test", &layout(&[1, 1]), &std::env::temp_dir(), 4);
        assert!(matches!(several.err(), Some(StoreError::OneFileOnly { files: 2, .. })));
        let missing = StreamStore::open(io::sink(), "test", &layout(&[1]), Path::new("/absent"), 4);
        assert!(matches!(missing.err(), Some(StoreError::Open { .. })));
    }
}
