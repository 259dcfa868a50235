//! Types of settings with a form of their own, and the words of those that have words.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use multicast_core::address::{AddressPool, PortRange, check_group};
use multicast_core::pace::Profile;
use reqwest::Url;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::input::{Data, Input, Setting, Word, Wrong};
use super::kind::{Kind, Shown};
use super::schedule::ClockTime;
use super::settings::{
    AddressSource, Cache, Database, Encryption, HostPort, LogFormat, MulticastUse, Role, TlsUse, Unlisted, WhenFull,
};
use super::suggest;
use crate::cli::Switch;

/// Port of MADCAP servers (RFC 2730 §2).
const MADCAP_PORT: u16 = 2535;

impl Word for Switch {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];
}

impl Word for WhenFull {
    const WORDS: &'static [(&'static str, Self)] = &[("queue", Self::Queue), ("unicast", Self::Unicast)];
}

impl Word for Unlisted {
    const WORDS: &'static [(&'static str, Self)] = &[("serve", Self::Serve), ("ignore", Self::Ignore)];
}

impl Word for MulticastUse {
    const WORDS: &'static [(&'static str, Self)] =
        &[("allowed", Self::Allowed), ("only", Self::Only), ("never", Self::Never)];
}

impl Word for TlsUse {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("always", Self::Always)];
}

impl Word for Role {
    const WORDS: &'static [(&'static str, Self)] =
        &[("operator", Self::Operator), ("viewer", Self::Viewer), ("metrics", Self::Metrics)];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json), ("journald", Self::Journald)];
}

impl Setting for Encryption {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.text()? {
            "off" => Ok(Self::Off),
            "on" => Err(Wrong::new("this version cannot encrypt").with_help("write \"off\", or leave it out")),
            _ => Err(Wrong::new("there is no such word")),
        }
    }

    fn show(&self) -> Option<Shown> {
        match self {
            Self::Off => Some(Shown::Text("off".to_owned())),
        }
    }
}

impl Setting for Database {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let text = input.text()?;
        match text.split_once(':') {
            None if text == "sqlite" => Ok(Self::Sqlite(None)),
            Some(("sqlite", path)) => {
                // As sqlx writes it, with an empty host.
                let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
                let data = Data::Text(path.to_owned());
                Ok(Self::Sqlite(Some(Input { data: &data, ..*input }.path()?)))
            }
            Some(("postgres" | "postgresql", _)) => postgres(text).map(Self::Postgres),
            _ => Err(Wrong::new("it is neither sqlite nor postgres")),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(match self {
            Self::Sqlite(None) => "sqlite".to_owned(),
            Self::Sqlite(Some(path)) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.to_string(),
        }))
    }
}

fn postgres(text: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|error| Wrong::new(error.to_string()))?;
    if url.password().is_some() || url.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("password")) {
        // Whoever holds this error does not show the value: see `may_hold_password`.
        return Err(Wrong::new("a password does not belong into a URL, which is shown and logged")
            .with_help("take it out, and write password_file = \"/path/to/file\" under [site.account]"));
    }
    match url.path() {
        "" | "/" => Err(Wrong::new("it names no database")),
        _ => Ok(url),
    }
}

/// Whether a value that was refused may hold a password, and so is not to be shown: anything in front of an @, or
/// the word itself.
pub(super) fn may_hold_password(text: &str) -> bool {
    text.contains("://") && (text.contains('@') || text.to_ascii_lowercase().contains("password"))
}

impl Setting for AddressSource {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        // Addresses are a list to whoever thinks in TOML.
        let text = match input.data {
            Data::List(items) => {
                let texts = items.iter().map(|data| Input { data, ..*input }.text().map(str::to_owned));
                texts.collect::<Result<Vec<_>, _>>()?.join(",")
            }
            _ => input.text()?.to_owned(),
        };
        if text.eq_ignore_ascii_case("madcap") {
            return Ok(Self::Madcap);
        }
        let pool = AddressPool::parse(&text, fastrand::u64(..)).map_err(|error| Wrong::new(error.to_string()))?;
        Ok(Self::Pool(pool))
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(match self {
            Self::Pool(pool) => pool.to_string(),
            Self::Madcap => "madcap".to_owned(),
        }))
    }
}

