//! What can be wrong with the site database, and whose fault it is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::error::DatabaseError;
use thiserror::Error;

use super::backend::{Dialect, Target, Whereabouts};

/// Why the site database does not do what is asked of it. Never holds a password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum SiteError {
    /// The file cannot be made, opened or written.
    #[error("cannot open or create the site database {path:?}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite says.
        reason: String,
    },
    /// The file is something else, or damaged.
    #[error("the site database {path:?} is no SQLite database, or it is damaged: {reason}")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The URL is not one of a PostgreSQL database.
    #[error("the URL of the site database is wrong: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The name of the database's host is not known.
    #[error("cannot find the host {host:?} of the site database")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The password is wrong, or there is none.
    #[error("{name} refuses the password of user {user:?}")]
    WrongPassword {
        /// The database.
        name: String,
        /// The account.
        user: String,
    },
    /// The account may not connect from here or in this manner.
    #[error("{name} lets user {user:?} not in: {reason}")]
    AccessDenied {
        /// The database.
        name: String,
        /// The account.
        user: String,
        /// What PostgreSQL says.
        reason: String,
    },
    /// The server is there, the database is not.
    #[error("there is no database {database:?} on the server of {name}")]
    NoDatabase {
        /// Where it was looked for.
        name: String,
        /// The account.
        user: String,
        /// The database.
        database: String,
    },
    /// The account may not do what is needed.
    #[error("user {user:?} lacks a privilege in {name}: {reason}")]
    NoPrivilege {
        /// The database.
        name: String,
        /// The account.
        user: String,
        /// The database's own name.
        database: String,
        /// What PostgreSQL says.
        reason: String,
    },
    /// A later version of the program has changed the tables.
    #[error("{name} has tables of version {found}, this program knows versions up to {known}")]
    SchemaNewer {
        /// The database.
        name: String,
        /// Version of its tables.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The tables cannot be made or changed, or something else made them.
    #[error("cannot bring the tables of {name} to the version that this program needs")]
    Migration {
        /// The database.
        name: String,
        /// What went wrong.
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// It does not answer, or not now. It may later.
    #[error("cannot reach {name}: {reason}")]
    Unreachable {
        /// The database.
        name: String,
        /// What was seen.
        reason: String,
    },
    /// The database cannot keep a value, for example as a text is not valid there.
    #[error("{name} cannot keep a value")]
    Data {
        /// The database.
        name: String,
        /// What it says.
        source: Box<sqlx::Error>,
    },
    /// The database refuses a statement, or answers what was not asked for.
    #[error("{name} does not do as asked")]
    Statement {
        /// The database.
        name: String,
        /// What went wrong.
        source: Box<sqlx::Error>,
    },
}

impl SiteError {
    /// What the operator can do.
    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::File { .. } => "the folder must exist and be writable for the account that the service runs as".into(),
            Self::NotADatabase { .. } => "name another file, or restore this one from a copy".into(),
            Self::Url { .. } => "write it as postgres://HOST/DATABASE, the account apart from it".into(),
            Self::UnknownHost { .. } => "check the host's name in the URL, and the name service of this machine".into(),
            Self::WrongPassword { .. } => "set the database account's password, or the file that holds it".into(),
            Self::AccessDenied { .. } => {
                "peer authentication needs a PostgreSQL role of the name that the service runs as, and its Unix socket; \
                 other accounts need a line in pg_hba.conf"
                    .into()
            }
            Self::NoDatabase { user, database, .. } => {
                format!("create it as PostgreSQL's administrator: createdb --owner={user} {database}")
            }
            Self::NoPrivilege { user, database, .. } => format!(
                "make the account the database's owner: ALTER DATABASE \"{database}\" OWNER TO \"{user}\"; \
                 or GRANT CREATE, USAGE ON SCHEMA public TO \"{user}\""
            ),
            Self::SchemaNewer { .. } => "install the version of the program that the site's other servers have".into(),
            Self::Unreachable { .. } => "check that the database runs, and the network to it".into(),
            Self::Migration { .. } | Self::Data { .. } | Self::Statement { .. } => return None,
        })
    }

    /// Whether the same may go well later without anybody's doing here.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::UnknownHost { .. })
    }

    /// Whether it is the row's fault: it will never be taken.
    pub(crate) fn is_data(&self) -> bool {
        matches!(self, Self::Data { .. })
    }

    /// It took longer than `limit`.
    pub(super) fn slow(target: &Target, limit: Duration) -> Self {
        let reason = format!("no answer within {} s", limit.as_secs());
        Self::Unreachable { name: target.name.clone(), reason }
    }

    /// The error with the name of what it came from.
    pub(super) fn of(target: &Target, error: sqlx::Error) -> Self {
        let name = target.name.clone();
        match error {
            sqlx::Error::Database(told) => match target.dialect {
                Dialect::Sqlite => of_sqlite(target, told),
                Dialect::Postgres => of_postgres(target, told),
            },
            sqlx::Error::PoolTimedOut => Self::Unreachable { name, reason: "no connection in time".into() },
            error @ (sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed) => Self::Unreachable { name, reason: plain(&error) },
            sqlx::Error::Configuration(reason) => Self::Url { reason: reason.to_string() },
            error => Self::Statement { name, source: Box::new(error) },
        }
    }
}

