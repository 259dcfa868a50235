//! `mcast-server doctor`: tests what a server needs, without a client; then, if wanted, lets clients test.
//!
//! [`multicast_core::doctor`] measures and judges; here is the order of it, and how it is shown.

mod service;
mod terms;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use command_line::{Interrupt, Report, chain};
use multicast_core::address::{AddressPool, classify, find_free_port, warning};
use multicast_core::doctor::{self, Contact, Finding, ProbePolicy, QuerierFacts, QuerierWatch, Trial, judge};
use multicast_core::engine::{DEFAULT_CONTROL_PORT, Engine, EngineConfig, EngineError};
use multicast_core::net::{self, Interface, NetError, interfaces};
use multicast_core::pace::{Profile, Rate};
use multicast_core::types::ClientId;
use serde::Serialize;

use self::terms::Terms;
use crate::cli::DoctorArguments;
use crate::exit::Failure;
use crate::terms::{profile_of, seed};

const CONTACT_PATIENCE: Duration = Duration::from_secs(1);
const OTHERS_PATIENCE: Duration = Duration::from_millis(1500);

/// Tests all that needs no peer, tells it as it goes, and serves tests for as long as asked.
pub(crate) fn run(arguments: &DoctorArguments, interrupt: &Interrupt) -> Result<ExitCode, Failure> {
    let mut report = Report::new(arguments.json);
    let Some(terms) = Terms::settle(arguments, |finding| report.tell(finding))? else { return Ok(report.end()) };
    let interface = match net::choose(terms.interface.as_deref()) {
        Ok(interface) => interface,
        Err(error) => {
            report.tell(&judge::no_interface(&error));
            return Ok(report.end());
        }
    };
    report.head(&format!("interface {}, UDP {}, groups of {terms}", judge::short(&interface), terms.control_port));
    let listening = !interface.loopback && !interface.v4.is_empty();
    let watch = listening.then(|| QuerierWatch::begin(&interface, arguments.listen)).and_then(Result::ok);
    let mut examination = Examination { report, terms, interface };
    let group = examination.host()?;
    let engine = examination.control(group)?;
    examination.network(watch, interrupt);
    examination.service(engine.is_none());
    let code = examination.report.end();
    if let (Some(engine), Some(time)) = (engine, arguments.serve) {
        examination.announce(engine.control_address(), time);
        let _ = interrupt.wish().recv_timeout(time);
    }
    Ok(code)
}

/// As NDJSON.
#[derive(Serialize)]
struct Serving {
    event: &'static str,
    control: SocketAddr,
    seconds: f64,
}

struct Examination {
    report: Report,
    terms: Terms,
    interface: Interface,
}

impl Examination {
    /// Interface, route, addresses, ports, buffers: a group to try.
    fn host(&mut self) -> Result<IpAddr, Failure> {
        let chosen = &self.interface;
        let all = interfaces().unwrap_or_default().into_iter();
        let others: Vec<_> =
            all.filter(|other| other.name != chosen.name && other.running && !other.loopback).collect();
        let named = self.terms.interface.is_some();
        self.report.tell(&judge::interface(chosen, &others, named, doctor::is_wireless(chosen)));
        let (pool, group) = addresses(self.terms.addresses.as_ref());
        self.report.tell(&pool);
        let route = doctor::route(SocketAddr::new(group, self.terms.ports.first()), chosen);
        self.report.tell(&judge::route_to_group(&route));
        let local = chosen.address_for(group).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        self.report.tell(&match find_free_port(self.terms.ports, local, seed()) {
            Ok(_) => Finding::ok("group ports", format!("UDP {} have free ones", self.terms.ports)),
            Err(error) => Finding::failure("group ports", chain(&error), error.help()),
        });
        let rate = self.rate();
        match doctor::send_buffer(chosen, group, Profile::Custom(rate).send_buffer()) {
            Ok(facts) => self.report.tell(&judge::send_buffer(facts, rate)),
            Err(error) => self.report.tell(&failed("send buffer", &error)),
        }
        Ok(group)
    }

    /// Opens the control port, or finds a server there, and has it send to itself; the engine, if it is ours.
    fn control(&mut self, group: IpAddr) -> Result<Option<Engine>, Failure> {
        const TEST: &str = "control port";
        let port = self.terms.control_port;
        let local = self.interface.address_for(group).unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let probes = ProbePolicy { rate: self.rate(), ttl: self.terms.ttl, dscp: self.terms.dscp };
        let usual = EngineConfig { probes: Some(probes), ..EngineConfig::new(self.interface.clone(), seed())? };
        let engine = match Engine::start(self.terms.engine(usual)) {
            Ok(engine) => {
                self.report.tell(&Finding::ok(TEST, format!("UDP {port} is free and can be opened")));
                Some(engine)
            }
            Err(EngineError::Net(NetError::PortInUse { .. })) => None,
            Err(error) => {
                let advice = "see what the system says of it";
                self.report.tell(&Finding::failure(TEST, chain(&error), advice));
                return Ok(None);
            }
        };
        let mut trial = Trial::new(SocketAddr::new(local, port), self.interface.clone(), ClientId(seed()))?;
        match (trial.contact(CONTACT_PATIENCE), &engine) {
            (Contact::Answered(_), Some(_)) => {}
            (Contact::Answered(_), None) => {
                self.report.tell(&Finding::ok(TEST, format!("mcast-server runs at UDP {port}: it is tested")));
            }
            (Contact::Old, None) => {
                self.report.tell(&Finding::warning(TEST, "an older mcast-server runs there", "update it to test it"));
                return Ok(None);
            }
            (_, None) => {
                let advice = "end it (ss -lunp names it), or choose another port: --control-port";
                let seen = format!("another program holds UDP {port}");
                self.report.tell(&Finding::failure(TEST, seen, advice));
                return Ok(None);
            }
            (_, Some(_)) => {
                let seen = format!("UDP {port} is open, but not even this host reaches it");
                let advice = "see that its firewall lets it in";
                self.report.tell(&Finding::failure(TEST, seen, advice));
                return Ok(engine);
            }
        }
        self.report.doing("sending to a group, and listening");
        match trial.follow(None) {
            Ok((to, seen)) => self.report.tell(&judge::loopback(&seen, to, &self.interface.name)),
            Err(why) => self.report.tell(&judge::without_samples("own stream", &why)),
        }
        Ok(engine)
    }

