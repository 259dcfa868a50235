//! A site's key and certificate, made on its first start or supplied by its operator.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::chain::{self, Chain, Term};
use crate::error::{IdentityError, Warning};
use crate::files::{self, Access};
use crate::fingerprint::Fingerprint;
use crate::{ALPN, issue, provider};

/// How long before its end a certificate is worth a word.
pub const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Who a site is: its certificates, its private key, and the TLS server made from them.
#[derive(Clone)]
pub struct SiteIdentity {
    fingerprint: Fingerprint,
    config: Arc<ServerConfig>,
    certificate_file: PathBuf,
    terms: Vec<Term>,
    notes: Vec<Warning>,
}

/// Whether a site's identity was made just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new: its fingerprint is to be shown to those who shall trust it.
    Now,
    /// It was there.
    Before,
}

impl SiteIdentity {
    /// Opens the identity that a site made for itself, or makes one on the first start.
    ///
    /// It lies in `folder/identity`: `site.key`, which only its owner may read, and `site.crt`, which names `site` and
    /// the `hosts` (DNS names and IP addresses). Both come to be in one step: a crash leaves all or nothing of them. If
    /// one is missing or damaged, that is an error; a new key is never made in place of one that clients may trust.
    ///
    /// The dates of such a certificate are never a reason to refuse it, since who trusts its fingerprint does not look
    /// at them, and a machine whose battery died must still start; see [`warnings`](Self::warnings).
    pub fn open_or_create(
        folder: &Path,
        site: &str,
        hosts: &[String],
        now: SystemTime,
    ) -> Result<(Self, Created), IdentityError> {
        let pair = Pair::within(folder);
        let created = match pair.look()? {
            (true, true) => Created::Before,
            (false, false) => pair.create(site, hosts, now)?,
            (true, false) => return Err(IdentityError::HalfMissing { present: pair.key, missing: pair.certificate }),
            (false, true) => return Err(IdentityError::HalfMissing { present: pair.certificate, missing: pair.key }),
        };
        Ok((Self::open(&pair, hosts)?, created))
    }

    /// Makes a new certificate for the key that a site made for itself: with other names, or from `now` on.
    ///
    /// The fingerprint stays. The old certificate may be damaged or missing, the key may not.
    pub fn renew(folder: &Path, site: &str, hosts: &[String], now: SystemTime) -> Result<Self, IdentityError> {
        let pair = Pair::within(folder);
        pair.renew(site, hosts, now)?;
        Self::open(&pair, hosts)
    }

    /// Reads certificates and a key that others made, in PEM: a certificate for the site, then its issuer's, and so on.
    ///
    /// The order of the chain, its signatures, its dates at `now`, and that the key belongs to the first certificate
    /// are checked. Whether clients trust the last issuer is theirs to know. The key's group may read it, others not.
    pub fn supplied(certificates: &Path, key: &Path, now: SystemTime) -> Result<Self, IdentityError> {
        let chain = Chain::read(certificates)?;
        chain.check_dates(now)?;
        Self::assemble(chain, key, Access::GroupReads, Vec::new())
    }

    /// The fingerprint of the site's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Settings of a TLS server that shows the site's certificates: TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no client
    /// certificates asked for.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The file with the site's certificate, for those who want it whole (`curl --cacert`).
    pub fn certificate_file(&self) -> &Path {
        &self.certificate_file
    }

    /// The last moment at which all of its certificates are valid.
    pub fn expires(&self) -> SystemTime {
        self.terms.iter().map(|term| term.until).min().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// What should be known at `now`: what is out of date or will be within [`EXPIRES_SOON`], which host the site's own
    /// certificate lacks, which signature could not be checked.
    pub fn warnings(&self, now: SystemTime) -> Vec<Warning> {
        let dated = self.terms.iter().filter_map(|term| term.warning(now));
        dated.chain(self.notes.iter().cloned()).collect()
    }

    fn open(pair: &Pair, hosts: &[String]) -> Result<Self, IdentityError> {
        let chain = Chain::read(&pair.certificate)?;
        let mut notes = Vec::new();
        for host in hosts {
            if !chain.names(host)? {
                notes.push(Warning::HostMissing { host: host.clone() });
            }
        }
        Self::assemble(chain, &pair.key, Access::Owner, notes)
    }

    fn assemble(chain: Chain, key_file: &Path, access: Access, mut notes: Vec<Warning>) -> Result<Self, IdentityError> {
        let leaf = chain.certificates.first().map(AsRef::as_ref).unwrap_or_default();
        let fingerprint = Fingerprint::of_certificate(leaf).map_err(|error| IdentityError::Certificate {
            path: chain.file().to_owned(),
            position: 1,
            reason: error.to_string(),
        })?;
        let unusable = |source| IdentityError::Key { path: key_file.to_owned(), source };
        let key = chain::read_key(key_file, access)?;
        let key = provider().key_provider.load_private_key(key).map_err(unusable)?;
        let certified = CertifiedKey::new(chain.certificates.clone(), key);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => chain.mismatch(key_file),
            other => unusable(other),
        })?;
        let certificate_file = chain.file().to_owned();
        notes.extend(chain.unchecked);
        Ok(Self { fingerprint, config: server_config(certified), certificate_file, terms: chain.terms, notes })
    }
}

