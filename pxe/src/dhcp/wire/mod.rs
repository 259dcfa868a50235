//! Every byte of a DHCP message (RFC 2131 §2): the only module that knows an offset.
//!
//! All integers are big-endian.
//!
//! | offset | width | field                                                                    |
//! |-------:|------:|--------------------------------------------------------------------------|
//! |      0 |     1 | `op`, [`Op`]                                                             |
//! |      1 |     1 | `htype`, kind of hardware address, 1: Ethernet (IANA's number)           |
//! |      2 |     1 | `hlen`, bytes of the hardware address; may say more than there is        |
//! |      3 |     1 | `hops`, relay agents on the way                                          |
//! |      4 |     4 | `xid`, chosen by the client, repeated by the server                      |
//! |      8 |     2 | `secs`, seconds since the client began                                   |
//! |     10 |     2 | `flags`, the highest bit: answer by broadcast                            |
//! |     12 |     4 | `ciaddr`, the client's address, if it has one                            |
//! |     16 |     4 | `yiaddr`, "your" address, from the server                                |
//! |     20 |     4 | `siaddr`, the server to boot from                                        |
//! |     24 |     4 | `giaddr`, the relay agent                                                |
//! |     28 |    16 | `chaddr`, hardware address, padded with zeros                            |
//! |     44 |    64 | `sname`, name of the server to boot from, or options ([`OVERLOAD`](code::OVERLOAD)) |
//! |    108 |   128 | `file`, name of the boot file, or options                                |
//! |    236 |     4 | magic cookie, 99 130 83 99                                               |
//! |    240 |     … | options, [`Options`]                                                     |
//!
//! Decoding follows an overload once, joins the parts of split options (RFC 3396), names what is cut off, and cannot
//! panic. Encoding never overloads: many boot ROMs read options only where they belong.

mod options;
pub mod pxe;

pub use options::{Options, code};

use std::fmt;
use std::net::Ipv4Addr;

/// Bytes before the options, with the cookie.
pub const HEADER_LEN: usize = 240;
/// Longer messages are refused: no client needs as much, and what is kept of a request is bounded by it.
pub const MAX_MESSAGE_LEN: usize = 4096;
/// Shorter answers are padded to this, as some ROMs and relay agents still expect BOOTP's size (RFC 951).
pub const MIN_ANSWER_LEN: usize = 300;
/// Bit of `flags`: the client cannot yet take unicast (RFC 2131 §2).
pub const BROADCAST: u16 = 0x8000;
/// `htype` of Ethernet.
pub const ETHERNET: u8 = 1;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME_LEN: usize = 64;
const FILE_LEN: usize = 128;

/// A DHCP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose.
    pub op: Op,
    /// Kind of hardware address.
    pub htype: u8,
    /// Bytes of the hardware address, as said; above 16 it is wrong.
    pub hlen: u8,
    /// Relay agents on the way.
    pub hops: u8,
    /// What joins a question and its answer.
    pub xid: u32,
    /// Seconds since the client began to ask, by its own count.
    pub secs: u16,
    /// [`BROADCAST`] or not; other bits must be zero.
    pub flags: u16,
    /// The client's address.
    pub ciaddr: Ipv4Addr,
    /// The address that the client is given.
    pub yiaddr: Ipv4Addr,
    /// The server to boot from.
    pub siaddr: Ipv4Addr,
    /// The relay agent.
    pub giaddr: Ipv4Addr,
    /// Hardware address.
    pub chaddr: [u8; 16],
    /// Name of the server to boot from, up to its NUL: at most 63 bytes are sent.
    pub sname: Vec<u8>,
    /// Name of the boot file, up to its NUL: at most [`MAX_FILE_LEN`] bytes are sent.
    pub file: Vec<u8>,
    /// The options, those of overloaded fields included.
    pub options: Options,
}

/// Longest name that fits into the field `file` with a NUL behind it.
pub const MAX_FILE_LEN: usize = FILE_LEN - 1;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// A client.
    Request = 1,
    /// A server.
    Reply = 2,
}

/// What a message is: option 53 (RFC 2132 §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Client: who can give me an address, or a boot file?
    Discover = 1,
    /// Server: I can.
    Offer = 2,
    /// Client: I take it; or, at port 4011, what do I boot?
    Request = 3,
    /// Client: somebody else has this address.
    Decline = 4,
    /// Server: it is yours.
    Ack = 5,
    /// Server: no.
    Nak = 6,
    /// Client: I need it no more.
    Release = 7,
    /// Client: I have an address, tell me the rest.
    Inform = 8,
}

/// Why bytes are no DHCP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends too early.
    #[error("{what} is cut off: {needed} bytes needed, {got} there")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// An option says that it is longer than what follows.
    #[error("option {code} says it has {needed} bytes, {got} follow in the {place}")]
    Option {
        /// Its number.
        code: u8,
        /// Bytes that it says it has.
        needed: usize,
        /// Bytes that are left.
        got: usize,
        /// The field of the message.
        place: &'static str,
    },
    /// Neither a request nor a reply.
    #[error("op is {0}, neither 1 (request) nor 2 (reply)")]
    Op(u8),
    /// Not DHCP, or plain BOOTP.
    #[error("the magic cookie of DHCP is missing")]
    Cookie,
    /// Longer than is taken.
    #[error("{0} bytes, more than the {MAX_MESSAGE_LEN} that are taken")]
    TooLong(usize),
}

