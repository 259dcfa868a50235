//! The programs: where they are, and how one is started and ended.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Where `mcast-server` and `mcast-client` are, if they are not to be built.
const FOLDER: &str = "MCAST_BIN_DIR";
/// Between two looks at a process.
const TICK: Duration = Duration::from_millis(20);

/// The path of one of our programs, freshly built unless `MCAST_BIN_DIR` says where it is.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")));
    let path = folder.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.join(name);
    ensure!(path.is_file(), "{} does not exist: build it, or leave {FOLDER} away", path.display());
    Ok(path)
}

fn find_or_build() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return PathBuf::from(&folder).canonicalize().with_context(|| format!("{FOLDER} is {folder:?}"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "-q", "-p", "mcast-server", "-p", "mcast-client"]).status()?;
    ensure!(built.success(), "mcast-server and mcast-client cannot be built");
    // This program lies in the folder of its profile, or in one below.
    let here = std::env::current_exe()?;
    let folder = here.ancestors().find(|folder| folder.join("mcast-server").is_file());
    Ok(folder.context("the programs that were built cannot be found")?.to_owned())
}

/// A process in a group of its own; its group is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with all that it says in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Sends a signal to it alone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.ended()? {
                Some(status) => return Ok(status),
                None if begun.elapsed() > limit => bail!("it still runs after {limit:?}; it said:\n{}", self.said()),
                None => std::thread::sleep(TICK),
            }
        }
    }

    /// What it said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A group outlives its first process: what a browser started is in it.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
