//! Certificates of other makers, and a fixed moment.
#![allow(dead_code, clippy::unwrap_used, reason = "tests, and each file of them uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 21 September 2026, 14:13:20 UTC.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now() - 10 * DAY).into();
    params.not_after = (now() + 90 * DAY).into();
    params
}

/// An authority.
pub(crate) struct Authority {
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
    pub(crate) certificate: Certificate,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), Self::params(name));
        let certificate = params.self_signed(&key).unwrap();
        Self { key, params, certificate }
    }

    /// An authority that this one vouches for.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), Self::params(name));
        let certificate = self.sign(&params, &key);
        Self { key, params, certificate }
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap()
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }
}

/// Writes a chain and a key as an operator would supply them.
pub(crate) fn write(folder: &Path, chain: &[&Certificate], key: &KeyPair) -> (PathBuf, PathBuf) {
    let (chain_file, key_file) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain_file, chain.iter().map(|certificate| certificate.pem()).collect::<String>()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    set_mode(&key_file, 0o600);
    (chain_file, key_file)
}

pub(crate) fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}
