//! DHCP under load and under fire, beside dnsmasq in the same run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::Mode;
use crate::lab::net::{Network, SENDER};
use crate::lab::{dnsmasq, ready};
use crate::process::{self, Running};

pub(super) const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "dhcp-hostile",
        claim: "100,000 malformed messages: each is told of, nothing grows, sound ones in between are answered",
        needs: &[],
        run: hostile,
    },
    Scenario {
        name: "dhcp-latency",
        claim: "at 500 discovers a second an offer comes as soon as dnsmasq's, and none is lost",
        needs: &[Need::Program("dnsmasq")],
        run: latency,
    },
    Scenario {
        name: "dhcp-boots",
        claim: "20 machines switched on together have their boot file as soon as from dnsmasq",
        needs: &[Need::Program("dnsmasq")],
        run: boots,
    },
];

/// Malformed messages of one run.
const HOSTILE: u32 = 100_000;
/// What a responder may take more after them: the machines that it heard of.
const GROWTH: f64 = 2.0;
/// The comparison is of the best of so many turns, as other load only ever adds to a time.
const TURNS: u32 = 3;
const RATE: u32 = 500;
/// Seconds of a turn.
const TURN: u32 = 4;
const LIMIT: Duration = Duration::from_secs(180);
/// A server is ready by then.
const SOON: Duration = Duration::from_secs(15);
/// Enough for every machine of every turn.
const POOL: [&str; 2] = ["10.77.16.0", "10.77.127.255"];
const MACHINES: u32 = 20;
const BOOT_FILE: &str = "boot.bin";
/// A usual size of a network boot program.
const BOOT_FILE_BYTES: usize = 300_000;

fn hostile(lab: &Lab, findings: &mut Findings) -> Result<()> {
    for mode in [Mode::Full, Mode::Proxy] {
        let mut room = Room::open(lab)?;
        let mut server = room.start_ours(mode)?;
        server.poll()?;
        let before = server.memory().anonymous;
        let count = HOSTILE.to_string();
        let told = room.load(&mut server, &["hostile", "--count", &count])?;
        let (asked, answered) = (number(&told, "asked")?, number(&told, "answered")?);
        let after = server.memory().anonymous;
        let name = |what: &str| format!("{} {what}", mode.name());
        findings.check(answered == asked, || {
            format!("{}: {answered} of {asked} sound requests were answered", mode.name())
        });
        findings.check(number(&told, "unsound").is_ok_and(|unsound| unsound == 0.0), || "an unsound answer".into());
        // Each datagram gets an event, whatever it was.
        let events = server.stdout().lines().filter(|line| line.contains("answered")).count() as f64;
        findings.check(events == f64::from(HOSTILE) + asked, || {
            format!("{}: {events} events of {} datagrams", mode.name(), f64::from(HOSTILE) + asked)
        });
        findings.check(server.poll()?.is_none(), || format!("{:#}", server.complaint()));
        findings.figure(name("answers"), number(&told, "answers")?, "");
        findings.figure(name("offer median"), number(&told, "median_us")?, "µs");
        findings.at_most(name("growth"), (after - before) as f64 / f64::from(1 << 20), "MiB", GROWTH);
    }
    Ok(())
}

fn latency(lab: &Lab, findings: &mut Findings) -> Result<()> {
    for mode in [Mode::Full, Mode::Proxy] {
        let (mut theirs, mut ours) = (Times::WORST, Times::WORST);
        for turn in 0..TURNS {
            let mut room = Room::open(lab)?;
            let mut server = room.start_dnsmasq(mode)?;
            theirs = theirs.best(room.offers(&mut server, turn)?);
            server.kill()?;
            let mut server = room.start_ours(mode)?;
            ours = ours.best(room.offers(&mut server, turn)?);
        }
        // A tenth, and what a turn of the scheduler takes.
        let name = |what: &str| format!("{} {what}", mode.name());
        findings.figure(name("dnsmasq median"), theirs.median, "µs");
        findings.at_most(name("median"), ours.median, "µs", theirs.median * 1.1 + 20.0);
        findings.figure(name("dnsmasq p99"), theirs.p99, "µs");
        findings.at_most(name("p99"), ours.p99, "µs", theirs.p99 * 1.1 + 2000.0);
        findings.figure(name("dnsmasq lost"), theirs.lost, "");
        findings.at_most(name("lost"), ours.lost, "", 0.0);
    }
    Ok(())
}

fn boots(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let (mut theirs, mut ours) = (f64::INFINITY, f64::INFINITY);
    for turn in 0..TURNS {
        let mut room = Room::open(lab)?;
        let mut server = room.start_dnsmasq(Mode::Full)?;
        theirs = theirs.min(room.boots(&mut server, turn)?);
        server.kill()?;
        let mut server = room.start_ours(Mode::Full)?;
        let _files = room.start_tftp()?;
        ours = ours.min(room.boots(&mut server, turn)?);
    }
    findings.figure("dnsmasq, the last of 20", theirs, "s");
    findings.at_most("the last of 20", ours, "s", theirs * 1.1 + 0.02);
    Ok(())
}

