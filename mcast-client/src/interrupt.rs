//! Ctrl-C and SIGTERM: the first one ends in good order, the second one at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};

use crate::exit::{Exit, Failure};

/// Tells that the user wants the program to end.
pub(crate) struct Interrupt {
    wish: Receiver<()>,
}

impl Interrupt {
    /// Takes over the signals; once a process.
    pub(crate) fn install() -> Result<Self, Failure> {
        let raised = AtomicBool::new(false);
        let (tell, wish) = bounded(1);
        ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted.code().into());
            }
            // Once is enough.
            let _ = tell.try_send(());
        })
        .map_err(|error| Failure::of(Exit::Error, &error))?;
        Ok(Self { wish })
    }

    /// Gets a message at the first signal.
    pub(crate) fn wish(&self) -> &Receiver<()> {
        &self.wish
    }
}
