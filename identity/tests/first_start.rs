//! A site makes its own identity once, keeps it, and never makes another in its place.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::time::Duration;

use common::{DAY, mode, now, set_mode};
use identity::{Created, IdentityError, SiteIdentity, Warning};
use tempfile::TempDir;

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn open(state: &TempDir) -> Result<(SiteIdentity, Created), IdentityError> {
    SiteIdentity::open_or_create(state.path(), "Lab 3", &hosts(&["deploy.example.org", "192.0.2.7", "::1"]), now())
}

#[test]
fn the_first_start_makes_an_identity_and_the_next_ones_keep_it() {
    let state = tempfile::tempdir().unwrap();
    let (first, created) = open(&state).unwrap();
    assert_eq!(created, Created::Now);
    let (second, created) = open(&state).unwrap();
    assert_eq!(created, Created::Before);
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert_eq!(first.warnings(now()), []);

    let folder = state.path().join("identity");
    assert_eq!(mode(&folder.join("site.key")), 0o600);
    assert_eq!(first.certificate_file(), folder.join("site.crt"));
    let mut names: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()));
    names.sort();
    assert_eq!(names, ["identity", "site.crt", "site.key"], "nothing else is left");
}

#[test]
fn two_sites_are_two() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(open(&one).unwrap().0.fingerprint(), open(&other).unwrap().0.fingerprint());
}

#[test]
fn it_is_valid_from_a_day_before_for_20_years() {
    let state = tempfile::tempdir().unwrap();
    let (site, _) = open(&state).unwrap();
    assert_eq!(site.expires(), now() + Duration::from_secs(20 * 365 * 86_400 + 5 * 86_400));
    assert_eq!(site.warnings(now() - DAY), []);
    assert!(matches!(site.warnings(now() - DAY - Duration::from_secs(1))[..], [Warning::NotYetValid { .. }]));
    assert_eq!(site.warnings(site.expires() - 30 * DAY), []);
    let soon = site.warnings(site.expires() - 30 * DAY + Duration::from_secs(1));
    assert_eq!(soon[0].to_string(), "the certificate of CN=Lab 3 expires on 2046-09-21 14:13:20 UTC, in 29 days");
    let late = site.warnings(site.expires() + Duration::from_secs(1));
    assert_eq!(late[0].to_string(), "the certificate of CN=Lab 3 expired on 2046-09-21 14:13:20 UTC");
}

#[test]
fn a_clock_gone_wrong_does_not_keep_a_site_from_starting() {
    let state = tempfile::tempdir().unwrap();
    let (first, _) = open(&state).unwrap();
    for now in [std::time::UNIX_EPOCH, now() + 10_000 * DAY] {
        let (site, _) = SiteIdentity::open_or_create(state.path(), "Lab 3", &[], now).unwrap();
        assert_eq!(site.fingerprint(), first.fingerprint());
        assert_eq!(site.warnings(now).len(), 1);
    }
}

#[test]
fn a_site_that_starts_several_times_at_once_has_one_identity() {
    let state = tempfile::tempdir().unwrap();
    let sites: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&state).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(sites.iter().filter(|(_, created)| *created == Created::Now).count(), 1);
    assert!(sites.iter().all(|(site, _)| site.fingerprint() == sites[0].0.fingerprint()));
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_lost_file_is_an_error_and_no_new_key() {
    for (lost, kept) in [("site.key", "site.crt"), ("site.crt", "site.key")] {
        let state = tempfile::tempdir().unwrap();
        open(&state).unwrap();
        let folder = state.path().join("identity");
        let content = fs::read(folder.join(kept)).unwrap();
        fs::remove_file(folder.join(lost)).unwrap();
        let error = open(&state).unwrap_err();
        assert!(matches!(&error, IdentityError::HalfMissing { missing, .. } if missing.ends_with(lost)), "{error}");
        assert!(error.help().contains("backup"));
        assert_eq!(fs::read(folder.join(kept)).unwrap(), content);
        assert!(!folder.join(lost).exists());
    }
}

#[test]
fn a_torn_file_is_an_error_wherever_it_was_torn() {
    for file in ["site.key", "site.crt"] {
        let state = tempfile::tempdir().unwrap();
        open(&state).unwrap();
        let path = state.path().join("identity").join(file);
        let whole = fs::read(&path).unwrap();
        let end = whole.len() - "-----END ".len() - 1;
        for length in (0..end).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            let error = open(&state).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. } | IdentityError::Absent { .. }), "{length}: {error}");
            assert!(error.to_string().contains(file));
            assert_eq!(fs::read(&path).unwrap(), &whole[..length], "it was left as it is");
        }
    }
}

