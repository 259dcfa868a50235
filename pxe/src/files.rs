//! The boot folder: names as machines send them, and files that cannot lie outside.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::sys::uio::preadv;

/// Bytes of a name at most. A request is a datagram of usual size, and Linux takes no longer path.
const LONGEST_NAME: usize = 4095;

/// A file's name as a machine asked for it, tidied: parts without `..`, relative to the boot folder.
///
/// Loaders differ in what they send. `\` separates as `/` does (Windows); a leading separator, `.` and doubled
/// separators mean nothing; a trailing byte 255 is DHCP's end mark, which some ROMs take for a part of the name
/// that stands before it.
///
/// What stands behind a doubled separator is also looked for from the top: PXELINUX puts its own folder before
/// every name, even one that begins with `/`, and asks for `bios//img/x`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BootName {
    parts: Vec<OsString>,
    /// Where the part begins that stands behind the last doubled separator, if there is one.
    restart: usize,
}

/// Why bytes are no name of a boot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// Nothing is named.
    #[error("the name is empty")]
    Empty,
    /// It leads out of a folder.
    #[error("the name holds \"..\"")]
    Parent,
    /// Bytes that are no letters.
    #[error("the name holds the control character {0:#04x}")]
    Control(u8),
    /// No file system takes it.
    #[error("the name has {0} bytes, more than {LONGEST_NAME}")]
    TooLong(usize),
}

impl BootName {
    /// Reads a name.
    pub fn parse(name: &[u8]) -> Result<Self, BadName> {
        let end = name.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
        let name = name.get(..end).unwrap_or_default();
        if name.len() > LONGEST_NAME {
            return Err(BadName::TooLong(name.len()));
        }
        if let Some(control) = name.iter().find(|byte| byte.is_ascii_control()) {
            return Err(BadName::Control(*control));
        }
        let (mut parts, mut restart, mut after_empty) = (Vec::new(), 0, false);
        for part in name.split(|byte| matches!(byte, b'/' | b'\\')) {
            match part {
                b"" => after_empty = true,
                b"." => {}
                b".." => return Err(BadName::Parent),
                part => {
                    if std::mem::take(&mut after_empty) {
                        restart = parts.len();
                    }
                    parts.push(OsString::from_vec(part.to_vec()));
                }
            }
        }
        if parts.is_empty() { Err(BadName::Empty) } else { Ok(Self { parts, restart }) }
    }

    /// Its parts, from the boot folder down.
    pub fn parts(&self) -> &[OsString] {
        &self.parts
    }

    /// What stands behind a doubled separator, if there is one.
    fn restarted(&self) -> Option<&[OsString]> {
        if self.restart == 0 { None } else { self.parts.get(self.restart..) }
    }
}

impl fmt::Display for BootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            let slash = if i == 0 { "" } else { "/" };
            write!(f, "{slash}{}", part.display())?;
        }
        Ok(())
    }
}

impl fmt::Debug for BootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Why a file is not handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is none of that name.
    #[error("there is no file {0}")]
    NotFound(BootName),
    /// The name, or a part of it, is a symbolic link.
    #[error("{0} leads through a symbolic link, and links are not followed")]
    Link(BootName),
    /// A folder or a device.
    #[error("{0} is no regular file")]
    NotAFile(BootName),
    /// The system forbids it.
    #[error("{0} must not be read by this user")]
    Denied(BootName),
    /// The boot folder itself.
    #[error("cannot open the boot folder {}", folder.display())]
    Folder {
        /// As configured.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot open {name}")]
    Other {
        /// Which file.
        name: BootName,
        /// What the system says.
        source: io::Error,
    },
}

/// A folder of files for machines that boot.
///
/// It is opened anew for each file, so that it may be replaced as a whole; it may be a symbolic link itself,
/// nothing in it may. Names are opened part by part, none of which can lead upwards.
#[derive(Debug, Clone)]
pub struct BootFiles {
    folder: PathBuf,
}

impl BootFiles {
    /// The files in `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the file of that name. A part that is not there is looked for without regard to case, as firmware
    /// and Windows loaders know none; of several the first in order of their bytes is taken.
    pub fn open(&self, name: &BootName) -> Result<BootFile, FileError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(&self.folder, flags, Mode::empty())
            .map_err(|errno| FileError::Folder { folder: self.folder.clone(), source: errno.into() })?;
        let whole = open_parts(&root, name.parts());
        let found = match (whole, name.restarted()) {
            (Err(Obstacle::NotFound), Some(parts)) => open_parts(&root, parts),
            (whole, _) => whole,
        };
        let file = found.map_err(|obstacle| obstacle.into_error(name))?;
        BootFile::new(file.into()).map_err(|source| FileError::Other { name: name.clone(), source })
    }
}

/// An open boot file.
#[derive(Debug)]
pub struct BootFile {
    file: File,
    size: u64,
    changed: (i64, i64),
}

