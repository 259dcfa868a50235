//! The site's password, which is asked at a machine before anything boots: hashed, and few tries at it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::machine::Mac;

/// Tries until a machine has to wait.
pub const TRIES: u32 = 3;
/// For so long it has to.
pub const PAUSE: Duration = Duration::from_secs(300);
/// Characters of a password at least: who stands at the machine has no more than a few tries.
pub const SHORTEST: usize = 6;
/// Bytes at most: older builds of iPXE take no more at their prompt.
pub const LONGEST: usize = 63;
/// Tries from one address until it has to wait: machines behind one relay or router have one.
const TRIES_OF_ADDRESS: u32 = 12;
/// Wrong tries of all together: so many at once, and then one in a second. A MAC is what its sender says it is.
const BURST: f64 = 30.0;
/// Machines whose tries are counted at the same time. An attacker who makes up more loses others' counts, not
/// memory; each of his own still costs a hash.
const COUNTED: usize = 4096;

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password has {0} characters: {SHORTEST} are the fewest")]
    Short(usize),
    /// Too long.
    #[error("the password has {0} bytes: {LONGEST} are the most")]
    Long(usize),
    /// It cannot be typed at every machine.
    #[error("the password has {0:?}: only what an American keyboard has can be typed at a machine that boots")]
    Letter(char),
    /// The system gave no randomness, or the hash cannot be made.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Right,
    /// It is not.
    Wrong {
        /// So many tries are left.
        left: u32,
    },
    /// It was not looked at: the machine has to wait.
    Paused {
        /// For so long.
        wait: Duration,
    },
}

/// Counts the tries of machines, of addresses, and of all together.
#[derive(Default)]
pub struct Tries {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    machines: HashMap<Mac, Count>,
    addresses: HashMap<IpAddr, Count>,
    /// Wrong tries of late, of which one a second is forgotten.
    all: f64,
    since: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    last: Instant,
}

/// argon2id with 19 MiB and two passes, OWASP's first choice: some 30 ms of a server's core.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// Hashes a password for the site, with 16 bytes of `salt`, to argon2's string form.
///
/// # Errors
/// [`PasswordError`]
pub fn hash(password: &str, salt: [u8; 16]) -> Result<String, PasswordError> {
    match (password.chars().count(), password.len()) {
        (count, _) if count < SHORTEST => return Err(PasswordError::Short(count)),
        (_, len) if len > LONGEST => return Err(PasswordError::Long(len)),
        _ => {}
    }
    if let Some(letter) = password.chars().find(|letter| !matches!(letter, ' '..='~')) {
        return Err(PasswordError::Letter(letter));
    }
    let failed = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let hash: PasswordHash = argon2().hash_password_with_salt(password.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// Whether a password is the one of a hash. It takes long on purpose: not for a thread that has other work.
#[must_use]
pub fn is_right(password: &str, hash: &str) -> bool {
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|hash| password.len() <= LONGEST && argon2().verify_password(password.as_bytes(), &hash).is_ok())
}

impl Tries {
    /// Before a try of `mac` from an address: `None` if it may.
    pub fn pause(&self, mac: Mac, from: IpAddr, now: Instant) -> Option<Verdict> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = wait(counts.machines.get(&mac), TRIES, now);
        let address = wait(counts.addresses.get(&from), TRIES_OF_ADDRESS, now);
        let all = Duration::from_secs_f64((counts.all(now) - BURST + 1.0).max(0.0));
        let wait = machine.max(address).max(all);
        (!wait.is_zero()).then_some(Verdict::Paused { wait })
    }

    /// After it.
    pub fn note(&self, mac: Mac, from: IpAddr, right: bool, now: Instant) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if right {
            counts.machines.remove(&mac);
            counts.addresses.remove(&from);
            return Verdict::Right;
        }
        counts.all = counts.all(now) + 1.0;
        counts.since = Some(now);
        let of_address = wrong(&mut counts.addresses, from, now);
        let of_machine = wrong(&mut counts.machines, mac, now);
        if of_machine >= TRIES || of_address >= TRIES_OF_ADDRESS {
            Verdict::Paused { wait: PAUSE }
        } else {
            Verdict::Wrong { left: TRIES - of_machine }
        }
    }
}

impl Counts {
    fn all(&self, now: Instant) -> f64 {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (self.all - passed.as_secs_f64()).max(0.0)
    }
}

