//! Addresses that servers gave by DHCP.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use pxe::dhcp::{ClientId, Lease, Network, Pool};
use pxe::machine::Mac;
use serde::{Serialize, Serializer};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::site::rows::{flag, insert, parsed};
use crate::site::work::{Lock, Work, millis};
use crate::site::{Site, SiteError, WORK_LIMIT};

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 50;
/// What is over for so long is not read by a starting server; what is over for less its own clock judges.
const STILL_READ_MS: i64 = 86_400_000;

/// An address that a server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PxeLeaseRow {
    /// Where.
    #[serde(serialize_with = "written")]
    pub(crate) network: Network,
    /// Unique in the network.
    pub(crate) address: Ipv4Addr,
    /// Whose it is.
    #[serde(serialize_with = "written")]
    pub(crate) client: ClientId,
    /// The client's card.
    pub(crate) mac: Mac,
    /// Until when, milliseconds since 1970 by the server's clock.
    pub(crate) until_ms: i64,
}

/// An address that was given, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PxeLeaseSeen {
    #[serde(flatten)]
    pub(crate) row: PxeLeaseRow,
    /// Name of the server; its id if the site has forgotten it.
    pub(crate) server_name: String,
    /// The computer whose card it is.
    pub(crate) computer: Option<String>,
}

fn written<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl PxeLeaseRow {
    /// As it is to be kept; times of leases count from 1970.
    pub(crate) fn new(network: Network, lease: &Lease) -> Self {
        let &Lease { address, mac, until, .. } = lease;
        Self { network, address, client: lease.client.clone(), mac, until_ms: millis(until) }
    }

    /// As a starting server takes it.
    pub(crate) fn into_lease(self) -> Lease {
        let until = Duration::from_millis(u64::try_from(self.until_ms).unwrap_or(0));
        Lease { address: self.address, client: self.client, mac: self.mac, until }
    }
}

impl Site {
    /// Notes addresses that a server gave, or their new ends. Of two rows of one address the database refuses both.
    ///
    /// # Errors
    /// [`SiteError`] of the database; then none is noted.
    pub(crate) async fn put_pxe_leases(&self, server: &str, rows: &[PxeLeaseRow]) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                put(&mut work, server, rows).await?;
            }
            work.commit().await
        })
        .await
    }

    /// Forgets addresses that their clients have no more; of those that another one than `server` has given since,
    /// none, if it is named.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn delete_pxe_leases(
        &self,
        server: Option<&str>,
        gone: &[(Network, Ipv4Addr)],
    ) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            delete(&mut work, server, gone).await?;
            work.commit().await
        })
        .await
    }

    /// Gives a starting server its addresses: those that it gave itself, and those in `pools` of it that another one
    /// gave, whose place it takes; they are its own from now on. What another one gave of reserved addresses it knows,
    /// too. Also what is over by the database's clock, if it has not been for long.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn take_pxe_leases(&self, server: &str, pools: &[Pool]) -> Result<Vec<Lease>, SiteError> {
        if pools.is_empty() {
            return Ok(Vec::new());
        }
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::Pxe).await?;
            let since = work.moment().await?.now - STILL_READ_MS;
            let sql = "SELECT network, address, client, mac, until_ms, server, \
                       CAST(CASE WHEN EXISTS (SELECT 1 FROM pxe_computers c WHERE c.address = l.address) \
                       THEN 1 ELSE 0 END AS BIGINT) AS reserved \
                       FROM pxe_leases l WHERE until_ms > $1 ORDER BY until_ms DESC";
            let (mut leases, mut own, mut resized) = (BTreeMap::new(), Vec::new(), Vec::new());
            for row in sqlx::query(sql).bind(since).fetch_all(work.sql()).await? {
                let (found, by): (_, String) = (lease(&row)?, row.try_get("server")?);
                // The network may have been given another size since.
                let Some(pool) = pools.iter().find(|pool| pool.network.contains(found.address)) else { continue };
                let taken = by == server || pool.contains(found.address);
                if !taken && !flag(&row, "reserved")? || leases.contains_key(&found.address) {
                    continue;
                }
                let now = PxeLeaseRow { network: pool.network, ..found.clone() };
                leases.insert(found.address, now.clone().into_lease());
                if taken && (by != server || now.network != found.network) {
                    resized.extend((now.network != found.network).then_some((found.network, found.address)));
                    own.push(now);
                }
            }
            delete(&mut work, None, &resized).await?;
            for rows in own.chunks(ROWS_AT_ONCE) {
                put(&mut work, server, rows).await?;
            }
            work.commit().await?;
            Ok(leases.into_values().collect())
        })
        .await
    }

    /// All addresses that were given, and are not over by the database's clock, by network and address.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn pxe_leases(&self) -> Result<Vec<PxeLeaseSeen>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let now = work.moment().await?.now;
            let sql = "SELECT l.network, l.address, l.client, l.mac, l.until_ms, c.computer, \
                       COALESCE(v.name, l.server) AS server_name FROM pxe_leases l \
                       LEFT JOIN servers v ON v.id = l.server LEFT JOIN pxe_cards c ON c.mac = l.mac \
                       WHERE l.until_ms > $1";
            let rows = sqlx::query(sql).bind(now).fetch_all(work.sql()).await?;
            work.finish();
            let seen = |row: &AnyRow| {
                let (server_name, computer) = (row.try_get("server_name")?, row.try_get("computer")?);
                Ok(PxeLeaseSeen { row: lease(row)?, server_name, computer })
            };
            let mut leases: Vec<_> = rows.iter().map(seen).collect::<Result<_, sqlx::Error>>()?;
            // Texts of addresses would sort 10.0.0.10 before 10.0.0.9.
            leases.sort_by_key(|seen| (seen.row.network, seen.row.address));
            Ok(leases)
        })
        .await
    }
}

