//! A site at a glance.

use super::super::answers::{Health, Readiness, SessionView, Site};
use super::super::figures::NOTHING;
use super::super::out::Paper;
use super::super::table::{Column, Table};
use super::{database, images_of, sessions};
use crate::text;

/// What there is to see.
#[derive(Debug)]
pub(super) struct Glance {
    pub(super) site: Site,
    pub(super) health: Health,
    pub(super) ready: Readiness,
    pub(super) sessions: Vec<SessionView>,
    /// Clients without a place.
    pub(super) waiting: usize,
}

/// A sheet, and under it the servers and the sessions.
pub(super) fn lines(glance: &Glance, paper: &Paper) -> Vec<String> {
    let Glance { site, health, ready, sessions, waiting } = glance;
    let up = text::duration(health.seconds);
    let sum = |what: fn(&SessionView) -> u32| sessions.iter().map(what).sum::<u32>();
    let mut rows = vec![
        ("site", format!("{} ({})", site.name, site.id)),
        ("server", format!("{}, version {}, up for {up}", site.server, site.version)),
    ];
    rows.extend(site.fingerprint.clone().map(|fingerprint| ("fingerprint", fingerprint)));
    rows.push(("your role", site.role.clone()));
    rows.push(("database", database(ready).to_owned()));
    rows.push(("images", images_of(ready)));
    rows.push(("sessions", by_state(sessions)));
    rows.push(("clients", format!("{} receiving, {} complete", sum(|s| s.active), sum(|s| s.complete))));
    rows.push(("queue", if *waiting == 0 { "nobody waits".to_owned() } else { format!("{waiting} waiting") }));
    let mut lines = Table::sheet(rows).lines(paper.width);
    lines.push(String::new());
    lines.extend(servers(site, paper));
    if !sessions.is_empty() {
        lines.push(String::new());
        lines.extend(sessions::table(sessions, paper));
    }
    lines
}

fn servers(site: &Site, paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("server").cut(12),
        Column::left("state"),
        Column::left("clients ask"),
        Column::left("HTTP").rank(1),
        Column::left("version").rank(2),
        Column::left("id").rank(3),
    ]);
    for server in &site.servers {
        let or_nothing = |text: &str| if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() };
        table.row([
            server.name.clone(),
            if server.dead { "not heard" } else { "alive" }.to_owned(),
            or_nothing(&server.control),
            or_nothing(&server.http),
            server.version.clone(),
            server.id.clone(),
        ]);
    }
    table.lines(paper.width)
}

/// `2 running, 1 waiting`.
fn by_state(sessions: &[SessionView]) -> String {
    let count = |state: &&str| sessions.iter().filter(|session| session.state == **state).count();
    let states = ["running", "waiting", "paused", "idle"];
    let some: Vec<_> =
        states.iter().filter(|state| count(state) > 0).map(|state| format!("{} {state}", count(state))).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::samples::{self, text};
    use super::*;

    #[test]
    fn a_site_is_seen_at_a_glance() {
        let glance = Glance {
            site: samples::site(),
            health: Health { seconds: 7500.0 },
            ready: Readiness { ready: true, database: true, images_ready: 3, images: 4 },
            sessions: vec![samples::session()],
            waiting: 2,
        };
        expect![[r#"
            site         Lab 3 (5c1f2e3d4b5a6978)
            server       dp1, version 0.1.0, up for 2 h 05 min
            fingerprint  WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z
            your role    operator
            database     answers
            images       4, 3 ready
            sessions     1 running
            clients      31 receiving, 1 complete
            queue        2 waiting

            server  state      clients ask     HTTP                    version
            dp1     alive      10.0.0.5:62999  https://10.0.0.5:62999  0.1.0
            dp2     not heard  10.0.0.5:62999  https://10.0.0.5:62999  0.1.0

            id                 image        state      done  left  receiving  complete
            68d0f2a1-0a1b2c3d  install.wim  running  49.9 %  42 s         31         1
        "#]]
        .assert_eq(&text(&lines(&glance, &samples::paper(Some(79)))));
        let ready = Readiness { ready: false, database: false, images_ready: 0, images: 0 };
        let quiet = Glance { ready, sessions: Vec::new(), waiting: 0, ..glance };
        expect![[r#"
            site         Lab 3 (5c1f2e3d4b5a6978)
            server       dp1, version 0.1.0, up for 2 h 05 min
            fingerprint  WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z
            your role    operator
            database     does not answer
            images       none
            sessions     none
            clients      0 receiving, 0 complete
            queue        nobody waits

            server  state      clients ask     HTTP
            dp1     alive      10.0.0.5:62999  https://10.0.0.5:62999
            dp2     not heard  10.0.0.5:62999  https://10.0.0.5:62999
        "#]]
        .assert_eq(&text(&lines(&quiet, &samples::paper(Some(60)))));
    }
}
