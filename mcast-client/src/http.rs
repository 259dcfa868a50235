//! The image over HTTP: what the server has for single clients.

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use identity::{Fingerprint, Trust, WrongKey, pinned_client_config};
use multicast_core::engine::{ContentSource, SourceError, Standing};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue, IF_MATCH, RANGE, RETRY_AFTER};
use reqwest::{StatusCode, redirect};

use crate::exit::{Exit, Failure};

/// To connect, and for each piece of an answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(20);
/// A busy server that does not say when to come again.
const BUSY: Duration = Duration::from_secs(5);
/// Bytes of a manifest at most: that of an image of 20 TiB has no more.
const MANIFEST_LIMIT: u64 = 512 << 20;

/// One image of one server.
pub(crate) struct HttpSource {
    client: Client,
    /// Of the image; its manifest's has more behind it.
    url: String,
    image: String,
    host: String,
    reason: String,
    /// What the server called the bytes that came first.
    etag: Option<HeaderValue>,
}

/// Who asks for what, and why.
pub(crate) struct Terms<'a> {
    /// The content's address.
    pub(crate) server: SocketAddr,
    /// The key that the server must hold; without one it speaks no TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) image: &'a str,
    /// The client's host name.
    pub(crate) host: &'a str,
    /// Why it does not come by multicast, in short.
    pub(crate) reason: &'a str,
}

impl HttpSource {
    pub(crate) fn new(terms: &Terms<'_>) -> Result<Self, Failure> {
        Ok(Self {
            client: client(terms.trust)?,
            url: format!("{}/content/images/{}", base_url(terms.server, terms.trust.is_some()), percent(terms.image)),
            image: terms.image.to_owned(),
            host: percent(terms.host),
            reason: percent(terms.reason),
            etag: None,
        })
    }

    fn send(&self, request: RequestBuilder, standing: Standing) -> Result<Response, SourceError> {
        let request = request
            .header("x-mcast-client", standing.client.to_string())
            .header("x-mcast-host", &self.host)
            .header("x-mcast-reason", &self.reason)
            .header("x-mcast-verified", format!("{}/{}", standing.verified, standing.blocks));
        let response = request.send().map_err(|error| failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = format!("the server answers {status}");
        Err(match status {
            StatusCode::NOT_FOUND => {
                SourceError::NoSuchImage { text: format!("the server has no image named {:?}", self.image) }
            }
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => SourceError::Changed,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                SourceError::Busy { text: "the server is busy".to_owned(), after: retry_after(&response) }
            }
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => SourceError::Lost { text },
            _ => SourceError::Refused { text },
        })
    }

    /// All bytes must be of the same image.
    fn check_etag(&mut self, response: &Response) -> Result<(), SourceError> {
        // One that begins so promises only something like it (RFC 9110 §8.8.1).
        let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/");
        let Some(tag) = response.headers().get(ETAG).filter(strong) else { return Ok(()) };
        if *self.etag.get_or_insert_with(|| tag.clone()) == *tag { Ok(()) } else { Err(SourceError::Changed) }
    }
}

impl ContentSource for HttpSource {
    fn manifest(&mut self, standing: Standing) -> Result<Vec<u8>, SourceError> {
        let response = self.send(self.client.get(format!("{}/manifest", self.url)), standing)?;
        let mut bytes = Vec::new();
        let read = response.take(MANIFEST_LIMIT).read_to_end(&mut bytes);
        read.map_err(|error| SourceError::Lost { text: format!("the manifest broke off: {error}") })?;
        Ok(bytes)
    }

    fn read(&mut self, range: Range<u64>, standing: Standing) -> Result<Box<dyn Read + '_>, SourceError> {
        let mut request = self.client.get(&self.url).header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        if let Some(tag) = &self.etag {
            request = request.header(IF_MATCH, tag);
        }
        let response = self.send(request, standing)?;
        self.check_etag(&response)?;
        // The whole image in place of its beginning will do.
        if starts_at(&response) != Some(range.start) {
            let text =
                format!("the server does not give the bytes {}-{} that it was asked for", range.start, range.end);
            return Err(SourceError::Refused { text });
        }
        Ok(Box::new(response))
    }

    fn complete(&mut self, standing: Standing) -> Result<(), SourceError> {
        self.send(self.client.head(&self.url), standing).map(drop)
    }
}

/// Speaks to the server that holds the trusted key; without one it speaks no TLS.
pub(crate) fn client(trust: Option<Trust>) -> Result<Client, Failure> {
    // Without TLS, too, there must be settings for it: these trust nobody.
    let nobody = Trust::from(Fingerprint::from_bytes([0; 32]));
    Client::builder()
        .tls_backend_preconfigured(pinned_client_config(trust.unwrap_or(nobody)))
        .https_only(trust.is_some())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(READ_LIMIT)
        // The server was asked where its content is: nobody else has a say in it.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| Failure::of(Exit::Error, &error).causing("cannot set up HTTP"))
}

/// `http://10.0.0.5:8095`.
pub(crate) fn base_url(server: SocketAddr, tls: bool) -> String {
    // A URL has no place for the interface of a link-local address.
    let server = SocketAddr::new(server.ip(), server.port());
    format!("{}://{server}", if tls { "https" } else { "http" })
}

/// Where the bytes of an answer begin, by its `Content-Range: bytes a-b/n`.
fn starts_at(response: &Response) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Some(0);
    }
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(BUSY, Duration::from_secs)
}

/// Why nothing was answered.
pub(crate) fn failed(error: &reqwest::Error) -> SourceError {
    if let Some(wrong) = WrongKey::in_error(error) {
        return SourceError::Refused { text: format!("{wrong}: {}", wrong.help()) };
    }
    // The innermost cause says it best: "connection refused".
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "cannot connect" } else { "the request failed" };
    SourceError::Lost {
        text: if error.is_timeout() { format!("{what}: no answer in time") } else { format!("{what}: {cause}") },
    }
}

/// RFC 3986's unreserved characters stay.
const PERCENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn percent(text: &str) -> String {
    utf8_percent_encode(text, &PERCENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(percent("base image-1.wim"), "base%20image-1.wim");
        assert_eq!(percent("a/b%ä"), "a%2Fb%25%C3%A4");
    }

    #[test]
    fn the_content_is_on_the_host_that_was_asked() {
        let url = |address: &str, tls| base_url(address.parse().unwrap(), tls);
        assert_eq!(url("10.0.0.5:8095", false), "http://10.0.0.5:8095");
        assert_eq!(url("[fd00::1]:443", true), "https://[fd00::1]:443");
    }
}
