//! `cargo xtask compare-tftp`: one file of 200 MB by our TFTP server and by others, with the same client, in the
//! same run, and one of 1 MB where datagrams get lost. Prints the table as Markdown.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::lab::net::{Network, SENDER};
use crate::lab::tools::{self, Tool};
use crate::lab::{dnsmasq, ready};
use crate::process::{self, Running};
use crate::{files, interrupt};

const PROGRAMS: [Tool; 1] = [Tool { program: "dnsmasq", package: "dnsmasq-base", essential: true }];
const BYTES: u64 = 200_000_000;
/// The file that is fetched block by block where this share of datagrams gets lost, each way.
const LOSSY_BYTES: u64 = 1_000_000;
const LOSS: f64 = 0.01;
/// A server is ready by then.
const SOON: Duration = Duration::from_secs(10);
/// A server that takes longer than this for a file is not waited for.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
    /// Transfers of each kind, turn about, of which the fastest counts; with loss the one in the middle
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A way to fetch.
struct Column {
    title: &'static str,
    block: u16,
    window: u16,
    mtu: u32,
}

const COLUMNS: [Column; 6] = [
    Column { title: "1468 × 1", block: 1468, window: 1, mtu: 1500 },
    Column { title: "1468 × 4", block: 1468, window: 4, mtu: 1500 },
    Column { title: "1468 × 16", block: 1468, window: 16, mtu: 1500 },
    Column { title: "1468 × 64", block: 1468, window: 64, mtu: 1500 },
    Column { title: "8192 × 1, fragments", block: 8192, window: 1, mtu: 1500 },
    Column { title: "8192 × 1, MTU 9000", block: 8192, window: 1, mtu: 9000 },
];

#[derive(Clone, Copy, PartialEq)]
enum Server {
    Ours,
    Dnsmasq,
    Hpa,
    Atftpd,
}

const SERVERS: [Server; 4] = [Server::Ours, Server::Dnsmasq, Server::Hpa, Server::Atftpd];

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Dnsmasq => "dnsmasq",
            Self::Hpa => "tftpd-hpa",
            Self::Atftpd => "atftpd",
        }
    }

    /// Where it is; Debian's packages of two of them exclude each other, so that they are unpacked, not installed.
    fn program(self, lab: &Lab) -> Result<PathBuf> {
        match self {
            Self::Ours => lab.example("pxe", "tftp_serve"),
            Self::Dnsmasq => dnsmasq::program(),
            Self::Hpa => tools::unpacked("tftpd-hpa", "usr/sbin/in.tftpd", lab.folder.path()),
            Self::Atftpd => tools::unpacked("atftpd", "usr/sbin/atftpd", lab.folder.path()),
        }
    }

    fn command(self, program: &Path, net: &Network, folder: &Path) -> Command {
        let mut command = net.in_sender(program);
        match self {
            // Blocks larger than a packet only if they are asked for, as here.
            Self::Ours => command.arg(folder).args(["--listen", SENDER, "--block-limit", "8192"]),
            Self::Dnsmasq => {
                dnsmasq::idle(&mut command, folder, "dnsmasq");
                command.arg("--enable-tftp").arg(format!("--tftp-root={}", folder.display()))
            }
            Self::Hpa => command.args(["-L", "-u", "root", "-a", &format!("{SENDER}:69"), "-s"]).arg(folder),
            Self::Atftpd => command
                .args(["--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address", SENDER])
                .arg(folder),
        };
        command
    }
}

/// A network with servers' programs and files for them.
struct Stage<'a> {
    lab: &'a Lab,
    net: Network,
    /// What the programs write.
    folder: PathBuf,
    boot: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(lab: &'a Lab, bytes: u64) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        let boot = folder.join("boot");
        std::fs::create_dir(&boot).with_context(|| format!("cannot make {}", boot.display()))?;
        files::write_random(&boot.join("file"), bytes, 1)?;
        Ok(Self { lab, net: Network::new(number, 1)?, folder, boot })
    }

    fn start(&self, server: Server, program: &Path) -> Result<Running> {
        let mut command = server.command(program, &self.net, &self.boot);
        let mut running = Running::start(server.name(), &mut command, &self.folder)?;
        ready::wait_for_ports(|program| self.net.in_sender(program), &mut running, &[69], SOON)?;
        Ok(running)
    }

    /// Seconds that the file took, or `None` if the server does not do it so.
    fn fetch(&self, how: &Column) -> Result<Option<f64>> {
        let file = self.boot.join("file");
        let mut command = self.net.in_receiver(0, &self.lab.example("pxe", "tftp_fetch")?);
        command.args(["get", &format!("{SENDER}:69"), "file", "--block", &how.block.to_string()]);
        command.arg("--same-as").arg(&file);
        if how.window > 1 {
            command.args(["--window", &how.window.to_string()]);
        }
        let mut client = Running::start("fetch", &mut command, &self.folder)?;
        process::wait_for_success([&mut client], LIMIT)?;
        let events = client.events();
        let event = events.first().context("the client told nothing")?;
        let granted = event["block"] == how.block && event["window"] == how.window;
        Ok(event["seconds"].as_f64().filter(|_| granted))
    }
}

