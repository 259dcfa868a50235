//! Files of a point: by HTTP, whole or one range of them, and by TFTP.

use std::io::SeekFrom;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, ReadBuf};
use tokio_util::io::ReaderStream;

use super::{LOADER, Point, platform_of_loader};
use crate::boot::Directory;
use crate::files::{BootFile, BootFiles, BootName};
use crate::tftp::{Asker, Content, Refusal, Source};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;
/// Before the names of boot images' files.
const IMAGES: &str = "images/";

/// What somebody wants of a file.
pub(super) struct Wanted {
    /// Only to know how long it is.
    head: bool,
    range: Option<String>,
}

impl Wanted {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
        Self { head: method == Method::HEAD, range }
    }
}

/// A file of a boot image.
pub(super) fn open(files: &BootFiles, image: &str, file: &str) -> Option<BootFile> {
    let name = BootName::parse(format!("{image}/{file}").as_bytes()).ok()?;
    files.open(&name).ok()
}

/// Sends a file; `then` is called when all of it has been taken, in one go.
pub(super) async fn answer(mut file: File, wanted: Wanted, then: Option<Box<dyn FnOnce() + Send>>) -> Response<Body> {
    let Ok(size) = file.metadata().await.map(|metadata| metadata.len()) else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let (code, part) = match wanted.range.as_deref().map(|text| range(text, size)) {
        None | Some(Asked::All) => (StatusCode::OK, 0..size),
        Some(Asked::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        Some(Asked::Nothing) => {
            let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return response;
        }
    };
    let length = part.end - part.start;
    let body = if wanted.head {
        Body::empty()
    } else {
        if part.start > 0 && file.seek(SeekFrom::Start(part.start)).await.is_err() {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let then = then.filter(|_| length == size);
        Body::from_stream(ReaderStream::with_capacity(Counted { file: file.take(length), left: length, then }, PIECE))
    };
    let mut response = Response::new(body);
    *response.status_mut() = code;
    insert(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    insert(&mut response, header::CONTENT_LENGTH, &length.to_string());
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    if code == StatusCode::PARTIAL_CONTENT {
        insert(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", part.start, part.end - 1));
    }
    response
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    /// None, several, or none that can be read: RFC 9110 §14.2 has the field ignored then.
    All,
    Part(Range<u64>),
    /// It lies behind the end.
    Nothing,
}

/// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`.
fn range(text: &str, size: u64) -> Asked {
    let ends = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'));
    let Some((first, last)) = ends else { return Asked::All };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => first..last.saturating_add(1).min(size),
        (Ok(first), _) if last.is_empty() => first..size,
        (_, Ok(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Asked::All,
    };
    if part.start < part.end { Asked::Part(part) } else { Asked::Nothing }
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

fn insert(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A part of a file, and what is to be done when all of it was read.
struct Counted {
    file: tokio::io::Take<File>,
    left: u64,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.file).poll_read(cx, buf);
        self.left = self.left.saturating_sub((buf.filled().len() - before) as u64);
        if self.left == 0
            && let Some(then) = self.then.take()
        {
            then();
        }
        polled
    }
}

/// By TFTP: the network boot programs, and boot images' files for whoever knows their names.
impl<D: Directory> Source for std::sync::Arc<Point<D>> {
    fn open(&self, name: &BootName, _: Asker) -> Result<Content, Refusal> {
        let text = name.to_string();
        let text = text.trim_start_matches("./");
        if text.get(..LOADER.len()).is_some_and(|start| start.eq_ignore_ascii_case(LOADER)) {
            let unknown = || Refusal::not_found(format!("there is no network boot program {text}"));
            let platform = platform_of_loader(text).ok_or_else(unknown)?;
            let missing = || Refusal::not_found(self.loaders().missing(platform));
            // Its links are the operator's own.
            let found = self.loaders().find(platform).ok_or_else(missing)?;
            let path =
                found.canonicalize().map_err(|error| Refusal::not_found(format!("{}: {error}", found.display())))?;
            let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else { return Err(unknown()) };
            let file = BootName::parse(file.as_encoded_bytes()).map_err(|_| unknown())?;
            return Ok(Content::File(BootFiles::new(folder).open(&file)?));
        }
        let of_image = text.get(..IMAGES.len()).is_some_and(|start| start.eq_ignore_ascii_case(IMAGES));
        let rest = if of_image { text.get(IMAGES.len()..) } else { None };
        let unknown = || Refusal::not_found(format!("there is no boot file {text}"));
        let inner = BootName::parse(rest.unwrap_or_default().as_bytes()).map_err(|_| unknown())?;
        Ok(Content::File(self.image_files().open(&inner)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_says() {
        assert_eq!(range("bytes=0-9", 100), Asked::Part(0..10));
        assert_eq!(range("bytes=90-", 100), Asked::Part(90..100));
        assert_eq!(range("bytes=-10", 100), Asked::Part(90..100));
        assert_eq!(range("bytes=50-1000", 100), Asked::Part(50..100));
        assert_eq!(range("bytes=100-", 100), Asked::Nothing);
        for text in ["bytes=9-0", "bytes=0-1,5-6", "bytes=", "lines=0-1", "bytes=a-b"] {
            assert_eq!(range(text, 100), Asked::All, "{text}");
        }
    }
}
