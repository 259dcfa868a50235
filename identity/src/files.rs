//! Keys and certificates on disk: what others may read, and what a crash may leave. All that depends on the platform.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::IdentityError;

/// The most that a key or a chain may have, in bytes: a chain above 64 KiB in DER does not fit into a TLS handshake.
const LIMIT: u64 = 256 << 10;

/// Who may use a private key besides its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nobody.
    Owner,
    /// A group may read: certificates are often renewed by one account and used by another (Debian's `ssl-cert`).
    GroupReads,
}

impl Access {
    /// The widest permissions that fit.
    pub(crate) fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::GroupReads => 0o640,
        }
    }
}

/// Reads a file that anyone may know.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let file = File::open(path).map_err(cannot("read", path))?;
    read_all(&file, path)
}

/// Reads a private key, unless others can.
pub(crate) fn read_key(path: &Path, access: Access) -> Result<Vec<u8>, IdentityError> {
    let file = File::open(path).map_err(cannot("read", path))?;
    refuse_exposed(&file, path, access)?;
    read_all(&file, path)
}

/// Makes a file that was not there, with its content safely on disk.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), IdentityError> {
    let write = || {
        let mut file = options(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(cannot("write", path))
}

/// Puts a file in another's place: whoever looks, and whatever crashes, finds the old content or the new.
pub(crate) fn replace(path: &Path, temporary: &Path, content: &[u8], mode: u32) -> Result<(), IdentityError> {
    write_new(temporary, content, mode)?;
    let renamed = fs::rename(temporary, path).map_err(cannot("replace", path));
    if renamed.is_err() {
        let _ = fs::remove_file(temporary);
    }
    renamed
}

/// Makes what was renamed into a folder, or made in it, survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), IdentityError> {
    // Windows opens no folder as a file, and keeps its names in order by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot("write", folder))?;
    }
    Ok(())
}

/// Whether a file is there; one that cannot be looked at is an error and not an absence.
pub(crate) fn exists(path: &Path) -> Result<bool, IdentityError> {
    path.try_exists().map_err(cannot("read", path))
}

/// Names what failed and where.
pub(crate) fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::File { doing, path, source }
}

fn read_all(file: &File, path: &Path) -> Result<Vec<u8>, IdentityError> {
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).map_err(cannot("read", path))?;
    if content.len() as u64 > LIMIT {
        return Err(IdentityError::TooLarge { path: path.to_owned(), limit: LIMIT });
    }
    Ok(content)
}

#[cfg(unix)]
fn options(mode: u32) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options
}

#[cfg(not(unix))]
fn options(_mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options
}

/// Asks the open file and not its name, which could lead elsewhere by now.
#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path, access: Access) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(cannot("read", path))?.permissions().mode() & 0o7777;
    // The owner's own rights are the owner's affair; only what others have counts.
    if mode & 0o077 & !access.mode() != 0 {
        return Err(IdentityError::KeyExposed { path: path.to_owned(), mode, limit: access.mode() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_file: &File, _path: &Path, _access: Access) -> Result<(), IdentityError> {
    Ok(())
}
