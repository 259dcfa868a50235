//! The PXE service point: bare machines boot into what their site has for them.
//!
//! - [`machine`] is who asks: addresses, SMBIOS UUID, firmware.
//! - [`boot`] is what the site wants of its machines, and what follows from it for one of them.
//! - [`dhcp`] tells a machine its address, and what to load first.
//!
//! The crate knows no database: whoever embeds it implements [`boot::Directory`].

pub mod boot;
pub mod dhcp;
pub mod machine;
