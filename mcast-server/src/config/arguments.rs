//! The command line of `mcast-server serve`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

const SERVE_HELP: &str = "\
Examples:
  mcast-server serve --config /etc/mcast/server.toml
      Serve what the file says, until SIGTERM; SIGHUP reads the file again.
  mcast-server serve --config server.toml --check-config
      Say what is wrong with the file; or show all settings, where each comes
      from, and what is unusual.
  mcast-server serve --images /srv/images --interface eth1
      Without a file: all else as by default.
  mcast-server serve --config server.toml --set rate.total=400mbit
      One setting differs from the file.

A flag goes before the environment, the environment before the file. Every
setting outside of [[image]] and [[token]] has a variable: MCAST_, its path in
capitals, and two underscores between its parts: MCAST_HTTP__LISTEN for listen
under [http]. A list has commas between. The settings, their defaults and the
reasons are in the example file, server.toml.

Exit codes:
  0    ended by SIGTERM; with --check-config: the settings can be used
  1    the network, the database or the system refuses
  2    the command line or a setting is wrong
  130  ended by its user

Environment:
  MCAST_…                a setting, see above
  STATE_DIRECTORY        the state folder, which systemd sets; without it
                         /var/lib/mcast for root, XDG_STATE_HOME/mcast (by
                         default ~/.local/state/mcast) for others
  CREDENTIALS_DIRECTORY  secrets that systemd has put there
  NO_COLOR               no colours on a terminal

Files:
  /etc/mcast/server.toml  the settings, where a package has them
  /var/lib/mcast          the state folder of a service";

#[derive(Debug, Clone, Default, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArguments {
    /// File with the settings, TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Only check the settings, and show them
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Interface to serve on, by its name or by one of its addresses [server.interface]
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Folder of images [content.images]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) images: Option<String>,

    /// Address of the API, the web page and unicast, for example 0.0.0.0:62999; may be given several times, and
    /// replaces all that the file has [http.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,

    /// UDP port at which clients ask [server.control_port]
    #[arg(long, value_name = "PORT")]
    pub(crate) control_port: Option<String>,

    /// Folder for what must not be lost [site.state]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<String>,

    /// Form of the log: auto, text, json or journald [log.format]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,

    /// What is logged: error, warn, info, debug or trace, or such with parts: info,mcast_server=debug [log.level]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// Any other setting by its path, for example rate.total=400mbit; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Assignment>,

    /// The service point alone (`mcast-server pxe`)
    #[arg(skip)]
    pub(crate) boots_only: bool,
}

impl ServeArguments {
    /// The settings with flags of their own: flag, key, value.
    pub(super) fn overrides(&self) -> Vec<(&'static str, &'static str, String)> {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let all = [
            ("--interface", "server.interface", &self.interface),
            ("--images", "content.images", &self.images),
            ("--listen", "http.listen", &listen),
            ("--control-port", "server.control_port", &self.control_port),
            ("--state", "site.state", &self.state),
            ("--log-format", "log.format", &self.log_format),
            ("--log-level", "log.level", &self.log_level),
        ];
        let mut all: Vec<_> =
            all.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.clone()?))).collect();
        if self.boots_only {
            let command = |key, value: &str| ("mcast-server pxe", key, value.to_owned());
            all.extend([
                command("pxe.enabled", "true"),
                command("multicast.enabled", "false"),
                command("content.images", ""),
                command("content.packages", ""),
            ]);
        }
        all
    }
}

/// `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err("it is no key and value\n  write for example rate.total=400mbit".to_owned()),
        }
    }
}
