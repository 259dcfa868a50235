//! Socket options that no safe wrapper has.
#![allow(unsafe_code, reason = "nix and socket2 lack these options")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// Whether datagrams may be cut into fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragments {
    /// By us only, should the path turn out to be narrower than thought; routers must not.
    Ours,
    /// By us and by routers, which may not be able to say that the path is narrow.
    Anybody,
}

/// Sets who may fragment (`ip(7)`, IP_MTU_DISCOVER; `ipv6(7)`).
pub(super) fn set_fragments(socket: &impl AsFd, v6: bool, who: Fragments) -> io::Result<()> {
    let value: libc::c_int = match who {
        Fragments::Ours => libc::IP_PMTUDISC_WANT,
        Fragments::Anybody => libc::IP_PMTUDISC_DONT,
    };
    let (level, name) = match v6 {
        false => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        // The values are the same numbers.
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the system reads `len` bytes of
    // `value`, which are all that it has.
    let done = unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(&value).cast(), len) };
    Ok(Errno::result(done).map(drop)?)
}

/// Bytes of the largest IP packet that the way to the peer takes, as far as the system knows; of connected
/// sockets only (`ip(7)`, IP_MTU).
pub(super) fn path_mtu(socket: &impl AsFd, v6: bool) -> io::Result<usize> {
    let (level, name) = match v6 {
        false => (libc::IPPROTO_IP, libc::IP_MTU),
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let (mut value, mut len): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the system writes at most `len` bytes
    // to `value`, which has as many, and their number to `len`.
    let done = unsafe { libc::getsockopt(fd, level, name, std::ptr::from_mut(&mut value).cast(), &raw mut len) };
    Errno::result(done)?;
    usize::try_from(value).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn loopback_takes_large_packets() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        set_fragments(&socket, false, Fragments::Ours).unwrap();
        assert!(path_mtu(&socket, false).unwrap() > 1500);
    }
}
