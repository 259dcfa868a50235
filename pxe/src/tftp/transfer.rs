//! One file on its way to one client, as a state machine.

use std::fmt;
use std::time::Duration;

use super::Time;
use super::round_trip::RoundTrip;
use super::terms::Terms;
use super::wire::{ErrorCode, Packet};

/// A client that has said something is given up after this without progress.
const PATIENCE: Duration = Duration::from_secs(20);
/// All has been sent, and only the end is not confirmed: some boot programs start what they have loaded at once.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);
/// What a client that never answered is sent again at most: its address may be forged.
const UNPROVEN_RESENDS: u32 = 5;
/// A pause within a window is never longer, and always shorter than a wait for an acknowledgement.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);

/// The server's side of one transfer.
///
/// It is driven like this, in any order but that what is to be sent goes before one waits:
/// [`handle_datagram`](Self::handle_datagram) takes what the client sends; [`poll_transmit`](Self::poll_transmit)
/// says what to send until there is nothing, each followed by [`handle_sent`](Self::handle_sent);
/// [`poll_timeout`](Self::poll_timeout) says when [`handle_timeout`](Self::handle_timeout) is due;
/// [`outcome`](Self::outcome) tells that it is over.
///
/// Blocks are counted from 1 in 64 bits; on the wire the lower 16 stand, so that files of any size go.
///
/// With a window of one block a repeated acknowledgement never causes a block to be sent again (the sorcerer's
/// apprentice, RFC 1123 §4.2.3.1). With larger windows it may mean that the window's first block is lost: it
/// counts as that only if no block that was in flight, or sent twice, explains it, and if the window is out for
/// long enough to be answered at all.
///
/// After a loss a window goes out in smaller bursts with pauses between, for a client's card may hold fewer
/// frames than its program asks for at once; if single blocks still get lost the pauses grow. Without loss first
/// the pauses shrink, then bursts grow back to the whole window.
#[derive(Debug)]
pub struct Transfer {
    terms: Terms,
    last: u64,
    /// The OACK is still to be answered, and whether it is to be sent now.
    opening: Option<bool>,
    /// All blocks up to this one have come.
    acked: u64,
    /// The block to send next.
    next: u64,
    /// The last block that was ever sent.
    highest: u64,
    /// How many blocks go out without a pause.
    burst: u64,
    in_burst: u64,
    pause: Option<Time>,
    /// How long pauses are, if they had to grow.
    rest: Duration,
    /// Repeated acknowledgements that say nothing new.
    explained: u64,
    /// Nothing of what is in flight was sent twice.
    clean: bool,
    /// When the window's first block was sent, and the last thing.
    window_at: Time,
    sent_at: Time,
    resend_at: Time,
    heard_at: Time,
    progress_at: Time,
    proven: bool,
    resends: u32,
    trip: RoundTrip,
    blocks_resent: u64,
    outcome: Option<Outcome>,
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A packet as it is.
    Packet(Vec<u8>),
    /// Data packets, one after the other; where a block's bytes lie [`Terms::extent`] tells.
    Blocks {
        /// The first block's number, from 1.
        first: u64,
        /// How many.
        count: u64,
    },
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All was sent.
    Done {
        /// The client has said that it has all.
        confirmed: bool,
    },
    /// The client only wanted to know how large the file is (and declined the options: error 8).
    SizeOnly,
    /// The client ended it.
    ClientError {
        /// Why.
        code: ErrorCode,
        /// In its words.
        text: String,
    },
    /// Nothing was heard of the client.
    Silent,
    /// There is no longer a program at the client's port.
    Gone,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { confirmed: true } => write!(f, "done"),
            Self::Done { confirmed: false } => write!(f, "done, but the client did not confirm the end"),
            Self::SizeOnly => write!(f, "the client asked for the size only"),
            Self::ClientError { code, text } if text.is_empty() => write!(f, "the client ended it: {code}"),
            Self::ClientError { code, text } => write!(f, "the client ended it: {code}, {text:?}"),
            Self::Silent => write!(f, "the client no longer answers"),
            Self::Gone => write!(f, "the client has closed its port"),
        }
    }
}

