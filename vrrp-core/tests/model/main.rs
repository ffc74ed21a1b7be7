//! Model checking of [`step`]: every run of two and three routers on a small LAN within a budget of faults.
//!
//! **Time.** `step` is invariant under a shift of all instants (`tests/properties` holds it to that), so `now` is
//! always [`NOW`] here, and the passing of time moves every instant of every state into the past. All parameters are
//! chosen so that every timer is a multiple of one tick; what happens between ticks can then be moved to one without
//! changing any order that a timer decides, so integer time loses no behaviour. Instants further back than four intervals
//! are equal, because no rule looks that far back. That leaves finitely many states, and all of them are visited:
//! there is no bound on the depth, only on the number of faults.
//!
//! **Order.** A timer fires on its tick. A message takes any whole number of ticks up to a bound, and within a tick
//! everything happens in every order. Starts, stalls, hand-overs and answers of the application come at any tick of a
//! grid; crashes between any two events.
//!
//! **What is checked**, on every state: the variants of [`Wrong`], and that from here, faults over, one fair run
//! ends with exactly one Active within a bound ([`Lan::recovery`]).

mod explore;
mod lan;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Mutex;

use stateright::{Checker, Model, Property};
use vrrp_core::{
    Action, Active, Advert, After, Backup, Claimant, Event, Family, Gate, HandOver, Heard, Initialize, Instant,
    Interval, Params, Phase, Preempt, Priority, Role, State, Step, Version, step,
};

/// The time at which everything happens.
const NOW: Instant = Instant::from_millis(1_000_000);

/// Ticks that a fair run may take. More than any of them needs, so that only one that goes round for ever gets there.
const ENDLESS: u16 = 1_000;

