//! Commands typed while a session runs, a letter and Enter.

use std::io::BufRead;

use crossbeam_channel::{Receiver, never, unbounded};

use crate::platform;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Start now, whatever the thresholds say.
    Start,
    /// Pause, or go on.
    Pause,
    /// End the session.
    Quit,
    /// Something else was typed.
    Unknown,
}

/// For people to read.
pub(crate) const KEYS: &str = "s start now · p pause or resume · q quit, each with Enter";

/// Reads commands from the standard input in a thread of its own; the channel ends with the input.
pub(crate) fn listen() -> Receiver<Key> {
    let (tell, keys) = unbounded();
    let thread = std::thread::Builder::new().name("keyboard".into()).spawn(move || {
        platform::survive_background_reads();
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if tell.send(Key::parse(&line)).is_err() {
                return;
            }
        }
    });
    // Without the thread the signals still work.
    thread.map_or_else(|_| never(), |_| keys)
}

impl Key {
    fn parse(line: &str) -> Self {
        match line.trim().to_ascii_lowercase().as_str() {
            "s" | "start" => Self::Start,
            "p" | "pause" | "resume" => Self::Pause,
            "q" | "quit" => Self::Quit,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_or_its_word_is_a_command() {
        assert_eq!(Key::parse("s"), Key::Start);
        assert_eq!(Key::parse(" Pause "), Key::Pause);
        assert_eq!(Key::parse("q\r"), Key::Quit);
        assert_eq!(Key::parse("x"), Key::Unknown);
    }
}
