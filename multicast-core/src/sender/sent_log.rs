//! What went out lately: so that a report that crossed with symbols under way asks for nothing twice.

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::{BlockIndex, Instant, Sequence};

/// A report that looked further back than this is too old to act upon.
const KEPT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Burst {
    at: Instant,
    first: Sequence,
    count: u32,
    block: BlockIndex,
}

/// The last seconds' symbols as bursts of one block each.
#[derive(Debug, Default)]
pub(super) struct SentLog {
    bursts: VecDeque<Burst>,
    next: Sequence,
}

impl SentLog {
    /// Symbols sent so far.
    pub(super) fn next(&self) -> Sequence {
        self.next
    }

    pub(super) fn push(&mut self, now: Instant, block: BlockIndex, count: u32) {
        while self.bursts.front().is_some_and(|burst| now - burst.at > KEPT) {
            self.bursts.pop_front();
        }
        match self.bursts.back_mut() {
            Some(last) if last.block == block && now - last.at < KEPT / 10 => last.count += count,
            _ => self.bursts.push_back(Burst { at: now, first: self.next, count, block }),
        }
        self.next = self.next.plus(count);
    }

    /// Symbols of each block that went out after `as_of`, in `into` by block; false if that is too
    /// long ago to tell, or has not been yet.
    pub(super) fn since(&self, as_of: Sequence, into: &mut Vec<(BlockIndex, u32)>) -> bool {
        into.clear();
        if self.next.since(as_of) < 0 {
            return false;
        }
        for burst in self.bursts.iter().rev() {
            let end = burst.first.plus(burst.count);
            if end.since(as_of) <= 0 {
                break;
            }
            let count = burst.count.min(end.since(as_of) as u32);
            into.push((burst.block, count));
        }
        let oldest = self.bursts.front().map_or(self.next, |burst| burst.first);
        into.sort_unstable_by_key(|(block, _)| *block);
        into.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
        as_of.since(oldest) >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_under_way_are_counted_by_block() {
        let mut log = SentLog::default();
        let now = Instant::ZERO;
        log.push(now, BlockIndex(1), 10);
        log.push(now, BlockIndex(1), 10);
        log.push(now, BlockIndex(2), 5);
        log.push(now, BlockIndex(1), 1);
        let mut sent = Vec::new();
        assert!(log.since(Sequence(15), &mut sent));
        assert_eq!(sent, [(BlockIndex(1), 6), (BlockIndex(2), 5)]);
        assert!(log.since(Sequence(26), &mut sent));
        assert!(sent.is_empty());
        assert!(!log.since(Sequence(27), &mut sent), "nobody can have seen that yet");
    }

    #[test]
    fn a_report_from_long_ago_is_recognised() {
        let mut log = SentLog::default();
        log.push(Instant::ZERO, BlockIndex(1), 10);
        log.push(Instant::ZERO + Duration::from_secs(11), BlockIndex(2), 10);
        assert!(!log.since(Sequence(5), &mut Vec::new()));
    }
}
