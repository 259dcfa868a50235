//! What is said about values that are wrong.

use expect_test::expect;

use super::*;

#[test]
fn values_out_of_their_limits() {
    expect![[r#"
        server.control_port = 0
          server.toml:1:23: server.control_port = 0: it lies outside of 1 to 65535
            write a number from 1 to 65535
        server.control_port = 65536
          server.toml:1:23: server.control_port = 65536: it lies outside of 1 to 65535
            write a number from 1 to 65535
        server.control_port = "62999"
          server.toml:1:23: server.control_port = "62999": it is a text, a number has no quotes
            write a number from 1 to 65535
        server.control_port = 99999999999999999999999999999999999999999999999999
          server.toml:1:23: server.control_port = 99999999999999999999999999999999999999999999999999: it lies outside of 1 to 65535
            write a number from 1 to 65535
        server.interface = ""
          server.toml:1:20: server.interface = "": it is empty
            write a text of 1 to 255 bytes
        multicast.enabled = "yes"
          server.toml:1:21: multicast.enabled = "yes": it is neither true nor false
            write true or false
        multicast.ttl = 0
          server.toml:1:17: multicast.ttl = 0: it lies outside of 1 to 255
            write a number from 1 to 255
        multicast.ttl = 1.5
          server.toml:1:17: multicast.ttl = 1.5: it is no whole number
            write a number from 1 to 255
        multicast.dscp = 64
          server.toml:1:18: multicast.dscp = 64: it lies outside of 0 to 63
            write a number from 0 to 63
        multicast.madcap.lease = "10s"
          server.toml:1:26: multicast.madcap.lease = "10s": it lies outside of 1m to 28days
            write a time from 1m to 28days, for example "30s", "10m" or "1h 30m"
        multicast.madcap.spare = 65
          server.toml:1:26: multicast.madcap.spare = 65: it lies outside of 0 to 64
            write a number from 0 to 64
        clients.max = 0
          server.toml:1:15: clients.max = 0: it lies outside of 1 to 4294967295
            write a number from 1 on
        clients.silence = "0s"
          server.toml:1:19: clients.silence = "0s": it lies outside of 1s to 1day
            write a time from 1s to 1day, for example "30s", "10m" or "1h 30m"
        clients.silence = 30
          server.toml:1:19: clients.silence = 30: it has no unit
            write a time from 1s to 1day, for example "30s", "10m" or "1h 30m"
        clients.silence = "30"
          server.toml:1:19: clients.silence = "30": time unit needed, for example 30sec or 30ms
            write a time from 1s to 1day, for example "30s", "10m" or "1h 30m"
        clients.slow.pace_floor = "101%"
          server.toml:1:27: clients.slow.pace_floor = "101%": share 101% lies outside of 0% to 100%
            write a part of 100 and %, for example "5%"
        clients.slow.pace_floor = 0.05
          server.toml:1:27: clients.slow.pace_floor = 0.05: it has no %
            write a part of 100 and %, for example "5%"
        clients.slow.slow_stream = "0%"
          server.toml:1:28: clients.slow.slow_stream = "0%": share 0% lies outside of what is above 0% and up to 100%
            write a part of 100 above 0 and %, for example "5%"; for none leave it out
        clients.slow.unicast = 257
          server.toml:1:24: clients.slow.unicast = 257: it lies outside of 0 to 256
            write a number from 0 to 256
        clients.slow.min_rate = "1kbit"
          server.toml:1:25: clients.slow.min_rate = "1kbit": rate 1kbit lies outside of 100kbit to 1000gbit
            write a number and kbit, mbit or gbit, for example "400mbit"
        start.clients = 0
          server.toml:1:17: start.clients = 0: it lies outside of 1 to 4294967295
            write a number from 1 on
        start.wait = "8d"
          server.toml:1:14: start.wait = "8d": it lies outside of 0s to 7days
            write a time from 0s to 7days, for example "30s", "10m" or "1h 30m"
        session.linger = "soon"
          server.toml:1:18: session.linger = "soon": expected number at 0
            write a time from 0s to 7days, for example "30s", "10m" or "1h 30m"
        content.settle = "2h" ⏎ content.images = "/"
          server.toml:1:18: content.settle = "2h": it lies outside of 0s to 1h
            write a time from 0s to 1h, for example "30s", "10m" or "1h 30m"
        http.max_connections = 0
          server.toml:1:24: http.max_connections = 0: it lies outside of 1 to 1000000
            write a number from 1 to 1000000
        http.body_limit = "1GiB"
          server.toml:1:19: http.body_limit = "1GiB": it lies outside of 1KiB to 64MiB
            write a size from 1KiB to 64MiB, for example "64KiB"
        http.body_limit = "64"
          server.toml:1:19: http.body_limit = "64": size 64 has no unit
            write a size from 1KiB to 64MiB, for example "64KiB"
        http.body_limit = 65536
          server.toml:1:19: http.body_limit = 65536: it has no unit
            write a size from 1KiB to 64MiB, for example "64KiB"
        site.name = "a\u0007"
          server.toml:1:13: site.name = "a\u0007": it contains a control character
            write a text of 1 to 255 bytes
        site.account.password = ""
          server.toml:1:25: site.account.password = (not shown): it is empty
            write a text in quotes
    "#]]
    .assert_eq(&refusals(&[
        "server.control_port = 0",
        "server.control_port = 65536",
        "server.control_port = \"62999\"",
        "server.control_port = 99999999999999999999999999999999999999999999999999",
        "server.interface = \"\"",
        "multicast.enabled = \"yes\"",
        "multicast.ttl = 0",
        "multicast.ttl = 1.5",
        "multicast.dscp = 64",
        "multicast.madcap.lease = \"10s\"",
        "multicast.madcap.spare = 65",
        "clients.max = 0",
        "clients.silence = \"0s\"",
        "clients.silence = 30",
        "clients.silence = \"30\"",
        "clients.slow.pace_floor = \"101%\"",
        "clients.slow.pace_floor = 0.05",
        "clients.slow.slow_stream = \"0%\"",
        "clients.slow.unicast = 257",
        "clients.slow.min_rate = \"1kbit\"",
        "start.clients = 0",
        "start.wait = \"8d\"",
        "session.linger = \"soon\"",
        "content.settle = \"2h\"\ncontent.images = \"/\"",
        "http.max_connections = 0",
        "http.body_limit = \"1GiB\"",
        "http.body_limit = \"64\"",
        "http.body_limit = 65536",
        "site.name = \"a\\u0007\"",
        "site.account.password = \"\"",
    ]));
}

#[test]
fn values_of_no_meaning() {
    expect![[r#"
        site.database = "mysql://db/site"
          server.toml:1:17: site.database = "mysql://db/site": it is neither sqlite nor postgres
            write "sqlite", "sqlite:/path" or "postgres://host/database"
        site.database = "postgres://db"
          server.toml:1:17: site.database = "postgres://db": it names no database
            write "sqlite", "sqlite:/path" or "postgres://host/database"
        site.database = "postgres://mcast:hunter2@db/site"
          server.toml:1:17: site.database = (not shown): a password does not belong into a URL, which is shown and logged
            take it out, and write password_file = "/path/to/file" under [site.account]
        site.database = "psotgres://mcast:hunter2@db/site"
          server.toml:1:17: site.database = (not shown): it is neither sqlite nor postgres
            write "sqlite", "sqlite:/path" or "postgres://host/database"
        site.account.password = 12345
          server.toml:1:25: site.account.password = (not shown): it is no text in quotes
            write a text in quotes
        multicast.address = "10.0.0.1"
          server.toml:1:21: multicast.address = "10.0.0.1": cannot allocate 10.0.0.1 for a session: it is no multicast address
            write "auto", "madcap", an address of 239.0.0.0/8, a range A-B, a prefix A/N, or several with commas between
        multicast.address = "224.0.0.7"
          server.toml:1:21: multicast.address = "224.0.0.7": cannot allocate 224.0.0.7 for a session: it lies in 224.0.0.0/24 (local network control, RFC 5771 §4)
            write "auto", "madcap", an address of 239.0.0.0/8, a range A-B, a prefix A/N, or several with commas between
        multicast.address = "239.1.1.9-239.1.1.1"
          server.toml:1:21: multicast.address = "239.1.1.9-239.1.1.1": address range 239.1.1.9-239.1.1.1 does not run upwards from 239.1.1.9 to 239.1.1.1
            write "auto", "madcap", an address of 239.0.0.0/8, a range A-B, a prefix A/N, or several with commas between
        multicast.address = "dhcp"
          server.toml:1:21: multicast.address = "dhcp": "dhcp" is no address, no range A-B and no prefix A/N
            write "auto", "madcap", an address of 239.0.0.0/8, a range A-B, a prefix A/N, or several with commas between
        multicast.ports = "64000-63000"
          server.toml:1:19: multicast.ports = "64000-63000": port range 64000-63000 ends before it starts
            write two ports, the lower one first, for example "63000-64000"
        multicast.ports = 0
          server.toml:1:19: multicast.ports = 0: port range 0 contains port 0, the lowest one is 1
            write two ports, the lower one first, for example "63000-64000"
        multicast.madcap.server = "http://dhcp"
          server.toml:1:27: multicast.madcap.server = "http://dhcp": "//dhcp" is no port
            write a host or an address, and a port behind a colon
        multicast.madcap.scope = "10.0.0.0"
          server.toml:1:26: multicast.madcap.scope = "10.0.0.0": cannot allocate 10.0.0.0 for a session: it is no multicast address
            write the first address of a scope, for example "239.192.0.0"
        rate.network = "1gbit"
          server.toml:1:16: rate.network = "1gbit": it is a rate
            write custom = instead of network =
        rate.network = "fast"
          server.toml:1:16: rate.network = "fast": there is no such word
            write "auto", "10m", "100m", "1g" or "10g"
        rate.custom = "400"
          server.toml:1:15: rate.custom = "400": rate 400 has no unit
            write a number and kbit, mbit or gbit, for example "400mbit"
        rate.custom = 400
          server.toml:1:15: rate.custom = 400: it has no unit
            write a number and kbit, mbit or gbit, for example "400mbit"
        rate.total = "400mbps"
          server.toml:1:14: rate.total = "400mbps": unknown unit "mbps" of a rate
            write a number and kbit, mbit or gbit, for example "400mbit"
        rate.adaptive = true
          server.toml:1:17: rate.adaptive = true: true is none of its words
            write "auto", "on" or "off"
        clients.when_full = "queu"
          server.toml:1:21: clients.when_full = "queu": there is no such word
            did you mean "queue"? write "queue" or "unicast"
        clients.when_full = "refuse"
          server.toml:1:21: clients.when_full = "refuse": there is no such word
            write "queue" or "unicast"
        start.at = "10 pm"
          server.toml:1:12: start.at = "10 pm": "10 pm" is no time of day, and no date with one
            write a local time, for example "22:00" or "2026-12-01T22:00"
        start.at = 2026-12-01T22:00:00Z
          server.toml:1:12: start.at = 2026-12-01T22:00:00Z: "2026-12-01T22:00:00Z" is no time of day, and no date with one
            write a local time, for example "22:00" or "2026-12-01T22:00"
        start.on_command = 1
          server.toml:1:20: start.on_command = 1: it is neither true nor false
            write true or false
        content.cache = "stat" ⏎ content.images = "/"
          server.toml:1:17: content.cache = "stat": there is no such word
            did you mean "state"? The folder of this name is "./stat"
        http.listen = "localhost:80"
          server.toml:1:15: http.listen = "localhost:80": "localhost" is no IP address
            write an IP address and a port, for example "0.0.0.0:62999", or a list of these
        http.listen = ["127.0.0.1"]
          server.toml:1:15: http.listen = ["127.0.0.1"]: "127.0.0.1" has no port
            write an IP address and a port, for example "0.0.0.0:62999", or a list of these
        http.listen = "127.0.0.1:http"
          server.toml:1:15: http.listen = "127.0.0.1:http": "http" is no port, which is a number up to 65535
            write an IP address and a port, for example "0.0.0.0:62999", or a list of these
        http.tls = "never"
          server.toml:1:12: http.tls = "never": there is no such word
            write "auto" or "always"
        log.level = "verbose"
          server.toml:1:13: log.level = "verbose": "verbose" is no level
            write off, error, warn, info, debug or trace, or such with parts: "info,mcast_server=debug"
        log.level = "mcast_server=inof"
          server.toml:1:13: log.level = "mcast_server=inof": "inof" is no level
            did you mean info?
        log.format = "jsonl"
          server.toml:1:14: log.format = "jsonl": there is no such word
            did you mean "json"? write "auto", "text", "json" or "journald"
    "#]].assert_eq(&refusals(&[
        "site.database = \"mysql://db/site\"",
        "site.database = \"postgres://db\"",
        "site.database = \"postgres://mcast:hunter2@db/site\"",
        "site.database = \"psotgres://mcast:hunter2@db/site\"",
        "site.account.password = 12345",
        "multicast.address = \"10.0.0.1\"",
        "multicast.address = \"224.0.0.7\"",
        "multicast.address = \"239.1.1.9-239.1.1.1\"",
        "multicast.address = \"dhcp\"",
        "multicast.ports = \"64000-63000\"",
        "multicast.ports = 0",
        "multicast.madcap.server = \"http://dhcp\"",
        "multicast.madcap.scope = \"10.0.0.0\"",
        "rate.network = \"1gbit\"",
        "rate.network = \"fast\"",
        "rate.custom = \"400\"",
        "rate.custom = 400",
        "rate.total = \"400mbps\"",
        "rate.adaptive = true",
        "clients.when_full = \"queu\"",
        "clients.when_full = \"refuse\"",
        "start.at = \"10 pm\"",
        "start.at = 2026-12-01T22:00:00Z",
        "start.on_command = 1",
        "content.cache = \"stat\"\ncontent.images = \"/\"",
        "http.listen = \"localhost:80\"",
        "http.listen = [\"127.0.0.1\"]",
        "http.listen = \"127.0.0.1:http\"",
        "http.tls = \"never\"",
        "log.level = \"verbose\"",
        "log.level = \"mcast_server=inof\"",
        "log.format = \"jsonl\"",
    ]));
}
