//! The command line, and the help that teaches it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use command_line::manual::ManualArguments;
use identity::{Trust, TrustError};
use multicast_core::doctor::LONGEST;
use multicast_core::pace::{Profile, Rate};
use multicast_core::store::DEFAULT_SPOOL_BLOCKS;

use crate::booted::COMMAND_LINE;
use crate::fallback::Fallback;
use crate::view::Sink;

#[derive(Debug, Parser)]
#[command(
    name = "mcast-client",
    version,
    about = "Receives a disk image that mcast-server streams to many machines at once",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receive an image into a file, a folder, a block device or the standard output
    Receive(Box<ReceiveArguments>),
    /// Write manual pages and completions
    #[command(hide = true)]
    Manual(ManualArguments),
    /// Test the network to a server: what would hurt a session, and what to do about it
    Doctor(DoctorArguments),
}

const RECEIVE_HELP: &str = "\
Every block is checked against its hash before it counts. What an interrupted
run left, after a crash or a power cut too, is read again, checked, and taken
up by the same command.

Examples:
  mcast-client receive --server 10.0.0.5 --output install.wim
      Wait for the server's only image, and store it in a file.
  mcast-client receive --server deploy --image base.img --output /dev/sda \\
               --exec 'sync; reboot'
      Write an image to a disk, then reboot.
  mcast-client receive --server deploy --output - | wimlib-imagex apply - 1 /mnt
      Apply a pipable WIM while it arrives.
  mcast-client receive --server 10.0.0.5 --output /srv/images --json
      Take all parts of a split WIM into a folder; events as NDJSON.
  mcast-client receive --booted --output /dev/sda --exec reboot
      In a system that a PXE service point booted: take what this machine's
      deployment says, from the server and by the token that the kernel's
      command line names (mcast.server, mcast.trust, mcast.token; mcast.output
      may name the output, too).

Where multicast does not get, the image is fetched by HTTP, if the server has it
so: when nothing of the session's group was heard for --fallback-after although
the server answers, or when the server says so. Blocks are checked against the
same hashes, and what came by multicast counts.

With --output - the standard output carries the image alone, and all else goes
to the standard error. Ctrl-C or SIGTERM leaves the session and keeps what is
verified; the second one ends the program at once.

Exit codes:
  0    every block matched its hash and is stored
  1    the network or the system refuses
  2    the command line is wrong
  3    no session came, or nothing was fetched, within --wait; or nothing was
       heard within --deaf-limit and there is no fallback
  4    the server refuses, removed this client, cancelled the session, changed
       the image, has not got it as its hashes say, or is not the trusted one
  5    the output cannot be written: no folder, no space, a disk that fails, a
       reader that has gone
  6    the image is stored, but the command of --exec failed
  130  ended by its user; what is verified stays for the next run

Environment of --exec:
  MCAST_OUTPUT    the output, as it was given
  MCAST_IMAGE     the image's name";

#[derive(Debug, Args)]
#[command(after_help = RECEIVE_HELP)]
pub(crate) struct ReceiveArguments {
    /// The server's name or address, and its control port unless that is 62999
    #[arg(long, value_name = "HOST[:PORT]", required_unless_present = "booted")]
    pub(crate) server: Option<String>,

    /// Do what this machine was booted for: the kernel's command line names the server
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = COMMAND_LINE,
          conflicts_with_all = ["server", "trust"])]
    pub(crate) booted: Option<PathBuf>,

    /// Interface to receive on, by its name or by one of its addresses [default: the one towards the server]
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Name of the image [default: the server's only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) image: Option<String>,

    /// A file, a folder, a block device, or - for the standard output
    #[arg(long, value_name = "PATH", required_unless_present = "booted")]
    pub(crate) output: Option<PathBuf>,

    /// Discard what an interrupted run left
    #[arg(long)]
    pub(crate) fresh: bool,

    /// Give up if no session comes, or fetching fails, for so long, for example 10m [default: wait for ever]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,

    /// Give up if the server answers but nothing of its stream is heard within this
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) deaf_limit: Duration,

    /// Fetch the image by HTTP
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) fallback: Fallback,

    /// Do so if nothing of the stream is heard within this
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(crate) fallback_after: Duration,

    /// Fetch only from the server that has the key of this fingerprint, as it shows it itself
    #[arg(long, value_name = "FINGERPRINT", value_parser = trust)]
    pub(crate) trust: Option<Trust>,

    /// File that tells the next run what a block device holds [default: in the folder for temporary files]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// Folder where blocks wait that the standard output or a pipe cannot take yet [default: the one for
    /// temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// How many blocks, of 1.4 MiB as a rule, can wait there
    #[arg(long, value_name = "BLOCKS", default_value_t = DEFAULT_SPOOL_BLOCKS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) spool: u32,

    /// Run this in a shell once the image is stored
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,

    /// Print events, progress and summary as NDJSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ReceiveArguments {
    /// Whether the image goes to the standard output.
    pub(crate) fn to_stdout(&self) -> bool {
        self.output.as_ref().is_some_and(|output| output.as_os_str() == "-")
    }

    /// Where all goes that is not the image.
    pub(crate) fn sink(&self) -> Sink {
        if self.to_stdout() { Sink::Stderr } else { Sink::Stdout }
    }
}

