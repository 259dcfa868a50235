//! Where the output goes, and how wide it may be.

use std::io::{IsTerminal, Write, stdout};

use console::Term;
use jiff::tz::TimeZone;

use super::api::Answer;
use super::error::CtlError;

/// What is written on.
#[derive(Debug, Clone)]
pub(super) struct Paper {
    /// The API's answer is wanted as it is.
    pub(super) json: bool,
    /// Characters of a line; none where a program reads.
    pub(super) width: Option<usize>,
    /// Where its readers live.
    pub(super) zone: TimeZone,
}

impl Paper {
    /// The standard output.
    pub(super) fn here(json: bool) -> Self {
        let width = stdout().is_terminal().then(|| usize::from(Term::stdout().size().1));
        Self { json, width, zone: TimeZone::system() }
    }

    /// The API's answer if that is wanted, else what `draw` makes of it.
    pub(super) fn show(
        &self,
        answer: &Answer,
        draw: impl FnOnce() -> Result<Vec<String>, CtlError>,
    ) -> Result<(), CtlError> {
        match self.json {
            true => print(&answer.text()),
            false => lines(&draw()?),
        }
    }
}

/// Writes a line.
pub(super) fn print(text: &str) -> Result<(), CtlError> {
    Ok(writeln!(stdout().lock(), "{}", text.trim_end())?)
}

/// Writes lines at once.
pub(super) fn lines(lines: &[String]) -> Result<(), CtlError> {
    if lines.is_empty() { Ok(()) } else { print(&lines.join("\n")) }
}
