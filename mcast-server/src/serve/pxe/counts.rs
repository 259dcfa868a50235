//! Sums since the start, for the metrics.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use pxe::boot::{BootNote, Stage};
use pxe::dhcp::{BootAnswer, Event, Lease, LeaseChange, Silence};

/// All stages, in the order in which a machine gets there.
pub(crate) const STAGES: [Stage; 6] =
    [Stage::Dhcp, Stage::Loader, Stage::Script, Stage::Kernel, Stage::Client, Stage::Disk];

/// What came of the requests of machines.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    ignored: AtomicU64,
    stages: [AtomicU64; STAGES.len()],
    /// Addresses of which this server knows that they are leased.
    leased: Mutex<HashSet<Ipv4Addr>>,
}

impl Counts {
    /// Takes in leases of earlier; those that are over at `now` count no more.
    pub(super) fn know(&self, leases: &[Lease], now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let standing = leases.iter().filter(|lease| lease.until > now).map(|lease| lease.address);
        self.leased.lock().unwrap_or_else(PoisonError::into_inner).extend(standing);
    }

    /// What DHCP did.
    pub(super) fn dhcp(&self, event: &Event) {
        let count = match event {
            Event::Answered(answered) => match answered.boot {
                BootAnswer::Refused(_) => &self.refused,
                _ => &self.answered,
            },
            Event::Ignored(ignored) => match ignored.why {
                Silence::NoBoot(_) | Silence::PoolFull(_) | Silence::NoPool(_) => &self.refused,
                _ => &self.ignored,
            },
            Event::LeaseChanged(change) => {
                let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
                match change {
                    LeaseChange::Granted(lease) => _ = leased.insert(lease.address),
                    LeaseChange::Ended { lease, .. } => _ = leased.remove(&lease.address),
                    _ => {}
                }
                return;
            }
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    /// How far a machine got.
    pub(super) fn note(&self, note: &BootNote) {
        let at = STAGES.iter().position(|stage| *stage == note.stage);
        if let Some(count) = at.and_then(|at| self.stages.get(at)).filter(|_| !note.refused) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Requests by what became of them.
    pub(crate) fn requests(&self) -> [(&'static str, u64); 3] {
        let counts = [("answered", &self.answered), ("refused", &self.refused), ("ignored", &self.ignored)];
        counts.map(|(answer, count)| (answer, count.load(Relaxed)))
    }

    /// Steps of machines by how far they took them.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (Stage, u64)> + '_ {
        STAGES.into_iter().zip(&self.stages).map(|(stage, count)| (stage, count.load(Relaxed)))
    }

    /// Addresses that are leased.
    pub(crate) fn leases(&self) -> usize {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pxe::dhcp::leases::End;
    use pxe::dhcp::{ClientId, Ignored};
    use pxe::machine::{Mac, Machine};

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ignored(why: Silence) -> Event {
        let from = std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        Event::Ignored(Ignored { machine: Some(Machine::new(MAC)), from, request: None, why })
    }

    #[test]
    fn a_refusal_is_told_from_what_is_nobodys_fault() {
        let counts = Counts::default();
        counts.dhcp(&ignored(Silence::NoBoot("nothing is deployed".to_owned())));
        counts.dhcp(&ignored(Silence::NotBooting));
        counts.dhcp(&ignored(Silence::NotProxys));
        assert_eq!(counts.requests(), [("answered", 0), ("refused", 1), ("ignored", 2)]);
    }

    #[test]
    fn only_steps_that_were_taken_count() {
        let counts = Counts::default();
        let note = |stage, refused| BootNote {
            machine: Machine::new(MAC),
            address: None,
            stage,
            deployment: None,
            text: String::new(),
            refused,
        };
        counts.note(&note(Stage::Script, false));
        counts.note(&note(Stage::Script, true));
        let taken: Vec<_> = counts.stages().filter(|(_, count)| *count > 0).collect();
        assert_eq!(taken, [(Stage::Script, 1)]);
    }

    #[test]
    fn leases_are_those_of_earlier_and_those_that_began_without_those_that_ended() {
        let lease = |last| Lease {
            address: Ipv4Addr::new(10, 0, 0, last),
            client: ClientId::Card(MAC),
            mac: MAC,
            until: Duration::from_secs(1),
        };
        let counts = Counts::default();
        counts.know(&[lease(1), Lease { until: Duration::ZERO, ..lease(9) }], UNIX_EPOCH);
        counts.dhcp(&Event::LeaseChanged(LeaseChange::Granted(lease(1))));
        counts.dhcp(&Event::LeaseChanged(LeaseChange::Granted(lease(2))));
        assert_eq!(counts.leases(), 2);
        counts.dhcp(&Event::LeaseChanged(LeaseChange::Ended { lease: lease(1), why: End::Expired }));
        assert_eq!(counts.leases(), 1);
    }
}