#[test]
fn a_damaged_byte_is_an_error() {
    let state = tempfile::tempdir().unwrap();
    open(&state).unwrap();
    let path = state.path().join("identity/site.key");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\nM", "\nN", 1)).unwrap();
    let error = open(&state).unwrap_err();
    assert!(matches!(error, IdentityError::Key { .. }), "{error}");
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    for exposed in [0o640, 0o604, 0o620, 0o644, 0o666, 0o601] {
        let state = tempfile::tempdir().unwrap();
        open(&state).unwrap();
        let key = state.path().join("identity/site.key");
        set_mode(&key, exposed);
        let error = open(&state).unwrap_err();
        let path = key.display();
        assert_eq!(
            error.to_string(),
            format!(
                "others than its owner may use the private key {path}: its mode is {exposed:04o}, at most 0600 is allowed"
            )
        );
        assert!(error.help().starts_with(&format!("chmod 600 {path}")));
        set_mode(&key, 0o400);
        open(&state).unwrap();
    }
}

#[test]
fn the_key_of_another_site_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(&one).unwrap();
    open(&other).unwrap();
    fs::copy(other.path().join("identity/site.key"), one.path().join("identity/site.key")).unwrap();
    let error = open(&one).unwrap_err();
    assert!(matches!(error, IdentityError::KeyMismatch { .. }), "{error}");
    assert!(error.to_string().contains("(CN=Lab 3)"));
}

#[test]
fn a_renewed_certificate_has_the_new_names_and_the_old_fingerprint() {
    let state = tempfile::tempdir().unwrap();
    let (old, _) = open(&state).unwrap();
    let der = fs::read(old.certificate_file()).unwrap();

    let moved = hosts(&["deploy.example.org", "new.example.org"]);
    let later = now() + 3_650 * DAY;
    let (site, _) = SiteIdentity::open_or_create(state.path(), "Lab 3", &moved, later).unwrap();
    assert_eq!(site.warnings(later), [Warning::HostMissing { host: "new.example.org".into() }]);

    let site = SiteIdentity::renew(state.path(), "Lab 3", &moved, later).unwrap();
    assert_eq!(site.fingerprint(), old.fingerprint());
    assert_eq!(site.warnings(later), []);
    assert_eq!(site.expires(), old.expires() + 3_650 * DAY);
    assert_ne!(fs::read(site.certificate_file()).unwrap(), der);
    assert_eq!(fs::read_dir(state.path().join("identity")).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn a_lost_certificate_is_renewed_on_request_and_a_lost_key_is_not() {
    let state = tempfile::tempdir().unwrap();
    let (old, _) = open(&state).unwrap();
    fs::remove_file(old.certificate_file()).unwrap();
    let site = SiteIdentity::renew(state.path(), "Lab 3", &[], now()).unwrap();
    assert_eq!(site.fingerprint(), old.fingerprint());
    fs::remove_file(state.path().join("identity/site.key")).unwrap();
    let error = SiteIdentity::renew(state.path(), "Lab 3", &[], now()).unwrap_err();
    assert!(matches!(error, IdentityError::File { .. }), "{error}");
}

#[test]
fn what_does_not_fit_into_a_certificate_leaves_nothing_behind() {
    let state = tempfile::tempdir().unwrap();
    let error = SiteIdentity::open_or_create(state.path(), "Lab", &hosts(&["deploy:443"]), now()).unwrap_err();
    assert_eq!(error.to_string(), "\"deploy:443\" is no host name and no IP address");
    let error = SiteIdentity::open_or_create(state.path(), "", &[], now()).unwrap_err();
    assert!(matches!(error, IdentityError::SiteNameLength { .. }));
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_state_folder_that_cannot_be_is_named() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SiteIdentity::open_or_create(&file, "Lab", &[], now()).unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn debug_shows_no_key() {
    let state = tempfile::tempdir().unwrap();
    let (site, _) = open(&state).unwrap();
    let shown = format!("{site:?}");
    assert!(shown.contains("site.crt") && shown.len() < 400, "{shown}");
}
