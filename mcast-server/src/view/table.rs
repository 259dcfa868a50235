//! A session as lines of text, of whatever width there is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use indicatif::BinaryBytes;
use multicast_core::sender::{ClientSnapshot, ClientState, SessionSnapshot, StreamSnapshot};
use multicast_core::wire::SessionState;

use super::About;
use crate::text;

/// Clients shown at most: the slowest ones.
const ROWS: usize = 20;
/// Streams shown beside the session's own at most.
const STREAM_ROWS: usize = 4;
/// Lines around the rows: two above, the heads, the rest's count, the keys, and one free for the cursor.
const FRAME: usize = 6;
/// Behind the bar: two spaces and the figure, four times.
const FIGURES: usize = 2 + 7 + 2 + 7 + 2 + 6 + 2 + 9;
const LEAST_BAR: usize = 8;
const LARGEST_BAR: usize = 50;
const LEAST_HOST: usize = 8;

/// Of the terminal, in characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Measures how fast bytes really leave.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<(Instant, u64)>,
    rate: Option<f64>,
}

impl Meter {
    /// Bits per second lately, now that `bytes` have left; `None` at first.
    pub(super) fn rate(&mut self, bytes: u64) -> Option<f64> {
        let now = Instant::now();
        let (then, before) = *self.last.get_or_insert((now, bytes));
        let seconds = now.duration_since(then).as_secs_f64();
        // Shorter spans would make the figure jump.
        if seconds >= 1.0 {
            self.rate = Some(bytes.saturating_sub(before) as f64 * 8.0 / seconds);
            self.last = Some((now, bytes));
        }
        self.rate
    }
}

/// What is sent where.
pub(super) fn title(about: &About) -> String {
    let About { image, bytes, group, port, interface, control, .. } = about;
    format!(
        "{image}, {}, to {group} port {port} on {interface}; clients ask port {}",
        BinaryBytes(*bytes),
        control.port()
    )
}

/// How the session stands, at `rate` bits per second if that was measured.
pub(super) fn state(snapshot: &SessionSnapshot, about: &About, rate: Option<f64>) -> String {
    let (active, failed) = (snapshot.active(), snapshot.failed());
    let complete = snapshot.in_state(ClientState::Complete);
    let mut parts = Vec::new();
    match snapshot.state {
        SessionState::Waiting if snapshot.awaited > 0 => {
            return format!("waiting: {active} of {} there", text::count(snapshot.awaited as usize, "client"));
        }
        SessionState::Waiting => return format!("waiting: {} there", text::count(active as usize, "client")),
        SessionState::Running => {
            parts.push(rate.map_or("sending".to_owned(), text::rate));
            if active > 0 {
                parts.push(format!("{} left", text::duration(snapshot.remaining.as_secs_f64())));
            }
        }
        SessionState::Paused => parts.push("paused".to_owned()),
        SessionState::Idle => parts.push("open for late comers".to_owned()),
        SessionState::Ended => parts.push("ended".to_owned()),
    }
    let done: Vec<_> = [(active, "receiving"), (complete, "complete"), (failed, "failed")]
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    parts.push(if done.is_empty() { "no client".to_owned() } else { done.join(", ") });
    parts.push(format!("sent {:.3} × image", snapshot.counters.symbols as f64 / about.image_symbols.max(1) as f64));
    parts.join(" · ")
}

/// The whole picture.
pub(super) fn lines(snapshot: &SessionSnapshot, about: &About, rate: Option<f64>, size: Size) -> Vec<String> {
    let mut lines = vec![title(about), state(snapshot, about, rate)];
    lines.extend(snapshot.streams.iter().filter(|stream| stream.clients > 0).take(STREAM_ROWS).map(stream));
    let frame = FRAME + lines.len() - 2;
    let mut clients: Vec<_> = snapshot.clients.iter().collect();
    clients.sort_by_key(|client| (rank(client.state), client.verified, &client.host, client.address));
    let shown = clients.len().min(ROWS).min(size.rows.saturating_sub(frame));
    if shown > 0 {
        let columns = Columns::fit(&clients[..shown], size.columns);
        lines.push(columns.heads());
        lines.extend(clients[..shown].iter().map(|client| columns.row(client, snapshot.blocks, about.symbol_size)));
    }
    if shown < clients.len() {
        lines.push(format!("… and {} more", text::count(clients.len() - shown, "client")));
    }
    lines.iter().map(|line| cut(line, size.columns)).collect()
}

