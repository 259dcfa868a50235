//! Figures and events as people read them.

pub(crate) use command_line::text::{duration, rate};
use indicatif::BinaryBytes;
use multicast_core::engine::ClientEvent;
use multicast_core::receiver::ReceiverCounters;
use multicast_core::wire::SessionState;

/// Part of the symbols sent that did not arrive, from 0 to 1; `None` while there is nothing to tell.
pub(crate) fn loss(counters: &ReceiverCounters) -> Option<f64> {
    // What was counted last may not have been told of by the server yet.
    let sent = counters.symbols_sent.max(counters.symbols);
    (sent > 0).then(|| 1.0 - counters.symbols as f64 / sent as f64)
}

/// What happened, `None` if it is not worth a line.
pub(crate) fn event(event: &ClientEvent) -> Option<String> {
    use ClientEvent as E;
    Some(match event {
        E::Rechecking { claimed_blocks } => {
            format!("an interrupted run left {claimed_blocks} blocks; reading them again")
        }
        E::Resumed { kept_blocks, kept_bytes } => {
            format!("{kept_blocks} blocks ({}) are right and stay", BinaryBytes(*kept_bytes))
        }
        E::Discarded { reason } => format!("beginning anew: {reason}"),
        E::Refused { text, .. } => format!("the server says: {text}; asking again"),
        E::Joined { image, bytes_total, group, .. } if !group.ip().is_multicast() => {
            format!("joined: {image}, {}, by unicast", BinaryBytes(*bytes_total))
        }
        E::Joined { image, bytes_total, group, .. } => {
            format!("joined: {image}, {}, from {group}", BinaryBytes(*bytes_total))
        }
        E::Session { state: SessionState::Waiting, clients, awaited, starts_in_ms } => {
            let awaited = if *awaited > 0 { format!(" of {awaited}") } else { String::new() };
            let start = starts_in_ms.map(|ms| format!(", it starts in {}", duration(f64::from(ms) / 1000.0)));
            format!("the session waits: {clients}{awaited} clients are there{}", start.unwrap_or_default())
        }
        E::Session { state: SessionState::Running, .. } => "the stream runs".to_owned(),
        E::Session { state: SessionState::Paused, .. } => "the session is paused".to_owned(),
        E::Session { .. } => return None,
        E::Deaf { group, seconds } => format!(
            "the server answers, but nothing of group {group} is heard for {}: is the interface right?",
            duration(*seconds)
        ),
        E::BlockDamaged { block } => format!("block {block} did not match its hash and is fetched anew"),
        E::SessionLost { seconds, .. } => {
            format!("nothing was heard of the session for {}; asking the server again", duration(*seconds))
        }
        E::Moved { text } => format!("this client {text}"),
        E::Fetching { image, bytes_total, blocks_total, blocks_held } => {
            let held = format!(", {blocks_held} of {blocks_total} blocks are here");
            let held = if *blocks_held > 0 { held } else { String::new() };
            format!("fetching: {image}, {}{held}", BinaryBytes(*bytes_total))
        }
        E::SourceFailed { text, retry_in_ms } => {
            format!("{text}; trying again in {}", duration(*retry_in_ms as f64 / 1000.0))
        }
        E::Complete => "complete: every block matches its hash".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_what_was_sent_and_did_not_come() {
        let counters = |symbols, symbols_sent| ReceiverCounters { symbols, symbols_sent, ..Default::default() };
        assert_eq!(loss(&counters(0, 0)), None);
        assert_eq!(loss(&counters(3, 4)), Some(0.25));
        assert_eq!(loss(&counters(5, 4)), Some(0.0));
    }
}
