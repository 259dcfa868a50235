//! How many of so many datagrams are lost, drawn by one random number.

/// Below this mean the counts are tried from 0 on, above it from the likeliest on.
const SMALL_MEAN: f64 = 8.0;

/// An exact sampler of the binomial distribution, by inversion: as many steps as the mean or twice
/// the standard deviation has, whichever way is shorter.
#[derive(Debug, Default)]
pub(super) struct Binomial {
    /// ln(n!) of every n asked for so far.
    ln_factorials: Vec<f64>,
}

impl Binomial {
    /// Of `n` trials the ones that come true, each with probability `p`.
    pub(super) fn draw(&mut self, n: u32, p: f64, rng: &mut fastrand::Rng) -> u32 {
        if n == 0 || p <= 0.0 {
            return 0;
        }
        if p > 0.5 {
            return n - self.draw(n, 1.0 - p, rng);
        }
        match f64::from(n) * p < SMALL_MEAN {
            true => from_zero(n, p, rng),
            false => self.around_the_likeliest(n, p, rng),
        }
    }

    fn around_the_likeliest(&mut self, n: u32, p: f64, rng: &mut fastrand::Rng) -> u32 {
        let odds = p / (1.0 - p);
        let likeliest = (f64::from(n + 1) * p) as u32;
        let mut left = rng.f64();
        let (mut low, mut high) = (likeliest, likeliest);
        let mut chance_of_low = self.chance(n, likeliest, p);
        let mut chance_of_high = chance_of_low;
        left -= chance_of_low;
        while left >= 0.0 && (low > 0 || high < n) {
            if high < n {
                chance_of_high *= odds * f64::from(n - high) / f64::from(high + 1);
                high += 1;
                left -= chance_of_high;
                if left < 0.0 {
                    return high;
                }
            }
            if low > 0 {
                chance_of_low *= f64::from(low) / (odds * f64::from(n - low + 1));
                low -= 1;
                left -= chance_of_low;
                if left < 0.0 {
                    return low;
                }
            }
        }
        likeliest
    }

    fn chance(&mut self, n: u32, k: u32, p: f64) -> f64 {
        let ways = self.ln_factorial(n) - self.ln_factorial(k) - self.ln_factorial(n - k);
        (ways + f64::from(k) * p.ln() + f64::from(n - k) * (-p).ln_1p()).exp()
    }

    fn ln_factorial(&mut self, n: u32) -> f64 {
        while self.ln_factorials.len() <= n as usize {
            let next = self.ln_factorials.len() as f64;
            let before = self.ln_factorials.last().copied().unwrap_or(0.0);
            self.ln_factorials.push(before + next.max(1.0).ln());
        }
        self.ln_factorials[n as usize]
    }
}

fn from_zero(n: u32, p: f64, rng: &mut fastrand::Rng) -> u32 {
    let odds = p / (1.0 - p);
    let mut left = rng.f64();
    let mut chance = (f64::from(n) * (-p).ln_1p()).exp();
    for k in 0..n {
        left -= chance;
        if left < 0.0 {
            return k;
        }
        chance *= odds * f64::from(n - k) / f64::from(k + 1);
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_variance_of_the_distribution() {
        let (mut binomial, mut rng) = (Binomial::default(), fastrand::Rng::with_seed(1));
        for (n, p) in [(1, 0.3), (44, 0.01), (1024, 0.005), (1024, 0.05), (1024, 0.2), (3000, 0.9)] {
            let draws = 40_000;
            let counts: Vec<_> = (0..draws).map(|_| f64::from(binomial.draw(n, p, &mut rng))).collect();
            let mean = counts.iter().sum::<f64>() / f64::from(draws);
            let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / f64::from(draws);
            let (true_mean, true_variance) = (f64::from(n) * p, f64::from(n) * p * (1.0 - p));
            // Five standard errors of the mean; of the variance it is 0.7 % and 3.5 % where counts are few.
            let error = 5.0 * (true_variance / f64::from(draws)).sqrt();
            assert!((mean - true_mean).abs() < error, "{n} {p}: mean {mean}");
            assert!((variance / true_variance - 1.0).abs() < 0.06, "{n} {p}: variance {variance}");
        }
    }

    #[test]
    fn small_and_large_means_are_drawn_alike() {
        // 1,000 × 0.008 is drawn either way: the chance of each count is the same.
        let (mut binomial, mut rng) = (Binomial::default(), fastrand::Rng::with_seed(2));
        let (mut small, mut large) = ([0i32; 30], [0i32; 30]);
        for _ in 0..100_000 {
            small[from_zero(1000, 0.008, &mut rng).min(29) as usize] += 1;
            large[binomial.around_the_likeliest(1000, 0.008, &mut rng).min(29) as usize] += 1;
        }
        for (count, (a, b)) in small.iter().zip(&large).enumerate() {
            assert!(f64::from((a - b).abs()) < 5.0 * f64::from(a + b + 1).sqrt(), "{count}: {a} and {b}");
        }
    }

    #[test]
    fn what_cannot_be_otherwise_is_not_drawn() {
        let (mut binomial, mut rng) = (Binomial::default(), fastrand::Rng::with_seed(3));
        assert_eq!([(0, 0.5), (9, 0.0), (9, 1.0)].map(|(n, p)| binomial.draw(n, p, &mut rng)), [0, 0, 9]);
    }
}
