//! What we read in the programs' and helpers' NDJSON: the only place that knows names of events and fields.

use std::path::Path;

use serde_json::Value;

/// All events that a program has printed so far; lines that are no JSON object are left out, the
/// one being written is too.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let Ok(text) = std::fs::read(path) else { return Vec::new() };
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(|v: &Value| v.is_object()).collect()
}

/// Progress of a client from 0 to 1, by its latest event that tells of it.
pub(crate) fn fraction_done(events: &[Value]) -> Option<f64> {
    events.iter().rev().find_map(|event| {
        let total = number(event, &["bytes_total", "blocks_total"])?;
        let done = number(event, &["bytes_done", "blocks_done"])?;
        (total > 0.0).then(|| done / total)
    })
}

/// Blocks that a client still held from an earlier run when it started.
pub(crate) fn kept_blocks(events: &[Value]) -> Option<u64> {
    events.iter().find_map(|event| number(event, &["kept_blocks", "blocks_kept"])).map(|blocks| blocks as u64)
}

/// Whether a client has been taken into a session.
pub(crate) fn has_joined(events: &[Value]) -> bool {
    last(events, "joined").is_some()
}

/// Bytes that a receiver of the limit counted, and the seconds from the first to the last of them.
pub(crate) fn counted(events: &[Value]) -> Option<(f64, f64)> {
    events.iter().find_map(|event| Some((number(event, &["bytes"])?, number(event, &["seconds"])?)))
}

/// What a sink tells of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evenness {
    /// Bytes on the wire.
    pub(crate) bytes: f64,
    /// From the first to the last of them.
    pub(crate) seconds: f64,
    /// Bits per second in the slowest 100 ms.
    pub(crate) slowest: f64,
    /// The same in the fastest.
    pub(crate) fastest: f64,
}

/// What a sink told.
pub(crate) fn evenness(events: &[Value]) -> Option<Evenness> {
    events.iter().find_map(|event| {
        let of = |key| number(event, &[key]);
        let (slowest, fastest) = (of("slowest")?, of("fastest")?);
        Some(Evenness { bytes: of("bytes")?, seconds: of("seconds")?, slowest, fastest })
    })
}

/// The streams to which clients were moved, by the server's events, in their order.
pub(crate) fn moves(events: &[Value]) -> Vec<&str> {
    let moved = events.iter().filter(|event| event["event"] == "client_moved");
    moved.filter_map(|event| event["to"].as_str()).collect()
}

/// The text of the last error event.
pub(crate) fn error(events: &[Value]) -> Option<&str> {
    let event = last(events, "error")?;
    ["error", "message", "text"].iter().find_map(|key| event.get(key)?.as_str())
}

fn last<'a>(events: &'a [Value], name: &str) -> Option<&'a Value> {
    events.iter().rev().find(|event| event["event"] == name)
}

/// The first of these fields that holds a number.
fn number(event: &Value, keys: &[&str]) -> Option<f64> {
    keys.iter().find_map(|key| event.get(key)?.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_progress_counts_and_a_half_written_line_does_not() {
        let events = parse(concat!(
            "{\"event\":\"joined\",\"kept_blocks\":7}\n",
            "{\"event\":\"progress\",\"bytes_done\":1,\"bytes_total\":4}\n",
            "{\"event\":\"progress\",\"bytes_done\":3,\"bytes_total\":4}\n",
            "{\"event\":\"progress\",\"bytes_do",
        ));
        assert_eq!(fraction_done(&events), Some(0.75));
        assert_eq!(kept_blocks(&events), Some(7));
        assert_eq!(error(&events), None);
    }
}
