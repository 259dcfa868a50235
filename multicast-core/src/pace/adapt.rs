//! Slowing down when most clients lose, and coming back.

use super::rate::Rate;

/// How an [`Adaptive`] judges and acts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AdaptConfig {
    /// The client that counts: 0.5 is the median. The losses of the worse `1 − quantile` are repaired,
    /// not waited for.
    pub quantile: f64,
    /// The loss of that client up to which nothing is done, as a fraction.
    pub threshold: f64,
    /// The lowest rate, as a fraction of the ceiling.
    pub floor: f64,
}

impl Default for AdaptConfig {
    fn default() -> Self {
        Self { quantile: 0.5, threshold: 0.02, floor: 0.05 }
    }
}

/// Finds the rate that most clients can take, fed with their losses once an interval.
///
/// What a bottleneck drops tells its size: at a loss of `l` it passes `1 − l` of the rate. A cut goes
/// a little below that, then the rate probes upwards by 1 % an interval, and faster the longer nothing
/// is lost. Loss that stays the same after three cuts has nothing to do with the rate (radio, a broken
/// port that all share): the rate recovers and only loss above that level counts; it is tested again
/// later.
#[derive(Debug, Clone)]
pub struct Adaptive {
    config: AdaptConfig,
    ceiling: Rate,
    floor: Rate,
    rate: Rate,
    /// Intervals without too much loss, in a row.
    clean: u32,
    /// The reports that come in now still tell of the rate before the last cut.
    settling: bool,
    /// The last cut, until its effect was seen.
    last_cut: Option<Cut>,
    /// Cuts in a row that changed nothing.
    vain_cuts: u32,
    /// Loss that does not depend on the rate.
    base_loss: f64,
    /// Intervals since that was found.
    base_age: u32,
}

/// Below the bottleneck by this much, so that its queue drains.
const CUT_MARGIN: f64 = 0.95;
/// One interval of 100 % loss is more likely an outage than a bottleneck.
const LARGEST_CUT: f64 = 0.5;
const FIRST_STEP: f64 = 0.01;
const LARGEST_STEP: f64 = 0.25;
/// Clean intervals before steps grow: more than lie between two cuts at a bottleneck.
const PATIENCE: u32 = 10;
const VAIN_CUTS: u32 = 3;
/// A cut was in vain if more than this part of the loss that it should have cured is still there.
const VAIN_SHARE: f64 = 0.7;
/// A cut teaches something if it should have cured at least this part of the loss above the base:
/// far above a bottleneck even half of the rate loses nearly as much.
const TELLING_SHARE: f64 = 0.5;
/// Intervals after which a base loss is doubted.
const BASE_LIFE: u32 = 120;

impl Adaptive {
    /// Starts at `ceiling`, which it never exceeds.
    pub fn new(ceiling: Rate, config: AdaptConfig) -> Self {
        let floor = ceiling.scaled(config.floor.clamp(0.0, 1.0));
        Self {
            config,
            ceiling,
            floor,
            rate: ceiling,
            clean: 0,
            settling: false,
            last_cut: None,
            vain_cuts: 0,
            base_loss: 0.0,
            base_age: 0,
        }
    }

    /// Starts at `rate` instead, as far as floor and ceiling allow.
    pub fn begin_at(&mut self, rate: Rate) {
        self.rate = rate.max(self.floor).min(self.ceiling);
    }

    /// The rate for the next interval, by each client's loss in the last one: the fraction of symbols
    /// sent that did not arrive, in any order, only of clients that were heard. Without any, the rate
    /// stays. It was not sent faster than `limit` meanwhile.
    pub fn next_rate(&mut self, losses: &mut [f64], limit: Rate) -> Rate {
        let Some(loss) = self.quantile(losses) else { return self.rate };
        if std::mem::take(&mut self.settling) {
            return self.rate;
        }
        self.judge_last_cut(loss);
        self.age_base(loss);
        let excess = loss - self.base_loss;
        if excess > self.config.threshold {
            self.rate = self.rate.min(limit);
            self.cut(loss, excess);
        } else {
            self.grow();
        }
        self.rate
    }

