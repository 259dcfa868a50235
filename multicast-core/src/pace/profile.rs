//! What a type of network can take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::rate::{Rate, RateError};

/// Rate, burst and socket buffers for a type of network.
///
/// | profile      |        rate |   burst | send buffer | receive buffer |
/// |--------------|------------:|--------:|------------:|---------------:|
/// | `TenMbit`    |    9 Mbit/s |   3,028 |      64 KiB |        256 KiB |
/// | `HundredMbit`|   92 Mbit/s |   6,900 |     256 KiB |          1 MiB |
/// | `Gigabit`    |  930 Mbit/s |  65,536 |       4 MiB |          8 MiB |
/// | `TenGigabit` | 9000 Mbit/s |  65,536 |       4 MiB |         64 MiB |
///
/// The rates leave 10, 8, 7 and 10 % of the line. What [`on_wire`](super::on_wire) leaves out takes
/// 1.6 % of full frames; the rest is for heartbeats and for other traffic on the clients' links. The
/// slowest line gets more, since a single full frame of somebody else takes 1.2 ms of it; so does the
/// fastest, since there the host is as near to its limit as the line is.
///
/// Burst and buffers follow from the rate, for [`Profile::Custom`] by the same formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Profile {
    /// 10 Mbit/s Ethernet, or a radio link of that size.
    TenMbit,
    /// Fast Ethernet.
    HundredMbit,
    /// Gigabit Ethernet.
    Gigabit,
    /// 10 Gbit/s Ethernet.
    TenGigabit,
    /// Another rate.
    Custom(Rate),
}

impl Profile {
    /// The profile for a link of `mbit` times 10⁶ bits per second: 92 % of it where no profile bears
    /// that speed, and never more than `TenGigabit`, since clients seldom follow beyond.
    pub fn for_link_speed(mbit: u32) -> Self {
        match mbit {
            10 => Self::TenMbit,
            100 => Self::HundredMbit,
            1000 => Self::Gigabit,
            10_000.. => Self::TenGigabit,
            other => Self::Custom(Rate::from_mbit(u64::from(other)).scaled(0.92)),
        }
    }

    /// Bits per second on the wire.
    pub fn rate(self) -> Rate {
        match self {
            Self::TenMbit => Rate::from_mbit(9),
            Self::HundredMbit => Rate::from_mbit(92),
            Self::Gigabit => Rate::from_mbit(930),
            Self::TenGigabit => Rate::from_mbit(9000),
            Self::Custom(rate) => rate,
        }
    }

    /// Bytes on the wire that may leave back to back, and so the most that one batch of segments
    /// holds: 0.6 ms of the rate, at least two full frames, at most 64 KiB (all that one call takes).
    ///
    /// A server on a fast link sends a burst at its own line's speed, and the switch must hold it for
    /// the slower ports: the smallest switches have some tens of KiB for a port.
    pub fn burst(self) -> u32 {
        let bytes = self.rate().bytes_in(Duration::from_micros(600));
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(2 * 1514, 64 * 1024)
    }

    /// Bytes to ask for as the sender's socket buffer: about 20 ms of the rate, 64 KiB to 4 MiB. More
    /// would only let heartbeats queue behind data.
    pub fn send_buffer(self) -> usize {
        self.buffer(Duration::from_millis(20), 64 * 1024, 4 * 1024 * 1024)
    }

    /// Bytes to ask for as a receiver's socket buffer: about 70 ms of the rate, in which the receiver's
    /// thread may wait for the disk or for the processor, 256 KiB to 64 MiB.
    pub fn receive_buffer(self) -> usize {
        self.buffer(Duration::from_millis(70), 256 * 1024, 64 * 1024 * 1024)
    }

    /// Rounded to a power of two, as these are figures that people compare with sysctl's.
    fn buffer(self, time: Duration, least: usize, most: usize) -> usize {
        let bytes = usize::try_from(self.rate().bytes_in(time)).unwrap_or(usize::MAX);
        // Next one up, so that at least `time` fits.
        bytes.min(most).next_power_of_two().clamp(least, most)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TenMbit => f.write_str("10m"),
            Self::HundredMbit => f.write_str("100m"),
            Self::Gigabit => f.write_str("1g"),
            Self::TenGigabit => f.write_str("10g"),
            Self::Custom(rate) => rate.fmt(f),
        }
    }
}

/// `10m`, `100m`, `1g`, `10g`, or a [`Rate`].
impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "10m" => Ok(Self::TenMbit),
            "100m" => Ok(Self::HundredMbit),
            "1g" => Ok(Self::Gigabit),
            "10g" => Ok(Self::TenGigabit),
            other => match other.parse() {
                Ok(rate) => Ok(Self::Custom(rate)),
                Err(source) => Err(ProfileError { text: text.to_owned(), source }),
            },
        }
    }
}

/// A text that names no network type and no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network {text:?} is none of 10m, 100m, 1g, 10g, and no rate")]
pub struct ProfileError {
    text: String,
    source: RateError,
}

impl ProfileError {
    /// What to do about it, in a line.
    pub fn help(&self) -> &'static str {
        "choose the slowest link on the way, or give a rate, for example 400mbit"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_true() {
        const KIB: usize = 1024;
        for (profile, mbit, burst, send, receive) in [
            (Profile::TenMbit, 9, 3028, 64 * KIB, 256 * KIB),
            (Profile::HundredMbit, 92, 6900, 256 * KIB, 1024 * KIB),
            (Profile::Gigabit, 930, 65_536, 4096 * KIB, 8192 * KIB),
            (Profile::TenGigabit, 9000, 65_536, 4096 * KIB, 65_536 * KIB),
        ] {
            assert_eq!(profile.rate(), Rate::from_mbit(mbit), "{profile}");
            assert_eq!(profile.burst(), burst, "{profile}");
            assert_eq!(profile.send_buffer(), send, "{profile}");
            assert_eq!(profile.receive_buffer(), receive, "{profile}");
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
    }

    #[test]
    fn a_link_speed_chooses_its_profile() {
        assert_eq!(Profile::for_link_speed(100), Profile::HundredMbit);
        assert_eq!(Profile::for_link_speed(40_000), Profile::TenGigabit);
        assert_eq!(Profile::for_link_speed(2500), Profile::Custom(Rate::from_mbit(2300)));
        assert_eq!(Profile::for_link_speed(0).rate(), Rate::MIN);
    }

    #[test]
    fn custom_profiles_of_any_rate_have_sane_sizes() {
        for rate in [Rate::MIN, Rate::from_mbit(400), Rate::MAX] {
            let profile = Profile::Custom(rate);
            assert!((3028..=65_536).contains(&profile.burst()));
            assert!((65_536..=4 << 20).contains(&profile.send_buffer()));
            assert!((262_144..=64 << 20).contains(&profile.receive_buffer()));
        }
    }

    #[test]
    fn a_network_that_does_not_exist_is_refused() {
        let error = "5g".parse::<Profile>().unwrap_err();
        assert_eq!(error.to_string(), "network \"5g\" is none of 10m, 100m, 1g, 10g, and no rate");
        assert_eq!("400mbit".parse(), Ok(Profile::Custom(Rate::from_mbit(400))));
    }
}
