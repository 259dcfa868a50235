//! The command line, and the help that teaches it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use command_line::manual::ManualArguments;
use multicast_core::address::DEFAULT_PORTS;
use multicast_core::engine::DEFAULT_CONTROL_PORT;
use multicast_core::pace::{Profile, Rate};

use crate::amounts::{self, LossGroup};
use crate::config::ServeArguments;
use crate::ctl::CtlArguments;
use crate::token::TokenArguments;

#[derive(Debug, Parser)]
#[command(
    name = "mcast-server",
    version,
    about = "Serves one disk image to many machines at once over IP multicast",
    long_about = "Serves one disk image to many machines at once over IP multicast.\n\nEvery machine runs \
                  mcast-client. The image crosses the network once, whatever their number; what gets lost is \
                  replaced by parity that repairs a different loss at each of them.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Whether events are wanted as NDJSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Send(arguments) => arguments.json,
            Command::Verify(arguments) => arguments.json,
            Command::Plan(arguments) => arguments.json,
            Command::Doctor(arguments) => arguments.json,
            Command::Serve(_) | Command::Pxe(_) | Command::Ctl(_) | Command::Token(_) | Command::Manual(_) => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve an image until every client has it
    Send(Box<SendArguments>),
    /// Serve a folder of images as a service: sessions on demand, an API, a web page
    Serve(Box<ServeArguments>),
    /// Boot bare machines, without images for those that run: the service point of serve alone
    #[command(after_help = PXE_HELP)]
    Pxe(Box<ServeArguments>),
    /// See and steer a server that runs as a service, by its API
    Ctl(Box<CtlArguments>),
    /// Test what a server needs of this host and its network, and let clients test
    Doctor(Box<DoctorArguments>),
    /// Check WIMs against the integrity tables that they hold
    Verify(VerifyArguments),
    /// Forecast time and traffic of a session by simulating it, beside unicast
    Plan(PlanArguments),
    /// Make a token for the API of serve
    Token(TokenArguments),
    /// Write manual pages and completions
    #[command(hide = true)]
    Manual(ManualArguments),
}

const PXE_HELP: &str = "\
What serve does with [pxe], and no more: the same settings, the same site, API
and page, but no images and no sessions, whatever the file says of them. For a
bench whose images another server of the site has (pxe.client_server), or whose
machines boot something else than mcast-client.

Examples:
  mcast-server pxe --config /etc/mcast/server.toml
      Boot machines, until SIGTERM; SIGHUP reads the file again.
  mcast-server pxe --config server.toml --check-config
      Say what is wrong with the file, or show all settings.
  mcast-server ctl pxe --help
      How boot images, computers and deployments are put on it.

It needs CAP_NET_BIND_SERVICE, for UDP 67 and 69. Exit codes, environment and
files are those of serve.";

const SEND_HELP: &str = "\
Examples:
  mcast-server send install.wim
      Serve it on the only interface, from the first client on that comes.
  mcast-server send install.wim --interface eth1 --min-clients 30 --max-wait 10m
      Start when 30 machines are there, or 10 minutes after the first one.
  mcast-server send base.swm base2.swm --network 1g --keep-open --json
      Serve all parts of a split WIM, stay for late comers; events as NDJSON.
  mcast-server send --each win11.wim lab.img --total-rate 800mbit
      Two sessions, which share 800 Mbit/s; clients say --image lab.img.
  mcast-client receive --server HOST --output /dev/sda
      What the machines run.

While it runs on a terminal: s starts now, p pauses or resumes, q ends it, each
with Enter. Ctrl-C or SIGTERM ends the session and releases its clients; the
second one ends the program at once.

Exit codes:
  0    every admitted client has the image; with --each, of every session
  1    an image, the network or the system refuses
  2    the command line is wrong
  3    the session ended, but a client that was admitted lacks the image
  130  ended by its user; with --keep-open 0 or 3, if nobody was receiving

Environment:
  XDG_CACHE_HOME  where hashes are kept, in the folder mcast; by default
                  ~/.cache (see --manifest-cache)";

