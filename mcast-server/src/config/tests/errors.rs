//! What is said about keys, tables and whole files that are wrong.

use expect_test::expect;

use super::*;

#[test]
fn keys_that_nobody_knows() {
    expect![[r#"
        rate.totl = "1gbit"
          server.toml:1:6: unknown key rate.totl
            did you mean rate.total? (rate of all sessions of this server together)
        [server] ⏎ listen = "0.0.0.0:1"
          server.toml:2:1: unknown key server.listen
            did you mean http.listen? (addresses of the API, the web page and unicast)
        [rate] ⏎ colour = "red"
          server.toml:2:1: unknown key rate.colour
            [rate] has network, custom, adaptive and total
        [Rate] ⏎ total = "1gbit"
          server.toml:1:2: unknown section Rate
            did you mean [rate]?
        [cleints] ⏎ max = 1
          server.toml:1:2: unknown section cleints
            did you mean [clients]?
        [weather] ⏎ wind = 1
          server.toml:1:2: unknown section weather
            there are [site], [server], [multicast], [rate], [clients], [session], [content], [http], [log], [pxe], [start], [[image]], [[token]] and [[pxe.network]]
        weather = 1
          server.toml:1:1: unknown key weather
            there are [site], [server], [multicast], [rate], [clients], [session], [content], [http], [log], [pxe], [start], [[image]], [[token]] and [[pxe.network]]
        rate = "1gbit"
          server.toml:1:1: rate is a section, not a value
            [rate] has network, custom, adaptive and total
        rate.total = { limit = 1 }
          server.toml:1:14: rate.total = a table: it is no text in quotes
            write a number and kbit, mbit or gbit, for example "400mbit"
        [clients.slow] ⏎ min-rate = "1mbit"
          server.toml:2:1: unknown key clients.slow.min-rate
            did you mean clients.slow.min_rate? (rate below which a client is evicted)
        [clients.fast] ⏎ min_rate = "1mbit"
          server.toml:1:10: unknown key clients.fast
            [clients] has max, when_full, silence and slow
        [images] ⏎ file = "a"
          server.toml:1:2: unknown section images
            did you mean [[image]]?
        [image] ⏎ file = "a"
          server.toml:1:1: image is no list of tables
            write [[image]] above the keys of each
        image = "a"
          server.toml:1:9: image is no list of tables
            write [[image]] above the keys of each
        [[image]] ⏎ fiel = "a"
          2 settings are wrong
            server.toml:1:1: image.file is missing
              write file = … under [[image]]: the image, below content.images
            server.toml:2:1: unknown key image.fiel
              did you mean image.file?
        [[image]] ⏎ file = "a" ⏎ start = "22:00"
          server.toml:3:1: image.start is a section, not a value
            [image.start] has clients, wait, at and on_command
        [[image]] ⏎ file = "a" ⏎ start = { client = 3 }
          server.toml:3:11: unknown key image.start.client
            did you mean image.start.clients?
        [[token]] ⏎ name = "a" ⏎ role = "viewer" ⏎ tokenfile = "/t"
          2 settings are wrong
            server.toml:1:1: token.token_file is missing
              write token_file = … under [[token]]: a file with the token
            server.toml:4:1: unknown key token.tokenfile
              did you mean token.token_file?
    "#]].assert_eq(&refusals(&[
        "rate.totl = \"1gbit\"",
        "[server]\nlisten = \"0.0.0.0:1\"",
        "[rate]\ncolour = \"red\"",
        "[Rate]\ntotal = \"1gbit\"",
        "[cleints]\nmax = 1",
        "[weather]\nwind = 1",
        "weather = 1",
        "rate = \"1gbit\"",
        "rate.total = { limit = 1 }",
        "[clients.slow]\nmin-rate = \"1mbit\"",
        "[clients.fast]\nmin_rate = \"1mbit\"",
        "[images]\nfile = \"a\"",
        "[image]\nfile = \"a\"",
        "image = \"a\"",
        "[[image]]\nfiel = \"a\"",
        "[[image]]\nfile = \"a\"\nstart = \"22:00\"",
        "[[image]]\nfile = \"a\"\nstart = { client = 3 }",
        "[[token]]\nname = \"a\"\nrole = \"viewer\"\ntokenfile = \"/t\"",
    ]));
}

