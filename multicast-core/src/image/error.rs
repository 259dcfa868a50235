//! Why an image cannot be opened or read.

use std::io;
use std::path::PathBuf;

use super::wim::WimError;

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No path was given.
    #[error("a delivery needs at least one file")]
    NoFile,
    /// Nothing is there.
    #[error("{path:?} does not exist")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder, a pipe or another thing that has no fixed bytes.
    #[error("{path:?} is {kind}: only files and block devices can be delivered")]
    Kind {
        /// The path as given.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The system refused to open it or to tell its size.
    #[error("cannot open {path:?}: {source}")]
    Open {
        /// The path as given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file without bytes.
    #[error("{path:?} is empty: there is nothing to deliver")]
    Empty {
        /// The path as given.
        path: PathBuf,
    },
    /// A name that cannot be told to the clients.
    #[error("the name of {path:?} is not UTF-8: it cannot be offered to clients")]
    Name {
        /// The path as given.
        path: PathBuf,
    },
    /// The system refused to map it into memory.
    #[error("cannot map the {size} bytes of {path:?} into memory: {source}")]
    Map {
        /// The path as given.
        path: PathBuf,
        /// Bytes.
        size: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// The device or file system failed.
    #[error("cannot read {len} bytes at offset {offset} of {path:?}: {source}")]
    Read {
        /// The path as given.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        len: usize,
        /// The system's reason.
        source: io::Error,
    },
    /// It became shorter after it was opened.
    #[error("{path:?} was truncated while in use: it had {expected} bytes, now it has {now}")]
    Truncated {
        /// The path as given.
        path: PathBuf,
        /// Bytes when it was opened.
        expected: u64,
        /// Bytes now.
        now: u64,
    },
    /// It was written to after it was opened.
    #[error("{path:?} was changed while in use: its {what} was {was}, now it is {now}")]
    Changed {
        /// The path as given.
        path: PathBuf,
        /// Which property.
        what: &'static str,
        /// When it was opened.
        was: String,
        /// Now.
        now: String,
    },
    /// Bytes beyond the end were asked for.
    #[error("bytes {offset} to {offset}+{len} of {path:?} were asked for, it has {size}")]
    OutOfRange {
        /// The path as given.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        len: usize,
        /// Bytes there are.
        size: u64,
    },
    /// It says that it is a WIM, and its fields lie.
    #[error("{path:?} is a damaged WIM: {source}")]
    Wim {
        /// The path as given.
        path: PathBuf,
        /// The field.
        source: WimError,
    },
    /// The caller's flag was raised.
    #[error("cancelled")]
    Cancelled,
}