impl Message {
    /// A server's answer to this message, with everything that RFC 2131 table 3 says is repeated.
    #[must_use]
    pub fn answer(&self, kind: Kind) -> Self {
        let mut options = Options::default();
        options.push(code::KIND, &[kind as u8]);
        Self {
            op: Op::Reply,
            htype: self.htype,
            hlen: self.hlen,
            hops: 0,
            xid: self.xid,
            secs: 0,
            flags: self.flags & BROADCAST,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: self.giaddr,
            chaddr: self.chaddr,
            sname: Vec::new(),
            file: Vec::new(),
            options,
        }
    }

    /// What it is, if option 53 says so.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self.options.get(code::KIND) {
            Some(&[byte]) => Kind::from_byte(byte),
            _ => None,
        }
    }

    /// The hardware address, as long as it is said to be and is.
    #[must_use]
    pub fn hardware(&self) -> &[u8] {
        let len = usize::from(self.hlen).min(self.chaddr.len());
        &self.chaddr[..len]
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`WireError`], if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(WireError::TooLong(bytes.len()));
        }
        let mut reader = Reader { rest: bytes };
        let op = reader.u8("op")?;
        let op = Op::from_byte(op).ok_or(WireError::Op(op))?;
        let [htype, hlen, hops] = reader.array("the header")?;
        let (xid, secs, flags) = (reader.u32("xid")?, reader.u16("secs")?, reader.u16("flags")?);
        let (ciaddr, yiaddr) = (reader.ipv4("ciaddr")?, reader.ipv4("yiaddr")?);
        let (siaddr, giaddr) = (reader.ipv4("siaddr")?, reader.ipv4("giaddr")?);
        let chaddr = reader.array("chaddr")?;
        let sname: [u8; SNAME_LEN] = reader.array("sname")?;
        let file: [u8; FILE_LEN] = reader.array("file")?;
        if reader.array("the cookie")? != COOKIE {
            return Err(WireError::Cookie);
        }
        let mut options = Options::default();
        options.read(reader.rest, "options")?;
        let overload = options.take(code::OVERLOAD);
        let overload = if let Some(&[bits]) = overload.as_deref() { bits } else { 0 };
        // Taken before what the fields hold is read: an overload in there leads nowhere. RFC 3396 §5: file goes first.
        let (in_file, in_sname) = (overload & 1 != 0, overload & 2 != 0);
        if in_file {
            options.read(&file, "field file")?;
        }
        if in_sname {
            options.read(&sname, "field sname")?;
        }
        options.take(code::OVERLOAD);
        let sname = if in_sname { Vec::new() } else { text(&sname) };
        let file = if in_file { Vec::new() } else { text(&file) };
        Ok(Self {
            op,
            htype,
            hlen,
            hops,
            xid,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            chaddr,
            sname,
            file,
            options,
        })
    }

    /// The message in at most `limit` bytes; options that do not fit are left out, the last ones first, and named.
    #[must_use]
    pub fn encode(&self, limit: usize) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::with_capacity(limit.clamp(MIN_ANSWER_LEN, MAX_MESSAGE_LEN));
        out.extend([self.op as u8, self.htype, self.hlen, self.hops]);
        out.extend(self.xid.to_be_bytes());
        out.extend(self.secs.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend(address.octets());
        }
        out.extend(self.chaddr);
        for (name, len) in [(&self.sname, SNAME_LEN), (&self.file, FILE_LEN)] {
            let end = out.len() + len;
            // One byte stays for the NUL: ROMs read on until they find one.
            out.extend(name.iter().take(len - 1));
            out.resize(end, 0);
        }
        out.extend(COOKIE);
        let left_out = self.options.write(&mut out, limit);
        if out.len() < MIN_ANSWER_LEN {
            out.resize(MIN_ANSWER_LEN, 0);
        }
        (out, left_out)
    }

    /// The whole message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode(usize::MAX).0
    }
}

impl Op {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Request),
            2 => Some(Self::Reply),
            _ => None,
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Discover, Self::Offer, Self::Request, Self::Decline, Self::Ack, Self::Nak, Self::Release, Self::Inform];

    /// The kind of a value of option 53.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// As RFC 2131 writes it, without "DHCP".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discover => "DISCOVER",
            Self::Offer => "OFFER",
            Self::Request => "REQUEST",
            Self::Decline => "DECLINE",
            Self::Ack => "ACK",
            Self::Nak => "NAK",
            Self::Release => "RELEASE",
            Self::Inform => "INFORM",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands before the first NUL, for which one byte is left if it is missing.
fn text(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take(field.len() - 1).take_while(|byte| *byte != 0).collect()
}

/// Reads bytes front to back and names what is missing.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let got = self.rest.len();
        let (head, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated { what, needed: N, got })?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array(what).map(u8::from_be_bytes)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    fn ipv4(&mut self, what: &'static str) -> Result<Ipv4Addr, WireError> {
        self.array::<4>(what).map(Ipv4Addr::from)
    }
}

#[cfg(test)]
mod tests;
