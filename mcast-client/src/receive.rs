//! `mcast-client receive`: one image into one output.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{IsTerminal, stderr, stdout};
use std::path::Path;
use std::process::Stdio;

use crossbeam_channel::{select, tick};
use multicast_core::engine::{Client, ClientConfig, ClientEvent, ClientSummary};
use multicast_core::pace::Profile;
use multicast_core::store::{StoreError, TargetOptions};
use multicast_core::types::ClientId;

use crate::cli::ReceiveArguments;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::view::{self, Summary, View};
use crate::{platform, server};

/// Bytes of blocks put together in memory: 17 blocks, 0.2 s of a gigabit network, in which repair comes.
const STAGING: usize = 24 << 20;

/// Receives until the image is stored, and does what is to follow.
pub(crate) fn run(arguments: &ReceiveArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    let config = config(arguments)?;
    let client = Client::start(config).map_err(|error| Failure::of_client(error, &arguments.output))?;
    let mut view = view::choose(arguments.json, arguments.sink());
    let received = watch(client, view.as_mut(), interrupt, arguments);
    let summary = received.as_ref().ok().map(|client| Summary::new(client, arguments.output.clone()));
    view.end(summary.as_ref());
    received?;
    match (&arguments.exec, summary) {
        (Some(line), Some(summary)) => follow_up(line, &summary, arguments),
        _ => Ok(Exit::Success),
    }
}

fn config(arguments: &ReceiveArguments) -> Result<ClientConfig, Failure> {
    let server = server::resolve(&arguments.server)?;
    let interface = server::interface(arguments.interface.as_deref(), server)?;
    check_output(&arguments.output).map_err(|error| Failure::of_store(&error, &arguments.output))?;
    let mut target = TargetOptions::new(ClientId(random()));
    target.journal.clone_from(&arguments.journal);
    target.spool_blocks = arguments.spool;
    if let Some(folder) = &arguments.spool_dir {
        target.spool_folder.clone_from(folder);
    }
    Ok(ClientConfig {
        server,
        interface,
        image: arguments.image.clone().unwrap_or_default(),
        output: arguments.output.clone(),
        fresh: arguments.fresh,
        host: platform::host_name(),
        target,
        wait_limit: arguments.wait,
        deaf_limit: arguments.deaf_limit,
        staging: STAGING,
        receive_buffer: receive_buffer(),
        seed: random(),
    })
}

/// Finds at once what else would be found when a session begins, perhaps hours later.
fn check_output(output: &Path) -> Result<(), StoreError> {
    if output.as_os_str() == "-" {
        return if stdout().is_terminal() { Err(StoreError::Terminal) } else { Ok(()) };
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => return Ok(()),
    };
    let (output, named) = (output.to_owned(), folder.to_owned());
    if !folder.exists() {
        Err(StoreError::FolderMissing { output, folder: named })
    } else if !folder.is_dir() {
        Err(StoreError::NotAFolder { output, folder: named })
    } else {
        Ok(())
    }
}

/// Shows the client and ends it if its user wants that.
fn watch(
    client: Client,
    view: &mut dyn View,
    interrupt: &Interrupt,
    arguments: &ReceiveArguments,
) -> Result<ClientSummary, Failure> {
    let ticks = tick(view.interval());
    let (mut buffer, mut kept) = (0, 0);
    loop {
        select! {
            recv(client.events()) -> event => match event {
                Ok(event) => {
                    match event {
                        ClientEvent::Joined { receive_buffer, .. } => buffer = receive_buffer,
                        ClientEvent::Resumed { kept_blocks, .. } => kept = kept_blocks,
                        _ => {}
                    }
                    view.event(&event);
                }
                Err(_) => break,
            },
            recv(ticks) -> _ => view.progress(&client.snapshot()),
            recv(interrupt.wish()) -> _ => client.cancel(),
        }
    }
    let last = client.snapshot();
    view.progress(&last);
    if last.counters.socket_drops > 0 {
        view.warning(&advice_on_drops(last.counters.socket_drops, buffer));
    }
    client.wait().map_err(|error| {
        let keeps = !arguments.to_stdout() && (kept > 0 || last.verified_bytes > 0);
        let help = "what is verified stays: the same command goes on from there";
        Failure::of_client(error, &arguments.output).with_help_if(keeps, help)
    })
}

/// The stream's rate is not known yet: as much as the fastest one needs.
fn receive_buffer() -> usize {
    Profile::TenGigabit.receive_buffer()
}

fn advice_on_drops(drops: u32, buffer: usize) -> String {
    let advice = if buffer < receive_buffer() {
        format!("its receive buffer has {buffer} bytes: raise net.core.rmem_max")
    } else {
        "it is too slow for this rate".to_owned()
    };
    format!("this machine dropped {drops} datagrams by itself; {advice}")
}

/// Runs what is to follow a success.
fn follow_up(line: &str, summary: &Summary, arguments: &ReceiveArguments) -> Result<Exit, Failure> {
    let mut command = platform::shell(line);
    command.env("MCAST_OUTPUT", &arguments.output).env("MCAST_IMAGE", summary.image());
    if arguments.to_stdout() || arguments.json {
        // The standard output belongs to the image, or to our NDJSON.
        command.stdout(Stdio::from(stderr()));
    }
    let status = command.status().map_err(|error| {
        Failure::of(Exit::Hook, &error).causing(&format!("the image is stored, but the command {line:?} cannot be run"))
    })?;
    if status.success() {
        Ok(Exit::Success)
    } else {
        Err(Failure::new(Exit::Hook, format!("the image is stored, but the command {line:?} ended with {status}")))
    }
}

/// From the system's randomness, by which the standard library's hash maps are seeded.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
