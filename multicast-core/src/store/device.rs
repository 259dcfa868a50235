//! An image on a block device: in place, without a temporary name.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal::Journal;
use super::sys::{self, Locked, Node};
use super::target::{Resume, open_journal};
use super::{Store, StoreError, all_blocks, check_bounds, total_len};
use crate::layout::{BlockSpan, Layout};
use crate::types::{BlockIndex, ClientId};

/// Writes a delivery of one file to a block device that nobody else uses, and a journal elsewhere.
#[derive(Debug)]
pub struct DeviceStore {
    device: Locked,
    path: PathBuf,
    journal: Journal,
    size: u64,
    blocks: Range<BlockIndex>,
}

impl DeviceStore {
    /// Opens the device at `path` for this process alone, before a byte is written.
    ///
    /// What the journal at `journal` says is taken up, with the client that it names; `client` is
    /// who a new journal belongs to. A device larger than the image keeps its remaining bytes.
    pub fn open(path: &Path, layout: &Layout, journal: &Path, client: ClientId) -> Result<(Self, Resume), StoreError> {
        check_single(path, layout)?;
        let error = |source| StoreError::Open { path: path.to_owned(), source };
        if sys::node(path).map_err(error)? != Node::BlockDevice {
            return Err(StoreError::NotADevice { path: path.to_owned() });
        }
        if let Some(mount_point) = sys::mount_point(path).map_err(error)? {
            return Err(StoreError::DeviceMounted { device: path.to_owned(), mount_point });
        }
        if sys::is_read_only(path).map_err(error)? {
            return Err(StoreError::DeviceReadOnly { device: path.to_owned() });
        }
        let device = sys::open_device(path).map_err(|source| match source.kind() {
            io::ErrorKind::ResourceBusy => busy(path),
            io::ErrorKind::ReadOnlyFilesystem => StoreError::DeviceReadOnly { device: path.to_owned() },
            _ => StoreError::Open { path: path.to_owned(), source },
        })?;
        Self::on(device, path, layout, journal, client)
    }

    /// On what is open already; a test takes a regular file.
    fn on(
        device: File,
        path: &Path,
        layout: &Layout,
        journal: &Path,
        client: ClientId,
    ) -> Result<(Self, Resume), StoreError> {
        let error = |source| StoreError::Open { path: path.to_owned(), source };
        let size = check_fit(path, sys::size_of(&device).map_err(error)?, layout)?;
        let device = lock(device).map_err(error)?.ok_or(StoreError::InUse { output: path.to_owned() })?;
        let (journal, resume) = open_journal(journal, layout, client)?;
        Ok((Self { device, path: path.to_owned(), journal, size, blocks: all_blocks(layout) }, resume))
    }
}

impl Store for DeviceStore {
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let len = total_len(slices);
        check_bounds(file, (file == 0).then_some(self.size), offset, len)?;
        let error = |source| StoreError::Write { path: self.path.clone(), offset, len, source };
        sys::write_slices(&self.device, slices, offset).map_err(error)
    }

    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let len = buf.len() as u64;
        check_bounds(file, (file == 0).then_some(self.size), offset, len)?;
        let error = |source| StoreError::Read { path: self.path.clone(), offset, len, source };
        self.device.read_exact_at(buf, offset).map_err(error)
    }

    fn window(&self) -> Range<BlockIndex> {
        self.blocks.clone()
    }

    fn keep_manifest(&self, manifest: &[u8]) -> Result<(), StoreError> {
        self.journal.set_manifest(manifest)?;
        self.journal.reserve(self.blocks.end.0 - self.blocks.start.0);
        Ok(())
    }

    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError> {
        self.journal.record(span.block)
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.device.sync_data().map_err(|source| StoreError::Sync { path: self.path.clone(), source })?;
        self.journal.remove()
    }
}

/// The journal of `device`: the one named, or one of the device's name among the temporary files.
pub(super) fn journal_path(device: &Path, named: Option<&Path>) -> PathBuf {
    let Some(named) = named else {
        let mut name = OsString::from("mcast-");
        name.push(device.file_name().unwrap_or_default());
        name.push(".journal");
        return std::env::temp_dir().join(name);
    };
    named.to_owned()
}

/// Locks `device`; `None` if another client has it.
fn lock(device: File) -> io::Result<Option<Locked>> {
    // udev holds a shared lock while it looks at a device that has just changed.
    for _ in 0..10 {
        match sys::lock(device.try_clone()?)? {
            None => std::thread::sleep(Duration::from_millis(50)),
            locked => return Ok(locked),
        }
    }
    Ok(None)
}

