//! The transition function: one event in, the next state and the ordered actions out (RFC 9568 §6.4).
//!
//! It is total: every event is answered in every role, and nothing can panic. It reads no clock and keeps nothing: the
//! same arguments give the same result. Each role has a file of its own, in which the arms stand in the RFC's order; what
//! they share is here.

mod active;
mod backup;
mod claimant;

use crate::state::{Active, Backup, Heard, Initialize, Phase};
use crate::{
    Action, Actions, Advert, After, Cause, Claim, Event, Fault, Faults, Instant, Interval, Params, Priority, State,
    Transition, Version,
};

/// How many losing rivals are answered between two periodic advertisements. The RFC answers each (§6.4.3), which
/// lets two routers that cannot settle answer each other without end.
///
/// The last one is kept for a rival that resigns (§6.4.3 (705)): Backups that heard it wait for Skew_Time only.
const ANSWERS_PER_INTERVAL: u8 = 4;

/// What an event leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The state after the event.
    pub state: State,
    /// What to do, in order.
    pub actions: Actions,
}

impl Step {
    fn quiet(state: State) -> Self {
        Self { state, actions: Actions::none() }
    }

    fn with(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    fn with_if(self, condition: bool, action: Action) -> Self {
        if condition { self.with(action) } else { self }
    }

    /// With `action` before all others: also where one of those cannot be carried out, and the rest is dropped.
    fn preceded_by(self, action: Action) -> Self {
        self.actions.into_iter().fold(Self::quiet(self.state).with(action), Self::with)
    }

    /// Appends the change of role since `before`.
    fn entered_from(self, before: State, cause: Cause) -> Self {
        let transition = Transition { from: before.role(), to: self.state.role(), cause };
        self.with(Action::Transition(transition))
    }
}

/// Applies `event` to `state` at `now`.
///
/// `now` must not go back between calls for one router, but for a Backup's [`Event::Advert`]: that may be of when it came,
/// though not of before the timer was last set ([`Backup::armed_at`](crate::Backup::armed_at)). Give the advertisements that
/// are waiting before [`Event::Timeout`]: a router that was held up must read what happened before it may act on a late timer.
pub fn step(params: &Params, state: State, now: Instant, event: Event) -> Step {
    let event = match event {
        // Without an address it can neither advertise nor win between equals (§5.1.1.1, §6.4.3).
        Event::Reconfigured if params.primary_address().is_none() => Event::Fault(Fault::PrimaryAddress),
        other => other,
    };
    match state {
        State::Initialize(initialize) => in_initialize(params, initialize, now, event),
        State::Backup(backup) => backup::in_backup(params, backup, now, event),
        State::Claimant(claimant) => claimant::in_claimant(params, claimant, now, event),
        State::Active(active) => active::in_active(params, active, now, event),
    }
}

/// §6.4.1 Initialize.
fn in_initialize(params: &Params, initialize: Initialize, now: Instant, event: Event) -> Step {
    match event {
        // (100) - (140) Startup, unless something it cannot serve without is missing.
        Event::Startup => start_if_able(params, Initialize { started: true, ..initialize }, now),
        Event::Shutdown | Event::HandOver(After::Leave) => {
            let faults = without_retried(initialize.faults);
            Step::quiet(State::Initialize(Initialize { started: false, faults, retry_at: None, ..initialize }))
        }
        Event::Fault(fault) => Step::quiet(State::Initialize(with_fault(params, initialize, now, fault))),
        Event::Reconfigured if initialize.faults.contains(Fault::PrimaryAddress) => {
            let faults = initialize.faults.without(Fault::PrimaryAddress);
            start_if_able(params, Initialize { faults, ..initialize }, now)
        }
        Event::Recovered(fault) => {
            let faults = initialize.faults.without(fault);
            start_if_able(params, Initialize { faults, ..initialize }, now)
        }
        Event::Timeout => match initialize.retry_at {
            Some(at) if initialize.started && now >= at => {
                let faults = without_retried(initialize.faults);
                start_if_able(params, Initialize { faults, retry_at: None, ..initialize }, now)
            }
            Some(_) | None => Step::quiet(State::Initialize(initialize)),
        },
        // §6.4.1 says nothing of advertisements here: they are ignored.
        Event::Advert(_)
        | Event::Reconfigured
        | Event::Confirm(_)
        | Event::Refuse(_)
        | Event::HandOver(After::Stay)
        | Event::StepDown => Step::quiet(State::Initialize(initialize)),
    }
}

/// Leaves Initialize if it was started and no fault holds.
fn start_if_able(params: &Params, initialize: Initialize, now: Instant) -> Step {
    let before = State::Initialize(initialize);
    if !initialize.started || !initialize.faults.is_empty() {
        return Step::quiet(before);
    }
    if params.primary_address().is_none() {
        let faults = initialize.faults.with(Fault::PrimaryAddress);
        return Step::quiet(State::Initialize(Initialize { faults, ..initialize }));
    }
    // (105) The address owner is Active from the start.
    if params.priority().is_owner() {
        return claim_role(params, before, now, Cause::Startup);
    }
    // (130) Everyone else watches first, for an Active_Down_Interval by its own interval.
    enter_backup(params, now, params.advert_interval(), Heard::Nobody).entered_from(before, Cause::Startup)
}

/// (350) - (375): advertise, then install, then announce. With a gate: ask first.
fn claim_role(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    if let Some(gate) = params.gate() {
        return claimant::claim(params, gate, before, now).entered_from(before, cause);
    }
    let alone = match before {
        State::Backup(backup) => backup.heard == Heard::Nobody,
        State::Initialize(_) | State::Claimant(_) | State::Active(_) => false,
    };
    let advert_at = now + params.advert_interval().as_duration();
    Step::quiet(State::Active(serving(params, now, advert_at, alone)))
        .with(advertise(params, Some(params.priority())))
        .with(Action::InstallAddresses)
        .with(Action::Announce)
        .entered_from(before, cause)
}

/// Active from now on. One that came this far without hearing another Active may call an election later, to settle by
/// priority what was decided by who was first; the owner would win it in any case.
fn serving(params: &Params, now: Instant, advert_at: Instant, alone: bool) -> Active {
    let settle_at =
        params.settle().filter(|_| alone && !params.priority().is_owner()).map(|after| (now + after).max(advert_at));
    Active {
        since: now,
        advert_at,
        advertised: params.priority(),
        answers_left: ANSWERS_PER_INTERVAL,
        announce_due: false,
        rivalry: None,
        unsettled: settle_at.is_some(),
        election_at: settle_at.or_else(|| active::re_election_at(params, now)),
        phase: Phase::Advertising,
    }
}

/// Backup, without any address: also those that a predecessor of this process left behind.
fn enter_backup(params: &Params, now: Instant, active_adver_interval: Interval, heard: Heard) -> Step {
    let down_at = now + params.active_down_interval(active_adver_interval);
    Step::quiet(State::Backup(Backup {
        armed_at: now,
        down_at,
        active_adver_interval,
        heard,
        preempt_at: None,
        stand_back_until: None,
    }))
    .with(Action::RemoveAddresses)
}

/// Backup of the sender of `advert`.
fn lose_to(params: &Params, now: Instant, advert: Advert) -> Step {
    enter_backup(params, now, learn_interval(params, advert), Heard::Active)
}

/// Gives up the role, and stays as Backup.
fn step_down(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    enter_backup(params, now, params.advert_interval(), Heard::Itself)
        .with(advertise(params, None))
        .entered_from(before, cause)
}

/// When the next advertisement is due after the one that was due at `due`. It is counted from the deadline, so that the
/// period does not drift; a router that is more than one interval late starts afresh, so that it does not send a burst.
fn next_advert(params: &Params, due: Instant, now: Instant) -> Instant {
    let interval = params.advert_interval().as_duration();
    let next = due + interval;
    if next > now { next } else { now + interval }
}

/// Whether a router that should have advertised at `due` was held up for so long that the others must have taken it for
/// dead: no advertisement of it for Active_Down_Interval.
fn is_doubtful(params: &Params, due: Instant, now: Instant) -> bool {
    let interval = params.advert_interval();
    let last_advert = due - interval.as_duration();
    now >= last_advert + params.active_down_interval(interval)
}

/// Leaves the election because of `fault`.
fn leave(params: &Params, before: State, now: Instant, fault: Fault) -> Step {
    // One that was told to leave does not come back when the fault ends.
    let started = !matches!(before, State::Active(active) if active.is_leaving());
    let out = Initialize { started, ..out(params, before, now) };
    let step = Step::quiet(State::Initialize(with_fault(params, out, now, fault)));
    let step = match before {
        State::Active(_) => resign(step, params),
        State::Claimant(claimant) => claimant::withdraw(step, params, claimant),
        State::Initialize(_) | State::Backup(_) => step,
    };
    step.entered_from(before, Cause::Fault(fault))
}

/// Out of the election. A claim that was made at this very instant is remembered, so that its name is not given again.
fn left(params: &Params, before: State, now: Instant) -> State {
    State::Initialize(out(params, before, now))
}

fn out(params: &Params, before: State, now: Instant) -> Initialize {
    let claimed = match before {
        State::Initialize(initialize) => initialize.claimed,
        State::Backup(_) => None,
        State::Claimant(claimant) => Some(claimant.since),
        // The claim is older, or as old.
        State::Active(active) => Some(active.since).filter(|_| params.gate().is_some()),
    };
    let claimed = claimed.filter(|claim| *claim >= now);
    Initialize { started: false, faults: Faults::NONE, retry_at: None, claimed }
}

/// Gives the addresses up: remove them, then say so with priority 0 (§5.2.4).
fn resign(step: Step, params: &Params) -> Step {
    step.with(Action::RemoveAddresses).with(advertise(params, None))
}

fn advertise(params: &Params, priority: Option<Priority>) -> Action {
    Action::SendAdvert(Claim { priority, interval: params.advert_interval() })
}

/// The Active_Adver_Interval that an accepted advertisement teaches (§6.4.2). VRRPv2 has none: all use their own, and
/// those that differ are discarded (RFC 3768 §7.1), unless the router was told to put up with them.
fn learn_interval(params: &Params, advert: Advert) -> Interval {
    if learns_intervals(params) { advert.interval } else { params.advert_interval() }
}

fn learns_intervals(params: &Params) -> bool {
    match params.version() {
        Version::V2 => params.learns_v2_interval(),
        Version::V3(_) => true,
    }
}

fn with_fault(params: &Params, initialize: Initialize, now: Instant, fault: Fault) -> Initialize {
    let retry_at = if fault.is_retried() { Some(now + params.fault_hold()) } else { initialize.retry_at };
    Initialize { faults: initialize.faults.with(fault), retry_at, ..initialize }
}

fn without_retried(faults: Faults) -> Faults {
    faults.iter().filter(|fault| fault.is_retried()).fold(faults, Faults::without)
}
