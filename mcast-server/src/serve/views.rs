//! What the API, the web page and `ctl` show: images, sessions, clients, servers.

use std::net::SocketAddr;

use multicast_core::sender::{ClientSnapshot, ClientState, Rung, SessionSnapshot};
use multicast_core::wire::SessionState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::content::{Image, ImageState};
use super::sessions::Running;
use crate::config::{Encryption, MulticastUse};
use crate::site::ImageSeen;

/// An image of this server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageView {
    /// By which clients ask for it.
    pub(crate) name: String,
    /// As the configuration has it.
    pub(crate) version: Option<String>,
    /// `settling`, `hashing`, `ready` or `broken`.
    pub(crate) state: String,
    /// How much of it is hashed, 0 to 1, while it is being hashed.
    pub(crate) hashed: Option<f64>,
    /// What is wrong with it.
    pub(crate) problem: Option<String>,
    /// Its files.
    pub(crate) files: Vec<String>,
    /// Its size, once it is known.
    pub(crate) bytes: Option<u64>,
    /// BLAKE3 of its manifest, in hexadecimal; stands for all of its bytes.
    pub(crate) root: Option<String>,
    /// `allowed`, `only` or `never`.
    pub(crate) multicast: String,
    /// Whether its bytes are encrypted on the way.
    pub(crate) encrypted: bool,
    /// 1 to 9, higher first.
    pub(crate) priority: u8,
    /// When its sessions begin, in words.
    pub(crate) start: String,
    /// The session that serves it now.
    pub(crate) session: Option<String>,
}

impl ImageView {
    pub(crate) fn of(image: &Image, session: Option<String>) -> Self {
        let ready = if let ImageState::Ready(ready) = &image.state { Some(ready) } else { None };
        Self {
            name: image.name.clone(),
            version: image.version.clone(),
            state: image.state.word().to_owned(),
            hashed: if let ImageState::Hashing(progress) = &image.state { Some(progress.share()) } else { None },
            problem: if let ImageState::Broken(why) = &image.state { Some(why.clone()) } else { None },
            files: image.files.iter().map(|file| file.display().to_string()).collect(),
            bytes: ready.map(|ready| ready.bytes()),
            root: ready.map(|ready| ready.root()),
            multicast: use_word(image.multicast).to_owned(),
            encrypted: image.encryption != Encryption::Off,
            priority: image.priority,
            start: image.start.to_string(),
            session,
        }
    }
}

/// An image of some server of the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SiteImageView {
    /// By which clients ask for it.
    pub(crate) name: String,
    /// The server that has it.
    pub(crate) server: String,
    /// As the configuration has it.
    pub(crate) version: Option<String>,
    /// `settling`, `hashing`, `ready` or `broken`.
    pub(crate) state: String,
    /// Its size, once it is known.
    pub(crate) bytes: Option<u64>,
    /// BLAKE3 of its manifest, in hexadecimal: the same wherever the same bytes are.
    pub(crate) root: Option<String>,
    /// `allowed`, `only` or `never`.
    pub(crate) multicast: String,
}

impl From<ImageSeen> for SiteImageView {
    fn from(seen: ImageSeen) -> Self {
        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        let row = seen.row;
        Self {
            name: row.name,
            server: seen.server_name,
            version: known(row.version),
            state: row.state,
            bytes: Some(row.bytes).filter(|bytes| *bytes > 0),
            root: known(row.root),
            multicast: row.multicast,
        }
    }
}

/// By what a client receives that fetches over HTTP.
pub(crate) const HTTP: &str = "http";

