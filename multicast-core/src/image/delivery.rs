//! What one session delivers: one or several files, in order.

use std::path::PathBuf;

use super::error::ImageError;
use super::file::ImageFile;
use super::map::MappedRange;
use super::wim::{Wim, WimError};
use crate::layout::{FileEntry, Layout};
use crate::types::BlockIndex;

/// The opened files of a delivery.
#[derive(Debug)]
pub struct Delivery {
    files: Vec<ImageFile>,
}

impl Delivery {
    /// Opens `paths`, files or block devices, in the order in which they are sent.
    pub fn open(paths: &[PathBuf]) -> Result<Self, ImageError> {
        if paths.is_empty() {
            return Err(ImageError::NoFile);
        }
        Ok(Self { files: paths.iter().map(|path| ImageFile::open(path)).collect::<Result<_, _>>()? })
    }

    /// The name under which it is offered: that of its first file.
    pub fn name(&self) -> &str {
        self.files[0].name()
    }

    /// The files, in order; at least one.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }

    /// Names and sizes for [`Layout::new`].
    pub fn file_entries(&self) -> Vec<FileEntry> {
        self.files.iter().map(|file| FileEntry { name: file.name().to_owned(), size: file.size() }).collect()
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(ImageFile::size).sum()
    }

    /// Fills `buf` from `offset` of file `file` on.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn read_at(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        self.files[file].read_at(offset, buf)
    }

    /// `len` bytes from `offset` of file `file` on for `sendmsg`, or `None` if they do not exist.
    pub fn mapped(&self, file: usize, offset: u64, len: usize) -> Option<MappedRange<'_>> {
        self.files.get(file)?.mapped(offset, len)
    }

    /// Fails if a file was cut or written to since it was opened: the serving loop asks now and
    /// then, and when `sendmsg` says EFAULT.
    pub fn check_unchanged(&self) -> Result<(), ImageError> {
        self.files.iter().try_for_each(ImageFile::check_unchanged)
    }

    /// What file `file` holds where if it is a WIM; `None` for raw bytes; an error for a WIM that lies.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn wim(&self, file: usize) -> Result<Option<Wim>, ImageError> {
        let file = &self.files[file];
        Wim::read(file).map_err(|source| file.wim_failed(source))
    }

    /// The blocks that say what all others mean, without which the rest cannot be used: headers,
    /// blob tables, XML, integrity tables and metadata of WIMs. Sorted, each once.
    pub fn priority_blocks(&self, layout: &Layout) -> Result<Vec<BlockIndex>, ImageError> {
        let mut blocks = Vec::new();
        for file in 0..self.files.len() {
            let Some(wim) = self.wim(file)? else { continue };
            for range in wim.priority_ranges() {
                blocks.extend(layout.blocks_of(file, range.start, range.end).map(BlockIndex));
            }
        }
        blocks.dedup();
        Ok(blocks)
    }
}

impl ImageFile {
    /// A failed read of a WIM is the file's fault, all else the WIM's.
    pub(super) fn wim_failed(&self, source: WimError) -> ImageError {
        match source {
            WimError::Read(error) => *error,
            source => ImageError::Wim { path: self.path().to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::wim::testing::WimBuilder;
    use crate::layout::Geometry;
    use std::fs::{self, File};
    use std::path::Path;

    fn open(path: impl AsRef<Path>) -> Result<Delivery, ImageError> {
        Delivery::open(&[path.as_ref().to_owned()])
    }

    #[test]
    fn what_is_no_file_is_named_with_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(open(folder.path()), Err(ImageError::Kind { kind: "a folder", .. })));
        assert!(matches!(open(&pipe), Err(ImageError::Kind { kind: "a pipe", .. })));
        assert!(matches!(open("/dev/null"), Err(ImageError::Kind { kind: "a character device", .. })));
        let missing = folder.path().join("none.wim");
        assert_eq!(open(&missing).unwrap_err().to_string(), format!("{missing:?} does not exist"));
        assert!(matches!(Delivery::open(&[]), Err(ImageError::NoFile)));
    }

    #[test]
    fn an_empty_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.img");
        File::create(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().to_string(), format!("{path:?} is empty: there is nothing to deliver"));
    }

    #[test]
    fn a_file_cut_while_in_use_is_an_error_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.img");
        fs::write(&path, vec![7; 10_000]).unwrap();
        let delivery = open(&path).unwrap();
        let mut buf = [0; 100];
        delivery.read_at(0, 9_900, &mut buf).unwrap();
        assert_eq!(buf, [7; 100]);
        delivery.check_unchanged().unwrap();

        File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
        let truncated = |result| matches!(result, Err(ImageError::Truncated { expected: 10_000, now: 5_000, .. }));
        assert!(truncated(delivery.read_at(0, 9_900, &mut buf)));
        assert!(truncated(delivery.check_unchanged()));
    }

    #[test]
    fn a_file_written_to_while_in_use_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("touched.img");
        fs::write(&path, "bytes").unwrap();
        let delivery = open(&path).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert!(matches!(delivery.check_unchanged(), Err(ImageError::Changed { what: "modification time", .. })));
        fs::write(&path, "more bytes").unwrap();
        assert!(matches!(delivery.check_unchanged(), Err(ImageError::Changed { what: "size", .. })));
    }

    #[test]
    fn bytes_beyond_the_end_are_refused_before_the_system_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.img");
        fs::write(&path, "bytes").unwrap();
        let delivery = open(&path).unwrap();
        for offset in [1, 5, u64::MAX] {
            let result = delivery.read_at(0, offset, &mut [0; 5]);
            assert!(matches!(result, Err(ImageError::OutOfRange { size: 5, len: 5, .. })));
        }
    }

    #[test]
    fn only_the_blocks_that_hold_metadata_of_a_wim_are_first_whatever_file_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("raw.img");
        let wim = folder.path().join("os.wim");
        fs::write(&raw, vec![1; 100_000]).unwrap();
        fs::write(&wim, WimBuilder::default().blob(300_000).metadata(500).finish()).unwrap();
        let delivery = Delivery::open(&[raw, wim]).unwrap();
        let geometry = Geometry { symbol_size: 1000, block_symbols: 10, ..Geometry::for_size(1, 1000) };
        let layout = Layout::new(geometry, delivery.file_entries()).unwrap();
        // The manifest has 1 block, the raw file 10, the WIM 31 of 10,000 bytes: its header is in
        // the first, all the rest begins at byte 300,208.
        assert_eq!(layout.manifest_blocks(), 1);
        assert_eq!(delivery.priority_blocks(&layout).unwrap(), [BlockIndex(11), BlockIndex(41)]);
    }

    #[test]
    fn a_lying_wim_gives_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lying.wim");
        let mut bytes = WimBuilder::default().blob(1000).metadata(500).finish();
        bytes.truncate(bytes.len() - 1);
        fs::write(&path, &bytes).unwrap();
        let error = open(&path).unwrap().wim(0).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{path:?} is a damaged WIM: xml data at offset ")), "{error}");
    }
}
