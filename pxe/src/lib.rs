//! The PXE service point: bare machines boot into what their site has for them.
//!
//! - [`machine`] is who asks: addresses, SMBIOS UUID, firmware.
//! - [`images`] is what can be booted: kept by name, and nothing else is taken.
//! - [`boot`] is what the site wants of its machines, and what follows from it for one of them.
//! - [`point`] joins them all: what DHCP, TFTP and HTTP answer for a site.
//! - [`dhcp`] tells a machine its address, and what to load first.
//! - [`tftp`] serves files to machines whose firmware knows no better way; [`files`] keeps it in the boot folder.
//!
//! The crate knows no database: whoever embeds it implements [`boot::Directory`].

pub mod boot;
pub mod dhcp;
pub mod files;
pub mod images;
pub mod machine;
pub mod point;
pub mod tftp;