impl Transfer {
    /// Begins at `now`; the first thing to send is there at once.
    pub fn new(now: Time, terms: Terms) -> Self {
        let trip = RoundTrip::new(terms.timeout);
        Self {
            last: terms.last_block(),
            opening: (!terms.answer.is_empty()).then_some(true),
            acked: 0,
            next: 1,
            highest: 0,
            burst: u64::from(terms.window),
            in_burst: 0,
            pause: None,
            rest: Duration::ZERO,
            explained: 0,
            clean: true,
            window_at: now,
            sent_at: now,
            resend_at: now + trip.wait(),
            heard_at: now,
            progress_at: now,
            proven: false,
            resends: 0,
            trip,
            blocks_resent: 0,
            outcome: None,
            terms,
        }
    }

    /// What it goes by.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether the client has answered, so that its address is not forged.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// When something of the client came last; the start, if nothing did.
    pub fn heard_at(&self) -> Time {
        self.heard_at
    }

    /// How many times in a row something was sent again for want of an answer.
    pub fn resends(&self) -> u32 {
        self.resends
    }

    /// Blocks that were sent more than once, counted each time.
    pub fn blocks_resent(&self) -> u64 {
        self.blocks_resent
    }

    /// Bytes that the client has confirmed.
    pub fn confirmed_bytes(&self) -> u64 {
        self.acked.saturating_mul(u64::from(self.terms.block)).min(self.terms.size)
    }

    /// Takes a datagram of the client. What is no acknowledgement and no error is passed over.
    pub fn handle_datagram(&mut self, now: Time, datagram: &[u8]) {
        if self.outcome.is_some() {
            return;
        }
        match Packet::decode(datagram) {
            Ok(Packet::Ack { block }) => {
                self.heard_at = now;
                self.acknowledged(now, block);
            }
            Ok(Packet::Error { code, text }) => self.outcome = Some(self.client_error(code, text)),
            Ok(_) | Err(_) => {}
        }
    }

    /// The client has sent its request once more, from the same port: our first answer is lost, or late.
    pub fn handle_request_again(&mut self, now: Time) {
        if self.outcome.is_none() && !self.proven {
            self.send_again(now);
        }
    }

    /// The client's host says that nobody listens at its port.
    pub fn handle_gone(&mut self) {
        if self.outcome.is_none() {
            self.outcome = Some(match self.highest >= self.last {
                true => Outcome::Done { confirmed: false },
                false => Outcome::Gone,
            });
        }
    }

