//! The TFTP server beside clients that lose packets, leave, misbehave and lie.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::net::{Network, SENDER};
use crate::process::{self, Running};
use crate::{files, interrupt};

const NEEDS: [Need; 1] = [Need::Space(256 << 20)];
const MB: u64 = 1_000_000;

pub(super) const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "tftp-loss",
        claim: "at 1 % loss each way 1 MB takes less than a second, block by block",
        needs: &NEEDS,
        run: loss,
    },
    Scenario {
        name: "tftp-many",
        claim: "50 transfers at once all get their file, as it is",
        needs: &NEEDS,
        run: many,
    },
    Scenario {
        name: "tftp-long",
        claim: "a file of more than 65,535 blocks arrives as it is",
        needs: &NEEDS,
        run: long,
    },
    Scenario {
        name: "tftp-abandoned",
        claim: "500 clients that leave without a word lock nobody out",
        needs: &NEEDS,
        run: abandoned,
    },
    Scenario { name: "tftp-error", claim: "a client's error ends its transfer at once", needs: &NEEDS, run: error },
    Scenario {
        name: "tftp-names",
        claim: "no name leads out of the boot folder, no link is followed, no answer tells a path",
        needs: &NEEDS,
        run: names,
    },
    Scenario {
        name: "tftp-mtu",
        claim: "a block is never larger than what one packet carries on the way, and as large as asked for otherwise",
        needs: &NEEDS,
        run: mtu,
    },
    Scenario {
        name: "tftp-garbage",
        claim: "100,000 random datagrams cost neither memory nor descriptors, and files are served meanwhile",
        needs: &NEEDS,
        run: garbage,
    },
];

/// A server in the sender's namespace, and clients in the receivers'.
struct Site {
    net: Network,
    server: Running,
    program: PathBuf,
    folder: PathBuf,
    fetches: usize,
}

impl Site {
    fn open(lab: &Lab, clients: usize, settings: &[&str]) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        let net = Network::new(number, clients)?;
        let boot = folder.join("boot");
        std::fs::create_dir(&boot).with_context(|| format!("cannot make {}", boot.display()))?;
        let mut command = net.in_sender(&lab.example("pxe", "tftp_serve")?);
        command.arg(&boot).args(["--listen", SENDER]).args(settings);
        let server = Running::start("server", &mut command, &folder)?;
        let program = lab.example("pxe", "tftp_fetch")?;
        let mut site = Self { net, server, program, folder, fetches: 0 };
        site.wait_until("the server listens", |site| Ok(site.server.stdout().contains("listening")))?;
        Ok(site)
    }

    fn boot(&self) -> PathBuf {
        self.folder.join("boot")
    }

    fn put(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.boot().join(name);
        files::write_random(&path, bytes, bytes)?;
        Ok(path)
    }

    /// Starts `tftp_fetch` in the namespace of client `i`.
    fn start(&mut self, i: usize, words: &[&str], name: &str, more: &[&str]) -> Result<Running> {
        self.fetches += 1;
        let server = format!("{SENDER}:69");
        let mut command = self.net.in_receiver(i, &self.program);
        command.args(words).arg(&server).args([name]).args(more);
        Running::start(&format!("fetch-{}", self.fetches), &mut command, &self.folder)
    }

    /// Fetches a file, compares it, and takes its time in seconds.
    fn get(&mut self, i: usize, name: &str, more: &[&str]) -> Result<f64> {
        self.fetch(i, name, more)?["seconds"].as_f64().context("a fetch told no time")
    }

    /// Fetches a file, compares it, and says how it came.
    fn fetch(&mut self, i: usize, name: &str, more: &[&str]) -> Result<Value> {
        let same = self.boot().join(name);
        let same = same.to_str().context("a path that is no text")?;
        let mut fetch = self.start(i, &["get"], name, &[&["--size", "--same-as", same], more].concat())?;
        process::wait_for_success([&mut fetch], Duration::from_secs(120))?;
        fetch.events().into_iter().next().context("a fetch told nothing")
    }

    fn wait_until(&mut self, what: &str, mut reached: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let limit = std::time::Instant::now() + Duration::from_secs(20);
        while !reached(self)? {
            if self.server.poll()?.is_some() {
                return Err(self.server.complaint());
            }
            anyhow::ensure!(std::time::Instant::now() < limit, "waited 20 s in vain until {what}");
            interrupt::sleep(Duration::from_millis(10))?;
        }
        Ok(())
    }
}

