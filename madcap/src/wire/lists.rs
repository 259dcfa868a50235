//! Options that are lists: scopes, ranges, features.

use std::net::Ipv4Addr;

use super::cursor::{Reader, Writer};
use super::{OptionCode, WireError};

/// One scope of a multicast scope list (RFC 2730 §3.10).
///
/// The option begins with a byte that counts the scopes; each one is
///
/// | offset | width | field                                   |
/// |-------:|------:|-----------------------------------------|
/// |      0 |     4 | scope ID: its first address             |
/// |      4 |     4 | its last address                        |
/// |      8 |     1 | largest TTL of what is sent to it       |
/// |      9 |     1 | how many names                          |
/// |     10 |     … | names, see [`ScopeName`]                |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The scope's ID.
    pub first: Ipv4Addr,
    /// At least `first`.
    pub last: Ipv4Addr,
    /// Hops at most.
    pub ttl: u8,
    /// One for a language.
    pub names: Vec<ScopeName<'a>>,
}

/// A scope's name in one language.
///
/// | offset | width | field                                                    |
/// |-------:|------:|----------------------------------------------------------|
/// |      0 |     1 | flags: 0x80 for whoever prefers another language         |
/// |      1 |     1 | bytes of the language tag, `q`                           |
/// |      2 |   `q` | language tag (RFC 1766)                                  |
/// |  2 + q |     1 | bytes of the name, `r`                                   |
/// |  3 + q |   `r` | name, UTF-8                                              |
///
/// RFC 2730 allows neither to be empty; that and text which is no UTF-8 are let through, as nothing hangs on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeName<'a> {
    /// To be shown where no name has the language that is wanted.
    pub fallback: bool,
    /// Tag of the language.
    pub language: &'a [u8],
    /// The name.
    pub name: &'a [u8],
}

/// Addresses in a row (RFC 2730 §3.11).
///
/// | offset | width | field         |
/// |-------:|------:|---------------|
/// |      0 |     4 | first address |
/// |      4 |     2 | how many      |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// The first one.
    pub first: Ipv4Addr,
    /// How many; the last one is 255.255.255.255 at most.
    pub count: u16,
}

/// Optional features (RFC 2730 §3.13), three lists that each begin with a count of 2 bytes; a code has 2.
///
/// 0: server mobility, 1: retry after, 2: shared lease identifier (§2.13).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// What the sender can do.
    pub supported: Vec<u16>,
    /// What a client would like.
    pub requested: Vec<u16>,
    /// What a client insists on, or a server did.
    pub required: Vec<u16>,
}

impl<'a> Scope<'a> {
    pub(super) fn parse_list(value: &'a [u8]) -> Result<Vec<Self>, WireError> {
        let mut reader = Reader::new(value);
        // The option may be empty, by its minimum length in the RFC.
        let count = if value.is_empty() { 0 } else { reader.u8("count of scopes")? };
        let scopes = (0..count).map(|_| Self::parse(&mut reader)).collect::<Result<_, _>>()?;
        finish(&reader, OptionCode::ScopeList, value, "what its scopes have")?;
        Ok(scopes)
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let first = reader.ipv4("scope ID")?;
        let last = reader.ipv4("last address of a scope")?;
        if first > last {
            let value = u64::from(first.to_bits());
            return Err(WireError::Value { field: "scope ID", value, bound: "at most the scope's last address" });
        }
        let ttl = reader.u8("TTL of a scope")?;
        let names = reader.u8("count of names")?;
        let names = (0..names).map(|_| ScopeName::parse(reader)).collect::<Result<_, _>>()?;
        Ok(Self { first, last, ttl, names })
    }

    pub(super) fn encode_list(scopes: &[Self], writer: &mut Writer<'_>) {
        let scopes = &scopes[..scopes.len().min(usize::from(u8::MAX))];
        writer.u8(scopes.len() as u8);
        for scope in scopes {
            let names = &scope.names[..scope.names.len().min(usize::from(u8::MAX))];
            writer.ipv4(scope.first).ipv4(scope.last).u8(scope.ttl).u8(names.len() as u8);
            for name in names {
                writer.u8(if name.fallback { ScopeName::FALLBACK } else { 0 });
                writer.short(name.language).short(name.name);
            }
        }
    }

    /// A name for people: in English, else the fallback, else any; what is no text is replaced.
    pub fn name(&self) -> Option<String> {
        let english = |name: &&ScopeName<'_>| name.language.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case(b"en"));
        let names = &self.names;
        let name = names.iter().find(english).or_else(|| names.iter().find(|name| name.fallback)).or(names.first())?;
        Some(String::from_utf8_lossy(name.name).replace(char::is_control, " "))
    }
}

impl<'a> ScopeName<'a> {
    const FALLBACK: u8 = 0x80;

    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let fallback = reader.u8("flags of a name")? & Self::FALLBACK != 0;
        Ok(Self { fallback, language: reader.short("language of a name")?, name: reader.short("name of a scope")? })
    }
}

impl AddressRange {
    pub(super) fn parse_list(value: &[u8]) -> Result<Vec<Self>, WireError> {
        let mut reader = Reader::new(value);
        let mut ranges = Vec::new();
        while reader.left() > 0 {
            let first = reader.ipv4("address range")?;
            let count = reader.u16("address range")?;
            if first.to_bits().checked_add(u32::from(count.saturating_sub(1))).is_none() {
                let bound = "few enough to end at 255.255.255.255";
                return Err(WireError::Value { field: "size of an address range", value: count.into(), bound });
            }
            ranges.push(Self { first, count });
        }
        Ok(ranges)
    }

    pub(super) fn encode_list(ranges: &[Self], writer: &mut Writer<'_>) {
        for range in ranges.iter().take(usize::from(u16::MAX) / 6) {
            writer.ipv4(range.first).u16(range.count);
        }
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits().checked_sub(self.first.to_bits()).is_some_and(|offset| offset < u32::from(self.count))
    }
}

impl Features {
    pub(super) fn parse(value: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let mut list = |what| {
            let count = reader.u16(what)?;
            // Not allocated beforehand: the count may lie.
            (0..count).map(|_| reader.u16(what)).collect::<Result<Vec<_>, WireError>>()
        };
        let features = Self {
            supported: list("supported features")?,
            requested: list("requested features")?,
            required: list("required features")?,
        };
        finish(&reader, OptionCode::FeatureList, value, "what its lists have")?;
        Ok(features)
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        for list in [&self.supported, &self.requested, &self.required] {
            // Three lists of this length fit the option.
            let list = &list[..list.len().min(10_000)];
            writer.u16(list.len() as u16);
            for code in list {
                writer.u16(*code);
            }
        }
    }
}

fn finish(reader: &Reader<'_>, option: OptionCode, value: &[u8], bound: &'static str) -> Result<(), WireError> {
    if reader.left() > 0 {
        return Err(WireError::OptionLength { option, length: value.len(), bound });
    }
    Ok(())
}
