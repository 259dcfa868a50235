//! Classes of multicast addresses and which of them a session may use.
//!
//! IPv4 by RFC 5771 (which obsoletes RFC 3171) and the RFCs it points to, IPv6 by RFC 4291 and 7346.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::AddressError;

/// What a multicast address is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum GroupClass {
    /// 224.0.0.0/24, protocols of one link; switches send it everywhere.
    LocalControl,
    /// 224.0.1.0/24, protocols that cross routers.
    InternetworkControl,
    /// 224.0.2.0-224.0.255.255, assigned to applications.
    AdHocI,
    /// 224.3.0.0-224.4.255.255, assigned to applications.
    AdHocII,
    /// 233.252.0.0/14, assigned to applications; once the end of GLOP.
    AdHocIII,
    /// 224.2.0.0/16, only for what the session announcement protocol hands out.
    SdpSap,
    /// Blocks without a use so far.
    Reserved,
    /// 232.0.0.0/8, routed by source and group.
    SourceSpecific,
    /// 233.0.0.0-233.251.255.255, a /24 for each 16-bit autonomous system.
    Glop,
    /// 234.0.0.0/8, a part for each unicast prefix.
    UnicastPrefix,
    /// 239.0.0.0/8 outside of the scopes below.
    AdminScoped,
    /// 239.192.0.0/14, does not leave an organization.
    OrganizationLocal,
    /// 239.255.0.0/16, does not leave a site.
    LocalScope,
    /// The highest /24 of a scope, for protocols that live in every scope, such as SSDP.
    ScopeRelative,
    /// ff0x::/16 and flags without a meaning.
    Ipv6WellKnown,
    /// ffx0::/16 and ffxf::/16.
    Ipv6ReservedScope,
    /// ff1x::/16, free for use within the scope.
    Ipv6Transient(Ipv6Scope),
    /// ff3x::/16 and ff7x::/16, a part for each unicast prefix.
    Ipv6UnicastPrefix(Ipv6Scope),
    /// ff3x::/32, routed by source and group.
    Ipv6SourceSpecific(Ipv6Scope),
}

impl GroupClass {
    /// Its usual name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalControl => "local network control",
            Self::InternetworkControl => "internetwork control",
            Self::AdHocI => "AD-HOC block I",
            Self::AdHocII => "AD-HOC block II",
            Self::AdHocIII => "AD-HOC block III",
            Self::SdpSap => "SDP/SAP",
            Self::Reserved => "reserved",
            Self::SourceSpecific | Self::Ipv6SourceSpecific(_) => "source-specific multicast",
            Self::Glop => "GLOP",
            Self::UnicastPrefix | Self::Ipv6UnicastPrefix(_) => "unicast-prefix-based",
            Self::AdminScoped => "administratively scoped",
            Self::OrganizationLocal => "organization-local scope",
            Self::LocalScope => "local scope",
            Self::ScopeRelative => "scope-relative assignments",
            Self::Ipv6WellKnown => "well-known groups",
            Self::Ipv6ReservedScope => "reserved scope",
            Self::Ipv6Transient(_) => "transient",
        }
    }

    /// Where it is defined.
    pub fn reference(self) -> &'static str {
        match self {
            Self::LocalControl => "RFC 5771 §4",
            Self::InternetworkControl => "RFC 5771 §5",
            Self::AdHocI | Self::AdHocII | Self::AdHocIII => "RFC 5771 §6",
            Self::SdpSap => "RFC 5771 §7",
            Self::Reserved => "RFC 5771 §3",
            Self::SourceSpecific | Self::Ipv6SourceSpecific(_) => "RFC 4607 §1",
            Self::Glop => "RFC 3180",
            Self::UnicastPrefix => "RFC 6034",
            Self::AdminScoped => "RFC 2365 §5",
            Self::OrganizationLocal => "RFC 2365 §6.2",
            Self::LocalScope => "RFC 2365 §6.1",
            Self::ScopeRelative => "RFC 2365 §9",
            Self::Ipv6WellKnown | Self::Ipv6Transient(_) => "RFC 4291 §2.7",
            Self::Ipv6ReservedScope => "RFC 7346 §2",
            Self::Ipv6UnicastPrefix(_) => "RFC 3306",
        }
    }

    /// Whether a session may use it.
    pub fn is_allowed(self) -> bool {
        match self {
            Self::LocalControl
            | Self::InternetworkControl
            | Self::AdHocI
            | Self::AdHocII
            | Self::AdHocIII
            | Self::SdpSap
            | Self::Reserved
            | Self::ScopeRelative
            | Self::Ipv6WellKnown
            | Self::Ipv6ReservedScope => false,
            Self::SourceSpecific
            | Self::Glop
            | Self::UnicastPrefix
            | Self::AdminScoped
            | Self::OrganizationLocal
            | Self::LocalScope
            | Self::Ipv6Transient(_)
            | Self::Ipv6UnicastPrefix(_)
            | Self::Ipv6SourceSpecific(_) => true,
        }
    }

    /// Whether clients must name the source when they join: routers drop other joins (RFC 4607 §4).
    pub fn needs_source(self) -> bool {
        matches!(self, Self::SourceSpecific | Self::Ipv6SourceSpecific(_))
    }
}

