//! The clients of a session, by slot and by id.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::event::{ClientSnapshot, ClientState, Forgotten, Rung};
use crate::bitmap::Bitmap;
use crate::pace::Rate;
use crate::types::{ClientId, Instant, Sequence, Slot};
use crate::wire::Report;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) host: String,
    pub(super) address: SocketAddr,
    pub(super) state: ClientState,
    /// Blocks that it has, the manifest's included; empty until its first report.
    pub(super) holds: Bitmap,
    pub(super) verified: u32,
    pub(super) joined: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) heard: Instant,
    /// Polls that named it since it was last heard.
    pub(super) unanswered: u32,
    /// When the first poll went out that it has not answered, the spread of answers added.
    pub(super) asked: Option<Instant>,
    /// How long its last answer to a poll took, and when that came.
    pub(super) answered: Option<(Instant, Duration)>,
    pub(super) dropped: u32,
    pub(super) link: LinkMeter,
    /// The stream that served it last.
    pub(super) rung: Rung,
}

/// Loss and rate of a client's path, from the counters in its reports.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkMeter {
    base: Option<(Instant, Sequence, u32)>,
    /// Loss since it was last taken for the adaptive rate.
    window: (u64, u64),
    pub(super) loss: f64,
    pub(super) symbols_per_second: f64,
}

/// Shorter intervals, and fewer symbols, are too noisy to tell a loss.
const METER_INTERVAL: Duration = Duration::from_millis(50);
const METER_INTERVAL_MAX: Duration = Duration::from_millis(200);
const METER_SYMBOLS: i32 = 1000;

impl LinkMeter {
    fn update(&mut self, now: Instant, as_of: Sequence, received: u32) {
        let Some((since, from, had)) = self.base else {
            self.base = Some((now, as_of, received));
            return;
        };
        let elapsed = now - since;
        let sent = as_of.since(from);
        if elapsed < METER_INTERVAL || (elapsed < METER_INTERVAL_MAX && sent < METER_SYMBOLS) {
            return;
        }
        let got = received.wrapping_sub(had);
        if sent < 0 || got > sent.unsigned_abs() + 10_000 {
            // Counters that run backwards: the client began anew.
            self.base = Some((now, as_of, received));
            return;
        }
        self.symbols_per_second = f64::from(got) / elapsed.as_secs_f64();
        if sent > 0 {
            let (sent, lost) = (f64::from(sent), f64::from(sent.unsigned_abs().saturating_sub(got)));
            self.loss = lost / sent;
            self.window.0 += sent as u64;
            self.window.1 += lost as u64;
        }
        self.base = Some((now, as_of, received));
    }

    /// What reaches it on the wire, where a symbol's datagram takes `cost` bytes.
    pub(super) fn taken(&self, cost: u32) -> Rate {
        Rate::from_bits((self.symbols_per_second * f64::from(cost) * 8.0) as u64)
    }

    /// Symbols that it has received, modulo 2³², as last told.
    pub(super) fn received(&self) -> u32 {
        self.base.map_or(0, |(_, _, received)| received)
    }

    /// Loss since this was last asked, if anything was sent.
    pub(super) fn take_loss(&mut self) -> Option<f64> {
        let (sent, lost) = std::mem::take(&mut self.window);
        (sent > 0).then(|| lost as f64 / sent as f64)
    }
}

impl Client {
    /// Notes what a report tells of the client itself. Only a client that reports has its `blocks`
    /// remembered: a forged join costs little memory.
    pub(super) fn heard_report(
        &mut self,
        now: Instant,
        from: SocketAddr,
        blocks: u32,
        report: &Report<'_>,
        polled: Option<Instant>,
    ) {
        if self.holds.is_empty() {
            self.holds = Bitmap::new(blocks as usize);
        }
        self.heard_from(now, from);
        if let Some(polled) = polled {
            self.answered = Some((now, now - polled));
            // Others may have been sent meanwhile, but the oldest of these is not known any more.
            self.asked = None;
        }
        self.verified = report.verified;
        self.dropped = report.dropped;
        self.link.update(now, report.as_of, report.received);
    }

    pub(super) fn heard_from(&mut self, now: Instant, from: SocketAddr) {
        self.heard = now;
        self.unanswered = 0;
        self.address = from;
        if self.state == ClientState::Silent {
            self.state = ClientState::Receiving;
        }
    }

    /// How far it lags behind: the time of its last answer, or of the one that it owes; `None` if
    /// neither says anything of the last `fresh`.
    pub(super) fn lag(&self, now: Instant, fresh: Duration) -> Option<Duration> {
        let owed = self.asked.map(|asked| now - asked);
        let told = self.answered.filter(|(at, _)| now - *at < fresh).map(|(_, took)| took);
        owed.max(told)
    }

