//! When sessions start.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::{Timestamp, ZonedDateTime};
use multicast_core::sender::StartPolicy;

/// When a session begins to send: whatever of it comes first; without any condition the first client starts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Schedule {
    /// As soon as so many clients are ready.
    pub(crate) clients: Option<u32>,
    /// As soon as the first client has waited for so long.
    pub(crate) wait: Option<Duration>,
    /// At this time, if a client is there.
    pub(crate) at: Option<ClockTime>,
    /// When the operator says so.
    pub(crate) on_command: bool,
}

impl Schedule {
    /// For a session that is opened at `now`; the engine has no clock of the day.
    pub(crate) fn policy(&self, now: &ZonedDateTime) -> StartPolicy {
        let after = self.at.map(|at| {
            let ms = at.next(now).as_millisecond().saturating_sub(now.timestamp().as_millisecond());
            Duration::from_millis(ms.max(0).unsigned_abs())
        });
        StartPolicy { clients: self.clients, wait: self.wait, after, on_command: self.on_command }
    }
}

/// In words: `30 clients, or 10m after the first, or at 22:00`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.clients.map(|clients| format!("{clients} clients")),
            self.wait.map(|wait| format!("{} after the first", humantime::format_duration(wait))),
            self.at.map(|at| format!("at {at}")),
            self.on_command.then(|| "on command".to_owned()),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { f.write_str("with the first client") } else { f.write_str(&parts.join(", or ")) }
    }
}

/// A time by the server's clock and in its time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockTime {
    /// Every day.
    Daily(Time),
    /// Once.
    Once(DateTime),
}

impl ClockTime {
    /// The next time that it is so late, seen from `now` and in its time zone: of a daily time the first one after
    /// `now`, of a date that very moment, even if it has passed.
    ///
    /// Where clocks are set forward over it, it is as much later as they were set, so that no day is left out; where
    /// they are set back over it, it is the first of both.
    pub(crate) fn next(self, now: &ZonedDateTime) -> Timestamp {
        let moment = |local: DateTime| {
            // Out of the years that there are: never.
            now.time_zone().to_ambiguous_timestamp(local).compatible().unwrap_or(Timestamp::MAX)
        };
        match self {
            Self::Once(local) => moment(local),
            Self::Daily(time) => {
                let today = moment(now.date().to_datetime(time));
                if today > now.timestamp() {
                    return today;
                }
                now.date().tomorrow().map_or(Timestamp::MAX, |tomorrow| moment(tomorrow.to_datetime(time)))
            }
        }
    }

    /// Whether it has passed and does not come again.
    pub(crate) fn is_over(self, now: &ZonedDateTime) -> bool {
        matches!(self, Self::Once(_)) && self.next(now) <= now.timestamp()
    }
}

/// `22:00`, `22:00:30`, or one of these behind a date and a T or a space.
impl FromStr for ClockTime {
    type Err = NoClockTime;

