//! Images of all servers.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{big, insert, number};
use super::work::{Lock, Work};
use super::{Site, SiteError, WORK_LIMIT};

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 50;

/// An image of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ImageRow {
    /// By what clients ask for it.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// Whether multicast is allowed, the only way, or no way.
    pub(crate) multicast: String,
    /// A word of the caller's: ready, being hashed, failed …
    pub(crate) state: String,
    /// Root of its manifest, hexadecimal; empty while it is not known.
    pub(crate) root: String,
}

/// An image, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ImageSeen {
    /// What its server says.
    #[serde(flatten)]
    pub(crate) row: ImageRow,
    /// The server.
    pub(crate) server: String,
    /// Its name.
    pub(crate) server_name: String,
}

impl Site {
    /// Replaces the server's list of images. Of two rows of one name the database refuses the list.
    ///
    /// # Errors
    /// [`SiteError`] of the database; then the old list stays.
    pub(crate) async fn put_images(&self, server: &str, rows: &[ImageRow]) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let sql = "DELETE FROM images WHERE server = $1";
            sqlx::query(sql).bind(server).execute(work.sql()).await?;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                put(&mut work, server, rows).await?;
            }
            work.commit().await
        })
        .await
    }

    /// The images of all living servers, by name.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn images(&self) -> Result<Vec<ImageSeen>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let alive = work.moment().await?.alive_from();
            let sql = "SELECT i.name, i.version, i.bytes, i.multicast, i.state, i.root, i.server, \
                       v.name AS server_name FROM images i JOIN servers v ON v.id = i.server \
                       WHERE v.stopped = 0 AND v.beat_ms >= $1 ORDER BY i.name, v.name, i.server";
            let rows = sqlx::query(sql).bind(alive).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(image).collect()
        })
        .await
    }
}

async fn put(work: &mut Work, server: &str, rows: &[ImageRow]) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO images (server, name, version, bytes, multicast, state, root) VALUES";
    let mut query = sqlx::query(insert(head, rows.len(), 7, "")).persistent(false);
    for row in rows {
        query = query.bind(server).bind(&row.name).bind(&row.version).bind(big(row.bytes)).bind(&row.multicast);
        query = query.bind(&row.state).bind(&row.root);
    }
    query.execute(work.sql()).await?;
    Ok(())
}

fn image(row: &AnyRow) -> Result<ImageSeen, sqlx::Error> {
    Ok(ImageSeen {
        row: ImageRow {
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            bytes: number(row, "bytes")?,
            multicast: row.try_get("multicast")?,
            state: row.try_get("state")?,
            root: row.try_get("root")?,
        },
        server: row.try_get("server")?,
        server_name: row.try_get("server_name")?,
    })
}
