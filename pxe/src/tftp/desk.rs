//! What comes to the server's port: which requests are good, and who makes room for whom. Pure functions of what
//! is asked and of what goes on.

use std::net::SocketAddr;

use super::Time;
use super::wire::{ErrorCode, Mode, Options, Packet};
use crate::files::{BadName, BootName};

/// Who has been sent the same so often in a row without a word makes room when all places are taken. The waits
/// between are measured by the client's own round trips, so that a slow one is not silent sooner than others.
const LATE: u32 = 2;

/// Somebody wants a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub name: BootName,
    /// And how.
    pub options: Options,
}

/// Why a datagram is no request that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is not for us: nothing is answered, so that nobody can use us to send to others.
    Garbage,
    /// A request that is refused.
    Refused(Why),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Somebody wants to write.
    #[error("this server is read-only")]
    Write,
    /// Text.
    #[error("mode netascii is not served, use octet")]
    Netascii,
    /// Mail, or nothing that is known.
    #[error("only mode octet is served")]
    Mode,
    /// No name of a boot file.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl Why {
    /// The code that says it on the wire.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Write | Self::Name(BadName::Parent) => ErrorCode::DENIED,
            Self::Netascii | Self::Mode => ErrorCode::ILLEGAL,
            Self::Name(_) => ErrorCode::NOT_FOUND,
        }
    }
}

/// Reads a datagram that came to the server's port.
pub fn read(datagram: &[u8]) -> Result<Asked, Unfit> {
    let request = match Packet::decode(datagram) {
        Ok(Packet::Read(request)) => request,
        Ok(Packet::Write(_)) => return Err(Unfit::Refused(Why::Write)),
        Ok(_) | Err(_) => return Err(Unfit::Garbage),
    };
    match request.mode {
        Mode::Octet => {}
        Mode::Netascii => return Err(Unfit::Refused(Why::Netascii)),
        Mode::Other => return Err(Unfit::Refused(Why::Mode)),
    }
    let name = BootName::parse(request.name).map_err(|bad| Unfit::Refused(bad.into()))?;
    Ok(Asked { name, options: request.options })
}

/// How many are served at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Transfers at most.
    pub total: usize,
    /// Transfers of one address at most.
    pub per_client: usize,
}

/// What is to be known of a transfer that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which one.
    pub id: u64,
    /// Whom it is for.
    pub client: SocketAddr,
    /// When something of the client came last.
    pub heard_at: Time,
    /// Whether it has answered since its request.
    pub proven: bool,
    /// How often in a row something was sent again for want of an answer.
    pub resends: u32,
    /// Whether it asked for the very same.
    pub same: bool,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Serve it.
    Serve {
        /// But end this one first.
        instead_of: Option<u64>,
    },
    /// It is the request of this transfer, once more: its first answer is lost, or late.
    Again(u64),
    /// It is one that goes on, heard twice.
    Twice,
    /// There is no place, and nobody who would make room. It is best not answered: the client asks again, and
    /// an error would end its boot.
    Full,
}

/// Decides on a request of `client`, by what goes on.
///
/// A client at its own limit only takes from itself. Who goes [`make_room`] says.
pub fn admit(limits: Limits, client: SocketAddr, standing: impl Iterator<Item = Standing> + Clone) -> Admission {
    if let Some(same_port) = standing.clone().find(|one| one.client == client) {
        return match same_port {
            Standing { proven: false, same: true, id, .. } => Admission::Again(id),
            // A datagram that the network has doubled.
            Standing { proven: true, same: true, resends, .. } if resends < LATE => Admission::Twice,
            // Firmware that begins anew, from a port of its own.
            Standing { id, .. } => Admission::Serve { instead_of: Some(id) },
        };
    }
    let own = standing.clone().filter(|one| one.client.ip() == client.ip());
    if own.clone().count() >= limits.per_client {
        make_room(own)
    } else if standing.clone().count() >= limits.total {
        make_room(standing)
    } else {
        Admission::Serve { instead_of: None }
    }
}

