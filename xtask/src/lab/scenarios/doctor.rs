//! Networks with one fault each, and what the doctor says of them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::net::{Network, SENDER};
use crate::lab::run::{Room, Setup};
use crate::process::{self, Running};
use crate::{events, interrupt};

pub(super) const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "doctor-sound",
        claim: "on a sound network the doctor finds nothing amiss, from either side",
        needs: &NEEDS,
        run: sound,
    },
    Scenario {
        name: "doctor-loss",
        claim: "2 % loss is measured as 1.5 to 2.5 %, by multicast and by unicast, and warned of",
        needs: &NEEDS,
        run: loss,
    },
    Scenario {
        name: "doctor-mtu",
        claim: "a port that carries 1,400 bytes is found, to the 4 bytes that a bridge adds for a VLAN",
        needs: &NEEDS,
        run: mtu,
    },
    Scenario {
        name: "doctor-deaf",
        claim: "multicast that the client's own firewall drops is told so, and from multicast that never comes",
        needs: &NEEDS,
        run: deaf,
    },
    Scenario {
        name: "doctor-port",
        claim: "a control port that a firewall blocks is named, and told from a host that is not there",
        needs: &NEEDS,
        run: blocked,
    },
    Scenario {
        name: "doctor-querier",
        claim: "without a querier the doctor listens for 130 s, warns, and sees that the group is flooded",
        needs: &NEEDS,
        run: querier,
    },
    Scenario {
        name: "doctor-others",
        claim: "the doctor of a second server on the link names the first one",
        needs: &NEEDS,
        run: others,
    },
];

const NEEDS: [Need; 1] = [Need::Program("nft")];
/// What clients are measured at; two cores cut it into single packets without effort.
const RATE: &str = "50mbit";
/// The doctor's own times, and a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
const CONTROL_PORT: u16 = 62_999;

/// What a doctor found, and its exit code.
struct Report {
    events: Vec<Value>,
    code: Option<i32>,
}

impl Report {
    fn of(running: &mut Running, limit: Duration) -> Result<Self> {
        process::wait_for([&mut *running], limit)?;
        let code = running.poll()?.and_then(|ended| ended.status.code());
        Ok(Self { events: running.events(), code })
    }

    fn finding(&self, test: &str) -> Option<&Value> {
        self.events.iter().find(|event| event["event"] == "finding" && event["test"] == test)
    }

    fn figure(&self, test: &str, name: &str) -> f64 {
        self.finding(test).and_then(|finding| finding["figures"][name].as_f64()).unwrap_or(f64::NAN)
    }

    /// Checks that `test` ended so, and that what was seen holds `words`.
    fn check(&self, findings: &mut Findings, test: &str, outcome: &str, words: &str) {
        let found = self.finding(test);
        let fits = found.is_some_and(|finding| {
            finding["outcome"] == outcome && finding["seen"].as_str().is_some_and(|seen| seen.contains(words))
        });
        findings.check(fits, || match found {
            Some(found) => {
                format!("{test} is {} and says {}, not {outcome} and {words:?}", found["outcome"], found["seen"])
            }
            None => format!("{test} was not tested"),
        });
    }

    /// Checks that nothing but these was complained of, and the exit code.
    fn check_only(&self, findings: &mut Findings, tests: &[&str], code: i32) {
        for finding in self.events.iter().filter(|event| event["event"] == "finding") {
            let (test, fine) = (finding["test"].as_str().unwrap_or_default(), ["ok", "not_testable"]);
            let fine = finding["outcome"].as_str().is_some_and(|outcome| fine.contains(&outcome));
            findings.check(fine || tests.contains(&test), || format!("{test}: {}", finding["seen"]));
        }
        findings.check(self.code == Some(code), || format!("it ended with {:?}, not with {code}", self.code));
    }
}

/// A room whose server offers trials without an image.
struct Surgery<'a> {
    room: Room<'a>,
    server: Running,
}

impl<'a> Surgery<'a> {
    fn open(lab: &'a Lab, harm: impl FnOnce(&Network) -> Result<()>) -> Result<Self> {
        let room = Room::open(lab, &Setup { bytes: 1 << 20, ..Setup::open(2, 50_000_000) })?;
        // The switch becomes the querier first: see the network.
        interrupt::sleep(Duration::from_secs(1))?;
        let mut command = room.server_command();
        command.args(["doctor", "--interface", "eth0", "--rate", RATE, "--listen", "3s", "--serve", "10m", "--json"]);
        let mut server = Running::start("server-doctor", &mut command, room.folder())?;
        let end = Instant::now() + LIMIT;
        while !server.events().iter().any(|event| event["event"] == "serving") {
            if server.poll()?.is_some() || Instant::now() > end {
                return Err(server.complaint());
            }
            interrupt::sleep(Duration::from_millis(50))?;
        }
        harm(room.net())?;
        Ok(Self { room, server })
    }

