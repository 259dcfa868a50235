//! Stand-in.
#![allow(missing_docs)]
use std::time::Duration;
use crate::types::Instant;
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rate(u64);
impl Rate {
    pub fn from_bits(b: u64) -> Self { Self(b) }
    pub fn bits_per_second(&self) -> u64 { self.0 }
    pub fn bytes_in(&self, d: Duration) -> u64 { (d.as_nanos() * u128::from(self.0) / 8_000_000_000) as u64 }
    pub fn time_for(&self, bytes: u64) -> Duration { Duration::from_nanos((u128::from(bytes) * 8_000_000_000 / u128::from(self.0)) as u64) }
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WireCost(u32);
impl WireCost {
    pub fn with_overhead(o: u32) -> Self { Self(o) }
    pub fn of_datagram(&self, len: usize) -> u64 { len as u64 + u64::from(self.0) }
}
pub struct Pacer { rate: Rate, depth: f64, tokens: f64, at: Instant }
impl Pacer {
    pub fn new(rate: Rate, burst: u32, now: Instant) -> Self {
        let depth = f64::from(burst).max(rate.bytes_in(Duration::from_millis(5)) as f64);
        Self { rate, depth, tokens: depth, at: now }
    }
    fn refill(&mut self, now: Instant) {
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate.0 as f64 / 8.0).min(self.depth);
        self.at = self.at.max(now);
    }
    pub fn next(&mut self, now: Instant, bytes: u64) -> Instant {
        self.refill(now);
        let lack = bytes as f64 - self.tokens;
        if lack <= 1e-6 { now } else { now + Duration::from_nanos((lack * 8e9 / self.rate.0 as f64).ceil() as u64) }
    }
    pub fn spend(&mut self, now: Instant, bytes: u64) { self.refill(now); self.tokens -= bytes as f64; }
    pub fn set_rate(&mut self, now: Instant, rate: Rate) { self.refill(now); self.rate = rate; }
    pub fn rate(&self) -> Rate { self.rate }
    pub fn reset(&mut self, now: Instant) { self.at = now; self.tokens = 0.0; }
}
pub struct Adaptive { at: Instant }
impl Adaptive {
    pub fn new(_: Rate, now: Instant) -> Self { Self { at: now } }
    pub fn next_update(&self) -> Instant { self.at + Duration::from_secs(1) }
    pub fn update(&mut self, now: Instant, _: impl Iterator<Item = f64>) -> Option<(Rate, f64)> { self.at = now; None }
}
