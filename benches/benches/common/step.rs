//! What the transition function is given.

use std::net::{IpAddr, Ipv4Addr};

use vrrp_core::{Advert, Event, Family, Instant, Interval, Params, Priority, Role, State, Version, step};

const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const RIVAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

/// The arguments of one step.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) params: Params,
    pub(crate) state: State,
    pub(crate) now: Instant,
    pub(crate) event: Event,
}

/// What nearly every event is: a Backup hears its Active.
pub(crate) fn backup_hears_the_active() -> Given {
    let params = params();
    Given { params, state: backup(&params), now: Instant::from_millis(1000), event: advert(200) }
}

/// An Active advertises on time.
pub(crate) fn active_timeout() -> Given {
    let params = params();
    let state = active(&params);
    let (due, _) = state.deadline().unwrap();
    Given { params, state, now: due, event: Event::Timeout }
}

/// The longest way: an Active loses to a rival, with four actions.
pub(crate) fn active_yields() -> Given {
    Given { event: advert(200), ..active_timeout() }
}

fn params() -> Params {
    Params::new(Version::V3(Family::V4)).with_primary_address(Some(ME)).unwrap()
}

fn advert(priority: u8) -> Event {
    Event::Advert(Advert { source: RIVAL, priority: Priority::from_wire(priority), interval: Interval::DEFAULT })
}

fn backup(params: &Params) -> State {
    step(params, State::new(), Instant::ZERO, Event::Startup).state
}

fn active(params: &Params) -> State {
    let backup = backup(params);
    let (down_at, _) = backup.deadline().unwrap();
    let active = step(params, backup, down_at, Event::Timeout).state;
    assert_eq!(active.role(), Role::Active);
    active
}
