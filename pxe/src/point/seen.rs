//! The machines that were seen last: a live list, as long as it may be.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use crate::boot::{BootNote, Doer, Stage};
use crate::machine::{Mac, Machine};

/// Machines that are kept.
const KEPT: usize = 1000;
/// A machine of which nothing was heard for so long boots no more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What a machine says again within this is no news: firmware asks up to five times.
const AGAIN: Duration = Duration::from_secs(60);

/// A machine, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Booting {
    /// Who.
    pub machine: Machine,
    /// Its address, if it has one.
    pub address: Option<Ipv4Addr>,
    /// How far it is.
    pub stage: Stage,
    /// What it boots.
    pub deployment: Option<String>,
    /// What was heard of it last, in words.
    pub text: String,
    /// It was refused something.
    pub refused: bool,
    /// When it began.
    pub since: SystemTime,
    /// When something was heard of it.
    pub last: SystemTime,
    /// What was told last.
    told: (Stage, String),
    /// What it was given to boot.
    given: Option<Given>,
}

/// What a machine was given to boot: files that it loads now count for this, whatever the site wants meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) deployment: String,
    pub(crate) boot_image: String,
    pub(crate) once: bool,
    pub(crate) by: Doer,
}

/// A live list.
#[derive(Debug, Default)]
pub struct Seen {
    machines: HashMap<Mac, Booting>,
}

impl Seen {
    /// Takes down what happened; whether it is news, and not said again by a machine that asks again.
    pub fn take(&mut self, note: &BootNote, now: SystemTime) -> bool {
        let mac = note.machine.mac;
        if self.machines.len() >= KEPT && !self.machines.contains_key(&mac) {
            let oldest = self.machines.values().min_by_key(|seen| seen.last).map(|seen| seen.machine.mac);
            oldest.map(|mac| self.machines.remove(&mac));
        }
        let before = self.machines.remove(&mac);
        let before_told = before.as_ref().map(|seen| (seen.told.clone(), seen.last));
        // A machine that asks DHCP after it was further has begun anew, but for iPXE and the kernel, which ask, too.
        let anew = |seen: &Booting| note.stage == Stage::Dhcp && seen.stage > Stage::Kernel && !note.machine.ipxe;
        let before = before.filter(|seen| !anew(seen));
        let mut seen = Booting {
            machine: note.machine.clone(),
            address: note.address,
            stage: note.stage,
            deployment: note.deployment.clone(),
            text: note.text.clone(),
            refused: note.refused,
            since: now,
            last: now,
            told: (note.stage, String::new()),
            given: None,
        };
        if let Some(before) = before {
            seen.machine = merged(&before.machine, &note.machine);
            seen.address = note.address.or(before.address);
            seen.deployment = note.deployment.clone().or(before.deployment);
            seen.since = before.since;
            // The client is what was given.
            seen.given = before.given.filter(|_| note.stage != Stage::Client);
            if note.stage == Stage::Dhcp && before.stage > Stage::Dhcp && !note.refused {
                (seen.stage, seen.text) = (before.stage, before.text);
            }
        }
        seen.told = (note.stage, note.text.clone());
        let again = before_told.is_some_and(|(told, at)| told == seen.told && !is_over(at, AGAIN, now));
        self.machines.insert(mac, seen);
        !again
    }

    /// Takes down a machine's address.
    pub fn set_address(&mut self, mac: Mac, address: Ipv4Addr) {
        if let Some(seen) = self.machines.get_mut(&mac) {
            seen.address = Some(address);
        }
    }

    /// Takes down what a machine that was seen is given to boot now.
    pub(crate) fn give(&mut self, mac: Mac, given: Option<Given>) {
        if let Some(seen) = self.machines.get_mut(&mac) {
            seen.given = given;
        }
    }

    /// What it was given, if that is of this boot image.
    pub(crate) fn given(&self, mac: Mac, boot_image: &str) -> Option<Given> {
        self.machines.get(&mac)?.given.clone().filter(|given| given.boot_image == boot_image)
    }

