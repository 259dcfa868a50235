//! What machines send by DHCP on their way to a boot file.

use std::net::Ipv4Addr;
use std::time::Duration;

use fuzz_bodies::dhcp_step;
use pxe::dhcp::wire::{HEADER_LEN, Kind, Message, Op, Options, code};

use super::Seeds;

const SERVER: [u8; 4] = [10, 0, 0, 1];
const ADDRESS: [u8; 4] = [10, 0, 0, 101];

/// Each kind of message, the ways to an address and to a boot file, and what is odd but allowed.
pub(crate) fn all() -> Seeds {
    let mut seeds = Seeds::new();
    for kind in [Kind::Discover, Kind::Request, Kind::Decline, Kind::Release, Kind::Inform] {
        let mut message = firmware(7, kind);
        message.ciaddr = ADDRESS.into();
        message.options.push(code::REQUESTED, &ADDRESS);
        let step = dhcp_step(Duration::from_secs(2), false, &message.to_bytes());
        seeds.push((kind.name().to_lowercase(), step));
    }
    seeds.push(("lease".into(), lease()));
    seeds.push(("boot-port".into(), boot_port()));
    seeds.push(("two-clients".into(), [lease_of(4), lease_of(5), lease_of(4)].concat()));
    seeds.push(("relayed".into(), relayed()));
    seeds.push(("relay-option-first".into(), relay_option_first()));
    seeds.push(("overloaded".into(), dhcp_step(Duration::ZERO, false, &overloaded())));
    seeds
}

/// Firmware that has asked for two seconds.
fn firmware(architecture: u8, kind: Kind) -> Message {
    let mut options = Options::default();
    options.push(code::KIND, &[kind as u8]);
    options.push(code::MAX_SIZE, &1464u16.to_be_bytes());
    options.push(code::CLASS, format!("PXEClient:Arch:{architecture:05}:UNDI:003016").as_bytes());
    options.push(code::ARCHITECTURE, &[0, architecture]);
    options.push(code::UUID, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let none = Ipv4Addr::UNSPECIFIED;
    let mut chaddr = [0; 16];
    chaddr[..6].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 20]);
    Message {
        op: Op::Request,
        htype: 1,
        hlen: 6,
        hops: 0,
        xid: 1,
        secs: 2,
        flags: 0,
        ciaddr: none,
        yiaddr: none,
        siaddr: none,
        giaddr: none,
        chaddr,
        sname: Vec::new(),
        file: Vec::new(),
        options,
    }
}

fn lease() -> Vec<u8> {
    let ipxe = |mut message: Message| {
        message.options.push(code::USER_CLASS, b"iPXE");
        message.options.push(code::IPXE, &[19, 1, 1]);
        message.to_bytes()
    };
    let mut request = firmware(0, Kind::Request);
    request.options.push(code::SERVER_ID, &SERVER);
    request.options.push(code::REQUESTED, &ADDRESS);
    let mut renewal = firmware(0, Kind::Request);
    renewal.ciaddr = ADDRESS.into();
    let mut release = firmware(0, Kind::Release);
    release.ciaddr = ADDRESS.into();
    [
        dhcp_step(Duration::ZERO, false, &ipxe(firmware(0, Kind::Discover))),
        dhcp_step(Duration::from_secs(1), false, &ipxe(request)),
        dhcp_step(Duration::from_secs(60), false, &renewal.to_bytes()),
        dhcp_step(Duration::from_secs(60), false, &release.to_bytes()),
    ]
    .concat()
}

fn lease_of(card: u8) -> Vec<u8> {
    let mut discover = firmware(7, Kind::Discover);
    let mut request = firmware(7, Kind::Request);
    request.options.push(code::SERVER_ID, &SERVER);
    request.options.push(code::REQUESTED, &ADDRESS);
    discover.chaddr[5] = card;
    request.chaddr[5] = card;
    let step = |message: Message| dhcp_step(Duration::from_secs(1), false, &message.to_bytes());
    [step(discover), step(request)].concat()
}

fn boot_port() -> Vec<u8> {
    let mut request = firmware(0, Kind::Request);
    request.ciaddr = ADDRESS.into();
    request.options.push(code::VENDOR, &[71, 4, 0x80, 0, 0, 0, 255]);
    dhcp_step(Duration::ZERO, true, &request.to_bytes())
}

fn relayed() -> Vec<u8> {
    let mut discover = firmware(16, Kind::Discover);
    discover.giaddr = Ipv4Addr::new(10, 0, 0, 254);
    discover.options.push(code::RELAY, &[1, 2, 7, 7, 5, 4, 10, 0, 0, 0]);
    dhcp_step(Duration::ZERO, false, &discover.to_bytes())
}

/// What is for relay agents does not stand where it is written.
fn relay_option_first() -> Vec<u8> {
    let mut discover = firmware(7, Kind::Discover);
    discover.giaddr = Ipv4Addr::new(10, 0, 0, 254);
    let mut bytes = discover.to_bytes();
    bytes.splice(HEADER_LEN..HEADER_LEN, [code::RELAY, 4, 1, 2, 7, 7]);
    dhcp_step(Duration::ZERO, false, &bytes)
}

/// Options in three places, one of them split (RFC 3396) and one that points back.
fn overloaded() -> Vec<u8> {
    let mut message = firmware(0, Kind::Discover);
    message.options.push(code::OVERLOAD, &[3]);
    let mut bytes = message.to_bytes();
    bytes[108..116].copy_from_slice(&[77, 2, b'i', b'P', 52, 1, 3, 255]);
    bytes[44..49].copy_from_slice(&[77, 2, b'X', b'E', 255]);
    bytes
}
