//! A message's options, each at most once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cursor::{Reader, Writer};
use super::lists::{AddressRange, Features, Scope};
use super::{FAMILY_IPV4, FAMILY_IPV6, OptionCode, WireError};

/// All that a message may say (RFC 2730 §3), in the order of the options' codes.
///
/// | code | length  | value                                                                  |
/// |-----:|--------:|------------------------------------------------------------------------|
/// |    0 |       0 | End                                                                    |
/// |    1 |       4 | lease time, seconds                                                    |
/// |    2 | 6 or 18 | server identifier: address family (2), address                         |
/// |    3 |      ≥1 | lease identifier: type (1: 0 random, 1 from an address), then opaque   |
/// |    4 |       4 | multicast scope: its first address                                     |
/// |    5 |      ≥2 | option request list: codes, 2 bytes each                               |
/// |    6 |       4 | start time, seconds since 1970 UTC                                     |
/// |    7 |       4 | addresses requested: minimum (2), desired (2)                          |
/// |    8 |       … | requested language: a tag as in RFC 1766                               |
/// |    9 |      ≥1 | multicast scope list, see [`Scope`]                                    |
/// |   10 |     6·n | address ranges, see [`AddressRange`]                                   |
/// |   11 |       4 | current time, seconds since 1970 UTC                                   |
/// |   12 |      ≥6 | feature list, see [`Features`]                                         |
/// |   13 |       4 | retry time, seconds since 1970 UTC                                     |
/// |   14 |       4 | minimum lease time, seconds                                            |
/// |   15 |       4 | maximum start time, seconds since 1970 UTC                             |
/// |   16 |      ≥2 | error: code (2), then data that depends on it, see [`ErrorOption`]     |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Seconds of the lease, wanted or granted.
    pub lease_time: Option<u32>,
    /// The server's address.
    pub server: Option<IpAddr>,
    /// The lease.
    pub lease_id: Option<&'a [u8]>,
    /// The scope, by its first address.
    pub scope: Option<Ipv4Addr>,
    /// Codes of the options asked for, known or not.
    pub request_list: Option<Vec<u16>>,
    /// When the lease begins, seconds since 1970 UTC. Must come with `current_time`.
    pub start_time: Option<u32>,
    /// How many addresses are wanted; one, if not said.
    pub count: Option<AddressCount>,
    /// A language tag.
    pub language: Option<&'a [u8]>,
    /// Scopes, from the smallest to the largest.
    pub scopes: Option<Vec<Scope<'a>>>,
    /// Addresses granted, or wanted.
    pub ranges: Option<Vec<AddressRange>>,
    /// The sender's clock, seconds since 1970 UTC.
    pub current_time: Option<u32>,
    /// Optional features.
    pub features: Option<Features>,
    /// When to ask again, seconds since 1970 UTC. Must come with `current_time`.
    pub retry_time: Option<u32>,
    /// Seconds of the shortest lease that is of use.
    pub min_lease_time: Option<u32>,
    /// The latest beginning that is of use, seconds since 1970 UTC. Must come with `current_time`.
    pub max_start_time: Option<u32>,
    /// Why not.
    pub error: Option<ErrorOption<'a>>,
}

/// How many addresses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressCount {
    /// Fewer are of no use.
    pub minimum: u16,
    /// At least `minimum`.
    pub desired: u16,
}

/// Why a server says no (RFC 2730 §3.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorOption<'a> {
    /// One of the associated constants, or another one.
    pub code: u16,
    /// Depends on the code: an option's code, a clock, feature codes.
    pub extra: &'a [u8],
}

impl ErrorOption<'_> {
    /// No addresses, or not for these terms; extra: the option's code.
    pub const NOT_COMPLETED: u16 = 0;
    /// Malformed; extra: the option's code.
    pub const INVALID: u16 = 1;
    /// The clocks differ too much; extra: the server's clock.
    pub const CLOCK_SKEW: u16 = 2;
    /// No such lease; no extra.
    pub const UNKNOWN_LEASE: u16 = 3;
    /// A required feature is not there; extra: feature codes.
    pub const FEATURE: u16 = 4;
    /// In place of an option's code: no option in particular.
    pub const NO_OPTION: u16 = 0xFFFF;
}

