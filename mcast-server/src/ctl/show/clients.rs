//! Clients: those that there are, those that wait, those that were.

use super::super::answers::{ClientView, Delivery, Server, Waiting};
use super::super::figures::{NOTHING, loss, moment, share};
use super::super::out::Paper;
use super::super::table::{Column, Table};
use crate::text;

/// All of them, the ones that still receive and have least first.
pub(super) fn table(clients: &[ClientView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("host").cut(12),
        Column::left("id").rank(2),
        Column::left("address").rank(5),
        Column::left("image").cut(12).rank(7),
        Column::left("state"),
        Column::left("path").rank(3),
        Column::right("done"),
        Column::right("rate").rank(4),
        Column::right("loss").rank(6),
        Column::right("time").rank(8),
        Column::left("reason").wrap().rank(1),
    ]);
    let mut clients: Vec<_> = clients.iter().collect();
    let has = |client: &ClientView| f64::from(client.verified) / f64::from(client.blocks.max(1));
    clients.sort_by(|a, b| {
        let order = rank(&a.state).cmp(&rank(&b.state)).then(has(a).total_cmp(&has(b)));
        order.then_with(|| (&a.host, &a.client).cmp(&(&b.host, &b.client)))
    });
    for client in clients {
        let is_active = rank(&client.state) == 0;
        let now = |text: String| if is_active { text } else { NOTHING.to_owned() };
        table.row([
            client.host.clone(),
            client.client.clone(),
            client.address.clone(),
            client.image.clone(),
            client.state.replace('_', " "),
            client.path.clone(),
            share(has(client)),
            now(text::rate(client.bytes_per_second * 8.0)),
            now(loss(client.loss)),
            text::duration(client.seconds),
            client.reason.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() { vec!["no clients".to_owned()] } else { table.lines(paper.width) }
}

/// Who waits for a place, the next one first.
pub(super) fn queue(waiting: &[Waiting], servers: &[Server], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::right("place"),
        Column::left("host").cut(12),
        Column::left("id").rank(2),
        Column::left("image").cut(12),
        Column::left("server").cut(8).rank(1),
    ]);
    for (at, Waiting { image, client, host, server }) in waiting.iter().enumerate() {
        let known = servers.iter().find(|known| known.id == *server);
        let server = known.map_or(server, |known| &known.name);
        table.row([(at + 1).to_string(), host.clone(), client.clone(), image.clone(), server.clone()]);
    }
    if table.is_empty() { vec!["nobody waits".to_owned()] } else { table.lines(paper.width) }
}

