//! The settings as the rest of the program takes them: plain data, checked.
//!
//! Their defaults stand in the schema, once. `Default` makes a blank here, which nobody but the reader should want.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use multicast_core::address::{AddressPool, DEFAULT_PORTS, PortRange};
use multicast_core::manifest::CachePlace;
use multicast_core::pace::{AdaptConfig, Profile, Rate};
use multicast_core::sender::LadderConfig;
// sqlx takes its URLs as text; reqwest gives the type that it reads them with.
use reqwest::Url;
use tracing_subscriber::filter::Targets;

use super::pxe::Pxe;
use super::schedule::Schedule;
use super::secret::Secret;
use crate::cli::Switch;

/// All settings of a distribution point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) site: Site,
    pub(crate) server: Server,
    pub(crate) multicast: Multicast,
    pub(crate) rate: RateSettings,
    pub(crate) clients: Clients,
    /// Of images without one of their own.
    pub(crate) start: Schedule,
    pub(crate) session: Session,
    pub(crate) content: Content,
    pub(crate) images: Vec<Image>,
    pub(crate) http: Http,
    pub(crate) tokens: Vec<Token>,
    pub(crate) log: Log,
    pub(crate) pxe: Pxe,
}

impl Settings {
    /// Whether the HTTP side at `address` speaks TLS.
    pub(crate) fn tls_at(&self, address: SocketAddr) -> bool {
        match self.http.tls {
            TlsUse::Always => true,
            TlsUse::Auto => !address.ip().to_canonical().is_loopback(),
        }
    }

    /// Where hashes of images are kept.
    pub(crate) fn cache_place(&self) -> CachePlace {
        match &self.content.cache {
            Cache::State => CachePlace::Folder(self.site.state.join("manifests")),
            Cache::Beside => CachePlace::Beside,
            Cache::None => CachePlace::Nowhere,
            Cache::Folder(folder) => CachePlace::Folder(folder.clone()),
        }
    }
}

/// `[site]`: what servers that share a database have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    pub(crate) name: String,
    /// Where this server keeps what it must not lose.
    pub(crate) state: PathBuf,
    pub(crate) database: Database,
    pub(crate) account: Account,
}

impl Site {
    /// The file of the SQLite database, if it is one.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        match &self.database {
            Database::Sqlite(None) => Some(self.state.join("site.sqlite")),
            Database::Sqlite(Some(file)) => Some(file.clone()),
            Database::Postgres(_) => None,
        }
    }
}

/// Which database holds the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file: this one, or one in the state folder ([`Site::sqlite_file`]).
    Sqlite(Option<PathBuf>),
    /// A server, by a URL without a password.
    Postgres(Url),
}

impl Default for Database {
    fn default() -> Self {
        Self::Sqlite(None)
    }
}

/// `[site.account]`: who the server is to the database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// Goes before a user in the URL.
    pub(crate) user: Option<String>,
    /// Given, or read from the file.
    pub(crate) password: Option<Secret>,
    pub(crate) password_file: Option<PathBuf>,
}

/// `[server]`: this one of the site's servers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// Name or address, as [`multicast_core::net::choose`] takes it.
    pub(crate) interface: Option<String>,
    /// UDP port at which clients ask; not 0.
    pub(crate) control_port: u16,
}

/// `[multicast]`: where streams go.
#[derive(Debug, Clone)]
pub(crate) struct Multicast {
    pub(crate) enabled: bool,
    pub(crate) address: AddressSource,
    pub(crate) ports: PortRange,
    /// Routers that a stream may pass, plus one; not 0.
    pub(crate) ttl: u8,
    /// Differentiated services code point, below 64.
    pub(crate) dscp: u8,
    pub(crate) source_specific: bool,
    /// Clients may test the network by short streams.
    pub(crate) probes: bool,
    pub(crate) madcap: Madcap,
}

impl Default for Multicast {
    fn default() -> Self {
        Self {
            enabled: false,
            address: AddressSource::Madcap,
            ports: DEFAULT_PORTS,
            ttl: 0,
            dscp: 0,
            source_specific: false,
            probes: false,
            madcap: Madcap::default(),
        }
    }
}

/// Where group addresses come from.
#[derive(Debug, Clone)]
pub(crate) enum AddressSource {
    /// From this pool, whose order of choice is this start's own.
    Pool(AddressPool),
    /// Leased from a DHCP server by MADCAP (RFC 2730).
    Madcap,
}

