//! What can happen to a receiver.

use std::time::Duration;

use crate::script::{Script, push_chunk, push_time};

/// One step of a script.
#[derive(Debug, Clone, Copy)]
pub enum ReceiverOp<'a> {
    /// A buffer comes from the group, cut into datagrams of `segment` bytes; 0 for one datagram.
    Group {
        /// Bytes of a datagram.
        segment: u8,
        /// The buffer.
        buffer: &'a [u8],
    },
    /// A datagram comes from the server.
    Server(&'a [u8]),
    /// Time passes.
    Wait(Duration),
    /// The next deadline comes.
    Deadline,
    /// Symbols of the delivery come from the group.
    Symbols {
        /// Of this block.
        block: u8,
        /// From this one on.
        first: u8,
        /// So many.
        count: u8,
        /// The byte of the buffer that is damaged, and how; 0 for none.
        damage: (u8, u8),
    },
    /// A heartbeat comes: its state, clients, and the slots polled, from the first.
    Heartbeat {
        /// Modulo the states there are.
        state: u8,
        /// Clients, in thousands.
        clients: u8,
        /// First slot.
        first: u8,
        /// Slots.
        count: u8,
    },
    /// An offer comes that differs from the right one as `twist` says.
    Offer {
        /// See the harness.
        twist: u8,
    },
    /// A release comes.
    Release(u8),
    /// A refusal comes.
    Refusal(u8),
    /// A job is taken and done, but its result is not yet told.
    RunJob,
    /// The oldest result is told.
    TellJob,
    /// All jobs are done and told.
    Settle,
    /// From now on the store works or fails.
    Store {
        /// Whether it works.
        works: bool,
    },
    /// The store's window ends before this block of the image.
    Window(u8),
    /// The driver gives up.
    Leave,
}

impl<'a> ReceiverOp<'a> {
    pub(crate) fn read(script: &mut Script<'a>) -> Option<Self> {
        Some(match script.next()? % 15 {
            0 => Self::Group { segment: script.u8(), buffer: script.chunk() },
            1 => Self::Server(script.chunk()),
            2 => Self::Wait(script.time()),
            3 => Self::Deadline,
            4 => {
                let (block, first, count) = (script.u8(), script.u8(), script.u8() % 45);
                Self::Symbols { block, first, count, damage: (script.u8(), script.u8()) }
            }
            5 => {
                let (state, clients) = (script.u8(), script.u8());
                Self::Heartbeat { state, clients, first: script.u8(), count: script.u8() }
            }
            6 => Self::Offer { twist: script.u8() },
            7 => Self::Release(script.u8()),
            8 => Self::Refusal(script.u8()),
            9 => Self::RunJob,
            10 => Self::TellJob,
            11 => Self::Settle,
            12 => Self::Store { works: script.u8() & 1 == 0 },
            13 => Self::Window(script.u8()),
            _ => Self::Leave,
        })
    }

    /// Appends the step as it is read.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Group { segment, buffer } => {
                out.extend([0, segment]);
                push_chunk(out, buffer);
            }
            Self::Server(datagram) => {
                out.push(1);
                push_chunk(out, datagram);
            }
            Self::Wait(time) => {
                out.push(2);
                push_time(out, time);
            }
            Self::Deadline => out.push(3),
            Self::Symbols { block, first, count, damage } => out.extend([4, block, first, count, damage.0, damage.1]),
            Self::Heartbeat { state, clients, first, count } => out.extend([5, state, clients, first, count]),
            Self::Offer { twist } => out.extend([6, twist]),
            Self::Release(reason) => out.extend([7, reason]),
            Self::Refusal(reason) => out.extend([8, reason]),
            Self::RunJob => out.push(9),
            Self::TellJob => out.push(10),
            Self::Settle => out.push(11),
            Self::Store { works } => out.extend([12, u8::from(!works)]),
            Self::Window(end) => out.extend([13, end]),
            Self::Leave => out.push(14),
        }
    }
}
