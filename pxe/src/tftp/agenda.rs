//! When which transfer is to be looked at: deadlines that mostly move away before they come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Time;

/// A queue of moments. A transfer whose deadline moves away keeps its old entry, which then comes too early and
/// is queued again; so an acknowledgement costs no work here.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    queue: BinaryHeap<Reverse<(Time, u64)>>,
}

/// A transfer's entry that counts; others of it are void.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(Option<Time>);

impl Agenda {
    /// Sees to it that `id` comes up at `deadline` at the latest.
    pub(super) fn put(&mut self, id: u64, entry: &mut Entry, deadline: Time) {
        if entry.0.is_none_or(|queued| deadline < queued) {
            entry.0 = Some(deadline);
            self.queue.push(Reverse((deadline, id)));
        }
    }

    /// The moment at which [`due`](Self::due) may have something.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Who has come up, and by which entry.
    pub(super) fn due(&mut self, now: Time) -> Option<(u64, Time)> {
        let Reverse((at, id)) = *self.queue.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.queue.pop();
        Some((id, at))
    }
}

impl Entry {
    /// Whether the entry that came up at `at` is the one that counts; it is used up by that.
    pub(super) fn take(&mut self, at: Time) -> bool {
        let counts = self.0 == Some(at);
        if counts {
            self.0 = None;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Time = Time::from_millis(1);

    #[test]
    fn a_deadline_that_moves_away_costs_no_entry() {
        let (mut agenda, mut entry) = (Agenda::default(), Entry::default());
        for i in 0..1000 {
            agenda.put(1, &mut entry, MS * (20 + i));
        }
        assert_eq!(agenda.queue.len(), 1);
        assert_eq!(agenda.due(19 * MS), None);
        assert_eq!(agenda.due(20 * MS), Some((1, 20 * MS)));
        assert!(entry.take(20 * MS));
    }

    #[test]
    fn a_deadline_that_moves_nearer_voids_the_old_entry() {
        let (mut agenda, mut entry) = (Agenda::default(), Entry::default());
        agenda.put(1, &mut entry, 20 * MS);
        agenda.put(1, &mut entry, 5 * MS);
        assert_eq!(agenda.next(), Some(5 * MS));
        assert_eq!(agenda.due(20 * MS), Some((1, 5 * MS)));
        assert!(entry.take(5 * MS));
        assert_eq!(agenda.due(20 * MS), Some((1, 20 * MS)));
        assert!(!entry.take(20 * MS));
    }
}
