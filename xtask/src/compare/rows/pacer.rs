//! How even the stream is on a path that holds nothing back.
//!
//! A real client lets the session begin and is then stopped, so that it takes nothing from the
//! sender; the server gives a silent client half a minute, and the forward pass needs no reports.
//! A sink in the same namespace takes the system's time of each arrival.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::Row;
use crate::compare::bench::Bench;
use crate::compare::race::Setting;
use crate::compare::table::{Cell, Line};
use crate::lab::net::{Network, SENDER};
use crate::process::{self, Running};
use crate::{events, interrupt};

pub(super) const ROWS: [Row; 2] = [
    Row {
        name: "pacer-1g",
        item: Some(4),
        measures: "1 GiB at 1 Gbit/s past a sink: how far the rate of any 100 ms is off",
        run: |bench, row| pacer(bench, row, 1_000_000_000, 1024),
    },
    Row {
        name: "pacer-10g",
        item: Some(4),
        measures: "2 GiB at 10 Gbit/s past a sink: how far the rate of any 100 ms is off",
        run: |bench, row| pacer(bench, row, 10_000_000_000, 2048),
    },
];

/// %.
const TOLERANCE: f64 = 2.0;
/// Part of what was sent that the sink may not have seen: heartbeats.
const MISSED: f64 = 0.001;
/// The session begins so long after the client has come: time to stop it.
const WAIT: Duration = Duration::from_secs(3);
const GROUP: &str = "239.194.253.1";
const PORT: &str = "63210";

fn pacer(bench: &Bench<'_>, row: &Row, rate: u64, mib: u64) -> Result<Vec<Line>> {
    if !bench.wants("ours") {
        return Ok(Vec::new());
    }
    let found = measure(bench, rate, mib);
    interrupt::check()?;
    if let Err(error) = &found {
        eprintln!("    {error:#}");
    }
    let line = |measure: &str, unit: &str, figure: &dyn Fn(&events::Evenness) -> f64| {
        let cell = match &found {
            Ok(evenness) => Cell::Number(figure(evenness)),
            Err(error) => Cell::Words(format!("{error:#}")),
        };
        Line::new(row, measure, unit, vec![("ours".to_owned(), cell)])
    };
    let off = |bits: f64| (bits / rate as f64 - 1.0) * 100.0;
    Ok(vec![
        line("the worst 100 ms, off the rate by", "%", &|e| off(e.slowest).abs().max(off(e.fastest).abs()))
            .at_most(TOLERANCE),
        line("the slowest 100 ms", "%", &|e| off(e.slowest)),
        line("the fastest 100 ms", "%", &|e| off(e.fastest)),
        line("the whole stream", "%", &|e| off(e.bytes * 8.0 / e.seconds)),
    ])
}

fn measure(bench: &Bench<'_>, rate: u64, mib: u64) -> Result<events::Evenness> {
    let setting = Setting { rate: Some(rate), ..Setting::open(1, bench.mib(mib)) };
    let (_images, images) = bench.images(&setting)?;
    let image = images.first().context("no image")?;
    let (folder, number) = bench.lab.new_folder()?;
    let net = Network::new(number, 1)?;
    let programs = &bench.lab.binaries;

    let mut sink = net.in_receiver(0, &bench.lab.helper("sink")?);
    let mut sink = Running::start("sink", sink.args(["eth0", &format!("{GROUP}:{PORT}")]), &folder)?;
    let mut server = net.in_sender(&programs.server);
    server.arg("send").arg(image).args(["--interface", "eth0", "--json", "--manifest-cache", "none"]);
    server.args(["--address", GROUP, "--ports", &format!("{PORT}-{PORT}"), "--rate", &format!("{}kbit", rate / 1000)]);
    server.args(["--min-clients", "2", "--max-wait", &format!("{}s", WAIT.as_secs())]);
    let _server = Running::start("server", &mut server, &folder)?;
    let mut client = net.in_receiver(0, &programs.client);
    client.args(["receive", "--server", SENDER, "--interface", "eth0", "--json", "--output"]).arg(folder.join("copy"));
    let mut client = Running::start("client", &mut client, &folder)?;
    while !events::has_joined(&client.events()) {
        if client.poll()?.is_some() {
            return Err(client.complaint());
        }
        interrupt::sleep(Duration::from_millis(20))?;
    }
    // Its first report follows the join at once.
    interrupt::sleep(WAIT / 3)?;
    client.signal(Signal::SIGSTOP)?;

    let stream = Duration::from_secs_f64(setting.bytes as f64 * 8.0 / rate as f64);
    process::wait_for_success([&mut sink], WAIT + stream * 3 + Duration::from_secs(10))?;
    let evenness = events::evenness(&sink.events()).context("the sink told nothing")?;
    let missed = 1.0 - evenness.bytes / net.counters()?.sent_bytes as f64;
    if missed > MISSED {
        bail!("the sink missed {:.1} % of the stream", missed * 100.0);
    }
    drop(client);
    if !bench.lab.keep {
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(evenness)
}
