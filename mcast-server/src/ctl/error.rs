//! What can be wrong between a command and its server, and how the program ends.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use command_line::chain;
use identity::{Fingerprint, TrustError, WrongKey};
use pxe::boot::password::{LONGEST, SHORTEST};

use crate::config::SecretFileError;
use crate::view::json;

/// Exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CtlExit {
    /// Done.
    Success = 0,
    /// The server or the way to it.
    Error = 1,
    /// What was asked for cannot be understood.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// This token may not.
    Denied = 4,
    /// Not in this state.
    Conflict = 5,
    /// It runs, but cannot serve.
    NotReady = 6,
    /// Not confirmed.
    Cancelled = 130,
}

impl CtlExit {
    /// The number that the system is told.
    pub(super) fn code(self) -> u8 {
        self as u8
    }
}

impl From<CtlExit> for ExitCode {
    fn from(exit: CtlExit) -> Self {
        exit.code().into()
    }
}

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CtlError {
    /// An address that is none of a server.
    #[error("the server's address {address:?} ({origin}) {reason}")]
    Address { address: String, origin: String, reason: String, help: String },
    /// What should be trusted is no fingerprint.
    #[error("cannot read the fingerprint of {origin}: {source}")]
    Trust { origin: String, source: TrustError },
    /// A fingerprint for a server that has none.
    #[error("--trust is given, but {server} is not https: nobody shows a fingerprint there")]
    TrustWithoutTls { server: String },
    /// The token would be readable on its way.
    #[error("the token would cross the network readable to all: {server} is neither https nor this host itself")]
    TokenInClear { server: String },
    /// The file with the token is not taken.
    #[error("{origin}: {source}")]
    TokenFile { origin: String, source: SecretFileError },
    /// A token that no header can carry.
    #[error("the token of {origin} has spaces or characters beyond ASCII")]
    Token { origin: String },
    /// The configuration cannot be read or understood.
    #[error("the configuration {path:?} is wrong: {reason}")]
    Config { path: String, reason: String },
    /// No connection, or one that broke.
    #[error("cannot reach {server}: {reason}")]
    Unreachable { server: String, reason: String, help: Option<String> },
    /// The server takes too long.
    #[error("{server} did not answer within {}", humantime::format_duration(*limit))]
    Timeout { server: String, limit: Duration },
    /// Another key than the trusted one.
    #[error("{server} is not the trusted one: {wrong}")]
    WrongKey { server: String, wrong: WrongKey },
    /// A certificate that nobody vouches for.
    #[error("{server} cannot be trusted: {reason}")]
    Untrusted { server: String, reason: String, found: Option<Fingerprint> },
    /// The API refuses.
    #[error("{server} refuses ({status}): {error}")]
    Refused { server: String, status: u16, error: String, help: Option<String> },
    /// Something else answers there.
    #[error("{server} answers with {what}, not as the API of mcast-server does")]
    NotTheApi { server: String, what: String },
    /// No session is meant.
    #[error("no session of {server} has an id that begins with {wanted:?}, or an image of that name")]
    NoSession { server: String, wanted: String },
    /// No client is meant.
    #[error("session {session} has no client with an id that begins with {wanted:?}, or a host name like that")]
    NoClient { session: String, wanted: String },
    /// More than one is meant.
    #[error("{wanted:?} means {} {things}", choices.len())]
    Ambiguous { things: &'static str, wanted: String, choices: Vec<String> },
    /// A session of another server: only that one tells what happens in it.
    #[error("session {session} runs on server {other:?}, which tells its news itself")]
    Elsewhere { session: String, other: String },
    /// It went while nobody looked.
    #[error("session {session} is gone: it ended while the server could not be reached")]
    Gone { session: String },
    /// There is nobody to ask.
    #[error("{what} is not removed without a word: this is no terminal to ask at")]
    Unconfirmed { what: &'static str },
    /// There is nobody to ask for a password.
    #[error("there is no terminal to ask for the password at")]
    NoTerminal,
    /// A password that is none.
    #[error("the password {reason}")]
    Password { reason: &'static str },
    /// A file that cannot be copied.
    #[error("cannot read {path:?}: {reason}")]
    File { path: String, reason: String },
    /// A file that boots nothing.
    #[error(transparent)]
    NotABootImage(pxe::images::NotABootImage),
    /// A date beyond all clocks.
    #[error("the moment of --until lies beyond what can be counted")]
    NoMoment,
    /// The answer was no.
    #[error("not confirmed: nothing is changed")]
    Declined,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CtlError {
    /// The code to end with.
    pub(super) fn exit(&self) -> CtlExit {
        match self {
            Self::Address { .. }
            | Self::Trust { .. }
            | Self::TrustWithoutTls { .. }
            | Self::TokenInClear { .. }
            | Self::TokenFile { .. }
            | Self::Token { .. }
            | Self::Config { .. }
            | Self::Ambiguous { .. }
            | Self::Elsewhere { .. }
            | Self::Unconfirmed { .. }
            | Self::NoTerminal
            | Self::Password { .. }
            | Self::File { .. }
            | Self::NotABootImage(_)
            | Self::NoMoment => CtlExit::Usage,
            Self::NoSession { .. } | Self::NoClient { .. } | Self::Gone { .. } => CtlExit::NotFound,
            Self::Refused { status, .. } => of_status(*status),
            Self::Declined => CtlExit::Cancelled,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::WrongKey { .. }
            | Self::Untrusted { .. }
            | Self::NotTheApi { .. }
            | Self::Output(_) => CtlExit::Error,
        }
    }

    /// Whether it may be over when one tries again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// What to do about it.
    pub(super) fn help(&self) -> Option<String> {
        Some(match self {
            Self::Address { help, .. } => help.clone(),
            Self::Trust { source, .. } => source.help().to_owned(),
            Self::TrustWithoutTls { .. } => "write https:// in --server".to_owned(),
            Self::TokenInClear { .. } => "write https:// in --server; or reach the server through a tunnel".to_owned(),
            Self::TokenFile { source: SecretFileError::Read { .. }, .. } => {
                "it must exist and belong to you".to_owned()
            }
            Self::TokenFile { source, .. } => source.help(),
            Self::Token { .. } => "copy it as it stands in a [[token]] of the server's configuration".to_owned(),
            Self::Config { .. } => "it may set server, token_file and trust, each a text".to_owned(),
            Self::Unreachable { help, .. } | Self::Refused { help, .. } => return help.clone(),
            Self::Timeout { .. } => "allow it more by --timeout, or see whether the server is well".to_owned(),
            Self::WrongKey { wrong, .. } => wrong.help(),
            Self::Untrusted { found: Some(found), .. } => format!(
                "its fingerprint is {found}: compare that with what the server itself prints when it starts,\n  and if \
                 it is the same, add --trust {found}"
            ),
            Self::Untrusted { .. } => {
                "add --trust with the fingerprint that the server prints when it starts".to_owned()
            }
            Self::NotTheApi { .. } => "name the HTTP side of the server by --server (http.listen)".to_owned(),
            Self::NoSession { .. } => {
                "those that run: mcast-server ctl sessions; those that ended: with --ended 20".to_owned()
            }
            Self::NoClient { session, .. } => format!("its clients: mcast-server ctl clients --session {session}"),
            Self::Ambiguous { choices, .. } => format!("say which by its id:\n    {}", choices.join("\n    ")),
            Self::Elsewhere { .. } => "its address is in mcast-server ctl status; give it by --server".to_owned(),
            Self::Gone { .. } => "what became of it: mcast-server ctl sessions --ended 20".to_owned(),
            Self::Unconfirmed { .. } => "add --yes if you mean it".to_owned(),
            Self::NoTerminal => "name a file by --file, or --file - for the standard input".to_owned(),
            Self::NotABootImage(_) => "see mcast-server ctl pxe images --help".to_owned(),
            Self::File { .. } => "it must be a file that you can read".to_owned(),
            Self::Password { .. } => {
                format!("it is one line of {SHORTEST} to {LONGEST} characters that an American keyboard has")
            }
            Self::NoMoment => "write 2026-12-24 or '2026-12-24 18:00'".to_owned(),
            Self::Declined | Self::Output(_) => return None,
        })
    }

    /// What is wrong, in one line.
    pub(super) fn text(&self) -> String {
        chain(self)
    }

    /// Says it, and gives the code to end with.
    pub(super) fn report(&self, as_json: bool) -> ExitCode {
        // Whoever read the output has seen enough.
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return CtlExit::Success.into();
        }
        if as_json {
            json::print_error(&self.text(), self.help().as_deref(), self.exit().code());
        }
        self.say();
        self.exit().into()
    }

    /// Says it on the standard error.
    pub(super) fn say(&self) {
        eprintln!("error: {}", self.text());
        if let Some(help) = self.help() {
            eprintln!("  {help}");
        }
    }
}

fn of_status(status: u16) -> CtlExit {
    match status {
        400 | 413 | 415 | 422 => CtlExit::Usage,
        401 | 403 => CtlExit::Denied,
        404 => CtlExit::NotFound,
        409 => CtlExit::Conflict,
        _ => CtlExit::Error,
    }
}

/// An error and all that lies within it. What an [`io::Error`] wraps is left out by its `source`.
pub(super) fn layers<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
