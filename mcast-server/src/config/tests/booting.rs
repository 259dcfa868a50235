//! Settings of the service point.

use std::time::Duration;

use ::pxe::boot::Policy;
use ::pxe::dhcp::Mode;
use expect_test::expect;

use super::*;

const BENCH: &str = "\
    [pxe]\nenabled = true\nmode = \"full\"\ninterfaces = [\"lo\"]\ndelay = \"5s\"\n\
    [pxe.menu]\nprompt = \"F8\"\ndisk = \"Disk\"\nfirst = \"disk\"\n\
    [[pxe.network]]\nnetwork = \"10.0.0.0/24\"\npool = \"10.0.0.50-10.0.0.199\"\nrouter = \"10.0.0.1\"\n\
    dns = \"10.0.0.2\"\n[[pxe.network]]\nnetwork = \"10.1.0.0/24\"\npool = \"10.1.0.9\"\nlease = \"2m\"\n";

fn bench() -> Loaded {
    loaded(&format!("{BENCH}[content]\nimages = \"/\"\n"))
}

#[test]
fn a_bench_is_read_as_the_service_point_takes_it() {
    let pxe = bench().settings.pxe;
    let dhcp = pxe.dhcp_settings().unwrap();
    dhcp.check().unwrap();
    let Mode::Full { pools, others: true, authoritative: false } = dhcp.mode else { panic!("{dhcp:?}") };
    assert_eq!((pools[0].size(), pools[0].router, pools[0].dns.len()), (150, Some([10, 0, 0, 1].into()), 1));
    assert_eq!((pools[1].size(), pools[1].lease), (1, Duration::from_secs(120)));
    let menu = dhcp.menu.unwrap();
    assert_eq!((menu.seconds, menu.disk_first, dhcp.delay), (5, true, Duration::from_secs(5)));
    assert_eq!(bench().warnings, [""; 0]);
}

#[test]
fn the_defaults_are_those_of_the_service_point() {
    let settings = loaded(LEAST).settings;
    let tftp = settings.pxe.tftp_settings(&[[10, 0, 0, 1].into()]);
    assert_eq!(tftp, ::pxe::tftp::Settings::new(vec!["10.0.0.1:69".parse().unwrap()]));
    assert_eq!(settings.pxe.dhcp_settings(), Some(::pxe::dhcp::Settings::new(Mode::Proxy)));
    assert_eq!(settings.boot_images(), PathBuf::from("/var/lib/mcast/boot-images"));
    assert!(!settings.pxe.enabled);
    assert!(loaded(&format!("{LEAST}pxe.mode = \"off\"\npxe.enabled = false")).settings.pxe.dhcp_settings().is_none());
}

#[test]
fn this_server_has_the_last_word_on_whom_it_answers() {
    let policy = |text: &str, respond, unknown| {
        let site = Policy { respond, unknown, password: Some("hash".to_owned()) };
        let held = loaded(&format!("{LEAST}{text}")).settings.pxe.policy(&site);
        assert_eq!(held.password, site.password);
        (held.respond, held.unknown)
    };
    assert_eq!(policy("", true, true), (true, true));
    assert_eq!(policy("", false, false), (false, false));
    assert_eq!(policy("pxe.respond = false", true, true), (false, true));
    assert_eq!(policy("pxe.unknown = \"answer\"", true, false), (true, true));
    assert_eq!(policy("pxe.unknown = \"ignore\"", false, true), (false, false));
}

