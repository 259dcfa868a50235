//! A database of a test's own.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::any::AnyConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use crate::site::{Account, Backend, ServerRow, Site};

pub(super) struct Bed {
    pub(super) backend: Backend,
    folder: Option<TempDir>,
    schema: Option<String>,
}

impl Bed {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A name that a URL would have to escape.
        let backend = Backend::Sqlite { file: folder.path().join("state ?#% ü").join("site.db") };
        Self { backend, folder: Some(folder), schema: None }
    }

    pub(super) async fn postgres() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        administer(&format!("CREATE SCHEMA {schema}")).await;
        let backend = Backend::Postgres { url: with_schema(&url(), &schema), account: Account::default() };
        Self { backend, folder: None, schema: Some(schema) }
    }

    pub(super) async fn open(&self) -> Site {
        Site::open(self.backend.clone()).await.unwrap()
    }

    /// A site with living servers of these names, that was awake for long.
    pub(super) async fn with_servers(&self, names: &[&str]) -> Site {
        let site = self.open().await;
        for name in names {
            site.register_server(&server(name)).await.unwrap();
        }
        run(&site, "UPDATE site SET since_ms = since_ms - 60000").await;
        site
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.as_ref().unwrap().path()
    }

    pub(super) fn schema(&self) -> &str {
        self.schema.as_ref().unwrap()
    }

    pub(super) async fn clear(self) {
        if let Some(schema) = self.schema {
            administer(&format!("DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}

pub(super) fn server(id: &str) -> ServerRow {
    ServerRow {
        id: id.into(),
        name: format!("server {id}"),
        control: "192.0.2.1:63000".into(),
        http: "https://192.0.2.1:8443".into(),
        version: "0.1.0".into(),
    }
}

/// Lets a server have been silent for so many seconds.
pub(super) async fn silence(site: &Site, server: &str, seconds: i64) {
    run(site, &format!("UPDATE servers SET beat_ms = beat_ms - {} WHERE id = '{server}'", seconds * 1000)).await;
}

/// What no operation of the site does.
pub(super) async fn run(site: &Site, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&site.pool).await.unwrap();
}

/// What only the database's administrator does.
pub(super) async fn administer(sql: &str) {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

pub(super) fn url() -> String {
    std::env::var("MCAST_TEST_POSTGRES").expect("MCAST_TEST_POSTGRES=postgres://… names the server to test with")
}

pub(super) fn with_schema(url: &str, schema: &str) -> String {
    let mut options: AnyConnectOptions = url.parse().unwrap();
    options.database_url.query_pairs_mut().append_pair("options[search_path]", schema);
    options.database_url.into()
}
