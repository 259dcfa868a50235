//! Dividing a rate.

use super::rate::Rate;

/// How high `total` fills those who want so much, each in a vessel as wide as its weight (weighted
/// max-min fairness): each gets what it wants, but no more than [`Level::of`] its weight.
pub(crate) fn level(total: Rate, wants: impl Iterator<Item = (Rate, u32)>) -> Level {
    let mut wants: Vec<(u128, u128)> = wants.map(|(want, weight)| (want.bits().into(), weight.max(1).into())).collect();
    // By what each wants for a unit of its weight.
    wants.sort_unstable_by(|(a, by_a), (b, by_b)| (a * by_b).cmp(&(b * by_a)));
    let mut left = u128::from(total.bits());
    let mut weights: u128 = wants.iter().map(|(_, weight)| weight).sum();
    for (want, weight) in wants {
        if want * weights > left * weight {
            return Level(Some((left, weights)));
        }
        left -= want;
        weights -= weight;
    }
    Level(None)
}

/// A rate for so many units of weight; `None` if there is enough for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level(Option<(u128, u128)>);

impl Level {
    /// What somebody of this weight may have.
    pub(crate) fn of(self, weight: u32) -> Rate {
        let part = |(left, weights): (u128, u128)| left * u128::from(weight.max(1)) / weights;
        self.0.map_or(Rate::MAX, |of| Rate::from_bits(u64::try_from(part(of)).unwrap_or(u64::MAX)))
    }
}
