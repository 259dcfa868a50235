//! Which database it is, by which account, and the few statements in which the two differ.

use std::fmt::{self, Write};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection};
use tokio::time::{sleep, timeout};

use super::error::{SiteError, is_busy};
use super::work::Lock;

/// Connections of one server. All that it does at the database are short statements.
const CONNECTIONS: u32 = 4;
/// How long to wait for one of them.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection that was not in use may take to show that it still works.
const PING_LIMIT: Duration = Duration::from_millis(500);
/// How long others may take with making SQLite's log, and how long to wait before it is tried again.
const LOG_LIMIT: Duration = Duration::from_millis(1500);
const LOG_PAUSE: Duration = Duration::from_millis(10);

/// Where the site's data are.
#[derive(Clone)]
pub(crate) enum Backend {
    /// In a file of this server's own.
    Sqlite {
        /// The file, which is created if there is none.
        file: PathBuf,
    },
    /// At a PostgreSQL server, which several servers may share.
    Postgres {
        /// `postgres://HOST:PORT/DATABASE?…`
        url: String,
        /// By which account; what is set here is used instead of what the URL says.
        account: Account,
    },
}

/// The account to connect to PostgreSQL by.
#[derive(Clone, Default)]
pub(crate) struct Account {
    /// `None`: as the URL says, or the system's user.
    pub(crate) user: Option<String>,
    /// `None`: as the URL or a `.pgpass` says, or peer authentication.
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { file } => f.debug_struct("Sqlite").field("file", file).finish(),
            // A URL may hold a password.
            Self::Postgres { account, .. } => {
                f.debug_struct("Postgres").field("account", account).finish_non_exhaustive()
            }
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Account").field("user", &self.user).field("password", &password).finish()
    }
}

/// A backend that was understood.
pub(super) struct Target {
    pub(super) dialect: Dialect,
    /// Holds the password.
    pub(super) options: AnyConnectOptions,
    /// For messages.
    pub(super) name: String,
    pub(super) at: Whereabouts,
}

/// What messages speak of.
pub(super) enum Whereabouts {
    File(PathBuf),
    Server { host: Option<(String, u16)>, user: String, database: String },
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Target {
    pub(super) fn new(backend: &Backend) -> Result<Self, SiteError> {
        install_default_drivers();
        match backend {
            Backend::Sqlite { file } => Self::sqlite(file),
            Backend::Postgres { url, account } => Self::postgres(url, account),
        }
    }

    fn sqlite(file: &Path) -> Result<Self, SiteError> {
        let wrong = |reason: &str| SiteError::File { path: file.into(), reason: reason.into() };
        let text = file.to_str().ok_or_else(|| wrong("the path is not valid UTF-8"))?;
        // Every byte of the path is escaped but the plainest, so that the URL leaves it as it is.
        let mut url = String::from("sqlite:");
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => url.push(char::from(byte)),
                // Writing to a String does not fail.
                byte => drop(write!(url, "%{byte:02X}")),
            }
        }
        url.push_str("?mode=rw");
        let options: AnyConnectOptions = url.parse().map_err(|_| wrong("the path cannot be written as a URL"))?;
        Ok(Self {
            dialect: Dialect::Sqlite,
            options: options.disable_statement_logging(),
            name: format!("the site database {}", file.display()),
            at: Whereabouts::File(file.into()),
        })
    }

    fn postgres(url: &str, account: &Account) -> Result<Self, SiteError> {
        let wrong = |error: sqlx::Error| match error {
            sqlx::Error::Configuration(reason) => SiteError::Url { reason: reason.to_string() },
            error => SiteError::Url { reason: error.to_string() },
        };
        let mut options: AnyConnectOptions = url.parse().map_err(wrong)?;
        if !matches!(options.database_url.scheme(), "postgres" | "postgresql") {
            let reason = format!("its scheme is {:?}, not \"postgres\"", options.database_url.scheme());
            return Err(SiteError::Url { reason });
        }
        let says = |name: &str| options.database_url.query_pairs().any(|(key, _)| key == name);
        let user = match &account.user {
            Some(user) => Some(user.clone()),
            None if !options.database_url.username().is_empty() || says("user") => None,
            None => std::env::var("PGUSER").ok().or_else(system_user),
        };
        let program = (!says("application_name")).then_some("mcast-server");
        // As parameters, since a URL without a host has no place for them.
        let added =
            [("user", user.as_deref()), ("password", account.password.as_deref()), ("application_name", program)];
        for (key, value) in added.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            options.database_url.query_pairs_mut().append_pair(key, value);
        }
        let parts = PgConnectOptions::from_url(&options.database_url).map_err(wrong)?;
        Ok(Self {
            dialect: Dialect::Postgres,
            options: options.disable_statement_logging(),
            name: shown(&parts),
            at: Whereabouts::Server {
                host: host(&parts).map(|host| (host.to_owned(), parts.get_port())),
                user: parts.get_username().to_owned(),
                database: parts.get_database().unwrap_or(parts.get_username()).to_owned(),
            },
        })
    }

    /// Does what tells more if it fails here than when the driver does it.
    pub(super) async fn prepare(&self) -> Result<(), SiteError> {
        match &self.at {
            Whereabouts::File(path) => create(path),
            Whereabouts::Server { host: None, .. } => Ok(()),
            Whereabouts::Server { host: Some((host, port)), .. } => {
                let found = timeout(ACQUIRE_LIMIT, tokio::net::lookup_host((host.as_str(), *port))).await;
                match found {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(source)) => Err(SiteError::UnknownHost { host: host.clone(), source }),
                    Err(_) => Err(SiteError::slow(self, ACQUIRE_LIMIT)),
                }
            }
        }
    }

    /// A pool that connects when it is first used.
    pub(super) fn pool(&self) -> AnyPool {
        let dialect = self.dialect;
        AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_LIMIT)
            .after_connect(move |connection, _| Box::pin(dialect.set_up(connection)))
            // The pool's own test would wait for the network's patience.
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async move { Ok(matches!(timeout(PING_LIMIT, connection.ping()).await, Ok(Ok(())))) })
            })
            .connect_lazy_with(self.options.clone())
    }
}

