//! The packets of TFTP, offset by offset (RFC 1350, 2347, 2348, 2349, 7440).

use std::fmt;

/// Bytes of a data packet before its payload.
pub const DATA_HEADER: usize = 4;
/// The block size if none is negotiated (RFC 1350 §2).
pub const DEFAULT_BLOCK: u16 = 512;
/// The least block size that may be asked for (RFC 2348).
pub const LEAST_BLOCK: u16 = 8;
/// The largest block size (RFC 2348): with headers it fills an IPv4 datagram.
pub const LARGEST_BLOCK: u16 = 65_464;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// One packet.
///
/// | opcode | packet | after the opcode (2 bytes, big-endian like every number) |
/// |-------:|--------|-----------------------------------------------------------|
/// |      1 | RRQ    | name, NUL, mode, NUL, then options: name, NUL, value, NUL  |
/// |      2 | WRQ    | the same                                                   |
/// |      3 | DATA   | block (2), payload                                         |
/// |      4 | ACK    | block (2)                                                  |
/// |      5 | ERROR  | code (2), text, NUL                                        |
/// |      6 | OACK   | options: name, NUL, value, NUL                             |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A file is asked for.
    Read(Request<'a>),
    /// A file is offered.
    Write(Request<'a>),
    /// A block.
    Data {
        /// Its number, modulo 2¹⁶.
        block: u16,
        /// Fewer bytes than the block size: the last one.
        payload: &'a [u8],
    },
    /// A block has come, and all before it.
    Ack {
        /// Its number, modulo 2¹⁶; 0 for an OACK.
        block: u16,
    },
    /// The end of a transfer.
    Error {
        /// Why.
        code: ErrorCode,
        /// The same for people.
        text: &'a [u8],
    },
    /// What was agreed to.
    OptionAck(Options),
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file, as the client calls it.
    pub name: &'a [u8],
    /// How its bytes are to be written.
    pub mode: Mode,
    /// What is to be agreed on.
    pub options: Options,
}

/// How the bytes of a file travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As they are.
    Octet,
    /// As lines of text.
    Netascii,
    /// `mail`, which RFC 1350 calls obsolete, or a word that is no mode.
    Other,
}

/// The options that are known; others are not looked at, as RFC 2347 wants it.
///
/// | name         | value, in decimal digits                                                  |
/// |--------------|---------------------------------------------------------------------------|
/// | `blksize`    | bytes of a block, 8 to 65,464 (RFC 2348)                                  |
/// | `timeout`    | seconds until something is sent again, 1 to 255 (RFC 2349)                |
/// | `tsize`      | bytes of the file; 0 in a request (RFC 2349)                              |
/// | `windowsize` | blocks until one is acknowledged, 1 to 65,535 (RFC 7440)                  |
///
/// A value out of its bounds is as good as none: the answer does not name it, and the client goes without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a block.
    pub block_size: Option<u16>,
    /// Seconds until something is sent again.
    pub timeout: Option<u8>,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// Blocks until one is acknowledged.
    pub window: Option<u16>,
}

