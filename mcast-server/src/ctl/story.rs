//! News as lines for people, or as the API sends them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::json;

use super::answers::{ImageView, News, SessionView};
use super::figures::{clock, plain};
use super::show::sessions::standing;
use super::sse::Message;
use crate::serve::http::pxe::views::BootingView;

/// Between two lines on how a session gets on.
const STANDING_INTERVAL: Duration = Duration::from_secs(10);
/// After a time without a connection, its session is back within this, or gone.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// Turns messages into lines.
#[derive(Debug)]
pub(super) struct Story {
    json: bool,
    zone: TimeZone,
    /// The one that is wanted.
    only: Option<Only>,
    /// How the sessions stood when that was last told.
    told: HashMap<String, (Instant, String)>,
    /// Image and state; none before the first picture.
    images: Option<HashMap<String, String>>,
}

/// A session that is followed, under the number that its server's next start gives it, too.
#[derive(Debug)]
struct Only {
    id: String,
    image: String,
    /// It has to be seen again until then.
    missing_until: Option<Instant>,
}

/// What became of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) lines: Vec<String>,
    /// Why there is nothing more to tell.
    pub(super) end: Option<End>,
}

/// Why a story is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The session ended.
    Ended,
    /// The session of this number is gone, and nobody saw its end.
    Gone(String),
}

impl Story {
    /// Of all sessions, or of one: its number and its image.
    pub(super) fn new(json: bool, zone: TimeZone, only: Option<(String, String)>) -> Self {
        let only = only.map(|(id, image)| Only { id, image, missing_until: None });
        Self { json, zone, only, told: HashMap::new(), images: None }
    }

    /// There is a connection, for the first time or again.
    pub(super) fn connected(&mut self, server: &str, again: bool, now: Instant, ms: i64) -> String {
        if again && let Some(only) = &mut self.only {
            only.missing_until = Some(now + RETURN_LIMIT);
        }
        match self.json {
            true => json!({ "kind": "connected", "ms": ms, "server": server, "again": again }).to_string(),
            false => self.line(ms, &format!("connected to {server}{}", if again { " again" } else { "" })),
        }
    }

    /// The connection is lost.
    pub(super) fn disconnected(&self, error: &str, ms: i64) -> String {
        match self.json {
            true => json!({ "kind": "disconnected", "ms": ms, "error": error }).to_string(),
            false => self.line(ms, &format!("no connection: {error}; trying again")),
        }
    }

    /// What a message says, at `now` and `ms` since 1970.
    pub(super) fn tell(&mut self, message: &Message, now: Instant, ms: i64) -> Told {
        if message.event == "missed" {
            let number = message.data.parse::<u64>().unwrap_or(0);
            let line = match self.json {
                true => json!({ "kind": "missed", "ms": ms, "messages": number }).to_string(),
                false => self.line(ms, &format!("{number} messages were missed: they came too fast")),
            };
            return Told { lines: vec![line], end: None };
        }
        match serde_json::from_str(&message.data) {
            Ok(News::Event { ms, session, image, text, event, cause }) => {
                if self.only.as_ref().is_some_and(|only| only.id != session) {
                    return Told::default();
                }
                // The next start of the server goes on with what is suspended.
                let is_over = event == "ended" && cause.is_none_or(|cause| cause != "suspended");
                let end = (self.only.is_some() && is_over).then_some(End::Ended);
                if event == "ended" {
                    self.told.remove(&session);
                }
                let text = text.map(|text| self.line(ms, &format!("{image}: {text}")));
                let line = if self.json { Some(message.data.clone()) } else { text };
                Told { lines: line.into_iter().collect(), end }
            }
            Ok(News::Sessions { sessions }) => {
                let (news, end) = self.look_for(&sessions, now, ms);
                if self.json {
                    return Told { lines: vec![message.data.clone()], end };
                }
                let lines = news.into_iter().chain(self.standings(&sessions, now, ms)).collect();
                Told { lines, end }
            }
            Ok(News::Boots { machines }) if !self.json => {
                let machines = machines.iter().filter(|_| self.only.is_none());
                Told { lines: machines.map(|machine| self.boot(machine)).collect(), end: None }
            }
            Ok(News::Images { images }) if !self.json => Told { lines: self.changes(&images, ms), end: None },
            // What only a newer program understands is passed on to whoever may.
            Ok(_) | Err(_) if self.json => Told { lines: vec![message.data.clone()], end: None },
            Ok(_) | Err(_) => Told::default(),
        }
    }

