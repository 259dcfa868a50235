//! Socket options that no safe wrapper has.
#![allow(unsafe_code, reason = "nix and socket2 lack these options")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// `struct packet_mreq` of `linux/if_packet.h`.
#[repr(C)]
struct PacketMembership {
    interface: libc::c_int,
    kind: libc::c_ushort,
    address_len: libc::c_ushort,
    address: [libc::c_uchar; 8],
}

const SOL_PACKET: libc::c_int = 263;
const PACKET_ADD_MEMBERSHIP: libc::c_int = 1;
const PACKET_MR_ALLMULTI: libc::c_ushort = 2;

/// Sends every datagram with DF, whatever the system has learned of the path: one that is too large for it is
/// lost, or refused if the interface cannot send it (`ip(7)`, IP_PMTUDISC_PROBE).
pub(super) fn never_fragment(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    match v6 {
        false => set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_PROBE),
        // The same number for both families.
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IP_PMTUDISC_PROBE),
    }
}

/// Lets the interface take frames for all groups as long as the packet socket lives (`packet(7)`).
pub(super) fn all_groups(socket: &impl AsFd, interface: u32) -> io::Result<()> {
    let interface = libc::c_int::try_from(interface).map_err(io::Error::other)?;
    let wanted = PacketMembership { interface, kind: PACKET_MR_ALLMULTI, address_len: 0, address: [0; 8] };
    set(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted)
}

fn set<T>(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the system reads `len` bytes of
    // `value`, which are all that it has.
    let done = unsafe { libc::setsockopt(fd, level, option, std::ptr::from_ref(value).cast(), len) };
    Ok(Errno::result(done).map(drop)?)
}