/// Who has the device: another client holds its lock, too.
fn busy(path: &Path) -> StoreError {
    match File::open(path).and_then(sys::lock) {
        Ok(None) => StoreError::InUse { output: path.to_owned() },
        _ => StoreError::DeviceBusy { device: path.to_owned() },
    }
}

fn check_single(path: &Path, layout: &Layout) -> Result<(), StoreError> {
    match layout.files().len() {
        1 => Ok(()),
        files => Err(StoreError::OneFileOnly { output: path.display().to_string(), files }),
    }
}

/// The image's bytes, if the device's `size` bytes hold them.
fn check_fit(path: &Path, size: u64, layout: &Layout) -> Result<u64, StoreError> {
    let needed = layout.image_size();
    if size < needed {
        return Err(StoreError::DeviceTooSmall { device: path.to_owned(), size, needed });
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CLIENT, content, deliver, deliver_all, image_spans, layout};
    use super::*;
    use std::fs;

    fn open(path: &Path, layout: &Layout) -> Result<(DeviceStore, Resume), StoreError> {
        let device = File::options().read(true).write(true).open(path).unwrap();
        DeviceStore::on(device, path, layout, &path.with_extension("journal"), CLIENT)
    }

    /// A regular file of `size` ones in place of a device.
    fn device(folder: &Path, size: usize) -> PathBuf {
        let path = folder.join("sdz");
        fs::write(&path, vec![1; size]).unwrap();
        path
    }

    #[test]
    fn the_image_stands_at_the_beginning_and_the_rest_is_untouched() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let path = device(folder.path(), 1100);
        let (store, _) = open(&path, &layout).unwrap();
        deliver_all(&store, &layout);
        assert!(matches!(store.write(0, 999, &[IoSlice::new(&[0; 2])]), Err(StoreError::OutOfBounds { .. })));
        store.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), [content(0, 1000), vec![1; 100]].concat());
        assert!(!path.with_extension("journal").exists());
    }

    #[test]
    fn a_second_run_continues_where_the_first_one_was_killed() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let path = device(folder.path(), 1000);
        let spans = image_spans(&layout);
        let (store, _) = open(&path, &layout).unwrap();
        deliver(&store, &layout, &spans[3]).unwrap();
        assert!(matches!(open(&path, &layout), Err(StoreError::InUse { .. })));
        drop(store);
        let (_store, resume) = open(&path, &layout).unwrap();
        assert_eq!(resume.claimed.iter_ones().collect::<Vec<_>>(), [spans[3].block.index()]);
    }

    #[test]
    fn a_device_smaller_than_the_image_is_refused_untouched() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let path = device(folder.path(), 999);
        let error = open(&path, &layout).unwrap_err();
        assert!(matches!(error, StoreError::DeviceTooSmall { size: 999, needed: 1000, .. }));
        assert!(!path.with_extension("journal").exists());
    }

    #[test]
    fn a_regular_file_and_several_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, journal) = (device(folder.path(), 100), folder.path().join("j"));
        let refused = |sizes: &[u64]| DeviceStore::open(&path, &layout(sizes), &journal, CLIENT).unwrap_err();
        assert!(matches!(refused(&[10]), StoreError::NotADevice { .. }));
        assert!(matches!(refused(&[10, 10]), StoreError::OneFileOnly { files: 2, .. }));
    }

    #[test]
    fn a_full_device_is_an_error_that_names_the_place() {
        let layout = layout(&[1000]);
        let folder = tempfile::tempdir().unwrap();
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let journal = Journal::create(&folder.path().join("j"), CLIENT).unwrap();
        let device = sys::lock(full).unwrap().unwrap();
        let store = DeviceStore { device, path: "/dev/full".into(), journal, size: 1000, blocks: all_blocks(&layout) };
        let error = store.write(0, 128, &[IoSlice::new(&[0; 64])]).unwrap_err();
        assert_eq!(error.to_string(), "cannot write 64 bytes at offset 128 of /dev/full");
        assert!(matches!(error, StoreError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    }

    #[test]
    fn the_journal_of_a_device_is_named_after_it() {
        assert!(journal_path(Path::new("/dev/sda"), None).ends_with("mcast-sda.journal"));
        assert_eq!(journal_path(Path::new("/dev/sda"), Some(Path::new("/var/j"))), Path::new("/var/j"));
    }
}
