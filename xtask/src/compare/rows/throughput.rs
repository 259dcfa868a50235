//! As fast as it goes, without loss.

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{HTTP, LIMIT, OURS, UDPCAST, UFTP};
use crate::compare::race::Setting;
use crate::compare::table::Line;

pub(super) const ROWS: [Row; 4] = [
    Row {
        name: "throughput-1",
        item: Some(1),
        measures: "1 GiB to 1 receiver, unshaped, super-packets whole: goodput",
        run: |bench, row| whole(bench, row, 1, 5.0),
    },
    Row {
        name: "throughput-4",
        item: Some(1),
        measures: "the same to 4: goodput, and processor time of both sides (item 3)",
        run: |bench, row| whole(bench, row, 4, 6.0),
    },
    Row {
        name: "throughput-8",
        item: Some(1),
        measures: "the same to 8: goodput",
        run: |bench, row| whole(bench, row, 8, 6.0),
    },
    Row {
        name: "nic-cut-8",
        item: Some(2),
        measures: "256 MiB to 8 receivers, super-packets cut at the sender's interface: goodput beside the limit",
        run: cut,
    },
];

fn whole(bench: &Bench<'_>, row: &Row, receivers: usize, times: f64) -> Result<Vec<Line>> {
    let setting = Setting::open(receivers, bench.mib(1024));
    let field = bench.race(&setting, &[&OURS, &UFTP, &UDPCAST, &HTTP, &LIMIT])?;
    let mut lines = vec![field.line(row, "goodput", "MB/s", |m| m.goodput).at_least_times(times, "uftp")];
    if receivers == 4 {
        let row = &Row { item: Some(3), ..*row };
        lines.push(field.line(row, "CPU of the sender", "s/GB", |m| m.sender_cpu).at_most_part(8.0, "uftp"));
        lines.push(field.line(row, "CPU of a receiver", "s/GB", |m| m.receiver_cpu).at_most_part(4.0, "uftp"));
    }
    Ok(lines)
}

fn cut(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    let setting = Setting { cut: true, ..Setting::open(8, bench.mib(256)) };
    let field = bench.race(&setting, &[&OURS, &UFTP, &UDPCAST, &HTTP, &LIMIT])?;
    Ok(vec![field.line(row, "goodput", "MB/s", |m| m.goodput).at_least_times(0.75, "limit")])
}
