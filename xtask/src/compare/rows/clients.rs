//! Completion time over the number of clients, for the plot.

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{HTTP, OURS, UDPCAST, UFTP};
use crate::compare::race::Setting;
use crate::compare::table::Line;

const fn row(name: &'static str, run: fn(&Bench<'_>, &Row) -> Result<Vec<Line>>) -> Row {
    Row { name, item: None, measures: "64 MiB over 200 Mbit/s to so many receivers: time", run }
}

pub(super) const ROWS: [Row; 5] = [
    row("clients-1", |bench, row| clients(bench, row, 1)),
    row("clients-2", |bench, row| clients(bench, row, 2)),
    row("clients-4", |bench, row| clients(bench, row, 4)),
    row("clients-8", |bench, row| clients(bench, row, 8)),
    row("clients-16", |bench, row| clients(bench, row, 16)),
];

fn clients(bench: &Bench<'_>, row: &Row, receivers: usize) -> Result<Vec<Line>> {
    let field = bench.race(&Setting::capped(receivers, bench.mib(64)), &[&OURS, &UFTP, &UDPCAST, &HTTP])?;
    Ok(vec![field.line(row, "time", "s", |m| m.seconds)])
}
