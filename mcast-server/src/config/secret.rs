//! Secrets, and the files that hold them.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use subtle::ConstantTimeEq;

/// Bytes that a secret file may have: far more than any password.
const FILE_LIMIT: u64 = 64 * 1024;

/// Those who are neither its owner nor of its group.
pub(super) const OTHERS: u32 = 0o007;
/// All but its owner.
pub(super) const ALL_BUT_OWNER: u32 = 0o077;

/// A text that is not shown: neither `Debug` nor `Display` give it away, and comparing takes the same time
/// whatever differs.
#[derive(Clone, Default)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a file that holds a secret is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecretFileError {
    /// It cannot be opened or read.
    #[error("cannot read secret file {path:?}")]
    Read { path: String, source: io::Error },
    /// A folder, a device, a pipe.
    #[error("secret file {path:?} is no regular file")]
    Kind { path: String },
    /// Others than its owner may use it.
    #[error("secret file {path:?} has mode {mode:04o}: others than its owner can use it")]
    Exposed { path: String, mode: u32 },
    /// More than any secret needs.
    #[error("secret file {path:?} has more than {FILE_LIMIT} bytes")]
    Large { path: String },
    /// Nothing but the end of a line.
    #[error("secret file {path:?} is empty")]
    Empty { path: String },
    /// Not UTF-8, or a control character in it.
    #[error("secret file {path:?} is no line of text in UTF-8")]
    Text { path: String },
}

impl SecretFileError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Read { .. } => "it must exist and belong to the user that the server runs as".to_owned(),
            Self::Exposed { path, .. } => format!("chmod 600 {path}"),
            _ => "write the secret into it as one line of text".to_owned(),
        }
    }
}

/// The secret in the file at `path`, which nobody but its owner may use.
///
/// In `credentials`, the folder that systemd made for this service, a group's bits are the mask of an access
/// list for the service's user: there only others are looked at.
pub(crate) fn read_file(path: &Path, credentials: Option<&Path>) -> Result<Secret, SecretFileError> {
    let name = || path.display().to_string();
    let unreadable = |source| SecretFileError::Read { path: name(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    // Of what was opened, whatever the name stands for by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretFileError::Kind { path: name() });
    }
    let by_systemd = credentials.is_some_and(|folder| path.starts_with(folder));
    if let Some(mode) = exposed(&metadata, if by_systemd { OTHERS } else { ALL_BUT_OWNER }) {
        return Err(SecretFileError::Exposed { path: name(), mode });
    }
    let mut bytes = Vec::new();
    file.by_ref().take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(SecretFileError::Large { path: name() });
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretFileError::Text { path: name() })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretFileError::Empty { path: name() }),
        line if line.contains(char::is_control) => Err(SecretFileError::Text { path: name() }),
        line => Ok(Secret::new(line)),
    }
}

/// The mode of a file that gives any of the `forbidden` rights.
pub(super) fn exposed(metadata: &Metadata, forbidden: u32) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & forbidden != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::path::PathBuf;

    use super::*;

    fn file(folder: &Path, mode: u32, content: &[u8]) -> PathBuf {
        let path = folder.join(format!("secret-{mode:o}"));
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn read(mode: u32, content: &[u8]) -> Result<Secret, SecretFileError> {
        let folder = tempfile::tempdir().unwrap();
        read_file(&file(folder.path(), mode, content), None)
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "(secret) Secret(…) Some(Secret(…))");
        assert_eq!(secret.expose(), "hunter2");
        assert!(secret == Secret::new("hunter2") && secret != Secret::new("hunter3"));
    }

    #[test]
    fn only_the_owner_may_use_a_secret_file() {
        for mode in [0o600, 0o400] {
            assert_eq!(read(mode, b"hunter2\n").unwrap().expose(), "hunter2", "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o660, 0o620, 0o601] {
            let error = read(mode, b"hunter2").unwrap_err();
            assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.help().starts_with("chmod 600 /"), "{}", error.help());
        }
    }

    #[test]
    fn systemds_own_folder_may_show_an_access_list_as_the_groups_bits() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| read_file(path, Some(folder.path()));
        assert!(read(&file(folder.path(), 0o440, b"hunter2")).is_ok());
        assert!(read(&file(folder.path(), 0o444, b"hunter2")).is_err());
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(read(&file(elsewhere.path(), 0o440, b"hunter2")).is_err());
    }

    #[test]
    fn what_is_no_line_of_text_is_no_secret() {
        let words = |content: &[u8]| read(0o600, content).unwrap_err().to_string();
        assert!(words(b"\n").ends_with("is empty"));
        assert!(words(b"one\ntwo\n").ends_with("no line of text in UTF-8"));
        assert!(words(&[0xff, 0xfe]).ends_with("no line of text in UTF-8"));
        assert!(words(&[b'a'; 70_000]).ends_with("more than 65536 bytes"));
        assert!(read_file(Path::new("/"), None).unwrap_err().to_string().ends_with("no regular file"));
        let absent = read_file(Path::new("/nowhere/at/all"), None).unwrap_err();
        assert_eq!(absent.to_string(), "cannot read secret file \"/nowhere/at/all\"");
    }
}
