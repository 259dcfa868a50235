//! Questions to the API, and why there is no answer.

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use identity::{Fingerprint, Trust, WrongKey, pinned_client_config};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::blocking::multipart::Form;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::{Method, header, redirect};
use serde::de::DeserializeOwned;
use tokio_rustls::rustls;

use super::answers::Problem;
use super::error::{CtlError, layers};
use super::target::Target;

/// A connection is there within this, or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The server gives a sign of life every 15 s.
const QUIET_LIMIT: Duration = Duration::from_secs(40);
/// Bytes a second that a network carries at least: how long an upload may take.
const SLOWEST: u64 = 256 << 10;
/// Bytes that an answer may have.
const ANSWER_LIMIT: u64 = 64 << 20;
/// What a name may hold in a path (RFC 3986 §2.3).
const NAME: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server's API.
pub(super) struct Api {
    target: Target,
    http: Client,
    timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Api {
    pub(super) fn new(target: Target, timeout: Duration) -> Result<Self, CtlError> {
        let http = client(&target, target.trust, timeout)?;
        Ok(Self { target, http, timeout })
    }

    /// The server as messages name it.
    pub(super) fn server(&self) -> String {
        self.target.name()
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, CtlError> {
        self.accepted(self.ask(Method::GET, path, None)?)
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Result<Answer, CtlError> {
        self.accepted(self.ask(Method::POST, path, Some(body))?)
    }

    pub(super) fn put(&self, path: &str, body: &str) -> Result<Answer, CtlError> {
        self.accepted(self.ask(Method::PUT, path, Some(body))?)
    }

    /// Sends a form of about so many bytes, and allows it the time that they take.
    pub(super) fn put_form(&self, path: &str, form: Form, bytes: u64) -> Result<Answer, CtlError> {
        let limit = self.timeout + Duration::from_secs(bytes / SLOWEST);
        let request = self.request(&self.http, Method::PUT, path).multipart(form).timeout(limit);
        let response = request.send().map_err(|error| self.failure(&error))?;
        self.accepted(self.read(response)?)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, CtlError> {
        self.accepted(self.ask(Method::DELETE, path, None)?)
    }

    /// The same as [`Api::get`], but the server may also answer that it is not well.
    pub(super) fn get_even_unwell(&self, path: &str) -> Result<Answer, CtlError> {
        match self.ask(Method::GET, path, None)? {
            answer if answer.status == 503 => Ok(answer),
            answer => self.accepted(answer),
        }
    }

    /// Opens a stream, which is given up if nothing comes for 40 s.
    pub(super) fn stream(&self, path: &str) -> Result<Response, CtlError> {
        let patient = client(&self.target, self.target.trust, QUIET_LIMIT)?;
        let response = self.send(&patient, Method::GET, path, None)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.read(response)?;
        Err(self.refusal(&answer))
    }

    /// What an answer says.
    pub(super) fn parsed<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, CtlError> {
        serde_json::from_slice(&answer.body).map_err(|error| CtlError::NotTheApi {
            server: self.server(),
            what: format!("a document that cannot be understood ({error})"),
        })
    }

    fn ask(&self, method: Method, path: &str, body: Option<&str>) -> Result<Answer, CtlError> {
        self.read(self.send(&self.http, method, path, body)?)
    }

    fn send(&self, http: &Client, method: Method, path: &str, body: Option<&str>) -> Result<Response, CtlError> {
        let mut request = self.request(http, method, path);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        request.send().map_err(|error| self.failure(&error))
    }

    fn request(&self, http: &Client, method: Method, path: &str) -> RequestBuilder {
        let request = http.request(method, format!("{}{path}", self.target.server));
        match &self.target.token {
            Some(token) => request.bearer_auth(token.secret.expose()),
            None => request,
        }
    }

    fn read(&self, response: Response) -> Result<Answer, CtlError> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        response.take(ANSWER_LIMIT + 1).read_to_end(&mut body).map_err(|error| self.broken(&error))?;
        if body.len() as u64 > ANSWER_LIMIT {
            let what = format!("more than {} MiB", ANSWER_LIMIT >> 20);
            return Err(CtlError::NotTheApi { server: self.server(), what });
        }
        Ok(Answer { status, body })
    }

    fn accepted(&self, answer: Answer) -> Result<Answer, CtlError> {
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    /// What the API says against it, or that this is none.
    fn refusal(&self, answer: &Answer) -> CtlError {
        let (server, status) = (self.server(), answer.status);
        let Ok(Problem { error, help }) = serde_json::from_slice(&answer.body) else {
            return CtlError::NotTheApi { server, what: format!("status {status}") };
        };
        let help = match (status, &self.target.token) {
            (401, None) => {
                Some("give one by --token-file FILE, or by MCAST_CTL_TOKEN_FILE or MCAST_CTL_TOKEN".to_owned())
            }
            (401, Some(token)) => Some(format!(
                "it comes from {}: compare it with the [[token]]s of the server's configuration",
                token.origin
            )),
            (403, Some(token)) if help.is_none() => {
                Some(format!("it comes from {}: take one with that role", token.origin))
            }
            _ => help,
        };
        CtlError::Refused { server, status, error, help }
    }

    /// Why a request failed.
    fn failure(&self, error: &reqwest::Error) -> CtlError {
        let server = self.server();
        if let Some(wrong) = WrongKey::in_error(error) {
            return CtlError::WrongKey { server, wrong: wrong.clone() };
        }
        if let Some(reason) = layers(error).find_map(|layer| layer.downcast_ref::<rustls::Error>()) {
            return self.insecure(reason);
        }
        if error.is_timeout() {
            let limit = if error.is_connect() { self.timeout.min(CONNECT_LIMIT) } else { self.timeout };
            return CtlError::Timeout { server, limit };
        }
        self.broken(error)
    }

    /// Why TLS did not come about.
    fn insecure(&self, reason: &rustls::Error) -> CtlError {
        let server = self.server();
        match reason {
            rustls::Error::InvalidCertificate(why) => {
                let reason = match why {
                    rustls::CertificateError::UnknownIssuer => {
                        "no authority that this system knows vouches for its certificate".to_owned()
                    }
                    why => why.to_string(),
                };
                CtlError::Untrusted { server, reason, found: fingerprint(&self.target) }
            }
            rustls::Error::InvalidMessage(_) => CtlError::Unreachable {
                server,
                reason: "it does not speak TLS".to_owned(),
                help: Some("write http:// in --server, on the server's own host".to_owned()),
            },
            other => CtlError::Unreachable { server, reason: other.to_string(), help: None },
        }
    }

    /// Why a connection did not come about, or broke.
    pub(super) fn broken(&self, error: &(dyn Error + 'static)) -> CtlError {
        let server = self.server();
        if layers(error).any(|layer| layer.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)) {
            return CtlError::Timeout { server, limit: self.timeout };
        }
        let kind = layers(error)
            .filter_map(|layer| Some(layer.downcast_ref::<io::Error>()?.kind()))
            .find(|kind| !matches!(kind, io::ErrorKind::Other));
        let root = layers(error).last().map(ToString::to_string).unwrap_or_default();
        let plain = self.target.server.scheme() == "http";
        let (reason, help) = match kind {
            Some(io::ErrorKind::ConnectionRefused) => (
                "connection refused".to_owned(),
                Some("see that the server runs, and that it listens there (http.listen; port 62999 by default)"),
            ),
            Some(kind @ (io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)) => {
                (kind.to_string(), Some("see that this host is connected, and the address is right"))
            }
            _ if layers(error).any(|layer| layer.to_string() == "dns error") => {
                (root, Some("see that the host's name is right, or give its address"))
            }
            _ if plain => (root, Some("if it speaks TLS, write https:// in --server")),
            _ => (root, None),
        };
        CtlError::Unreachable { server, reason, help: help.map(str::to_owned) }
    }
}

impl Answer {
    /// As it came.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A name as a part of a path.
pub(super) fn part(name: &str) -> String {
    utf8_percent_encode(name, &NAME).to_string()
}

/// A client for `target` which trusts `trust`.
fn client(target: &Target, trust: Option<Trust>, timeout: Duration) -> Result<Client, CtlError> {
    let mut builder = Client::builder()
        // A token is nobody's but the server's.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("mcast-server-ctl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout.min(CONNECT_LIMIT))
        .timeout(timeout);
    match (target.server.scheme(), trust) {
        ("https", Some(trust)) => builder = builder.tls_backend_preconfigured(pinned_client_config(trust)),
        // Its own settings look for the system's authorities, which nobody needs for http.
        ("http", _) => builder = builder.tls_backend_preconfigured(pinned_client_config(nobody())),
        // Installed by an earlier call, it stays.
        _ => drop(rustls::crypto::ring::default_provider().install_default()),
    }
    builder.build().map_err(|error| CtlError::Untrusted {
        server: target.name(),
        reason: format!(
            "the system's authorities cannot be read ({})",
            layers(&error).last().map(ToString::to_string).unwrap_or_default()
        ),
        found: fingerprint(target),
    })
}

/// Trust in a key that no server has, for its SHA-256 would be nothing but zeros.
fn nobody() -> Trust {
    Fingerprint::from_bytes([0; 32]).into()
}

/// The fingerprint that a server shows, which is not trusted by that. Nothing is sent to it.
fn fingerprint(target: &Target) -> Option<Fingerprint> {
    let probe = client(target, Some(nobody()), CONNECT_LIMIT).ok()?;
    let error = probe.get(target.server.clone()).send().err()?;
    Some(WrongKey::in_error(&error)?.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_a_path_whatever_they_hold() {
        assert_eq!(part("Win 11/x?#%ä.wim"), "Win%2011%2Fx%3F%23%25%C3%A4.wim");
        assert_eq!(part("68d0f2a1-0a1b2c3d"), "68d0f2a1-0a1b2c3d");
    }
}
