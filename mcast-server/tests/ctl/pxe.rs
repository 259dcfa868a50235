//! `mcast-server ctl pxe`: what the site wants of its machines, from the shell.

use std::io::Write;
use std::process::Stdio;

use expect_test::expect;
use serde_json::{Value, json};

use super::point::{OPERATOR, Options, Point, Said, ctl, write_secret};

const PASSWORD: &str = "correct horse";

#[test]
fn what_the_site_wants_of_its_machines_is_added_shown_and_removed() {
    let point = Point::start(Options::default());
    let pxe = |arguments: &[&str]| point.ctl(&[&["pxe"], arguments].concat());
    assert!(pxe(&["computers", "list"]).fine().starts_with("no computers: "));
    assert!(pxe(&["deployments", "list"]).fine().starts_with("no deployments: "));
    assert_eq!(pxe(&["leases", "list"]).fine(), "no leases\n");
    assert_eq!(pxe(&["log", "--refused"]).fine(), "nobody asked yet\n");

    let card = ["--mac", "52-54-00-12-34-56"];
    let added = pxe(&[&["computers", "add", "pc-17"], &card[..], &["--address", "10.0.0.17"]].concat());
    assert_eq!(added.fine(), "computer pc-17 is added\n");
    let deploy = ["deployments", "add", "install", "--computer", "pc-17", "--boot-image", "client", "--once"];
    assert_eq!(pxe(&deploy).fine(), "deployment install is added\n");
    let rescue = ["deployments", "add", "rescue", "--known", "--boot-image", "rescue", "--available", "10s"];
    assert_eq!(pxe(&rescue).fine(), "deployment rescue is added\n");
    let placed = pxe(&["deployments", "move", "rescue", "--before", "install"]).fine();
    assert_eq!(placed, "deployment rescue is in front of install now\n");
    expect![[r#"
        deployment  for              boot image  boots                 done
        rescue      known computers  rescue      by a key within 10 s
        install     pc-17            client      once                     0
    "#]]
    .assert_eq(&pxe(&["deployments", "list"]).fine());
    expect![[r#"
        computer  cards              address
        pc-17     52:54:00:12:34:56  10.0.0.17
    "#]]
    .assert_eq(&pxe(&["computers", "list"]).fine());
    let changed = pxe(&["computers", "add", "pc-17", "--mac", "52:54:00:12:34:57", "--replace"]);
    assert_eq!(changed.fine(), "computer pc-17 is changed\n");
    assert_eq!(pxe(&["computers", "list", "--json"]).json()[0]["macs"], json!(["52:54:00:12:34:57"]));

    let again = pxe(&["deployments", "again", "install", "--computer", "pc-17"]).fine();
    assert_eq!(again, "deployment install was not done on pc-17\n");
    let removed = pxe(&["computers", "remove", "pc-17"]).fine();
    assert_eq!(removed, "computer pc-17 is removed, and what was deployed to it alone: install\n");
    assert_eq!(pxe(&["deployments", "remove", "rescue", "--json"]).json(), json!({ "status": "done" }));
}

#[test]
fn what_is_refused_ends_with_its_exit_code() {
    let point = Point::start(Options::default());
    let pxe = |arguments: &[&str]| point.ctl(&[&["pxe"], arguments].concat());
    let add = ["computers", "add", "pc-1", "--mac", "52:54:00:00:00:01"];
    pxe(&add).fine();
    pxe(&add).check_error(5, &["refuses (409)", "pc-1"]);
    pxe(&["computers", "add", "pc-2", "--mac", "52:54:00:00:00:01"]).check_error(5, &["pc-1"]);
    pxe(&["computers", "remove", "pc-3"]).check_error(3, &["pc-3"]);
    pxe(&["deployments", "again", "none"]).check_error(3, &["none"]);
    pxe(&["images", "list"]).check_error(3, &["boots no machines", "pxe.enabled"]);
    pxe(&["check"]).check_error(3, &["boots no machines"]);
    pxe(&["images", "remove", "client"]).check_error(2, &["a boot image is not removed without a word", "--yes"]);
    point.viewer(&["pxe", "policy", "--respond", "off"]).check_error(4, &["role viewer", "operator"]);
    let file = point.room.image.to_str().unwrap();
    pxe(&["images", "add", "client", file]).check_error(2, &["is no part of a boot image"]);
    let rows: [&[&str]; 8] = [
        &["computers", "add", "pc-1"],
        &["computers", "add", "pc-1", "--mac", "52:54"],
        &["deployments", "add", "a", "--boot-image", "b"],
        &["deployments", "add", "a", "--boot-image", "b", "--known", "--all"],
        &["deployments", "add", "a", "--boot-image", "b", "--known", "--until", "tomorrow"],
        &["deployments", "move", "a"],
        &["policy", "--respond", "perhaps"],
        &["password", "--none", "--file", "-"],
    ];
    for arguments in rows {
        let said = pxe(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?} {}", said.stderr);
    }
}

#[test]
fn a_policy_is_switched_and_seen() {
    let point = Point::start(Options::default());
    let set = point.ctl(&["pxe", "policy", "--respond", "off", "--unknown", "on"]).fine();
    expect![[r#"
        respond   off: no machine is answered
        unknown   on: machines that the site does not know, too
        password  off: not asked for
    "#]]
    .assert_eq(&set);
    assert_eq!(point.ctl(&["pxe", "policy"]).fine(), set);
    let status = point.ctl(&["pxe", "status", "--json"]).json();
    assert_eq!(
        (&status["respond"], &status["unknown"], &status["enabled"]),
        (&json!(false), &json!(true), &json!(false))
    );
    let status = point.ctl(&["pxe", "status"]).fine();
    assert!(status.starts_with("this server  boots no machines (pxe.enabled)"), "{status}");
}

#[test]
fn a_password_comes_from_a_file_or_a_pipe_and_is_nowhere_to_be_seen() {
    let point = Point::start(Options::default());
    let file = point.room.path("password");
    write_secret(&file, &format!("{PASSWORD}\n"));
    let set = |said: Said| {
        assert!(!said.stdout.contains(PASSWORD) && !said.stderr.contains(PASSWORD), "{}", said.stdout);
        assert!(said.fine().contains("password  on"));
    };
    set(point.ctl(&["pxe", "password", "--file", file.to_str().unwrap()]));
    assert!(point.ctl(&["pxe", "password", "--none"]).fine().contains("password  off"));
    let mut command = point.command(&["pxe", "password", "--file", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    set(Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) });
    // The site has a hash of it, and nothing tells that.
    for path in ["pxe", "settings"] {
        let answer = point.api(path);
        assert!(!answer.contains(PASSWORD) && !answer.contains("argon2"), "{answer}");
    }

    std::fs::write(&file, "abc\n").unwrap();
    point.ctl(&["pxe", "password", "--file", file.to_str().unwrap()]).check_error(2, &["has 3 characters"]);
    point.ctl(&["pxe", "password"]).check_error(2, &["no terminal", "--file"]);
    let said = Said::by(ctl(point.room.folder.path()).args(["pxe", "password", PASSWORD]));
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "it is no argument");
    let _: Value = point.ctl(&["pxe", "status", "--json"]).json();
    assert!(!point.api("pxe").contains(OPERATOR));
}
