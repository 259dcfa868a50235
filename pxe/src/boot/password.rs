//! The site's password, which is asked at a machine before anything boots: hashed, and few tries at it.

use std::collections::HashMap;
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
/// Bytes at most: nobody types more.
pub const LONGEST: usize = 128;
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

/// Counts the tries of machines.
#[derive(Default)]
pub struct Tries {
    counts: Mutex<HashMap<Mac, Count>>,
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
    /// Before a try of `mac`: `None` if it may.
    pub fn pause(&self, mac: Mac, now: Instant) -> Option<Verdict> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&mac).filter(|count| count.wrong >= TRIES)?;
        let wait = (count.last + PAUSE).saturating_duration_since(now);
        (!wait.is_zero()).then_some(Verdict::Paused { wait })
    }

    /// After it.
    pub fn note(&self, mac: Mac, right: bool, now: Instant) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if right {
            counts.remove(&mac);
            return Verdict::Right;
        }
        if counts.len() >= COUNTED && !counts.contains_key(&mac) {
            let oldest = counts.iter().min_by_key(|(_, count)| count.last).map(|(mac, _)| *mac);
            oldest.map(|mac| counts.remove(&mac));
        }
        let count = counts.entry(mac).or_insert(Count { wrong: 0, last: now });
        if now >= count.last + PAUSE {
            count.wrong = 0;
        }
        *count = Count { wrong: count.wrong + 1, last: now };
        if count.wrong >= TRIES {
            Verdict::Paused { wait: PAUSE }
        } else {
            Verdict::Wrong { left: TRIES - count.wrong }
        }
    }
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

    #[test]
    fn three_wrong_tries_are_enough_for_a_while_and_others_are_not_held_up() {
        let (tries, begun) = (Tries::default(), Instant::now());
        let (one, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        assert_eq!(tries.note(one, false, begun), Verdict::Wrong { left: 2 });
        assert_eq!(tries.note(one, false, begun), Verdict::Wrong { left: 1 });
        assert_eq!(tries.pause(one, begun), None);
        assert_eq!(tries.note(one, false, begun), Verdict::Paused { wait: PAUSE });
        let later = begun + Duration::from_secs(100);
        assert_eq!(tries.pause(one, later), Some(Verdict::Paused { wait: Duration::from_secs(200) }));
        assert_eq!(tries.pause(other, later), None);
        let over = begun + PAUSE;
        assert_eq!(tries.pause(one, over), None);
        assert_eq!(tries.note(one, false, over), Verdict::Wrong { left: 2 });
        assert_eq!(tries.note(one, true, over), Verdict::Right);
        assert_eq!(tries.note(one, false, over), Verdict::Wrong { left: 2 });
    }

    #[test]
    fn made_up_machines_cost_no_memory() {
        let (tries, now) = (Tries::default(), Instant::now());
        for number in 0..2 * COUNTED as u32 {
            let [a, b, c, d] = number.to_be_bytes();
            tries.note(Mac([2, 0, a, b, c, d]), false, now);
        }
        assert_eq!(tries.counts.lock().unwrap().len(), COUNTED);
    }
}
