//! A distribution point in the lab: `mcast-server serve` in the sender's namespace, its clients, its API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Lab;
use super::net::{Network, SENDER};
use super::tools::{self, tool};
use crate::process::{self, Running};
use crate::{files, interrupt};

/// Where it serves HTTP, by TLS.
pub(super) const HTTP_PORT: u16 = 62_999;
/// Where it serves HTTP on its own host, without TLS.
pub(super) const LOCAL_PORT: u16 = 62_990;
/// Where machines load what they boot.
pub(super) const PXE_PORT: u16 = 62_997;
/// The operator's token.
pub(super) const TOKEN: &str = "lab-operator-0123456789abcdef";
/// A start, or a change that is seen at once, takes so long at most.
const SOON: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What a point is like.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) clients: usize,
    /// Bytes of the one image, `image.bin`.
    pub(super) bytes: u64,
    /// Bits per second on the wire.
    pub(super) rate_mbit: u64,
    /// Further settings, as `--set` takes them.
    pub(super) settings: Vec<String>,
}

impl Setup {
    pub(super) fn new(clients: usize, mib: u64, rate_mbit: u64, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { clients, bytes: mib << 20, rate_mbit, settings }
    }

    /// How long the image takes at the rate, headers counted.
    pub(super) fn image_time(&self) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 * 1514.0 / 1440.0 * 8.0 / (self.rate_mbit as f64 * 1e6))
    }
}

/// The point; all of it goes when it is dropped.
pub(super) struct Point<'a> {
    lab: &'a Lab,
    setup: Setup,
    folder: PathBuf,
    servers: BTreeMap<Host, Running>,
    clients: BTreeMap<usize, Running>,
    helpers: Vec<Running>,
    net: Network,
    starts: u32,
}

/// Where a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Sender,
    /// In the namespace of a receiver, which then is no client.
    Receiver(usize),
}

impl<'a> Point<'a> {
    /// A network, a folder with an image of random bytes, and no server yet.
    pub(super) fn open(lab: &'a Lab, setup: &Setup) -> Result<Self> {
        let (folder, number) = lab.new_folder()?;
        std::fs::create_dir(folder.join("images"))?;
        files::write_random(&folder.join("images/image.bin"), setup.bytes, number.into())?;
        let net = Network::new(number, setup.clients)?;
        let (servers, clients, helpers) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Ok(Self { lab, setup: setup.clone(), folder, servers, clients, helpers, net, starts: 0 })
    }

    /// The same with a server that is ready.
    pub(super) fn serve(lab: &'a Lab, setup: &Setup) -> Result<Self> {
        let mut point = Self::open(lab, setup)?;
        point.start_server(Host::Sender)?;
        Ok(point)
    }

    pub(super) fn net(&self) -> &Network {
        &self.net
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn images(&self) -> PathBuf {
        self.folder.join("images")
    }

    /// Starts the server of `host`, or starts it again, and waits until it has the image.
    pub(super) fn start_server(&mut self, host: Host) -> Result<()> {
        let name = host.name();
        let config = self.folder.join(format!("{name}.toml"));
        std::fs::write(&config, self.config(host))?;
        files::make_private(&config)?;
        let mut command = self.in_namespace(host, &self.lab.binaries.server);
        command.args(["serve", "--config"]).arg(&config).args(["--log-format", "json"]);
        for setting in &self.setup.settings {
            command.args(["--set", setting]);
        }
        let label = self.label(&name);
        let server = Running::start(&label, &mut command, &self.folder)?;
        self.servers.insert(host, server);
        self.wait("the server to have its image", SOON, |point| {
            if point.server(host)?.poll()?.is_some() {
                return Err(point.server(host)?.complaint());
            }
            Ok(point.get(host, "images").is_ok_and(|images| images[0]["state"] == "ready"))
        })
    }

    fn config(&self, host: Host) -> String {
        let folder = self.folder.display();
        let name = host.name();
        format!(
            "[site]\nname = \"lab\"\nstate = \"{folder}/state-{name}\"\n\
             [server]\nname = \"{name}\"\ninterface = \"eth0\"\n\
             [rate]\ncustom = \"{}mbit\"\n\
             [content]\nimages = \"{folder}/images\"\nsettle = \"500ms\"\n\
             [http]\nlisten = [\"0.0.0.0:{HTTP_PORT}\", \"127.0.0.1:{LOCAL_PORT}\"]\n\
             [[token]]\nname = \"lab\"\nrole = \"operator\"\ntoken = \"{TOKEN}\"\n",
            self.setup.rate_mbit
        )
    }

    pub(super) fn server(&mut self, host: Host) -> Result<&mut Running> {
        self.servers.get_mut(&host).with_context(|| format!("{} was not started", host.name()))
    }

    /// What the server has logged so far.
    pub(super) fn log(&mut self, host: Host) -> Result<Vec<Value>> {
        Ok(self.server(host)?.log())
    }

    /// Whether the server has logged `text`.
    pub(super) fn has_logged(&mut self, host: Host, text: &str) -> Result<bool> {
        let message = |line: &Value| line["fields"]["message"].as_str().is_some_and(|said| said.contains(text));
        Ok(self.log(host)?.iter().any(message))
    }

    /// Starts client `i` at the sender's server.
    pub(super) fn start_client(&mut self, i: usize) -> Result<()> {
        self.start_client_of(i, SENDER, &[])
    }

    /// Starts client `i` at the server of this address.
    pub(super) fn start_client_of(&mut self, i: usize, server: &str, further: &[&str]) -> Result<()> {
        self.start_client_for(i, server, "image.bin", further)
    }

    /// Starts client `i` for an image at the server of this address.
    pub(super) fn start_client_for(&mut self, i: usize, server: &str, image: &str, further: &[&str]) -> Result<()> {
        std::fs::create_dir_all(self.folder.join(format!("client-{i}")))?;
        let mut command = self.net.in_receiver(i, &self.lab.binaries.client);
        command.args(["receive", "--server", server, "--interface", "eth0", "--image", image, "--json"]);
        command.arg("--output").arg(self.output(i)).args(further);
        let label = self.label(&format!("client-{i}"));
        let client = Running::start(&label, &mut command, &self.folder)?;
        self.clients.insert(i, client);
        Ok(())
    }

    pub(super) fn client(&mut self, i: usize) -> Result<&mut Running> {
        self.clients.get_mut(&i).with_context(|| format!("client {i} was not started"))
    }

    /// Where client `i` writes.
    pub(super) fn output(&self, i: usize) -> PathBuf {
        self.folder.join(format!("client-{i}/copy"))
    }

    /// Waits until all clients have ended with success, and compares their copies with the image.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.wait_for_clients(|_| true)?;
        let image = self.images().join("image.bin");
        self.clients.keys().try_for_each(|&i| files::check_copy(&image, &self.output(i)))
    }

