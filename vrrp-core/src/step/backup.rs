//! §6.4.2 Backup.

use super::{Step, claim_role, learn_interval, learns_intervals, leave};
use crate::state::{Backup, Heard};
use crate::{Advert, After, Cause, Event, Instant, Params, Preempt, State};

/// §6.4.2 Backup.
pub(super) fn in_backup(params: &Params, backup: Backup, now: Instant, event: Event) -> Step {
    let before = State::Backup(backup);
    match event {
        // (325) Shutdown: no advertisement, since it was not the one who answered for the addresses.
        Event::Shutdown | Event::HandOver(After::Leave) => {
            Step::quiet(State::new()).entered_from(before, Cause::Shutdown)
        }
        // (345) Active_Down_Timer fires.
        Event::Timeout if now >= backup.down_at => {
            let cause = match backup.heard {
                Heard::Nobody | Heard::Itself | Heard::Active => Cause::NoResponse,
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

/// (385) - (440): what a Backup makes of an advertisement.
pub(super) fn hear(params: &Params, backup: Backup, now: Instant, advert: Advert) -> Backup {
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
        Heard::Nobody | Heard::Itself => params.advert_interval(),
        // VRRPv2 learns none: its interval is its own.
        Heard::Active | Heard::LowerPriority | Heard::Resignation if !learns_intervals(params) => {
            params.advert_interval()
        }
        Heard::Active | Heard::LowerPriority | Heard::Resignation => backup.active_adver_interval,
    };
    let wait = match backup.heard {
        Heard::Resignation => params.skew_time(active_adver_interval),
        Heard::Nobody | Heard::Itself | Heard::Active | Heard::LowerPriority => {
            params.active_down_interval(active_adver_interval)
        }
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
