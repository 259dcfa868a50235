//! Where a WIM is read from: a file, or bytes in memory for tests and fuzzing.

use std::io;
use std::path::PathBuf;

use crate::image::error::ImageError;
use crate::image::file::ImageFile;

/// Bytes of known size, read by position.
pub(crate) trait ReadAt {
    /// Bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` on.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError>;
}

impl ReadAt for ImageFile {
    fn size(&self) -> u64 {
        self.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        self.read_at(offset, buf)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let range = usize::try_from(offset).ok().and_then(|start| self.get(start..start.checked_add(buf.len())?));
        match range {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => {
                let (path, source) = (PathBuf::new(), io::Error::from(io::ErrorKind::UnexpectedEof));
                return Err(ImageError::Read { path, offset, len: buf.len(), source });
            }
        }
        Ok(())
    }
}
