//! Packages: any file of a folder, for whoever fetches it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::folder::Mark;

/// Bytes of a package's path below the folder at most.
const PATH_LIMIT: usize = 1024;
/// Packages whose digests are remembered.
const REMEMBERED: usize = 10_000;

/// A file that is being served.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    /// BLAKE3 of the file, in hexadecimal.
    pub(crate) digest: String,
}

/// Why a package cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PackageError {
    /// There is no such file, or it lies outside: which of both is not told.
    #[error("there is no package of that name")]
    Unknown,
    /// The folder is not configured.
    #[error("no folder of packages is configured")]
    NoFolder,
    /// It cannot be read.
    #[error("the package cannot be read")]
    Read(#[source] io::Error),
}

/// The packages of a folder.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    digests: Mutex<HashMap<PathBuf, (Mark, String)>>,
}

impl Packages {
    /// Opens the package at `path` below `folder`; reads all of it if it is new or has changed. Blocks.
    pub(crate) fn open(&self, folder: Option<&Path>, path: &str) -> Result<Package, PackageError> {
        let folder = folder.ok_or(PackageError::NoFolder)?;
        let relative = confined(path).ok_or(PackageError::Unknown)?;
        let file = open_beneath(folder, &relative)?;
        let about = file.metadata().map_err(PackageError::Read)?;
        if !about.is_file() {
            return Err(PackageError::Unknown);
        }
        let mark = Mark::from(&about);
        let known = self.lock().get(&relative).filter(|(known, _)| *known == mark).map(|(_, digest)| digest.clone());
        let digest = match known {
            Some(digest) => digest,
            None => {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(&file).map_err(PackageError::Read)?;
                let digest = hasher.finalize().to_string();
                let mut digests = self.lock();
                if digests.len() >= REMEMBERED {
                    digests.clear();
                }
                digests.insert(relative, (mark, digest.clone()));
                digest
            }
        };
        Ok(Package { file, bytes: about.len(), digest })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Mark, String)>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path if it consists of plain names, none of them hidden.
fn confined(path: &str) -> Option<PathBuf> {
    if path.is_empty() || path.len() > PATH_LIMIT || path.contains(['\0', '\\']) {
        return None;
    }
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned),
        _ => None,
    };
    Path::new(path).components().map(plain).collect()
}

/// The kernel sees to it that no link leads out of the folder.
fn open_beneath(folder: &Path, relative: &Path) -> Result<File, PackageError> {
    let folder = File::open(folder).map_err(PackageError::Read)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&folder, relative, how) {
        Ok(file) => Ok(file.into()),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EXDEV | Errno::ELOOP | Errno::EACCES | Errno::ENAMETOOLONG) => {
            Err(PackageError::Unknown)
        }
        Err(errno) => Err(PackageError::Read(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_outside_or_is_hidden_is_as_unknown_as_what_does_not_exist() {
        let site = tempfile::tempdir().unwrap();
        let folder = site.path().join("packages");
        fs::create_dir_all(folder.join("drivers")).unwrap();
        fs::write(site.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("drivers/net.zip"), "driver").unwrap();
        fs::write(folder.join(".hidden"), "hidden").unwrap();
        symlink("../secret", folder.join("out")).unwrap();
        symlink("/etc/passwd", folder.join("absolute")).unwrap();
        symlink("drivers/net.zip", folder.join("within")).unwrap();
        let packages = Packages::default();
        let open = |path: &str| packages.open(Some(&folder), path);
        for path in ["drivers/net.zip", "within", "drivers//net.zip"] {
            let package = open(path).unwrap();
            assert_eq!((package.bytes, package.digest), (6, blake3::hash(b"driver").to_string()), "{path}");
        }
        let outside = ["../secret", "/etc/passwd", "out", "absolute", "drivers/../../secret", "drivers/./../x"];
        let others = ["", "none", "drivers", ".hidden", "..\\secret", "a\0b", "drivers/net.zip/x"];
        for path in outside.iter().chain(&others) {
            assert!(matches!(open(path), Err(PackageError::Unknown)), "{path:?}");
        }
        assert!(matches!(packages.open(None, "x"), Err(PackageError::NoFolder)));
    }

    #[test]
    fn a_changed_package_has_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::default();
        let digest_of = |content: &str| {
            fs::write(folder.path().join("app.exe"), content).unwrap();
            packages.open(Some(folder.path()), "app.exe").unwrap().digest
        };
        let first = digest_of("one");
        assert_eq!(packages.open(Some(folder.path()), "app.exe").unwrap().digest, first);
        assert_ne!(digest_of("another"), first);
    }
}