impl BootFile {
    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { size: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()), file })
    }

    /// Bytes that it had when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When it was written last, in seconds and nanoseconds since 1970.
    pub fn modified(&self) -> (i64, i64) {
        self.changed
    }

    /// The open file, for another way of reading.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Fills the slices, one after the other, with what stands at `offset`. A file that has become shorter is
    /// an error (`UnexpectedEof`), not a signal: it is read, not mapped.
    pub fn read_vectored_at(&self, slices: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<()> {
        let mut slices = slices;
        IoSliceMut::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let at = i64::try_from(offset).map_err(io::Error::other)?;
            match preadv(&self.file, slices, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    offset += read as u64;
                    IoSliceMut::advance_slices(&mut slices, read);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Whether it is still what was opened, as far as its size and its time tell.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        let now = self.file.metadata()?;
        Ok(now.len() == self.size && (now.mtime(), now.mtime_nsec()) == self.changed)
    }
}

/// What stands in the way to a file.
enum Obstacle {
    NotFound,
    Link,
    NotAFile,
    System(Errno),
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENAMETOOLONG => Self::NotFound,
            Errno::ELOOP => Self::Link,
            other => Self::System(other),
        }
    }
}

impl Obstacle {
    fn into_error(self, name: &BootName) -> FileError {
        let name = name.clone();
        match self {
            Self::NotFound => FileError::NotFound(name),
            Self::Link => FileError::Link(name),
            Self::NotAFile => FileError::NotAFile(name),
            Self::System(Errno::EACCES | Errno::EPERM) => FileError::Denied(name),
            Self::System(errno) => FileError::Other { name, source: errno.into() },
        }
    }
}

fn open_parts(root: &OwnedFd, parts: &[OsString]) -> Result<OwnedFd, Obstacle> {
    let (last, folders) = parts.split_last().ok_or(Obstacle::NotFound)?;
    let mut inner: Option<OwnedFd> = None;
    for part in folders {
        let folder = inner.as_ref().unwrap_or(root);
        inner = Some(open_part(folder, part, open_folder)?);
    }
    open_part(inner.as_ref().unwrap_or(root), last, open_regular)
}

/// Opens a part as it is written, or else as it is there in other case.
fn open_part(
    folder: &OwnedFd,
    part: &OsStr,
    how: impl Fn(&OwnedFd, &OsStr) -> Result<OwnedFd, Obstacle>,
) -> Result<OwnedFd, Obstacle> {
    match how(folder, part) {
        Err(Obstacle::NotFound) => match in_other_case(folder, part)? {
            Some(name) => how(folder, &name),
            None => Err(Obstacle::NotFound),
        },
        done => done,
    }
}

fn open_folder(folder: &OwnedFd, part: &OsStr) -> Result<OwnedFd, Obstacle> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(folder, part, flags, Mode::empty()) {
        Ok(inner) => Ok(inner),
        // A link, too, is no folder.
        Err(Errno::ENOTDIR) if kind(folder, part)? == SFlag::S_IFLNK => Err(Obstacle::Link),
        Err(Errno::ENOTDIR) => Err(Obstacle::NotFound),
        Err(errno) => Err(errno.into()),
    }
}

fn open_regular(folder: &OwnedFd, part: &OsStr) -> Result<OwnedFd, Obstacle> {
    let regular = |kind: SFlag| match kind {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFLNK => Err(Obstacle::Link),
        _ => Err(Obstacle::NotFound),
    };
    // Opening alone may wake a device, or wait for a pipe's other end.
    regular(kind(folder, part)?).map_err(|obstacle| match obstacle {
        Obstacle::NotFound => Obstacle::NotAFile,
        other => other,
    })?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(folder, part, flags, Mode::empty())?;
    // It may have been replaced meanwhile.
    let now = nix::sys::stat::fstat(&file)?;
    if type_of(now.st_mode) == SFlag::S_IFREG { Ok(file) } else { Err(Obstacle::NotAFile) }
}

fn kind(folder: &OwnedFd, part: &OsStr) -> Result<SFlag, Obstacle> {
    Ok(type_of(fstatat(folder, part, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode))
}

fn type_of(mode: nix::libc::mode_t) -> SFlag {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits())
}

fn in_other_case(folder: &OwnedFd, part: &OsStr) -> Result<Option<OsString>, Obstacle> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // A folder that may be entered but not listed knows only exact names.
    let Ok(listed) = openat(folder.as_fd(), ".", flags, Mode::empty()) else { return Ok(None) };
    let wanted = folded(part);
    let mut found: Option<OsString> = None;
    for entry in Dir::from_fd(listed)?.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if folded(name) == wanted && found.as_deref().is_none_or(|first| name < first) {
            found = Some(name.to_owned());
        }
    }
    Ok(found)
}

fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A boot folder, and beside it what must not be read.
    fn site() -> (TempDir, BootFiles) {
        let base = tempfile::tempdir().unwrap();
        let boot = base.path().join("boot");
        fs::create_dir_all(boot.join("EFI/Boot")).unwrap();
        fs::create_dir_all(boot.join("img")).unwrap();
        fs::write(base.path().join("secret"), "secret").unwrap();
        fs::write(boot.join("EFI/Boot/bootx64.efi"), "x64").unwrap();
        fs::write(boot.join("img/x"), "image").unwrap();
        (base, BootFiles::new(boot))
    }

    fn name(text: &str) -> BootName {
        BootName::parse(text.as_bytes()).unwrap()
    }

    fn content(files: &BootFiles, text: &str) -> Result<String, FileError> {
        let file = files.open(&name(text))?;
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap()];
        file.read_vectored_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap();
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn names_are_taken_as_loaders_write_them() {
        let (_base, files) = site();
        for text in [
            "EFI/Boot/bootx64.efi",
            "/EFI/Boot/bootx64.efi",
            "\\EFI\\Boot\\bootx64.efi",
            "efi\\boot\\BOOTX64.EFI",
            "./EFI//Boot/./bootx64.efi",
        ] {
            assert_eq!(content(&files, text).unwrap(), "x64", "{text}");
        }
    }

    #[test]
    fn the_end_mark_of_dhcp_is_no_part_of_a_name() {
        assert_eq!(BootName::parse(b"pxelinux.0\xff"), BootName::parse(b"pxelinux.0"));
    }

    #[test]
    fn what_stands_behind_a_doubled_separator_is_also_looked_for_from_the_top() {
        let (_base, files) = site();
        assert_eq!(content(&files, "bios//img/x").unwrap(), "image");
        assert!(matches!(content(&files, "bios/img/x"), Err(FileError::NotFound(_))));
    }

    #[test]
    fn the_name_as_written_goes_before_one_in_other_case() {
        let (base, files) = site();
        fs::write(base.path().join("boot/img/X"), "other").unwrap();
        assert_eq!(content(&files, "img/X").unwrap(), "other");
        assert_eq!(content(&files, "img/x").unwrap(), "image");
    }

    #[test]
    fn no_name_leads_upwards() {
        for text in ["..", "../secret", "img/../../secret", "..\\secret", "/..//../secret", "img\\..\\x"] {
            assert_eq!(BootName::parse(text.as_bytes()), Err(BadName::Parent), "{text}");
        }
    }

    #[test]
    fn an_absolute_name_means_the_boot_folder() {
        let (base, files) = site();
        let secret = base.path().join("secret");
        assert!(matches!(content(&files, secret.to_str().unwrap()), Err(FileError::NotFound(_))));
    }

    #[test]
    fn names_of_nothing_and_with_control_characters_are_refused() {
        assert_eq!(BootName::parse(b""), Err(BadName::Empty));
        assert_eq!(BootName::parse(b"/\\./"), Err(BadName::Empty));
        assert_eq!(BootName::parse(b"a\nb"), Err(BadName::Control(b'\n')));
        assert_eq!(BootName::parse(&[b'a'; 5000]), Err(BadName::TooLong(5000)));
    }

    #[test]
    fn links_are_not_followed() {
        let (base, files) = site();
        let boot = base.path().join("boot");
        symlink(base.path().join("secret"), boot.join("out")).unwrap();
        symlink("img", boot.join("within")).unwrap();
        symlink(base.path(), boot.join("base")).unwrap();
        for text in ["out", "OUT", "within/x", "base/secret"] {
            assert!(matches!(content(&files, text), Err(FileError::Link(_))), "{text}");
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (base, files) = site();
        let pipe = base.path().join("boot/pipe");
        nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
        for text in ["pipe", "img"] {
            assert!(matches!(content(&files, text), Err(FileError::NotAFile(_))), "{text}");
        }
        assert!(matches!(content(&files, "img/x/y"), Err(FileError::NotFound(_))));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let (base, files) = site();
        let file = files.open(&name("img/x")).unwrap();
        assert!(file.is_unchanged().unwrap());
        fs::write(base.path().join("boot/img/x"), "i").unwrap();
        let mut bytes = [0; 5];
        let error = file.read_vectored_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(!file.is_unchanged().unwrap());
    }

    #[test]
    fn no_text_tells_where_the_folder_lies() {
        let (base, files) = site();
        let error = files.open(&name("nothing")).unwrap_err().to_string();
        assert!(!error.contains(base.path().to_str().unwrap()), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_a_name_stays_one_when_it_is_written_and_read(bytes: Vec<u8>) {
            if let Ok(name) = BootName::parse(&bytes) {
                for part in name.parts() {
                    proptest::prop_assert!(part != ".." && part != "." && !part.is_empty());
                    proptest::prop_assert!(!part.as_bytes().iter().any(|byte| matches!(byte, b'/' | b'\\' | 0)));
                }
            }
        }
    }
}