async fn delete(work: &mut Work, server: Option<&str>, gone: &[(Network, Ipv4Addr)]) -> Result<(), sqlx::Error> {
    for (network, address) in gone {
        let sql = "DELETE FROM pxe_leases WHERE network = $1 AND address = $2 AND ($3 = '' OR server = $3)";
        let query = sqlx::query(sql).bind(network.to_string()).bind(address.to_string());
        query.bind(server.unwrap_or_default()).execute(work.sql()).await?;
    }
    Ok(())
}

async fn put(work: &mut Work, server: &str, rows: &[PxeLeaseRow]) -> Result<(), sqlx::Error> {
    let sql = insert(
        "INSERT INTO pxe_leases (network, address, client, mac, server, until_ms) VALUES",
        rows.len(),
        6,
        "ON CONFLICT (network, address) DO UPDATE SET client = excluded.client, mac = excluded.mac, \
         server = excluded.server, until_ms = excluded.until_ms",
    );
    let mut query = sqlx::query(sql).persistent(rows.len() == ROWS_AT_ONCE);
    for row in rows {
        query = query.bind(row.network.to_string()).bind(row.address.to_string()).bind(row.client.to_string());
        query = query.bind(row.mac.to_string()).bind(server).bind(row.until_ms);
    }
    query.execute(work.sql()).await?;
    Ok(())
}

fn lease(row: &AnyRow) -> Result<PxeLeaseRow, sqlx::Error> {
    let mac = parsed(row, "mac")?;
    let client = ClientId::parse(row.try_get("client")?, mac);
    let client =
        client.map_err(|error| sqlx::Error::ColumnDecode { index: "client".to_owned(), source: error.into() })?;
    Ok(PxeLeaseRow {
        network: parsed(row, "network")?,
        address: parsed(row, "address")?,
        client,
        mac,
        until_ms: row.try_get("until_ms")?,
    })
}