/// How long one has to wait who may be wrong so often.
fn wait(count: Option<&Count>, limit: u32, now: Instant) -> Duration {
    let over = count.filter(|count| count.wrong >= limit);
    over.map_or(Duration::ZERO, |count| (count.last + PAUSE).saturating_duration_since(now))
}

/// Counts a wrong try: how many there are by now.
fn wrong<K: Copy + Eq + Hash>(counts: &mut HashMap<K, Count>, key: K, now: Instant) -> u32 {
    if counts.len() >= COUNTED && !counts.contains_key(&key) {
        let oldest = counts.iter().min_by_key(|(_, count)| count.last).map(|(key, _)| *key);
        oldest.map(|key| counts.remove(&key));
    }
    let count = counts.entry(key).or_insert(Count { wrong: 0, last: now });
    if now >= count.last + PAUSE {
        count.wrong = 0;
    }
    *count = Count { wrong: count.wrong + 1, last: now };
    count.wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_alone() {
        let hash = hash("correct horse", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !hash.contains("horse"), "{hash}");
        assert!(is_right("correct horse", &hash));
        assert!(!is_right("correct horsf", &hash) && !is_right("", &hash) && !is_right("correct horse", "nonsense"));
    }

    #[test]
    fn what_nobody_can_type_or_anybody_can_guess_is_refused() {
        assert_eq!(hash("12345", [0; 16]), Err(PasswordError::Short(5)));
        assert_eq!(hash("pässword", [0; 16]), Err(PasswordError::Letter('ä')));
        assert_eq!(hash(&"x".repeat(129), [0; 16]), Err(PasswordError::Long(129)));
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    fn mac(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    #[test]
    fn three_wrong_tries_are_enough_for_a_while_and_others_are_not_held_up() {
        let (tries, begun, one) = (Tries::default(), Instant::now(), mac(1));
        assert_eq!(tries.note(one, HERE, false, begun), Verdict::Wrong { left: 2 });
        assert_eq!(tries.note(one, HERE, false, begun), Verdict::Wrong { left: 1 });
        assert_eq!(tries.pause(one, HERE, begun), None);
        assert_eq!(tries.note(one, HERE, false, begun), Verdict::Paused { wait: PAUSE });
        let later = begun + Duration::from_secs(100);
        assert_eq!(tries.pause(one, HERE, later), Some(Verdict::Paused { wait: Duration::from_secs(200) }));
        assert_eq!(tries.pause(mac(2), HERE, later), None);
        let over = begun + PAUSE;
        assert_eq!(tries.pause(one, HERE, over), None);
        assert_eq!(tries.note(one, HERE, false, over), Verdict::Wrong { left: 2 });
        assert_eq!(tries.note(one, HERE, true, over), Verdict::Right);
        assert_eq!(tries.note(one, HERE, false, over), Verdict::Wrong { left: 2 });
    }

    #[test]
    fn who_makes_up_machines_gets_no_more_tries() {
        let (tries, now) = (Tries::default(), Instant::now());
        let got = (0..100).take_while(|number| {
            let may = tries.pause(mac(*number), HERE, now).is_none();
            tries.note(mac(*number), HERE, false, now);
            may
        });
        assert_eq!(got.count(), TRIES_OF_ADDRESS as usize);
        // Nor does who makes up addresses, too: one a second is left.
        let tries = Tries::default();
        let from = |number: u32| IpAddr::from(number.to_be_bytes());
        let may = |number: u32, now| tries.pause(mac(number), from(number), now).is_none();
        let burst = (0..100).take_while(|number| {
            let may = may(*number, now);
            tries.note(mac(*number), from(*number), false, now);
            may
        });
        assert_eq!(burst.count(), BURST as usize);
        assert!(!may(200, now) && may(200, now + Duration::from_secs(3)));
    }

    #[test]
    fn made_up_machines_cost_no_memory() {
        let (tries, now) = (Tries::default(), Instant::now());
        for number in 0..2 * COUNTED as u32 {
            tries.note(mac(number), IpAddr::from(number.to_be_bytes()), false, now);
        }
        let counts = tries.counts.lock().unwrap();
        assert_eq!((counts.machines.len(), counts.addresses.len()), (COUNTED, COUNTED));
    }
}
