//! A real `mcast-server serve` in a folder of its own, and its clients.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use multicast_core::engine::{Client, ClientConfig, ClientEvent};
use multicast_core::net;
use multicast_core::store::TargetOptions;
use multicast_core::types::ClientId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Answer};
use super::{LIMIT, program, server};

pub const OPERATOR: &str = "operator-0123456789abcdef";
pub const VIEWER: &str = "viewer-0123456789abcdef";
pub const METRICS: &str = "metrics-0123456789abcdef";

/// A folder with images, settings and state, in which a server is started, perhaps again and again.
pub struct Site {
    pub folder: TempDir,
    keys: BTreeMap<String, String>,
    /// `[[image]]`, `[[token]]`.
    pub tables: String,
    pub http: Port,
    pub control: Port,
}

impl Site {
    /// Serves what lies in `images`, on free ports of loopback, with a token for each role.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "packages", "state", "copies"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (http, control) = (Port::free(), Port::free());
        let (listen, at) = (format!("\"127.0.0.1:{}\"", http.number), control.number.to_string());
        let mut site = Self { folder, keys: BTreeMap::new(), tables: String::new(), http, control };
        site.set("site.state", "\"state\"").set("site.name", "\"test site\"").set("server.name", "\"here\"");
        site.set("server.interface", "\"lo\"").set("server.control_port", &at).set("http.listen", &listen);
        site.set("content.images", "\"images\"").set("content.packages", "\"packages\"");
        site.set("content.settle", "\"0s\"").set("log.format", "\"json\"");
        for (name, role, token) in
            [("ops", "operator", OPERATOR), ("wall", "viewer", VIEWER), ("scrape", "metrics", METRICS)]
        {
            site.table(&format!("[[token]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = \"{token}\"\n"));
        }
        site
    }

    /// Sets a key, by its whole name, to a value as TOML has it.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Has it boot machines of the loopback interface.
    pub fn booting(&mut self, mode: &str, ports: &BootPorts) -> &mut Self {
        let http = ports.http.number.to_string();
        self.set("pxe.enabled", "true").set("pxe.mode", &format!("\"{mode}\"")).set("pxe.interfaces", "[\"lo\"]");
        self.set("pxe.http", &http)
    }

    pub fn table(&mut self, text: &str) -> &mut Self {
        self.tables.push_str(text);
        self.tables.push('\n');
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of `bytes` in the folder of images; those of equal seeds are equal.
    pub fn image(&self, name: &str, bytes: usize, seed: u64) -> Vec<u8> {
        let content = noise(bytes, seed);
        fs::write(self.path("images").join(name), &content).unwrap();
        content
    }

    /// Writes the settings, readable by their owner only.
    pub fn write_config(&self) -> PathBuf {
        let path = self.path("server.toml");
        let keys: String = self.keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&path, format!("{keys}\n{}", self.tables)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn command(&self) -> Command {
        let config = self.write_config();
        let mut command = kept_out_by_modes(&server());
        command.args(["serve", "--config"]).arg(config).current_dir(self.folder.path());
        command.env("XDG_CACHE_HOME", self.path("cache")).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts the server and waits until it serves.
    pub fn start(&self) -> Point {
        self.start_as(self.command())
    }

    /// The same by a shell, with `before` in front.
    pub fn start_after(&self, before: &str) -> Point {
        let inner = self.command();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.path("cache"));
        self.start_as(command)
    }

    fn start_as(&self, mut command: Command) -> Point {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::read(child.stderr.take().unwrap());
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let point = Point {
            child,
            log,
            http: SocketAddr::new(loopback, self.http.number),
            control: SocketAddr::new(loopback, self.control.number),
        };
        point.log.wait("\"serving\"");
        point
    }

    /// Starts a server that is to end by itself.
    pub fn start_in_vain(&self) -> program::Ended {
        program::Program::start(&mut self.command()).end()
    }

    /// A client of this server that stores `image` in `copies` under its own number.
    pub fn client(&self, image: &str, number: u64) -> Guest {
        let output = self.path("copies").join(format!("{number}"));
        let client = Client::start(ClientConfig {
            server: SocketAddr::from(([127, 0, 0, 1], self.control.number)),
            interface: net::choose(Some("lo")).unwrap(),
            image: image.to_owned(),
            output: output.clone(),
            fresh: false,
            host: format!("pc-{number}"),
            target: TargetOptions::new(ClientId(number)),
            wait_limit: Some(LIMIT),
            deaf_limit: LIMIT,
            staging: 8 << 20,
            receive_buffer: 4 << 20,
            seed: number,
        })
        .unwrap();
        Guest { client: Some(client), output, number }
    }
}

/// A client, which runs in this process until it is dropped: who went on would ask whoever has the port then.
pub struct Guest {
    client: Option<Client>,
    pub output: PathBuf,
    pub number: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.cancel();
            let _ = client.wait();
        }
    }
}

