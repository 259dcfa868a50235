//! What DHCP and TFTP tell, as notes about machines.

use std::net::{IpAddr, Ipv4Addr};

use super::Point;
use crate::boot::{BootNote, Directory, Stage};
use crate::dhcp::{self, BootAnswer, LeaseChange, Silence};
use crate::machine::{Machine, ipv4_of};
use crate::tftp;

impl<D: Directory> Point<D> {
    /// Takes down what DHCP did, as far as it is about machines that boot.
    pub fn note_dhcp(&self, event: &dhcp::Event) {
        match event {
            dhcp::Event::Answered(answered) => {
                let (text, refused) = match &answered.boot {
                    BootAnswer::File(file) => (format!("is told to load {file}"), false),
                    BootAnswer::Menu => ("is shown the menu".to_owned(), false),
                    BootAnswer::Refused(why) => (why.clone(), true),
                    // A kernel, or a machine that has nothing to do with us.
                    BootAnswer::NotAsked => return,
                };
                self.note(asks(&answered.machine, answered.address, text, refused));
            }
            dhcp::Event::Ignored(ignored) => {
                let Some(machine) = &ignored.machine else { return };
                match &ignored.why {
                    Silence::NoBoot(why) => self.note(asks(machine, None, why.clone(), true)),
                    why @ (Silence::PoolFull(_) | Silence::NoPool(_)) => {
                        self.note(asks(machine, None, why.to_string(), true));
                    }
                    why @ Silence::Delayed { .. } => self.note(asks(machine, None, why.to_string(), false)),
                    _ => {}
                }
            }
            dhcp::Event::LeaseChanged(LeaseChange::Granted(lease)) => self.note_address(lease.mac, lease.address),
            dhcp::Event::LeaseChanged(_) | dhcp::Event::Unsent { .. } => {}
        }
    }

    /// Takes down what TFTP did for machines whose address is known.
    pub fn note_tftp(&self, event: &tftp::Event) {
        let (address, text, refused) = match event {
            tftp::Event::Started(served) => (served.client.ip(), format!("loads {}", served.name), false),
            tftp::Event::Refused { client, name, reason, .. } => {
                let name = name.as_deref().unwrap_or("a file");
                (client.ip(), format!("asked for {name}: {reason}"), true)
            }
            tftp::Event::Aborted { served, why: tftp::Aborted::Content(why), .. } => {
                (served.client.ip(), format!("could not be sent {}: {why}", served.name), true)
            }
            _ => return,
        };
        self.note_loader(address, text, refused);
    }

    /// Takes down what came of a network boot program.
    pub(crate) fn note_loader(&self, from: IpAddr, text: String, refused: bool) {
        let address = ipv4_of(from);
        match address.and_then(|address| self.seen_at(address)) {
            Some(machine) => {
                self.note(BootNote { machine, address, stage: Stage::Loader, deployment: None, text, refused });
            }
            None if refused => self.directory.tell_of_stranger(from, &text),
            None => {}
        }
    }
}

fn asks(machine: &Machine, address: Option<Ipv4Addr>, text: String, refused: bool) -> BootNote {
    BootNote { machine: machine.clone(), address, stage: Stage::Dhcp, deployment: None, text, refused }
}
