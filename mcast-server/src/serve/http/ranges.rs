//! Parts of a file, as HTTP asks for them (RFC 9110 §14), and their bytes as a body.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use crate::serve::content::Ready;
use crate::serve::content::packages::Package;

/// Bytes read at once; as many again wait for the connection.
const PIECE: usize = 128 << 10;

/// Bytes that can be read from anywhere.
pub(super) trait Source: Send + Sync + 'static {
    fn bytes(&self) -> u64;
    /// Fills `buf` from `offset` on; blocks.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Fails if they are not what they were; blocks.
    fn check(&self) -> io::Result<()>;
}

impl Source for Ready {
    fn bytes(&self) -> u64 {
        Ready::bytes(self)
    }

    /// All files, one after the other.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut buf) = (offset, buf);
        for (number, file) in self.delivery.files().iter().enumerate() {
            if buf.is_empty() {
                break;
            }
            if offset >= file.size() {
                offset -= file.size();
                continue;
            }
            let (here, rest) = buf.split_at_mut((file.size() - offset).min(buf.len() as u64) as usize);
            self.delivery.read_at(number, offset, here).map_err(io::Error::other)?;
            (offset, buf) = (0, rest);
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        self.delivery.check_unchanged().map_err(io::Error::other)
    }
}

impl Source for Package {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        File::read_exact_at(&self.file, buf, offset)
    }

    fn check(&self) -> io::Result<()> {
        self.check_unchanged()
    }
}

/// What a request wants of `total` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// Answers a GET or HEAD for all of `source` or a part of it; `tag` is its entity tag without quotes.
pub(super) fn answer(source: Arc<dyn Source>, tag: &str, headers: &HeaderMap, head_only: bool) -> Response<Body> {
    let quoted = format!("\"{tag}\"");
    if !matches(headers, header::IF_MATCH, &quoted).unwrap_or(true) {
        return plain(StatusCode::PRECONDITION_FAILED, "it is not what it was: its ETag is another one");
    }
    if matches(headers, header::IF_NONE_MATCH, &quoted).unwrap_or(false) {
        return with_headers(Response::new(Body::empty()), StatusCode::NOT_MODIFIED, &quoted, None);
    }
    let total = source.bytes();
    // A range of something else is of no use to whoever has a part of that.
    let same = headers.get(header::IF_RANGE).is_none_or(|tag| tag.as_bytes() == quoted.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
    let (status, part, content_range) = match range.map_or(Wanted::All, |range| wanted(range, total)) {
        Wanted::All => (StatusCode::OK, 0..total, None),
        Wanted::Part(part) => {
            let told = format!("bytes {}-{}/{total}", part.start, part.end - 1);
            (StatusCode::PARTIAL_CONTENT, part, Some(told))
        }
        Wanted::Nothing => {
            let none = Response::new(Body::empty());
            return with_headers(none, StatusCode::RANGE_NOT_SATISFIABLE, &quoted, Some(format!("bytes */{total}")));
        }
    };
    let len = part.end - part.start;
    let body = if head_only { Body::empty() } else { body_of(source, part) };
    let mut response = with_headers(Response::new(body), status, &quoted, content_range);
    response.headers_mut().insert(header::CONTENT_LENGTH, len.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// A short answer in words.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    (status, format!("{text}\n")).into_response()
}

fn with_headers(
    mut response: Response<Body>,
    status: StatusCode,
    tag: &str,
    content_range: Option<String>,
) -> Response<Body> {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    for (name, value) in [(header::ETAG, Some(tag.to_owned())), (header::CONTENT_RANGE, content_range)] {
        // Both consist of digits and letters.
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    response
}

/// Whether a list of entity tags has this one; `None` if there is no such header. Only for If-None-Match a tag that
/// was made weak on the way is the same (RFC 9110 §13.1.1, §13.1.2).
fn matches(headers: &HeaderMap, name: header::HeaderName, tag: &str) -> Option<bool> {
    let weak = name == header::IF_NONE_MATCH;
    let same = |other: &str| {
        let other = other.trim();
        other == "*" || other == tag || weak && other.strip_prefix("W/") == Some(tag)
    };
    let lists = headers.get_all(name).iter().collect::<Vec<_>>();
    let has = |list: &&HeaderValue| list.to_str().is_ok_and(|list| list.split(',').any(same));
    (!lists.is_empty()).then(|| lists.iter().any(has))
}

/// One range is served; several at once are answered by all, which RFC 9110 §14.2 allows.
fn wanted(range: &str, total: u64) -> Wanted {
    let Some(range) = range.trim().strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(total),
        (Ok(first), Err(_)) if last.is_empty() => first..total,
        (Err(_), Ok(last)) if first.is_empty() => total - last.min(total)..total,
        _ => return Wanted::All,
    };
    if part.start < part.end { Wanted::Part(part) } else { Wanted::Nothing }
}

/// Reads no further ahead than a piece, and then only: a connection that takes nothing holds no thread.
fn body_of(source: Arc<dyn Source>, part: Range<u64>) -> Body {
    let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let mut offset = part.start;
        while offset < part.end {
            // Whoever fetched it may have gone.
            let Ok(room) = pieces.reserve().await else { return };
            let len = PIECE.min((part.end - offset) as usize);
            let of = source.clone();
            let read = tokio::task::spawn_blocking(move || piece(&*of, offset, len)).await;
            let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = &read {
                // The connection breaks: nobody takes a part for the whole.
                warn!("an answer ends early: {error}");
                room.send(read);
                return;
            }
            room.send(read);
            offset += len as u64;
        }
    });
    Body::from_stream(ReceiverStream::new(body))
}

