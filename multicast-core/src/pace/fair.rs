//! Dividing a rate.

use super::rate::Rate;

/// How high `total` fills those who want so much (max-min fairness): each gets what it wants, but no
/// more than this.
pub(crate) fn level(total: Rate, wants: impl Iterator<Item = Rate>) -> Rate {
    let mut wants: Vec<u64> = wants.map(Rate::bits).collect();
    wants.sort_unstable();
    let mut left = total.bits();
    for (place, want) in wants.iter().enumerate() {
        let equal = left / (wants.len() - place) as u64;
        if *want > equal {
            return Rate::from_bits(equal);
        }
        left -= want;
    }
    Rate::MAX
}
