//! Bad input: each a clear error of one line that names what is wrong, and a code other than 0.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};
use crate::lab::tools::run;
use crate::process::{self, Running};

pub(super) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "bad-arguments",
        claim: "each wrong argument is an error of one line that names it, at once",
        needs: &[],
        run: arguments,
    },
    Scenario {
        name: "bad-interface-choice",
        claim: "without --interface, and with two to choose from, both are listed with their addresses",
        needs: &[],
        run: ambiguous_interface,
    },
    Scenario {
        name: "bad-port-taken",
        claim: "the second server on one control port is told so, and the first goes on",
        needs: &[],
        run: port_taken,
    },
    Scenario {
        name: "disk-full",
        claim: "a client whose disk is too small says so, and the others go on",
        needs: &[Need::Space(1 << 30)],
        run: disk_full,
    },
];

/// How long a program may take to find its input bad.
const AT_ONCE: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// A command and the words that its error must hold.
struct Row {
    name: &'static str,
    side: Side,
    arguments: &'static [&'static str],
    words: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Side {
    Server,
    Client,
}

/// Paths are relative to the room's folder.
const ROWS: [Row; 10] = [
    Row {
        name: "missing-image",
        side: Side::Server,
        arguments: &["send", "missing.img", "--interface", "eth0"],
        words: &["missing.img"],
    },
    Row {
        name: "empty-image",
        side: Side::Server,
        arguments: &["send", "empty.img", "--interface", "eth0"],
        words: &["empty.img", "empty"],
    },
    Row {
        name: "damaged-wim",
        side: Side::Server,
        arguments: &["send", "damaged.wim", "--interface", "eth0"],
        words: &["damaged.wim"],
    },
    Row {
        name: "reserved-address",
        side: Side::Server,
        arguments: &["send", "image.bin", "--interface", "eth0", "--address", "224.0.0.1"],
        words: &["224.0.0.1", "224.0.0.0/24"],
    },
    Row {
        name: "unicast-address",
        side: Side::Server,
        arguments: &["send", "image.bin", "--interface", "eth0", "--address", "10.0.0.1"],
        words: &["10.0.0.1", "multicast"],
    },
    Row {
        name: "port-range",
        side: Side::Server,
        arguments: &["send", "image.bin", "--interface", "eth0", "--ports", "9-1"],
        words: &["9-1"],
    },
    Row {
        name: "server-interface",
        side: Side::Server,
        arguments: &["send", "image.bin", "--interface", "nope0"],
        words: &["nope0", "eth0", "10.77.0.1"],
    },
    Row {
        name: "client-interface",
        side: Side::Client,
        arguments: &["receive", "--server", "10.77.0.1", "--interface", "nope0", "--output", "copy"],
        words: &["nope0", "eth0", "10.77.0.11"],
    },
    Row {
        name: "output-folder",
        side: Side::Client,
        arguments: &["receive", "--server", "10.77.0.1", "--interface", "eth0", "--output", "no-folder/copy"],
        words: &["no-folder"],
    },
    Row {
        name: "server-name",
        side: Side::Client,
        arguments: &["receive", "--server", "10.77.0.1:99999", "--interface", "eth0", "--output", "copy"],
        words: &["99999"],
    },
];

fn arguments(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: MIB, ..Setup::open(1, 100_000_000) };
    let room = Room::open(lab, &setup)?;
    fs::write(room.folder().join("empty.img"), "").context("cannot write the empty image")?;
    fs::write(room.folder().join("damaged.wim"), lying_wim()).context("cannot write the damaged image")?;
    for row in &ROWS {
        let mut command = match row.side {
            Side::Server => room.server_command(),
            Side::Client => room.bare_client_command(0),
        };
        command.args(row.arguments).current_dir(room.folder());
        findings.check_done(expect_error(row.name, &mut command, row.words, room.folder()));
    }
    findings.figure("rows", ROWS.len() as f64, "");
    Ok(())
}

/// A WIM by its magic, its header's length and version, whose tables lie far past its end.
fn lying_wim() -> Vec<u8> {
    let mut wim = vec![0xff; 4096];
    wim[..8].copy_from_slice(b"MSWIM\0\0\0");
    wim[8..12].copy_from_slice(&208u32.to_le_bytes());
    wim[12..16].copy_from_slice(&0x0001_0d00u32.to_le_bytes());
    wim
}

fn ambiguous_interface(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: MIB, ..Setup::open(0, 100_000_000) };
    let room = Room::open(lab, &setup)?;
    room.net().add_second_interface("10.78.0.1")?;
    let mut command = room.server_command();
    command.arg("send").arg(room.image());
    let words = ["--interface", "eth0", "10.77.0.1", "eth1", "10.78.0.1"];
    findings.check_done(expect_error("no-interface", &mut command, &words, room.folder()));
    Ok(())
}

