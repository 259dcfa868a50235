//! What was tested, what was seen, what to do; and how it reads.

use std::collections::BTreeMap;
use std::fmt;

/// Columns of a line: every terminal has them.
const WIDTH: usize = 80;
/// Where what was seen begins.
const INDENT: usize = 25;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Outcome {
    /// Nothing is to be done.
    Ok,
    /// It could not be told, and why.
    NotTestable,
    /// It works, but worse than it could, or not for ever.
    Warning,
    /// A session will suffer or fail.
    Failure,
}

impl Outcome {
    /// As it stands in front of a finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotTestable => "untested",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        }
    }
}

/// What one test showed.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// What was tested.
    pub test: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen, in a sentence.
    pub seen: String,
    /// What to do, if there is something.
    pub advice: Option<String>,
    /// What was measured; the names bear the units.
    pub figures: BTreeMap<&'static str, f64>,
}

impl Finding {
    /// That `test` showed nothing amiss.
    pub fn ok(test: &'static str, seen: impl Into<String>) -> Self {
        Self { test, outcome: Outcome::Ok, seen: seen.into(), advice: None, figures: BTreeMap::new() }
    }

    /// That `test` could not be made, and why.
    pub fn untested(test: &'static str, why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotTestable, ..Self::ok(test, why) }
    }

    /// That something is worse than it could be.
    pub fn warning(test: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, advice: Some(advice.into()), ..Self::ok(test, seen) }
    }

    /// That something does not work.
    pub fn failure(test: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failure, advice: Some(advice.into()), ..Self::ok(test, seen) }
    }

    /// With what to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// With a measurement.
    pub fn figure(mut self, name: &'static str, value: f64) -> Self {
        self.figures.insert(name, value);
        self
    }
}

/// In lines of at most 80 columns, where no word is longer: what was seen behind outcome and test, then,
/// indented further, what to do. With `{:#}` the outcome is in colour.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (on, off) = match (f.alternate(), self.outcome) {
            (false, _) => ("", ""),
            (true, Outcome::Ok) => ("\x1b[32m", "\x1b[0m"),
            (true, Outcome::NotTestable) => ("\x1b[2m", "\x1b[0m"),
            (true, Outcome::Warning) => ("\x1b[33m", "\x1b[0m"),
            (true, Outcome::Failure) => ("\x1b[1;31m", "\x1b[0m"),
        };
        write!(f, "{on}{:<8}{off} {:<16}", self.outcome.word(), self.test)?;
        write_wrapped(f, &self.seen, INDENT)?;
        if let Some(advice) = &self.advice {
            for (number, line) in advice.lines().enumerate() {
                // The first line of each piece of advice has an arrow.
                write!(f, "\n{:INDENT$}{} ", "", if number == 0 || !line.starts_with(' ') { "→" } else { " " })?;
                write_wrapped(f, line.trim_start(), INDENT + 2)?;
            }
        }
        Ok(())
    }
}

/// Writes `text`, of which the first line begins at column `indent`, and the others, too.
fn write_wrapped(f: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
    let mut column = indent;
    for (number, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > WIDTH {
            write!(f, "\n{:indent$}{word}", "")?;
            column = indent + width;
        } else {
            let blank = if number > 0 { " " } else { "" };
            write!(f, "{blank}{word}")?;
            column += blank.len() + width;
        }
    }
    Ok(())
}

/// What all findings together come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Summary {
    /// Tests without a complaint.
    pub ok: u32,
    /// Tests that could not be made.
    pub not_testable: u32,
    /// Tests with a warning.
    pub warnings: u32,
    /// Tests that failed.
    pub failures: u32,
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::NotTestable => &mut self.not_testable,
            Outcome::Warning => &mut self.warnings,
            Outcome::Failure => &mut self.failures,
        } += 1;
    }

    /// The gravest of all, but that what was not tested is no fault.
    pub fn verdict(self) -> Outcome {
        match self {
            Self { failures: 1.., .. } => Outcome::Failure,
            Self { warnings: 1.., .. } => Outcome::Warning,
            _ => Outcome::Ok,
        }
    }

    /// The code to end with: 0 all fine, 3 something failed, 4 warnings only.
    pub fn exit_code(self) -> u8 {
        match self.verdict() {
            Outcome::Failure => 3,
            Outcome::Warning => 4,
            Outcome::Ok | Outcome::NotTestable => 0,
        }
    }
}

/// `2 failures, 1 warning, 8 ok, 1 not tested`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |number: u32, one: &str, more: &str| {
            (number > 0).then(|| format!("{number} {}", if number == 1 { one } else { more }))
        };
        let parts = [
            many(self.failures, "failure", "failures"),
            many(self.warnings, "warning", "warnings"),
            many(self.ok, "ok", "ok"),
            many(self.not_testable, "not tested", "not tested"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let verdict = match self.verdict() {
            Outcome::Failure => "not ready",
            Outcome::Warning => "usable, with warnings",
            Outcome::Ok | Outcome::NotTestable => "all fine",
        };
        write!(f, "{verdict}: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_advice_is_indented_below() {
        let seen = "232,448 of 8,388,608 bytes were granted; a stream at 930 Mbit/s fills that in 2 ms";
        let advice = "sysctl -w net.core.rmem_max=8388608\nand a line in /etc/sysctl.d for the next start";
        let text = Finding::warning("receive buffer", seen, advice).to_string();
        let expected = "\
warning  receive buffer  232,448 of 8,388,608 bytes were granted; a stream at
                         930 Mbit/s fills that in 2 ms
                         → sysctl -w net.core.rmem_max=8388608
                         → and a line in /etc/sysctl.d for the next start";
        assert_eq!(text, expected);
        assert_eq!(Finding::ok("route", "by eth0").to_string(), "ok       route           by eth0");
    }

    #[test]
    fn the_gravest_counts_and_what_was_not_tested_is_no_fault() {
        use Outcome as O;
        let of = |outcomes: &[Outcome]| {
            let mut summary = Summary::default();
            outcomes.iter().for_each(|outcome| summary.add(*outcome));
            (summary.exit_code(), summary.to_string())
        };
        assert_eq!(of(&[O::Ok, O::NotTestable]), (0, "all fine: 1 ok, 1 not tested".into()));
        assert_eq!(of(&[O::Warning, O::Ok]), (4, "usable, with warnings: 1 warning, 1 ok".into()));
        assert_eq!(of(&[O::Failure, O::Warning, O::Failure]), (3, "not ready: 2 failures, 1 warning".into()));
    }
}