    fn from_str(text: &str) -> Result<Self, NoClockTime> {
        let text = text.trim();
        let error = || NoClockTime { text: text.to_owned() };
        let time = |text: &str| {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            let format = match (text.len(), digits) {
                (5, 4) => "%H:%M",
                (8, 6) => "%H:%M:%S",
                _ => return Err(error()),
            };
            Time::strptime(format, text).map_err(|_| error())
        };
        match text.split_once(['T', 't', ' ']) {
            None => time(text).map(Self::Daily),
            Some((date, clock)) => {
                let date = jiff::civil::Date::strptime("%Y-%m-%d", date).map_err(|_| error())?;
                Ok(Self::Once(date.to_datetime(time(clock)?)))
            }
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = match self {
            Self::Daily(time) => *time,
            Self::Once(local) => {
                write!(f, "{}T", local.date())?;
                local.time()
            }
        };
        match time.second() {
            0 => write!(f, "{:02}:{:02}", time.hour(), time.minute()),
            second => write!(f, "{:02}:{:02}:{second:02}", time.hour(), time.minute()),
        }
    }
}

/// A text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time of day, and no date with one")]
pub(crate) struct NoClockTime {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When `at` comes next in Berlin, where clocks are set at 2 and at 3 in the night.
    fn next(at: &str, now: &str) -> String {
        let now: ZonedDateTime = format!("{now}[Europe/Berlin]").parse().unwrap();
        let next = at.parse::<ClockTime>().unwrap().next(&now);
        next.to_zoned_datetime(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    #[test]
    fn a_daily_time_comes_today_or_tomorrow() {
        assert_eq!(next("22:00", "2026-06-01T12:00"), "2026-06-01 22:00:00 +02:00");
        assert_eq!(next("22:00", "2026-06-01T22:00"), "2026-06-02 22:00:00 +02:00");
        assert_eq!(next("22:00:30", "2026-12-31T22:01"), "2027-01-01 22:00:30 +01:00");
    }

    #[test]
    fn a_time_that_clocks_are_set_over_comes_later_and_not_twice() {
        // On the 29th of March 2:00 is followed by 3:00.
        assert_eq!(next("02:30", "2026-03-29T01:00"), "2026-03-29 03:30:00 +02:00");
        assert_eq!(next("02:30", "2026-03-29T03:10"), "2026-03-29 03:30:00 +02:00");
        assert_eq!(next("02:30", "2026-03-29T03:30"), "2026-03-30 02:30:00 +02:00");
        // On the 25th of October 2:00 to 3:00 come twice.
        assert_eq!(next("02:30", "2026-10-25T01:00"), "2026-10-25 02:30:00 +02:00");
        assert_eq!(next("02:30", "2026-10-25T02:40+02:00"), "2026-10-26 02:30:00 +01:00");
        assert_eq!(next("02:30", "2026-10-25T02:10+01:00"), "2026-10-26 02:30:00 +01:00");
    }

    #[test]
    fn a_date_is_one_moment_even_if_it_has_passed() {
        assert_eq!(next("2026-12-01T22:00", "2026-06-01T12:00"), "2026-12-01 22:00:00 +01:00");
        assert_eq!(next("2026-12-01 22:00", "2027-01-01T12:00"), "2026-12-01 22:00:00 +01:00");
        let now: ZonedDateTime = "2026-06-01T12:00[Europe/Berlin]".parse().unwrap();
        let over =
            ["2026-06-01T12:00", "2026-06-01T12:01", "11:00"].map(|at| at.parse::<ClockTime>().unwrap().is_over(&now));
        assert_eq!(over, [true, false, false]);
        let last: ZonedDateTime = "9999-12-30T00:00[Europe/Berlin]".parse().unwrap();
        assert!(ClockTime::Once(DateTime::MAX).next(&last) > last.timestamp());
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in ["22:00", "00:00:01", "2026-12-01T22:00", "2026-12-01T08:30:15"] {
            assert_eq!(text.parse::<ClockTime>().unwrap().to_string(), text);
        }
        let bad =
            ["24:00", "7:00", "22", "22:00Z", "22:60", "2026-02-30T22:00", "2026-12-01", "", "22:00+01:00", "7 pm"];
        for text in bad {
            let error = text.parse::<ClockTime>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is no time of day, and no date with one"));
        }
    }

    #[test]
    fn the_engine_is_told_how_long_it_is_until_the_hour() {
        let now: ZonedDateTime = "2026-11-26T20:30[Europe/Berlin]".parse().unwrap();
        let schedule = Schedule { at: "22:00".parse().ok(), clients: Some(3), ..Schedule::default() };
        let after = Some(Duration::from_secs(90 * 60));
        assert_eq!(schedule.policy(&now), StartPolicy { clients: Some(3), after, ..StartPolicy::default() });
        assert_eq!(Schedule::default().policy(&now), StartPolicy::default());
        assert_eq!(schedule.to_string(), "3 clients, or at 22:00");
        assert_eq!(Schedule::default().to_string(), "with the first client");
    }
}
