//! Of samples at a session's rate: loss, order, speed.

use super::super::finding::Finding;
use super::super::trial::{NoSamples, StreamFacts};
use super::{grouped, per_second};
use crate::pace::Rate;
use crate::wire::SampleWay;

/// Up to here repair is not worth a word.
const LITTLE: f64 = 0.005;
/// From here on something is broken.
const MUCH: f64 = 0.1;
/// What arrives at less of the rate than this was not sent at it.
const SLOW: f64 = 0.85;

/// Of samples that came by `facts.way`; `unicast` is the loss of those that came to this host alone before.
pub fn stream(facts: &StreamFacts, unicast: Option<f64>) -> Finding {
    let test = match facts.way {
        SampleWay::Group => "multicast rate",
        SampleWay::Client => "unicast rate",
    };
    let counts = &facts.counts;
    let (Some(loss), 1..) = (counts.loss(), counts.received) else {
        let advice = match facts.way {
            SampleWay::Group => "look at group and path MTU first",
            SampleWay::Client => "does a firewall here, or between, let UDP from the server's control port in?",
        };
        return Finding::failure(test, format!("of a stream at {} nothing came", per_second(facts.rate)), advice)
            .figure("loss", 1.0);
    };
    let arrived = Rate::from_bits(counts.rate as u64);
    let order = match counts.reordering() {
        0.0 => String::new(),
        part => format!(", {:.1} % out of order", part * 100.0),
    };
    let seen =
        format!("{:.2} % of {} lost at {}{order}", loss * 100.0, grouped(counts.sent.into()), per_second(facts.rate));
    // What was lost was sent all the same.
    let speed = counts.rate / (1.0 - loss).max(0.01) / facts.rate.bits() as f64;
    let finding = match loss {
        LITTLE.. => {
            let advice = advice(facts, loss, unicast);
            if loss < MUCH { Finding::warning(test, seen, advice) } else { Finding::failure(test, seen, advice) }
        }
        _ if speed < SLOW => Finding::warning(
            test,
            format!("{seen}; it came at {}", per_second(arrived)),
            "the server, or its link, does not carry that rate: give it a lower --rate or --network",
        ),
        _ => Finding::ok(test, seen),
    };
    finding
        .figure("loss", loss)
        .figure("reordered", counts.reordering())
        .figure("sent", counts.sent.into())
        .figure("received", counts.received.into())
        .figure("rate_bits", facts.rate.bits() as f64)
        .figure("arrived_bits", counts.rate)
}

fn advice(facts: &StreamFacts, loss: f64, unicast: Option<f64>) -> String {
    let lower = format!("lower the server's rate (--rate), as far as {}", per_second(facts.rate.scaled(1.0 - loss)));
    if facts.dropped > 0 {
        let asked = facts.buffer.asked;
        return format!("this host was too slow for it: sysctl -w net.core.rmem_max={asked}\nor {lower}");
    }
    match (facts.way, unicast) {
        (SampleWay::Group, Some(unicast)) if unicast < loss / 4.0 => {
            "only multicast is lost: look for storm control, a rate limit for multicast, or a radio on the way"
                .to_owned()
        }
        (_, _) if loss < MUCH => {
            format!("repair makes good for it; look at cables, duplex and a busy link between\nor {lower}")
        }
        _ => format!("a link between is too slow, or broken\n{lower}"),
    }
}

/// Why there was nothing to count.
pub fn without_samples(test: &'static str, why: &NoSamples) -> Finding {
    match why {
        NoSamples::Off => Finding::untested(test, "the server sends no samples: it is set so"),
        NoSamples::Busy => {
            Finding::untested(test, "a session runs, or somebody else is testing").advise("try again when it is over")
        }
        NoSamples::NoPlace => Finding::untested(test, "the server has no group to spare for it"),
        NoSamples::Silent => {
            Finding::failure(test, "the server does not answer any more", "look at the loss, and whether it still runs")
        }
        NoSamples::Net(error) => {
            Finding::failure(test, error.to_string(), error.help().unwrap_or("see what the system says of it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Outcome::*;
    use super::super::super::tally::Counts;
    use super::*;
    use crate::net::BufferSize;

    fn facts(sent: u32, received: u32) -> StreamFacts {
        let rate = Rate::from_mbit(100);
        let part = f64::from(received) / f64::from(sent.max(1));
        let counts = Counts { sent, received, reordered: 0, duplicates: 0, rate: rate.bits() as f64 * part };
        let buffer = BufferSize { asked: 1 << 20, granted: 1 << 20 };
        StreamFacts { way: SampleWay::Group, rate, len: 1472, counts, dropped: 0, buffer }
    }

    #[test]
    fn loss_is_graded() {
        let outcomes = [9999, 9800, 8000, 0].map(|received| stream(&facts(10_000, received), None).outcome);
        assert_eq!(outcomes, [Ok, Warning, Failure, Failure]);
        let some = stream(&facts(10_000, 9800), None);
        assert_eq!(some.seen, "2.00 % of 10,000 lost at 100 Mbit/s");
        assert!((some.figures["loss"] - 0.02).abs() < 1e-9);
    }

    #[test]
    fn where_it_is_lost_is_told_as_far_as_it_shows() {
        let told = |facts: &StreamFacts, unicast| stream(facts, unicast).advice.unwrap();
        assert!(told(&facts(1000, 970), Some(0.0)).contains("only multicast"));
        assert!(told(&facts(1000, 970), Some(0.03)).contains("repair"));
        let slow = StreamFacts { dropped: 7, ..facts(1000, 970) };
        assert!(told(&slow, Some(0.0)).contains("rmem_max=1048576"));
        assert!(told(&facts(1000, 500), None).contains("50 Mbit/s"));
    }

    #[test]
    fn a_stream_that_is_sent_too_slowly_is_told_though_nothing_is_lost() {
        let mut slow = facts(1000, 1000);
        slow.counts.rate = 60e6;
        let finding = stream(&slow, None);
        assert_eq!(finding.outcome, Warning);
        assert!(finding.seen.ends_with("it came at 60 Mbit/s"), "{finding}");
        // What was lost was sent.
        assert_eq!(stream(&facts(1000, 996), None).outcome, Ok);
    }

    #[test]
    fn what_the_server_does_not_send_is_no_fault_of_the_network() {
        assert_eq!(without_samples("group", &NoSamples::Off).outcome, NotTestable);
        assert_eq!(without_samples("group", &NoSamples::Busy).outcome, NotTestable);
        assert_eq!(without_samples("group", &NoSamples::Silent).outcome, Failure);
    }
}