impl Setting for PortRange {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.data {
            Data::Integer(text) => text.parse::<Self>().map_err(|error| Wrong::new(error.to_string())),
            _ => input.parse(str::parse),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// Host and port; without one MADCAP's.
impl Setting for HostPort {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        host_port(input, MADCAP_PORT)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// A host, and a port behind a colon unless it is the usual one.
pub(super) fn host_port(input: &Input<'_>, usual: u16) -> Result<HostPort, Wrong> {
    let text = input.text()?.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(HostPort { host: address.ip().to_string(), port: address.port() });
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(HostPort { host: address.to_string(), port: usual });
    }
    let (host, port) = match text.split_once(':') {
        None => (text, usual),
        Some((host, port)) => (host, port.parse().map_err(|_| Wrong::new(format!("{port:?} is no port")))?),
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match host.is_empty() || !host.chars().all(letter) || port == 0 {
        true => Err(Wrong::new("it is no host and port")),
        false => Ok(HostPort { host: host.to_owned(), port }),
    }
}

/// A group: only a scope of MADCAP is set by an address alone.
impl Setting for IpAddr {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let address = input.parse(str::parse::<Self>)?;
        check_group(address).map_err(|error| Wrong::new(error.to_string()))?;
        Ok(address)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

impl Setting for SocketAddr {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let text = input.text()?;
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        Err(Wrong::new(match (text.parse::<IpAddr>(), text.rsplit_once(':')) {
            (Ok(_), _) | (_, None) => format!("{text:?} has no port"),
            (_, Some((host, port))) if port.parse::<u16>().is_ok() => format!("{host:?} is no IP address"),
            (_, Some((_, port))) => format!("{port:?} is no port, which is a number up to 65535"),
        }))
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// The kinds of links; none, which is `auto`, is the interface's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Network(pub(super) Option<Profile>);

impl Word for Network {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self(None)),
        ("10m", Self(Some(Profile::TenMbit))),
        ("100m", Self(Some(Profile::HundredMbit))),
        ("1g", Self(Some(Profile::Gigabit))),
        ("10g", Self(Some(Profile::TenGigabit))),
    ];
}

impl Setting for Cache {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.text()? {
            "state" => Ok(Self::State),
            "beside" => Ok(Self::Beside),
            "none" => Ok(Self::None),
            // A folder of the name of a word that was mistyped is nobody's wish.
            text if !text.contains('/') => match suggest::nearest(text, ["state", "beside", "none"]) {
                Some(word) => Err(Wrong::new("there is no such word")
                    .with_help(format!("did you mean \"{word}\"? The folder of this name is \"./{text}\""))),
                None => input.path().map(Self::Folder),
            },
            _ => input.path().map(Self::Folder),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(match self {
            Self::State => "state".to_owned(),
            Self::Beside => "beside".to_owned(),
            Self::None => "none".to_owned(),
            Self::Folder(folder) => folder.display().to_string(),
        }))
    }
}

/// A file of an image: within the images' folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Within(pub(super) PathBuf);

impl Setting for Within {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        use std::path::Component;
        let text = input.text()?;
        let path = PathBuf::from(text);
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => plain.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(Wrong::new("it leaves the images' folder by \"..\"")),
                _ => return Err(Wrong::new("it is absolute")),
            }
        }
        match plain.as_os_str().is_empty() || text.contains('\0') {
            true => Err(Wrong::new("it names no file")),
            false => Ok(Self(plain)),
        }
    }

    fn show(&self) -> Option<Shown> {
        self.0.show()
    }
}

impl Setting for ClockTime {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        match input.data {
            // TOML has times of its own, which need no quotes.
            Data::Time(text) => text.parse::<Self>().map_err(|error| Wrong::new(error.to_string())),
            _ => input.parse(str::parse),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// Levels, for all or for parts of the program.
impl Setting for Targets {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let text = input.text()?.trim();
        for part in text.split(',').map(str::trim) {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            // To the parser a word alone that is no level is a part of the program, at its most talkative.
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                let wrong = Wrong::new(format!("{level:?} is no level"));
                let near = suggest::nearest(level, LEVELS);
                return Err(match near {
                    Some(near) => wrong.with_help(format!("did you mean {near}?")),
                    None => wrong,
                });
            }
        }
        input.parse(|_| text.parse::<Self>())
    }

