//! `cargo xtask plots`: the pictures of docs/performance.md, from the simulator and from what
//! `cargo xtask compare --json` wrote.

mod chart;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries;
use crate::compare::{self, Line};
use crate::lab::tools;
use chart::{Axis, Chart, Mark, Series};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Lines that `compare --json` wrote, with its rows clients-1 to clients-16; without them only the
    /// simulator is drawn
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Where the pictures go
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
    /// Take the simulator's helper from this folder instead of building it
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
}

/// Draws what there is data for.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let write = |name: &str, chart: &Chart| {
        let path = arguments.out.join(name);
        std::fs::write(&path, chart.svg()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
        anyhow::Ok(())
    };
    let mut lines = Vec::new();
    for path in &arguments.from {
        lines.extend(compare::read_json(path)?);
    }
    if !lines.is_empty() {
        write("time-over-clients.svg", &time_over_clients(&lines)?)?;
    }
    write("sent-over-loss.svg", &sent_over_loss(&simulate(arguments.release_dir.as_deref())?))
}

/// A room in the simulator.
struct Room {
    clients: u32,
    /// %.
    loss: f64,
    /// Symbols sent by symbols of the image, and the least that they can be.
    sent: f64,
    bound: f64,
}

fn simulate(release_dir: Option<&Path>) -> Result<Vec<Room>> {
    let helper = binaries::helper(release_dir, "bounds")?;
    let lines = tools::finish(&mut Command::new(helper))?;
    lines.lines().map(|line| parse_room(line).with_context(|| format!("no room: {line:?}"))).collect()
}

fn parse_room(line: &str) -> Option<Room> {
    let mut words = line.split(' ');
    Some(Room {
        clients: words.next()?.parse().ok()?,
        loss: words.next()?.parse().ok()?,
        sent: words.next()?.parse().ok()?,
        bound: words.next()?.parse().ok()?,
    })
}

fn sent_over_loss(rooms: &[Room]) -> Chart {
    let mut sizes: Vec<_> = rooms.iter().map(|room| room.clients).collect();
    sizes.dedup();
    let mut series = Vec::new();
    for (colour, clients) in sizes.into_iter().enumerate() {
        let here = || rooms.iter().filter(move |room| room.clients == clients);
        let name = match clients {
            1 => "1 client".to_owned(),
            2..1000 => format!("{clients} clients"),
            _ => format!("{},{:03} clients", clients / 1000, clients % 1000),
        };
        series.push(Series { name, colour, mark: Mark::Line, points: here().map(|r| (r.loss, r.bound)).collect() });
        let points = here().map(|room| (room.loss, room.sent)).collect();
        series.push(Series { name: String::new(), colour, mark: Mark::Dots, points });
    }
    Chart {
        title: "Symbols sent by symbols of the image: simulated (dots), the least possible (lines)".into(),
        x: Axis::log("independent loss, %", &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]),
        y: Axis::linear("sent/image", &[1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35]),
        series,
    }
}

fn time_over_clients(lines: &[Line]) -> Result<Chart> {
    const TOOLS: [(&str, &str); 4] =
        [("ours", "ours"), ("uftp", "uftp"), ("udpcast", "udpcast"), ("http", "unicast HTTP")];
    let times: Vec<_> = lines.iter().filter_map(|line| Some((clients(line)?, line))).collect();
    if times.is_empty() {
        bail!("none of the lines is of compare's rows clients-1 to clients-16");
    }
    let series = TOOLS.into_iter().enumerate().map(|(colour, (tool, name))| Series {
        name: name.to_owned(),
        colour,
        mark: Mark::Both,
        points: times.iter().filter_map(|(clients, line)| Some((*clients, line.number(tool)?))).collect(),
    });
    Ok(Chart {
        title: "64 MiB over a link of 200 Mbit/s: time until the last client has it".into(),
        x: Axis::log("clients", &[1.0, 2.0, 4.0, 8.0, 16.0]),
        y: Axis::log("seconds", &[2.0, 3.0, 5.0, 10.0, 20.0, 50.0]),
        series: series.collect(),
    })
}

/// Of how many clients a line tells the time, if it is of that family.
fn clients(line: &Line) -> Option<f64> {
    let clients = line.row.strip_prefix("clients-")?.parse().ok()?;
    (line.measure == "time").then_some(clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_drawn_as_points_beside_their_bounds() {
        let rooms: Vec<_> =
            ["1 0.1 1.001 1.001", "1 20 1.25 1.25", "8 1 1.015 1.015"].map(|line| parse_room(line).unwrap()).into();
        let svg = sent_over_loss(&rooms).svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains(">1 client<") && svg.contains(">8 clients<"));
        assert!(parse_room("1 2 3").is_none());
    }
}