/// Whether an image goes out by multicast, in the word of the configuration.
pub(crate) fn use_word(multicast: MulticastUse) -> &'static str {
    match multicast {
        MulticastUse::Allowed => "allowed",
        MulticastUse::Only => "only",
        MulticastUse::Never => "never",
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionView {
    /// Its number, in hexadecimal; of another server's session, that server's id and a dot in front.
    pub(crate) id: String,
    /// The server that serves it.
    pub(crate) server: String,
    /// The image.
    pub(crate) image: String,
    /// The image's version.
    pub(crate) version: Option<String>,
    /// `waiting`, `running`, `paused`, `idle` or `ended`.
    pub(crate) state: String,
    /// How it ended.
    pub(crate) outcome: Option<String>,
    /// Group and port.
    pub(crate) group: String,
    /// Bits per second on the wire.
    pub(crate) rate: u64,
    /// Bytes of the image.
    pub(crate) bytes: u64,
    /// Blocks of the stream.
    pub(crate) blocks: u32,
    /// Bytes sent so far, headers counted.
    pub(crate) wire_bytes: u64,
    /// Seconds that what is known to be needed takes at this rate.
    pub(crate) remaining_seconds: f64,
    /// Clients waited for before it starts, 0 without such a threshold.
    pub(crate) awaited: u32,
    /// When it starts by itself, milliseconds since 1970, if that is known: at its hour, or when its first client
    /// has waited for long enough.
    pub(crate) starts_ms: Option<i64>,
    /// When it was opened, milliseconds since 1970.
    pub(crate) opened_ms: i64,
    /// When it ended, milliseconds since 1970.
    pub(crate) ended_ms: Option<i64>,
    /// Clients that it serves.
    pub(crate) active: u32,
    /// Clients that have the image.
    pub(crate) complete: u32,
    /// Clients that went without it.
    pub(crate) failed: u32,
    /// What the active and complete clients have together, 0 to 1.
    pub(crate) progress: f64,
    /// Loss of the median active client lately, 0 to 1.
    pub(crate) median_loss: f64,
    /// Who is furthest behind, and why.
    pub(crate) slowest: Option<SlowestView>,
}

/// Who of a session is furthest behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SlowestView {
    /// Its number, in hexadecimal.
    pub(crate) client: String,
    /// Its host name.
    pub(crate) host: String,
    /// What it has, 0 to 1.
    pub(crate) progress: f64,
    /// Why it is behind, in words.
    pub(crate) reason: String,
}

/// A client of a session, or one that fetches by unicast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientView {
    /// Its number, in hexadecimal.
    pub(crate) client: String,
    /// Its host name.
    pub(crate) host: String,
    /// Where it is.
    pub(crate) address: String,
    /// The image that it takes.
    pub(crate) image: String,
    /// The session that serves it; none by HTTP.
    pub(crate) session: Option<String>,
    /// `joined`, `receiving`, `silent`, `complete`, `left`, `given_up`, `removed`, `moved`, `evicted`.
    pub(crate) state: String,
    /// `multicast`, `slower`, `unicast` (both of the session), or `http`.
    pub(crate) path: String,
    /// Blocks that it has verified.
    pub(crate) verified: u32,
    /// Blocks that there are.
    pub(crate) blocks: u32,
    /// Bytes a second that reached it lately.
    pub(crate) bytes_per_second: f64,
    /// Part of what was sent lately that did not reach it, 0 to 1.
    pub(crate) loss: f64,
    /// Datagrams that its own socket dropped.
    pub(crate) dropped: u32,
    /// Seconds since it joined; of a complete one until it was.
    pub(crate) seconds: f64,
    /// Why it went, or goes another way.
    pub(crate) reason: Option<String>,
}

impl SessionView {
    /// How a session of this server stands.
    pub(crate) fn of(running: &Running, snapshot: &SessionSnapshot, server: &str) -> Self {
        let active = || snapshot.clients.iter().filter(|client| client.state.is_active());
        let (count, complete) = (snapshot.active(), snapshot.in_state(ClientState::Complete));
        let blocks = snapshot.blocks.max(1);
        let has: u64 = active().map(|client| u64::from(client.verified)).sum();
        let whole = u64::from(count + complete) * u64::from(blocks);
        let mut losses: Vec<f64> = active().map(|client| client.loss).collect();
        losses.sort_by(f64::total_cmp);
        Self {
            id: running.id.clone(),
            server: server.to_owned(),
            image: running.image.name.clone(),
            version: running.image.version.clone(),
            state: state_word(snapshot.state).to_owned(),
            outcome: None,
            group: running.group.to_string(),
            rate: snapshot.rate.bits(),
            bytes: running.ready.bytes(),
            blocks: snapshot.blocks,
            wire_bytes: snapshot.counters.wire_bytes,
            remaining_seconds: snapshot.remaining.as_secs_f64(),
            awaited: snapshot.awaited,
            starts_ms: running.starts_ms(),
            opened_ms: running.opened_ms,
            ended_ms: None,
            active: count,
            complete,
            failed: snapshot.failed(),
            progress: if whole == 0 {
                0.0
            } else {
                (has + u64::from(complete) * u64::from(blocks)) as f64 / whole as f64
            },
            median_loss: losses.get(losses.len() / 2).copied().unwrap_or(0.0),
            slowest: slowest(snapshot, &losses),
        }
    }
}

