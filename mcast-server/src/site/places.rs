//! Group addresses and ports that are taken over the whole site, and addresses on loan from a DHCP server.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{flag, number, parsed};
use super::work::{Lock, Work, millis};
use super::{ASK_LIMIT, Site, SiteError};

/// A group address and port in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlaceRow {
    /// The group.
    pub(crate) address: IpAddr,
    /// Its UDP port.
    pub(crate) port: u16,
    /// Who sends there.
    pub(crate) server: String,
    /// For which session.
    pub(crate) session: String,
    /// Other sessions may use the same address by other ports.
    pub(crate) shared: bool,
}

/// A group address on loan from a DHCP server (MADCAP, RFC 2730).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeaseRow {
    /// The group.
    pub(crate) address: IpAddr,
    /// The lease identifier, hexadecimal.
    pub(crate) lease_id: String,
    /// Who lent it.
    pub(crate) dhcp_server: String,
    /// Until when, milliseconds since 1970 on the borrowing server's own clock.
    pub(crate) expires_ms: i64,
}

impl Site {
    /// Takes `address` and `port` for a session, if no living server has it: the address as a whole, or with
    /// `shared_address` only that port of it. `true` also if the session has it already; so a server that
    /// was cut off learns by asking again whether another one took what it had.
    ///
    /// # Errors
    /// [`SiteError`] of the database, within [`ASK_LIMIT`].
    pub(crate) async fn take_place(
        &self,
        server: &str,
        address: IpAddr,
        port: u16,
        session: &str,
        shared_address: bool,
    ) -> Result<bool, SiteError> {
        self.within(ASK_LIMIT, async {
            let place =
                PlaceRow { address, port, server: server.into(), session: session.into(), shared: shared_address };
            let mut work = self.write(Lock::Places).await?;
            let taken = take(&mut work, &place).await?;
            work.commit().await?;
            Ok(taken)
        })
        .await
    }

    /// Gives back what the server took.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    #[cfg(test)]
    pub(crate) async fn free_place(&self, server: &str, address: IpAddr, port: u16) -> Result<(), SiteError> {
        self.free_place_after(server, address, port, Duration::ZERO).await
    }

    /// As [`free_place`](Self::free_place), decided `age` ago: what was taken since stays.
    pub(super) async fn free_place_after(
        &self,
        server: &str,
        address: IpAddr,
        port: u16,
        age: Duration,
    ) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let until = work.moment().await?.now - millis(age);
            let sql = "DELETE FROM places WHERE server = $1 AND address = $2 AND port = $3 AND taken_ms <= $4";
            let query = sqlx::query(sql).bind(server).bind(address.to_string()).bind(i64::from(port));
            query.bind(until).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// Gives back all that the server took.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn free_places_of(&self, server: &str) -> Result<(), SiteError> {
        self.change(Lock::Places, "DELETE FROM places WHERE server = $1", &[server]).await
    }

    /// What living servers have taken.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    #[cfg(test)]
    pub(crate) async fn places(&self) -> Result<Vec<PlaceRow>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let alive = work.moment().await?.alive_from();
            let sql = "SELECT address, port, server, session, shared FROM places \
                       WHERE server IN (SELECT id FROM servers WHERE stopped = 0 AND beat_ms >= $1) \
                       ORDER BY address, port";
            let rows = sqlx::query(sql).bind(alive).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(place).collect()
        })
        .await
    }

    /// Notes a lease, or its new end.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn put_lease(&self, server: &str, row: &LeaseRow) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let sql = "INSERT INTO leases (address, server, lease_id, dhcp_server, expires_ms) \
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server, address) DO UPDATE SET \
                       lease_id = excluded.lease_id, dhcp_server = excluded.dhcp_server, \
                       expires_ms = excluded.expires_ms";
            let query = sqlx::query(sql).bind(row.address.to_string()).bind(server).bind(&row.lease_id);
            query.bind(&row.dhcp_server).bind(row.expires_ms).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// The server's leases, also those that have expired.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn leases(&self, server: &str) -> Result<Vec<LeaseRow>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let sql = "SELECT address, lease_id, dhcp_server, expires_ms FROM leases WHERE server = $1 \
                       ORDER BY address";
            let rows = sqlx::query(sql).bind(server).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(lease).collect()
        })
        .await
    }

    /// Forgets a lease that was given back or has expired.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn delete_lease(&self, server: &str, address: IpAddr) -> Result<(), SiteError> {
        let address = address.to_string();
        self.change(Lock::None, "DELETE FROM leases WHERE server = $1 AND address = $2", &[server, &address]).await
    }
}

/// Takes it if nobody is in the way; with [`Lock::Places`].
async fn take(work: &mut Work, place: &PlaceRow) -> Result<bool, sqlx::Error> {
    let moment = work.moment().await?;
    let address = place.address.to_string();
    // What a dead server had is void.
    let sql = "DELETE FROM places WHERE address = $1 AND server <> $2 \
               AND server NOT IN (SELECT id FROM servers WHERE stopped = 0 AND beat_ms >= $3)";
    sqlx::query(sql).bind(&address).bind(&place.server).bind(moment.alive_from()).execute(work.sql()).await?;
    let sql = "SELECT address, port, server, session, shared FROM places WHERE address = $1";
    for row in sqlx::query(sql).bind(&address).fetch_all(work.sql()).await? {
        let other = self::place(&row)?;
        if other == *place {
            return Ok(true);
        }
        if other.port == place.port || !(other.shared && place.shared) {
            return Ok(false);
        }
    }
    let sql = "INSERT INTO places (address, port, server, session, shared, taken_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let query = sqlx::query(sql).bind(&address).bind(i64::from(place.port)).bind(&place.server).bind(&place.session);
    query.bind(i64::from(place.shared)).bind(moment.now).execute(work.sql()).await?;
    Ok(true)
}

fn place(row: &AnyRow) -> Result<PlaceRow, sqlx::Error> {
    Ok(PlaceRow {
        address: parsed(row, "address")?,
        port: number(row, "port")?,
        server: row.try_get("server")?,
        session: row.try_get("session")?,
        shared: flag(row, "shared")?,
    })
}

fn lease(row: &AnyRow) -> Result<LeaseRow, sqlx::Error> {
    Ok(LeaseRow {
        address: parsed(row, "address")?,
        lease_id: row.try_get("lease_id")?,
        dhcp_server: row.try_get("dhcp_server")?,
        expires_ms: row.try_get("expires_ms")?,
    })
}