/// Why a transfer ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// Not defined, see the text.
    pub const OTHER: Self = Self(0);
    /// File not found.
    pub const NOT_FOUND: Self = Self(1);
    /// Access violation.
    pub const DENIED: Self = Self(2);
    /// Disk full, or an allocation exceeded.
    pub const FULL: Self = Self(3);
    /// Illegal TFTP operation.
    pub const ILLEGAL: Self = Self(4);
    /// Unknown transfer ID.
    pub const UNKNOWN_TRANSFER: Self = Self(5);
    /// An option is declined (RFC 2347); what a client says that only wanted to know the size.
    pub const OPTIONS: Self = Self(8);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.0 {
            0 => "not defined",
            1 => "file not found",
            2 => "access violation",
            3 => "disk full",
            4 => "illegal operation",
            5 => "unknown transfer",
            6 => "file exists",
            7 => "no such user",
            8 => "options declined",
            _ => "unknown code",
        };
        write!(f, "error {} ({meaning})", self.0)
    }
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends too early.
    #[error("the packet ends before its {what}")]
    Truncated {
        /// What is missing.
        what: &'static str,
    },
    /// It is longer than such a packet.
    #[error("{extra} bytes follow the packet's end")]
    Trailing {
        /// How many bytes too many.
        extra: usize,
    },
    /// No such packet.
    #[error("opcode {0} is none of TFTP's")]
    Opcode(u16),
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// What stands behind a request's mode and is no whole option is passed over: some boot ROMs send a byte
    /// more than their request. An ERROR may lack its NUL, for the same reason.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (opcode, rest) = number(bytes, "opcode")?;
        match opcode {
            READ => Request::decode(rest).map(Self::Read),
            WRITE => Request::decode(rest).map(Self::Write),
            DATA => number(rest, "block").map(|(block, payload)| Self::Data { block, payload }),
            ACK => match number(rest, "block")? {
                (block, []) => Ok(Self::Ack { block }),
                (_, rest) => Err(WireError::Trailing { extra: rest.len() }),
            },
            ERROR => {
                let (code, rest) = number(rest, "error code")?;
                let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                Ok(Self::Error { code: ErrorCode(code), text })
            }
            OACK => Ok(Self::OptionAck(Options::decode(rest))),
            other => Err(WireError::Opcode(other)),
        }
    }

    /// The datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Read(request) => request.encode(READ),
            Self::Write(request) => request.encode(WRITE),
            Self::Data { block, payload } => [&data_header(*block)[..], payload].concat(),
            Self::Ack { block } => [ACK.to_be_bytes(), block.to_be_bytes()].concat(),
            Self::Error { code, text } => [&ERROR.to_be_bytes()[..], &code.0.to_be_bytes(), text, &[0]].concat(),
            Self::OptionAck(options) => {
                let mut bytes = OACK.to_be_bytes().to_vec();
                options.encode(&mut bytes);
                bytes
            }
        }
    }
}

impl<'a> Request<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (name, rest) = text(bytes).ok_or(WireError::Truncated { what: "file name's end" })?;
        let (mode, rest) = text(rest).ok_or(WireError::Truncated { what: "mode's end" })?;
        let mode = match mode {
            mode if mode.eq_ignore_ascii_case(b"octet") => Mode::Octet,
            mode if mode.eq_ignore_ascii_case(b"netascii") => Mode::Netascii,
            _ => Mode::Other,
        };
        Ok(Self { name, mode, options: Options::decode(rest) })
    }

    fn encode(&self, opcode: u16) -> Vec<u8> {
        let mode: &[u8] = match self.mode {
            Mode::Octet => b"octet",
            Mode::Netascii => b"netascii",
            Mode::Other => b"mail",
        };
        let mut bytes = [&opcode.to_be_bytes()[..], self.name, &[0], mode, &[0]].concat();
        self.options.encode(&mut bytes);
        bytes
    }
}

impl Options {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes the pairs up to the first that is not whole; of two of one name the first.
    fn decode(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let Some((name, value, rest)) = pair(bytes) {
            bytes = rest;
            let Some(value) = decimal(value) else { continue };
            if name.eq_ignore_ascii_case(b"blksize") {
                // More than can be is asked for by clients that mean "as much as there is".
                let size = u16::try_from(value).unwrap_or(LARGEST_BLOCK).min(LARGEST_BLOCK);
                options.block_size = options.block_size.or(Some(size).filter(|size| *size >= LEAST_BLOCK));
            } else if name.eq_ignore_ascii_case(b"timeout") {
                let seconds = u8::try_from(value).ok().filter(|seconds| *seconds > 0);
                options.timeout = options.timeout.or(seconds);
            } else if name.eq_ignore_ascii_case(b"tsize") {
                options.size = options.size.or(Some(value));
            } else if name.eq_ignore_ascii_case(b"windowsize") {
                let window = u16::try_from(value).ok().filter(|window| *window > 0);
                options.window = options.window.or(window);
            }
        }
        options
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let mut put = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(0);
                bytes.extend_from_slice(value.to_string().as_bytes());
                bytes.push(0);
            }
        };
        put("blksize", self.block_size.map(u64::from));
        put("timeout", self.timeout.map(u64::from));
        put("tsize", self.size);
        put("windowsize", self.window.map(u64::from));
    }
}

