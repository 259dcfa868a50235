//! One rate for all sessions of an engine: who gets how much of it.
//!
//! Max-min fairness: nobody gets more than it wants, what one does not want is divided among the
//! others, by their weights. What is lowered by one session is raised by another only after the first has let go of it,
//! so that the sum holds at every moment, and not only once all threads have looked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::EngineError;
use crate::pace::{Rate, level};
use crate::types::{Instant, SessionId};

/// Between two looks of a session that sends. A change has reached everybody after two of them.
const INTERVAL: Duration = Duration::from_millis(20);
/// Between two rounds of repair nothing is known to be needed for some milliseconds: a drought
/// shorter than this gives nothing up.
const DROUGHT: Duration = Duration::from_millis(50);

/// The rate of all sessions together.
#[derive(Debug)]
pub(super) struct TotalRate {
    total: Rate,
    claims: Mutex<HashMap<SessionId, Claim>>,
}

/// What a session wants and what it sends at. One that has nothing to send counts with
/// [`Rate::MIN`], for its heartbeats.
#[derive(Debug, Clone, Copy)]
struct Claim {
    weight: u32,
    wants: Rate,
    holds: Rate,
}

impl TotalRate {
    /// Nobody has any of it yet.
    pub(super) fn new(total: Rate) -> Arc<Self> {
        Arc::new(Self { total, claims: Mutex::default() })
    }

    /// Bits per second on the wire.
    pub(super) fn rate(&self) -> Rate {
        self.total
    }

    /// A further session, which has nothing to send yet. Fails if the lowest rate for each would be
    /// more than the total.
    pub(super) fn join(self: &Arc<Self>, session: SessionId, weight: u32) -> Result<Share, EngineError> {
        let mut claims = self.claims();
        if (claims.len() as u64 + 1) * Rate::MIN.bits() > self.total.bits() {
            return Err(EngineError::NoRateLeft { total: self.total, sessions: claims.len() });
        }
        claims.insert(session, Claim { weight, wants: Rate::MIN, holds: Rate::MIN });
        drop(claims);
        Ok(Share { of: self.clone(), session, wants: Rate::MIN, due: Instant::ZERO, wanted_until: Instant::ZERO })
    }

    /// Notes what `session` wants; what it may send at until it asks again.
    fn claim(&self, session: SessionId, wants: Rate) -> Rate {
        let mut claims = self.claims();
        let others: u64 = claims.iter().filter(|(id, _)| **id != session).map(|(_, claim)| claim.holds.bits()).sum();
        let mut weight = 1;
        if let Some(claim) = claims.get_mut(&session) {
            claim.wants = wants;
            weight = claim.weight;
        }
        let fair = wants.min(level(self.total, claims.values().map(|claim| (claim.wants, claim.weight))).of(weight));
        // Others may not have let go yet of what is ours.
        let holds = fair.min(Rate::from_bits(self.total.bits().saturating_sub(others)));
        if let Some(claim) = claims.get_mut(&session) {
            claim.holds = holds;
        }
        holds
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<SessionId, Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's part of the total; dropping it leaves it to the others.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<TotalRate>,
    session: SessionId,
    wants: Rate,
    due: Instant,
    /// Until then what was wanted last is kept.
    wanted_until: Instant,
}

impl Share {
    /// To be called before sending, whenever there may be something new: `wanted` is what the session
    /// could send at, `None` if it has nothing to send. The rate that it is to hold from now on, or
    /// `None` if it is not time yet to ask for it.
    pub(super) fn settle(&mut self, now: Instant, wanted: Option<Rate>) -> Option<Rate> {
        let wants = match wanted {
            Some(rate) => {
                self.wanted_until = now + DROUGHT;
                rate
            }
            None if now < self.wanted_until => self.wants,
            None => Rate::MIN,
        };
        if wants == self.wants && (now < self.due || wants == Rate::MIN) {
            return None;
        }
        self.wants = wants;
        self.due = now + INTERVAL;
        Some(self.of.claim(self.session, wants))
    }

    /// When [`settle`](Self::settle) is to be called next; `None` while nothing is wanted.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.wants > Rate::MIN).then_some(self.due)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.claims().remove(&self.session);
    }
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
