//! Discovers at an even rate, and how long each waits for its offer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use pxe::dhcp::wire::{Kind, Message};

use crate::Failed;
use crate::line::{Line, machine, quantile};

#[derive(Args)]
pub(crate) struct Offers {
    /// Discovers in a second
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For so long
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// The number of the first machine
    #[arg(long, default_value_t = 0)]
    first: u32,
}

/// An offer that has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(2);

impl Offers {
    pub(crate) fn run(self, line: &Line) -> Result<(), Failed> {
        let count = self.rate * self.seconds;
        let sent: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let start = Instant::now();
        let mut waits = thread::scope(|scope| {
            let sender = scope.spawn(|| self.send(line, start, &sent));
            let waits = self.receive(line, start, &sent)?;
            sender.join().map_err(|_| "the sender panicked")??;
            Ok::<_, Failed>(waits)
        })?;
        waits.sort_by(f64::total_cmp);
        let answered = waits.len();
        println!(
            r#"{{"event":"offers","sent":{count},"answered":{answered},"lost":{},"median_us":{:.1},"p99_us":{:.1},"most_us":{:.1}}}"#,
            count as usize - answered,
            quantile(&waits, 0.5),
            quantile(&waits, 0.99),
            quantile(&waits, 1.0),
        );
        Ok(())
    }

    fn send(&self, line: &Line, start: Instant, sent: &[AtomicU64]) -> Result<(), Failed> {
        let gap = Duration::from_secs(1) / self.rate.max(1);
        for (number, at) in (0..).zip(sent) {
            let due = start + gap * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let bytes = machine(self.first + number, Kind::Discover).to_bytes();
            at.store(nanoseconds(start), Ordering::Release);
            line.ask(&bytes)?;
        }
        Ok(())
    }

    /// Microseconds that each discover waited for its first offer.
    fn receive(&self, line: &Line, start: Instant, sent: &[AtomicU64]) -> Result<Vec<f64>, Failed> {
        let end = start + Duration::from_secs(u64::from(self.seconds)) + PATIENCE;
        let mut waits = Vec::with_capacity(sent.len());
        while waits.len() < sent.len() && Instant::now() < end {
            let Some(bytes) = line.receive(Duration::from_millis(50))? else { continue };
            let now = nanoseconds(start);
            let Ok(message) = Message::decode(&bytes) else { continue };
            let number = message.xid.wrapping_sub(self.first) as usize;
            let Some(at) = sent.get(number).filter(|_| message.kind() == Some(Kind::Offer)) else { continue };
            // Taken, so that a second one does not count.
            let at = at.swap(0, Ordering::AcqRel);
            if at != 0 {
                waits.push((now - at) as f64 / 1000.0);
            }
        }
        Ok(waits)
    }
}

fn nanoseconds(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
