//! A distribution point that runs for a test, and `mcast-server ctl` that asks it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{LIMIT, Room, server};

pub(crate) const OPERATOR: &str = "operator-0123456789abcdef";
pub(crate) const VIEWER: &str = "viewer-0123456789abcdef";

/// A running server with an image, `image.bin`.
pub(crate) struct Point {
    pub(crate) room: Room,
    pub(crate) control: SocketAddr,
    pub(crate) http: SocketAddr,
    tls: bool,
    running: Option<Running>,
    /// What `--trust` takes, if it speaks TLS.
    pub(crate) fingerprint: String,
}

/// Of the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) bytes: usize,
    pub(crate) rate: &'static str,
    pub(crate) tls: bool,
    pub(crate) tokens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes: 100_000, rate: "50mbit", tls: false, tokens: true }
    }
}

impl Point {
    pub(crate) fn start(options: Options) -> Self {
        let room = Room::new(options.bytes);
        fs::create_dir(room.path("images")).unwrap();
        fs::copy(&room.image, room.path("images/image.bin")).unwrap();
        // Somebody else may take one of the ports before the server does.
        for _ in 0..5 {
            let (http, control) = (free_tcp(), free_udp());
            write_secret(&room.path("server.toml"), &config(options, http, control));
            if let Some((running, fingerprint)) = Running::start(&room) {
                write_secret(&room.path("operator.token"), OPERATOR);
                write_secret(&room.path("viewer.token"), VIEWER);
                return Self { room, control, http, tls: options.tls, running: Some(running), fingerprint };
            }
        }
        panic!("the server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.http)
    }

    /// Ends it in good order; [`Point::start_again`] goes on.
    pub(crate) fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        kill(Pid::from_raw(running.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(running.child.wait().unwrap().success());
    }

    pub(crate) fn start_again(&mut self) {
        self.running = Some(Running::start(&self.room).expect("its ports are free again").0);
    }

    /// `ctl` without a token, and without what the environment of this test says.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = ctl(self.room.folder.path());
        command.args(["--server", &self.url(), "--timeout", "20s"]).args(arguments);
        command
    }

    /// `ctl` of an operator, over TLS with the right fingerprint.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.env("MCAST_CTL_TOKEN", OPERATOR);
        if self.tls {
            command.env("MCAST_CTL_TRUST", &self.fingerprint);
        }
        command
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> Said {
        Said::by(&mut self.command(arguments))
    }

    /// The same as an operator that only may look.
    pub(crate) fn viewer(&self, arguments: &[&str]) -> Said {
        Said::by(self.bare(arguments).arg("--token-file").arg(self.room.path("viewer.token")))
    }

    /// What the API answers, without `ctl` between.
    pub(crate) fn api(&self, path: &str) -> String {
        // It takes no provider of cryptography then.
        let tls = identity::pinned_client_config("WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z".parse().unwrap());
        let http = reqwest::blocking::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
        let request = http.get(format!("{}/api/v1/{path}", self.url()));
        request.bearer_auth(OPERATOR).send().unwrap().error_for_status().unwrap().text().unwrap()
    }
}

fn config(options: Options, http: SocketAddr, control: SocketAddr) -> String {
    let mut text = format!(
        "[site]\nname = \"Lab 3\"\nstate = \"state\"\n[server]\nname = \"localhost\"\ninterface = \"lo\"\n\
         control_port = {}\n[rate]\ncustom = \"{}\"\n[start]\non_command = true\n\
         [content]\nimages = \"images\"\nsettle = \"0s\"\n[http]\nlisten = \"{http}\"\ntls = \"{}\"\n",
        control.port(),
        options.rate,
        if options.tls { "always" } else { "auto" },
    );
    if options.tokens {
        for (name, role, token) in [("ops", "operator", OPERATOR), ("wall", "viewer", VIEWER)] {
            text.push_str(&format!("[[token]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = \"{token}\"\n"));
        }
    }
    text
}

/// `mcast-server serve`, killed when dropped.
struct Running {
    child: Child,
}

impl Running {
    /// Waits until its image can be had, and gives its fingerprint if it has one; none if it ended at once.
    fn start(room: &Room) -> Option<(Self, String)> {
        let mut command = server();
        command.arg("serve").arg("--config").arg(room.path("server.toml")).env_remove("JOURNAL_STREAM");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut running = Self { child };
        let (mut fingerprint, mut ready, mut serving, mut seen) = (String::new(), false, false, Vec::new());
        let end = Instant::now() + LIMIT;
        while let Ok(line) = log.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if let Some((_, found)) = line.split_once("for --trust: ") {
                fingerprint = found.to_owned();
            }
            ready |= line.contains("image is ready");
            serving |= line.contains(" serving ");
            seen.push(line);
            if ready && serving {
                // It goes on to log, to nobody.
                std::thread::spawn(move || log.iter().for_each(drop));
                return Some((running, fingerprint));
            }
        }
        assert!(running.child.try_wait().unwrap().is_some(), "it is not ready after {seen:#?}");
        println!("{seen:#?}");
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `mcast-server ctl` with an environment of its own; `home` is that of its user.
pub(crate) fn ctl(home: &Path) -> Command {
    let mut command = server();
    command.arg("ctl").env("HOME", home).env("TZ", "UTC").stdin(Stdio::null());
    for name in ["SERVER", "TOKEN", "TOKEN_FILE", "TRUST"] {
        command.env_remove(format!("MCAST_CTL_{name}"));
    }
    for name in ["XDG_CONFIG_HOME", "CREDENTIALS_DIRECTORY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    // Nothing of it is to be used.
    command.env("http_proxy", "http://127.0.0.1:9").env("https_proxy", "http://127.0.0.1:9");
    command
}

/// What `ctl` said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn by(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// It went well, and said this.
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The same as one document of JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.fine()).unwrap()
    }

    /// It ended with this code and one error that has all these words.
    pub(crate) fn check_error(&self, code: i32, words: &[&str]) {
        let Self { stderr, stdout, .. } = self;
        println!("{stderr}");
        assert_eq!((self.code, stdout.as_str()), (code, ""), "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        let advice = |line: &&str| line.is_empty() || line.starts_with("  ") || line.starts_with("For more");
        assert_eq!(stderr.lines().filter(|line| !advice(line)).count(), 1, "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "no {word:?} in: {stderr}");
        }
        assert!(!stderr.contains(OPERATOR) && !stderr.contains(VIEWER), "{stderr}");
    }
}

/// What `look` gives, as soon as it is `wanted`: the site's record follows what happens.
pub(crate) fn eventually<T: std::fmt::Debug>(look: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "it stays at {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `ctl watch`, line by line; killed when dropped.
pub(crate) struct Watch {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Watch {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that is wanted.
    pub(crate) fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(error) => panic!("it did not come ({error}) after {:#?}", self.seen),
            }
        }
    }

    /// Waits for a line of JSON that is wanted.
    pub(crate) fn json(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        parse(&self.line(|line| wanted(&parse(line))))
    }

    /// Waits until the only session is seen in this state, as later requests then see it, too.
    pub(crate) fn state(&mut self, state: &str) {
        self.json(|line| line["kind"] == "sessions" && line["sessions"][0]["state"] == state);
    }

    /// Waits for its end.
    pub(crate) fn code(mut self) -> Option<i32> {
        while self.lines.recv_timeout(LIMIT).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is none of ours: answers each request with `answer`, or never if there is none.
pub(crate) fn impostor(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

pub(crate) fn write_secret(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// An address at which nobody listens.
pub(crate) fn free_tcp() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