/// A LAN, what may go wrong on it, and what it promises.
struct Lan {
    name: &'static str,
    params: Vec<Params>,
    /// The priority that a degraded router is left with.
    degraded: Priority,
    tick: Duration,
    /// Starts, stalls and the like happen at multiples of so many ticks.
    grid: u8,
    /// Ticks that a message may take.
    delay: u8,
    budget: Budget,
    /// Ticks that two Actives may last after the last fault, beyond the delay.
    overlap: u8,
    /// Ticks within which faults are over and one router is Active.
    bound: u16,
    /// Whether no router that has been Active for an interval may be unseated.
    keeps: bool,
    /// Ticks that fair runs take, by the hash of the world that they start from.
    known: Mutex<BTreeMap<u64, u16>>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Budget {
    starts: u8,
    losses: u8,
    copies: u8,
    crashes: u8,
    stops: u8,
    stalls: u8,
    refusals: u8,
    /// Answers to claims of the past.
    late_answers: u8,
    hand_overs: u8,
    /// A router's priority is lowered, or restored.
    health: u8,
}

/// All routers, all messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: Vec<Node>,
    flight: Vec<Message>,
    budget: Budget,
    /// Ticks since the last point of the grid.
    phase: u8,
    /// Ticks for which two routers have been Active without an excuse.
    overlap: u8,
    wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    running: bool,
    /// Held up: it neither fires nor reads.
    stalled: bool,
    state: State,
    /// Whether the virtual addresses are on its interface.
    addresses: bool,
    /// What the application was asked and has not answered.
    asked: Option<Instant>,
    /// An earlier claim that it may still answer.
    stale: Option<Instant>,
    degraded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Message {
    to: usize,
    from: usize,
    priority: Option<Priority>,
    interval: Interval,
    age: u8,
    /// It waits in the socket of a router that was held up: to be read before a timer may fire.
    waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Move {
    Start(usize),
    Crash(usize),
    Stop(usize),
    Stall(usize),
    Resume(usize),
    Fire(usize),
    Deliver(Message),
    Lose(Message),
    /// Delivers it and keeps it.
    Copy(Message),
    Confirm(usize),
    Refuse(usize),
    ConfirmLate(usize),
    HandOver(usize, After),
    /// Lowers or restores a priority.
    Health(usize),
    Pass,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    /// Two Actives on a connected LAN for longer than it takes them to hear each other.
    TwoActives,
    /// The addresses are there and the router is not Active, or the other way round; installed twice; announced
    /// without being there.
    Addresses,
    /// A gated router installed addresses that the application had not confirmed, or by a stale confirmation.
    Unconfirmed,
    /// A live, healthy Active lost the role although nobody preempts.
    Unseated,
    /// Priority 0 from a router that did not answer for the addresses.
    Resignation,
    /// A timeout left a deadline that is due: the caller would spin.
    StillDue,
    /// The transition reported is not the one made.
    Transition,
}

const ALL_WRONGS: [(Wrong, &str); 7] = [
    (Wrong::TwoActives, "no two settled Actives"),
    (Wrong::Addresses, "sm_27: addresses are there if and only if the router is Active"),
    (Wrong::Unconfirmed, "a gated router installs only what was confirmed"),
    (Wrong::Unseated, "without preemption a live, healthy Active stays"),
    (Wrong::Resignation, "el_03: priority 0 comes only from a router that claimed the role"),
    (Wrong::StillDue, "after a timeout nothing is due"),
    (Wrong::Transition, "transitions are reported as they are"),
];

impl Node {
    fn down() -> Self {
        Self {
            running: false,
            stalled: false,
            state: State::new(),
            addresses: false,
            asked: None,
            stale: None,
            degraded: false,
        }
    }
}

fn priority(value: u8) -> Priority {
    Priority::new(value).unwrap()
}

/// One second, VRRPv3 over IPv4, from 192.0.2.(n + 1).
fn params(n: usize, value: u8, preempt: Preempt) -> Params {
    let source = IpAddr::from([192, 0, 2, u8::try_from(n + 1).unwrap()]);
    let params = Params::new(Version::V3(Family::V4)).with_priority(priority(value)).with_preempt(preempt);
    // Without a short interval, whose Skew_Time would not be a multiple of the tick.
    let hand_over = HandOver { interval: Interval::DEFAULT, deadline: Duration::from_secs(2) };
    params.with_primary_address(Some(source)).unwrap().with_hand_over(hand_over)
}

/// Skew_Time is a quarter, a half, three quarters of a second at these priorities.
const PRIORITIES: [u8; 3] = [192, 128, 64];

fn lan(name: &'static str, routers: usize, preempt: Preempt) -> Lan {
    Lan {
        name,
        params: (0..routers).map(|n| params(n, PRIORITIES[n], preempt)).collect(),
        degraded: priority(64),
        tick: Duration::from_millis(250),
        grid: 1,
        delay: 0,
        budget: Budget { starts: u8::try_from(routers).unwrap(), ..Budget::default() },
        // They hear each other's next advertisement: one interval.
        overlap: 4,
        // Active_Down_Interval of the slowest.
        bound: 15,
        keeps: false,
        known: Mutex::new(BTreeMap::new()),
    }
}

fn with_params(mut lan: Lan, change: impl Fn(Params) -> Params) -> Lan {
    lan.params = lan.params.into_iter().map(change).collect();
    lan
}

/// With a tick of a sixteenth of an interval, so that the Skew_Time of a quarter of an interval is one tick for the
/// first router, and the short interval of elections and hand-overs is in the model.
fn fine(lan: Lan) -> Lan {
    let hand_over = HandOver { interval: Interval::from_centiseconds(25).unwrap(), deadline: Duration::from_secs(2) };
    let lan = with_params(lan, |params| params.with_hand_over(hand_over));
    Lan { tick: lan.tick / 4, grid: 4, overlap: 16, bound: lan.bound * 4, ..lan }
}

#[test]
fn two_routers_that_preempt_with_loss_duplication_delay_crash_and_restart() {
    let mut lan = lan("2 routers, preempt: loss, copies, delay, crash", 2, Preempt::Immediately);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_that_do_not_preempt_with_loss_duplication_delay_crash_and_restart() {
    let mut lan = lan("2 routers, nopreempt: loss, copies, delay, crash", 2, Preempt::Never);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_of_equal_priority_with_loss_duplication_crash_and_restart() {
    let lan = lan("2 equal routers: loss, copies, delay, crash", 2, Preempt::Immediately);
    let mut lan = with_params(lan, |params| params.with_priority(priority(128)));
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn an_owner_and_a_router_that_does_not_preempt() {
    let mut lan = lan("owner and nopreempt: loss, copies, crash, stop", 2, Preempt::Never);
    lan.params[0] = lan.params[0].with_priority(Priority::OWNER);
    // The owner's Skew_Time is a 256th of an interval; only as Backup of another owner would it count.
    lan.budget = Budget { starts: 4, losses: 1, copies: 1, crashes: 1, stops: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_that_are_held_up() {
    for (name, preempt) in [
        ("2 routers, preempt: stalls, loss", Preempt::Immediately),
        ("2 routers, nopreempt: stalls, loss", Preempt::Never),
    ] {
        let mut lan = lan(name, 2, preempt);
        lan.budget = Budget { starts: 2, losses: 1, stalls: 2, ..Budget::default() };
        lan.check();
    }
}

#[test]
fn without_preemption_nobody_unseats_a_live_active() {
    let mut lan = lan("3 routers, nopreempt, no loss: crash, restart", 3, Preempt::Never);
    lan.budget = Budget { starts: 4, crashes: 1, ..Budget::default() };
    lan.keeps = true;
    lan.check();
}

#[test]
fn without_preemption_nobody_unseats_a_live_active_after_a_stall() {
    let mut lan = lan("2 routers, nopreempt, no loss: stalls, delay", 2, Preempt::Never);
    lan.budget = Budget { starts: 3, crashes: 1, stalls: 1, ..Budget::default() };
    lan.delay = 1;
    lan.keeps = true;
    lan.check();
}

#[test]
fn gated_routers() {
    let gate = Gate { timeout: Duration::from_secs(1), back_off: Duration::from_secs(5) };
    for (name, preempt) in [
        ("2 gated routers, preempt: loss, crash, refusal, late answers", Preempt::Immediately),
        ("2 gated routers, nopreempt: loss, crash, refusal, late answers", Preempt::Never),
    ] {
        let mut lan = with_params(lan(name, 2, preempt), |params| params.with_gate(Some(gate)));
        lan.budget = Budget { starts: 3, losses: 1, crashes: 1, refusals: 1, late_answers: 1, ..Budget::default() };
        // A refused router stands back.
        lan.bound = 20;
        lan.check();
    }
}

#[test]
fn three_routers_with_loss_crash_and_restart() {
    for (name, preempt) in [
        ("3 routers, preempt: loss, crash", Preempt::Immediately),
        ("3 routers, nopreempt: loss, crash", Preempt::Never),
    ] {
        let mut lan = lan(name, 3, preempt);
        lan.budget = Budget { starts: 3, losses: 1, crashes: 1, ..Budget::default() };
        lan.check();
    }
}

#[test]
fn elections_called_by_degraded_actives() {
    for (name, preempt) in [
        ("2 routers, preempt: health, loss", Preempt::Immediately),
        ("2 routers, nopreempt: health, loss", Preempt::Never),
    ] {
        let mut lan = fine(lan(name, 2, preempt));
        lan.budget = Budget { starts: 2, losses: 1, health: 2, ..Budget::default() };
        // An election whose packets are lost is held again after ten seconds.
        lan.bound += 160;
        lan.check();
    }
}

#[test]
fn planned_hand_overs() {
    for (name, preempt) in [
        ("2 routers, preempt: hand-over, loss, stop", Preempt::Immediately),
        ("2 routers, nopreempt: hand-over, loss, stop", Preempt::Never),
    ] {
        let mut lan = fine(lan(name, 2, preempt));
        lan.budget = Budget { starts: 2, losses: 1, hand_overs: 1, stops: 1, ..Budget::default() };
        // The successor's first advertisement may be lost: it is an interval later that the one that handed over, and
        // hears that its successor is lower, begins to wait for Active_Down_Interval.
        lan.bound += 16;
        lan.check();
    }
}

#[test]
fn elections_called_by_actives_that_are_degraded_while_they_hand_over() {
    let mut lan = fine(lan("2 routers, nopreempt: health, hand-over", 2, Preempt::Never));
    lan.budget = Budget { starts: 2, health: 1, hand_overs: 1, ..Budget::default() };
    lan.bound += 160;
    lan.check();
}

#[test]
fn cold_starts_that_settle() {
    let lan = lan("2 routers, nopreempt, settle: health, loss, crash", 2, Preempt::Never);
    let mut lan = fine(with_params(lan, |params| params.with_settle(Some(Duration::from_secs(6)))));
    lan.budget = Budget { starts: 2, losses: 1, crashes: 1, health: 1, ..Budget::default() };
    // The election is due six seconds after the promotion.
    lan.bound += 160;
    lan.check();
}

#[test]
fn routers_that_speak_vrrpv2() {
    let lan = lan("2 routers, VRRPv2, preempt: loss, copies, delay, crash", 2, Preempt::Immediately);
    let mut lan = with_params(lan, v2);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

/// The same over VRRPv2.
fn v2(params: Params) -> Params {
    let address = params.primary_address();
    let v2 = Params::new(Version::V2).with_priority(params.priority()).with_preempt(params.preempt());
    v2.with_primary_address(address).unwrap()
}