    /// Whether the wanted session is there, which after a restart of its server has another number.
    fn look_for(&mut self, sessions: &[SessionView], now: Instant, ms: i64) -> (Option<String>, Option<End>) {
        let Some(only) = &mut self.only else { return (None, None) };
        let Some(until) = only.missing_until else { return (None, None) };
        if sessions.iter().any(|session| session.id == only.id) {
            only.missing_until = None;
            return (None, None);
        }
        if let Some(heir) = sessions.iter().find(|session| session.image == only.image) {
            let text = format!("{}: session {} goes on as {}", only.image, only.id, heir.id);
            (only.id, only.missing_until) = (heir.id.clone(), None);
            return (Some(self.line(ms, &text)), None);
        }
        (None, (now >= until).then(|| End::Gone(only.id.clone())))
    }

    /// How sessions stand: at first, and from time to time if that changed.
    fn standings(&mut self, sessions: &[SessionView], now: Instant, ms: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for session in sessions {
            if self.only.as_ref().is_some_and(|only| only.id != session.id) {
                continue;
            }
            let standing = standing(session);
            let told = self.told.get(&session.id);
            if told.is_none_or(|(then, before)| now.duration_since(*then) >= STANDING_INTERVAL && *before != standing) {
                lines.push(self.line(ms, &format!("{}: {standing}", session.image)));
                self.told.insert(session.id.clone(), (now, standing));
            }
        }
        self.told.retain(|id, _| sessions.iter().any(|session| session.id == *id));
        lines
    }

    /// Images that came, went or changed since the last picture.
    fn changes(&mut self, images: &[ImageView], ms: i64) -> Vec<String> {
        let now: HashMap<_, _> = images.iter().map(|image| (image.name.clone(), image.state.clone())).collect();
        let Some(before) = self.images.replace(now) else { return Vec::new() };
        if self.only.is_some() {
            return Vec::new();
        }
        let changed = images.iter().filter(|image| before.get(&image.name) != Some(&image.state));
        let mut lines: Vec<_> = changed
            .map(|image| {
                let problem = image.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
                self.line(ms, &format!("{}: image is {}{problem}", image.name, image.state))
            })
            .collect();
        let mut gone: Vec<_> = before.keys().filter(|name| !images.iter().any(|image| image.name == **name)).collect();
        gone.sort();
        lines.extend(gone.iter().map(|name| self.line(ms, &format!("{name}: image is gone"))));
        lines
    }

    /// What a bare machine was answered.
    fn boot(&self, machine: &BootingView) -> String {
        let who = machine.computer.as_ref().unwrap_or(&machine.mac);
        let refused = if machine.refused { "REFUSED: " } else { "" };
        self.line(machine.ms, &format!("{who}: {refused}{}", machine.text))
    }

