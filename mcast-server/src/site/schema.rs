//! The migrations, which are the same for both databases.

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection, SqlSafeStr};

use super::backend::Target;
use super::error::SiteError;
use super::work::Lock;

/// The files of `migrations/`, oldest first. What was released is never changed, only followed.
const FILES: [(i64, &str, &str); 3] = [
    (1, "site", include_str!("../../migrations/0001_site.sql")),
    (2, "pxe", include_str!("../../migrations/0002_pxe.sql")),
    (3, "pxe_done", include_str!("../../migrations/0003_pxe_done.sql")),
];

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(FILES.into_iter().map(migration).collect());
    // A lock of our own spans them all.
    migrator.set_locking(false);
    migrator
});

/// Brings the tables to the newest version, all or nothing. An account that may not change tables is enough
/// if there is nothing to change.
///
/// # Errors
/// [`SiteError::SchemaNewer`], [`SiteError::Migration`], or what a connection may suffer.
pub(super) async fn raise(connection: &mut AnyConnection, target: &Target) -> Result<(), SiteError> {
    let known = FILES[FILES.len() - 1].0;
    let of = |error| SiteError::of(target, error);
    match version(connection, target).await.map_err(of)? {
        found if found == known => return Ok(()),
        found if found > known => return Err(SiteError::SchemaNewer { name: target.name.clone(), found, known }),
        _ => {}
    }
    // Each migration is a savepoint in it.
    let mut all = connection.begin_with(target.dialect.begin(Lock::Schema)).await.map_err(of)?;
    MIGRATOR.run_direct(None, &mut *all, false).await.map_err(|error| migration(target, error))?;
    all.commit().await.map_err(of)
}

/// Version of the tables, 0 if there are none.
async fn version(connection: &mut AnyConnection, target: &Target) -> Result<i64, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(target.dialect.has_migrations()).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations").fetch_one(connection).await
}

fn migration(target: &Target, error: MigrateError) -> SiteError {
    let other = |source| SiteError::Migration { name: target.name.clone(), source: Box::new(source) };
    let told = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => return other(error),
    };
    match SiteError::of(target, told) {
        SiteError::Statement { source, .. } => other(MigrateError::Execute(*source)),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        found.sort();
        let listed: Vec<std::ffi::OsString> =
            FILES.map(|(version, name, _)| format!("{version:04}_{name}.sql").into()).into();
        assert_eq!(found, listed);
    }
}
