//! What a client's wishes come to.

use std::time::Duration;

use super::wire::{DEFAULT_BLOCK, LEAST_BLOCK, Options};

/// Blocks of a window at most. With more a number of 16 bits no longer tells an old acknowledgement from a new one.
pub const LARGEST_WINDOW: u16 = 32_767;

/// What one transfer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of every block but the last.
    pub block: u16,
    /// Blocks until one is acknowledged.
    pub window: u16,
    /// How long the client wants to be waited for at most, before something is sent again.
    pub timeout: Option<Duration>,
    /// What is agreed to, if the client asked for anything: the OACK.
    pub answer: Options,
}

impl Terms {
    /// What is agreed on for a file of `size` bytes: blocks of `block_limit` bytes and windows of `window_limit`
    /// blocks, or [`LARGEST_WINDOW`], at most. Both may only get smaller than asked for (RFC 2348, RFC 7440 §3).
    pub fn agree(asked: &Options, size: u64, block_limit: u16, window_limit: u16) -> Self {
        let block = asked.block_size.map(|block| block.min(block_limit.max(LEAST_BLOCK)));
        let window = asked.window.map(|window| window.min(window_limit.clamp(1, LARGEST_WINDOW)));
        let answer = Options { block_size: block, timeout: asked.timeout, size: asked.size.map(|_| size), window };
        Self {
            size,
            block: block.unwrap_or(DEFAULT_BLOCK),
            window: window.unwrap_or(1),
            timeout: asked.timeout.map(|seconds| Duration::from_secs(u64::from(seconds))),
            answer,
        }
    }

    /// The number of the last block, which is shorter than the others, and empty if they fill the file.
    pub fn last_block(&self) -> u64 {
        self.size / u64::from(self.block) + 1
    }

    /// Where the payload of a block begins, and how many bytes it has.
    pub fn extent(&self, block: u64) -> (u64, usize) {
        let size = u64::from(self.block);
        let offset = block.saturating_sub(1).saturating_mul(size).min(self.size);
        (offset, usize::from(self.block).min(usize::try_from(self.size - offset).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_wishes_gets_what_rfc_1350_says_and_no_answer() {
        let terms = Terms::agree(&Options::default(), 1000, 1468, 64);
        assert_eq!((terms.block, terms.window), (512, 1));
        assert!(terms.answer.is_empty());
    }

    #[test]
    fn wishes_are_cut_to_what_the_network_and_the_settings_bear() {
        let asked = Options { block_size: Some(8192), timeout: Some(3), size: Some(0), window: Some(500) };
        let terms = Terms::agree(&asked, 70_000, 1468, 64);
        assert_eq!((terms.block, terms.window), (1468, 64));
        let answer = Options { block_size: Some(1468), timeout: Some(3), size: Some(70_000), window: Some(64) };
        assert_eq!(terms.answer, answer);
        let asked = Options { window: Some(u16::MAX), ..asked };
        assert_eq!(Terms::agree(&asked, 70_000, 1468, u16::MAX).window, LARGEST_WINDOW);
    }

    #[test]
    fn only_what_was_asked_for_is_answered() {
        let asked = Options { size: Some(0), ..Options::default() };
        let terms = Terms::agree(&asked, 5, 1468, 64);
        assert_eq!(terms.answer, Options { size: Some(5), ..Options::default() });
    }

    #[test]
    fn the_last_block_is_short_or_empty() {
        let terms = |size| Terms::agree(&Options::default(), size, 1468, 64);
        assert_eq!(terms(0).last_block(), 1);
        assert_eq!(terms(0).extent(1), (0, 0));
        assert_eq!(terms(511).last_block(), 1);
        assert_eq!(terms(1024).last_block(), 3);
        assert_eq!(terms(1024).extent(2), (512, 512));
        assert_eq!(terms(1024).extent(3), (1024, 0));
        assert_eq!(terms(1025).extent(3), (1024, 1));
    }
}
