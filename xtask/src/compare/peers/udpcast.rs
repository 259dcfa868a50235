//! udpcast, full duplex, as its users call it for a room.

use anyhow::{Context, Result};

use super::{Tool, program};
use crate::compare::race::{Lead, Party, Proof, Stage};

pub(in crate::compare) const UDPCAST: Tool = Tool { name: "udpcast", party };

const RENDEZVOUS: &str = "239.194.254.3";
const DATA: &str = "239.194.254.4";

fn party(stage: &Stage<'_>) -> Result<Party> {
    let image = stage.images.first().context("no image")?;
    let (receiver, sender) = (program("udp-receiver")?, program("udp-sender")?);
    let common = ["--nokbd", "--interface", "eth0", "--ttl", "1", "--mcast-rdv-address", RENDEZVOUS, "--file"];
    let mut receivers = Vec::new();
    let mut copies = Vec::new();
    for i in 0..stage.setting.receivers {
        let copy = stage.receiver_folder(i)?.join("copy");
        let mut command = stage.net.in_receiver(i, &receiver);
        command.args(common).arg(&copy);
        receivers.push(command);
        copies.push(copy);
    }
    let mut command = stage.net.in_sender(&sender);
    command.args(common).arg(image);
    command.args(["--min-receivers", &stage.setting.receivers.to_string(), "--mcast-data-address", DATA]);
    // One receiver is multicast, too; and a receiver that hangs is dropped late rather than early.
    command.args(["--full-duplex", "--nopointopoint", "--retries-until-drop", "200"]);
    if let Some(rate) = stage.setting.rate {
        command.args(["--max-bitrate", &rate.to_string()]);
    }
    Ok(Party { lead: Lead::Receivers, senders: vec![command], receivers, proof: Proof::Copies(copies) })
}
