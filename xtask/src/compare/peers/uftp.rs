//! UFTP at a fixed rate; its largest buffers, and timing for a network without distance.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::{Tool, program};
use crate::compare::race::{Lead, Party, Proof, Stage};

pub(in crate::compare) const UFTP: Tool = Tool { name: "uftp", party };

const PUBLIC: &str = "239.194.254.1";
const PRIVATE: &str = "239.194.254.2";
/// Bytes of socket buffers, the most it takes.
const BUFFER: &str = "104857600";
/// Bytes of a block: what fits into a frame beside its headers.
const BLOCK: &str = "1400";
/// First guess, least and most of the group's round trip time, seconds.
const ROUND_TRIP: &str = "0.01:0.005:1";

fn party(stage: &Stage<'_>) -> Result<Party> {
    let image = stage.images.first().context("no image")?;
    let name = image.file_name().context("an image without a name")?;
    let (daemon, sender) = (program("uftpd")?, program("uftp")?);
    let mut receivers = Vec::new();
    let (mut copies, mut hosts) = (Vec::new(), Vec::new());
    for i in 0..stage.setting.receivers {
        let folder = stage.receiver_folder(i)?;
        let mut command = stage.net.in_receiver(i, &daemon);
        command.args(["-d", "-t", "-q", "-I", "eth0", "-M", PUBLIC, "-B", BUFFER, "-D"]).arg(&folder);
        receivers.push(command);
        copies.push(folder.join(name));
        // A receiver's number is its address, unless told otherwise.
        let address: Ipv4Addr = stage.net.receiver_address(i).parse()?;
        hosts.push(format!("0x{:08x}", address.to_bits()));
    }
    // −1: as fast as the interface takes it.
    let rate = stage.setting.rate.map_or("-1".to_owned(), |rate| (rate / 1000).to_string());
    let mut command = stage.net.in_sender(&sender);
    command.args(["-I", "eth0", "-M", PUBLIC, "-P", PRIVATE, "-b", BLOCK, "-B", BUFFER]);
    command.args(["-r", ROUND_TRIP, "-R", &rate, "-H", &hosts.join(",")]).arg(image);
    Ok(Party { lead: Lead::Daemons, senders: vec![command], receivers, proof: Proof::Copies(copies) })
}
