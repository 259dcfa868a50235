//! Real handshakes in memory: who is let in, who is not, and what is said about it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use common::{Authority, DAY, now, params};
use identity::{Fingerprint, SiteIdentity, Trust, WrongKey, pinned_client_config};
use rcgen::KeyPair;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};

type Ends = (ClientConnection, ServerConnection);

/// Both ends after their handshake, or the error of the end that ended it. The server's name is no one's: pinned clients
/// do not look at names.
fn shake(client: ClientConfig, server: Arc<ServerConfig>) -> Result<Ends, rustls::Error> {
    shake_by_name("nobody.invalid", client, server)
}

fn shake_by_name(name: &'static str, client: ClientConfig, server: Arc<ServerConfig>) -> Result<Ends, rustls::Error> {
    let mut client = ClientConnection::new(Arc::new(client), name.try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        feed(&up, |bytes| server.read_tls(bytes));
        server.process_new_packets()?;
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        feed(&down, |bytes| client.read_tls(bytes));
        client.process_new_packets()?;
    }
    Ok((client, server))
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut dyn io::Read) -> io::Result<usize>) {
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
}

fn site() -> (tempfile::TempDir, SiteIdentity) {
    let state = tempfile::tempdir().unwrap();
    let hosts = ["deploy.example.org".to_owned(), "192.0.2.7".to_owned(), "2001:db8::7".to_owned()];
    let (site, _) = SiteIdentity::open_or_create(state.path(), "Lab 3", &hosts, now()).unwrap();
    (state, site)
}

/// The other side's settings with another certificate, or of one version only.
fn server_of(certified: CertifiedKey, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Arc::new(config)
}

/// A client of one version that was given the site's certificate to trust, as `curl --cacert`, and so looks at names
/// and dates.
fn ordinary_client(site: &SiteIdentity, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.certificate_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_details(provider, Arc::new(Fixed))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The clock of the tests.
#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(now().duration_since(UNIX_EPOCH).unwrap()))
    }
}

fn certified(certificate: &rcgen::Certificate, key: &KeyPair) -> CertifiedKey {
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(vec![certificate.der().clone()], key)
}

#[test]
fn the_right_fingerprint_lets_in_in_either_form() {
    let (_state, site) = site();
    let short: Trust = site.fingerprint().to_string().parse().unwrap();
    let full: Trust = site.fingerprint().to_hex().parse().unwrap();
    for trust in [short, full, Trust::from(site.fingerprint())] {
        let (client, server) = shake(pinned_client_config(trust), site.server_config()).unwrap();
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
        let shown = client.peer_certificates().unwrap();
        assert_eq!(Fingerprint::of_certificate(&shown[0]).unwrap(), site.fingerprint());
    }
}

#[test]
fn another_fingerprint_does_not_and_the_error_tells_both() {
    let ((_one, site), (_other, trusted)) = (site(), site());
    for trust in [Trust::from(trusted.fingerprint()), trusted.fingerprint().to_string().parse().unwrap()] {
        let error = shake(pinned_client_config(trust), site.server_config()).unwrap_err();
        let (found, expected) = (site.fingerprint(), trusted.fingerprint());
        assert_eq!(
            error.to_string(),
            format!("other error: the server's fingerprint is {found}, not the trusted {expected}")
        );
        let wrong = WrongKey::in_error(&error).unwrap();
        assert_eq!((wrong.found, wrong.trusted, wrong.of_certificate), (found, trust, false));
        assert!(!wrong.help().contains(&found.to_string()), "nobody is led to trust a stranger");
        // As an HTTP client hands it on.
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
        assert_eq!(WrongKey::in_error(&wrapped), Some(wrong));
    }
}

#[test]
fn a_renewed_certificate_of_the_same_key_is_still_trusted() {
    let (state, site) = site();
    let trust = Trust::from(site.fingerprint());
    let renewed = SiteIdentity::renew(state.path(), "Lab 4", &["other.example".into()], now() + 7_000 * DAY).unwrap();
    let before = shake(pinned_client_config(trust), site.server_config()).unwrap().0;
    let after = shake(pinned_client_config(trust), renewed.server_config()).unwrap().0;
    assert_ne!(before.peer_certificates(), after.peer_certificates());
}