/// Has SQLite write ahead into a log, for which readers do not wait. It refuses that at once, whatever the busy
/// timeout, while another one is doing the same to a new file; hence this patience of our own.
async fn write_ahead(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let patience = tokio::time::Instant::now() + LOG_LIMIT;
    loop {
        match sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < patience => sleep(LOG_PAUSE).await,
            tried => return tried.map(drop),
        }
    }
}

/// Whom peer authentication takes this process for. The driver does not ask the system for it.
fn system_user() -> Option<String> {
    use nix::unistd::{Uid, User};
    User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name)
}

/// Creates the file if there is none, for its owner alone, with its folder.
fn create(path: &Path) -> Result<(), SiteError> {
    let failed = |error: std::io::Error| SiteError::File { path: path.into(), reason: error.to_string() };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        match std::fs::create_dir(folder) {
            // Another one was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed)?,
        }
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    Ok(())
}

/// The host to look up, unless it is a socket of the file system.
fn host(parts: &PgConnectOptions) -> Option<&str> {
    let local = parts.get_socket().is_some() || parts.get_host().starts_with('/');
    (!local).then(|| parts.get_host().trim_matches(['[', ']']))
}

/// As the operator would write it, without the password.
fn shown(parts: &PgConnectOptions) -> String {
    let database = parts.get_database().unwrap_or(parts.get_username());
    let at = match (host(parts), parts.get_socket()) {
        (Some(_), _) => format!("{}:{}", parts.get_host(), parts.get_port()),
        (None, Some(socket)) => socket.display().to_string(),
        (None, None) => parts.get_host().to_owned(),
    };
    format!("the site database {database:?} at {at}")
}

