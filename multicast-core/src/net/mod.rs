//! Sockets for multicast: what the engine's loops need, and nothing of its protocol.
//!
//! Everything that differs between platforms stands in the private module `sys`.

mod error;
mod interface;
mod receive;
mod send;
mod socket;
mod sys;
mod wait;

pub use error::{InterfaceError, NetError};
pub use interface::{Interface, choose, interfaces};
pub use receive::{MulticastReceiver, RECEIVE_BUFFER, Received};
pub use send::{MAX_BATCH_BYTES, MAX_SEGMENTS, MulticastSender, SendStats, SenderOptions};
pub use socket::{BufferSize, ControlSocket};
pub use sys::Handle;
pub use wait::{Ready, Waker, wait};
