//! A value as it was written, before anybody knows what it means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use multicast_core::pace::Rate;

use super::kind::{Kind, Shown, size};
use super::secret::Secret;
use super::suggest;
use crate::amounts;

/// Bytes of a text without a limit of its own.
const TEXT_LIMIT: usize = 4096;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// From the environment or a flag: whatever the key makes of it.
    Word(String),
    Text(String),
    /// In decimal digits, unless it is beyond any limit.
    Integer(String),
    Float(String),
    Boolean(bool),
    /// A date, a time, or both.
    Time(String),
    List(Vec<Data>),
    Table,
}

impl Data {
    /// As it was written, for an error.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => Shown::Text(text.clone()).to_string(),
            Self::Integer(text) | Self::Float(text) | Self::Time(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::show).collect::<Vec<_>>().join(", ")),
            Self::Table => "a table".to_owned(),
        }
    }
}

/// A value, and the folder that paths in it start from.
pub(super) struct Input<'a> {
    pub(super) data: &'a Data,
    pub(super) base: &'a Path,
}

impl Input<'_> {
    /// The text that it is.
    pub(super) fn text(&self) -> Result<&str, Wrong> {
        match self.data {
            Data::Word(text) | Data::Text(text) => Ok(text),
            _ => Err(Wrong::new("it is no text in quotes")),
        }
    }

    /// The text that `parser` takes; its error has what to do in its second line, where `kind` says it too.
    pub(super) fn parse<T, E: ToString>(&self, parser: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Wrong> {
        parser(self.text()?).map_err(|error| {
            let text = error.to_string();
            Wrong::new(text.lines().next().unwrap_or_default())
        })
    }

    /// The absolute path that it names.
    pub(super) fn path(&self) -> Result<PathBuf, Wrong> {
        match self.text()? {
            "" => Err(Wrong::new("it is empty")),
            text if text.contains('\0') => Err(Wrong::new("it contains a zero byte")),
            text => Ok(self.base.join(text)),
        }
    }
}

/// Why a value cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Completes "KEY = VALUE: …".
    pub(super) reason: String,
    /// Instead of what the key's kind says.
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// Takes what was written, within the limits of `kind`.
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong>;
    /// Writes it so that it reads back.
    fn show(&self) -> Option<Shown>;
}

/// Left out or empty in the environment: none.
impl<T: Setting> Setting for Option<T> {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        match input.data {
            Data::Word(text) if text.is_empty() => Ok(None),
            _ => T::read(input, kind).map(Some),
        }
    }

    fn show(&self) -> Option<Shown> {
        self.as_ref().and_then(T::show)
    }
}

/// A list of at least one, or one alone; in the environment with commas between.
impl<T: Setting> Setting for Vec<T> {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        let one = |data: &Data| T::read(&Input { data, ..*input }, kind);
        let items = match input.data {
            Data::List(items) => items.iter().map(one).collect::<Result<Self, _>>()?,
            Data::Word(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| one(&Data::Word(part.to_owned()))).collect::<Result<_, _>>()?
            }
            alone => vec![one(alone)?],
        };
        if items.is_empty() { Err(Wrong::new("it names none")) } else { Ok(items) }
    }

    fn show(&self) -> Option<Shown> {
        let items = self.iter().filter_map(T::show).map(|shown| match shown {
            Shown::Text(text) | Shown::Plain(text) => text,
            other => other.to_string(),
        });
        Some(Shown::List(items.collect()))
    }
}

impl Setting for bool {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.data {
            Data::Boolean(value) => Ok(*value),
            Data::Word(text) => text.parse().map_err(|_| Wrong::new("it is neither true nor false")),
            _ => Err(Wrong::new("it is neither true nor false")),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Plain(self.to_string()))
    }
}

impl Setting for u32 {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        let number = match input.data {
            // What cannot be read is too large for any number.
            Data::Integer(text) => text.parse().unwrap_or(i128::MAX),
            Data::Word(text) => text.trim().parse().map_err(|_| Wrong::new("it is no whole number"))?,
            Data::Text(_) => return Err(Wrong::new("it is a text, a number has no quotes")),
            _ => return Err(Wrong::new("it is no whole number")),
        };
        let (least, most) = match *kind {
            Kind::Number(least, most) => (least, most),
            _ => (0, Self::MAX),
        };
        match Self::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(Wrong::new(format!("it lies outside of {least} to {most}"))),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Plain(self.to_string()))
    }
}

