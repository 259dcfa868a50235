//! What clients say, and what they are answered: joins, reports, leaves, and silence.

use std::net::SocketAddr;
use std::time::Duration;

use super::event::{ClientState, SenderEvent};
use super::roster::MAX_SLOTS;
use super::{Sender, Transmit};
use crate::types::{BlockIndex, ClientId, Instant, Slot};
use crate::wire::{
    Join, Kind, Leave, Offer, Refusal, RefuseReason, Release, ReleaseReason, Report, SessionState, VERSION,
};

/// A client that has left this many polls unanswered is shown as silent.
const SILENT_POLLS: u32 = 20;
const SILENT_TIME: Duration = Duration::from_secs(2);
/// Polls that must have named a client before its silence counts: of a thousand that lose half of
/// what they say, one goes wrong in a thousand sessions.
const FAIR_POLLS: u32 = 20;

impl Sender {
    pub(super) fn handle_join(&mut self, now: Instant, from: SocketAddr, join: &Join<'_>) {
        if self.state == SessionState::Ended {
            return;
        }
        if !self.gate.admits(now) {
            self.counters.joins_deferred += 1;
            return;
        }
        if let Some(slot) = self.roster.find(join.client) {
            let client = self.roster.get_mut(slot);
            match client.state {
                ClientState::Removed => {
                    let text = "removed from this session by its operator";
                    return self.refuse(from, join.client, join.host, RefuseReason::Removed, 0, text);
                }
                // The offer was lost, or the client asks again because it hears nothing.
                ClientState::Joined if client.address == from => {
                    client.heard_from(now, from);
                    return self.offer(slot);
                }
                _ => {}
            }
        }
        let known = self.roster.find(join.client);
        let returns = known.is_some_and(|slot| self.roster.get(slot).state.takes_part());
        let served = self.roster.active() + self.elsewhere.0;
        if !returns && self.config.max_clients.is_some_and(|max| served >= max) {
            return self.refuse_full(from, join);
        }
        let Some((slot, again)) = self.roster.admit(now, join.client, join.host, from) else {
            return self.refuse_full(from, join);
        };
        self.count_ready(now);
        self.events.push_back(SenderEvent::ClientJoined {
            client: join.client,
            host: join.host.to_owned(),
            address: from,
            again,
        });
        if self.state == SessionState::Idle {
            self.state = SessionState::Running;
        }
        self.offer(slot);
        self.polls.welcome(now);
        self.polls.restart();
    }

    fn offer(&mut self, slot: Slot) {
        let client = self.roster.get(slot);
        let offer = Offer {
            session: self.config.session,
            client: client.id,
            slot,
            group: self.config.group,
            source: self.config.source,
            source_specific: self.config.source_specific,
            geometry: *self.config.layout.geometry(),
            silence_ms: self.config.silence.as_millis() as u32,
            manifest_root: self.config.manifest_root,
            image: self.config.image.clone(),
            files: self.config.layout.files().to_vec(),
        };
        let mut payload = Vec::new();
        offer.encode(&mut payload);
        self.outbox.push_back(Transmit::Client(client.address, payload));
    }

    fn refuse_full(&mut self, from: SocketAddr, join: &Join<'_>) {
        let max = self.config.max_clients.unwrap_or(MAX_SLOTS);
        let wait = self.remaining().clamp(Duration::from_secs(1), Duration::from_secs(3600));
        let text = format!("full: {max} of {max} clients are in this session, try again in {} s", wait.as_secs());
        self.refuse(from, join.client, join.host, RefuseReason::Full, wait.as_millis() as u32, &text);
    }

