//! Settings of the distribution point that need no disaster to be seen: a line of them, and what comes of it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::net::SENDER;
use crate::lab::point::{Host, Point, Setup};
use crate::lab::tools;
use crate::{files, interrupt};

const NEEDS: [Need; 2] = [Need::Program("curl"), Need::Space(1 << 30)];
const DP: Host = Host::Sender;

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "serve-off",
        claim: "without multicast clients get the image by HTTP, and no session is opened",
        needs: &NEEDS,
        run: off,
    },
    Scenario {
        name: "serve-clock",
        claim: "a session starts at its hour, with whoever is there, and not before",
        needs: &NEEDS,
        run: by_clock,
    },
    Scenario {
        name: "serve-place",
        claim: "one address and one port are what a session gets, and a second one waits for them",
        needs: &NEEDS,
        run: one_place,
    },
    Scenario {
        name: "serve-total",
        claim: "two sessions of 40 Mbit/s share a total of 50, and the wire never carries more",
        needs: &NEEDS,
        run: total,
    },
    Scenario {
        name: "serve-full",
        claim: "the one too many takes unicast if that is the policy, and says why",
        needs: &NEEDS,
        run: full,
    },
];

fn off(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut point = Point::serve(lab, &Setup::new(3, 16, 100, &["multicast.enabled=false"]))?;
    (0..3).try_for_each(|i| point.start_client(i))?;
    let mut sessions = 0;
    point.wait("all clients", Duration::from_secs(30), |point| {
        sessions = sessions.max(point.get(DP, "sessions")?.as_array().map_or(0, Vec::len));
        point.have_all_ended()
    })?;
    point.finish()?;
    findings.at_most("sessions", sessions as f64, "", 0.0);
    findings.figure("wall", point.time_of(|_| true)?.as_secs_f64(), "s");
    Ok(())
}

fn by_clock(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const AHEAD: f64 = 8.0;
    let now = tools::run("date", ["+%s.%N"])?.trim().parse::<f64>().context("date tells no time")?;
    let hour = tools::run("date", ["-d", &format!("@{}", (now + AHEAD) as u64), "+%H:%M:%S"])?;
    let setting = format!("start.at={}", hour.trim());
    let setup = Setup::new(3, 16, 100, &[&setting]);
    let mut point = Point::serve(lab, &setup)?;
    (0..3).try_for_each(|i| point.start_client(i))?;
    point.wait("three clients", Duration::from_secs(5), |p| Ok(p.session(DP)?.is_some_and(|s| s["active"] == 3)))?;
    let state = point.state(DP)?;
    findings.check(state == "waiting", || format!("before its hour the session is {state}"));
    point.wait("its hour", Duration::from_secs(AHEAD as u64 + 5), |point| Ok(point.state(DP)? != "waiting"))?;
    let begun = tools::run("date", ["+%s.%N"])?.trim().parse::<f64>().context("date tells no time")?;
    // The hour has whole seconds.
    findings.at_most("from its hour", (begun - (now + AHEAD).floor()).abs(), "s", 1.0);
    point.finish()
}

fn one_place(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let settings = ["multicast.address=239.195.9.9", "multicast.ports=63333", "session.linger=1s"];
    let setup = Setup::new(2, 16, 60, &settings);
    let mut point = Point::open(lab, &setup)?;
    files::write_random(&point.images().join("other.bin"), setup.bytes, 5)?;
    point.start_server(DP)?;
    point.start_client(0)?;
    point.wait("the session", Duration::from_secs(10), |point| Ok(point.state(DP)? == "running"))?;
    point.start_client_for(1, SENDER, "other.bin", &[])?;
    interrupt::sleep(Duration::from_secs(1))?;
    let sessions = point.get(DP, "sessions")?;
    let groups: Vec<_> = sessions.as_array().into_iter().flatten().filter_map(|one| one["group"].as_str()).collect();
    findings.check(groups == ["239.195.9.9:63333"], || format!("the groups are {groups:?}"));
    point.wait_for_clients(|_| true)?;
    files::check_copy(&point.images().join("image.bin"), &point.output(0))?;
    files::check_copy(&point.images().join("other.bin"), &point.output(1))?;
    findings.figure("the second one", point.time_of(|i| i == 1)?.as_secs_f64(), "s");
    Ok(())
}

fn total(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const TOTAL: f64 = 50e6;
    let setup = Setup::new(2, 32, 40, &["rate.total=50mbit"]);
    let mut point = Point::open(lab, &setup)?;
    files::write_random(&point.images().join("other.bin"), setup.bytes, 5)?;
    point.start_server(DP)?;
    point.start_client(0)?;
    point.start_client_for(1, SENDER, "other.bin", &[])?;
    point.wait("both sessions", Duration::from_secs(10), |point| {
        let sessions = point.get(DP, "sessions")?;
        Ok(sessions.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["state"] == "running")))
    })?;
    let (sent, begun) = (point.net().counters()?.sent_bytes, std::time::Instant::now());
    interrupt::sleep(Duration::from_secs(4))?;
    let bits = (point.net().counters()?.sent_bytes - sent) as f64 * 8.0;
    let rate = bits / begun.elapsed().as_secs_f64();
    findings.at_most("on the wire", rate / 1e6, "Mbit/s", TOTAL / 1e6 * 1.02);
    findings.check(rate > TOTAL * 0.9, || format!("only {:.1} Mbit/s are used", rate / 1e6));
    point.wait_for_clients(|_| true)?;
    files::check_copy(&point.images().join("other.bin"), &point.output(1))
}

fn full(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut point = Point::serve(lab, &Setup::new(2, 32, 60, &["clients.max=1", "clients.when_full=unicast"]))?;
    point.start_client(0)?;
    point.wait("the session", Duration::from_secs(10), |point| Ok(point.state(DP)? == "running"))?;
    point.start_client(1)?;
    let mut reason = None;
    point.wait("the client by HTTP", Duration::from_secs(10), |point| {
        reason = point.reason_for_http(DP)?;
        Ok(reason.is_some())
    })?;
    let reason = reason.unwrap_or_default();
    findings.check(reason.contains("full"), || format!("the server shows as reason: {reason:?}"));
    point.finish()
}