#[derive(Debug, Args)]
#[command(after_help = SEND_HELP)]
pub(crate) struct SendArguments {
    /// The files or block devices to send; several, such as the parts of a split WIM, are one delivery
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    /// Serve each image in a session of its own, under its file's name, which clients choose by --image; --min-clients
    /// and all else counts for each session
    #[arg(long)]
    pub(crate) each: bool,

    /// Name by which clients ask for the image [default: the first file's name]
    #[arg(long, value_parser = amounts::name, conflicts_with = "each")]
    pub(crate) name: Option<String>,

    /// Interface to serve on, by its name or by one of its addresses; required if there are several
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Group address: one, a range A-B, a prefix A/N, several with commas between, or auto (239.194.0.0/16)
    #[arg(long, value_name = "ADDRESS", default_value = "auto")]
    pub(crate) address: String,

    /// UDP ports of which the stream takes a free one
    #[arg(long, value_name = "FIRST-LAST", default_value_t = DEFAULT_PORTS.to_string())]
    pub(crate) ports: String,

    /// UDP port at which clients ask for the image
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_CONTROL_PORT)]
    pub(crate) control_port: u16,

    /// Start when so many clients are there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) min_clients: Option<u32>,

    /// Start when the first client has waited for so long, for example 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = amounts::duration)]
    pub(crate) max_wait: Option<Duration>,

    /// Start on the command s (from the terminal or the standard input), or by the other thresholds if given
    #[arg(long)]
    pub(crate) start_on_command: bool,

    /// Take in no more clients than this at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_clients: Option<u32>,

    /// Kind of the slowest link on the way: 10m, 100m, 1g or 10g [default: the interface's, and --adaptive on]
    #[arg(long, value_name = "KIND", value_parser = amounts::network, conflicts_with = "rate")]
    pub(crate) network: Option<Profile>,

    /// Rate on the wire, headers counted, for example 400mbit
    #[arg(long, value_parser = amounts::rate)]
    pub(crate) rate: Option<Rate>,

    /// Rate on the wire of all sessions together: each gets an equal part, and what others do not use, up to its own
    /// --rate
    #[arg(long, value_name = "RATE", value_parser = amounts::rate)]
    pub(crate) total_rate: Option<Rate>,

    /// Slow down when most clients lose; auto does so unless --network or --rate is given
    #[arg(long, value_enum, default_value_t = Switch::Auto)]
    pub(crate) adaptive: Switch,

    /// Routers that the stream may pass, plus one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: u8,

    /// Differentiated services code point of the stream, 0 to 63
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..64))]
    pub(crate) dscp: u8,

    /// Have clients join the group for this server only (IGMPv3); always so for groups of 232.0.0.0/8
    #[arg(long)]
    pub(crate) source_specific: bool,

    /// Give up a client that was silent for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = amounts::duration)]
    pub(crate) client_timeout: Duration,

    #[command(flatten)]
    pub(crate) slow: SlowArguments,

    /// Stay for late comers when all have the image, until Ctrl-C
    #[arg(long)]
    pub(crate) keep_open: bool,

    /// Where the image's hashes are kept for the next start: user (the user's cache folder), beside (the image),
    /// none, or a folder
    #[arg(long, value_name = "PLACE", default_value = "user")]
    pub(crate) manifest_cache: PathBuf,

    /// Print events, progress and summary as NDJSON on the standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What becomes of clients that do not keep up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Slow clients")]
