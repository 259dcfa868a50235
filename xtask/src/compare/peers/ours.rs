//! Our own programs, by their defaults.

use anyhow::Result;

use super::Tool;
use crate::compare::race::{Lead, Party, Proof, Stage};
use crate::lab::net::SENDER;

pub(in crate::compare) const OURS: Tool = Tool { name: "ours", party };

/// Where the first session's clients ask; the others follow.
const FIRST_PORT: usize = 62_100;

/// A server a session, all under one total rate.
fn party(stage: &Stage<'_>) -> Result<Party> {
    let (setting, programs) = (stage.setting, &stage.lab.binaries);
    let mut receivers = Vec::new();
    let mut copies = Vec::new();
    for i in 0..setting.receivers {
        let copy = stage.receiver_folder(i)?.join("copy");
        let server = format!("{SENDER}:{}", FIRST_PORT + i % setting.sessions);
        let mut command = stage.net.in_receiver(i, &programs.client);
        command.args(["receive", "--server", &server, "--interface", "eth0", "--json", "--output"]).arg(&copy);
        receivers.push(command);
        copies.push(copy);
    }
    let sender = |(session, image): (usize, &std::path::PathBuf)| {
        let clients = (0..setting.receivers).filter(|i| i % setting.sessions == session).count();
        let mut command = stage.net.in_sender(&programs.server);
        command.arg("send").arg(image).args(["--interface", "eth0", "--json"]);
        command.args(["--control-port", &(FIRST_PORT + session).to_string()]);
        command.args(["--min-clients", &clients.to_string()]);
        if let Some(rate) = setting.rate {
            command.args(["--rate", &format!("{}kbit", rate / 1000 / setting.sessions as u64)]);
        }
        // Hashing the image is part of the time: no hashes from an earlier run.
        command.env("XDG_CACHE_HOME", stage.folder.join("cache"));
        command
    };
    let senders = stage.images.iter().enumerate().map(sender).collect();
    Ok(Party { lead: Lead::Receivers, senders, receivers, proof: Proof::Copies(copies) })
}
