//! From the command line to the terms of a session; nothing here opens a socket or reads an image.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::path::Path;

use multicast_core::address::{AddressError, AddressPool, GroupClass, PortRange, check_group, warning};
use multicast_core::doctor::ProbePolicy;
use multicast_core::engine::{EngineConfig, SessionConfig};
use multicast_core::layout::DEFAULT_SYMBOL_SIZE;
use multicast_core::manifest::CachePlace;
use multicast_core::net::{self, Interface};
use multicast_core::pace::{AdaptConfig, Profile, Rate, largest_payload};
use multicast_core::sender::{LadderConfig, StartPolicy};

use crate::cli::{SendArguments, SlowArguments, Switch};
use crate::exit::{Exit, Failure};
use crate::platform;

/// Our header, and the room for a tag of encryption.
const FRAMING: usize = 32;

/// What a session is to be.
pub(crate) struct Terms {
    pub(crate) interface: Interface,
    pub(crate) addresses: AddressPool,
    pub(crate) ports: PortRange,
    /// One for each session.
    pub(crate) groups: Vec<IpAddr>,
    pub(crate) profile: Profile,
    /// Of all sessions together.
    pub(crate) total_rate: Option<Rate>,
    pub(crate) adaptive: bool,
    pub(crate) cache: CachePlace,
    /// What is allowed and may yet hurt.
    pub(crate) warnings: Vec<String>,
}

impl Terms {
    /// Checks what can be checked before anything is opened.
    pub(crate) fn settle(arguments: &SendArguments) -> Result<Self, Failure> {
        let interface = net::choose(arguments.interface.as_deref())?;
        let addresses = AddressPool::parse(&arguments.address, seed())?;
        let ports = arguments.ports.parse::<PortRange>()?;
        // Chosen here already: its family decides how large a symbol can be.
        let groups = groups(&addresses, if arguments.each { arguments.images.len() } else { 1 })?;
        let explicit = arguments.network.or(arguments.rate.map(Profile::Custom));
        let adaptive = match arguments.adaptive {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => explicit.is_none(),
        };
        Ok(Self {
            profile: explicit.unwrap_or_else(|| profile_of(&interface)),
            interface,
            addresses,
            ports,
            total_rate: arguments.total_rate,
            adaptive,
            cache: cache_place(&arguments.manifest_cache),
            warnings: groups.iter().filter_map(|group| Some(warning(*group)?.to_string())).collect(),
            groups,
        })
    }

    /// Payload bytes of a symbol: the default, or what a smaller frame carries; the codecs want it even.
    pub(crate) fn symbol_size(&self) -> u16 {
        symbol_size(self.groups[0], self.interface.mtu)
    }

    pub(crate) fn engine(&self, arguments: &SendArguments) -> EngineConfig {
        let SendArguments { control_port, ttl, dscp, .. } = *arguments;
        EngineConfig {
            interface: self.interface.clone(),
            control_port,
            addresses: self.addresses.clone(),
            ports: self.ports,
            total_rate: self.total_rate,
            only_lent: false,
            doorkeeper: None,
            content: None,
            probes: Some(ProbePolicy {
                rate: self.profile.rate().min(self.total_rate.unwrap_or(Rate::MAX)),
                ttl,
                dscp,
            }),
            seed: seed(),
        }
    }

    /// Terms of the session of this number.
    pub(crate) fn session(&self, number: usize, name: &str, arguments: &SendArguments) -> SessionConfig {
        let group = self.groups[number];
        let needs_source = check_group(group).is_ok_and(GroupClass::needs_source);
        SessionConfig {
            group: Some(group),
            source_specific: arguments.source_specific || needs_source,
            ttl: arguments.ttl,
            dscp: arguments.dscp,
            adaptive: self.adaptive.then(|| arguments.slow.pace()),
            start: StartPolicy {
                clients: arguments.min_clients,
                wait: arguments.max_wait,
                after: None,
                on_command: arguments.start_on_command,
            },
            max_clients: arguments.max_clients,
            silence: arguments.client_timeout,
            ladder: arguments.slow.ladder(),
            keep_open: arguments.keep_open,
            ..SessionConfig::new(name, self.profile)
        }
    }
}

