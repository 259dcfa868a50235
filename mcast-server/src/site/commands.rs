//! What an operator asked one server for, on its way to the server whose session it is.

use std::time::Duration;

use sqlx::Row;

use super::work::{Lock, millis};
use super::{ASK_LIMIT, Site, SiteError};

/// A command that its server has not fetched by then is void: what was pressed yesterday must not happen today.
const COMMAND_LIFE: Duration = Duration::from_secs(60);

impl Site {
    /// Leaves a command for a server.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn post_command(&self, to_server: &str, json: &str) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::Commands).await?;
            let now = work.moment().await?.now;
            let sql = "INSERT INTO commands (server, turn, body, posted_ms) \
                       VALUES ($1, (SELECT COALESCE(MAX(turn), 0) + 1 FROM commands), $2, $3)";
            sqlx::query(sql).bind(to_server).bind(json).bind(now).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// The commands for this server, in their order, each of them once.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn take_commands(&self, server: &str) -> Result<Vec<String>, SiteError> {
        self.within(ASK_LIMIT, async {
            // Mostly there are none, and nothing is written.
            let mut work = self.read().await?;
            let sql = "SELECT COUNT(*) FROM commands WHERE server = $1";
            let count: i64 = sqlx::query_scalar(sql).bind(server).fetch_one(work.sql()).await?;
            work.finish();
            if count == 0 {
                return Ok(Vec::new());
            }
            let mut work = self.write(Lock::Commands).await?;
            let from = work.moment().await?.now - millis(COMMAND_LIFE);
            let sql = "DELETE FROM commands WHERE server = $1 RETURNING turn, body, posted_ms";
            let rows = sqlx::query(sql).bind(server).fetch_all(work.sql()).await?;
            let mut commands = Vec::with_capacity(rows.len());
            for row in &rows {
                if row.try_get::<i64, _>("posted_ms")? >= from {
                    commands.push((row.try_get::<i64, _>("turn")?, row.try_get("body")?));
                }
            }
            work.commit().await?;
            commands.sort_by_key(|(turn, _)| *turn);
            Ok(commands.into_iter().map(|(_, body)| body).collect())
        })
        .await
    }
}
