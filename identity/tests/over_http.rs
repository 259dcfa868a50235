//! An HTTP client with the pinned settings gets through, and tells its user why it does not.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use common::now;
use identity::{SiteIdentity, Trust, WrongKey, pinned_client_config};

/// Answers one request of HTTP on loopback, or one failed handshake.
fn serve(site: &SiteIdentity) -> (SocketAddr, JoinHandle<Result<(), std::io::Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, config) = (listener.local_addr().unwrap(), site.server_config());
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), socket);
        let mut request = [0; 1024];
        if tls.read(&mut request)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
        tls.flush()
    });
    (address, server)
}

fn get(address: SocketAddr, trust: Trust) -> Result<String, reqwest::Error> {
    let http = reqwest::blocking::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(pinned_client_config(trust))
        .https_only(true)
        .build()?;
    http.get(format!("https://{address}/")).send()?.text()
}

#[test]
fn reqwest_gets_through_with_the_right_key_and_says_both_fingerprints_with_another() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (site, _) = SiteIdentity::open_or_create(one.path(), "Lab 3", &[], now()).unwrap();
    let (trusted, _) = SiteIdentity::open_or_create(other.path(), "Lab 4", &[], now()).unwrap();

    let (address, server) = serve(&site);
    assert_eq!(get(address, site.fingerprint().into()).unwrap(), "ok");
    server.join().unwrap().unwrap();

    let (address, server) = serve(&site);
    let error = get(address, trusted.fingerprint().into()).unwrap_err();
    assert!(server.join().unwrap().is_err());
    let wrong = WrongKey::in_error(&error).expect("found through all layers");
    assert_eq!((wrong.found, wrong.trusted), (site.fingerprint(), trusted.fingerprint().into()));
    let (mut said, mut next) = (Vec::new(), Some(&error as &dyn Error));
    while let Some(error) = next {
        said.push(error.to_string());
        next = error.source();
    }
    let both = format!("{}, not the trusted {}", site.fingerprint(), trusted.fingerprint());
    assert!(said.iter().any(|line| line.ends_with(&both)), "{said:?}");
}
