//! What is wrong with the settings, all of it, and where.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::exit::{Exit, Failure};

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, and the column in characters, both from 1.
    File { file: Arc<PathBuf>, line: usize, column: usize },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// `server.toml:12`, `MCAST_HTTP__LISTEN`, `--listen`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, .. } => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, if it is anywhere.
    pub(crate) origin: Option<Origin>,
    /// What, in one line that begins in lower case.
    pub(crate) text: String,
    /// What to do about it, in one line.
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(super) fn new(origin: impl Into<Option<Origin>>, text: impl Into<String>) -> Self {
        Self { origin: origin.into(), text: text.into(), help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// By the place in the file; what has none comes behind.
    pub(super) fn order(&self) -> (usize, usize) {
        match &self.origin {
            Some(Origin::File { line, column, .. }) => (*line, *column),
            _ => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            None => {}
            Some(origin @ Origin::File { column, .. }) => write!(f, "{origin}:{column}: ")?,
            Some(origin) => write!(f, "{origin}: ")?,
        }
        f.write_str(&self.text)
    }
}

/// Why there are no settings: at least one problem, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::order);
        problems.dedup();
        Self { problems }
    }

    /// All of them.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// A line for each problem, with its help indented below.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = match self.problems.len() {
            1 => "",
            count => {
                write!(f, "{count} settings are wrong\n  ")?;
                "  "
            }
        };
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                write!(f, "\n{indent}")?;
            }
            write!(f, "{problem}")?;
            if let Some(help) = &problem.help {
                write!(f, "\n{indent}  {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error.problems[..] {
            [only] => Self::new(Exit::Usage, only.to_string()).with_help(only.help.clone()),
            _ => Self::new(Exit::Usage, error.to_string()),
        }
    }
}
