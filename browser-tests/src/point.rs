//! A distribution point: `mcast-server serve` on loopback, with a folder, ports and tokens of its own.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::LIMIT;
use crate::bare::BOOT_PORT;
use crate::machine::Machine;
use crate::programs::{self, Process};

/// The operator's token, and the viewer's.
pub const TOKEN: &str = "operator-0123456789abcdef";
/// See [`TOKEN`].
pub const VIEWER: &str = "viewer-0123456789abcdef0";

/// Between two questions.
const TICK: Duration = Duration::from_millis(50);

/// What a distribution point is to have.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Images: name and bytes, which no two blocks share.
    pub images: Vec<(String, usize)>,
    /// Further settings, as TOML with all tables.
    pub settings: String,
    /// Whether there are tokens: without any the API is off.
    pub closed: bool,
}

impl Plan {
    /// One image, served at `rate`.
    pub fn of(image: &str, bytes: usize, rate: &str) -> Self {
        let settings = format!("[rate]\ncustom = \"{rate}\"\n");
        Self { images: vec![(image.to_owned(), bytes)], settings, closed: false }
    }

    /// The same with further settings.
    #[must_use]
    pub fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self
    }

    /// The same, from which machines of the loopback interface boot; UDP port 69 takes root.
    #[must_use]
    pub fn booting(self) -> Self {
        self.with(&format!("[pxe]\nenabled = true\nmode = \"off\"\ninterfaces = [\"lo\"]\nhttp = {BOOT_PORT}\n"))
    }

    /// The same with another image.
    #[must_use]
    pub fn image(mut self, name: &str, bytes: usize) -> Self {
        self.images.push((name.to_owned(), bytes));
        self
    }
}

/// A running distribution point; it and its folder go when it is dropped.
#[derive(Debug)]
pub struct Point {
    process: Option<Process>,
    folder: TempDir,
    control: u16,
    http: u16,
    client: reqwest::Client,
}

impl Point {
    /// Starts one and waits until its images can be had.
    ///
    /// # Errors
    /// If it does not come up in time; the error has what it said.
    pub async fn start(plan: &Plan) -> Result<Self> {
        // The copies of many machines need memory, not a disk.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::with_prefix_in("mcast-page-", memory)? } else { TempDir::new()? };
        let images = folder.path().join("images");
        fs::create_dir(&images)?;
        for (name, bytes) in &plan.images {
            fs::write(images.join(name), content(*bytes))?;
        }
        let (control, http) = free_ports()?;
        let file = folder.path().join("serve.toml");
        fs::write(&file, settings(plan, control, http))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        // Whatever else is built with this may have taken the choice of a provider away.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut point = Self { process: None, folder, control, http, client };
        point.begin(plan.images.len()).await?;
        Ok(point)
    }

    /// Starts it again after [`kill`](Self::kill).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn begin(&mut self, images: usize) -> Result<()> {
        let mut command = Command::new(programs::path("mcast-server")?);
        command.arg("serve").arg("--config").arg(self.path("serve.toml"));
        self.process = Some(Process::start(&mut command, &self.path("server.log"))?);
        let begun = Instant::now();
        loop {
            if let Ok(ready) = self.get("ready").await
                && ready["images_ready"].as_u64() >= Some(images as u64)
            {
                return Ok(());
            }
            let process = self.process.as_mut().context("it was started just now")?;
            if process.ended()?.is_some() || begun.elapsed() > LIMIT {
                bail!("the server does not come up; it said:\n{}", process.said());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Kills it, as a power cut does.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.signal(Signal::SIGKILL)?;
        process.wait(LIMIT)?;
        Ok(())
    }

    /// The address of its page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.http)
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the server said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// Has `host` receive `image`.
    ///
    /// # Errors
    /// See [`Machine::start`].
    pub fn machine(&self, host: &str, image: &str) -> Result<Machine> {
        Machine::start(host, image, self.control, self.folder.path())
    }

    /// The same, which loses when it stalls.
    ///
    /// # Errors
    /// See [`Machine::start`].
    pub fn modest_machine(&self, host: &str, image: &str) -> Result<Machine> {
        Machine::start_modest(host, image, self.control, self.folder.path())
    }

    /// Whether what a machine stored is the image.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn is_copy(&self, machine: &Machine, image: &str) -> Result<bool> {
        Ok(fs::read(machine.output())? == fs::read(self.path("images").join(image))?)
    }

