//! Certificates and keys that others made are taken only if they fit together and to the day.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;

use common::{Authority, DAY, now, params, set_mode, write};
use identity::{Fingerprint, IdentityError, SiteIdentity, Warning};
use rcgen::{Certificate, KeyPair};
use tempfile::TempDir;

/// A root, an intermediate authority and a site that it vouches for, in a folder of their own.
struct Office {
    folder: TempDir,
    root: Authority,
    middle: Authority,
    key: KeyPair,
    site: Certificate,
}

impl Office {
    fn new() -> Self {
        let root = Authority::root("Root");
        let middle = root.intermediate("Middle");
        let key = KeyPair::generate().unwrap();
        let site = middle.sign(&params("deploy.example.org"), &key);
        Self { folder: tempfile::tempdir().unwrap(), root, middle, key, site }
    }

    fn supply(&self, chain: &[&Certificate], key: &KeyPair) -> Result<SiteIdentity, IdentityError> {
        let (chain, key) = write(self.folder.path(), chain, key);
        SiteIdentity::supplied(&chain, &key, now())
    }
}

#[test]
fn a_chain_is_taken_with_and_without_its_root() {
    let office = Office::new();
    let expected = Fingerprint::of_certificate(office.site.der()).unwrap();
    let (middle, root) = (&office.middle.certificate, &office.root.certificate);
    for chain in [&[&office.site][..], &[&office.site, middle], &[&office.site, middle, root]] {
        let site = office.supply(chain, &office.key).unwrap();
        assert_eq!(site.fingerprint(), expected);
        assert_eq!(site.expires(), now() + 90 * DAY);
        assert_eq!(site.warnings(now()), []);
        assert_eq!(site.warnings(now() + 61 * DAY).len(), chain.len());
    }
}

#[test]
fn the_first_end_of_the_chain_is_its_end() {
    let office = Office::new();
    let mut middle = office.middle.params.clone();
    middle.not_after = (now() + 20 * DAY).into();
    let middle = office.root.sign(&middle, &office.middle.key);
    let site = office.supply(&[&office.site, &middle], &office.key).unwrap();
    assert_eq!(site.expires(), now() + 20 * DAY);
    assert!(
        matches!(&site.warnings(now())[..], [Warning::ExpiresSoon { subject, days: 20, .. }] if subject == "CN=Middle")
    );
}

#[test]
fn a_chain_in_the_wrong_order_is_refused() {
    let office = Office::new();
    let (site, middle, root) = (&office.site, &office.middle.certificate, &office.root.certificate);
    let error = office.supply(&[site, root, middle], &office.key).unwrap_err();
    let file = office.folder.path().join("chain.pem");
    assert_eq!(
        error.to_string(),
        format!(
            "certificate 1 in {} (CN=deploy.example.org) was issued by CN=Middle, but the next one is CN=Root",
            file.display()
        )
    );
    for chain in [&[middle, site][..], &[root, middle, site], &[site, root], &[site, middle, middle]] {
        let error = office.supply(chain, &office.key).unwrap_err();
        assert!(matches!(error, IdentityError::ChainOrder { .. }), "{error}");
    }
}

#[test]
fn an_authority_of_the_right_name_with_another_key_is_refused() {
    let office = Office::new();
    let impostor = office.root.intermediate("Middle");
    let error = office.supply(&[&office.site, &impostor.certificate], &office.key).unwrap_err();
    assert!(matches!(error, IdentityError::ChainSignature { position: 1, .. }), "{error}");
}

#[test]
fn certificates_out_of_date_are_refused_with_their_dates() {
    let office = Office::new();
    let file = office.folder.path().join("chain.pem");
    let mut old = params("deploy.example.org");
    old.not_after = (now() - DAY).into();
    let error = office.supply(&[&office.middle.sign(&old, &office.key)], &office.key).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the certificate of CN=deploy.example.org in {} expired on 2026-09-20 14:13:20 UTC, \
             now it is 2026-09-21 14:13:20 UTC",
            file.display()
        )
    );
    let mut early = params("deploy.example.org");
    early.not_before = (now() + DAY).into();
    let error = office.supply(&[&office.middle.sign(&early, &office.key)], &office.key).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the certificate of CN=deploy.example.org in {} is not valid before 2026-09-22 14:13:20 UTC, \
             now it is 2026-09-21 14:13:20 UTC",
            file.display()
        )
    );
    let mut middle = office.middle.params.clone();
    middle.not_after = (now() - DAY).into();
    let middle = office.root.sign(&middle, &office.middle.key);
    let error = office.supply(&[&office.site, &middle], &office.key).unwrap_err();
    assert!(matches!(&error, IdentityError::Expired { subject, .. } if subject == "CN=Middle"), "{error}");
}