/// `[multicast.madcap]`: how addresses are leased.
#[derive(Debug, Clone, Default)]
pub(crate) struct Madcap {
    pub(crate) server: HostPort,
    /// The scope's first address; none for the first one that the server offers.
    pub(crate) scope: Option<IpAddr>,
    pub(crate) lease: Duration,
    /// Addresses leased ahead.
    pub(crate) spare: u32,
}

/// A host by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// As the standard library resolves it.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// `[rate]`: how fast streams are.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateSettings {
    /// Kind of the slowest link on the way; none: the interface's. Never [`Profile::Custom`].
    pub(crate) network: Option<Profile>,
    /// Instead of a kind of link.
    pub(crate) custom: Option<Rate>,
    pub(crate) adaptive: Switch,
    /// Of all sessions of this server together.
    pub(crate) total: Option<Rate>,
}

impl RateSettings {
    /// What was asked for; none: by the interface.
    pub(crate) fn profile(&self) -> Option<Profile> {
        self.custom.map(Profile::Custom).or(self.network)
    }

    /// Whether a session slows down when most of its clients lose: unless somebody said how fast the network is.
    pub(crate) fn adapts(&self) -> bool {
        match self.adaptive {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => self.profile().is_none(),
        }
    }
}

/// `[clients]`: how many, and how patient one is with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients {
    /// In all sessions together; with PostgreSQL of the whole site.
    pub(crate) max: Option<u32>,
    pub(crate) when_full: WhenFull,
    /// A client that was silent for so long is given up.
    pub(crate) silence: Duration,
    pub(crate) slow: Slow,
}

/// What becomes of the one client too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum WhenFull {
    /// It waits, and is told its place.
    #[default]
    Queue,
    /// It may fetch by unicast.
    Unicast,
}

/// `[clients.slow]`, as the engine takes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slow {
    pub(crate) pace: AdaptConfig,
    pub(crate) ladder: LadderConfig,
}

/// `[session]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// A session with nobody in it is closed after so long.
    pub(crate) linger: Duration,
}

/// `[content]`: what is served. Paths are absolute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) images: Option<PathBuf>,
    pub(crate) packages: Option<PathBuf>,
    /// A changed file is taken when it has not changed for so long.
    pub(crate) settle: Duration,
    pub(crate) unlisted: Unlisted,
    pub(crate) cache: Cache,
}

/// What becomes of files in the images' folder that have no `[[image]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unlisted {
    #[default]
    Serve,
    Ignore,
}

/// Where hashes of images are kept ([`Settings::cache_place`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Cache {
    #[default]
    State,
    Beside,
    None,
    Folder(PathBuf),
}

/// An `[[image]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Image {
    /// 1 to 255 bytes, of no other image.
    pub(crate) name: String,
    /// At least one, relative to the images' folder and within it.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) version: Option<String>,
    pub(crate) multicast: MulticastUse,
    pub(crate) encryption: Encryption,
    /// 1 to 9, higher first.
    pub(crate) priority: u8,
    /// Instead of the default schedule.
    pub(crate) start: Option<Schedule>,
}

impl Image {
    /// Its files, with their folder.
    pub(crate) fn paths(&self, images: &Path) -> Vec<PathBuf> {
        self.files.iter().map(|file| images.join(file)).collect()
    }
}

/// Whether an image goes out by multicast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MulticastUse {
    #[default]
    Allowed,
    /// Not by unicast.
    Only,
    /// By unicast alone.
    Never,
}

/// Whether an image's bytes are encrypted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encryption {
    #[default]
    Off,
}

/// `[http]`: API, web page and unicast.
#[derive(Debug, Clone, Default)]
pub(crate) struct Http {
    /// At least one, each once.
    pub(crate) listen: Vec<SocketAddr>,
    /// Only for metrics.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// With `key`, or neither of them.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) tls: TlsUse,
    pub(crate) max_connections: u32,
    /// Bytes of a request's body.
    pub(crate) body_limit: u64,
}

/// Where the HTTP side speaks TLS ([`Settings::tls_at`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TlsUse {
    /// Wherever it listens beyond loopback.
    #[default]
    Auto,
    Always,
}

/// A `[[token]]`: what its bearer may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    /// Of no other token; appears in the log.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Given, or read from the file; at least 20 characters, without spaces.
    pub(crate) token: Secret,
    pub(crate) token_file: Option<PathBuf>,
}

/// What the bearer of a token may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Role {
    /// Read the metrics.
    #[default]
    Metrics,
    /// See all there is, settings too.
    Viewer,
    /// Start, pause, cancel, remove.
    Operator,
}

impl Role {
    /// As the configuration has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: Targets,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// The journal's own format under systemd, text elsewhere.
    #[default]
    Auto,
    Text,
    Json,
    Journald,
}
