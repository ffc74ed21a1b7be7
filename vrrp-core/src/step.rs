//! The transition function: one event in, the next state and the ordered actions out (RFC 9568 §6.4).
//!
//! It is total: every event is answered in every role, and nothing can panic. It reads no clock and keeps nothing: the
//! same arguments give the same result.

use crate::election::{Verdict, judge};
use crate::state::{Active, Backup, Heard, Initialize};
use crate::{Action, Actions, Advert, Alarm, Cause, Claim, Event, Fault, Faults, Instant, Interval, Params, Preempt};
use crate::{Priority, State, Transition, Version};

/// How many losing rivals an Active answers between two periodic advertisements. The RFC answers each (§6.4.3), which
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

    /// Appends the change of role since `before`; the last action of every step that changes it.
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
        State::Active(active) => in_active(params, active, now, event),
    }
}

/// §6.4.1 Initialize.
fn in_initialize(params: &Params, initialize: Initialize, now: Instant, event: Event) -> Step {
    match event {
        // (100) - (140) Startup, unless something it cannot serve without is missing.
        Event::Startup => start_if_able(params, Initialize { started: true, ..initialize }, now),
        Event::Shutdown => Step::quiet(State::Initialize(Initialize {
            started: false,
            faults: without_retried(initialize.faults),
            retry_at: None,
        })),
        Event::Fault(fault) => Step::quiet(State::Initialize(with_fault(params, initialize, now, fault))),
        Event::Recovered(fault) => {
            let faults = initialize.faults.without(fault);
            start_if_able(params, Initialize { faults, ..initialize }, now)
        }
        Event::Timeout => match initialize.retry_at {
            Some(at) if now >= at => {
                let faults = without_retried(initialize.faults);
                start_if_able(params, Initialize { faults, retry_at: None, ..initialize }, now)
            }
            Some(_) | None => Step::quiet(State::Initialize(initialize)),
        },
        // §6.4.1 says nothing of advertisements here: they are ignored.
        Event::Advert(_) | Event::Reconfigured => Step::quiet(State::Initialize(initialize)),
    }
}

/// §6.4.2 Backup.
fn in_backup(params: &Params, backup: Backup, now: Instant, event: Event) -> Step {
    let before = State::Backup(backup);
    match event {
        // (325) Shutdown: no advertisement, since it was not the one who answered for the addresses.
        Event::Shutdown => Step::quiet(State::new()).entered_from(before, Cause::Shutdown),
        // (345) Active_Down_Timer fires.
        Event::Timeout if now >= backup.down_at => {
            let cause = match backup.heard {
                Heard::Nobody | Heard::Active => Cause::NoResponse,
                Heard::LowerPriority => Cause::Preempted,
                Heard::Resignation => Cause::Resigned,
            };
            become_active(params, before, now, cause)
        }
        // (380) An advertisement.
        Event::Advert(advert) => Step::quiet(State::Backup(hear(params, backup, now, advert))),
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::Reconfigured => Step::quiet(State::Backup(rearmed(params, backup, now))),
        Event::Startup | Event::Timeout | Event::Recovered(_) => Step::quiet(before),
    }
}

/// §6.4.3 Active. Preempt_Mode has no say in it, except for a router that was held up (see [`is_doubtful`]).
fn in_active(params: &Params, active: Active, now: Instant, event: Event) -> Step {
    let before = State::Active(active);
    match event {
        // (655) Shutdown. The addresses go first: whoever takes over must not find them still answered for.
        Event::Shutdown => resign(Step::quiet(State::new()), params).entered_from(before, Cause::Shutdown),
        // (680) Adver_Timer fires.
        Event::Timeout if now >= active.advert_at => advertise_on_time(params, active, now),
        // (700) An advertisement.
        Event::Advert(advert) => match advert.priority {
            // (705) A rival resigns: say at once that the addresses are served.
            None => answer(params, active, now + params.advert_interval().as_duration(), 0),
            // It was held up, and another took over as it had to. No last advertisement: it could unseat the other.
            Some(_) if is_doubtful(params, active, now) && !preempts(params) => {
                enter_backup(params, now, learn_interval(params, advert), Heard::Active)
                    .entered_from(before, Cause::Stalled(advert.source))
            }
            Some(priority) => contend(params, active, now, advert, priority),
        },
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::Reconfigured => {
            let advert_at = active.advert_at.min(now + params.advert_interval().as_duration());
            Step::quiet(State::Active(Active { advert_at, ..active }))
        }
        Event::Startup | Event::Timeout | Event::Recovered(_) => Step::quiet(before),
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
        return become_active(params, before, now, Cause::Startup);
    }
    // (130) Everyone else watches first, for an Active_Down_Interval by its own interval.
    enter_backup(params, now, params.advert_interval(), Heard::Nobody).entered_from(before, Cause::Startup)
}

/// (350) - (375): advertise, then install, then announce.
fn become_active(params: &Params, before: State, now: Instant, cause: Cause) -> Step {
    let advert_at = now + params.advert_interval().as_duration();
    Step::quiet(State::Active(Active { since: now, advert_at, answers_left: ANSWERS_PER_INTERVAL }))
        .with(advertise(params, Some(params.priority())))
        .with(Action::InstallAddresses)
        .with(Action::Announce)
        .entered_from(before, cause)
}

/// Backup, without any address: also those that a predecessor of this process left behind.
fn enter_backup(params: &Params, now: Instant, active_adver_interval: Interval, heard: Heard) -> Step {
    let down_at = now + params.active_down_interval(active_adver_interval);
    Step::quiet(State::Backup(Backup { armed_at: now, down_at, active_adver_interval, heard, preempt_at: None }))
        .with(Action::RemoveAddresses)
}

