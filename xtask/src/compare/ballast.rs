//! Memory that was just in use, for tools to use next.
//!
//! Some virtual machines give free memory back to their host within seconds, and the first touch of it
//! then costs several times the copy into it: that would be measured, and not the tools. So as much as
//! their copies take is filled before, and freed little by little as the copies grow.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::statvfs::statvfs;

use crate::files;

const LOOK: Duration = Duration::from_millis(10);
/// So much is free at any time, ahead of what is written.
const AHEAD: u64 = 256 << 20;

/// A file in memory that shrinks as others beside it grow; gone when it is dropped.
pub(super) struct Ballast {
    path: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ballast {
    /// Fills `bytes` in `folder`.
    pub(super) fn fill(folder: &Path, bytes: u64) -> Result<Self> {
        let path = folder.join("ballast");
        files::write_random(&path, bytes, 0)?;
        Ok(Self { path, over: Arc::default(), thread: None })
    }

    /// From now on it makes room.
    pub(super) fn yield_to_others(&mut self) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path);
        let file = file.with_context(|| format!("cannot open {}", self.path.display()))?;
        let (path, over) = (self.path.clone(), self.over.clone());
        let full = used(&path)?;
        self.thread = Some(std::thread::spawn(move || make_room(&file, &path, full, &over)));
        Ok(())
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Shrinks `file` so that what is used beside it stays [`AHEAD`] below `full`.
fn make_room(file: &File, path: &Path, full: u64, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let (Ok(metadata), Ok(used)) = (file.metadata(), used(path)) else { return };
        let surplus = (used + AHEAD).saturating_sub(full).min(metadata.len());
        if metadata.len() == 0 || surplus > 0 && file.set_len(metadata.len() - surplus).is_err() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Bytes in use on the filesystem of `path`.
fn used(path: &Path) -> Result<u64> {
    let stat = statvfs(path).with_context(|| format!("cannot ask for the space at {}", path.display()))?;
    Ok((stat.blocks() - stat.blocks_free()) * stat.fragment_size())
}
