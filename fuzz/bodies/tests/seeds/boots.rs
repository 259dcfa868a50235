//! Transfers of TFTP as boot programs make them, and requests that are refused.

use std::time::Duration;

use fuzz_bodies::{TftpOp, tftp_script};
use pxe::tftp::wire::{ErrorCode, Mode, Options, Packet, Request};

use super::Seeds;

/// One of each kind.
pub(crate) fn all() -> Seeds {
    let seed = |name: &str, packet: Packet<'_>, size: u16, ops: &[TftpOp<'_>]| {
        (name.to_owned(), tftp_script(&packet.to_bytes(), size, ops))
    };
    let options = |block_size, window| Options { block_size, window, size: Some(0), timeout: None };
    let octet = |name, options| Request { name, mode: Mode::Octet, options };
    let (plain, ipxe) = (Options::default(), options(Some(1432), None));
    let edk2 = options(Some(1468), Some(4));
    let declined = Packet::Error { code: ErrorCode::OPTIONS, text: b"User aborted the transfer" }.to_bytes();
    let (ack, silence) = (TftpOp::Ack(0), TftpOp::Wait(Duration::from_millis(300)));
    let all_blocks = vec![ack; 500];
    // The first block of a window is lost; then the last two are.
    let gaps = [ack, TftpOp::Ack(0_u16.wrapping_sub(4)), ack, TftpOp::Ack(0_u16.wrapping_sub(2)), ack];
    vec![
        seed("plain", Packet::Read(octet(b"pxelinux.0", plain)), 100, &all_blocks),
        seed("ipxe", Packet::Read(octet(b"undionly.kpxe", ipxe)), 4000, &all_blocks),
        seed("edk2-probe", Packet::Read(octet(b"\\EFI\\boot.efi", edk2)), 4000, &[TftpOp::Send(&declined)]),
        seed("edk2", Packet::Read(octet(b"efi/boot.efi", edk2)), 2000, &[&gaps[..], &all_blocks].concat()),
        seed("round-the-number", Packet::Read(octet(b"x", options(Some(8), Some(64)))), 60_000, &all_blocks),
        seed("lost", Packet::Read(octet(b"x", edk2)), 100, &[silence, TftpOp::AskAgain, silence, ack, silence, ack]),
        seed("clogged", Packet::Read(octet(b"x", edk2)), 100, &[ack, TftpOp::Clog(2), ack, silence, ack]),
        seed("closed", Packet::Read(octet(b"x", edk2)), 100, &[ack, TftpOp::Close]),
        seed("write", Packet::Write(octet(b"x", plain)), 0, &[]),
        seed("text", Packet::Read(Request { mode: Mode::Netascii, ..octet(b"x", plain) }), 0, &[]),
        seed("upwards", Packet::Read(octet(b"../x", plain)), 0, &[]),
    ]
}
