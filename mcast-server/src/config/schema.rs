//! Every key that there is, once: what it takes, its default, when a change of it applies, what it is for.
//!
//! From here come the names in the environment, the suggestions for a key that nobody knows, what `--check-config`
//! shows, and what a reload does. `docs/examples/server.toml` is compared with it.

use std::path::PathBuf;
use std::time::Duration;

use super::forms::{Network, Within};
use super::input::{Setting, Wrong};
use super::kind::{Key, Kind, Preset, Reload, key};
use super::pxe;
use super::schedule::Schedule;
use super::settings::{Image, Settings, Token};
use crate::amounts::NAME_LIMIT;

use Kind::{Form, Number, Path, Rate, Secret, Share, ShareAboveZero, Size, Switch, Text, Time, Word};
use Preset::{Host, None as Nothing, Required, State, Value};

/// The section of the default schedule; and where an image has one of its own.
pub(super) const START: &str = "start";
/// The lists of tables.
pub(super) const LISTS: [&str; 3] = ["image", "token", pxe::NETWORKS];

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const MONTH: Duration = Duration::from_secs(28 * 86_400);

/// All keys but those of schedules, `[pxe]` and lists.
pub(super) static SETTINGS: &[Key<Settings>] = &[
    key!("site.name", Text(NAME_LIMIT), Host, Restart, "name of the site", |s| s.site.name),
    key!("site.state", Path, State, Restart, "folder for what must not be lost", |s| s.site.state),
    key!(
        "site.database",
        Form("\"sqlite\", \"sqlite:/path\" or \"postgres://host/database\""),
        Value("sqlite"),
        Restart,
        "where the site is kept",
        |s| s.site.database
    ),
    key!(
        "site.account.user",
        Text(63),
        Nothing("the one in the URL, or the service's own"),
        Restart,
        "account to connect to the database",
        |s| s.site.account.user
    ),
    key!(
        "site.account.password",
        Secret,
        Nothing("peer authentication, or what the database takes without"),
        Restart,
        "password of the account",
        |s| s.site.account.password
    ),
    key!("site.account.password_file", Path, Nothing("none"), Restart, "file with the password", |s| s
        .site
        .account
        .password_file),
    key!("server.name", Text(NAME_LIMIT), Host, Restart, "name of this server within the site", |s| s.server.name),
    key!(
        "server.interface",
        Text(255),
        Nothing("the only one that reaches other machines"),
        Restart,
        "interface to serve on, by name or address",
        |s| s.server.interface
    ),
    key!("server.control_port", Number(1, 65_535), Value("62999"), Restart, "UDP port at which clients ask", |s| s
        .server
        .control_port),
    key!("multicast.enabled", Switch, Value("true"), Sessions, "whether images go out by multicast at all", |s| s
        .multicast
        .enabled),
    key!(
        "multicast.address",
        Form(
            "\"auto\", \"madcap\", an address of 239.0.0.0/8, a range A-B, a prefix A/N, or several with commas between"
        ),
        Value("auto"),
        Restart,
        "group addresses of sessions",
        |s| s.multicast.address
    ),
    key!(
        "multicast.ports",
        Form("two ports, the lower one first, for example \"63000-64000\""),
        Value("63000-64000"),
        Restart,
        "UDP ports of sessions",
        |s| s.multicast.ports
    ),
    key!("multicast.ttl", Number(1, 255), Value("1"), Sessions, "routers that a stream may pass, plus one", |s| s
        .multicast
        .ttl),
    key!("multicast.dscp", Number(0, 63), Value("0"), Sessions, "differentiated services code point of streams", |s| s
        .multicast
        .dscp),
    key!(
        "multicast.source_specific",
        Switch,
        Value("false"),
        Sessions,
        "whether clients join for this server only (IGMPv3)",
        |s| s.multicast.source_specific
    ),
    key!(
        "multicast.probes",
        Switch,
        Value("true"),
        Restart,
        "whether clients may test the network by streams of seconds",
        |s| s.multicast.probes
    ),
    key!(
        "multicast.madcap.server",
        Form("a host or an address, and a port behind a colon"),
        Value("239.255.255.254:2535"),
        Restart,
        "MADCAP server, or the group at which they listen",
        |s| s.multicast.madcap.server
    ),
    key!(
        "multicast.madcap.scope",
        Form("the first address of a scope, for example \"239.192.0.0\""),
        Nothing("the first one that the server offers"),
        Restart,
        "multicast scope to lease from",
        |s| s.multicast.madcap.scope
    ),
    key!("multicast.madcap.lease", Time(MINUTE, MONTH), Value("1h"), Restart, "time to lease an address for", |s| s
        .multicast
        .madcap
        .lease),
    key!("multicast.madcap.spare", Number(0, 64), Value("1"), Restart, "addresses leased ahead", |s| s
        .multicast
        .madcap
        .spare),
    Key {
        path: "rate.network",
        kind: Word,
        preset: Value("auto"),
        reload: Reload::Sessions,
        help: "kind of the slowest link on the way",
        read: |s, input, kind| {
            let wanted = Network::read(input, kind).map_err(|wrong| match input.parse(crate::amounts::rate) {
                Ok(_) => Wrong::new("it is a rate").with_help("write custom = instead of network ="),
                Err(_) => wrong,
            })?;
            s.rate.network = wanted.0;
            Ok(())
        },
        show: |s| Network(s.rate.network).show(),
        copy: |to, from| to.rate.network = from.rate.network,
    },
    key!("rate.custom", Rate, Nothing("by network"), Sessions, "rate of a session on the wire", |s| s.rate.custom),
    key!("rate.adaptive", Word, Value("auto"), Sessions, "whether to slow down when most clients lose", |s| s
        .rate
        .adaptive),
    key!("rate.total", Rate, Nothing("no limit"), Restart, "rate of all sessions of this server together", |s| s
        .rate
        .total),
    key!("clients.max", Number(1, u32::MAX), Nothing("no limit"), Now, "clients in all sessions together", |s| s
        .clients
        .max),
    key!("clients.when_full", Word, Value("queue"), Now, "what becomes of the one too many", |s| s.clients.when_full),
    key!(
        "clients.silence",
        Time(SECOND, DAY),
        Value("30s"),
        Sessions,
        "time after which a silent client is given up",
        |s| s.clients.silence
    ),
    key!(
        "clients.slow.pace_quantile",
        Share,
        Value("50%"),
        Sessions,
        "client that an adaptive rate follows, from the best",
        |s| s.clients.slow.pace.quantile
    ),
    key!("clients.slow.pace_floor", Share, Value("5%"), Sessions, "lowest rate it adapts to, of the highest", |s| s
        .clients
        .slow
        .pace
        .floor),
    key!("clients.slow.slow_loss", Share, Value("50%"), Sessions, "loss above which a client is slow", |s| s
        .clients
        .slow
        .ladder
        .slow_loss),
    key!("clients.slow.slow_after", Time(ZERO, HOUR), Value("5s"), Sessions, "time for which it must lose so", |s| s
        .clients
        .slow
        .ladder
        .slow_after),
    Key {
        path: "clients.slow.slow_stream",
        kind: ShareAboveZero,
        preset: Nothing("no second stream"),
        reload: Reload::Sessions,
        help: "part of the rate for a second stream to slow clients",
        read: |s, input, kind| {
            let share = Option::<f64>::read(input, kind)?;
            s.clients.slow.ladder.slower_stream = share.is_some();
            s.clients.slow.ladder.share = share.unwrap_or(s.clients.slow.ladder.share);
            Ok(())
        },
        show: |s| s.clients.slow.ladder.slower_stream.then_some(s.clients.slow.ladder.share).show(),
        copy: |to, from| {
            to.clients.slow.ladder.slower_stream = from.clients.slow.ladder.slower_stream;
            to.clients.slow.ladder.share = from.clients.slow.ladder.share;
        },
    },
    key!("clients.slow.unicast", Number(0, 256), Value("8"), Sessions, "clients served by unicast at a time", |s| s
        .clients
        .slow
        .ladder
        .unicast),
    key!("clients.slow.min_rate", Rate, Nothing("no limit"), Sessions, "rate below which a client is evicted", |s| s
        .clients
        .slow
        .ladder
        .least_rate),
    Key {
        path: "clients.slow.stall_timeout",
        kind: Time(ZERO, WEEK),
        preset: Value("10m"),
        reload: Reload::Sessions,
        help: "time without progress after which a client is evicted",
        read: |s, input, kind| {
            let time = Duration::read(input, kind)?;
            s.clients.slow.ladder.stalled_after = (!time.is_zero()).then_some(time);
            Ok(())
        },
        show: |s| s.clients.slow.ladder.stalled_after.unwrap_or(ZERO).show(),
        copy: |to, from| to.clients.slow.ladder.stalled_after = from.clients.slow.ladder.stalled_after,
    },
    key!("session.linger", Time(ZERO, WEEK), Value("5m"), Now, "time for which an empty session stays open", |s| s
        .session
        .linger),
    key!(
        "content.images",
        Path,
        Nothing("none: with [pxe] machines only boot from here"),
        Restart,
        "folder of images",
        |s| s.content.images
    ),
    key!("content.packages", Path, Nothing("no packages"), Restart, "folder of files for unicast only", |s| s
        .content
        .packages),
    key!("content.settle", Time(ZERO, HOUR), Value("2s"), Restart, "time for which a changed file must rest", |s| s
        .content
        .settle),
    key!("content.unlisted", Word, Value("serve"), Now, "what becomes of images without an entry", |s| s
        .content
        .unlisted),
    key!(
        "content.cache",
        Form("\"state\", \"beside\", \"none\" or a folder"),
        Value("state"),
        Restart,
        "where hashes of images are kept",
        |s| s.content.cache
    ),
    key!(
        "http.listen",
        Form("an IP address and a port, for example \"0.0.0.0:62999\", or a list of these"),
        Value("127.0.0.1:62999"),
        Restart,
        "addresses of the API, the web page and unicast",
        |s| s.http.listen
    ),
    key!(
        "http.metrics_listen",
        Form("an IP address and a port, for example \"127.0.0.1:62998\""),
        Nothing("metrics are at the addresses of listen"),
        Restart,
        "address for metrics alone",
        |s| s.http.metrics_listen
    ),
    key!("http.certificate", Path, Nothing("one made by the server"), Restart, "certificate chain, PEM", |s| s
        .http
        .certificate),
    key!("http.key", Path, Nothing("one made by the server"), Restart, "key of the certificate, PEM", |s| s.http.key),
    key!("http.tls", Word, Value("auto"), Restart, "where TLS is spoken", |s| s.http.tls),
    key!("http.max_connections", Number(1, 1_000_000), Value("2048"), Restart, "connections at a time", |s| s
        .http
        .max_connections),
    key!("http.body_limit", Size(1 << 10, 64 << 20), Value("64KiB"), Restart, "bytes of a request's body", |s| s
        .http
        .body_limit),
    key!("log.format", Word, Value("auto"), Restart, "form of the log", |s| s.log.format),
    key!(
        "log.level",
        Form("off, error, warn, info, debug or trace, or such with parts: \"info,mcast_server=debug\""),
        Value("info"),
        Now,
        "what is logged",
        |s| s.log.level
    ),
];

