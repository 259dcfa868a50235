//! A room: one network, one server, its clients, what they wrote and what it took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Lab;
use super::findings::Findings;
use super::net::{Counters, Network, SENDER};
use crate::process::{self, Running};
use crate::{files, interrupt};

/// What the sender's link carries in a capped room, in tc's words.
const CAP: &str = "200mbit";
/// What the server is told then: 5 % below the cap, bits per second.
pub(super) const CAPPED_RATE: u64 = 190_000_000;
/// Bytes on the wire for each byte of the image: 1,514-byte frames carry 1,440-byte symbols.
const FRAMING: f64 = 1514.0 / 1440.0;

/// How long the server may take to end once all clients have.
const LINGER: Duration = Duration::from_secs(30);
/// How long the server may take to give up its dead clients and end.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What a room is like.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) clients: usize,
    /// How many clients the server waits for.
    pub(super) min_clients: usize,
    /// Bytes of the image.
    pub(super) bytes: u64,
    /// Bits per second on the wire that the server is told.
    pub(super) rate: u64,
    /// What the sender's link carries, if it is capped, in tc's words.
    pub(super) cap: Option<&'static str>,
    /// Share of datagrams lost on the way to each client.
    pub(super) loss: f64,
    /// Share of datagrams lost on the way to the server.
    pub(super) feedback_loss: f64,
    /// Each image in a session of its own; the rate is what all of them share.
    pub(super) each: bool,
    /// Further arguments of the server.
    pub(super) server: &'static [&'static str],
}

impl Setup {
    /// 8 clients, 128 MiB, a link of 200 Mbit/s.
    pub(super) fn standard() -> Self {
        Self {
            clients: 8,
            min_clients: 8,
            bytes: 128 << 20,
            rate: CAPPED_RATE,
            cap: Some(CAP),
            loss: 0.0,
            feedback_loss: 0.0,
            each: false,
            server: &[],
        }
    }

    /// `clients` clients on links without a cap.
    pub(super) fn open(clients: usize, rate: u64) -> Self {
        Self { clients, min_clients: clients, rate, cap: None, ..Self::standard() }
    }

    /// How long one pass over the image takes at the rate, headers counted.
    pub(super) fn image_time(&self) -> Duration {
        self.time_at(self.rate)
    }

    /// How long the image takes a client whose port carries `mbit`, or the rate if that is less.
    pub(super) fn at(&self, mbit: u64) -> Duration {
        self.time_at(self.rate.min(mbit * 1_000_000))
    }

    fn time_at(&self, rate: u64) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 * FRAMING * 8.0 / rate as f64)
    }
}

/// The room. Its processes end and its network goes when it is dropped.
pub(super) struct Room<'a> {
    lab: &'a Lab,
    setup: Setup,
    folder: PathBuf,
    images: Vec<PathBuf>,
    // In this order: processes are killed before their namespaces go.
    server: Option<Running>,
    clients: BTreeMap<usize, Running>,
    net: Network,
    /// The interface's counters when the first server was started.
    before: Option<Counters>,
    started: Option<Instant>,
    starts: u32,
}

impl<'a> Room<'a> {
    /// A room with an image of random bytes, new for each room: no server finds it in its cache.
    pub(super) fn open(lab: &'a Lab, setup: &Setup) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        let image = folder.join("image.bin");
        files::write_random(&image, setup.bytes, number.into())?;
        Self::build(lab, setup, folder, number, vec![image])
    }

    /// A room for these files; the setup's size becomes theirs.
    pub(super) fn with_images(lab: &'a Lab, setup: &Setup, images: Vec<PathBuf>) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        let sizes = images.iter().map(|image| Ok(image.metadata()?.len())).collect::<Result<Vec<_>>>()?;
        let setup = Setup { bytes: sizes.iter().sum(), ..setup.clone() };
        Self::build(lab, &setup, folder, number, images)
    }

    fn build(lab: &'a Lab, setup: &Setup, folder: PathBuf, number: u32, images: Vec<PathBuf>) -> Result<Self> {
        let net = Network::new(number, setup.clients)?;
        if let Some(cap) = setup.cap {
            net.cap_sender(cap)?;
        }
        if setup.loss > 0.0 {
            (0..setup.clients).try_for_each(|i| net.lose_at_receiver(i, setup.loss))?;
        }
        if setup.feedback_loss > 0.0 {
            net.lose_feedback(setup.feedback_loss)?;
        }
        let (server, clients) = (None, BTreeMap::new());
        let (setup, before, started, starts) = (setup.clone(), None, None, 0);
        Ok(Self { lab, setup, folder, images, server, clients, net, before, started, starts })
    }