/// A stream beside the session's own.
fn stream(stream: &StreamSnapshot) -> String {
    let (rung, rate) = (text::rung(stream.rung), text::rate(stream.rate.bits() as f64));
    let (clients, left) = (stream.clients as usize, text::duration(stream.remaining.as_secs_f64()));
    format!("  {rung} to {}: {rate} · {} · {left} left", stream.to, text::count(clients, "client"))
}

/// Part of the whole, `width` characters wide.
pub(super) fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64) as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// Who is still receiving comes first, then who failed, then who is done.
fn rank(state: ClientState) -> u8 {
    match state {
        state if state.is_active() => 0,
        ClientState::Complete => 2,
        _ => 1,
    }
}

/// Widths of the table's columns, in characters.
struct Columns {
    host: usize,
    address: usize,
    /// 0: there is no room for it.
    bar: usize,
    /// Machines that several clients run on: their ports tell these apart.
    shared: HashMap<IpAddr, usize>,
}

impl Columns {
    fn fit(clients: &[&ClientSnapshot], width: usize) -> Self {
        let mut shared = HashMap::new();
        for client in clients {
            *shared.entry(client.address.ip()).or_insert(0) += 1;
        }
        let mut columns = Self { host: 0, address: 0, bar: 0, shared };
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        columns.address =
            longest(&mut clients.iter().map(|client| columns.address_of(client).len())).max("address".len());
        let room = width.saturating_sub(columns.address + 2 + FIGURES);
        let host = longest(&mut clients.iter().map(|client| client.host.chars().count())).max("client".len());
        columns.host = host.min(room.saturating_sub(LEAST_BAR + 2).max(LEAST_HOST));
        columns.bar = room.saturating_sub(columns.host + 2).min(LARGEST_BAR);
        if columns.bar < LEAST_BAR {
            columns.bar = 0;
        }
        columns
    }

    fn address_of(&self, client: &ClientSnapshot) -> String {
        match self.shared.get(&client.address.ip()) {
            Some(0 | 1) | None => client.address.ip().to_string(),
            Some(_) => client.address.to_string(),
        }
    }

    fn heads(&self) -> String {
        let (host, address, bar) = (self.host, self.address, self.bar);
        format!(
            "{:<host$}  {:<address$}  {:<bar$}  {:>7}  {:>7}  {:>6}  state",
            "client", "address", "", "done", "Mbit/s", "loss %"
        )
    }

    fn row(&self, client: &ClientSnapshot, blocks: u32, symbol_size: u16) -> String {
        let share = f64::from(client.verified) / f64::from(blocks.max(1));
        let (mbit, loss) = if client.state.is_active() {
            let mbit = client.symbols_per_second * f64::from(symbol_size) * 8.0 / 1e6;
            (format!("{mbit:.1}"), format!("{:.2}", client.loss * 100.0))
        } else {
            ("-".to_owned(), "-".to_owned())
        };
        let (host_width, address_width) = (self.host, self.address);
        format!(
            "{:<host_width$}  {:<address_width$}  {}  {:>5.1} %  {mbit:>7}  {loss:>6}  {}",
            cut(&client.host, self.host),
            self.address_of(client),
            bar(share, self.bar),
            // Rounding must not show as done what is not.
            (share * 1000.0).floor() / 10.0,
            text::standing(client.state, client.rung)
        )
    }
}

