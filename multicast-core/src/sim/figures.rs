//! What a run came to.

use std::collections::BTreeMap;

use super::bound::coded_repair;
use super::room::{Room, SYMBOL_COST};
use crate::types::{BlockIndex, Instant};

/// What a run came to.
///
/// A real manifest is a 45,000th of its image. With symbols of a few bytes it is a hundredth, so it
/// counts as a part of the image here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoomFigures {
    /// Symbols sent by symbols of the image and its manifest.
    pub sent_ratio: f64,
    /// The least that any block code needs for these clients and this independent loss.
    pub bound: f64,
    /// Bytes of everything sent to the server by bytes of the stream, on the wire, with symbols of
    /// 1,440 bytes.
    pub feedback_ratio: f64,
    /// Datagrams for the server in the busiest 100 ms.
    pub report_peak: u32,
    /// From the first symbol to the end of the session, or until the last client was complete.
    pub seconds: f64,
    /// The same by the time that the bare image takes at this rate.
    pub time_ratio: f64,
    /// Blocks that some client had to fetch anew.
    pub damaged_blocks: u64,
    /// Reports that the server could not act upon.
    pub stale_reports: u64,
}

/// What the room counts as it goes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) started: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) feedback_bytes: u64,
    pub(super) feedback_by_slice: BTreeMap<u64, u32>,
    /// Symbols sent by servers that are gone.
    pub(super) past_symbols: u64,
    /// Symbols of each block sent by the present server.
    pub(super) sent_by_block: Vec<u32>,
}

impl Room {
    /// What the run came to.
    pub fn figures(&self) -> RoomFigures {
        let completions = self.clients.iter().filter_map(|client| client.complete_at).max();
        let ended = self.counts.ended.or(completions).unwrap_or(self.now);
        let seconds = (ended - self.counts.started.unwrap_or(ended)).as_secs_f64();
        let receivers = self.clients.iter().filter_map(|client| client.receiver.as_ref());
        RoomFigures {
            sent_ratio: self.sent_fraction(),
            bound: self.bound(),
            feedback_ratio: self.counts.feedback_bytes as f64 / (self.sent() as f64 * SYMBOL_COST as f64),
            report_peak: self.counts.feedback_by_slice.values().copied().max().unwrap_or(0),
            seconds,
            time_ratio: seconds / self.image_time().as_secs_f64(),
            damaged_blocks: receivers.map(|receiver| receiver.snapshot().counters.damaged_blocks).sum(),
            stale_reports: self.server.as_ref().map_or(0, |server| server.counters().stale_reports),
        }
    }

    /// Symbols sent so far by symbols of the image and its manifest.
    pub fn sent_fraction(&self) -> f64 {
        self.sent() as f64 / self.stream_symbols() as f64
    }

    /// Symbols of `block` that the present server has sent.
    pub fn sent_of(&self, block: BlockIndex) -> u32 {
        self.counts.sent_by_block[block.index()]
    }

    fn sent(&self) -> u64 {
        self.counts.past_symbols + self.server.as_ref().map_or(0, |server| server.counters().symbols)
    }

    pub(super) fn stream_symbols(&self) -> u64 {
        let layout = &self.source.layout;
        (0..layout.blocks()).map(|block| u64::from(layout.symbols_of(BlockIndex(block)))).sum()
    }

    /// The bound of every block, short ones too.
    fn bound(&self) -> f64 {
        let layout = &self.source.layout;
        let mut by_size = BTreeMap::<u16, u32>::new();
        for block in (0..layout.blocks()).map(BlockIndex) {
            *by_size.entry(layout.symbols_of(block)).or_default() += 1;
        }
        let (clients, loss) = (self.clients.len() as u32, self.config.link.loss);
        let least = by_size
            .iter()
            .map(|(&k, &blocks)| f64::from(blocks) * f64::from(k) * coded_repair(k.into(), clients, loss));
        least.sum::<f64>() / self.stream_symbols() as f64 / (1.0 - self.config.shared.loss)
    }
}
