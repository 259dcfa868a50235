//! Events as lines for people.

use std::collections::HashMap;
use std::net::SocketAddr;

use multicast_core::sender::{EndCause, Rung, SenderEvent, StartCause};
use multicast_core::types::ClientId;

use crate::text;

/// Clients whose names are kept; then all are forgotten, and those to come are told apart.
const NAMES: usize = 65_536;

/// Tells what happens, and which client is meant where several run on one machine.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    clients: HashMap<ClientId, (String, SocketAddr)>,
}

impl Narrator {
    /// What happened, `None` if it is not worth a line.
    pub(crate) fn tell(&mut self, event: &SenderEvent) -> Option<String> {
        use SenderEvent as E;
        Some(match event {
            E::ClientJoined { client, host, address, again } => {
                if self.clients.len() >= NAMES {
                    self.clients.clear();
                }
                self.clients.insert(*client, (host.clone(), *address));
                format!("{host} ({address}) {}", if *again { "is back" } else { "joined" })
            }
            E::ClientReady { client, host, held } if *held > 0 => {
                format!("{} holds {} already", self.name(*client, host), text::count(*held as usize, "block"))
            }
            E::ClientReady { .. } => return None,
            E::ClientRefused { address, host, text, .. } => format!("{host} ({address}) was refused: {text}"),
            E::ClientComplete { client, host, seconds } => {
                format!("{} is complete after {}", self.name(*client, host), text::duration(*seconds))
            }
            E::ClientLeft { client, host, reason, text } => {
                format!("{} left without the image: {}", self.name(*client, host), text::left(*reason, text))
            }
            E::ClientGivenUp { client, host, silent_seconds } => {
                let silence = text::duration(*silent_seconds);
                format!("{} was given up after {silence} of silence", self.name(*client, host))
            }
            E::ClientRemoved { client, host } => format!("{} was removed", self.name(*client, host)),
            E::ClientMoved { client, host, to, text } => {
                let to = match to {
                    Rung::Slower => "goes on with the slower stream",
                    _ => "goes on by unicast",
                };
                format!("{} {to}: {text}", self.name(*client, host))
            }
            E::ClientEvicted { client, host, text } => format!("{} was evicted: {text}", self.name(*client, host)),
            E::StreamOpened { rung, to } => format!("{} to {to} opened", text::rung(*rung)),
            E::StreamClosed { rung, to } => format!("{} to {to} ended", text::rung(*rung)),
            E::StreamUnavailable { rung, text: why } => format!("no {} can be opened: {why}", text::rung(*rung)),
            E::Started { clients, cause } => {
                let why = match cause {
                    StartCause::Clients => "as many as asked for are there",
                    StartCause::Wait => "the first one has waited long enough",
                    StartCause::Clock => "its hour has come",
                    StartCause::Command => "by command",
                };
                format!("started with {}: {why}", text::count(*clients as usize, "client"))
            }
            E::Paused => "paused".to_owned(),
            E::Resumed => "resumed".to_owned(),
            E::RateChanged { rate, median_loss } => {
                let rate = text::rate(rate.bits() as f64);
                format!("rate is now {rate}, the median client loses {:.1} %", median_loss * 100.0)
            }
            E::Ended { cause: EndCause::Finished } => "ended".to_owned(),
            E::Ended { cause: EndCause::Cancelled } => "cancelled".to_owned(),
            E::Ended { cause: EndCause::Suspended } => "suspended".to_owned(),
            _ => return None,
        })
    }

    /// The host, with its address where another client has the same one.
    fn name(&self, client: ClientId, host: &str) -> String {
        let shared = self.clients.iter().any(|(other, (name, _))| *other != client && name == host);
        match self.clients.get(&client) {
            Some((_, address)) if shared => format!("{host} ({address})"),
            _ => host.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(client: u64, port: u16) -> SenderEvent {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        SenderEvent::ClientJoined { client: ClientId(client), host: "pc".to_owned(), address, again: false }
    }

    #[test]
    fn clients_of_one_name_are_told_apart_by_their_addresses() {
        let mut narrator = Narrator::default();
        let complete = SenderEvent::ClientComplete { client: ClientId(1), host: "pc".to_owned(), seconds: 2.0 };
        narrator.tell(&joined(1, 5));
        assert_eq!(narrator.tell(&complete).unwrap(), "pc is complete after 2.0 s");
        narrator.tell(&joined(2, 6));
        assert_eq!(narrator.tell(&complete).unwrap(), "pc (10.0.0.1:5) is complete after 2.0 s");
    }
}