/// The reason without the library's words about it.
fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        error => error.to_string(),
    }
}

/// SQLite's primary result code, which is the lowest byte of the extended one; 0 if it is none.
/// See <https://www.sqlite.org/rescode.html>.
fn sqlite_code(told: &dyn DatabaseError) -> u32 {
    told.code().and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xff)
}

/// Whether SQLite gave up because of another connection's lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|told| matches!(sqlite_code(told), 5 | 6))
}

/// By SQLite's result codes.
fn of_sqlite(target: &Target, told: Box<dyn DatabaseError>) -> SiteError {
    let Whereabouts::File(path) = &target.at else { return statement(target, told) };
    let (path, reason) = (path.clone(), told.message().to_owned());
    match sqlite_code(told.as_ref()) {
        // busy, locked
        5 | 6 => SiteError::Unreachable { name: target.name.clone(), reason },
        // perm, readonly, ioerr, full, cantopen, auth
        3 | 8 | 10 | 13 | 14 | 23 => SiteError::File { path, reason },
        // corrupt, notadb
        11 | 26 => SiteError::NotADatabase { path, reason },
        // toobig, constraint, mismatch
        18..=20 => data(target, told),
        _ => statement(target, told),
    }
}

/// By SQLSTATE: classes 08 connection, 53 resources, 57 operator's intervention, 58 system, 40 rolled back, and
/// some single codes. See PostgreSQL's documentation, appendix A.
fn of_postgres(target: &Target, told: Box<dyn DatabaseError>) -> SiteError {
    let Whereabouts::Server { user, database, .. } = &target.at else { return statement(target, told) };
    let (name, user, database) = (target.name.clone(), user.clone(), database.clone());
    let reason = told.message().to_owned();
    let code = told.code().map(std::borrow::Cow::into_owned).unwrap_or_default();
    match code.as_str() {
        "28P01" => SiteError::WrongPassword { name, user },
        "28000" => SiteError::AccessDenied { name, user, reason },
        "3D000" => SiteError::NoDatabase { name, user, database },
        "42501" | "3F000" => SiteError::NoPrivilege { name, user, database, reason },
        // lock not available, idle in a transaction, read-only (a standby)
        "55P03" | "25P03" | "25006" => SiteError::Unreachable { name, reason },
        code => match code.get(..2) {
            Some("08" | "40" | "53" | "57" | "58") => SiteError::Unreachable { name, reason },
            Some("22" | "23") => data(target, told),
            _ => statement(target, told),
        },
    }
}

fn data(target: &Target, told: Box<dyn DatabaseError>) -> SiteError {
    SiteError::Data { name: target.name.clone(), source: Box::new(sqlx::Error::Database(told)) }
}

fn statement(target: &Target, told: Box<dyn DatabaseError>) -> SiteError {
    SiteError::Statement { name: target.name.clone(), source: Box::new(sqlx::Error::Database(told)) }
}
