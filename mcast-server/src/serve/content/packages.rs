//! Packages: any file of a folder, for whoever fetches it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use tokio::sync::Mutex;

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
    mark: Mark,
}

impl Package {
    /// Fails if it was written to since it was hashed.
    pub(crate) fn check_unchanged(&self) -> io::Result<()> {
        match Mark::from(&self.file.metadata()?).same_bytes(&self.mark) {
            true => Ok(()),
            false => Err(io::Error::other("the package was written to while it was fetched")),
        }
    }
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
    /// It is being written to: its digest would be that of no file.
    #[error("the package is being written to")]
    Changes,
    /// It cannot be read.
    #[error("the package cannot be read")]
    Read(#[source] io::Error),
}

/// A digest, and of what; whoever holds the lock finds it out for all others.
type Known = Arc<Mutex<Option<(Mark, String)>>>;

/// The packages of a folder.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    digests: std::sync::Mutex<HashMap<PathBuf, Known>>,
}

impl Packages {
    /// Opens the package at `path` below `folder`; reads all of it, once for all who want it, if it is new or has
    /// changed.
    pub(crate) async fn open(&self, folder: Option<&Path>, path: &str) -> Result<Package, PackageError> {
        let folder = folder.ok_or(PackageError::NoFolder)?.to_owned();
        let relative = confined(path).ok_or(PackageError::Unknown)?;
        let of = relative.clone();
        let (file, mark) = blocking(move || {
            let file = open_beneath(&folder, &of)?;
            let about = file.metadata().map_err(PackageError::Read)?;
            if about.is_file() { Ok((file, Mark::from(&about))) } else { Err(PackageError::Unknown) }
        })
        .await?;
        let known = self.known(relative);
        let mut known = known.lock().await;
        if let Some((_, digest)) = known.as_ref().filter(|(of, _)| *of == mark) {
            return Ok(Package { bytes: mark.bytes, digest: digest.clone(), file, mark });
        }
        let (file, digest) = blocking(move || {
            let digest = digest_of(&file, &mark)?;
            Ok((file, digest))
        })
        .await?;
        *known = Some((mark, digest.clone()));
        Ok(Package { bytes: mark.bytes, digest, file, mark })
    }

    fn known(&self, relative: PathBuf) -> Known {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= REMEMBERED {
            digests.clear();
        }
        digests.entry(relative).or_default().clone()
    }
}

/// Of a file that rests meanwhile.
fn digest_of(mut file: &File, mark: &Mark) -> Result<String, PackageError> {
    let mut hasher = blake3::Hasher::new();
    file.rewind().map_err(PackageError::Read)?;
    hasher.update_reader(file).map_err(PackageError::Read)?;
    let about = file.metadata().map_err(PackageError::Read)?;
    if hasher.count() == mark.bytes && Mark::from(&about).same_bytes(mark) {
        Ok(hasher.finalize().to_string())
    } else {
        Err(PackageError::Changes)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PackageError> + Send + 'static,
) -> Result<T, PackageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(PackageError::Read(io::Error::other(error))))
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

    #[tokio::test]
    async fn what_lies_outside_or_is_hidden_is_as_unknown_as_what_does_not_exist() {
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
        let open = |path: &'static str| packages.open(Some(&folder), path);
        for path in ["drivers/net.zip", "within", "drivers//net.zip"] {
            let package = open(path).await.unwrap();
            assert_eq!((package.bytes, package.digest), (6, blake3::hash(b"driver").to_string()), "{path}");
        }
        let outside = ["../secret", "/etc/passwd", "out", "absolute", "drivers/../../secret", "drivers/./../x"];
        let others = ["", "none", "drivers", ".hidden", "..\\secret", "a\0b", "drivers/net.zip/x"];
        for path in outside.iter().chain(&others) {
            assert!(matches!(open(path).await, Err(PackageError::Unknown)), "{path:?}");
        }
        assert!(matches!(packages.open(None, "x").await, Err(PackageError::NoFolder)));
    }

    #[tokio::test]
    async fn a_changed_package_has_another_digest_and_breaks_off_who_has_the_old_one_half() {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::default();
        let open = async |content: &str| {
            fs::write(folder.path().join("app.exe"), content).unwrap();
            packages.open(Some(folder.path()), "app.exe").await.unwrap()
        };
        let first = open("one").await;
        first.check_unchanged().unwrap();
        let again = packages.open(Some(folder.path()), "app.exe").await.unwrap();
        assert_eq!(again.digest, blake3::hash(b"one").to_string());
        let changed = open("another").await;
        assert_eq!(changed.digest, blake3::hash(b"another").to_string());
        assert!(first.check_unchanged().is_err());
        // What takes its name changes nothing for whoever has it open.
        fs::write(folder.path().join("new"), "third").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("app.exe")).unwrap();
        changed.check_unchanged().unwrap();
    }
}