    /// To be called when [`poll_timeout`](Self::poll_timeout) has come; too early does no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.outcome.is_some() || now < self.resend_at {
            return;
        }
        let at_the_end = self.opening.is_none() && self.highest >= self.last;
        let stuck = now.saturating_sub(self.progress_at) >= PATIENCE;
        let left = at_the_end && now.saturating_sub(self.heard_at) >= PATIENCE_AT_THE_END;
        if stuck || left || (!self.proven && self.resends >= UNPROVEN_RESENDS) {
            self.outcome = Some(match left && self.proven {
                true => Outcome::Done { confirmed: false },
                false => Outcome::Silent,
            });
            return;
        }
        self.resends += 1;
        self.trip.back_off();
        self.send_again(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) or the next [`poll_transmit`](Self::poll_transmit) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.outcome {
            Some(_) => None,
            None => Some(self.pause.map_or(self.resend_at, |pause| pause.min(self.resend_at))),
        }
    }

    /// What is to be sent now.
    pub fn poll_transmit(&self, now: Time) -> Option<Transmit> {
        if self.outcome.is_some() {
            return None;
        }
        match self.opening {
            Some(true) => return Some(Transmit::Packet(Packet::OptionAck(self.terms.answer).to_bytes())),
            Some(false) => return None,
            None => {}
        }
        let left = (self.window_end() + 1).saturating_sub(self.next);
        if left == 0 || self.pause.is_some_and(|pause| now < pause) {
            return None;
        }
        Some(Transmit::Blocks { first: self.next, count: left.min(self.burst - self.in_burst) })
    }

    /// So many of the blocks that [`poll_transmit`](Self::poll_transmit) named have been sent; for a packet 1.
    pub fn handle_sent(&mut self, now: Time, count: u64) {
        if count == 0 {
            return;
        }
        self.sent_at = now;
        self.resend_at = now + self.trip.wait();
        if self.opening.is_some() {
            self.opening = Some(false);
            return;
        }
        self.pause = None;
        if self.next == self.acked + 1 {
            self.window_at = now;
        }
        let again = (self.highest + 1).saturating_sub(self.next).min(count);
        if again > 0 {
            self.clean = false;
            self.blocks_resent += again;
        }
        self.next += count;
        self.highest = self.highest.max(self.next - 1);
        self.in_burst += count;
        if self.in_burst >= self.burst {
            self.in_burst = 0;
            self.pause = (self.next <= self.window_end()).then(|| now + self.pause_length());
        }
    }

    fn acknowledged(&mut self, now: Time, block: u16) {
        if self.opening.is_some() {
            if block == 0 {
                self.opening = None;
                self.progress(now, self.clean);
                self.begin_window();
            }
            return;
        }
        // The lower half of the number; what was never sent cannot have come, and what lies behind is stale.
        let ahead = u64::from(block.wrapping_sub(self.acked as u16));
        if ahead > self.highest - self.acked {
            return;
        }
        if ahead == 0 {
            self.acknowledged_again(now);
            return;
        }
        self.acked += ahead;
        let all = self.acked == self.highest;
        let in_one_go = all && self.clean;
        self.progress(now, in_one_go);
        if self.acked == self.last {
            self.outcome = Some(Outcome::Done { confirmed: true });
        } else if self.acked + 1 < self.next {
            self.lost();
        } else {
            self.next = self.acked + 1;
            self.begin_window();
            if in_one_go {
                self.explained = 0;
                self.grow();
            }
        }
    }

    /// The same block once more: the one behind it is lost, unless there is another reason.
    fn acknowledged_again(&mut self, now: Time) {
        if self.terms.window == 1 || self.next == self.acked + 1 {
            return;
        }
        // The network has doubled the answer to the window before.
        if now.saturating_sub(self.window_at) < self.trip.least() / 2 {
            return;
        }
        if self.explained > 0 {
            self.explained -= 1;
            return;
        }
        self.lost();
    }

    fn progress(&mut self, now: Time, measure: bool) {
        if measure {
            self.trip.measured(now.saturating_sub(self.sent_at));
        }
        self.proven = true;
        self.resends = 0;
        self.progress_at = now;
        self.resend_at = now + self.trip.wait();
    }

    /// What was sent last goes out again, from the first that has not come.
    fn send_again(&mut self, now: Time) {
        self.resend_at = now + self.trip.wait();
        self.clean = false;
        match &mut self.opening {
            Some(due) => {
                *due = true;
                // Each answer to the options is acknowledged.
                self.explained += 1;
            }
            None => self.lost(),
        }
    }

    /// Goes back behind what has come, with smaller bursts.
    fn lost(&mut self) {
        // Each block that is still in flight may make the client repeat itself.
        self.explained += self.next - 1 - self.acked;
        self.next = self.acked + 1;
        if self.burst == 1 {
            self.rest = self.pause_length() * 2;
        }
        self.burst = (self.burst / 2).max(1);
        self.begin_window();
        self.clean = false;
    }

    fn begin_window(&mut self) {
        self.clean = self.next > self.highest;
        self.in_burst = 0;
        self.pause = None;
    }

    /// A quarter more, so that a client that lost something by chance has whole windows again after a few.
    fn grow(&mut self) {
        if self.rest > Duration::ZERO {
            let rest = self.rest * 3 / 4;
            self.rest = if rest > self.usual_pause() { rest } else { Duration::ZERO };
            return;
        }
        self.burst = (self.burst + (self.burst / 4).max(1)).min(u64::from(self.terms.window));
    }

    fn window_end(&self) -> u64 {
        self.last.min(self.acked + u64::from(self.terms.window))
    }

    fn pause_length(&self) -> Duration {
        self.usual_pause().max(self.rest).min(LONGEST_PAUSE)
    }

    fn usual_pause(&self) -> Duration {
        self.trip.smoothed().map_or(LONGEST_PAUSE, |trip| (trip / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
    }

    fn client_error(&self, code: ErrorCode, text: &[u8]) -> Outcome {
        if code == ErrorCode::OPTIONS && !self.proven {
            return Outcome::SizeOnly;
        }
        // It goes into logs.
        let text = text.iter().take(80).map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' });
        Outcome::ClientError { code, text: text.collect() }
    }
}
