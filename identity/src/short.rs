//! The short form of a fingerprint: 125 bits and a check, as 28 characters that people read to each other.
//!
//! The alphabet is Crockford's base32: digits and letters without I, L, O and U, so that no two of them look alike.
//! The 28 characters are one word of a Reed–Solomon code over GF(2⁵), 25 of data and 3 of check. Any two words of it
//! differ in at least four places, so whatever happens to up to three characters is found with certainty: one wrong,
//! two swapped (neighbours or not), three misread. Of heavier damage one in 32,768 passes, and such a word would still
//! have to match a certificate.

use std::fmt;

/// Characters of the short form, hyphens not counted.
pub(crate) const LENGTH: usize = DATA + CHECK;
/// Characters that carry the hash, 5 bits each.
const DATA: usize = 25;
/// Characters that carry the check.
const CHECK: usize = 3;
/// Characters between two hyphens.
const GROUP: usize = 4;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The first 125 bits of a fingerprint, as a number below 2¹²⁵.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Short(u128);

impl Short {
    /// The short form of a whole SHA-256.
    pub(crate) fn of(hash: &[u8; 32]) -> Self {
        let (front, _) = hash.split_at(16);
        Self(front.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)) >> 3)
    }

    /// Reads 28 symbols; none if their check does not fit.
    pub(crate) fn from_symbols(symbols: &[u8; LENGTH]) -> Option<Self> {
        let (data, check) = symbols.split_first_chunk::<DATA>()?;
        (check == check_of(data)).then(|| Self(data.iter().fold(0, |bits, symbol| bits << 5 | u128::from(*symbol))))
    }

    fn symbols(self) -> [u8; LENGTH] {
        let data: [u8; DATA] = std::array::from_fn(|at| (self.0 >> (5 * (DATA - 1 - at))) as u8 & 31);
        let mut symbols = [0; LENGTH];
        symbols[..DATA].copy_from_slice(&data);
        symbols[DATA..].copy_from_slice(&check_of(&data));
        symbols
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
        for (at, symbol) in self.symbols().into_iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(symbol)]));
        }
        f.pad(&text)
    }
}

/// The symbol that a character stands for, in either case and with its lookalikes; none for all others.
pub(crate) fn symbol_of(character: char) -> Option<u8> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET.iter().position(|letter| char::from(*letter) == character)?;
    u8::try_from(at).ok()
}

/// The remainder of data(x)·x³ by the code's generator, its highest power first.
fn check_of(data: &[u8; DATA]) -> [u8; CHECK] {
    data.iter().fold([0; CHECK], |[high, middle, low], symbol| {
        let lead = symbol ^ high;
        [middle ^ multiply(lead, GENERATOR[0]), low ^ multiply(lead, GENERATOR[1]), multiply(lead, GENERATOR[2])]
    })
}

/// (x − 2)(x − 4)(x − 8), of which x³ is left out: its roots are three powers in a row of the element 2, which
/// generates the field, and that is what gives the code its distance of four.
const GENERATOR: [u8; CHECK] = {
    let (a, b, c) = (2, 4, 8);
    [a ^ b ^ c, multiply(a, b) ^ multiply(a, c) ^ multiply(b, c), multiply(multiply(a, b), c)]
};

/// The product in GF(2)[x] / (x⁵ + x² + 1).
const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0b10_0000 != 0 {
            a ^= 0b10_0101;
        }
        b >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of different character: nothing set, everything set, one bit, a run of counting bytes, a hash.
    fn words() -> Vec<[u8; LENGTH]> {
        let mut one = [0; 32];
        one[7] = 0x10;
        let counting = std::array::from_fn(|at| at as u8);
        let hash = sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new()).into();
        [[0; 32], [255; 32], one, counting, hash].iter().map(|hash| Short::of(hash).symbols()).collect()
    }

    fn is_found(symbols: &[u8; LENGTH]) -> bool {
        Short::from_symbols(symbols).is_none()
    }

    #[test]
    fn two_generates_the_field() {
        let mut seen = std::collections::BTreeSet::new();
        let mut element = 1;
        for _ in 0..31 {
            seen.insert(element);
            element = multiply(element, 2);
        }
        assert_eq!((seen.len(), element), (31, 1));
    }

    /// What a change at one place does to the distance between the check that stands there and the one that fits.
    fn effect(at: usize, change: u8) -> [u8; CHECK] {
        let mut word = [0; LENGTH];
        word[at] = change;
        let (data, check) = word.split_first_chunk::<DATA>().unwrap();
        let fits = check_of(data);
        std::array::from_fn(|at| check[at] ^ fits[at])
    }

    #[test]
    fn every_change_of_one_two_or_three_characters_is_found() {
        // The code is linear: changes act on every word alike, and together as the sum of what each does alone. So
        // some three pass only if the effects of two add up to that of a third, and two only if theirs are the same.
        let effects: std::collections::HashMap<_, _> =
            (0..LENGTH).flat_map(|at| (1..32).map(move |change| (effect(at, change), at))).collect();
        assert_eq!(effects.len(), LENGTH * 31, "two changes have the same effect");
        assert!(!effects.contains_key(&[0; CHECK]), "a change has no effect");
        for (one, first) in &effects {
            for (other, second) in effects.iter().filter(|(_, second)| first < *second) {
                let sum: [u8; CHECK] = std::array::from_fn(|at| one[at] ^ other[at]);
                let third = effects.get(&sum).filter(|third| *third != first && *third != second);
                assert!(third.is_none(), "changes at {first}, {second} and {third:?} cancel out");
            }
        }
    }

    #[test]
    fn every_wrong_character_and_every_swap_is_found_in_words_of_all_kinds() {
        for word in words() {
            assert!(!is_found(&word));
            for at in 0..LENGTH {
                for other in (0..32).filter(|other| *other != word[at]) {
                    let mut wrong = word;
                    wrong[at] = other;
                    assert!(is_found(&wrong), "{word:?} with {other} at {at}");
                }
                for with in (at + 1..LENGTH).filter(|with| word[*with] != word[at]) {
                    let mut swapped = word;
                    swapped.swap(at, with);
                    assert!(is_found(&swapped), "{word:?} with {at} and {with} swapped");
                }
            }
        }
    }

    #[test]
    fn the_text_is_seven_groups_of_four() {
        let text = Short::of(&[0xAB; 32]).to_string();
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups.len(), 7);
        assert!(groups.iter().all(|group| group.len() == 4 && group.chars().all(|c| symbol_of(c).is_some())), "{text}");
    }

    #[test]
    fn lookalikes_are_read_as_what_they_look_like_and_u_is_none() {
        assert_eq!([symbol_of('o'), symbol_of('O')], [Some(0); 2]);
        assert_eq!([symbol_of('i'), symbol_of('I'), symbol_of('l'), symbol_of('L')], [Some(1); 4]);
        assert_eq!(symbol_of('z'), Some(31));
        assert!(['u', 'U', '-', 'Ö', '\u{130}'].into_iter().all(|other| symbol_of(other).is_none()));
    }
}
