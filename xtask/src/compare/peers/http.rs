//! Unicast: nginx, and a curl for each client. It is told no rate; TCP finds the link's.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Tool, program};
use crate::compare::race::{Lead, Party, Proof, Stage};
use crate::lab::net::SENDER;

pub(in crate::compare) const HTTP: Tool = Tool { name: "http", party };

fn party(stage: &Stage<'_>) -> Result<Party> {
    let image = stage.images.first().context("no image")?;
    let name = image.file_name().and_then(|name| name.to_str()).context("an image without a name")?;
    let root = image.parent().context("an image without a folder")?;
    let configuration = stage.folder.join("nginx.conf");
    std::fs::write(&configuration, configure(&stage.folder, root)).context("cannot write nginx's configuration")?;
    let mut server = stage.net.in_sender(&program("nginx")?);
    // The error log by name, as nginx opens the system's before it reads a configuration.
    server.arg("-e").arg(stage.folder.join("nginx.log")).arg("-p").arg(&stage.folder).arg("-c").arg(&configuration);
    let curl = program("curl")?;
    let url = format!("http://{SENDER}/{name}");
    let mut receivers = Vec::new();
    let mut copies = Vec::new();
    for i in 0..stage.setting.receivers {
        let copy = stage.receiver_folder(i)?.join("copy");
        let mut command = stage.net.in_receiver(i, &curl);
        command.args(["--silent", "--show-error", "--fail", &url, "--output"]).arg(&copy);
        receivers.push(command);
        copies.push(copy);
    }
    Ok(Party { lead: Lead::Server, senders: vec![server], receivers, proof: Proof::Copies(copies) })
}

/// One process in the foreground that writes into `folder` only and shows the files of `root`.
fn configure(folder: &Path, root: &Path) -> String {
    let (folder, root) = (folder.display(), root.display());
    let mut text = format!("daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n");
    text += "access_log off;\nsendfile on;\ntcp_nopush on;\n";
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        text += &format!("{kind}_temp_path {folder}/nginx-{kind};\n");
    }
    text + &format!("server {{ listen 80; root {root}; }}\n}}\n")
}
