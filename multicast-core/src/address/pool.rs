//! The addresses from which sessions get theirs.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::class::{check_group, refused_within, unusable_run};
use super::error::AddressError;

/// What `auto` stands for: 65,536 addresses of the organization-local scope, which border routers
/// keep inside (RFC 2365 §6.2). None of them shares an Ethernet address with 224.0.0.x or with
/// another one of them. It lies in the scope's middle: what people assign by hand starts at
/// 239.192.0.0, and the scope's last /24 is taken.
pub const AUTO_RANGE: &str = "239.194.0.0/16";

const PARTS_LIMIT: usize = 1024;

/// Hands out addresses, each to one session at a time.
///
/// Choice is random by the seed, so that two servers with the same pool seldom meet.
#[derive(Debug, Clone)]
pub struct AddressPool {
    text: String,
    ranges: Vec<Range>,
    taken: HashSet<IpAddr>,
    rng: fastrand::Rng,
}

impl AddressPool {
    /// The pool that `text` describes: an address, a range `A-B`, a prefix `A/N`, several of them
    /// with commas between, or `auto` ([`AUTO_RANGE`]). `seed` decides the order of choice.
    ///
    /// An address that stands alone is used even if its Ethernet address collides
    /// ([`warning`](super::warning) tells); within ranges such addresses are left out, and
    /// scope-relative ones too.
    pub fn parse(text: &str, seed: u64) -> Result<Self, AddressError> {
        let text = text.trim();
        let source = if text.eq_ignore_ascii_case("auto") { AUTO_RANGE } else { text };
        let count = source.split(',').count();
        if count > PARTS_LIMIT {
            return Err(AddressError::TooManyParts { count, limit: PARTS_LIMIT });
        }
        let ranges = source.split(',').map(|part| Range::parse(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), ranges, taken: HashSet::new(), rng: fastrand::Rng::with_seed(seed) })
    }

    /// A free address, now taken.
    pub fn allocate(&mut self) -> Result<IpAddr, AddressError> {
        let total = self.ranges.iter().map(Range::size).sum::<u128>();
        let mut index = self.rng.u128(..total);
        let mut seen = 0;
        while seen < total {
            let (range, address) = self.at(index);
            match self.unusable(range, address) {
                None => {
                    self.taken.insert(address);
                    return Ok(address);
                }
                Some(run) => {
                    seen += run;
                    index = (index + run) % total;
                }
            }
        }
        Err(AddressError::Exhausted { pool: self.text.clone(), in_use: self.taken.len() })
    }

    /// Takes this very address of the pool.
    pub fn reserve(&mut self, address: IpAddr) -> Result<(), AddressError> {
        check_group(address)?;
        if !self.ranges.iter().any(|range| range.contains(address)) {
            return Err(AddressError::Foreign { address, pool: self.text.clone() });
        }
        if self.taken.insert(address) { Ok(()) } else { Err(AddressError::InUse { address }) }
    }

    /// Gives `address` back; false if it was not taken.
    pub fn free(&mut self, address: IpAddr) -> bool {
        self.taken.remove(&address)
    }

    /// Addresses taken now.
    pub fn in_use(&self) -> usize {
        self.taken.len()
    }

    fn at(&self, mut index: u128) -> (&Range, IpAddr) {
        for range in &self.ranges {
            if index < range.size() {
                return (range, range.address(index));
            }
            index -= range.size();
        }
        unreachable!("the index lies below the sum of all sizes")
    }

    /// Addresses to pass over from `address` on, within `range`.
    fn unusable(&self, range: &Range, address: IpAddr) -> Option<u128> {
        if self.taken.contains(&address) {
            return Some(1);
        }
        let run = if range.single { None } else { unusable_run(address) };
        run.map(|run| run.min(range.last - bits(address) + 1))
    }
}

impl fmt::Display for AddressPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Addresses of one family and, for IPv6, of one class.
#[derive(Debug, Clone)]
struct Range {
    first: u128,
    last: u128,
    v6: bool,
    /// Written as one address: somebody wants this very one.
    single: bool,
}

