//! A room of eight: clean, with loss, with lost feedback, with a late comer.

use anyhow::Result;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};

pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "room-clean",
        claim: "8 clients get 128 MiB over 200 Mbit/s without loss, sending at most 1.07 times the image",
        needs: &SPACE,
        run: |lab, findings| room(lab, findings, 0.0, 1.07),
    },
    Scenario {
        name: "room-1pct",
        claim: "the same at 1 % independent loss, at most 1.10 times",
        needs: &SPACE,
        run: |lab, findings| room(lab, findings, 0.01, 1.10),
    },
    Scenario {
        name: "room-5pct",
        claim: "the same at 5 % independent loss, at most 1.17 times",
        needs: &SPACE,
        run: |lab, findings| room(lab, findings, 0.05, 1.17),
    },
    Scenario {
        name: "feedback-loss-50",
        claim: "all 8 get the image at 1 % loss although half of what they say does not arrive",
        needs: &SPACE,
        run: feedback_loss,
    },
    Scenario {
        name: "late-join",
        claim: "a client that joins at half time is done within 1.1 image times, the session sends at most 1.65 images",
        needs: &SPACE,
        run: late_join,
    },
];

/// The image and eight copies, and room for as much again.
const SPACE: [Need; 1] = [Need::Space(2 << 30)];

fn room(lab: &Lab, findings: &mut Findings, loss: f64, limit: f64) -> Result<()> {
    let setup = Setup { loss, ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.finish()?;
    let time = room.time_of(|_| true)?;
    if loss == 0.0 {
        lab.remember_clean_time(time);
    }
    findings.figure("wall", time.as_secs_f64(), "s");
    findings.at_most("wire/image", room.wire_ratio()?, "", limit);
    room.add_figures(findings)
}

fn feedback_loss(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { loss: 0.01, feedback_loss: 0.5, ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.finish()?;
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)
}

fn late_join(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const LATE: usize = 7;
    let setup = Setup { min_clients: LATE, ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    room.start(0..LATE)?;
    room.wait_until_sent(0.5)?;
    room.start_client(LATE)?;
    room.finish()?;
    let late = room.client(LATE)?;
    let joined = late.started();
    let took = late.poll()?.map_or(f64::NAN, |ended| (ended.at - joined).as_secs_f64());
    findings.at_most("late client", took, "s", setup.image_time().as_secs_f64() * 1.1);
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.at_most("wire/image", room.wire_ratio()?, "", 1.65);
    room.add_figures(findings)
}
