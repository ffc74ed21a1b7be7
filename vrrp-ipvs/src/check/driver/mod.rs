//! The driver: checks bound to the kernel, behind one descriptor.

mod attempt;
mod event;
mod files;
mod managed;
mod random;
mod reaper;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use vrrp_core::Instant;

pub use self::event::{CheckEvent, CheckStatus};
use self::files::Files;
use self::managed::{Closure, Managed};
use self::random::Random;
use self::reaper::Reaper;
use super::schedule::{Event, Phase};
use super::{Check, CheckError, Verdict};

/// Most events taken from the kernel in one turn. Each is at most one read of [`READ`] octets.
const EVENTS_PER_TURN: usize = 256;

/// How much a turn may do for what is due: an attempt costs 1, one that starts a program [`SPAWN_COST`].
const WORK_PER_TURN: u32 = 128;
const SPAWN_COST: u32 = 16;

/// How many turns in a row may leave timers alone because more is waiting to be read: answers that are there count
/// before it is said that they are not.
const DRAINING_TURNS: u32 = 16;

/// Deadlines are rounded up to a multiple of this, so that checks that are due about the same time wake the driver once.
const SLACK: u64 = 4_000_000;

/// Most octets of one read.
const READ: usize = 16 << 10;

/// The token of the timer; checks have their number, programs to be reaped count down from [`reaper::FIRST`].
const TIMER: u64 = u64::MAX;

/// One check of a [`Driver`]. Never given twice by the same driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CheckId(u64);

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check {}", self.0)
    }
}

/// A driver that cannot go on, or a check that it cannot take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The kernel refused the driver's own descriptors.
    #[error("{operation}: {error}")]
    Io {
        /// What it was asked for.
        operation: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The check makes no sense.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// There is no such check, or not any more.
    #[error("there is no {0}")]
    UnknownCheck(CheckId),
}

