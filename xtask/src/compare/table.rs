//! Lines of figures beside what was wanted, as Markdown and as JSON.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::peers::NAMES;
use super::rows::Row;

/// One measure of one row, of all tools.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The row's name, by which `--only` chooses it.
    pub(crate) row: String,
    /// What of the aims it answers; none if it is there for comparison alone.
    item: Option<u8>,
    pub(crate) measure: String,
    unit: String,
    /// By tool.
    pub(crate) cells: Vec<(String, Cell)>,
    /// Ours by another tool's.
    ratio: Option<Ratio>,
    goal: Option<Goal>,
}

/// What a tool came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Number(f64),
    /// Why there is no number.
    Words(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ratio {
    value: f64,
    to: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Goal {
    text: String,
    /// Unknown if we did not run, or who we are compared with did not.
    met: Option<bool>,
}

impl Line {
    /// A line without a goal; the ratio is to the first tool that has a number.
    pub(super) fn new(row: &Row, measure: &str, unit: &str, cells: Vec<(String, Cell)>) -> Self {
        let (row, item) = (row.name.to_owned(), row.item);
        let mut line =
            Self { row, item, measure: measure.to_owned(), unit: unit.to_owned(), cells, ratio: None, goal: None };
        let other = NAMES[1..].iter().find(|name| line.number(name).is_some());
        line.ratio = other.and_then(|name| line.ratio_to(name));
        line
    }

    /// Wants at least `times` what `other` has.
    pub(super) fn at_least_times(mut self, times: f64, other: &str) -> Self {
        self.ratio = self.ratio_to(other);
        let met = self.ratio.as_ref().map(|ratio| ratio.value >= times);
        self.with_goal(format!("≥ {times} × {other}"), met)
    }

    /// Wants at most one `part`th of what `other` has.
    pub(super) fn at_most_part(mut self, part: f64, other: &str) -> Self {
        self.ratio = self.ratio_to(other);
        let met = self.ratio.as_ref().map(|ratio| ratio.value <= 1.0 / part);
        self.with_goal(format!("≤ 1/{part} of {other}"), met)
    }

    /// Wants at most `limit`.
    pub(super) fn at_most(self, limit: f64) -> Self {
        let met = self.number("ours").map(|ours| ours <= limit);
        let text = format!("≤ {}", self.written(limit));
        self.with_goal(text, met)
    }

    /// Wants at least `limit`.
    pub(super) fn at_least(self, limit: f64) -> Self {
        let met = self.number("ours").map(|ours| ours >= limit);
        let text = format!("≥ {}", self.written(limit));
        self.with_goal(text, met)
    }

    fn with_goal(mut self, text: String, met: Option<bool>) -> Self {
        let met = if self.ours_delivered() { met } else { Some(false) };
        self.goal = Some(Goal { text, met });
        self
    }

    /// The number that a tool has here.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        match self.cell(name)? {
            Cell::Number(number) => Some(*number),
            Cell::Words(_) => None,
        }
    }

    /// Whether we did not fail, or did not take part.
    pub(super) fn ours_delivered(&self) -> bool {
        !matches!(self.cell("ours"), Some(Cell::Words(_)))
    }

    fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|(tool, _)| tool == name).map(|(_, cell)| cell)
    }

    fn ratio_to(&self, name: &str) -> Option<Ratio> {
        let value = self.number("ours")? / self.number(name)?;
        Some(Ratio { value, to: name.to_owned() })
    }

    fn written(&self, number: f64) -> String {
        match self.unit.as_str() {
            // A ratio.
            "" => format!("{number:.3}"),
            "s" | "s/GB" | "%" => format!("{number:.2}"),
            _ => format!("{number:.1}"),
        }
    }

    fn markdown(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) };
        let item = self.item.map_or("–".to_owned(), |item| item.to_string());
        let mut text = format!("| `{}` | {item} | {}{unit} |", self.row, self.measure);
        for name in NAMES {
            let _ = match self.cell(name) {
                Some(Cell::Number(number)) => write!(text, " {} |", self.written(*number)),
                Some(Cell::Words(words)) => write!(text, " {} |", words.replace(['|', '\n'], " ")),
                None => write!(text, " |"),
            };
        }
        let ratio = self.ratio.as_ref().map(|ratio| format!("{:.2} × {}", ratio.value, ratio.to)).unwrap_or_default();
        let (goal, mark) = match &self.goal {
            None => ("", ""),
            Some(Goal { text, met: None }) => (text.as_str(), "?"),
            Some(Goal { text, met: Some(true) }) => (text.as_str(), "yes"),
            Some(Goal { text, met: Some(false) }) => (text.as_str(), "**short**"),
        };
        let _ = writeln!(text, " {ratio} | {goal} | {mark} |");
        text
    }
}

/// The table, ready to be pasted.
pub(super) fn markdown(lines: &[Line]) -> String {
    let mut text = format!("| `--only` | item | measure | {} | ratio | wanted | reached |\n", NAMES.join(" | "));
    text += &format!("|---|---|---|{}---:|---:|---|\n", "---:|".repeat(NAMES.len()));
    lines.iter().for_each(|line| text += &line.markdown());
    text
}

/// The lines as a JSON array.
pub(super) fn write_json(lines: &[Line], path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(lines)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The lines that [`write_json`] wrote.
pub(crate) fn read_json(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no lines of a comparison", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row { name: "r", item: Some(1), measures: "m", run: |_, _| Ok(Vec::new()) };

    fn line(cells: &[(&str, Cell)]) -> Line {
        let cells = cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect();
        Line::new(&ROW, "goodput", "MB/s", cells)
    }

    #[test]
    fn a_line_has_both_figures_their_ratio_and_what_was_wanted() {
        let line = line(&[("ours", Cell::Number(630.0)), ("uftp", Cell::Number(100.0))]).at_least_times(6.0, "uftp");
        assert_eq!(
            line.markdown(),
            "| `r` | 1 | goodput, MB/s | 630.0 | 100.0 | | | | 6.30 × uftp | ≥ 6 × uftp | yes |\n"
        );
    }

    #[test]
    fn what_falls_short_is_marked_and_what_failed_is_too() {
        let short = line(&[("ours", Cell::Number(599.0)), ("uftp", Cell::Number(100.0))]).at_least_times(6.0, "uftp");
        assert!(short.markdown().contains("**short**"));
        let failed = line(&[("ours", Cell::Words("stuck".to_owned()))]).at_least_times(6.0, "uftp");
        assert!(failed.markdown().contains("| stuck |") && failed.markdown().contains("**short**"));
        assert!(!failed.ours_delivered());
    }

    #[test]
    fn without_the_other_tool_nothing_is_claimed() {
        let line = line(&[("ours", Cell::Number(1.0))]).at_most_part(8.0, "uftp");
        assert!(line.markdown().ends_with("| ≤ 1/8 of uftp | ? |\n"), "{}", line.markdown());
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.json");
        let lines = [line(&[("ours", Cell::Number(0.5)), ("udpcast", Cell::Words("stuck".to_owned()))]).at_most(1.0)];
        write_json(&lines, &path).unwrap();
        assert_eq!(markdown(&read_json(&path).unwrap()), markdown(&lines));
    }
}
