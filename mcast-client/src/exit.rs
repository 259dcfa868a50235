//! How the program ends: exit codes, and the one line that says what went wrong.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use command_line::{INTERRUPTED, SignalError, chain};
use multicast_core::engine::{ClientError, FetchError};
use multicast_core::net::{InterfaceError, NetError};
use multicast_core::receiver::ReceiverError;
use multicast_core::store::{StoreError, StoreErrorKind};

use crate::view::{Sink, json};

/// Exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every block matched its hash and is stored.
    Success = 0,
    /// The network or the system refuses.
    Error = 1,
    /// The command line cannot be carried out.
    Usage = 2,
    /// No session in time, or nothing of it was heard.
    NoSession = 3,
    /// The server does not serve this client, or not this image any more.
    Refused = 4,
    /// The output cannot be written.
    Output = 5,
    /// The image is stored, but what was to follow failed.
    Hook = 6,
    /// Ended by its user.
    Interrupted = INTERRUPTED as isize,
}

impl Exit {
    /// The number that the system is told.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why the program ends without having done what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
    help: Option<String>,
}

impl Failure {
    /// `text` in one line, which begins in lower case.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), help: None }
    }

    /// An error with all its causes.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, chain(error))
    }

    /// Why the image did not get into `output`.
    pub(crate) fn of_client(error: ClientError, output: &Path) -> Self {
        let error = match error {
            ClientError::Store(error) | ClientError::Receiver(ReceiverError::Store(error)) => {
                return Self::of_store(&error, output);
            }
            ClientError::Net(error) => return error.into(),
            ClientError::Receiver(error) => error,
            ClientError::Fetch(error @ FetchError::GivenUp { .. }) => return Self::of(Exit::NoSession, &error),
            ClientError::Fetch(error) => return Self::of(Exit::Refused, &error),
            error => return Self::of(Exit::Error, &error),
        };
        let (exit, help) = match error {
            ReceiverError::NoSession { .. } => (Exit::NoSession, None),
            ReceiverError::Deaf { .. } => {
                (Exit::NoSession, Some("choose another --interface, or have the switch send IGMP queries"))
            }
            ReceiverError::TakeUnicast { .. } => (Exit::Refused, Some("with --fallback auto it is fetched by HTTP")),
            ReceiverError::Version { .. }
            | ReceiverError::Refused { .. }
            | ReceiverError::Removed
            | ReceiverError::Evicted { .. }
            | ReceiverError::Cancelled
            | ReceiverError::ImageChanged => (Exit::Refused, None),
            ReceiverError::Left(_) => return Self::new(Exit::Interrupted, "interrupted"),
            _ => (Exit::Error, None),
        };
        Self::of(exit, &error).with_help(help)
    }

    /// Why `output` does not take the image.
    pub(crate) fn of_store(error: &StoreError, output: &Path) -> Self {
        let exit = match error.kind() {
            StoreErrorKind::Cancelled => return Self::new(Exit::Interrupted, "interrupted"),
            StoreErrorKind::System | StoreErrorKind::Misuse => Exit::Error,
            _ => Exit::Output,
        };
        let (text, output) = (chain(error), output.display().to_string());
        if text.contains(&output) {
            Self::new(exit, text)
        } else {
            Self::new(exit, format!("cannot write {output}: {text}"))
        }
    }

    /// The same, as the cause of something else.
    pub(crate) fn causing(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// Adds what to do about it.
    pub(crate) fn with_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into);
        self
    }

    /// Adds it if `wanted`, unless there is help already.
    pub(crate) fn with_help_if(mut self, wanted: bool, help: &str) -> Self {
        if wanted && self.help.is_none() {
            self.help = Some(help.to_owned());
        }
        self
    }

    /// Says it, as NDJSON too if that goes somewhere, and gives the code to end with.
    pub(crate) fn report(&self, json: Option<Sink>) -> ExitCode {
        if let Some(sink) = json {
            json::print_error(sink, &self.text, self.help.as_deref(), self.exit.code());
        }
        eprintln!("error: {}", self.text);
        if let Some(help) = &self.help {
            eprintln!("  {help}");
        }
        self.exit.into()
    }
}

impl From<SignalError> for Failure {
    fn from(error: SignalError) -> Self {
        Self::of(Exit::Error, &error)
    }
}

impl From<InterfaceError> for Failure {
    fn from(error: InterfaceError) -> Self {
        Self::of(Exit::Error, &error)
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self::of(Exit::Error, &error).with_help(error.help())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_output_that_it_is_for() {
        let error = || StoreError::NoSpace { folder: PathBuf::from("/a"), needed: 7, free: 5 };
        let failure = Failure::of_client(ReceiverError::Store(error()).into(), Path::new("/a/copy"));
        assert_eq!(failure.text, "cannot write /a/copy: not enough space in /a: 7 bytes are needed, 5 are free");
        assert_eq!(failure.exit, Exit::Output);
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let full = StoreError::Write { path: PathBuf::from("/a/copy.mcast-part"), offset: 1, len: 2, source };
        let text = Failure::of_store(&full, Path::new("/a/copy")).text;
        assert_eq!(text, "cannot write 2 bytes at offset 1 of /a/copy.mcast-part: no storage space");
    }
}
