//! Ctrl-C and SIGTERM: the first one ends in good order, the second one at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};
use thiserror::Error;

/// The exit code of a program that its user ended, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Signals cannot be taken over.
#[derive(Debug, Error)]
#[error("cannot take over Ctrl-C")]
pub struct SignalError(#[from] ctrlc::Error);

/// Tells that the user wants the program to end.
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    wish: Receiver<()>,
}

impl Interrupt {
    /// Takes over the signals; once a process.
    ///
    /// # Errors
    /// They are taken already, or the system refuses.
    pub fn install() -> Result<Self, SignalError> {
        let flag = Arc::new(AtomicBool::new(false));
        let (tell, wish) = bounded(1);
        let raised = flag.clone();
        ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            // Once is enough.
            let _ = tell.try_send(());
        })?;
        Ok(Self { flag, wish })
    }

    /// Raised by the first signal.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Gets a message at the first signal.
    pub fn wish(&self) -> &Receiver<()> {
        &self.wish
    }
}
