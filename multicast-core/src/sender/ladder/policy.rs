//! Who is slow, who hears nothing, and who is not to be waited for: from what is seen of the clients to
//! steps. It knows nothing of streams but their names.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::pace::Rate;
use crate::sender::event::{ClientState, Rung};
use crate::types::{ClientId, Instant};

/// How clients that do not keep up are treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LadderConfig {
    /// A client that loses more than this part of the stream is slow, 0 to 1; if another one loses less.
    pub slow_loss: f64,
    /// As long as it did so on end.
    pub slow_after: Duration,
    /// Slow clients go on with a second, slower stream, beside the others' own.
    pub slower_stream: bool,
    /// Part of the session's rate that further streams may take while the main one has somebody to serve.
    pub share: f64,
    /// Clients served by unicast at the same time: those that do not hear the group, and slow ones when all
    /// others are done. 0 for none.
    pub unicast: u32,
    /// Those that do not hear the group are served so; not if they are known to help themselves.
    pub deaf: bool,
    /// A client that takes in less than this for [`WEAK_TIME`] is evicted.
    pub least_rate: Option<Rate>,
    /// A client that is heard but has got no further for so long is evicted.
    pub stalled_after: Option<Duration>,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            slow_loss: 0.5,
            slow_after: Duration::from_secs(5),
            slower_stream: false,
            share: 0.05,
            unicast: 8,
            deaf: true,
            least_rate: None,
            stalled_after: Some(Duration::from_secs(600)),
        }
    }
}

/// Time for which a client may be below the least rate.
pub const WEAK_TIME: Duration = Duration::from_secs(30);
/// Who was admitted so long ago and still asks does not hear the group: heartbeats come at least every 0.2 s.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// Who asks does so every second.
const ASKS_WITHIN: Duration = Duration::from_secs(3);
/// When opening a stream has failed, no other one of its kind is wished for so long.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// A change of streams costs 0.1 s: it is not worth it for less than this.
const WORTH: Duration = Duration::from_secs(5);
/// Who received the image's symbols so many times without verifying a block has a disk or a memory that
/// does not work.
const VAIN_IMAGES: u64 = 2;

/// A client as one look finds it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) client: ClientId,
    pub(super) rung: Rung,
    pub(super) state: ClientState,
    /// When its stream admitted it.
    pub(super) joined: Instant,
    /// Since it was last heard.
    pub(super) silent: Duration,
    /// Part of what its stream sent lately that it lost.
    pub(super) loss: f64,
    /// What reaches it, on the wire; `None` if nothing was measured yet, or nothing came.
    pub(super) taken: Option<Rate>,
    /// What its stream sends at, if it runs; of a stream that follows its clients what it may.
    pub(super) sent: Option<Rate>,
    /// Symbols that came, modulo 2³².
    pub(super) received: u32,
    /// Blocks verified.
    pub(super) verified: u32,
    /// Bytes on the wire of the blocks that are not; one that lacks none only stores.
    pub(super) lacks: u64,
}

/// What the session is to do with a client.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Another stream.
    Move { client: ClientId, to: Rung, taken: Option<Rate>, why: String },
    /// No stream.
    Evict { client: ClientId, why: String },
}

/// What is remembered of a client.
#[derive(Debug)]
struct Watch {
    slow_since: Option<Instant>,
    slow: bool,
    weak_since: Option<Instant>,
    /// Blocks verified, symbols received by then, and when that was.
    progress: (u32, u32, Instant),
    /// Where that was, and since when it is there: another membership counts anew.
    rung: Rung,
    joined: Instant,
}

/// Judges the clients of a session.
#[derive(Debug)]
pub(super) struct Policy {
    config: LadderConfig,
    /// Symbols of the image.
    image_symbols: u64,
    watches: HashMap<ClientId, Watch>,
    /// Until when streams of a kind cannot be had.
    forgone: HashMap<Rung, Instant>,
}

impl Policy {
    pub(super) fn new(config: LadderConfig, image_symbols: u64) -> Self {
        Self { config, image_symbols, watches: HashMap::new(), forgone: HashMap::new() }
    }