/// The scope nibble of an IPv6 group (RFC 7346).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Ipv6Scope(u8);

impl Ipv6Scope {
    /// The nibble, 1 to 14.
    pub fn value(self) -> u8 {
        self.0
    }

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self.0 {
            0x1 => "interface-local",
            0x2 => "link-local",
            0x3 => "realm-local",
            0x4 => "admin-local",
            0x5 => "site-local",
            0x8 => "organization-local",
            0xe => "global",
            _ => "unassigned",
        }
    }
}

/// Something about an address that is allowed, yet may hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum GroupWarning {
    /// Its Ethernet address is that of a group which switches send out of every port.
    MacCollision {
        /// The address in question.
        address: IpAddr,
        /// The Ethernet address of both.
        mac: [u8; 6],
        /// The other group.
        with: IpAddr,
    },
}

impl fmt::Display for GroupWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::MacCollision { address, mac, with } = self;
        let [a, b, c, d, e, g] = mac;
        write!(
            f,
            "switches may flood {address}: it shares the Ethernet address \
             {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x} with {with}"
        )
    }
}

/// The class of `address` if a session may use it.
pub fn check_group(address: IpAddr) -> Result<GroupClass, AddressError> {
    let (class, block) = locate(address).ok_or(AddressError::NotMulticast { address })?;
    if class.is_allowed() { Ok(class) } else { Err(AddressError::Refused { address, block, class }) }
}

/// The class of `address`, `None` if it is no multicast address.
pub fn classify(address: IpAddr) -> Option<GroupClass> {
    locate(address).map(|(class, _)| class)
}

/// What speaks against `address`, though it is allowed.
pub fn warning(address: IpAddr) -> Option<GroupWarning> {
    colliding_run(address)?;
    let (mac, with) = match address {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            ([0x01, 0x00, 0x5e, b & 0x7f, c, d], IpAddr::V4(Ipv4Addr::new(224, 0, 0, d)))
        }
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            let with = if a == 0xff {
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(b), u16::from_be_bytes([c, d]))
            } else {
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, u16::from(d))
            };
            ([0x33, 0x33, a, b, c, d], IpAddr::V6(with))
        }
    };
    Some(GroupWarning::MacCollision { address, mac, with })
}

/// Addresses from `address` to the end of the run of addresses around it that automatic choice
/// leaves out, itself counted; `None` if it need not be left out.
pub(super) fn unusable_run(address: IpAddr) -> Option<u128> {
    colliding_run(address).or_else(|| match address {
        IpAddr::V4(v4) => {
            let block = IPV4_BLOCKS.iter().find(|block| block.contains(v4))?;
            (!block.class.is_allowed()).then(|| u128::from(u32::from(block.last) - u32::from(v4)) + 1)
        }
        IpAddr::V6(_) => None,
    })
}

/// The refused block that a range of IPv4 groups cannot avoid. Scope-relative /24s do not count:
/// they lie inside of every useful range, so a pool leaves them out instead.
pub(super) fn refused_within(first: Ipv4Addr, last: Ipv4Addr) -> Option<(GroupClass, &'static str)> {
    IPV4_BLOCKS
        .iter()
        .find(|block| {
            block.first <= last
                && first <= block.last
                && !block.class.is_allowed()
                && block.class != GroupClass::ScopeRelative
        })
        .map(|block| (block.class, block.text))
}

/// An IPv4 group's Ethernet address holds its low 23 bits (RFC 1112 §6.4), an IPv6 group's the low
/// 32 (RFC 2464 §7). Snooping switches send 224.0.0.x, ff02::x and solicited-node groups
/// everywhere, many by Ethernet address.
fn colliding_run(address: IpAddr) -> Option<u128> {
    match address {
        IpAddr::V4(v4) => {
            let low = u32::from(v4) & 0x007f_ffff;
            (low <= 0xff).then(|| u128::from(0x100 - low))
        }
        IpAddr::V6(v6) => {
            let low = v6.to_bits() & 0xffff_ffff;
            match low {
                0..=0xff => Some(0x100 - low),
                0xff00_0000.. => Some(0x1_0000_0000 - low),
                _ => None,
            }
        }
    }
}

