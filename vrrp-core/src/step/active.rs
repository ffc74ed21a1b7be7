//! §6.4.3 Active, and the ways of leaving it that go beyond the RFC: an election that it calls, a planned hand-over.

use super::backup::hear;
use super::{ANSWERS_PER_INTERVAL, Step, advertise, is_doubtful, leave, left, lose_to, next_advert, resign, step_down};
use crate::election::{Verdict, judge};
use crate::state::{Active, Backup, Heard, Phase, Rivalry};
use crate::{
    Action, Advert, After, Alarm, Cause, Claim, Event, Instant, Interval, Params, Preempt, Priority, State, Version,
};

/// Answers that a rival may leave unheeded before it counts as one that does not hear us.
const PATIENCE_WITH_RIVALS: u8 = 3;

/// §6.4.3 Active. Preempt_Mode has no say in it, except for a router that was held up (see [`is_doubtful`]).
pub(super) fn in_active(params: &Params, active: Active, now: Instant, event: Event) -> Step {
    let before = State::Active(active);
    match event {
        // (655) Shutdown. The addresses go first: whoever takes over must not find them still answered for.
        Event::Shutdown => resign(Step::quiet(left(params, before, now)), params).entered_from(before, Cause::Shutdown),
        // (680) Adver_Timer fires, or another time of this role has come.
        Event::Timeout => on_timeout(params, active, now),
        // (700) An advertisement.
        Event::Advert(advert) => match active.phase {
            Phase::Advertising => on_advert(params, active, now, advert),
            Phase::Standing(_) => on_advert_while_standing(params, active, now, advert),
            Phase::HandingOver(_, after) => on_advert_of_successor(params, active, now, advert, after),
        },
        Event::Fault(fault) => leave(params, before, now, fault),
        Event::Reconfigured => on_new_params(params, active, now),
        Event::HandOver(after) => hand_over(params, active, now, after),
        Event::StepDown if active.is_leaving() => {
            resign(Step::quiet(left(params, before, now)), params).entered_from(before, Cause::Group)
        }
        Event::StepDown => step_down(params, before, now, Cause::Group),
        // Told to take part after all: it stays if nobody takes over.
        Event::Startup => match active.phase {
            Phase::HandingOver(at, After::Leave) => {
                Step::quiet(State::Active(Active { phase: Phase::HandingOver(at, After::Stay), ..active }))
            }
            Phase::Advertising | Phase::Standing(_) | Phase::HandingOver(_, After::Stay) => Step::quiet(before),
        },
        Event::Recovered(_) | Event::Confirm(_) | Event::Refuse(_) => Step::quiet(before),
    }
}

/// When a degraded Active may call its next election.
pub(super) fn re_election_at(params: &Params, now: Instant) -> Option<Instant> {
    (params.is_degraded() && params.yields_when_degraded())
        .then(|| now + params.re_election().max(params.advert_interval().as_duration()))
}

fn on_timeout(params: &Params, active: Active, now: Instant) -> Step {
    match (active.phase, active.election_at) {
        (Phase::Advertising, Some(at)) if now >= at => {
            if active.unsettled || re_election_at(params, now).is_some() {
                call_election(params, active, now)
            } else {
                // It has recovered meanwhile.
                on_timeout(params, Active { election_at: None, ..active }, now)
            }
        }
        (Phase::Advertising, _) if now >= active.advert_at => advertise_on_time(params, active, now),
        // Nobody wanted the role: on as before, and the addresses have been here all the time.
        (Phase::Standing(at), _) if now >= at => Step::quiet(State::Active(serve_on(params, active, now)))
            .with(advertise(params, Some(params.priority())))
            .with_if(active.announce_due, Action::Announce),
        (Phase::HandingOver(at, After::Stay), _) if now >= at => {
            Step::quiet(State::Active(serve_on(params, active, now)))
                .with(advertise(params, Some(params.priority())))
                .with(Action::Announce)
        }
        (Phase::HandingOver(at, After::Leave), _) if now >= at => {
            let before = State::Active(active);
            resign(Step::quiet(left(params, before, now)), params).entered_from(before, Cause::NoSuccessor)
        }
        (Phase::Advertising | Phase::Standing(_) | Phase::HandingOver(..), _) => Step::quiet(State::Active(active)),
    }
}

