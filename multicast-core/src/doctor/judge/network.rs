//! Of the network between: whether the server is reached, what fits, and what switches do with groups.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::super::facts::Firewall;
use super::super::finding::Finding;
use super::super::querier::QuerierFacts;
use super::super::trial::{Contact, Membership, PathFacts};
use super::{grouped, span};

/// Queries come every 125 s by default (RFC 3376 §8.2), and a little later.
const QUERY_INTERVAL: Duration = Duration::from_secs(130);
/// Headers of IPv4 and UDP, between a payload and an MTU.
const HEADERS: u16 = 28;

/// Of the control port. `host_answers`: whether the host answers anything else, if that was tried.
pub fn contact(server: SocketAddr, contact: &Contact, host_answers: Option<bool>) -> Finding {
    const TEST: &str = "control port";
    let port = server.port();
    match contact {
        Contact::Answered(peer) => {
            let time = span(peer.round_trip);
            Finding::ok(TEST, format!("UDP {server} answers in {time}"))
                .figure("round_trip_ms", peer.round_trip.as_secs_f64() * 1000.0)
        }
        Contact::Old => Finding::warning(
            TEST,
            format!("UDP {server} answers, but knows no probes"),
            "update the server: an older one can be used, but not tested",
        ),
        Contact::Refused => Finding::failure(
            TEST,
            format!("nobody listens at UDP {server}: the host refuses it"),
            format!(
                "start mcast-server there, or mcast-server doctor --serve 10m\nor name its port: --server {}:PORT",
                server.ip()
            ),
        ),
        Contact::NoRoute(kind) => Finding::failure(
            TEST,
            format!("UDP {server} cannot be reached: {kind}"),
            "check address, netmask and route",
        ),
        Contact::Silent if host_answers == Some(true) => Finding::failure(
            TEST,
            format!("the host answers, but not at UDP {port}: it is blocked on the way, or nobody listens"),
            format!(
                "let UDP {port} pass, in both directions, at the server's firewall and between\n\
                 see that mcast-server runs there, or mcast-server doctor --serve 10m"
            ),
        ),
        Contact::Silent => Finding::failure(
            TEST,
            format!("nothing answers at UDP {server}, nor does the host at all"),
            format!(
                "check the address, cables, VLAN\nlet UDP {port} pass, in both directions, wherever something filters"
            ),
        ),
    }
}

/// Of the largest datagram; those of a stream have `stream` bytes.
pub fn path(facts: PathFacts, stream: u16) -> Finding {
    const TEST: &str = "path MTU";
    let PathFacts { both, there, .. } = facts;
    let bytes = |bytes: u16| grouped(bytes.into());
    let finding = match both {
        None => Finding::failure(TEST, "of datagrams with DF none comes back", "look at the loss first"),
        Some(both) if both >= stream => {
            Finding::ok(TEST, format!("{} bytes go there and back in one piece", bytes(both)))
        }
        Some(both) => {
            let side = if there >= Some(stream) { "on the way from the server " } else { "" };
            let mtu = both.saturating_add(HEADERS);
            Finding::failure(
                TEST,
                format!(
                    "datagrams of a stream have {} bytes, {side}{} pass (MTU {})",
                    bytes(stream),
                    bytes(both),
                    bytes(mtu)
                ),
                format!(
                    "raise the MTU of what lies between\n\
                     or lower the server's to {mtu} (ip link set dev … mtu {mtu}): its datagrams become smaller"
                ),
            )
        }
    };
    let number = |bytes: Option<u16>| f64::from(bytes.unwrap_or(0));
    finding.figure("both_ways_bytes", number(both)).figure("to_server_bytes", number(there))
}