fn locate(address: IpAddr) -> Option<(GroupClass, &'static str)> {
    match address {
        IpAddr::V4(v4) => IPV4_BLOCKS.iter().find(|block| block.contains(v4)).map(|block| (block.class, block.text)),
        IpAddr::V6(v6) => locate_v6(v6),
    }
}

/// `ff`, four flags 0 R P T, four bits of scope. T says "not assigned by IANA", P "carries a unicast
/// prefix", R "carries a rendezvous point" (RFC 4291 §2.7, 3306 §4, 3956 §3).
fn locate_v6(address: Ipv6Addr) -> Option<(GroupClass, &'static str)> {
    let [0xff, second, third, fourth, ..] = address.octets() else { return None };
    let (flags, scope) = (second >> 4, Ipv6Scope(second & 0xf));
    Some(match (flags, scope.0) {
        (_, 0x0) => (GroupClass::Ipv6ReservedScope, "ffx0::/16"),
        (_, 0xf) => (GroupClass::Ipv6ReservedScope, "ffxf::/16"),
        (0b0001, _) => (GroupClass::Ipv6Transient(scope), "ff1x::/16"),
        (0b0011, _) if third == 0 && fourth == 0 => (GroupClass::Ipv6SourceSpecific(scope), "ff3x::/32"),
        (0b0011, _) => (GroupClass::Ipv6UnicastPrefix(scope), "ff3x::/16"),
        (0b0111, _) => (GroupClass::Ipv6UnicastPrefix(scope), "ff7x::/16"),
        (0b0000, _) => (GroupClass::Ipv6WellKnown, "ff0x::/16"),
        _ => (GroupClass::Ipv6WellKnown, "ff00::/8 with flags that are not defined"),
    })
}

struct Block {
    first: Ipv4Addr,
    last: Ipv4Addr,
    text: &'static str,
    class: GroupClass,
}

impl Block {
    fn contains(&self, address: Ipv4Addr) -> bool {
        self.first <= address && address <= self.last
    }
}

const fn block(first: [u8; 4], last: [u8; 4], text: &'static str, class: GroupClass) -> Block {
    let [a, b, c, d] = first;
    let [e, f, g, h] = last;
    Block { first: Ipv4Addr::new(a, b, c, d), last: Ipv4Addr::new(e, f, g, h), text, class }
}

