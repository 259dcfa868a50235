//! What a reload changes.

use expect_test::expect;

use super::*;

fn changes(old: &str, new: &str) -> Changes {
    let settings = |text: &str| loaded(&format!("{LEAST}{text}")).settings;
    Settings::changes(&settings(old), &settings(new))
}

fn lines(changes: &[super::super::changes::Change]) -> String {
    changes.iter().map(|change| format!("{change}\n")).collect()
}

#[test]
fn a_change_applies_or_needs_a_restart() {
    let old = "[clients]\nmax = 9\n[rate]\ncustom = \"400mbit\"\n[server]\ncontrol_port = 7\n";
    let new = "[clients]\nslow.stall_timeout = \"0s\"\n[rate]\ncustom = \"1gbit\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n";
    let changes = changes(old, new);
    expect![[r#"
        rate.custom: "400mbit" → "1gbit" (in sessions opened from now on)
        clients.max: 9 → none (at once)
        clients.slow.stall_timeout: "10m" → "0s" (in sessions opened from now on)
        log.level: "info" → "debug" (at once)
    "#]]
    .assert_eq(&lines(&changes.apply));
    expect![[r#"
        server.control_port: 7 → 62999 (at the next start)
        log.format: "auto" → "json" (at the next start)
    "#]]
    .assert_eq(&lines(&changes.restart));
}

#[test]
fn the_same_settings_written_otherwise_do_not_change() {
    let old = "[start]\nwait = \"60s\"\nat = \"22:00\"\n[multicast]\naddress = \"auto\"\n";
    let new = "[multicast]\nttl = 1\n[start]\nat = 22:00:00\nwait = \"1m\"\n";
    assert!(changes(old, new).is_empty());
}

#[test]
fn images_and_tokens_are_known_by_their_names() {
    let token = |letter: char| String::from(letter).repeat(20);
    let old = format!(
        "[[image]]\nfile = \"gone\"\n[[image]]\nfile = \"kept\"\nversion = \"1\"\nstart.clients = 3\n\
         [[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = \"{}\"\n[[token]]\nname = \"b\"\nrole = \"viewer\"\ntoken = \"{}\"\n",
        token('a'),
        token('b'),
    );
    let new = format!(
        "[[image]]\nfile = \"kept\"\npriority = 9\n[[image]]\nfile = \"new\"\npriority = 1\n\
         [[token]]\nname = \"b\"\nrole = \"operator\"\ntoken = \"{}\"\n[[token]]\nname = \"c\"\nrole = \"metrics\"\ntoken = \"{}\"\n",
        token('x'),
        token('c'),
    );
    let changes = changes(&old, &new);
    expect![[r#"
        image "kept" version: "1" → none (at once)
        image "kept" priority: 5 → 9 (in sessions opened from now on)
        image "new": none → ["new"] (in sessions opened from now on)
        token "b": "viewer" → "operator" (at once)
        token "b" token: changed (at once)
        token "c": none → "metrics" (at once)
        image "gone": ["gone"] → none (in sessions opened from now on)
        image "kept" start.clients: 3 → none (in sessions opened from now on)
        image "kept" start.on_command: false → none (in sessions opened from now on)
        token "a": "viewer" → none (at once)
    "#]]
    .assert_eq(&lines(&changes.apply));
    assert_eq!(changes.restart, []);
}

#[test]
fn what_needs_a_restart_stays_as_it_is() {
    let old = loaded(&format!("{LEAST}server.control_port = 7\nclients.max = 7"));
    let new = loaded(&format!(
        "{LEAST}server.control_port = 8\nclients.max = 8\nstart.clients = 8\nimage = [{{ file = \"a\" }}]"
    ));
    let applied = old.settings.with_applicable(&new.settings);
    let left = Settings::changes(&applied, &new.settings);
    assert_eq!(
        (left.apply.len(), lines(&left.restart)),
        (0, "server.control_port: 7 → 8 (at the next start)\n".to_owned())
    );
    assert_eq!((applied.server.control_port, applied.clients.max, applied.images.len()), (7, Some(8), 1));
}
