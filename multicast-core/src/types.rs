//! The engine's vocabulary: integers with names, and virtual time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

macro_rules! named_integer {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

named_integer! {
    /// A block of the stream: the manifest's blocks first, then the image's.
    BlockIndex(u32)
}
named_integer! {
    /// A symbol of a block: below the block's `k` a slice of the image, from `k` on a parity symbol.
    SymbolIndex(u16)
}
named_integer! {
    /// A client's place in its session's roster, by which heartbeats poll it.
    Slot(u32)
}
named_integer! {
    /// A session, chosen at random by its server; 0 is no session.
    SessionId(u32)
}

impl BlockIndex {
    /// As an index into a table with an entry a block.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl SymbolIndex {
    /// As an index into a table with an entry a symbol.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A client, chosen at random by itself and kept in its journal, so that it is the same one after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// As text: JSON's numbers lose bits beyond 2^53.
#[cfg(feature = "serde")]
impl serde::Serialize for ClientId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The number of symbol datagrams sent before this one in a session, modulo 2^32.
///
/// Compared with wrap-around (RFC 1982): at 10 Gbit/s it wraps after 80 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u32);

impl Sequence {
    /// `self` advanced by `count` datagrams.
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Datagrams from `earlier` to `self`; negative if `self` is the earlier one.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// The later of both.
    pub fn max(self, other: Self) -> Self {
        if self.since(other) >= 0 { self } else { other }
    }
}

/// A moment in nanoseconds since an origin that the driver chose.
///
/// The state machines take it as an argument and never read a clock, so that the same code runs
/// in real and in simulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ZERO: Self = Self(0);

    /// `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`, zero if `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_compares_across_the_wrap() {
        let before = Sequence(u32::MAX - 1);
        let after = before.plus(4);
        assert_eq!(after, Sequence(2));
        assert_eq!(after.since(before), 4);
        assert_eq!(before.since(after), -4);
        assert_eq!(before.max(after), after);
    }
}
