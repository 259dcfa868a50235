//! What a certificate's key is told by: its SHA-256.

use std::fmt;

use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::short::Short;

/// SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, in DER).
///
/// It stands for the key and not for the certificate: one that is renewed with the same key keeps its fingerprint.
///
/// `Display` gives the short form, 7 groups of 4 characters: `K8D3-9VQ2-…`. What a user typed is a
/// [`Trust`](crate::Trust).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// What should be a certificate is none that TLS can use.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it cannot be read as an X.509 certificate of version 3")]
pub struct NotACertificate(#[source] rustls::Error);

impl Fingerprint {
    /// A fingerprint that was stored as its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The fingerprint of the key in a certificate, which is given in DER.
    ///
    /// The key is taken from it by the code that also checks the handshake's signature: a certificate that two parsers
    /// understand differently gains nothing.
    pub fn of_certificate(der: &[u8]) -> Result<Self, NotACertificate> {
        let der = CertificateDer::from(der);
        let certificate = ParsedCertificate::try_from(&der).map_err(NotACertificate)?;
        Ok(Self(Sha256::digest(certificate.subject_public_key_info()).into()))
    }

    /// All 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 32 bytes as 64 lower-case hexadecimal digits, as `sha256sum` prints them.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn short(&self) -> Short {
        Short::of(&self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.short().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_of_a_known_hash_stays_as_it_is() {
        // SHA-256 of nothing. What was once written on a note must be readable by every later version.
        let nothing = Fingerprint::from_bytes(Sha256::digest([]).into());
        assert_eq!(nothing.to_hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(nothing.to_string(), "WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z");
    }

    #[test]
    fn display_obeys_width() {
        let nothing = Fingerprint::from_bytes([0; 32]);
        assert_eq!(format!("{nothing:<36}|"), "0000-0000-0000-0000-0000-0000-0000  |");
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_fingerprint() {
        for bytes in [&b""[..], b"-----BEGIN CERTIFICATE-----", &[0x30, 0x80, 0, 0]] {
            assert!(Fingerprint::of_certificate(bytes).is_err());
        }
    }
}
