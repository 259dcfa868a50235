//! A small MADCAP server, as a state machine: for tests, and for benches without another server.
//!
//! It leases one address to a request, from one range that is also its only scope, and forgets everything when it
//! ends. It is no server for a site: nothing is kept on disk, and no other server is spoken with.

mod event;
mod pool;

pub use event::ResponderEvent;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use pool::Pool;

use crate::wire::{AddressRange, ErrorOption, Kind, Message, OptionCode, Options, Scope, ScopeName};
use crate::{Time, Transmit};

/// What a responder leases, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderConfig {
    /// Its own address, by which it identifies itself.
    pub server: Ipv4Addr,
    /// The first address of the range, which is the scope's ID.
    pub first: Ipv4Addr,
    /// The last address of the range.
    pub last: Ipv4Addr,
    /// The scope's TTL.
    pub ttl: u8,
    /// The scope's name; none if empty.
    pub name: String,
    /// Leases are given for what is asked, for this at most. Whole seconds.
    pub lease: Duration,
    /// How long an offer is held.
    pub offer_hold: Duration,
    /// How long an answer is kept for repetitions of its question.
    pub cache: Duration,
    /// What it does first.
    pub mood: Mood,
}

impl ResponderConfig {
    /// 256 addresses from 239.192.0.0 on, for an hour; an offer and an answer are kept for a minute, as RFC 2730
    /// (appendix B) recommends.
    pub fn new(server: Ipv4Addr) -> Self {
        Self {
            server,
            first: Ipv4Addr::new(239, 192, 0, 0),
            last: Ipv4Addr::new(239, 192, 0, 255),
            ttl: 15,
            name: "test".into(),
            lease: Duration::from_secs(3600),
            offer_hold: Duration::from_secs(60),
            cache: Duration::from_secs(60),
            mood: Mood::Serve,
        }
    }
}

/// What a responder does with what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mood {
    /// Answers.
    Serve,
    /// Is deaf, as if it were down.
    Silent,
    /// Says no to every request and renewal, and takes addresses back.
    Refuse,
    /// Says that it does not know what is to be renewed, and serves otherwise.
    RefuseRenewals,
}

/// Answers are kept for so many questions at most.
const CACHE_LIMIT: usize = 1024;

/// The server. Driven as a [`Client`](crate::Client) is.
pub struct Responder {
    config: ResponderConfig,
    mood: Mood,
    pool: Pool,
    cache: VecDeque<Cached>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ResponderEvent>,
}

/// An answer, kept so that a question that is repeated changes nothing (RFC 2730 §2.1.4).
struct Cached {
    until: Time,
    kind: Kind,
    xid: u32,
    id: Vec<u8>,
    answer: Vec<u8>,
}

/// What is answered.
enum Reply {
    /// The scope.
    Scopes,
    /// An address is held, for a lease of so many seconds.
    Offer { address: Ipv4Addr, seconds: u32 },
    /// An address is the client's for so many seconds.
    Granted { address: Ipv4Addr, seconds: u32 },
    /// An address is taken back.
    Released { address: Ipv4Addr },
    /// No, for this reason and because of this option.
    No { code: u16, option: u16 },
}

/// What is not answered, and why.
struct Ignored(String);

impl Reply {
    fn no(code: u16) -> Self {
        Self::No { code, option: ErrorOption::NO_OPTION }
    }

    fn not_with(option: OptionCode) -> Self {
        Self::No { code: ErrorOption::NOT_COMPLETED, option: option as u16 }
    }
}

impl Responder {
    /// A server with every address free.
    pub fn new(config: ResponderConfig) -> Self {
        Self {
            mood: config.mood,
            pool: Pool::new(config.first, config.last),
            config,
            cache: VecDeque::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// From now on does this.
    pub fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
    }

    /// How many addresses are leased or held.
    pub fn in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// Takes in a datagram that came from `from`, by unicast or to the group.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddrV4, datagram: &[u8]) {
        self.handle_timeout(now);
        match self.answer_to(now, from, datagram) {
            Ok(bytes) => self.transmits.push_back(Transmit { to: from, bytes }),
            Err(Ignored(why)) => self.events.push_back(ResponderEvent::Ignored { client: from, why }),
        }
    }

