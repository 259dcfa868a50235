//! What tests of the tables show.

use jiff::tz::TimeZone;

use super::super::answers::{ClientView, ImageView, Server, SessionView, Site};
use super::super::out::Paper;
use crate::serve::views::SlowestView;

pub(in super::super) fn paper(width: Option<usize>) -> Paper {
    Paper { json: false, width, zone: TimeZone::UTC }
}

/// With an end to each line.
pub(in super::super) fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub(in super::super) fn session() -> SessionView {
    SessionView {
        id: "68d0f2a1-0a1b2c3d".to_owned(),
        server: "dp1".to_owned(),
        image: "install.wim".to_owned(),
        version: Some("2026-09".to_owned()),
        state: "running".to_owned(),
        outcome: None,
        group: "239.194.1.2:63017".to_owned(),
        rate: 930_000_000,
        bytes: 4 << 30,
        blocks: 2926,
        wire_bytes: 2_200_000_000,
        remaining_seconds: 42.4,
        awaited: 0,
        starts_ms: None,
        opened_ms: 1_790_000_000_000,
        ended_ms: None,
        active: 31,
        complete: 1,
        failed: 2,
        progress: 0.4999,
        median_loss: 0.0012,
        slowest: Some(SlowestView {
            client: "00000000000000a1".to_owned(),
            host: "pc-17".to_owned(),
            progress: 0.31,
            reason: "loses 4.2 % on the way, the median 0.1 %".to_owned(),
        }),
    }
}

pub(in super::super) fn client() -> ClientView {
    ClientView {
        client: "00000000000000a1".to_owned(),
        host: "pc-17".to_owned(),
        address: "10.0.0.17:40001".to_owned(),
        image: "install.wim".to_owned(),
        session: Some("68d0f2a1-0a1b2c3d".to_owned()),
        state: "receiving".to_owned(),
        path: "multicast".to_owned(),
        verified: 907,
        blocks: 2926,
        bytes_per_second: 115e6,
        loss: 0.042,
        dropped: 0,
        seconds: 31.2,
        reason: None,
    }
}

pub(in super::super) fn image() -> ImageView {
    ImageView {
        name: "install.wim".to_owned(),
        version: Some("2026-09".to_owned()),
        state: "ready".to_owned(),
        hashed: None,
        problem: None,
        files: vec!["/srv/images/install.swm".to_owned(), "/srv/images/install2.swm".to_owned()],
        bytes: Some(4 << 30),
        root: Some("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262".to_owned()),
        multicast: "allowed".to_owned(),
        encrypted: false,
        priority: 5,
        start: "with the first client".to_owned(),
        session: Some("68d0f2a1-0a1b2c3d".to_owned()),
    }
}

pub(super) fn site() -> Site {
    let server = |name: &str, id: &str, dead| Server {
        id: id.to_owned(),
        name: name.to_owned(),
        control: "10.0.0.5:62999".to_owned(),
        http: "https://10.0.0.5:62999".to_owned(),
        version: "0.1.0".to_owned(),
        dead,
    };
    Site {
        name: "Lab 3".to_owned(),
        id: "5c1f2e3d4b5a6978".to_owned(),
        server: "dp1".to_owned(),
        fingerprint: Some("WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z".to_owned()),
        version: "0.1.0".to_owned(),
        role: "operator".to_owned(),
        servers: vec![server("dp1", "00000000000000d1", false), server("dp2", "00000000000000d2", true)],
    }
}
