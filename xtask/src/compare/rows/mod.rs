//! What is measured, a file for each kind.

mod at_once;
mod clients;
mod line;
mod pacer;
mod slow;
mod throughput;
mod weak;

use anyhow::Result;

use super::bench::Bench;
use super::table::Line;

/// One task, and what is measured of it.
pub(super) struct Row {
    /// By which `--only` chooses it.
    pub(super) name: &'static str,
    /// The item of the project's aims that it answers, if any.
    pub(super) item: Option<u8>,
    /// What it measures, in a line.
    pub(super) measures: &'static str,
    /// Measures it. What a tool cannot do is a cell; an error ends the comparison.
    pub(super) run: fn(&Bench<'_>, &Row) -> Result<Vec<Line>>,
}

/// All of them, in the table's order.
pub(super) const ALL: [&[Row]; 7] =
    [&throughput::ROWS, &line::ROWS, &pacer::ROWS, &slow::ROWS, &at_once::ROWS, &weak::ROWS, &clients::ROWS];
