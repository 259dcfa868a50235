//! Where a fetch gets its bytes: the one thing that it does not do itself.

use std::io::Read;
use std::ops::Range;
use std::time::Duration;

use crate::types::ClientId;

/// How far a fetch is, which a source may tell its server with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The client: an interrupted run's, if it goes on with one.
    pub client: ClientId,
    /// Blocks of the stream that are verified.
    pub verified: u32,
    /// All of them, 0 until that is known.
    pub blocks: u32,
}

/// One image on a server that serves its bytes to single clients, over HTTP for example.
///
/// All calls come from one thread and may block; a call that never returns is the source's fault,
/// so it sets a time limit to each operation of its own.
pub trait ContentSource: Send {
    /// The encoded manifest.
    fn manifest(&mut self, standing: Standing) -> Result<Vec<u8>, SourceError>;

    /// The bytes of `range`, as they come. They are counted through all files of the delivery, one
    /// after the other. What ends early counts as a connection that broke.
    fn read(&mut self, range: Range<u64>, standing: Standing) -> Result<Box<dyn Read + '_>, SourceError>;

    /// Everything is stored for good: the server may be told.
    fn complete(&mut self, _standing: Standing) -> Result<(), SourceError> {
        Ok(())
    }
}

/// Why a source gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The server cannot be reached, or broke off: it is asked again.
    #[error("{text}")]
    Lost {
        /// What happened.
        text: String,
    },
    /// The server has too much to do: it is asked again after a time of its own choice.
    #[error("{text}")]
    Busy {
        /// What it said.
        text: String,
        /// When it is to be asked again.
        after: Duration,
    },
    /// The server has no image of that name, or not yet: it is asked again.
    #[error("{text}")]
    NoSuchImage {
        /// What it said.
        text: String,
    },
    /// The image has changed since it was first asked for.
    #[error("the image has changed on the server")]
    Changed,
    /// The server will not, or is not who it should be.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
    },
}