    /// Firewall, other servers, querier.
    fn network(&mut self, watch: Option<QuerierWatch>, interrupt: &Interrupt) {
        let Terms { control_port: port, ports, .. } = &self.terms;
        let lets = match self.terms.settings.as_ref().and_then(|settings| settings.http.listen.first()) {
            Some(http) => format!("UDP {port}, TCP {} and IGMP, and out UDP {ports}", http.port()),
            None => format!("UDP {port} and IGMP, and out UDP {ports}"),
        };
        self.report.tell(&judge::firewall(&doctor::firewall(), &lets));
        let loopback = self.interface.loopback;
        if loopback || self.interface.v4.is_empty() {
            self.report.tell(&Finding::untested("other servers", "only a link with IPv4 has a broadcast to ask by"));
        } else {
            self.report.doing("asking for other servers");
            let found = doctor::others(&self.interface, *port, ClientId(seed()), OTHERS_PATIENCE);
            self.report.tell(&judge::others(&found, *port));
        }
        let facts = match watch {
            Some(watch) => {
                while !watch.left().is_zero() {
                    self.report.doing(&format!("listening for a querier, {} s left", watch.left().as_secs() + 1));
                    if interrupt.wish().recv_timeout(watch.left().min(Duration::from_millis(250))).is_ok() {
                        break;
                    }
                }
                watch.stop()
            }
            None if loopback => QuerierFacts::default(),
            None => {
                self.report.tell(&Finding::untested("querier", "only IGMP, for IPv4, can be listened to"));
                return;
            }
        };
        self.report.tell(&judge::querier(&facts, None, loopback));
    }

    /// What the settings name; `runs`: a server is at work.
    fn service(&mut self, runs: bool) {
        let Some(settings) = &self.terms.settings else { return };
        self.report.doing("asking the database");
        self.report.tell(&service::database(settings));
        self.report.tell(&service::http(settings, runs));
        if let Some(finding) = service::certificate(settings) {
            self.report.tell(&finding);
        }
    }

    fn rate(&self) -> Rate {
        self.terms.rate.unwrap_or_else(|| profile_of(&self.interface).rate())
    }

    /// Says that clients can test for so long.
    fn announce(&self, control: SocketAddr, time: Duration) {
        let port = match control.port() {
            DEFAULT_CONTROL_PORT => String::new(),
            port => format!(":{port}"),
        };
        let line = Serving { event: "serving", control, seconds: time.as_secs_f64() };
        let time = humantime::format_duration(time);
        let text =
            format!("\nfor {time}, or until Ctrl-C, clients can test:\n  mcast-client doctor --server HOST{port}");
        self.report.note(&line, &text);
    }
}

/// Of the pool of groups, and one of them.
fn addresses(pool: Option<&AddressPool>) -> (Finding, IpAddr) {
    const TEST: &str = "groups";
    let usual = IpAddr::from([239, 194, 0, 1]);
    let Some(pool) = pool else {
        let why = "they are leased by MADCAP: serve tells whether it gets some";
        return (Finding::untested(TEST, why), usual);
    };
    let mut free = pool.clone();
    let group = match free.allocate() {
        Ok(group) => group,
        Err(error) => return (Finding::failure(TEST, error.to_string(), error.help()), usual),
    };
    let class = classify(group).map_or("multicast", |class| class.name());
    let finding = match warning(group) {
        Some(warning) => Finding::warning(TEST, warning.to_string(), "choose another one, or a range: --address auto"),
        None if free.allocate().is_err() => {
            Finding::ok(TEST, format!("{group} alone, {class}: for one session of send, or shared by those of serve"))
        }
        None => Finding::ok(TEST, format!("{pool}: {group}, {class}")),
    };
    (finding, group)
}

fn failed(test: &'static str, error: &NetError) -> Finding {
    Finding::failure(test, chain(error), error.help().unwrap_or("see what the system says of it"))
}

#[cfg(test)]
mod tests {
    use multicast_core::doctor::Outcome;

    use super::*;

    #[test]
    fn addresses_that_switches_flood_are_warned_of() {
        let of = |text: &str| addresses(Some(&AddressPool::parse(text, 1).unwrap())).0;
        assert_eq!(of("auto").outcome, Outcome::Ok);
        let single = of("239.194.7.1");
        assert!(single.outcome == Outcome::Ok && single.seen.contains("shared by those of serve"), "{single}");
        let colliding = of("239.128.0.1");
        assert!(colliding.outcome == Outcome::Warning && colliding.seen.contains("224.0.0.1"), "{colliding}");
        assert_eq!(addresses(None).0.outcome, Outcome::NotTestable);
    }
}
