//! What can go wrong with an output, and whose fault it is.

use std::io;
use std::path::PathBuf;

use crate::types::BlockIndex;

/// Why a store cannot take or give bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder of the output is not there.
    #[error("cannot write {output}: the folder {folder} does not exist", output = .output.display(), folder = .folder.display())]
    FolderMissing {
        /// As the user named it.
        output: PathBuf,
        /// The missing folder.
        folder: PathBuf,
    },
    /// What should be the folder of the output is something else.
    #[error("cannot write {output}: {folder} is not a folder", output = .output.display(), folder = .folder.display())]
    NotAFolder {
        /// As the user named it.
        output: PathBuf,
        /// What is no folder.
        folder: PathBuf,
    },
    /// A delivery of several files, and the output is no folder to take them.
    #[error("the delivery has {files} files, so the output must be an existing folder: {output} is not", output = .output.display())]
    FolderNeeded {
        /// As the user named it.
        output: PathBuf,
        /// Files of the delivery.
        files: usize,
    },
    /// A folder, a socket or the like stands where the file belongs.
    #[error("cannot write {path}: it exists and is not a regular file", path = .path.display())]
    NotAFile {
        /// Where the file belongs.
        path: PathBuf,
    },
    /// A delivered file is named like one of the store's own.
    #[error("cannot receive a file named {name:?} into a folder: names that end in {suffix:?} are the receiver's own")]
    ReservedName {
        /// The file's name in the delivery.
        name: String,
        /// What it must not end in.
        suffix: &'static str,
    },
    /// An output of one image, and a delivery of several files.
    #[error("the delivery has {files} files, {output} takes only one")]
    OneFileOnly {
        /// The device, or the standard output.
        output: String,
        /// Files of the delivery.
        files: usize,
    },
    /// The image would be printed on a terminal.
    #[error("the standard output is a terminal: direct it to a file or a pipe")]
    Terminal,
    /// Another process holds the lock of the output.
    #[error("another client is writing {output}", output = .output.display())]
    InUse {
        /// The file or device.
        output: PathBuf,
    },
    /// No block device of this name.
    #[error("{path} is not a block device", path = .path.display())]
    NotADevice {
        /// The name.
        path: PathBuf,
    },
    /// The device, or one of its partitions, is mounted.
    #[error("the device {device} is mounted on {mount_point}: unmount it first", device = .device.display(), mount_point = .mount_point.display())]
    DeviceMounted {
        /// The device.
        device: PathBuf,
        /// Where it, or its partition, is mounted.
        mount_point: PathBuf,
    },
    /// The system uses the device: as swap, in a RAID, under a device mapper.
    #[error("the device {device} is in use by the system (mounted, swap, RAID, LVM or the like)", device = .device.display())]
    DeviceBusy {
        /// The device.
        device: PathBuf,
    },
    /// The image does not fit.
    #[error("the device {device} has {size} bytes, the image needs {needed}", device = .device.display())]
    DeviceTooSmall {
        /// The device.
        device: PathBuf,
        /// Its bytes.
        size: u64,
        /// Bytes of the image.
        needed: u64,
    },
    /// The device refuses all writing.
    #[error("the device {device} is read-only", device = .device.display())]
    DeviceReadOnly {
        /// The device.
        device: PathBuf,
    },
    /// No file can be made in the folder.
    #[error("cannot create a file in {folder}", folder = .folder.display())]
    FolderNotWritable {
        /// The folder.
        folder: PathBuf,
        /// Why: no permission, a read-only filesystem, …
        source: io::Error,
    },
    /// Fewer bytes are free than the image needs.
    #[error("not enough space in {folder}: {needed} bytes are needed, {free} are free", folder = .folder.display())]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// Bytes that must still be allocated.
        needed: u64,
        /// Bytes that the filesystem has for this user.
        free: u64,
    },
    /// The filesystem does not give the file its size.
    #[error("cannot reserve {size} bytes for {path}", path = .path.display())]
    Reserve {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
        /// Why.
        source: io::Error,
    },
    /// A file, folder or device that cannot be opened or examined.
    #[error("cannot open {path}", path = .path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Bytes that could not be written: the disk is full, or fails.
    #[error("cannot write {len} bytes at offset {offset} of {path}", path = .path.display())]
    Write {
        /// The file or device.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How many.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// Bytes that could not be read back.
    #[error("cannot read {len} bytes at offset {offset} of {path}", path = .path.display())]
    Read {
        /// The file or device.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How many.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The system did not confirm that the bytes are on the disk.
    #[error("cannot sync {path} to the disk", path = .path.display())]
    Sync {
        /// The file, folder or device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The finished file did not get its name.
    #[error("cannot rename {from} to {to}", from = .from.display(), to = .to.display())]
    Rename {
        /// Its temporary name, under which it stays.
        from: PathBuf,
        /// Its final name.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A leftover that cannot be removed.
    #[error("cannot remove {path}", path = .path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal cannot be read or written.
    #[error("cannot {action} the journal {path}", path = .path.display())]
    Journal {
        /// The journal's file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The reader of the stream has gone; nobody wants the rest.
    #[error("the reader of the output closed it after {passed} of {size} bytes")]
    StreamClosed {
        /// Bytes of the blocks that it had taken.
        passed: u64,
        /// Bytes of the image.
        size: u64,
    },
    /// The stream takes no more bytes.
    #[error("cannot write to the output after {passed} of {size} bytes")]
    Stream {
        /// Bytes of the blocks that it had taken.
        passed: u64,
        /// Bytes of the image.
        size: u64,
        /// Why.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A caller's mistake: bytes that the delivery does not have.
    #[error("{len} bytes at offset {offset} of file {file} are not of the delivery")]
    OutOfBounds {
        /// The file's index.
        file: usize,
        /// Where in it.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// A caller's mistake: a block that the store cannot take now.
    #[error("block {block} is outside the window {start}..{end}")]
    OutsideWindow {
        /// The block.
        block: BlockIndex,
        /// The first block of the window.
        start: BlockIndex,
        /// The first one behind the window.
        end: BlockIndex,
    },
    /// A caller's mistake: not all is verified.
    #[error("{missing} blocks are not verified yet")]
    Unverified {
        /// How many.
        missing: usize,
    },
}

/// Who must act on a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The output is named wrongly, or something else uses it: another command helps.
    Config,
    /// The disk is full, read-only or failing: another disk, or room on this one, helps.
    Disk,
    /// Who read the output has gone.
    Closed,
    /// The caller asked to stop.
    Cancelled,
    /// The system lacks means, such as threads.
    System,
    /// The engine used the store wrongly.
    Misuse,
}

impl StoreError {
    /// Who must act on it.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::FolderMissing { .. }
            | Self::NotAFolder { .. }
            | Self::FolderNeeded { .. }
            | Self::NotAFile { .. }
            | Self::ReservedName { .. }
            | Self::OneFileOnly { .. }
            | Self::Terminal
            | Self::InUse { .. }
            | Self::NotADevice { .. }
            | Self::DeviceMounted { .. }
            | Self::DeviceBusy { .. }
            | Self::DeviceTooSmall { .. } => StoreErrorKind::Config,
            Self::DeviceReadOnly { .. }
            | Self::FolderNotWritable { .. }
            | Self::NoSpace { .. }
            | Self::Reserve { .. }
            | Self::Open { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Sync { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::Journal { .. }
            | Self::Stream { .. } => StoreErrorKind::Disk,
            Self::StreamClosed { .. } => StoreErrorKind::Closed,
            Self::Cancelled => StoreErrorKind::Cancelled,
            Self::Thread { .. } => StoreErrorKind::System,
            Self::OutOfBounds { .. } | Self::OutsideWindow { .. } | Self::Unverified { .. } => StoreErrorKind::Misuse,
        }
    }
}