/// Keys of `[start]`, and of an image's own `start`.
pub(super) static SCHEDULE: &[Key<Schedule>] = &[
    key!(
        "clients",
        Number(1, u32::MAX),
        Nothing("not by count"),
        Sessions,
        "start when so many clients are there",
        |s| s.clients
    ),
    key!("wait", Time(ZERO, WEEK), Nothing("not by waiting"), Sessions, "start so long after the first client", |s| s
        .wait),
    key!(
        "at",
        Form("a local time, for example \"22:00\" or \"2026-12-01T22:00\""),
        Nothing("not by the clock"),
        Sessions,
        "start at this time",
        |s| s.at
    ),
    key!("on_command", Switch, Value("false"), Sessions, "wait for the operator, or for what else is set", |s| s
        .on_command),
];

/// Keys of an `[[image]]`, but its schedule.
pub(super) static IMAGE: &[Key<Image>] = &[
    key!("name", Text(NAME_LIMIT), Nothing("its first file's name"), Sessions, "name that clients ask for", |s| s.name),
    Key {
        path: "file",
        kind: Form("the name of a file below the folder of images"),
        preset: Nothing("none"),
        reload: Reload::Sessions,
        help: "the image",
        read: |s, input, kind| {
            s.files = vec![Within::read(input, kind)?.0];
            Ok(())
        },
        show: |s| if let [only] = &s.files[..] { only.show() } else { None },
        copy: |to, from| to.files.clone_from(&from.files),
    },
    Key {
        path: "files",
        kind: Form("a list of names of files below the folder of images"),
        preset: Nothing("none"),
        reload: Reload::Sessions,
        help: "its parts, in order",
        read: |s, input, kind| {
            s.files = Vec::<Within>::read(input, kind)?.into_iter().map(|file| file.0).collect();
            Ok(())
        },
        show: |s| if s.files.len() > 1 { Vec::<PathBuf>::show(&s.files) } else { None },
        copy: |to, from| to.files.clone_from(&from.files),
    },
    key!("version", Text(NAME_LIMIT), Nothing("no version"), Now, "shown to people and programs", |s| s.version),
    key!("multicast", Word, Value("allowed"), Sessions, "whether it goes out by multicast", |s| s.multicast),
    key!("encryption", Form("\"off\""), Value("off"), Sessions, "whether it is encrypted on the way", |s| s.encryption),
    key!("priority", Number(1, 9), Value("5"), Sessions, "who is served first, and gets more of the rate", |s| s
        .priority),
];

