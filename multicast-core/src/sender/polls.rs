//! Who is asked to report, and when: the number of reports a second is set here, not suffered.

use std::time::Duration;

use super::roster::Roster;
use crate::pace::Rate;
use crate::types::{Instant, Slot};
use crate::wire::Poll;

/// Answers in a millisecond at most.
pub(super) const REPORTS_PER_MS: u32 = 20;

/// Reports at once, and in a millisecond over any longer time: 1,900 in 100 ms. Those that come unasked
/// are among them: where thousands complete together, these alone are 15 a millisecond, of which 100
/// come before that is noticed.
const REPORTS_AT_ONCE: u32 = 300;
const REPORT_INTERVAL: Duration = Duration::from_nanos(1_000_000 / 16);

/// Bytes on the wire of a usual report, for the budget until some came.
const REPORT_COST: u32 = 140;

/// Part of the stream's rate that reports may take: 1/250.
const FEEDBACK_SHARE: u64 = 250;

/// While symbols go out: the longest, and the shortest for a room that is small enough for everybody
/// to answer within its share.
const BUSY_INTERVAL: Duration = Duration::from_millis(25);
const BUSY_INTERVAL_MIN: Duration = Duration::from_millis(8);
/// While there is nothing to send but clients lack something: the first poll, and the slowest.
const DRY_INTERVAL: Duration = Duration::from_millis(4);
const DRY_INTERVAL_MAX: Duration = Duration::from_millis(200);
/// While waiting for clients, paused or idle.
const QUIET_INTERVAL: Duration = Duration::from_millis(200);
/// Somebody was admitted and has to hear the group once, so that it counts for the start: so often
/// for so long, without asking anybody.
const WELCOME_INTERVAL: Duration = Duration::from_millis(25);
const WELCOME_TIME: Duration = Duration::from_secs(1);
/// While quiet, reports only tell that a client is alive: no more of them than this at once.
const QUIET_REPORTS: u32 = 400;

/// Polls whose time is remembered: half a second of the fastest rhythm, many seconds of the others.
const POLLS_KEPT: usize = 128;

/// How busy the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Symbols go out.
    Busy,
    /// Nothing is known to be needed, but clients are incomplete.
    Dry,
    /// Nothing goes out for now.
    Quiet,
}

/// The rhythm of heartbeats and the round of polls.
#[derive(Debug)]
pub(super) struct Polls {
    number: u32,
    cursor: u32,
    last: Option<Instant>,
    /// Something happened that everybody is to be asked about as soon as may be.
    urgent: bool,
    busy_interval: Duration,
    dry_interval: Duration,
    /// Answers of the last poll may still come until then.
    answers_until: Instant,
    /// The last heartbeat that asked somebody.
    asked: Option<Instant>,
    welcome_until: Instant,
    /// Bytes on the wire of a report, averaged over the last ones, in sixteenths.
    report_cost: u32,
    /// When the last polls went out, by number modulo their count, and over how long their answers
    /// were to be spread.
    sent: [(u32, Instant, Duration); POLLS_KEPT],
    gate: ReportGate,
}

