//! Many receivers, and many sessions.

use std::time::Duration;

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{OURS, UDPCAST, UFTP};
use crate::compare::race::{Measured, Setting};
use crate::compare::table::Line;

pub(super) const ROWS: [Row; 2] = [
    Row {
        name: "many-32",
        item: Some(9),
        measures: "64 MiB to 32 receivers at 1 % loss over 50 Mbit/s: throughput by that of 1 receiver",
        run: many,
    },
    Row {
        name: "sessions-4",
        item: Some(9),
        measures: "4 images of 32 MiB at once to 2 receivers each, under 190 Mbit/s in all: whether one starves",
        run: sessions,
    },
];

fn many(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    let tools = [&OURS, &UFTP, &UDPCAST];
    let one = Setting {
        rate: Some(47_500_000),
        cap: Some("50mbit"),
        loss: 0.01,
        limit: Duration::from_secs(90),
        ..Setting::open(1, bench.mib(64))
    };
    let many = Setting { receivers: 32, ..one.clone() };
    let one = bench.race(&one, &tools)?;
    let many = bench.race(&many, &tools)?;
    Ok(vec![
        many.line_with(&one, row, "throughput of 32 by that of 1", "", |many, one| many.goodput / one.goodput)
            .at_least(0.9),
        many.line(row, "time of 32", "s", |m| m.seconds),
    ])
}

fn sessions(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    let setting = Setting { sessions: 4, ..Setting::capped(8, bench.mib(32)) };
    let field = bench.race(&setting, &[&OURS])?;
    let slowest = |m: &Measured| m.each.iter().copied().fold(0.0, f64::max);
    let fastest = |m: &Measured| m.each.iter().copied().fold(f64::INFINITY, f64::min);
    let rate = setting.rate.unwrap_or(u64::MAX) as f64;
    let on_the_wire = |m: &Measured| m.wire * (setting.bytes * setting.sessions as u64) as f64 * 8.0 / rate;
    Ok(vec![
        field.line(row, "time of all four by their wire's at the total rate", "", |m| m.seconds / on_the_wire(m)),
        field.line(row, "slowest client by the fastest", "", |m| slowest(m) / fastest(m)),
    ])
}