impl<'a> Options<'a> {
    /// Whether an option is there. End always is.
    pub fn has(&self, option: OptionCode) -> bool {
        match option {
            OptionCode::End => true,
            OptionCode::LeaseTime => self.lease_time.is_some(),
            OptionCode::ServerId => self.server.is_some(),
            OptionCode::LeaseId => self.lease_id.is_some(),
            OptionCode::MulticastScope => self.scope.is_some(),
            OptionCode::RequestList => self.request_list.is_some(),
            OptionCode::StartTime => self.start_time.is_some(),
            OptionCode::AddressCount => self.count.is_some(),
            OptionCode::Language => self.language.is_some(),
            OptionCode::ScopeList => self.scopes.is_some(),
            OptionCode::AddressRanges => self.ranges.is_some(),
            OptionCode::CurrentTime => self.current_time.is_some(),
            OptionCode::FeatureList => self.features.is_some(),
            OptionCode::RetryTime => self.retry_time.is_some(),
            OptionCode::MinLeaseTime => self.min_lease_time.is_some(),
            OptionCode::MaxStartTime => self.max_start_time.is_some(),
            OptionCode::Error => self.error.is_some(),
        }
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let mut options = Self::default();
        loop {
            let code = reader.u16("option code; the end option is missing")?;
            let len = usize::from(reader.u16("option length")?);
            let option = OptionCode::from_code(code);
            let value = reader.bytes(len, option.map_or("unknown option", OptionCode::name))?;
            match option {
                // To be ignored (§2.1.5).
                None => {}
                Some(OptionCode::End) => break exact(OptionCode::End, value, 0, "0")?,
                Some(option) if options.has(option) => return Err(WireError::Duplicate { option }),
                Some(option) => options.set(option, value)?,
            }
        }
        match reader.left() {
            0 => Ok(options),
            bytes => Err(WireError::Trailing { bytes }),
        }
    }

    fn set(&mut self, option: OptionCode, value: &'a [u8]) -> Result<(), WireError> {
        match option {
            OptionCode::End => {}
            OptionCode::LeaseTime => self.lease_time = Some(number(option, value)?),
            OptionCode::ServerId => self.server = Some(server(value)?),
            OptionCode::LeaseId => self.lease_id = Some(at_least(option, value, 1, "at least 1")?),
            OptionCode::MulticastScope => self.scope = Some(Ipv4Addr::from_bits(number(option, value)?)),
            OptionCode::RequestList => self.request_list = Some(codes(value)?),
            OptionCode::StartTime => self.start_time = Some(number(option, value)?),
            OptionCode::AddressCount => self.count = Some(AddressCount::parse(value)?),
            OptionCode::Language => self.language = Some(value),
            OptionCode::ScopeList => self.scopes = Some(Scope::parse_list(value)?),
            OptionCode::AddressRanges => self.ranges = Some(AddressRange::parse_list(value)?),
            OptionCode::CurrentTime => self.current_time = Some(number(option, value)?),
            OptionCode::FeatureList => self.features = Some(Features::parse(value)?),
            OptionCode::RetryTime => self.retry_time = Some(number(option, value)?),
            OptionCode::MinLeaseTime => self.min_lease_time = Some(number(option, value)?),
            OptionCode::MaxStartTime => self.max_start_time = Some(number(option, value)?),
            OptionCode::Error => self.error = Some(ErrorOption::parse(value)?),
        }
        Ok(())
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        let mut number = |option, value: Option<u32>| {
            if let Some(value) = value {
                writer.option(option, |w| {
                    w.u32(value);
                });
            }
        };
        number(OptionCode::LeaseTime, self.lease_time);
        number(OptionCode::MulticastScope, self.scope.map(Ipv4Addr::to_bits));
        number(OptionCode::StartTime, self.start_time);
        number(OptionCode::CurrentTime, self.current_time);
        number(OptionCode::RetryTime, self.retry_time);
        number(OptionCode::MinLeaseTime, self.min_lease_time);
        number(OptionCode::MaxStartTime, self.max_start_time);
        match self.server {
            Some(IpAddr::V4(v4)) => writer.option(OptionCode::ServerId, |w| {
                w.u16(FAMILY_IPV4).ipv4(v4);
            }),
            Some(IpAddr::V6(v6)) => writer.option(OptionCode::ServerId, |w| {
                w.u16(FAMILY_IPV6).bytes(&v6.octets());
            }),
            None => writer,
        };
        if let Some(id) = self.lease_id {
            writer.option(OptionCode::LeaseId, |w| {
                w.bytes(id);
            });
        }
        if let Some(codes) = &self.request_list {
            writer.option(OptionCode::RequestList, |w| {
                for code in codes.iter().take(0x7FFF) {
                    w.u16(*code);
                }
            });
        }
        if let Some(count) = self.count {
            writer.option(OptionCode::AddressCount, |w| {
                w.u16(count.minimum).u16(count.desired);
            });
        }
        if let Some(language) = self.language {
            writer.option(OptionCode::Language, |w| {
                w.bytes(language);
            });
        }
        if let Some(scopes) = &self.scopes {
            writer.option(OptionCode::ScopeList, |w| Scope::encode_list(scopes, w));
        }
        if let Some(ranges) = &self.ranges {
            writer.option(OptionCode::AddressRanges, |w| AddressRange::encode_list(ranges, w));
        }
        if let Some(features) = &self.features {
            writer.option(OptionCode::FeatureList, |w| features.encode(w));
        }
        if let Some(error) = self.error {
            writer.option(OptionCode::Error, |w| {
                w.u16(error.code).bytes(error.extra);
            });
        }
        writer.option(OptionCode::End, |_| ());
    }
}