impl Polls {
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            cursor: 0,
            last: None,
            urgent: false,
            busy_interval: BUSY_INTERVAL,
            dry_interval: DRY_INTERVAL,
            answers_until: Instant::ZERO,
            asked: None,
            welcome_until: Instant::ZERO,
            report_cost: REPORT_COST * 16,
            sent: [(0, Instant::ZERO, Duration::ZERO); POLLS_KEPT],
            gate: ReportGate::default(),
        }
    }

    /// When the next heartbeat is due.
    pub(super) fn next(&self, mood: Mood) -> Instant {
        let Some(last) = self.last else { return Instant::ZERO };
        // However many clients join at once, they cause no more reports than these.
        let soonest = (last + DRY_INTERVAL).max(self.answers_until);
        if self.urgent {
            return soonest;
        }
        match mood {
            Mood::Busy => last + self.busy_interval,
            Mood::Dry => (last + self.dry_interval).max(self.answers_until),
            Mood::Quiet if last < self.welcome_until => last + WELCOME_INTERVAL,
            Mood::Quiet => last + QUIET_INTERVAL,
        }
    }

    /// Somebody was admitted.
    pub(super) fn welcome(&mut self, now: Instant) {
        self.welcome_until = now + WELCOME_TIME;
    }

    /// When the last heartbeat went out.
    pub(super) fn last(&self) -> Instant {
        self.last.unwrap_or(Instant::ZERO)
    }

    /// A report told something new: while dry, ask again soon.
    pub(super) fn progress(&mut self) {
        self.dry_interval = DRY_INTERVAL;
    }

    /// Everybody is to be asked soon, whatever the rhythm: needs were forgotten, or somebody is new.
    pub(super) fn restart(&mut self) {
        self.urgent = true;
        self.progress();
    }

    /// A report of `bytes` on the wire came, `asked` for or not.
    pub(super) fn answered(&mut self, now: Instant, bytes: u32, asked: bool) {
        if !asked {
            self.gate.take(now, 1);
        }
        self.report_cost = (self.report_cost - self.report_cost / 16 + bytes).max(1);
    }

    /// When the poll of this number went out, its answers' spread added; `None` if that is long ago.
    pub(super) fn sent_at(&self, number: u32) -> Option<Instant> {
        let (kept, at, spread) = self.sent[number as usize % POLLS_KEPT];
        (kept == number && number != 0).then_some(at + spread)
    }

    /// Composes the poll of the heartbeat that goes out now.
    pub(super) fn poll(&mut self, now: Instant, mood: Mood, roster: &mut Roster, rate: Rate) -> Poll {
        let interval = match mood {
            Mood::Busy => self.busy_interval,
            Mood::Dry => self.dry_interval,
            Mood::Quiet => QUIET_INTERVAL,
        };
        self.busy_interval = self.time_for_reports(roster.active(), rate);
        self.last = Some(now);
        self.urgent = false;
        self.number = self.number.wrapping_add(1).max(1);
        if mood == Mood::Quiet && self.asked.is_some_and(|asked| now - asked < QUIET_INTERVAL) {
            return Poll { number: self.number, first: Slot(0), count: 0, spread_ms: 0 };
        }
        self.asked = Some(now);
        let budget = self.budget(interval, mood, rate).min(self.gate.room(now));
        let (first, count, asked) = self.next_slots(roster, budget);
        self.gate.take(now, asked);
        if mood != Mood::Dry {
            self.progress();
        } else if first + count == roster.slots() {
            // A whole round: if it brings nothing new, the next one may take its time.
            self.dry_interval = (self.dry_interval * 3 / 2).min(DRY_INTERVAL_MAX);
        }
        let spread_ms = (asked / REPORTS_PER_MS).min(u16::MAX.into()) as u16;
        self.answers_until = now + Duration::from_millis(spread_ms.into());
        let spread = self.answers_until - now;
        self.sent[self.number as usize % POLLS_KEPT] = (self.number, now, spread);
        for slot in first..first + count {
            let client = roster.get_mut(Slot(slot));
            client.unanswered = client.unanswered.saturating_add(1);
            client.asked.get_or_insert(now + spread);
        }
        Poll { number: self.number, first: Slot(first), count, spread_ms }
    }

    /// The next slots that hold at most `budget` active clients: first, count and active ones.
    fn next_slots(&mut self, roster: &Roster, budget: u32) -> (u32, u32, u32) {
        let slots = roster.slots();
        if roster.active() <= budget {
            return (0, slots, roster.active());
        }
        let first = if self.cursor < slots { self.cursor } else { 0 };
        let (mut end, mut asked) = (first, 0);
        while end < slots && asked < budget {
            asked += u32::from(roster.get(Slot(end)).state.is_active());
            end += 1;
        }
        self.cursor = end;
        (first, end - first, asked)
    }

    /// The pause after which `count` reports are within their share.
    fn time_for_reports(&self, count: u32, rate: Rate) -> Duration {
        let bytes = u64::from(count) * u64::from(self.report_cost) / 16;
        rate.time_for(bytes * FEEDBACK_SHARE).clamp(BUSY_INTERVAL_MIN, BUSY_INTERVAL)
    }

    /// Reports that a poll may ask for. While the stream rests, its rate is no measure.
    fn budget(&self, interval: Duration, mood: Mood, rate: Rate) -> u32 {
        let by_time = interval.as_millis() as u32 * REPORTS_PER_MS;
        let by_rate = rate.bytes_in(interval) / FEEDBACK_SHARE * 16 / u64::from(self.report_cost);
        match mood {
            Mood::Busy => by_rate.clamp(1, by_time.into()) as u32,
            Mood::Dry => by_time,
            Mood::Quiet => by_time.min(QUIET_REPORTS),
        }
    }
}

/// How many reports may come: a bucket, as of an instant at which it would be full again.
#[derive(Debug, Default)]
struct ReportGate {
    full_at: Instant,
}

impl ReportGate {
    fn take(&mut self, now: Instant, reports: u32) {
        self.full_at = self.full_at.max(now) + REPORT_INTERVAL * reports;
    }

    fn room(&self, now: Instant) -> u32 {
        let missing = (self.full_at - now).as_nanos() / REPORT_INTERVAL.as_nanos();
        REPORTS_AT_ONCE.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }
}