fn loss(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    site.put("file", MB)?;
    site.net.lose_at_receiver(0, 0.01)?;
    site.net.lose_feedback(0.01)?;
    for window in ["1", "4", "64"] {
        let more = ["--block", "1468", "--window", window];
        let mut times = (0..15).map(|_| site.get(0, "file", &more)).collect::<Result<Vec<_>>>()?;
        times.sort_by(f64::total_cmp);
        let limit = if window == "1" { 1.0 } else { 0.5 };
        findings.at_most(format!("window {window}, median of 15"), times[7], "s", limit);
        // The client's own request may be lost, too, which it sends again after a second.
        findings.at_most(format!("window {window}, slowest"), times[14], "s", limit + 2.0);
    }
    Ok(())
}

fn many(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    let file = site.put("file", 4 * MB)?;
    let same = file.to_str().context("a path that is no text")?;
    for window in ["1", "16"] {
        let more = ["--same-as", same, "--at-once", "50", "--block", "1468", "--window", window];
        let mut fetch = site.start(0, &["get"], "file", &more)?;
        let ended = process::wait_for_success([&mut fetch], Duration::from_secs(120));
        findings.check_done(ended.map(drop));
        let events = fetch.events();
        let slowest = events.iter().filter_map(|event| event["seconds"].as_f64()).fold(0.0, f64::max);
        let done = events.iter().filter(|event| event["event"] == "done").count();
        findings.check(done == 50, || format!("{done} of 50 are done"));
        findings.figure(format!("50 × 4 MB, window {window}, the slowest"), slowest, "s");
    }
    Ok(())
}

fn long(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    // 65,536 blocks with an empty last one, and many more.
    for (name, bytes) in [("brim", 512 * 65_535), ("long", 80 * MB + 7)] {
        site.put(name, bytes)?;
        let seconds = site.get(0, name, &["--window", "8"])?;
        findings.figure(format!("{} blocks", bytes / 512 + 1), seconds, "s");
    }
    Ok(())
}

fn abandoned(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 2, &["--transfers-per-client", "1000"])?;
    site.put("file", MB)?;
    let before = site.get(1, "file", &["--block", "1468"])?;
    findings.figure("1 MB alone", before, "s");
    for (answers, limit) in [("0", 1.0), ("3", 1.0)] {
        let leave = ["--count", "500", "--block", "1468", "--window", "4", "--answers", answers];
        let mut left = site.start(0, &["leave"], "file", &leave)?;
        site.wait_until("500 have left", |_| Ok(!left.events().is_empty()))?;
        let seconds = site.get(1, "file", &["--block", "1468"])?;
        findings.at_most(format!("1 MB beside 500 that left after {answers} answers"), seconds, "s", limit);
        left.kill()?;
    }
    Ok(())
}

fn error(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    site.put("file", MB)?;
    let descriptors = site.server.descriptors()?;
    for more in [&["--block", "1468", "--size"][..], &[]] {
        let mut refuse = site.start(0, &["refuse"], "file", more)?;
        process::wait_for_success([&mut refuse], Duration::from_secs(20))?;
        let events = refuse.events();
        let came = events.first().and_then(|event: &Value| event["more"].as_f64()).unwrap_or(f64::NAN);
        findings.at_most("datagrams within 2 s of the error", came, "", 0.0);
    }
    let left = site.server.descriptors()?;
    findings.check(left == descriptors, || format!("{descriptors} descriptors before, {left} after"));
    let words = site.server.stdout();
    let ends = words.lines().filter(|line| line.starts_with("aborted") && line.contains("the client ")).count();
    findings.check(ends == 2, || format!("the server tells {ends} ends of 2:\n{words}"));
    Ok(())
}

