//! One opened file or block device; all that Unix says about it stands here.

use std::fs::{self, File, FileType};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use super::map::{MappedRange, Mapping};

/// A file or block device of a delivery, open for reading and mapped.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    name: String,
    stamp: FileStamp,
    device: bool,
    file: File,
    mapping: Mapping,
}

/// What tells whether a file is still the one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Bytes.
    pub size: u64,
    /// Last modification, whole seconds since 1970; 0 for a device, which has none.
    pub modified_seconds: i64,
    /// Last modification, nanoseconds of that second.
    pub modified_nanos: u32,
    /// Its number within its file system.
    pub inode: u64,
    /// The file system's device.
    pub device: u64,
}

impl ImageFile {
    /// Opens and maps what stands at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        let owned = || path.to_owned();
        let failed = |source| ImageError::Open { path: owned(), source };
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let before = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ImageError::Missing { path: owned() },
            _ => failed(source),
        })?;
        check_kind(path, before.file_type())?;
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| ImageError::Name { path: owned() })?;
        let file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        check_kind(path, kind)?;
        let stamp = stamp(&file, kind.is_block_device()).map_err(failed)?;
        if stamp.size == 0 {
            return Err(ImageError::Empty { path: owned() });
        }
        let mapping = Mapping::new(&file, stamp.size).map_err(|source| ImageError::Map {
            path: owned(),
            size: stamp.size,
            source,
        })?;
        Ok(Self { path: owned(), name: name.to_owned(), stamp, device: kind.is_block_device(), file, mapping })
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, without a folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// What it was when it was opened.
    pub fn stamp(&self) -> &FileStamp {
        &self.stamp
    }

    /// Whether it is a block device, on which a change leaves no trace in the stamp.
    pub fn is_device(&self) -> bool {
        self.device
    }

    /// Fills `buf` from `offset` on.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let size = self.size();
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > size) {
            return Err(ImageError::OutOfRange { path: self.path.clone(), offset, len: buf.len(), size });
        }
        self.file.read_exact_at(buf, offset).map_err(|source| self.read_failed(offset, buf.len(), source))
    }

    /// `len` bytes from `offset` on for `sendmsg`, or `None` if it has fewer.
    pub fn mapped(&self, offset: u64, len: usize) -> Option<MappedRange<'_>> {
        self.mapping.range(offset, len)
    }

    /// Fails if it was cut or written to since it was opened; of a device only the size is known.
    pub fn check_unchanged(&self) -> Result<(), ImageError> {
        let now =
            stamp(&self.file, self.device).map_err(|source| ImageError::Open { path: self.path.clone(), source })?;
        if now.size < self.stamp.size {
            return Err(ImageError::Truncated { path: self.path.clone(), expected: self.stamp.size, now: now.size });
        }
        match self.stamp.difference(&now) {
            None => Ok(()),
            Some((what, was, now)) => Err(ImageError::Changed { path: self.path.clone(), what, was, now }),
        }
    }

    fn read_failed(&self, offset: u64, len: usize, source: io::Error) -> ImageError {
        let path = self.path.clone();
        if source.kind() == io::ErrorKind::UnexpectedEof {
            let now = stamp(&self.file, self.device).map_or(offset, |now| now.size);
            return ImageError::Truncated { path, expected: self.size(), now };
        }
        ImageError::Read { path, offset, len, source }
    }
}

impl FileStamp {
    /// The first property in which `now` differs, with both values.
    pub(crate) fn difference(&self, now: &Self) -> Option<(&'static str, String, String)> {
        let bytes = |stamp: &Self| format!("{} bytes", stamp.size);
        let time = |stamp: &Self| format!("{}.{:09} s since 1970", stamp.modified_seconds, stamp.modified_nanos);
        if self.size != now.size {
            Some(("size", bytes(self), bytes(now)))
        } else if (self.modified_seconds, self.modified_nanos) != (now.modified_seconds, now.modified_nanos) {
            Some(("modification time", time(self), time(now)))
        } else if self.inode != now.inode {
            Some(("inode", self.inode.to_string(), now.inode.to_string()))
        } else if self.device != now.device {
            Some(("device", self.device.to_string(), now.device.to_string()))
        } else {
            None
        }
    }
}

fn check_kind(path: &Path, kind: FileType) -> Result<(), ImageError> {
    let kind = if kind.is_file() || kind.is_block_device() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "no file"
    };
    Err(ImageError::Kind { path: path.to_owned(), kind })
}

fn stamp(file: &File, device: bool) -> io::Result<FileStamp> {
    let metadata = file.metadata()?;
    let mut stamp = FileStamp {
        size: metadata.size(),
        modified_seconds: metadata.mtime(),
        modified_nanos: metadata.mtime_nsec() as u32,
        inode: metadata.ino(),
        device: metadata.dev(),
    };
    if device {
        // The node's times are not those of the bytes behind it, and its size is 0.
        let mut end = file;
        stamp.size = end.seek(SeekFrom::End(0))?;
        (stamp.modified_seconds, stamp.modified_nanos) = (0, 0);
    }
    Ok(stamp)
}