/// 224.0.0.0/4 in order and without a gap.
#[rustfmt::skip]
const IPV4_BLOCKS: &[Block] = &[
    block([224, 0, 0, 0], [224, 0, 0, 255], "224.0.0.0/24", GroupClass::LocalControl),
    block([224, 0, 1, 0], [224, 0, 1, 255], "224.0.1.0/24", GroupClass::InternetworkControl),
    block([224, 0, 2, 0], [224, 0, 255, 255], "224.0.2.0-224.0.255.255", GroupClass::AdHocI),
    block([224, 1, 0, 0], [224, 1, 255, 255], "224.1.0.0/16", GroupClass::Reserved),
    block([224, 2, 0, 0], [224, 2, 255, 255], "224.2.0.0/16", GroupClass::SdpSap),
    block([224, 3, 0, 0], [224, 4, 255, 255], "224.3.0.0-224.4.255.255", GroupClass::AdHocII),
    block([224, 5, 0, 0], [231, 255, 255, 255], "224.5.0.0-231.255.255.255", GroupClass::Reserved),
    block([232, 0, 0, 0], [232, 255, 255, 255], "232.0.0.0/8", GroupClass::SourceSpecific),
    block([233, 0, 0, 0], [233, 251, 255, 255], "233.0.0.0-233.251.255.255", GroupClass::Glop),
    block([233, 252, 0, 0], [233, 255, 255, 255], "233.252.0.0/14", GroupClass::AdHocIII),
    block([234, 0, 0, 0], [234, 255, 255, 255], "234.0.0.0/8", GroupClass::UnicastPrefix),
    block([235, 0, 0, 0], [238, 255, 255, 255], "235.0.0.0-238.255.255.255", GroupClass::Reserved),
    block([239, 0, 0, 0], [239, 191, 255, 255], "239.0.0.0-239.191.255.255", GroupClass::AdminScoped),
    block([239, 192, 0, 0], [239, 195, 254, 255], "239.192.0.0/14", GroupClass::OrganizationLocal),
    block([239, 195, 255, 0], [239, 195, 255, 255], "239.195.255.0/24", GroupClass::ScopeRelative),
    block([239, 196, 0, 0], [239, 254, 255, 255], "239.196.0.0-239.254.255.255", GroupClass::AdminScoped),
    block([239, 255, 0, 0], [239, 255, 254, 255], "239.255.0.0/16", GroupClass::LocalScope),
    block([239, 255, 255, 0], [239, 255, 255, 255], "239.255.255.0/24", GroupClass::ScopeRelative),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_covers_all_multicast_addresses_without_a_gap() {
        assert_eq!(IPV4_BLOCKS[0].first, Ipv4Addr::new(224, 0, 0, 0));
        assert_eq!(IPV4_BLOCKS[IPV4_BLOCKS.len() - 1].last, Ipv4Addr::new(239, 255, 255, 255));
        for pair in IPV4_BLOCKS.windows(2) {
            assert_eq!(u32::from(pair[0].last) + 1, u32::from(pair[1].first), "after {}", pair[0].text);
        }
    }

    #[test]
    fn the_blocks_have_their_names() {
        for (address, name) in [
            ("224.0.0.22", "local network control"),
            ("224.0.1.1", "internetwork control"),
            ("224.0.2.0", "AD-HOC block I"),
            ("224.2.127.254", "SDP/SAP"),
            ("224.4.255.255", "AD-HOC block II"),
            ("230.4.4.1", "reserved"),
            ("232.1.1.1", "source-specific multicast"),
            ("233.1.2.3", "GLOP"),
            ("233.252.0.1", "AD-HOC block III"),
            ("234.1.1.1", "unicast-prefix-based"),
            ("238.1.1.1", "reserved"),
            ("239.1.1.1", "administratively scoped"),
            ("239.192.0.1", "organization-local scope"),
            ("239.195.254.255", "organization-local scope"),
            ("239.255.0.1", "local scope"),
            ("239.255.255.250", "scope-relative assignments"),
            ("ff02::1", "well-known groups"),
            ("ff15::1:2:3", "transient"),
            ("ff3e::8000:1", "source-specific multicast"),
            ("ff35:30:2001:db8::1", "unicast-prefix-based"),
        ] {
            assert_eq!(classify(ip(address)).map(GroupClass::name), Some(name), "{address}");
        }
        assert_eq!(classify(ip("ff18::5")), Some(GroupClass::Ipv6Transient(Ipv6Scope(8))));
        assert_eq!(Ipv6Scope(8).name(), "organization-local");
    }

    #[test]
    fn a_refusal_names_the_block_the_rfc_and_a_way_out() {
        let error = check_group(ip("224.0.0.7")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot allocate 224.0.0.7 for a session: it lies in 224.0.0.0/24 (local network control, RFC 5771 §4)"
        );
        assert_eq!(error.help(), "use an address of 239.0.0.0/8, for example --address auto");
        assert_eq!(
            check_group(ip("10.0.0.1")).unwrap_err().to_string(),
            "cannot allocate 10.0.0.1 for a session: it is no multicast address"
        );
        for refused in
            ["224.0.0.1", "224.2.0.5", "230.5.5.1", "239.255.255.250", "ff02::1", "ff10::1", "ff1f::1", "::1"]
        {
            assert!(check_group(ip(refused)).is_err(), "{refused}");
        }
    }

    #[test]
    fn only_source_specific_groups_need_a_source() {
        assert!(check_group(ip("232.1.1.1")).unwrap().needs_source());
        assert!(check_group(ip("ff35::1:1")).unwrap().needs_source());
        assert!(!check_group(ip("239.1.1.1")).unwrap().needs_source());
    }

    #[test]
    fn an_address_whose_ethernet_address_is_that_of_a_control_group_is_allowed_with_a_warning() {
        for address in ["239.0.0.5", "239.128.0.5", "232.0.0.5"] {
            assert!(check_group(ip(address)).is_ok());
            assert_eq!(
                warning(ip(address)).unwrap().to_string(),
                format!(
                    "switches may flood {address}: it shares the Ethernet address 01:00:5e:00:00:05 with 224.0.0.5"
                )
            );
        }
        assert_eq!(warning(ip("239.0.1.5")), None);
        assert_eq!(warning(ip("239.64.0.5")), None);
        assert!(warning(ip("ff15::5")).unwrap().to_string().ends_with("33:33:00:00:00:05 with ff02::5"));
        assert!(warning(ip("ff15::ff01:203")).unwrap().to_string().ends_with("with ff02::1:ff01:203"));
        assert_eq!(warning(ip("ff15::8000:5")), None);
    }

    proptest! {
        #[test]
        fn every_address_has_a_class_exactly_if_it_is_multicast(bits: u32, bits6: u128) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(classify(v4.into()).is_some(), v4.is_multicast());
            for v6 in [Ipv6Addr::from(bits6), Ipv6Addr::from(bits6 | 0xff << 120)] {
                prop_assert_eq!(classify(v6.into()).is_some(), v6.is_multicast());
                let _ = (check_group(v6.into()), warning(v6.into()));
            }
        }
    }
}
