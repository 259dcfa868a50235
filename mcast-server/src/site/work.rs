//! One piece of work on a connection of the pool, and the database's clock.

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Row};

use super::backend::Dialect;
use super::servers::{GAP, SERVER_TIMEOUT};

/// What only one server may do at a time. SQLite has one lock for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nothing beyond what a transaction does.
    None,
    Schema,
    Places,
    Tickets,
    Commands,
    Pxe,
}

/// A connection in use. Unless the work is finished or committed, which it is not after an error or when its time
/// is over, the connection is closed instead of used again: the database rolls back, and the pool is not kept
/// waiting for the answer to a question that was given up.
pub(super) struct Work {
    connection: PoolConnection<Any>,
    dialect: Dialect,
    done: bool,
}

impl Work {
    pub(super) fn new(connection: PoolConnection<Any>, dialect: Dialect) -> Self {
        Self { connection, dialect, done: false }
    }

    /// Where statements go.
    pub(super) fn sql(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    pub(super) async fn begin(&mut self, lock: Lock) -> Result<(), sqlx::Error> {
        let begin = self.dialect.begin(lock);
        sqlx::raw_sql(begin).execute(self.sql()).await?;
        Ok(())
    }

    pub(super) async fn begin_reading(&mut self) -> Result<(), sqlx::Error> {
        let begin = self.dialect.begin_reading();
        sqlx::raw_sql(begin).execute(self.sql()).await?;
        Ok(())
    }

    /// The database's time, and what it means for who is silent.
    pub(super) async fn moment(&mut self) -> Result<Moment, sqlx::Error> {
        let moment = self.dialect.moment();
        let row = sqlx::query(moment).fetch_one(self.sql()).await?;
        Ok(Moment::new(row.try_get("now_ms")?, row.try_get("beat_ms")?, row.try_get("since_ms")?))
    }

    /// Ends the transaction.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self.sql()).await?;
        self.finish();
        Ok(())
    }

    /// Ends what was only read.
    pub(super) fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

/// A moment on the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Milliseconds since 1970.
    pub(super) now: i64,
    /// For at least [`SERVER_TIMEOUT`] some server or other has beaten all the time. If none did, the database
    /// itself was away (or all servers were off): whoever was not heard then is not to blame.
    watched: bool,
}

impl Moment {
    fn new(now: i64, beat: i64, since: i64) -> Self {
        let watched = now - beat <= millis(GAP) && now - since >= millis(SERVER_TIMEOUT);
        Self { now, watched }
    }

    /// A server that beat at this time or later is alive.
    pub(super) fn alive_from(&self) -> i64 {
        self.from(SERVER_TIMEOUT)
    }

    /// What happened at this time or later is not longer than `patience` ago, as far as anybody watched.
    pub(super) fn from(&self, patience: std::time::Duration) -> i64 {
        if self.watched { self.now - millis(patience) } else { i64::MIN }
    }
}

/// Milliseconds of a duration, as the database counts.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_somebody_was_heard() {
        let now = 1_000_000;
        assert_eq!(Moment::new(now, now - 4_000, now - 60_000).alive_from(), now - 15_000);
        assert_eq!(Moment::new(now, now - 8_000, now - 60_000).alive_from(), i64::MIN, "all were silent");
        assert_eq!(Moment::new(now, now - 1_000, now - 14_000).alive_from(), i64::MIN, "just back");
    }
}
