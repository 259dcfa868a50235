//! How long machines have been asking.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dhcp::Time;
use crate::machine::Mac;

/// A machine that was silent for so long begins anew.
const FORGET: Duration = Duration::from_secs(60);
/// Machines that are remembered at most; then the one that was silent longest is forgotten.
const MOST: usize = 4096;

/// How long machines have been asking.
#[derive(Default)]
pub(super) struct Patience(BTreeMap<Mac, Asked>);

struct Asked {
    first: Time,
    last: Time,
}

impl Patience {
    /// How long a machine has been asking, now included: by its own count of seconds, which some leave at zero, or by
    /// ours.
    pub(super) fn waited(&mut self, now: Time, mac: Mac, seconds: u16) -> Duration {
        if !self.0.contains_key(&mac) && self.0.len() >= MOST {
            let silent = self.0.iter().min_by_key(|(_, asked)| asked.last).map(|(mac, _)| *mac);
            silent.map(|mac| self.0.remove(&mac));
        }
        let asked = self.0.entry(mac).or_insert(Asked { first: now, last: now });
        if asked.last + FORGET < now {
            asked.first = now;
        }
        asked.last = now;
        Duration::from_secs(u64::from(seconds)).max(now.saturating_sub(asked.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const NOW: Time = Duration::from_secs(500);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_longer_of_both_counts_holds() {
        let mut patience = Patience::default();
        assert_eq!(patience.waited(NOW, MAC, 0), seconds(0));
        assert_eq!(patience.waited(NOW + seconds(4), MAC, 0), seconds(4));
        assert_eq!(patience.waited(NOW + seconds(4), MAC, 9), seconds(9));
    }

    #[test]
    fn a_machine_that_starts_again_waits_again() {
        let mut patience = Patience::default();
        patience.waited(NOW, MAC, 0);
        assert_eq!(patience.waited(NOW + seconds(61), MAC, 0), seconds(0));
    }

    #[test]
    fn strangers_without_number_take_no_memory_without_end() {
        let mut patience = Patience::default();
        for number in 0..10_000u64 {
            let bytes = number.to_be_bytes();
            patience.waited(
                NOW + Duration::from_millis(number),
                Mac([2, 0, bytes[4], bytes[5], bytes[6], bytes[7]]),
                0,
            );
        }
        assert_eq!(patience.0.len(), MOST);
    }
}
