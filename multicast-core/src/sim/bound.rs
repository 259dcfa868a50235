//! The least that a block code can do: the yardstick of every sweep.

use super::link::{LinkModel, LossProcess};

/// Symbols sent per symbol of a block of `k`, if fresh symbols are sent until each of `clients`
/// clients, losing independently with probability `loss`, has any `k` of them:
/// (1/k)·[k + Σ_{t≥k} (1 − P(Bin(t, loss) ≤ t−k)^clients)].
pub fn coded_repair(k: u32, clients: u32, loss: f64) -> f64 {
    if loss <= 0.0 {
        return 1.0;
    }
    let (k, clients) = (f64::from(k), f64::from(clients));
    // The t-th symbol completes a client with probability C(t−1, k−1)·(1−loss)^k·loss^(t−k).
    let mut log_pmf = k * (1.0 - loss).ln();
    let mut done = log_pmf.exp();
    let (mut t, mut sent) = (k, k);
    loop {
        let missing = 1.0 - done.min(1.0).powf(clients);
        sent += missing;
        if t > k / (1.0 - loss) && missing < 1e-9 {
            return sent / k;
        }
        log_pmf += (t / (t - k + 1.0)).ln() + loss.ln();
        done += log_pmf.exp();
        t += 1.0;
    }
}

/// The same for any link, measured: the mean of `trials` blocks sent without a pause. Bursts hit
/// repair that comes later less than that, so a session may do better.
pub fn coded_repair_measured(k: u32, clients: u32, link: &LinkModel, trials: u32, seed: u64) -> f64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut block = || (0..clients).map(|_| sent_until_complete(k, link, &mut rng)).max().unwrap_or(u64::from(k));
    let sent: u64 = (0..trials).map(|_| block()).sum();
    sent as f64 / (f64::from(k) * f64::from(trials))
}

fn sent_until_complete(k: u32, link: &LinkModel, rng: &mut fastrand::Rng) -> u64 {
    let mut loss = LossProcess::new(link, rng);
    let (mut missing, mut sent) = (k as usize, 0);
    while missing > 0 {
        let (count, lost) = loss.take(missing, link, rng);
        sent += count as u64;
        missing -= if lost { 0 } else { count };
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_matches_the_published_table() {
        let rounded = |k, clients, loss| (coded_repair(k, clients, loss) * 1000.0).round() / 1000.0;
        assert_eq!(rounded(1024, 16, 0.01), 1.016);
        assert_eq!(rounded(1024, 100, 0.01), 1.019);
        assert_eq!(rounded(128, 1000, 0.01), 1.050);
        assert_eq!(rounded(1024, 100, 0.05), 1.072);
    }

    #[test]
    fn the_measured_bound_is_the_computed_one() {
        for (clients, loss) in [(1, 0.05), (8, 0.2), (100, 0.01)] {
            let measured = coded_repair_measured(1024, clients, &LinkModel::lossy(loss), 200, 1);
            let computed = coded_repair(1024, clients, loss);
            assert!((measured - computed).abs() < 0.003, "{clients} clients, {loss}: {measured} {computed}");
        }
    }
}
