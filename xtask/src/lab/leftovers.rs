//! What a run that was killed outright left behind. Only what bears our name and the process id
//! of a run that is dead is touched.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::net;
use super::tools::run;

/// How the folders begin that a user asked to keep.
pub(super) const KEPT_FOLDER: &str = "mcast-lab-kept-";
/// How the other folders of runs begin; the process id and a dash follow.
const FOLDER: &str = "mcast-lab-";

/// How this run's folder begins.
pub(super) fn folder_prefix() -> String {
    format!("{FOLDER}{}-", std::process::id())
}

/// Removes namespaces with what still runs in them, and folders in `bases`.
pub(super) fn remove(bases: &[PathBuf]) -> Result<()> {
    for line in run("ip", ["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if owner_of_namespace(name).is_some_and(is_dead) {
            remove_namespace(name)?;
            eprintln!("removed namespace {name} of a run that was killed");
        }
    }
    for base in bases {
        // A base that does not exist holds nothing.
        for entry in base.read_dir().into_iter().flatten().flatten() {
            if entry.file_name().to_str().and_then(owner_of_folder).is_some_and(is_dead) {
                remove_folder(&entry.path())?;
                eprintln!("removed folder {} of a run that was killed", entry.path().display());
            }
        }
    }
    Ok(())
}

fn remove_namespace(name: &str) -> Result<()> {
    for pid in run("ip", ["netns", "pids", name])?.lines().filter_map(|pid| pid.trim().parse().ok()) {
        // It may end by itself meanwhile.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    run("ip", ["netns", "del", name]).map(drop)
}

fn remove_folder(folder: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for target in targets.filter(|target| target.starts_with(folder)) {
        run("umount", [Path::new("--lazy"), target])?;
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn is_dead(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// The process that made a namespace of this name, if it is one of ours.
fn owner_of_namespace(name: &str) -> Option<u32> {
    let (owner, rest) = name.strip_prefix(net::PREFIX)?.split_once('x')?;
    rest.split_once('-').and_then(|(number, _)| number.parse::<u32>().ok())?;
    owner.parse().ok()
}

/// The process that made a folder of this name, if it is one of ours and not kept.
fn owner_of_folder(name: &str) -> Option<u32> {
    name.strip_prefix(FOLDER)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_namespaces_have_an_owner() {
        assert_eq!(owner_of_namespace("mcl123x4-r0"), Some(123));
        assert_eq!(owner_of_namespace("mcl123x4-w"), Some(123));
        for other in ["mcl", "mclab", "mcl12-r0", "mclx4-r0", "mcl1xr-w", "docker0", ""] {
            assert_eq!(owner_of_namespace(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_that_was_asked_for_has_no_owner() {
        assert_eq!(owner_of_folder(&format!("{}abc", folder_prefix())), Some(std::process::id()));
        for other in [&format!("{KEPT_FOLDER}abc"), "mcast-lab-", "mcast-lab-12", "mcast-demo-12-a"] {
            assert_eq!(owner_of_folder(other), None, "{other}");
        }
    }
}
