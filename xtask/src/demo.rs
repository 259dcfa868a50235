//! `cargo demo`: a server and four clients as real processes on loopback. One client joins in
//! the middle, one is killed and started again; at the end four copies are compared byte by byte.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::binaries::Binaries;
use crate::process::{self, Running};
use crate::{events, files, interrupt};

/// Image made when none is given: together with four copies 1.3 GB of disk for some seconds.
const IMAGE_BYTES: u64 = 256 << 20;
/// Below this an image has too few blocks to be seen half done.
const LEAST_BYTES: u64 = 16 << 20;
/// One pass over the image takes about this long; joins and kills then fall into its midst.
const PASS: Duration = Duration::from_secs(6);
/// Rates, bits per second on the wire: what a small machine's loopback surely carries, and the least.
const RATES: (u64, u64) = (20_000_000, 1_000_000_000);
/// Share of the image that the killed client holds when it is killed.
const KILL_AT: f64 = 0.3;
/// How long the killed client is away.
const AWAY: Duration = Duration::from_millis(700);
/// Share of the image that client 1 holds when the late client joins.
const JOIN_AT: f64 = 0.5;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image to send; without it one of random bytes is made
    image: Option<PathBuf>,
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
}

/// Runs the demonstration; an error if any copy is not the image.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::find_or_build(arguments.release_dir.as_deref())?;
    let folder = tempfile::Builder::new().prefix("mcast-demo-").tempdir().context("cannot make a folder for copies")?;
    let image = match &arguments.image {
        Some(image) => image.canonicalize().with_context(|| format!("cannot open image {}", image.display()))?,
        None => {
            let image = folder.path().join("image");
            files::write_random(&image, IMAGE_BYTES, 2026)?;
            image
        }
    };
    let mut demo = Demo::new(binaries, image, folder.path())?;
    let played = demo.play();
    if played.is_err() {
        demo.end_children();
    }
    played?;
    demo.compare_and_report()
}

struct Demo<'a> {
    binaries: Binaries,
    image: PathBuf,
    bytes: u64,
    folder: &'a Path,
    port: u16,
    started: Instant,
    server: Option<Running>,
    clients: Vec<Client>,
}

struct Client {
    story: &'static str,
    running: Running,
    kept_blocks: Option<u64>,
}

/// Places of the clients that have a story of their own.
const KILLED: usize = 1;
const LATE: usize = 3;
const STORIES: [&str; 4] = ["there from the start", "killed and started again", "there from the start", "joined late"];

impl<'a> Demo<'a> {
    fn new(binaries: Binaries, image: PathBuf, folder: &'a Path) -> Result<Self> {
        let metadata = image.metadata().with_context(|| format!("cannot open image {}", image.display()))?;
        if !metadata.is_file() {
            bail!("{} is no file; for the demonstration it must be one", image.display());
        }
        let bytes = metadata.len();
        if bytes < LEAST_BYTES {
            bail!(
                "{} has {bytes} bytes; the demonstration needs at least {LEAST_BYTES}, to be seen half done",
                image.display()
            );
        }
        let (server, clients) = (None, Vec::new());
        Ok(Self { binaries, image, bytes, folder, port: free_port()?, started: Instant::now(), server, clients })
    }

    fn play(&mut self) -> Result<()> {
        let rate = self.rate();
        println!("image   {} ({} MiB)", self.image.display(), self.bytes >> 20);
        println!("rate    {} Mbit/s on loopback, control port {}", rate / 1_000_000, self.port);
        println!(
            "plan    clients 1 to 3 start it; client {} is killed at {:.0} % and started again; client {} joins at {:.0} %",
            KILLED + 1,
            KILL_AT * 100.0,
            LATE + 1,
            JOIN_AT * 100.0
        );
        println!();
        for (index, story) in STORIES.into_iter().enumerate().take(LATE) {
            let running = self.start_client(index, "")?;
            self.clients.push(Client { story, running, kept_blocks: None });
        }
        self.started = Instant::now();
        self.server = Some(self.start_server(rate)?);

        self.wait_until_client_has(KILLED, KILL_AT)?;
        self.clients[KILLED].running.kill()?;
        interrupt::sleep(AWAY)?;
        self.clients[KILLED].running = self.start_client(KILLED, "-again")?;

        self.wait_until_client_has(0, JOIN_AT)?;
        let running = self.start_client(LATE, "")?;
        self.clients.push(Client { story: STORIES[LATE], running, kept_blocks: None });

        let limit = self.limit();
        let everyone = self.clients.iter_mut().map(|client| &mut client.running).chain(&mut self.server);
        process::wait_for_success(everyone, limit)
    }

