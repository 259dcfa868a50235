//! What a receiver needs: memory, and processor time when it must decode.

use anyhow::Result;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::peers::{OURS, UDPCAST, UFTP};
use crate::compare::race::Setting;
use crate::compare::table::Line;

pub(super) const ROWS: [Row; 1] = [Row {
    name: "memory",
    item: Some(10),
    measures: "512 MiB at 400 Mbit/s to 1 receiver: its peak of resident memory, its CPU at 1 % loss by that without",
    run: memory,
}];

/// MiB.
const MOST_MEMORY: f64 = 64.0;
const MOST_FOR_DECODING: f64 = 2.0;

fn memory(bench: &Bench<'_>, row: &Row) -> Result<Vec<Line>> {
    let tools = [&OURS, &UFTP, &UDPCAST];
    let clean = Setting { cut: true, rate: Some(400_000_000), ..Setting::open(1, bench.mib(512)) };
    let lossy = Setting { loss: 0.01, ..clean.clone() };
    let clean = bench.race(&clean, &tools)?;
    let lossy = bench.race(&lossy, &tools)?;
    let memory = lossy.line_with(&clean, row, "peak resident memory of the receiver", "MiB", |lossy, clean| {
        lossy.receiver_memory.max(clean.receiver_memory)
    });
    let decoding = lossy.line_with(&clean, row, "its CPU at 1 % loss by that without", "", |lossy, clean| {
        lossy.receiver_cpu / clean.receiver_cpu
    });
    Ok(vec![
        memory.at_most(MOST_MEMORY),
        clean.line(row, "its CPU without loss", "s/GB", |m| m.receiver_cpu),
        lossy.line(row, "its CPU at 1 % loss", "s/GB", |m| m.receiver_cpu),
        decoding.at_most(MOST_FOR_DECODING),
    ])
}
