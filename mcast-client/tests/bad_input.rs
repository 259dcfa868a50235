//! Wrong arguments of `mcast-client`, and servers that are not what they should be: each one error
//! of one line, and a code.

mod support;

use std::net::UdpSocket;

use multicast_core::types::ClientId;
use multicast_core::wire::{Packet, Refusal, RefuseReason};
use support::{LIMIT, Program, client};

/// Arguments, the code, and words of the error.
type Row = (&'static [&'static str], i32, &'static [&'static str]);

const ROWS: [Row; 10] = [
    (&["--server", "127.0.0.1", "--interface", "nope0", "--output", "copy"], 1, &["nope0", "lo (127.0.0.1"]),
    (&["--server", "127.0.0.1", "--output", "no-folder/copy"], 5, &["no-folder"]),
    (&["--server", "127.0.0.1", "--output", "file/copy"], 5, &["file", "not a folder"]),
    (&["--server", "127.0.0.1:99999", "--output", "copy"], 2, &["99999"]),
    (&["--server", ":5", "--output", "copy"], 2, &["host"]),
    (&["--server", "127.0.0.1", "--output", "copy", "--wait", "long"], 2, &["long", "30s"]),
    (&["--server", "127.0.0.1", "--output", "copy", "--spool", "0"], 2, &["0"]),
    (&["--server", "127.0.0.1", "--output", "copy", "--trust", "ABCD"], 2, &["fingerprint", "28"]),
    (&["--server", "127.0.0.1", "--output", "copy", "--fallback", "perhaps"], 2, &["perhaps", "auto"]),
    (&["--server", "no.such.host.invalid", "--output", "copy"], 1, &["no.such.host.invalid"]),
];

#[test]
fn each_wrong_argument_is_an_error_of_one_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    for (arguments, code, words) in ROWS {
        println!("{arguments:?}");
        let mut command = client();
        command.arg("receive").args(arguments).current_dir(folder.path());
        Program::start(&mut command).end().check_error(code, words);
    }
}

#[test]
fn a_server_that_is_not_there_is_waited_for_as_long_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut command = client();
    command.args(["receive", "--server", &nobody.local_addr().unwrap().to_string(), "--wait", "500ms", "--json"]);
    let ended = Program::start(command.args(["--output", "copy"]).current_dir(folder.path())).end();
    ended.check_error(3, &["no session", "does not answer"]);
    assert_eq!(ended.last("error")["exit_code"], 3);
}

#[test]
fn a_server_of_another_protocol_version_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = client();
    command.args(["receive", "--server", &server.local_addr().unwrap().to_string(), "--output", "copy"]);
    let client = Program::start(command.current_dir(folder.path()));

    let mut datagram = [0; 2048];
    let (len, from) = server.recv_from(&mut datagram).unwrap();
    assert!(matches!(Packet::decode(&datagram[..len]), Ok(Packet::Join(_))));
    let mut refusal = Vec::new();
    Refusal::new(ClientId(0), RefuseReason::Version, 0, "another version").encode(&mut refusal);
    // Both places that say which version the refusing end speaks.
    refusal[0] += 0x10;
    refusal[17] += 1;
    server.send_to(&refusal, from).unwrap();
    client.end().check_error(4, &["version"]);
}