    /// The rate as last decided.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Loss of the client that counts which slowing down did not cure, as a fraction.
    pub fn base_loss(&self) -> f64 {
        self.base_loss
    }

    fn quantile(&self, losses: &mut [f64]) -> Option<f64> {
        for loss in &mut *losses {
            *loss = if loss.is_finite() { loss.clamp(0.0, 1.0) } else { 0.0 };
        }
        // With an even number of clients the better of the two in the middle: half is not most.
        let place = (losses.len().checked_sub(1)? as f64 * self.config.quantile.clamp(0.0, 1.0)).floor() as usize;
        Some(*losses.select_nth_unstable_by(place, f64::total_cmp).1)
    }

    fn judge_last_cut(&mut self, loss: f64) {
        let Some(cut) = self.last_cut.take() else { return };
        let curable = cut.loss - cut.expected;
        if curable < TELLING_SHARE * (cut.loss - self.base_loss) {
            return;
        }
        if loss <= cut.expected + curable * VAIN_SHARE {
            self.vain_cuts = 0;
            return;
        }
        self.vain_cuts += 1;
        if self.vain_cuts == VAIN_CUTS {
            self.vain_cuts = 0;
            self.base_loss = loss.min(cut.loss);
            self.base_age = 0;
            // Back up quickly: all of these cuts were a mistake.
            self.clean = PATIENCE;
        }
    }

    /// Less loss than the base shows that the base is lower; and in the end it is doubted altogether.
    fn age_base(&mut self, loss: f64) {
        self.base_loss = self.base_loss.min(loss);
        self.base_age += 1;
        if self.base_age > BASE_LIFE {
            self.base_loss = 0.0;
        }
    }

    fn cut(&mut self, loss: f64, excess: f64) {
        self.clean = 0;
        let factor = ((1.0 - excess) * CUT_MARGIN).max(LARGEST_CUT);
        let rate = self.rate.scaled(factor).max(self.floor);
        // At the floor there is nothing to learn from the next loss.
        if rate < self.rate {
            let kept = rate.bits() as f64 / self.rate.bits() as f64;
            let expected = (1.0 - (1.0 - loss) / kept).max(self.base_loss);
            self.last_cut = Some(Cut { loss, expected });
            self.settling = true;
        }
        self.rate = rate;
    }

    fn grow(&mut self) {
        self.clean = self.clean.saturating_add(1);
        let doublings = self.clean.saturating_sub(PATIENCE).min(8);
        let step = (FIRST_STEP * f64::from(1_u32 << doublings)).min(LARGEST_STEP);
        // Rounding must not keep a very low rate where it is.
        self.rate = self.rate.scaled(1.0 + step).max(Rate::from_bits(self.rate.bits() + 1)).min(self.ceiling);
    }
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The loss that led to it.
    loss: f64,
    /// What a bottleneck would still drop after it.
    expected: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CEILING: Rate = Rate::from_mbit(930);

    /// A room behind one bottleneck; reports tell of the interval before the last one.
    struct Room {
        adaptive: Adaptive,
        rng: fastrand::Rng,
        bottleneck: Rate,
        /// Loss of each client that has nothing to do with the bottleneck.
        own_loss: Vec<f64>,
        behind: usize,
        pending: Option<Vec<f64>>,
    }

    impl Room {
        fn new(bottleneck: Rate, own_loss: Vec<f64>, behind: usize) -> Self {
            let rng = fastrand::Rng::with_seed(5);
            Self {
                adaptive: Adaptive::new(CEILING, AdaptConfig::default()),
                rng,
                bottleneck,
                own_loss,
                behind,
                pending: None,
            }
        }

