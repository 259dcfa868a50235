//! Options of a message (RFC 2132 §2), joined if they come in parts (RFC 3396).

use std::net::Ipv4Addr;

use super::WireError;

/// Options' numbers, as IANA lists them.
pub mod code {
    /// One byte without a length.
    pub const PAD: u8 = 0;
    /// The client's subnet mask.
    pub const NETMASK: u8 = 1;
    /// Routers in the client's subnet.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const DNS: u8 = 6;
    /// Domain of the client.
    pub const DOMAIN: u8 = 15;
    /// Broadcast address of the client's subnet.
    pub const BROADCAST_ADDRESS: u8 = 28;
    /// Sub-options of the vendor named in option 60; PXE's are in [`pxe`](super::super::pxe).
    pub const VENDOR: u8 = 43;
    /// The address that a client asks for.
    pub const REQUESTED: u8 = 50;
    /// Seconds of a lease.
    pub const LEASE_TIME: u8 = 51;
    /// The fields that hold options: 1 `file`, 2 `sname`, 3 both.
    pub const OVERLOAD: u8 = 52;
    /// [`Kind`](super::super::Kind).
    pub const KIND: u8 = 53;
    /// The server's address, by which a client tells servers apart.
    pub const SERVER_ID: u8 = 54;
    /// Why not, in words.
    pub const MESSAGE: u8 = 56;
    /// Bytes of the longest IP packet that a client takes.
    pub const MAX_SIZE: u8 = 57;
    /// Seconds until a lease is renewed.
    pub const RENEW: u8 = 58;
    /// Seconds until a lease is renewed at any server.
    pub const REBIND: u8 = 59;
    /// Vendor class: `PXEClient…`, `HTTPClient…`.
    pub const CLASS: u8 = 60;
    /// Client identifier.
    pub const CLIENT_ID: u8 = 61;
    /// Name of the TFTP server.
    pub const TFTP_SERVER: u8 = 66;
    /// Name or URL of the boot file.
    pub const BOOT_FILE: u8 = 67;
    /// User class (RFC 3004).
    pub const USER_CLASS: u8 = 77;
    /// What a relay agent adds (RFC 3046).
    pub const RELAY: u8 = 82;
    /// The client's architectures (RFC 4578 §2.1).
    pub const ARCHITECTURE: u8 = 93;
    /// The client's UUID (RFC 4578 §2.3).
    pub const UUID: u8 = 97;
    /// The subnet that an address is wanted of (RFC 3011).
    pub const SUBNET: u8 = 118;
    /// iPXE's own sub-options.
    pub const IPXE: u8 = 175;
    /// The last one, one byte without a length.
    pub const END: u8 = 255;
}

/// Bytes of one part of an option.
const MAX_PART: usize = 255;

/// The options of a message, each number once, in order of appearance, but for what is for relay agents: they look for
/// it at the end (RFC 3046 §2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    /// The value of an option.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| *own == code).map(|(_, value)| &**value)
    }

    /// The value of an option that is one address; `None` if it is anything else.
    #[must_use]
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = self.get(code)?.try_into().ok()?;
        Some(bytes.into())
    }

    /// Numbers and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(code, value)| (*code, &**value))
    }

    /// Adds an option; if it is there already the value goes behind what it has (RFC 3396 §5). Pad and End are none.
    pub fn push(&mut self, code: u8, value: &[u8]) {
        if matches!(code, code::PAD | code::END) {
            return;
        }
        match self.0.iter_mut().find(|(own, _)| *own == code) {
            Some((_, known)) => known.extend(value),
            None => {
                let before = usize::from(self.0.last().is_some_and(|(last, _)| *last == code::RELAY));
                self.0.insert(self.0.len() - before, (code, value.to_vec()));
            }
        }
    }

    /// Removes an option.
    pub fn take(&mut self, code: u8) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(own, _)| *own == code)?;
        Some(self.0.remove(at).1)
    }

    /// Adds what a field holds: number, length, value, up to End or to the field's end.
    pub(super) fn read(&mut self, field: &[u8], place: &'static str) -> Result<(), WireError> {
        let mut rest = field;
        while let Some((&code, behind)) = rest.split_first() {
            rest = match code {
                code::PAD => behind,
                code::END => break,
                _ => {
                    let cut = |needed, got| WireError::Option { code, needed, got, place };
                    let (&len, behind) = behind.split_first().ok_or(cut(1, 0))?;
                    let len = usize::from(len);
                    let (value, behind) = behind.split_at_checked(len).ok_or(cut(len, behind.len()))?;
                    self.push(code, value);
                    behind
                }
            };
        }
        Ok(())
    }

    /// Appends them and End, as long as the message stays within `limit` bytes; the numbers of those left out. What is
    /// for relay agents has its room before all others.
    pub(super) fn write(&self, out: &mut Vec<u8>, limit: usize) -> Vec<u8> {
        let mut left_out = Vec::new();
        let mut kept = self.get(code::RELAY).map_or(0, written);
        if out.len() + kept + 1 > limit {
            kept = 0;
        }
        for (code, value) in &self.0 {
            if *code == code::RELAY {
                kept = 0;
            }
            if out.len() + written(value) + kept + 1 > limit {
                left_out.push(*code);
                continue;
            }
            for part in 0..parts(value) {
                let part = value.iter().skip(part * MAX_PART).take(MAX_PART);
                out.extend([*code, part.len() as u8]);
                out.extend(part);
            }
        }
        out.push(code::END);
        left_out
    }
}

/// How many parts a value has.
fn parts(value: &[u8]) -> usize {
    value.len().div_ceil(MAX_PART).max(1)
}

/// Bytes of an option as it is written.
fn written(value: &[u8]) -> usize {
    2 * parts(value) + value.len()
}
