//! Who is to get which datagram: the thread that reads the one control socket of all sessions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender as Channel;

use super::clock::Clock;
use super::doorkeeper::{Ask, Doorkeeper, Verdict};
use super::probes::Probes;
use super::session::{Inbound, pass_on};
use crate::net::{ControlSocket, Waker, wait};
use crate::sender::SenderEvent;
use crate::types::{ClientId, Instant, SessionId};
use crate::wire::{
    ContentLocation, Directory, Inquiry, Join, Kind, Packet, Refusal, RefuseReason, VERSION, WireError, peek,
};

/// Milliseconds after which a client may ask again for an image that is not there, or not yet.
const RETRY_MS: u32 = 500;
const PREPARING_RETRY_MS: u32 = 100;
const PREPARING: &str = "the image is being prepared";
/// Clients that asked while their image was being prepared are taken in when it is ready: so many,
/// and those who asked so lately that they still wait.
const EARLY_LIMIT: usize = 4096;
const EARLY_FRESH: Duration = Duration::from_millis(250);

/// The sessions that can be reached.
#[derive(Default)]
pub(super) struct Door {
    /// By the number of their main stream.
    pub(super) sessions: HashMap<SessionId, (String, Channel<Inbound>)>,
    /// Further streams of sessions: nobody joins these by name.
    pub(super) streams: HashMap<SessionId, Channel<Inbound>>,
    pub(super) preparing: Vec<String>,
    /// Who asked for images that are being prepared.
    pub(super) early: HashMap<SocketAddr, Early>,
    pub(super) closed: bool,
}

/// A join for an image that is being prepared.
pub(super) struct Early {
    at: Instant,
    pub(super) image: String,
    datagram: Box<[u8]>,
}

impl Door {
    fn remember(&mut self, from: SocketAddr, image: &str, datagram: &[u8], at: Instant) {
        if self.early.len() >= EARLY_LIMIT {
            self.early.retain(|_, early| at - early.at < EARLY_FRESH);
        }
        if self.early.len() < EARLY_LIMIT {
            self.early.insert(from, Early { at, image: image.to_owned(), datagram: datagram.into() });
        }
    }

    /// The image of the only session.
    fn only_image(&self) -> Option<String> {
        let mut names = self.sessions.values().map(|(name, _)| name);
        names.next().filter(|_| names.next().is_none()).cloned()
    }