#[test]
fn the_last_second_counts() {
    let office = Office::new();
    let mut last = params("site");
    (last.not_before, last.not_after) = (now().into(), now().into());
    office.supply(&[&office.middle.sign(&last, &office.key)], &office.key).unwrap();
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let office = Office::new();
    for key in [&office.middle.key, &KeyPair::generate().unwrap()] {
        let error = office.supply(&[&office.site, &office.middle.certificate], key).unwrap_err();
        assert!(matches!(error, IdentityError::KeyMismatch { .. }), "{error}");
    }
}

#[test]
fn a_group_may_read_the_key_and_others_may_not() {
    let office = Office::new();
    let (chain, key) = write(office.folder.path(), &[&office.site], &office.key);
    for allowed in [0o400, 0o440, 0o600, 0o640] {
        set_mode(&key, allowed);
        SiteIdentity::supplied(&chain, &key, now()).unwrap();
    }
    for exposed in [0o604, 0o644, 0o660, 0o666, 0o777] {
        set_mode(&key, exposed);
        let error = SiteIdentity::supplied(&chain, &key, now()).unwrap_err();
        assert!(matches!(error, IdentityError::KeyExposed { mode, limit: 0o640, .. } if mode == exposed), "{error}");
    }
}

#[test]
fn files_that_hold_something_else_are_named() {
    let office = Office::new();
    let (chain, key) = write(office.folder.path(), &[&office.site], &office.key);
    let error = SiteIdentity::supplied(&key, &key, now()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no certificate in PEM", key.display()));
    set_mode(&chain, 0o600);
    let error = SiteIdentity::supplied(&chain, &chain, now()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no private key in PEM", chain.display()));
    let missing = office.folder.path().join("missing.pem");
    let error = SiteIdentity::supplied(&missing, &key, now()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", missing.display()));
    let error = SiteIdentity::supplied("/dev/zero".as_ref(), &key, now()).unwrap_err();
    assert!(matches!(error, IdentityError::TooLarge { .. }), "{error}");
}

#[test]
fn a_file_cut_off_is_called_so() {
    let office = Office::new();
    let (chain, key) = write(office.folder.path(), &[&office.site, &office.middle.certificate], &office.key);
    let whole = fs::read(&chain).unwrap();
    fs::write(&chain, &whole[..whole.len() - 60]).unwrap();
    let error = SiteIdentity::supplied(&chain, &key, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} is damaged: it ends before its line -----END CERTIFICATE-----", chain.display())
    );
    let text = String::from_utf8(whole).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&chain, [&lines[..2], &lines[3..]].concat().join("\n")).unwrap();
    let error = SiteIdentity::supplied(&chain, &key, now()).unwrap_err();
    assert!(matches!(error, IdentityError::Certificate { position: 1, .. }), "{error}");
    fs::write(&chain, text.replacen('M', "*", 1)).unwrap();
    let error = SiteIdentity::supplied(&chain, &key, now()).unwrap_err();
    assert!(error.to_string().ends_with("is no base64"), "{error}");
}

#[test]
fn a_key_behind_a_passphrase_is_called_so() {
    let office = Office::new();
    let (chain, key) = write(office.folder.path(), &[&office.site], &office.key);
    let newer = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                 -----END EC PRIVATE KEY-----\n";
    for encrypted in [newer, older] {
        fs::write(&key, encrypted).unwrap();
        let error = SiteIdentity::supplied(&chain, &key, now()).unwrap_err();
        assert!(matches!(error, IdentityError::KeyEncrypted { .. }), "{error}");
    }
}
