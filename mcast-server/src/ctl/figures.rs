//! Figures and moments as people read them, beside those of [`text`](crate::text).

use indicatif::BinaryBytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What stands where nothing is known.
pub(super) const NOTHING: &str = "-";

/// `4.00 GiB`.
pub(super) fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// `49.9 %`: rounding must not show as done what is not.
pub(super) fn share(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

/// `0.25 %`.
pub(super) fn loss(loss: f64) -> String {
    format!("{:.2} %", loss * 100.0)
}

/// Milliseconds since 1970 as date and time.
pub(super) fn moment(ms: i64, zone: &TimeZone) -> String {
    format(ms, zone, "%Y-%m-%d %H:%M:%S")
}

/// Milliseconds since 1970 as time alone.
pub(super) fn clock(ms: i64, zone: &TimeZone) -> String {
    format(ms, zone, "%H:%M:%S")
}

fn format(ms: i64, zone: &TimeZone, form: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(moment) => moment.to_zoned_datetime(zone.clone()).strftime(form).to_string(),
        Err(_) => NOTHING.to_owned(),
    }
}

/// What others wrote, in one line, without what would steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_so_that_they_do_not_lie() {
        assert_eq!([share(0.9999), share(1.0), share(0.0)], ["99.9 %", "100.0 %", "0.0 %"]);
        assert_eq!([loss(0.0025), size(4 << 30)], ["0.25 %", "4.00 GiB"]);
    }

    #[test]
    fn moments_are_of_the_readers_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(moment(1_790_000_000_000, &berlin), "2026-09-21 16:13:20");
        assert_eq!(clock(1_790_000_000_000, &TimeZone::UTC), "14:13:20");
        assert_eq!(moment(i64::MAX, &TimeZone::UTC), "-");
    }

    #[test]
    fn nothing_that_others_wrote_steers_the_terminal() {
        assert_eq!(plain("pc\u{1b}[2J\n1"), "pc\u{FFFD}[2J\u{FFFD}1");
    }
}