    /// Passes on to the session of `name`, which has just been opened, who asked for it lately.
    pub(super) fn admit_early(&mut self, name: &str, inbound: &Channel<Inbound>, now: Instant) {
        let only = self.sessions.len() == 1;
        self.early.retain(|from, early| {
            let meant = early.image == name || only && early.image.is_empty();
            if meant && now - early.at < EARLY_FRESH {
                pass_on(inbound, *from, &early.datagram);
            }
            !meant
        });
        if self.preparing.is_empty() {
            self.early.clear();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that reads the control socket.
pub(super) struct FrontDoor {
    pub(super) socket: Arc<ControlSocket>,
    pub(super) door: Arc<Mutex<Door>>,
    pub(super) keeper: Option<Arc<dyn Doorkeeper>>,
    pub(super) events: Channel<SenderEvent>,
    pub(super) waker: Waker,
    pub(super) clock: Clock,
    /// Where single clients get the images.
    pub(super) content: Option<ContentLocation>,
    pub(super) probes: Probes,
}

impl FrontDoor {
    pub(super) fn run(self) {
        let mut buffer = vec![0; 2048];
        while !lock(&self.door).closed {
            if wait(&[self.socket.handle(), self.waker.handle()], None).is_err() {
                continue;
            }
            // An error here is an ICMP message about a client that has gone.
            while let Ok(Some((len, from))) = self.socket.receive(&mut buffer) {
                self.handle(from, &buffer[..len]);
            }
        }
    }

    fn handle(&self, from: SocketAddr, datagram: &[u8]) {
        let packet = match peek(datagram).and_then(|_| Packet::decode(datagram)) {
            Ok(packet) => packet,
            Err(WireError::Version { found }) if is_join(datagram) => {
                let text = format!("protocol version {found} is not spoken here, this server speaks {VERSION}");
                return self.refuse(from, ClientId(0), "", RefuseReason::Version, 0, &text);
            }
            // Anything may arrive at an open port; it is not worth an answer.
            Err(_) => return,
        };
        match packet {
            Packet::Join(join) => self.join(from, &join, datagram),
            Packet::Report(report) => self.route(from, report.session, report.client, datagram),
            Packet::Leave(leave) => self.route(from, leave.session, leave.client, datagram),
            Packet::Inquiry(inquiry) => self.direct(from, &inquiry),
            Packet::Probe(probe) => self.probes.handle(from, probe),
            _ => {}
        }
    }

    fn join(&self, from: SocketAddr, join: &Join<'_>, datagram: &[u8]) {
        let &Join { client, image, host, credential } = join;
        let ask = Ask { client, host, image, address: from, credential };
        // Before the lock, which the keeper may need for what it begins.
        let verdict = self.keeper.as_ref().map_or(Verdict::Admit, |keeper| keeper.judge(&ask));
        let mut door = lock(&self.door);
        match verdict {
            Verdict::Admit => {}
            Verdict::Serve { image } => {
                if let Some((_, inbound)) = door.sessions.values().find(|(name, _)| *name == image) {
                    return pass_on(inbound, from, datagram);
                }
                if !door.preparing.contains(&image) {
                    door.preparing.push(image.clone());
                }
                door.remember(from, &image, datagram, self.clock.now());
                return self.refuse(from, client, host, RefuseReason::Preparing, PREPARING_RETRY_MS, PREPARING);
            }
            Verdict::Refuse { reason, retry, text } => {
                let retry_ms = u32::try_from(retry.as_millis()).unwrap_or(u32::MAX);
                return self.refuse(from, client, host, reason, retry_ms, &text);
            }
        }
        let mut matching = door.sessions.values().filter(|(name, _)| join.image.is_empty() || name == join.image);
        let (first, second) = (matching.next(), matching.next());
        let names = || door.sessions.values().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let preparing = door.preparing.iter().any(|name| join.image.is_empty() || name == join.image);
        match (first, second) {
            (Some((_, inbound)), None) => pass_on(inbound, from, datagram),
            (Some(_), Some(_)) => {
                let text = format!("it serves several images, name one of: {}", names());
                self.refuse(from, join.client, join.host, RefuseReason::Ambiguous, 0, &text);
            }
            (None, _) if preparing => {
                door.remember(from, join.image, datagram, self.clock.now());
                self.refuse(from, client, host, RefuseReason::Preparing, PREPARING_RETRY_MS, PREPARING);
            }
            (None, _) => {
                let text = match names().as_str() {
                    "" => "it serves no image at the moment".to_owned(),
                    names => format!("it serves no image named {:?}, only: {names}", join.image),
                };
                self.refuse(from, join.client, join.host, RefuseReason::NoSuchImage, RETRY_MS, &text);
            }
        }
    }

    fn route(&self, from: SocketAddr, session: SessionId, client: ClientId, datagram: &[u8]) {
        let door = lock(&self.door);
        match door.sessions.get(&session).map(|(_, inbound)| inbound).or_else(|| door.streams.get(&session)) {
            Some(inbound) => pass_on(inbound, from, datagram),
            None => self.answer(from, client, RefuseReason::UnknownSession, 0, "no such session here: join again"),
        }
    }

    /// Says where the content is, and of which image a client speaks that names none.
    fn direct(&self, from: SocketAddr, inquiry: &Inquiry<'_>) {
        let mut image = inquiry.image.to_owned();
        if image.is_empty() {
            let only = self.keeper.as_ref().map(|keeper| keeper.only_image());
            image = only.unwrap_or_else(|| lock(&self.door).only_image()).unwrap_or_default();
        }
        let may = self.keeper.as_ref().is_none_or(|keeper| keeper.has_content(&image));
        let mut payload = Vec::new();
        Directory { client: inquiry.client, content: self.content.filter(|_| may), image: &image }.encode(&mut payload);
        // A lost answer is asked for again.
        let _ = self.socket.send_to(&payload, from);
    }

    fn refuse(&self, to: SocketAddr, client: ClientId, host: &str, reason: RefuseReason, retry_ms: u32, text: &str) {
        self.answer(to, client, reason, retry_ms, text);
        // Waiting for an image is no news; being unable to get one is.
        if reason == RefuseReason::Version || reason == RefuseReason::Ambiguous {
            let (host, text) = (host.to_owned(), text.to_owned());
            // Nobody has to listen, and anybody can ask.
            let _ = self.events.try_send(SenderEvent::ClientRefused { address: to, host, reason, text });
        }
    }

    fn answer(&self, to: SocketAddr, client: ClientId, reason: RefuseReason, retry_ms: u32, text: &str) {
        let mut payload = Vec::new();
        Refusal::new(client, reason, retry_ms, text).encode(&mut payload);
        // A lost answer is asked for again.
        let _ = self.socket.send_to(&payload, to);
    }
}

/// Whether it is a join in whatever version: only that is answered with the version spoken here.
fn is_join(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x0F == Kind::Join as u8)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn who_asked_lately_for_an_image_is_taken_in_when_it_is_ready() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let from = |host| SocketAddr::from(([10, 0, 0, host], 5000));
        let mut door = Door { preparing: vec!["later".to_owned()], ..Door::default() };
        for (host, image, ms) in [(1, "now", 0), (2, "now", 200), (3, "", 200), (4, "later", 200)] {
            door.remember(from(host), image, image.as_bytes(), at(ms));
        }
        let (inbound, inbox) = unbounded();
        door.sessions.insert(SessionId(1), ("now".to_owned(), inbound.clone()));
        door.admit_early("now", &inbound, at(300));
        let mut taken: Vec<_> = inbox.try_iter().collect();
        taken.sort_by_key(|inbound| if let Inbound::Datagram(from, _) = inbound { Some(*from) } else { None });
        let is_of = |inbound: &Inbound, host| matches!(inbound, Inbound::Datagram(of, _) if *of == from(host));
        assert!(taken.len() == 2 && is_of(&taken[0], 2) && is_of(&taken[1], 3));
        assert_eq!(door.early.keys().collect::<Vec<_>>(), [&from(4)]);
    }
}
