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
    /// It was iPXE that asked.
    ipxe: bool,
    answered: bool,
}

impl Patience {
    /// Whether a machine that asks has been asking for `delay`: by its own count of seconds, which some leave at zero,
    /// or by ours. iPXE that comes after firmware which was not answered here is another server's: that has to be let
    /// go on, too.
    ///
    /// # Errors
    /// How long it has been asking, if that is too short.
    pub(super) fn ask(
        &mut self,
        now: Time,
        mac: Mac,
        ipxe: bool,
        seconds: u16,
        delay: Duration,
    ) -> Result<(), Duration> {
        if !self.0.contains_key(&mac) && self.0.len() >= MOST {
            let silent = self.0.iter().min_by_key(|(_, asked)| asked.last).map(|(mac, _)| *mac);
            silent.map(|mac| self.0.remove(&mac));
        }
        let asked = self.0.entry(mac).or_insert(Asked { first: now, last: now, ipxe, answered: false });
        let chained = ipxe && !asked.ipxe && !asked.answered;
        if chained || asked.last + FORGET < now {
            *asked = Asked { first: now, last: now, ipxe, answered: false };
        }
        (asked.last, asked.ipxe) = (now, ipxe);
        let waited = Duration::from_secs(u64::from(seconds)).max(now.saturating_sub(asked.first));
        // Once answered it is not kept waiting in its further steps.
        asked.answered |= waited >= delay;
        if asked.answered { Ok(()) } else { Err(waited) }
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
        let mut ask = |at, own| patience.ask(NOW + seconds(at), MAC, false, own, seconds(9));
        assert_eq!(ask(0, 0), Err(seconds(0)));
        assert_eq!(ask(4, 0), Err(seconds(4)));
        assert_eq!(ask(5, 6), Err(seconds(6)));
        assert_eq!(ask(6, 9), Ok(()));
    }

    #[test]
    fn ipxe_of_another_server_is_let_go_on_and_that_of_ours_does_not_wait() {
        let (mut patience, delay) = (Patience::default(), seconds(5));
        assert_eq!(patience.ask(NOW, MAC, false, 0, delay), Err(seconds(0)));
        assert_eq!(patience.ask(NOW + seconds(8), MAC, true, 0, delay), Err(seconds(0)));
        assert_eq!(patience.ask(NOW + seconds(12), MAC, true, 4, delay), Err(seconds(4)));
        assert_eq!(patience.ask(NOW + seconds(13), MAC, true, 5, delay), Ok(()));
        let other = Mac([2, 0, 0, 0, 0, 2]);
        assert_eq!(patience.ask(NOW, other, false, 6, delay), Ok(()));
        assert_eq!(patience.ask(NOW + seconds(3), other, true, 0, delay), Ok(()));
    }

    #[test]
    fn a_machine_that_starts_again_waits_again() {
        let mut patience = Patience::default();
        assert_eq!(patience.ask(NOW, MAC, false, 9, seconds(9)), Ok(()));
        assert_eq!(patience.ask(NOW + seconds(61), MAC, false, 0, seconds(9)), Err(seconds(0)));
    }

    #[test]
    fn strangers_without_number_take_no_memory_without_end() {
        let mut patience = Patience::default();
        for number in 0..10_000u64 {
            let bytes = number.to_be_bytes();
            let mac = Mac([2, 0, bytes[4], bytes[5], bytes[6], bytes[7]]);
            let _ = patience.ask(NOW + Duration::from_millis(number), mac, false, 0, seconds(5));
        }
        assert_eq!(patience.0.len(), MOST);
    }
}
