//! Reading: advertisements, and what changes about interfaces and addresses.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use vrrp_core::{Family, Instant};

use super::{Driver, GUARDIAN, INTAKE, MONITOR, SOCKETS_PER_INTERFACE, TIMER, WATCHES};
use crate::error::Error;
use crate::{ReceiveBuffer, sys};

/// Most datagrams that are read from one socket in one turn, so that a flood cannot keep the timers waiting.
const DATAGRAMS_PER_TURN: usize = 1024;

/// Most sockets that are looked at with one system call.
const SOCKETS_AT_ONCE: usize = 64;

/// Datagrams are counted for so long at a time. Those of virtual routers that were started together come together, so
/// that much less would see a flood and a calm in each interval.
const WINDOW: Duration = Duration::from_millis(200);

/// With this many in a window they are fetched together, until there are fewer than [`QUIET`].
const BUSY: usize = 400;
const QUIET: usize = 200;

/// How long datagrams wait at most when there are many: this part of the shortest interval, and never longer than that.
/// With many of them a wake-up costs as much as a dozen datagrams. No timer overtakes those that wait.
const WAITS_PER_INTERVAL: u32 = 20;
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// A Backup counts from when an advertisement came, not from when the process woke up and read it, unless that is longer ago
/// than this: what waited longer is taken to have come just now. The clock may have been set; and of what comes to a process that is
/// held up for long, a queue that is full keeps the oldest only, by which an Active that lives would seem dead.
const LONGEST_BACKDATING: Duration = Duration::from_millis(10);

/// The sockets that advertisements come from. While there are very many, each need not wake the process: the first one
/// does, and those that follow are looked at periodically, until none has come for a while, or as many looks had something
/// as in the burst before.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) sockets: sys::Epoll,
    /// When they are looked at next, if they do not wake the process.
    next_look: Option<Instant>,
    wait: Duration,
    /// Looks at the present burst that had something.
    looks: u32,
    /// After so many a burst is taken to be over.
    expected_looks: u32,
    /// When the last one was over.
    over_at: Instant,
    busy: bool,
    window_from: Instant,
    in_window: usize,
}

impl Intake {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            sockets: sys::Epoll::new()?,
            next_look: None,
            wait: LONGEST_WAIT,
            looks: 0,
            expected_looks: u32::MAX,
            over_at: Instant::ZERO,
            busy: false,
            window_from: Instant::ZERO,
            in_window: 0,
        })
    }

    /// A virtual router with this interval is there.
    pub(super) fn keep_up_with(&mut self, interval: Duration) {
        self.wait = self.wait.min(interval / WAITS_PER_INTERVAL);
    }

    /// When the sockets are to be looked at without their having said anything.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// So many have come. Whether the sockets shall begin or cease to wake the process.
    fn count(&mut self, now: Instant, count: usize) -> Option<bool> {
        self.in_window += count;
        let elapsed = now.since(self.window_from);
        self.busy = if elapsed >= WINDOW {
            // After a pause the window was longer.
            let windows = usize::try_from(elapsed.as_nanos() / WINDOW.as_nanos()).unwrap_or(usize::MAX).max(1);
            let in_window = std::mem::take(&mut self.in_window) / windows;
            self.window_from = now;
            in_window >= if self.busy { QUIET } else { BUSY }
        } else {
            self.busy || self.in_window >= BUSY
        };
        let woke = self.next_look.is_none();
        self.next_look = self.look_after(now, count);
        let wakes = self.next_look.is_none();
        if wakes && !woke {
            self.over_at = now;
        }
        (wakes != woke).then_some(wakes)
    }

    /// When to look next, after so many have come. Between two bursts to look would be for nothing.
    fn look_after(&mut self, now: Instant, count: usize) -> Option<Instant> {
        if !self.busy {
            return None;
        }
        let next = now + self.wait;
        match self.next_look {
            None if count == 0 => None,
            None => {
                self.looks = 0;
                if now < self.over_at + self.wait {
                    // It was not over.
                    self.expected_looks = self.expected_looks.saturating_add(1);
                }
                Some(next)
            }
            Some(look) if now < look => Some(if count == 0 { look } else { next }),
            Some(_) if count == 0 => {
                self.expected_looks = self.looks.max(1);
                None
            }
            Some(_) => {
                self.looks += 1;
                (self.looks < self.expected_looks).then_some(next)
            }
        }
    }
}

