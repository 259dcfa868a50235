//! The command line of `mcast-server ctl`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::pxe::PxeArguments;
use crate::amounts;

const CTL_HELP: &str = "\
Examples:
  mcast-server ctl status
      The server on this host, at a glance.
  mcast-server ctl --server https://deploy:62999 --trust WERC-8GMR-… sessions
      Another host's sessions; the server prints its fingerprint when it starts.
  mcast-server ctl start lab.img
      Start the session that waits with this image.
  mcast-server ctl remove lab.img pc-17 --yes
      Remove a client from that session for good, without a question.
  mcast-server ctl watch --json | jq 'select(.event == \"client_complete\")'
      What happens, as it happens.
  mcast-server ctl history --image lab.img --json > deployed.json
      Which machines have the image.
  mcast-server ctl pxe --help
      Which bare machines boot what over the network.

SESSION is a session's id, the first characters of one if no other begins with
them, or the image's name. CLIENT is likewise a client's id, the first
characters of one, or its host name if no other has the same.

The token is never an argument, for everybody on a host sees those. It comes
from --token-file, else from MCAST_CTL_TOKEN, else from MCAST_CTL_TOKEN_FILE,
else from the configuration; ready and openapi need none. A token file must be
its owner's alone (chmod 600). It is sent over https, or to this host itself.

An https server's certificate is checked by the system's authorities or, with
--trust, by its fingerprint alone. Proxies are not used.

With --json the output is the API's own answer; of several answers (status, and
orders for several sessions) one document that holds them. watch prints a line
of JSON for each message, and beside the API's kinds (event, sessions, images,
boots) connected, disconnected and missed. An error is a document, too.

Exit codes:
  0    done
  1    the server cannot be reached, is not the trusted one, or fails
  2    the command line, a file or the configuration is wrong, or a name means
       several sessions or clients
  3    there is no such image, session, client or computer
  4    the token is missing, not known, or may not do this; the API is off
  5    the session is not in a state for it; the name is taken
  6    ready: the server runs, but is not ready; pxe check: something is missing
  130  not confirmed

Environment:
  MCAST_CTL_SERVER      like --server
  MCAST_CTL_TOKEN       the token itself
  MCAST_CTL_TOKEN_FILE  like --token-file
  MCAST_CTL_TRUST       like --trust
  XDG_CONFIG_HOME       where mcast/ctl.toml is looked for; by default
                        ~/.config. It may set server, token_file and trust";

#[derive(Debug, Args)]
#[command(after_help = CTL_HELP, disable_help_subcommand = true)]
pub(crate) struct CtlArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    #[command(subcommand)]
    pub(super) command: CtlCommand,
}

/// Where to ask, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// The server's address [default: http://127.0.0.1:62999]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) server: Option<String>,

    /// File that holds the token, which nobody but its owner may read
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    /// Fingerprint of the server, which then needs no authority to vouch for it
    #[arg(long, global = true, value_name = "FINGERPRINT")]
    pub(super) trust: Option<String>,

    /// Give up if an answer takes longer
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(super) timeout: Duration,

    /// Print the API's answer as it is
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum CtlCommand {
    /// Site, servers, database, images and sessions at a glance
    Status,

    /// Images of the server, or one of them
    Images {
        /// Show this one only, with all that is known of it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,

        /// Those of all servers of the site
        #[arg(long, conflicts_with = "name")]
        site: bool,
    },

    /// Sessions of the site
    Sessions {
        /// So many that have ended, too
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1000))]
        ended: u32,
    },

    /// One session, with all that is known of it
    Session {
        /// Its id, the beginning of it, or its image's name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        session: String,
    },

    /// Clients of the server, or of one session
    Clients {
        /// Of this one only, those that went included
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        session: Option<String>,
    },

    /// Clients of the site that wait for a place
    Queue,

    /// Which machine of the site received what, the newest first
    History {
        /// Of this image only
        #[arg(long, value_name = "NAME")]
        image: Option<String>,
        /// Rows at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },

    /// Start sessions that wait
    Start {
        #[arg(required = true, value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
        sessions: Vec<String>,
    },

    /// Pause sessions
    Pause {
        #[arg(required = true, value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
        sessions: Vec<String>,
    },

    /// Resume sessions that are paused
    Resume {
        #[arg(required = true, value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
        sessions: Vec<String>,
    },

    /// End sessions; their clients go without the image
    Cancel {
        #[arg(required = true, value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
        sessions: Vec<String>,
    },

    /// Remove a client from a session for good
    Remove {
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        session: String,
        /// Its id, the beginning of it, or its host name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        client: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },

    /// Tell what happens as it happens, until Ctrl-C; of one session until it ends
    Watch {
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        session: Option<String>,
    },

    /// The settings as they count now; secrets are hidden
    Settings,

    /// Whether the server can serve: the exit code tells
    Ready,

    /// The API's description (OpenAPI)
    Openapi,

    /// Bare machines that boot over the network: who boots what, and how it goes
    Pxe(PxeArguments),
}

fn timeout(text: &str) -> Result<Duration, String> {
    match amounts::duration(text)? {
        Duration::ZERO => Err("a time above 0 is wanted, for example 30s".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::CtlExit;
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help() {
        use CtlExit as E;
        let all = [E::Success, E::Error, E::Usage, E::NotFound, E::Denied, E::Conflict, E::NotReady, E::Cancelled];
        for exit in all {
            assert!(CTL_HELP.contains(&format!("\n  {:<3}  ", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn the_help_fits_a_terminal() {
        assert_eq!(CTL_HELP.lines().find(|line| line.chars().count() > 80), None);
    }
}
