//! TLS of a client that trusts one key, whatever its certificate says.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::fingerprint::Fingerprint;
use crate::trust::Trust;
use crate::{ALPN, provider};

/// Settings of a TLS client that accepts exactly the servers which hold the trusted key.
///
/// Names, issuers and dates of their certificates do not matter: they are claims of somebody else, and the user has
/// compared the key itself. That the server holds it is proven by the handshake's signature, as ever. With another key
/// the handshake fails with [`WrongKey`], which is within the error: [`WrongKey::in_error`] finds it.
///
/// For reqwest 0.13 (feature `rustls-no-provider`), which needs no provider installed for it:
///
/// ```no_run
/// # let trust: identity::Trust = "".parse()?;
/// let http = reqwest::blocking::Client::builder()
///     .tls_backend_preconfigured(identity::pinned_client_config(trust))
///     .https_only(true)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pinned_client_config(trust: Trust) -> ClientConfig {
    let provider = provider();
    let verifier = Pinned { trust, algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has cipher suites of both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// The server holds another key than the trusted one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server's fingerprint is {found}, not the trusted {}", trusted.to_short())]
pub struct WrongKey {
    /// What the user trusts.
    pub trusted: Trust,
    /// What the server has.
    pub found: Fingerprint,
    /// The user gave the SHA-256 of the server's whole certificate in place of its key's.
    pub of_certificate: bool,
}

impl WrongKey {
    /// Finds it in what a failed connection reports, however deep the HTTP client wrapped it.
    pub fn in_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = match (error.downcast_ref::<rustls::Error>(), error.downcast_ref::<io::Error>()) {
                (Some(rustls::Error::Other(OtherError(inner))), _) => Some(inner.as_ref()),
                // Its source() is the inner error's source: the inner one itself would be passed over.
                (_, Some(outer)) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
                _ => error.source(),
            };
        }
        None
    }

    /// What to do about it, in a line or two.
    pub fn help(&self) -> String {
        if self.of_certificate {
            return format!("this is the SHA-256 of its certificate; the one of its key is wanted, {}", self.found);
        }
        "if the site was set up anew, read its new fingerprint on the server itself and give that; \
         otherwise somebody else answers in its place"
            .into()
    }
}

#[derive(Debug)]
struct Pinned {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of_certificate(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if self.trust.matches(&found) {
            return Ok(ServerCertVerified::assertion());
        }
        let of_certificate = self.trust.full().is_some_and(|full| full.bytes()[..] == Sha256::digest(end_entity)[..]);
        let wrong = WrongKey { trusted: self.trust, found, of_certificate };
        // Not as CertificateError::Other, which shows what it holds in Debug's way.
        Err(rustls::Error::Other(OtherError(Arc::new(wrong))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
