//! Listens for IGMP queries. It sends nothing: a query of our own could make us the querier.

use std::fs;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::packet::Query;
use crate::net::{IgmpListener, Interface, Waker, wait};

/// What was heard of a querier on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuerierFacts {
    /// How long was listened.
    pub listened: Duration,
    /// The first general query.
    pub heard: Option<Query>,
    /// Why nothing could be listened to: `PermissionDenied` without CAP_NET_RAW.
    pub refused: Option<io::ErrorKind>,
    /// The version of queries that the system has heard lately, if it is an old one: of version 3 it does not
    /// tell whether it heard any.
    pub hinted: Option<u8>,
}

/// A thread that listens until it hears a general query.
pub struct QuerierWatch {
    thread: JoinHandle<QuerierFacts>,
    waker: Waker,
    end: Instant,
}

impl QuerierWatch {
    /// Begins to listen on `interface`, for `time` at most.
    pub fn begin(interface: &Interface, time: Duration) -> io::Result<Self> {
        let (waker, interface) = (Waker::new()?, interface.clone());
        let theirs = waker.clone();
        let end = Instant::now() + time;
        let thread = thread::Builder::new().name("igmp".into()).spawn(move || listen(&interface, end, &theirs))?;
        Ok(Self { thread, waker, end })
    }

    /// How long it still listens, 0 if it has ended.
    pub fn left(&self) -> Duration {
        if self.thread.is_finished() { Duration::ZERO } else { self.end.saturating_duration_since(Instant::now()) }
    }

    /// Waits for its end, and takes what it heard.
    pub fn finish(self) -> QuerierFacts {
        self.thread.join().unwrap_or_default()
    }

    /// Ends it now.
    pub fn stop(self) -> QuerierFacts {
        self.waker.wake();
        self.finish()
    }
}

fn listen(interface: &Interface, end: Instant, waker: &Waker) -> QuerierFacts {
    let begun = Instant::now();
    let mut facts = QuerierFacts { hinted: hint(interface), ..QuerierFacts::default() };
    let listener = match IgmpListener::open(interface) {
        Ok(listener) => listener,
        Err(error) => return QuerierFacts { refused: Some(error.kind()), ..facts },
    };
    let mut buffer = [0; 2048];
    while facts.heard.is_none() {
        let left = end.saturating_duration_since(Instant::now());
        let woken = wait(&[listener.handle(), waker.handle()], Some(left)).is_ok_and(|ready| ready.contains(1));
        if left.is_zero() || woken {
            break;
        }
        while let Ok(Some(len)) = listener.receive(&mut buffer) {
            let general = Query::read(&buffer[..len]).filter(|query| query.group.is_none());
            facts.heard = facts.heard.or(general);
        }
    }
    facts.listened = begun.elapsed();
    facts.hinted = facts.hinted.or_else(|| hint(interface));
    facts
}

/// The version that the system answers in, if queries of an old one made it so (RFC 3376 §7.2.1).
fn hint(interface: &Interface) -> Option<u8> {
    let forced = |name: &str| {
        let version = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/force_igmp_version"));
        version.is_ok_and(|version| version.trim() != "0")
    };
    if forced("all") || forced(&interface.name) {
        return None;
    }
    hint_in(&fs::read_to_string("/proc/net/igmp").ok()?, &interface.name)
}

fn hint_in(table: &str, name: &str) -> Option<u8> {
    let line = table.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|index| index.parse::<u32>().is_ok()) && words.next() == Some(name)
    })?;
    match line.split_whitespace().last()? {
        "V1" => Some(1),
        "V2" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::choose;

    #[test]
    fn the_system_tells_of_old_queriers_only() {
        let table = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                     1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                     2\teth0      :     2      V2\n\t\t\t\tFB0000E0     1 0:00000000\t\t0\n";
        assert_eq!((hint_in(table, "eth0"), hint_in(table, "lo"), hint_in(table, "eth")), (Some(2), None, None));
    }

    #[test]
    fn who_listens_ends_in_time_or_says_why_it_cannot() {
        let watch = QuerierWatch::begin(&choose(Some("lo")).unwrap(), Duration::from_millis(50)).unwrap();
        let facts = watch.finish();
        match facts.refused {
            Some(kind) => assert_eq!(kind, io::ErrorKind::PermissionDenied),
            None => assert!(facts.listened >= Duration::from_millis(50)),
        }
        let watch = QuerierWatch::begin(&choose(Some("lo")).unwrap(), Duration::from_secs(600)).unwrap();
        assert!(watch.stop().listened < Duration::from_secs(60));
    }
}
