//! The folder of boot images: `NAME/image.toml` says what boots where, its files lie beside it.
//!
//! ```text
//! client/image.toml                     [bios] kind = "kernel" kernel = "bios+uefi-x64/vmlinuz" …
//! client/bios+uefi-x64/vmlinuz
//! client/bios+uefi-x64/initramfs.img
//! client/uefi-arm64/Image
//! ```
//!
//! An image changes as a whole: the new one is made beside it, written to the disk, and renamed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use super::describe::{DescribeError, describe};
use super::inspect::{HEAD, Kind, NotABootImage, inspect};
use crate::boot::{BootImage, Program};
use crate::machine::Platform;

const DESCRIPTION: &str = "image.toml";
/// How folders begin that are not finished, or not needed any more.
const NEW: &str = ".new-";
const OLD: &str = ".old-";
/// Characters of a name.
const LONGEST: usize = 64;

/// The boot images of a server.
pub struct Store {
    folder: PathBuf,
    images: RwLock<BTreeMap<String, BootImage>>,
    /// Held by who changes the folder or reads all of it: of two uploads neither loses what the other added.
    changing: Mutex<()>,
}

/// Why a boot image cannot be kept or had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Names become folders and stand in URLs.
    #[error(
        "{name:?} is no name for {what}: 1 to {LONGEST} letters, digits, dots, dashes and underscores, and no dot first"
    )]
    Name {
        /// The name.
        name: String,
        /// A boot image or a file.
        what: &'static str,
    },
    /// There is none.
    #[error("there is no boot image {0}")]
    Unknown(String),
    /// Two files of one name.
    #[error("{0} was given twice")]
    Twice(String),
    /// Too much.
    #[error("the files have more than {0} bytes together")]
    TooLarge(u64),
    /// A file is nothing that boots.
    #[error(transparent)]
    NotABootImage(#[from] NotABootImage),
    /// The files do not fit together.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// A description that somebody wrote by hand.
    #[error("{} cannot be read: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk does not take it.
    #[error("cannot {what} {}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A boot image on its way. Dropped before [`finish`](Self::finish), it leaves nothing.
pub struct Upload {
    store: Arc<Store>,
    name: String,
    folder: PathBuf,
    files: Vec<(String, Kind)>,
    current: Option<(String, File)>,
    left: u64,
    limit: u64,
}

impl Store {
    /// The store in `folder`, which is made if it is not there; what a crash left is put in order.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(folder: impl Into<PathBuf>) -> Result<Arc<Self>, StoreError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|source| disk("make", &folder, source))?;
        for entry in list(&folder)? {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match name.strip_prefix(OLD).map(|name| folder.join(name)) {
                // The new one had not got its name yet.
                Some(path) if !path.exists() => rename(&entry, &path)?,
                Some(_) => remove_all(&entry)?,
                None if name.starts_with(NEW) => remove_all(&entry)?,
                None => {}
            }
        }
        let store = Self { folder, images: RwLock::default(), changing: Mutex::default() };
        store.refresh()?;
        Ok(Arc::new(store))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the folder again, in which somebody may have changed something by hand. An image whose description
    /// cannot be read is left out; the first one is the error.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn refresh(&self) -> Result<(), StoreError> {
        let _turn = self.change();
        let (mut images, mut wrong) = (BTreeMap::new(), None);
        for path in list(&self.folder)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name)) else {
                continue;
            };
            match read(&path, name) {
                Ok(Some(image)) => _ = images.insert(name.to_owned(), image),
                Ok(None) => {}
                Err(error) => _ = wrong.get_or_insert(error),
            }
        }
        *self.known() = images;
        wrong.map_or(Ok(()), Err)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> RwLockWriteGuard<'_, BTreeMap<String, BootImage>> {
        self.images.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<BootImage> {
        self.images.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One of them, from memory.
    pub fn get(&self, name: &str) -> Option<BootImage> {
        self.images.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Bytes of an image's files.
    pub fn size(&self, image: &BootImage) -> u64 {
        let mut files: Vec<_> = image.programs.values().flat_map(Program::files).collect();
        files.sort_unstable();
        files.dedup();
        let size =
            |file: &str| self.folder.join(&image.name).join(file).metadata().map_or(0, |metadata| metadata.len());
        files.into_iter().map(size).sum()
    }

    /// Removes an image.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let _turn = self.change();
        let (path, old) = (self.folder.join(name), self.folder.join(format!("{OLD}{name}")));
        if !is_name(name) || !path.is_dir() {
            return Err(StoreError::Unknown(name.to_owned()));
        }
        // Without its description it is none any more, wherever this is broken off.
        let description = path.join(DESCRIPTION);
        fs::remove_file(&description).map_err(|source| disk("remove", &description, source))?;
        self.known().remove(name);
        remove_all(&old)?;
        rename(&path, &old)?;
        remove_all(&old)
    }

    /// Begins to put an image on this server, of `limit` bytes at most.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn begin(self: &Arc<Self>, name: &str, limit: u64) -> Result<Upload, StoreError> {
        if !is_name(name) {
            return Err(StoreError::Name { name: name.to_owned(), what: "a boot image" });
        }
        // Two at the same time do not meet: the later one counts.
        let free = |number: u32| {
            let folder = self.folder.join(format!("{NEW}{name}.{number}"));
            fs::create_dir(&folder).map(|()| folder)
        };
        let made = (0..u32::MAX)
            .map(free)
            .find(|made| !matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists));
        let made = made.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()));
        let folder = made.map_err(|source| disk("make a folder in", &self.folder, source))?;
        let (store, name) = (self.clone(), name.to_owned());
        Ok(Upload { store, name, folder, files: Vec::new(), current: None, left: limit, limit })
    }
}

