//! Ctrl-C ends the task, not the process: every wait ends with an error, and what was set up is
//! torn down on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Catches SIGINT, SIGTERM and SIGHUP from here on.
pub(crate) fn catch() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("cannot catch Ctrl-C")
}

/// Whether one of the signals came.
pub(crate) fn came() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// An error once one of the signals came.
pub(crate) fn check() -> Result<()> {
    if came() { bail!("interrupted") } else { Ok(()) }
}

/// Sleeps for `time`, or up to the signal.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    const SLICE: Duration = Duration::from_millis(20);
    let end = Instant::now() + time;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}