    /// Looks at the clients that are being served. `complete` others have the image, `coming` ones are on
    /// their way to streams of their own; `rate` is what all streams may have together.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        clients: &[Seen],
        complete: u32,
        coming: usize,
        rate: Rate,
    ) -> Vec<Step> {
        let here: HashSet<_> = clients.iter().map(|seen| seen.client).collect();
        self.watches.retain(|client, _| here.contains(client));
        self.forgone.retain(|_, until| *until > now);
        let keep_up = |seen: &Seen| seen.state == ClientState::Receiving && seen.loss <= self.config.slow_loss;
        let somebody_follows = complete > 0 || clients.iter().any(keep_up);
        let mut steps = Vec::new();
        for seen in clients {
            let watch = self.watches.entry(seen.client).or_insert_with(|| Watch::new(now, seen));
            watch.look(now, seen, &self.config, somebody_follows);
            if let Some(why) = watch.in_vain(now, seen, &self.config, self.image_symbols) {
                steps.push(Step::Evict { client: seen.client, why });
            }
        }
        if !self.forgone.contains_key(&Rung::Unicast) {
            self.unicast(now, clients, coming, rate, &mut steps);
        }
        if self.config.slower_stream && !self.forgone.contains_key(&Rung::Slower) {
            self.slower(clients, &mut steps);
        }
        steps
    }

    /// No stream of this kind could be had.
    pub(super) fn forgo(&mut self, now: Instant, rung: Rung) {
        self.forgone.insert(rung, now + TRY_AGAIN);
    }

    /// Adds who is to be served alone: as many as there is room for.
    fn unicast(&self, now: Instant, clients: &[Seen], coming: usize, rate: Rate, steps: &mut Vec<Step>) {
        let served = clients.iter().filter(|seen| seen.rung == Rung::Unicast).count() + coming;
        let mut room = (self.config.unicast as usize).saturating_sub(served);
        let deaf = |seen: &&Seen| {
            let asks = seen.state == ClientState::Joined && seen.silent < ASKS_WITHIN;
            asks && now - seen.joined >= DEAF_AFTER && seen.rung != Rung::Unicast
        };
        for seen in clients.iter().filter(deaf).take(if self.config.deaf { room } else { 0 }) {
            let why = format!("it does not hear the group {:.0} s after joining it", (now - seen.joined).as_secs_f64());
            steps.push(Step::Move { client: seen.client, to: Rung::Unicast, taken: None, why });
            room -= 1;
        }
        let left: Vec<_> = clients.iter().filter(|seen| seen.rung != Rung::Unicast && !deaf(seen)).collect();
        // A stream each only as long as it is not at each other's expense.
        let together: u64 = clients.iter().filter_map(|seen| seen.taken).map(Rate::bits).sum();
        if left.len() > room || together > rate.bits() || !left.iter().all(|seen| self.is_slow(seen)) {
            return;
        }
        for seen in left.iter().filter(|seen| seen.taken.is_some() && seen.is_worth_it()) {
            if steps.iter().any(|step| step.client() == seen.client) {
                continue;
            }
            let why = format!("all others are done, and it takes in {}", taken_in(seen));
            steps.push(Step::Move { client: seen.client, to: Rung::Unicast, taken: seen.taken, why });
        }
    }

    /// Adds who is to go on with the slower stream, of those who stay with the main one so far.
    fn slower(&self, clients: &[Seen], steps: &mut Vec<Step>) {
        for seen in clients.iter().filter(|seen| self.is_slow(seen) && seen.rung == Rung::Main && seen.is_worth_it()) {
            if steps.iter().all(|step| step.client() != seen.client) {
                let why = slow(seen);
                steps.push(Step::Move { client: seen.client, to: Rung::Slower, taken: seen.taken, why });
            }
        }
    }

    fn is_slow(&self, seen: &Seen) -> bool {
        self.watches.get(&seen.client).is_some_and(|watch| watch.slow)
    }
}

impl Seen {
    /// What it lacks takes longer than a change of streams is worth.
    fn is_worth_it(&self) -> bool {
        self.lacks > 0 && self.taken.is_none_or(|taken| taken.time_for(self.lacks) > WORTH)
    }
}

impl Step {
    fn client(&self) -> ClientId {
        match self {
            Self::Move { client, .. } | Self::Evict { client, .. } => *client,
        }
    }
}

fn slow(seen: &Seen) -> String {
    let Some(sent) = seen.sent else { return format!("it takes in {}", taken_in(seen)) };
    format!("it takes in {} of {}", taken_in(seen), sent.rounded())
}

fn taken_in(seen: &Seen) -> String {
    seen.taken.map_or("nothing".to_owned(), |taken| taken.rounded().to_string())
}

impl Watch {
    fn new(now: Instant, seen: &Seen) -> Self {
        let progress = (seen.verified, seen.received, now);
        let joined = seen.joined;
        Self { slow_since: None, slow: false, weak_since: None, progress, rung: seen.rung, joined }
    }