const DOCTOR_HELP: &str = "\
Each line is a test: ok, untested (and why), warning or FAILURE, what was seen,
and what to do. It takes about 20 s. As root it sees more: what reaches the
interface though no program gets it, what switches do with a group that nobody
wants, and IGMP queries.

The server has to run: mcast-server send or serve, with any image, or without
one mcast-server doctor --serve 10m. It sends test streams only while no session
of it runs, one at a time, for 3 s at most, and no faster than its sessions.

Examples:
  mcast-client doctor --server 10.0.0.5
      Test everything, at the rate of the server or of this link.
  mcast-client doctor --server deploy --rate 400mbit
      Measure loss at the rate of the sessions to come.
  sudo mcast-client doctor --server deploy --listen 130s
      Make sure of the IGMP querier, which asks every 125 s.
  mcast-client doctor --server deploy --json
      A finding a line, and a verdict, as NDJSON.

Exit codes:
  0    all fine; what could not be tested does not count
  1    the network or the system refuses: nothing was tested
  2    the command line is wrong
  3    something failed
  4    nothing failed, but there are warnings";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArguments {
    /// The server's name or address, and its control port unless that is 62999
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) server: String,

    /// Interface to test, by its name or by one of its addresses [default: the one towards the server]
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Kind of the slowest link on the way: 10m, 100m, 1g or 10g [default: the server's or this link's, up to 1g]
    #[arg(long, value_name = "KIND", value_parser = network, conflicts_with = "rate")]
    pub(crate) network: Option<Profile>,

    /// Rate on the wire at which loss is measured, for example 400mbit
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<Rate>,

    /// How long loss is measured, by unicast and by multicast, up to 3s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = probe_time)]
    pub(crate) time: Duration,

    /// How long to listen for an IGMP querier; only 130s and more prove that there is none
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) listen: Duration,

    /// Print findings and the verdict as NDJSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl DoctorArguments {
    /// The rate that was asked for.
    pub(crate) fn wanted(&self) -> Option<Rate> {
        self.rate.or(self.network.map(Profile::rate))
    }
}

/// Reads a type of network, or a rate.
fn network(text: &str) -> Result<Profile, String> {
    text.parse::<Profile>().map_err(|error| format!("{error}\n  {}", error.help()))
}

/// Reads `400mbit`.
fn rate(text: &str) -> Result<Rate, String> {
    text.parse::<Rate>().map_err(|error| format!("{error}\n  {}", error.help()))
}

/// Reads a time that a server grants.
fn probe_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    match (Duration::from_millis(100)..=LONGEST).contains(&time) {
        true => Ok(time),
        false => Err(format!("{text} lies outside of 100ms to 3s\n  a server sends test streams for no longer")),
    }
}

/// Reads `90s` or `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}\n  write a number and its unit, for example 30s, 10m or 1h 30m"))
}

/// Reads a fingerprint as a site shows it.
fn trust(text: &str) -> Result<Trust, String> {
    text.parse().map_err(|error: TrustError| format!("{error}\n  {}", error.help()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        use Exit as E;
        for exit in [E::Success, E::Error, E::Usage, E::NoSession, E::Refused, E::Output, E::Hook, E::Interrupted] {
            assert!(RECEIVE_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
    }
}
