//! Machines that the site knows by name.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;

use pxe::boot::Computer;
use pxe::machine::{Mac, Uuid};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::Fault;
use super::{PxeError, check_name, touch};
use crate::site::rows::{number, parsed};
use crate::site::work::{Lock, Work};
use crate::site::{Site, SiteError, WORK_LIMIT};

/// Cards of one computer.
const MOST_CARDS: usize = 16;

/// A machine that the site knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComputerRow {
    /// Unique in the site.
    pub(crate) name: String,
    /// Its cards, each of no other computer.
    #[serde(default)]
    pub(crate) macs: Vec<Mac>,
    /// Its board; of another one too, if both have cards.
    #[serde(default)]
    pub(crate) uuid: Option<Uuid>,
    /// The address that the site's own DHCP keeps for it.
    #[serde(default)]
    pub(crate) address: Option<Ipv4Addr>,
}

impl ComputerRow {
    fn check(&self) -> Result<(), PxeError> {
        check_name("computer name", &self.name)?;
        let invalid = |what, value: String, reason: &str| Err(PxeError::Invalid { what, value, reason: reason.into() });
        if let Some(mac) = self.macs.iter().find(|mac| !mac.is_card()) {
            return invalid("MAC", mac.to_string(), "it is not one card's: it is zero, or a group's");
        }
        if self.macs.iter().collect::<HashSet<_>>().len() < self.macs.len() {
            return invalid("computer", self.name.clone(), "one of its MACs is given twice");
        }
        if self.macs.len() > MOST_CARDS {
            return invalid("computer", self.name.clone(), "it has more than 16 MACs");
        }
        if let Some(uuid) = self.uuid.filter(|uuid| !uuid.is_meaningful()) {
            let reason = "many boards have reported it, so it names none: leave it out, and give a MAC";
            return invalid("UUID", uuid.to_string(), reason);
        }
        let host = |address: &Ipv4Addr| {
            !(address.is_multicast() || address.is_broadcast() || address.is_loopback() || address.octets()[0] == 0)
        };
        if let Some(address) = self.address.filter(|address| !host(address)) {
            return invalid("address", address.to_string(), "it cannot be one machine's");
        }
        match self.macs.is_empty() && self.uuid.is_none() {
            true => Err(PxeError::NoIdentity { name: self.name.clone() }),
            false => Ok(()),
        }
    }
}

impl From<ComputerRow> for Computer {
    fn from(row: ComputerRow) -> Self {
        let ComputerRow { name, macs, uuid, address } = row;
        Self { name, macs, uuid, address }
    }
}

impl Site {
    /// Takes a computer in.
    ///
    /// # Errors
    /// [`PxeError`] names what it shares with another one, or what is wrong with it.
    pub(crate) async fn add_computer(&self, row: &ComputerRow) -> Result<(), PxeError> {
        row.check()?;
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            if exists(&mut work, &row.name).await? {
                return Err(PxeError::Exists { what: "computer", name: row.name.clone() }.into());
            }
            put(&mut work, row).await?;
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// Gives the computer `name` other cards, another board or address, or another name, under which what is
    /// deployed to it stays deployed.
    ///
    /// # Errors
    /// [`PxeError`]; then it stays as it was.
    pub(crate) async fn change_computer(&self, name: &str, row: &ComputerRow) -> Result<(), PxeError> {
        row.check()?;
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            if !exists(&mut work, name).await? {
                return Err(missing(name).into());
            }
            if name != row.name && exists(&mut work, &row.name).await? {
                return Err(PxeError::Exists { what: "computer", name: row.name.clone() }.into());
            }
            delete(&mut work, name).await?;
            put(&mut work, row).await?;
            let sql = "UPDATE pxe_deployments SET computer = $1 WHERE computer = $2";
            sqlx::query(sql).bind(&row.name).bind(name).execute(work.sql()).await?;
            let sql = "UPDATE pxe_done_by SET who = $1 WHERE known = 1 AND who = $2";
            sqlx::query(sql).bind(&row.name).bind(name).execute(work.sql()).await?;
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// Forgets a computer, and with it the deployments that are for it alone, whose names are given.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn remove_computer(&self, name: &str) -> Result<Vec<String>, PxeError> {
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            if !exists(&mut work, name).await? {
                return Err(missing(name).into());
            }
            delete(&mut work, name).await?;
            for sql in [
                "DELETE FROM pxe_done_by WHERE deployment IN (SELECT name FROM pxe_deployments WHERE computer = $1)",
                // The machine is still there, and what it did is done, whatever it is called next.
                "INSERT INTO pxe_done_by (deployment, known, who, mac, done_ms) \
                 SELECT deployment, 0, mac, mac, done_ms FROM pxe_done_by WHERE known = 1 AND who = $1 \
                 ON CONFLICT (deployment, known, who) DO NOTHING",
                "DELETE FROM pxe_done_by WHERE known = 1 AND who = $1",
            ] {
                sqlx::query(sql).bind(name).execute(work.sql()).await?;
            }
            let sql = "DELETE FROM pxe_deployments WHERE computer = $1 RETURNING name";
            let gone = sqlx::query_scalar(sql).bind(name).fetch_all(work.sql()).await?;
            touch(&mut work).await?;
            work.commit().await?;
            Ok(gone)
        })
        .await
    }

    /// All computers, by name.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn computers(&self) -> Result<Vec<ComputerRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.look().await?;
            let computers = all(&mut work).await?;
            work.commit().await?;
            Ok(computers)
        })
        .await
    }
}

