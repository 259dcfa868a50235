//! Where a server is to serve: from the command line, or from the settings of a service.

use std::fmt;

use multicast_core::address::{AddressPool, PortRange};
use multicast_core::doctor::Finding;
use multicast_core::engine::EngineConfig;
use multicast_core::pace::{Profile, Rate};

use crate::cli::DoctorArguments;
use crate::config::{AddressSource, ConfigError, Loaded, ServeArguments, Settings, Surroundings};
use crate::exit::Failure;
use crate::terms::seed;

const TEST: &str = "settings";

/// What is to be tested.
pub(super) struct Terms {
    pub(super) interface: Option<String>,
    pub(super) control_port: u16,
    /// `None` if they are leased by MADCAP.
    pub(super) addresses: Option<AddressPool>,
    pub(super) ports: PortRange,
    /// What was asked for.
    pub(super) rate: Option<Rate>,
    pub(super) ttl: u8,
    pub(super) dscp: u8,
    /// Of a service.
    pub(super) settings: Option<Settings>,
}

/// Where groups come from.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.addresses {
            Some(pool) => pool.fmt(f),
            None => f.write_str("madcap"),
        }
    }
}

impl Terms {
    /// Reads the settings, if some are named, and tells of them; `None` if they cannot be used.
    pub(super) fn settle(arguments: &DoctorArguments, mut tell: impl FnMut(&Finding)) -> Result<Option<Self>, Failure> {
        let rate = arguments.rate.or(arguments.network.map(Profile::rate));
        if arguments.config.is_none() {
            return Ok(Some(Self {
                interface: arguments.interface.clone(),
                control_port: arguments.control_port.unwrap_or(multicast_core::engine::DEFAULT_CONTROL_PORT),
                addresses: Some(AddressPool::parse(&arguments.address, seed())?),
                ports: arguments.ports.parse::<PortRange>()?,
                rate,
                ttl: arguments.ttl,
                dscp: 0,
                settings: None,
            }));
        }
        let serve = ServeArguments {
            config: arguments.config.clone(),
            interface: arguments.interface.clone(),
            control_port: arguments.control_port.map(|port| port.to_string()),
            ..ServeArguments::default()
        };
        let loaded = match Loaded::load(&serve, &Surroundings::here()) {
            Ok(loaded) => loaded,
            Err(error) => {
                tell(&wrong(&error));
                return Ok(None);
            }
        };
        tell(&read(&loaded.warnings));
        let settings = loaded.settings;
        let addresses = match &settings.multicast.address {
            AddressSource::Pool(pool) => Some(pool.clone()),
            AddressSource::Madcap => None,
        };
        Ok(Some(Self {
            interface: settings.server.interface.clone(),
            control_port: settings.server.control_port,
            addresses,
            ports: settings.multicast.ports,
            rate: rate.or(settings.rate.profile().map(Profile::rate)),
            ttl: settings.multicast.ttl,
            dscp: settings.multicast.dscp,
            settings: Some(settings),
        }))
    }

    /// For an engine that serves nothing but tests.
    pub(super) fn engine(&self, usual: EngineConfig) -> EngineConfig {
        let addresses = self.addresses.clone().unwrap_or_else(|| usual.addresses.clone());
        EngineConfig { control_port: self.control_port, addresses, ports: self.ports, ..usual }
    }
}

fn wrong(error: &ConfigError) -> Finding {
    let problems = error.problems();
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    Finding::failure(
        TEST,
        format!("{first}{more}"),
        "mcast-server serve --config FILE --check-config tells all of them",
    )
}

fn read(warnings: &[String]) -> Finding {
    match warnings {
        [] => Finding::ok(TEST, "they can be used"),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            let advice = "mcast-server serve --config FILE --check-config tells all of them";
            Finding::warning(TEST, format!("{first}{more}"), advice)
        }
    }
}
