//! A program under test: started, watched, signalled, ended.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{events, interrupt};

/// How often a process is looked at: the resolution of the times measured.
const TICK: Duration = Duration::from_millis(5);
/// How often its memory is read.
const MEMORY_TICK: Duration = Duration::from_millis(50);

/// A running or ended process; dropped, it is killed if it still runs.
pub(crate) struct Running {
    label: String,
    child: Child,
    output: Option<Output>,
    started: Instant,
    memory_read: Option<Instant>,
    memory: Memory,
    ended: Option<Ended>,
}

/// Peaks of a process's memory, sampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes resident, file mappings included.
    pub(crate) resident: u64,
    /// Bytes resident that no file backs: the memory without the image's mapping.
    pub(crate) anonymous: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// When.
    pub(crate) at: Instant,
    /// Its exit code or signal.
    pub(crate) status: ExitStatus,
    /// User and kernel time of all its threads, and of the children it waited for.
    pub(crate) cpu: Duration,
}

struct Output {
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts `command` with its output in `folder` and in a process group of its own, so that
    /// Ctrl-C reaches only us.
    pub(crate) fn start(label: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let output =
            Output { stdout: folder.join(format!("{label}.out")), stderr: folder.join(format!("{label}.err")) };
        let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        command.stdout(create(&output.stdout)?).stderr(create(&output.stderr)?).process_group(0);
        Self::spawn(label, command, Some(output))
    }

    /// Starts `command` on our terminal, in our process group, so that the terminal is its own.
    pub(crate) fn start_on_terminal(label: &str, command: &mut Command) -> Result<Self> {
        Self::spawn(label, command, None)
    }

    /// Starts `command` as [`Running::start`] does, with its standard output as a pipe to `reader`.
    pub(crate) fn start_into(
        label: &str,
        command: &mut Command,
        reader: &mut Command,
        folder: &Path,
    ) -> Result<(Self, Self)> {
        let mut writer = {
            let stderr = folder.join(format!("{label}.err"));
            let file = File::create(&stderr).with_context(|| format!("cannot write {}", stderr.display()))?;
            command.stdout(Stdio::piped()).stderr(file).process_group(0);
            Self::spawn(label, command, Some(Output { stdout: PathBuf::new(), stderr }))?
        };
        let pipe = writer.child.stdout.take().context("a piped child has no pipe")?;
        let label = format!("{label}-reader");
        let output =
            Output { stdout: folder.join(format!("{label}.out")), stderr: folder.join(format!("{label}.err")) };
        reader.stdin(pipe).stdout(File::create(&output.stdout)?).stderr(File::create(&output.stderr)?);
        let child = reader.process_group(0).spawn().with_context(|| format!("cannot start {label}"))?;
        Ok((writer, Self::new(&label, child, Some(output))))
    }

    fn spawn(label: &str, command: &mut Command, output: Option<Output>) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {label} ({})", program.display()))?;
        Ok(Self::new(label, child, output))
    }

    fn new(label: &str, child: Child, output: Option<Output>) -> Self {
        Self {
            label: label.to_owned(),
            child,
            output,
            started: Instant::now(),
            memory_read: None,
            memory: Memory::default(),
            ended: None,
        }
    }

    /// The name by which messages call it.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Peaks of its memory so far.
    pub(crate) fn memory(&self) -> Memory {
        self.memory
    }

    /// How many descriptors it has open now.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.child.id());
        Ok(std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?.count())
    }

    /// Bytes that it had resident at most so far, by the kernel's account.
    pub(crate) fn resident_peak(&self) -> Result<u64> {
        let status = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&status).with_context(|| format!("cannot read {status}"))?;
        Ok(parse_memory(&text).resident)
    }

    /// Looks at the process: how it ended, or `None` while it runs.
    pub(crate) fn poll(&mut self) -> Result<Option<Ended>> {
        if self.ended.is_none() {
            self.read_memory();
            // Not reaped yet: what reaping adds to our children's processor time is its own.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let state =
                waitid(Id::Pid(self.pid()), flags).with_context(|| format!("cannot wait for {}", self.label))?;
            if state != WaitStatus::StillAlive {
                self.reap()?;
            }
        }
        Ok(self.ended)
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if self.poll()?.is_none() {
            self.child.kill().with_context(|| format!("cannot kill {}", self.label))?;
            self.reap()?;
        }
        Ok(())
    }

    /// Sends it `signal`; nothing happens if it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.poll()?.is_none() {
            kill(self.pid(), signal).with_context(|| format!("cannot send {signal} to {}", self.label))?;
        }
        Ok(())
    }

    /// The events that it printed so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.output.as_ref().map(|output| events::read(&output.stdout)).unwrap_or_default()
    }

    /// What it has logged so far, if it logs as JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.output.as_ref().map(|output| events::read(&output.stderr)).unwrap_or_default()
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.said(|output| &output.stdout)
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.said(|output| &output.stderr)
    }

    fn said(&self, file: impl Fn(&Output) -> &PathBuf) -> String {
        let read = |output: &Output| std::fs::read(file(output)).ok();
        self.output.as_ref().and_then(read).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// An error that says how it ended and what it said last.
    pub(crate) fn complaint(&self) -> anyhow::Error {
        let ended = self.ended.map_or("still runs".to_owned(), |ended| format!("ended with {}", ended.status));
        let events = self.events();
        let stderr = self.stderr();
        let words = events::error(&events).or_else(|| stderr.lines().rev().find(|line| !line.trim().is_empty()));
        let words = words.map_or(String::new(), |words| format!(": {}", words.trim()));
        anyhow::anyhow!("{} {ended}{words}", self.label)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn reap(&mut self) -> Result<()> {
        let at = Instant::now();
        let wait = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.pid()), wait).with_context(|| format!("cannot wait for {}", self.label))?;
        let before = children_time()?;
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.label))?;
        let cpu = children_time()?.saturating_sub(before);
        self.ended = Some(Ended { at, status, cpu });
        Ok(())
    }

    fn read_memory(&mut self) {
        if self.memory_read.is_some_and(|at| at.elapsed() < MEMORY_TICK) {
            return;
        }
        self.memory_read = Some(Instant::now());
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let now = parse_memory(&status);
        self.memory.resident = self.memory.resident.max(now.resident);
        self.memory.anonymous = self.memory.anonymous.max(now.anonymous);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until each has ended, however it ended; one that has not within `limit` is an error.
pub(crate) fn wait_for<'a>(processes: impl IntoIterator<Item = &'a mut Running>, limit: Duration) -> Result<()> {
    wait_for_and_watch(processes, limit, None)
}