/// Keys of a `[[token]]`.
pub(super) static TOKEN: &[Key<Token>] = &[
    key!("name", Text(63), Required, Now, "whose it is, for the log", |s| s.name),
    key!("role", Word, Required, Now, "what its bearer may do", |s| s.role),
    key!("token", Secret, Nothing("none"), Now, "the token itself", |s| s.token),
    key!("token_file", Path, Nothing("none"), Now, "file with the token", |s| s.token_file),
];

/// All keys but those of schedules and lists.
pub(super) fn settings() -> impl Iterator<Item = &'static Key<Settings>> {
    SETTINGS.iter().chain(pxe::SETTINGS)
}

/// Paths of all keys outside of lists.
pub(super) fn paths() -> Vec<String> {
    let start = SCHEDULE.iter().map(|key| format!("{START}.{}", key.path));
    settings().map(|key| key.path.to_owned()).chain(start).collect()
}

/// Paths of all keys of an element of `list`.
pub(super) fn paths_of(list: &str) -> Vec<String> {
    match list {
        "image" => {
            let start = SCHEDULE.iter().map(|key| format!("{START}.{}", key.path));
            IMAGE.iter().map(|key| key.path.to_owned()).chain(start).collect()
        }
        pxe::NETWORKS => pxe::NETWORK.iter().map(|key| key.path.to_owned()).collect(),
        _ => TOKEN.iter().map(|key| key.path.to_owned()).collect(),
    }
}

/// Whether the value of the key at `path` is not to be shown.
pub(super) fn is_secret(path: &str) -> bool {
    let secret = |kind: &Kind| matches!(kind, Secret);
    settings().any(|key| key.path == path && secret(&key.kind))
        || path.strip_prefix("token.").is_some_and(|name| TOKEN.iter().any(|key| key.path == name && secret(&key.kind)))
}

/// What a key is for.
pub(super) fn help(path: &str) -> Option<&'static str> {
    let found = settings().find(|key| key.path == path).map(|key| key.help);
    found.or_else(|| {
        let name = path.strip_prefix(START)?.strip_prefix('.')?;
        SCHEDULE.iter().find(|key| key.path == name).map(|key| key.help)
    })
}
