//! What goes beyond the RFC (DESIGN section 4), rule by rule, with the exact actions.

#[path = "../common/mod.rs"]
mod common;
mod election;
mod gate;
mod hand_over;
mod rivals;
mod router;

use common::{ME, RIVAL_ABOVE, RIVAL_BELOW, Router, advert, centiseconds, millis, priority};
use core::net::IpAddr;
use core::time::Duration;
use vrrp_core::Action::{Announce, InstallAddresses, Prepare, RemoveAddresses};
use vrrp_core::wire::{Authentication, ChecksumAcceptance, ChecksumForm, Discard, Envelope, Password, Reason, Repr};
use vrrp_core::{
    Action, Advert, After, Alarm, Cause, Claim, ConfigError, Event, Family, Fault, Gate, HandOver, Heard, IfIndex,
    Instant, Interval, Params, Phase, Preempt, Priority, Role, RouterId, State, Timer, Transition, Version,
    VirtualRouterConfig, Vrid, VrrpRouter, Yield, track,
};

const V3: Version = Version::V3(Family::V4);

/// Skew_Time at priority 100 of an Active that advertises each second.
const SKEW: Duration = Duration::from_micros(609_375);
/// After how long an Active of that priority claims the role again in an election it called, over VRRPv3: Skew_Time at 20 cs,
/// less half of 1/256.
const ELECTION_TIME: Duration = Duration::from_nanos(121_484_375);
/// Active_Down_Interval at priority 100 and one second.
const DOWN: Duration = Duration::from_micros(3_609_375);
/// When a router that starts at 0 and hears nobody takes over.
const DOWN_AT: Instant = Instant::from_nanos(3_609_375_000);
const SECOND: Duration = Duration::from_secs(1);

fn nopreempt() -> Params {
    common::params(V3).with_preempt(Preempt::Never)
}

fn sends(value: u8, interval: Interval) -> Action {
    Action::SendAdvert(Claim { priority: Some(priority(value)), interval })
}

fn resigns(interval: Interval) -> Action {
    Action::SendAdvert(Claim { priority: None, interval })
}

fn claim(action: Action) -> Option<Claim> {
    match action {
        Action::SendAdvert(claim) => Some(claim),
        _ => None,
    }
}

fn enters(from: Role, to: Role, cause: Cause) -> Action {
    Action::Transition(Transition { from, to, cause })
}

/// The interval of a hand-over.
const SHORT: Interval = Interval::SHORTEST;

const ELECTION: Interval = Interval::ELECTION;

/// One virtual router with parameters that may change, and exact actions.
struct Election {
    router: vrrp_core::VirtualRouter,
    now: Instant,
}

impl Election {
    fn active(params: Params) -> Self {
        let mut router = vrrp_core::VirtualRouter::new(params);
        let _ = router.handle_event(Instant::ZERO, Event::Startup);
        if let Some(down_at) = router.poll_timeout().filter(|_| router.state().role() == Role::Backup) {
            let _ = router.handle_timeout(down_at);
            return Self { router, now: down_at };
        }
        Self { router, now: Instant::ZERO }
    }

    #[track_caller]
    fn expect(&mut self, now: Instant, event: Event, actions: &[Action]) {
        self.now = now;
        let found: Vec<Action> = self.router.handle_event(now, event).into_iter().collect();
        assert_eq!(found, actions, "{event:?} at {now}");
    }

    /// Lets time pass, advertising on time, until the next election is due; gives that time.
    fn advertise_until_election(&mut self) -> Instant {
        loop {
            let (at, _) = self.router.deadline().unwrap();
            if matches!(self.router.state(), State::Active(active) if active.election_at == Some(at)) {
                return at;
            }
            let actions: Vec<Action> = self.router.handle_timeout(at).into_iter().collect();
            assert!(matches!(actions[..], [Action::SendAdvert(_)]), "{actions:?}");
        }
    }

    #[track_caller]
    fn lower(&mut self, now: Instant, value: u8, actions: &[Action]) {
        self.now = now;
        let found: Vec<Action> = self.router.set_effective_priority(now, priority(value)).into_iter().collect();
        assert_eq!(found, actions, "priority {value} at {now}");
    }

    fn role(&self) -> Role {
        self.router.state().role()
    }

    fn deadline(&self) -> (Instant, Timer) {
        self.router.deadline().unwrap()
    }
}

fn gated() -> Params {
    let gate = Gate { timeout: Duration::from_millis(2500), back_off: SECOND * 5 };
    common::params(V3).with_gate(Some(gate))
}

/// A claimant, and the claim's name.
fn claimant(params: Params) -> (Election, Instant) {
    let active = Election::active(params);
    assert_eq!(active.role(), Role::Claimant);
    let claim = active.now;
    (active, claim)
}
