//! Content for single clients: parts, tags, resumption, and files that change under way.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::UdpSocket;

use multicast_core::types::ClientId;
use multicast_core::wire::{Inquiry, Packet};
use support::http::{Answer, ask, connect, head};
use support::point::{Point, Site, noise, replace};

fn get(point: &Point, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(point.http, "GET", path, headers, b"").unwrap()
}

#[test]
fn parts_are_what_was_asked_for_and_say_where_they_lie() {
    let site = Site::new();
    let content = site.image("a.img", 300_001, 1);
    fs::write(site.path("packages/app.zip"), &content).unwrap();
    let point = site.start();
    point.image("a.img", "ready");
    let end = content.len();
    for path in ["/content/images/a.img", "/content/packages/app.zip"] {
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-299999", 0..300_000),
            ("bytes=131071-131072", 131_071..131_073),
            ("bytes=300000-", 300_000..end),
            ("bytes=300000-999999999", 300_000..end),
            ("bytes=-1", end - 1..end),
            ("bytes=-999999999", 0..end),
            ("bytes= 5 - 9 ", 5..10),
        ] {
            let answer = get(&point, path, &[("Range", range)]);
            assert_eq!(answer.status, 206, "{path} {range}");
            let told = format!("bytes {}-{}/{end}", part.start, part.end - 1);
            assert_eq!(answer.header("content-range"), Some(told.as_str()), "{path} {range}");
            assert!(answer.body == content[part], "{path} {range}");
        }
        for range in ["bytes=0-1,5-6", "bytes=9-0", "bytes=x-", "lines=0-1", "bytes=", "bytes=--1", "nonsense"] {
            let answer = get(&point, path, &[("Range", range)]);
            assert!(answer.status == 200 && answer.body == content, "{path} {range}: {}", answer.status);
        }
        for range in ["bytes=300001-", "bytes=999999999999-", "bytes=-0"] {
            let answer = get(&point, path, &[("Range", range)]);
            assert_eq!(
                (answer.status, answer.header("content-range")),
                (416, Some("bytes */300001")),
                "{path} {range}"
            );
        }
        let all = get(&point, path, &[]);
        assert_eq!((all.status, all.header("accept-ranges")), (200, Some("bytes")));
        assert!(all.body == content);
        // A HEAD says the same and sends nothing.
        for headers in [&[][..], &[("Range", "bytes=10-19")]] {
            let said = ask(point.http, "HEAD", path, headers, b"").unwrap();
            let sent = get(&point, path, headers);
            assert_eq!(said.status, sent.status);
            for name in ["content-length", "content-range", "etag", "content-type", "accept-ranges"] {
                assert_eq!(said.header(name), sent.header(name), "{path} {name}");
            }
        }
    }
}

#[test]
fn tags_say_whether_it_is_still_the_same() {
    let site = Site::new();
    let content = site.image("a.img", 10_000, 1);
    fs::create_dir(site.path("packages/drivers")).unwrap();
    fs::write(site.path("packages/drivers/net 1.zip"), &content).unwrap();
    let point = site.start();
    let root = point.image("a.img", "ready")["root"].as_str().unwrap().to_owned();
    let (image, package) = ("/content/images/a.img", "/content/packages/drivers/net%201.zip");
    let digest = blake3::hash(&content).to_string();
    for (path, tag) in [(image, &root), (package, &digest)] {
        let tag = format!("\"{tag}\"");
        assert_eq!(get(&point, path, &[]).header("etag"), Some(tag.as_str()));
        let listed = format!("\"x\", {tag}");
        let status = |name: &str, value: &str| get(&point, path, &[(name, value)]).status;
        assert_eq!([status("If-Match", &tag), status("If-Match", &listed), status("If-Match", "*")], [200; 3]);
        assert_eq!([status("If-Match", "\"x\""), status("If-Match", "x")], [412; 2]);
        assert_eq!(
            [status("If-None-Match", &tag), status("If-None-Match", &listed), status("If-None-Match", "*")],
            [304; 3]
        );
        // Weak comparison (RFC 9110 §13.1.2): a cache may have made it weak.
        assert_eq!(status("If-None-Match", &format!("W/{tag}")), 304);
        assert_eq!(status("If-Match", &format!("W/{tag}")), 412);
        assert_eq!(status("If-None-Match", "\"x\""), 200);
        let part = |tag: &str| get(&point, path, &[("Range", "bytes=5-9"), ("If-Range", tag)]);
        assert_eq!(part(&tag).body, content[5..10]);
        for other in ["\"x\"", &format!("W/{tag}"), "Thu, 01 Jan 2026 00:00:00 GMT"] {
            assert!(part(other).status == 200 && part(other).body == content, "{other}");
        }
    }
    // The manifest stands for the same bytes.
    let manifest = get(&point, "/content/images/a.img/manifest", &[]);
    assert_eq!(manifest.header("etag"), Some(format!("\"{root}\"").as_str()));
    let decoded = multicast_core::manifest::Manifest::decode(&manifest.body).unwrap();
    assert_eq!(decoded.layout.image_size(), 10_000);
}