/// As before the resignation. The priority may have fallen, or an election may have come due, meanwhile.
fn serve_on(params: &Params, active: Active, now: Instant) -> Active {
    let advert_at = now + params.advert_interval().as_duration();
    let election_at = active.election_at.or_else(|| re_election_at(params, now)).map(|at| at.max(advert_at));
    advertised(params, Active { advert_at, election_at, announce_due: false, phase: Phase::Advertising, ..active })
}

/// (680) - (690).
fn advertise_on_time(params: &Params, active: Active, now: Instant) -> Step {
    let advert_at = next_advert(params, active.advert_at, now);
    // Another router may have been Active meanwhile, and have told the hosts so.
    let doubtful = is_doubtful(params, active.advert_at, now);
    let announce = doubtful || active.announce_due;
    let active = Active { advert_at, answers_left: ANSWERS_PER_INTERVAL, announce_due: false, ..active };
    Step::quiet(State::Active(advertised(params, active)))
        .with(advertise(params, Some(params.priority())))
        .with_if(announce, Action::Announce)
}

/// (700) - (770) in the RFC's own Active.
fn on_advert(params: &Params, active: Active, now: Instant, advert: Advert) -> Step {
    let before = State::Active(active);
    match advert.priority {
        // It was held up, and another took over as it had to. No last advertisement: it could unseat the other. Nor is a
        // resignation answered, after which that other's advertisements may be waiting.
        priority if is_doubtful(params, active.advert_at, now) && !insists(params) => match priority {
            Some(_) => lose_to(params, now, advert).entered_from(before, Cause::Stalled(advert.source)),
            None => Step::quiet(before),
        },
        // (705) A rival resigns: say at once that the addresses are served.
        None => answer(params, active, now + params.advert_interval().as_duration(), 0),
        Some(priority) => contend(params, active, now, advert, priority),
    }
}

/// Whether a router that was held up takes the role back from whoever took over meanwhile: not if it would not have
/// taken it as Backup, nor if promotion has to be confirmed. The owner does in any case (§6.1).
fn insists(params: &Params) -> bool {
    let preempts = match params.preempt() {
        Preempt::Immediately | Preempt::After(_) => true,
        Preempt::Never => params.priority().is_owner(),
    };
    preempts && params.gate().is_none()
}

/// (725) - (770): the election between this Active and another one.
fn contend(params: &Params, active: Active, now: Instant, advert: Advert, priority: Priority) -> Step {
    let before = State::Active(active);
    let second_owner = params.priority().is_owner() && priority.is_owner();
    match judge(params.priority(), params.primary_address(), priority, advert.source) {
        // (725) - (745). One last advertisement makes the winner tell the hosts where the addresses are; without it a
        // winner that never heard of the conflict would leave their caches pointing here.
        // Third Backups accept it if their priority is not higher. It keeps them waiting for one Active_Down_Interval at
        // most, and by the interval of this router only until the winner's answer, which follows at once.
        Verdict::RivalWins => lose_to(params, now, advert)
            .with(advertise(params, Some(params.priority())))
            .entered_from(before, Cause::Outranked(advert.source))
            .with_if(second_owner, Action::Alarm(Alarm::SecondOwner(advert.source))),
        // (750) - (760), new in RFC 9568: assert it at once.
        Verdict::WeWin => answer_claim(params, active, now, advert)
            .with_if(second_owner, Action::Alarm(Alarm::SecondOwner(advert.source))),
        // An answer would be answered in the same way.
        Verdict::Indistinguishable => Step::quiet(before).with(Action::Alarm(Alarm::SameAddress(advert.source))),
    }
}

