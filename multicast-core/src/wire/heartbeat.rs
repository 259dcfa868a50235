//! The heartbeat: what every client must know, and who is to report.

use super::cursor::{Reader, Writer};
use super::{Kind, WireError};
use crate::types::{Sequence, SessionId, Slot};

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum SessionState {
    /// Waits for clients.
    Waiting = 0,
    /// Sends.
    Running = 1,
    /// Paused by the operator.
    Paused = 2,
    /// Every client has the image; stays open for late ones.
    Idle = 3,
    /// Over.
    Ended = 4,
}

/// Who is to report: the clients whose slots lie in `first..first + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// Number of the poll, echoed by the reports.
    pub number: u32,
    /// The first slot polled.
    pub first: Slot,
    /// Slots polled; 0 polls nobody.
    pub count: u32,
    /// Milliseconds over which the answers are to be spread evenly.
    pub spread_ms: u16,
}

/// State of the session, to the group.
///
/// | offset | width | field                                                          |
/// |-------:|------:|----------------------------------------------------------------|
/// |      0 |     8 | common prefix                                                  |
/// |      8 |     4 | sequence: symbols sent so far                                  |
/// |     12 |     4 | poll: its number                                               |
/// |     16 |     4 | poll: first slot                                               |
/// |     20 |     4 | poll: count of slots                                           |
/// |     24 |     2 | poll: spread of the answers, ms                                |
/// |     26 |     1 | state: 0 waiting, 1 running, 2 paused, 3 idle, 4 ended         |
/// |     27 |     1 | 0                                                              |
/// |     28 |     4 | clients in the session                                         |
/// |     32 |     4 | of these complete                                              |
/// |     36 |     4 | waiting: clients that it waits for, 0 without such a threshold |
/// |     40 |     4 | waiting: ms until it starts by itself, 2³²−1 if it will not    |
/// |     44 |     4 | rate on the wire, kbit/s                                       |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The session.
    pub session: SessionId,
    /// Symbols sent so far.
    pub sequence: Sequence,
    /// Who is to report.
    pub poll: Poll,
    /// What the session is doing.
    pub state: SessionState,
    /// Clients in the session.
    pub clients: u32,
    /// Clients that have everything.
    pub complete: u32,
    /// Clients that it waits for, 0 without such a threshold.
    pub awaited: u32,
    /// Milliseconds until it starts by itself.
    pub starts_in_ms: Option<u32>,
    /// Rate on the wire, kbit/s.
    pub rate_kbit: u32,
}

impl Heartbeat {
    /// Reads a heartbeat.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "heartbeat", Kind::Heartbeat, 0)?;
        let sequence = Sequence(r.u32("sequence")?);
        let (number, first, count) = (r.u32("poll")?, Slot(r.u32("first slot")?), r.u32("slots")?);
        let spread_ms = r.u16("spread")?;
        let state = match r.u8("state")? {
            0 => SessionState::Waiting,
            1 => SessionState::Running,
            2 => SessionState::Paused,
            3 => SessionState::Idle,
            4 => SessionState::Ended,
            other => return Err(WireError::Value { field: "state", value: other.into(), bound: "0 to 4" }),
        };
        let reserved = r.u8("reserved")?;
        if reserved != 0 {
            return Err(WireError::Value { field: "reserved", value: reserved.into(), bound: "0" });
        }
        let (clients, complete, awaited) = (r.u32("clients")?, r.u32("complete")?, r.u32("awaited")?);
        let starts_in = r.u32("time to start")?;
        let rate_kbit = r.u32("rate")?;
        r.finish()?;
        Ok(Self {
            session,
            sequence,
            poll: Poll { number, first, count, spread_ms },
            state,
            clients,
            complete,
            awaited,
            starts_in_ms: (starts_in != u32::MAX).then_some(starts_in),
            rate_kbit,
        })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::open(out, Kind::Heartbeat, 0, self.session);
        w.u32(self.sequence.0).u32(self.poll.number).u32(self.poll.first.0).u32(self.poll.count);
        w.u16(self.poll.spread_ms).u8(self.state as u8).u8(0);
        w.u32(self.clients).u32(self.complete).u32(self.awaited);
        w.u32(self.starts_in_ms.unwrap_or(u32::MAX)).u32(self.rate_kbit);
        w.finish();
    }
}
