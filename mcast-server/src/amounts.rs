//! Amounts and names as people write them, on the command line and in the settings.

use std::time::Duration;

use multicast_core::pace::{Profile, Rate};

/// Units of a size and their bytes; a bare number would leave open which it is.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// The largest image that can be planned: 1 PiB.
const SIZE_LIMIT: u64 = 1 << 50;

/// Beyond this loss a block's parity would not last, and no network is usable.
const LOSS_LIMIT: f64 = 0.4;

/// Bytes of an image's name at most: what a join carries.
pub(crate) const NAME_LIMIT: usize = 255;

/// So many clients lose this part of what they are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LossGroup {
    pub(crate) clients: u32,
    /// From 0 to 1.
    pub(crate) loss: f64,
}

/// Reads `5%` as 0.05.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    const HELP: &str = "write a part of 100 and %, for example 5%";
    let share = percentage("share", text, HELP)?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(format!("share {text} lies outside of 0% to 100%\n  {HELP}")),
    }
}

/// Reads `5%` as 0.05, and refuses nothing of it.
pub(crate) fn some_share(text: &str) -> Result<f64, String> {
    match share(text)? {
        0.0 => Err(format!(
            "share {text} lies outside of what is above 0% and up to 100%\n  leave it out for none, or write a part of \
             100 and %, for example 5%"
        )),
        share => Ok(share),
    }
}

/// Reads `20GiB` or `1.5 TB` as bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const HELP: &str = "write a number and its unit, for example 20GiB or 500MB";
    let (number, unit) = split(text);
    let Ok(number) = number.parse::<f64>() else { return Err(format!("{text:?} is no size\n  {HELP}")) };
    if unit.is_empty() {
        return Err(format!("size {text} has no unit\n  {HELP}"));
    }
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) else {
        return Err(format!("unknown unit {unit:?} of a size\n  {HELP}"));
    };
    let bytes = number * *bytes as f64;
    match bytes {
        1.0.. if bytes <= SIZE_LIMIT as f64 => Ok(bytes as u64),
        _ => Err(format!("size {text} lies outside of 1B to 1024TiB\n  an image has at least one byte")),
    }
}

/// Reads `1%` as 0.01.
pub(crate) fn loss(text: &str) -> Result<f64, String> {
    const HELP: &str = "write what a client loses of 100 datagrams and %, for example 0.5%";
    let loss = percentage("loss", text, HELP)?;
    match (0.0..=LOSS_LIMIT).contains(&loss) {
        true => Ok(loss),
        false => Err(format!(
            "loss {text} lies outside of 0% to {:.0}%\n  with more of it a network has to be repaired before it is used",
            LOSS_LIMIT * 100.0
        )),
    }
}

/// Reads `5:20%`: five clients that lose 20 %.
pub(crate) fn loss_group(text: &str) -> Result<LossGroup, String> {
    let help = "write how many clients, a colon and what each of them loses, for example 5:20%";
    let Some((clients, share)) = text.split_once(':') else {
        return Err(format!("{text:?} names no clients and their loss\n  {help}"));
    };
    match clients.trim().parse() {
        Ok(0) | Err(_) => Err(format!("{clients:?} is no number of clients, it must be at least 1\n  {help}")),
        Ok(clients) => Ok(LossGroup { clients, loss: loss(share)? }),
    }
}

/// Reads `90s` or `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}\n  write a number and its unit, for example 30s, 10m or 1h 30m"))
}

/// Reads a type of network, or a rate.
pub(crate) fn network(text: &str) -> Result<Profile, String> {
    text.parse::<Profile>().map_err(|error| format!("{error}\n  {}", error.help()))
}

/// Reads `400mbit`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    text.parse::<Rate>().map_err(|error| format!("{error}\n  {}", error.help()))
}

/// Takes a name by which an image can be asked for.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a name has at least one letter".to_owned()),
        1..=NAME_LIMIT => Ok(text.to_owned()),
        bytes => Err(format!("it has {bytes} bytes, at most {NAME_LIMIT} can be asked for")),
    }
}

/// Reads a number and % as a hundredth of it; `what` it is and what would `help` are for the error.
fn percentage(what: &str, text: &str, help: &str) -> Result<f64, String> {
    let (number, unit) = split(text);
    let Ok(percent) = number.parse::<f64>() else { return Err(format!("{text:?} is no {what}\n  {help}")) };
    if unit != "%" {
        return Err(format!("{what} {text} has no %\n  {help}"));
    }
    Ok(percent / 100.0)
}

/// The number in front, and what stands behind it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_either_kind_of_unit() {
        let read = ["20GiB", "1.5 tb", "7B", "1024TiB"].map(size);
        assert_eq!(read, [Ok(20 << 30), Ok(1_500_000_000_000), Ok(7), Ok(1 << 50)]);
    }

    #[test]
    fn no_share_is_not_some_share() {
        assert_eq!((share("0%"), some_share("0.1%"), some_share("100%")), (Ok(0.0), Ok(0.001), Ok(1.0)));
        assert!(some_share("0.0 %").unwrap_err().contains("above 0% and up to 100%"));
    }

    #[test]
    fn losses_are_percentages() {
        assert_eq!(["1%", "0.5 %", "0%", "40%"].map(loss), [Ok(0.01), Ok(0.005), Ok(0.0), Ok(0.4)]);
        assert_eq!(loss_group("5:20%"), Ok(LossGroup { clients: 5, loss: 0.2 }));
    }

    #[test]
    fn what_is_refused_is_named_with_its_limit() {
        let texts = [size("0GiB"), size("20"), size("GiB"), size("1 pound"), size("1025TiB")];
        let words = ["1B to 1024TiB", "no unit", "is no size", "\"pound\"", "1B to 1024TiB"];
        for (text, word) in texts.into_iter().zip(words) {
            assert!(text.as_ref().unwrap_err().contains(word), "{text:?}");
        }
        assert!(loss("100%").unwrap_err().contains("loss 100% lies outside of 0% to 40%"));
        assert!(loss("0.01").unwrap_err().contains("has no %"));
        assert!(loss_group("0:1%").unwrap_err().contains("at least 1"));
        assert!(loss_group("3").unwrap_err().contains("5:20%"));
    }
}
