//! The database of a site beside its server.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tokio::runtime::Runtime;

use super::point::Site;

pub struct Database {
    runtime: Runtime,
    connection: AnyConnection,
}

impl Database {
    pub fn of(site: &Site) -> Self {
        sqlx::any::install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}", site.path("state").join("site.sqlite").display());
        let connection = runtime.block_on(AnyConnection::connect(&url)).unwrap();
        let mut database = Self { runtime, connection };
        database.say("PRAGMA busy_timeout = 20000");
        database
    }

    pub fn say(&mut self, sql: &str) {
        self.runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection)).unwrap();
    }

    /// The one number that `sql` asks for.
    pub fn number(&mut self, sql: &'static str) -> i64 {
        self.runtime.block_on(sqlx::query(sql).fetch_one(&mut self.connection)).unwrap().get(0)
    }
}
