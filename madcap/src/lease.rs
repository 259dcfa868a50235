//! A lease, its name, and why there is none.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::Time;
use crate::wire::{ErrorOption, OptionCode};

/// What the client calls a lease (RFC 2730 §2.4.1): type 0, then 16 random bytes.
///
/// Its text form, 34 hexadecimal digits, is what to keep for [`Client::adopt`](crate::Client::adopt) after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId([u8; Self::LEN]);

impl LeaseId {
    /// Bytes of an identifier. Windows' own clients use the same length.
    pub const LEN: usize = 17;

    /// Another one each time, from the generator.
    pub(crate) fn random(rng: &mut fastrand::Rng) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill(&mut bytes[1..]);
        Self(bytes)
    }

    /// As in a message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

/// Text that is no lease identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no lease identifier, it must be 34 hexadecimal digits")]
pub struct ParseLeaseIdError {
    text: String,
}

impl FromStr for LeaseId {
    type Err = ParseLeaseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseLeaseIdError { text: text.into() };
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LEN {
            return Err(wrong());
        }
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).ok_or_else(wrong);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// One address, ours until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The group.
    pub address: Ipv4Addr,
    /// What the server knows it by.
    pub id: LeaseId,
    /// Whom to renew it with.
    pub server: SocketAddrV4,
    /// The scope it is of, by its first address.
    pub scope: Ipv4Addr,
    /// When it ends, counted from when it was asked for: at the server it ends no sooner.
    pub expires: Time,
}

/// Why an address was refused, by the server or by us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server had nothing to give, or not on these terms (error 0).
    #[error("server {server} has no address to lease{}", about(*option))]
    NotCompleted {
        /// Who said so.
        server: IpAddr,
        /// The option that it could not fulfil, if it named one.
        option: Option<u16>,
    },
    /// The server found the message malformed (error 1).
    #[error("server {server} finds the request invalid{}", about(*option))]
    Invalid {
        /// Who said so.
        server: IpAddr,
        /// The option that it did not like, if it named one.
        option: Option<u16>,
    },
    /// The server does not know the lease (error 3).
    #[error("server {server} does not know the lease")]
    UnknownLease {
        /// Who said so.
        server: IpAddr,
    },
    /// Another error.
    #[error("server {server} refuses: {}", name(*code))]
    Other {
        /// Who said so.
        server: IpAddr,
        /// The error's code (RFC 2730 §3.17).
        code: u16,
    },
    /// The server gave an address that is no group to send to.
    #[error("server {server} leased {address}, which is no usable group: it must be in 224.0.1.0–239.255.255.255")]
    BadAddress {
        /// Who gave it.
        server: IpAddr,
        /// What it gave.
        address: Ipv4Addr,
    },
    /// The server gave an address that it had leased to us before, under another identifier.
    #[error("server {server} leased {address}, which it has leased already")]
    Twice {
        /// Who gave it.
        server: IpAddr,
        /// What it gave.
        address: Ipv4Addr,
    },
    /// The server said yes, and gave nothing.
    #[error("server {server} confirmed a lease without an address")]
    NoAddress {
        /// Who said so.
        server: IpAddr,
    },
    /// The server gave an address for no time, or for later.
    #[error("server {server} leased {address} for {seconds} s from {delay} s on, not from now")]
    NotNow {
        /// Who gave it.
        server: IpAddr,
        /// What it gave.
        address: Ipv4Addr,
        /// For how long.
        seconds: u32,
        /// From when, counted from now.
        delay: u32,
    },
}

impl Refusal {
    /// What can be done about it, for a person.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotCompleted { .. } => "enlarge the server's multicast scope, or name one that has free addresses",
            Self::Invalid { .. } | Self::Other { .. } => "look into the server's log",
            Self::UnknownLease { .. } => "the server has lost or ended the lease; another one is asked for",
            Self::BadAddress { .. } => "correct the server's multicast scope: 224.0.0.0/24 is not for applications",
            Self::Twice { .. } | Self::NoAddress { .. } => "the server contradicts itself; look into its log",
            Self::NotNow { .. } => "compare the server's clock with the time",
        }
    }

    pub(crate) fn from_nak(server: IpAddr, error: ErrorOption<'_>) -> Self {
        let option = error.extra.first_chunk().map(|code| u16::from_be_bytes(*code));
        let option = option.filter(|code| *code != ErrorOption::NO_OPTION);
        match error.code {
            ErrorOption::NOT_COMPLETED => Self::NotCompleted { server, option },
            ErrorOption::INVALID => Self::Invalid { server, option },
            ErrorOption::UNKNOWN_LEASE => Self::UnknownLease { server },
            code => Self::Other { server, code },
        }
    }
}

fn about(option: Option<u16>) -> String {
    match option.map(|code| (code, OptionCode::from_code(code))) {
        None => String::new(),
        Some((_, Some(option))) => format!(" (because of option {option})"),
        Some((code, None)) => format!(" (because of option {code})"),
    }
}

fn name(code: u16) -> String {
    match code {
        ErrorOption::CLOCK_SKEW => "excessive clock skew".into(),
        ErrorOption::FEATURE => "required feature not supported".into(),
        code => format!("error {code}"),
    }
}

/// Whether an application may send to `address`: multicast, and not local network control (RFC 5771 §4).
pub(crate) fn is_usable_group(address: Ipv4Addr) -> bool {
    address.is_multicast() && !matches!(address.octets(), [224, 0, 0, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_survives_its_text() {
        let id = LeaseId::random(&mut fastrand::Rng::with_seed(7));
        assert_eq!(id.as_bytes()[0], 0, "type: random");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "00", &id.to_string()[1..], &format!("{}g0", &id.to_string()[2..]), "\u{20ac}"] {
            assert!(wrong.parse::<LeaseId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_groups_for_applications_are_usable() {
        for (address, usable) in [
            ([224, 0, 0, 255], false),
            ([224, 0, 1, 0], true),
            ([239, 255, 255, 255], true),
            ([240, 0, 0, 0], false),
            ([10, 0, 0, 1], false),
        ] {
            assert_eq!(is_usable_group(address.into()), usable, "{address:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_option() {
        let error = ErrorOption { code: ErrorOption::NOT_COMPLETED, extra: &[0, 4] };
        let refusal = Refusal::from_nak(Ipv4Addr::new(10, 0, 0, 1).into(), error);
        let text = "server 10.0.0.1 has no address to lease (because of option multicast scope)";
        assert_eq!(refusal.to_string(), text);
    }
}
