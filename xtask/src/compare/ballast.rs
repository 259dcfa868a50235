//! Memory that was just in use, for tools to use next.
//!
//! Some virtual machines give free memory back to their host within seconds, and the first touch of it
//! then costs several times the copy into it: that would be measured, and not the tools. So all memory
//! that is free is filled before each tool's turn, and freed little by little as it is taken.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::interrupt;

const LOOK: Duration = Duration::from_millis(5);
/// So much stays free, for what is taken between two looks.
const FREE: u64 = 1 << 30;
const CHUNK: usize = 1 << 20;

/// A file in memory that shrinks as others take memory; gone when it is dropped.
pub(super) struct Ballast {
    _folder: TempDir,
    file: Arc<Mutex<File>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ballast {
    /// Of no size yet.
    pub(super) fn new(folder: TempDir) -> Result<Self> {
        let path = folder.path().join("ballast");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let (file, over) = (Arc::new(Mutex::new(file)), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (file, over) = (file.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    // What cannot be freed now may be at the next look.
                    let _ = make_room(&file.lock().unwrap_or_else(PoisonError::into_inner));
                    std::thread::sleep(LOOK);
                }
            }
        });
        Ok(Self { _folder: folder, file, over, thread: Some(thread) })
    }

    /// Fills what is free.
    pub(super) fn fill(&self) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::End(0))?;
        let chunk = vec![1; CHUNK];
        while free_memory()? > FREE + CHUNK as u64 {
            interrupt::check()?;
            file.write_all(&chunk).context("cannot fill the memory")?;
        }
        Ok(())
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn make_room(file: &File) -> Result<()> {
    let missing = FREE.saturating_sub(free_memory()?);
    if missing > 0 {
        file.set_len(file.metadata()?.len().saturating_sub(missing))?;
    }
    Ok(())
}

/// Bytes of memory that nobody uses.
fn free_memory() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let free = table.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = free.and_then(|line| line.split_whitespace().next()).context("no MemFree in /proc/meminfo")?;
    Ok(kib.parse::<u64>()? << 10)
}
