//! What it costs to decide when a health check makes an attempt, and what comes of it.

use std::time::Duration;

use divan::{Bencher, black_box};
use vrrp_core::Instant;
use vrrp_ipvs::check::schedule::{Event, Outcome, step};

use crate::common::checks::{params, running, waiting};

fn main() {
    divan::main();
}

mod common {
    pub(crate) mod checks;
}

/// It is time for an attempt.
#[divan::bench]
fn step_timeout(bencher: Bencher<'_, '_>) {
    let params = params();
    let waiting = waiting(&params);
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