/// Answers a rival that loses, and notices one that goes on.
fn answer_claim(params: &Params, active: Active, now: Instant, advert: Advert) -> Step {
    let (rivalry, counted) = count(params, active.rivalry, now, advert.interval);
    // What waited in a socket comes all at once: the rival has heard nothing in between.
    let answered = active.rivalry.is_some_and(|before| before.heard_at == now);
    let active = Active { rivalry: Some(rivalry), ..active };
    let step = if answered {
        Step::quiet(State::Active(active))
    } else if params.answer_rivals() {
        // The last answer is kept for a resignation.
        answer(params, active, active.advert_at, 1)
    } else {
        Step::quiet(State::Active(Active { announce_due: true, ..active }))
    };
    if counted && rivalry.unheeded > PATIENCE_WITH_RIVALS {
        return step.preceded_by(Action::Alarm(Alarm::PersistentRival(advert.source, now.since(rivalry.since))));
    }
    step
}

/// Counts a claim, at most one for each of the rival's intervals; says whether it did. Half an interval off is still the
/// next one. Peace for two intervals ends a rivalry.
fn count(params: &Params, rivalry: Option<Rivalry>, now: Instant, interval: Interval) -> (Rivalry, bool) {
    let interval = interval.max(params.advert_interval()).as_duration();
    match rivalry {
        Some(rivalry) if now < rivalry.counted_at + interval / 2 => (Rivalry { heard_at: now, ..rivalry }, false),
        // The claims within half an interval after the counted one were not: from then on, two whole ones.
        Some(rivalry) if now < rivalry.counted_at + interval * 5 / 2 => {
            (Rivalry { heard_at: now, counted_at: now, unheeded: rivalry.unheeded.saturating_add(1), ..rivalry }, true)
        }
        Some(_) | None => (Rivalry { since: now, heard_at: now, counted_at: now, unheeded: 1 }, true),
    }
}

/// Advertises at once, and repairs what a rival told the hosts. `reserve` answers of this interval are kept; if there are
/// no more, the hosts are told with the next advertisement.
fn answer(params: &Params, active: Active, advert_at: Instant, reserve: u8) -> Step {
    match active.answers_left.checked_sub(1).filter(|left| *left >= reserve) {
        Some(answers_left) => {
            let active = Active { advert_at, answers_left, announce_due: false, ..active };
            Step::quiet(State::Active(advertised(params, active)))
                .with(advertise(params, Some(params.priority())))
                .with(Action::Announce)
        }
        None => Step::quiet(State::Active(Active { announce_due: true, ..active })),
    }
}

/// Resigns so that whoever is better takes over, keeps serving, and stands with its own priority.
fn call_election(params: &Params, active: Active, now: Instant) -> Step {
    let interval = election_interval(params);
    let phase = Phase::Standing(now + params.election_time(interval));
    let election_at = re_election_at(params, now);
    let standing = Active { phase, election_at, unsettled: false, ..active };
    farewell(params, active, now, Step::quiet(State::Active(standing)), interval)
}

/// Resigns in favour of whoever is next, and serves until that one speaks.
fn hand_over(params: &Params, active: Active, now: Instant, after: After) -> Step {
    let until = now + params.hand_over().deadline;
    match active.phase {
        Phase::Advertising => {
            let phase = Phase::HandingOver(until, after);
            let interval = farewell_interval(params);
            farewell(params, active, now, Step::quiet(State::Active(Active { phase, ..active })), interval)
        }
        // It has resigned already.
        Phase::Standing(_) => Step::quiet(State::Active(Active { phase: Phase::HandingOver(until, after), ..active })),
        // Whoever was told to leave leaves.
        Phase::HandingOver(_, After::Leave) => Step::quiet(State::Active(active)),
        Phase::HandingOver(until, After::Stay) => {
            Step::quiet(State::Active(Active { phase: Phase::HandingOver(until, after), ..active }))
        }
    }
}

/// The interval that shortens the others' Skew_Time. VRRPv2 does not learn intervals, and none longer than the usual one
/// is of any use.
fn farewell_interval(params: &Params) -> Interval {
    match params.version() {
        Version::V2 => params.advert_interval(),
        Version::V3(_) => params.hand_over().interval.min(params.advert_interval()),
    }
}

/// That of an election, by the same means.
fn election_interval(params: &Params) -> Interval {
    farewell_interval(params).max(Interval::ELECTION).min(params.advert_interval())
}

