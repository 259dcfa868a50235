//! The server dies and comes back.

use anyhow::Result;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};

pub(super) const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "server-restart",
    claim: "a server killed at half time and started again finishes, and does not send again what was verified",
    needs: &[Need::Space(2 << 30)],
    run: restart,
}];

/// What both runs may send together: one image framed, the blocks that were under way, and the
/// first moments in which not every client has told yet what it holds.
const LIMIT: f64 = 1.12;

fn restart(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::standard();
    let mut room = Room::open(lab, &setup)?;
    room.start(0..setup.clients)?;
    room.wait_until_sent(0.5)?;
    room.server()?.kill()?;
    let first = room.wire_ratio()?;
    room.start_server()?;
    room.finish()?;
    let both = room.wire_ratio()?;
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.figure("first run wire/image", first, "");
    findings.figure("second run wire/image", both - first, "");
    findings.at_most("wire/image", both, "", LIMIT);
    room.add_figures(findings)
}
