//! Clients that are slower than the session.

use std::time::Duration;

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{HTTP, OURS, UDPCAST, UFTP};
use crate::compare::race::{Measured, Setting};
use crate::compare::table::Line;

pub(super) const ROWS: [Row; 2] = [
    Row {
        name: "slow-one",
        item: Some(8),
        measures: "64 MiB at 190 Mbit/s to 8, one of them behind 20 Mbit/s: what it costs the others, and when it is done",
        run: one,
    },
    Row {
        name: "random-ten",
        item: Some(8),
        measures: "32 MiB at 95 Mbit/s to 10 behind 10 to 100 Mbit/s: when each is done beside its own port's time",
        run: ten,
    },
];

const SLOW: u64 = 20_000_000;
/// Twice what the slow port takes for the image.
const PATIENCE: Duration = Duration::from_secs(60);

fn one(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    let tools = [&OURS, &UFTP, &UDPCAST, &HTTP];
    let without = Setting { limit: PATIENCE, ..Setting::capped(8, bench.mib(64)) };
    let with = Setting { ports: vec![(0, SLOW)], ..without.clone() };
    let without = bench.race(&without, &tools)?;
    let with = bench.race(&with, &tools)?;
    let others = |m: &Measured| m.each.iter().skip(1).copied().fold(0.0, f64::max);
    Ok(vec![
        with.line_with(&without, row, "time of the other seven, by theirs without it", "", |with, without| {
            others(with) / others(without)
        })
        .at_most(1.05),
        with.line(row, "time of the slow one", "s", |m| m.each.first().copied().unwrap_or(f64::NAN)),
        with.line(row, "wire/image", "", |m| m.wire),
    ])
}

fn ten(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    const TEN: usize = 10;
    // Ten ports shaped at twice the rates are more than two cores carry.
    let session = 95_000_000;
    let mut random = fastrand::Rng::with_seed(1);
    let ports: Vec<_> = (0..TEN).map(|i| (i, random.u64(10..=100) * 1_000_000)).collect();
    let capped = Setting::capped(TEN, bench.mib(32));
    let setting = Setting { rate: Some(session), ports: ports.clone(), limit: PATIENCE, ..capped };
    let field = bench.race(&setting, &[&OURS, &UFTP, &UDPCAST, &HTTP])?;
    let own_time = |i: usize| setting.bytes as f64 * 8.0 / ports[i].1.min(session) as f64;
    let beside_own = |m: &Measured| {
        let each = m.each.iter().enumerate().map(|(i, seconds)| seconds / own_time(i));
        each.sum::<f64>() / m.each.len() as f64
    };
    Ok(vec![
        field.line(row, "time of the last", "s", |m| m.seconds),
        field.line(row, "mean of each time by its port's", "", beside_own),
        field.line(row, "wire/image", "", |m| m.wire),
    ])
}
