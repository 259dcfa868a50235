//! Clients that fetch images over HTTP: known by what they say of themselves with each request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::views::Fetching;

/// A client that has not asked for so long is taken to be silent, and after the longer one forgotten.
const SILENT: Duration = Duration::from_secs(30);
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Clients known at the same time: anybody can say anything of himself.
const LIMIT: usize = 10_000;
/// Over what time a speed is measured.
const METER: Duration = Duration::from_secs(2);

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its number, in hexadecimal.
    pub(crate) client: String,
    pub(crate) host: String,
    /// Why it fetches.
    pub(crate) reason: Option<String>,
    /// Blocks verified, and blocks of the image.
    pub(crate) verified: (u32, u32),
}

/// The clients, by image and number.
#[derive(Debug, Default)]
pub(crate) struct Unicasts(Mutex<HashMap<(String, String), Known>>);

#[derive(Debug)]
struct Known {
    said: Said,
    address: SocketAddr,
    since: Instant,
    heard: Instant,
    /// Blocks at an earlier moment, for the speed.
    meter: (Instant, u32),
    blocks_per_second: f64,
}

/// News of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Began,
    Completed,
}

impl Unicasts {
    /// A client asked for a part of `image`.
    pub(crate) fn heard(&self, image: &str, said: Said, address: SocketAddr, now: Instant) -> Option<News> {
        let mut clients = self.lock();
        let key = (image.to_owned(), said.client.clone());
        if clients.len() >= LIMIT && !clients.contains_key(&key) {
            clients.retain(|_, known| now.duration_since(known.heard) < SILENT);
            if clients.len() >= LIMIT {
                return None;
            }
        }
        let complete = said.complete();
        let verified = said.verified.0;
        let mut new = false;
        let known = clients.entry(key).or_insert_with(|| {
            new = true;
            let (since, heard, meter) = (now, now, (now, verified));
            Known { said: said.clone(), address, since, heard, meter, blocks_per_second: 0.0 }
        });
        let was_complete = !new && known.said.complete();
        let elapsed = now.duration_since(known.meter.0);
        if elapsed >= METER {
            known.blocks_per_second = f64::from(verified.saturating_sub(known.meter.1)) / elapsed.as_secs_f64();
            known.meter = (now, verified);
        }
        (known.said, known.address, known.heard) = (said, address, now);
        match (new, complete && !was_complete) {
            (_, true) => Some(News::Completed),
            (true, false) => Some(News::Began),
            _ => None,
        }
    }

    /// All that are known; `block` is the size of a block of an image in bytes.
    pub(crate) fn all(&self, now: Instant, block: impl Fn(&str) -> u32) -> Vec<Fetching> {
        let view = |((image, _), known): (&(String, String), &Known)| Fetching {
            client: known.said.client.clone(),
            host: known.said.host.clone(),
            address: known.address,
            image: image.clone(),
            reason: known.said.reason.clone(),
            verified: known.said.verified.0,
            blocks: known.said.verified.1,
            bytes_per_second: known.blocks_per_second * f64::from(block(image)),
            seconds: known.heard.duration_since(known.since).as_secs_f64(),
            complete: known.said.complete(),
            silent: now.duration_since(known.heard) > SILENT,
        };
        let mut all: Vec<_> = self.lock().iter().map(view).collect();
        all.sort_by(|a, b| (&a.host, &a.client).cmp(&(&b.host, &b.client)));
        all
    }

    /// Forgets who was silent for long.
    pub(crate) fn tidy(&self, now: Instant) {
        self.lock().retain(|_, known| now.duration_since(known.heard) < FORGOTTEN);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn complete(&self) -> bool {
        let (verified, blocks) = self.verified;
        blocks > 0 && verified >= blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(verified: u32) -> Said {
        Said { client: "a7".into(), host: "bench-7".into(), reason: Some("deaf".into()), verified: (verified, 10) }
    }

    #[test]
    fn a_client_is_followed_from_its_first_request_to_its_last_block() {
        let (unicasts, from) = (Unicasts::default(), SocketAddr::from(([10, 0, 0, 7], 5000)));
        let start = Instant::now();
        let heard =
            |verified, seconds| unicasts.heard("a.img", said(verified), from, start + Duration::from_secs(seconds));
        assert_eq!(heard(0, 0), Some(News::Began));
        assert_eq!(heard(4, 4), None);
        let all = unicasts.all(start + Duration::from_secs(5), |_| 1000);
        assert!((all[0].bytes_per_second - 1000.0).abs() < 1e-6 && !all[0].complete && !all[0].silent);
        assert_eq!(heard(10, 8), Some(News::Completed));
        assert_eq!(heard(10, 9), None, "told once");
        assert!(unicasts.all(start + Duration::from_secs(60), |_| 1000)[0].complete);
        unicasts.tidy(start + Duration::from_secs(700));
        assert!(unicasts.all(start, |_| 1000).is_empty());
    }
}
