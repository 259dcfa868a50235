//! What waits to be written: of everything the latest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::site::clients::ClientRow;
use crate::site::content::ImageRow;
use crate::site::sessions::SessionRow;

/// Client states that wait at most, some 20 MB of them. What is new beyond is given up; what is there is renewed.
const MAX_CLIENTS: usize = 65_536;
/// The same for sessions, for tickets and for places.
const MAX_OTHERS: usize = 16_384;

/// Shared by the callers and the task. Nobody holds the lock for longer than a few insertions take.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pending: Mutex<Pending>,
    /// Something was left.
    pub(super) filled: Notify,
    /// Somebody waits for it.
    pub(super) hurried: Notify,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) sessions: BTreeMap<String, SessionRow>,
    /// By session and client.
    pub(super) clients: BTreeMap<String, BTreeMap<String, ClientRow>>,
    client_count: usize,
    pub(super) images: Option<Arc<[ImageRow]>>,
    /// By image and client, and when.
    pub(super) tickets: BTreeMap<(String, String), Instant>,
    pub(super) places: BTreeMap<(IpAddr, u16), Instant>,
    /// How often something was left so far.
    added: u64,
    dropped: u64,
}

impl Inbox {
    pub(super) fn add<T>(&self, leave: impl FnOnce(&mut Pending) -> T) -> T {
        let left = self.with(|pending| {
            pending.added += 1;
            leave(pending)
        });
        self.filled.notify_one();
        left
    }

    /// Wakes the task without delay; what it must have written to have written all.
    pub(super) fn hurry(&self) -> u64 {
        let added = self.with(|pending| pending.added);
        self.hurried.notify_one();
        added
    }

    /// All that waits, and the count that it reaches to.
    pub(super) fn take(&self) -> (Pending, u64) {
        self.with(|pending| {
            let (added, dropped) = (pending.added, pending.dropped);
            (std::mem::replace(pending, Pending { added, dropped, ..Pending::default() }), added)
        })
    }

    /// Puts back what was not written, where nothing newer came.
    pub(super) fn put_back(&self, batch: Pending) {
        self.with(|pending| pending.merge_older(batch));
    }

    /// How many states wait, and how many were given up.
    pub(super) fn counts(&self) -> (usize, u64) {
        self.with(|pending| (pending.len(), pending.dropped))
    }

    /// The database will not keep something.
    pub(super) fn give_up(&self, count: u64) {
        self.with(|pending| pending.dropped += count);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pending) -> T) -> T {
        work(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending {
    pub(super) fn session(&mut self, row: SessionRow) {
        let Self { sessions, dropped, .. } = self;
        put(sessions, row.id.clone(), row, MAX_OTHERS, dropped);
    }

    /// False if some were given up.
    pub(super) fn clients(&mut self, session: &str, rows: impl IntoIterator<Item = ClientRow>) -> bool {
        let dropped = self.dropped;
        for row in rows {
            if !self.clients.contains_key(session) {
                self.clients.insert(session.to_owned(), BTreeMap::new());
            }
            let Some(of_session) = self.clients.get_mut(session) else { return false };
            if self.client_count >= MAX_CLIENTS && !of_session.contains_key(&row.client) {
                self.dropped += 1;
            } else if of_session.insert(row.client.clone(), row).is_none() {
                self.client_count += 1;
            }
        }
        self.dropped == dropped
    }

    pub(super) fn images(&mut self, rows: Arc<[ImageRow]>) {
        self.images = Some(rows);
    }

    pub(super) fn free_ticket(&mut self, image: &str, client: &str, when: Instant) {
        let Self { tickets, dropped, .. } = self;
        put(tickets, (image.to_owned(), client.to_owned()), when, MAX_OTHERS, dropped);
    }

    pub(super) fn free_place(&mut self, address: IpAddr, port: u16, when: Instant) {
        let Self { places, dropped, .. } = self;
        put(places, (address, port), when, MAX_OTHERS, dropped);
    }

    /// Up to `limit` clients of one session, which wait no more.
    pub(super) fn take_clients(&mut self, limit: usize) -> Option<(String, Vec<ClientRow>)> {
        let mut entry = self.clients.first_entry()?;
        let session = entry.key().clone();
        let mut rows = Vec::new();
        while rows.len() < limit
            && let Some((_, row)) = entry.get_mut().pop_first()
        {
            rows.push(row);
        }
        if entry.get().is_empty() {
            entry.remove();
        }
        self.client_count -= rows.len();
        Some((session, rows))
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
            + self.client_count
            + usize::from(self.images.is_some())
            + self.tickets.len()
            + self.places.len()
    }

    fn merge_older(&mut self, older: Self) {
        renew(&mut self.sessions, older.sessions);
        for (session, rows) in older.clients {
            let of_session = self.clients.entry(session).or_default();
            for (client, row) in rows {
                // Old and new together may be a batch more than the limit.
                if let Entry::Vacant(free) = of_session.entry(client) {
                    free.insert(row);
                    self.client_count += 1;
                }
            }
        }
        self.images = self.images.take().or(older.images);
        renew(&mut self.tickets, older.tickets);
        renew(&mut self.places, older.places);
    }
}

/// Puts what is newer over what is older.
fn renew<K: Ord, V>(newer: &mut BTreeMap<K, V>, mut older: BTreeMap<K, V>) {
    older.append(newer);
    *newer = older;
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, limit: usize, dropped: &mut u64) {
    if map.len() >= limit && !map.contains_key(&key) {
        *dropped += 1;
    } else {
        map.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, verified: u64) -> ClientRow {
        ClientRow {
            client: name.into(),
            host: String::new(),
            address: String::new(),
            state: "receiving".into(),
            path: "multicast".into(),
            verified,
            blocks: 100,
            loss: 0.0,
            reason: None,
            joined_ms: 0,
            ended_ms: None,
        }
    }

    #[test]
    fn only_the_latest_state_of_a_client_waits() {
        let inbox = Inbox::default();
        assert!((0..1000).all(|n| inbox.add(|pending| pending.clients("s", [client("a", n), client("b", n)]))));
        let (mut batch, added) = inbox.take();
        assert_eq!((batch.len(), added), (2, 1000));
        let (session, rows) = batch.take_clients(10).unwrap();
        assert_eq!(session, "s");
        assert!(rows.iter().all(|row| row.verified == 999));
        assert_eq!(batch.len(), 0);
        assert!(batch.take_clients(10).is_none());
    }

    #[test]
    fn what_is_put_back_does_not_replace_what_is_newer() {
        let inbox = Inbox::default();
        inbox.add(|pending| pending.clients("s", [client("a", 1), client("b", 1)]));
        let (batch, _) = inbox.take();
        inbox.add(|pending| pending.clients("s", [client("a", 2)]));
        inbox.put_back(batch);
        let (mut batch, _) = inbox.take();
        assert_eq!(batch.len(), 2);
        let verified: Vec<_> = batch.take_clients(10).unwrap().1.iter().map(|row| row.verified).collect();
        assert_eq!(verified, [2, 1]);
    }

    #[test]
    fn the_inbox_is_bounded_and_counts_what_it_gives_up() {
        let inbox = Inbox::default();
        let many = (0..MAX_CLIENTS + 5).map(|n| client(&n.to_string(), 0));
        assert!(!inbox.add(|pending| pending.clients("s", many)));
        assert_eq!(inbox.counts(), (MAX_CLIENTS, 5));
        assert!(inbox.add(|pending| pending.clients("s", [client("0", 7)])));
        assert_eq!(inbox.counts(), (MAX_CLIENTS, 5), "what is there is renewed");
    }
}