    /// It went long enough ago, and nothing hangs on who it was: not as with one that is served by another stream, or
    /// that must not come back.
    fn can_be_forgotten(&self, now: Instant) -> bool {
        let kept = self.state.takes_part() || self.state == ClientState::Removed;
        !kept && self.ended.is_some_and(|ended| now - ended >= KEPT)
    }

    /// Notes how it fared with another stream.
    pub(super) fn take_outcome(&mut self, other: &Self, rung: Rung) {
        self.rung = rung;
        self.verified = other.verified;
        self.dropped = other.dropped;
        self.heard = other.heard;
        self.link = other.link;
    }

    pub(super) fn snapshot(&self, now: Instant) -> ClientSnapshot {
        ClientSnapshot {
            client: self.id,
            host: self.host.clone(),
            address: self.address,
            state: self.state,
            rung: self.rung,
            verified: self.verified,
            symbols_per_second: self.link.symbols_per_second,
            loss: self.link.loss,
            dropped: self.dropped,
            seconds: (self.ended.unwrap_or(now) - self.joined).as_secs_f64(),
        }
    }
}

/// Slots of a session: made-up clients must not eat the memory.
pub(super) const MAX_SLOTS: u32 = 1 << 16;
/// Who went keeps its slot for so long: it may not have heard yet that it is done, and whoever looks at the session
/// now and then is to see how it fared.
const KEPT: Duration = Duration::from_secs(10);
/// Between two searches for slots that can be had again.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// All clients that were ever admitted, as long as there are slots for them; then those that went first are forgotten.
#[derive(Debug)]
pub(super) struct Roster {
    clients: Vec<Client>,
    by_id: HashMap<ClientId, Slot>,
    active: u32,
    joined: u32,
    complete: u32,
    room: u32,
    forgotten: Forgotten,
    /// Slots that could be had again at the last search, and when that was; who went first is the first.
    vacant: VecDeque<Slot>,
    searched: Option<Instant>,
}

impl Default for Roster {
    fn default() -> Self {
        Self::with_room(MAX_SLOTS)
    }
}

impl Roster {
    /// One of so many slots.
    pub(super) fn with_room(room: u32) -> Self {
        let (clients, by_id, forgotten, vacant) = (Vec::new(), HashMap::new(), Forgotten::default(), VecDeque::new());
        Self { clients, by_id, active: 0, joined: 0, complete: 0, room, forgotten, vacant, searched: None }
    }

    /// Admits a client, or takes one back that was here before; true for the latter. `None` if all slots are taken.
    pub(super) fn admit(&mut self, now: Instant, id: ClientId, host: &str, from: SocketAddr) -> Option<(Slot, bool)> {
        let fresh = Client {
            id,
            host: host.to_owned(),
            address: from,
            state: ClientState::Joined,
            holds: Bitmap::new(0),
            verified: 0,
            joined: now,
            ended: None,
            heard: now,
            unanswered: 0,
            asked: None,
            answered: None,
            dropped: 0,
            link: LinkMeter::default(),
            rung: Rung::Main,
        };
        if let Some(&slot) = self.by_id.get(&id) {
            self.set_state(slot, ClientState::Joined, now);
            self.clients[slot.0 as usize] = fresh;
            return Some((slot, true));
        }
        let slot = if self.slots() < self.room {
            self.clients.push(fresh);
            Slot(self.clients.len() as u32 - 1)
        } else {
            let slot = self.vacate(now)?;
            self.forget(slot);
            self.clients[slot.0 as usize] = fresh;
            slot
        };
        self.by_id.insert(id, slot);
        self.active += 1;
        self.joined += 1;
        Some((slot, false))
    }

    /// The slot of the client that went first, if that is long enough ago.
    fn vacate(&mut self, now: Instant) -> Option<Slot> {
        loop {
            // It may have come back since.
            while let Some(slot) = self.vacant.pop_front() {
                if self.get(slot).can_be_forgotten(now) {
                    return Some(slot);
                }
            }
            if self.searched.is_some_and(|searched| now - searched < SEARCH_INTERVAL) {
                return None;
            }
            self.searched = Some(now);
            let mut vacant: Vec<_> = (0..self.slots()).map(Slot).collect();
            vacant.retain(|&slot| self.get(slot).can_be_forgotten(now));
            vacant.sort_by_key(|&slot| self.get(slot).ended);
            self.vacant = vacant.into();
        }
    }

    /// Another client gets the slot: what became of this one is only counted.
    fn forget(&mut self, slot: Slot) {
        let client = &self.clients[slot.0 as usize];
        self.by_id.remove(&client.id);
        match client.state {
            ClientState::Complete => self.forgotten.complete += 1,
            ClientState::GivenUp => self.forgotten.given_up += 1,
            ClientState::Evicted => self.forgotten.evicted += 1,
            _ => self.forgotten.left += 1,
        }
    }

