//! `cargo xtask compare-tftp`: one file of 200 MB by our TFTP server and by others, with the same client, in the
//! same run. Prints the table as Markdown.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::lab::net::{Network, SENDER};
use crate::lab::tools::{self, Tool};
use crate::process::{self, Running};
use crate::{files, interrupt};

const PROGRAMS: [Tool; 1] = [Tool { program: "dnsmasq", package: "dnsmasq-base", essential: true }];
const BYTES: u64 = 200_000_000;
/// A server that takes longer than this for a file is not waited for.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
    /// Transfers of each kind, turn about, of which the fastest counts
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
            Self::Dnsmasq => tools::find("dnsmasq").context("dnsmasq is not installed"),
            Self::Hpa => tools::unpacked("tftpd-hpa", "usr/sbin/in.tftpd", lab.folder.path()),
            Self::Atftpd => tools::unpacked("atftpd", "usr/sbin/atftpd", lab.folder.path()),
        }
    }

    fn command(self, program: &Path, net: &Network, folder: &Path) -> Command {
        let mut command = net.in_sender(program);
        match self {
            // Blocks larger than a packet only if they are asked for, as here.
            Self::Ours => command.arg(folder).args(["--listen", SENDER, "--block-limit", "8192"]),
            Self::Dnsmasq => command
                .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--user=root"])
                .args(["--enable-tftp", "--log-facility=-", "--pid-file="])
                .arg(format!("--tftp-root={}", folder.display())),
            Self::Hpa => command.args(["-L", "-u", "root", "-a", &format!("{SENDER}:69"), "-s"]).arg(folder),
            Self::Atftpd => command
                .args(["--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address", SENDER])
                .arg(folder),
        };
        command
    }
}

/// Measures, and prints; whether ours is nowhere slower than the best of the others.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let lab = Lab::prepare("compare-tftp", &PROGRAMS, arguments.release_dir.as_deref(), false)?;
    let (folder, number) = lab.new_folder()?;
    let boot = folder.join("boot");
    std::fs::create_dir(&boot)?;
    files::write_random(&boot.join("file"), BYTES, 1)?;
    let net = Network::new(number, 1)?;
    let programs = SERVERS.into_iter().map(|server| server.program(&lab)).collect::<Result<Vec<_>>>()?;
    let mut best = vec![[f64::INFINITY; COLUMNS.len()]; SERVERS.len()];
    for round in 0..arguments.rounds {
        for (row, server) in SERVERS.into_iter().enumerate() {
            let mut command = server.command(&programs[row], &net, &boot);
            let mut running = Running::start(&format!("{}-{round}", server.name()), &mut command, &folder)?;
            wait_for_port(&net, &mut running)?;
            for (column, how) in COLUMNS.iter().enumerate() {
                eprintln!("{} {}", server.name(), how.title);
                net.set_mtu(how.mtu)?;
                if let Some(seconds) = fetch(&lab, &net, &folder, how)? {
                    best[row][column] = best[row][column].min(seconds);
                }
            }
            running.kill()?;
        }
    }
    net.set_mtu(1500)?;
    print!("{}", markdown(&best));
    let others = |column: usize| best[1..].iter().map(|row| row[column]).fold(f64::INFINITY, f64::min);
    Ok((0..COLUMNS.len()).all(|column| best[0][column] <= others(column)))
}

/// Seconds that the file took, or `None` if the server does not do it so.
fn fetch(lab: &Lab, net: &Network, folder: &Path, how: &Column) -> Result<Option<f64>> {
    let mut command = net.in_receiver(0, &lab.example("pxe", "tftp_fetch")?);
    command.args(["get", &format!("{SENDER}:69"), "file", "--block", &how.block.to_string()]);
    if how.window > 1 {
        command.args(["--window", &how.window.to_string()]);
    }
    let mut client = Running::start("fetch", &mut command, folder)?;
    process::wait_for([&mut client], LIMIT)?;
    let events = client.events();
    let Some(event) = events.first() else { return Err(client.complaint()) };
    let granted = event["block"] == how.block && event["window"] == how.window;
    Ok(event["seconds"].as_f64().filter(|_| granted && event["bytes"] == BYTES))
}

fn wait_for_port(net: &Network, server: &mut Running) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while !tools::finish(net.in_sender(Path::new("/bin/cat")).arg("/proc/net/udp"))?.contains(":0045 00000000:0000") {
        if server.poll()?.is_some() {
            return Err(server.complaint());
        }
        if Instant::now() > end {
            bail!("{} has not bound UDP port 69", server.label());
        }
        interrupt::sleep(Duration::from_millis(20))?;
    }
    Ok(())
}

fn markdown(best: &[[f64; COLUMNS.len()]]) -> String {
    let titles = COLUMNS.map(|column| column.title).join(" | ");
    let mut text = format!("| MB/s | {titles} |\n|---|{}\n", "---:|".repeat(COLUMNS.len()));
    for (row, server) in SERVERS.into_iter().enumerate() {
        let cells = best[row].map(|seconds| {
            if seconds.is_finite() { format!("{:.0}", BYTES as f64 / 1e6 / seconds) } else { "–".to_owned() }
        });
        text.push_str(&format!("| {} | {} |\n", server.name(), cells.join(" | ")));
    }
    text
}