    /// Waits until these clients have ended with success.
    pub(super) fn wait_for_clients(&mut self, which: impl Fn(usize) -> bool) -> Result<()> {
        let limit = self.setup.image_time() * 4 + Duration::from_secs(60);
        let clients = self.clients.iter_mut().filter(|(i, _)| which(**i)).map(|(_, client)| client);
        process::wait_for_success(clients, limit)
    }

    /// Whether all clients have ended, however they did.
    pub(super) fn have_all_ended(&mut self) -> Result<bool> {
        let ended = self.clients.values_mut().map(|client| Ok(client.poll()?.is_some()));
        Ok(ended.collect::<Result<Vec<_>>>()?.into_iter().all(|ended| ended))
    }

    /// From the start of the first of these clients to the end of the last.
    pub(super) fn time_of(&mut self, which: impl Fn(usize) -> bool) -> Result<Duration> {
        let (mut first, mut last) = (None::<Instant>, None::<Instant>);
        for (_, client) in self.clients.iter_mut().filter(|(i, _)| which(**i)) {
            let ended = client.poll()?.context("a client still runs")?.at;
            first = Some(first.map_or(client.started(), |first| first.min(client.started())));
            last = Some(last.map_or(ended, |last| last.max(ended)));
        }
        Ok(last.context("no client")?.saturating_duration_since(first.context("no client")?))
    }

    /// Starts something else, for as long as the point is there.
    pub(super) fn start_helper(&mut self, host: Host, program: &Path, arguments: &[&str]) -> Result<()> {
        let mut command = self.in_namespace(host, program);
        command.args(arguments);
        let name = program.file_name().context("a program without a name")?.to_string_lossy().into_owned();
        let label = self.label(&name);
        self.helpers.push(Running::start(&label, &mut command, &self.folder)?);
        Ok(())
    }

    /// What the helpers have printed.
    pub(super) fn helper_events(&self) -> Vec<Value> {
        self.helpers.iter().flat_map(Running::events).collect()
    }

    fn in_namespace(&self, host: Host, program: &Path) -> Command {
        match host {
            Host::Sender => self.net.in_sender(program),
            Host::Receiver(i) => self.net.in_receiver(i, program),
        }
    }

    /// What the API of `host` answers for `path` below `/api/v1`.
    pub(super) fn get(&self, host: Host, path: &str) -> Result<Value> {
        self.call(host, "GET", path, None)
    }

    /// Has an operator of `host` want something.
    pub(super) fn post(&self, host: Host, path: &str, body: &str) -> Result<Value> {
        self.call(host, "POST", path, Some(body))
    }

    fn call(&self, host: Host, method: &str, path: &str, body: Option<&str>) -> Result<Value> {
        let curl = tools::find("curl").context("curl is not installed")?;
        let mut command = self.in_namespace(host, &curl);
        command.args(["-sS", "--fail-with-body", "--max-time", "10", "-X", method, "-H"]);
        command.arg(format!("Authorization: Bearer {TOKEN}"));
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        command.arg(format!("http://127.0.0.1:{LOCAL_PORT}/api/v1/{path}"));
        let text = tools::finish(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("{path} is answered by no JSON: {text}"))
    }

    /// The session of the image at `host`, if there is one.
    pub(super) fn session(&self, host: Host) -> Result<Option<Value>> {
        Ok(self.get(host, "sessions")?.as_array().and_then(|all| all.first()).cloned())
    }

