//! What differs between platforms.

use std::io::stdin;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// Reading the terminal from the background gives this thread an error, instead of stopping the program.
pub(crate) fn survive_background_reads() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTIN);
    // Without it a program sent to the background stops when somebody types: bad, but no reason to end.
    let _ = set.thread_block();
}

/// The user's folder for what can be made again (XDG base directories), if there is one.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("mcast"))
}

/// How the terminal treats what is typed, to be put back.
pub(crate) struct Typing(Termios);

impl Typing {
    /// As it is now; nothing where the standard input is no terminal.
    pub(crate) fn now() -> Option<Self> {
        tcgetattr(stdin()).ok().map(Self)
    }

    /// As it was then.
    pub(crate) fn restore(&self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.0);
    }
}
