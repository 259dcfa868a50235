//! What a client is told before it begins.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::SERVER_GROUP;

/// Whom to ask, and for what.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The server, asked by unicast; without it, whoever listens to `group`.
    pub server: Option<SocketAddrV4>,
    /// Where servers listen. Its port is also the one that a server found there is then asked at.
    pub group: SocketAddrV4,
    /// The scope to take addresses from, by its first address; without it, the first one in 239.0.0.0/8 that a
    /// server lists, else the first usable one.
    pub scope: Option<Ipv4Addr>,
    /// For how long to ask; a server may give less. Whole seconds, at most 136 years.
    pub lease_time: Duration,
    /// How often to ask.
    pub timing: Timing,
}

impl Default for Config {
    /// Servers of the local scope, a scope that they list, for an hour.
    fn default() -> Self {
        Self {
            server: None,
            group: SERVER_GROUP,
            scope: None,
            lease_time: Duration::from_secs(3600),
            timing: Timing::default(),
        }
    }
}

/// How often a message is repeated, and what then.
///
/// RFC 2730 §2.3 recommends 4, 8, 16 s and to give up after a minute, for networks of any size. Within a site an
/// answer takes milliseconds, so the default begins with 1 s; it gives up after half a minute, and begins anew
/// after a rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// From a message to its first repetition, above 0; then it doubles. Also how long offers of shorter leases
    /// than asked for are collected.
    pub first: Duration,
    /// From one repetition to the next at most.
    pub longest: Duration,
    /// How often a message is sent before nobody seems to be there.
    pub tries: u32,
    /// From there until it is tried anew, above 0; then it doubles.
    pub rest: Duration,
    /// That at most.
    pub longest_rest: Duration,
    /// By which part of itself a delay is shortened or lengthened at random: 0.1 for ±10 %. Below 1.
    pub jitter: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(16),
            tries: 5,
            rest: Duration::from_secs(10),
            longest_rest: Duration::from_secs(120),
            jitter: 0.1,
        }
    }
}