#[test]
fn a_reload_applies_whom_it_answers_and_says_what_waits() {
    let new = format!(
        "{}[content]\nimages = \"/\"\n",
        BENCH
            .replace("delay", "respond = false\ndelay")
            .replace("10.1.0.9\"", "10.1.0.8\"")
            .replace("\"5s\"", "\"6s\"")
    );
    let (old, new) = (bench().settings, loaded(&new).settings);
    let changes = Settings::changes(&old, &new);
    let lines = |changes: &[super::super::changes::Change]| {
        changes.iter().map(|change| format!("{change}\n")).collect::<String>()
    };
    expect![[r#"
        pxe.respond: true → false (at once)
    "#]]
    .assert_eq(&lines(&changes.apply));
    expect![[r#"
        pxe.delay: "5s" → "6s" (at the next start)
        pxe.network 10.1.0.0/24: "10.1.0.9-10.1.0.9" → "10.1.0.8-10.1.0.8" (at the next start)
    "#]]
    .assert_eq(&lines(&changes.restart));
    let applied = old.with_applicable(&new);
    assert_eq!((applied.pxe.respond, applied.pxe.delay), (false, Duration::from_secs(5)));
    assert_eq!(applied.pxe.networks, old.pxe.networks);
}

#[test]
fn what_is_shown_can_be_read_again() {
    let first = bench();
    let again = loaded(&first.describe());
    assert_eq!(Settings::changes(&first.settings, &again.settings), Changes::default());
}

#[test]
fn interfaces_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    let load = |interfaces: &str| {
        let text = format!("content.images = \".\"\n[pxe]\nenabled = true\ninterfaces = {interfaces}\n");
        std::fs::write(&path, text).unwrap();
        let arguments = ServeArguments { config: Some(path.clone()), ..ServeArguments::default() };
        Loaded::load(&arguments, &around()).map_err(|error| error.to_string())
    };
    assert!(load("\"lo\"").is_ok());
    let refusal = load("[\"lo\", \"nope0\"]").unwrap_err();
    assert!(
        refusal.contains("server.toml:4:14: pxe.interfaces: there is no interface nope0; there are: "),
        "{refusal}"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_limit() {
    let network =
        |lines: &str| format!("[[pxe.network]]\nnetwork = \"10.0.0.0/24\"\npool = \"10.0.0.5-10.0.0.9\"\n{lines}");
    let other = |network: &str, pool: &str| format!("[[pxe.network]]\nnetwork = \"{network}\"\npool = \"{pool}\"");
    expect![[r#"
        [pxe] ⏎ enable = true
          server.toml:2:1: unknown key pxe.enable
            did you mean pxe.enabled? (whether machines boot from this server)
        [pxe] ⏎ pxe = 1
          server.toml:2:1: unknown key pxe.pxe
            [pxe] has enabled, mode, interfaces, address, respond, unknown, delay, images, loaders, http, client_server, menu, tftp, dhcp and network
        [pxe] ⏎ enabled = true
          server.toml:2:11: pxe.interfaces is missing
            write interfaces = ["eth1"] under [pxe]: machines are answered only at those listed
        [pxe] ⏎ enabled = true ⏎ mode = "full" ⏎ interfaces = ["eth1"]
          server.toml:3:8: pxe.mode = "full": there are no addresses to give
            write [[pxe.network]] with network and pool; or mode = "proxy" beside another DHCP server
        [pxe] ⏎ mode = "dhcp"
          server.toml:2:8: pxe.mode = "dhcp": there is no such word
            write "proxy", "full" or "off"
        [pxe] ⏎ unknown = true
          server.toml:2:11: pxe.unknown = true: true is none of its words
            write "site", "answer" or "ignore"
        [pxe] ⏎ interfaces = ["eth1", "eth1"]
          server.toml:2:14: pxe.interfaces names "eth1" twice
            each is named once
        [pxe] ⏎ interfaces = []
          server.toml:2:14: pxe.interfaces = []: it names none
            write the name of an interface, or a list of these
        [pxe] ⏎ delay = "1h"
          server.toml:2:9: pxe.delay = "1h": it lies outside of 0s to 10m
            write a time from 0s to 10m, for example "30s", "10m" or "1h 30m"
        [pxe] ⏎ address = "239.1.1.1"
          server.toml:2:11: pxe.address = "239.1.1.1": 239.1.1.1 is no address of one machine
            write an IPv4 address of this server
        [pxe] ⏎ enabled = true ⏎ interfaces = "eth1" ⏎ http = 62999
          server.toml:4:8: pxe.http = 62999: it is the port of http.listen, 127.0.0.1:62999
            write another port: firmware speaks no TLS, and has a port of its own
        [pxe.menu] ⏎ first = "disk"
          server.toml:2:9: pxe.menu.first = "disk": there is no such item
            write disk = "Boot from the disk" under [pxe.menu]
        [pxe.tftp] ⏎ block_limit = 100
          server.toml:2:15: pxe.tftp.block_limit = 100: it lies outside of 512 to 65464
            write a number from 512 to 65464
        [pxe.network] ⏎ pool = "a"
          server.toml:1:1: pxe.network is no list of tables
            write [[pxe.network]] above the keys of each
        [[pxe.network]] ⏎ pools = "10.0.0.5"
          3 settings are wrong
            server.toml:1:1: pxe.network.network is missing
              write network = … under [[pxe.network]]: the machines' network
            server.toml:1:1: pxe.network.pool is missing
              write pool = … under [[pxe.network]]: addresses to give
            server.toml:2:1: unknown key pxe.network.pools
              did you mean pxe.network.pool?
        [[network]] ⏎ pool = "10.0.0.5"
          server.toml:1:3: unknown key network
            did you mean rate.network? (kind of the slowest link on the way)
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.0.9" ⏎ router = "10.0.1.1"
          server.toml:4:10: pxe.network.router = "10.0.1.1": it is not in the network 10.0.0.0/24
            UEFI firmware fails with PXE-E99 if it is told a router that it does not reach
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.0.9" ⏎ router = "10.0.0.255"
          server.toml:4:10: pxe.network.router = "10.0.0.255": it is not in the network 10.0.0.0/24
            UEFI firmware fails with PXE-E99 if it is told a router that it does not reach
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.0.9" ⏎ lease = "10s"
          server.toml:4:9: pxe.network.lease = "10s": it lies outside of 2m to 28days
            write a time from 2m to 28days, for example "30s", "10m" or "1h 30m"
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.0.9" ⏎ dns = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"]
          server.toml:4:7: pxe.network.dns names 17 servers
            at most 16 fit into an answer
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.0.9" ⏎ [[pxe.network]] ⏎ network = "10.0.0.128/25" ⏎ pool = "10.0.0.129"
          server.toml:5:11: pxe.network.network = "10.0.0.128/25": it overlaps 10.0.0.0/24
            the first one stands at server.toml:1
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.5-10.0.1.9"
          server.toml:3:8: pxe.network.pool = "10.0.0.5-10.0.1.9": it does not lie within the network 10.0.0.0/24
            machines there have addresses between 10.0.0.0 and 10.0.0.255
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.9-10.0.0.5"
          server.toml:3:8: pxe.network.pool = "10.0.0.9-10.0.0.5": it ends at 10.0.0.5, before it begins
            write the first and the last address to give, for example "10.0.0.50-10.0.0.199"
        [[pxe.network]] ⏎ network = "10.0.0.0/24" ⏎ pool = "10.0.0.x"
          server.toml:3:8: pxe.network.pool = "10.0.0.x": "10.0.0.x" is no IPv4 address
            write the first and the last address to give, for example "10.0.0.50-10.0.0.199"
        [[pxe.network]] ⏎ network = "10.0.0.1/24" ⏎ pool = "10.0.0.5"
          server.toml:2:11: pxe.network.network = "10.0.0.1/24": it is an address in a network
            the network is "10.0.0.0/24"
        [[pxe.network]] ⏎ network = "10.0.0.0" ⏎ pool = "10.0.0.5"
          server.toml:2:11: pxe.network.network = "10.0.0.0": it is no network
            write a network, for example "10.0.0.0/24"
    "#]].assert_eq(&refusals(&[
        "[pxe]\nenable = true",
        "[pxe]\npxe = 1",
        "[pxe]\nenabled = true",
        "[pxe]\nenabled = true\nmode = \"full\"\ninterfaces = [\"eth1\"]",
        "[pxe]\nmode = \"dhcp\"",
        "[pxe]\nunknown = true",
        "[pxe]\ninterfaces = [\"eth1\", \"eth1\"]",
        "[pxe]\ninterfaces = []",
        "[pxe]\ndelay = \"1h\"",
        "[pxe]\naddress = \"239.1.1.1\"",
        "[pxe]\nenabled = true\ninterfaces = \"eth1\"\nhttp = 62999",
        "[pxe.menu]\nfirst = \"disk\"",
        "[pxe.tftp]\nblock_limit = 100",
        "[pxe.network]\npool = \"a\"",
        "[[pxe.network]]\npools = \"10.0.0.5\"",
        "[[network]]\npool = \"10.0.0.5\"",
        &network("router = \"10.0.1.1\""),
        &network("router = \"10.0.0.255\""),
        &network("lease = \"10s\""),
        &network(&format!("dns = [{}]", ["\"10.0.0.1\""; 17].join(", "))),
        &network(&other("10.0.0.128/25", "10.0.0.129")),
        &other("10.0.0.0/24", "10.0.0.5-10.0.1.9"),
        &other("10.0.0.0/24", "10.0.0.9-10.0.0.5"),
        &other("10.0.0.0/24", "10.0.0.x"),
        &other("10.0.0.1/24", "10.0.0.5"),
        &other("10.0.0.0", "10.0.0.5"),
    ]));
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let text = format!(
        "{LEAST}[pxe]\nmode = \"off\"\ndelay = \"1s\"\nmenu.wait = \"1s\"\ndhcp.others = false\n{}",
        &BENCH[BENCH.find("[[").unwrap()..]
    );
    expect![[r#"
        [pxe] has no effect without enabled = true
        [[pxe.network]] has no effect: pxe.mode is not "full"
        [pxe.dhcp] has no effect: pxe.mode is not "full"
        [pxe.menu] has no effect without prompt
        pxe.delay has no effect: pxe.mode is "off", another server answers DHCP"#]]
    .assert_eq(&loaded(&text).warnings.join("\n"));
}

#[test]
fn who_only_boots_machines_needs_no_images_and_serves_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    let text = "content.images = \"/gone\"\n[pxe]\ninterfaces = [\"lo\"]\n[[image]]\nfile = \"a.img\"\n";
    std::fs::write(&path, text).unwrap();
    let of = |boots_only| {
        let arguments = ServeArguments { config: Some(path.clone()), boots_only, ..ServeArguments::default() };
        Loaded::load(&arguments, &around())
    };
    assert!(of(false).unwrap_err().to_string().contains("/gone"));
    let settings = of(true).unwrap().settings;
    assert!(settings.pxe.enabled && !settings.multicast.enabled && settings.content.images.is_none());
}
