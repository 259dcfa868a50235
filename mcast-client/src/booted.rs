//! What this machine was booted for: told by the PXE service point on the kernel's command line, and by the
//! server itself to who shows the token that stands there.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use command_line::Interrupt;
use identity::Trust;
use multicast_core::engine::SourceError;
use multicast_core::types::ClientId;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use crate::fallback::{Question, checked_trust};
use crate::http::{base_url, client, failed};
use crate::{platform, receive, server};

/// Where a booted kernel says what it was given.
pub(crate) const COMMAND_LINE: &str = "/proc/cmdline";
/// Between two attempts to be heard.
const AGAIN: Duration = Duration::from_secs(2);

/// What the kernel was given.
#[derive(Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) server: String,
    pub(crate) trust: Option<Trust>,
    token: String,
    image: Option<String>,
    /// What the site calls this machine.
    computer: Option<String>,
    pub(crate) output: Option<PathBuf>,
    /// The card that booted, by `BOOTIF`.
    card: Option<String>,
}

/// Said to the server.
#[derive(Serialize)]
struct Hello<'a> {
    /// This start of the machine: a token serves one, whose client may ask again when it did not hear the answer
    /// or was started anew.
    boot: &'a str,
    host: &'a str,
    macs: &'a [String],
}

/// The server's answer.
#[derive(Deserialize)]
struct Welcome {
    deployment: String,
    image: Option<String>,
}

/// What a server answers that refuses.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Parameters {
    /// Reads them from a file such as [`COMMAND_LINE`].
    pub(crate) fn read(from: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(from)
            .map_err(|error| Failure::of(Exit::Error, &error).causing(&format!("cannot read {}", from.display())))?;
        Self::parse(&text, from)
    }

    /// Asks the server for the image that this machine is to receive: empty if it has no name for it.
    pub(crate) fn image(&self, wait: Option<Duration>, interrupt: &Interrupt) -> Result<String, Failure> {
        let welcome = self.hello(wait, interrupt)?;
        eprintln!("{} has deployment {:?} for this machine", self.server, welcome.deployment);
        Ok(welcome.image.or_else(|| self.image.clone()).unwrap_or_default())
    }

    /// What people are to read of this machine: what the site calls it, the system's own name, or its card, as a
    /// system that was just unpacked has no name.
    pub(crate) fn host(&self) -> String {
        let named = |name: &String| !matches!(name.as_str(), "(none)" | "localhost" | platform::UNNAMED);
        let own = || Some(platform::host_name()).filter(named);
        let host = self.computer.clone().or_else(own).or_else(|| self.card.clone());
        host.unwrap_or_else(|| platform::UNNAMED.to_owned())
    }

    fn parse(text: &str, from: &Path) -> Result<Self, Failure> {
        let find = |name: &str| words(text).into_iter().rev().find_map(|word| Some(value(&word, name)?.to_owned()));
        let need = |name: &str| {
            let missing = || {
                let text = format!("{} has no {name}=", from.display());
                let help = "the PXE service point puts it there for a deployment; without one name a --server";
                Failure::new(Exit::Usage, text).with_help(Some(help))
            };
            find(name).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let trust = find("mcast.trust").map(|text| {
            text.parse().map_err(|error| {
                Failure::of(Exit::Usage, &error).causing(&format!("mcast.trust of {} is wrong", from.display()))
            })
        });
        Ok(Self {
            server: need("mcast.server")?,
            trust: trust.transpose()?,
            token: need("mcast.token")?,
            image: find("mcast.image"),
            computer: find("mcast.computer").filter(|name| !name.is_empty()),
            output: find("mcast.output").map(PathBuf::from),
            // 01 stands for Ethernet.
            card: find("BOOTIF").and_then(|text| Some(text.strip_prefix("01-")?.replace('-', ":").to_lowercase())),
        })
    }

    /// Says who we are until the server answers.
    fn hello(&self, wait: Option<Duration>, interrupt: &Interrupt) -> Result<Welcome, Failure> {
        let address = server::resolve(&self.server)?;
        let id = ClientId(receive::random());
        let question = Question { server: address, client: id, image: String::new() };
        let since = Instant::now();
        let content = question.wait(wait, interrupt, || eprintln!("{} does not answer yet", self.server))?;
        let content = content.content;
        let address = SocketAddr::new(address.ip(), content.port);
        let trust = checked_trust(address, &content, self.trust)?;
        let macs = self.card.clone().map_or_else(platform::cards, |card| vec![card]);
        let boot = platform::boot_id().unwrap_or_else(|| id.to_string());
        let hello = Hello { boot: &boot, host: &self.host(), macs: &macs };
        let url = format!("{}/pxe/v1/hello", base_url(address, trust.is_some()));
        let client = client(trust)?;
        loop {
            let lost = match client.post(&url).bearer_auth(&self.token).json(&hello).send() {
                Ok(response) if response.status().is_success() => {
                    return response.json().map_err(|error| {
                        Failure::of(Exit::Refused, &error).causing("the server's answer cannot be read")
                    });
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    return Err(Failure::new(Exit::Refused, format!("{} boots no machines", self.server)));
                }
                Ok(response) if response.status().is_client_error() => {
                    let status = response.status();
                    let text = response.json().map_or_else(|_| status.to_string(), |refused: Refused| refused.error);
                    return Err(Failure::new(Exit::Refused, format!("the server refuses this machine: {text}")));
                }
                Ok(response) => format!("the server answers {}", response.status()),
                Err(error) => match failed(&error) {
                    SourceError::Lost { text } => text,
                    refused => return Err(Failure::of(Exit::Refused, &refused)),
                },
            };
            if wait.is_some_and(|wait| since.elapsed() + AGAIN > wait) {
                return Err(Failure::new(Exit::NoSession, format!("{}: {lost}", self.server)));
            }
            if interrupt.wish().recv_timeout(AGAIN).is_ok() {
                return Err(Failure::new(Exit::Interrupted, "interrupted"));
            }
        }
    }
}

