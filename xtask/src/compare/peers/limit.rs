//! Multicast without any protocol: what the machine can do at most.

use anyhow::Result;

use super::Tool;
use crate::compare::race::{Lead, Party, Proof, Stage};

pub(in crate::compare) const LIMIT: Tool = Tool { name: "limit", party };

fn party(stage: &Stage<'_>) -> Result<Party> {
    let receiver = |i| {
        let mut command = stage.net.in_receiver(i, stage.limit);
        command.args(["receive", "eth0"]);
        command
    };
    let mut sender = stage.net.in_sender(stage.limit);
    sender.args(["send", "eth0", &stage.setting.bytes.to_string()]);
    let receivers = (0..stage.setting.receivers).map(receiver).collect();
    Ok(Party { lead: Lead::Receivers, senders: vec![sender], receivers, proof: Proof::Counted })
}
