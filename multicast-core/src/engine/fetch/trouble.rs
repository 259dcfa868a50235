//! A source that fails: when it is asked again, and when that has no use.

use std::time::Duration;

use super::source::SourceError;
use crate::engine::error::{ClientError, FetchError};
use crate::receiver::ReceiverError;
use crate::types::Instant;

/// First pause after a failure; it doubles up to the longest while nothing comes.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What a busy server may ask for.
const BUSY_MIN: Duration = Duration::from_millis(250);
const BUSY_MAX: Duration = Duration::from_secs(300);

/// How long a source has failed, and with what.
pub(super) struct Trouble {
    limit: Option<Duration>,
    /// Since it began, or since it first failed after something of use had come.
    since: Option<Instant>,
    last: String,
    /// What was told of it; the same is not told twice on end.
    told: Option<std::mem::Discriminant<SourceError>>,
    pause: Duration,
    until: Instant,
    rng: fastrand::Rng,
}

impl Trouble {
    pub(super) fn new(limit: Option<Duration>, seed: u64) -> Self {
        Self {
            limit,
            since: None,
            last: String::new(),
            told: None,
            pause: PAUSE,
            until: Instant::ZERO,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// When the source may be asked again.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The pause until then, if this failure is news; an error if trying again has no use.
    pub(super) fn note(&mut self, now: Instant, error: &SourceError) -> Result<Option<Duration>, ClientError> {
        let pause = match error {
            SourceError::Changed => return Err(ReceiverError::ImageChanged.into()),
            SourceError::Refused { text } => return Err(FetchError::Refused { text: text.clone() }.into()),
            SourceError::Busy { after, .. } => (*after).clamp(BUSY_MIN, BUSY_MAX).mul_f64(1.0 + 0.25 * self.rng.f64()),
            SourceError::Lost { .. } | SourceError::NoSuchImage { .. } => {
                let pause = self.pause.mul_f64(0.75 + 0.5 * self.rng.f64());
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                pause
            }
        };
        self.since.get_or_insert(now);
        self.until = now + pause;
        self.last = error.to_string();
        let kind = std::mem::discriminant(error);
        Ok((self.told.replace(kind) != Some(kind)).then_some(pause))
    }

    /// Something of use has come.
    pub(super) fn over(&mut self) {
        self.since = None;
        self.told = None;
        self.pause = PAUSE;
    }

    /// Fails when the limit is over.
    pub(super) fn check(&self, now: Instant) -> Result<(), ClientError> {
        match (self.limit, self.since) {
            (Some(limit), Some(since)) if now - since >= limit => {
                Err(FetchError::GivenUp { seconds: limit.as_secs_f64(), last: self.last.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// When [`check`](Self::check) fails, unless something comes.
    pub(super) fn end(&self) -> Option<Instant> {
        Some(self.since? + self.limit?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> SourceError {
        SourceError::Lost { text: "connection refused".into() }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_when_something_came() {
        let mut trouble = Trouble::new(None, 1);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            trouble.note(at(0), &lost()).unwrap();
            pauses.push(trouble.until() - at(0));
        }
        assert!(pauses[0] < PAUSE * 2 && pauses.iter().all(|pause| *pause <= PAUSE_MAX.mul_f64(1.25)), "{pauses:?}");
        assert!(pauses[9] >= PAUSE_MAX.mul_f64(0.75), "{pauses:?}");
        trouble.over();
        trouble.note(at(0), &lost()).unwrap();
        assert!(trouble.until() - at(0) < PAUSE * 2);
    }

    #[test]
    fn a_failure_is_told_once_until_it_is_another_one_or_something_came() {
        let mut trouble = Trouble::new(None, 1);
        let busy = SourceError::Busy { text: "busy".into(), after: Duration::from_secs(2) };
        let mut told = |error: Option<&SourceError>| match error {
            Some(error) => trouble.note(at(0), error).unwrap().is_some(),
            None => {
                trouble.over();
                false
            }
        };
        let news = [Some(&lost()), Some(&lost()), Some(&busy), Some(&lost()), None, Some(&lost())].map(&mut told);
        assert_eq!(news, [true, false, true, true, false, true]);
    }

    #[test]
    fn only_failures_on_end_use_up_the_limit() {
        let mut trouble = Trouble::new(Some(Duration::from_secs(1)), 1);
        trouble.note(at(0), &lost()).unwrap();
        trouble.note(at(900), &lost()).unwrap();
        assert_eq!(trouble.end(), Some(at(1000)));
        trouble.over();
        assert!(trouble.check(at(5000)).is_ok());
        trouble.note(at(5000), &lost()).unwrap();
        assert!(trouble.check(at(5999)).is_ok());
        let error = trouble.check(at(6000)).unwrap_err().to_string();
        assert!(error.contains("1 s") && error.contains("connection refused"), "{error}");
    }

    #[test]
    fn a_busy_server_is_not_asked_before_its_time_and_what_is_final_is_an_error() {
        let mut trouble = Trouble::new(None, 1);
        let busy = SourceError::Busy { text: "busy".into(), after: Duration::from_secs(20) };
        trouble.note(at(0), &busy).unwrap();
        assert!(trouble.until() >= at(20_000) && trouble.until() <= at(25_000));
        assert!(trouble.note(at(0), &SourceError::Changed).is_err());
        assert!(trouble.note(at(0), &SourceError::Refused { text: "no".into() }).is_err());
    }
}
