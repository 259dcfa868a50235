//! Leases multicast addresses from a DHCP server by MADCAP (RFC 2730).
//!
//! For multicast, "a DHCP server" means MADCAP: a protocol of its own beside DHCP, UDP port 2535, that for
//! example Windows Server's DHCP role speaks for its multicast scopes.
//!
//! - [`wire`] is the format, message by message.
//! - [`Client`] is the state machine that gets addresses, keeps them and gives them back.
//! - [`driver`] runs a client over a socket, in a thread.
//! - [`Responder`] is a small server, for tests and for benches without another one
//!   (`cargo run -p madcap --example madcap_responder -- --help`).
//!
//! Neither machine does I/O, reads a clock or draws randomness. Here both are driven by hand:
//!
//! ```
//! use std::net::{Ipv4Addr, SocketAddrV4};
//! use madcap::{Client, Config, Event, Responder, ResponderConfig, Time};
//!
//! let mut server = Responder::new(ResponderConfig {
//!     first: Ipv4Addr::new(239, 192, 7, 0),
//!     last: Ipv4Addr::new(239, 192, 7, 255),
//!     ..ResponderConfig::new(Ipv4Addr::new(10, 0, 0, 1))
//! });
//! let mut client = Client::new(Config::default(), 42);
//! let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 40_000);
//! let mut now = Time::ZERO;
//! client.wish(now, 1);
//!
//! let lease = 'leased: loop {
//!     // Everything that there is to send goes first …
//!     while let Some(transmit) = client.poll_transmit() {
//!         server.handle_datagram(now, from, &transmit.bytes);
//!         while let Some(answer) = server.poll_transmit() {
//!             client.handle_datagram(now, SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 2535), &answer.bytes);
//!         }
//!     }
//!     // … then events are taken …
//!     while let Some(event) = client.poll_event() {
//!         if let Event::Leased { lease } = event {
//!             break 'leased lease;
//!         }
//!     }
//!     // … and then one waits, for a datagram or for the next deadline.
//!     now = client.poll_timeout().expect("a wish is never given up");
//!     client.handle_timeout(now);
//! };
//! assert_eq!(lease.address.octets()[..3], [239, 192, 7]);
//! ```

mod client;
pub mod driver;
mod lease;
mod responder;
pub mod wire;

pub use client::{Asked, ChosenScope, Client, Config, Counters, Event, LostReason, Timing, Transmit};
pub use driver::MadcapClient;
pub use lease::{Lease, LeaseId, ParseLeaseIdError, Refusal};
pub use responder::{Mood, Responder, ResponderConfig, ResponderEvent};

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A moment, as what has passed since an arbitrary start that one machine's calls have in common. It never runs
/// backwards.
pub type Time = Duration;

/// The UDP port of servers (RFC 2730 §2).
pub const PORT: u16 = 2535;

/// The scope that is taken where no server names one: IPv4 Local Scope, 239.255.0.0/16 (RFC 2730 §2.7, RFC 2365 §6.1).
pub const LOCAL_SCOPE: Ipv4Addr = Ipv4Addr::new(239, 255, 0, 0);

/// Where servers listen: the last address but one of the local scope (RFC 2730 §2.10).
pub const SERVER_GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 254), PORT);

/// Hops that a message to [`SERVER_GROUP`] may take (RFC 2730 §2.7).
pub const SERVER_GROUP_TTL: u32 = 16;
