//! The PXE service point: bare machines boot into what their site has for them.
//!
//! - [`machine`] is who asks: addresses, SMBIOS UUID, firmware.
//! - [`boot`] is what the site wants of its machines, and what follows from it for one of them.
//!
//! The crate knows no database: whoever embeds it implements [`boot::Directory`].

pub mod boot;
pub mod machine;