/// Who has to go, if anybody has: those that did not answer the first words in time, as their addresses may be
/// forged; then those that answered once and are silent; then those whose first answer may still be on its way,
/// which loses them nothing but the time until they ask again. Each time the one that was silent for longest.
pub fn make_room(standing: impl Iterator<Item = Standing> + Clone) -> Admission {
    let order = |one: &Standing| match one {
        Standing { proven: false, resends: 1.., .. } => Some(0),
        Standing { proven: true, resends: LATE.., .. } => Some(1),
        Standing { proven: false, resends: 0, .. } => Some(2),
        Standing { proven: true, .. } => None,
    };
    let ordered = standing.filter_map(|one| Some(((order(&one)?, one.heard_at), one)));
    match ordered.min_by_key(|(place, _)| *place).map(|(_, one)| one) {
        Some(one) => Admission::Serve { instead_of: Some(one.id) },
        None => Admission::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tftp::wire::Request;

    const LIMITS: Limits = Limits { total: 4, per_client: 3 };
    const NOW: Time = Time::from_secs(10);

    fn client(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    fn one(id: u64, client: SocketAddr, silent_ms: u64, proven: bool) -> Standing {
        let resends = if silent_ms > 100 { 3 } else { 0 };
        Standing { id, client, heard_at: NOW - Time::from_millis(silent_ms), proven, resends, same: true }
    }

    fn decide(who: SocketAddr, standing: &[Standing]) -> Admission {
        admit(LIMITS, who, standing.iter().copied())
    }

    fn request(name: &[u8], mode: Mode) -> Request<'_> {
        Request { name, mode, options: Options::default() }
    }

    #[test]
    fn only_reading_octets_is_served() {
        let read = |packet: Packet<'_>| read(&packet.to_bytes());
        assert!(read(Packet::Read(request(b"x", Mode::Octet))).is_ok());
        assert_eq!(read(Packet::Write(request(b"x", Mode::Octet))), Err(Unfit::Refused(Why::Write)));
        assert_eq!(read(Packet::Read(request(b"x", Mode::Netascii))), Err(Unfit::Refused(Why::Netascii)));
        assert_eq!(read(Packet::Read(request(b"x", Mode::Other))), Err(Unfit::Refused(Why::Mode)));
        let parent = Err(Unfit::Refused(Why::Name(BadName::Parent)));
        assert_eq!(read(Packet::Read(request(b"../x", Mode::Octet))), parent);
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        assert_eq!(read(b""), Err(Unfit::Garbage));
        assert_eq!(read(b"\0\x01no end"), Err(Unfit::Garbage));
        assert_eq!(read(&Packet::Ack { block: 1 }.to_bytes()), Err(Unfit::Garbage));
        assert_eq!(read(&Packet::Error { code: ErrorCode::OTHER, text: b"" }.to_bytes()), Err(Unfit::Garbage));
    }

    #[test]
    fn a_request_that_comes_again_is_answered_again() {
        let own = client(1, 2070);
        assert_eq!(decide(own, &[one(7, own, 50, false)]), Admission::Again(7));
        assert_eq!(decide(own, &[one(7, own, 50, true)]), Admission::Twice);
    }

    #[test]
    fn a_port_that_asks_for_something_else_has_done_with_the_old_transfer() {
        let own = client(1, 2070);
        let other = Standing { same: false, ..one(7, own, 1, true) };
        assert_eq!(decide(own, &[other]), Admission::Serve { instead_of: Some(7) });
        // The same file after a silence: the machine has started again.
        assert_eq!(decide(own, &[one(7, own, 5000, true)]), Admission::Serve { instead_of: Some(7) });
    }

    #[test]
    fn who_did_not_answer_makes_room_before_who_fell_silent_and_who_has_just_come() {
        let mut all = [
            one(1, client(1, 1), 900, true),
            one(2, client(2, 1), 10, false),
            one(3, client(3, 1), 300, false),
            one(4, client(4, 1), 5000, true),
        ];
        let goes = |id| Admission::Serve { instead_of: Some(id) };
        assert_eq!(decide(client(9, 1), &all[..3]), Admission::Serve { instead_of: None });
        assert_eq!(decide(client(9, 1), &all), goes(3));
        // In a room that is switched on at once the dead make room, not the last that came.
        all[2].resends = 0;
        assert_eq!(decide(client(9, 1), &all), goes(4));
        (all[0].resends, all[3].resends) = (0, 0);
        assert_eq!(decide(client(9, 1), &all), goes(3));
    }

    #[test]
    fn among_those_that_answered_the_one_that_is_silent_for_longest_makes_room() {
        let mut all = [
            one(1, client(1, 1), 900, true),
            one(2, client(2, 1), 3, true),
            one(3, client(3, 1), 3, true),
            one(4, client(4, 1), 5000, true),
        ];
        assert_eq!(decide(client(9, 1), &all), Admission::Serve { instead_of: Some(4) });
        all[0].resends = 1;
        all[3].resends = 1;
        assert_eq!(decide(client(9, 1), &all), Admission::Full);
    }

    #[test]
    fn a_client_at_its_limit_takes_from_itself_only() {
        let all = [
            one(1, client(2, 1), 9000, false),
            one(2, client(1, 1), 5, true),
            one(3, client(1, 2), 5, false),
            one(4, client(1, 3), 5, true),
        ];
        assert_eq!(decide(client(1, 4), &all), Admission::Serve { instead_of: Some(3) });
        let busy = [one(2, client(1, 1), 5, true), one(3, client(1, 2), 5, true), one(4, client(1, 3), 5, true)];
        assert_eq!(decide(client(1, 4), &busy), Admission::Full);
    }
}