#[test]
fn images_and_tokens() {
    let long = "a".repeat(256);
    expect![[r#"
        [[image]] ⏎ name = "a"
          server.toml:1:1: image.file is missing
            write file = … under [[image]]: the image, below content.images
        [[image]] ⏎ file = "a" ⏎ files = ["a", "b"]
          server.toml:3:9: image.file and image.files exclude each other
            write files = ["first", "second"] for several parts
        [[image]] ⏎ file = "../a"
          server.toml:2:8: image.file = "../a": it leaves the images' folder by ".."
            write the name of a file below the folder of images
        [[image]] ⏎ file = "/etc/shadow"
          server.toml:2:8: image.file = "/etc/shadow": it is absolute
            write the name of a file below the folder of images
        [[image]] ⏎ files = []
          server.toml:2:9: image.files = []: it names none
            write a list of names of files below the folder of images
        [[image]] ⏎ files = ["a", 1]
          server.toml:2:9: image.files = ["a", 1]: it is no text in quotes
            write a list of names of files below the folder of images
        [[image]] ⏎ file = "a" ⏎ [[image]] ⏎ file = "b/a"
          server.toml:3:1: image "a" is there twice
            the first one stands at server.toml:1
        [[image]] ⏎ file = "a" ⏎ name = ""
          server.toml:3:8: image.name = "": it is empty
            write a text of 1 to 255 bytes
        [[image]] ⏎ file = "a" ⏎ name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          server.toml:3:8: image.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…: it has 256 bytes, at most 255 fit
            write a text of 1 to 255 bytes
        [[image]] ⏎ file = "a" ⏎ encryption = "on"
          server.toml:3:14: image.encryption = "on": this version cannot encrypt
            write "off", or leave it out
        [[image]] ⏎ file = "a" ⏎ priority = 10
          server.toml:3:12: image.priority = 10: it lies outside of 1 to 9
            write a number from 1 to 9
        [[image]] ⏎ file = "a" ⏎ multicast = "always"
          server.toml:3:13: image.multicast = "always": there is no such word
            write "allowed", "only" or "never"
        [[token]] ⏎ role = "viewer" ⏎ token = "x"
          server.toml:1:1: token.name is missing
            write name = … under [[token]]: whose it is, for the log
        [[token]] ⏎ name = "a" ⏎ role = "admin" ⏎ token = "x"
          server.toml:3:8: token.role = "admin": there is no such word
            write "operator", "viewer" or "metrics"
        [[token]] ⏎ name = "a" ⏎ role = "viewer"
          server.toml:1:1: token.token_file is missing
            write token_file = … under [[token]]: a file with the token
        [[token]] ⏎ name = "a" ⏎ role = "viewer" ⏎ token = "x" ⏎ token_file = "/x"
          server.toml:5:14: token.token and token.token_file exclude each other
            keep the file: settings are shown and copied more easily
        [[token]] ⏎ name = "a" ⏎ role = "viewer" ⏎ token = 12345678901234567890
          server.toml:4:9: token.token = (not shown): it is no text in quotes
            write a text in quotes
        [[token]] ⏎ name = "a" ⏎ role = "viewer" ⏎ token = "x" ⏎ [[token]] ⏎ name = "a" ⏎ role = "viewer" ⏎ token = "y"
          server.toml:6:8: token "a" is there twice
            the first one stands at server.toml:1
    "#]].assert_eq(&refusals(&[
        "[[image]]\nname = \"a\"",
        "[[image]]\nfile = \"a\"\nfiles = [\"a\", \"b\"]",
        "[[image]]\nfile = \"../a\"",
        "[[image]]\nfile = \"/etc/shadow\"",
        "[[image]]\nfiles = []",
        "[[image]]\nfiles = [\"a\", 1]",
        "[[image]]\nfile = \"a\"\n[[image]]\nfile = \"b/a\"",
        "[[image]]\nfile = \"a\"\nname = \"\"",
        &format!("[[image]]\nfile = \"a\"\nname = \"{long}\""),
        "[[image]]\nfile = \"a\"\nencryption = \"on\"",
        "[[image]]\nfile = \"a\"\npriority = 10",
        "[[image]]\nfile = \"a\"\nmulticast = \"always\"",
        "[[token]]\nrole = \"viewer\"\ntoken = \"x\"",
        "[[token]]\nname = \"a\"\nrole = \"admin\"\ntoken = \"x\"",
        "[[token]]\nname = \"a\"\nrole = \"viewer\"",
        "[[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = \"x\"\ntoken_file = \"/x\"",
        "[[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = 12345678901234567890",
        "[[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = \"x\"\n[[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = \"y\"",
    ]));
}

