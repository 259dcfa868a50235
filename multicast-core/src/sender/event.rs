//! What a session tells: events as they happen, and a picture on request.
//!
//! Logs, the live view and NDJSON are all made from these.

use std::net::SocketAddr;
use std::time::Duration;

use crate::pace::Rate;
use crate::types::{ClientId, SessionId};
use crate::wire::{LeaveReason, RefuseReason, SessionState};

/// Something happened in a session.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SenderEvent {
    /// A client was admitted.
    ClientJoined {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Where it reports from.
        address: SocketAddr,
        /// It was here before: it crashed, lost the session or was given up.
        again: bool,
    },
    /// A client hears the group and has told what it holds.
    ClientReady {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Blocks that it holds already.
        held: u32,
    },
    /// A client was not admitted.
    ClientRefused {
        /// Where it asked from.
        address: SocketAddr,
        /// Its host name, if it could be read.
        host: String,
        /// Why.
        reason: RefuseReason,
        /// The same in words.
        text: String,
    },
    /// A client has everything, verified and stored.
    ClientComplete {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Seconds since it joined.
        seconds: f64,
    },
    /// A client went without the whole image.
    ClientLeft {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Why.
        reason: LeaveReason,
        /// The same in its own words.
        text: String,
    },
    /// A client was silent for too long; the session goes on without it.
    ClientGivenUp {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Seconds since it was last heard.
        silent_seconds: f64,
    },
    /// The operator removed a client.
    ClientRemoved {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
    },
    /// A client goes on with another stream of the session.
    ClientMoved {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// To what.
        to: Rung,
        /// Why.
        text: String,
    },
    /// A client is not waited for any longer.
    ClientEvicted {
        /// Who.
        client: ClientId,
        /// Its host name.
        host: String,
        /// Why.
        text: String,
    },
    /// A further stream of the session was opened.
    StreamOpened {
        /// What it is.
        rung: Rung,
        /// Where it goes: a group, or a client.
        to: SocketAddr,
    },
    /// A further stream cannot be had; clients stay where they are.
    StreamUnavailable {
        /// What it would have been.
        rung: Rung,
        /// Why.
        text: String,
    },
    /// A further stream is not needed any more.
    StreamClosed {
        /// What it was.
        rung: Rung,
        /// Where it went.
        to: SocketAddr,
    },
    /// The first symbol is about to go out.
    Started {
        /// Clients at that moment.
        clients: u32,
        /// Which threshold it was.
        cause: StartCause,
    },
    /// The operator paused the session.
    Paused,
    /// The operator resumed the session.
    Resumed,
    /// The adaptive rate changed.
    RateChanged {
        /// Bits per second on the wire from now on.
        rate: Rate,
        /// Loss of the median client that led to it, 0 to 1.
        median_loss: f64,
    },
    /// The session is over.
    Ended {
        /// Why.
        cause: EndCause,
    },
}

/// The streams that a session can have, downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Rung {
    /// The session's own, to its group.
    Main,
    /// A second group, at the pace of those who do not follow the first.
    Slower,
    /// To one client alone.
    Unicast,
}

/// What started a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum StartCause {
    /// As many clients as asked for are there.
    Clients,
    /// The first client has waited for as long as asked for.
    Wait,
    /// Its hour had come.
    Clock,
    /// The operator's command.
    Command,
}

/// What ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum EndCause {
    /// Every client has the image, has left or was given up.
    Finished,
    /// The operator cancelled it.
    Cancelled,
    /// Its server stops and is to take it up again.
    Suspended,
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ClientState {
    /// Admitted, but has not yet told that it hears the group.
    Joined,
    /// Takes part.
    Receiving,
    /// Takes part, but has not answered lately.
    Silent,
    /// Has everything.
    Complete,
    /// Went by itself.
    Left,
    /// Was silent for too long.
    GivenUp,
    /// Was removed by the operator.
    Removed,
    /// Goes on with another stream of the session.
    Moved,
    /// Kept others waiting for too long, or did not get on.
    Evicted,
}

impl ClientState {
    /// The session still has to care for it.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Joined | Self::Receiving | Self::Silent)
    }

    /// It takes part, be it by this stream or by another one of the session.
    pub(super) fn takes_part(self) -> bool {
        self.is_active() || self == Self::Moved
    }
}

/// One client, as the session knows it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ClientSnapshot {
    /// Who.
    pub client: ClientId,
    /// Its host name.
    pub host: String,
    /// Where it reports from.
    pub address: SocketAddr,
    /// Where it stands.
    pub state: ClientState,
    /// The stream that serves it.
    pub rung: Rung,
    /// Blocks that it has verified.
    pub verified: u32,
    /// Symbols a second that reached it lately.
    pub symbols_per_second: f64,
    /// Part of the symbols sent lately that did not reach it, 0 to 1.
    pub loss: f64,
    /// Datagrams that its own socket dropped.
    pub dropped: u32,
    /// Seconds since it joined; for a complete one until it was complete.
    pub seconds: f64,
}

