//! Waiting for several sockets at once, and being woken.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::sys::{self, Handle};

/// Those of the handles given to [`wait`] that have something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready(u64);

impl Ready {
    /// Whether the handle at this place of the list has.
    pub fn contains(self, index: usize) -> bool {
        index < 64 && self.0 >> index & 1 == 1
    }

    /// Whether none has: the time is over.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Waits until one of `handles`, 64 at most, can be read, or `timeout` is over; `None` waits for ever.
/// It may return early and empty.
pub fn wait(handles: &[Handle<'_>], timeout: Option<Duration>) -> io::Result<Ready> {
    if handles.len() > 64 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot wait for more than 64 handles"));
    }
    sys::wait(handles, timeout).map(Ready)
}

/// Ends another thread's [`wait`]; clones wake the same thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<sys::Event>);

impl Waker {
    /// A waker that nobody has used yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(sys::Event::new()?)))
    }

    /// Makes its handle readable until [`clear`](Self::clear).
    pub fn wake(&self) {
        self.0.set();
    }

    /// Takes all wakes so far as seen.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// To wait for.
    pub fn handle(&self) -> Handle<'_> {
        self.0.handle()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_waits_is_woken_by_another() {
        let waker = Waker::new().unwrap();
        let other = waker.clone();
        let thread = thread::spawn(move || other.wake());
        let ready = wait(&[waker.handle()], Some(Duration::from_secs(20))).unwrap();
        thread.join().unwrap();
        assert!(ready.contains(0) && !ready.contains(1) && !ready.is_empty());
        waker.clear();
        waker.clear();
        assert!(wait(&[waker.handle()], Some(Duration::ZERO)).unwrap().is_empty());
    }

    #[test]
    fn waiting_without_an_event_ends_in_time() {
        let start = Instant::now();
        assert!(wait(&[], Some(Duration::from_micros(300))).unwrap().is_empty());
        assert!(start.elapsed() >= Duration::from_micros(300));
    }

    #[test]
    fn too_many_handles_are_an_error() {
        let waker = Waker::new().unwrap();
        assert!(wait(&vec![waker.handle(); 65], Some(Duration::ZERO)).is_err());
    }
}
