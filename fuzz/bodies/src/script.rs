//! Input read as a script: small numbers and chunks of bytes, zeros and nothing once it has ended.

use std::time::Duration;

/// Steps of a script at most, so that one input cannot take all day.
pub(crate) const STEP_LIMIT: usize = 512;

pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte, or `None` at the end.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Bytes behind a length of 16 bits; as many as are left, if fewer.
    pub(crate) fn chunk(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16()).min(self.0.len());
        let (chunk, rest) = self.0.split_at(len);
        self.0 = rest;
        chunk
    }

    /// A time of 2⁻¹⁰ s to a minute: in units of 1,024 µs, so that one byte reaches a step that matters.
    pub(crate) fn time(&mut self) -> Duration {
        Duration::from_micros(u64::from(self.u16()) << 10)
    }
}

/// The reverse of [`Script::chunk`].
pub(crate) fn push_chunk(out: &mut Vec<u8>, chunk: &[u8]) {
    out.extend((chunk.len() as u16).to_be_bytes());
    out.extend(chunk);
}

/// The reverse of [`Script::time`], rounded up.
pub(crate) fn push_time(out: &mut Vec<u8>, time: Duration) {
    let units = u16::try_from(time.as_micros().div_ceil(1 << 10)).unwrap_or(u16::MAX);
    out.extend(units.to_be_bytes());
}
