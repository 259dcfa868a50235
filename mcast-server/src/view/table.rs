//! A session as lines of text, of whatever width there is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use indicatif::BinaryBytes;
use multicast_core::sender::{ClientSnapshot, ClientState, SessionSnapshot};
use multicast_core::wire::SessionState;

use super::About;
use crate::text;

/// Clients shown at most: the slowest ones.
const ROWS: usize = 20;
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
    let active = snapshot.clients.iter().filter(|client| client.state.is_active()).count();
    let complete = snapshot.clients.iter().filter(|client| client.state == ClientState::Complete).count();
    let failed = snapshot.clients.len() - active - complete;
    let mut parts = Vec::new();
    match snapshot.state {
        SessionState::Waiting if snapshot.awaited > 0 => {
            return format!("waiting: {active} of {} there", text::count(snapshot.awaited as usize, "client"));
        }
        SessionState::Waiting => return format!("waiting: {} there", text::count(active, "client")),
        SessionState::Running => parts.push(match rate {
            Some(rate) => format!("sending at {}", text::rate(rate)),
            None => "sending".to_owned(),
        }),
        SessionState::Paused => parts.push("paused".to_owned()),
        SessionState::Idle => parts.push("open for late comers".to_owned()),
        SessionState::Ended => parts.push("ended".to_owned()),
    }
    let sent = snapshot.counters.symbols as f64 / about.image_symbols.max(1) as f64;
    parts.push(format!("sent {sent:.3} × image"));
    let done: Vec<_> = [(active, "receiving"), (complete, "complete"), (failed, "failed")]
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    parts.push(if done.is_empty() { "no client".to_owned() } else { done.join(", ") });
    if snapshot.state == SessionState::Running && active > 0 {
        parts.push(format!("{} left", text::duration(snapshot.remaining.as_secs_f64())));
    }
    parts.join(" · ")
}

/// The whole picture.
pub(super) fn lines(snapshot: &SessionSnapshot, about: &About, rate: Option<f64>, size: Size) -> Vec<String> {
    let mut lines = vec![title(about), state(snapshot, about, rate)];
    let mut clients: Vec<_> = snapshot.clients.iter().collect();
    clients.sort_by_key(|client| (rank(client.state), client.verified, &client.host, client.address));
    let shown = clients.len().min(ROWS).min(size.rows.saturating_sub(FRAME));
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
            text::state(client.state)
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