/// Of a group that the server sent to and that was joined. `firewall` is this host's, `port` the group's.
pub fn group(seen: &Membership, to: SocketAddr, interface: &str, firewall: &Firewall) -> Finding {
    const TEST: &str = "group";
    let port = to.port();
    let finding = match (seen.received, seen.overheard, seen.at_interface) {
        (1.., _, _) => {
            let time = span(seen.joined_in.unwrap_or_default());
            Finding::ok(TEST, format!("{to} came {time} after the join"))
        }
        (0, true, 1..) => {
            let (who, advice) = match firewall {
                Firewall::Filters(what) => {
                    (*what, format!("let the ports of streams, UDP 63000-64000 (here {port}), in for groups"))
                }
                _ => (
                    "its firewall, or rp_filter",
                    format!("let UDP {port} in for groups\nsee that net.ipv4.conf.{interface}.rp_filter is not 1"),
                ),
            };
            let seen = format!("what is sent to {to} reaches {interface}, but this host drops it: {who}");
            Finding::failure(TEST, seen, advice)
        }
        (_, true, _) => Finding::failure(
            TEST,
            format!("nothing of {to} reaches {interface}, though it was joined"),
            "is it the server's VLAN? does a switch snoop without a querier, or block multicast?\n\
             across routers the server needs --ttl, and they multicast routing",
        ),
        (_, false, _) => Finding::failure(
            TEST,
            format!("nothing of {to} is heard on {interface}, though it was joined"),
            format!(
                "does a firewall here let UDP {port} in for groups?\nis it the server's VLAN? does a switch snoop \
                 without a querier?\nas root this test can tell which of them it is"
            ),
        ),
    };
    match seen.joined_in {
        Some(time) => finding.figure("joined_in_ms", time.as_secs_f64() * 1000.0),
        None => finding,
    }
}

/// Of what switches do with a group that nobody, somebody and nobody again wants.
pub fn snooping(seen: &Membership, loopback: bool) -> Finding {
    const TEST: &str = "snooping";
    if loopback {
        return Finding::untested(TEST, "there is no switch on loopback");
    }
    if !seen.overheard {
        return Finding::untested(TEST, "not testable without root (CAP_NET_RAW)");
    }
    if seen.at_interface == 0 && seen.before == 0 {
        return Finding::untested(TEST, "nothing of the group came at any time");
    }
    let lingered = seen.lingered.unwrap_or_default();
    if seen.before > 0 {
        Finding::warning(
            TEST,
            "the group came before it was joined: the network floods it to every port",
            "turn on IGMP snooping and a querier at the switch: else every port gets every stream\n\
             with a cable and no switch between it is as it must be",
        )
    } else if seen.never_stopped {
        Finding::warning(
            TEST,
            format!("the group came after it was joined, but still {} after it was left", span(lingered)),
            "the switch keeps sending to who has left: after a session its port stays loaded for minutes",
        )
    } else {
        Finding::ok(TEST, format!("the group came when it was joined, and ended {} after it was left", span(lingered)))
            .figure("lingered_seconds", lingered.as_secs_f64())
    }
}

/// Of who keeps switches informed. `seen`: of a group that was left meanwhile, if one was.
pub fn querier(facts: &QuerierFacts, seen: Option<&Membership>, loopback: bool) -> Finding {
    const TEST: &str = "querier";
    if loopback {
        return Finding::untested(TEST, "there are no queriers on loopback");
    }
    if let Some(query) = facts.heard {
        return Finding::ok(TEST, format!("{} asks, by IGMPv{}", asker(query.from), query.version))
            .figure("version", query.version.into());
    }
    if let Some(from) = seen.and_then(|seen| seen.asked_by) {
        let who = asker(from);
        return Finding::ok(TEST, format!("{who} asked who else wants the group when this host left it"));
    }
    // Within 130 s it would have been heard again.
    if let Some(version) = facts.hinted.filter(|_| facts.listened < QUERY_INTERVAL) {
        let seen = format!("the system heard one of IGMPv{version} in the last minutes");
        return Finding::ok(TEST, seen).figure("version", version.into());
    }
    match facts.refused {
        Some(io::ErrorKind::PermissionDenied) => {
            return Finding::untested(TEST, "not testable without root (CAP_NET_RAW)");
        }
        Some(kind) => return Finding::untested(TEST, format!("IGMP cannot be listened to: {kind}")),
        None => {}
    }
    let time = span(facts.listened);
    if facts.listened >= QUERY_INTERVAL {
        return Finding::warning(
            TEST,
            format!("nobody asked for {time}: there is no querier"),
            "have the switch, or a router, send IGMP queries\n\
             a switch that snoops forgets its members without them: streams stop after minutes",
        )
        .figure("listened_seconds", facts.listened.as_secs_f64());
    }
    let silence = match facts.listened.as_secs() {
        0 => "not listened for".to_owned(),
        _ => format!("silence for {time} proves nothing: they ask every 125 s"),
    };
    match seen {
        // The switch has acted on join and leave, and yet nobody asked.
        Some(seen) if seen.overheard && seen.received > 0 && seen.before == 0 => Finding::warning(
            TEST,
            format!("nobody asked for {time}, nor when this host left the group"),
            "make sure: --listen 130s\n\
             without a querier a switch that snoops forgets its members: streams stop after minutes",
        ),
        _ => Finding::untested(TEST, silence).advise("--listen 130s tells"),
    }
}