        fn interval(&mut self) -> Rate {
            let passed = (self.bottleneck.bits() as f64 / self.adaptive.rate().bits() as f64).min(1.0);
            let losses = self.own_loss.iter().enumerate().map(|(client, own)| {
                let share = if client < self.behind { passed } else { 1.0 };
                (1.0 - share * (1.0 - own)) * (0.9 + 0.2 * self.rng.f64())
            });
            let seen = self.pending.replace(losses.collect()).unwrap_or_default();
            self.adaptive.next_rate(&mut seen.clone(), CEILING)
        }

        fn run(&mut self, intervals: usize) -> Vec<Rate> {
            (0..intervals).map(|_| self.interval()).collect()
        }
    }

    #[test]
    fn most_clients_behind_a_bottleneck_set_the_rate_and_its_end_gives_the_ceiling_back() {
        for share in [0.1, 0.3, 0.6, 0.9] {
            let bottleneck = CEILING.scaled(share);
            let mut room = Room::new(bottleneck, vec![0.0; 8], 6);
            room.run(20);
            let settled = room.run(200);
            for rate in &settled {
                let part = rate.bits() as f64 / bottleneck.bits() as f64;
                assert!((0.75..=1.06).contains(&part), "{part} of a bottleneck of {share}");
            }
            let mean = settled.iter().map(|rate| rate.bits() as f64).sum::<f64>() / 200.0 / bottleneck.bits() as f64;
            assert!((0.9..=1.0).contains(&mean), "{mean} of a bottleneck of {share} on the average");
            room.bottleneck = CEILING;
            assert_eq!(room.run(30).last(), Some(&CEILING));
        }
    }

    #[test]
    fn one_lossy_client_of_eight_changes_nothing() {
        let mut own_loss = vec![0.001; 8];
        own_loss[3] = 0.4;
        let mut room = Room::new(CEILING, own_loss, 8);
        assert!(room.run(100).iter().all(|rate| *rate == CEILING));
    }

    #[test]
    fn half_of_the_clients_are_not_most() {
        let mut room = Room::new(CEILING.scaled(0.5), vec![0.0; 8], 4);
        assert!(room.run(50).iter().all(|rate| *rate == CEILING));
    }

    #[test]
    fn the_rate_stays_at_the_floor_under_a_bottleneck_below_it() {
        let mut room = Room::new(CEILING.scaled(0.02), vec![0.0; 8], 8);
        let rates = room.run(300);
        let floor = CEILING.scaled(0.05);
        assert!(rates.iter().all(|rate| *rate >= floor));
        assert!(rates[20..].iter().all(|rate| *rate <= floor.scaled(1.05)));
        room.bottleneck = CEILING;
        assert_eq!(room.run(40).last(), Some(&CEILING));
    }

    #[test]
    fn loss_that_slowing_down_does_not_cure_costs_little_rate() {
        let mut room = Room::new(CEILING, vec![0.05; 8], 8);
        let rates = room.run(600);
        assert!(rates.iter().all(|rate| *rate >= CEILING.scaled(0.65)));
        let mean = rates.iter().map(|rate| rate.bits() as f64).sum::<f64>() / 600.0;
        assert!(mean >= 0.95 * CEILING.bits() as f64, "{mean}");
    }

    #[test]
    fn without_reports_the_rate_stays() {
        let mut adaptive = Adaptive::new(CEILING, AdaptConfig::default());
        assert_eq!(adaptive.next_rate(&mut [], CEILING), CEILING);
        let cut = adaptive.next_rate(&mut [0.3], CEILING);
        assert!(cut < CEILING);
        assert_eq!(adaptive.next_rate(&mut [], CEILING), cut);
    }

    proptest! {
        #[test]
        fn the_rate_stays_between_floor_and_ceiling(losses: Vec<Vec<f64>>, quantile: f64, floor: f64) {
            let mut adaptive = Adaptive::new(CEILING, AdaptConfig { quantile, floor, ..AdaptConfig::default() });
            for mut interval in losses {
                let rate = adaptive.next_rate(&mut interval, CEILING);
                prop_assert!(rate <= CEILING && rate >= CEILING.scaled(floor.clamp(0.0, 1.0)).min(CEILING));
            }
        }
    }
}
