//! From the command line to the terms of a session; nothing here opens a socket or reads an image.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::path::Path;

use multicast_core::address::{AddressPool, GroupClass, PortRange, check_group, warning};
use multicast_core::engine::{EngineConfig, SessionConfig};
use multicast_core::layout::DEFAULT_SYMBOL_SIZE;
use multicast_core::manifest::CachePlace;
use multicast_core::net::{self, Interface};
use multicast_core::pace::{AdaptConfig, Profile, largest_payload};
use multicast_core::sender::StartPolicy;

use crate::cli::{SendArguments, Switch};
use crate::exit::Failure;
use crate::platform;

/// Our header, and the room for a tag of encryption.
const FRAMING: usize = 32;

/// What a session is to be.
pub(crate) struct Terms {
    pub(crate) interface: Interface,
    pub(crate) addresses: AddressPool,
    pub(crate) ports: PortRange,
    pub(crate) group: IpAddr,
    pub(crate) profile: Profile,
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
        let group = addresses.clone().allocate()?;
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
            group,
            adaptive,
            cache: cache_place(&arguments.manifest_cache),
            warnings: warning(group).map(|warning| warning.to_string()).into_iter().collect(),
        })
    }

    /// Payload bytes of a symbol: the default, or what a smaller frame carries; the codecs want it even.
    pub(crate) fn symbol_size(&self) -> u16 {
        let room = largest_payload(self.group, self.interface.mtu).saturating_sub(FRAMING);
        (room.min(DEFAULT_SYMBOL_SIZE.into()) & !1) as u16
    }

    pub(crate) fn engine(&self, control_port: u16) -> EngineConfig {
        EngineConfig {
            interface: self.interface.clone(),
            control_port,
            addresses: self.addresses.clone(),
            ports: self.ports,
            total_rate: None,
            seed: seed(),
        }
    }

    pub(crate) fn session(&self, name: &str, arguments: &SendArguments) -> SessionConfig {
        let needs_source = check_group(self.group).is_ok_and(GroupClass::needs_source);
        SessionConfig {
            group: Some(self.group),
            source_specific: arguments.source_specific || needs_source,
            ttl: arguments.ttl,
            dscp: arguments.dscp,
            adaptive: self.adaptive.then(AdaptConfig::default),
            start: StartPolicy {
                clients: arguments.min_clients,
                wait: arguments.max_wait,
                on_command: arguments.start_on_command,
            },
            max_clients: arguments.max_clients,
            silence: arguments.client_timeout,
            keep_open: arguments.keep_open,
            ..SessionConfig::new(name, self.profile)
        }
    }
}

/// By the link's speed; where it is not known, and on loopback, the fastest, which then adapts.
fn profile_of(interface: &Interface) -> Profile {
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
fn seed() -> u64 {
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
        terms.group = "ff15::1".parse().unwrap();
        terms.interface.mtu = 1500;
        assert_eq!(terms.symbol_size(), 1420);
    }
}
