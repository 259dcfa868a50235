//! The hot paths take no more instructions than their committed baselines allow.

use anyhow::Result;

use super::{Need, Scenario};
use crate::instructions::{self, HELPER, TOLERANCE};
use crate::lab::Lab;
use crate::lab::findings::Findings;

pub(super) const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "instructions",
    claim: "no hot path takes over 10 % more instructions than its baseline (cargo xtask instructions renews it)",
    needs: &[Need::Program("valgrind"), Need::Architecture("x86_64")],
    run,
}];

fn run(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let helper = lab.helper(HELPER)?;
    let baselines = instructions::read_baselines()?;
    for path in instructions::paths(&helper)? {
        if !path.can_be_counted() {
            continue;
        }
        let counted = path.count(&helper)?;
        match baselines.get(&path.name) {
            Some(baseline) => findings.at_most(&path.name, counted, "instructions", baseline * TOLERANCE),
            None => findings.check(false, || format!("{} has no baseline", path.name)),
        }
    }
    Ok(())
}
