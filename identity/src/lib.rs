//! Who a site is: its certificate, the fingerprint that people compare, and TLS that trusts it.
//!
//! A site has a private key. On its first start it makes one for itself, with a certificate that nobody else vouches
//! for, and shows the key's [`Fingerprint`], which fits on a note:
//!
//! ```text
//! WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z
//! ```
//!
//! Who shall trust the site is told it ([`Trust`]) and from then on talks to the holder of that key and to nobody else
//! ([`pinned_client_config`]): no authority, no name service and no right clock is needed, which suits rooms without
//! the Internet and machines that were just unpacked. A mistyped fingerprint is told apart from a foreign server, since
//! it holds a check. Where an authority of one's own is wanted for browsers, its certificate and key are taken instead
//! ([`SiteIdentity::supplied`]), and may be trusted by fingerprint just as well.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::sync::Arc;
//! use std::time::SystemTime;
//!
//! use identity::{Created, SiteIdentity, Trust, pinned_client_config};
//!
//! // The server, on its first start.
//! let state = tempfile::tempdir()?;
//! let hosts = ["deploy.example.org".to_owned(), "192.0.2.7".to_owned()];
//! let (site, created) = SiteIdentity::open_or_create(state.path(), "Lab 3", &hosts, SystemTime::now())?;
//! assert_eq!(created, Created::Now);
//! let note = format!("--trust {}", site.fingerprint());
//!
//! // The client, told what the note says, in whatever case.
//! let trust: Trust = note.trim_start_matches("--trust ").to_lowercase().parse()?;
//! let config = Arc::new(pinned_client_config(trust));
//!
//! let (ours, theirs) = UnixStream::pair()?;
//! let server = std::thread::spawn(move || -> Result<(), std::io::Error> {
//!     let connection = rustls::ServerConnection::new(site.server_config()).map_err(std::io::Error::other)?;
//!     rustls::StreamOwned::new(connection, theirs).write_all(b"an image")
//! });
//! let connection = rustls::ClientConnection::new(config, "any.name".try_into()?)?;
//! let mut received = [0; 8];
//! rustls::StreamOwned::new(connection, ours).read_exact(&mut received)?;
//! assert_eq!(&received, b"an image");
//! # server.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! The full fingerprint, SHA-256 of the SubjectPublicKeyInfo, is also what other tools show, from the site's file or
//! from the network (then compare it with the note):
//!
//! ```text
//! openssl x509 -in site.crt -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
//! openssl s_client -connect deploy:443 </dev/null | openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
//! ```
//!
//! Nothing here reads a clock: the moment is an argument. rustls gets ring's algorithms for each configuration, nothing
//! is installed for the process.

mod chain;
mod client;
mod date;
mod error;
mod files;
mod fingerprint;
mod issue;
mod short;
mod site;
mod trust;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{WrongKey, pinned_client_config};
pub use error::{IdentityError, Warning};
pub use fingerprint::{Fingerprint, NotACertificate};
pub use site::{Created, EXPIRES_SOON, SiteIdentity};
pub use trust::{Trust, TrustError};

/// The one protocol that is spoken inside of TLS.
const ALPN: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