    /// The network, to break it.
    pub(super) fn net(&self) -> &Network {
        &self.net
    }

    /// The folder of everything that the room writes.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first image.
    pub(super) fn image(&self) -> &Path {
        &self.images[0]
    }

    /// Starts the clients of these numbers, gives them a moment to wait, then the server.
    pub(super) fn start(&mut self, clients: impl IntoIterator<Item = usize>) -> Result<()> {
        for i in clients {
            self.start_client(i)?;
        }
        interrupt::sleep(Duration::from_millis(500))?;
        self.start_server()
    }

    /// Starts the server, or starts it again with the same command.
    pub(super) fn start_server(&mut self) -> Result<()> {
        let mut command = self.server_command();
        command.arg("send").args(&self.images).args(["--interface", "eth0", "--json"]);
        command.args(["--min-clients", &self.setup.min_clients.to_string()]);
        let each: &[&str] = if self.setup.each { &["--each", "--total-rate"] } else { &["--rate"] };
        command.args(each).arg(format!("{}kbit", self.setup.rate / 1000)).args(self.setup.server);
        let before = self.net.counters()?;
        self.before.get_or_insert(before);
        let label = self.label("server");
        let server = Running::start(&label, &mut command, &self.folder)?;
        self.started.get_or_insert(server.started());
        self.server = Some(server);
        Ok(())
    }

    /// Starts client `i`, or starts it again with the same command.
    pub(super) fn start_client(&mut self, i: usize) -> Result<()> {
        let mut command = self.client_command(i)?;
        command.arg("--json");
        if self.setup.each {
            let image = self.image_of(i).file_name().context("an image without a name")?;
            command.arg("--image").arg(image);
        }
        self.start_client_by(i, &mut command)
    }

    /// Starts client `i` by a command of the caller's.
    pub(super) fn start_client_by(&mut self, i: usize, command: &mut Command) -> Result<()> {
        let label = self.label(&format!("client-{i}"));
        let client = Running::start(&label, command, &self.folder)?;
        self.clients.insert(i, client);
        Ok(())
    }

    /// A call of the server in its namespace, without arguments.
    pub(super) fn server_command(&self) -> Command {
        self.with_own_cache(self.net.in_sender(&self.lab.binaries.server))
    }

    /// The command of client `i`, writing to its [`Room::output`].
    pub(super) fn client_command(&self, i: usize) -> Result<Command> {
        let folder = self.output_folder(i);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(self.client_command_to(i, &self.output(i)))
    }

    /// The command of client `i`, writing to `output`.
    pub(super) fn client_command_to(&self, i: usize, output: &Path) -> Command {
        let mut command = self.bare_client_command(i);
        command.args(["receive", "--server", SENDER, "--interface", "eth0", "--output"]).arg(output);
        command
    }

    /// A call of the client in the namespace of receiver `i`, without arguments.
    pub(super) fn bare_client_command(&self, i: usize) -> Command {
        self.with_own_cache(self.net.in_receiver(i, &self.lab.binaries.client))
    }

    fn with_own_cache(&self, mut command: Command) -> Command {
        command.env("XDG_CACHE_HOME", self.folder.join("cache"));
        command
    }

    /// What client `i` gets where each image has a session of its own: they take turns.
    fn image_of(&self, i: usize) -> &Path {
        &self.images[i % self.images.len()]
    }

    /// Where client `i` writes: a file, or a folder if it gets several images.
    pub(super) fn output(&self, i: usize) -> PathBuf {
        match self.images.len() {
            _ if self.setup.each => self.output_folder(i).join("copy"),
            1 => self.output_folder(i).join("copy"),
            _ => self.output_folder(i),
        }
    }

    /// The folder that only client `i` writes to.
    pub(super) fn output_folder(&self, i: usize) -> PathBuf {
        self.folder.join(format!("client-{i}"))
    }

    /// The server.
    pub(super) fn server(&mut self) -> Result<&mut Running> {
        self.server.as_mut().context("the server was not started")
    }

    /// Client `i`.
    pub(super) fn client(&mut self, i: usize) -> Result<&mut Running> {
        self.clients.get_mut(&i).with_context(|| format!("client {i} was not started"))
    }

