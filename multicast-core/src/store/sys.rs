//! What the operating system does for a store; all of the platform stands here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, OFlag};
use nix::sys::stat::{major, minor};

/// An open file under an exclusive lock, which a crash of its holder ends.
pub(super) type Locked = Flock<File>;

/// Slices that one `pwritev` takes (`IOV_MAX`).
const SLICES: usize = 1024;

/// Writes all of `slices` from `offset` on.
pub(super) fn write_slices(file: &File, slices: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    for batch in slices.chunks(SLICES) {
        let mut written = pwritev(file, batch, offset)?;
        for slice in batch {
            // What a short write left goes out slice by slice: it is rare.
            if written < slice.len() {
                file.write_all_at(&slice[written..], offset + written as u64)?;
            }
            written = written.saturating_sub(slice.len());
            offset += slice.len() as u64;
        }
    }
    Ok(())
}

fn pwritev(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    loop {
        match nix::sys::uio::pwritev(file, slices, signed(offset)?) {
            Err(Errno::EINTR) => {}
            done => return Ok(done?),
        }
    }
}

fn signed(bytes: u64) -> io::Result<i64> {
    i64::try_from(bytes).map_err(|_| Errno::EFBIG.into())
}

/// Gives `file` the size `len` and, where the filesystem can, the disk space for it. What it holds stays.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    // Later writes gain, too (dd into the page cache of ext4: 3.5 GB/s instead of 1.0). The C library's
    // `posix_fallocate` would write into every page where the filesystem cannot.
    allocate(file, FallocateFlags::empty(), 0, len)
}

/// Takes disk space for `len` bytes from `offset` on without changing the size of `file`.
pub(super) fn reserve_behind(file: &File, offset: u64, len: u64) -> io::Result<()> {
    allocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, len)
}

fn allocate(file: &File, mode: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
    // Memory has no layout to keep together, and giving out 1 GiB of pages takes 0.25 s in which
    // nothing is received.
    if nix::sys::statfs::fstatfs(file)?.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC {
        return Ok(());
    }
    loop {
        match nix::fcntl::fallocate(file, mode, signed(offset)?, signed(len)?) {
            Err(Errno::EINTR) => {}
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
            done => return Ok(done?),
        }
    }
}

/// Bytes that this user can still write in the filesystem of `folder`; `None` if it does not tell.
pub(super) fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    let stat = nix::sys::statvfs::statvfs(folder)?;
    let told = stat.blocks() != 0;
    Ok(told.then(|| stat.blocks_available().saturating_mul(stat.fragment_size())))
}

/// Disk space that `file` already has, in bytes.
pub(super) fn allocated(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(512))
}

/// Locks `file`; `None` if another process has it.
pub(super) fn lock(file: File) -> io::Result<Option<Locked>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Opens `path` for reading and writing, as a new file if `create` says so; a symbolic link is refused.
pub(super) fn open_part(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(create).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)
}

/// Whether `path` still names the open `file`.
pub(super) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network filesystems know no such thing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

/// What a path names, as far as a store treats it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Absent,
    File,
    Folder,
    BlockDevice,
    /// A pipe or a character device: bytes go in and are gone.
    Stream,
    Other,
}

/// What `path` names; symbolic links are followed.
pub(super) fn node(path: &Path) -> io::Result<Node> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Node::Absent),
        Err(error) => return Err(error),
    };
    Ok(if kind.is_file() {
        Node::File
    } else if kind.is_dir() {
        Node::Folder
    } else if kind.is_block_device() {
        Node::BlockDevice
    } else if kind.is_fifo() || kind.is_char_device() {
        Node::Stream
    } else {
        Node::Other
    })
}

/// Opens a block device for this process alone; fails with `EBUSY` if the system uses it.
pub(super) fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_EXCL.bits()).open(path)
}

/// Bytes of an open device or file.
pub(super) fn size_of(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// Whether the kernel has the block device at `path` as read-only.
pub(super) fn is_read_only(path: &Path) -> io::Result<bool> {
    let (major, minor) = device_number(path)?;
    // Opening such a device for writing succeeds with several drivers.
    let ro = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro"));
    Ok(ro.is_ok_and(|ro| ro.trim() == "1"))
}

/// Where the block device at `path`, or a partition of it, is mounted.
pub(super) fn mount_point(path: &Path) -> io::Result<Option<PathBuf>> {
    let (major, minor) = device_number(path)?;
    let mut numbers = vec![format!("{major}:{minor}")];
    if let Ok(entries) = fs::read_dir(format!("/sys/dev/block/{major}:{minor}")) {
        let partitions = entries.flatten().filter(|entry| entry.path().join("partition").exists());
        let dev = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("dev")).ok();
        numbers.extend(partitions.filter_map(dev).map(|number| number.trim().to_owned()));
    }
    let Ok(table) = fs::read("/proc/self/mountinfo") else { return Ok(None) };
    let table = String::from_utf8_lossy(&table);
    Ok(numbers.iter().find_map(|number| mounted_in(&table, number)))
}

fn device_number(path: &Path) -> io::Result<(u64, u64)> {
    let number = fs::metadata(path)?.rdev();
    Ok((major(number), minor(number)))
}

/// The mount point of device `number` (`major:minor`) in the text of `/proc/self/mountinfo`.
fn mounted_in(table: &str, number: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.nth(2)? == number).then_some(())?;
        fields.nth(1).map(|escaped| PathBuf::from(unescape(escaped)))
    })
}

/// The kernel writes spaces and backslashes of a path as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mount_is_found_by_its_device_number_and_its_name_is_unescaped() {
        let table = "22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     31 22 8:17 / /media/my\\040disk rw - vfat /dev/sdb1 rw\n";
        assert_eq!(mounted_in(table, "8:17"), Some("/media/my disk".into()));
        assert_eq!(mounted_in(table, "253:0"), Some("/".into()));
        assert_eq!(mounted_in(table, "8:1"), None);
    }

    proptest! {
        #[test]
        fn no_mount_table_panics(table in "([ -~\n]|\\\\[0-9]{0,3}|é)*", number in "[0-9]:[0-9]") {
            let _ = mounted_in(&table, &number);
        }
    }

    #[test]
    fn more_slices_than_one_call_takes_are_written_in_order() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3000u32).map(|i| i as u8).collect();
        let slices: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        write_slices(&file, &slices, 7).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 7).unwrap();
        assert_eq!(back, bytes);
    }
}
