//! What each fuzz target does with its input: a function from bytes that must not panic.
//!
//! They are a plain crate, so that `cargo test` runs the committed seeds through them without a
//! fuzzer. Each one returns whether the input was of use: it parsed, or the session came to its
//! end. Seeds that should be are held to that by `tests/corpus.rs`.

mod boot_image;
mod delivery;
mod dhcp;
mod journal;
mod leases;
mod manifest;
mod receiver;
mod script;
mod sender;
mod tftp;
mod wim;
mod wire;

pub use boot_image::boot_image;
pub use delivery::{Delivery, GROUP, SESSION};
pub use dhcp::{dhcp, dhcp_step};
pub use journal::journal;
pub use leases::madcap;
pub use manifest::manifest;
pub use receiver::{ReceiverOp, receiver};
pub use sender::{ReportOp, SenderOp, client_address, sender};
pub use tftp::{TftpOp, tftp, tftp_script};
pub use wim::wim;
pub use wire::{encode, wire};

/// A target's name, which is also its corpus folder's, and its body.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("wire", wire),
    ("wim", wim),
    ("manifest", manifest),
    ("receiver", receiver),
    ("sender", sender),
    ("journal", journal),
    ("madcap", madcap),
    ("tftp", tftp),
    ("dhcp", dhcp),
    ("boot_image", boot_image),
];