impl Guest {
    fn events(&self) -> &Receiver<ClientEvent> {
        self.client.as_ref().unwrap().events()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Result<(), String> {
        self.client.take().unwrap().wait().map(drop).map_err(|error| error.to_string())
    }

    /// Its number as the API has it.
    pub fn id(&self) -> String {
        ClientId(self.number).to_string()
    }

    /// Waits for an event of which `wanted` holds.
    pub fn event(&self, wanted: impl Fn(&ClientEvent) -> bool) -> ClientEvent {
        let end = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            match self.events().recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => seen.push(event),
                Err(error) => panic!("client {}: {error} after {seen:#?}", self.number),
            }
        }
    }

    /// Waits until it is refused in words with this text in them, and returns them.
    pub fn refused(&self, part: &str) -> String {
        let told = |event: &ClientEvent| matches!(event, ClientEvent::Refused { text, .. } if text.contains(part));
        match self.event(told) {
            ClientEvent::Refused { text, .. } => text,
            _ => unreachable!(),
        }
    }

    /// Waits until it has joined, and returns group and port.
    pub fn joined(&self) -> SocketAddr {
        match self.event(|event| matches!(event, ClientEvent::Joined { .. })) {
            ClientEvent::Joined { group, .. } => group,
            _ => unreachable!(),
        }
    }

    /// Waits for its end, which must be the image of these bytes.
    pub fn check(self, content: &[u8]) {
        let (number, output) = (self.number, self.output.clone());
        let end = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        // Its last event is followed by the end of the channel.
        loop {
            match self.events().recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => seen.push(event),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("client {number} does not end: {seen:#?}"),
            }
        }
        self.end().unwrap_or_else(|error| panic!("client {number}: {error}"));
        assert!(fs::read(output).unwrap() == content, "client {number} has other bytes");
    }

    /// Waits for its end, which must be an error.
    pub fn fails(self) -> String {
        self.end().expect_err("it has the image")
    }
}

/// A running server; killed when dropped.
pub struct Point {
    child: Child,
    pub log: Log,
    pub http: SocketAddr,
    pub control: SocketAddr,
}

impl Point {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it as systemd does, and tells how long that took.
    pub fn terminate(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        (self.child.wait().unwrap().code(), begun.elapsed())
    }

    /// Waits for the end that it was told of.
    pub fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks with the operator's token.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Some(OPERATOR), None)
    }

    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        headers.extend(body.map(|_| ("Content-Type", "application/json")));
        let asked = http::ask(self.http, method, path, &headers, body.unwrap_or_default().as_bytes());
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// What an operator wants of a session: the answer's status and body.
    pub fn command(&self, session: &str, command: &str) -> (u16, Value) {
        let body = format!("{{\"command\": \"{command}\"}}");
        let answer = self.ask("POST", &format!("/api/v1/sessions/{session}"), Some(OPERATOR), Some(&body));
        (answer.status, answer.json())
    }

    /// The sessions that run.
    pub fn sessions(&self) -> Vec<Value> {
        self.get("/api/v1/sessions").json().as_array().unwrap().clone()
    }

    /// Waits for a session of `image` of which `wanted` holds.
    pub fn session(&self, image: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("a session of {image}"), || {
            self.sessions().into_iter().find(|session| session["image"] == image && wanted(session))
        })
    }

    /// Waits until `image` is in this state.
    pub fn image(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} to be {state}"), || {
            let images = self.get("/api/v1/images").json();
            images.as_array().unwrap().iter().find(|image| image["name"] == name && image["state"] == state).cloned()
        })
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log.lines().join("\n"));
        }
    }
}

/// What a server says.
#[derive(Clone)]
pub struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn read(from: impl std::io::Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let told = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                told.0.0.lock().unwrap().push(line);
                told.0.1.notify_all();
            }
        });
        log
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for a line with this in it.
    pub fn wait(&self, part: &str) -> String {
        self.wait_after(0, part)
    }

    /// The same, but not one of the first lines.
    pub fn wait_after(&self, first: usize, part: &str) -> String {
        let has = |lines: &mut Vec<String>| !lines.iter().skip(first).any(|line| line.contains(part));
        let (lines, timed_out) = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), LIMIT, has).unwrap();
        assert!(!timed_out.timed_out(), "no {part:?} in:\n{}", lines.join("\n"));
        lines.iter().skip(first).find(|line| line.contains(part)).unwrap().clone()
    }
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes without a pattern.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let words = 0..bytes.div_ceil(8) as u64;
    let mut content: Vec<u8> =
        words.flat_map(|n| (n ^ seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
    content.truncate(bytes);
    content
}

/// The ports at which machines are booted: there is one of each on a host, and they take root.
pub struct BootPorts {
    pub http: Port,
    _turn: File,
}

impl BootPorts {
    /// Waits until no other test has them.
    pub fn take() -> Self {
        let folder = std::env::temp_dir().join("mcast-test-ports");
        fs::create_dir_all(&folder).unwrap();
        let turn = File::create(folder.join("boot")).unwrap();
        turn.lock().unwrap();
        for port in [67, 68, 69, 4011] {
            if let Err(error) = UdpSocket::bind(("0.0.0.0", port)) {
                panic!("machines are booted by ports 67 to 69 and 4011, and {port} cannot be had: {error}");
            }
        }
        Self { http: Port::free(), _turn: turn }
    }
}

/// A port that is free for TCP and UDP on loopback, and that no other test of this machine takes while this lives.
pub struct Port {
    pub number: u16,
    _lock: File,
}

impl Port {
    pub fn free() -> Self {
        let folder = std::env::temp_dir().join("mcast-test-ports");
        fs::create_dir_all(&folder).unwrap();
        // Below the ports that systems choose for outgoing connections.
        let mut number = 20_000 + (std::process::id().wrapping_mul(7919) % 10_000) as u16;
        for _ in 0..10_000 {
            number = if number >= 29_999 { 20_000 } else { number + 1 };
            let Ok(lock) = File::create(folder.join(number.to_string())) else { continue };
            let any = (IpAddr::from([0, 0, 0, 0]), number);
            if lock.try_lock().is_ok() && TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no port is free");
    }
}

/// The program so that modes of files count for it, though these tests may run as root: util-linux takes away what
/// has root pass by them.
fn kept_out_by_modes(program: &Command) -> Command {
    let program = program.get_program();
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]).arg(program);
    command
}

/// Replaces a file as a careful copy does: under another name first.
pub fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("part");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}
