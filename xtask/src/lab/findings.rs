//! What a scenario found: figures beside their bounds, failures, and the table of all of them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::scenarios::Scenario;

/// Seconds by which two equal runs differ on a machine that is shared with others.
const NOISE: f64 = 0.3;

/// Collects what one scenario measures; it goes on after a failure, so that all figures are seen.
#[derive(Default)]
pub(super) struct Findings {
    figures: Vec<Figure>,
    failures: Vec<String>,
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// One row of the table.
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) claim: &'static str,
    pub(super) verdict: Verdict,
    pub(super) seconds: f64,
    /// Why it failed or was skipped.
    pub(super) remarks: Vec<String>,
    figures: Vec<Figure>,
}

impl Findings {
    /// A figure without a bound.
    pub(super) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, limit: None });
    }

    /// A figure that fails the scenario if it exceeds `limit`.
    pub(super) fn at_most(&mut self, name: impl Into<String>, value: f64, unit: &'static str, limit: f64) {
        let figure = Figure { name: name.into(), value, unit, limit: Some(limit) };
        // Not a number exceeds every limit.
        if !matches!(value.partial_cmp(&limit), Some(order) if order.is_le()) {
            self.failures.push(format!("{} exceeds {}", figure.text(), figure.number(limit)));
        }
        self.figures.push(figure);
    }

    /// A time beside another program's for the same, as [`slower_by`](Self::slower_by) does.
    pub(super) fn beside(&mut self, name: impl Into<String>, seconds: f64, other: f64, share: f64) {
        self.at_most(name, seconds, "s", other * (1.0 + share) + NOISE);
    }

    /// The time of a run beside that of one without what is tried: it may take `share` more.
    ///
    /// On top of that come the [`NOISE`] seconds by which two equal runs differ.
    pub(super) fn slower_by(&mut self, name: impl Into<String>, seconds: f64, without: f64, share: f64) {
        self.figure("clean run", without, "s");
        self.at_most(name, seconds, "s", without * (1.0 + share) + NOISE);
    }

    /// Fails the scenario with `failure` unless `fulfilled`.
    pub(super) fn check(&mut self, fulfilled: bool, failure: impl FnOnce() -> String) {
        if !fulfilled {
            self.failures.push(failure());
        }
    }

    /// Fails the scenario if `done` is an error, and goes on.
    pub(super) fn check_done(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.failures.push(format!("{error:#}"));
        }
    }

    pub(super) fn finish(mut self, scenario: &Scenario, done: Result<()>, took: Duration) -> Outcome {
        self.check_done(done);
        let verdict = if self.failures.is_empty() { Verdict::Passed } else { Verdict::Failed };
        self.outcome(scenario, verdict, took)
    }

    pub(super) fn skipped(mut self, scenario: &Scenario, reason: String) -> Outcome {
        self.failures.push(reason);
        self.outcome(scenario, Verdict::Skipped, Duration::ZERO)
    }

    fn outcome(self, scenario: &Scenario, verdict: Verdict, took: Duration) -> Outcome {
        let Scenario { name, claim, .. } = *scenario;
        Outcome { name, claim, verdict, seconds: took.as_secs_f64(), remarks: self.failures, figures: self.figures }
    }
}

impl Figure {
    fn text(&self) -> String {
        let blank = if self.unit.is_empty() { "" } else { " " };
        format!("{} {}{blank}{}", self.name, self.number(self.value), self.unit)
    }

    fn number(&self, value: f64) -> String {
        match self.unit {
            // A ratio.
            "" if value.fract() != 0.0 => format!("{value:.3}"),
            "s" => format!("{value:.2}"),
            _ if value.fract() == 0.0 => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        }
    }
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// The table, and below it why something failed or was skipped.
pub(super) fn print_table(outcomes: &[Outcome]) {
    println!("\n{:<22} {:<8} figures (bound)", "scenario", "verdict");
    for outcome in outcomes {
        let figures: Vec<_> = outcome
            .figures
            .iter()
            .map(|figure| match figure.limit {
                Some(limit) => format!("{} (≤ {})", figure.text(), figure.number(limit)),
                None => figure.text(),
            })
            .collect();
        println!("{:<22} {:<8} {}", outcome.name, outcome.verdict.word(), figures.join(", "));
    }
    println!();
    for outcome in outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed) {
        println!("{} {}: {}", outcome.verdict.word(), outcome.name, outcome.claim);
        for remark in &outcome.remarks {
            println!("    {remark}");
        }
    }
}

/// How many passed, failed and were skipped.
pub(super) fn closing_line(outcomes: &[Outcome]) -> String {
    let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    format!("{} passed, {} failed, {} skipped", count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped))
}

/// The same as JSON: an array with one object a scenario.
pub(super) fn write_json(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let rows: Vec<Value> = outcomes.iter().map(as_json).collect();
    let text = serde_json::to_string_pretty(&rows)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn as_json(outcome: &Outcome) -> Value {
    let figures: Map<String, Value> = outcome
        .figures
        .iter()
        .map(|figure| {
            (figure.name.clone(), json!({ "value": figure.value, "unit": figure.unit, "limit": figure.limit }))
        })
        .collect();
    json!({
        "name": outcome.name,
        "claim": outcome.claim,
        "verdict": outcome.verdict.word().to_lowercase(),
        "seconds": outcome.seconds,
        "remarks": outcome.remarks,
        "figures": figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: Scenario = Scenario { name: "s", claim: "c", needs: &[], run: |_, _| Ok(()) };

    #[test]
    fn a_figure_above_its_bound_fails_and_one_at_it_passes() {
        let mut findings = Findings::default();
        findings.at_most("wire/image", 1.07, "", 1.07);
        assert_eq!(findings.finish(&SCENARIO, Ok(()), Duration::ZERO).verdict, Verdict::Passed);

        let mut findings = Findings::default();
        findings.at_most("wire/image", 1.071, "", 1.07);
        let outcome = findings.finish(&SCENARIO, Ok(()), Duration::ZERO);
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert_eq!(outcome.remarks, ["wire/image 1.071 exceeds 1.070"]);
    }

    #[test]
    fn a_figure_that_is_no_number_fails() {
        let mut findings = Findings::default();
        findings.at_most("wire/image", f64::NAN, "", 1.07);
        assert_eq!(findings.finish(&SCENARIO, Ok(()), Duration::ZERO).verdict, Verdict::Failed);
    }

    #[test]
    fn the_closing_line_counts_what_was_skipped() {
        let outcomes = [
            Findings::default().finish(&SCENARIO, Ok(()), Duration::ZERO),
            Findings::default().finish(&SCENARIO, Err(anyhow::anyhow!("no")), Duration::ZERO),
            Findings::default().skipped(&SCENARIO, "not here".to_owned()),
        ];
        assert_eq!(closing_line(&outcomes), "1 passed, 1 failed, 1 skipped");
    }
}