/// A last advertisement with a short interval, by the priority that the others know so that they accept it, and then the
/// resignation. Each is sent once: packets that follow each other at once are mostly lost together; a hand-over whose
/// resignation is lost ends after three of the short intervals, and an election whose resignation is lost is called again.
///
/// A router that was held up may have been replaced: it resigns only, for that advertisement could unseat the other.
fn farewell(params: &Params, active: Active, now: Instant, step: Step, interval: Interval) -> Step {
    let shortens = interval < params.advert_interval() && !is_doubtful(params, active.advert_at, now);
    step.with_if(shortens, Action::SendAdvert(Claim { priority: Some(active.advertised), interval }))
        .with(Action::SendAdvert(Claim { priority: None, interval }))
}

/// While it stands in an election it called: the first one that speaks wins, unless it has to be preempted.
///
/// It claims the role again before its equals do. If one has spoken all the same, the address decides, as between two Actives
/// (§6.4.3): to follow it would be chance, and routers that are degraded alike would swap the role with each election.
fn on_advert_while_standing(params: &Params, active: Active, now: Instant, advert: Advert) -> Step {
    let before = State::Active(active);
    let (Phase::Standing(claim_at), Some(priority)) = (active.phase, advert.priority) else {
        return Step::quiet(before);
    };
    let as_backup = Backup {
        armed_at: now,
        down_at: claim_at,
        active_adver_interval: election_interval(params),
        heard: Heard::Resignation,
        preempt_at: None,
        stand_back_until: None,
    };
    let accepted = hear(params, as_backup, now, advert).heard == Heard::Active;
    let verdict = judge(params.priority(), params.primary_address(), priority, advert.source);
    // One that was held up in the meantime would have claimed the role before it heard this.
    let held_up = now > claim_at;
    if accepted && (held_up || priority != params.priority() || verdict == Verdict::RivalWins) {
        return last_word(lose_to(params, now, advert), params).entered_from(before, Cause::Outranked(advert.source));
    }
    // It has told the hosts about itself.
    Step::quiet(State::Active(Active { announce_due: true, ..active }))
}

/// While it hands over: the first one that speaks is the successor, whatever its priority.
fn on_advert_of_successor(params: &Params, active: Active, now: Instant, advert: Advert, after: After) -> Step {
    let before = State::Active(active);
    let cause = Cause::HandedOver(advert.source);
    match (advert.priority, after) {
        (None, _) => Step::quiet(before),
        (Some(_), After::Stay) => last_word(lose_to(params, now, advert), params).entered_from(before, cause),
        (Some(_), After::Leave) => resign(Step::quiet(left(params, before, now)), params).entered_from(before, cause),
    }
}

/// Resigns once more, in favour of a router that was perhaps not meant by the first resignation: one that was Active all
/// along and has not heard it would not know that hosts have to be told where the addresses are (§6.4.3 (705) makes it
/// answer). Third routers hear it too, and wait for their Skew_Time until the answer reaches them.
fn last_word(step: Step, params: &Params) -> Step {
    step.with(advertise(params, None))
}

/// New parameters without leaving the role; a lowered priority calls an election, if it may.
fn on_new_params(params: &Params, active: Active, now: Instant) -> Step {
    let advert_at = active.advert_at.min(now + params.advert_interval().as_duration());
    let active = match active.unsettled && params.settle().is_none() {
        // There is nothing to settle any more.
        true => Active { advert_at, unsettled: false, election_at: re_election_at(params, now), ..active },
        false => Active { advert_at, ..active },
    };
    let fell = params.is_degraded() && params.priority() < active.advertised && params.yields_when_degraded();
    match (active.phase, active.election_at) {
        // If one was called a short while ago, the next one is due when it is due.
        (Phase::Advertising, election_at) if fell && (active.unsettled || election_at.is_none()) => {
            call_election(params, active, now)
        }
        (Phase::Advertising | Phase::Standing(_) | Phase::HandingOver(..), _) => Step::quiet(State::Active(active)),
    }
}

/// As the others know it after an advertisement with its present priority.
fn advertised(params: &Params, active: Active) -> Active {
    Active { advertised: params.priority(), ..active }
}
