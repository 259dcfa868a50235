//! Any datagrams at a DHCP server's and a proxy's ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use pxe::dhcp::wire::{Kind, Message, pxe as pxe_options};
use pxe::dhcp::{Arrival, Booting, ClientId, Event, LeaseChange, Local, Mode, Pool, Responder, Settings};
use pxe::machine::Machine;

use crate::script::{STEP_LIMIT, Script, push_chunk, push_time};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const KEPT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 103);

/// Boots everything, and keeps one address for one machine.
struct Everything;

impl Booting for Everything {
    fn boot_file(&self, machine: &Machine, _: Ipv4Addr) -> Result<String, String> {
        // A name of every length that the last byte of the address can say.
        Ok("x".repeat(usize::from(machine.mac.0[5])))
    }

    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr> {
        (machine.mac.0[5] == 9).then_some(KEPT)
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        address == KEPT
    }
}

/// A step of the script: what time has passed, the port, and the datagram.
pub fn dhcp_step(time: Duration, boot_port: bool, datagram: &[u8]) -> Vec<u8> {
    let mut step = vec![u8::from(boot_port)];
    push_time(&mut step, time);
    push_chunk(&mut step, datagram);
    step
}

/// Both modes take the same datagrams. What decodes says the same when it is encoded and decoded again; an answer is
/// a message to whoever asked; an address is one client's. Whether every datagram decoded.
pub fn dhcp(input: &[u8]) -> bool {
    let mut script = Script::new(input);
    let mut sides = [Side::new(Mode::Proxy), Side::new(full())];
    let mut now = Duration::from_secs(1_000_000);
    let mut useful = false;
    for _ in 0..STEP_LIMIT {
        let Some(port) = script.next() else { break };
        now += script.time();
        let datagram = script.chunk();
        let message = Message::decode(datagram);
        useful = message.is_ok();
        if let Ok(message) = &message {
            assert_eq!(Message::decode(&message.to_bytes()).as_ref(), Ok(message));
            for (_, value) in message.options.iter() {
                let _ = (pxe_options::item(value), pxe_options::is_ipxe(value), pxe_options::uuid(value));
            }
        }
        for side in &mut sides {
            side.take(now, port & 1 == 1, datagram, message.as_ref().ok());
        }
        if !useful {
            break;
        }
    }
    useful
}

fn full() -> Mode {
    let network = "10.0.0.0/24".parse().expect("a network");
    let pool = Pool::new(network, Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 103));
    Mode::Full { pools: vec![pool], others: true, authoritative: true }
}

/// A responder, and what a database would hold of its leases.
struct Side {
    responder: Responder,
    kept: BTreeMap<Ipv4Addr, ClientId>,
}

impl Side {
    fn new(mode: Mode) -> Self {
        let settings = Settings { delay: Duration::from_secs(1), ..Settings::new(mode) };
        let responder = Responder::new(settings, Arc::new(Everything)).expect("sound settings");
        Self { responder, kept: BTreeMap::new() }
    }

    fn take(&mut self, now: Duration, boot_port: bool, datagram: &[u8], question: Option<&Message>) {
        let locals = [Local { address: SERVER, prefix: 24 }];
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 77), 68);
        let answer = self.responder.handle_datagram(now, &Arrival { locals: &locals, from, boot_port }, datagram);
        while let Some(event) = self.responder.poll_event() {
            assert!(!event.to_string().contains('\n'));
            match event {
                Event::LeaseChanged(LeaseChange::Granted(lease)) => {
                    let before = self.kept.insert(lease.address, lease.client.clone());
                    assert!(before.is_none_or(|before| before == lease.client), "an address of two clients");
                }
                Event::LeaseChanged(LeaseChange::Ended { lease, .. }) => {
                    assert_eq!(self.kept.remove(&lease.address), Some(lease.client));
                }
                _ => {}
            }
        }
        let Some(answer) = answer else { return };
        let question = question.expect("only messages are answered");
        let message = Message::decode(&answer.bytes).expect("an answer is a message");
        assert_eq!((message.xid, message.chaddr), (question.xid, question.chaddr));
        assert!(answer.bytes.len() <= 1472, "more than a frame takes");
        if message.kind() == Some(Kind::Ack) && !message.yiaddr.is_unspecified() {
            assert!(self.kept.contains_key(&message.yiaddr), "promised and not kept");
        }
    }
}
