//! Engine that streams one disk image to many machines at once over IP multicast.

pub mod address;
pub mod bitmap;
pub mod codec;
pub mod engine;
pub mod image;
pub mod layout;
pub mod manifest;
pub mod net;
pub mod pace;
pub mod receiver;
pub mod sender;
pub mod sim;
pub mod store;
pub mod types;
pub mod wire;
