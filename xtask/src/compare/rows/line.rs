//! At the line's rate, with and without loss.

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{HTTP, OURS, UDPCAST, UFTP};
use crate::compare::race::Setting;
use crate::compare::table::Line;

pub(super) const ROWS: [Row; 3] = [
    Row {
        name: "line-0pct",
        item: Some(4),
        measures: "128 MiB to 8 receivers over 200 Mbit/s, told 190, without loss: time, and bytes on the wire",
        run: |bench, row| line(bench, row, 0.0),
    },
    Row {
        name: "line-1pct",
        item: Some(4),
        measures: "the same at 1 % independent loss",
        run: |bench, row| line(bench, row, 0.01),
    },
    Row {
        name: "line-5pct",
        item: Some(4),
        measures: "the same at 5 % independent loss",
        run: |bench, row| line(bench, row, 0.05),
    },
];

/// Seconds that the start and the end may take beside what the wire takes.
const START_AND_END: f64 = 0.3;
/// What the time may be of what the wire takes.
const EXCESS: f64 = 1.05;
/// Of the wire by the image at 5 % loss.
const WIRE_AT_5PCT: f64 = 1.14;

fn line(bench: &Bench<'_>, row: &Row, loss: f64) -> Result<Vec<Line>> {
    let setting = Setting { loss, ..Setting::capped(8, bench.mib(128)) };
    let field = bench.race(&setting, &[&OURS, &UFTP, &UDPCAST, &HTTP])?;
    let mut time = field.line(row, "time", "s", |m| m.seconds);
    if let (Some(ours), Some(rate)) = (field.of(OURS.name), setting.rate) {
        let on_the_wire = ours.wire * setting.bytes as f64 * 8.0 / rate as f64;
        time = time.at_most(EXCESS * on_the_wire + START_AND_END);
    }
    let wire = field.line(&Row { item: Some(5), ..*row }, "wire/image", "", |m| m.wire);
    Ok(vec![time, if loss == 0.05 { wire.at_most(WIRE_AT_5PCT) } else { wire }])
}