#[test]
fn what_does_not_fit_together() {
    expect![[r#"
        [rate] ⏎ network = "1g" ⏎ custom = "1gbit"
          server.toml:3:10: rate.custom and rate.network exclude each other
            the first one stands at server.toml:2
        [site.account] ⏎ password = "x" ⏎ password_file = "/x"
          server.toml:3:17: site.account.password_file and site.account.password exclude each other
            the first one stands at server.toml:2
        [http] ⏎ listen = []
          server.toml:2:10: http.listen = []: it names none
            write an IP address and a port, for example "0.0.0.0:62999", or a list of these
        [http] ⏎ listen = ["127.0.0.1:1", "127.0.0.1:1"]
          server.toml:2:10: http.listen names 127.0.0.1:1 twice
        [http] ⏎ metrics_listen = "127.0.0.1:62999"
          server.toml:2:18: http.metrics_listen = "127.0.0.1:62999": it is one of http.listen
            write another port, or leave it out: metrics are there already
        [http] ⏎ certificate = "/c"
          server.toml:2:15: http.certificate is of no use without http.key
            give both, or neither for a certificate that the server makes
        [http] ⏎ key = "/k"
          server.toml:2:7: http.key is of no use without http.certificate
            give both, or neither for a certificate that the server makes
        [content] ⏎ settle = "1s"
          content.images is missing
            write images = … under [content]: folder of images
    "#]]
    .assert_eq(&refusals(&[
        "[rate]\nnetwork = \"1g\"\ncustom = \"1gbit\"",
        "[site.account]\npassword = \"x\"\npassword_file = \"/x\"",
        "[http]\nlisten = []",
        "[http]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        "[http]\nmetrics_listen = \"127.0.0.1:62999\"",
        "[http]\ncertificate = \"/c\"",
        "[http]\nkey = \"/k\"",
        "[content]\nsettle = \"1s\"",
    ]));
}

#[test]
fn what_is_no_toml_gives_its_errors_alone() {
    expect![[r#"
        [rate ⏎ total = 1 ⏎ name = "content ⏎ x = 1
          server.toml:1:6: this is no TOML: unclosed table, expected `]`
        [rate] ⏎ total = "1gbit" ⏎ total = "2gbit"
          server.toml:3:1: this is no TOML: duplicate key
        [site] ⏎ name = hunter2
          server.toml:2:8: this is no TOML: string values must be quoted, expected literal string
    "#]]
    .assert_eq(&refusals(&[
        "[rate\ntotal = 1\nname = \"content\nx = 1",
        "[rate]\ntotal = \"1gbit\"\ntotal = \"2gbit\"",
        "[site]\nname = hunter2",
    ]));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_in_order() {
    let text = "[multicast]\nttl = 0\nport = \"63000\"\n[rate]\nnetwork = \"1g\"\ncustom = \"fast\"\n[[image]]\nname = \"a\"\npriority = 0\n";
    let (_, problems) = fill(text, &ServeArguments::default(), &around());
    expect![[r#"
        6 settings are wrong
          server.toml:2:7: multicast.ttl = 0: it lies outside of 1 to 255
            write a number from 1 to 255
          server.toml:3:1: unknown key multicast.port
            did you mean multicast.ports? (UDP ports of sessions)
          server.toml:6:10: rate.custom = "fast": "fast" is no rate
            write a number and kbit, mbit or gbit, for example "400mbit"
          server.toml:7:1: image.file is missing
            write file = … under [[image]]: the image, below content.images
          server.toml:9:12: image.priority = 0: it lies outside of 1 to 9
            write a number from 1 to 9
          content.images is missing
            write images = … under [content]: folder of images"#]]
    .assert_eq(&ConfigError::new(problems).to_string());
}

#[test]
fn unusual_settings_are_warned_about() {
    let text = "\
        [multicast]\nenabled = false\naddress = \"239.0.0.5\"\nmadcap.spare = 2\n\
        [site.account]\nuser = \"mcast\"\n[rate]\ncustom = \"1gbit\"\ntotal = \"400mbit\"\n\
        [http]\nlisten = \"0.0.0.0:62999\"\n[start]\nat = \"2026-05-01T22:00\"\n\
        [content]\nimages = \"/\"\n[[image]]\nfile = \"a\"\nmulticast = \"only\"\nstart.at = 2026-05-31T09:00:00\n";
    expect![[r#"
        [multicast.madcap] has no effect: multicast.address is not "madcap"
        multicast.address: switches may flood 239.0.0.5: it shares the Ethernet address 01:00:5e:00:00:05 with 224.0.0.5
        [site.account] has no effect: site.database is no PostgreSQL
        rate.custom is 1gbit, but no session gets more than rate.total, 400mbit
        the API's admin side at 0.0.0.0:62999 stays off until there is a [[token]]
        image "a" is not served: it is for multicast only, which is off
        [start]: 2026-05-01T22:00 has passed, so the first client starts a session
        image "a": 2026-05-31T09:00 has passed, so the first client starts a session"#]]
    .assert_eq(&loaded(text).warnings.join("\n"));
}