    /// What the doctor finds at receiver 0.
    fn client(&self, arguments: &[&str], limit: Duration) -> Result<Report> {
        let mut command = self.room.bare_client_command(0);
        command.args(["doctor", "--server", SENDER, "--interface", "eth0", "--json"]).args(arguments);
        let mut client = Running::start("client-doctor", &mut command, self.room.folder())?;
        let report = Report::of(&mut client, limit)?;
        match report.events.iter().any(|event| event["event"] == "verdict") {
            true => Ok(report),
            false => Err(client.complaint()),
        }
    }
}

fn sound(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |_| Ok(()))?;
    let begun = Instant::now();
    let report = surgery.client(&[], LIMIT)?;
    findings.figure("client's doctor", begun.elapsed().as_secs_f64(), "s");
    report.check_only(findings, &[], 0);
    for test in ["control port", "path MTU", "group", "snooping", "unicast rate", "multicast rate", "querier"] {
        report.check(findings, test, "ok", "");
    }
    findings.at_most("loss", report.figure("multicast rate", "loss"), "", 0.005);
    findings.figure("heard after", report.figure("group", "joined_in_ms"), "ms");
    findings.figure("ended after leaving", report.figure("snooping", "lingered_seconds"), "s");
    // Its own report ended before it began to serve.
    let server = Report { events: surgery.server.events(), code: Some(0) };
    server.check_only(findings, &[], 0);
    server.check(findings, "own stream", "ok", "");
    server.check(findings, "other servers", "ok", "");
    Ok(())
}

fn loss(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |net| net.lose_at_receiver(0, 0.02))?;
    let report = surgery.client(&["--listen", "0s", "--time", "3s"], LIMIT)?;
    report.check_only(findings, &["unicast rate", "multicast rate"], 4);
    for test in ["unicast rate", "multicast rate"] {
        report.check(findings, test, "warning", "");
        let loss = report.figure(test, "loss") * 100.0;
        findings.figure(test, loss, "%");
        findings.check((1.5..=2.5).contains(&loss), || format!("{test}: 2 % loss was seen as {loss:.2} %"));
    }
    Ok(())
}

fn mtu(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |net| net.narrow(0, 1400))?;
    let report = surgery.client(&["--listen", "0s"], LIMIT)?;
    // Samples are as large as what passes, so that nothing of them is lost.
    report.check_only(findings, &["path MTU"], 3);
    report.check(findings, "path MTU", "failure", "1,472");
    let bytes = report.figure("path MTU", "both_ways_bytes");
    findings.figure("passes", bytes, "bytes");
    findings.check((1372.0..=1376.0).contains(&bytes), || format!("1,372 bytes pass, {bytes} were found"));
    Ok(())
}

fn deaf(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |net| net.deafen(0))?;
    let report = surgery.client(&["--listen", "0s"], LIMIT)?;
    report.check_only(findings, &["group"], 3);
    report.check(findings, "group", "failure", "this host drops it: nftables");
    report.check(findings, "unicast rate", "ok", "");
    Ok(())
}

fn blocked(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |net| net.block_at_sender(CONTROL_PORT))?;
    let report = surgery.client(&["--listen", "0s"], LIMIT)?;
    report.check_only(findings, &["control port"], 3);
    report.check(findings, "control port", "failure", "the host answers, but not at UDP 62999");
    surgery.room.net().set_link(0, false)?;
    let report = surgery.client(&["--listen", "0s"], LIMIT)?;
    report.check(findings, "control port", "failure", "");
    let words = report.finding("control port").and_then(|finding| finding["seen"].as_str()).unwrap_or_default();
    findings.check(!words.contains("the host answers"), || format!("a cut link is told as: {words}"));
    Ok(())
}

fn querier(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, Network::stop_querier)?;
    let report = surgery.client(&["--listen", "131s"], LIMIT + Duration::from_secs(131))?;
    report.check_only(findings, &["querier", "snooping"], 4);
    report.check(findings, "querier", "warning", "there is no querier");
    report.check(findings, "snooping", "warning", "floods");
    findings.figure("listened", report.figure("querier", "listened_seconds"), "s");
    Ok(())
}

fn others(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let surgery = Surgery::open(lab, |_| Ok(()))?;
    let net = surgery.room.net();
    let mut command = net.in_receiver(1, &lab.binaries.server);
    command.args(["doctor", "--interface", "eth0", "--rate", RATE, "--listen", "0s", "--json"]);
    let mut second = Running::start("second-doctor", &mut command, surgery.room.folder())?;
    let report = Report::of(&mut second, LIMIT)?;
    if report.events.is_empty() {
        bail!("the second doctor said nothing: {}", events::error(&report.events).unwrap_or_default());
    }
    report.check(findings, "other servers", "warning", SENDER);
    report.check_only(findings, &["other servers"], 4);
    Ok(())
}
