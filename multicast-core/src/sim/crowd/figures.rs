//! What a crowd's session came to.

use std::collections::VecDeque;
use std::time::Duration;

use super::Crowd;
use crate::sim::room::HEADERS;
use crate::types::Instant;
use crate::wire::Kind;

/// The stretch of time in which reports are counted for [`CrowdFigures::report_peak`].
const PEAK_WINDOW: Duration = Duration::from_millis(100);

/// What a crowd's session came to.
#[derive(Debug, Clone)]
pub struct CrowdFigures {
    /// Symbols of the image and its manifest.
    pub stream_symbols: u64,
    /// Symbols sent.
    pub symbols: u64,
    /// The same by those of the image and its manifest.
    pub sent_ratio: f64,
    /// Of the symbols sent, parity.
    pub parity_symbols: u64,
    /// Bytes on the wire of all that the server sent.
    pub wire_bytes: u64,
    /// Bytes on the wire of all that the clients sent.
    pub feedback_bytes: u64,
    /// The same by the bytes of the stream of symbols.
    pub feedback_ratio: f64,
    /// Reports that reached the server.
    pub reports: u64,
    /// The most reports that reached the server in any 100 ms.
    pub report_peak: u32,
    /// From the first symbol until the server knew of the last client that it is complete.
    pub seconds: f64,
    /// The same by the time that the bare image takes at this rate.
    pub time_ratio: f64,
    /// Of these seconds, those in which everybody who was there had the image.
    pub idle_seconds: f64,
    /// Of each client when it had everything, in seconds since the first symbol, or since it joined if
    /// that was later; `None` if it never had.
    pub completions: Vec<Option<f64>>,
}

impl CrowdFigures {
    /// Whether every client got the image.
    pub fn all_complete(&self) -> bool {
        self.completions.iter().all(Option::is_some)
    }
}

/// What is counted as it goes.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) started: Option<Instant>,
    ended: Instant,
    /// Since when the session has had nobody to serve, and for how long it had none before.
    idle_since: Option<Instant>,
    idle: Duration,
    /// Clients done with.
    pub(super) over: usize,
    /// When each client had everything.
    pub(super) complete: Vec<Option<Instant>>,
    feedback_bytes: u64,
    reports: u64,
    /// When the last reports came.
    last_reports: VecDeque<Instant>,
    report_peak: usize,
}

impl Counts {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            started: None,
            ended: Instant::ZERO,
            idle_since: None,
            idle: Duration::ZERO,
            over: 0,
            complete: vec![None; clients],
            feedback_bytes: 0,
            reports: 0,
            last_reports: VecDeque::new(),
            report_peak: 0,
        }
    }

    /// The server is done with one more client.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended = now;
        self.over += 1;
    }

    /// The session has nobody to serve, or somebody.
    pub(super) fn rests(&mut self, now: Instant, idle: bool) {
        match self.idle_since {
            None if idle => self.idle_since = Some(now),
            Some(since) if !idle => {
                self.idle += now - since;
                self.idle_since = None;
            }
            _ => {}
        }
    }

    /// A datagram reached the server.
    pub(super) fn feedback(&mut self, now: Instant, datagram: &[u8]) {
        self.feedback_bytes += datagram.len() as u64 + HEADERS;
        if datagram.first().is_some_and(|byte| byte & 0x0F == Kind::Report as u8) {
            self.reports += 1;
            self.last_reports.push_back(now);
            while self.last_reports.front().is_some_and(|first| now - *first >= PEAK_WINDOW) {
                self.last_reports.pop_front();
            }
            self.report_peak = self.report_peak.max(self.last_reports.len());
        }
    }
}

impl Crowd {
    pub(super) fn figures(&self) -> CrowdFigures {
        let (counts, counters) = (&self.counts, self.sender.counters());
        let started = counts.started.unwrap_or(counts.ended);
        let seconds = (counts.ended - started).as_secs_f64();
        let stream_symbols = self.config.stream_symbols();
        let completion = |(complete, client): (&Option<Instant>, &super::Client)| {
            let from = started.max(Instant::ZERO + client.member.joins);
            complete.map(|at| (at - from).as_secs_f64())
        };
        CrowdFigures {
            stream_symbols,
            symbols: counters.symbols,
            sent_ratio: counters.symbols as f64 / stream_symbols as f64,
            parity_symbols: counters.parity_symbols,
            wire_bytes: counters.wire_bytes,
            feedback_bytes: counts.feedback_bytes,
            feedback_ratio: counts.feedback_bytes as f64
                / (counters.symbols as f64 * f64::from(self.config.symbol_cost)),
            reports: counts.reports,
            report_peak: counts.report_peak as u32,
            seconds,
            time_ratio: seconds / self.config.image_time().as_secs_f64(),
            idle_seconds: counts.idle.as_secs_f64(),
            completions: counts.complete.iter().zip(&self.clients).map(completion).collect(),
        }
    }
}
