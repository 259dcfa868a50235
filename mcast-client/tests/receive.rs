//! `mcast-client receive` as a process, with the engine's server in this one.

mod support;

use std::process::Stdio;

use nix::sys::signal::Signal;
use support::{Program, Room};

const MIB: usize = 1 << 20;

#[test]
fn an_image_arrives_and_the_progress_is_told_as_ndjson() {
    let room = Room::new(6 * MIB + 77);
    let session = room.serve("image.bin", 50);
    let ended = Program::start(room.receive("copy").arg("--json")).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    let joined = ended.last("joined");
    assert_eq!((&joined["image"], &joined["bytes_total"]), (&"image.bin".into(), &(6 * MIB + 77).into()));
    // A second at this rate: four a second, fewer where the machine is busy.
    let told = ended.events.iter().filter(|event| event["event"] == "progress").count();
    assert!(told >= 3, "{told}");
    let progress = ended.last("progress");
    assert_eq!(progress["bytes_done"], progress["bytes_total"]);
    assert_eq!(progress["blocks_done"], progress["blocks_total"]);
    assert!((0.0..1.0).contains(&progress["loss"].as_f64().unwrap()));
    assert_eq!(ended.last("summary")["output"], "copy");
    session.wait().unwrap();
}

#[test]
fn the_standard_output_carries_the_image_alone() {
    let room = Room::new(3 * MIB + 5);
    let _session = room.serve("image.bin", 100);
    let output = room.receive("-").arg("--json").stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(output.stdout == std::fs::read(&room.image).unwrap());
    assert!(told.contains("{\"event\":\"summary\""), "{told}");
}

#[test]
fn a_run_that_was_interrupted_is_taken_up_by_the_next_one() {
    let room = Room::new(8 * MIB);
    let session = room.serve("image.bin", 20);
    let mut first = Program::start(room.receive("copy").arg("--json"));
    first.event_where("progress", |event| event["blocks_done"].as_u64() >= Some(2));
    first.signal(Signal::SIGINT);
    let ended = first.end();
    assert_eq!(ended.code, Some(130));
    ended.check_error(130, &["interrupted", "the same command"]);
    assert!(!room.path("copy").exists());
    let left = session.events().iter().find(|event| format!("{event:?}").contains("Interrupted"));
    assert!(left.is_some(), "the server was not told");
    session.wait().unwrap();

    let session = room.serve("image.bin", 100);
    let ended = Program::start(room.receive("copy").arg("--json")).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let kept = ended.events.iter().find_map(|event| event["kept_blocks"].as_u64()).unwrap();
    assert!(kept >= 1, "{kept}");
    assert!(room.is_identical("copy"));
    let sent = session.wait().unwrap().snapshot.counters.symbols;
    assert!(sent < 8 * MIB as u64 / 1440, "{sent} symbols: what was kept was sent again");
}

#[test]
fn fresh_discards_what_an_interrupted_run_left() {
    let room = Room::new(8 * MIB);
    let session = room.serve("image.bin", 20);
    let mut first = Program::start(room.receive("copy").arg("--json"));
    first.event_where("progress", |event| event["blocks_done"].as_u64() >= Some(2));
    first.signal(Signal::SIGTERM);
    assert_eq!(first.end().code, Some(130));
    session.wait().unwrap();
    let _session = room.serve("image.bin", 200);
    let ended = Program::start(room.receive("copy").args(["--json", "--fresh"])).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.last("summary")["kept_blocks"], 0);
    assert!(room.is_identical("copy"));
}

#[test]
fn a_command_follows_success_and_its_failure_is_told_apart() {
    let room = Room::new(MIB);
    let session = room.serve("image.bin", 100);
    let line = "printf '%s of %s' \"$MCAST_OUTPUT\" \"$MCAST_IMAGE\" > hook";
    let ended = Program::start(room.receive("copy").args(["--exec", line])).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(room.path("hook")).unwrap(), "copy of image.bin");
    session.wait().unwrap();

    let _session = room.serve("image.bin", 100);
    let ended = Program::start(room.receive("again").args(["--exec", "exit 9"])).end();
    ended.check_error(6, &["stored", "exit 9", "9"]);
    assert!(room.is_identical("again"));
}

#[test]
fn one_of_several_images_must_be_named() {
    let room = Room::new(MIB);
    let sessions = [room.serve("one", 100), room.serve("two", 100)];
    Program::start(&mut room.receive("copy")).end().check_error(4, &["several images", "one", "two"]);
    let ended = Program::start(room.receive("copy").args(["--image", "two"])).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(room.is_identical("copy"));
    sessions[0].cancel();
}

#[test]
fn a_cancelled_session_is_told() {
    let room = Room::new(8 * MIB);
    let session = room.serve("image.bin", 10);
    let mut client = Program::start(room.receive("copy").arg("--json"));
    client.event_where("session", |event| event["state"] == "running");
    session.cancel();
    let ended = client.end();
    ended.check_error(4, &["cancelled"]);
    assert_eq!(ended.last("error")["exit_code"], 4);
}
