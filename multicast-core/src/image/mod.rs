//! The bytes to deliver: files and block devices, and what a WIM among them holds where.
//!
//! [`Delivery`] opens them; [`wim`] finds what of a WIM must arrive first.

mod delivery;
mod error;
mod file;
mod map;
pub mod wim;

pub use delivery::Delivery;
pub use error::ImageError;
pub use file::{FileStamp, ImageFile};
pub use map::MappedRange;
