//! Packages: any file of a folder, for whoever fetches it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::folder::Mark;

/// Bytes of a package's path below the folder at most.
const PATH_LIMIT: usize = 1024;
/// Packages whose digests are remembered.
const REMEMBERED: usize = 10_000;
/// Packages that are hashed at the same time: each reads a disk and holds a thread for as long as that takes, and
/// anybody may ask for any of them.
const HASHED_AT_ONCE: usize = 2;
/// Bytes hashed between two looks whether it is still wanted.
const STEP: u64 = 8 << 20;

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
#[derive(Debug)]
pub(crate) struct Packages {
    digests: std::sync::Mutex<HashMap<PathBuf, Known>>,
    hashing: Arc<Semaphore>,
}

impl Default for Packages {
    fn default() -> Self {
        Self { digests: std::sync::Mutex::default(), hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)) }
    }
}

impl Packages {
    /// Opens the package at `path` below `folder`; reads all of it, once for all who want it, if it is new or has
    /// changed. That goes on without whoever asked first, so that he finds it done when he asks again.
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
        let known = self.known(relative).lock_owned().await;
        if let Some((_, digest)) = known.as_ref().filter(|(of, _)| *of == mark) {
            return Ok(Package { bytes: mark.bytes, digest: digest.clone(), file, mark });
        }
        // Until here whoever goes leaves nothing behind; from here on there are never more than permits.
        let permit = self.hashing.clone().acquire_owned().await.map_err(failed)?;
        let read = file.try_clone().map_err(PackageError::Read)?;
        let hashed = tokio::spawn(hash(read, mark, known, permit)).await;
        let digest = hashed.unwrap_or_else(|error| Err(failed(error)))?;
        Ok(Package { bytes: mark.bytes, digest, file, mark })
    }

    fn known(&self, relative: PathBuf) -> Known {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= REMEMBERED {
            // What somebody waits for is kept: it would be read again beside itself.
            digests.retain(|_, known| Arc::strong_count(known) > 1);
        }
        digests.entry(relative).or_default().clone()
    }
}

/// Finds out a digest and leaves it in `known` for all who ask.
async fn hash(
    file: File,
    mark: Mark,
    mut known: OwnedMutexGuard<Option<(Mark, String)>>,
    _permit: OwnedSemaphorePermit,
) -> Result<String, PackageError> {
    let unwanted = Unwanted::default();
    let flag = unwanted.0.clone();
    let digest = blocking(move || digest_of(&file, &mark, &flag)).await?;
    *known = Some((mark, digest.clone()));
    Ok(digest)
}

/// Raised when its task is dropped, as by the server's end: the thread that reads is not dropped with it.
#[derive(Default)]
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Of a file that rests meanwhile.
fn digest_of(mut file: &File, mark: &Mark, unwanted: &AtomicBool) -> Result<String, PackageError> {
    let mut hasher = blake3::Hasher::new();
    file.rewind().map_err(PackageError::Read)?;
    loop {
        let before = hasher.count();
        hasher.update_reader(file.take(STEP)).map_err(PackageError::Read)?;
        // One that grows all the time has no end.
        if hasher.count() == before || hasher.count() > mark.bytes {
            break;
        }
        if unwanted.load(Ordering::Relaxed) {
            return Err(failed("the server ends"));
        }
    }
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
    done.unwrap_or_else(|error| Err(failed(error)))
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PackageError {
    PackageError::Read(io::Error::other(error))
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
    use std::time::Duration;

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

    /// A file without content that takes longer to read than any test runs.
    fn endless(folder: &Path, name: &str) {
        File::create(folder.join(name)).unwrap().set_len(1 << 40).unwrap();
    }

    /// Asks for a package and goes once it is being read, as a client with little patience does.
    async fn give_up(packages: &Packages, folder: &Path, name: &str) {
        let before = packages.hashing.available_permits();
        let begun = async {
            while packages.hashing.available_permits() >= before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = packages.open(Some(folder), name) => {}
            () = begun => {}
        }
    }

    #[tokio::test]
    async fn what_was_begun_for_somebody_who_went_is_finished_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("big.iso")).unwrap().set_len(256 << 20).unwrap();
        let packages = Packages::default();
        give_up(&packages, folder.path(), "big.iso").await;
        // All permits are back when it is done.
        drop(packages.hashing.acquire_many(HASHED_AT_ONCE as u32).await.unwrap());
        let known = packages.known("big.iso".into());
        assert!(known.lock().await.is_some());
        packages.hashing.close();
        let again = packages.open(Some(folder.path()), "big.iso").await;
        assert!(again.is_ok(), "nothing is read again: {again:?}");
    }

    #[test]
    fn however_often_packages_are_asked_for_threads_are_left_for_others() {
        let threads = HASHED_AT_ONCE + 1;
        let few = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(threads).build();
        few.unwrap().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let packages = Packages::default();
            fs::write(folder.join("small.exe"), "small").unwrap();
            packages.open(Some(folder), "small.exe").await.unwrap();
            for number in 0..HASHED_AT_ONCE {
                let name = format!("{number}.iso");
                endless(folder, &name);
                give_up(&packages, folder, &name).await;
                for _ in 0..threads {
                    let again = tokio::time::timeout(Duration::from_millis(10), packages.open(Some(folder), &name));
                    assert!(again.await.is_err());
                }
            }
            endless(folder, "last.iso");
            let last = tokio::time::timeout(Duration::from_millis(50), packages.open(Some(folder), "last.iso"));
            assert!(last.await.is_err(), "as many as may be are being read");
            let known = packages.open(Some(folder), "small.exe").await.unwrap();
            assert_eq!(known.digest, blake3::hash(b"small").to_string());
        });
    }
}
