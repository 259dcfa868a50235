//! Sockets for multicast: what the engine's loops need, and nothing of its protocol.
//!
//! Everything that differs between platforms stands in the private modules `sys`, `option` and `overhear`.

mod error;
mod interface;
mod option;
mod overhear;
mod receive;
mod send;
mod socket;
mod sys;
mod wait;

pub use error::{InterfaceError, NetError};
pub use interface::{Interface, choose, interfaces};
pub use overhear::{IgmpListener, Overhear};
pub use receive::{MulticastReceiver, RECEIVE_BUFFER, Received};
pub use send::{MAX_BATCH_BYTES, MAX_SEGMENTS, MulticastSender, SendStats, SenderOptions};
pub use socket::{BufferSize, ControlSocket};
pub use sys::{Handle, path_mtu};
pub use wait::{Ready, Waker, wait};
