//! What a user says to trust, as it was typed.

use std::fmt;
use std::str::FromStr;

use crate::fingerprint::Fingerprint;
use crate::short::{self, Short};

/// The key that a client trusts: a fingerprint in one of the forms in which people hand it on.
///
/// - The short form, 28 characters: 125 bits of the hash and a check. Case, hyphens and spaces do not matter, and O is
///   read as 0, I and L as 1.
/// - The full SHA-256, 64 hexadecimal digits, with or without colons. `openssl` prints it from a certificate by
///
///   ```text
///   openssl x509 -in site.crt -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
///   ```
///
/// To find another key with the same 125 bits takes 2¹²⁵ tries, as out of reach as one with all 256.
///
/// `Display` gives what `FromStr` reads: the form that it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trust(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Short(Short),
    Full(Fingerprint),
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Too few or too many characters for either form.
    #[error(
        "a fingerprint has {short} characters (short form) or {full} (SHA-256 in hexadecimal), this one has {length}"
    )]
    Length {
        /// Characters found, separators not counted.
        length: usize,
        /// Characters of the short form.
        short: usize,
        /// Digits of the full form.
        full: usize,
    },
    /// A character that the form does not have.
    #[error("character {position} of the fingerprint is {character:?}, which no fingerprint {} has", form_of(*full))]
    Character {
        /// What stands there.
        character: char,
        /// Its place, counted from 1, separators not counted.
        position: usize,
        /// Whether it is the full form, by its length.
        full: bool,
    },
    /// The short form's check does not fit.
    #[error("the fingerprint {text} has a typing error: its characters do not fit its check")]
    Typo {
        /// The text as it was understood, in groups.
        text: String,
    },
}

impl Trust {
    /// Whether a key is the trusted one.
    pub fn matches(&self, fingerprint: &Fingerprint) -> bool {
        match self.0 {
            Form::Short(short) => short == fingerprint.short(),
            Form::Full(full) => full == *fingerprint,
        }
    }

    /// The short form, whatever form it was made from: what messages show.
    pub fn to_short(&self) -> String {
        match self.0 {
            Form::Short(short) => short.to_string(),
            Form::Full(full) => full.to_string(),
        }
    }

    pub(crate) fn full(&self) -> Option<Fingerprint> {
        match self.0 {
            Form::Short(_) => None,
            Form::Full(full) => Some(full),
        }
    }
}

impl From<Fingerprint> for Trust {
    /// Trust in the key of a fingerprint that is known in full, for example one that the server itself told.
    fn from(fingerprint: Fingerprint) -> Self {
        Self(Form::Full(fingerprint))
    }
}

impl FromStr for Trust {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let characters = || text.chars().filter(|character| !is_separator(*character));
        match characters().count() {
            short::LENGTH => short_from(characters()),
            FULL => full_from(characters()),
            length => Err(TrustError::Length { length, short: short::LENGTH, full: FULL }),
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Short(short) => short.fmt(f),
            Form::Full(full) => f.pad(&full.to_hex()),
        }
    }
}

impl TrustError {
    /// What to do about it, in a line.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Length { .. } => "copy it whole, as the server prints it when it starts for the first time",
            Self::Character { full: false, .. } => {
                "the short form is made of digits and of letters other than I, L, O and U, which are easily mistaken"
            }
            Self::Character { full: true, .. } => "the full form is made of 0 to 9 and a to f, with or without colons",
            Self::Typo { .. } => "compare it with the original, group by group",
        }
    }
}

/// Digits of a SHA-256 in hexadecimal.
const FULL: usize = 64;

fn short_from(characters: impl Iterator<Item = char>) -> Result<Trust, TrustError> {
    let mut symbols = [0; short::LENGTH];
    let mut text = String::new();
    for (at, (symbol, character)) in symbols.iter_mut().zip(characters).enumerate() {
        let not_in_it = TrustError::Character { character, position: at + 1, full: false };
        *symbol = short::symbol_of(character).ok_or(not_in_it)?;
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        text.push(character.to_ascii_uppercase());
    }
    Short::from_symbols(&symbols).map(|short| Trust(Form::Short(short))).ok_or(TrustError::Typo { text })
}

fn full_from(characters: impl Iterator<Item = char>) -> Result<Trust, TrustError> {
    let mut bytes = [0; FULL / 2];
    for (at, character) in characters.enumerate() {
        let not_in_it = TrustError::Character { character, position: at + 1, full: true };
        // The digits of base32 begin as those of base16 do, so that O, I and L are read here as there.
        let digit = short::symbol_of(character).filter(|symbol| *symbol < 16).ok_or(not_in_it)?;
        bytes[at / 2] = bytes[at / 2] << 4 | digit;
    }
    Ok(Trust(Form::Full(Fingerprint::from_bytes(bytes))))
}

/// Hyphens, also those that word processors make of them, and what stands between the bytes of a hash.
fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | ':' | '\u{2010}'..='\u{2014}')
}

