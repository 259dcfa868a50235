//! Of the host: its interface, routes, buffers, clock.

use std::net::IpAddr;

use super::super::facts::{BufferFacts, Firewall, RouteFacts};
use super::super::finding::Finding;
use super::{grouped, per_second, span};
use crate::net::{Interface, InterfaceError};
use crate::pace::Rate;

/// Seconds by which clocks may differ without anybody noticing.
const CLOCK_TOLERANCE: f64 = 5.0;

/// Of the interface that was chosen; `others` could be meant, too, unless one was `named`.
pub fn interface(chosen: &Interface, others: &[Interface], named: bool, wireless: bool) -> Finding {
    const TEST: &str = "interface";
    let speed = match chosen.link_speed {
        Some(mbit) => format!("{} Mbit/s", grouped(mbit.into())),
        None => "speed not known".to_owned(),
    };
    let name = short(chosen);
    let seen = format!("{name}: up, multicast, {speed}, MTU {}", grouped(chosen.mtu as u64));
    if chosen.loopback {
        return Finding::ok(TEST, format!("{name}: reaches this host only"));
    }
    if !chosen.running {
        return Finding::failure(TEST, format!("{name}: has no link"), "check the cable and the switch's port");
    }
    if wireless {
        let advice = "use a cable: access points send multicast at their lowest rate\nor give the server a low --rate";
        return Finding::warning(TEST, format!("{seen}, a radio"), advice);
    }
    let finding = Finding::ok(TEST, seen).figure("mtu_bytes", chosen.mtu as f64);
    match others {
        [] => finding,
        _ if named => finding,
        others => {
            let names: Vec<_> = others.iter().map(short).collect();
            finding.advise(format!("there are others, which --interface chooses: {}", names.join(", ")))
        }
    }
}

/// Its name and its first address.
pub fn short(interface: &Interface) -> String {
    let v6 = interface.v6.iter().min_by_key(|address| address.is_unicast_link_local()).copied().map(IpAddr::V6);
    match interface.v4.first().copied().map(IpAddr::V4).or(v6) {
        Some(address) => format!("{} {address}", interface.name),
        None => interface.name.clone(),
    }
}

/// Why none could be chosen.
pub fn no_interface(error: &InterfaceError) -> Finding {
    let advice = match error {
        InterfaceError::Unusable { .. } => "bring it up and give it an address, or choose another one",
        InterfaceError::NoneUsable { .. } => "bring one up and give it an address (ip link, ip addr)",
        _ => "choose one of these by --interface",
    };
    Finding::failure("interface", error.to_string(), advice)
}

/// Of a client's way to its server.
pub fn route_to_server(facts: &RouteFacts) -> Finding {
    const TEST: &str = "route";
    let RouteFacts { to, by, chosen, strict } = facts;
    match by {
        None => Finding::failure(
            TEST,
            format!("there is no route to the server, {to}"),
            "give this host an address in the server's network, or a route there (ip route)",
        ),
        Some(by) if by == chosen => Finding::ok(TEST, format!("packets to the server leave by {by}")),
        // To itself it is reached by loopback, whichever address was named.
        Some(by) if by == "lo" => Finding::ok(TEST, "the server is this host"),
        Some(by) if *strict => Finding::failure(
            TEST,
            format!("packets to the server leave by {by}, not by {chosen}, and what comes by another way is dropped"),
            format!("use --interface {by}\nor sysctl -w net.ipv4.conf.{chosen}.rp_filter=2"),
        ),
        Some(by) => Finding::warning(
            TEST,
            format!("packets to the server leave by {by}, not by {chosen}, where the stream is to come"),
            format!("use --interface {by}, unless the stream really comes by {chosen}"),
        ),
    }
}

/// Of a server's way to its groups.
pub fn route_to_group(facts: &RouteFacts) -> Finding {
    const TEST: &str = "route";
    let RouteFacts { by, chosen, .. } = facts;
    match by {
        Some(by) if by != chosen => Finding::ok(
            TEST,
            format!("the stream leaves by {chosen}, though the table sends groups by {by}: it chooses itself"),
        ),
        Some(_) => Finding::ok(TEST, format!("packets to groups leave by {chosen}")),
        None => Finding::ok(TEST, format!("the stream leaves by {chosen}; it needs no route for groups")),
    }
}

/// Of a client's receive buffer, for a stream of this rate.
pub fn receive_buffer(facts: BufferFacts, rate: Rate) -> Finding {
    buffer("receive buffer", "net.core.rmem_max", facts, rate)
}

/// Of a server's send buffer.
pub fn send_buffer(facts: BufferFacts, rate: Rate) -> Finding {
    buffer("send buffer", "net.core.wmem_max", facts, rate)
}

