//! What happens to one client is no trouble of the others, and it can come back.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};
use crate::{events, interrupt};

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "client-killed",
        claim: "a client killed at half time costs the other seven at most 3 % of a clean run's time",
        needs: &SPACE,
        run: |lab, findings| lose_one(lab, findings, |room| room.client(VICTIM)?.kill()),
    },
    Scenario {
        name: "client-stopped",
        claim: "the same for a client that is stopped (SIGSTOP)",
        needs: &SPACE,
        run: |lab, findings| lose_one(lab, findings, |room| room.client(VICTIM)?.signal(Signal::SIGSTOP)),
    },
    Scenario {
        name: "client-cut",
        claim: "the same for a client whose link is cut for good",
        needs: &SPACE,
        run: |lab, findings| lose_one(lab, findings, |room| room.net().set_link(VICTIM, false)),
    },
    Scenario {
        name: "client-killed-resumes",
        claim: "a client killed at half time goes on with what it had when the same command runs again",
        needs: &SPACE,
        run: killed_resumes,
    },
    Scenario {
        name: "link-down-5s",
        claim: "all 8 get the image although one client's link is down for 5 s",
        needs: &SPACE,
        run: link_down,
    },
];

const SPACE: [Need; 1] = [Need::Space(2 << 30)];
const VICTIM: usize = 3;

fn lose_one(lab: &Lab, findings: &mut Findings, harm: fn(&mut Room<'_>) -> Result<()>) -> Result<()> {
    let clean = lab.clean_time()?.as_secs_f64();
    let setup = Setup::standard();
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.wait_until_sent(0.5)?;
    harm(&mut room)?;
    let others = |i| i != VICTIM;
    room.wait_for_clients(others)?;
    room.check_copies(others)?;
    findings.slower_by("the seven", room.time_of(others)?.as_secs_f64(), clean, 0.03);
    room.wait_for_server_to_give_up(findings)?;
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)
}

fn killed_resumes(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::standard();
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.wait_until_sent(0.5)?;
    room.client(VICTIM)?.kill()?;
    room.start_client(VICTIM)?;
    room.finish()?;
    let kept = events::kept_blocks(&room.client(VICTIM)?.events());
    findings.check(kept.is_some_and(|kept| kept > 0), || "the client does not say that it kept any block".to_owned());
    findings.figure("kept", kept.unwrap_or(0) as f64, "blocks");
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    // Had it begun anew, the half that had gone would have gone again: 1.57.
    findings.at_most("wire/image", room.wire_ratio()?, "", 1.2);
    room.add_figures(findings)
}

fn link_down(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::standard();
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.wait_until_sent(0.3)?;
    room.net().set_link(VICTIM, false)?;
    interrupt::sleep(Duration::from_secs(5))?;
    room.net().set_link(VICTIM, true)?;
    room.finish()?;
    findings.figure("the seven", room.time_of(|i| i != VICTIM)?.as_secs_f64(), "s");
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)
}