/// How long a datagram is taken to have waited.
fn credible(waited: Duration) -> Duration {
    if waited <= LONGEST_BACKDATING { waited } else { Duration::ZERO }
}

impl Driver {
    /// Reads whatever has something to say; of the sockets each, so that no timer overtakes an advertisement.
    pub(super) fn read_ready(&mut self) -> Result<(), Error> {
        // The four below, and commands.
        let mut ready = [sys::Ready::EMPTY; 8];
        let looked = |error| Error::io("look at the driver's descriptors", error);
        let count = self.epoll.look(&mut ready).map_err(looked)?;
        let has = |wanted: u64| ready.iter().take(count).any(|ready| ready.token() == wanted);
        if has(TIMER) {
            // Edge-triggered: there is nothing to read, but it has gone off.
            self.armed = None;
        }
        if has(GUARDIAN) {
            self.guardian_ended();
        }
        if has(MONITOR) {
            self.read_changes()?;
        }
        if !has(INTAKE) && self.intake.next_look.is_none() {
            return Ok(());
        }
        let mut read = 0;
        // What another host says of an address means something else if an advertisement says that it took over.
        let mut claims = Vec::new();
        // Those that were not told of are told of next, since the kernel goes round.
        for _ in 0..=(self.interfaces.len() * 4) / SOCKETS_AT_ONCE {
            let mut ready = [sys::Ready::EMPTY; SOCKETS_AT_ONCE];
            let count = self.intake.sockets.look(&mut ready).map_err(looked)?;
            for ready in ready.iter().take(count) {
                match ready.token() % SOCKETS_PER_INTERFACE {
                    0 | 1 => read += self.read_adverts(ready.token()),
                    WATCHES => claims.push((ready.token() - WATCHES, Family::V4)),
                    _ => claims.push((ready.token() - WATCHES - 1, Family::V6)),
                }
            }
            if count < SOCKETS_AT_ONCE {
                break;
            }
        }
        if !claims.is_empty() {
            self.perform();
        }
        claims.into_iter().for_each(|(token, family)| self.read_claims(token, family));
        if let Some(wakes) = self.intake.count(sys::boottime_now(), read) {
            // To watch it for nothing would not do: the kernel would still wake us.
            let sockets = self.intake.sockets.as_fd();
            let watched = if wakes { self.epoll.add(sockets, INTAKE) } else { self.epoll.remove(sockets) };
            watched.map_err(looked)?;
        }
        Ok(())
    }