/// What stands before a block's payload.
pub(super) fn data_header(block: u16) -> [u8; DATA_HEADER] {
    let ([a, b], [c, d]) = (DATA.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

fn number<'a>(bytes: &'a [u8], what: &'static str) -> Result<(u16, &'a [u8]), WireError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(WireError::Truncated { what })?;
    Ok((u16::from_be_bytes(*head), rest))
}

/// The bytes up to a NUL, and those behind it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = text(bytes)?;
    let (value, rest) = text(rest)?;
    Some((name, value, rest))
}

/// Digits alone; a number beyond 64 bits is none.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(rest: &[u8]) -> Options {
        let bytes = [b"\0\x01name\0octet\0", rest].concat();
        match Packet::decode(&bytes) {
            Ok(Packet::Read(request)) => request.options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_reads_as_it_is_written_in_the_rfc() {
        let bytes = b"\0\x01EFI\\boot.efi\0OCTET\0tsize\x000\0BlkSize\x001468\0windowsize\x004\0timeout\x002\0";
        let options = Options { block_size: Some(1468), timeout: Some(2), size: Some(0), window: Some(4) };
        let request = Request { name: b"EFI\\boot.efi", mode: Mode::Octet, options };
        assert_eq!(Packet::decode(bytes), Ok(Packet::Read(request)));
    }

    #[test]
    fn bytes_behind_a_request_are_passed_over() {
        assert_eq!(read(b"\xff"), Options::default());
        assert_eq!(read(b"blksize\x00512\0x").block_size, Some(512));
    }

    #[test]
    fn options_out_of_bounds_are_as_good_as_none() {
        assert!(read(b"blksize\x007\0timeout\x000\0windowsize\x000\0tsize\0-1\0").is_empty());
        assert!(read(b"timeout\x00256\0windowsize\x0065536\0tsize\x0099999999999999999999\0").is_empty());
        assert!(read(b"unheard\x001\0blksize\0\0").is_empty());
    }

    #[test]
    fn a_block_size_beyond_the_largest_means_the_largest() {
        assert_eq!(read(b"blksize\x0099999\0").block_size, Some(LARGEST_BLOCK));
    }

    #[test]
    fn the_first_of_two_options_of_a_name_counts() {
        assert_eq!(read(b"blksize\x001024\0blksize\x00512\0").block_size, Some(1024));
    }

    #[test]
    fn what_is_missing_is_named() {
        let truncated =
            |bytes: &'static [u8], what| assert_eq!(Packet::decode(bytes), Err(WireError::Truncated { what }));
        truncated(b"\0", "opcode");
        truncated(b"\0\x01name", "file name's end");
        truncated(b"\0\x01name\0octet", "mode's end");
        truncated(b"\0\x04\0", "block");
        truncated(b"\0\x05\0", "error code");
        assert_eq!(Packet::decode(b"\0\x07"), Err(WireError::Opcode(7)));
        assert_eq!(Packet::decode(b"\0\x04\0\0\0"), Err(WireError::Trailing { extra: 1 }));
    }

    fn options() -> impl Strategy<Value = Options> {
        let block = proptest::option::of(LEAST_BLOCK..=LARGEST_BLOCK);
        let timeout = proptest::option::of(1..=u8::MAX);
        let size = proptest::option::of(any::<u64>());
        let window = proptest::option::of(1..=u16::MAX);
        (block, timeout, size, window).prop_map(|(block_size, timeout, size, window)| Options {
            block_size,
            timeout,
            size,
            window,
        })
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1..=u8::MAX, 0..40)
    }

    proptest! {
        #[test]
        fn packets_come_back_as_they_were(options in options(), name in word(), block: u16, payload: Vec<u8>, code: u16) {
            let request = Request { name: &name, mode: Mode::Octet, options };
            let packets = [
                Packet::Read(request.clone()),
                Packet::Write(request),
                Packet::Data { block, payload: &payload },
                Packet::Ack { block },
                Packet::Error { code: ErrorCode(code), text: &name },
                Packet::OptionAck(options),
            ];
            for packet in packets {
                let bytes = packet.to_bytes();
                prop_assert_eq!(Packet::decode(&bytes), Ok(packet));
            }
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = Packet::decode(&bytes);
        }
    }
}
