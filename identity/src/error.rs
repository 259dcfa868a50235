//! Why a site has no usable identity, and what is wrong with one that it has.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::date::Utc;

/// Why a site's certificate and key cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The site's name does not fit into a certificate (RFC 5280 appendix A.1: ub-common-name).
    #[error("the site name has {length} characters, a certificate holds 1 to {limit}")]
    SiteNameLength {
        /// Characters found.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// The site's name holds a control character.
    #[error("the site name {name:?} holds a control character")]
    SiteNameControl {
        /// The name.
        name: String,
    },
    /// Text that is neither a DNS name nor an IP address.
    #[error("{host:?} is no host name and no IP address")]
    Host {
        /// The text.
        host: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file larger than keys and certificates are.
    #[error("{} is larger than {limit} bytes, which no key and no chain of certificates is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// The private key lies open to others.
    #[error("others than its owner may use the private key {}: its mode is {mode:04o}, at most {limit:04o} is allowed",
        path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The widest permissions allowed.
        limit: u32,
    },
    /// Of the site's two files one is there and the other is not.
    #[error("{} is there, but {} is missing", present.display(), missing.display())]
    HalfMissing {
        /// The file that was found.
        present: PathBuf,
        /// The file that was not.
        missing: PathBuf,
    },
    /// A PEM file is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A PEM file without what it should hold.
    #[error("{} holds no {wanted} in PEM", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A private key that only a passphrase opens.
    #[error("the private key {} is encrypted, and a service has nobody to ask for the passphrase", path.display())]
    KeyEncrypted {
        /// The key's file.
        path: PathBuf,
    },
    /// A certificate that is damaged, or not of a kind that TLS here can read.
    #[error("certificate {position} in {} cannot be used: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which certificate of it, counted from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key of a kind that TLS here has no use for, or a damaged one.
    #[error("the private key {} cannot be used", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What the library said.
        #[source]
        source: rustls::Error,
    },
    /// The private key is another certificate's.
    #[error("the private key {} does not belong to the first certificate in {} ({subject})",
        key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// Whom the first certificate names.
        subject: String,
    },
    /// A certificate of the chain was issued by somebody else than the next one's owner.
    #[error("certificate {position} in {} ({subject}) was issued by {issuer}, but the next one is {next}",
        path.display())]
    ChainOrder {
        /// The file.
        path: PathBuf,
        /// Which certificate of it, counted from 1.
        position: usize,
        /// Whom it names.
        subject: String,
        /// Who issued it.
        issuer: String,
        /// Whom the next one names.
        next: String,
    },
    /// The names of the chain fit, its signatures do not.
    #[error("certificate {position} in {} ({subject}) is not signed by the key of the next one ({next})",
        path.display())]
    ChainSignature {
        /// The file.
        path: PathBuf,
        /// Which certificate of it, counted from 1.
        position: usize,
        /// Whom it names.
        subject: String,
        /// Whom the next one names.
        next: String,
    },
    /// A certificate is out of date.
    #[error("the certificate of {subject} in {} expired on {}, now it is {}", path.display(), Utc(*until), Utc(*now))]
    Expired {
        /// The file.
        path: PathBuf,
        /// Whom the certificate names.
        subject: String,
        /// Its last moment.
        until: SystemTime,
        /// The moment at which it was looked at.
        now: SystemTime,
    },
    /// A certificate is not valid yet.
    #[error("the certificate of {subject} in {} is not valid before {}, now it is {}",
        path.display(), Utc(*from), Utc(*now))]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Whom the certificate names.
        subject: String,
        /// Its first moment.
        from: SystemTime,
        /// The moment at which it was looked at.
        now: SystemTime,
    },
    /// A new key or certificate cannot be made.
    #[error("cannot make the site's key and certificate")]
    Issue(#[source] rcgen::Error),
}

impl IdentityError {
    /// What to do about it, in a line or two; empty if the text already says all.
    pub fn help(&self) -> String {
        match self {
            Self::SiteNameLength { .. } | Self::SiteNameControl { .. } => {
                "give the site a short name, for example \"Lab 3\"".into()
            }
            Self::Host { .. } => {
                "write it as deploy.example.org, 192.0.2.7 or 2001:db8::7, without port, brackets or wildcards".into()
            }
            Self::KeyExposed { path, limit, .. } => {
                format!("chmod {limit:o} {}, and if others could read it, think of it as known to them", path.display())
            }
            Self::HalfMissing { present, missing } => format!(
                "restore {} from a backup; only if no client trusts this site yet, delete {} and a new pair is made",
                missing.display(),
                present.display()
            ),
            Self::Damaged { .. } | Self::Certificate { .. } => {
                "copy it again from where it came, or restore it from a backup".into()
            }
            Self::Absent { .. } => {
                "it needs lines that begin with -----BEGIN; openssl converts other formats (-inform DER, pkcs12)".into()
            }
            Self::KeyEncrypted { path } => {
                format!("openssl pkey -in {} -out FILE, with umask 077, writes it without", path.display())
            }
            Self::Key { .. } => {
                "use an ECDSA key (P-256 or P-384), an Ed25519 or an RSA key of 2048 bits and more".into()
            }
            Self::KeyMismatch { .. } => "give the key that the certificate was requested with".into(),
            Self::ChainOrder { .. } | Self::ChainSignature { .. } => {
                "put the site's own certificate first, then its issuer's, then that one's issuer's, and nothing else"
                    .into()
            }
            Self::Expired { .. } => {
                "renew it, with the same key if clients trust it, or set this machine's clock".into()
            }
            Self::NotYetValid { .. } => "set this machine's clock, or wait".into(),
            Self::File { .. } | Self::TooLarge { .. } | Self::Issue(_) => String::new(),
        }
    }
}

/// What is not wrong enough to refuse an identity, and should be known all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A certificate is out of date.
    #[error("the certificate of {subject} expired on {}", Utc(*until))]
    Expired {
        /// Whom it names.
        subject: String,
        /// Its last moment.
        until: SystemTime,
    },
    /// A certificate will be out of date within [`EXPIRES_SOON`](crate::EXPIRES_SOON).
    #[error("the certificate of {subject} expires on {}, in {days} days", Utc(*until))]
    ExpiresSoon {
        /// Whom it names.
        subject: String,
        /// Its last moment.
        until: SystemTime,
        /// Whole days until then.
        days: u64,
    },
    /// A certificate is not valid yet.
    #[error("the certificate of {subject} is not valid before {}", Utc(*from))]
    NotYetValid {
        /// Whom it names.
        subject: String,
        /// Its first moment.
        from: SystemTime,
    },
    /// The site's own certificate lacks one of its names.
    #[error("the site's certificate does not name {host}")]
    HostMissing {
        /// The name or address.
        host: String,
    },
    /// A signature of a supplied chain is of a kind that is not known here.
    #[error("the signature on the certificate of {subject} could not be checked: its algorithm is not known here")]
    SignatureUnchecked {
        /// Whom the certificate names.
        subject: String,
    },
}

impl Warning {
    /// Whom it concerns and what to do, in a line.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Expired { .. } | Self::ExpiresSoon { .. } => {
                "renew it with the same key: browsers look at dates, clients that trust the fingerprint do not"
            }
            Self::NotYetValid { .. } => "look at this machine's clock",
            Self::HostMissing { .. } => {
                "browsers and curl refuse that name, clients that trust the fingerprint do not; \
                 a renewed certificate names it and keeps the fingerprint"
            }
            Self::SignatureUnchecked { .. } => "verify the chain with openssl verify",
        }
    }
}