    /// Whoever joins in another version is told so; its number stands at the same place in all of them.
    pub(super) fn refuse_version(&mut self, from: SocketAddr, datagram: &[u8], found: u8) {
        if datagram[0] & 0x0F != Kind::Join as u8 {
            self.counters.malformed += 1;
            return;
        }
        let client = datagram.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |id| u64::from_be_bytes(*id));
        let text = format!("this server speaks protocol version {VERSION}, not {found}: install matching versions");
        self.refuse(from, ClientId(client), "", RefuseReason::Version, 0, &text);
    }

    fn refuse(
        &mut self,
        to: SocketAddr,
        client: ClientId,
        host: &str,
        reason: RefuseReason,
        retry_ms: u32,
        text: &str,
    ) {
        let mut payload = Vec::new();
        Refusal::new(client, reason, retry_ms, text).encode(&mut payload);
        self.outbox.push_back(Transmit::Client(to, payload));
        self.events.push_back(SenderEvent::ClientRefused {
            address: to,
            host: host.to_owned(),
            reason,
            text: text.to_owned(),
        });
    }

    pub(super) fn release(&mut self, slot: Slot, reason: ReleaseReason, text: &str) {
        let client = self.roster.get(slot);
        let mut payload = Vec::new();
        Release { session: self.config.session, client: client.id, reason, text }.encode(&mut payload);
        self.outbox.push_back(Transmit::Client(client.address, payload));
    }

    pub(super) fn handle_report(&mut self, now: Instant, from: SocketAddr, report: &Report<'_>) {
        let Some(slot) = self.roster.find(report.client) else {
            let mut payload = Vec::new();
            Refusal::new(report.client, RefuseReason::UnknownSession, 0, "not a client of this session: join again")
                .encode(&mut payload);
            self.outbox.push_back(Transmit::Client(from, payload));
            self.counters.unexpected += 1;
            return;
        };
        let blocks = self.config.layout.blocks();
        if report.to.0 > blocks || report.verified > blocks {
            self.counters.malformed += 1;
            return;
        }
        self.counters.reports += 1;
        match self.roster.get(slot).state {
            ClientState::Complete => return self.release(slot, ReleaseReason::Complete, "complete"),
            ClientState::GivenUp | ClientState::Left => {
                return self.release(slot, ReleaseReason::Silent, "given up for its silence: join again");
            }
            ClientState::Removed => {
                return self.release(slot, ReleaseReason::Removed, "removed from the session by its operator");
            }
            // It was done before it heard that it is to change over.
            ClientState::Moved if report.complete => return self.complete(now, slot),
            ClientState::Moved => {
                return self.release(slot, ReleaseReason::Moved, "moved to another stream: join again");
            }
            ClientState::Evicted => {
                return self.release(slot, ReleaseReason::Evicted, "it is not waited for any longer");
            }
            ClientState::Joined => self.ready(now, slot, report.verified),
            ClientState::Receiving | ClientState::Silent => {}
        }
        let bytes = self.config.headers + (Report::HEADER_LEN + report.runs.len()) as u32;
        self.polls.answered(now, bytes, self.roster.get(slot).unanswered > 0);
        let polled = self.polls.sent_at(report.poll);
        self.roster.get_mut(slot).heard_report(now, from, blocks, report, polled);
        if report.complete {
            self.complete(now, slot);
        } else {
            self.learn(slot, report);
        }
    }

    /// The client hears the group: it counts for the threshold.
    fn ready(&mut self, now: Instant, slot: Slot, held: u32) {
        self.roster.set_state(slot, ClientState::Receiving, now);
        let client = self.roster.get(slot);
        self.events.push_back(SenderEvent::ClientReady { client: client.id, host: client.host.clone(), held });
        self.count_ready(now);
    }

    pub(super) fn count_ready(&mut self, now: Instant) {
        // One that came with the whole image counts too, or a threshold of all would never be reached.
        self.ready = self.roster.ready() + self.roster.complete() + self.elsewhere.1;
        self.first_ready = (self.ready > 0).then(|| self.first_ready.unwrap_or(now));
    }

    fn complete(&mut self, now: Instant, slot: Slot) {
        let blocks = self.config.layout.blocks();
        let client = self.roster.get_mut(slot);
        client.holds.set_range(0..blocks as usize);
        client.verified = blocks;
        let seconds = (now - client.joined).as_secs_f64();
        self.events.push_back(SenderEvent::ClientComplete { client: client.id, host: client.host.clone(), seconds });
        self.roster.set_state(slot, ClientState::Complete, now);
        self.count_ready(now);
        self.release(slot, ReleaseReason::Complete, "complete");
        self.polls.progress();
    }

    /// Takes from a report what the client lacks; what is still under way to it is not asked for twice.
    fn learn(&mut self, slot: Slot, report: &Report<'_>) {
        if !self.log.since(report.as_of, &mut self.in_flight) {
            self.counters.stale_reports += 1;
            return;
        }
        let before = self.needs.total();
        let mut in_flight = self.in_flight.iter().peekable();
        for run in report.runs() {
            let range = run.blocks.start as usize..run.blocks.end as usize;
            let holds = &mut self.roster.get_mut(slot).holds;
            if run.deficit == 0 {
                holds.set_range(range);
                continue;
            }
            holds.clear_range(range);
            let mut block = self.needs.next_to_raise(run.blocks.start, run.deficit);
            while block < run.blocks.end {
                while in_flight.next_if(|(sent, _)| sent.0 < block).is_some() {}
                let under_way = in_flight.peek().filter(|(sent, _)| sent.0 == block).map_or(0, |(_, count)| *count);
                let lacks = u32::from(run.deficit.min(self.needs.symbols_of(BlockIndex(block))));
                if lacks > under_way {
                    self.needs.raise(BlockIndex(block), (lacks - under_way) as u16);
                }
                block = self.needs.next_to_raise(block + 1, run.deficit);
            }
        }
        if self.needs.total() != before {
            self.polls.progress();
        }
    }

    pub(super) fn handle_leave(&mut self, now: Instant, leave: &Leave<'_>) {
        let Some(slot) = self.roster.find(leave.client).filter(|&slot| self.roster.get(slot).state.takes_part()) else {
            self.counters.unexpected += 1;
            return;
        };
        self.events.push_back(SenderEvent::ClientLeft {
            client: leave.client,
            host: self.roster.get(slot).host.clone(),
            reason: leave.reason,
            text: leave.text.to_owned(),
        });
        self.depart(now, slot, ClientState::Left);
    }

    /// A client goes without the image: what only it needed must not be sent.
    pub(super) fn depart(&mut self, now: Instant, slot: Slot, state: ClientState) {
        let told = self.roster.get(slot).state != ClientState::Joined;
        self.roster.set_state(slot, state, now);
        self.count_ready(now);
        if told {
            self.needs.forget();
            self.current = None;
            self.polls.restart();
        }
    }

    pub(super) fn give_up_silent(&mut self, now: Instant) {
        if matches!(self.state, SessionState::Paused | SessionState::Ended) {
            return;
        }
        for slot in (0..self.roster.slots()).map(Slot) {
            let client = self.roster.get_mut(slot);
            if !client.state.is_active() {
                continue;
            }
            let silent = now - client.heard;
            if client.state == ClientState::Receiving && silent > SILENT_TIME && client.unanswered > SILENT_POLLS {
                client.state = ClientState::Silent;
            }
            let client = self.roster.get(slot);
            if silent > self.config.silence && client.unanswered >= FAIR_POLLS {
                let (client, host) = (client.id, client.host.clone());
                let silent_seconds = silent.as_secs_f64();
                self.events.push_back(SenderEvent::ClientGivenUp { client, host, silent_seconds });
                self.depart(now, slot, ClientState::GivenUp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::Roster;
    use super::super::{SenderConfig, StartPolicy};
    use super::*;
    use crate::codec::CodecId;
    use crate::layout::{FileEntry, Geometry, Layout};
    use crate::pace::Rate;
    use crate::types::{Sequence, SessionId};
    use crate::wire::Packet;

    const SESSION: SessionId = SessionId(1);

    /// A sender that stays open and has room for so many.
    fn sender(room: u32) -> Sender {
        let geometry = Geometry { symbol_size: 64, block_symbols: 8, parity_symbols: 4, codec: CodecId::ReedSolomon8 };
        let layout = Layout::new(geometry, vec![FileEntry { name: "image".into(), size: 4096 }]).unwrap();
        let config = SenderConfig {
            session: SESSION,
            image: "image".into(),
            group: ([239, 194, 0, 1], 63_000).into(),
            source: None,
            source_specific: false,
            layout,
            manifest_root: [0; 32],
            priority: Vec::new(),
            start: StartPolicy::default(),
            max_clients: None,
            silence: Duration::from_secs(30),
            keep_open: true,
            rate: Rate::from_mbit(100),
            burst: 15_000,
            adaptive: None,
            first_rate: None,
            batch: 8,
            headers: 42,
        };
        let mut sender = Sender::new(config, Instant::ZERO);
        sender.roster = Roster::with_room(room);
        sender
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn address(client: u64) -> SocketAddr {
        ([10, 0, 0, client as u8], 40_000).into()
    }

    /// What a client is answered.
    #[derive(Debug, PartialEq)]
    enum Told {
        Slot(u32),
        Refused(RefuseReason),
        Released(ReleaseReason),
    }

    fn told(sender: &mut Sender) -> Told {
        let Some(Transmit::Client(_, answer)) = sender.outbox.pop_front() else { panic!("no answer") };
        match Packet::decode(&answer).unwrap() {
            Packet::Offer(offer) => Told::Slot(offer.slot.0),
            Packet::Refusal(refusal) => Told::Refused(refusal.reason),
            Packet::Release(release) => Told::Released(release.reason),
            other => panic!("{other:?}"),
        }
    }

    fn join(sender: &mut Sender, seconds: u64, client: u64) -> Told {
        let join = Join { client: ClientId(client), image: "image", host: "pc", credential: &[] };
        sender.handle_join(at(seconds), address(client), &join);
        told(sender)
    }

    /// It reports that it has everything.
    fn complete(sender: &mut Sender, seconds: u64, client: u64) -> Told {
        let blocks = sender.config.layout.blocks();
        let report = Report {
            session: SESSION,
            client: ClientId(client),
            complete: true,
            as_of: Sequence(0),
            poll: 0,
            received: 0,
            dropped: 0,
            verified: blocks,
            from: BlockIndex(0),
            to: BlockIndex(0),
            runs: &[],
        };
        sender.handle_report(at(seconds), address(client), &report);
        told(sender)
    }

    #[test]
    fn a_session_that_everybody_left_has_room_again() {
        let mut sender = sender(2);
        for client in [1, 2] {
            assert_eq!(join(&mut sender, 0, client), Told::Slot(client as u32 - 1));
            assert_eq!(complete(&mut sender, client, client), Told::Released(ReleaseReason::Complete));
        }
        assert_eq!(join(&mut sender, 5, 3), Told::Refused(RefuseReason::Full), "they may still have to be answered");
        assert_eq!(complete(&mut sender, 5, 1), Told::Released(ReleaseReason::Complete));
        assert_eq!(join(&mut sender, 20, 3), Told::Slot(0));
        let picture = sender.snapshot(at(20));
        let clients: Vec<_> = picture.clients.iter().map(|client| client.client.0).collect();
        assert_eq!((clients, picture.forgotten.complete), (vec![3, 2], 1));
        assert_eq!((sender.roster.complete(), sender.roster.active()), (2, 1));
    }

    #[test]
    fn who_is_complete_and_forgotten_is_told_in_the_end_that_it_is_done() {
        let mut sender = sender(1);
        assert_eq!(join(&mut sender, 0, 1), Told::Slot(0));
        complete(&mut sender, 1, 1);
        assert_eq!(join(&mut sender, 20, 2), Told::Slot(0));
        assert_eq!(complete(&mut sender, 20, 1), Told::Refused(RefuseReason::UnknownSession), "it is to join again");
        complete(&mut sender, 21, 2);
        assert_eq!(join(&mut sender, 40, 1), Told::Slot(0));
        assert_eq!(complete(&mut sender, 40, 1), Told::Released(ReleaseReason::Complete));
    }
}