/// The value of `name=value`.
fn value<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    word.strip_prefix(name)?.strip_prefix('=')
}

/// The words of a kernel's command line, where double quotes keep spaces together and go.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            space if space.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parameters, Failure> {
        Parameters::parse(text, Path::new("cmdline"))
    }

    #[test]
    fn the_last_word_counts_and_quotes_keep_spaces() {
        let text = "quiet mcast.server=10.0.0.1 mcast.token=abc mcast.image=\"base image.wim\" \
                    BOOTIF=01-52-54-00-AB-cd-01 mcast.output=/dev/sda mcast.server=10.0.0.2:7\n";
        let found = parse(text).unwrap();
        assert_eq!((found.server.as_str(), found.token.as_str()), ("10.0.0.2:7", "abc"));
        assert_eq!(
            (found.image.as_deref(), found.card.as_deref()),
            (Some("base image.wim"), Some("52:54:00:ab:cd:01"))
        );
        assert_eq!((&found.output, &found.trust), (&Some(PathBuf::from("/dev/sda")), &None));
        assert_ne!(found.host(), "(none)");
    }

    #[test]
    fn a_machine_is_called_what_the_site_calls_it() {
        let found = parse("mcast.server=a mcast.token=b mcast.computer=\"room 3, pc 7\"").unwrap();
        assert_eq!(found.host(), "room 3, pc 7");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, words) in [
            ("quiet", ["cmdline has no mcast.server=", "--server"]),
            ("mcast.server=a", ["cmdline has no mcast.token=", "--server"]),
            ("mcast.server=a mcast.token=", ["cmdline has no mcast.token=", "--server"]),
            ("mcast.server=a mcast.token=b mcast.trust=ABCD", ["mcast.trust of cmdline is wrong", "fingerprint"]),
        ] {
            let failure = format!("{:?}", parse(text).unwrap_err());
            assert!(words.iter().all(|word| failure.contains(word)), "{text}: {failure}");
        }
    }
}
