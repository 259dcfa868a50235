//! Where to ask and as whom: flags before the environment, that before the configuration.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use identity::Trust;
use reqwest::Url;
use serde::Deserialize;

use super::arguments::Connection;
use super::error::CtlError;
use crate::config::{Secret, read_secret_file};

/// Where a server on this host answers as long as nobody says otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:62999";

/// A server, and what it is to know of us and we of it.
#[derive(Debug)]
pub(super) struct Target {
    /// Ends with a slash.
    pub(super) server: Url,
    pub(super) token: Option<Token>,
    /// None: the system's authorities decide, if it is https.
    pub(super) trust: Option<Trust>,
}

/// A token, and where it comes from.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// The environment, as far as it matters here.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) server: Option<OsString>,
    pub(super) token: Option<OsString>,
    pub(super) token_file: Option<OsString>,
    pub(super) trust: Option<OsString>,
    /// The configuration, if this user has a home.
    pub(super) config: Option<PathBuf>,
    /// Where systemd has put a service's secrets.
    pub(super) credentials: Option<PathBuf>,
}

impl Variables {
    /// Of this process.
    pub(super) fn here() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
        let configs = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        Self {
            server: variable("MCAST_CTL_SERVER"),
            token: variable("MCAST_CTL_TOKEN"),
            token_file: variable("MCAST_CTL_TOKEN_FILE"),
            trust: variable("MCAST_CTL_TRUST"),
            config: configs.map(|configs| configs.join("mcast/ctl.toml")),
            credentials: folder("CREDENTIALS_DIRECTORY"),
        }
    }
}

/// `ctl.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    server: Option<String>,
    /// Relative to the file's folder.
    token_file: Option<PathBuf>,
    trust: Option<String>,
}

impl Target {
    /// Decides between all that was said, and reads the token.
    pub(super) fn settle(flags: &Connection, variables: &Variables) -> Result<Self, CtlError> {
        let (config, path) = match &variables.config {
            Some(path) => (Config::read(path)?, path.clone()),
            None => (Config::default(), PathBuf::new()),
        };
        let origins = |flag, variable| [Origin::Flag(flag), Origin::Variable(variable), Origin::File(path.clone())];
        let said = |variable: &Option<OsString>| variable.as_ref().map(|value| value.to_string_lossy().into_owned());
        let servers = [flags.server.clone(), said(&variables.server), config.server.clone()];
        let (server, origin) = first(servers, origins("--server", "MCAST_CTL_SERVER"))
            .unwrap_or((DEFAULT_SERVER.to_owned(), Origin::Default));
        let server = address(&server, &origin)?;
        let trusts = [flags.trust.clone(), said(&variables.trust), config.trust.clone()];
        let trust = match first(trusts, origins("--trust", "MCAST_CTL_TRUST")) {
            Some((text, origin)) => Some((
                text.parse::<Trust>().map_err(|source| CtlError::Trust { origin: origin.to_string(), source })?,
                origin,
            )),
            None => None,
        };
        if let Some((_, Origin::Flag(_))) = &trust
            && server.scheme() == "http"
        {
            return Err(CtlError::TrustWithoutTls { server: name(&server) });
        }
        let token = Token::settle(flags, variables, &config, &path)?;
        if token.is_some() && server.scheme() == "http" && !is_this_host(&server) {
            return Err(CtlError::TokenInClear { server: name(&server) });
        }
        // What the environment or the configuration trusts is for servers that have something to show.
        let trust = trust.map(|(trust, _)| trust).filter(|_| server.scheme() == "https");
        Ok(Self { server, token, trust })
    }

    /// The server as messages name it.
    pub(super) fn name(&self) -> String {
        name(&self.server)
    }
}

impl Config {
    fn read(path: &Path) -> Result<Self, CtlError> {
        let wrong = |reason: String| CtlError::Config { path: path.display().to_string(), reason };
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                let before = error.span().and_then(|span| text.get(..span.start));
                let place = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
                let place = place.unwrap_or_default();
                wrong(format!("{place}{}", error.message()))
            }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            Err(error) => Err(wrong(error.to_string())),
        }
    }
}

