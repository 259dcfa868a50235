//! The rate of the session: what the network takes by what is lost, and what the clients take by how
//! far they lag behind.

use std::time::Duration;

use super::event::ClientState;
use super::roster::Roster;
use crate::pace::{AdaptConfig, Adaptive, FOLLOW_INTERVAL, Follower, Progress, Rate};
use crate::types::Instant;

/// Between two looks at the clients' losses.
const ADAPT_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever changes over to a stream is still sent the old one until its switch has noticed: IGMP takes
/// two seconds for it.
const CHANGE_OVER: Duration = Duration::from_millis(2500);
/// What was heard longer ago says nothing of how a client keeps up now.
const FRESH: Duration = Duration::from_millis(250);

/// A session at a fixed rate slows only when even the best of those it still serves loses so much:
/// then all of them are behind slower links, and what goes out beyond is of use to nobody.
const USEFUL: AdaptConfig = AdaptConfig { quantile: 0.0, threshold: 0.3, floor: 0.0 };

/// Decides the rate of a session.
#[derive(Debug)]
pub(super) struct Tempo {
    adaptive: Adaptive,
    /// Only of an adaptive session.
    follower: Option<Follower>,
    /// What is lost until then says nothing of this stream.
    judges_from: Instant,
    /// Its clients come from another stream.
    changed_over: bool,
    adapt_due: Instant,
    follow_due: Instant,
    /// When the last look was, and bytes sent by then.
    last: (Instant, u64),
    progress: Vec<Progress>,
    /// The most that was left to it since losses were last looked at: it was not sent faster.
    share: Rate,
    /// What is left to it now.
    share_now: Rate,
}

impl Tempo {
    /// At `first` in the beginning, if it adapts and that is below the ceiling.
    pub(super) fn new(ceiling: Rate, config: Option<AdaptConfig>, first: Option<Rate>, now: Instant) -> Self {
        let follow = |config: AdaptConfig| {
            let floor = ceiling.scaled(config.floor.clamp(0.0, 1.0));
            Follower::new(ceiling, floor, config.quantile)
        };
        let mut adaptive = Adaptive::new(ceiling, config.unwrap_or(USEFUL));
        if let Some(first) = first.filter(|_| config.is_some()) {
            adaptive.begin_at(first);
        }
        Self {
            adaptive,
            follower: config.map(follow),
            judges_from: now,
            changed_over: first.is_some(),
            adapt_due: now,
            follow_due: now,
            last: (now, 0),
            progress: Vec::new(),
            share: Rate::MAX,
            share_now: Rate::MAX,
        }
    }

    /// The rate as last decided.
    pub(super) fn rate(&self) -> Rate {
        let limit = self.follower.as_ref().map_or(Rate::MAX, Follower::limit);
        self.adaptive.rate().min(limit)
    }

    /// Limits what is sent, but not what [`rate`](Self::rate) finds: a loss tells of the rate that was sent.
    pub(super) fn set_share(&mut self, share: Rate) {
        self.share = self.share.max(share);
        self.share_now = share;
    }

    /// The stream begins; `sent` bytes have left before.
    pub(super) fn begin(&mut self, now: Instant, sent: u64) {
        self.last = (now, sent);
        self.adapt_due = now + ADAPT_INTERVAL;
        self.follow_due = now + FOLLOW_INTERVAL;
        if self.changed_over {
            self.judges_from = now + CHANGE_OVER;
        }
    }

    /// When [`judge`](Self::judge) is to be called next.
    pub(super) fn due(&self) -> Instant {
        if self.follower.is_some() { self.adapt_due.min(self.follow_due) } else { self.adapt_due }
    }

    /// Looks at the clients; the median of their losses if these were looked at. `sent` bytes have
    /// left so far, and a symbol's datagram takes `cost` bytes on the wire.
    pub(super) fn judge(&mut self, now: Instant, roster: &mut Roster, sent: u64, cost: u32) -> Option<f64> {
        if now >= self.follow_due {
            self.follow(now, roster, sent, cost);
        }
        if now < self.adapt_due {
            return None;
        }
        self.adapt_due = now + ADAPT_INTERVAL;
        let receiving = roster.iter_mut().filter(|client| client.state == ClientState::Receiving);
        let mut losses: Vec<f64> = receiving.filter_map(|client| client.link.take_loss()).collect();
        if now < self.judges_from {
            return None;
        }
        let limit = self.rate().min(std::mem::replace(&mut self.share, self.share_now));
        self.adaptive.next_rate(&mut losses, limit);
        Some(losses.get(losses.len() / 2).copied().unwrap_or(0.0))
    }

    fn follow(&mut self, now: Instant, roster: &Roster, sent: u64, cost: u32) {
        self.follow_due = now + FOLLOW_INTERVAL;
        let Some(follower) = &mut self.follower else { return };
        let (since, before) = std::mem::replace(&mut self.last, (now, sent));
        if now < self.judges_from {
            return;
        }
        let elapsed = now - since;
        let sent = Rate::from_bits(((sent - before) as f64 * 8.0 / elapsed.as_secs_f64().max(1e-6)) as u64);
        self.progress.clear();
        let receiving = roster.iter().filter(|client| client.state == ClientState::Receiving);
        self.progress.extend(receiving.filter_map(|client| {
            let lag = client.lag(now, FRESH)?;
            Some(Progress { lag, taken: client.link.taken(cost), loss: client.link.loss })
        }));
        follower.next_limit(&mut self.progress, sent);
    }
}
