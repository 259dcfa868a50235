//! What was sent, and what of it has arrived: the crowd's only record of the stream.

use std::collections::VecDeque;

use crate::sender::SymbolRun;
use crate::types::{BlockIndex, Instant};

/// Symbols of one block that went out one behind the other, up to number `end` of the stream.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    end: u64,
    block: u32,
    /// Of these symbols some were sent before: whoever listened before this number of the stream may
    /// have them. 0 if they are sent for the first time.
    before: u64,
}

/// Symbols on their way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    arrives: Instant,
    block: u32,
    count: u32,
}

/// What was sent of one block.
#[derive(Debug, Clone, Default)]
struct SentOf {
    symbols: u64,
    /// By their first symbol.
    runs: Vec<Sent>,
}

/// Symbols `first..end` of a block, when they were sent last.
#[derive(Debug, Clone, Copy)]
struct Sent {
    first: u16,
    end: u16,
    /// Number in the stream that follows their last one.
    number: u64,
}

impl SentOf {
    /// Notes that `run` went out up to `number` of the stream; up to where some of it went out before, or 0.
    fn note(&mut self, run: SymbolRun, number: u64) -> u64 {
        let new = Sent { first: run.first.0, end: run.first.0 + run.count, number };
        let from = self.runs.partition_point(|sent| sent.end <= new.first);
        let to = self.runs.partition_point(|sent| sent.first < new.end);
        let over = &self.runs[from..to];
        let before = over.iter().map(|sent| sent.number).max().unwrap_or(0);
        let left = over.first().filter(|sent| sent.first < new.first).map(|sent| Sent { end: new.first, ..*sent });
        let right = over.last().filter(|sent| sent.end > new.end).map(|sent| Sent { first: new.end, ..*sent });
        self.runs.splice(from..to, left.into_iter().chain([new]).chain(right));
        before
    }
}

/// How many symbols of which blocks came between two moments; kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Blocks of which some came.
    pub(super) blocks: Vec<u32>,
    /// Of each block those that are new to whoever listens, and those that may not be.
    pub(super) counts: Vec<(u32, u32)>,
}

/// A place in the stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    /// Symbols before it.
    pub(super) symbols: u64,
    stretch: usize,
}

/// The stream.
#[derive(Debug)]
pub(super) struct Stream {
    stretches: Vec<Stretch>,
    under_way: VecDeque<Flight>,
    blocks: Vec<SentOf>,
    sent: u64,
    arrived: u64,
}

impl Stream {
    pub(super) fn new(blocks: u32) -> Self {
        Self {
            stretches: Vec::new(),
            under_way: VecDeque::new(),
            blocks: vec![SentOf::default(); blocks as usize],
            sent: 0,
            arrived: 0,
        }
    }

    /// `run` goes out.
    pub(super) fn send(&mut self, run: SymbolRun, arrives: Instant) {
        let count = u32::from(run.count);
        let state = &mut self.blocks[run.block.index()];
        self.sent += u64::from(count);
        state.symbols += u64::from(count);
        let before = state.note(run, self.sent);
        self.under_way.push_back(Flight { arrives, block: run.block.0, count });
        match self.stretches.last_mut() {
            Some(last) if last.block == run.block.0 && last.before == before => last.end = self.sent,
            _ => self.stretches.push(Stretch { end: self.sent, block: run.block.0, before }),
        }
    }

    /// Time has come to `now`.
    pub(super) fn arrive(&mut self, now: Instant) {
        while let Some(flight) = self.under_way.front().filter(|flight| flight.arrives <= now) {
            self.arrived += u64::from(flight.count);
            self.under_way.pop_front();
        }
    }

    /// Where a client stands that has seen everything that has arrived.
    pub(super) fn position(&self) -> Position {
        let next = self.stretches.partition_point(|stretch| stretch.end <= self.arrived);
        // The last one may still grow.
        let stretch = next.min(self.stretches.len().saturating_sub(1));
        Position { symbols: self.arrived, stretch }
    }

    /// Symbols of `block` that were sent, those under way included.
    pub(super) fn sent_of(&self, block: BlockIndex) -> u64 {
        self.blocks[block.index()].symbols
    }

    /// When the next `count` symbols of `block` will have arrived, or how many of them are under way.
    pub(super) fn arrival_of(&self, block: u32, count: u16) -> Result<Instant, u64> {
        let mut coming = 0;
        for flight in self.under_way.iter().filter(|flight| flight.block == block) {
            coming += u64::from(flight.count);
            if coming >= u64::from(count) {
                return Ok(flight.arrives);
            }
        }
        Err(coming)
    }

    /// Counts into `tally` what came since `from`, of blocks from `low` on, for a client that
    /// listens since symbol `since`; moves `from` to where the client stands then.
    pub(super) fn tally(&self, from: &mut Position, since: u64, low: u32, tally: &mut Tally) {
        tally.counts.resize(self.blocks.len(), (0, 0));
        while from.symbols < self.arrived {
            let stretch = &self.stretches[from.stretch];
            let end = stretch.end.min(self.arrived);
            let count = (end - from.symbols) as u32;
            from.symbols = end;
            from.stretch += usize::from(end == stretch.end && from.stretch + 1 < self.stretches.len());
            if stretch.block < low || count == 0 {
                continue;
            }
            let counts = &mut tally.counts[stretch.block as usize];
            if *counts == (0, 0) {
                tally.blocks.push(stretch.block);
            }
            match since < stretch.before {
                true => counts.1 += count,
                false => counts.0 += count,
            }
        }
    }
}