pub(crate) struct SlowArguments {
    /// Where the rate adapts, the client that it follows, counted from the best: 50% is the median, with 90% it waits
    /// for all but the slowest tenth
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = amounts::share)]
    pub(crate) pace_quantile: f64,

    /// The lowest rate that it adapts to, as a part of the highest
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = amounts::share)]
    pub(crate) pace_floor: f64,

    /// A client is slow that loses more than this part of the stream while another one does not
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = amounts::share)]
    pub(crate) slow_loss: f64,

    /// As long as it does so on end
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = amounts::duration)]
    pub(crate) slow_after: Duration,

    /// Give slow clients a second stream at their own pace, on a group of its own, which takes up to this part of the
    /// rate while the others are served; without it they take what reaches them of the one stream, and the rest when
    /// the others are done
    #[arg(long, value_name = "PERCENT", value_parser = amounts::some_share)]
    pub(crate) slow_stream: Option<f64>,

    /// Serve up to so many clients at a time by unicast: those that do not hear the group, and slow ones that are left
    /// when all others are done; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(..=256))]
    pub(crate) unicast: u32,

    /// Evict a client that takes in less than this for 30 s though more is sent to it [default: none]
    #[arg(long, value_name = "RATE", value_parser = amounts::rate)]
    pub(crate) min_client_rate: Option<Rate>,

    /// Evict a client that answers but has not got further for so long; 0s for never
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = amounts::duration)]
    pub(crate) stall_timeout: Duration,
}

const VERIFY_HELP: &str = "\
A WIM can hold a table of SHA-1 sums over itself (wimlib: --check, DISM:
/CheckIntegrity). This reads the whole file and compares. Each part of a split
WIM has its own table.

Exit codes:
  0    every sum of every image matches
  1    an image cannot be read
  2    the command line is wrong
  3    an image is damaged: a sum does not match, or its fields lie
  4    none is damaged, but one cannot be checked: it is no WIM, or has no table
  130  ended by its user";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct VerifyArguments {
    /// The WIMs to check
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    /// Print results as NDJSON on the standard output
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_HELP: &str = "\
Each line is a test: ok, untested (and why), warning or FAILURE, what was seen,
and what to do. It takes about 15 s. As root it listens for IGMP queries, too.
What lies between here and the clients is tested by mcast-client doctor.

Where a server runs at the control port already, that one is tested: send and
serve answer the doctor of clients by themselves. --serve does so without an
image: test streams, one at a time, for 3 s at most.

Examples:
  mcast-server doctor
      Test the only interface and the default ports.
  mcast-server doctor --interface eth1 --serve 10m
      Then let clients test for ten minutes: mcast-client doctor --server HOST
  mcast-server doctor --config /etc/mcast/server.toml
      Test what the settings name, their database and HTTP addresses, too.
  sudo mcast-server doctor --listen 130s
      Make sure of the IGMP querier, which asks every 125 s.

Exit codes:
  0    all fine; what could not be tested does not count
  1    the network or the system refuses: nothing was tested
  2    the command line is wrong
  3    something failed
  4    nothing failed, but there are warnings";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArguments {
    /// Settings of mcast-server serve: what they name is tested
    #[arg(long, value_name = "FILE", conflicts_with_all = ["address", "ports", "ttl"])]
    pub(crate) config: Option<PathBuf>,

    /// Interface to test, by its name or by one of its addresses; required if there are several
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Group address: one, a range A-B, a prefix A/N, several with commas between, or auto (239.194.0.0/16)
    #[arg(long, value_name = "ADDRESS", default_value = "auto")]
    pub(crate) address: String,

    /// UDP ports of streams
    #[arg(long, value_name = "FIRST-LAST", default_value_t = DEFAULT_PORTS.to_string())]
    pub(crate) ports: String,

    /// UDP port at which clients ask [default: 62999]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) control_port: Option<u16>,

    /// Kind of the slowest link on the way: 10m, 100m, 1g or 10g [default: the interface's]
    #[arg(long, value_name = "KIND", value_parser = amounts::network, conflicts_with = "rate")]
    pub(crate) network: Option<Profile>,

    /// Rate on the wire of sessions to come, and the most that clients may test at, for example 400mbit
    #[arg(long, value_parser = amounts::rate)]
    pub(crate) rate: Option<Rate>,

    /// Routers that streams may pass, plus one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: u8,

    /// How long to listen for an IGMP querier; only 130s and more prove that there is none
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = amounts::duration)]
    pub(crate) listen: Duration,

    /// Then let clients test for so long, for example 10m
    #[arg(long, value_name = "TIME", value_parser = amounts::duration)]
    pub(crate) serve: Option<Duration>,

    /// Print findings and the verdict as NDJSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PLAN_HELP: &str = "\