impl Upload {
    /// Begins a file; the one before it is complete.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn file(&mut self, name: &str) -> Result<(), StoreError> {
        self.end_file()?;
        if !is_name(name) || name == DESCRIPTION {
            return Err(StoreError::Name { name: name.to_owned(), what: "a file" });
        }
        if self.files.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(StoreError::Twice(name.to_owned()));
        }
        let path = self.folder.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        self.current = Some((name.to_owned(), file.map_err(|source| disk("write", &path, source))?));
        Ok(())
    }

    /// Writes what comes next of it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(StoreError::TooLarge(self.limit))?;
        let Some((name, file)) = &mut self.current else { return Ok(()) };
        file.write_all(bytes).map_err(|source| disk("write", &self.folder.join(name), source))
    }

    fn end_file(&mut self) -> Result<(), StoreError> {
        let Some((name, mut file)) = self.current.take() else { return Ok(()) };
        let mut head = Vec::new();
        let done = file
            .sync_all()
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.take(HEAD as u64).read_to_end(&mut head));
        done.map_err(|source| disk("write", &self.folder.join(&name), source))?;
        let kind = inspect(&name, &head)?;
        self.files.push((name, kind));
        Ok(())
    }

    /// Puts it in the place of what had its name, but for the programs of other platforms, which stay.
    ///
    /// # Errors
    /// [`StoreError`]; what had its name is then as it was.
    pub fn finish(mut self, platforms: &[Platform], arguments: &str) -> Result<BootImage, StoreError> {
        self.end_file()?;
        let programs = describe(&self.files, platforms, arguments)?;
        let set = programs.keys().map(|platform| platform.name()).collect::<Vec<_>>().join("+");
        let inner = self.folder.join(&set);
        fs::create_dir(&inner).map_err(|source| disk("make", &inner, source))?;
        for (name, _) in &self.files {
            rename(&self.folder.join(name), &inner.join(name))?;
        }
        sync_folder(&inner)?;
        let store = self.store.clone();
        let _turn = store.change();
        let mut image = BootImage { name: self.name.clone(), programs: BTreeMap::new() };
        if let Some(before) = self.store.get(&self.name) {
            for (platform, program) in before.programs {
                if !programs.contains_key(&platform) {
                    self.keep(&program)?;
                    image.programs.insert(platform, program);
                }
            }
        }
        image.programs.extend(programs.into_iter().map(|(platform, program)| (platform, within(program, &set))));
        write_description(&self.folder, &image)?;
        let (path, old) = (self.store.folder.join(&self.name), self.store.folder.join(format!("{OLD}{}", self.name)));
        remove_all(&old)?;
        if path.exists() {
            rename(&path, &old)?;
        }
        rename(&self.folder, &path)?;
        // Its name is free now for the next upload.
        self.folder = PathBuf::new();
        store.known().insert(self.name.clone(), image.clone());
        sync_folder(&store.folder)?;
        remove_all(&old)?;
        Ok(image)
    }

    /// Takes over the files of a program that stays.
    fn keep(&self, program: &Program) -> Result<(), StoreError> {
        for file in program.files() {
            let (from, to) = (self.store.folder.join(&self.name).join(file), self.folder.join(file));
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(|source| disk("make", folder, source))?;
            }
            if !to.exists() {
                fs::hard_link(&from, &to).map_err(|source| disk("keep", &from, source))?;
            }
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After `finish` it is none of its own any more.
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A program whose files lie in a folder.
fn within(program: Program, folder: &str) -> Program {
    let inner = |file: String| format!("{folder}/{file}");
    match program {
        Program::Kernel { kernel, initramfs, arguments, needs_64_bit } => Program::Kernel {
            kernel: inner(kernel),
            initramfs: initramfs.into_iter().map(inner).collect(),
            arguments,
            needs_64_bit,
        },
        Program::Wim { wimboot, files, needs_64_bit } => Program::Wim {
            wimboot: inner(wimboot),
            files: files.into_iter().map(|(name, file)| (name, inner(file))).collect(),
            needs_64_bit,
        },
        Program::Efi { file } => Program::Efi { file: inner(file) },
        Program::Script { file } => Program::Script { file: inner(file) },
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<BootImage>, StoreError> {
    let path = folder.join(DESCRIPTION);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(disk("read", &path, source)),
    };
    let wrong = |reason: String| StoreError::Description { path: path.clone(), reason };
    let table: BTreeMap<String, Program> = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut programs = BTreeMap::new();
    for (platform, program) in table {
        let platform = platform.parse::<Platform>().map_err(|error| wrong(error.to_string()))?;
        if let Some(file) = program.files().find(|file| !folder.join(file).is_file()) {
            return Err(wrong(format!("{file} is not there")));
        }
        programs.insert(platform, program);
    }
    Ok(Some(BootImage { name: name.to_owned(), programs }))
}

fn write_description(folder: &Path, image: &BootImage) -> Result<(), StoreError> {
    let path = folder.join(DESCRIPTION);
    let table: BTreeMap<&str, &Program> =
        image.programs.iter().map(|(platform, program)| (platform.name(), program)).collect();
    let text = toml::to_string(&table)
        .map_err(|error| StoreError::Description { path: path.clone(), reason: error.to_string() })?;
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| disk("write", &path, source))?;
    sync_folder(folder)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = folder.read_dir().and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| disk("read", folder, source))?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| disk("rename", from, source))
}