/// (385) - (440): what a Backup makes of an advertisement.
fn hear(params: &Params, backup: Backup, now: Instant, advert: Advert) -> Backup {
    let Some(priority) = advert.priority else {
        // (390) The Active resigns: wait for Skew_Time only. The interval in such a packet is not learned.
        let down_at = now + params.skew_time(backup.active_adver_interval);
        return Backup { armed_at: now, down_at, heard: Heard::Resignation, preempt_at: None, ..backup };
    };
    // From when on this sender is not accepted any more; only a delay has to be remembered.
    let (discard_from, preempt_at) = match params.preempt() {
        Preempt::Immediately | Preempt::After(_) | Preempt::Never if priority >= params.priority() => (None, None),
        Preempt::Immediately => (Some(now), None),
        Preempt::Never if params.priority().is_owner() => (Some(now), None),
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
            Backup { armed_at: now, down_at, active_adver_interval, heard: Heard::Active, preempt_at }
        }
    }
}

/// Active_Down_Timer by the new parameters, counted from when it was set; what is overdue fires now.
fn rearmed(params: &Params, backup: Backup, now: Instant) -> Backup {
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
    Backup { down_at: now.max(backup.armed_at + wait), active_adver_interval, preempt_at, ..backup }
}

/// (680) - (690). The next advertisement is counted from the deadline, so the period does not drift; a router that is
/// more than one interval late starts afresh, so that it does not send a burst.
fn advertise_on_time(params: &Params, active: Active, now: Instant) -> Step {
    let interval = params.advert_interval().as_duration();
    let next = active.advert_at + interval;
    let advert_at = if next > now { next } else { now + interval };
    let step = Step::quiet(State::Active(Active { advert_at, answers_left: ANSWERS_PER_INTERVAL, ..active }))
        .with(advertise(params, Some(params.priority())));
    // Another router may have been Active meanwhile, and have told the hosts so.
    if is_doubtful(params, active, now) { step.with(Action::Announce) } else { step }
}

/// Whether this Active was held up for so long that the others must have taken it for dead: no advertisement of it for
/// Active_Down_Interval.
fn is_doubtful(params: &Params, active: Active, now: Instant) -> bool {
    let interval = params.advert_interval();
    let last_advert = active.advert_at - interval.as_duration();
    now >= last_advert + params.active_down_interval(interval)
}

/// Whether this router takes the role from a healthy Active of lower priority. The owner does in any case (§6.1).
fn preempts(params: &Params) -> bool {
    match params.preempt() {
        Preempt::Immediately | Preempt::After(_) => true,
        Preempt::Never => params.priority().is_owner(),
    }
}

/// (725) - (770): the election between this Active and another one.
fn contend(params: &Params, active: Active, now: Instant, advert: Advert, priority: Priority) -> Step {
    let before = State::Active(active);
    let second_owner = params.priority().is_owner() && priority.is_owner();
    match judge(params.priority(), params.primary_address(), priority, advert.source) {
        // (725) - (745). One last advertisement makes the winner tell the hosts where the addresses are; without it a
        // winner that never heard of the conflict would leave their caches pointing here.
        Verdict::RivalWins => {
            let step = enter_backup(params, now, learn_interval(params, advert), Heard::Active)
                .with(advertise(params, Some(params.priority())))
                .entered_from(before, Cause::Outranked(advert.source));
            if second_owner { step.with(Action::Alarm(Alarm::SecondOwner(advert.source))) } else { step }
        }
        // (750) - (760), new in RFC 9568: assert it at once.
        Verdict::WeWin => {
            let step = answer(params, active, active.advert_at, 1);
            if second_owner && active.answers_left == ANSWERS_PER_INTERVAL {
                step.with(Action::Alarm(Alarm::SecondOwner(advert.source)))
            } else {
                step
            }
        }
        // An answer would be answered in the same way.
        Verdict::Indistinguishable => Step::quiet(before).with(Action::Alarm(Alarm::SameAddress(advert.source))),
    }
}

/// Advertises at once in answer to a rival that loses, and repairs what the rival told the hosts; within bounds.
/// `reserve` answers are left for those who need one more.
fn answer(params: &Params, active: Active, advert_at: Instant, reserve: u8) -> Step {
    match active.answers_left.checked_sub(1) {
        Some(answers_left) if params.answer_rivals() && answers_left >= reserve => {
            Step::quiet(State::Active(Active { advert_at, answers_left, ..active }))
                .with(advertise(params, Some(params.priority())))
                .with(Action::Announce)
        }
        Some(_) | None => Step::quiet(State::Active(active)),
    }
}

/// Leaves the election because of `fault`.
fn leave(params: &Params, before: State, now: Instant, fault: Fault) -> Step {
    let out = Initialize { started: true, faults: Faults::NONE, retry_at: None };
    let step = Step::quiet(State::Initialize(with_fault(params, out, now, fault)));
    let step = match before {
        State::Active(_) => resign(step, params),
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
/// those that differ are discarded (RFC 3768 §7.1).
fn learn_interval(params: &Params, advert: Advert) -> Interval {
    match params.version() {
        Version::V2 => params.advert_interval(),
        Version::V3(_) => advert.interval,
    }
}

fn with_fault(params: &Params, initialize: Initialize, now: Instant, fault: Fault) -> Initialize {
    let retry_at = if fault.is_retried() { Some(now + params.fault_hold()) } else { initialize.retry_at };
    Initialize { faults: initialize.faults.with(fault), retry_at, ..initialize }
}

fn without_retried(faults: Faults) -> Faults {
    faults.iter().filter(|fault| fault.is_retried()).fold(faults, Faults::without)
}
