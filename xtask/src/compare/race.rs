//! One tool in one network: started, waited for within a limit, its copies compared, and measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::ballast::Ballast;
use super::peers::Tool;
use crate::lab::Lab;
use crate::lab::net::Network;
use crate::process::{self, Running};
use crate::{events, files, interrupt};

/// How long those who wait for the other side are given to get ready.
const READY: Duration = Duration::from_millis(500);
/// How long daemons are given to close their files, and what is signalled to end.
const CLOSE: Duration = Duration::from_secs(1);
const END: Duration = Duration::from_secs(5);

/// What the network and the task are like.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) receivers: usize,
    /// Images sent at the same time; receiver `i` takes image `i` modulo this.
    pub(super) sessions: usize,
    /// Bytes of each image.
    pub(super) bytes: u64,
    /// Bits per second on the wire that the tool is told, for all sessions together.
    pub(super) rate: Option<u64>,
    /// What the sender's link carries, in tc's words.
    pub(super) cap: Option<&'static str>,
    /// Share of packets lost on the way to each receiver.
    pub(super) loss: f64,
    /// What single receivers' ports carry, bits per second.
    pub(super) ports: Vec<(usize, u64)>,
    /// Whether super-packets are cut at the sender's interface even if nothing else asks for it.
    pub(super) cut: bool,
    /// By when a tool that is not done counts as stuck.
    pub(super) limit: Duration,
}

impl Setting {
    /// `receivers` receivers of one image on links without loss or caps, super-packets whole.
    pub(super) fn open(receivers: usize, bytes: u64) -> Self {
        let limit = Duration::from_secs(150);
        Self { receivers, sessions: 1, bytes, rate: None, cap: None, loss: 0.0, ports: Vec::new(), cut: false, limit }
    }

    /// The same behind a link of 200 Mbit/s, of which tools are told 190.
    pub(super) fn capped(receivers: usize, bytes: u64) -> Self {
        Self { rate: Some(190_000_000), cap: Some("200mbit"), ..Self::open(receivers, bytes) }
    }

    fn network(&self, number: u32) -> Result<Network> {
        let net = Network::new(number, self.receivers)?;
        if self.cut {
            net.cut_super_packets()?;
        }
        if let Some(cap) = self.cap {
            net.cap_sender(cap)?;
        }
        self.ports.iter().try_for_each(|&(i, rate)| net.cap_receiver(i, &format!("{}kbit", rate / 1000)))?;
        if self.loss > 0.0 {
            (0..self.receivers).try_for_each(|i| net.lose_at_receiver(i, self.loss))?;
        }
        Ok(net)
    }
}

/// What a tool finds when its turn comes.
pub(super) struct Stage<'a> {
    pub(super) lab: &'a Lab,
    pub(super) setting: &'a Setting,
    pub(super) net: Network,
    /// Empty, for all that it writes.
    pub(super) folder: PathBuf,
    /// One a session.
    pub(super) images: &'a [PathBuf],
    /// The program of multicast without a protocol.
    pub(super) limit: &'a Path,
}

impl Stage<'_> {
    /// An empty folder for receiver `i`.
    pub(super) fn receiver_folder(&self, i: usize) -> Result<PathBuf> {
        let folder = self.folder.join(format!("receiver-{i}"));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// Who takes part.
pub(super) struct Party {
    pub(super) lead: Lead,
    pub(super) senders: Vec<Command>,
    pub(super) receivers: Vec<Command>,
    pub(super) proof: Proof,
}

/// Who waits for whom.
pub(super) enum Lead {
    /// Receivers first; time runs from the sender's start until all have ended.
    Receivers,
    /// The same, but receivers never end: the sender's end is the end.
    Daemons,
    /// The sender first, and it never ends; time runs from the receivers' start to their end.
    Server,
}

/// How success is judged.
pub(super) enum Proof {
    /// By these files, one a receiver, compared with the image byte by byte.
    Copies(Vec<PathBuf>),
    /// By what receivers say that they counted; nothing was kept.
    Counted,
}

/// What a tool did.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// From the start to the last receiver's end.
    pub(super) seconds: f64,
    /// The same of each receiver, where it is known.
    pub(super) each: Vec<f64>,
    /// 10⁶ bytes of the image per second.
    pub(super) goodput: f64,
    /// Part of the image that the worst receiver has: below 1 only where nothing is repaired.
    pub(super) arrived: f64,
    /// Bytes at the sender's interface by bytes of all images.
    pub(super) wire: f64,
    /// Processor seconds per 10⁹ bytes: of the senders, and of a receiver in the mean.
    pub(super) sender_cpu: f64,
    pub(super) receiver_cpu: f64,
    /// MiB resident in the largest receiver at most.
    pub(super) receiver_memory: f64,
}

/// Lets `tool` do what `setting` asks for. An error says what went wrong, in a few words.
pub(super) fn race(lab: &Lab, setting: &Setting, images: &[PathBuf], limit: &Path, tool: &Tool) -> Result<Measured> {
    let (folder, number) = lab.new_folder()?;
    let ballast = Ballast::fill(&folder, setting.bytes * setting.receivers as u64)?;
    let stage = Stage { lab, setting, net: setting.network(number)?, folder, images, limit };
    let measured = (tool.party)(&stage).and_then(|party| run(&stage, party, ballast));
    if !lab.keep {
        let _ = std::fs::remove_dir_all(&stage.folder);
    }
    measured
}

