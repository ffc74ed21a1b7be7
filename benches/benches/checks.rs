//! What it costs to decide when a health check makes an attempt, and what comes of it.

use std::time::Duration;

use divan::{Bencher, black_box};
use vrrp_core::Instant;
use vrrp_ipvs::check::schedule::{Defaults, Event, Outcome, Params, State, step};
use vrrp_ipvs::check::{Check, Probe};

fn main() {
    divan::main();
}

fn params() -> Params {
    let check = Check::new("192.0.2.10:80".parse().expect("an address"), Probe::Tcp);
    check.schedule.resolve(Defaults { retry: 1, delay_before_retry: None }).expect("the usual schedule")
}

/// One that runs an attempt.
fn running(params: &Params) -> (State, Instant) {
    let started = step(params, State::new(params), Instant::ZERO, Event::Start(Duration::ZERO)).state;
    (step(params, started, Instant::ZERO, Event::Timeout).state, Instant::from_millis(1))
}

/// It is time for an attempt.
#[divan::bench]
fn step_timeout(bencher: Bencher<'_, '_>) {
    let params = params();
    let waiting = step(&params, State::new(&params), Instant::ZERO, Event::Start(Duration::ZERO)).state;
    bencher.bench_local(|| step(black_box(&params), black_box(waiting), black_box(Instant::ZERO), Event::Timeout));
}

/// What nearly every attempt is: it passes, as the one before.
#[divan::bench]
fn step_passed(bencher: Bencher<'_, '_>) {
    let params = params();
    let (state, now) = running(&params);
    let passed = Event::Finished(Outcome::Passed);
    bencher.bench_local(|| step(black_box(&params), black_box(state), black_box(now), black_box(passed)));
}

/// The longest way: it fails, and the server is reported down.
#[divan::bench]
fn step_failed(bencher: Bencher<'_, '_>) {
    let params = params();
    let (state, now) = running(&params);
    let failed = Event::Finished(Outcome::Failed);
    bencher.bench_local(|| step(black_box(&params), black_box(state), black_box(now), black_box(failed)));
}

/// A whole attempt: time for it, the connection, the end.
#[divan::bench]
fn step_attempt(bencher: Bencher<'_, '_>) {
    let params = params();
    let (state, now) = running(&params);
    let due = now + Duration::from_secs(3600);
    let waiting = step(&params, state, now, Event::Finished(Outcome::Passed)).state;
    bencher.bench_local(|| {
        let state = step(black_box(&params), black_box(waiting), due, Event::Timeout).state;
        let state = step(&params, state, due, Event::Connecting).state;
        let state = step(&params, state, due, Event::Connected).state;
        step(&params, state, due, black_box(Event::Finished(Outcome::Passed)))
    });
}