/// All computers, by name.
pub(super) async fn all(work: &mut Work) -> Result<Vec<ComputerRow>, sqlx::Error> {
    let mut cards: BTreeMap<String, Vec<Mac>> = BTreeMap::new();
    let sql = "SELECT mac, computer FROM pxe_cards ORDER BY computer, turn";
    for row in sqlx::query(sql).fetch_all(work.sql()).await? {
        cards.entry(row.try_get("computer")?).or_default().push(parsed(&row, "mac")?);
    }
    let sql = "SELECT name, uuid, address FROM pxe_computers ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(work.sql()).await?;
    let computer = |row: &AnyRow| {
        let name: String = row.try_get("name")?;
        let macs = cards.remove(&name).unwrap_or_default();
        let uuid = maybe(row, "uuid")?;
        Ok(ComputerRow { name, macs, uuid, address: maybe(row, "address")? })
    };
    rows.iter().map(computer).collect()
}

/// A text that something parses, if there is one.
pub(super) fn maybe<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.try_get::<Option<String>, _>(column)? {
        None => Ok(None),
        Some(_) => parsed(row, column).map(Some),
    }
}

/// Whether there is a computer of this name.
pub(super) async fn exists(work: &mut Work, name: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT COUNT(*) AS found FROM pxe_computers WHERE name = $1";
    Ok(number::<u64>(&sqlx::query(sql).bind(name).fetch_one(work.sql()).await?, "found")? > 0)
}

pub(super) fn missing(name: &str) -> PxeError {
    PxeError::Missing { what: "computer", name: name.to_owned() }
}

/// Writes a computer of a name that is free; with [`Lock::Pxe`].
async fn put(work: &mut Work, row: &ComputerRow) -> Result<(), Fault> {
    for mac in &row.macs {
        let sql = "SELECT computer FROM pxe_cards WHERE mac = $1";
        if let Some(computer) = sqlx::query_scalar(sql).bind(mac.to_string()).fetch_optional(work.sql()).await? {
            return Err(PxeError::MacTaken { mac: *mac, computer }.into());
        }
    }
    if let Some(address) = row.address {
        let sql = "SELECT name FROM pxe_computers WHERE address = $1";
        let taken = sqlx::query_scalar(sql).bind(address.to_string()).fetch_optional(work.sql()).await?;
        if let Some(computer) = taken {
            return Err(PxeError::AddressTaken { address, computer }.into());
        }
    }
    if let Some(uuid) = row.uuid {
        // A board's UUID that its maker gave to others, too, is told from theirs by the card.
        let sql = "SELECT name FROM pxe_computers c WHERE uuid = $1 \
                   AND ($2 = 0 OR NOT EXISTS (SELECT 1 FROM pxe_cards WHERE computer = c.name)) ORDER BY name LIMIT 1";
        let query = sqlx::query_scalar(sql).bind(uuid.to_string()).bind(i64::from(!row.macs.is_empty()));
        if let Some(computer) = query.fetch_optional(work.sql()).await? {
            return Err(PxeError::UuidShared { uuid, computer }.into());
        }
    }
    let sql = "INSERT INTO pxe_computers (name, uuid, address) VALUES ($1, $2, $3)";
    let query = sqlx::query(sql).bind(&row.name).bind(row.uuid.map(|uuid| uuid.to_string()));
    query.bind(row.address.map(|address| address.to_string())).execute(work.sql()).await?;
    for (turn, mac) in (0_i64..).zip(&row.macs) {
        let sql = "INSERT INTO pxe_cards (mac, computer, turn) VALUES ($1, $2, $3)";
        sqlx::query(sql).bind(mac.to_string()).bind(&row.name).bind(turn).execute(work.sql()).await?;
    }
    Ok(())
}

async fn delete(work: &mut Work, name: &str) -> Result<(), sqlx::Error> {
    for sql in ["DELETE FROM pxe_cards WHERE computer = $1", "DELETE FROM pxe_computers WHERE name = $1"] {
        sqlx::query(sql).bind(name).execute(work.sql()).await?;
    }
    Ok(())
}