fn port_taken(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: MIB, ..Setup::open(1, 100_000_000) };
    let mut room = Room::open(lab, &setup)?;
    let send = |room: &Room<'_>| {
        let mut command = room.server_command();
        command.arg("send").arg(room.image()).args(["--interface", "eth0", "--min-clients", "1"]);
        command.args(["--rate", "100mbit", "--control-port", "62111"]);
        command
    };
    let mut first = Running::start("first-server", &mut send(&room), room.folder())?;
    // Any that is not up by then fails below, as the second would find the port free.
    crate::interrupt::sleep(Duration::from_secs(1))?;
    findings.check_done(expect_error("second-server", &mut send(&room), &["62111"], room.folder()));
    let mut client = room.bare_client_command(0);
    client.args(["receive", "--server", "10.77.0.1:62111", "--interface", "eth0", "--output"]);
    fs::create_dir_all(room.output_folder(0)).context("cannot make the client's folder")?;
    client.arg(room.output(0));
    room.start_client_by(0, &mut client)?;
    room.wait_for_clients(|_| true)?;
    process::wait_for_success([&mut first], AT_ONCE)?;
    room.check_copies(|_| true)
}

fn disk_full(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const SMALL: usize = 3;
    let setup = Setup { bytes: 64 * MIB, min_clients: SMALL, ..Setup::open(SMALL + 1, 200_000_000) };
    let mut room = Room::open(lab, &setup)?;
    let _disk = SmallDisk::mount(room.output_folder(SMALL), 16 * MIB)?;
    room.start(0..=SMALL)?;
    let others = |i| i != SMALL;
    room.wait_for_clients(others)?;
    room.check_copies(others)?;
    process::wait_for([room.server()?], Duration::from_secs(120))?;
    let client = room.client(SMALL)?;
    process::wait_for([&mut *client], AT_ONCE)?;
    let code = client.poll()?.and_then(|ended| ended.status.code());
    let (words, complaint) = (client.stderr().to_lowercase(), client.complaint());
    findings.check(code.is_some_and(|code| code != 0), || {
        format!("an exit code other than 0 was expected, but {complaint}")
    });
    findings.check(words.contains("space") && words.contains("copy"), || {
        format!("the error names not both the file and the missing space: {}", words.trim())
    });
    findings.figure("the three", room.time_of(others)?.as_secs_f64(), "s");
    Ok(())
}

/// A file system in memory, gone when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: PathBuf, bytes: u64) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let size = format!("size={bytes}");
        run(
            "mount",
            [Path::new("-t"), Path::new("tmpfs"), Path::new("-o"), Path::new(&size), Path::new("lab"), &folder],
        )?;
        Ok(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a client that still runs may hold it.
        let _ = run("umount", [Path::new("--lazy"), &self.folder]);
    }
}

/// Runs `command` and checks that it ends at once, by itself, with a code other than 0 and one
/// line of error that holds all the `words` (lines of advice below it are indented).
fn expect_error(name: &str, command: &mut Command, words: &[&str], folder: &Path) -> Result<()> {
    let mut running = Running::start(name, command, folder)?;
    process::wait_for([&mut running], AT_ONCE)?;
    let status = running.poll()?.context("it still runs")?.status;
    let text = running.stderr();
    judge(status.code(), status.signal(), &text, words).map_err(|reason| anyhow::anyhow!("{name}: {reason}"))
}

fn judge(code: Option<i32>, signal: Option<i32>, text: &str, words: &[&str]) -> Result<(), String> {
    let said = text.trim();
    if let Some(signal) = signal {
        return Err(format!("died of signal {signal}: {said}"));
    }
    if code == Some(0) {
        return Err(format!("ended with success: {said}"));
    }
    if said.contains("panicked at") {
        return Err(format!("panicked: {said}"));
    }
    // clap closes its errors with where to find help.
    let advice = |line: &&str| line.is_empty() || line.starts_with(' ') || line.starts_with("For more information");
    let errors = said.lines().filter(|line| !advice(line)).count();
    if errors != 1 || !said.starts_with("error: ") {
        return Err(format!("said not one line that begins with \"error: \": {said}"));
    }
    match words.iter().find(|word| !said.contains(**word)) {
        Some(word) => Err(format!("does not mention {word}: {said}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_must_be_one_line_with_all_its_words_and_a_code() {
        let good = "error: cannot use 224.0.0.1: reserved\n  use another one\n";
        assert!(judge(Some(2), None, good, &["224.0.0.1"]).is_ok());
        assert!(judge(Some(0), None, good, &[]).is_err());
        assert!(judge(None, Some(7), good, &[]).is_err());
        assert!(judge(Some(2), None, good, &["10.0.0.1"]).is_err());
        assert!(judge(Some(2), None, "error: a\nerror: b\n", &[]).is_err());
        assert!(judge(Some(101), None, "thread 'main' panicked at src/main.rs", &[]).is_err());
        assert!(judge(Some(2), None, "", &[]).is_err());
    }
}
