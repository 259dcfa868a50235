//! `[pxe]`: the settings of the service point from which machines without a system boot.
//!
//! The file says what this server does. What holds for the whole site (whether machines are answered, unknown ones
//! too, the password) is in the site's database and is switched while servers run; `respond` and `unknown` here are
//! this server's word on it, see [`Pxe::policy`].

mod check;
mod forms;
mod keys;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use multicast_core::address::PortRange;
use pxe::boot::Policy;
use pxe::dhcp::wire::pxe::Menu as DhcpMenu;
use pxe::dhcp::{Mode, Network as Subnet, Pool};

pub(super) use check::{check, interfaces, warnings};
pub(super) use forms::Range;
pub(super) use keys::{NETWORK, SETTINGS};

use super::settings::{HostPort, Settings};

/// The list of networks, in which addresses are given.
pub(super) const NETWORKS: &str = "pxe.network";

/// Where Debian's package `ipxe` puts network boot programs.
const LOADERS: &str = "/usr/lib/ipxe";

/// `[pxe]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pxe {
    pub(crate) enabled: bool,
    pub(crate) mode: PxeMode,
    /// Those that machines are answered at, each once; at least one if it is enabled.
    pub(crate) interfaces: Vec<String>,
    /// The address of ours that machines are told, instead of that of the interface that they are heard at.
    pub(crate) address: Option<Ipv4Addr>,
    /// This server takes part in what the site wants.
    pub(crate) respond: bool,
    pub(crate) unknown: Unknown,
    /// A machine is answered once it has asked for so long.
    pub(crate) delay: Duration,
    /// [`Settings::boot_images`]
    pub(crate) images: Option<PathBuf>,
    /// [`Pxe::loaders`]
    pub(crate) loaders: Option<PathBuf>,
    /// TCP port of the HTTP side that firmware and iPXE speak to, without TLS.
    pub(crate) http: u16,
    /// The server that booted clients ask for their image; without one this one.
    pub(crate) client_server: Option<HostPort>,
    pub(crate) menu: Menu,
    pub(crate) tftp: Tftp,
    pub(crate) dhcp: Dhcp,
    /// Of full mode: none of them overlaps another.
    pub(crate) networks: Vec<Network>,
}

/// Who gives addresses, and who says what to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PxeMode {
    /// Another DHCP server gives addresses, this one says what to boot.
    #[default]
    Proxy,
    /// This one does both.
    Full,
    /// Another DHCP server does both; this one has the files.
    Off,
}

/// Whether machines that the site does not know are answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unknown {
    /// As the site says.
    #[default]
    Site,
    Answer,
    Ignore,
}

/// `[pxe.menu]`: what the firmware itself shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Menu {
    /// Above the menu; without it there is none.
    pub(crate) prompt: Option<String>,
    /// Below 255 s.
    pub(crate) wait: Duration,
    /// The item that boots from here.
    pub(crate) boot: String,
    /// The item that boots from the disk; there if it is the first.
    pub(crate) disk: Option<String>,
    pub(crate) first: MenuItem,
}

/// What is taken when the menu's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MenuItem {
    #[default]
    Boot,
    Disk,
}

/// `[pxe.tftp]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tftp {
    /// Bytes of a block; without it what one packet on the way holds.
    pub(crate) block_limit: Option<u16>,
    /// Blocks of a window.
    pub(crate) window_limit: u16,
    /// Transfers at a time.
    pub(crate) transfers: u32,
    /// Transfers of one client at a time.
    pub(crate) per_client: u32,
    /// Ports that files are sent from; without it any.
    pub(crate) ports: Option<PortRange>,
}

/// `[pxe.dhcp]`: how addresses are given in full mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dhcp {
    /// Machines that do not boot get addresses, too.
    pub(crate) others: bool,
    /// No other server gives addresses in these networks.
    pub(crate) authoritative: bool,
}

/// A `[[pxe.network]]`: addresses of one network, and what its machines are told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    pub(crate) network: Subnet,
    /// Within the network.
    pub(crate) pool: Range,
    /// Within the network.
    pub(crate) router: Option<Ipv4Addr>,
    /// As many as fit into one answer.
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) lease: Duration,
}

impl Default for Network {
    /// A blank of one address, for the reader.
    fn default() -> Self {
        let none = Ipv4Addr::UNSPECIFIED;
        Self {
            network: Subnet::of(none, 32),
            pool: Range { first: none, last: none },
            router: None,
            dns: Vec::new(),
            domain: None,
            lease: Duration::ZERO,
        }
    }
}

impl PxeMode {
    /// As it stands in the settings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Full => "full",
            Self::Off => "off",
        }
    }
}

impl Settings {
    /// The folder of boot images: one of its own, or one in the state folder.
    pub(crate) fn boot_images(&self) -> PathBuf {
        self.pxe.images.clone().unwrap_or_else(|| self.site.state.join("boot-images"))
    }
}

impl Pxe {
    /// The folder of network boot programs.
    pub(crate) fn loaders(&self) -> &Path {
        self.loaders.as_deref().unwrap_or(Path::new(LOADERS))
    }

    /// What holds at this server, of what the site wants: it is silent if either says so, and has its own word on
    /// unknown machines if it has one.
    pub(crate) fn policy(&self, site: &Policy) -> Policy {
        let unknown = match self.unknown {
            Unknown::Site => site.unknown,
            Unknown::Answer => true,
            Unknown::Ignore => false,
        };
        Policy { respond: site.respond && self.respond, unknown, password: site.password.clone() }
    }

    /// What addresses are given out of.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        match self.mode {
            PxeMode::Full => self.networks.iter().map(Network::to_pool).collect(),
            PxeMode::Off | PxeMode::Proxy => Vec::new(),
        }
    }

    /// How DHCP is answered; none if it is not.
    pub(crate) fn dhcp_settings(&self) -> Option<pxe::dhcp::Settings> {
        let mode = match self.mode {
            PxeMode::Off => return None,
            PxeMode::Proxy => Mode::Proxy,
            PxeMode::Full => {
                Mode::Full { pools: self.pools(), others: self.dhcp.others, authoritative: self.dhcp.authoritative }
            }
        };
        let menu = self.menu.to_option();
        Some(pxe::dhcp::Settings { mode, delay: self.delay, server: self.address, menu })
    }

    /// How TFTP is served at these addresses of this host.
    pub(crate) fn tftp_settings(&self, addresses: &[Ipv4Addr]) -> pxe::tftp::Settings {
        let listen = addresses.iter().map(|address| SocketAddr::new(IpAddr::V4(*address), pxe::tftp::PORT)).collect();
        pxe::tftp::Settings {
            listen,
            transfers: self.tftp.transfers as usize,
            transfers_per_client: self.tftp.per_client as usize,
            window_limit: self.tftp.window_limit,
            block_limit: self.tftp.block_limit,
            ports: self.tftp.ports.map(|ports| ports.first()..=ports.last()),
        }
    }
}

impl Menu {
    fn to_option(&self) -> Option<DhcpMenu> {
        Some(DhcpMenu {
            prompt: self.prompt.clone()?,
            seconds: u8::try_from(self.wait.as_secs()).unwrap_or(u8::MAX - 1),
            boot: self.boot.clone(),
            disk: self.disk.clone(),
            disk_first: self.first == MenuItem::Disk,
        })
    }
}

impl Network {
    fn to_pool(&self) -> Pool {
        Pool {
            network: self.network,
            first: self.pool.first,
            last: self.pool.last,
            router: self.router,
            dns: self.dns.clone(),
            domain: self.domain.clone(),
            lease: self.lease,
        }
    }
}