impl Token {
    fn settle(
        flags: &Connection,
        variables: &Variables,
        config: &Config,
        path: &Path,
    ) -> Result<Option<Self>, CtlError> {
        if flags.token_file.is_none()
            && let Some(value) = &variables.token
        {
            let origin = Origin::Variable("MCAST_CTL_TOKEN");
            let secret = Secret::new(value.to_string_lossy());
            return Self { secret, origin }.checked().map(Some);
        }
        let beside = path.parent().unwrap_or(Path::new(""));
        let files = [
            flags.token_file.clone(),
            variables.token_file.clone().map(PathBuf::from),
            config.token_file.as_ref().map(|file| beside.join(file)),
        ];
        let origins =
            [Origin::Flag("--token-file"), Origin::Variable("MCAST_CTL_TOKEN_FILE"), Origin::File(path.to_owned())];
        let Some((file, origin)) = first(files, origins) else { return Ok(None) };
        match read_secret_file(&file, variables.credentials.as_deref()) {
            Ok(secret) => Self { secret, origin: Origin::File(file) }.checked().map(Some),
            Err(source) => Err(CtlError::TokenFile { origin: origin.to_string(), source }),
        }
    }

    fn checked(self) -> Result<Self, CtlError> {
        match self.secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(self),
            false => Err(CtlError::Token { origin: self.origin.to_string() }),
        }
    }
}

/// The first of `values` that was given, and where from.
fn first<T, const N: usize>(values: [Option<T>; N], origins: [Origin; N]) -> Option<(T, Origin)> {
    values.into_iter().zip(origins).find_map(|(value, origin)| Some((value?, origin)))
}

/// An address as the client takes it.
fn address(text: &str, origin: &Origin) -> Result<Url, CtlError> {
    let wrong = |reason: &str, help: String| CtlError::Address {
        address: text.to_owned(),
        origin: origin.to_string(),
        reason: reason.to_owned(),
        help,
    };
    let example = || "write for example https://deploy:62999".to_owned();
    if !text.contains("://") {
        return Err(wrong(
            "says neither http nor https",
            format!("write https://{text}, or http:// on this host itself"),
        ));
    }
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("cannot be read: {error}"), example()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("is neither http nor https", example()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds an account", "the API takes a token: --token-file".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a path", example()));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The server's address, without the slash that every address has.
fn name(server: &Url) -> String {
    server.as_str().trim_end_matches('/').to_owned()
}