/// Waits as [`wait_for`] does and meanwhile looks at another process, so that its peaks are seen.
pub(crate) fn wait_for_and_watch<'a>(
    processes: impl IntoIterator<Item = &'a mut Running>,
    limit: Duration,
    mut watched: Option<&mut Running>,
) -> Result<()> {
    let end = Instant::now() + limit;
    let mut left: Vec<_> = processes.into_iter().collect();
    loop {
        let mut waiting = Vec::with_capacity(left.len());
        for process in left {
            if process.poll()?.is_none() {
                waiting.push(process);
            }
        }
        left = waiting;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            let labels: Vec<_> = left.iter().map(|process| process.label()).collect();
            let watched = watched.map_or(String::new(), |watched| format!("; {:#}", watched.complaint()));
            bail!("after {} s these still run: {}{watched}", limit.as_secs(), labels.join(", "));
        }
        if let Some(watched) = &mut watched {
            watched.poll()?;
        }
        interrupt::check()?;
        std::thread::sleep(TICK);
    }
}

/// Waits until each has ended with exit code 0.
pub(crate) fn wait_for_success<'a>(
    processes: impl IntoIterator<Item = &'a mut Running>,
    limit: Duration,
) -> Result<()> {
    wait_for_success_and_watch(processes, limit, None)
}

/// Waits until each has ended with exit code 0, and meanwhile looks at another process.
pub(crate) fn wait_for_success_and_watch<'a>(
    processes: impl IntoIterator<Item = &'a mut Running>,
    limit: Duration,
    watched: Option<&mut Running>,
) -> Result<()> {
    let mut processes: Vec<_> = processes.into_iter().collect();
    wait_for_and_watch(processes.iter_mut().map(|process| &mut **process), limit, watched)?;
    match processes.iter().find(|process| !process.ended.is_some_and(|ended| ended.status.success())) {
        Some(process) => Err(process.complaint()),
        None => Ok(()),
    }
}

/// User and kernel time of all children that were waited for, to the microsecond.
fn children_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the children's processor time")?;
    let micros = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

fn parse_memory(status: &str) -> Memory {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Memory { resident: bytes("VmHWM:").unwrap_or(0), anonymous: bytes("RssAnon:").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nRssAnon:\t     100 kB\n";
        assert_eq!(parse_memory(status), Memory { resident: 2 << 20, anonymous: 100 << 10 });
    }

    #[test]
    fn a_process_that_fails_is_named_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'error: no such thing' >&2; exit 3"]);
        let mut running = Running::start("client-1", &mut command, folder.path()).unwrap();
        let error = wait_for_success([&mut running], Duration::from_secs(10)).unwrap_err().to_string();
        assert_eq!(error, "client-1 ended with exit status: 3: error: no such thing");
    }

    #[test]
    fn the_processor_time_of_a_process_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
        let mut running = Running::start("busy", &mut command, folder.path()).unwrap();
        wait_for([&mut running], Duration::from_secs(60)).unwrap();
        assert!(running.poll().unwrap().unwrap().cpu > Duration::from_millis(1));
    }

    #[test]
    fn a_stopped_process_counts_as_running_and_can_be_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start("sleeper", Command::new("sleep").arg("60"), folder.path()).unwrap();
        running.signal(Signal::SIGSTOP).unwrap();
        let error = wait_for([&mut running], Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("sleeper"), "{error}");
        running.kill().unwrap();
        assert!(running.poll().unwrap().is_some());
    }
}
