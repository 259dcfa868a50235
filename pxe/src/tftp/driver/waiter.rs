//! Waiting for sockets, and for moments between milliseconds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::super::Time;

/// Sockets that are looked at in one go.
const BATCH: usize = 64;
/// Waits that are shorter are measured by the timer: epoll counts in milliseconds.
const FINE: Duration = Duration::from_millis(2);
/// Of the timer, which no transfer has.
const TIMER: u64 = u64::MAX;

/// An epoll with a timer in it.
pub(super) struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    /// What the timer is set to.
    armed: Option<Time>,
    ready: [EpollEvent; BATCH],
}

impl Waiter {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { epoll, timer, armed: None, ready: [EpollEvent::empty(); BATCH] })
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
        let count = match self.epoll.wait(&mut self.ready, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let ready = self.ready;
        if ready.iter().take(count).any(|event| event.data() == TIMER) {
            // It only says that the moment has come.
            let _ = self.timer.wait();
            self.armed = None;
        }
        Ok(ready.into_iter().take(count).map(|event| event.data()).filter(|token| *token != TIMER))
    }

    /// Tells of `flag`, too.
    pub(super) fn add_flag(&self, flag: &impl AsFd, token: u64) -> io::Result<()> {
        self.add(flag.as_fd(), token)
    }
}