/// Whether nothing leaves this host on its way to `server`.
fn is_this_host(server: &Url) -> bool {
    let Some(host) = server.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FINGERPRINT: &str = "WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z";

    fn settle(flags: &Connection, variables: &Variables) -> Result<Target, String> {
        Target::settle(flags, variables)
            .map_err(|error| format!("{}\n  {}", error.text(), error.help().unwrap_or_default()))
    }

    fn server(text: &str) -> Result<Target, String> {
        settle(&Connection { server: Some(text.to_owned()), ..Connection::default() }, &Variables::default())
    }

    /// A configuration with a token beside it.
    fn configured(text: &str) -> (tempfile::TempDir, Variables) {
        let folder = tempfile::tempdir().unwrap();
        let (config, token) = (folder.path().join("ctl.toml"), folder.path().join("token"));
        fs::write(&config, text).unwrap();
        fs::write(&token, "of-the-file\n").unwrap();
        fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        (folder, Variables { config: Some(config), ..Variables::default() })
    }

    #[test]
    fn nothing_said_is_this_host_without_a_token() {
        let target = settle(&Connection::default(), &Variables::default()).unwrap();
        assert_eq!((target.name().as_str(), target.token.is_none()), (DEFAULT_SERVER, true));
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_configuration() {
        let text = format!("server = \"https://c:1\"\ntoken_file = \"token\"\ntrust = \"{FINGERPRINT}\"");
        let (folder, mut variables) = configured(&text);
        let token = |target: &Target| target.token.as_ref().unwrap().secret.expose().to_owned();
        let target = settle(&Connection::default(), &variables).unwrap();
        assert_eq!((target.name(), token(&target)), ("https://c:1".to_owned(), "of-the-file".to_owned()));
        assert_eq!(target.trust.unwrap().to_string(), FINGERPRINT);

        variables.server = Some("https://v:1".into());
        variables.token = Some("of-the-variable".into());
        let target = settle(&Connection::default(), &variables).unwrap();
        assert_eq!((target.name(), token(&target)), ("https://v:1".to_owned(), "of-the-variable".to_owned()));

        let file = Some(folder.path().join("token"));
        let flags = Connection { server: Some("https://f:1".to_owned()), token_file: file, ..Connection::default() };
        let target = settle(&flags, &variables).unwrap();
        assert_eq!((target.name(), token(&target)), ("https://f:1".to_owned(), "of-the-file".to_owned()));
    }

    #[test]
    fn a_trusted_key_of_the_configuration_does_not_stand_in_the_way_of_http_but_a_flag_does() {
        let (_folder, variables) = configured(&format!("trust = \"{FINGERPRINT}\""));
        assert!(settle(&Connection::default(), &variables).unwrap().trust.is_none());
        let flags = Connection { trust: Some(FINGERPRINT.to_owned()), ..Connection::default() };
        assert!(settle(&flags, &variables).unwrap_err().contains("is not https"));
    }

    #[test]
    fn a_token_goes_over_https_or_to_this_host() {
        let variables = Variables { token: Some("secret".into()), ..Variables::default() };
        let to = |text: &str| {
            settle(&Connection { server: Some(text.to_owned()), ..Connection::default() }, &variables).map(drop)
        };
        for this_host in ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost:1", "https://a"]
        {
            assert_eq!(to(this_host), Ok(()), "{this_host}");
        }
        for other in ["http://10.0.0.1:1", "http://localhost.example", "http://[fe80::1]", "http://127.0.0.1.example"] {
            assert!(to(other).unwrap_err().contains("readable to all"), "{other}");
        }
    }

    #[test]
    fn wrong_addresses_are_named_with_what_is_wrong() {
        let rows = [
            ("deploy:62999", "says neither http nor https\n  write https://deploy:62999"),
            ("ftp://deploy", "is neither http nor https\n  write for example https://deploy:62999"),
            ("https://", "cannot be read: empty host"),
            ("https://me:secret@deploy", "holds an account\n  the API takes a token"),
            ("https://deploy/?x=1", "has more than a path"),
        ];
        for (text, words) in rows {
            let error = server(text).unwrap_err();
            assert!(error.contains(&format!("{text:?} (--server) {words}")), "{error}");
        }
        assert_eq!(server("https://deploy/mcast").unwrap().server.as_str(), "https://deploy/mcast/");
    }

    #[test]
    fn wrong_configurations_are_named_with_their_line() {
        let error = |text: &str| {
            let (_folder, variables) = configured(text);
            settle(&Connection::default(), &variables).unwrap_err()
        };
        assert!(error("server = \"https://a\"\ntoken = \"x\"").contains("line 2: unknown field `token`"));
        assert!(error("server = 5").contains("line 1: invalid type"));
        let exposed = "token_file = \"../nowhere/at/all\"";
        assert!(error(exposed).contains("cannot read secret file"));
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        for token in ["a b", "ä", "a\u{7f}"] {
            let variables = Variables { token: Some(token.into()), ..Variables::default() };
            let error = settle(&Connection::default(), &variables).unwrap_err();
            assert!(error.starts_with("the token of MCAST_CTL_TOKEN has spaces"), "{error}");
        }
    }
}
