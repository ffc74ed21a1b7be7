//! Between Backup and Active, with a [`Gate`](crate::Gate).
//!
//! To the others a claimant is the Active (§6.4.3), so that lower ones hold still, but it holds no address. One that would
//! preempt a lower Active keeps silent until it is confirmed: that one serves meanwhile, and a claim that comes to nothing
//! must not have unseated it.

use core::time::Duration;

use super::backup::hear;
use super::{ANSWERS_PER_INTERVAL, Step, advertise, enter_backup, is_doubtful, leave, lose_to, next_advert, serving};
use crate::election::{Verdict, judge};
use crate::state::{Active, Backup, Claimant, Heard};
use crate::{Action, Advert, After, Alarm, Cause, Event, Gate, Instant, Params, Priority, State};

/// Asks the application. The claim has a name of its own: `now`, or a later one if that was given already.
pub(super) fn claim(params: &Params, gate: Gate, before: State, now: Instant) -> Step {
    let (beside, alone, since) = match before {
        State::Backup(backup) if backup.heard == Heard::LowerPriority => {
            (Some(backup.active_adver_interval), false, now)
        }
        State::Backup(backup) => (None, backup.heard == Heard::Nobody, now),
        State::Initialize(initialize) => {
            let unused = initialize.claimed.map_or(now, |last| now.max(last + Duration::from_nanos(1)));
            (None, false, unused)
        }
        State::Claimant(_) | State::Active(_) => (None, false, now),
    };
    let advert_at = match beside {
        Some(interval) => now + params.active_down_interval(interval),
        None => now + params.advert_interval().as_duration(),
    };
    let until = now + gate.timeout.max(Duration::from_nanos(1));
    let claimant = Claimant { since, advert_at, until, answers_left: ANSWERS_PER_INTERVAL, alone, beside };
    Step::quiet(State::Claimant(claimant))
        .with_if(beside.is_none(), advertise(params, Some(params.priority())))
        .with(Action::Prepare(since))
}

