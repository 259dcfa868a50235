//! Who asks: a network card, a board, a firmware.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// The SMBIOS UUID of a board (option 97, RFC 4578 §2.3), in the order in which it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

/// What no MAC or UUID is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}, which is written like {example}")]
pub struct ParseError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// A processor and its firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Platform {
    /// A PC with a BIOS. Whether its processor has 64 bits the firmware does not say.
    BiosX86,
    /// UEFI of 32 bits on an x86; the processor may have 64.
    UefiIa32,
    /// UEFI on an x86-64.
    UefiX64,
    /// UEFI on a 32-bit ARM.
    UefiArm32,
    /// UEFI on a 64-bit ARM.
    UefiArm64,
}

/// A machine that asks to be booted, as far as its request tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The card that it asks through.
    pub mac: Mac,
    /// The board, if the firmware names one that means something.
    pub uuid: Option<Uuid>,
    /// The firmware, if it says so in option 93 or to iPXE.
    pub platform: Option<Platform>,
    /// Firmware that loads from URLs (UEFI HTTP boot), not by TFTP.
    pub http: bool,
    /// What asks is already iPXE, not the firmware.
    pub ipxe: bool,
    /// Whether the processor has 64 bits, as iPXE finds out.
    pub long_mode: Option<bool>,
}

impl Machine {
    /// One of which nothing but its card is known.
    #[must_use]
    pub fn new(mac: Mac) -> Self {
        Self { mac, uuid: None, platform: None, http: false, ipxe: false, long_mode: None }
    }
}

impl Mac {
    /// Whether it can be one card's: neither zero nor a group's.
    #[must_use]
    pub fn is_card(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    /// Takes `52:54:00:12:34:56`, with `-` for `:`, `5254.0012.3456`, and digits alone.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        hex(text, &[':', '-', '.']).map(Self).ok_or_else(|| ParseError {
            text: text.to_owned(),
            what: "MAC address",
            example: "52:54:00:12:34:56",
        })
    }
}

impl Uuid {
    /// From the bytes of option 97, whose first three fields are little-endian (SMBIOS 2.6 §7.2.1).
    #[must_use]
    pub fn from_smbios(mut bytes: [u8; 16]) -> Self {
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Self(bytes)
    }

    /// Whether it can tell boards apart. Makers have shipped thousands with zeros, ones, or the sample of a
    /// BIOS kit.
    #[must_use]
    pub fn is_meaningful(self) -> bool {
        const SAMPLES: [[u8; 16]; 3] = [
            // 03000200-0400-0500-0006-000700080009 and the same with its fields swapped
            [3, 0, 2, 0, 4, 0, 5, 0, 0, 6, 0, 7, 0, 8, 0, 9],
            [0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9],
            // 12345678-1234-5678-90ab-cddeefaabbcc
            [0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xde, 0xef, 0xaa, 0xbb, 0xcc],
        ];
        !self.0.iter().all(|byte| *byte == self.0[0]) && !SAMPLES.contains(&self.0)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        hex(text.trim_start_matches('{').trim_end_matches('}'), &['-']).map(Self).ok_or_else(|| ParseError {
            text: text.to_owned(),
            what: "UUID",
            example: "4c4c4544-0042-3510-8052-b7c04f4e3132",
        })
    }
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::BiosX86, Self::UefiIa32, Self::UefiX64, Self::UefiArm32, Self::UefiArm64];

    /// The platform of a value of option 93, and whether it loads from URLs. IANA's list of "Processor
    /// Architecture Types"; RFC 4578 gives 7 to byte code and 9 to x86-64, and firmware uses both for x86-64.
    #[must_use]
    pub fn of_option_93(value: u16) -> Option<(Self, bool)> {
        Some(match value {
            0 => (Self::BiosX86, false),
            6 => (Self::UefiIa32, false),
            7 | 9 => (Self::UefiX64, false),
            10 => (Self::UefiArm32, false),
            11 => (Self::UefiArm64, false),
            15 => (Self::UefiIa32, true),
            16 | 17 => (Self::UefiX64, true),
            18 => (Self::UefiArm32, true),
            19 => (Self::UefiArm64, true),
            20 => (Self::BiosX86, true),
            _ => return None,
        })
    }

    /// As it stands in settings, file names and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BiosX86 => "bios",
            Self::UefiIa32 => "uefi-ia32",
            Self::UefiX64 => "uefi-x64",
            Self::UefiArm32 => "uefi-arm32",
            Self::UefiArm64 => "uefi-arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Platform {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|platform| platform.name() == text).ok_or_else(|| ParseError {
            text: text.to_owned(),
            what: "platform (bios, uefi-ia32, uefi-x64, uefi-arm32, uefi-arm64)",
            example: "uefi-x64",
        })
    }
}

/// As they are written, for JSON and the like.
macro_rules! written {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

written!(Mac, Uuid, Platform);

/// Where a machine is, of which a socket says so: machines boot by IPv4.
#[must_use]
pub fn ipv4_of(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Exactly `N` bytes of hex digits, with separators anywhere between them.
fn hex<const N: usize>(text: &str, separators: &[char]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut digits = 0;
    for character in text.chars().filter(|character| !separators.contains(character)) {
        let digit = u8::try_from(character.to_digit(16)?).ok()?;
        let byte = bytes.get_mut(digits / 2)?;
        *byte = *byte << 4 | digit;
        digits += 1;
    }
    (digits == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_as_people_and_switches_write_it() {
        for text in ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "5254.00ab.cd01", "525400abcd01"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "52:54:00:ab:cd:01");
        }
        for text in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:01:02", "52:54:00:ab:cd:0g"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_uuid_of_the_wire_reads_as_the_board_prints_it() {
        let bytes = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let uuid = Uuid::from_smbios(bytes);
        assert_eq!(uuid.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(uuid.to_string().parse::<Uuid>().unwrap(), uuid);
    }

    #[test]
    fn what_many_boards_share_names_none_of_them() {
        let shared = [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
        ];
        for text in shared {
            assert!(!text.parse::<Uuid>().unwrap().is_meaningful(), "{text}");
        }
        assert!("4c4c4544-0042-3510-8052-b7c04f4e3132".parse::<Uuid>().unwrap().is_meaningful());
    }

    #[test]
    fn seven_and_nine_are_both_x64() {
        assert_eq!(Platform::of_option_93(7), Some((Platform::UefiX64, false)));
        assert_eq!(Platform::of_option_93(9), Some((Platform::UefiX64, false)));
        assert_eq!(Platform::of_option_93(16), Some((Platform::UefiX64, true)));
        assert_eq!(Platform::of_option_93(3), None);
    }
}