pub(crate) fn io_error(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> DriverError {
    move |error| DriverError::Io { operation, error: error.into() }
}

/// Runs checks. One descriptor, no thread, no callback but the [closures](Self::add_closure) that it was given.
///
/// Watch [`as_fd`](AsFd::as_fd) for reading in any event loop, and call [`process`](Self::process) when it is readable; the
/// timers are inside. Each call does a bounded amount of work, and leaves the descriptor readable if there is more.
///
/// ```no_run
/// use std::os::fd::AsFd;
///
/// use rustix::event::{PollFd, PollFlags, poll};
/// use vrrp_ipvs::check::{Check, CheckEvent, Driver, Probe};
///
/// let mut driver = Driver::new()?;
/// driver.add(Check::new("192.0.2.10:80".parse()?, Probe::Tcp))?;
/// loop {
///     poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], None)?;
///     for event in driver.process()? {
///         match event {
///             CheckEvent::Up { check, .. } => println!("{check} is up"),
///             CheckEvent::Down { check, reason } => println!("{check} is down: {reason}"),
///             other => println!("{other:?}"),
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Driver {
    shared: Shared,
    checks: BTreeMap<u64, Managed>,
    next_id: u64,
    /// When the timer goes off, if it is set.
    armed: Option<Instant>,
    /// Turns in a row that left timers alone.
    draining: u32,
}

/// What all checks have in common.
#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    timer: OwnedFd,
    random: Random,
    events: Vec<CheckEvent>,
    deadlines: BTreeSet<(Instant, u64)>,
    reaper: Reaper,
    files: Files,
    /// What a read goes to, and what a conversation says.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Driver {
    /// A driver without checks.
    ///
    /// # Errors
    /// [`DriverError::Io`] if the process has no descriptors left.
    pub fn new() -> Result<Self, DriverError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io_error("make an epoll set"))?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(io_error("make a timer"))?;
        // Edge-triggered: it is never read, and setting it anew makes a new edge.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), flags).map_err(io_error("watch the timer"))?;
        let shared = Shared {
            epoll,
            timer,
            random: Random::new(),
            events: Vec::new(),
            deadlines: BTreeSet::new(),
            reaper: Reaper::default(),
            files: Files::default(),
            input: vec![0; READ],
            output: Vec::new(),
        };
        Ok(Self { shared, checks: BTreeMap::new(), next_id: 0, armed: None, draining: 0 })
    }

    /// Adds a check and starts it, after a random part of its warm-up.
    ///
    /// # Errors
    /// [`DriverError::Check`] if it makes no sense, [`DriverError::Io`] if the timer cannot be set.
    pub fn add(&mut self, check: Check) -> Result<CheckId, DriverError> {
        let managed = Managed::new(check, None)?;
        self.start(managed)
    }

    /// Adds a check that asks `closure`, which is called in [`process`](Self::process) and must not wait for anything.
    /// Of `check` its probe does not matter.
    ///
    /// # Errors
    /// As of [`add`](Self::add).
    pub fn add_closure(
        &mut self,
        check: Check,
        closure: impl FnMut() -> Verdict + Send + 'static,
    ) -> Result<CheckId, DriverError> {
        let managed = Managed::new(check, Some(Closure(Box::new(closure))))?;
        self.start(managed)
    }

    fn start(&mut self, managed: Managed) -> Result<CheckId, DriverError> {
        let id = self.next_id;
        self.next_id += 1;
        let delay = self.shared.random.below(managed.params().warmup);
        let managed = self.checks.entry(id).or_insert(managed);
        if !managed.is_told() {
            managed.apply(&mut self.shared, id, now(), Event::Start(delay));
        }
        self.arm()?;
        Ok(CheckId(id))
    }

    /// Ends a check. Nothing more is said about it.
    ///
    /// # Errors
    /// [`DriverError::UnknownCheck`] if it is gone already.
    pub fn remove(&mut self, id: CheckId) -> Result<(), DriverError> {
        let mut managed = self.checks.remove(&id.0).ok_or(DriverError::UnknownCheck(id))?;
        managed.apply(&mut self.shared, id.0, now(), Event::Stop);
        self.shared.files.forget(id.0);
        self.shared.events.retain(|event| event.check() != id);
        Ok(())
    }

    /// Lets a check rest. What it last said of its server holds until it is [resumed](Self::resume).
    ///
    /// # Errors
    /// [`DriverError::UnknownCheck`] if there is none.
    pub fn suspend(&mut self, id: CheckId) -> Result<(), DriverError> {
        self.apply(id, Event::Suspend)
    }

    /// Lets a check go on, after a random part of its warm-up.
    ///
    /// # Errors
    /// [`DriverError::UnknownCheck`] if there is none, [`DriverError::Io`] if the timer cannot be set.
    pub fn resume(&mut self, id: CheckId) -> Result<(), DriverError> {
        let managed = self.checks.get(&id.0).ok_or(DriverError::UnknownCheck(id))?;
        let delay = self.shared.random.below(managed.params().warmup);
        self.apply(id, Event::Resume(delay))
    }

    /// Says how the server of a check is, whatever the check itself finds out: it holds until the next result, which never
    /// comes for [`Probe::Application`](super::Probe::Application).
    ///
    /// # Errors
    /// [`DriverError::UnknownCheck`] if there is none.
    pub fn tell(&mut self, id: CheckId, verdict: Verdict) -> Result<(), DriverError> {
        let managed = self.checks.get_mut(&id.0).ok_or(DriverError::UnknownCheck(id))?;
        managed.tell(&mut self.shared, id.0, now(), verdict);
        // What follows is an event: the descriptor becomes readable for it.
        self.arm()
    }

    fn apply(&mut self, id: CheckId, event: Event) -> Result<(), DriverError> {
        let managed = self.checks.get_mut(&id.0).ok_or(DriverError::UnknownCheck(id))?;
        managed.apply(&mut self.shared, id.0, now(), event);
        self.arm()
    }

    /// Does what is due, and says what has changed.
    ///
    /// # Errors
    /// [`DriverError::Io`] if the driver's own descriptors fail, which they do not while they are open.
    pub fn process(&mut self) -> Result<Vec<CheckEvent>, DriverError> {
        let drained = self.process_io()?;
        self.draining = if drained { 0 } else { self.draining + 1 };
        self.process_due(self.draining != 0 && self.draining < DRAINING_TURNS);
        let events = std::mem::take(&mut self.shared.events);
        self.arm()?;
        Ok(events)
    }

    /// Reads what is there; whether that was all of it.
    fn process_io(&mut self) -> Result<bool, DriverError> {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(EVENTS_PER_TURN);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.shared.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&at_once)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(io_error("ask what is ready")(error)),
        }
        let now = now();
        for event in &ready {
            match event.data.u64() {
                TIMER => self.armed = None,
                files::TOKEN => {
                    for id in self.shared.files.changed() {
                        if let Some(managed) = self.checks.get_mut(&id) {
                            managed.apply(&mut self.shared, id, now, Event::Changed);
                        }
                    }
                }
                token if token >= reaper::FIRST => self.shared.reaper.reap(token),
                id => {
                    if let Some(managed) = self.checks.get_mut(&id) {
                        managed.ready(&mut self.shared, id, now);
                    }
                }
            }
        }
        Ok(ready.len() < EVENTS_PER_TURN)
    }

    /// Does what is due; of attempts only the beginning if more is `waiting` to be read.
    fn process_due(&mut self, waiting: bool) {
        let now = now();
        let mut work = 0;
        let mut after = None;
        while work < WORK_PER_TURN {
            let mut later = match after {
                None => self.shared.deadlines.range(..),
                Some(after) => {
                    self.shared.deadlines.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
                }
            };
            let Some(&(at, id)) = later.next().filter(|(at, _)| *at <= now) else { return };
            let Some(managed) = self.checks.get_mut(&id) else {
                self.shared.deadlines.remove(&(at, id));
                continue;
            };
            work += 1;
            if waiting && matches!(managed.phase(), Phase::Running { .. }) {
                after = Some((at, id));
                continue;
            }
            work += if managed.spawns() { SPAWN_COST } else { 0 };
            managed.apply(&mut self.shared, id, now, Event::Timeout);
        }
    }

    /// Sets the timer for what comes next; for at once if there are events to be told.
    fn arm(&mut self) -> Result<(), DriverError> {
        let next = self.shared.deadlines.first().map(|(at, _)| rounded_up(*at));
        let next = if self.shared.events.is_empty() { next } else { Some(Instant::ZERO) };
        let Some(at) = next.filter(|at| self.armed != Some(*at)) else { return Ok(()) };
        // A time of zero would switch the timer off.
        let nanos = at.as_nanos().max(1);
        let second = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: second(nanos / NANOS), tv_nsec: second(nanos % NANOS) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.shared.timer, TimerfdTimerFlags::ABSTIME, &spec).map_err(io_error("set the timer"))?;
        self.armed = Some(at);
        Ok(())
    }

    /// Every check as it stands, in the order in which they were added.
    pub fn status(&self) -> Vec<CheckStatus> {
        self.checks.iter().map(|(id, managed)| managed.status(CheckId(*id))).collect()
    }

    /// One check as it stands.
    pub fn check_status(&self, id: CheckId) -> Option<CheckStatus> {
        self.checks.get(&id.0).map(|managed| managed.status(id))
    }
}

const NANOS: u64 = 1_000_000_000;

/// The next multiple of [`SLACK`].
fn rounded_up(at: Instant) -> Instant {
    Instant::from_nanos(at.as_nanos().checked_next_multiple_of(SLACK).unwrap_or(u64::MAX))
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.epoll.as_fd()
    }
}

impl Drop for Driver {
    /// Kills the programs that still run.
    fn drop(&mut self) {
        let now = now();
        for (id, managed) in &mut self.checks {
            managed.apply(&mut self.shared, *id, now, Event::Stop);
        }
    }
}

impl Shared {
    /// Keeps the queue of deadlines as a check's state says.
    fn reschedule(&mut self, id: u64, before: Option<Instant>, after: Option<Instant>) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.deadlines.remove(&(at, id));
        }
        if let Some(at) = after {
            self.deadlines.insert((at, id));
        }
    }
}

/// CLOCK_BOOTTIME, which goes on while the host is suspended.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Instant::from_nanos(0) + Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