/// Who received what, the newest first.
pub(super) fn history(deliveries: &[Delivery], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("joined"),
        Column::left("host").cut(12),
        Column::left("image").cut(12),
        Column::left("version").cut(8).rank(4),
        Column::left("state"),
        Column::right("time").rank(2),
        Column::left("id").rank(5),
        Column::left("address").rank(6),
        Column::left("session").rank(7),
        Column::left("server").cut(8).rank(3),
        Column::left("reason").wrap().rank(1),
    ]);
    for delivery in deliveries {
        let took = delivery.ended_ms.map(|ended| text::duration((ended - delivery.joined_ms).max(0) as f64 / 1000.0));
        table.row([
            moment(delivery.joined_ms, &paper.zone),
            delivery.host.clone(),
            delivery.image.clone(),
            delivery.version.clone(),
            delivery.state.replace('_', " "),
            took.unwrap_or_else(|| NOTHING.to_owned()),
            delivery.client.clone(),
            delivery.address.clone(),
            delivery.session.clone(),
            delivery.server.clone(),
            delivery.reason.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() { vec!["nothing was delivered yet".to_owned()] } else { table.lines(paper.width) }
}

/// Who is still receiving comes first, then who failed, then who is done.
fn rank(state: &str) -> u8 {
    match state {
        "joined" | "receiving" | "silent" => 0,
        "complete" => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::samples::{self, text};
    use super::*;

    fn clients() -> Vec<ClientView> {
        let receiving = samples::client();
        let complete = ClientView {
            client: "00000000000000b2".to_owned(),
            host: "pc-01".to_owned(),
            state: "complete".to_owned(),
            verified: 2926,
            ..samples::client()
        };
        let gone = ClientView {
            client: "00000000000000c3".to_owned(),
            host: "a-rather-long-name.of-a-machine.example".to_owned(),
            state: "given_up".to_owned(),
            verified: 80,
            reason: Some("silent for 30 s".to_owned()),
            ..samples::client()
        };
        let alone = ClientView {
            client: "00000000000000d4".to_owned(),
            host: "pc-09".to_owned(),
            path: "http".to_owned(),
            verified: 12,
            session: None,
            reason: Some("heard no multicast within 5 s: is there a querier in its network?".to_owned()),
            ..samples::client()
        };
        vec![complete, receiving, gone, alone]
    }

    #[test]
    fn the_slowest_come_first_then_who_failed_then_who_is_complete() {
        expect![[r#"
            host                                     id                address          image        state      path          done        rate    loss  time  reason
            pc-09                                    00000000000000d4  10.0.0.17:40001  install.wim  receiving  http         0.4 %  920 Mbit/s  4.20 %  31 s  heard no multicast within 5 s: is there a querier in its network?
            pc-17                                    00000000000000a1  10.0.0.17:40001  install.wim  receiving  multicast   30.9 %  920 Mbit/s  4.20 %  31 s
            a-rather-long-name.of-a-machine.example  00000000000000c3  10.0.0.17:40001  install.wim  given up   multicast    2.7 %           -       -  31 s  silent for 30 s
            pc-01                                    00000000000000b2  10.0.0.17:40001  install.wim  complete   multicast  100.0 %           -       -  31 s
        "#]].assert_eq(&text(&table(&clients(), &samples::paper(None))));
        expect![[r#"
            host           id                state      path          done        rate  reason
            pc-09          00000000000000d4  receiving  http         0.4 %  920 Mbit/s  heard no multicast
                                                                                        within 5 s: is there a
                                                                                        querier in its network?
            pc-17          00000000000000a1  receiving  multicast   30.9 %  920 Mbit/s
            a-rather-lon…  00000000000000c3  given up   multicast    2.7 %           -  silent for 30 s
            pc-01          00000000000000b2  complete   multicast  100.0 %           -
        "#]]
        .assert_eq(&text(&table(&clients(), &samples::paper(Some(100)))));
        expect![[r#"
            host             id                state         done  reason
            pc-09            00000000000000d4  receiving    0.4 %  heard no multicast
                                                                   within 5 s: is there a
                                                                   querier in its network?
            pc-17            00000000000000a1  receiving   30.9 %
            a-rather-long-…  00000000000000c3  given up     2.7 %  silent for 30 s
            pc-01            00000000000000b2  complete   100.0 %
        "#]]
        .assert_eq(&text(&table(&clients(), &samples::paper(Some(79)))));
        assert_eq!(table(&[], &samples::paper(None)), ["no clients"]);
    }

    #[test]
    fn the_queue_has_places_and_the_servers_names() {
        let waiting = |client: &str, host: &str, server: &str| Waiting {
            image: "install.wim".to_owned(),
            client: client.to_owned(),
            host: host.to_owned(),
            server: server.to_owned(),
        };
        let all = [
            waiting("00000000000000e5", "pc-17", &samples::site().servers[1].id),
            waiting("00000000000000e6", "pc-18", "gone"),
        ];
        expect![[r#"
            place  host   id                image        server
                1  pc-17  00000000000000e5  install.wim  dp2
                2  pc-18  00000000000000e6  install.wim  gone
        "#]]
        .assert_eq(&text(&queue(&all, &samples::site().servers, &samples::paper(Some(79)))));
        assert_eq!(queue(&[], &[], &samples::paper(None)), ["nobody waits"]);
    }

    #[test]
    fn the_history_tells_when_and_how_long() {
        let complete = Delivery {
            session: "68d0f2a1-0a1b2c3d".to_owned(),
            image: "install.wim".to_owned(),
            version: "2026-09".to_owned(),
            server: "dp1".to_owned(),
            client: "00000000000000b2".to_owned(),
            host: "pc-01".to_owned(),
            address: "10.0.0.11:40001".to_owned(),
            state: "complete".to_owned(),
            reason: None,
            joined_ms: 1_790_000_000_000,
            ended_ms: Some(1_790_000_425_500),
        };
        let evicted = Delivery {
            host: "pc-02".to_owned(),
            state: "evicted".to_owned(),
            reason: Some("has not got further for 10 min 00 s".to_owned()),
            ..complete.clone()
        };
        let runs = Delivery {
            host: "pc-03".to_owned(),
            version: String::new(),
            state: "receiving".to_owned(),
            ended_ms: None,
            ..complete.clone()
        };
        let all = [runs, evicted, complete];
        expect![[r#"
            joined               host   image        state            time  server  reason
            2026-09-21 14:13:20  pc-03  install.wim  receiving           -  dp1
            2026-09-21 14:13:20  pc-02  install.wim  evicted    7 min 06 s  dp1     has not got further for 10
                                                                                    min 00 s
            2026-09-21 14:13:20  pc-01  install.wim  complete   7 min 06 s  dp1
        "#]]
        .assert_eq(&text(&history(&all, &samples::paper(Some(100)))));
        expect![[r#"
            joined               host   image        state      reason
            2026-09-21 14:13:20  pc-03  install.wim  receiving
            2026-09-21 14:13:20  pc-02  install.wim  evicted    has not got further for 10
                                                                min 00 s
            2026-09-21 14:13:20  pc-01  install.wim  complete
        "#]]
        .assert_eq(&text(&history(&all, &samples::paper(Some(79)))));
        assert_eq!(history(&[], &samples::paper(None)), ["nothing was delivered yet"]);
    }
}
