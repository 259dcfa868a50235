//! Makes a site's own key and certificate.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::DnsName;
use sha2::{Digest, Sha256};

use crate::date;
use crate::error::IdentityError;

const DAY: i64 = 24 * 60 * 60;

/// 20 years, of 365.25 days, in seconds.
///
/// Nobody vouches for this certificate but those who compared its fingerprint, and they trust a key: an end that
/// comes soon would not protect them, it would stop a room that worked for years on the day when nobody remembers why.
const VALIDITY: i64 = 20 * (365 * DAY + DAY / 4);

/// Characters of a common name (RFC 5280 appendix A.1: ub-common-name).
const SITE_NAME_LIMIT: usize = 64;

/// A name or an address that a certificate vouches for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    /// Reads a setting: an IP address, or a DNS name, which is kept in lower case and without a dot at its end.
    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match DnsName::try_from(name.as_str()) {
            Ok(_) => Ok(Self::Name(name)),
            Err(_) => Err(IdentityError::Host { host: text.to_owned() }),
        }
    }

    fn to_san(&self) -> Result<SanType, IdentityError> {
        match self {
            Self::Address(address) => Ok(SanType::IpAddress(*address)),
            Self::Name(name) => name.as_str().try_into().map(SanType::DnsName).map_err(IdentityError::Issue),
        }
    }
}

/// A new key: ECDSA on P-256, which every TLS stack speaks.
pub(crate) fn key() -> Result<KeyPair, IdentityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Issue)
}

/// A certificate that the key signs for itself, in PEM.
pub(crate) fn certificate(
    key: &KeyPair,
    site: &str,
    hosts: &[String],
    now: SystemTime,
) -> Result<String, IdentityError> {
    let hosts = hosts.iter().map(|host| Host::parse(host)).collect::<Result<BTreeSet<_>, _>>()?;
    let now = date::unix(now);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, checked_name(site)?);
    params.subject_alt_names = hosts.iter().map(Host::to_san).collect::<Result<_, _>>()?;
    // A day back: clocks of machines that were just unpacked are wrong by hours and by time zones.
    params.not_before = date::nameable(now.saturating_sub(DAY)).into();
    params.not_after = date::nameable(now.saturating_add(VALIDITY)).into();
    params.serial_number = Some(serial(key, now));
    // Said outright, so that a browser or curl which is given this certificate trusts the site and nobody else by it.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params.self_signed(key).map_err(IdentityError::Issue)?.pem())
}

fn checked_name(site: &str) -> Result<&str, IdentityError> {
    let length = site.chars().count();
    if !(1..=SITE_NAME_LIMIT).contains(&length) {
        return Err(IdentityError::SiteNameLength { length, limit: SITE_NAME_LIMIT });
    }
    if site.chars().any(char::is_control) {
        return Err(IdentityError::SiteNameControl { name: site.to_owned() });
    }
    Ok(site)
}

/// Another one for each renewal: Firefox refuses two certificates of one issuer that have the same serial number.
fn serial(key: &KeyPair, now: i64) -> SerialNumber {
    let hash = Sha256::new().chain_update(key.subject_public_key_info()).chain_update(now.to_be_bytes()).finalize();
    let mut serial = hash[..16].to_vec();
    // Neither negative nor with a leading zero octet (RFC 5280 §4.1.2.2).
    serial[0] = serial[0] & 0x7F | 0x40;
    SerialNumber::from_slice(&serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_and_nothing_else() {
        assert_eq!(Host::parse("Deploy.Example.ORG.").unwrap(), Host::Name("deploy.example.org".into()));
        assert_eq!(Host::parse("srv_1").unwrap(), Host::Name("srv_1".into()));
        assert_eq!(Host::parse("::1").unwrap(), Host::Address("::1".parse().unwrap()));
        for wrong in ["", ".", "*.example.org", "[::1]", "deploy:443", "10.0.0.256", "zürich.example", "a b", "-a"] {
            let error = Host::parse(wrong).unwrap_err();
            assert_eq!(error.to_string(), format!("{wrong:?} is no host name and no IP address"));
        }
    }

    #[test]
    fn site_names_fit_into_a_certificate() {
        assert!(checked_name(&"é".repeat(64)).is_ok());
        let long = checked_name(&"x".repeat(65)).unwrap_err();
        assert_eq!(long.to_string(), "the site name has 65 characters, a certificate holds 1 to 64");
        assert!(matches!(checked_name(""), Err(IdentityError::SiteNameLength { length: 0, .. })));
        assert!(matches!(checked_name("a\nb"), Err(IdentityError::SiteNameControl { .. })));
    }

    #[test]
    fn clocks_at_the_ends_of_time_still_give_a_certificate() {
        let key = key().unwrap();
        for seconds in [0, 4_000_000_000, 300_000_000_000, i64::MAX as u64] {
            let now = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds)).unwrap();
            assert!(certificate(&key, "site", &[], now).is_ok(), "{seconds}");
        }
    }
}
