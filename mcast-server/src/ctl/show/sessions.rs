//! Sessions.

use super::super::answers::SessionView;
use super::super::figures::{NOTHING, loss, moment, plain, share, size};
use super::super::out::Paper;
use super::super::table::{Column, Table};
use crate::text;

/// All of them.
pub(super) fn table(sessions: &[SessionView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("id"),
        Column::left("image").cut(12),
        Column::left("state").wrap(),
        Column::right("done"),
        Column::right("left").rank(2),
        Column::right("rate").rank(4),
        Column::right("receiving").rank(1),
        Column::right("complete").rank(3),
        Column::right("failed").rank(5),
        Column::left("server").cut(8).rank(7),
        Column::left("group").rank(8),
        Column::left("opened").rank(9),
    ]);
    for session in sessions {
        let has_ended = session.ended_ms.is_some();
        table.row([
            session.id.clone(),
            session.image.clone(),
            state(session),
            progress(session),
            left(session),
            if has_ended { NOTHING.to_owned() } else { text::rate(session.rate as f64) },
            if has_ended { NOTHING.to_owned() } else { session.active.to_string() },
            session.complete.to_string(),
            failed(session),
            session.server.clone(),
            session.group.clone(),
            moment(session.opened_ms, &paper.zone),
        ]);
    }
    if table.is_empty() { vec!["no sessions".to_owned()] } else { table.lines(paper.width) }
}

/// One of them.
pub(super) fn sheet(session: &SessionView, paper: &Paper) -> Vec<String> {
    let mut rows = vec![("session", session.id.clone()), ("image", session.image.clone())];
    rows.extend(session.version.clone().map(|version| ("version", version)));
    rows.push(("state", state(session)));
    if session.state == "waiting" {
        rows.extend((session.awaited > 0).then(|| ("starts with", text::count(session.awaited as usize, "client"))));
        rows.extend(session.starts_ms.map(|ms| ("starts at", moment(ms, &paper.zone))));
    }
    let known = is_known(session);
    rows.extend(known.then(|| ("done", progress(session))));
    rows.extend(known.then(|| ("left", left(session))).filter(|(_, left)| left != NOTHING));
    rows.push(("clients", clients(session)));
    if let Some(slowest) = &session.slowest {
        rows.push(("slowest", format!("{} at {}: {}", slowest.host, share(slowest.progress), slowest.reason)));
    }
    rows.extend((known && session.active > 0).then(|| ("median loss", loss(session.median_loss))));
    rows.push(("rate", text::rate(session.rate as f64)));
    rows.push(("sent", format!("{} bytes ({}), headers counted", session.wire_bytes, size(session.wire_bytes))));
    rows.push(("size", format!("{} bytes ({})", session.bytes, size(session.bytes))));
    rows.extend(known.then(|| ("blocks", session.blocks.to_string())));
    rows.push(("group", session.group.clone()));
    rows.push(("server", session.server.clone()));
    rows.push(("opened", moment(session.opened_ms, &paper.zone)));
    rows.extend(session.ended_ms.map(|ms| ("ended", moment(ms, &paper.zone))));
    Table::sheet(rows).lines(paper.width)
}

/// How it stands, in a line.
pub(in super::super) fn standing(session: &SessionView) -> String {
    let SessionView { active, awaited, .. } = *session;
    match session.state.as_str() {
        "waiting" if awaited > 0 => {
            format!("waiting: {active} of {} there", text::count(awaited as usize, "client"))
        }
        "waiting" => format!("waiting: {} there", text::count(active as usize, "client")),
        "running" => {
            let left = left(session);
            let left = if left == NOTHING { String::new() } else { format!("{left} left, ") };
            format!("running: {}, {left}{}", progress(session), clients(session))
        }
        "idle" => format!("idle, open for late comers: {}", clients(session)),
        state => format!("{}: {}, {}", plain(state), progress(session), clients(session)),
    }
}

/// In a word, and how it ended.
fn state(session: &SessionView) -> String {
    match &session.outcome {
        Some(outcome) => format!("{}: {outcome}", session.state),
        None => session.state.clone(),
    }
}

/// Of another server's session only the site's record is known.
fn is_known(session: &SessionView) -> bool {
    session.blocks > 0
}

/// Of one that ended the record has those that lack the image with the rest.
fn failed(session: &SessionView) -> String {
    match (session.ended_ms, is_known(session)) {
        (Some(_), _) => (session.active + session.failed).to_string(),
        (None, true) => session.failed.to_string(),
        (None, false) => NOTHING.to_owned(),
    }
}

fn progress(session: &SessionView) -> String {
    match is_known(session) {
        true => share(session.progress),
        false => NOTHING.to_owned(),
    }
}

fn left(session: &SessionView) -> String {
    match session.state == "running" && session.active > 0 && is_known(session) {
        true => text::duration(session.remaining_seconds),
        false => NOTHING.to_owned(),
    }
}