fn buffer(test: &'static str, sysctl: &str, facts: BufferFacts, rate: Rate) -> Finding {
    let (asked, granted) = (facts.size.asked, facts.size.granted);
    let time = span(rate.time_for(granted as u64));
    let rate = per_second(rate);
    let finding = match granted {
        // The system counts its own overhead; half of what was asked for still does.
        granted if granted >= asked / 2 => {
            Finding::ok(test, format!("{} bytes: {time} at {rate}", grouped(granted as u64)))
        }
        granted => Finding::warning(
            test,
            format!("{} of {} bytes granted: {time} at {rate}", grouped(granted as u64), grouped(asked as u64)),
            format!("sysctl -w {sysctl}={asked}, and the same in /etc/sysctl.d"),
        ),
    };
    finding.figure("asked_bytes", asked as f64).figure("granted_bytes", granted as f64)
}

/// Of the server's clock, so many seconds ahead of this host's.
pub fn clock(ahead: f64) -> Finding {
    const TEST: &str = "clock";
    let way = if ahead < 0.0 { "behind" } else { "ahead of" };
    let size = ahead.abs();
    let text = match size {
        86_400.0.. => format!("{:.1} days", size / 86_400.0),
        3600.0.. => format!("{:.1} hours", size / 3600.0),
        _ => format!("{size:.1} s"),
    };
    let finding = if size <= CLOCK_TOLERANCE {
        Finding::ok(TEST, format!("the server's clock agrees to {text}"))
    } else {
        Finding::warning(
            TEST,
            format!("the server's clock is {text} {way} this host's"),
            "set both by NTP: certificates and schedules go by the clock",
        )
    };
    finding.figure("ahead_seconds", ahead)
}

/// Of what filters at this host; `lets` names what must come in.
pub fn firewall(facts: &Firewall, lets: &str) -> Finding {
    const TEST: &str = "firewall";
    match facts {
        Firewall::None => Finding::ok(TEST, "nothing filters what arrives here"),
        Firewall::Filters(what) => Finding::untested(TEST, format!("{what} filters what arrives here"))
            .advise(format!("see that it lets in {lets}")),
        Firewall::Unknown(why) => {
            Finding::untested(TEST, *why).advise(format!("if there is one, it must let in {lets}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Outcome;
    use super::*;
    use crate::net::BufferSize;

    fn eth(name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            index: 2,
            v4: vec![[10, 0, 0, 2].into()],
            v6: vec![],
            up: true,
            running: true,
            multicast: true,
            loopback: false,
            mtu: 1500,
            link_speed: Some(1000),
        }
    }

    #[test]
    fn an_interface_without_a_link_fails_and_a_radio_is_warned_of() {
        let sound = interface(&eth("eth0"), &[], false, false);
        assert_eq!(
            (sound.outcome, &*sound.seen),
            (Outcome::Ok, "eth0 10.0.0.2: up, multicast, 1,000 Mbit/s, MTU 1,500")
        );
        assert_eq!(interface(&Interface { running: false, ..eth("eth0") }, &[], true, false).outcome, Outcome::Failure);
        assert_eq!(interface(&eth("wlan0"), &[], true, true).outcome, Outcome::Warning);
        let several = interface(&eth("eth0"), &[eth("eth1")], false, false);
        assert_eq!(several.outcome, Outcome::Ok);
        assert!(several.advice.is_some_and(|advice| advice.contains("eth1 10.0.0.2")));
    }

    #[test]
    fn a_route_by_another_interface_fails_where_that_drops_the_stream() {
        let facts = |by: Option<&str>, strict| RouteFacts {
            to: [10, 0, 0, 1].into(),
            by: by.map(str::to_owned),
            chosen: "eth1".into(),
            strict,
        };
        let outcomes =
            [facts(Some("eth1"), true), facts(Some("eth0"), false), facts(Some("eth0"), true), facts(None, false)]
                .map(|facts| route_to_server(&facts).outcome);
        assert_eq!(outcomes, [Outcome::Ok, Outcome::Warning, Outcome::Failure, Outcome::Failure]);
        assert!(
            route_to_server(&facts(Some("eth0"), true)).advice.is_some_and(|advice| advice.contains("rp_filter=2"))
        );
    }

    #[test]
    fn a_small_buffer_is_told_with_what_raises_it() {
        let facts = |granted| BufferFacts { size: BufferSize { asked: 8 << 20, granted }, limit: None };
        assert_eq!(receive_buffer(facts(8 << 20), Rate::from_mbit(930)).outcome, Outcome::Ok);
        let small = receive_buffer(facts(212_992), Rate::from_mbit(930));
        assert_eq!(small.seen, "212,992 of 8,388,608 bytes granted: 1.8 ms at 930 Mbit/s");
        assert_eq!(small.outcome, Outcome::Warning);
        assert!(small.advice.is_some_and(|advice| advice.starts_with("sysctl -w net.core.rmem_max=8388608")));
    }

    #[test]
    fn clocks_may_differ_by_seconds() {
        assert_eq!(
            [0.2, -4.9, 5.1, -7200.0].map(|ahead| clock(ahead).outcome == Outcome::Ok),
            [true, true, false, false]
        );
        assert_eq!(clock(-7200.0).seen, "the server's clock is 2.0 hours behind this host's");
    }
}