    fn look(&mut self, now: Instant, seen: &Seen, config: &LadderConfig, somebody_follows: bool) {
        let served = seen.state == ClientState::Receiving && seen.sent.is_some() && seen.lacks > 0;
        let behind = served && seen.loss > config.slow_loss && somebody_follows;
        self.slow_since = behind.then(|| self.slow_since.unwrap_or(now));
        self.slow |= self.slow_since.is_some_and(|since| now - since >= config.slow_after);
        let taken = seen.taken.unwrap_or(Rate::MIN);
        let weak = |sent: Rate, least: Rate| served && sent >= least && taken < least;
        let weak = seen.sent.zip(config.least_rate).is_some_and(|(sent, least)| weak(sent, least));
        self.weak_since = weak.then(|| self.weak_since.unwrap_or(now));
        // A silent client is the silence's matter, one that waits or is paused nobody's.
        let stays = seen.rung == self.rung && seen.joined == self.joined;
        if seen.verified != self.progress.0 || !stays || !served {
            self.progress = (seen.verified, seen.received, now);
            (self.rung, self.joined) = (seen.rung, seen.joined);
        }
    }

    /// Why it is not worth waiting for the client, if it is not.
    fn in_vain(&self, now: Instant, seen: &Seen, config: &LadderConfig, image_symbols: u64) -> Option<String> {
        let weak_for = self.weak_since.map_or(Duration::ZERO, |since| now - since);
        if let Some(least) = config.least_rate.filter(|_| weak_for >= WEAK_TIME) {
            let seconds = weak_for.as_secs_f64();
            return Some(format!("it takes in {}, less than {least}, for {seconds:.0} s", taken_in(seen)));
        }
        let (_, received, since) = self.progress;
        let stalled = config.stalled_after.filter(|after| now - since >= *after)?;
        let vain = u64::from(seen.received.wrapping_sub(received));
        (vain == 0 || vain >= VAIN_IMAGES * image_symbols)
            .then(|| format!("it has verified nothing for {:.0} s and received {vain} symbols", stalled.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STREAM: Rate = Rate::from_mbit(190);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + SECOND * seconds as u32
    }

    fn follows(client: u64) -> Seen {
        Seen {
            client: ClientId(client),
            rung: Rung::Main,
            state: ClientState::Receiving,
            joined: at(0),
            silent: Duration::ZERO,
            loss: 0.001,
            taken: Some(STREAM),
            sent: Some(STREAM),
            received: 0,
            verified: 0,
            lacks: 64 << 20,
        }
    }

    fn lags(client: u64) -> Seen {
        Seen { loss: 0.9, taken: Some(Rate::from_mbit(19)), ..follows(client) }
    }

    /// Looks every second; the steps and the second in which the first ones come.
    fn first_steps(config: LadderConfig, clients: &[Seen], complete: u32, seconds: u64) -> Option<(u64, Vec<Step>)> {
        let mut policy = Policy::new(config, 1000);
        (0..=seconds).find_map(|second| {
            let steps = policy.judge(at(second), clients, complete, 0, STREAM);
            (!steps.is_empty()).then_some((second, steps))
        })
    }

    fn moves(steps: &[Step]) -> Vec<(u64, Rung)> {
        steps
            .iter()
            .filter_map(|step| match step {
                Step::Move { client, to, .. } => Some((client.0, *to)),
                Step::Evict { .. } => None,
            })
            .collect()
    }

    #[test]
    fn who_loses_most_of_the_stream_for_long_goes_to_the_slower_one_if_there_is_one() {
        let room = [follows(1), lags(2), follows(3)];
        let with = LadderConfig { slower_stream: true, ..LadderConfig::default() };
        let (second, steps) = first_steps(with, &room, 0, 30).unwrap();
        assert_eq!((second, moves(&steps)), (5, vec![(2, Rung::Slower)]));
        assert_eq!(first_steps(LadderConfig::default(), &room, 0, 30), None);
    }

    #[test]
    fn where_all_lose_the_stream_is_too_fast_and_nobody_slow() {
        let with = LadderConfig { slower_stream: true, ..LadderConfig::default() };
        assert_eq!(first_steps(with, &[lags(1), lags(2)], 0, 30), None);
    }

    #[test]
    fn the_last_slow_ones_are_served_alone_when_all_others_are_done() {
        let (second, steps) = first_steps(LadderConfig::default(), &[lags(1), lags(2)], 6, 30).unwrap();
        assert_eq!((second, moves(&steps)), (5, vec![(1, Rung::Unicast), (2, Rung::Unicast)]));
        assert_eq!(first_steps(LadderConfig::default(), &[lags(1), lags(2), follows(3)], 5, 30), None);
        let one = LadderConfig { unicast: 1, ..LadderConfig::default() };
        assert_eq!(first_steps(one, &[lags(1), lags(2)], 6, 30), None, "two do not fit");
        let half = |client| Seen { taken: Some(Rate::from_mbit(90)), loss: 0.53, ..lags(client) };
        assert_eq!(first_steps(LadderConfig::default(), &[half(1), half(2), half(3)], 6, 30), None, "one is cheaper");
        let nearly = [Seen { lacks: 1 << 20, ..lags(1) }];
        assert_eq!(first_steps(LadderConfig::default(), &nearly, 6, 30), None, "done before it pays");
    }

    #[test]
    fn who_asks_again_and_again_does_not_hear_the_group_and_is_served_alone() {
        let deaf = |client| Seen { state: ClientState::Joined, sent: None, ..follows(client) };
        let (second, steps) = first_steps(LadderConfig::default(), &[follows(1), deaf(2)], 0, 5).unwrap();
        assert_eq!((second, moves(&steps)), (5, vec![(2, Rung::Unicast)]));
        let young = Seen { joined: at(3), ..deaf(2) };
        assert_eq!(first_steps(LadderConfig::default(), &[young], 0, 5), None);
        let gone = Seen { silent: SECOND * 4, ..deaf(2) };
        assert_eq!(first_steps(LadderConfig::default(), &[gone], 0, 5), None);
        let none = LadderConfig { unicast: 0, ..LadderConfig::default() };
        assert_eq!(first_steps(none, &[deaf(2)], 0, 5), None);
        let elsewhere = LadderConfig { deaf: false, ..LadderConfig::default() };
        assert_eq!(first_steps(elsewhere, &[follows(1), deaf(2)], 0, 30), None);
        let (second, steps) = first_steps(elsewhere, &[Seen { taken: None, ..deaf(2) }, lags(3)], 1, 30).unwrap();
        assert_eq!((second, moves(&steps)), (5, vec![(3, Rung::Unicast)]), "they do not keep slow ones waiting");
        let mut policy = Policy::new(LadderConfig::default(), 1000);
        let many: Vec<_> = (0..20).map(deaf).collect();
        assert_eq!(policy.judge(at(5), &many, 0, 6, STREAM).len(), 2, "six of eight are on their way");
        policy.forgo(at(5), Rung::Unicast);
        assert_eq!(policy.judge(at(64), &many, 0, 0, STREAM), []);
        assert_eq!(policy.judge(at(65), &many, 0, 0, STREAM).len(), 8, "after a minute it is tried again");
    }

    #[test]
    fn who_takes_in_too_little_is_evicted_unless_little_is_sent() {
        let least = LadderConfig { least_rate: Some(Rate::from_mbit(40)), unicast: 0, ..LadderConfig::default() };
        let (second, steps) = first_steps(least, &[follows(1), lags(2)], 0, 60).unwrap();
        assert!(second == 30 && matches!(&steps[..], [Step::Evict { client: ClientId(2), .. }]), "{steps:?}");
        let idle = Seen { sent: Some(Rate::from_mbit(20)), ..lags(2) };
        assert_eq!(first_steps(least, &[follows(1), idle], 0, 60), None);
        let stores = Seen { lacks: 0, taken: None, ..lags(2) };
        assert_eq!(first_steps(least, &[follows(1), stores], 0, 60), None);
    }

    #[test]
    fn who_gets_no_further_is_evicted_but_not_who_only_gets_on_slowly() {
        let config = LadderConfig { stalled_after: Some(SECOND * 60), unicast: 0, ..LadderConfig::default() };
        let (second, steps) = first_steps(config, &[follows(1)], 0, 90).unwrap();
        assert!(second == 60 && matches!(&steps[..], [Step::Evict { .. }]), "{steps:?}");
        let mut policy = Policy::new(config, 1000);
        for second in 0..600 {
            // A block a minute, and less than the image's symbols.
            let slow = Seen { verified: (second / 50) as u32, received: second as u32, ..lags(1) };
            assert_eq!(policy.judge(at(second), &[slow], 3, 0, STREAM), []);
        }
        let mut policy = Policy::new(config, 1000);
        for second in 0..90 {
            // It joins again after 30 s, and counts from 0.
            let joined = at(if second < 30 { 0 } else { 30 });
            let back = Seen { joined, received: 500 + second as u32 - 500 * u32::from(second >= 30), ..lags(1) };
            assert_eq!(policy.judge(at(second), &[back], 3, 0, STREAM), [], "after {second} s");
        }
    }
}