fn asker(from: Ipv4Addr) -> String {
    if from.is_unspecified() { "a switch without an address".to_owned() } else { from.to_string() }
}

/// Of a server's own stream, heard on its own host.
pub fn loopback(seen: &Membership, to: SocketAddr, interface: &str) -> Finding {
    const TEST: &str = "own stream";
    match seen.received {
        0 => Finding::failure(
            TEST,
            format!("what this host sends to {to} by {interface} is not heard on {interface} itself"),
            format!("see that its firewall lets UDP {} out, and in for groups", to.port()),
        ),
        _ => Finding::ok(TEST, format!("{to}: sent, and heard, on {interface}")),
    }
}

/// Of other servers on the link.
pub fn others(found: &io::Result<Vec<SocketAddr>>, port: u16) -> Finding {
    const TEST: &str = "other servers";
    match found {
        Ok(found) if found.is_empty() => Finding::ok(TEST, format!("no other one answers at UDP {port} of this link")),
        Ok(found) => {
            let names: Vec<_> = found.iter().map(ToString::to_string).collect();
            Finding::warning(
                TEST,
                format!("another one answers: {}", names.join(", ")),
                "both may choose the same groups: give each its own range (--address), or one database",
            )
            .figure("others", found.len() as f64)
        }
        Err(error) => Finding::untested(TEST, format!("this link takes no broadcast: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Outcome::{self, *};
    use super::super::super::packet::Query;
    use super::*;

    fn to() -> SocketAddr {
        ([239, 194, 1, 2], 63_007).into()
    }

    fn sound() -> Membership {
        Membership {
            overheard: true,
            before: 0,
            at_interface: 90,
            lingered: Some(Duration::from_secs(2)),
            never_stopped: false,
            asked_by: Some([10, 0, 0, 254].into()),
            received: 90,
            joined_in: Some(Duration::from_millis(12)),
        }
    }

    #[test]
    fn who_blocks_a_group_is_named_as_far_as_it_was_seen() {
        let of = |seen: Membership, firewall| group(&seen, to(), "eth0", &firewall);
        assert_eq!(of(sound(), Firewall::None).seen, "239.194.1.2:63007 came 12 ms after the join");
        let dropped = of(Membership { received: 0, ..sound() }, Firewall::Filters("nftables"));
        assert!(dropped.outcome == Failure && dropped.seen.ends_with("this host drops it: nftables"), "{dropped}");
        let away = of(Membership { received: 0, at_interface: 0, ..sound() }, Firewall::None);
        assert!(away.outcome == Failure && away.seen.contains("reaches eth0"), "{away}");
        let unseen = Membership { received: 0, at_interface: 0, overheard: false, ..sound() };
        assert!(of(unseen, Firewall::None).advice.is_some_and(|advice| advice.contains("as root")));
    }

    #[test]
    fn flooding_and_lingering_are_warned_of() {
        let of = |seen: Membership| snooping(&seen, false).outcome;
        assert_eq!(of(sound()), Ok);
        assert_eq!(of(Membership { before: 5, ..sound() }), Warning);
        assert_eq!(of(Membership { never_stopped: true, ..sound() }), Warning);
        assert_eq!(of(Membership { overheard: false, ..sound() }), NotTestable);
        assert_eq!(of(Membership { at_interface: 0, received: 0, ..sound() }), NotTestable);
        assert_eq!(snooping(&sound(), true).outcome, NotTestable);
    }

    #[test]
    fn silence_proves_nothing_unless_it_is_longer_than_the_interval() {
        let of = |facts: QuerierFacts, seen: Option<Membership>| querier(&facts, seen.as_ref(), false).outcome;
        let silent = |seconds| QuerierFacts { listened: Duration::from_secs(seconds), ..QuerierFacts::default() };
        let query = Query { from: [10, 0, 0, 254].into(), version: 3, group: None };
        assert_eq!(of(QuerierFacts { heard: Some(query), ..silent(1) }, None), Ok);
        assert_eq!(of(silent(10), None), NotTestable);
        assert_eq!(of(silent(130), None), Warning);
        assert_eq!(of(silent(10), Some(sound())), Ok);
        let unasked = Membership { asked_by: None, ..sound() };
        assert_eq!(of(silent(10), Some(unasked)), Warning);
        assert_eq!(of(silent(10), Some(Membership { before: 3, ..unasked })), NotTestable);
        let denied = QuerierFacts { refused: Some(io::ErrorKind::PermissionDenied), ..silent(0) };
        let finding = querier(&denied, None, false);
        assert_eq!((finding.outcome, &*finding.seen), (NotTestable, "not testable without root (CAP_NET_RAW)"));
        assert_eq!(of(QuerierFacts { hinted: Some(2), ..denied }, None), Ok);
        assert_eq!(of(QuerierFacts { hinted: Some(2), ..silent(131) }, None), Warning);
        let nameless = Query { from: Ipv4Addr::UNSPECIFIED, version: 2, group: None };
        let finding = querier(&QuerierFacts { heard: Some(nameless), ..silent(1) }, None, false);
        assert_eq!(finding.seen, "a switch without an address asks, by IGMPv2");
    }

    #[test]
    fn a_path_that_is_too_narrow_is_told_with_its_mtu_and_direction() {
        let of = |both, there| path(PathFacts { limit: 1472, both: Some(both), there: Some(there) }, 1472);
        assert_eq!(of(1472, 1472).outcome, Ok);
        let narrow = of(1372, 1372);
        assert_eq!(narrow.seen, "datagrams of a stream have 1,472 bytes, 1,372 pass (MTU 1,400)");
        assert_eq!((narrow.outcome, narrow.figures["both_ways_bytes"]), (Failure, 1372.0));
        assert!(of(1372, 1472).seen.contains("on the way from the server 1,372 pass"));
        // A server whose own frames are small sends small ones.
        assert_eq!(path(PathFacts { limit: 1372, both: Some(1372), there: Some(1372) }, 1372).outcome, Ok);
    }

    #[test]
    fn a_silent_port_of_a_host_that_lives_is_told_apart_from_a_dead_host() {
        let server = ([10, 0, 0, 1], 62_999).into();
        let of = |seen: Contact, lives| contact(server, &seen, lives);
        let blocked = of(Contact::Silent, Some(true));
        assert_eq!(blocked.outcome, Failure);
        assert_eq!(blocked.seen, "the host answers, but not at UDP 62999: it is blocked on the way, or nobody listens");
        assert!(of(Contact::Silent, Some(false)).seen.contains("nor does the host"));
        assert!(of(Contact::Refused, None).seen.contains("refuses"));
        assert_eq!(of(Contact::Old, None).outcome, Warning);
    }

    #[test]
    fn other_servers_are_named() {
        let of = |found: io::Result<Vec<SocketAddr>>| others(&found, 62_999);
        assert_eq!(of(io::Result::Ok(vec![])).outcome, Ok);
        let found = of(io::Result::Ok(vec![([10, 0, 0, 9], 62_999).into()]));
        assert_eq!((found.outcome, &*found.seen), (Warning, "another one answers: 10.0.0.9:62999"));
        let outcome: Outcome = of(Err(io::ErrorKind::PermissionDenied.into())).outcome;
        assert_eq!(outcome, NotTestable);
    }
}
