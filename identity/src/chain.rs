//! Reads a chain of certificates and a private key, and says what is wrong with them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{GeneralName, X509Certificate, X509Error};

use crate::date;
use crate::error::{IdentityError, Warning};
use crate::files::{self, Access};
use crate::issue::Host;

/// The certificates of a PEM file, the site's own first, each followed by its issuer's.
pub(crate) struct Chain {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Of each certificate, in the same order.
    pub(crate) terms: Vec<Term>,
    /// Signatures that could not be checked.
    pub(crate) unchecked: Vec<Warning>,
    /// Whom the first certificate vouches for.
    hosts: Vec<Host>,
    file: PathBuf,
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) subject: String,
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Chain {
    /// Reads a chain and checks that each certificate is issued by the next one's owner, by name and by signature.
    pub(crate) fn read(file: &Path) -> Result<Self, IdentityError> {
        let content = files::read(file)?;
        let certificates = CertificateDer::pem_slice_iter(&content)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| damaged(file, "certificate", error))?;
        let parsed = parse(file, &certificates)?;
        let Some(leaf) = parsed.first() else {
            return Err(IdentityError::Absent { path: file.to_owned(), wanted: "certificate" });
        };
        let (hosts, unchecked) = (hosts_of(leaf), check_order(file, &parsed)?);
        let terms = parsed.iter().map(term_of).collect();
        Ok(Self { certificates, terms, unchecked, hosts, file: file.to_owned() })
    }

    /// Refuses certificates that are out of date or not valid yet.
    pub(crate) fn check_dates(&self, now: SystemTime) -> Result<(), IdentityError> {
        for Term { subject, from, until } in self.terms.iter().cloned() {
            let path = self.file.clone();
            if now > until {
                return Err(IdentityError::Expired { path, subject, until, now });
            }
            if now < from {
                return Err(IdentityError::NotYetValid { path, subject, from, now });
            }
        }
        Ok(())
    }

    /// Whether the first certificate names a host.
    pub(crate) fn names(&self, host: &str) -> Result<bool, IdentityError> {
        Host::parse(host).map(|host| self.hosts.contains(&host))
    }

    /// The error that says that a key belongs to another certificate.
    pub(crate) fn mismatch(&self, key: &Path) -> IdentityError {
        IdentityError::KeyMismatch {
            key: key.to_owned(),
            certificate: self.file.clone(),
            subject: self.terms.first().map(|term| term.subject.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// Reads a private key in any of its three PEM forms (PKCS #8, SEC 1, PKCS #1).
pub(crate) fn read_key(file: &Path, access: Access) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let content = files::read_key(file, access)?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|error| match error {
        pem::Error::NoItemsFound if mentions(&content, b"ENCRYPTED PRIVATE KEY") => {
            IdentityError::KeyEncrypted { path: file.to_owned() }
        }
        // The older form of the same says so in a header, which base64 trips over.
        pem::Error::Base64Decode(_) if mentions(&content, b"Proc-Type: 4,ENCRYPTED") => {
            IdentityError::KeyEncrypted { path: file.to_owned() }
        }
        error => damaged(file, "private key", error),
    })
}

fn parse<'a>(file: &Path, certificates: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, IdentityError> {
    let parse_one = |(at, der): (usize, &'a CertificateDer<'_>)| {
        let damaged = |reason| IdentityError::Certificate { path: file.to_owned(), position: at + 1, reason };
        match x509_parser::parse_x509_certificate(der) {
            Ok(([], certificate)) => Ok(certificate),
            Ok((rest, _)) => Err(damaged(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(damaged(error.to_string())),
        }
    };
    certificates.iter().enumerate().map(parse_one).collect()
}

fn check_order(file: &Path, chain: &[X509Certificate<'_>]) -> Result<Vec<Warning>, IdentityError> {
    let mut unchecked = Vec::new();
    for (at, pair) in chain.windows(2).enumerate() {
        let [certificate, next] = pair else { continue };
        let (path, position, subject) = (file.to_owned(), at + 1, certificate.subject().to_string());
        // Byte by byte, as clients compare them too (RFC 5280 §4.1.2.4 has issuers copy their name).
        if certificate.issuer().as_raw() != next.subject().as_raw() {
            let (issuer, next) = (certificate.issuer().to_string(), next.subject().to_string());
            return Err(IdentityError::ChainOrder { path, position, subject, issuer, next });
        }
        match certificate.verify_signature(Some(next.public_key())) {
            Ok(()) => {}
            Err(X509Error::SignatureUnsupportedAlgorithm) => unchecked.push(Warning::SignatureUnchecked { subject }),
            Err(_) => {
                let next = next.subject().to_string();
                return Err(IdentityError::ChainSignature { path, position, subject, next });
            }
        }
    }
    Ok(unchecked)
}

fn term_of(certificate: &X509Certificate<'_>) -> Term {
    let validity = certificate.validity();
    Term {
        subject: certificate.subject().to_string(),
        from: date::moment(&validity.not_before),
        until: date::moment(&validity.not_after),
    }
}

fn hosts_of(certificate: &X509Certificate<'_>) -> Vec<Host> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(Host::Name(name.to_ascii_lowercase())),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(Host::Address)
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(host).collect()
}

fn damaged(file: &Path, wanted: &'static str, error: pem::Error) -> IdentityError {
    let path = file.to_owned();
    let reason = match error {
        pem::Error::NoItemsFound => return IdentityError::Absent { path, wanted },
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("it ends before its line -----END {}-----", String::from_utf8_lossy(&end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("its line {:?} begins no part of a PEM file", String::from_utf8_lossy(&line))
        }
        pem::Error::Base64Decode(_) => "what stands between two of its lines BEGIN and END is no base64".into(),
        other => other.to_string(),
    };
    IdentityError::Damaged { path, reason }
}

fn mentions(content: &[u8], words: &[u8]) -> bool {
    content.windows(words.len()).any(|window| window == words)
}