    /// Asks the API for `path` below `/api/v1/`, as operator.
    ///
    /// # Errors
    /// If there is no answer in JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}api/v1/{path}", self.url());
        Ok(self.client.get(url).bearer_auth(TOKEN).send().await?.json().await?)
    }

    /// Sends a document to `path` below `/api/v1/`, as operator.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}api/v1/{path}", self.url());
        let request = self.client.request(method.parse()?, url).bearer_auth(TOKEN).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{method} {path}: {status} {}", answer.text().await?);
        Ok(())
    }

    /// The session of `image`, if it runs.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub async fn session(&self, image: &str) -> Result<Option<Value>> {
        let sessions = self.get("sessions").await?;
        Ok(sessions.as_array().and_then(|all| all.iter().find(|session| session["image"] == image)).cloned())
    }

    /// Waits until there is a session of `image` of which `wanted` holds.
    ///
    /// # Errors
    /// If that does not come true.
    pub async fn session_where(&self, image: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let session = self.session(image).await?;
            if let Some(session) = session.as_ref().filter(|session| wanted(session)) {
                return Ok(session.clone());
            }
            ensure!(
                begun.elapsed() < LIMIT,
                "the session of {image} is {session:#?}; the server said:\n{}",
                self.said()
            );
            tokio::time::sleep(TICK).await;
        }
    }

    /// Fetches the first `share` of `image` by HTTP as a machine does that hears no multicast.
    pub fn fetcher(&self, host: &str, image: &str) -> Fetcher {
        let url = format!("{}content/images/{image}", self.url());
        Fetcher { client: self.client.clone(), url, host: host.to_owned() }
    }
}

/// A machine that fetches by HTTP, piece by piece.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    url: String,
    host: String,
}

impl Fetcher {
    /// Fetches bytes `from` to `to`, and says that so many of `blocks` are verified.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn fetch(&self, from: u64, to: u64, (verified, blocks): (u32, u32)) -> Result<()> {
        let request = self.client.get(&self.url).header("Range", format!("bytes={from}-{}", to - 1));
        let number =
            self.host.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.rotate_left(9) ^ u64::from(byte));
        let request = request.header("X-Mcast-Client", format!("{number:016x}")).header("X-Mcast-Host", &self.host);
        let reason = "nothing was heard of the group within 10 s";
        let request =
            request.header("X-Mcast-Reason", reason).header("X-Mcast-Verified", format!("{verified}/{blocks}"));
        let bytes = request.send().await?.error_for_status()?.bytes().await?;
        ensure!(bytes.len() as u64 == to - from, "{} bytes came", bytes.len());
        Ok(())
    }
}

fn settings(plan: &Plan, control: u16, http: u16) -> String {
    let tokens = format!(
        "[[token]]\nname = \"ops\"\nrole = \"operator\"\ntoken = \"{TOKEN}\"\n\
         [[token]]\nname = \"wall\"\nrole = \"viewer\"\ntoken = \"{VIEWER}\"\n"
    );
    format!(
        "[site]\nname = \"North campus\"\nstate = \"state\"\n\
         [server]\nname = \"imaging-1\"\ninterface = \"lo\"\ncontrol_port = {control}\n\
         [content]\nimages = \"images\"\nsettle = \"100ms\"\n\
         [http]\nlisten = [\"127.0.0.1:{http}\"]\n{}{}",
        plan.settings,
        if plan.closed { "" } else { &tokens }
    )
}

/// A port of UDP and one of TCP that nobody has on loopback now.
fn free_ports() -> Result<(u16, u16)> {
    let udp = UdpSocket::bind(("127.0.0.1", 0))?;
    let tcp = TcpListener::bind(("127.0.0.1", 0))?;
    Ok((udp.local_addr()?.port(), tcp.local_addr()?.port()))
}

/// Bytes of which no two blocks are alike.
fn content(bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.take(bytes).collect()
}
