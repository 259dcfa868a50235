//! `cargo xtask lab`: the real binaries in a network of namespaces. Runs the scenarios one after
//! the other, and ends with a table, what was skipped and why, and one closing line.

pub(crate) mod dnsmasq;
mod findings;
mod firmware;
mod leftovers;
pub(crate) mod net;
mod point;
pub(crate) mod ready;
mod run;
mod scenarios;
pub(crate) mod tools;

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::binaries::{self, Binaries};
use crate::interrupt;
use findings::{Findings, Outcome, Verdict};
use scenarios::{Need, Scenario};
use tools::Tool;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only scenarios whose name holds this; may be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Name the scenarios and what each claims, and run none
    #[arg(long)]
    list: bool,
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
    /// Write the results as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the folder with the programs' output, images and copies
    #[arg(long)]
    keep: bool,
}

/// Runs or lists the scenarios; whether none failed. The closing line is the last one printed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let chosen = choose(&arguments.only)?;
    if arguments.list {
        for scenario in chosen {
            println!("{:<22} {}", scenario.name, scenario.claim);
        }
        return Ok(true);
    }
    let lab = Lab::prepare("lab", &tools::SCENARIOS, arguments.release_dir.as_deref(), arguments.keep)?;

    let outcomes = lab.run_all(&chosen);
    let lasting = if arguments.keep { Some(lab.folder.keep()) } else { None };
    let outcomes = outcomes?;
    findings::print_table(&outcomes);
    if let Some(path) = &arguments.json {
        findings::write_json(&outcomes, path)?;
    }
    if let Some(folder) = lasting {
        println!("kept: {}", folder.display());
    }
    println!("{}", findings::closing_line(&outcomes));
    Ok(outcomes.iter().all(|outcome| outcome.verdict != Verdict::Failed))
}

/// What scenarios share.
pub(crate) struct Lab {
    pub(crate) binaries: Binaries,
    /// Where the programs come from, if they were not built now.
    release_dir: Option<PathBuf>,
    pub(crate) folder: TempDir,
    pub(crate) keep: bool,
    rooms: Cell<u32>,
    clean_time: Cell<Option<Duration>>,
}