/// The active client that has least, with what is seen of it.
fn slowest(snapshot: &SessionSnapshot, losses: &[f64]) -> Option<SlowestView> {
    let active = snapshot.clients.iter().filter(|client| client.state.is_active());
    let client = active.min_by_key(|client| client.verified).filter(|_| snapshot.state == SessionState::Running)?;
    let median = losses.get(losses.len() / 2).copied().unwrap_or(0.0);
    let reason = match (client.state, client.rung) {
        (ClientState::Silent, _) => "does not answer".to_owned(),
        (ClientState::Joined, _) => "has not yet said that it hears the stream".to_owned(),
        (_, Rung::Unicast) => "is served alone, by unicast".to_owned(),
        (_, Rung::Slower) => "is served by the slower stream".to_owned(),
        _ if client.dropped > 0 && client.loss > median => {
            format!("drops datagrams itself ({} so far): its disk or processor is too slow", client.dropped)
        }
        _ if client.loss > 2.0 * median + 0.01 => {
            format!("loses {:.1} % on the way, the median {:.1} %", client.loss * 100.0, median * 100.0)
        }
        _ if client.seconds + 1.0 < snapshot.clients.iter().map(|other| other.seconds).fold(0.0, f64::max) => {
            "joined later".to_owned()
        }
        _ => "is as fast as the others".to_owned(),
    };
    let progress = f64::from(client.verified) / f64::from(snapshot.blocks.max(1));
    Some(SlowestView { client: client.client.to_string(), host: client.host.clone(), progress, reason })
}

impl ClientView {
    /// The clients of a session of this server.
    pub(crate) fn all_of(running: &Running, snapshot: &SessionSnapshot) -> Vec<Self> {
        snapshot.clients.iter().map(|client| Self::of(running, snapshot, client)).collect()
    }

    /// One of them; `reason` says why it went.
    pub(crate) fn of(running: &Running, snapshot: &SessionSnapshot, client: &ClientSnapshot) -> Self {
        let symbol = f64::from(running.ready.manifest.layout.geometry().symbol_size);
        Self {
            client: client.client.to_string(),
            host: client.host.clone(),
            address: client.address.to_string(),
            image: running.image.name.clone(),
            session: Some(running.id.clone()),
            state: client_word(client.state).to_owned(),
            path: path_word(client.rung).to_owned(),
            verified: client.verified,
            blocks: snapshot.blocks,
            bytes_per_second: if client.state.is_active() { client.symbols_per_second * symbol } else { 0.0 },
            loss: client.loss,
            dropped: client.dropped,
            seconds: client.seconds,
            reason: running.reason(client.client),
        }
    }
}

/// A client by HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fetching {
    pub(crate) client: String,
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    pub(crate) image: String,
    pub(crate) reason: Option<String>,
    pub(crate) verified: u32,
    pub(crate) blocks: u32,
    pub(crate) bytes_per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) complete: bool,
    pub(crate) silent: bool,
}

impl From<Fetching> for ClientView {
    fn from(fetching: Fetching) -> Self {
        let state = match (fetching.complete, fetching.silent) {
            (true, _) => ClientState::Complete,
            (false, true) => ClientState::Silent,
            (false, false) => ClientState::Receiving,
        };
        Self {
            client: fetching.client,
            host: fetching.host,
            address: fetching.address.to_string(),
            image: fetching.image,
            session: None,
            state: client_word(state).to_owned(),
            path: HTTP.to_owned(),
            verified: fetching.verified,
            blocks: fetching.blocks,
            bytes_per_second: fetching.bytes_per_second,
            loss: 0.0,
            dropped: 0,
            seconds: fetching.seconds,
            reason: fetching.reason,
        }
    }
}

/// A session's state in a word.
pub(crate) fn state_word(state: SessionState) -> &'static str {
    match state {
        SessionState::Waiting => "waiting",
        SessionState::Running => "running",
        SessionState::Paused => "paused",
        SessionState::Idle => "idle",
        SessionState::Ended => "ended",
    }
}

/// A client's state in a word.
pub(crate) fn client_word(state: ClientState) -> &'static str {
    match state {
        ClientState::Joined => "joined",
        ClientState::Receiving => "receiving",
        ClientState::Silent => "silent",
        ClientState::Complete => "complete",
        ClientState::Left => "left",
        ClientState::GivenUp => "given_up",
        ClientState::Removed => "removed",
        ClientState::Moved => "moved",
        ClientState::Evicted => "evicted",
    }
}

fn path_word(rung: Rung) -> &'static str {
    match rung {
        Rung::Main => "multicast",
        Rung::Slower => "slower",
        Rung::Unicast => "unicast",
    }
}