    /// Those whose slots others have now.
    pub(super) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    pub(super) fn find(&self, id: ClientId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> &Client {
        &self.clients[slot.0 as usize]
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Client {
        &mut self.clients[slot.0 as usize]
    }

    /// Changes a client's state and keeps the counts.
    pub(super) fn set_state(&mut self, slot: Slot, state: ClientState, now: Instant) {
        let client = &mut self.clients[slot.0 as usize];
        let was = std::mem::replace(&mut client.state, state);
        client.ended = (!state.is_active()).then_some(now);
        self.active = self.active + u32::from(state.is_active()) - u32::from(was.is_active());
        let count = |counter: &mut u32, kind| *counter = *counter + u32::from(state == kind) - u32::from(was == kind);
        count(&mut self.joined, ClientState::Joined);
        count(&mut self.complete, ClientState::Complete);
    }

    /// Every slot, whatever its client's state.
    pub(super) fn slots(&self) -> u32 {
        self.clients.len() as u32
    }

    /// Clients that the session still has to care for.
    pub(super) fn active(&self) -> u32 {
        self.active
    }

    /// Of these, the ones that have told what they hold.
    pub(super) fn ready(&self) -> u32 {
        self.active - self.joined
    }

    /// Clients that have everything, also those that are forgotten.
    pub(super) fn complete(&self) -> u32 {
        self.complete
    }

    /// What each client holds that is being served.
    pub(super) fn held(&self) -> Vec<&Bitmap> {
        let served = self.clients.iter().filter(|client| client.state.is_active() && !client.holds.is_empty());
        served.map(|client| &client.holds).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + SECOND * seconds
    }

    fn from() -> SocketAddr {
        ([10, 0, 0, 1], 40_000).into()
    }

    /// Four clients, who came and then are in these states since that second.
    fn roster(states: [(ClientState, u32); 4]) -> Roster {
        let mut roster = Roster::with_room(4);
        for (id, (state, since)) in (0..).zip(states) {
            let (slot, again) = roster.admit(at(0), ClientId(id), "pc", from()).unwrap();
            assert_eq!((slot, again), (Slot(id as u32), false));
            roster.set_state(slot, state, at(since));
        }
        roster
    }

    fn admit(roster: &mut Roster, seconds: u32, id: u64) -> Option<u32> {
        roster.admit(at(seconds), ClientId(id), "new", from()).map(|(slot, _)| slot.0)
    }

    #[test]
    fn when_all_slots_are_taken_who_went_first_is_forgotten_and_only_counted() {
        use ClientState as S;
        let mut roster = roster([(S::Left, 3), (S::Complete, 2), (S::Receiving, 0), (S::GivenUp, 4)]);
        assert_eq!(admit(&mut roster, 20, 10), Some(1));
        assert_eq!((roster.find(ClientId(1)), roster.find(ClientId(10))), (None, Some(Slot(1))));
        assert_eq!(roster.complete(), 1, "the image went out no less often");
        assert_eq!((roster.active(), roster.slots()), (2, 4));
        assert_eq!((admit(&mut roster, 20, 11), admit(&mut roster, 20, 12)), (Some(0), Some(3)));
        assert_eq!(admit(&mut roster, 20, 13), None, "all are served");
        let counted = Forgotten { complete: 1, left: 1, given_up: 1, evicted: 0 };
        assert_eq!((roster.forgotten(), counted.clients(), counted.failed()), (counted, 3, 2));
    }

    #[test]
    fn who_went_a_moment_ago_and_who_may_not_come_back_is_remembered() {
        use ClientState as S;
        let mut roster = roster([(S::Removed, 0), (S::Moved, 0), (S::Complete, 15), (S::Receiving, 0)]);
        assert_eq!(admit(&mut roster, 20, 10), None);
        assert_eq!(admit(&mut roster, 25, 10), Some(2));
        assert_eq!(admit(&mut roster, 3_600, 11), None);
        assert!(roster.find(ClientId(0)).is_some() && roster.find(ClientId(1)).is_some());
    }

    #[test]
    fn who_is_back_keeps_its_slot() {
        use ClientState as S;
        let mut roster = roster([(S::Left, 1), (S::Left, 2), (S::Left, 3), (S::Left, 4)]);
        assert_eq!(admit(&mut roster, 20, 10), Some(0));
        assert_eq!(roster.admit(at(20), ClientId(1), "pc", from()), Some((Slot(1), true)));
        assert_eq!(admit(&mut roster, 20, 11), Some(2), "though it was to be the next");
    }
}