/// What one client holds, coarsely: for a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Who.
    pub client: ClientId,
    /// Of each of so many equal parts of the stream, from 0 for nothing to 255 for all of its blocks.
    pub columns: Vec<u8>,
}

/// A session at one moment.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SessionSnapshot {
    /// The session.
    pub session: SessionId,
    /// Name of the image.
    pub image: String,
    /// What it is doing.
    pub state: SessionState,
    /// Blocks of the stream, the manifest's included.
    pub blocks: u32,
    /// Rate on the wire.
    pub rate: Rate,
    /// Symbols known to be needed yet.
    pub needed_symbols: u64,
    /// Time that these take at this rate.
    pub remaining: Duration,
    /// Clients waited for, 0 without such a threshold.
    pub awaited: u32,
    /// What was sent and received so far.
    pub counters: SenderCounters,
    /// The streams beside the main one.
    pub streams: Vec<StreamSnapshot>,
    /// Everyone who was ever admitted and is not forgotten, by slot.
    pub clients: Vec<ClientSnapshot>,
    /// Those beside them that are.
    pub forgotten: Forgotten,
}

impl SessionSnapshot {
    /// Clients ever admitted, those that are forgotten included.
    pub fn admitted(&self) -> u32 {
        self.clients.len() as u32 + self.forgotten.clients()
    }

    /// Those of them that are being served.
    pub fn active(&self) -> u32 {
        self.clients.iter().filter(|client| client.state.is_active()).count() as u32
    }

    /// Those of them that are in this state, or were when they were forgotten.
    pub fn in_state(&self, state: ClientState) -> u32 {
        let here = self.clients.iter().filter(|client| client.state == state).count() as u32;
        here + self.forgotten.in_state(state)
    }

    /// Those of them that went without the image.
    pub fn failed(&self) -> u32 {
        self.admitted() - self.active() - self.in_state(ClientState::Complete)
    }
}

/// Clients that went, and whose slots others have now: a session remembers 65,536 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Forgotten {
    /// They had everything.
    pub complete: u32,
    /// They went by themselves.
    pub left: u32,
    /// They were silent for too long.
    pub given_up: u32,
    /// They kept others waiting, or did not get on.
    pub evicted: u32,
}

impl Forgotten {
    /// All of them. One that came back since counts again.
    pub fn clients(&self) -> u32 {
        self.complete + self.failed()
    }

    /// Those that went without the image.
    pub fn failed(&self) -> u32 {
        self.left + self.given_up + self.evicted
    }

    fn in_state(&self, state: ClientState) -> u32 {
        match state {
            ClientState::Complete => self.complete,
            ClientState::Left => self.left,
            ClientState::GivenUp => self.given_up,
            ClientState::Evicted => self.evicted,
            _ => 0,
        }
    }
}

/// A stream beside the main one.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StreamSnapshot {
    /// What it is.
    pub rung: Rung,
    /// Where it goes: a group, or a client.
    pub to: SocketAddr,
    /// Rate on the wire.
    pub rate: Rate,
    /// Clients that it serves.
    pub clients: u32,
    /// Time that what is known to be needed takes at this rate.
    pub remaining: Duration,
}

/// What a session sent, received and dropped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SenderCounters {
    /// Symbols sent.
    pub symbols: u64,
    /// Of these parity.
    pub parity_symbols: u64,
    /// Of these source symbols that had been sent before.
    pub resent_symbols: u64,
    /// Bytes on the wire of everything sent, headers counted.
    pub wire_bytes: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Reports received.
    pub reports: u64,
    /// Bytes on the wire of everything received, headers counted.
    pub feedback_bytes: u64,
    /// Reports that looked too far back, or ahead, to act upon.
    pub stale_reports: u64,
    /// Datagrams that could not be read.
    pub malformed: u64,
    /// Well-formed datagrams that nobody expected here.
    pub unexpected: u64,
    /// Joins left unanswered because too many came at once.
    pub joins_deferred: u64,
}

impl SenderCounters {
    /// The sums of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            symbols: self.symbols + other.symbols,
            parity_symbols: self.parity_symbols + other.parity_symbols,
            resent_symbols: self.resent_symbols + other.resent_symbols,
            wire_bytes: self.wire_bytes + other.wire_bytes,
            heartbeats: self.heartbeats + other.heartbeats,
            reports: self.reports + other.reports,
            feedback_bytes: self.feedback_bytes + other.feedback_bytes,
            stale_reports: self.stale_reports + other.stale_reports,
            malformed: self.malformed + other.malformed,
            unexpected: self.unexpected + other.unexpected,
            joins_deferred: self.joins_deferred + other.joins_deferred,
        }
    }
}
