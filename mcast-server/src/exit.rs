//! How the program ends: exit codes, and the one line that says what went wrong.

use std::error::Error;
use std::process::ExitCode;

use command_line::{INTERRUPTED, SignalError, chain};
use multicast_core::address::{AddressError, PortError};
use multicast_core::engine::{EngineError, SessionError};
use multicast_core::image::ImageError;
use multicast_core::layout::LayoutError;
use multicast_core::manifest::BuildError;
use multicast_core::net::{InterfaceError, NetError};

use crate::view::json;

/// Exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went as asked.
    Success = 0,
    /// The image, the network or the system refuses.
    Error = 1,
    /// The command line cannot be carried out.
    Usage = 2,
    /// The session ended and a client lacks the image; or an image does not match its checksums.
    Incomplete = 3,
    /// There was nothing to check an image against.
    Unchecked = 4,
    /// Ended by its user.
    Cancelled = INTERRUPTED as isize,
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

/// Why the program cannot go on.
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

    /// The user wants it to end.
    pub(crate) fn cancelled() -> Self {
        Self::new(Exit::Cancelled, "cancelled")
    }

    /// Adds what to do about it.
    pub(crate) fn with_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into);
        self
    }

    /// What went wrong, in one line.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What to do about it, if there is something.
    pub(crate) fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Whether it is only what its user wanted.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.exit == Exit::Cancelled
    }

    /// Says it, and gives the code to end with.
    pub(crate) fn report(&self, as_json: bool) -> ExitCode {
        if as_json {
            json::print_error(&self.text, self.help.as_deref(), self.exit.code());
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

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::of(Exit::Usage, &error).with_help(Some(error.help()))
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let exit = match error {
            PortError::Syntax { .. } | PortError::Zero { .. } | PortError::Backwards { .. } => Exit::Usage,
            _ => Exit::Error,
        };
        Self::of(exit, &error).with_help(Some(error.help()))
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self::of(Exit::Error, &error).with_help(error.help())
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Cancelled => Self::cancelled(),
            error => Self::of(Exit::Error, &error),
        }
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        Self::of(Exit::Error, &error)
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Image(error) => error.into(),
            BuildError::Cancelled => Self::cancelled(),
            error => Self::of(Exit::Error, &error),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Net(error) => error.into(),
            EngineError::Address(error) => error.into(),
            EngineError::Port(error) => error.into(),
            EngineError::Image(error) => error.into(),
            error => Self::of(Exit::Error, &error),
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Net(error) => error.into(),
            SessionError::Image(error) => error.into(),
            error => Self::of(Exit::Error, &error),
        }
    }
}