/// Smaller numbers, whose keys' limits fit them.
macro_rules! small_numbers {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
                let number = u32::read(input, kind)?;
                number.try_into().map_err(|_| Wrong::new(format!("it lies outside of 0 to {}", Self::MAX)))
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::Plain(self.to_string()))
            }
        }
    )*};
}

small_numbers!(u8, u16);

/// The only numbers of this size are sizes.
impl Setting for u64 {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        if let Data::Integer(_) | Data::Float(_) = input.data {
            return Err(Wrong::new("it has no unit"));
        }
        let bytes = input.parse(amounts::size)?;
        match *kind {
            Kind::Size(least, most) if !(least..=most).contains(&bytes) => {
                Err(Wrong::new(format!("it lies outside of {} to {}", size(least), size(most))))
            }
            _ => Ok(bytes),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(size(*self)))
    }
}

/// Names, and what is read further where it is used.
impl Setting for String {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        let most = if let Kind::Text(most) = *kind { most } else { TEXT_LIMIT };
        match input.text()? {
            "" => Err(Wrong::new("it is empty")),
            text if text.len() > most => Err(Wrong::new(format!("it has {} bytes, at most {most} fit", text.len()))),
            // They appear in lines of the log and in tables.
            text if text.contains(char::is_control) => Err(Wrong::new("it contains a control character")),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.clone()))
    }
}

impl Setting for PathBuf {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        input.path()
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.display().to_string()))
    }
}

impl Setting for Secret {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.text()? {
            "" => Err(Wrong::new("it is empty")),
            text => Ok(Self::new(text)),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Secret(self.clone()))
    }
}

impl Setting for Duration {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        if let Data::Integer(_) | Data::Float(_) = input.data {
            return Err(Wrong::new("it has no unit"));
        }
        let time = input.parse(amounts::duration)?;
        match *kind {
            Kind::Time(least, most) if !(least..=most).contains(&time) => {
                let [least, most] = [least, most].map(humantime::format_duration);
                Err(Wrong::new(format!("it lies outside of {least} to {most}")))
            }
            _ => Ok(time),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(humantime::format_duration(*self).to_string()))
    }
}

/// Shares, from 0 to 1.
impl Setting for f64 {
    fn read(input: &Input<'_>, kind: &Kind) -> Result<Self, Wrong> {
        match kind {
            _ if matches!(input.data, Data::Integer(_) | Data::Float(_)) => Err(Wrong::new("it has no %")),
            Kind::ShareAboveZero => input.parse(amounts::some_share),
            _ => input.parse(amounts::share),
        }
    }

    fn show(&self) -> Option<Shown> {
        // Without what the arithmetic of fractions leaves behind.
        Some(Shown::Text(format!("{}%", (self * 1e8).round() / 1e6)))
    }
}

impl Setting for Rate {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        if let Data::Integer(_) | Data::Float(_) = input.data {
            return Err(Wrong::new("it has no unit"));
        }
        input.parse(amounts::rate)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// A type of which every value is a word.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// All of them, as they are offered.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Word> Setting for T {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let names = T::WORDS.iter().map(|(name, _)| *name);
        let text = match input.data {
            // YAML's habit, and easily made in TOML: a switch of words is no switch.
            Data::Boolean(value) => {
                return Err(Wrong::new(format!("{value} is none of its words")).with_help(offer(names)));
            }
            _ => input.text()?,
        };
        match T::WORDS.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let help = match suggest::nearest(text, names.clone()) {
                    Some(name) => format!("did you mean \"{name}\"? {}", offer(names)),
                    None => offer(names),
                };
                Err(Wrong::new("there is no such word").with_help(help))
            }
        }
    }

    fn show(&self) -> Option<Shown> {
        let word = T::WORDS.iter().find(|(_, value)| value == self);
        word.map(|(name, _)| Shown::Text((*name).to_owned()))
    }
}

fn offer(names: impl Iterator<Item = &'static str>) -> String {
    let names = names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
    format!("write {}", suggest::either(&names))
}