impl AddressCount {
    fn parse(value: &[u8]) -> Result<Self, WireError> {
        let both = number(OptionCode::AddressCount, value)?;
        let count = Self { minimum: (both >> 16) as u16, desired: both as u16 };
        if count.minimum > count.desired {
            let value = u64::from(count.minimum);
            return Err(WireError::Value { field: "minimum of addresses", value, bound: "at most the desired number" });
        }
        Ok(count)
    }
}

impl<'a> ErrorOption<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        at_least(OptionCode::Error, value, 2, "at least 2")?;
        let mut reader = Reader::new(value);
        let code = reader.u16("error code")?;
        Ok(Self { code, extra: reader.bytes(reader.left(), "error data")? })
    }
}

fn server(value: &[u8]) -> Result<IpAddr, WireError> {
    let option = OptionCode::ServerId;
    at_least(option, value, 3, "at least 3")?;
    let mut reader = Reader::new(value);
    let family = reader.u16("address family")?;
    let address = reader.bytes(reader.left(), "server's address")?;
    let wrong = WireError::OptionLength { option, length: value.len(), bound: "6 (IPv4) or 18 (IPv6)" };
    match family {
        FAMILY_IPV4 => address.try_into().map(|v4: [u8; 4]| Ipv4Addr::from(v4).into()).map_err(|_| wrong),
        FAMILY_IPV6 => address.try_into().map(|v6: [u8; 16]| Ipv6Addr::from(v6).into()).map_err(|_| wrong),
        found => Err(WireError::Family { what: option.name(), found }),
    }
}

fn codes(value: &[u8]) -> Result<Vec<u16>, WireError> {
    match value.as_chunks::<2>() {
        (codes, []) if !codes.is_empty() => Ok(codes.iter().map(|code| u16::from_be_bytes(*code)).collect()),
        _ => Err(WireError::OptionLength {
            option: OptionCode::RequestList,
            length: value.len(),
            bound: "a multiple of 2, at least 2",
        }),
    }
}

fn number(option: OptionCode, value: &[u8]) -> Result<u32, WireError> {
    exact(option, value, 4, "4")?;
    Reader::new(value).u32(option.name())
}

fn exact(option: OptionCode, value: &[u8], len: usize, bound: &'static str) -> Result<(), WireError> {
    if value.len() != len {
        return Err(WireError::OptionLength { option, length: value.len(), bound });
    }
    Ok(())
}

fn at_least<'a>(option: OptionCode, value: &'a [u8], len: usize, bound: &'static str) -> Result<&'a [u8], WireError> {
    if value.len() < len {
        return Err(WireError::OptionLength { option, length: value.len(), bound });
    }
    Ok(value)
}