/// At most `width` characters of it.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(Some('…')).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;
    use multicast_core::layout::FileEntry;
    use multicast_core::net::BufferSize;
    use multicast_core::pace::Rate;
    use multicast_core::sender::{Forgotten, Rung, SenderCounters};
    use multicast_core::types::{ClientId, SessionId};

    use super::*;

    fn about() -> About {
        About {
            session: SessionId(1),
            image: "install.wim".to_owned(),
            files: vec![FileEntry { name: "install.wim".to_owned(), size: 4 << 30 }],
            bytes: 4 << 30,
            blocks: 1000,
            symbol_size: 1440,
            image_symbols: 1_000_000,
            group: [239, 194, 1, 2].into(),
            port: 63_017,
            control: ([0, 0, 0, 0], 62_999).into(),
            interface: "eth0".to_owned(),
            rate: Rate::from_mbit(930),
            total_rate: None,
            adaptive: false,
            send_buffer: BufferSize { asked: 1, granted: 1 },
            manifest_cached: true,
        }
    }

    fn client(number: u8, state: ClientState, verified: u32) -> ClientSnapshot {
        ClientSnapshot {
            client: ClientId(number.into()),
            host: format!("lab-{number:02}"),
            address: ([10, 0, 0, number], 40_000).into(),
            state,
            rung: Rung::Main,
            verified,
            symbols_per_second: 75_000.0 - f64::from(number) * 100.0,
            loss: f64::from(number) / 1000.0,
            dropped: 0,
            seconds: 30.0,
        }
    }

    fn snapshot(state: SessionState, clients: Vec<ClientSnapshot>) -> SessionSnapshot {
        SessionSnapshot {
            session: SessionId(1),
            image: "install.wim".to_owned(),
            state,
            blocks: 1000,
            rate: Rate::from_mbit(930),
            needed_symbols: 500_000,
            remaining: Duration::from_secs(42),
            awaited: 0,
            counters: SenderCounters { symbols: 512_000, ..SenderCounters::default() },
            streams: Vec::new(),
            clients,
            forgotten: Forgotten::default(),
        }
    }

    fn drawn(snapshot: &SessionSnapshot, columns: usize, rows: usize) -> String {
        let lines = lines(snapshot, &about(), Some(928e6), Size { columns, rows });
        assert!(lines.iter().all(|line| line.chars().count() <= columns) && lines.len() < rows);
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    #[test]
    fn the_slowest_come_first_then_who_failed_then_who_is_complete() {
        let clients = vec![
            client(1, ClientState::Complete, 1000),
            client(2, ClientState::Receiving, 505),
            client(3, ClientState::GivenUp, 80),
            client(4, ClientState::Silent, 499),
            client(5, ClientState::Receiving, 999),
        ];
        expect![[r#"
            install.wim, 4.00 GiB, to 239.194.1.2 port 63017 on eth0; clients ask port 62999
            928 Mbit/s · 42 s left · 3 receiving, 1 complete, 1 failed · sent 0.512 × image
            client  address                                 done   Mbit/s  loss %  state
            lab-04  10.0.0.4  ████████████░░░░░░░░░░░░░   49.9 %    859.4    0.40  silent
            lab-02  10.0.0.2  ████████████░░░░░░░░░░░░░   50.5 %    861.7    0.20  receiving
            lab-05  10.0.0.5  ████████████████████████░   99.9 %    858.2    0.50  receiving
            lab-03  10.0.0.3  ██░░░░░░░░░░░░░░░░░░░░░░░    8.0 %        -       -  given up
            lab-01  10.0.0.1  █████████████████████████  100.0 %        -       -  complete
        "#]]
        .assert_eq(&drawn(&snapshot(SessionState::Running, clients), 80, 24));
    }

    #[test]
    fn a_wide_terminal_has_room_for_names_and_bars() {
        let mut clients = vec![client(1, ClientState::Receiving, 300), client(2, ClientState::Receiving, 200)];
        clients[0].host = "a-rather-long-name.of-a-machine.example".to_owned();
        clients[0].address = clients[1].address;
        expect![[r#"
            install.wim, 4.00 GiB, to 239.194.1.2 port 63017 on eth0; clients ask port 62999
            928 Mbit/s · 42 s left · 2 receiving · sent 0.512 × image
            client                                   address                                        done   Mbit/s  loss %  state
            lab-02                                   10.0.0.2:40000  █████░░░░░░░░░░░░░░░░░░░░░   20.0 %    861.7    0.20  receiving
            a-rather-long-name.of-a-machine.example  10.0.0.2:40000  ███████░░░░░░░░░░░░░░░░░░░   30.0 %    862.8    0.10  receiving
        "#]]
        .assert_eq(&drawn(&snapshot(SessionState::Running, clients.clone()), 120, 24));
        expect![[r#"
            install.wim, 4.00 GiB, to 239.194.1.2 port 63017 on eth0; c…
            928 Mbit/s · 42 s left · 2 receiving · sent 0.512 × image
            client    address              done   Mbit/s  loss %  state
            lab-02    10.0.0.2:40000     20.0 %    861.7    0.20  recei…
            a-rathe…  10.0.0.2:40000     30.0 %    862.8    0.10  recei…
        "#]]
        .assert_eq(&drawn(&snapshot(SessionState::Running, clients), 60, 24));
    }

    #[test]
    fn streams_beside_the_sessions_own_have_a_line_and_their_clients_say_so() {
        let mut clients = vec![client(1, ClientState::Receiving, 300), client(2, ClientState::Receiving, 200)];
        (clients[0].rung, clients[1].rung) = (Rung::Unicast, Rung::Slower);
        let stream = |rung, to, mbit| StreamSnapshot {
            rung,
            to,
            rate: Rate::from_mbit(mbit),
            clients: 1,
            remaining: Duration::from_secs(75),
        };
        let streams = vec![
            stream(Rung::Slower, ([239, 194, 1, 9], 63_018).into(), 18),
            stream(Rung::Unicast, clients[0].address, 95),
        ];
        let picture = SessionSnapshot { streams, ..snapshot(SessionState::Running, clients) };
        expect![[r#"
            install.wim, 4.00 GiB, to 239.194.1.2 port 63017 on eth0; clients ask port 62999
            928 Mbit/s · 42 s left · 2 receiving · sent 0.512 × image
              slower stream to 239.194.1.9:63018: 18.0 Mbit/s · 1 client · 1 min 15 s left
              unicast to 10.0.0.1:40000: 95.0 Mbit/s · 1 client · 1 min 15 s left
            client  address                                 done   Mbit/s  loss %  state
            lab-02  10.0.0.2  █████░░░░░░░░░░░░░░░░░░░░   20.0 %    861.7    0.20  slower
            lab-01  10.0.0.1  ███████░░░░░░░░░░░░░░░░░░   30.0 %    862.8    0.10  unicast
        "#]]
        .assert_eq(&drawn(&picture, 80, 24));
    }

    #[test]
    fn more_clients_than_lines_are_counted() {
        let clients: Vec<_> = (1..=60).map(|n| client(n, ClientState::Receiving, 1000 - u32::from(n))).collect();
        let text = drawn(&snapshot(SessionState::Running, clients.clone()), 80, 50);
        assert!(text.contains("lab-60") && text.ends_with("… and 40 clients more\n"), "{text}");
        let text = drawn(&snapshot(SessionState::Running, clients), 80, 10);
        assert!(text.contains("lab-60") && text.ends_with("… and 56 clients more\n"), "{text}");
    }

    #[test]
    fn a_session_says_what_it_waits_for() {
        let awaited = |awaited| SessionSnapshot {
            awaited,
            ..snapshot(SessionState::Waiting, vec![client(1, ClientState::Receiving, 0)])
        };
        assert_eq!(state(&awaited(3), &about(), None), "waiting: 1 of 3 clients there");
        assert_eq!(state(&awaited(0), &about(), None), "waiting: 1 client there");
        let idle = snapshot(SessionState::Idle, vec![client(1, ClientState::Complete, 1000)]);
        assert_eq!(state(&idle, &about(), None), "open for late comers · 1 complete · sent 0.512 × image");
    }
}