/// Bytes of which it is sure that they were read before any change.
fn piece(source: &dyn Source, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; len];
    source.read_at(offset, &mut piece)?;
    source.check()?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        let part = |range: &str| wanted(range, 100);
        assert_eq!(part("bytes=0-9"), Wanted::Part(0..10));
        assert_eq!(part("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(part("bytes=-10"), Wanted::Part(90..100));
        assert_eq!(part("bytes=-1000"), Wanted::Part(0..100));
        assert_eq!(part("bytes=99-1000"), Wanted::Part(99..100));
        assert_eq!(part(&format!("bytes=5-{}", u64::MAX)), Wanted::Part(5..100));
        assert_eq!((part("bytes=100-"), part("bytes=-0")), (Wanted::Nothing, Wanted::Nothing));
        for other in ["bytes=9-0", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=0-1,5-6", ""] {
            assert_eq!(part(other), Wanted::All, "{other}");
        }
    }

    struct Zeros(u64);

    impl Source for Zeros {
        fn bytes(&self) -> u64 {
            self.0
        }

        fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
            buf.fill(0);
            Ok(())
        }

        fn check(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_that_nobody_takes_hold_no_thread() {
        let one = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        one.block_on(async {
            let size = 4 * PIECE as u64;
            let stalled: Vec<_> = (0..100).map(|_| body_of(Arc::new(Zeros(size)), 0..size)).collect();
            let taken = axum::body::to_bytes(body_of(Arc::new(Zeros(size)), 0..size), usize::MAX).await.unwrap();
            assert_eq!((taken.len() as u64, stalled.len()), (size, 100));
        });
    }

    #[test]
    fn tags_are_compared_as_they_are() {
        let headers = |value: &str| HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_str(value).unwrap())]);
        let has = |value: &str| matches(&headers(value), header::IF_MATCH, "\"a1\"");
        assert_eq!([has("\"a1\""), has("\"b\", \"a1\""), has("*"), has("\"b\"")], [true, true, true, false].map(Some));
        assert_eq!(matches(&HeaderMap::new(), header::IF_MATCH, "\"a1\""), None);
    }
}
