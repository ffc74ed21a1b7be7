//! One descriptor for a driver of checks and a deadline of the director's own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use vrrp_core::Instant;

use crate::check::{Driver, DriverError, io_error};

#[derive(Debug)]
pub(super) struct Timer {
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not set, joined with `checks`, whose descriptor must live as long.
    pub(super) fn over(checks: &Driver) -> Result<Self, DriverError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io_error("make an epoll set"))?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(io_error("make a timer"))?;
        for descriptor in [timer.as_fd(), checks.as_fd()] {
            let data = epoll::EventData::new_u64(0);
            epoll::add(&epoll, descriptor, data, epoll::EventFlags::IN).map_err(io_error("watch a descriptor"))?;
        }
        Ok(Self { epoll, timer, armed: None })
    }

    /// It has gone off, if it has.
    pub(super) fn take(&mut self) {
        let mut expirations = [0; 8];
        if rustix::io::read(&self.timer, &mut expirations).is_ok() {
            self.armed = None;
        }
    }

    /// Sets it for this time of CLOCK_BOOTTIME; in the past: for at once.
    pub(super) fn set(&mut self, at: Instant) -> Result<(), DriverError> {
        if self.armed == Some(at) {
            return Ok(());
        }
        // A time of zero would switch the timer off.
        let nanos = at.as_nanos().max(1);
        let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: part(nanos / 1_000_000_000), tv_nsec: part(nanos % 1_000_000_000) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec).map_err(io_error("set the timer"))?;
        self.armed = Some(at);
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
