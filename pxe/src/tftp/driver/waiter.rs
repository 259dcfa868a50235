//! Waiting for sockets, and for moments between milliseconds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::super::Time;

/// Sockets that are looked at in one go.
const BATCH: usize = 64;
/// Waits that are shorter are measured by the timer: epoll counts in milliseconds.
const FINE: Duration = Duration::from_millis(2);
/// So long a client that is near may take to answer: going to sleep and being woken costs as much.
const NEAR: Duration = Duration::from_micros(40);
/// Waits that sleep at once after one that looked about for [`NEAR`] in vain.
const SLEEPS_AFTER_VAIN: u32 = 64;
/// Of the timer, which no transfer has.
const TIMER: u64 = u64::MAX;

/// An epoll with a timer in it.
pub(super) struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    /// What the timer is set to.
    armed: Option<Time>,
    ready: [EpollEvent; BATCH],
    eagerness: Eagerness,
}

/// Whether to look about for a while before sleeping. Block by block a transfer's pace is that of two wake-ups a
/// block; where the last answer came within [`NEAR`], as from a guest of this host, the next one can be had without.
struct Eagerness {
    /// A single core is better left to who is to answer.
    possible: bool,
    last_was_near: bool,
    sleeps_left: u32,
}

impl Eagerness {
    fn new() -> Self {
        Self {
            possible: available_parallelism().is_ok_and(|cores| cores.get() > 1),
            last_was_near: false,
            sleeps_left: 0,
        }
    }

    /// Whether to look about this time.
    fn looks_about(&mut self) -> bool {
        if self.sleeps_left > 0 {
            self.sleeps_left -= 1;
            return false;
        }
        self.possible && self.last_was_near
    }

    fn looked_in_vain(&mut self) {
        self.sleeps_left = SLEEPS_AFTER_VAIN;
    }

    fn slept(&mut self, answer_was_near: bool) {
        self.last_was_near = answer_was_near;
    }
}

impl Waiter {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { epoll, timer, armed: None, ready: [EpollEvent::empty(); BATCH], eagerness: Eagerness::new() })
    }

    /// Tells of `socket` by `token` from now on; closing the socket ends that.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Whether to tell, too, that the socket has room again.
    pub(super) fn want_room(&self, socket: BorrowedFd<'_>, token: u64, want: bool) -> io::Result<()> {
        let room = if want { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        Ok(self.epoll.modify(socket, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, token))?)
    }

    /// Waits, until `deadline` at most if it is given; whose sockets are ready.
    pub(super) fn wait(&mut self, now: Time, deadline: Option<Time>) -> io::Result<impl Iterator<Item = u64> + use<>> {
        let limit = deadline.map(|at| at.saturating_sub(now));
        if limit.is_some_and(|limit| limit < FINE && !limit.is_zero()) && self.armed != deadline {
            let until = Expiration::OneShot(TimeSpec::from_duration(limit.unwrap_or_default()));
            self.timer.set(until, TimerSetTimeFlags::empty())?;
            self.armed = deadline;
        }
        // Rounded up: what wakes too early finds nothing to do.
        let millis = limit.map(|limit| i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        let timeout = millis.map_or(Ok(EpollTimeout::NONE), EpollTimeout::try_from).unwrap_or(EpollTimeout::NONE);
        let count = self.look_and_sleep(timeout)?;
        let ready = self.ready;
        if ready.iter().take(count).any(|event| event.data() == TIMER) {
            // It only says that the moment has come.
            let _ = self.timer.wait();
            self.armed = None;
        }
        Ok(ready.into_iter().take(count).map(|event| event.data()).filter(|token| *token != TIMER))
    }

    fn look_and_sleep(&mut self, timeout: EpollTimeout) -> io::Result<usize> {
        let begun = Instant::now();
        if timeout != EpollTimeout::ZERO && self.eagerness.looks_about() {
            while begun.elapsed() < NEAR {
                match self.poll(EpollTimeout::ZERO)? {
                    0 => std::hint::spin_loop(),
                    count => return Ok(count),
                }
            }
            self.eagerness.looked_in_vain();
        }
        let count = self.poll(timeout)?;
        self.eagerness.slept(count > 0 && begun.elapsed() < NEAR);
        Ok(count)
    }

    fn poll(&mut self, timeout: EpollTimeout) -> io::Result<usize> {
        match self.epoll.wait(&mut self.ready, timeout) {
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Tells of `flag`, too.
    pub(super) fn add_flag(&self, flag: &impl AsFd, token: u64) -> io::Result<()> {
        self.add(flag.as_fd(), token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_about_only_for_who_is_near_and_not_again_soon_after_it_was_vain() {
        let mut eagerness = Eagerness { possible: true, ..Eagerness::new() };
        assert!(!eagerness.looks_about(), "nobody has answered yet");
        eagerness.slept(true);
        assert!(eagerness.looks_about());
        assert!(eagerness.looks_about(), "what was not in vain goes on");
        eagerness.looked_in_vain();
        eagerness.slept(true);
        assert_eq!((0..1000).take_while(|_| !eagerness.looks_about()).count(), SLEEPS_AFTER_VAIN as usize);
        eagerness.slept(false);
        assert!(!eagerness.looks_about(), "the client is far away now");
    }

    #[test]
    fn never_looks_about_on_a_single_core() {
        let mut eagerness = Eagerness { possible: false, ..Eagerness::new() };
        eagerness.slept(true);
        assert!(!eagerness.looks_about());
    }
}