/// Where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// What each new connection is told.
    pub(super) async fn set_up(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let settings = match self {
            // With a write-ahead log a commit need not wait: a loss of power may cost the last ones, never the file.
            Self::Sqlite => "PRAGMA busy_timeout = 1500; PRAGMA synchronous = NORMAL",
            // A server that hangs, or is cut off while it holds a lock, must not hold it for long.
            Self::Postgres => "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'",
        };
        sqlx::raw_sql(settings).execute(&mut *connection).await?;
        match self {
            Self::Sqlite => write_ahead(connection).await,
            Self::Postgres => Ok(()),
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(self, lock: Lock) -> &'static str {
        match (self, lock) {
            (Self::Sqlite, _) => "BEGIN IMMEDIATE",
            (Self::Postgres, Lock::None) => "BEGIN",
            // Numbers of our own: "mcast" in ASCII, and which of them.
            (Self::Postgres, Lock::Schema) => "BEGIN; SELECT pg_advisory_xact_lock(x'6d63617374000001'::bigint)",
            (Self::Postgres, Lock::Places) => "BEGIN; SELECT pg_advisory_xact_lock(x'6d63617374000002'::bigint)",
            (Self::Postgres, Lock::Tickets) => "BEGIN; SELECT pg_advisory_xact_lock(x'6d63617374000003'::bigint)",
            (Self::Postgres, Lock::Commands) => "BEGIN; SELECT pg_advisory_xact_lock(x'6d63617374000004'::bigint)",
            (Self::Postgres, Lock::Pxe) => "BEGIN; SELECT pg_advisory_xact_lock(x'6d63617374000005'::bigint)",
        }
    }

    /// Begins a transaction that only reads, and all of it as of one moment.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// The database's clock, and the site's last beat.
    pub(super) fn moment(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT CAST(unixepoch('now', 'subsec') * 1000 + 0.5 AS BIGINT) AS now_ms, beat_ms, since_ms FROM site"
            }
            Self::Postgres => {
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms, beat_ms, since_ms \
                 FROM site"
            }
        }
    }

    /// Whether there is a table of migrations where new tables would go.
    pub(super) fn has_migrations(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Self::Postgres => {
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = ANY (current_schemas(false)) \
                               AND tablename = '_sqlx_migrations'"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(url: &str, user: Option<&str>, password: Option<&str>) -> Backend {
        let account = Account { user: user.map(Into::into), password: password.map(Into::into) };
        Backend::Postgres { url: url.into(), account }
    }

    #[test]
    fn the_account_stands_apart_from_the_url() {
        let backend = postgres("postgres://nobody:wrong@db.example:5433/site", Some("mcast"), Some("s3/cr et?&"));
        let target = Target::new(&backend).unwrap();
        let parts = PgConnectOptions::from_url(&target.options.database_url).unwrap();
        assert_eq!(parts.get_username(), "mcast");
        assert_eq!(parts.get_application_name(), Some("mcast-server"));
        let pairs = target.options.database_url.query_pairs();
        assert!(pairs.into_iter().any(|(key, value)| key == "password" && value == "s3/cr et?&"));
        assert_eq!(target.name, "the site database \"site\" at db.example:5433");
    }

    #[test]
    fn a_url_without_a_host_takes_an_account_too() {
        let target = Target::new(&postgres("postgres:///site?host=/run/sockets", Some("mcast"), None)).unwrap();
        assert_eq!(target.name, "the site database \"site\" at /run/sockets");
        assert!(matches!(target.at, Whereabouts::Server { host: None, ref user, .. } if user == "mcast"));
    }

    #[test]
    fn without_a_user_it_is_the_systems() {
        let target = Target::new(&postgres("postgres://h/site", None, None)).unwrap();
        let Whereabouts::Server { user, .. } = target.at else { panic!("not a server") };
        assert_eq!(Some(user), std::env::var("PGUSER").ok().or_else(system_user));
        let target = Target::new(&postgres("postgres://given@h/site", None, None)).unwrap();
        assert!(matches!(target.at, Whereabouts::Server { user, .. } if user == "given"));
    }

    #[tokio::test]
    async fn passwords_are_not_printed() {
        let backend = postgres("postgres://a:hidden1@h/site", Some("b"), Some("hidden2"));
        let target = Target::new(&backend).unwrap();
        for text in [format!("{backend:?}"), format!("{target:?}"), target.name.clone(), format!("{:?}", target.pool())]
        {
            assert!(!text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn wrong_urls_are_named() {
        let error = |url: &str| Target::new(&postgres(url, None, Some("hidden"))).unwrap_err().to_string();
        assert_eq!(
            error("mysql://h/site"),
            "the URL of the site database is wrong: its scheme is \"mysql\", not \"postgres\""
        );
        assert!(error("h/site").contains("relative URL without a base"));
        assert!(error("postgres://h:port/site").contains("invalid port number"));
        assert!(error("postgres://h/site?sslmode=maybe").contains("maybe"));
    }
}