impl fmt::Debug for SiteIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteIdentity")
            .field("fingerprint", &self.fingerprint)
            .field("certificate_file", &self.certificate_file)
            .finish_non_exhaustive()
    }
}

impl Term {
    fn warning(&self, now: SystemTime) -> Option<Warning> {
        let Self { subject, from, until } = self.clone();
        let Ok(left) = until.duration_since(now) else {
            return Some(Warning::Expired { subject, until });
        };
        if now < from {
            return Some(Warning::NotYetValid { subject, from });
        }
        let days = left.as_secs() / (24 * 60 * 60);
        (left < EXPIRES_SOON).then_some(Warning::ExpiresSoon { subject, until, days })
    }
}

/// The one place that decides what the server asks of its clients: certificates of theirs are to be asked for here.
fn server_config(certified: CertifiedKey) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has cipher suites of both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// The two files of an identity that a site made for itself. They have a folder of their own, so that they come to be
/// together, and so that other keys of the site can lie beside them.
struct Pair {
    /// The site's state, which the caller named.
    state: PathBuf,
    folder: PathBuf,
    key: PathBuf,
    certificate: PathBuf,
}

impl Pair {
    fn within(state: &Path) -> Self {
        let folder = state.join("identity");
        let (key, certificate) = (folder.join("site.key"), folder.join("site.crt"));
        Self { state: state.to_owned(), folder, key, certificate }
    }

    /// Whether the key and the certificate are there.
    fn look(&self) -> Result<(bool, bool), IdentityError> {
        let look = || Ok((files::exists(&self.key)?, files::exists(&self.certificate)?));
        match look()? {
            // Both may have come, made by another start, after one was looked for and before the other.
            (key, certificate) if key != certificate => look(),
            same => Ok(same),
        }
    }

    fn create(&self, site: &str, hosts: &[String], now: SystemTime) -> Result<Created, IdentityError> {
        let key = issue::key()?;
        let certificate = issue::certificate(&key, site, hosts, now)?;
        fs::create_dir_all(&self.state).map_err(files::cannot("make", &self.state))?;
        // Named after the key, so that two that start at once do not write into one folder.
        let temporary = self.state.join(format!("identity.{}.new", token(&key)));
        let created = self.fill(&temporary, &key.serialize_pem(), &certificate);
        if !matches!(created, Ok(Created::Now)) {
            let _ = fs::remove_dir_all(&temporary);
        }
        created
    }

    fn fill(&self, temporary: &Path, key: &str, certificate: &str) -> Result<Created, IdentityError> {
        fs::create_dir(temporary).map_err(files::cannot("make", temporary))?;
        files::write_new(&temporary.join("site.key"), key.as_bytes(), Access::Owner.mode())?;
        files::write_new(&temporary.join("site.crt"), certificate.as_bytes(), CERTIFICATE_MODE)?;
        files::sync_folder(temporary)?;
        match fs::rename(temporary, &self.folder) {
            Ok(()) => files::sync_folder(&self.state).map(|()| Created::Now),
            // Somebody else who started at the same time was first, and a folder with files in it is not replaced.
            Err(error) if is_taken(&error) && files::exists(&self.key)? => Ok(Created::Before),
            Err(error) => Err(files::cannot("make", &self.folder)(error)),
        }
    }

    fn renew(&self, site: &str, hosts: &[String], now: SystemTime) -> Result<(), IdentityError> {
        let pem = files::read_key(&self.key, Access::Owner)?;
        let unreadable = |reason: String| IdentityError::Damaged { path: self.key.clone(), reason };
        let pem = std::str::from_utf8(&pem).map_err(|error| unreadable(error.to_string()))?;
        let key = KeyPair::from_pem(pem).map_err(|error| unreadable(error.to_string()))?;
        let certificate = issue::certificate(&key, site, hosts, now)?;
        let temporary = self.folder.join(format!("site.{}.new", token(&issue::key()?)));
        files::replace(&self.certificate, &temporary, certificate.as_bytes(), CERTIFICATE_MODE)?;
        files::sync_folder(&self.folder)
    }
}

/// Anyone may read the certificate: it is shown to everybody who connects.
const CERTIFICATE_MODE: u32 = 0o644;

/// A name that nobody else uses.
fn token(key: &KeyPair) -> String {
    let hash = <sha2::Sha256 as sha2::Digest>::digest(rcgen::PublicKeyData::subject_public_key_info(key));
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}