impl Lab {
    /// A lab for the task of this name: installs what is missing, removes what a killed run left,
    /// and finds the programs.
    pub(crate) fn prepare(task: &str, needs: &[Tool], release_dir: Option<&Path>, keep: bool) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!(
                "this makes network namespaces and needs root; build first, then run it as root: \
                 cargo build --release --workspace && sudo target/release/xtask {task} --release-dir target/release"
            );
        }
        tools::install_missing(&tools::NETWORK.iter().chain(needs).collect::<Vec<_>>())?;
        leftovers::remove(&work_bases())?;
        let binaries = Binaries::find_or_build(release_dir)?;
        let base = work_base();
        let prefix = if keep { leftovers::KEPT_FOLDER.to_owned() } else { leftovers::folder_prefix() };
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&base)
            .with_context(|| format!("cannot make a folder in {}", base.display()))?;
        let release_dir = release_dir.map(Into::into);
        Ok(Self { binaries, release_dir, folder, keep, rooms: Cell::new(0), clean_time: Cell::new(None) })
    }

    /// The path of a helper of the package `benches`.
    pub(crate) fn helper(&self, name: &str) -> Result<PathBuf> {
        binaries::helper(self.release_dir.as_deref(), name)
    }

    /// The path of an example of a package.
    pub(crate) fn example(&self, package: &str, name: &str) -> Result<PathBuf> {
        binaries::example(self.release_dir.as_deref(), package, name)
    }

    /// A new empty folder for what one room writes, and the room's number.
    pub(crate) fn new_folder(&self) -> Result<(PathBuf, u32)> {
        let number = self.rooms.get() + 1;
        self.rooms.set(number);
        let folder = self.folder.path().join(format!("room-{number}"));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok((folder, number))
    }

    /// A new empty folder for an image that a scenario makes itself; gone when dropped.
    pub(crate) fn new_image_folder(&self) -> Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("image-").tempdir_in(self.folder.path());
        folder.with_context(|| format!("cannot make a folder in {}", self.folder.path().display()))
    }

    /// Keeps the time of a standard room in which nothing happened, to compare others with.
    fn remember_clean_time(&self, time: Duration) {
        self.clean_time.set(Some(time));
    }

    /// How long a standard room takes in which nothing happens; measured once in a run.
    fn clean_time(&self) -> Result<Duration> {
        if let Some(time) = self.clean_time.get() {
            return Ok(time);
        }
        let mut room = run::Room::open(self, &run::Setup::standard())?;
        room.start(0..run::Setup::standard().clients)?;
        room.finish()?;
        let time = room.time_of(|_| true)?;
        self.remember_clean_time(time);
        Ok(time)
    }

    fn run_all(&self, chosen: &[&'static Scenario]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for scenario in chosen {
            interrupt::check()?;
            // A terminal shows what runs now; a log needs only the verdict.
            if std::io::stdout().is_terminal() {
                print!("{:<22} ...\r", scenario.name);
                std::io::stdout().flush().ok();
            }
            let outcome = self.run_one(scenario);
            interrupt::check()?;
            println!("{:<22} {} ({:.1} s)", outcome.name, outcome.verdict.word(), outcome.seconds);
            for line in &outcome.remarks {
                println!("    {line}");
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn run_one(&self, scenario: &Scenario) -> Outcome {
        let started = Instant::now();
        let mut findings = Findings::default();
        let missing = scenario.needs.iter().find_map(|need| self.missing(need));
        if let Some(reason) = missing {
            return findings.skipped(scenario, reason);
        }
        let done = (scenario.run)(self, &mut findings);
        findings.finish(scenario, done, started.elapsed())
    }

    /// Why a need is not met here.
    fn missing(&self, need: &Need) -> Option<String> {
        match *need {
            Need::Program(name) => tools::find(name).is_none().then(|| format!("{name} is not installed")),
            Need::Architecture(name) => {
                let here = std::env::consts::ARCH;
                (here != name).then(|| format!("the processor is {here}, not {name}"))
            }
            Need::All(needs) => needs.iter().find_map(|need| self.missing(need)),
            Need::Postgres => point::Postgres::programs()
                .is_none()
                .then(|| "PostgreSQL (package postgresql) is not installed".to_owned()),
            Need::Space(bytes) => {
                let free = free_bytes(self.folder.path());
                (free < bytes).then(|| {
                    format!("{} MiB needed in {}, {} MiB free", bytes >> 20, self.folder.path().display(), free >> 20)
                })
            }
        }
    }
}

fn choose(patterns: &[String]) -> Result<Vec<&'static Scenario>> {
    let all = scenarios::ALL.iter().copied().flatten();
    let chosen: Vec<_> = all
        .filter(|scenario| patterns.is_empty() || patterns.iter().any(|pattern| scenario.name.contains(&**pattern)))
        .collect();
    if chosen.is_empty() {
        bail!("no scenario's name holds {}; --list names them", patterns.join(" or "));
    }
    Ok(chosen)
}

/// Memory where there is plenty, as a disk's speed is no part of what is measured; else the
/// usual folder for temporary files.
fn work_base() -> PathBuf {
    const PLENTY: u64 = 18 << 30;
    let [memory, disk] = work_bases();
    let available = free_bytes(&memory).min(available_memory());
    if available >= PLENTY { memory } else { disk }
}

/// The folders in memory and on disk where a run may put its own.
fn work_bases() -> [PathBuf; 2] {
    ["/dev/shm".into(), std::env::temp_dir()]
}

/// Bytes that may still be written below `folder`.
fn free_bytes(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(0, |stat| stat.blocks_available() * stat.fragment_size())
}

/// Bytes of memory that processes can have without swapping.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_fits_nothing_is_an_error_and_not_an_empty_success() {
        assert!(choose(&["no such scenario".to_owned()]).is_err());
        assert!(choose(&["room-".to_owned()]).unwrap().len() >= 3);
    }

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let all = choose(&[]).unwrap();
        let names: std::collections::HashSet<_> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
