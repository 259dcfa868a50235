//! Figures as people read them.

/// Bits per second in three digits.
pub fn rate(bits: f64) -> String {
    let (value, unit) = match bits {
        bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
        bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
        bits => (bits / 1e3, "kbit/s"),
    };
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {unit}")
}

/// Seconds as a clock's figures.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        let texts = [930e6, 9e9, 92.4e6, 999.96e6, 400e3, 0.0].map(rate);
        assert_eq!(texts, ["930 Mbit/s", "9.00 Gbit/s", "92.4 Mbit/s", "1000 Mbit/s", "400 kbit/s", "0.00 kbit/s"]);
    }

    #[test]
    fn durations_grow_coarser() {
        let texts = [1.25, 9.96, 59.4, 59.6, 125.0, 3725.0].map(duration);
        assert_eq!(texts, ["1.2 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 02 min"]);
    }
}