impl Range {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let address =
            |part: &str| part.trim().parse::<IpAddr>().map_err(|_| AddressError::Syntax { text: text.to_owned() });
        if let Some((first, last)) = text.split_once('-') {
            return Self::new(text, address(first)?, address(last)?);
        }
        if let Some((first, length)) = text.split_once('/') {
            let length = length.trim().parse().map_err(|_| AddressError::Syntax { text: text.to_owned() })?;
            return Self::from_prefix(text, address(first)?, length);
        }
        let only = address(text)?;
        check_group(only)?;
        Ok(Self { first: bits(only), last: bits(only), v6: only.is_ipv6(), single: true })
    }

    fn from_prefix(text: &str, first: IpAddr, length: u8) -> Result<Self, AddressError> {
        let limit = if first.is_ipv6() { 128 } else { 32 };
        if length > limit {
            return Err(AddressError::PrefixLength { prefix: text.to_owned(), limit });
        }
        // A shift by all 128 bits would overflow.
        let free = 1_u128.checked_shl(u32::from(limit - length)).map_or(u128::MAX, |size| size - 1);
        let base = bits(first) & !free;
        if base != bits(first) {
            let first = from_bits(base, first.is_ipv6());
            return Err(AddressError::HostBits { prefix: text.to_owned(), first });
        }
        Self::new(text, first, from_bits(base | free, first.is_ipv6()))
    }

    fn new(text: &str, first: IpAddr, last: IpAddr) -> Result<Self, AddressError> {
        if first.is_ipv6() != last.is_ipv6() || first > last {
            return Err(AddressError::Backwards { range: text.to_owned(), first, last });
        }
        for end in [first, last] {
            if !end.is_multicast() {
                return Err(AddressError::NotMulticast { address: end });
            }
        }
        match (first, last) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                if let Some((class, block)) = refused_within(low, high) {
                    return Err(AddressError::SpansRefused { range: text.to_owned(), block, class });
                }
            }
            // The first 16 bits are flags and scope: with them equal, so is the class of what lies between.
            _ => {
                if check_group(first)? != check_group(last)? || bits(first) >> 112 != bits(last) >> 112 {
                    return Err(AddressError::MixedScopes { range: text.to_owned() });
                }
            }
        }
        Ok(Self { first: bits(first), last: bits(last), v6: first.is_ipv6(), single: false })
    }

    /// At most 2^112, so that the sum over all parts fits.
    fn size(&self) -> u128 {
        self.last - self.first + 1
    }

    fn address(&self, offset: u128) -> IpAddr {
        from_bits(self.first + offset, self.v6)
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && (self.first..=self.last).contains(&bits(address))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, v6: bool) -> IpAddr {
    // An IPv4 range was built from IPv4 addresses: its numbers have no more than 32 bits.
    if v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::class::warning;
    use super::*;

    fn pool(text: &str) -> AddressPool {
        AddressPool::parse(text, 7).unwrap()
    }

    fn refusal(text: &str) -> String {
        AddressPool::parse(text, 7).unwrap_err().to_string()
    }

    fn drain(pool: &mut AddressPool) -> HashSet<IpAddr> {
        let mut all = HashSet::new();
        while let Ok(address) = pool.allocate() {
            assert!(all.insert(address), "{address} given twice");
        }
        all
    }

    #[test]
    fn every_address_is_given_once_and_exhaustion_says_so() {
        let mut pool = pool("239.1.1.0/29, 239.2.2.1-239.2.2.3, 239.3.3.3");
        let all = drain(&mut pool);
        assert_eq!(all.len(), 12);
        assert!(all.contains(&IpAddr::from([239, 3, 3, 3])));
        let error = pool.allocate().unwrap_err();
        assert!(error.to_string().ends_with("is exhausted: 12 of its addresses are in use, the others cannot be used"));
        assert!(pool.free(IpAddr::from([239, 2, 2, 2])));
        assert!(!pool.free(IpAddr::from([239, 2, 2, 2])));
        assert_eq!(pool.allocate(), Ok(IpAddr::from([239, 2, 2, 2])));
    }

    #[test]
    fn the_seed_decides_the_choice() {
        let first = |seed| AddressPool::parse("auto", seed).unwrap().allocate().unwrap();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn auto_stays_organization_local() {
        let mut pool = pool("auto");
        assert_eq!(pool.to_string(), "auto");
        for _ in 0..1000 {
            let address = pool.allocate().unwrap();
            assert_eq!(check_group(address), Ok(super::super::GroupClass::OrganizationLocal));
            assert_eq!(warning(address), None);
        }
    }

    #[test]
    fn ranges_leave_out_colliding_and_scope_relative_addresses() {
        assert_eq!(drain(&mut pool("239.0.0.250-239.0.1.2")).len(), 3);
        assert_eq!(drain(&mut pool("239.255.254.254-239.255.255.255")).len(), 2);
        assert_eq!(drain(&mut pool("239.128.0.0/24")).len(), 0);
        assert_eq!(drain(&mut pool("ff15::fd-ff15::101")).len(), 2);
    }

    #[test]
    fn an_address_that_stands_alone_may_collide() {
        assert_eq!(pool("239.0.0.5").allocate(), Ok(IpAddr::from([239, 0, 0, 5])));
    }

    #[test]
    fn a_given_address_is_reserved_once() {
        let mut pool = pool("239.1.1.0/30");
        let address = IpAddr::from([239, 1, 1, 1]);
        assert_eq!(pool.reserve(address), Ok(()));
        assert_eq!(pool.reserve(address), Err(AddressError::InUse { address }));
        assert_eq!(pool.in_use(), 1);
        let foreign = pool.reserve(IpAddr::from([239, 9, 9, 9])).unwrap_err();
        assert_eq!(foreign.to_string(), "239.9.9.9 is not in the address pool 239.1.1.0/30");
        assert!(!drain(&mut pool).contains(&address));
    }

    #[test]
    fn a_huge_ipv6_pool_allocates_at_once() {
        let mut pool = pool("ff15::/64,ff18::ff00:0/104");
        for _ in 0..100 {
            assert_eq!(warning(pool.allocate().unwrap()), None);
        }
    }

    #[test]
    fn bad_pools_are_refused_with_the_reason() {
        assert_eq!(
            refusal("224.0.0.0/16"),
            "address range 224.0.0.0/16 includes 224.0.0.0/24 (local network control, RFC 5771 §4)"
        );
        assert_eq!(
            refusal("234.0.0.0-239.255.255.255"),
            "address range 234.0.0.0-239.255.255.255 includes 235.0.0.0-238.255.255.255 (reserved, RFC 5771 §3)"
        );
        assert_eq!(refusal("10.0.0.1"), "cannot allocate 10.0.0.1 for a session: it is no multicast address");
        assert_eq!(
            refusal("223.255.255.0-239.1.1.1"),
            "cannot allocate 223.255.255.0 for a session: it is no multicast address"
        );
        assert_eq!(
            refusal("239.1.1.9-239.1.1.1"),
            "address range 239.1.1.9-239.1.1.1 does not run upwards from 239.1.1.9 to 239.1.1.1"
        );
        assert_eq!(
            refusal("239.1.1.5/24"),
            "239.1.1.5/24 has bits set behind its prefix length, its first address is 239.1.1.0"
        );
        assert_eq!(refusal("239.1.1.0/33"), "prefix length of 239.1.1.0/33 is above 32");
        assert_eq!(refusal("239.1.1.1,,"), "\"\" is no address, no range A-B and no prefix A/N");
        assert_eq!(refusal("ff15::1-ff18::1"), "address range ff15::1-ff18::1 spans more than one class of IPv6 group");
        assert!(AddressPool::parse("239.1.1.1-ff15::1", 0).is_err());
        assert!(AddressPool::parse(&"239.1.1.1,".repeat(2000), 0).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9a-f:./, -]{0,40}|.*") {
            if let Ok(mut pool) = AddressPool::parse(&text, 1) {
                let _ = pool.allocate();
            }
        }

        #[test]
        fn whatever_a_pool_gives_is_allowed(first: u32, size in 0_u32..5000, seed: u64) {
            let first = Ipv4Addr::from(first | 0xe000_0000);
            let last = Ipv4Addr::from(u32::from(first).saturating_add(size));
            if let Ok(mut pool) = AddressPool::parse(&format!("{first}-{last}"), seed) {
                for _ in 0..20 {
                    if let Ok(address) = pool.allocate() {
                        prop_assert!(check_group(address).is_ok() && warning(address).is_none());
                    }
                }
            }
        }
    }
}