    /// Waits until the sender's wire carried `share` of the image.
    pub(super) fn wait_until_sent(&mut self, share: f64) -> Result<()> {
        let wanted = (self.setup.bytes as f64 * FRAMING * share) as u64;
        let end = Instant::now() + self.limit();
        while self.wire_bytes()? < wanted {
            let server = self.server()?;
            if server.poll()?.is_some() {
                return Err(server.complaint());
            }
            if Instant::now() > end {
                bail!("the server did not send {:.0} % of the image in time", share * 100.0);
            }
            interrupt::sleep(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Waits until these clients have ended with success.
    pub(super) fn wait_for_clients(&mut self, which: impl Fn(usize) -> bool) -> Result<()> {
        let limit = self.limit();
        let clients = self.clients.iter_mut().filter(|(i, _)| which(**i)).map(|(_, client)| client);
        process::wait_for_success_and_watch(clients, limit, self.server.as_mut())
    }

    /// Waits until the server has ended with success.
    pub(super) fn wait_for_server(&mut self) -> Result<()> {
        process::wait_for_success([self.server()?], LINGER)
    }

    /// Waits until the server has given up its dead clients and ended, and checks that it says so.
    pub(super) fn wait_for_server_to_give_up(&mut self, findings: &mut Findings) -> Result<()> {
        let server = self.server()?;
        process::wait_for([&mut *server], GIVE_UP)?;
        let code = server.poll()?.and_then(|ended| ended.status.code());
        findings.check(code.is_some_and(|code| code != 0), || {
            format!("the server lost a client and ended with {code:?}, not with an exit code other than 0")
        });
        Ok(())
    }

    /// Waits until all clients and the server have ended with success, and compares all copies.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.wait_for_clients(|_| true)?;
        self.wait_for_server()?;
        self.check_copies(|_| true)
    }

    /// Compares what these clients wrote with the images, byte by byte.
    pub(super) fn check_copies(&self, which: impl Fn(usize) -> bool) -> Result<()> {
        self.clients.keys().copied().filter(|&i| which(i)).try_for_each(|i| self.check_copy(i))
    }

    fn check_copy(&self, i: usize) -> Result<()> {
        let output = self.output(i);
        if self.setup.each {
            return files::check_copy(self.image_of(i), &output);
        }
        if let [image] = &self.images[..] {
            return files::check_copy(image, &output);
        }
        self.images.iter().try_for_each(|image| {
            let name = image.file_name().context("an image without a name")?;
            files::check_copy(image, &output.join(name))
        })
    }

    /// From the server's start to the end of the last of these clients.
    pub(super) fn time_of(&mut self, which: impl Fn(usize) -> bool) -> Result<Duration> {
        let started = self.started.context("the server was not started")?;
        let mut last = Duration::ZERO;
        for (_, client) in self.clients.iter_mut().filter(|(i, _)| which(**i)) {
            let ended = client.poll()?.context("a client still runs")?;
            last = last.max(ended.at.saturating_duration_since(started));
        }
        Ok(last)
    }

    /// Bytes on the sender's wire since the (first) server was started.
    pub(super) fn wire_bytes(&self) -> Result<u64> {
        let before = self.before.context("the server was not started")?;
        Ok(self.net.counters()?.sent_bytes - before.sent_bytes)
    }

    /// Bytes on the sender's wire over bytes of the image.
    pub(super) fn wire_ratio(&self) -> Result<f64> {
        Ok(self.wire_bytes()? as f64 / self.setup.bytes as f64)
    }

    /// Adds the figures that every room has.
    pub(super) fn add_figures(&mut self, findings: &mut Findings) -> Result<()> {
        let before = self.before.context("the server was not started")?;
        let feedback = self.net.counters()?.received_packets - before.received_packets;
        findings.figure("feedback", feedback as f64, "packets");
        let gigabytes = self.setup.bytes as f64 / 1e9;
        let server = self.server()?;
        if let Some(ended) = server.poll()? {
            findings.figure("server cpu", ended.cpu.as_secs_f64() / gigabytes, "s/GB");
        }
        let memory = server.memory().anonymous >> 20;
        findings.figure("server memory", memory as f64, "MiB");
        let mut cpu = Duration::ZERO;
        for client in self.clients.values_mut() {
            cpu += client.poll()?.map_or(Duration::ZERO, |ended| ended.cpu);
        }
        let each = cpu.as_secs_f64() / self.clients.len().max(1) as f64;
        findings.figure("client cpu", each / gigabytes, "s/GB");
        Ok(())
    }

    /// By when a session must be over: four passes, and half a minute for a busy machine.
    fn limit(&self) -> Duration {
        self.setup.image_time() * 4 + Duration::from_secs(30)
    }

    fn label(&mut self, role: &str) -> String {
        self.starts += 1;
        format!("{role}.{}", self.starts)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.server = None;
        self.clients.clear();
        if !self.lab.keep {
            // Several rooms' images and copies together would fill a small machine.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
