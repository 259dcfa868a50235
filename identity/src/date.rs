//! Moments as certificates count them, whole seconds of UTC, and as people read them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::time::ASN1Time;

/// 31 December 9999, 23:59:59: the last moment that a certificate can name (RFC 5280 §4.1.2.5).
const LAST: i64 = 253_402_300_799;

/// Seconds since 1970, down to those before.
pub(crate) fn unix(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

/// The moment of a certificate's time.
pub(crate) fn moment(time: &ASN1Time) -> SystemTime {
    from_unix(time.timestamp())
}

/// The same moment in whole seconds, moved to the nearest that a certificate can name and no earlier than 1970.
pub(crate) fn nameable(seconds: i64) -> SystemTime {
    from_unix(seconds.clamp(0, LAST))
}

fn from_unix(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    at.unwrap_or(UNIX_EPOCH)
}

/// Shows a moment as `2046-02-28 11:59:00 UTC`.
pub(crate) struct Utc(pub(crate) SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = unix(self.0);
        let Ok(time) = ASN1Time::from_timestamp(seconds) else {
            return write!(f, "{seconds} s after 1970");
        };
        let time = time.to_datetime();
        write!(f, "{:04}-{:02}-{:02} ", time.year(), u8::from(time.month()), time.day())?;
        write!(f, "{:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_to_the_second() {
        let shown = |seconds| Utc(from_unix(seconds)).to_string();
        assert_eq!(shown(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(shown(-1), "1969-12-31 23:59:59 UTC");
        assert_eq!(shown(LAST), "9999-12-31 23:59:59 UTC");
        assert_eq!(shown(LAST + 1), "253402300800 s after 1970");
    }

    #[test]
    fn seconds_come_back() {
        for seconds in [-86_400, 0, 1, 1_790_000_000, LAST] {
            assert_eq!(unix(from_unix(seconds)), seconds);
        }
        assert_eq!(unix(nameable(i64::MAX)), LAST);
        assert_eq!(unix(nameable(-5)), 0);
    }
}