/// Measures, and prints; whether ours is nowhere slower than the best of the others.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let lab = Lab::prepare("compare-tftp", &PROGRAMS, arguments.release_dir.as_deref(), false)?;
    let programs = SERVERS.into_iter().map(|server| server.program(&lab)).collect::<Result<Vec<_>>>()?;
    let (clean, lossy) = (Stage::new(&lab, BYTES)?, Stage::new(&lab, LOSSY_BYTES)?);
    lossy.net.lose_at_receiver(0, LOSS)?;
    lossy.net.lose_feedback(LOSS)?;
    let mut rows = SERVERS.map(|_| Row { best: [f64::INFINITY; COLUMNS.len()], with_loss: Vec::new() });
    for _ in 0..arguments.rounds.max(1) {
        for ((row, server), program) in rows.iter_mut().zip(SERVERS).zip(&programs) {
            row.measure(server, program, &clean, &lossy)?;
        }
    }
    print!("{}", markdown(&mut rows));
    let [ours, others @ ..] = &rows;
    let is_best = |column: usize| others.iter().all(|other| ours.best[column] <= other.best[column]);
    Ok((0..COLUMNS.len()).all(is_best))
}

/// What a server comes to, in seconds; infinite where it does not do it.
struct Row {
    best: [f64; COLUMNS.len()],
    with_loss: Vec<f64>,
}

impl Row {
    fn measure(&mut self, server: Server, program: &Path, clean: &Stage<'_>, lossy: &Stage<'_>) -> Result<()> {
        let mut running = clean.start(server, program)?;
        for (best, how) in self.best.iter_mut().zip(&COLUMNS) {
            clean.net.set_mtu(how.mtu)?;
            let seconds = seconds(server, how.title, clean.fetch(how))?;
            *best = best.min(seconds);
        }
        running.kill()?;
        let mut running = lossy.start(server, program)?;
        self.with_loss.push(seconds(server, "with loss", lossy.fetch(&COLUMNS[0]))?);
        running.kill()
    }

    fn median_with_loss(&mut self) -> f64 {
        self.with_loss.sort_by(f64::total_cmp);
        self.with_loss.get(self.with_loss.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}

/// Only our own server must not fail; of another it is a cell without a figure.
fn seconds(server: Server, what: &str, done: Result<Option<f64>>) -> Result<f64> {
    interrupt::check()?;
    match done {
        Ok(Some(seconds)) => {
            eprintln!("{} {what}: {seconds:.2} s", server.name());
            Ok(seconds)
        }
        Ok(None) => Ok(f64::INFINITY),
        Err(error) if server == Server::Ours => Err(error),
        Err(error) => {
            eprintln!("{} {what}: {error:#}", server.name());
            Ok(f64::INFINITY)
        }
    }
}

fn markdown(rows: &mut [Row]) -> String {
    let titles = COLUMNS.map(|column| column.title).join(" | ");
    let mut text = format!("| 200 MB, MB/s | {titles} | 1 MB at 1 % loss each way, 1468 × 1, s |\n");
    text.push_str(&format!("|---|{}---:|\n", "---:|".repeat(COLUMNS.len())));
    let written = |figure: f64, digits| match figure.is_finite() && figure > 0.0 {
        true => format!("{figure:.digits$}"),
        false => "–".to_owned(),
    };
    for (row, server) in rows.iter_mut().zip(SERVERS) {
        let cells = row.best.map(|seconds| written(BYTES as f64 / 1e6 / seconds, 0)).join(" | ");
        text.push_str(&format!("| {} | {cells} | {} |\n", server.name(), written(row.median_with_loss(), 2)));
    }
    text
}