fn run(stage: &Stage<'_>, mut party: Party, mut ballast: Ballast) -> Result<Measured> {
    let start = |name: &str, commands: &mut [Command]| -> Result<Vec<Running>> {
        let numbered = commands.iter_mut().enumerate();
        numbered.map(|(i, command)| Running::start(&format!("{name}-{i}"), command, &stage.folder)).collect()
    };
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    match party.lead {
        Lead::Server => senders = start("sender", &mut party.senders)?,
        Lead::Receivers | Lead::Daemons => receivers = start("receiver", &mut party.receivers)?,
    }
    interrupt::sleep(READY)?;
    let before = stage.net.counters()?;
    ballast.yield_to_others()?;
    let started = Instant::now();
    match party.lead {
        Lead::Server => receivers = start("receiver", &mut party.receivers)?,
        Lead::Receivers | Lead::Daemons => senders = start("sender", &mut party.senders)?,
    }
    wait(stage, &party.lead, &mut senders, &mut receivers)?;
    let sent = stage.net.counters()?.sent_bytes - before.sent_bytes;
    let mut last = end_of(match party.lead {
        Lead::Server => &mut receivers,
        Lead::Receivers | Lead::Daemons => &mut senders,
    })?;
    match party.lead {
        Lead::Receivers => last = last.max(end_of(&mut receivers)?),
        Lead::Daemons => stop(&mut receivers)?,
        Lead::Server => stop(&mut senders)?,
    }
    let mut each = Vec::new();
    for receiver in &mut receivers {
        let ended = receiver.poll()?.map_or(last, |ended| ended.at).min(last);
        each.push((ended - started).as_secs_f64());
    }
    judge(stage, &party.proof, &receivers)?;
    measure(stage, (last - started).as_secs_f64(), each, sent, &mut senders, &mut receivers, &party.proof)
}

/// Waits for those that end by themselves, and until they have with success.
fn wait(stage: &Stage<'_>, lead: &Lead, senders: &mut [Running], receivers: &mut [Running]) -> Result<()> {
    let mut waited: Vec<_> = match lead {
        Lead::Receivers => senders.iter_mut().chain(receivers).collect(),
        Lead::Daemons => senders.iter_mut().collect(),
        Lead::Server => receivers.iter_mut().collect(),
    };
    let limit = stage.setting.limit;
    let done = process::wait_for(waited.iter_mut().map(|process| &mut **process), limit);
    interrupt::check()?;
    if done.is_err() {
        let mut still = 0;
        for process in &mut waited {
            still += usize::from(process.poll()?.is_none());
        }
        bail!("stuck: after {} s {still} of {} processes still ran", limit.as_secs(), waited.len());
    }
    process::wait_for_success(waited, limit)
}

fn end_of(processes: &mut [Running]) -> Result<Instant> {
    let mut last = None;
    for process in processes {
        last = last.max(process.poll()?.map(|ended| ended.at));
    }
    last.context("a process still runs")
}

fn stop(processes: &mut [Running]) -> Result<()> {
    interrupt::sleep(CLOSE)?;
    for process in &mut *processes {
        process.signal(Signal::SIGTERM)?;
    }
    if process::wait_for(&mut *processes, END).is_err() {
        interrupt::check()?;
        processes.iter_mut().try_for_each(Running::kill)?;
    }
    Ok(())
}

/// An error that says how many copies are whole, unless all are.
fn judge(stage: &Stage<'_>, proof: &Proof, receivers: &[Running]) -> Result<()> {
    let whole = match proof {
        Proof::Copies(copies) => {
            let image = |i: usize| &stage.images[i % stage.images.len()];
            copies.iter().enumerate().filter(|(i, copy)| files::check_copy(image(*i), copy).is_ok()).count()
        }
        // What came too fast for a receiver is no failure of a program that repairs nothing.
        Proof::Counted => receivers.iter().filter(|receiver| events::counted(&receiver.events()).is_some()).count(),
    };
    if whole < receivers.len() {
        bail!("{whole} of {} copies whole", receivers.len());
    }
    Ok(())
}

fn measure(
    stage: &Stage<'_>,
    mut seconds: f64,
    each: Vec<f64>,
    sent: u64,
    senders: &mut [Running],
    receivers: &mut [Running],
    proof: &Proof,
) -> Result<Measured> {
    let setting = stage.setting;
    let bytes = (setting.bytes * setting.sessions as u64) as f64;
    let (mut goodput, mut arrived) = (bytes / 1e6 / seconds, 1.0_f64);
    if let Proof::Counted = proof {
        // Without the start of the programs, which weighs much in so short a time.
        let counts = receivers.iter().filter_map(|receiver| events::counted(&receiver.events()));
        seconds = 0.0;
        for (received, took) in counts {
            arrived = arrived.min(received / bytes);
            seconds = took.max(seconds);
        }
        goodput = arrived * bytes / 1e6 / seconds;
    }
    let cpu = |processes: &mut [Running]| -> Result<f64> {
        let mut sum = 0.0;
        for process in processes {
            sum += process.poll()?.map_or(0.0, |ended| ended.cpu.as_secs_f64());
        }
        Ok(sum)
    };
    let memory = receivers.iter().map(|receiver| receiver.memory().resident).max().unwrap_or(0);
    Ok(Measured {
        seconds,
        each,
        goodput,
        arrived,
        wire: sent as f64 / bytes,
        sender_cpu: cpu(senders)? / (bytes / 1e9),
        receiver_cpu: cpu(receivers)? / receivers.len() as f64 / (setting.bytes as f64 / 1e9),
        receiver_memory: memory as f64 / f64::from(1 << 20),
    })
}