    /// Why a client fetches by HTTP, as `host` shows it; `None` while none does.
    pub(super) fn reason_for_http(&self, host: Host) -> Result<Option<String>> {
        let clients = self.get(host, "clients")?;
        let by_http = clients.as_array().into_iter().flatten().find(|client| client["path"] == "http");
        Ok(by_http.map(|client| client["reason"].as_str().unwrap_or_default().to_owned()))
    }

    /// Its state in a word; empty if there is none.
    pub(super) fn state(&self, host: Host) -> Result<String> {
        let session = self.session(host)?;
        Ok(session.and_then(|session| session["state"].as_str().map(str::to_owned)).unwrap_or_default())
    }

    /// Waits until `done`; `what` is for the error.
    pub(super) fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !done(self)? {
            if Instant::now() > end {
                bail!("waited for {what} for {} s in vain", limit.as_secs());
            }
            interrupt::sleep(LOOK)?;
        }
        Ok(())
    }

    /// The fingerprint of the site, as the server has logged it.
    pub(super) fn fingerprint(&mut self) -> Result<String> {
        let lines = self.log(Host::Sender)?;
        let said = lines.iter().find_map(|line| {
            line["fields"]["message"].as_str()?.strip_prefix("fingerprint of the site, for --trust: ")
        });
        said.map(str::to_owned).context("the server does not tell its fingerprint")
    }

    fn label(&mut self, role: &str) -> String {
        self.starts += 1;
        format!("{role}.{}", self.starts)
    }
}

impl Host {
    fn name(self) -> String {
        match self {
            Self::Sender => "dp1".to_owned(),
            Self::Receiver(i) => format!("dp-r{i}"),
        }
    }
}

impl Drop for Point<'_> {
    fn drop(&mut self) {
        self.clients.clear();
        self.servers.clear();
        self.helpers.clear();
        if !self.lab.keep {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A PostgreSQL server of our own, reached by a socket in its folder, or by loopback: no packet leaves the machine.
pub(super) struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Where Debian puts the newest one's programs.
    pub(super) fn programs() -> Option<PathBuf> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions.filter_map(Result::ok).map(|entry| entry.path().join("bin"));
        programs.filter(|path| path.join("initdb").is_file()).max()
    }

    /// Makes a cluster in `folder` and starts it. The roles are `root`, by peer authentication, and `mcast`
    /// and `admin` with the password `lab-password`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let programs = Self::programs().context("PostgreSQL is not installed")?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let postgres = Self { folder: folder.join("postgres"), programs, port };
        std::fs::create_dir(&postgres.folder)?;
        tools::run("chown", ["postgres".as_ref(), postgres.folder.as_os_str()])?;
        // Its user must be able to come this far.
        for above in postgres.folder.ancestors().skip(1).take(2) {
            tools::run("chmod", ["o+x".as_ref(), above.as_os_str()])?;
        }
        let data = postgres.data();
        postgres.call("initdb", &["--auth-local=peer", "--auth-host=scram-sha-256", "-D", &data])?;
        let rules = "local all mcast scram-sha-256\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(format!("{data}/pg_hba.conf"), rules)?;
        postgres.go_on()?;
        for statement in [
            "create role root login superuser",
            "create role admin login superuser password 'lab-password'",
            "create role mcast login password 'lab-password'",
            "create database mcast owner mcast",
        ] {
            let port = port.to_string();
            postgres.call("psql", &["-h", &postgres.socket(), "-p", &port, "-q", "-c", statement, "postgres"])?;
        }
        Ok(postgres)
    }

    /// The settings of a server that uses it.
    pub(super) fn settings(&self) -> Vec<String> {
        let secret = self.folder.join("password");
        vec![
            format!("site.database={}", self.peer_url()),
            "site.account.user=mcast".to_owned(),
            format!("site.account.password_file={}", secret.display()),
        ]
    }

    /// Where its administrator finds it.
    pub(super) fn url(&self) -> String {
        format!("postgres://admin:lab-password@127.0.0.1:{}/mcast", self.port)
    }

    /// The same by its socket, as whoever the system's user is.
    pub(super) fn peer_url(&self) -> String {
        format!("postgres:///mcast?host={}&port={}", self.socket(), self.port)
    }

    /// Stops it: nobody can connect.
    pub(super) fn stop(&self) -> Result<()> {
        self.call("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"])
    }

    /// Starts it, or starts it again.
    pub(super) fn go_on(&self) -> Result<()> {
        std::fs::write(self.folder.join("password"), "lab-password\n")?;
        files::make_private(&self.folder.join("password"))?;
        let options = format!("-c listen_addresses=127.0.0.1 -p {} -k {} -c fsync=off", self.port, self.socket());
        self.call("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "-l", &self.log(), "start"])
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    fn log(&self) -> String {
        self.folder.join("log").display().to_string()
    }

    fn call(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = tool("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        command.arg(self.programs.join(program)).args(arguments).current_dir("/");
        tools::finish(&mut command).map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may be stopped.
        let _ = self.stop();
    }
}
