//! What a session came to: who has the image, who has not and why, and what it cost.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use indicatif::BinaryBytes;
use multicast_core::engine::SessionSummary;
use multicast_core::net::SendStats;
use multicast_core::sender::{ClientSnapshot, ClientState, SenderCounters, SenderEvent};
use multicast_core::types::{ClientId, SessionId};
use serde::Serialize;

use crate::exit::Exit;
use crate::text;

/// Why clients went without the image; they may come back.
#[derive(Debug, Default)]
pub(crate) struct Reasons(HashMap<ClientId, String>);

impl Reasons {
    /// Keeps only those of these clients.
    pub(crate) fn retain(&mut self, keep: impl Fn(ClientId) -> bool) {
        self.0.retain(|client, _| keep(*client));
    }

    /// Keeps what `event` says of it.
    pub(crate) fn note(&mut self, event: &SenderEvent) {
        match event {
            SenderEvent::ClientJoined { client, .. } => {
                self.0.remove(client);
            }
            SenderEvent::ClientLeft { client, reason, text, .. } => {
                self.0.insert(*client, text::left(*reason, text).to_owned());
            }
            SenderEvent::ClientGivenUp { client, silent_seconds, .. } => {
                self.0.insert(*client, format!("silent for {}", text::duration(*silent_seconds)));
            }
            SenderEvent::ClientRemoved { client, .. } => {
                self.0.insert(*client, "removed by the operator".to_owned());
            }
            SenderEvent::ClientEvicted { client, text, .. } => {
                self.0.insert(*client, text.clone());
            }
            _ => {}
        }
    }

    /// Why this one went.
    pub(crate) fn get(&self, client: ClientId) -> Option<&str> {
        self.0.get(&client).map(String::as_str)
    }

    fn of(&self, client: &ClientSnapshot) -> String {
        self.get(client.client).unwrap_or("the session ended before it was complete").to_owned()
    }
}

/// The end of a session.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    session: SessionId,
    image: String,
    /// Every client that was admitted has the image.
    complete: bool,
    /// Ended by its user.
    cancelled: bool,
    #[serde(rename = "exit_code", serialize_with = "as_code")]
    exit: Exit,
    /// Clients ever admitted; one that was forgotten and came back counts again.
    clients: usize,
    clients_complete: usize,
    clients_left: usize,
    clients_given_up: usize,
    clients_removed: usize,
    clients_evicted: usize,
    /// Those that do not have the image, as far as the session remembers them.
    failed: Vec<Failed>,
    image_bytes: u64,
    wire_bytes: u64,
    wire_per_image: f64,
    image_symbols: u64,
    symbols_per_image: f64,
    /// Of the symbols sent, parity and those that had been sent before, for late comers too.
    repair_share: f64,
    seconds: f64,
    /// Bits per second on the wire.
    average_rate: f64,
    counters: SenderCounters,
    socket: SendStats,
    gso: bool,
}

/// A client without the image.
#[derive(Debug, Serialize)]
struct Failed {
    client: ClientId,
    host: String,
    address: SocketAddr,
    state: ClientState,
    /// Of the stream's blocks, from 0 to 1.
    done: f64,
    reason: String,
}

impl Summary {
    pub(crate) fn new(session: &SessionSummary, reasons: &Reasons, cancelled: bool, keep_open: bool) -> Self {
        let snapshot = &session.snapshot;
        let in_state = |state| snapshot.in_state(state) as usize;
        let lacking = snapshot.clients.iter().filter(|client| client.state != ClientState::Complete);
        let failed: Vec<_> = lacking
            .map(|client| Failed {
                client: client.client,
                host: client.host.clone(),
                address: client.address,
                state: client.state,
                done: f64::from(client.verified) / f64::from(snapshot.blocks.max(1)),
                reason: reasons.of(client),
            })
            .collect();
        // Whoever keeps a session open ends it by a signal: no cancellation if nobody was receiving.
        let served = keep_open && !snapshot.clients.is_empty() && snapshot.active() == 0;
        let cancelled = cancelled && !served;
        let complete = failed.is_empty() && snapshot.forgotten.failed() == 0 && !snapshot.clients.is_empty();
        let exit = match (cancelled, complete) {
            (true, _) => Exit::Cancelled,
            (false, true) => Exit::Success,
            (false, false) => Exit::Incomplete,
        };
        let counters = snapshot.counters;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let bits = counters.wire_bytes as f64 * 8.0;
        Self {
            session: snapshot.session,
            image: snapshot.image.clone(),
            complete,
            cancelled,
            exit,
            clients: snapshot.admitted() as usize,
            clients_complete: in_state(ClientState::Complete),
            clients_left: in_state(ClientState::Left),
            clients_given_up: in_state(ClientState::GivenUp),
            clients_removed: in_state(ClientState::Removed),
            clients_evicted: in_state(ClientState::Evicted),
            failed,
            image_bytes: session.image_bytes,
            wire_bytes: counters.wire_bytes,
            wire_per_image: share(counters.wire_bytes, session.image_bytes),
            image_symbols: session.image_symbols,
            symbols_per_image: share(counters.symbols, session.image_symbols),
            repair_share: share(counters.parity_symbols + counters.resent_symbols, counters.symbols),
            seconds: session.seconds,
            average_rate: if session.seconds > 0.0 { bits / session.seconds } else { 0.0 },
            counters,
            socket: session.socket,
            gso: session.gso,
        }
    }

    /// Its image's name.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// How the program is to end, if this is the only session.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    fn who(&self) -> String {
        let mut parts = vec![format!("{} complete", self.clients_complete)];
        let gone = self.clients_given_up + self.clients_left + self.clients_removed + self.clients_evicted;
        let others = [
            (self.clients_given_up, "given up"),
            (self.clients_left, "left"),
            (self.clients_removed, "removed"),
            (self.clients_evicted, "evicted"),
            (self.clients - self.clients_complete - gone, "unfinished"),
        ];
        parts.extend(others.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")));
        format!("{}, of {}", parts.join(", "), text::count(self.clients, "client"))
    }
}

fn as_code<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}

/// Several lines.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "clients    {}", self.who())?;
        for failed in &self.failed {
            let Failed { host, address, state, done, reason, .. } = failed;
            writeln!(f, "           {host} ({address}) {} at {:.1} %: {reason}", text::state(*state), done * 100.0)?;
        }
        writeln!(f, "image      {} bytes ({})", self.image_bytes, BinaryBytes(self.image_bytes))?;
        let Self { wire_bytes, wire_per_image, symbols_per_image, .. } = self;
        writeln!(f, "on wire    {wire_bytes} bytes, {wire_per_image:.4} × the image, headers counted")?;
        let (symbols, repair) = (self.counters.symbols, self.repair_share * 100.0);
        writeln!(f, "symbols    {symbols} sent, {symbols_per_image:.4} × the image; {repair:.2} % repair or replay")?;
        if self.socket.refused > 0 {
            writeln!(f, "dropped    {} datagrams by this host's own queue", self.socket.refused)?;
        }
        write!(f, "time       {}, {} on average", text::duration(self.seconds), text::rate(self.average_rate))
    }
}
