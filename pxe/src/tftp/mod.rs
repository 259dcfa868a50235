//! TFTP for machines that boot: RFC 1350 with the options of RFC 2347, 2348, 2349 and 7440, read-only.
//!
//! - [`wire`] is the format, packet by packet.
//! - [`Terms`] is what a client's wishes come to; [`Transfer`] is the state machine of one file on its way.
//! - [`desk`] judges what comes to the server's port, and who makes room when all places are taken.
//! - [`Source`] is where files come from: a folder ([`BootFiles`](crate::files::BootFiles)), or what the
//!   embedding program makes of a name.
//! - [`TftpServer`] runs it all over sockets, in one thread.
//!
//! A transfer does no I/O and reads no clock. Here one is driven by hand, and its client, too:
//!
//! ```
//! use std::time::Duration;
//! use pxe::tftp::wire::{Options, Packet};
//! use pxe::tftp::{Outcome, Terms, Transfer, Transmit};
//!
//! let file = b"a boot program".repeat(100);
//! let asked = Options { block_size: Some(1024), ..Options::default() };
//! let terms = Terms::agree(&asked, file.len() as u64, 1468, 64);
//! let mut now = Duration::ZERO;
//! let mut transfer = Transfer::new(now, terms);
//! let mut received = Vec::new();
//!
//! let outcome = 'over: loop {
//!     // Everything that there is to send goes first …
//!     while let Some(transmit) = transfer.poll_transmit(now) {
//!         match transmit {
//!             Transmit::Packet(_) => {
//!                 transfer.handle_sent(now, 1);
//!                 transfer.handle_datagram(now, &Packet::Ack { block: 0 }.to_bytes());
//!             }
//!             Transmit::Blocks { first, count } => {
//!                 transfer.handle_sent(now, count);
//!                 for block in first..first + count {
//!                     let (offset, len) = terms.extent(block);
//!                     received.extend_from_slice(&file[offset as usize..][..len]);
//!                 }
//!                 let last = (first + count - 1) as u16;
//!                 transfer.handle_datagram(now, &Packet::Ack { block: last }.to_bytes());
//!             }
//!         }
//!         if let Some(outcome) = transfer.outcome() {
//!             break 'over outcome.clone();
//!         }
//!     }
//!     // … and then one waits, for a datagram or for the next deadline.
//!     now = transfer.poll_timeout().expect("it is not over");
//!     transfer.handle_timeout(now);
//! };
//! assert_eq!(outcome, Outcome::Done { confirmed: true });
//! assert_eq!(received, file);
//! ```

mod agenda;
pub mod desk;
mod door;
mod driver;
mod event;
mod line;
mod option;
mod round_trip;
mod source;
mod terms;
mod transfer;
pub mod wire;

use std::time::Duration;

pub use driver::{Settings, StartError, TftpServer};
pub use event::{Aborted, Counters, Event, Served};
pub use source::{Asker, Content, Refusal, Source};
pub use terms::{LARGEST_WINDOW, Terms};
pub use transfer::{Outcome, Transfer, Transmit};

/// A moment, as what has passed since an arbitrary start that one machine's calls have in common. It never runs
/// backwards.
pub type Time = Duration;

/// The UDP port of servers (RFC 1350 §4).
pub const PORT: u16 = 69;
