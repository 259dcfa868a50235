//! DHCP for machines that boot from the network: proxyDHCP beside another server, or a whole one.
//!
//! - [`wire`] is the format.
//! - [`Responder`] answers requests: a state machine without sockets or clocks.
//! - [`leases`] is whose address is whose.
//! - [`driver`] runs a responder over sockets, one for each interface and port, in a thread.
//!
//! RFC 2131, 2132, 3004, 3011, 3046, 3396, 3527, 4578, PXE 2.1, UEFI HTTP boot. IPv4 only.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::Arc;
//! use std::time::Duration;
//! use pxe::dhcp::wire::{Kind, Message, Op, Options, code};
//! use pxe::dhcp::{Arrival, Booting, Local, Mode, Responder, Settings};
//! use pxe::machine::Machine;
//!
//! struct Everything;
//! impl Booting for Everything {
//!     fn boot_file(&self, _: &Machine, _: Ipv4Addr) -> Result<String, String> {
//!         Ok("bios/ipxe.pxe".into())
//!     }
//!     fn reserved(&self, _: &Machine) -> Option<Ipv4Addr> {
//!         None
//!     }
//!     fn is_reserved(&self, _: Ipv4Addr) -> bool {
//!         false
//!     }
//! }
//!
//! let mut responder = Responder::new(Settings::new(Mode::Proxy), Arc::new(Everything)).unwrap();
//! let local = [Local { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 24 }];
//! let mut options = Options::default();
//! options.push(code::KIND, &[Kind::Discover as u8]);
//! options.push(code::CLASS, b"PXEClient:Arch:00000:UNDI:002001");
//! let none = Ipv4Addr::UNSPECIFIED;
//! let mut chaddr = [0; 16];
//! chaddr[..6].copy_from_slice(&[0x52, 0x54, 0, 0x12, 0x34, 0x56]);
//! let question = Message {
//!     op: Op::Request, htype: 1, hlen: 6, hops: 0, xid: 7, secs: 0, flags: 0,
//!     ciaddr: none, yiaddr: none, siaddr: none, giaddr: none, chaddr,
//!     sname: Vec::new(), file: Vec::new(), options,
//! };
//!
//! // For each datagram: hand it in, take the events, send the answer if there is one.
//! let arrival = Arrival::at_67(&local, "0.0.0.0:68".parse().unwrap());
//! let answer = responder.handle_datagram(Duration::ZERO, &arrival, &question.to_bytes()).unwrap();
//! while let Some(event) = responder.poll_event() {
//!     println!("{event}");
//! }
//! assert_eq!(Message::decode(&answer.bytes).unwrap().file, b"bios/ipxe.pxe");
//! // Between datagrams: at `poll_timeout` call `handle_timeout`, so that leases end.
//! ```

pub mod driver;
mod interfaces;
pub mod leases;
mod network;
mod responder;
mod settings;
mod socket;
pub mod wire;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::machine::Machine;

pub use driver::{DhcpServer, DriverConfig, DriverError};
pub use interfaces::{Interface, InterfaceError, Local};
pub use leases::{ClientId, Lease, LeaseChange};
pub use network::Network;
pub use responder::{Answer, Answered, Arrival, BootAnswer, Destination, Event, Ignored, Responder, Silence};
pub use settings::{Mode, Pool, SHORTEST_LEASE, Settings, SettingsError};
pub use wire::pxe::Menu;

/// A moment: what has passed since 1970 by the system's clock when the process began, counted from there without
/// jumps. So it never runs backwards. [`DhcpServer`] tells the ends of leases by the system's clock.
pub type Time = Duration;

/// Servers' port (RFC 2131 §4.1).
pub const SERVER_PORT: u16 = 67;
/// Clients' port.
pub const CLIENT_PORT: u16 = 68;
/// Port of boot servers and proxies, asked by unicast (PXE 2.1 §2.2.1).
pub const BOOT_PORT: u16 = 4011;

/// Who says what a machine loads first.
pub trait Booting: Send + Sync {
    /// Name for TFTP, or URL, of what `machine` loads from this point, at `server` (the address of ours that the
    /// machine's network reaches).
    ///
    /// # Errors
    /// Why it gets nothing, in words for an operator.
    fn boot_file(&self, machine: &Machine, server: Ipv4Addr) -> Result<String, String>;

    /// The address that the site keeps for `machine`.
    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr>;

    /// Whether the site keeps `address` for some machine: then no other gets it out of a pool.
    fn is_reserved(&self, address: Ipv4Addr) -> bool;

    /// Whether `machine`, which has `address`, may be the one that the site keeps it for, though it does not say so
    /// now: a board is known by its UUID (option 97), which systems do not send.
    fn may_keep(&self, machine: &Machine, address: Ipv4Addr) -> bool {
        let _ = (machine, address);
        false
    }
}
