//! One transfer with its line.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::agenda::Entry;
use super::super::desk::{Asked, Standing};
use super::super::event::{Aborted, Event, Served};
use super::super::line::{Line, Sent};
use super::super::transfer::{Outcome, Transfer, Transmit};
use super::super::wire::{ErrorCode, Packet};
use super::super::{Terms, Time};

/// So often something was sent in vain until routers may cut the datagrams.
const RESENDS_UNTIL_FRAGMENTS: u32 = 3;
/// A socket without room is tried again after this, should the system not say that it has some.
const RETRY: Duration = Duration::from_millis(100);

/// A client being served.
pub(super) struct Seat {
    pub(super) line: Line,
    pub(super) entry: Entry,
    transfer: Transfer,
    asked: Asked,
    served: Served,
    begun: Time,
    blocked: bool,
}

/// What a seat wants next.
pub(super) enum Next {
    /// To be looked at then, and whether to wait for room in the socket.
    Wait { until: Time, blocked: bool },
    /// To be taken away.
    Over(Event),
}

impl Seat {
    pub(super) fn new(now: Time, line: Line, client: SocketAddr, asked: Asked, terms: Terms) -> io::Result<Self> {
        let served = Served {
            client,
            server: line.local()?,
            name: asked.name.to_string(),
            size: terms.size,
            block: terms.block,
            window: terms.window,
        };
        let transfer = Transfer::new(now, terms);
        Ok(Self { line, entry: Entry::default(), transfer, asked, served, begun: now, blocked: false })
    }

    pub(super) fn served(&self) -> &Served {
        &self.served
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// What the desk wants to know of it.
    pub(super) fn standing(&self, id: u64, asked: &Asked) -> Standing {
        Standing {
            id,
            client: self.served.client,
            heard_at: self.transfer.heard_at(),
            proven: self.transfer.is_proven(),
            resends: self.transfer.resends(),
            same: self.asked == *asked,
        }
    }

    pub(super) fn request_again(&mut self, now: Time) {
        self.transfer.handle_request_again(now);
    }

    /// Takes a datagram, if there is one.
    pub(super) fn receive(&mut self, now: Time, buffer: &mut [u8]) {
        match self.line.receive(buffer) {
            Ok(len) => self.transfer.handle_datagram(now, buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.transfer.handle_gone(),
            // Nothing there, or a router's complaint: the path may come back.
            Err(_) => {}
        }
    }

    /// Sends what there is to send at this moment.
    pub(super) fn advance(&mut self, now: Time) -> Next {
        self.transfer.handle_timeout(now);
        if self.transfer.resends() == RESENDS_UNTIL_FRAGMENTS {
            self.line.let_fragment();
        }
        self.blocked = false;
        while let Some(transmit) = self.transfer.poll_transmit(now) {
            let sent = match transmit {
                Transmit::Packet(bytes) => self.line.send(&bytes),
                Transmit::Blocks { first, count } => self.line.send_blocks(self.transfer.terms(), first, count),
            };
            match sent {
                Sent::Blocks(count) => self.transfer.handle_sent(now, count),
                Sent::Blocked(count) => {
                    self.transfer.handle_sent(now, count);
                    self.blocked = true;
                    break;
                }
                Sent::Gone => self.transfer.handle_gone(),
                Sent::Content(error) => {
                    self.say("the file cannot be read");
                    return Next::Over(self.abort(now, Aborted::Content(error.to_string())));
                }
            }
        }
        match (self.transfer.outcome(), self.transfer.poll_timeout()) {
            (None, Some(at)) => {
                let until = if self.blocked { at.max(now + RETRY) } else { at };
                Next::Wait { until, blocked: self.blocked }
            }
            (outcome, _) => Next::Over(self.over(now, outcome.cloned().unwrap_or(Outcome::Silent))),
        }
    }

    /// Ends it from our side. An error would end the boot of a client that is about to answer, or that now asks
    /// from this port for something else.
    pub(super) fn end(&mut self, now: Time, why: Aborted) -> Event {
        let harmless = match why {
            Aborted::Replaced => false,
            Aborted::MadeRoom => self.transfer.is_proven(),
            _ => true,
        };
        if harmless {
            self.say("the transfer was ended");
        }
        self.abort(now, why)
    }

    fn say(&mut self, text: &str) {
        let packet = Packet::Error { code: ErrorCode::OTHER, text: text.as_bytes() };
        // Should it be lost the client's own patience ends it.
        let _ = self.line.send(&packet.to_bytes());
    }

    fn over(&self, now: Time, outcome: Outcome) -> Event {
        match (outcome, self.line.trouble()) {
            (Outcome::Done { confirmed }, _) => Event::Done {
                served: self.served.clone(),
                took: now.saturating_sub(self.begun),
                resent: self.transfer.blocks_resent(),
                confirmed,
            },
            (Outcome::Silent, Some(error)) => self.abort(now, Aborted::Network(error.to_string())),
            (outcome, _) => self.abort(now, Aborted::Client(outcome)),
        }
    }

    fn abort(&self, now: Time, why: Aborted) -> Event {
        Event::Aborted {
            served: self.served.clone(),
            confirmed: self.transfer.confirmed_bytes(),
            after: now.saturating_sub(self.begun),
            why,
        }
    }
}
