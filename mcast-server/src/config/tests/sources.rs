//! Which source wins, and what is said about all of them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{CommandFactory, Parser};
use expect_test::expect;

use super::*;
use crate::config::environment::variable;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArguments,
}

fn flags(line: &[&str]) -> ServeArguments {
    Line::try_parse_from(std::iter::once(&"serve").chain(line)).unwrap().serve
}

fn variables(all: &[(&str, &str)]) -> Surroundings {
    let variables = all.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Surroundings { variables, ..around() }
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file =
        "content.images = \"/f\"\n[multicast]\nttl = 2\ndscp = 2\n[server]\ncontrol_port = 2\n[clients]\nmax = 2";
    let around = variables(&[
        ("MCAST_MULTICAST__TTL", "3"),
        ("MCAST_MULTICAST__DSCP", "3"),
        ("MCAST_SERVER__CONTROL_PORT", "3"),
    ]);
    let flags = flags(&["--set", "multicast.ttl=4", "--control-port", "4"]);
    let (loaded, problems) = fill(file, &flags, &around);
    assert_eq!(problems, []);
    let settings = &loaded.settings;
    assert_eq!((settings.multicast.ttl, settings.server.control_port), (4, 4));
    assert_eq!((settings.multicast.dscp, settings.clients.max), (3, Some(2)));
    let origins = ["multicast.ttl", "server.control_port", "multicast.dscp", "clients.max"];
    let origins = origins.map(|path| loaded.origins[path].to_string());
    assert_eq!(origins, ["--set", "--control-port", "MCAST_MULTICAST__DSCP", "server.toml:8"]);
}

#[test]
fn the_command_line_is_sound() {
    Line::command().debug_assert();
}

#[test]
fn a_flag_of_its_own_goes_before_set() {
    let (loaded, problems) = fill(LEAST, &flags(&["--set", "log.level=warn", "--log-level", "debug"]), &around());
    assert_eq!(problems, []);
    assert_eq!(loaded.settings.log.level.to_string(), "debug");
}

#[test]
fn all_flags_of_their_own_are_settings() {
    let line = [
        "--images",
        "pictures",
        "--listen",
        "127.0.0.1:1",
        "--listen",
        "[::1]:1",
        "--state",
        "/s",
        "--interface",
        "lo",
        "--log-format",
        "json",
        "--log-level",
        "mcast_server=trace",
        "--control-port",
        "9",
    ];
    let mut problems = Vec::new();
    let (loaded, sound) = Loaded::fill(None, &flags(&line), &around(), &mut problems);
    assert_eq!((problems, sound), (Vec::new(), true));
    let settings = loaded.settings;
    // Seen from the folder in which the flag was written.
    assert_eq!(settings.content.images, Some(PathBuf::from("/root/pictures")));
    assert_eq!(settings.http.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()]);
    assert_eq!((settings.site.state, settings.server.interface), (PathBuf::from("/s"), Some("lo".to_owned())));
    assert_eq!((settings.log.format, settings.server.control_port), (LogFormat::Json, 9));
}

#[test]
fn an_empty_variable_takes_a_setting_away() {
    let text = format!("{LEAST}clients.max = 3");
    let (loaded, problems) = fill(&text, &ServeArguments::default(), &variables(&[("MCAST_CLIENTS__MAX", "")]));
    assert_eq!((problems.len(), loaded.settings.clients.max), (0, None));
    let (_, problems) = fill(LEAST, &ServeArguments::default(), &variables(&[("MCAST_SESSION__LINGER", "")]));
    assert!(problems[0].to_string().starts_with("MCAST_SESSION__LINGER: session.linger = \"\": "), "{}", problems[0]);
}

#[test]
fn of_two_keys_for_the_same_the_stronger_sources_wins() {
    let text = format!(
        "{LEAST}rate.network = \"1g\"\nsite.account.password_file = \"/p\"\nsite.database = \"postgres://h/d\""
    );
    let around = variables(&[("MCAST_SITE__ACCOUNT__PASSWORD", "hunter2")]);
    let (loaded, problems) = fill(&text, &flags(&["--set", "rate.custom=400mbit"]), &around);
    assert_eq!(problems, []);
    assert_eq!((loaded.settings.rate.network, loaded.settings.rate.custom), (None, "400mbit".parse().ok()));
    let account = &loaded.settings.site.account;
    assert_eq!((account.password.as_ref().map(Secret::expose), &account.password_file), (Some("hunter2"), &None));
    assert!(!loaded.origins.contains_key("rate.network"));
}