    /// Takes back what nobody has renewed.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(address) = self.pool.expire(now) {
            self.events.push_back(ResponderEvent::Expired { address });
        }
        self.cache.retain(|cached| cached.until > now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<ResponderEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.pool.next_expiry()
    }

    fn answer_to(&mut self, now: Time, from: SocketAddrV4, datagram: &[u8]) -> Result<Vec<u8>, Ignored> {
        if self.mood == Mood::Silent {
            return Err(Ignored("in no mood to answer".into()));
        }
        let question = Message::parse(datagram).map_err(|error| Ignored(error.to_string()))?;
        if let Kind::Offer | Kind::Ack | Kind::Nak = question.kind {
            return Err(Ignored("a server's message".into()));
        }
        // Without it nobody could tell what is answered.
        let id = question.options.lease_id.ok_or_else(|| Ignored("no lease identifier".into()))?;
        let asked = |cached: &&Cached| cached.kind == question.kind && cached.xid == question.xid && cached.id == id;
        if let Some(cached) = self.cache.iter().find(asked) {
            return Ok(cached.answer.clone());
        }
        let missing = question.kind.mandatory().iter().find(|option| !question.options.has(**option));
        let reply = match missing {
            Some(option) => Reply::No { code: ErrorOption::INVALID, option: *option as u16 },
            None => self.reply(now, &question, id)?,
        };
        self.tell(from, question.kind, &reply);
        let answer = self.encode(&question, &reply, id);
        let until = now + self.config.cache;
        let (kind, xid) = (question.kind, question.xid);
        self.cache.push_back(Cached { until, kind, xid, id: id.to_vec(), answer: answer.clone() });
        if self.cache.len() > CACHE_LIMIT {
            self.cache.pop_front();
        }
        Ok(answer)
    }

    fn reply(&mut self, now: Time, question: &Message<'_>, id: &[u8]) -> Result<Reply, Ignored> {
        let options = &question.options;
        let most = u32::try_from(self.config.lease.as_secs()).unwrap_or(u32::MAX);
        let seconds = options.lease_time.map_or(most, |wanted| wanted.min(most));
        let until = now + Duration::from_secs(u64::from(seconds));
        let granted = |address| Reply::Granted { address, seconds };
        Ok(match question.kind {
            Kind::GetInfo => Reply::Scopes,
            // What cannot be satisfied is ignored: another server may do better (§2.2.3).
            Kind::Discover => match self.objection(options) {
                Some(_) => return Err(Ignored("not to be satisfied".into())),
                None => match self.pool.hold(id, now + self.config.offer_hold) {
                    Some(address) => Reply::Offer { address, seconds },
                    None => return Err(Ignored("no address is free".into())),
                },
            },
            Kind::Request if options.server.is_some_and(|server| server != self.config.server) => {
                self.pool.let_go(id);
                return Err(Ignored("another server was chosen".into()));
            }
            Kind::Request => match self.objection(options) {
                Some(no) => no,
                None => self.pool.lease(id, until).map_or(Reply::no(ErrorOption::NOT_COMPLETED), granted),
            },
            Kind::Renew if self.mood == Mood::Refuse => Reply::no(ErrorOption::NOT_COMPLETED),
            Kind::Renew => {
                if self.mood == Mood::RefuseRenewals {
                    self.pool.free(id);
                }
                self.pool.renew(id, until).map_or(Reply::no(ErrorOption::UNKNOWN_LEASE), granted)
            }
            Kind::Release => match self.pool.free(id) {
                Some(address) => Reply::Released { address },
                None => Reply::no(ErrorOption::UNKNOWN_LEASE),
            },
            Kind::Offer | Kind::Ack | Kind::Nak => return Err(Ignored("a server's message".into())),
        })
    }

    /// Why a request could not be satisfied even if all addresses were free.
    fn objection(&self, options: &Options<'_>) -> Option<Reply> {
        if self.mood == Mood::Refuse {
            Some(Reply::no(ErrorOption::NOT_COMPLETED))
        } else if options.scope != Some(self.config.first) {
            Some(Reply::not_with(OptionCode::MulticastScope))
        } else if options.count.is_some_and(|count| count.minimum > 1) {
            Some(Reply::not_with(OptionCode::AddressCount))
        } else if options.min_lease_time.is_some_and(|least| u64::from(least) > self.config.lease.as_secs()) {
            Some(Reply::not_with(OptionCode::MinLeaseTime))
        } else {
            None
        }
    }

    fn tell(&mut self, client: SocketAddrV4, kind: Kind, reply: &Reply) {
        let lease = |seconds: u32| Duration::from_secs(u64::from(seconds));
        self.events.push_back(match *reply {
            Reply::Scopes => ResponderEvent::Told { client },
            Reply::Offer { address, .. } => ResponderEvent::Offered { address, client },
            Reply::Granted { address, seconds } if kind == Kind::Renew => {
                ResponderEvent::Renewed { address, client, lease: lease(seconds) }
            }
            Reply::Granted { address, seconds } => ResponderEvent::Leased { address, client, lease: lease(seconds) },
            Reply::Released { address } => ResponderEvent::Released { address, client },
            Reply::No { code, .. } => ResponderEvent::Refused { client, kind, code },
        });
    }

    fn encode(&self, question: &Message<'_>, reply: &Reply, id: &[u8]) -> Vec<u8> {
        let ResponderConfig { server, first, last, ttl, ref name, .. } = self.config;
        let common = Options { server: Some(server.into()), lease_id: Some(id), ..Options::default() };
        let no;
        let (kind, options) = match *reply {
            Reply::Scopes => {
                let name = ScopeName { fallback: true, language: b"en", name: name.as_bytes() };
                let names = if name.name.is_empty() { Vec::new() } else { vec![name] };
                (Kind::Ack, Options { scopes: Some(vec![Scope { first, last, ttl, names }]), ..common })
            }
            Reply::Offer { seconds, .. } => {
                (Kind::Offer, Options { lease_time: Some(seconds), scope: Some(first), ..common })
            }
            Reply::Granted { address, seconds } => {
                let ranges = Some(vec![AddressRange { first: address, count: 1 }]);
                (Kind::Ack, Options { lease_time: Some(seconds), scope: Some(first), ranges, ..common })
            }
            Reply::Released { .. } => (Kind::Ack, common),
            Reply::No { code, option } => {
                no = option.to_be_bytes();
                let extra = if code == ErrorOption::UNKNOWN_LEASE { &[][..] } else { &no };
                (Kind::Nak, Options { error: Some(ErrorOption { code, extra }), ..common })
            }
        };
        Message { kind, xid: question.xid, options }.to_bytes()
    }
}
