//! A client of another protocol version.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::process::{self, Running};
use crate::{files, interrupt};

pub(super) const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "bad-version",
    claim: "a client of another protocol version is refused and says so, and the server serves the next one",
    needs: &[Need::Space(1 << 20)],
    run: other_version,
}];

const BYTES: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);

/// The client is real; on the way to the server its datagrams' version is made another one. On
/// loopback, as a relay of ours stands between both.
fn other_version(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let (folder, number) = lab.new_folder()?;
    let image = folder.join("image.bin");
    files::write_random(&image, BYTES, number.into())?;
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));

    let mut server = Command::new(&lab.binaries.server);
    server.arg("send").arg(&image).args(["--interface", "lo", "--min-clients", "1", "--rate", "100mbit"]);
    server.args(["--control-port", &port.to_string(), "--json"]).env("XDG_CACHE_HOME", folder.join("cache"));
    let mut server = Running::start("server", &mut server, &folder)?;

    let relay = Relay::open(address)?;
    let client = |name: &str, to: SocketAddr| {
        let mut client = Command::new(&lab.binaries.client);
        client.args(["receive", "--server", &to.to_string(), "--interface", "lo", "--output"]).arg(folder.join(name));
        Running::start(name, &mut client, &folder)
    };
    let mut strange = client("strange-client", relay.address()?)?;
    let answered = relay.run_while(&mut strange)?;
    findings.check(answered, || "the server did not answer".to_owned());
    let code = strange.poll()?.and_then(|ended| ended.status.code());
    let (words, complaint) = (strange.stderr(), strange.complaint());
    findings.check(code.is_some_and(|code| code != 0), || {
        format!("an exit code other than 0 was expected, but {complaint}")
    });
    findings.check(words.contains("version"), || format!("the error says nothing of a version: {}", words.trim()));

    let mut good = client("good-client", address)?;
    process::wait_for_success([&mut good, &mut server], LIMIT)?;
    files::check_copy(&image, &folder.join("good-client"))
}

/// Passes datagrams between one client and the server, and makes the client's another version's.
struct Relay {
    near: UdpSocket,
    far: UdpSocket,
}

impl Relay {
    fn open(server: SocketAddr) -> Result<Self> {
        let open = || -> std::io::Result<Self> {
            let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
            far.connect(server)?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            Ok(Self { near, far })
        };
        open().context("cannot open the relay's sockets")
    }

    fn address(&self) -> Result<SocketAddr> {
        Ok(self.near.local_addr()?)
    }

    /// Works until `client` ends; whether the server ever answered.
    fn run_while(&self, client: &mut Running) -> Result<bool> {
        let end = Instant::now() + LIMIT;
        let mut datagram = vec![0; 65536];
        let (mut from, mut answered) = (None, false);
        while client.poll()?.is_none() {
            interrupt::check()?;
            if Instant::now() > end {
                bail!("the client of another version did not end within {} s", LIMIT.as_secs());
            }
            while let Some((len, sender)) = next(&self.near, &mut datagram)? {
                from = Some(sender);
                make_another_version(&mut datagram[..len]);
                // The server may not be up yet; the client will say it again.
                let _ = self.far.send(&datagram[..len]);
            }
            while let Some((len, _)) = next(&self.far, &mut datagram)? {
                answered = true;
                if let Some(client) = from {
                    self.near.send_to(&datagram[..len], client).context("cannot answer the client")?;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(answered)
    }
}

/// The next datagram that waits, if one does.
fn next(socket: &UdpSocket, datagram: &mut [u8]) -> Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(datagram) {
        Ok(received) => Ok(Some(received)),
        // Refused: an earlier datagram found the server's port closed.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error).context("the relay cannot receive"),
    }
}

/// Every datagram begins with its protocol version, in the high half of its first byte.
fn make_another_version(datagram: &mut [u8]) {
    if let Some(first) = datagram.first_mut() {
        *first = first.wrapping_add(0x10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_keeps_the_rest_of_the_datagram() {
        let mut datagram = [0x12, 0x34];
        make_another_version(&mut datagram);
        assert_eq!(datagram, [0x22, 0x34]);
        make_another_version(&mut []);
    }
}
