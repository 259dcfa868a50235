//! A sender at work in virtual time: batch after batch, heartbeats, and clients that report losses.

use std::time::Duration;

use multicast_core::sender::{Sender, Transmit};
use multicast_core::types::{Instant, Sequence};

use crate::{BATCH, address, damage, fill, report, session};

/// A batch takes so long at 930 Mbit/s.
const BATCH_TIME: Duration = Duration::from_micros(567);
/// Batches between two rounds of reports: 25 ms of them.
const ROUND: u32 = 44;
/// Reports of a round: what 1/250 of the stream holds.
const REPORTS: u32 = 83;
/// Blocks that went out in a round.
const LATEST: u32 = 2;

/// A session that runs, and what its driver knows.
pub struct Stream {
    /// The sender.
    pub sender: Sender,
    clients: u32,
    blocks: u32,
    now: Instant,
    sent: Sequence,
    /// The block of the pass that went out last.
    pass: u32,
    batches: u32,
    reports: u32,
}

impl Stream {
    /// An image of `size` bytes to so many clients, who have nothing of it.
    pub fn new(size: u64, clients: u32) -> Self {
        let mut sender = session(size, clients);
        let blocks = sender.snapshot(Instant::ZERO).blocks;
        fill(&mut sender, clients, blocks);
        Self::of(sender, clients)
    }

    /// The same of a session whose clients have joined.
    pub fn of(sender: Sender, clients: u32) -> Self {
        let blocks = sender.snapshot(Instant::ZERO).blocks;
        let sent = Sequence(sender.counters().symbols as u32);
        Self { sender, clients, blocks, now: Instant::ZERO, sent, pass: 0, batches: 0, reports: 0 }
    }

    /// Sends the next batch of the stream: how many symbols. When all that was needed is sent, somebody
    /// lacks the whole image again.
    pub fn batch(&mut self) -> u32 {
        match self.poll() {
            0 => {
                self.hear(0, [(self.blocks, u16::MAX)]);
                self.poll()
            }
            symbols => symbols,
        }
    }

    /// The same, and every 25 ms a heartbeat, and a round of clients who tell that they lost 1 % of the
    /// blocks that went out since the last one.
    pub fn step(&mut self) -> u32 {
        self.batches += 1;
        if self.batches.is_multiple_of(ROUND) {
            self.sender.handle_timeout(self.now);
            let from = self.pass.saturating_sub(LATEST);
            for _ in 0..REPORTS {
                self.hear(from, damage(self.reports.into()).take(LATEST as usize));
            }
        }
        self.batch()
    }

    /// Sends all that is needed.
    pub fn finish_pass(&mut self) {
        while self.poll() > 0 {}
    }

    /// One report of so many damaged blocks, and all symbols for it.
    pub fn repair_at_once(&mut self, damaged: u32) {
        let from = self.reports % 30 * damaged;
        self.hear(from, damage(from.into()).take(damaged as usize));
        let symbols: u32 = std::iter::from_fn(|| Some(self.poll()).filter(|symbols| *symbols > 0)).sum();
        // From 3 to 19 symbols a block.
        assert!(symbols >= 3 * damaged, "{symbols} symbols for {damaged} damaged blocks");
    }

    /// The next batch; how many symbols, none when nothing is needed.
    fn poll(&mut self) -> u32 {
        self.now = self.now + BATCH_TIME;
        loop {
            match self.sender.poll_transmit(self.now) {
                Some(Transmit::Symbols { run, sequence }) => {
                    self.sent = sequence.plus(run.count.into());
                    // Parity comes from 1,024 on.
                    if run.first.0 + BATCH < 1024 {
                        self.pass = run.block.0;
                    }
                    return run.count.into();
                }
                // Heartbeats.
                Some(_) => {}
                None => return 0,
            }
        }
    }

    /// The next client tells what it lacks from block `from` on.
    fn hear(&mut self, from: u32, deficits: impl IntoIterator<Item = (u32, u16)>) {
        let client = self.reports % self.clients;
        self.reports += 1;
        let datagram = report(client, self.sent, from, deficits);
        self.sender.handle_datagram(self.now, address(client), &datagram);
        while self.sender.poll_event().is_some() {}
    }
}