/// What one turn took.
struct Times {
    median: f64,
    p99: f64,
    lost: f64,
}

impl Times {
    const WORST: Self = Self { median: f64::INFINITY, p99: f64::INFINITY, lost: f64::INFINITY };

    fn best(self, other: Self) -> Self {
        let Self { median, p99, lost } = self;
        Self { median: median.min(other.median), p99: p99.min(other.p99), lost: lost.min(other.lost) }
    }
}

/// A server and a crowd at one switch.
struct Room {
    net: Network,
    folder: PathBuf,
    serve: PathBuf,
    tftp: PathBuf,
    load: PathBuf,
    starts: u32,
}

impl Room {
    fn open(lab: &Lab) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        std::fs::write(folder.join(BOOT_FILE), vec![0x5a; BOOT_FILE_BYTES]).context("cannot write the boot file")?;
        Ok(Self {
            net: Network::new(number, 1)?,
            folder,
            serve: lab.example("pxe", "dhcp_serve")?,
            tftp: lab.example("pxe", "tftp_serve")?,
            load: lab.example("pxe", "dhcp_load")?,
            starts: 0,
        })
    }

    fn start_ours(&mut self, mode: Mode) -> Result<Running> {
        let mut command = self.net.in_sender(&self.serve);
        command.args(["--interface", "eth0", "--boot"]).arg(format!("bios={BOOT_FILE}"));
        if mode == Mode::Full {
            let [first, last] = POOL;
            command.arg("--pool").arg(format!("10.77.0.0/16,{first},{last}"));
        }
        self.start("dhcp", &mut command, 67)
    }

    fn start_tftp(&mut self) -> Result<Running> {
        let mut command = self.net.in_sender(&self.tftp);
        command.arg(&self.folder).args(["--listen", SENDER]);
        self.start("tftp", &mut command, 69)
    }

    fn start_dnsmasq(&mut self, mode: Mode) -> Result<Running> {
        let mut command = self.net.in_sender(&dnsmasq::program()?);
        dnsmasq::idle(&mut command, &self.folder, "dnsmasq");
        command.arg("--dhcp-lease-max=50000");
        match mode {
            Mode::Full => {
                let [first, last] = POOL;
                command.args(["--dhcp-authoritative", "--enable-tftp"]);
                command.arg(format!("--dhcp-range={first},{last},255.255.0.0,1h"));
                command.arg(format!("--dhcp-boot={BOOT_FILE}"));
                command.arg(format!("--tftp-root={}", self.folder.display()));
            }
            // It gives no addresses in either.
            Mode::Proxy | Mode::Off => {
                command.arg(format!("--dhcp-range={SENDER},proxy,255.255.0.0"));
                command.arg(format!("--pxe-service=x86PC,boot,{BOOT_FILE}"));
            }
        }
        self.start("dnsmasq", &mut command, 67)
    }

    /// Starts a server and waits until it has its port.
    fn start(&mut self, name: &str, command: &mut Command, port: u16) -> Result<Running> {
        let label = self.label(name);
        let mut server = Running::start(&label, command, &self.folder)?;
        ready::wait_for_ports(|program| self.net.in_sender(program), &mut server, &[port], SOON)?;
        Ok(server)
    }

    fn offers(&mut self, server: &mut Running, turn: u32) -> Result<Times> {
        let [rate, seconds, first] = [RATE, TURN, turn * RATE * TURN].map(|number| number.to_string());
        let told = self.load(server, &["offers", "--rate", &rate, "--seconds", &seconds, "--first", &first])?;
        let of = |key| number(&told, key);
        Ok(Times { median: of("median_us")?, p99: of("p99_us")?, lost: of("lost")? })
    }

    /// Seconds until the last machine has its file.
    fn boots(&mut self, server: &mut Running, turn: u32) -> Result<f64> {
        let [count, first] = [MACHINES, 1_000_000 + turn * MACHINES].map(|number| number.to_string());
        let told = self.load(server, &["boots", "--count", &count, "--first", &first])?;
        let (booted, bytes) = (number(&told, "booted")?, number(&told, "bytes")?);
        if booted != f64::from(MACHINES) || bytes != f64::from(MACHINES) * BOOT_FILE_BYTES as f64 {
            bail!("{booted} of {MACHINES} machines got {bytes} bytes from {}", server.label());
        }
        number(&told, "most_s")
    }

    /// Runs the crowd to its end: what it told.
    fn load(&mut self, server: &mut Running, arguments: &[&str]) -> Result<Value> {
        let label = self.label("crowd");
        let mut command = self.net.in_receiver(0, &self.load);
        command.args(["--interface", "eth0"]).args(arguments);
        let mut crowd = Running::start(&label, &mut command, &self.folder)?;
        process::wait_for_success_and_watch([&mut crowd], LIMIT, Some(server))?;
        crowd.events().pop().context("the crowd told nothing")
    }

    fn label(&mut self, name: &str) -> String {
        self.starts += 1;
        format!("{name}.{}", self.starts)
    }
}

fn number(told: &Value, key: &str) -> Result<f64> {
    told[key].as_f64().with_context(|| format!("the crowd did not tell {key}: {told}"))
}
