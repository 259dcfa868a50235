//! Any datagram at the TFTP server's port, and any conduct of its client behind it.

use std::time::Duration;

use pxe::tftp::desk::{self, Unfit};
use pxe::tftp::wire::Packet;
use pxe::tftp::{Terms, Transfer, Transmit};

use crate::script::{STEP_LIMIT, Script, push_chunk, push_time};

/// Bytes of the file at most: more than 65,535 of the least blocks.
const FILE_LIMIT: u64 = 1 << 20;

/// What the client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TftpOp<'a> {
    /// Lets time pass.
    Wait(Duration),
    /// Acknowledges the block that lies so far from the last one that it was sent (in sixteen bits).
    Ack(u16),
    /// Sends some bytes.
    Send(&'a [u8]),
    /// Lets only so many of the blocks out that are to be sent; the socket is full then.
    Clog(u16),
    /// Sends its request once more.
    AskAgain,
    /// Closes its port.
    Close,
}

impl<'a> TftpOp<'a> {
    fn read(script: &mut Script<'a>) -> Option<Self> {
        Some(match script.next()? % 6 {
            0 => Self::Wait(script.time()),
            1 => Self::Ack(script.u16()),
            2 => Self::Send(script.chunk()),
            3 => Self::Clog(script.u16()),
            4 => Self::AskAgain,
            _ => Self::Close,
        })
    }

    /// The reverse of reading.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Wait(time) => {
                out.push(0);
                push_time(out, time);
            }
            Self::Ack(block) => {
                out.push(1);
                out.extend(block.to_be_bytes());
            }
            Self::Send(bytes) => {
                out.push(2);
                push_chunk(out, bytes);
            }
            Self::Clog(blocks) => {
                out.push(3);
                out.extend(blocks.to_be_bytes());
            }
            Self::AskAgain => out.push(4),
            Self::Close => out.push(5),
        }
    }
}

/// A script that begins with this request for a file of `size` bytes.
pub fn tftp_script(request: &[u8], size: u16, ops: &[TftpOp<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    push_chunk(&mut out, request);
    out.extend(size.to_be_bytes());
    ops.iter().for_each(|op| op.write(&mut out));
    out
}

/// A request, the size of the file in units of 16 bytes and one more, and what the client does. Whether the
/// request is one.
pub fn tftp(input: &[u8]) -> bool {
    let mut script = Script::new(input);
    let request = script.chunk();
    if let Ok(packet) = Packet::decode(request) {
        // What is not known is not kept, so the bytes may be others.
        assert_eq!(Packet::decode(&packet.to_bytes()), Ok(packet));
    }
    let asked = match desk::read(request) {
        Ok(asked) => asked,
        Err(Unfit::Refused(_)) => return true,
        Err(Unfit::Garbage) => return false,
    };
    assert!(asked.name.parts().iter().all(|part| part != ".."));
    let size = (u64::from(script.u16()) * 16 + 1).min(FILE_LIMIT);
    let terms = Terms::agree(&asked.options, size, 1468, 64);
    Client::new(terms).run(&mut script);
    true
}

/// A transfer, and what its client has seen.
struct Client {
    transfer: Transfer,
    now: Duration,
    /// The last block that was ever sent.
    sent: u64,
    clog: Option<u64>,
}

impl Client {
    fn new(terms: Terms) -> Self {
        Self { transfer: Transfer::new(Duration::ZERO, terms), now: Duration::ZERO, sent: 0, clog: None }
    }

    fn run(&mut self, script: &mut Script<'_>) {
        for _ in 0..STEP_LIMIT {
            self.let_out();
            let Some(op) = TftpOp::read(script) else { break };
            match op {
                TftpOp::Wait(time) => {
                    self.now += time;
                    self.transfer.handle_timeout(self.now);
                }
                TftpOp::Ack(ahead) => {
                    let block = (self.sent as u16).wrapping_add(ahead);
                    self.transfer.handle_datagram(self.now, &Packet::Ack { block }.to_bytes());
                }
                TftpOp::Send(bytes) => self.transfer.handle_datagram(self.now, bytes),
                TftpOp::Clog(blocks) => self.clog = Some(u64::from(blocks)),
                TftpOp::AskAgain => self.transfer.handle_request_again(self.now),
                TftpOp::Close => self.transfer.handle_gone(),
            }
        }
        self.must_end();
    }

    /// Takes what there is to send, and holds the server to its terms.
    fn let_out(&mut self) {
        let terms = *self.transfer.terms();
        while let Some(transmit) = self.transfer.poll_transmit(self.now) {
            assert_eq!(self.transfer.outcome(), None);
            let count = match transmit {
                Transmit::Packet(bytes) => {
                    assert!(matches!(Packet::decode(&bytes), Ok(Packet::OptionAck(_))));
                    1
                }
                Transmit::Blocks { first, count } => {
                    assert!(first >= 1 && count >= 1 && count <= u64::from(terms.window));
                    let last = first + count - 1;
                    assert!(last <= terms.last_block());
                    assert!(first <= self.sent + 1, "blocks are left out");
                    let room = self.clog.take().unwrap_or(count).min(count);
                    self.sent = self.sent.max(first + room - 1);
                    room
                }
            };
            self.transfer.handle_sent(self.now, count);
            if count == 0 {
                break;
            }
        }
        assert!(self.transfer.confirmed_bytes() <= terms.size);
        assert_eq!(self.transfer.poll_timeout().is_none(), self.transfer.outcome().is_some());
    }

    /// A client that says no more is given up within a bounded time, and sent a bounded number of times.
    fn must_end(&mut self) {
        for _ in 0..10_000 {
            let Some(next) = self.transfer.poll_timeout() else { return };
            self.now = self.now.max(next);
            self.transfer.handle_timeout(self.now);
            self.let_out();
        }
        panic!("the transfer does not end: {:?}", self.transfer);
    }
}