    fn line(&self, ms: i64, text: &str) -> String {
        format!("{}  {}", clock(ms, &self.zone), plain(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::show::samples;
    use super::*;

    const MS: i64 = 1_790_000_000_000;

    fn story(json: bool, only: Option<&str>) -> Story {
        Story::new(json, TimeZone::UTC, only.map(|id| (id.to_owned(), "install.wim".to_owned())))
    }

    fn event(session: &str, name: &str, text: Option<&str>) -> Message {
        let data = json!({
            "kind": "event", "ms": MS, "session": session, "image": "install.wim", "text": text, "event": name,
            "client": "00000000000000a1",
        });
        Message { event: "event".to_owned(), data: data.to_string() }
    }

    fn sessions(all: &[SessionView]) -> Message {
        let data = json!({ "kind": "sessions", "sessions": all });
        Message { event: "sessions".to_owned(), data: data.to_string() }
    }

    fn images(all: &[(&str, &str)]) -> Message {
        let image = |(name, state): &(&str, &str)| ImageView {
            name: (*name).to_owned(),
            state: (*state).to_owned(),
            problem: (*state == "broken").then(|| "it is empty".to_owned()),
            ..samples::image()
        };
        let data = json!({ "kind": "images", "images": all.iter().map(image).collect::<Vec<_>>() });
        Message { event: "images".to_owned(), data: data.to_string() }
    }

    fn of(id: &str, progress: f64) -> SessionView {
        SessionView { id: id.to_owned(), progress, ..samples::session() }
    }

    #[test]
    fn events_that_are_worth_words_are_lines() {
        let mut story = story(false, None);
        let now = Instant::now();
        let told = story.tell(&event("a", "client_joined", Some("pc-1\u{1b} joined")), now, 0);
        assert_eq!(told.lines, ["14:13:20  install.wim: pc-1\u{FFFD} joined"]);
        assert_eq!(story.tell(&event("a", "client_ready", None), now, 0), Told::default());
        assert_eq!(story.tell(&event("a", "ended", Some("ended")), now, 0).end, None, "others go on");
    }

    #[test]
    fn how_a_session_stands_is_told_at_first_and_then_now_and_then() {
        let mut story = story(false, None);
        let start = Instant::now();
        let mut at = |seconds, progress| {
            story.tell(&sessions(&[of("a", progress)]), start + Duration::from_secs(seconds), MS).lines
        };
        let standing = |share: &str| {
            vec![format!("14:13:20  install.wim: running: {share}, 42 s left, 31 receiving, 1 complete, 2 failed")]
        };
        assert_eq!(at(0, 0.1), standing("10.0 %"));
        assert_eq!(at(1, 0.2), Vec::<String>::new());
        assert_eq!(at(10, 0.1), Vec::<String>::new(), "it got no further");
        assert_eq!(at(11, 0.3), standing("30.0 %"));
    }

    #[test]
    fn of_one_session_only_its_own_news_are_told_until_it_ends() {
        let mut story = story(false, Some("a"));
        let now = Instant::now();
        assert_eq!(story.tell(&event("b", "ended", Some("ended")), now, 0), Told::default());
        assert_eq!(story.tell(&sessions(&[of("b", 0.5)]), now, 0), Told::default());
        let told = story.tell(&event("a", "ended", Some("ended")), now, 0);
        assert_eq!((told.lines.len(), told.end), (1, Some(End::Ended)));
    }

    #[test]
    fn a_session_is_followed_to_its_new_number_after_a_restart() {
        let mut story = story(false, Some("a"));
        let now = Instant::now();
        story.connected("s", false, now, 0);
        assert_eq!(story.tell(&sessions(&[]), now, MS), Told::default(), "it may have ended: its event will tell");
        let mut suspended: serde_json::Value = serde_json::from_str(&event("a", "ended", None).data).unwrap();
        suspended["cause"] = "suspended".into();
        let suspended = Message { event: "event".to_owned(), data: suspended.to_string() };
        assert_eq!(story.tell(&suspended, now, 0).end, None);
        story.connected("s", true, now, 0);
        assert_eq!(story.tell(&sessions(&[]), now, MS), Told::default(), "its image is being looked at");
        let told = story.tell(&sessions(&[of("b", 0.5)]), now, MS);
        assert_eq!(told.lines[0], "14:13:20  install.wim: session a goes on as b");
        assert_eq!(told.lines.len(), 2, "and how it stands");
        assert_eq!(story.tell(&event("b", "ended", Some("ended")), now, 0).end, Some(End::Ended));
    }

    #[test]
    fn a_session_that_does_not_come_back_is_gone() {
        for json in [false, true] {
            let mut story = story(json, Some("a"));
            let start = Instant::now();
            story.connected("s", true, start, 0);
            let at =
                |story: &mut Story, seconds| story.tell(&sessions(&[]), start + Duration::from_secs(seconds), MS).end;
            assert_eq!(at(&mut story, 59), None);
            assert_eq!(at(&mut story, 60), Some(End::Gone("a".to_owned())));
        }
    }

    #[test]
    fn images_are_told_when_they_change() {
        let mut story = story(false, None);
        let mut told = |all: &[(&str, &str)]| story.tell(&images(all), Instant::now(), MS).lines;
        assert_eq!(told(&[("a", "ready"), ("b", "hashing")]), Vec::<String>::new());
        assert_eq!(
            told(&[("b", "broken"), ("c", "settling")]),
            [
                "14:13:20  b: image is broken: it is empty",
                "14:13:20  c: image is settling",
                "14:13:20  a: image is gone"
            ]
        );
    }

    #[test]
    fn bare_machines_are_told_with_what_they_were_answered_unless_one_session_is_followed() {
        let machine = |computer: Option<&str>, refused, text: &str| BootingView {
            mac: "52:54:00:12:34:56".to_owned(),
            uuid: None,
            computer: computer.map(str::to_owned),
            platform: None,
            address: None,
            stage: "dhcp".to_owned(),
            deployment: None,
            text: text.to_owned(),
            refused,
            since_ms: MS,
            ms: MS,
        };
        let machines = [machine(Some("pc-17"), false, "offered snponly.efi"), machine(None, true, "not known")];
        let data = json!({ "kind": "boots", "server": "dp1", "machines": machines });
        let boots = Message { event: "boots".to_owned(), data: data.to_string() };
        assert_eq!(
            story(false, None).tell(&boots, Instant::now(), MS).lines,
            ["14:13:20  pc-17: offered snponly.efi", "14:13:20  52:54:00:12:34:56: REFUSED: not known"]
        );
        assert_eq!(story(false, Some("a")).tell(&boots, Instant::now(), MS), Told::default());
    }

    #[test]
    fn as_json_all_is_passed_on_and_what_is_added_has_a_kind_too() {
        let mut story = story(true, None);
        let now = Instant::now();
        let unknown = Message { event: "weather".to_owned(), data: r#"{"kind":"weather"}"#.to_owned() };
        for message in [event("a", "client_ready", None), sessions(&[]), images(&[]), unknown] {
            assert_eq!(story.tell(&message, now, MS).lines, [message.data]);
        }
        let missed = Message { event: "missed".to_owned(), data: "17".to_owned() };
        let parsed = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        assert_eq!(
            story.tell(&missed, now, MS).lines.iter().map(|line| parsed(line)).collect::<Vec<_>>(),
            [json!({"kind": "missed", "ms": MS, "messages": 17})]
        );
        assert_eq!(
            parsed(&story.connected("http://s", true, now, MS)),
            json!({"kind": "connected", "ms": MS, "server": "http://s", "again": true})
        );
        assert_eq!(
            parsed(&story.disconnected("it died", MS)),
            json!({"kind": "disconnected", "ms": MS, "error": "it died"})
        );
    }

    #[test]
    fn what_is_not_understood_is_no_line_for_people() {
        let mut story = story(false, None);
        for data in ["", "{}", "[1", r#"{"kind":"weather"}"#, r#"{"kind":"event"}"#] {
            let message = Message { event: "event".to_owned(), data: data.to_owned() };
            assert_eq!(story.tell(&message, Instant::now(), MS), Told::default(), "{data}");
        }
    }
}