#[test]
fn paths_start_at_the_file_that_names_them() {
    let mut problems = Vec::new();
    let text =
        "content.images = \"images\"\nhttp.certificate = \"/c\"\nhttp.key = \"k\"\nsite.database = \"sqlite:db\"";
    for (path, folder) in
        [("/etc/mcast/server.toml", "/etc/mcast"), ("conf/server.toml", "/root/conf"), ("a.toml", "/root")]
    {
        let file = ConfigFile { path: path.into(), text: text.to_owned(), mode: 0o600 };
        let (loaded, _) = Loaded::fill(Some(&file), &ServeArguments::default(), &around(), &mut problems);
        let folder = PathBuf::from(folder);
        assert_eq!(loaded.settings.content.images, Some(folder.join("images")));
        assert_eq!(loaded.settings.http.certificate, Some("/c".into()));
        assert_eq!(loaded.settings.http.key, Some(folder.join("k")));
        assert_eq!(loaded.settings.site.sqlite_file(), Some(folder.join("db")));
    }
    assert_eq!(problems, []);
}

#[test]
fn a_variable_that_names_no_setting_is_warned_about() {
    let around = variables(&[
        ("MCAST_HTTP__LISTN", "x"),
        ("MCAST_IMAGE", "x"),
        ("MCAST_TOKEN__0__NAME", "x"),
        ("MCAST_COLOUR_OF_THE_SKY", "blue"),
        ("OTHER", "x"),
        ("MCAST_CTL_TOKEN", "of another command"),
    ]);
    let (loaded, problems) = fill(LEAST, &ServeArguments::default(), &around);
    assert_eq!(problems, []);
    expect![[r#"
        variable MCAST_HTTP__LISTN names no setting, did you mean MCAST_HTTP__LISTEN?
        variable MCAST_IMAGE has no effect: [[image]] can only be set in the file
        variable MCAST_TOKEN__0__NAME has no effect: [[token]] can only be set in the file
        variable MCAST_COLOUR_OF_THE_SKY names no setting"#]]
    .assert_eq(&loaded.warnings.join("\n"));
}

#[test]
fn what_is_wrong_with_variables_and_flags_is_named_after_them() {
    let mut around = variables(&[("MCAST_MULTICAST__TTL", "0")]);
    around.variables.push(("MCAST_SITE__NAME".into(), OsString::from_vec(vec![0xff])));
    let line = ["--control-port", "x", "--set", "rate.totl=1gbit", "--set", "image.x.priority=1"];
    let line = [&line[..], &["--set", "site.account.password=hunter2", "--listen", "localhost"]].concat();
    let (_, problems) = fill(LEAST, &flags(&line), &around);
    expect![[r#"
        7 settings are wrong
          MCAST_SITE__NAME: site.name: its value is no UTF-8
          --set: unknown key rate.totl
            did you mean rate.total? (rate of all sessions of this server together)
          --set: image.x.priority: [[image]] can only be set in the file
          --set: site.account.password: a secret does not belong into a command line
            use site.account.password_file, or the variable MCAST_SITE__ACCOUNT__PASSWORD
          --control-port: server.control_port = "x": it is no whole number
            write a number from 1 to 65535
          MCAST_MULTICAST__TTL: multicast.ttl = "0": it lies outside of 1 to 255
            write a number from 1 to 255
          --listen: http.listen = "localhost": "localhost" has no port
            write an IP address and a port, for example "0.0.0.0:62999", or a list of these"#]]
    .assert_eq(&ConfigError::new(problems).to_string());
    assert!(Line::try_parse_from(["serve", "--set", "rate.total"]).is_err());
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut names = schema::paths().iter().map(|path| variable(path)).collect::<Vec<_>>();
    assert!(names.contains(&"MCAST_CLIENTS__SLOW__PACE_FLOOR".to_owned()));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn effective_settings_are_shown_with_their_origin_and_without_secrets() {
    let text = "\
        [site]\n\
        database = \"postgres://db/site\"\n\
        account = { user = \"mcast\", password = \"hunter2\" }\n\
        [content]\n\
        images = \"/srv/images\"\n\
        [http]\n\
        listen = [\"0.0.0.0:62999\", \"[::1]:62999\"]\n\
        [[image]]\n\
        files = [\"a.swm\", \"b.swm\"]\n\
        start.at = 2026-01-01T22:00:00\n\
        [[token]]\n\
        name = \"web\"\n\
        role = \"viewer\"\n\
        token = \"a-token-of-20-letters\"\n";
    let (loaded, problems) =
        fill(text, &flags(&["--set", "rate.total=1gbit"]), &variables(&[("MCAST_CLIENTS__MAX", "9")]));
    assert_eq!(problems, []);
    let shown = loaded.describe();
    assert!(!shown.contains("hunter2") && !shown.contains("20-letters"));
    assert!(!format!("{loaded:?}").contains("hunter2") && !format!("{loaded:?}").contains("20-letters"));
    expect![[r#"
        [site]
        name = "depot"                          # default
        state = "/var/lib/mcast"                # default
        database = "postgres://db/site"         # server.toml:2

        [site.account]
        user = "mcast"                          # server.toml:3
        password = "(secret)"                   # server.toml:3
        # password_file: none                   # default

        [server]
        name = "depot"                          # default
        # interface: the only one that reaches other machines # default
        control_port = 62999                    # default

        [multicast]
        enabled = true                          # default
        address = "auto"                        # default
        ports = "63000-64000"                   # default
        ttl = 1                                 # default
        dscp = 0                                # default
        source_specific = false                 # default
        probes = true                           # default

        [multicast.madcap]
        server = "239.255.255.254:2535"         # default
        # scope: the first one that the server offers # default
        lease = "1h"                            # default
        spare = 1                               # default

        [rate]
        network = "auto"                        # default
        # custom: by network                    # default
        adaptive = "auto"                       # default
        total = "1gbit"                         # --set

        [clients]
        max = 9                                 # MCAST_CLIENTS__MAX
        when_full = "queue"                     # default
        silence = "30s"                         # default

        [clients.slow]
        pace_quantile = "50%"                   # default
        pace_floor = "5%"                       # default
        slow_loss = "50%"                       # default
        slow_after = "5s"                       # default
        # slow_stream: no second stream         # default
        unicast = 8                             # default
        # min_rate: no limit                    # default
        stall_timeout = "10m"                   # default

        [session]
        linger = "5m"                           # default

        [content]
        images = "/srv/images"                  # server.toml:5
        # packages: no packages                 # default
        settle = "2s"                           # default
        unlisted = "serve"                      # default
        cache = "state"                         # default

        [http]
        listen = ["0.0.0.0:62999", "[::1]:62999"] # server.toml:7
        # metrics_listen: metrics are at the addresses of listen # default
        # certificate: one made by the server   # default
        # key: one made by the server           # default
        tls = "auto"                            # default
        max_connections = 2048                  # default
        body_limit = "64KiB"                    # default

        [log]
        format = "auto"                         # default
        level = "info"                          # default

        [pxe]
        enabled = false                         # default
        mode = "proxy"                          # default
        # interfaces: none                      # default
        # address: the one of the interface that a machine is heard at # default
        respond = true                          # default
        unknown = "site"                        # default
        delay = "0s"                            # default
        # images: boot-images in the state folder # default
        # loaders: /usr/lib/ipxe                # default
        http = 62997                            # default
        # client_server: this one               # default

        [pxe.menu]
        # prompt: no menu                       # default
        wait = "5s"                             # default
        boot = "Boot from the network"          # default
        # disk: no such item                    # default
        first = "boot"                          # default

        [pxe.tftp]
        # block_limit: what one packet on the way holds # default
        window_limit = 64                       # default
        transfers = 400                         # default
        per_client = 64                         # default
        # ports: any                            # default

        [pxe.dhcp]
        others = true                           # default
        authoritative = false                   # default

        [start]
        # clients: not by count                 # default
        # wait: not by waiting                  # default
        # at: not by the clock                  # default
        on_command = false                      # default

        [[image]]
        name = "a.swm"                          # default
        files = ["a.swm", "b.swm"]              # server.toml:9
        multicast = "allowed"                   # default
        encryption = "off"                      # default
        priority = 5                            # default
        start.at = "2026-01-01T22:00"           # server.toml:10
        start.on_command = false                # default

        [[token]]
        name = "web"                            # server.toml:12
        role = "viewer"                         # server.toml:13
        token = "(secret)"                      # server.toml:14

        # warning: image "a.swm": 2026-01-01T22:00 has passed, so the first client starts a session
    "#]]
    .assert_eq(&shown);
}

#[test]
fn what_is_shown_can_be_read_again() {
    let first = loaded(&format!(
        "{LEAST}rate.custom = \"1.5gbit\"\n[clients.slow]\nslow_stream = \"7%\"\nstall_timeout = \"0s\"\n[[image]]\nfile = \"a\\\"b\""
    ));
    let again = loaded(&first.describe());
    assert_eq!(again.settings.changes_from(&first.settings), Changes::default());
}

impl Settings {
    fn changes_from(&self, old: &Self) -> Changes {
        Self::changes(old, self)
    }
}