fn remove_all(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(disk("remove", folder, source)),
        _ => Ok(()),
    }
}

/// Has the names in a folder survive a power cut.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| disk("write", folder, source))
}

fn disk(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Disk { what, path: path.to_owned(), source }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::super::inspect::tests::{kernel, program};
    use super::*;

    const ROOM: u64 = 1 << 20;

    fn put(
        store: &Arc<Store>,
        name: &str,
        files: &[(&str, &[u8])],
        platforms: &[Platform],
    ) -> Result<BootImage, StoreError> {
        let mut upload = store.begin(name, ROOM)?;
        for (file, bytes) in files {
            upload.file(file)?;
            upload.write(bytes)?;
        }
        upload.finish(platforms, "")
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            list(folder).unwrap().iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_image_is_kept_and_found_again_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let made = put(&store, "client", &[("vmlinuz", &kernel(true)), ("initrd", b"070701")], &[]).unwrap();
        assert_eq!(made.platforms(), "bios, uefi-x64");
        assert_eq!(store.get("client"), Some(made.clone()));
        assert_eq!(Store::open(folder.path()).unwrap().list(), std::slice::from_ref(&made));
        assert_eq!(store.size(&made), 1024 + 6);
        store.remove("client").unwrap();
        assert!(store.list().is_empty() && names(folder.path()).is_empty());
        assert!(matches!(store.remove("client"), Err(StoreError::Unknown(_))));
    }

    #[test]
    fn a_further_platform_leaves_the_others_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        put(&store, "shell", &[("shell.efi", &program(0x8664, 10))], &[]).unwrap();
        let both = put(&store, "shell", &[("shell.efi", &program(0x014c, 10))], &[]).unwrap();
        assert_eq!(both.platforms(), "uefi-ia32, uefi-x64");
        let read = |file: &str| fs::read(folder.path().join("shell").join(file)).unwrap();
        assert_eq!(read("uefi-x64/shell.efi"), program(0x8664, 10));
        assert_eq!(read("uefi-ia32/shell.efi"), program(0x014c, 10));
        put(&store, "shell", &[("new.efi", &program(0x8664, 11))], &[]).unwrap();
        assert_eq!(names(&folder.path().join("shell/uefi-x64")), ["new.efi"]);
        assert_eq!(names(folder.path()), ["shell"]);
    }

    #[test]
    fn of_two_uploads_at_once_neither_loses_what_the_other_adds() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for round in 0..20 {
            let name = format!("shell{round}");
            std::thread::scope(|threads| {
                for machine in [0x8664, 0x014c] {
                    let (store, name) = (&store, &name);
                    threads.spawn(move || put(store, name, &[("shell.efi", &program(machine, 10))], &[]).unwrap());
                }
                threads.spawn(|| store.refresh().unwrap());
            });
            let found = store.get(&name).unwrap();
            assert_eq!(found.platforms(), "uefi-ia32, uefi-x64");
            assert_eq!(read(&folder.path().join(&name), &name).unwrap(), Some(found));
        }
        assert!(names(folder.path()).iter().all(|name| name.starts_with("shell")));
    }

    #[test]
    fn what_is_refused_or_broken_off_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let before = put(&store, "client", &[("vmlinuz", &kernel(true))], &[]).unwrap();
        let wrong = put(&store, "client", &[("setup.iso", b"nothing")], &[]).unwrap_err();
        assert!(matches!(wrong, StoreError::NotABootImage(_)), "{wrong}");
        let twice = put(&store, "client", &[("a", &kernel(true)), ("A", &kernel(true))], &[]).unwrap_err();
        assert!(matches!(twice, StoreError::Twice(_)), "{twice}");
        let large = put(&store, "client", &[("a", &vec![0; ROOM as usize + 1])], &[]).unwrap_err();
        assert!(matches!(large, StoreError::TooLarge(ROOM)), "{large}");
        let mut broken = store.begin("client", ROOM).unwrap();
        broken.file("vmlinuz").unwrap();
        broken.write(&kernel(false)).unwrap();
        drop(broken);
        assert_eq!((store.list(), names(folder.path())), (vec![before], vec!["client".to_owned()]));
        for name in ["", ".hidden", "a/b", "..", "a b", &"x".repeat(65)] {
            assert!(matches!(store.begin(name, ROOM), Err(StoreError::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_crash_at_any_moment_leaves_one_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let image = put(&store, "client", &[("vmlinuz", &kernel(true))], &[]).unwrap();
        // Between the two renames.
        fs::create_dir(folder.path().join(".new-client.0")).unwrap();
        fs::rename(folder.path().join("client"), folder.path().join(".old-client")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!((store.list(), names(folder.path())), (vec![image], vec!["client".to_owned()]));
        // After them.
        fs::create_dir(folder.path().join(".old-client")).unwrap();
        Store::open(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["client"]);
    }

    #[test]
    fn a_description_that_somebody_spoilt_is_named_and_the_others_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        put(&store, "good", &[("vmlinuz", &kernel(true))], &[]).unwrap();
        fs::create_dir(folder.path().join("bad")).unwrap();
        fs::write(folder.path().join("bad/image.toml"), "[bios]\nkind = \"efi\"\nfile = \"gone.efi\"\n").unwrap();
        let text = store.refresh().unwrap_err().to_string();
        assert!(text.contains("bad/image.toml cannot be read: gone.efi is not there"), "{text}");
        assert_eq!(store.list().len(), 1);
    }
}