    /// All of them, the last one heard of first.
    #[must_use]
    pub fn all(&self) -> Vec<Booting> {
        let mut all: Vec<_> = self.machines.values().cloned().collect();
        let young = |seen: &Booting| seen.last.elapsed().is_ok_and(|age| age < FORGOTTEN);
        all.retain(young);
        all.sort_by(|a, b| b.last.cmp(&a.last).then(a.machine.mac.cmp(&b.machine.mac)));
        all
    }

    /// The machine at an address.
    #[must_use]
    pub fn at(&self, address: Ipv4Addr) -> Option<Machine> {
        let found = self.machines.values().filter(|seen| seen.address == Some(address)).max_by_key(|seen| seen.last);
        found.map(|seen| seen.machine.clone())
    }

    /// A machine by its card.
    #[must_use]
    pub fn machine(&self, mac: Mac) -> Option<Machine> {
        self.machines.get(&mac).map(|seen| seen.machine.clone())
    }

    /// The address of a card.
    #[must_use]
    pub fn address_of(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.machines.get(&mac)?.address
    }
}

fn is_over(since: SystemTime, limit: Duration, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age > limit)
}

/// What is known of a machine by now: a kernel that asks DHCP does not say what firmware it began with.
fn merged(before: &Machine, now: &Machine) -> Machine {
    Machine {
        mac: now.mac,
        uuid: now.uuid.or(before.uuid),
        platform: now.platform.or(before.platform),
        http: now.http || before.http,
        ipxe: now.ipxe || before.ipxe,
        long_mode: now.long_mode.or(before.long_mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Platform;

    fn note(last: u8, stage: Stage, text: &str) -> BootNote {
        let machine = Machine::new(Mac([2, 0, 0, 0, 0, last]));
        BootNote { machine, address: None, stage, deployment: None, text: text.to_owned(), refused: false }
    }

    #[test]
    fn a_machine_goes_on_and_what_was_known_of_it_stays() {
        let (mut seen, now) = (Seen::default(), SystemTime::now());
        let mut first = note(1, Stage::Dhcp, "asks");
        first.machine.platform = Some(Platform::UefiX64);
        first.address = Some(Ipv4Addr::new(10, 0, 0, 9));
        seen.take(&first, now);
        seen.take(&BootNote { deployment: Some("lab".to_owned()), ..note(1, Stage::Kernel, "loads") }, now);
        // Its kernel asks DHCP.
        seen.take(&note(1, Stage::Dhcp, "asks"), now);
        let all = seen.all();
        assert_eq!((all.len(), all[0].stage, all[0].text.as_str()), (1, Stage::Kernel, "loads"));
        assert_eq!((all[0].machine.platform, all[0].deployment.as_deref()), (Some(Platform::UefiX64), Some("lab")));
        assert_eq!(seen.at(Ipv4Addr::new(10, 0, 0, 9)).unwrap().mac, first.machine.mac);
    }

    #[test]
    fn a_machine_that_went_to_its_disk_begins_anew() {
        let (mut seen, now) = (Seen::default(), SystemTime::now());
        seen.take(&note(1, Stage::Disk, "to its disk"), now - Duration::from_secs(60));
        seen.take(&note(1, Stage::Dhcp, "asks"), now);
        assert_eq!((seen.all()[0].stage, seen.all()[0].since), (Stage::Dhcp, now));
    }

    #[test]
    fn what_is_asked_again_at_once_is_no_news() {
        let (mut seen, now) = (Seen::default(), SystemTime::now());
        assert!(seen.take(&note(1, Stage::Dhcp, "asks"), now));
        assert!(!seen.take(&note(1, Stage::Dhcp, "asks"), now + Duration::from_secs(4)));
        assert!(seen.take(&note(1, Stage::Dhcp, "is refused"), now + Duration::from_secs(5)));
        assert!(seen.take(&note(1, Stage::Dhcp, "is refused"), now + Duration::from_secs(100)));
    }

    #[test]
    fn made_up_machines_cost_no_memory() {
        let (mut seen, now) = (Seen::default(), SystemTime::now());
        for number in 0..2 * KEPT as u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let mut note = note(0, Stage::Dhcp, "asks");
            note.machine.mac = Mac([2, 0, a, b, c, d]);
            seen.take(&note, now);
        }
        assert_eq!(seen.all().len(), KEPT);
    }
}
