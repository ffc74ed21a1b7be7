//! The transition function: one event in, the next state and the ordered actions out (RFC 9568 §6.4).
//!
//! It is total: every event is answered in every role, and nothing can panic. It reads no clock and keeps nothing: the
//! same arguments give the same result. The arms stand in the RFC's order; Active, with what goes beyond the RFC, is in
//! a file of its own.

mod active;

use core::time::Duration;

use crate::election::{Verdict, judge};
use crate::state::{Active, Backup, Claimant, Heard, Initialize, Phase};
use crate::{
    Action, Actions, Advert, After, Alarm, Cause, Claim, Event, Fault, Faults, Instant, Interval, Params, Preempt,
    Priority, State, Transition, Version,
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

    /// Appends the change of role since `before`.
    fn entered_from(self, before: State, cause: Cause) -> Self {
        let transition = Transition { from: before.role(), to: self.state.role(), cause };
        self.with(Action::Transition(transition))
    }
}

/// Applies `event` to `state` at `now`.
///
/// `now` must not go back between calls for one router. Give the advertisements that are waiting before
/// [`Event::Timeout`]: a router that was held up must read what happened before it may act on a late timer.
pub fn step(params: &Params, state: State, now: Instant, event: Event) -> Step {
    match state {
        State::Initialize(initialize) => in_initialize(params, initialize, now, event),
        State::Backup(backup) => in_backup(params, backup, now, event),
        State::Claimant(claimant) => in_claimant(params, claimant, now, event),
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
            Step::quiet(State::Initialize(Initialize { started: false, faults, retry_at: None }))
        }
        Event::Fault(fault) => Step::quiet(State::Initialize(with_fault(params, initialize, now, fault))),
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

/// §6.4.2 Backup.
fn in_backup(params: &Params, backup: Backup, now: Instant, event: Event) -> Step {
    let before = State::Backup(backup);
    match event {
        // (325) Shutdown: no advertisement, since it was not the one who answered for the addresses.
        Event::Shutdown | Event::HandOver(After::Leave) => {
            Step::quiet(State::new()).entered_from(before, Cause::Shutdown)
        }
        // (345) Active_Down_Timer fires.
        Event::Timeout if now >= backup.down_at => {
            let cause = match backup.heard {
                Heard::Nobody | Heard::Active => Cause::NoResponse,
                Heard::LowerPriority => Cause::Preempted,
                Heard::Resignation => Cause::Resigned,
            };
            claim_role(params, before, now, cause)
        }
        // (380) An advertisement.
        Event::Advert(advert) => Step::quiet(State::Backup(hear(params, backup, now, advert))),
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::Reconfigured => Step::quiet(State::Backup(rearmed(params, backup, now))),
        Event::Startup
        | Event::Timeout
        | Event::Recovered(_)
        | Event::Confirm(_)
        | Event::Refuse(_)
        | Event::HandOver(After::Stay)
        | Event::StepDown => Step::quiet(before),
    }
}

/// Between Backup and Active, with a [`Gate`](crate::Gate): to the others it is Active (§6.4.3), but it holds nothing.
fn in_claimant(params: &Params, claimant: Claimant, now: Instant, event: Event) -> Step {
    let before = State::Claimant(claimant);
    match event {
        Event::Confirm(claim) if claim == claimant.since => {
            let state = serving(params, now, claimant.advert_at, claimant.alone);
            Step::quiet(state)
                .with(Action::InstallAddresses)
                .with(Action::Announce)
                .entered_from(before, Cause::Confirmed)
        }
        Event::Refuse(claim) if claim == claimant.since => stand_back(params, before, now, Cause::Refused),
        Event::Timeout if now >= claimant.until => stand_back(params, before, now, Cause::NotConfirmed),
        Event::Timeout if now >= claimant.advert_at => {
            let advert_at = next_advert(params, claimant.advert_at, now);
            Step::quiet(State::Claimant(Claimant { advert_at, answers_left: ANSWERS_PER_INTERVAL, ..claimant }))
                .with(advertise(params, Some(params.priority())))
        }
        Event::Advert(advert) => match advert.priority {
            // (705) Say at once that there is an Active: a lower Backup would not wait for the next advertisement.
            None => match claimant.answers_left.checked_sub(1) {
                Some(answers_left) => {
                    let advert_at = now + params.advert_interval().as_duration();
                    Step::quiet(State::Claimant(Claimant { advert_at, answers_left, ..claimant }))
                        .with(advertise(params, Some(params.priority())))
                }
                None => Step::quiet(before),
            },
            // It was held up, and another took over as it had to: a gated router lets it.
            Some(_) if is_doubtful(params, claimant.advert_at, now) => {
                lose_to(params, now, advert).entered_from(before, Cause::Stalled(advert.source))
            }
            Some(priority) => match judge(params.priority(), params.primary_address(), priority, advert.source) {
                Verdict::RivalWins => {
                    lose_to(params, now, advert).entered_from(before, Cause::Outranked(advert.source))
                }
                Verdict::WeWin => match claimant.answers_left.checked_sub(1) {
                    Some(answers_left) if params.answer_rivals() && answers_left > 0 => {
                        Step::quiet(State::Claimant(Claimant { answers_left, alone: false, ..claimant }))
                            .with(advertise(params, Some(params.priority())))
                    }
                    Some(_) | None => Step::quiet(State::Claimant(Claimant { alone: false, ..claimant })),
                },
                Verdict::Indistinguishable => {
                    Step::quiet(before).with(Action::Alarm(Alarm::SameAddress(advert.source)))
                }
            },
        },
        Event::Shutdown | Event::HandOver(After::Leave) => {
            let resignation = advertise(params, None);
            Step::quiet(State::new()).with(resignation).entered_from(before, Cause::Shutdown)
        }
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::StepDown => step_down(params, before, now, Cause::Group),
        Event::Reconfigured => {
            let advert_at = claimant.advert_at.min(now + params.advert_interval().as_duration());
            Step::quiet(State::Claimant(Claimant { advert_at, ..claimant }))
        }
        Event::Startup
        | Event::Timeout
        | Event::Recovered(_)
        | Event::Confirm(_)
        | Event::Refuse(_)
        | Event::HandOver(After::Stay) => Step::quiet(before),
    }
}

/// Leaves Initialize if it was started and no fault holds.
fn start_if_able(params: &Params, initialize: Initialize, now: Instant) -> Step {
    let before = State::Initialize(initialize);
    if !initialize.started || !initialize.faults.is_empty() {
        return Step::quiet(before);
    }
    // (105) The address owner is Active from the start.
    if params.priority().is_owner() {
        return claim_role(params, before, now, Cause::Startup);
    }
    // (130) Everyone else watches first, for an Active_Down_Interval by its own interval.
    enter_backup(params, now, params.advert_interval(), Heard::Nobody).entered_from(before, Cause::Startup)
}

/// (350) - (375): advertise, then install, then announce. With a gate: advertise, and ask first.
fn claim_role(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    let advert_at = now + params.advert_interval().as_duration();
    let alone = match before {
        State::Backup(backup) => backup.heard == Heard::Nobody,
        State::Initialize(_) | State::Claimant(_) | State::Active(_) => false,
    };
    let advert = advertise(params, Some(params.priority()));
    match params.gate() {
        Some(gate) => Step::quiet(State::Claimant(Claimant {
            since: now,
            advert_at,
            until: now + gate.timeout.max(Duration::from_nanos(1)),
            answers_left: ANSWERS_PER_INTERVAL,
            alone,
        }))
        .with(advert)
        .with(Action::Prepare(now))
        .entered_from(before, cause),
        None => Step::quiet(serving(params, now, advert_at, alone))
            .with(advert)
            .with(Action::InstallAddresses)
            .with(Action::Announce)
            .entered_from(before, cause),
    }
}

/// Active from now on. One that came this far without hearing another Active may call an election later, to settle by
/// priority what was decided by who was first; the owner would win it in any case.
fn serving(params: &Params, now: Instant, advert_at: Instant, alone: bool) -> State {
    let settle_at =
        params.settle().filter(|_| alone && !params.priority().is_owner()).map(|after| (now + after).max(advert_at));
    State::Active(Active {
        since: now,
        advert_at,
        advertised: params.priority(),
        answers_left: ANSWERS_PER_INTERVAL,
        unheeded: 0,
        unsettled: settle_at.is_some(),
        election_at: settle_at.or_else(|| active::re_election_at(params, now)),
        phase: Phase::Advertising,
    })
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

/// A claim that came to nothing: resign, and let the next best go first.
fn stand_back(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    let back_off = params.gate().map(|gate| gate.back_off).unwrap_or_default();
    let step = enter_backup(params, now, params.advert_interval(), Heard::Nobody);
    let state = match step.state {
        State::Backup(backup) => {
            let until = now + back_off;
            State::Backup(Backup { stand_back_until: Some(until), down_at: backup.down_at.max(until), ..backup })
        }
        other @ (State::Initialize(_) | State::Claimant(_) | State::Active(_)) => other,
    };
    Step { state, ..step }.with(advertise(params, None)).entered_from(before, cause)
}

/// Gives up the role, and stays as Backup.
fn step_down(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    enter_backup(params, now, params.advert_interval(), Heard::Nobody)
        .with(advertise(params, None))
        .entered_from(before, cause)
}

/// (385) - (440): what a Backup makes of an advertisement.
fn hear(params: &Params, backup: Backup, now: Instant, advert: Advert) -> Backup {
    let Some(priority) = advert.priority else {
        // (390) The Active resigns: wait for Skew_Time only. The interval in such a packet is not learned.
        let down_at = now + params.skew_time(backup.active_adver_interval);
        let resigned = Backup { armed_at: now, heard: Heard::Resignation, preempt_at: None, ..backup };
        return resigned.due(down_at);
    };
    // From when on this sender is not accepted any more; only a delay has to be remembered.
    let (discard_from, preempt_at) = match params.preempt() {
        Preempt::Immediately | Preempt::After(_) | Preempt::Never if priority >= params.priority() => (None, None),
        Preempt::Immediately => (Some(now), None),
        Preempt::Never | Preempt::After(_) if params.priority().is_owner() => (Some(now), None),
        Preempt::Never => (None, None),
        Preempt::After(delay) => {
            let at = backup.preempt_at.unwrap_or(now + delay);
            (Some(at), Some(at))
        }
    };
    match discard_from {
        // (440) Discard: the timer runs on, and this router takes over when it fires.
        Some(at) if now >= at => Backup { heard: Heard::LowerPriority, preempt_at, ..backup },
        // (405) Accept: learn the interval, wait for another Active_Down_Interval.
        Some(_) | None => {
            let active_adver_interval = learn_interval(params, advert);
            let down_at = now + params.active_down_interval(active_adver_interval);
            let accepted = Backup { armed_at: now, active_adver_interval, heard: Heard::Active, preempt_at, ..backup };
            accepted.due(down_at)
        }
    }
}

/// Active_Down_Timer by the new parameters, counted from when it was set; what is overdue fires now.
fn rearmed(params: &Params, backup: Backup, now: Instant) -> Backup {
    // It was about to preempt, and may not any more: it accepts the Active that it heard.
    if backup.heard == Heard::LowerPriority && params.preempt() == Preempt::Never && !params.priority().is_owner() {
        let down_at = now + params.active_down_interval(backup.active_adver_interval);
        return Backup { armed_at: now, heard: Heard::Active, preempt_at: None, ..backup }.due(down_at);
    }
    let active_adver_interval = match backup.heard {
        Heard::Nobody => params.advert_interval(),
        Heard::Active | Heard::LowerPriority | Heard::Resignation => backup.active_adver_interval,
    };
    let wait = match backup.heard {
        Heard::Resignation => params.skew_time(active_adver_interval),
        Heard::Nobody | Heard::Active | Heard::LowerPriority => params.active_down_interval(active_adver_interval),
    };
    let preempt_at = match params.preempt() {
        Preempt::After(_) => backup.preempt_at,
        Preempt::Immediately | Preempt::Never => None,
    };
    Backup { active_adver_interval, preempt_at, ..backup }.due(now.max(backup.armed_at + wait))
}

impl Backup {
    /// With Active_Down_Timer set to fire at `down_at`, or when standing back ends.
    fn due(self, down_at: Instant) -> Self {
        Self { down_at: self.stand_back_until.map_or(down_at, |until| down_at.max(until)), ..self }
    }
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
    let out = Initialize { started: true, faults: Faults::NONE, retry_at: None };
    let step = Step::quiet(State::Initialize(with_fault(params, out, now, fault)));
    let step = match before {
        State::Active(_) => resign(step, params),
        State::Claimant(_) => step.with(advertise(params, None)),
        State::Initialize(_) | State::Backup(_) => step,
    };
    step.entered_from(before, Cause::Fault(fault))
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
    match params.version() {
        Version::V2 if !params.learns_v2_interval() => params.advert_interval(),
        Version::V2 | Version::V3(_) => advert.interval,
    }
}

fn with_fault(params: &Params, initialize: Initialize, now: Instant, fault: Fault) -> Initialize {
    let retry_at = if fault.is_retried() { Some(now + params.fault_hold()) } else { initialize.retry_at };
    Initialize { faults: initialize.faults.with(fault), retry_at, ..initialize }
}

fn without_retried(faults: Faults) -> Faults {
    faults.iter().filter(|fault| fault.is_retried()).fold(faults, Faults::without)
}