fn clients(session: &SessionView) -> String {
    let all = [(session.active, "receiving"), (session.complete, "complete"), (session.failed, "failed")];
    let some: Vec<_> =
        all.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if some.is_empty() { "no client".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::samples::{self, text};
    use super::*;

    fn sessions() -> Vec<SessionView> {
        let running = samples::session();
        let waiting = SessionView {
            id: "68d0f2b7-9c0d1e2f".to_owned(),
            image: "a-rather-long-name-of-an-image.img".to_owned(),
            state: "waiting".to_owned(),
            active: 12,
            complete: 0,
            failed: 0,
            awaited: 30,
            progress: 0.0,
            slowest: None,
            ..samples::session()
        };
        // What the site's record tells of another server's, and of one that ended.
        let elsewhere = SessionView {
            server: "dp2".to_owned(),
            blocks: 0,
            progress: 0.0,
            failed: 0,
            remaining_seconds: 0.0,
            slowest: None,
            ..samples::session()
        };
        let ended = SessionView {
            state: "ended".to_owned(),
            outcome: Some("failed: cannot read \"/srv/images/install.wim\": input/output error".to_owned()),
            ended_ms: Some(1_790_000_600_000),
            server: "dp1".to_owned(),
            ..elsewhere.clone()
        };
        vec![running, waiting, elsewhere, ended]
    }

    #[test]
    fn the_table_shows_what_fits() {
        expect![[r#"
            id                 image                               state                                                                       done  left        rate  receiving  complete  failed  server  group              opened
            68d0f2a1-0a1b2c3d  install.wim                         running                                                                   49.9 %  42 s  930 Mbit/s         31         1       2  dp1     239.194.1.2:63017  2026-09-21 14:13:20
            68d0f2b7-9c0d1e2f  a-rather-long-name-of-an-image.img  waiting                                                                    0.0 %     -  930 Mbit/s         12         0       0  dp1     239.194.1.2:63017  2026-09-21 14:13:20
            68d0f2a1-0a1b2c3d  install.wim                         running                                                                        -     -  930 Mbit/s         31         1       -  dp2     239.194.1.2:63017  2026-09-21 14:13:20
            68d0f2a1-0a1b2c3d  install.wim                         ended: failed: cannot read "/srv/images/install.wim": input/output error       -     -           -          -         1      31  dp1     239.194.1.2:63017  2026-09-21 14:13:20
        "#]].assert_eq(&text(&table(&sessions(), &samples::paper(None))));
        expect![[r#"
            id                 image            state                       done  receiving
            68d0f2a1-0a1b2c3d  install.wim      running                   49.9 %         31
            68d0f2b7-9c0d1e2f  a-rather-long-…  waiting                    0.0 %         12
            68d0f2a1-0a1b2c3d  install.wim      running                        -         31
            68d0f2a1-0a1b2c3d  install.wim      ended: failed: cannot          -          -
                                                read
                                                "/srv/images/install.wi…
                                                input/output error
        "#]]
        .assert_eq(&text(&table(&sessions(), &samples::paper(Some(79)))));
        assert_eq!(table(&[], &samples::paper(None)), ["no sessions"]);
    }

    #[test]
    fn the_sheet_shows_all() {
        let sheets = sessions().into_iter().map(|session| text(&sheet(&session, &samples::paper(Some(60)))));
        expect![[r#"
            session      68d0f2a1-0a1b2c3d
            image        install.wim
            version      2026-09
            state        running
            done         49.9 %
            left         42 s
            clients      31 receiving, 1 complete, 2 failed
            slowest      pc-17 at 31.0 %: loses 4.2 % on the way, the
                         median 0.1 %
            median loss  0.12 %
            rate         930 Mbit/s
            sent         2200000000 bytes (2.05 GiB), headers counted
            size         4294967296 bytes (4.00 GiB)
            blocks       2926
            group        239.194.1.2:63017
            server       dp1
            opened       2026-09-21 14:13:20

            session      68d0f2b7-9c0d1e2f
            image        a-rather-long-name-of-an-image.img
            version      2026-09
            state        waiting
            starts with  30 clients
            done         0.0 %
            clients      12 receiving
            median loss  0.12 %
            rate         930 Mbit/s
            sent         2200000000 bytes (2.05 GiB), headers counted
            size         4294967296 bytes (4.00 GiB)
            blocks       2926
            group        239.194.1.2:63017
            server       dp1
            opened       2026-09-21 14:13:20

            session  68d0f2a1-0a1b2c3d
            image    install.wim
            version  2026-09
            state    running
            clients  31 receiving, 1 complete
            rate     930 Mbit/s
            sent     2200000000 bytes (2.05 GiB), headers counted
            size     4294967296 bytes (4.00 GiB)
            group    239.194.1.2:63017
            server   dp2
            opened   2026-09-21 14:13:20

            session  68d0f2a1-0a1b2c3d
            image    install.wim
            version  2026-09
            state    ended: failed: cannot read
                     "/srv/images/install.wim": input/output error
            clients  31 receiving, 1 complete
            rate     930 Mbit/s
            sent     2200000000 bytes (2.05 GiB), headers counted
            size     4294967296 bytes (4.00 GiB)
            group    239.194.1.2:63017
            server   dp1
            opened   2026-09-21 14:13:20
            ended    2026-09-21 14:23:20
        "#]]
        .assert_eq(&sheets.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn standings_are_a_line_each() {
        let mut lines: Vec<_> = sessions().iter().take(3).map(standing).collect();
        let idle = SessionView { state: "idle".to_owned(), active: 0, ..samples::session() };
        lines.push(standing(&idle));
        lines.push(standing(&SessionView { state: "paused".to_owned(), ..samples::session() }));
        expect![[r#"
            running: 49.9 %, 42 s left, 31 receiving, 1 complete, 2 failed
            waiting: 12 of 30 clients there
            running: -, 31 receiving, 1 complete
            idle, open for late comers: 1 complete, 2 failed
            paused: 49.9 %, 31 receiving, 1 complete, 2 failed
        "#]]
        .assert_eq(&text(&lines));
    }
}
