//! `mcast-client doctor`: tries the way to a server, and says what is wrong with it.
//!
//! [`multicast_core::doctor`] measures and judges; here is the order of it, and how it is shown.

mod reach;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use command_line::Report;
use multicast_core::doctor::{
    self, Contact, Finding, Membership, Outcome, Peer, QuerierFacts, QuerierWatch, StreamFacts, Trial, judge,
};
use multicast_core::net::{Interface, Overhear, interfaces};
use multicast_core::pace::{Profile, Rate, largest_payload};
use multicast_core::types::ClientId;
use multicast_core::wire::{MAX_PROBE_LEN, MIN_PROBE_LEN, SampleWay};

use crate::cli::DoctorArguments;
use crate::exit::Failure;
use crate::{receive, server};

/// A server that is there answers within this.
const CONTACT_PATIENCE: Duration = Duration::from_secs(3);
/// Faster is tried only if somebody asks for it: few links are.
const USUAL_RATE: Rate = Rate::from_mbit(930);

/// Tests all that can be tested, and tells it as it goes.
pub(crate) fn run(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    let server = server::resolve(&arguments.server)?;
    let mut report = Report::new(arguments.json);
    let named = arguments.interface.as_deref();
    let interface = match server::choose(named, server) {
        Ok(interface) => interface,
        Err(error) => {
            report.tell(&judge::no_interface(&error));
            return Ok(report.end());
        }
    };
    report.head(&format!("server {server}, interface {}", judge::short(&interface)));
    host(&mut report, &interface, named.is_some(), server);
    let client = ClientId(receive::random());
    let watch = (server.is_ipv4() && !interface.loopback)
        .then(|| QuerierWatch::begin(&interface, arguments.listen))
        .and_then(Result::ok);
    let mut examination =
        Examination { report, interface, server, client, rate: arguments.wanted(), time: arguments.time };
    let seen = examination.network()?;
    examination.querier(watch, seen.as_ref());
    Ok(examination.report.end())
}

/// What can be told without a word to the network.
fn host(report: &mut Report, interface: &Interface, named: bool, server: SocketAddr) {
    let others: Vec<_> = interfaces()
        .unwrap_or_default()
        .into_iter()
        .filter(|other| other.name != interface.name && other.running && !other.loopback && !other.v4.is_empty())
        .collect();
    report.tell(&judge::interface(interface, &others, named, doctor::is_wireless(interface)));
    report.tell(&judge::route_to_server(&doctor::route(server, interface)));
}

/// The tests that need the server.
struct Examination {
    report: Report,
    interface: Interface,
    server: SocketAddr,
    client: ClientId,
    /// What was asked for.
    rate: Option<Rate>,
    time: Duration,
}

impl Examination {
    /// All of them; what was seen of a group.
    fn network(&mut self) -> Result<Option<Membership>, Failure> {
        self.report.doing("asking the server");
        let mut trial = Trial::new(self.server, self.interface.clone(), self.client)?;
        let contact = trial.contact(CONTACT_PATIENCE);
        let host_answers = (contact == Contact::Silent).then(|| reach::host_answers(self.server));
        self.report.tell(&judge::contact(self.server, &contact, host_answers));
        let Contact::Answered(peer) = contact else {
            self.report
                .tell(&Finding::untested("network", "clock, MTU, HTTP, group and rates: without the server's answers"));
            return Ok(None);
        };
        let rate = self.settle_rate(peer);
        let buffer = Profile::Custom(rate).receive_buffer();
        self.report.tell(&judge::receive_buffer(doctor::receive_buffer(buffer)?, rate));
        self.report.tell(&judge::clock(peer.clock_ahead));
        self.report.doing("finding the largest datagram");
        let (path, largest) = (trial.path(), peer.largest.min(MAX_PROBE_LEN as u16));
        self.report.tell(&judge::path(path, largest));
        self.report.doing("trying HTTP");
        self.report.tell(&reach::http(self.server, self.client));
        let seen = self.group(&mut trial);
        let len = path.both.unwrap_or(MIN_PROBE_LEN as u16);
        let unicast = self.stream(&mut trial, SampleWay::Client, rate, len, None);
        let lost = unicast.and_then(|facts| facts.counts.loss());
        match seen {
            Some(Membership { received: 0, .. }) => {
                self.report.tell(&Finding::untested("multicast rate", "the group is not heard"));
            }
            _ => drop(self.stream(&mut trial, SampleWay::Group, rate, len, lost)),
        }
        Ok(seen)
    }

    /// At most what the server grants; unless more was asked for, what this link is good for.
    fn settle_rate(&self, peer: Peer) -> Rate {
        let link = self.interface.link_speed.filter(|_| !self.interface.loopback).map(Profile::for_link_speed);
        let usual = link.map_or(USUAL_RATE, Profile::rate).min(USUAL_RATE);
        let wanted = self.rate.unwrap_or(usual);
        peer.rate.map_or(wanted, |most| wanted.min(most))
    }

    fn group(&mut self, trial: &mut Trial) -> Option<Membership> {
        self.report.doing("joining a group");
        let watched = self.server.is_ipv4() && !self.interface.loopback;
        let overhear = if watched { Overhear::open(&self.interface).ok() } else { None };
        match trial.follow(overhear.as_ref()) {
            Ok((to, seen)) => {
                let group = judge::group(&seen, to, &self.interface.name, &doctor::firewall());
                self.report.tell(&group);
                if group.outcome == Outcome::Ok {
                    self.report.tell(&judge::snooping(&seen, self.interface.loopback));
                }
                Some(seen)
            }
            Err(why) => {
                self.report.tell(&judge::without_samples("group", &why));
                None
            }
        }
    }

    fn stream(
        &mut self,
        trial: &mut Trial,
        way: SampleWay,
        rate: Rate,
        len: u16,
        unicast: Option<f64>,
    ) -> Option<StreamFacts> {
        let (test, what) = match way {
            SampleWay::Client => ("unicast rate", "measuring unicast"),
            SampleWay::Group => ("multicast rate", "measuring multicast"),
        };
        self.report.doing(what);
        let buffer = Profile::Custom(rate).receive_buffer();
        let len = len.min(largest_payload(self.server.ip(), self.interface.mtu) as u16).max(MIN_PROBE_LEN as u16);
        match trial.stream(way, rate, self.time, len, buffer) {
            Ok(facts) => {
                self.report.tell(&judge::stream(&facts, unicast));
                Some(facts)
            }
            Err(why) => {
                self.report.tell(&judge::without_samples(test, &why));
                None
            }
        }
    }

    fn querier(&mut self, watch: Option<QuerierWatch>, seen: Option<&Membership>) {
        let loopback = self.interface.loopback;
        let facts = match watch {
            // It needs no further proof.
            Some(watch) if seen.is_some_and(|seen| seen.asked_by.is_some()) => watch.stop(),
            Some(watch) => {
                while !watch.left().is_zero() {
                    self.report.doing(&format!("listening for a querier, {} s left", watch.left().as_secs() + 1));
                    std::thread::sleep(watch.left().min(Duration::from_millis(250)));
                }
                watch.finish()
            }
            None if loopback => QuerierFacts::default(),
            None => {
                self.report.tell(&Finding::untested("querier", "only IGMP, for IPv4, can be listened to"));
                return;
            }
        };
        self.report.tell(&judge::querier(&facts, seen, loopback));
    }
}
