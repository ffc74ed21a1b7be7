//! Health checks that wait for an attempt, or run one.

use std::time::Duration;

use vrrp_core::Instant;
use vrrp_ipvs::check::schedule::{Defaults, Event, Params, State, step};
use vrrp_ipvs::check::{Check, Probe};

pub(crate) fn params() -> Params {
    let check = Check::new("192.0.2.10:80".parse().expect("an address"), Probe::Tcp);
    check.schedule.resolve(Defaults { retry: 1, delay_before_retry: None }).expect("the usual schedule")
}

/// One whose first attempt is due.
pub(crate) fn waiting(params: &Params) -> State {
    step(params, State::new(params), Instant::ZERO, Event::Start(Duration::ZERO)).state
}

/// One that runs an attempt.
pub(crate) fn running(params: &Params) -> (State, Instant) {
    (step(params, waiting(params), Instant::ZERO, Event::Timeout).state, Instant::from_millis(1))
}
