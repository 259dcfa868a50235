//! Counts what came of a trial's samples: loss, order, rate.

use std::time::Duration;

use crate::types::Instant;
use crate::wire::Sample;

/// Samples of one trial as they arrive.
#[derive(Debug, Clone)]
pub struct Tally {
    /// A bit for each sample that arrived.
    seen: Vec<u64>,
    limit: u32,
    received: u32,
    reordered: u32,
    duplicates: u32,
    /// One more than the highest sequence.
    next: u32,
    told: Option<u32>,
    first: Option<Instant>,
    latest: Instant,
    bytes: u64,
}

/// What came of them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counts {
    /// Sent, by the server's word; without it, up to the last that arrived.
    pub sent: u32,
    /// Arrived, each counted once.
    pub received: u32,
    /// Arrived after one that was sent later (RFC 4737 §3).
    pub reordered: u32,
    /// Arrived again.
    pub duplicates: u32,
    /// Bits per second at which they arrived, headers counted; 0 if there were not enough to tell.
    pub rate: f64,
}

impl Counts {
    /// Part of them that did not arrive, from 0 to 1; `None` if none was sent.
    pub fn loss(&self) -> Option<f64> {
        (self.sent > 0).then(|| 1.0 - f64::from(self.received) / f64::from(self.sent))
    }

    /// Part of what arrived that was late, from 0 to 1.
    pub fn reordering(&self) -> f64 {
        f64::from(self.reordered) / f64::from(self.received.max(1))
    }
}

impl Tally {
    /// For a trial of at most `limit` samples: a number beyond is not believed.
    pub fn new(limit: u32) -> Self {
        Self {
            seen: vec![0; limit.div_ceil(64) as usize],
            limit,
            received: 0,
            reordered: 0,
            duplicates: 0,
            next: 0,
            told: None,
            first: None,
            latest: Instant::ZERO,
            bytes: 0,
        }
    }

    /// Counts a sample that takes `wire` bytes on the wire.
    pub fn handle(&mut self, now: Instant, sample: &Sample, wire: usize) {
        let sequence = sample.sequence.0;
        if sample.last {
            if sequence <= self.limit {
                self.told = Some(sequence);
            }
            return;
        }
        if sequence >= self.limit {
            return;
        }
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if self.seen[word] & bit != 0 {
            self.duplicates += 1;
            return;
        }
        self.seen[word] |= bit;
        self.received += 1;
        self.reordered += u32::from(sequence < self.next);
        self.next = self.next.max(sequence + 1);
        // What the first one took lies before it.
        if self.first.is_some() {
            self.bytes += wire as u64;
        }
        self.first.get_or_insert(now);
        self.latest = now;
    }

    /// When the last one came, if one came.
    pub fn latest(&self) -> Option<Instant> {
        self.first.map(|_| self.latest)
    }

    /// Whether the server has said that nothing follows.
    pub fn is_over(&self) -> bool {
        self.told.is_some()
    }

    /// What came of them so far.
    pub fn counts(&self) -> Counts {
        let time = self.first.map_or(Duration::ZERO, |first| self.latest - first).as_secs_f64();
        Counts {
            sent: self.told.unwrap_or(0).max(self.next),
            received: self.received,
            reordered: self.reordered,
            duplicates: self.duplicates,
            rate: if time > 0.0 { self.bytes as f64 * 8.0 / time } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{ClientId, Sequence};

    fn sample(sequence: u32, last: bool) -> Sample {
        Sample { client: ClientId(1), number: 1, sequence: Sequence(sequence), last, len: 100 }
    }

    fn tally(sequences: &[u32], told: Option<u32>) -> Counts {
        let mut tally = Tally::new(1000);
        for (ms, sequence) in sequences.iter().enumerate() {
            tally.handle(Instant::from_nanos(ms as u64 * 1_000_000), &sample(*sequence, false), 142);
        }
        if let Some(told) = told {
            tally.handle(Instant::ZERO, &sample(told, true), 142);
        }
        tally.counts()
    }

    #[test]
    fn loss_counts_what_was_sent_to_the_end() {
        assert_eq!(tally(&[0, 1, 3], Some(5)).loss(), Some(0.4));
        // Without the last word only gaps show.
        assert_eq!(tally(&[0, 1, 3], None).loss(), Some(0.25));
        assert_eq!(tally(&[], Some(9)).loss(), Some(1.0));
        assert_eq!(tally(&[], None).loss(), None);
    }

    #[test]
    fn the_late_are_reordered_and_the_repeated_are_duplicates() {
        let counts = tally(&[0, 2, 1, 3, 3, 6, 4, 5], Some(7));
        assert_eq!((counts.received, counts.reordered, counts.duplicates), (7, 3, 1));
        assert_eq!((counts.loss(), counts.reordering()), (Some(0.0), 3.0 / 7.0));
    }

    #[test]
    fn the_rate_is_what_arrived_after_the_first() {
        // 142 bytes every millisecond.
        assert_eq!(tally(&(0..101).collect::<Vec<_>>(), None).rate, 142.0 * 8.0 * 1000.0);
    }

    #[test]
    fn numbers_beyond_what_can_be_are_not_believed() {
        let counts = tally(&[0, u32::MAX, 1000], Some(1001));
        assert_eq!((counts.sent, counts.received), (1, 1));
    }

    proptest! {
        #[test]
        fn each_counts_once_whatever_the_order(sequences in proptest::collection::vec(0_u32..1100, 0..300)) {
            let counts = tally(&sequences, None);
            let mut distinct: Vec<_> = sequences.iter().filter(|sequence| **sequence < 1000).collect();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(counts.received as usize, distinct.len());
            prop_assert_eq!(counts.sent, distinct.last().map_or(0, |last| **last + 1));
            let within = sequences.iter().filter(|sequence| **sequence < 1000).count();
            prop_assert_eq!((counts.received + counts.duplicates) as usize, within);
        }
    }
}
