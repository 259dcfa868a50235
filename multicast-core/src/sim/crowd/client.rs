//! One of the crowd: what it lacks as counts, and where it stands in its dealings with the server.

use std::collections::VecDeque;
use std::time::Duration;

use super::stream::{Position, Stream};
use super::{Companions, Member};
use crate::receiver::{BlockSizes, Deficits, JOIN_INTERVAL, tell};
use crate::types::{ClientId, Instant, Sequence, Slot};
use crate::wire::{MAX_CONTROL_LEN, Report};

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asks for the session.
    Joining,
    /// Listens.
    Receiving,
    /// Has everything, and the server does not know.
    Farewell,
    /// The server knows.
    Done,
}

/// A client that is no receiver but a handful of counts.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) member: Member,
    pub(super) phase: Phase,
    pub(super) join_interval: Duration,
    pub(super) slot: Slot,
    /// What it holds was told once.
    pub(super) reported: bool,
    /// When it is to answer, and which poll.
    pub(super) report_due: Option<(Instant, u32)>,
    pub(super) farewell_due: Instant,
    /// Symbols sent before it first listened.
    since: Option<u64>,
    /// Up to where its deficits are known.
    position: Position,
    lacks: Window,
    /// Where its next report goes on.
    cursor: u32,
}

/// The number by which the server knows client `number`.
pub(super) fn id(number: u32) -> ClientId {
    ClientId(u64::from(number) + 1)
}

impl Client {
    pub(super) fn new(member: Member) -> Self {
        Self {
            member,
            phase: Phase::Joining,
            join_interval: JOIN_INTERVAL,
            slot: Slot(0),
            reported: false,
            report_due: None,
            farewell_due: Instant::ZERO,
            since: None,
            position: Position::default(),
            lacks: Window::default(),
            cursor: 0,
        }
    }

    /// It was admitted and joins the group.
    pub(super) fn listen(&mut self, slot: Slot, stream: &Stream) {
        self.phase = Phase::Receiving;
        self.slot = slot;
        self.position = stream.position();
        self.since.get_or_insert(self.position.symbols);
    }

    /// The session was lost to it; what it has it keeps.
    pub(super) fn leave(&mut self) {
        self.phase = Phase::Joining;
        self.join_interval = JOIN_INTERVAL;
        self.reported = false;
        self.report_due = None;
    }

    /// Draws what it got of all that has arrived since it was looked at last.
    pub(super) fn catch_up(&mut self, with: &mut Companions, stream: &Stream) {
        let tally = &mut with.tally;
        stream.tally(&mut self.position, self.since.unwrap_or(0), self.lacks.low, tally);
        for block in tally.blocks.drain(..) {
            let (new, repeated) = std::mem::take(&mut tally.counts[block as usize]);
            let lack = self.lacks.open(block, &with.sizes);
            if *lack == 0 {
                continue;
            }
            let mut got = new - with.binomial.draw(new, self.member.loss, &mut with.rng);
            if repeated > 0 {
                // Everything that it holds may be among what is repeated.
                let fresh = f64::from(*lack) / f64::from(with.sizes.of(block)) * (1.0 - self.member.loss);
                got += with.binomial.draw(repeated, fresh, &mut with.rng);
            }
            *lack = lack.saturating_sub(got.min(u16::MAX.into()) as u16);
            self.lacks.held += u32::from(*lack == 0);
        }
        self.lacks.close();
    }

    /// A block without which it is not complete, the last one of those, and how much it lacks of it.
    pub(super) fn last_lack(&self, sizes: &BlockSizes, blocks: u32) -> Option<(u32, u16)> {
        if self.lacks.untouched() < blocks {
            return Some((blocks - 1, sizes.of(blocks - 1)));
        }
        let last = self.lacks.open.iter().rposition(|lack| *lack > 0)?;
        Some((self.lacks.low + last as u32, self.lacks.open[last]))
    }

    /// What it tells: runs and the range they cover, as of all that it was drawn for.
    pub(super) fn report<'a>(
        &mut self,
        number: u32,
        poll: u32,
        sizes: &BlockSizes,
        blocks: u32,
        runs: &'a mut Vec<u8>,
    ) -> Report<'a> {
        let (from, to, told) = match self.phase {
            Phase::Farewell => Default::default(),
            _ => tell(&self.lacks, sizes, &mut self.cursor, blocks, MAX_CONTROL_LEN - Report::HEADER_LEN),
        };
        *runs = told;
        let heard = (self.position.symbols - self.since.unwrap_or(0)) as f64 * (1.0 - self.member.loss);
        Report {
            session: super::SESSION,
            client: id(number),
            complete: self.phase == Phase::Farewell,
            as_of: Sequence(self.position.symbols as u32),
            poll,
            received: heard as u64 as u32,
            dropped: 0,
            verified: self.lacks.held,
            from,
            to,
            runs,
        }
    }
}

/// Deficits of the blocks that were begun and are not all complete; nothing is kept of the others.
#[derive(Debug, Default)]
struct Window {
    /// Below it every block is complete.
    low: u32,
    /// The deficits from there on, up to the last block that was begun.
    open: VecDeque<u16>,
    /// Blocks complete.
    held: u32,
}

impl Window {
    /// The deficit of `block`, which is not below `low`.
    fn open(&mut self, block: u32, sizes: &BlockSizes) -> &mut u16 {
        while self.untouched() <= block {
            self.open.push_back(sizes.of(self.untouched()));
        }
        &mut self.open[(block - self.low) as usize]
    }

    /// Forgets complete blocks at the front.
    fn close(&mut self) {
        while self.open.front() == Some(&0) {
            self.open.pop_front();
            self.low += 1;
        }
    }
}

impl Deficits for Window {
    fn low(&self) -> u32 {
        self.low
    }

    fn untouched(&self) -> u32 {
        self.low + self.open.len() as u32
    }

    fn deficit(&self, block: u32, _symbols: u16) -> u16 {
        self.open[(block - self.low) as usize]
    }
}
