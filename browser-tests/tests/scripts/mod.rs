//! What tests ask the browser for.

/// What the bar of a session says in per cent, and how much of the map is drawn as whole.
pub(crate) const PROGRESS_AND_MAP: &str = include_str!("progress_and_map.js");
/// Texts in view whose contrast is below AA (WCAG 2.2, 1.4.3), with their colours.
pub(crate) const FAINT_TEXTS: &str = include_str!("faint_texts.js");
/// Times of updates of a table, a map and charts of 500 machines.
pub(crate) const FIVE_HUNDRED: &str = include_str!("five_hundred.js");