    /// Returns how many datagrams there were.
    fn read_adverts(&mut self, token: u64) -> usize {
        let family = token % SOCKETS_PER_INTERFACE;
        let Some(interface) = self.interfaces.get(&(token - family)) else { return 0 };
        let socket = usize::try_from(family).ok().and_then(|family| interface.sockets.get(family)?.as_ref());
        let (Some(socket), Some(index)) = (socket, interface.index()) else { return 0 };
        let mut count = 0;
        for _ in 0..DATAGRAMS_PER_TURN / ReceiveBuffer::CAPACITY {
            let Ok(datagrams) = socket.receive(&mut self.receive_buffer) else { break };
            let last = datagrams.len() < ReceiveBuffer::CAPACITY;
            count += datagrams.len();
            let now = sys::boottime_now();
            for (waited, datagram) in datagrams.with_wait() {
                // Where a datagram is counted when it is dropped is the protocol's business, and it has done so.
                match datagram {
                    Ok((envelope, payload)) => {
                        let waited = credible(waited);
                        let _ = self.router.handle_waiting_datagram(now, waited, index, &envelope, payload);
                    }
                    Err(discard) => self.router.count_undecodable(discard),
                }
            }
            if last {
                break;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the sockets are told when so many datagrams have come in each of some windows.
    fn told(intake: &mut Intake, counts: &[usize]) -> Vec<Option<bool>> {
        let told = counts.iter().map(|count| {
            let now = intake.window_from + WINDOW;
            intake.count(now, *count)
        });
        told.collect()
    }

    #[test]
    fn many_datagrams_do_not_wake_the_process_until_they_are_few_again() {
        let mut intake = Intake::new().unwrap();
        assert_eq!(told(&mut intake, &[1, BUSY - 1, 0]), [None; 3]);
        assert_eq!(told(&mut intake, &[BUSY, QUIET, 1000]), [Some(false), None, None]);
        assert!(intake.next_look().is_some());
        assert_eq!(told(&mut intake, &[QUIET - 1, BUSY - 1]), [Some(true), None]);
        assert_eq!(intake.next_look(), None);
    }

    #[test]
    fn a_burst_in_each_interval_wakes_the_process_with_its_first_datagram_alone() {
        let mut intake = Intake::new().unwrap();
        let at = |millis: u64| Instant::ZERO + WINDOW + Duration::from_millis(millis);
        assert_eq!(intake.count(at(0), 0), None);
        assert_eq!(intake.count(at(1), BUSY - 1), None);
        assert_eq!(intake.count(at(2), 1), Some(false));
        assert_eq!(intake.count(at(7), 0), Some(true));
        let mut told = |burst: u64, looks: &[(u64, usize)]| {
            looks.iter().map(|(after, count)| intake.count(at(burst + after), *count)).collect::<Vec<_>>()
        };
        // How long one lasts is learnt from the one before, so that no look is for nothing.
        for burst in (100..2000).step_by(100) {
            assert_eq!(told(burst, &[(0, 1), (5, 999)]), [Some(false), Some(true)], "after {burst} ms");
        }
        // One that lasts longer wakes the process again, after which more is expected.
        assert_eq!(told(2000, &[(0, 1), (5, 999), (6, 999)]), [Some(false), Some(true), Some(false)]);
        assert_eq!(told(2011, &[(0, 999), (5, 0)]), [None, Some(true)]);
    }

    #[test]
    fn a_stream_that_goes_on_wakes_the_process_ever_less() {
        let mut intake = Intake::new().unwrap();
        intake.busy = true;
        // What a burst has taught.
        intake.expected_looks = 1;
        let (mut now, mut wakes) = (Instant::ZERO + WINDOW, 0);
        for _ in 0..1000 {
            // The next datagram comes a moment later.
            now = intake.next_look().unwrap_or(now + Duration::from_micros(50));
            wakes += u32::from(intake.count(now, 100) == Some(true));
        }
        assert!(wakes < 50, "{wakes}");
    }

    #[test]
    fn a_look_for_another_reason_does_not_end_the_wait() {
        let mut intake = Intake::new().unwrap();
        let now = Instant::ZERO + WINDOW;
        assert_eq!(intake.count(now, BUSY), Some(false));
        let look = intake.next_look().unwrap();
        assert_eq!(intake.count(now + LONGEST_WAIT / 2, 0), None);
        assert_eq!(intake.next_look(), Some(look));
        assert_eq!(intake.count(look, 1), None);
        assert_eq!(intake.next_look(), Some(look + LONGEST_WAIT));
    }

    #[test]
    fn an_advertisement_counts_from_when_it_came_unless_its_clock_or_its_queue_cannot_be_trusted() {
        assert_eq!(credible(Duration::from_micros(150)), Duration::from_micros(150));
        assert_eq!(credible(Duration::from_millis(11)), Duration::ZERO);
        assert_eq!(credible(Duration::from_secs(3600)), Duration::ZERO);
    }

    #[test]
    fn many_datagrams_wait_no_longer_than_a_20th_of_the_shortest_interval() {
        let mut intake = Intake::new().unwrap();
        [1000, 10, 500].into_iter().for_each(|millis| intake.keep_up_with(Duration::from_millis(millis)));
        let now = Instant::ZERO + WINDOW;
        assert_eq!(intake.count(now, 1000), Some(false));
        assert_eq!(intake.next_look(), Some(now + Duration::from_millis(10) / 20));
    }
}
