//! Finds the largest datagram that a path carries, by halving.

/// Says which size to try next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathSearch {
    /// The largest that passed, if any did.
    passed: Option<u16>,
    /// The smallest that did not.
    failed: Option<u16>,
    least: u16,
    most: u16,
}

impl PathSearch {
    /// Between these sizes; the largest is tried first, as it usually passes.
    pub fn new(least: u16, most: u16) -> Self {
        Self { passed: None, failed: None, least, most: most.max(least) }
    }

    /// The size to try; `None` when the answer is known.
    pub fn next(&self) -> Option<u16> {
        match (self.passed, self.failed) {
            (None, None) => Some(self.most),
            // Nothing is known to pass yet: does anything?
            (None, Some(failed)) => (failed > self.least).then_some(self.least),
            (Some(passed), None) => (passed < self.most).then_some(self.most),
            (Some(passed), Some(failed)) => (failed - passed > 1).then(|| passed + (failed - passed) / 2),
        }
    }

    /// `size` went there and back, or did not.
    pub fn tried(&mut self, size: u16, passed: bool) {
        if passed {
            self.passed = self.passed.max(Some(size));
        } else {
            self.failed = Some(self.failed.map_or(size, |failed| failed.min(size)));
        }
    }

    /// The largest size that passed; `None` if none did.
    pub fn largest(&self) -> Option<u16> {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(least: u16, most: u16, carries: u16) -> (Option<u16>, usize) {
        let mut search = PathSearch::new(least, most);
        let mut tries = 0;
        while let Some(size) = search.next() {
            search.tried(size, size <= carries);
            tries += 1;
        }
        (search.largest(), tries)
    }

    #[test]
    fn a_sound_path_takes_one_try_and_a_dead_one_two() {
        assert_eq!(search(72, 1472, 1472), (Some(1472), 1));
        assert_eq!(search(72, 1472, 0), (None, 2));
    }

    proptest! {
        #[test]
        fn the_largest_is_found_to_the_byte(least in 1_u16..2000, span in 0_u16..2000, carries in 0_u16..5000) {
            let most = least + span;
            let (largest, tries) = search(least, most, carries);
            prop_assert_eq!(largest, (carries >= least).then_some(carries.min(most)));
            prop_assert!(tries <= 14, "{}", tries);
        }
    }
}