fn names(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    site.put("file", 1000)?;
    std::fs::create_dir(site.boot().join("Boot"))?;
    site.put("Boot/BCD", 2000)?;
    files::write_random(&site.folder.join("secret"), 1000, 1)?;
    let secret = site.folder.join("secret");
    symlink(&secret, site.boot().join("link"))?;
    symlink(&site.folder, site.boot().join("out"))?;
    symlink("file", site.boot().join("within"))?;
    let absolute = secret.to_str().context("a path that is no text")?.to_owned();
    let forbidden = [
        "../secret",
        "..\\secret",
        "/../secret",
        "Boot/../../secret",
        "....//secret",
        "..%2fsecret",
        "link",
        "LINK",
        "within",
        "out/secret",
        "/etc/passwd",
        "\\\\server\\etc\\passwd",
        "Boot",
        ".",
        "",
        &absolute,
    ];
    let mut told = 0;
    for name in forbidden {
        let mut fetch = site.start(0, &["get"], name, &[])?;
        process::wait_for([&mut fetch], Duration::from_secs(20))?;
        let words = fetch.stdout();
        findings.check(words.contains("failed"), || format!("{name:?} was handed out: {words}"));
        findings.check(!leaks(&words, &site.folder), || format!("the answer to {name:?} tells a path: {words}"));
        told += usize::from(words.contains("error"));
    }
    findings.figure("names refused with words", told as f64, "");
    findings.check(told == forbidden.len(), || format!("{told} of {} got an answer", forbidden.len()));
    let wanted = site.boot().join("Boot/BCD");
    let wanted = wanted.to_str().context("a path that is no text")?.to_owned();
    for name in ["Boot/BCD", "/boot/bcd", "\\Boot\\BCD", "boot\\\\bcd", "bios//Boot/bcd", "./BOOT/./BCD"] {
        let mut fetch = site.start(0, &["get"], name, &["--same-as", &wanted])?;
        let done = process::wait_for_success([&mut fetch], Duration::from_secs(20)).map(drop);
        findings.check_done(done.with_context(|| format!("{name:?} was not handed out")));
    }
    Ok(())
}

fn leaks(words: &str, folder: &Path) -> bool {
    folder.to_str().is_some_and(|folder| words.contains(folder)) || words.contains("/boot")
}

fn mtu(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 1, &[])?;
    site.put("file", MB)?;
    // What IPv4, UDP and TFTP take of a packet are 32 bytes.
    for (mtu, asked, granted) in
        [(1500, "8192", 1468), (1500, "1024", 1024), (9000, "8192", 8192), (1280, "1468", 1248)]
    {
        site.net.set_mtu(mtu)?;
        let came = site.fetch(0, "file", &["--block", asked, "--window", "4"])?;
        let block = came["block"].as_u64();
        findings.check(block == Some(granted), || format!("at MTU {mtu} {asked} are asked for, {block:?} granted"));
    }
    Ok(())
}

fn garbage(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut site = Site::open(lab, 2, &[])?;
    site.put("file", MB)?;
    let fetch = ["--block", "1468", "--window", "4", "--resend", "100"];
    (0..3).try_for_each(|_| site.get(1, "file", &fetch).map(drop))?;
    let (descriptors, memory) = (site.server.descriptors()?, site.server.resident_peak()?);
    let mut flood = site.start(0, &["garbage"], "100000", &[])?;
    let seconds = site.get(1, "file", &fetch)?;
    findings.at_most("1 MB meanwhile", seconds, "s", 5.0);
    process::wait_for_success([&mut flood], Duration::from_secs(60))?;
    let after = site.get(1, "file", &fetch)?;
    findings.at_most("1 MB afterwards", after, "s", 1.0);
    let grown = site.server.resident_peak()?.saturating_sub(memory);
    findings.figure("peak resident before", memory as f64 / 1024.0, "KiB");
    findings.at_most("grown by", grown as f64 / 1024.0, "KiB", 512.0);
    let left = site.server.descriptors()?;
    findings.check(left == descriptors, || format!("{descriptors} descriptors before, {left} after"));
    Ok(())
}