impl SlowArguments {
    fn pace(&self) -> AdaptConfig {
        // The quantile of losses counts from the best client.
        AdaptConfig { quantile: self.pace_quantile, floor: self.pace_floor, ..AdaptConfig::default() }
    }

    fn ladder(&self) -> LadderConfig {
        let usual = LadderConfig::default();
        LadderConfig {
            slow_loss: self.slow_loss,
            slow_after: self.slow_after,
            slower_stream: self.slow_stream.is_some(),
            share: self.slow_stream.unwrap_or(usual.share),
            unicast: self.unicast,
            deaf: usual.deaf,
            least_rate: self.min_client_rate,
            stalled_after: (!self.stall_timeout.is_zero()).then_some(self.stall_timeout),
        }
    }
}

/// An address for each of so many sessions.
fn groups(addresses: &AddressPool, sessions: usize) -> Result<Vec<IpAddr>, Failure> {
    let mut free = addresses.clone();
    let groups = (0..sessions).map(|_| free.allocate()).collect::<Result<Vec<_>, _>>();
    groups.map_err(|error| match error {
        AddressError::Exhausted { in_use, .. } if sessions > 1 => {
            let text = format!("--each: {sessions} images need an address each, --address {addresses} has {in_use}");
            Failure::new(Exit::Usage, text).with_help(Some("leave --address out, or give it a range or a prefix"))
        }
        error => error.into(),
    })
}

/// Payload bytes of a symbol to `group` over links that carry `mtu` bytes.
pub(crate) fn symbol_size(group: IpAddr, mtu: usize) -> u16 {
    let room = largest_payload(group, mtu).saturating_sub(FRAMING);
    (room.min(DEFAULT_SYMBOL_SIZE.into()) & !1) as u16
}

/// By the link's speed; where it is not known, and on loopback, the fastest, which then adapts.
pub(crate) fn profile_of(interface: &Interface) -> Profile {
    match interface.link_speed {
        Some(mbit) if !interface.loopback => Profile::for_link_speed(mbit),
        _ => Profile::TenGigabit,
    }
}

fn cache_place(wanted: &Path) -> CachePlace {
    match wanted.to_str() {
        Some("none") => CachePlace::Nowhere,
        Some("beside") => CachePlace::Beside,
        Some("user") => platform::cache_folder().map_or(CachePlace::Nowhere, CachePlace::Folder),
        _ => CachePlace::Folder(wanted.to_owned()),
    }
}

/// From the system's randomness, by which the standard library's hash maps are seeded.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn terms(arguments: &[&str]) -> Terms {
        let line = ["mcast-server", "send", "image", "--interface", "lo"].iter().chain(arguments);
        let Command::Send(arguments) = Cli::try_parse_from(line).unwrap().command else { panic!("send was said") };
        Terms::settle(&arguments).unwrap()
    }

    #[test]
    fn an_explicit_rate_stays_and_a_guessed_one_adapts() {
        let guessed = terms(&[]);
        assert_eq!((guessed.profile, guessed.adaptive), (Profile::TenGigabit, true));
        let explicit = terms(&["--network", "1g"]);
        assert_eq!((explicit.profile, explicit.adaptive), (Profile::Gigabit, false));
        assert!(terms(&["--rate", "400mbit", "--adaptive", "on"]).adaptive);
        assert!(!terms(&["--adaptive", "off"]).adaptive);
    }

    #[test]
    fn a_symbol_fits_the_frame_with_room_for_a_tag_and_is_even() {
        let mut terms = terms(&[]);
        for (mtu, size) in [(65_536, 1440), (1500, 1440), (1499, 1438), (576, 516), (20, 0)] {
            terms.interface.mtu = mtu;
            assert_eq!(terms.symbol_size(), size, "{mtu}");
        }
        terms.groups = vec!["ff15::1".parse().unwrap()];
        terms.interface.mtu = 1500;
        assert_eq!(terms.symbol_size(), 1420);
    }
}
