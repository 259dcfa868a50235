//! Where the image comes from if not by multicast: when that way is taken, and what is said of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use command_line::Interrupt;
use identity::{Fingerprint, Trust};
use multicast_core::engine::{ClientError, ContentLocation, Inquired, inquire};
use multicast_core::receiver::ReceiverError;
use multicast_core::types::ClientId;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::http::base_url;
use crate::text;

/// A server that has just been heard answers at once, unless it is too old to know the question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether the user still wants it.
pub(crate) const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// Whether an image may be fetched by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fallback {
    /// If multicast does not get here, or the server says so
    Auto,
    /// Never: by multicast or not at all
    Never,
    /// Without trying multicast
    Only,
}

/// Whom to ask, as whom, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) server: SocketAddr,
    pub(crate) client: ClientId,
    /// Empty for the server's only one.
    pub(crate) image: String,
}

/// What a server said of its content.
#[derive(Debug, Clone)]
pub(crate) struct Directions {
    pub(crate) content: ContentLocation,
    pub(crate) image: String,
}

/// Why an image does not come by multicast.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reason {
    /// The session was joined, but nothing of its group came.
    Deaf { group: SocketAddr, seconds: f64 },
    /// The server says so, in its words.
    Told(String),
    /// The user says so.
    Asked,
}

impl Reason {
    /// If this is how a client ended.
    pub(crate) fn of(error: &ClientError) -> Option<Self> {
        match error {
            ClientError::Receiver(ReceiverError::Deaf { group, seconds }) => {
                Some(Self::Deaf { group: *group, seconds: *seconds })
            }
            ClientError::Receiver(ReceiverError::TakeUnicast { text }) => Some(Self::Told(text.clone())),
            _ => None,
        }
    }

    /// For the server's operator.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Deaf { group, seconds } => format!("heard nothing of {group} for {}", text::duration(*seconds)),
            Self::Told(text) => format!("told so: {text}"),
            Self::Asked => "asked for by its user".to_owned(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Deaf { group, seconds } => format!(
                "nothing of group {group} was heard for {} though the server answers: \
                 a wrong VLAN or interface, no IGMP querier, or a firewall",
                text::duration(*seconds)
            ),
            Self::Told(text) => format!("the server says: {text}"),
            Self::Asked => "multicast is not tried, as asked for by --fallback only".to_owned(),
        }
    }
}

/// The way that is taken instead.
#[derive(Debug, Serialize)]
pub(crate) struct Detour {
    #[serde(rename = "reason")]
    why: String,
    from: String,
    /// The fingerprint of the server's key, if it speaks TLS.
    fingerprint: Option<String>,
    /// Whether that was compared with something that the server did not say itself.
    checked: bool,
    #[serde(skip)]
    pub(crate) address: SocketAddr,
    #[serde(skip)]
    pub(crate) trust: Option<Trust>,
    #[serde(skip)]
    pub(crate) short: String,
}

impl Detour {
    /// To the content of `server`, whose key must be the trusted one if there is one.
    pub(crate) fn new(
        reason: &Reason,
        server: SocketAddr,
        content: &ContentLocation,
        trust: Option<Trust>,
    ) -> Result<Self, Failure> {
        let address = SocketAddr::new(server.ip(), content.port);
        let told = content.tls.map(Fingerprint::from_bytes);
        Ok(Self {
            why: reason.text(),
            from: base_url(address, told.is_some()),
            fingerprint: told.map(|told| told.to_string()),
            checked: trust.is_some(),
            address,
            trust: checked_trust(address, content, trust)?,
            short: reason.short(),
        })
    }

    /// All that is said of it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        [Some(self.text()), self.caution()].into_iter().flatten()
    }

    /// What is seen and done.
    fn text(&self) -> String {
        format!("{}; fetching from {} instead", self.why, self.from)
    }

    /// What the user should know of the other end.
    fn caution(&self) -> Option<String> {
        match &self.fingerprint {
            _ if self.checked => None,
            Some(fingerprint) => Some(format!(
                "the server's fingerprint {fingerprint} is its own word and was compared with nothing: \
                 --trust {fingerprint} does that, if the server itself shows the same"
            )),
            None => Some("the server serves without TLS: who it is cannot be checked".to_owned()),
        }
    }
}

