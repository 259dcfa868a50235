//! Images of all servers, and digests of files that need not be hashed again.

use std::path::Path;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{big, insert, number};
use super::work::{Lock, Work};
use super::{ASK_LIMIT, Site, SiteError, WORK_LIMIT};

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
    /// BLAKE3 of the file, hexadecimal; empty while it is not known.
    pub(crate) digest: String,
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

/// A file as it was when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMark<'a> {
    /// Where it is.
    pub(crate) path: &'a Path,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was last changed, nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    /// Its number in the file system.
    pub(crate) inode: u64,
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
            let sql = "SELECT i.name, i.version, i.bytes, i.multicast, i.state, i.root, i.digest, i.server, \
                       v.name AS server_name FROM images i JOIN servers v ON v.id = i.server \
                       WHERE v.stopped = 0 AND v.beat_ms >= $1 ORDER BY i.name, v.name, i.server";
            let rows = sqlx::query(sql).bind(alive).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(image).collect()
        })
        .await
    }

    /// The BLAKE3 digest of a file that is what it was, hexadecimal.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn digest(&self, file: FileMark<'_>) -> Result<Option<String>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let now = work.moment().await?.now;
            let sql = "UPDATE digests SET used_ms = $1 WHERE path = $2 AND size = $3 AND mtime_ns = $4 AND inode = $5 \
                       RETURNING digest";
            let query = sqlx::query_scalar(sql).bind(now).bind(file.path.to_string_lossy().into_owned());
            let query = query.bind(big(file.size)).bind(file.mtime_ns).bind(file.inode.cast_signed());
            let digest = query.fetch_optional(work.sql()).await?;
            work.commit().await?;
            Ok(digest)
        })
        .await
    }

    /// Keeps the BLAKE3 digest of a file.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn put_digest(&self, file: FileMark<'_>, digest: &str) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let now = work.moment().await?.now;
            let sql = "INSERT INTO digests (path, size, mtime_ns, inode, digest, used_ms) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (path, size, mtime_ns, inode) \
                       DO UPDATE SET digest = excluded.digest, used_ms = excluded.used_ms";
            let query = sqlx::query(sql).bind(file.path.to_string_lossy().into_owned()).bind(big(file.size));
            let query = query.bind(file.mtime_ns).bind(file.inode.cast_signed()).bind(digest).bind(now);
            query.execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }
}

async fn put(work: &mut Work, server: &str, rows: &[ImageRow]) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO images (server, name, version, bytes, multicast, state, root, digest) VALUES";
    let mut query = sqlx::query(insert(head, rows.len(), 8, "")).persistent(false);
    for row in rows {
        query = query.bind(server).bind(&row.name).bind(&row.version).bind(big(row.bytes)).bind(&row.multicast);
        query = query.bind(&row.state).bind(&row.root).bind(&row.digest);
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
            digest: row.try_get("digest")?,
        },
        server: row.try_get("server")?,
        server_name: row.try_get("server_name")?,
    })
}
