//! What can happen to a sender.

use std::time::Duration;

use crate::script::{Script, push_chunk, push_time};

/// One step of a script.
#[derive(Debug, Clone, Copy)]
pub enum SenderOp<'a> {
    /// A datagram comes from a client's address.
    Datagram {
        /// Whose address.
        from: u8,
        /// The datagram.
        datagram: &'a [u8],
    },
    /// Time passes.
    Wait(Duration),
    /// The next deadlines come, so many of them.
    Deadlines(u8),
    /// A client joins.
    Join {
        /// Which one.
        client: u8,
    },
    /// A client reports.
    Report(ReportOp<'a>),
    /// A client goes.
    Leave {
        /// Which one.
        client: u8,
    },
    /// The operator starts the session.
    Start,
    /// The operator pauses it.
    Pause,
    /// The operator resumes it.
    Resume,
    /// The operator cancels it.
    Cancel,
    /// The operator removes a client.
    Remove {
        /// Which one.
        client: u8,
    },
}

/// A report.
#[derive(Debug, Clone, Copy)]
pub struct ReportOp<'a> {
    /// Who.
    pub client: u8,
    /// It has everything.
    pub complete: bool,
    /// Symbols since the client looked, subtracted from those sent.
    pub behind: u16,
    /// Symbols received.
    pub received: u16,
    /// Blocks verified.
    pub verified: u8,
    /// The first block told of.
    pub from: u8,
    /// What each block from there on lacks.
    pub deficits: &'a [u8],
}

impl<'a> SenderOp<'a> {
    pub(crate) fn read(script: &mut Script<'a>) -> Option<Self> {
        Some(match script.next()? % 11 {
            0 => Self::Datagram { from: script.u8(), datagram: script.chunk() },
            1 => Self::Wait(script.time()),
            2 => Self::Deadlines(script.u8()),
            3 => Self::Join { client: script.u8() },
            4 => Self::Report(ReportOp {
                client: script.u8(),
                complete: script.u8() & 1 != 0,
                behind: script.u16(),
                received: script.u16(),
                verified: script.u8(),
                from: script.u8(),
                deficits: script.chunk(),
            }),
            5 => Self::Leave { client: script.u8() },
            6 => Self::Start,
            7 => Self::Pause,
            8 => Self::Resume,
            9 => Self::Cancel,
            _ => Self::Remove { client: script.u8() },
        })
    }

    /// Appends the step as it is read.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Datagram { from, datagram } => {
                out.extend([0, from]);
                push_chunk(out, datagram);
            }
            Self::Wait(time) => {
                out.push(1);
                push_time(out, time);
            }
            Self::Deadlines(count) => out.extend([2, count]),
            Self::Join { client } => out.extend([3, client]),
            Self::Report(report) => {
                out.extend([4, report.client, report.complete.into()]);
                out.extend(report.behind.to_be_bytes());
                out.extend(report.received.to_be_bytes());
                out.extend([report.verified, report.from]);
                push_chunk(out, report.deficits);
            }
            Self::Leave { client } => out.extend([5, client]),
            Self::Start => out.push(6),
            Self::Pause => out.push(7),
            Self::Resume => out.push(8),
            Self::Cancel => out.push(9),
            Self::Remove { client } => out.extend([10, client]),
        }
    }
}