#[test]
fn a_fetch_that_broke_off_goes_on_where_it_stopped_unless_it_is_another_file_now() {
    let site = Site::new();
    let old = noise(3 << 20, 1);
    let path = site.path("packages/big.iso");
    fs::write(&path, &old).unwrap();
    let point = site.start();
    // As curl does: some is taken, the connection goes, the rest is asked for later.
    let mut stream = connect(point.http).unwrap();
    write!(stream, "GET /content/packages/big.iso HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    let (_, headers) = head(&mut from).unwrap();
    let tag = headers.iter().find(|(name, _)| name == "etag").unwrap().1.clone();
    let mut taken = vec![0; 1_000_003];
    from.read_exact(&mut taken).unwrap();
    drop(from);
    let rest = |tag: &str| {
        let range = format!("bytes={}-", taken.len());
        get(&point, "/content/packages/big.iso", &[("Range", &range), ("If-Range", tag)])
    };
    let answer = rest(&tag);
    assert_eq!(answer.status, 206);
    assert!([taken.clone(), answer.body].concat() == old);

    let new = noise(2 << 20, 2);
    replace(&path, &new);
    let answer = rest(&tag);
    assert!(answer.status == 200 && answer.body == new, "what was taken is of no use: all is sent");
    let digest = format!("\"{}\"", blake3::hash(&new));
    assert_eq!(answer.header("etag"), Some(digest.as_str()));
}

/// Fetches slowly: the first bytes, then `change` happens, then as many as come.
fn fetch_over(point: &Point, path: &str, change: impl FnOnce()) -> (usize, Vec<u8>) {
    let mut stream = connect(point.http).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    let (status, headers) = head(&mut from).unwrap();
    assert_eq!(status, 200);
    let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    let mut taken = vec![0; 10_000];
    from.read_exact(&mut taken).unwrap();
    change();
    // A broken connection may be told by a reset.
    let _ = from.read_to_end(&mut taken);
    (length, taken)
}

#[test]
fn a_file_written_to_while_it_is_fetched_breaks_off_and_never_sends_other_bytes() {
    let site = Site::new();
    // More than the system takes from a server in advance.
    let old = noise(48 << 20, 1);
    fs::write(site.path("images/a.img"), &old).unwrap();
    fs::write(site.path("packages/a.zip"), &old).unwrap();
    let point = site.start();
    point.image("a.img", "ready");
    for (path, file) in [("/content/images/a.img", "images/a.img"), ("/content/packages/a.zip", "packages/a.zip")] {
        let file = site.path(file);
        // Another file of that name is no matter for who has this one half.
        let (length, taken) = fetch_over(&point, path, || replace(&file, &noise(1000, 2)));
        assert!(length == old.len() && taken == old, "{path} is fetched to its end");
        replace(&file, &old);
    }
    point.log.wait("image changes");
    support::point::until("the image to be ready again", || {
        (point.image("a.img", "ready")["bytes"] == old.len()).then_some(())
    });
    for (path, file) in [("/content/images/a.img", "images/a.img"), ("/content/packages/a.zip", "packages/a.zip")] {
        let file = site.path(file);
        let (length, taken) = fetch_over(&point, path, || {
            let mut open = fs::File::options().write(true).open(&file).unwrap();
            open.write_all(&noise(old.len(), 3)).unwrap();
        });
        assert!(length == old.len() && taken.len() < length, "{path} breaks off");
        assert!(old.starts_with(&taken), "{path} sent nothing of the other bytes");
        point.log.wait("an answer ends early");
    }
}

#[test]
fn an_image_of_several_files_is_one_stream_of_bytes() {
    let mut site = Site::new();
    site.table("[[image]]\nname = \"set\"\nfiles = [\"a.bin\", \"b.bin\", \"c.bin\"]\n");
    let parts = [site.image("a.bin", 100_000, 1), site.image("b.bin", 7, 2), site.image("c.bin", 200_000, 3)];
    let point = site.start();
    point.image("set", "ready");
    let all = parts.concat();
    assert!(get(&point, "/content/images/set", &[]).body == all);
    for (first, last) in [(99_999, 100_007), (0, 300_006), (100_000, 100_006), (100_007, 100_007)] {
        let answer = get(&point, "/content/images/set", &[("Range", &format!("bytes={first}-{last}"))]);
        assert!(answer.body == all[first..=last], "{first}-{last}");
    }
    assert_eq!(get(&point, "/content/images/a.bin", &[]).status, 404, "its parts are no images");
    fs::create_dir(site.path("copies/1")).unwrap();
    let guest = site.client("set", 1);
    guest.joined();
    let folder = guest.output.clone();
    guest.end().unwrap();
    let names = ["a.bin", "b.bin", "c.bin"];
    assert!(names.iter().zip(&parts).all(|(name, part)| fs::read(folder.join(name)).unwrap() == *part));
}

/// Whether a client that asks where `image` can be fetched is told a place.
fn is_sent_to_http(site: &Site, image: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::LIMIT)).unwrap();
    let mut datagram = Vec::new();
    Inquiry { client: ClientId(9), image }.encode(&mut datagram);
    socket.send_to(&datagram, ("127.0.0.1", site.control.number)).unwrap();
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).unwrap();
    match Packet::decode(&buffer[..len]).unwrap() {
        Packet::Directory(directory) => directory.content.is_some(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_had_by_the_ways_that_it_allows_only() {
    let mut site = Site::new();
    site.table("[[image]]\nfile = \"only.img\"\nmulticast = \"only\"\n");
    site.table("[[image]]\nfile = \"never.img\"\nmulticast = \"never\"\n");
    let (only, never) = (site.image("only.img", 100_000, 1), site.image("never.img", 100_000, 2));
    let point = site.start();
    point.image("only.img", "ready");
    point.image("never.img", "ready");
    for path in ["/content/images/only.img", "/content/images/only.img/manifest"] {
        let refused = get(&point, path, &[]);
        assert!(refused.status == 403 && refused.text().contains("multicast only"), "{}", refused.text());
    }
    assert!(get(&point, "/content/images/never.img", &[]).body == never);
    let sent_to_http = ["only.img", "never.img", "none.img"].map(|image| is_sent_to_http(&site, image));
    assert_eq!(sent_to_http, [false, true, true]);
    site.client("only.img", 1).check(&only);
    let told = site.client("never.img", 2).fails();
    assert!(told.contains("take it by unicast") && told.contains("multicast of this image is off"), "{told}");
    assert!(point.sessions().iter().all(|session| session["image"] != "never.img"));
    drop(point);

    site.set("multicast.enabled", "false");
    let point = site.start();
    point.image("never.img", "ready");
    let told = site.client("never.img", 3).fails();
    assert!(told.contains("multicast of this server is off"), "{told}");
    assert!(get(&point, "/content/images/never.img", &[]).body == never, "content is still served");
}

#[test]
fn who_fetches_by_http_is_seen_with_its_reason() {
    let site = Site::new();
    site.image("a.img", 10_000, 1);
    let point = site.start();
    point.image("a.img", "ready");
    let said = |client: &str, verified: &str| {
        get(
            &point,
            "/content/images/a.img",
            &[
                ("X-Mcast-Client", client),
                ("X-Mcast-Host", "bench%207%0Afake"),
                ("X-Mcast-Reason", "nothing heard"),
                ("X-Mcast-Verified", verified),
                ("Range", "bytes=0-0"),
            ],
        )
    };
    assert_eq!(said("00000000000000a7", "0/1").status, 206);
    for odd in ["", "zz", "00000000000000a7f", "../../../../../.."] {
        assert_eq!(said(odd, "x").status, 206, "{odd}");
    }
    let clients = || point.get("/api/v1/clients").json();
    let first = clients()[0].clone();
    assert_eq!(clients().as_array().unwrap().len(), 1, "who says nonsense of itself is served, not shown");
    assert_eq!((first["client"].as_str(), first["path"].as_str()), (Some("00000000000000a7"), Some("http")));
    assert_eq!((first["host"].as_str(), first["state"].as_str()), (Some("bench 7fake"), Some("receiving")));
    assert_eq!(first["reason"], "nothing heard");
    said("00000000000000a7", "1/1");
    assert_eq!(clients()[0]["state"], "complete");
    point.log.wait("client has the image, by HTTP");
}
