//! Bits per second, as people write them and as the pacer needs them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bits per second on the wire, headers counted as [`on_wire`](super::on_wire) counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rate(u64);

impl Rate {
    /// The lowest rate: a full frame takes 0.12 s.
    pub const MIN: Self = Self(100_000);

    /// The highest rate, beyond any network card.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// `bits` per second, moved into [`Rate::MIN`] to [`Rate::MAX`].
    pub const fn from_bits(bits: u64) -> Self {
        if bits < Self::MIN.0 {
            Self::MIN
        } else if bits > Self::MAX.0 {
            Self::MAX
        } else {
            Self(bits)
        }
    }

    /// `mbit` times 10⁶ bits per second, moved into [`Rate::MIN`] to [`Rate::MAX`].
    pub const fn from_mbit(mbit: u64) -> Self {
        Self::from_bits(mbit.saturating_mul(1_000_000))
    }

    /// Bits per second.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This rate times `factor`, moved into [`Rate::MIN`] to [`Rate::MAX`].
    pub fn scaled(self, factor: f64) -> Self {
        // The cast saturates, and a factor that is no number gives the lowest rate.
        Self::from_bits((self.0 as f64 * factor) as u64)
    }

    /// The same in three digits, for people.
    pub fn rounded(self) -> Self {
        let unit = 10_u64.pow(self.0.ilog10().saturating_sub(2));
        Self((self.0 + unit / 2) / unit * unit)
    }

    /// How long `bytes` take, rounded up to a nanosecond.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 8 * 1_000_000_000).div_ceil(u128::from(self.0));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whole bytes that fit into `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 8 / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// In the largest unit that needs no more than three decimals.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = UNITS
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of((*unit / 1000).max(1)))
            .unwrap_or((1, "bit"));
        let thousandths = self.0 % unit / (unit / 1000).max(1);
        if thousandths == 0 {
            write!(f, "{}{name}", self.0 / unit)
        } else {
            let decimals = format!("{thousandths:03}");
            write!(f, "{}.{}{name}", self.0 / unit, decimals.trim_end_matches('0'))
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let syntax = || RateError::Syntax { text: text.to_owned() };
        if number.is_empty() {
            return Err(syntax());
        }
        let unit = unit.trim();
        if unit.is_empty() {
            return Err(RateError::NoUnit { text: text.to_owned() });
        }
        let (unit, _) = UNITS
            .into_iter()
            .find(|(_, name)| unit.eq_ignore_ascii_case(name))
            .ok_or_else(|| RateError::Unit { unit: unit.to_owned() })?;
        let bits = scale(number, unit).ok_or_else(syntax)?;
        if !(u128::from(Self::MIN.0)..=u128::from(Self::MAX.0)).contains(&bits) {
            return Err(RateError::OutOfRange { text: text.to_owned() });
        }
        Ok(Self(u64::try_from(bits).unwrap_or(u64::MAX)))
    }
}

const UNITS: [(u64, &str); 4] = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit"), (1, "bit")];

/// `number`, digits with at most one point, times `unit`; below one bit is cut off. `None` if it is
/// no number or has more digits than any rate needs.
fn scale(number: &str, unit: u64) -> Option<u128> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 15 || decimals.len() > 15 || (number.contains('.') && decimals.is_empty()) {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let divisor = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
    Some(digits * u128::from(unit) / divisor)
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// A number alone: bits, kilobits or bytes?
    #[error("rate {text} has no unit")]
    NoUnit {
        /// The text as it was written.
        text: String,
    },
    /// A unit that is not one of ours.
    #[error("unknown unit {unit:?} of a rate")]
    Unit {
        /// The unit as it was written.
        unit: String,
    },
    /// Not a number.
    #[error("{text:?} is no rate")]
    Syntax {
        /// The text as it was written.
        text: String,
    },
    /// Below or above what the engine paces.
    #[error("rate {text} lies outside of {} to {}", Rate::MIN, Rate::MAX)]
    OutOfRange {
        /// The text as it was written.
        text: String,
    },
}

impl RateError {
    /// What to do about it, in a line.
    pub fn help(&self) -> &'static str {
        "write a number and bit, kbit, mbit or gbit, which are bits per second: 400mbit, 2.5gbit"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(text: &str) -> u64 {
        text.parse::<Rate>().unwrap().bits()
    }

    fn refusal(text: &str) -> String {
        text.parse::<Rate>().unwrap_err().to_string()
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(bits("400mbit"), 400_000_000);
        assert_eq!(bits("190000kbit"), 190_000_000);
        assert_eq!(bits("1Gbit"), 1_000_000_000);
        assert_eq!(bits(" 2.5 GBIT "), 2_500_000_000);
        assert_eq!(bits("123456bit"), 123_456);
        assert_eq!(bits(".5mbit"), 500_000);
    }

    #[test]
    fn rates_are_written_in_their_best_unit() {
        for text in ["400mbit", "2.5gbit", "1gbit", "930mbit", "9gbit", "1.234mbit", "999.999kbit", "1234.567kbit"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_rates_are_refused_with_the_reason() {
        assert_eq!(refusal("400"), "rate 400 has no unit");
        assert!("400".parse::<Rate>().unwrap_err().help().contains("400mbit"));
        assert_eq!(refusal("400mbps"), "unknown unit \"mbps\" of a rate");
        assert_eq!(refusal("fast"), "\"fast\" is no rate");
        assert_eq!(refusal("1.mbit"), "\"1.mbit\" is no rate");
        assert_eq!(refusal("1.2.3mbit"), "\"1.2.3mbit\" is no rate");
        assert_eq!(refusal("0mbit"), "rate 0mbit lies outside of 100kbit to 1000gbit");
        assert_eq!(refusal("999999gbit"), "rate 999999gbit lies outside of 100kbit to 1000gbit");
    }

    #[test]
    fn bytes_and_time_convert() {
        let rate = Rate::from_mbit(8);
        assert_eq!(rate.bytes_in(Duration::from_secs(1)), 1_000_000);
        assert_eq!(rate.time_for(1_000), Duration::from_millis(1));
        assert_eq!(Rate::MAX.bytes_in(Duration::MAX), u64::MAX);
        assert_eq!(Rate::MIN.time_for(u64::MAX), Duration::from_nanos(u64::MAX));
        assert_eq!(rate.scaled(0.5), Rate::from_mbit(4));
        assert_eq!(rate.scaled(f64::NAN), Rate::MIN);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bits in Rate::MIN.bits()..=Rate::MAX.bits()) {
            let rate = Rate::from_bits(bits);
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.]{0,40} ?[kmgbit]{0,5}|.*") {
            let _ = text.parse::<Rate>();
        }

        #[test]
        fn the_time_for_some_bytes_holds_them(bits in Rate::MIN.bits()..=Rate::MAX.bits(), bytes in 0_u64..1 << 40) {
            let rate = Rate::from_bits(bits);
            prop_assert!(rate.bytes_in(rate.time_for(bytes)) >= bytes);
        }
    }

    #[test]
    fn three_digits_are_kept() {
        let rounded = |bits| Rate::from_bits(bits).rounded().to_string();
        assert_eq!(
            [19_152_964, 9_996_000, 123_456_789, 100_000].map(rounded),
            ["19.2mbit", "10mbit", "123mbit", "100kbit"]
        );
    }
}
