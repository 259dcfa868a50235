//! What a key is: the kind of its value, its default, and when a change of it applies.

use std::fmt;
use std::time::Duration;

use super::input::{Input, Wrong};
use super::secret::Secret;

/// A key of the settings that are collected in an `S`: all that is known of it.
pub(super) struct Key<S: 'static> {
    /// Below what holds the `S`: `multicast.ttl`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) reload: Reload,
    /// In one line.
    pub(super) help: &'static str,
    /// Takes a value.
    pub(super) read: fn(&mut S, &Input<'_>, &Kind) -> Result<(), Wrong>,
    /// The value that it has, if it has one.
    pub(super) show: fn(&S) -> Option<Shown>,
    /// Gives the first one the second one's value.
    pub(super) copy: fn(&mut S, &S),
}

/// A key whose value stands in one place.
macro_rules! key {
    ($path:literal, $kind:expr, $preset:expr, $reload:ident, $help:literal, |$s:ident| $place:expr) => {
        $crate::config::kind::Key {
            path: $path,
            kind: $kind,
            preset: $preset,
            reload: $crate::config::kind::Reload::$reload,
            help: $help,
            read: |$s, input, kind| {
                $place = $crate::config::input::Setting::read(input, kind)?;
                Ok(())
            },
            show: |$s| $crate::config::input::Setting::show(&$place),
            copy: |to, from| {
                let $s = from;
                let value = $place.clone();
                let $s = to;
                $place = value;
            },
        }
    };
}
pub(super) use key;

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// True or false.
    Switch,
    /// From the first to the last.
    Number(u32, u32),
    /// So many bytes of text, at least one.
    Text(usize),
    Path,
    /// From the first to the last.
    Time(Duration, Duration),
    Share,
    ShareAboveZero,
    Rate,
    /// From the first to the last, in bytes.
    Size(u64, u64),
    /// One of the words of its type.
    Word,
    Secret,
    /// What to write, for a type with a form of its own.
    Form(&'static str),
}

/// Completes "write …".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Number(least, u32::MAX) => write!(f, "a number from {least} on"),
            Self::Number(least, most) => write!(f, "a number from {least} to {most}"),
            Self::Text(most) => write!(f, "a text of 1 to {most} bytes"),
            Self::Path => f.write_str("a path"),
            Self::Time(least, most) => {
                let [least, most] = [*least, *most].map(humantime::format_duration);
                write!(f, "a time from {least} to {most}, for example \"30s\", \"10m\" or \"1h 30m\"")
            }
            Self::Share => f.write_str("a part of 100 and %, for example \"5%\""),
            Self::ShareAboveZero => {
                f.write_str("a part of 100 above 0 and %, for example \"5%\"; for none leave it out")
            }
            Self::Rate => f.write_str("a number and kbit, mbit or gbit, for example \"400mbit\""),
            Self::Size(least, most) => {
                write!(f, "a size from {} to {}, for example \"64KiB\"", size(*least), size(*most))
            }
            Self::Word => f.write_str("one of its words"),
            Self::Secret => f.write_str("a text in quotes"),
            Self::Form(form) => f.write_str(form),
        }
    }
}

/// What holds if nobody says anything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Preset {
    /// This, as one would write it in the environment.
    Value(&'static str),
    /// The name of this host.
    Host,
    /// The state folder of this system or user.
    State,
    /// Nothing, and what that means.
    None(&'static str),
    /// It has to be said.
    Required,
}

/// When a changed value applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    /// At once.
    Now,
    /// To sessions that are opened from now on.
    Sessions,
    /// At the next start.
    Restart,
}

/// A value as it may be seen, written as in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A number, true or false.
    Plain(String),
    Text(String),
    List(Vec<String>),
    /// Only whether it is the same can be seen.
    Secret(Secret),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(texts) => write!(f, "[{}]", texts.iter().map(quoted).collect::<Vec<_>>().join(", ")),
            Self::Secret(secret) => write!(f, "\"{secret}\""),
        }
    }
}

/// Bytes in the largest unit that needs no fraction.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit)).unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}
