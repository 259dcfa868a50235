//! From measurements to findings: plain data in, findings out, nothing is looked at.

mod host;
mod network;
mod stream;

use std::time::Duration;

pub use host::{
    clock, firewall, interface, no_interface, receive_buffer, route_to_group, route_to_server, send_buffer, short,
};
pub use network::{contact, group, loopback, others, path, querier, snooping};
pub use stream::{stream, without_samples};

use crate::pace::Rate;

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bits per second for people.
pub fn per_second(rate: Rate) -> String {
    let mbit = rate.bits() as f64 / 1e6;
    match mbit {
        10.0.. => format!("{mbit:.0} Mbit/s"),
        1.0.. => format!("{mbit:.1} Mbit/s"),
        _ => format!("{:.0} kbit/s", mbit * 1000.0),
    }
}

/// Seconds, or milliseconds where there is less than one.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        10.0.. => format!("{seconds:.0} s"),
        0.9995.. => format!("{seconds:.1} s"),
        0.0095.. => format!("{:.0} ms", seconds * 1000.0),
        _ => format!("{:.1} ms", seconds * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([7, 999, 1472, 8_388_608].map(grouped), ["7", "999", "1,472", "8,388,608"]);
        let rates = [930_000_000, 9_500_000, 100_000].map(|bits| per_second(Rate::from_bits(bits)));
        assert_eq!(rates, ["930 Mbit/s", "9.5 Mbit/s", "100 kbit/s"]);
        let times = [200, 15_000, 999_900, 12_300_000].map(|micros| span(Duration::from_micros(micros)));
        assert_eq!(times, ["0.2 ms", "15 ms", "1.0 s", "12 s"]);
    }
}