pub(super) fn in_claimant(params: &Params, claimant: Claimant, now: Instant, event: Event) -> Step {
    let before = State::Claimant(claimant);
    match event {
        // (350) - (375): advertise, then install, then announce.
        Event::Confirm(claim) if claim == claimant.since => {
            let advert_at = now + params.advert_interval().as_duration();
            // A name that was put off stays the last one.
            let since = now.max(claimant.since);
            Step::quiet(State::Active(Active { since, ..serving(params, now, advert_at, claimant.alone) }))
                .with(advertise(params, Some(params.priority())))
                .with(Action::InstallAddresses)
                .with(Action::Announce)
                .entered_from(before, Cause::Confirmed)
        }
        Event::Refuse(claim) if claim == claimant.since => stand_back(params, claimant, now, Cause::Refused),
        Event::Timeout if now >= claimant.until => stand_back(params, claimant, now, Cause::NotConfirmed),
        // Adver_Timer; or the lower Active is gone, and from now on lower ones have to be told to hold still.
        Event::Timeout if now >= claimant.advert_at => {
            let advert_at = match claimant.beside {
                Some(_) => now + params.advert_interval().as_duration(),
                None => next_advert(params, claimant.advert_at, now),
            };
            let answers_left = ANSWERS_PER_INTERVAL;
            Step::quiet(State::Claimant(Claimant { advert_at, answers_left, beside: None, ..claimant }))
                .with(advertise(params, Some(params.priority())))
        }
        Event::Advert(advert) if claimant.is_silent() => on_advert_while_silent(params, claimant, now, advert),
        Event::Advert(advert) => match advert.priority {
            // It was held up: what it reads next may be a live Active, which its answer would unseat.
            None if is_doubtful(params, claimant.advert_at, now) => Step::quiet(before),
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
            Some(priority) => contend(params, claimant, now, advert, priority),
        },
        Event::Shutdown | Event::HandOver(After::Leave) => {
            withdraw(Step::quiet(super::left(params, before, now)), params, claimant)
                .entered_from(before, Cause::Shutdown)
        }
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::StepDown => {
            withdraw(give_up(params, claimant, now), params, claimant).entered_from(before, Cause::Group)
        }
        Event::Reconfigured if claimant.is_silent() => Step::quiet(before),
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

/// Takes the claim back where the others know of it: with priority 0.
pub(super) fn withdraw(step: Step, params: &Params, claimant: Claimant) -> Step {
    step.with_if(!claimant.is_silent(), advertise(params, None))
}

/// (725) - (770): the election between this claim and an Active.
fn contend(params: &Params, claimant: Claimant, now: Instant, advert: Advert, priority: Priority) -> Step {
    let before = State::Claimant(claimant);
    match judge(params.priority(), params.primary_address(), priority, advert.source) {
        Verdict::RivalWins => lose_to(params, now, advert).entered_from(before, Cause::Outranked(advert.source)),
        Verdict::WeWin => match claimant.answers_left.checked_sub(1) {
            Some(answers_left) if params.answer_rivals() && answers_left > 0 => {
                Step::quiet(State::Claimant(Claimant { answers_left, alone: false, ..claimant }))
                    .with(advertise(params, Some(params.priority())))
            }
            Some(_) | None => Step::quiet(State::Claimant(Claimant { alone: false, ..claimant })),
        },
        Verdict::Indistinguishable => Step::quiet(before).with(Action::Alarm(Alarm::SameAddress(advert.source))),
    }
}

/// While a lower Active serves: as the Backup that the others still take it for.
fn on_advert_while_silent(params: &Params, claimant: Claimant, now: Instant, advert: Advert) -> Step {
    let before = State::Claimant(claimant);
    let Some(interval) = claimant.beside else { return Step::quiet(before) };
    let as_backup = Backup {
        armed_at: now,
        down_at: claimant.advert_at,
        active_adver_interval: interval,
        heard: Heard::LowerPriority,
        // A delay of preemption is over.
        preempt_at: Some(now),
        stand_back_until: None,
    };
    let heard = hear(params, as_backup, now, advert);
    match heard.heard {
        Heard::Active => lose_to(params, now, advert).entered_from(before, Cause::Outranked(advert.source)),
        // It lives, however long its interval is.
        Heard::LowerPriority => {
            let interval = super::learn_interval(params, advert);
            let advert_at = now + params.active_down_interval(interval);
            Step::quiet(State::Claimant(Claimant { advert_at, beside: Some(interval), ..claimant }))
        }
        // It resigns: as a Backup would, this router claims the role when its Skew_Time is over.
        Heard::Resignation | Heard::Nobody | Heard::Itself => {
            Step::quiet(State::Claimant(Claimant { advert_at: heard.down_at, ..claimant }))
        }
    }
}

/// A claim that came to nothing: take it back, and let the next best go first.
fn stand_back(params: &Params, claimant: Claimant, now: Instant, cause: Cause) -> Step {
    let before = State::Claimant(claimant);
    let until = now + params.gate().map(|gate| gate.back_off).unwrap_or_default();
    let step = give_up(params, claimant, now);
    let state = match step.state {
        State::Backup(backup) => {
            State::Backup(Backup { stand_back_until: Some(until), down_at: backup.down_at.max(until), ..backup })
        }
        other @ (State::Initialize(_) | State::Claimant(_) | State::Active(_)) => other,
    };
    withdraw(Step { state, ..step }, params, claimant).entered_from(before, cause)
}

/// Backup again: of the lower Active, if there is one.
fn give_up(params: &Params, claimant: Claimant, now: Instant) -> Step {
    let (interval, heard) = match claimant.beside {
        Some(interval) => (interval, Heard::LowerPriority),
        None => (params.advert_interval(), Heard::Itself),
    };
    enter_backup(params, now, interval, heard)
}