    /// Bits per second on the wire at which one pass takes [`PASS`].
    fn rate(&self) -> u64 {
        let bits = self.bytes.saturating_mul(8) as f64 * 1.06;
        ((bits / PASS.as_secs_f64()) as u64).clamp(RATES.0, RATES.1)
    }

    /// By when all must have ended: four passes, and half a minute for a busy machine.
    fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 * 8.0 / self.rate() as f64 * 4.0 + 30.0)
    }

    fn start_server(&self, rate: u64) -> Result<Running> {
        let mut command = Command::new(&self.binaries.server);
        command.arg("send").arg(&self.image).args(["--interface", "lo"]);
        command.args(["--min-clients", &LATE.to_string(), "--rate", &format!("{}kbit", rate / 1000)]);
        command.args(["--control-port", &self.port.to_string()]).env("XDG_CACHE_HOME", self.folder.join("cache"));
        Running::start_on_terminal("server", &mut command)
    }

    fn start_client(&self, index: usize, again: &str) -> Result<Running> {
        let mut command = Command::new(&self.binaries.client);
        command.args(["receive", "--server", &format!("127.0.0.1:{}", self.port), "--interface", "lo"]);
        command.arg("--output").arg(self.copy(index)).arg("--json").env("XDG_CACHE_HOME", self.folder.join("cache"));
        Running::start(&format!("client-{}{again}", index + 1), &mut command, self.folder)
    }

    fn copy(&self, index: usize) -> PathBuf {
        self.folder.join(format!("copy-{}", index + 1))
    }

    fn wait_until_client_has(&mut self, index: usize, share: f64) -> Result<()> {
        let end = Instant::now() + self.limit();
        let client = &mut self.clients[index].running;
        loop {
            if events::fraction_done(&client.events()).is_some_and(|done| done >= share) {
                return Ok(());
            }
            if let Some(server) = &mut self.server
                && server.poll()?.is_some()
            {
                return Err(server.complaint());
            }
            if client.poll()?.is_some() {
                return Err(client.complaint());
            }
            if Instant::now() > end {
                bail!("{} did not get {:.0} % of the image in time", client.label(), share * 100.0);
            }
            interrupt::sleep(Duration::from_millis(20))?;
        }
    }

    /// Lets the children end by themselves, so that the server can give the terminal back.
    fn end_children(&mut self) {
        let clients = self.clients.iter_mut().map(|client| &mut client.running);
        let mut everyone: Vec<_> = clients.chain(&mut self.server).collect();
        for process in &mut everyone {
            let _ = process.signal(Signal::SIGTERM);
        }
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end && everyone.iter_mut().any(|process| matches!(process.poll(), Ok(None))) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn compare_and_report(&mut self) -> Result<()> {
        let mut wrong = Vec::new();
        println!();
        println!("{:<10} {:<26} {:>8} {:>12} {:>10}  copy", "client", "story", "seconds", "blocks kept", "cpu s");
        for index in 0..self.clients.len() {
            let copy = self.copy(index);
            let client = &mut self.clients[index];
            client.kept_blocks = events::kept_blocks(&client.running.events());
            let seconds = |at: Instant| at.saturating_duration_since(self.started).as_secs_f64();
            let ended = client.running.poll()?.context("a client still runs")?;
            let verdict = match files::check_copy(&self.image, &copy) {
                Ok(()) => "identical to the image",
                Err(error) => {
                    wrong.push(format!("{error:#}"));
                    "WRONG"
                }
            };
            let kept = client.kept_blocks.map_or("-".to_owned(), |blocks| blocks.to_string());
            println!(
                "{:<10} {:<26} {:>8.2} {:>12} {:>10.2}  {verdict}",
                index + 1,
                client.story,
                seconds(ended.at),
                kept,
                ended.cpu.as_secs_f64()
            );
        }
        if !wrong.is_empty() {
            bail!("{}", wrong.join("; "));
        }
        println!("\n{} verified copies of {} bytes", self.clients.len(), self.bytes);
        Ok(())
    }
}

/// A UDP port of loopback that was free a moment ago.
fn free_port() -> Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("cannot open a UDP socket on loopback")?;
    Ok(socket.local_addr()?.port())
}
