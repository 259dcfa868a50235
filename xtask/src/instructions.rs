//! `cargo xtask instructions`: counts the instructions of the hot paths under valgrind and compares
//! them with the committed baselines. Counts do not depend on what else the machine does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lab::tools::{self, Tool};
use crate::{binaries, interrupt};

/// A count beyond this part of its baseline fails.
pub(crate) const TOLERANCE: f64 = 1.10;
/// The helper that takes the paths.
pub(crate) const HELPER: &str = "counted";
/// What counts; the lab installs it, too.
pub(crate) const VALGRIND: Tool = Tool { program: "valgrind", package: "valgrind", essential: false };

/// The longer of the two runs takes a path so many times as often as the shorter one.
const LONGER: u64 = 3;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only paths whose name holds this; may be given several times
    #[arg(long, value_name = "PATTERN", conflicts_with = "update")]
    only: Vec<String>,
    /// Write what is counted as the new baselines
    #[arg(long)]
    update: bool,
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
}

/// Counts and compares, or renews the baselines; whether none is exceeded.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    if tools::find(VALGRIND.program).is_none() {
        bail!("{} is not installed; the Debian package {} brings it", VALGRIND.program, VALGRIND.package);
    }
    let helper = binaries::helper(arguments.release_dir.as_deref(), HELPER)?;
    let mut baselines = read_baselines()?;
    let mut all_within = true;
    println!("{:<24} {:>12} {:>12} {:>8}", "path", "counted", "baseline", "change");
    for path in paths(&helper)? {
        let chosen = arguments.only.is_empty() || arguments.only.iter().any(|pattern| path.name.contains(&**pattern));
        if !chosen {
            continue;
        }
        if !path.can_be_counted() {
            println!("{:<24} not counted: this processor lacks {}", path.name, path.needs);
            continue;
        }
        let counted = path.count(&helper)?;
        let baseline = baselines.get(&path.name).copied();
        let change = baseline.map_or(String::new(), |baseline| format!("{:+.1} %", (counted / baseline - 1.0) * 100.0));
        let shown = baseline.map_or("none".to_owned(), |baseline| format!("{baseline:.1}"));
        println!("{:<24} {counted:>12.1} {shown:>12} {change:>8}  a {}", path.name, path.unit);
        all_within &= arguments.update || baseline.is_some_and(|baseline| counted <= baseline * TOLERANCE);
        if arguments.update {
            baselines.insert(path.name, counted);
        }
    }
    if arguments.update {
        write_baselines(&baselines)?;
        println!("written: benches/instructions.txt");
    } else if !all_within {
        println!("a path takes over {:.0} % more than its baseline, or has none", (TOLERANCE - 1.0) * 100.0);
    }
    Ok(all_within)
}

/// A path that the helper offers.
pub(crate) struct Counted {
    pub(crate) name: String,
    times: u64,
    units: u64,
    needs: String,
    /// What its count is for.
    pub(crate) unit: String,
}

/// All paths of the helper.
pub(crate) fn paths(helper: &Path) -> Result<Vec<Counted>> {
    let list = tools::finish(Command::new(helper).arg("list"))?;
    list.lines().map(|line| parse_path(line).with_context(|| format!("{HELPER} lists {line:?}"))).collect()
}

/// Name, times, units, what the processor needs, and the unit, which may be several words.
fn parse_path(line: &str) -> Option<Counted> {
    let mut words = line.splitn(5, ' ');
    Some(Counted {
        name: words.next()?.to_owned(),
        times: words.next()?.parse().ok()?,
        units: words.next()?.parse().ok().filter(|units| *units > 0)?,
        needs: words.next()?.to_owned(),
        unit: words.next()?.to_owned(),
    })
}

impl Counted {
    /// Whether this processor has what the path chooses its instructions by. Valgrind shows programs
    /// what it can emulate of it: AVX2 and no more.
    pub(crate) fn can_be_counted(&self) -> bool {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        self.needs == "any" || flags.split_whitespace().any(|flag| flag == self.needs)
    }

    /// Instructions of one unit: the difference of two runs, so that preparing does not count.
    pub(crate) fn count(&self, helper: &Path) -> Result<f64> {
        let (short, long) = (self.run(helper, self.times)?, self.run(helper, self.times * LONGER)?);
        Ok(long.saturating_sub(short) as f64 / ((LONGER - 1) * self.times * self.units) as f64)
    }

    fn run(&self, helper: &Path, times: u64) -> Result<u64> {
        interrupt::check()?;
        let mut command = tools::tool(VALGRIND.program);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(helper);
        let output = command.args([&self.name, &times.to_string()]).output().context("cannot run valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{} under valgrind ended with {}: {}", self.name, output.status, said.trim());
        }
        parse_collected(&said).with_context(|| format!("valgrind told no count of {}", self.name))
    }
}

/// `==123== Collected : 456`.
fn parse_collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn baselines_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/instructions.txt")
}

/// The committed counts by the names of their paths.
pub(crate) fn read_baselines() -> Result<BTreeMap<String, f64>> {
    let path = baselines_path();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_baselines(&text)
}

fn parse_baselines(text: &str) -> Result<BTreeMap<String, f64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parse = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    lines.map(|line| parse(line).with_context(|| format!("no baseline: {line:?}"))).collect()
}

fn write_baselines(baselines: &BTreeMap<String, f64>) -> Result<()> {
    let compiler = tools::run("rustc", ["--version"]).unwrap_or_else(|_| "an unknown compiler".to_owned());
    let mut text = format!(
        "# Instructions of the hot paths, for each unit that `counted list` names, counted by callgrind.\n\
         # Renewed by `cargo xtask instructions --update`; these by {} for {}.\n",
        compiler.trim(),
        std::env::consts::ARCH
    );
    for (name, count) in baselines {
        let _ = writeln!(text, "{name} {count:.1}");
    }
    let path = baselines_path();
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 23535866\n==7== \n==7== I   refs:      23,535,866\n";
        assert_eq!(parse_collected(said), Some(23_535_866));
        assert_eq!(parse_collected("valgrind: no such file"), None);
    }

    #[test]
    fn a_path_is_read_with_its_unit_of_several_words() {
        let path = parse_path("report-encode 10 1200 any damaged block").unwrap();
        assert_eq!((path.name.as_str(), path.times, path.units), ("report-encode", 10, 1200));
        assert_eq!((path.needs.as_str(), path.unit.as_str()), ("any", "damaged block"));
        assert!(parse_path("report-encode 10 0 any block").is_none());
        assert!(parse_path("report-encode 10").is_none());
    }

    #[test]
    fn baselines_are_read_around_their_comments() {
        let baselines = parse_baselines("# of a compiler\nintake 330.5\n\nbitmap-bulk 1.0\n").unwrap();
        assert_eq!(baselines.get("intake"), Some(&330.5));
        assert_eq!(baselines.len(), 2);
        assert!(parse_baselines("intake many\n").is_err());
    }

    #[test]
    fn the_committed_baselines_can_be_read() {
        assert!(!read_baselines().unwrap().is_empty());
    }
}