#[test]
fn a_supplied_chain_is_shown_whole_and_trusted_by_its_first_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("Root");
    let middle = root.intermediate("Middle");
    let key = KeyPair::generate().unwrap();
    let certificate = middle.sign(&params("deploy.example.org"), &key);
    let (chain, key) = common::write(folder.path(), &[&certificate, &middle.certificate], &key);
    let site = SiteIdentity::supplied(&chain, &key, now()).unwrap();
    let (client, _) = shake(pinned_client_config(site.fingerprint().into()), site.server_config()).unwrap();
    assert_eq!(client.peer_certificates().unwrap(), [certificate.der().clone(), middle.certificate.der().clone()]);
    let authority = Fingerprint::of_certificate(middle.certificate.der()).unwrap();
    assert!(shake(pinned_client_config(authority.into()), site.server_config()).is_err());
}

#[test]
fn both_versions_of_tls_are_spoken() {
    let (_state, site) = site();
    let key = KeyPair::generate().unwrap();
    let certificate = params("old").self_signed(&key).unwrap();
    let trust = Trust::from(Fingerprint::of_certificate(certificate.der()).unwrap());
    for version in [&TLS12, &TLS13] {
        let server = server_of(certified(&certificate, &key), &[version]);
        let (client, _) = shake(pinned_client_config(trust), server).unwrap();
        assert_eq!(client.protocol_version(), Some(version.version));
        let (_, server) =
            shake_by_name("deploy.example.org", ordinary_client(&site, version), site.server_config()).unwrap();
        assert_eq!(server.protocol_version(), Some(version.version));
    }
}

#[test]
fn who_looks_at_names_finds_those_of_the_site() {
    let (_state, site) = site();
    for name in ["deploy.example.org", "192.0.2.7", "2001:db8::7"] {
        shake_by_name(name, ordinary_client(&site, &TLS13), site.server_config()).unwrap();
    }
    for name in ["example.org", "192.0.2.8"] {
        let error = shake_by_name(name, ordinary_client(&site, &TLS13), site.server_config()).unwrap_err();
        assert!(error.to_string().contains("certificate not valid for name"), "{error}");
    }
}

#[test]
fn dates_and_issuers_do_not_matter() {
    let key = KeyPair::generate().unwrap();
    let mut old = params("old");
    (old.not_before, old.not_after) = ((now() - 9_000 * DAY).into(), (now() - 8_000 * DAY).into());
    let certificate = Authority::root("Unknown").sign(&old, &key);
    let trust = Trust::from(Fingerprint::of_certificate(certificate.der()).unwrap());
    shake(pinned_client_config(trust), server_of(certified(&certificate, &key), &[&TLS13])).unwrap();
}

#[test]
fn the_trusted_certificate_without_its_key_gains_nothing() {
    let (key, stranger) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = params("site").self_signed(&key).unwrap();
    let trust = Trust::from(Fingerprint::of_certificate(certificate.der()).unwrap());
    for version in [&TLS12, &TLS13] {
        let server = server_of(certified(&certificate, &stranger), &[version]);
        let error = shake(pinned_client_config(trust), server).unwrap_err();
        let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        assert_eq!(error, bad, "{version:?}");
    }
}

#[test]
fn the_hash_of_the_whole_certificate_is_recognised_as_such() {
    let key = KeyPair::generate().unwrap();
    let certificate = params("site").self_signed(&key).unwrap();
    let trust = Trust::from(Fingerprint::from_bytes(Sha256::digest(certificate.der()).into()));
    let error = shake(pinned_client_config(trust), server_of(certified(&certificate, &key), &[&TLS13])).unwrap_err();
    let wrong = WrongKey::in_error(&error).unwrap();
    assert!(wrong.of_certificate);
    assert!(wrong.help().contains(&wrong.found.to_string()), "its key is the one that the user meant");
}