    fn show(&self) -> Option<Shown> {
        // A level of "off" for all is none at all to `Display`.
        let text = self.to_string();
        Some(Shown::Text(if text.is_empty() { LevelFilter::OFF.to_string() } else { text }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        let data = Data::Text(text.to_owned());
        let input = Input { data: &data, base: Path::new("/etc/mcast") };
        T::read(&input, &Kind::Form("")).map_err(|wrong| wrong.reason)
    }

    fn rewritten<T: Setting>(text: &str) -> String {
        read::<T>(text).unwrap().show().unwrap().to_string().trim_matches('"').to_owned()
    }

    #[test]
    fn a_password_in_a_url_is_refused() {
        for url in ["postgres://mcast:x@db/site", "postgresql://db/site?password=x", "postgres://db/s?PASSWORD=x"] {
            assert!(read::<Database>(url).unwrap_err().starts_with("a password does not belong"), "{url}");
            assert!(may_hold_password(url));
        }
        // Even where nothing else of it can be read.
        assert!(may_hold_password("psotgres://mcast:x@db/site") && !may_hold_password("postgres://db/site"));
    }

    #[test]
    fn databases_are_read_and_written() {
        for text in
            ["sqlite", "sqlite:/srv/site.sqlite", "postgres://db/site", "postgres://mcast@db:5433/site?sslmode=require"]
        {
            assert_eq!(rewritten::<Database>(text), text);
        }
        assert_eq!(rewritten::<Database>("sqlite:///srv/a"), "sqlite:/srv/a");
        assert_eq!(rewritten::<Database>("sqlite:a"), "sqlite:/etc/mcast/a");
        assert_eq!(
            rewritten::<Database>("postgres:///site?host=/run/postgresql"),
            "postgres:///site?host=/run/postgresql"
        );
    }

    #[test]
    fn a_madcap_server_has_its_port_by_itself() {
        for (text, meant) in [
            ("dhcp.example", "dhcp.example:2535"),
            ("dhcp.example:99", "dhcp.example:99"),
            ("239.255.255.254:2535", "239.255.255.254:2535"),
            ("10.0.0.1", "10.0.0.1:2535"),
            ("fd00::1", "[fd00::1]:2535"),
            ("[fd00::1]:99", "[fd00::1]:99"),
        ] {
            assert_eq!(rewritten::<HostPort>(text), meant);
        }
        for text in ["", ":2535", "dhcp:0", "dhcp:x", "a b", "http://dhcp"] {
            assert!(read::<HostPort>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_log_can_be_set_by_its_parts() {
        assert_eq!(rewritten::<Targets>("info"), "info");
        assert_eq!(rewritten::<Targets>("off"), "off");
        let parts = rewritten::<Targets>("warn,mcast_server=debug");
        assert_eq!(read::<Targets>(&parts), read::<Targets>("warn,mcast_server=debug"));
        assert!(parts.contains("mcast_server=debug") && parts.contains("warn"), "{parts}");
        assert_eq!(read::<Targets>("mcast_server"), Err("\"mcast_server\" is no level".to_owned()));
    }

    #[test]
    fn files_of_images_stay_within() {
        assert_eq!(rewritten::<Within>("./win/11.wim"), "win/11.wim");
        for text in ["/etc/shadow", "../a", "a/../../b", "", ".", "a\0b"] {
            assert!(read::<Within>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_one_text_or_a_list() {
        let items = ["239.194.1.1", "239.194.2.0/24"].map(|item| Data::Text(item.to_owned()));
        let list = Data::List(items.into());
        let input = Input { data: &list, base: Path::new("/") };
        let source = AddressSource::read(&input, &Kind::Form("")).unwrap();
        assert_eq!(source.show().unwrap().to_string(), "\"239.194.1.1,239.194.2.0/24\"");
        assert_eq!(rewritten::<AddressSource>("auto"), "auto");
        assert_eq!(rewritten::<AddressSource>("MADCAP"), "madcap");
    }
}
