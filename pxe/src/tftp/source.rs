//! Where the files come from.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::wire::ErrorCode;
use crate::files::{BootFile, BootFiles, BootName, FileError};

/// Gives files by name. It is asked on the server's thread, so it should answer at once.
pub trait Source: Send + 'static {
    /// The content of that name for that machine, or why it does not get it.
    fn open(&self, name: &BootName, asker: Asker) -> Result<Content, Refusal>;
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The client's address and port.
    pub client: SocketAddr,
    /// Our address that it asked.
    pub server: IpAddr,
}

/// What is sent.
#[derive(Debug)]
pub enum Content {
    /// A file of a boot folder.
    File(BootFile),
    /// Bytes that were made for the occasion.
    Bytes(Arc<[u8]>),
}

/// Why somebody does not get a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the client; none: it gets no answer at all.
    pub answer: Option<(ErrorCode, String)>,
    /// For the operator.
    pub reason: String,
    /// The process has no descriptor left, or no port: somebody silent makes room, and the source is asked once more.
    pub exhausted: bool,
}

impl Refusal {
    /// There is no such file.
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::with(ErrorCode::NOT_FOUND, "file not found", reason)
    }

    /// The client is told `text`, which should name no path, and the operator the reason.
    pub fn with(code: ErrorCode, text: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { answer: Some((code, text.into())), reason: reason.into(), exhausted: false }
    }

    /// The client gets no answer, as if nobody were there.
    pub fn silent(reason: impl Into<String>) -> Self {
        Self { answer: None, reason: reason.into(), exhausted: false }
    }
}

impl Content {
    /// Bytes of it.
    pub fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Fills the slices, one after the other, with what stands at `offset`.
    pub(super) fn read(&self, slices: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<()> {
        let bytes = match self {
            Self::File(file) => return file.read_vectored_at(slices, offset),
            Self::Bytes(bytes) => bytes,
        };
        let mut rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        for slice in slices {
            let (head, tail) = rest.split_at_checked(slice.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            slice.copy_from_slice(head);
            rest = tail;
        }
        Ok(())
    }

    /// Whether it is still what was opened.
    pub(super) fn is_unchanged(&self) -> io::Result<bool> {
        match self {
            Self::File(file) => file.is_unchanged(),
            Self::Bytes(_) => Ok(true),
        }
    }
}

impl Source for BootFiles {
    fn open(&self, name: &BootName, _: Asker) -> Result<Content, Refusal> {
        Self::open(self, name).map(Content::File).map_err(Refusal::from)
    }
}

/// Whether the process, or the system, may not open any more, or has no port left.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    use nix::libc::{EADDRINUSE, EMFILE, ENFILE};
    matches!(error.raw_os_error(), Some(EADDRINUSE | EMFILE | ENFILE))
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        let exhausted = cause.is_some_and(is_exhaustion);
        let reason = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        let refusal = match error {
            // Whether a link stands there is none of the client's business.
            FileError::NotFound(_) | FileError::NotAFile(_) | FileError::Link(_) => Self::not_found(reason),
            FileError::Denied(_) => Self::with(ErrorCode::DENIED, "access denied", reason),
            _ => Self::with(ErrorCode::OTHER, "the file cannot be read", reason),
        };
        Self { exhausted, ..refusal }
    }
}