fn form_of(full: bool) -> &'static str {
    if full { "in hexadecimal" } else { "in the short form" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fingerprint() -> impl Strategy<Value = Fingerprint> {
        any::<[u8; 32]>().prop_map(Fingerprint::from_bytes)
    }

    proptest! {
        #[test]
        fn the_short_form_is_read_back_however_it_is_typed(
            fingerprint in fingerprint(),
            style in 0..6usize,
        ) {
            let text = fingerprint.to_string();
            let typed = match style {
                0 => text.clone(),
                1 => text.to_lowercase(),
                2 => text.replace('-', ""),
                3 => text.replace('-', " "),
                4 => text.replace('-', "\u{2013}").replace('0', "O").replace('1', "l"),
                _ => format!("  {}\n", text.replace('0', "o").replace('1', "I")),
            };
            let trust: Trust = typed.parse().unwrap();
            prop_assert!(trust.matches(&fingerprint));
            prop_assert_eq!(trust.to_string(), text.clone());
            prop_assert_eq!(trust.to_short(), text);
        }

        #[test]
        fn the_full_form_is_read_back_with_and_without_colons(fingerprint in fingerprint()) {
            let hex = fingerprint.to_hex();
            let colons = fingerprint.bytes().map(|byte| format!("{byte:02X}")).join(":");
            for text in [hex.clone(), colons, format!("{hex}  -\n")] {
                let trust: Trust = text.parse().unwrap();
                prop_assert_eq!(trust, Trust::from(fingerprint));
                prop_assert_eq!(trust.to_string(), hex.clone());
            }
        }

        #[test]
        fn another_key_matches_neither_form(fingerprint in fingerprint(), bit in 0..125usize) {
            let mut bytes = *fingerprint.bytes();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let other = Fingerprint::from_bytes(bytes);
            prop_assert!(!fingerprint.to_string().parse::<Trust>().unwrap().matches(&other));
            prop_assert!(!Trust::from(fingerprint).matches(&other));
        }

        #[test]
        fn the_full_form_also_counts_the_bits_that_the_short_one_leaves_out(
            fingerprint in fingerprint(),
            bit in 125..256usize,
        ) {
            let mut bytes = *fingerprint.bytes();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            prop_assert!(!Trust::from(fingerprint).matches(&Fingerprint::from_bytes(bytes)));
        }

        #[test]
        fn a_wrong_character_is_called_a_typing_error(
            fingerprint in fingerprint(),
            at in 0..28usize,
            letter in "[0-9A-HJKMNP-TV-Z]",
        ) {
            let mut text = fingerprint.to_string().replace('-', "");
            prop_assume!(text[at..=at] != letter);
            text.replace_range(at..=at, &letter);
            let typo = matches!(text.parse::<Trust>(), Err(TrustError::Typo { .. }));
            prop_assert!(typo, "{} passes", text);
        }

        #[test]
        fn two_swapped_neighbours_are_called_a_typing_error(fingerprint in fingerprint(), at in 0..27usize) {
            let mut text = fingerprint.to_string().replace('-', "").into_bytes();
            prop_assume!(text[at] != text[at + 1]);
            text.swap(at, at + 1);
            let text = String::from_utf8(text).unwrap();
            let typo = matches!(text.parse::<Trust>(), Err(TrustError::Typo { .. }));
            prop_assert!(typo, "{} passes", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<Trust>();
        }
    }

    #[test]
    fn swapped_groups_are_found() {
        let text = Fingerprint::from_bytes(std::array::from_fn(|at| (at * 37) as u8)).to_string();
        let groups: Vec<&str> = text.split('-').collect();
        for first in 0..groups.len() {
            for second in first + 1..groups.len() {
                let mut swapped = groups.clone();
                swapped.swap(first, second);
                assert!(matches!(swapped.join("-").parse::<Trust>(), Err(TrustError::Typo { .. })));
            }
        }
    }

    #[test]
    fn errors_name_the_value_and_the_limit() {
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709".parse::<Trust>().unwrap_err();
        assert_eq!(
            sha1.to_string(),
            "a fingerprint has 28 characters (short form) or 64 (SHA-256 in hexadecimal), this one has 40"
        );
        let text = "WERC-8GMR-ZGE1-96QV-YK49-JVXS-4GRU".parse::<Trust>().unwrap_err();
        assert_eq!(
            text.to_string(),
            "character 28 of the fingerprint is 'U', which no fingerprint in the short form has"
        );
        let hex = "g".repeat(64).parse::<Trust>().unwrap_err();
        assert_eq!(hex.to_string(), "character 1 of the fingerprint is 'g', which no fingerprint in hexadecimal has");
        let typo = "werc8gmrzge196qvyk49jvxs4grg".parse::<Trust>().unwrap_err();
        assert_eq!(
            typo.to_string(),
            "the fingerprint WERC-8GMR-ZGE1-96QV-YK49-JVXS-4GRG has a typing error: its characters do not fit its check"
        );
        assert!("".parse::<Trust>().is_err());
    }
}
