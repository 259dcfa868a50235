//! Figures and states as people read them.

pub(crate) use command_line::text::{duration, rate};
use multicast_core::sender::{ClientState, Rung};
use multicast_core::wire::LeaveReason;

/// `1 client`, `2 clients`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Where a client that `rung` serves stands.
pub(crate) fn standing(state: ClientState, rung: Rung) -> &'static str {
    match (state, rung) {
        (ClientState::Receiving, Rung::Slower) => "slower",
        (ClientState::Receiving, Rung::Unicast) => "unicast",
        (other, _) => self::state(other),
    }
}

/// What kind of stream it is.
pub(crate) fn rung(rung: Rung) -> &'static str {
    match rung {
        Rung::Main => "the stream",
        Rung::Slower => "slower stream",
        Rung::Unicast => "unicast",
    }
}

/// Where a client stands.
pub(crate) fn state(state: ClientState) -> &'static str {
    match state {
        ClientState::Joined => "joined",
        ClientState::Receiving => "receiving",
        ClientState::Silent => "silent",
        ClientState::Complete => "complete",
        ClientState::Left => "left",
        ClientState::GivenUp => "given up",
        ClientState::Removed => "removed",
        ClientState::Moved => "changing over",
        ClientState::Evicted => "evicted",
    }
}

/// Why a client left; `words` are its own.
pub(crate) fn left(reason: LeaveReason, words: &str) -> &str {
    match reason {
        LeaveReason::Interrupted => "interrupted by its user",
        _ => words,
    }
}
