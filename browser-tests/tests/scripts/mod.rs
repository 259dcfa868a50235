//! What tests ask the browser for.

#![allow(dead_code, reason = "each test uses some of it")]

/// What the bar of a session says in per cent, and how much of the map is drawn as whole.
pub(crate) const PROGRESS_AND_MAP: &str = include_str!("progress_and_map.js");
/// Texts in view whose contrast is below AA (WCAG 2.2, 1.4.3), with their colours.
pub(crate) const FAINT_TEXTS: &str = include_str!("faint_texts.js");
/// Has the view of bare machines show 500 that boot, and one that is refused; how long an update of 100 takes.
pub(crate) const BOOTS: &str = include_str!("boots.js");
/// Times of updates of a table, a map and charts of 500 machines.
pub(crate) const FIVE_HUNDRED: &str = include_str!("five_hundred.js");
