//! The election: what the application says of its virtual routers, and the last moment before a takeover.

use std::time::Duration;

use vrrp_core::track::Tracked;
use vrrp_core::{After, ConfigError, Event, Fault, GroupId, Instant, Priority, RouterId, State};

use super::Driver;
use crate::error::Error;
use crate::sys;

/// What it takes to wake up when a timer goes off, above all on a virtual machine. A Backup that is about to take over wakes up
/// so much earlier and stays awake: once for each Active that is dead, while each of its clients waits. So does an Active that
/// has called an election, or its equals would speak before it.
pub(super) const AWAKE_BEFORE_TAKEOVER: Duration = Duration::from_micros(300);

/// Whether to go on waiting for it. It may move while one waits, but it is not waited for beyond `latest`.
fn is_imminent(takeover: Option<Instant>, now: Instant, latest: Instant) -> bool {
    takeover.is_some_and(|at| now < at && at <= latest)
}

impl Driver {
    /// The time; once the takeover has come that is due in the next moment, unless an Active is heard or there is something
    /// else to do meanwhile.
    pub(super) fn stay_awake_for_takeover(&mut self) -> Result<Instant, Error> {
        let latest = sys::boottime_now() + AWAKE_BEFORE_TAKEOVER;
        loop {
            let now = sys::boottime_now();
            if self.has_todo() || !is_imminent(self.router.poll_takeover(), now, latest) {
                return Ok(now);
            }
            self.perform();
            self.read_ready()?;
        }
    }

    /// Makes virtual routers one election: they take over only together, and if one cannot serve or loses, all leave.
    ///
    /// # Errors
    /// [`Error::Config`] if one is not there or in a group already; [`Error::Io`] if the timer cannot be set.
    pub fn add_group(&mut self, members: &[RouterId]) -> Result<GroupId, Error> {
        let group = self.router.add_group(sys::boottime_now(), members)?;
        self.finish_turn()?;
        Ok(group)
    }

    /// Makes the members of a group elections of their own again.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn remove_group(&mut self, group: GroupId) -> Result<(), Error> {
        self.router.remove_group(sys::boottime_now(), group);
        self.finish_turn()
    }

    /// Changes the priority of a virtual router, which keeps its role unless the election says otherwise.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not there; [`Error::Io`] if the timer cannot be set.
    pub fn set_priority(&mut self, id: RouterId, priority: Priority) -> Result<(), Error> {
        let params = *self.router.params(id).ok_or(Error::Config(ConfigError::Unknown))?;
        self.router.set_params(sys::boottime_now(), id, params.with_priority(priority))?;
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.config.priority = priority;
        }
        self.finish_turn()
    }

    /// Tells how the things are that the application itself tracks for a virtual router: its checks, its upstreams. They
    /// count beside what the driver [tracks](crate::RouterConfig::with_tracking).
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn set_tracked(&mut self, id: RouterId, tracked: Vec<Tracked>) -> Result<(), Error> {
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.tracked = tracked;
        }
        self.assess(sys::boottime_now(), id);
        self.finish_turn()
    }

    /// Tells whether the application can serve. While it cannot, the virtual router is out of the election.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn set_able(&mut self, id: RouterId, able: bool) -> Result<(), Error> {
        self.give(id, if able { Event::Recovered(Fault::Application) } else { Event::Fault(Fault::Application) })
    }

    /// Answers [`DriverEvent::Prepare`](crate::DriverEvent::Prepare): the application is ready, and the addresses go up. A
    /// late answer, to a claim that has ended meanwhile, does nothing.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn confirm(&mut self, id: RouterId, claim: Instant) -> Result<(), Error> {
        self.give(id, Event::Confirm(claim))
    }

    /// Answers [`DriverEvent::Prepare`](crate::DriverEvent::Prepare): the application cannot serve, and the next best router
    /// goes.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn refuse(&mut self, id: RouterId, claim: Instant) -> Result<(), Error> {
        self.give(id, Event::Refuse(claim))
    }

    /// Hands the addresses of a virtual router to another one, without a gap: it serves until the successor speaks, or
    /// the deadline of its [`HandOver`](vrrp_core::HandOver) passes. The transition that ends it is an event.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn hand_over(&mut self, id: RouterId, after: After) -> Result<(), Error> {
        self.give(id, Event::HandOver(after))
    }

    /// Has a virtual router take part in the election again after it left it with [`After::Leave`]; while it still hands
    /// over, that no longer ends in leaving. Otherwise it does nothing.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn rejoin(&mut self, id: RouterId) -> Result<(), Error> {
        self.start(sys::boottime_now(), id);
        self.finish_turn()
    }

    /// Hands over the addresses of all virtual routers and leaves the election: for a graceful stop. Go on calling
    /// [`process`](Self::process) until [`is_idle`](Self::is_idle), then [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn hand_over_all(&mut self) -> Result<(), Error> {
        let now = sys::boottime_now();
        for id in self.managed.keys() {
            self.router.handle_event(now, *id, Event::HandOver(After::Leave));
        }
        self.finish_turn()
    }

    /// Whether no virtual router takes part in an election, and nothing is left to be done on the host.
    pub fn is_idle(&self) -> bool {
        let is_out = |id| match self.router.state(id) {
            Some(State::Initialize(initialize)) => !initialize.started,
            Some(State::Backup(_) | State::Claimant(_) | State::Active(_)) => false,
            None => true,
        };
        let lingers = self.managed.values().any(|managed| managed.lingers);
        !self.has_todo() && !lingers && self.router.ids().all(is_out)
    }

    fn give(&mut self, id: RouterId, event: Event) -> Result<(), Error> {
        self.router.handle_event(sys::boottime_now(), id, event);
        self.finish_turn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_is_waited_for_awake_only_in_its_last_moment_however_often_it_moves() {
        let micros = |micros| Instant::from_millis(1000) + Duration::from_micros(micros);
        let latest = micros(0) + AWAKE_BEFORE_TAKEOVER;
        let waits = |takeover, now| is_imminent(takeover, now, latest);
        assert!(waits(Some(micros(300)), micros(0)) && waits(Some(micros(300)), micros(299)));
        assert!(!waits(Some(micros(300)), micros(300)), "it has come");
        assert!(!waits(None, micros(0)) && !waits(Some(micros(301)), micros(0)));
        // By one resignation after the other: it is always about to come.
        assert!(
            (0..1000)
                .step_by(10)
                .map(micros)
                .filter(|now| waits(Some(*now + Duration::from_micros(200)), *now))
                .count()
                <= 11
        );
    }
}