/// The key that whoever serves at `address` must hold: the trusted one, if there is one, or the one that it named
/// itself.
pub(crate) fn checked_trust(
    address: SocketAddr,
    content: &ContentLocation,
    trust: Option<Trust>,
) -> Result<Option<Trust>, Failure> {
    let told = content.tls.map(Fingerprint::from_bytes);
    let refused = |text: String| Failure::new(Exit::Refused, text);
    match (trust, &told) {
        (Some(_), None) => {
            let text = format!("the server at {address} serves without TLS, so that --trust cannot be checked");
            Err(refused(text).with_help(Some("without --trust its word is taken")))
        }
        (Some(trust), Some(told)) if !trust.matches(told) => {
            let trusted = trust.to_short();
            let text = format!("the server's fingerprint is {told}, not the trusted {trusted}");
            let help = "if the site was set up anew, read its new fingerprint on the server itself; \
                        otherwise somebody else answers in its place";
            Err(refused(text).with_help(Some(help)))
        }
        _ => Ok(trust.or(told.map(Trust::from))),
    }
}

impl Question {
    /// Asks in the background; `then` is called if there is content for single clients.
    pub(crate) fn ask(self, then: impl FnOnce(Directions) + Send + 'static) {
        let work = move || {
            if let Ok(Inquired::Told { content: Some(content), image }) = self.inquire(PATIENCE) {
                then(Directions { content, image });
            }
        };
        // Without a thread there is no other way, as with a server that does not answer.
        let _ = std::thread::Builder::new().name("inquire".into()).spawn(work);
    }

    /// Asks until there is an answer or `limit` is over; `waits` is called when there is none at first.
    pub(crate) fn wait(
        &self,
        limit: Option<Duration>,
        interrupt: &Interrupt,
        waits: impl FnOnce(),
    ) -> Result<Directions, Failure> {
        let since = Instant::now();
        let mut waits = Some(waits);
        loop {
            let left = limit.map(|limit| limit.saturating_sub(since.elapsed()));
            match self.inquire(left.map_or(ASK_INTERVAL, |left| left.min(ASK_INTERVAL)))? {
                Inquired::Told { content: Some(content), image } => return Ok(Directions { content, image }),
                Inquired::Told { content: None, .. } => {
                    let text = "the server has no content for single clients: its images come by multicast only";
                    return Err(Failure::new(Exit::Refused, text));
                }
                Inquired::Silence => waits.take().into_iter().for_each(|waits| waits()),
            }
            if interrupt.wish().try_recv().is_ok() {
                return Err(Failure::new(Exit::Interrupted, "interrupted"));
            }
            if left.is_some_and(|left| left <= ASK_INTERVAL) {
                let waited = text::duration(since.elapsed().as_secs_f64());
                let text = format!("no word of where its content is after {waited} of asking the server");
                return Err(Failure::new(Exit::NoSession, text).with_help(Some(
                    "it does not answer, or it is too old to fetch from: without --fallback only multicast is tried",
                )));
            }
        }
    }

    fn inquire(&self, patience: Duration) -> Result<Inquired, Failure> {
        Ok(inquire(self.server, self.client, &self.image, patience)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detour(tls: Option<[u8; 32]>, trust: Option<Trust>) -> Result<Detour, Failure> {
        let group = "239.194.3.7:63001".parse().unwrap();
        let reason = Reason::Deaf { group, seconds: 15.0 };
        Detour::new(&reason, "10.0.0.5:62999".parse().unwrap(), &ContentLocation { port: 8095, tls }, trust)
    }

    #[test]
    fn what_was_seen_and_what_is_done_is_said() {
        let detour = detour(None, None).unwrap();
        assert_eq!(
            detour.text(),
            "nothing of group 239.194.3.7:63001 was heard for 15 s though the server answers: a wrong VLAN or \
             interface, no IGMP querier, or a firewall; fetching from http://10.0.0.5:8095 instead"
        );
        assert!(detour.caution().unwrap().contains("without TLS"));
    }

    #[test]
    fn the_trusted_key_must_be_there_and_the_servers_own_word_is_told_to_be_that() {
        let trust = |byte| Trust::from(Fingerprint::from_bytes([byte; 32]));
        let good = detour(Some([7; 32]), Some(trust(7))).unwrap();
        assert!(good.caution().is_none() && good.trust == Some(trust(7)) && good.text().contains("https://"));
        assert!(detour(Some([7; 32]), Some(trust(8))).is_err());
        assert!(detour(None, Some(trust(8))).is_err(), "without TLS there is nothing to compare");
        let own = detour(Some([7; 32]), None).unwrap();
        assert_eq!(own.trust, Some(trust(7)));
        assert!(own.caution().unwrap().contains("compared with nothing"));
    }
}