Examples:
  mcast-server plan --size 20GiB --clients 300 --loss 1% --rate 1gbit
      Time and traffic for 300 machines that each lose 1 % of what they are sent.
  mcast-server plan --size 20GiB --clients 300 --loss 0.1% --client-loss 5:10%
      The same with five machines behind a bad switch.
  mcast-server plan --size 8GiB --clients 40 --late 10 --late-over 5m --network 100m
      Ten of the 40 are switched on within five minutes after the others.

The sender of a real session runs against simulated clients, in virtual time;
nothing is sent. For a large image and many clients a part of the image is
simulated, and the output says so. What it takes for granted is printed, too.
The loss is what remains on a quiet, sound network: below 0.1 % on switched
gigabit, about 1 % where receive buffers overflow now and then.

Exit codes:
  0    the forecast is printed
  1    the session would never end
  2    the command line is wrong
  130  ended by its user";

#[derive(Debug, Args)]
#[command(after_help = PLAN_HELP)]
pub(crate) struct PlanArguments {
    /// Size of the image, for example 20GiB
    #[arg(long, value_parser = amounts::size)]
    pub(crate) size: u64,

    /// Machines that are to have it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) clients: u32,

    /// What each client loses of what it is sent, 0% to 40%
    #[arg(long, value_name = "PERCENT", default_value = "0.1%", value_parser = amounts::loss)]
    pub(crate) loss: f64,

    /// So many of the clients lose another part, for example 5:10%; may be given several times
    #[arg(long, value_name = "N:PERCENT", value_parser = amounts::loss_group)]
    pub(crate) client_loss: Vec<LossGroup>,

    /// Kind of the slowest link on the way: 10m, 100m, 1g or 10g
    #[arg(long, value_name = "KIND", default_value = "1g", value_parser = amounts::network, conflicts_with = "rate")]
    pub(crate) network: Profile,

    /// Rate on the wire, headers counted, for example 400mbit
    #[arg(long, value_parser = amounts::rate)]
    pub(crate) rate: Option<Rate>,

    /// Time that a datagram takes one way
    #[arg(long, value_name = "TIME", default_value = "500us", value_parser = amounts::duration)]
    pub(crate) delay: Duration,

    /// So many of the clients are switched on later than the others
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) late: u32,

    /// Time over which these are spread evenly [default: what the image takes]
    #[arg(long, value_name = "TIME", value_parser = amounts::duration, requires = "late")]
    pub(crate) late_over: Option<Duration>,

    /// Print the forecast as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// On, off, or as it seems best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Switch {
    #[default]
    Auto,
    On,
    Off,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_slow_stream_of_nothing_is_refused_with_its_limit() {
        let error = Cli::try_parse_from(["mcast-server", "send", "a.wim", "--slow-stream", "0%"]).unwrap_err();
        assert!(error.to_string().contains("share 0% lies outside of what is above 0% and up to 100%"), "{error}");
        assert!(Cli::try_parse_from(["mcast-server", "send", "a.wim", "--slow-stream", "0.5%"]).is_ok());
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        use crate::exit::Exit;
        use crate::token::TOKEN_HELP;
        for exit in [Exit::Success, Exit::Error, Exit::Usage, Exit::Incomplete, Exit::Cancelled] {
            assert!(SEND_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
        for exit in [Exit::Success, Exit::Error, Exit::Usage, Exit::Cancelled] {
            assert!(PLAN_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
        for exit in [Exit::Success, Exit::Error, Exit::Usage] {
            assert!(TOKEN_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
        for exit in [Exit::Success, Exit::Error, Exit::Usage, Exit::Incomplete, Exit::Unchecked, Exit::Cancelled] {
            assert!(VERIFY_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
    }
}
