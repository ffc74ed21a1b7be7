//! What management asks for beside the state, the parameters and the counters (RFC 8347 §2, RFC 6527 §5).

use core::net::IpAddr;
use core::time::Duration;

use crate::wire::Accepted;
use crate::{Action, Alarm, Cause, Instant, Priority, Role, State, Transition};

use super::{RouterId, Slot, VrrpRouter};

/// What one virtual router has been through, from when it was added. What it is doing now is its
/// [`state`](VrrpRouter::state): the role, and in it `Active::since` and the deadlines.
///
/// Times are the caller's [`Instant`]s. RFC 8347 wants dates: take the time of day for the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Status {
    /// Where the last advertisement that was accepted came from, and when (`last-adv-source`).
    pub last_advert: Option<(IpAddr, Instant)>,
    /// The last change of role, with its cause, and when (`last-event`).
    pub last_transition: Option<(Transition, Instant)>,
    /// Why it last became Active (`new-master-reason`); with a [`Gate`](crate::Gate) the reason is that of the claim.
    pub became_active: Option<Cause>,
    /// Since when it takes part; `None` in Initialize (`up-datetime`).
    pub up_since: Option<Instant>,
    /// The most that a deadline was handled late.
    pub worst_lateness: Duration,
}

impl VrrpRouter {
    /// What a virtual router has been through.
    pub fn status(&self, id: RouterId) -> Option<&Status> {
        self.slot(id).map(|entry| &entry.rest.status)
    }

    /// Takes over what is worth knowing of an advertisement that was accepted.
    pub(super) fn note(&mut self, now: Instant, id: RouterId, accepted: &Accepted) {
        let Some(entry) = self.slot_mut(id) else { return };
        entry.note(now, accepted);
        let source = accepted.advert.source;
        let equal = entry.is_as_strong(accepted.advert.priority);
        if !equal {
            // Once it has another priority it may become a mistake anew.
            if entry.equal == Some(source) {
                entry.equal = None;
            }
        } else if entry.equal.replace(source) != Some(source) {
            self.raise(now, id, Alarm::EqualPriority(source));
        }
    }
}

impl Slot {
    /// Whether another router has the priority that this one is configured with. Two that are degraded to the same are no
    /// mistake of anybody's, and two owners are an alarm of their own.
    fn is_as_strong(&self, priority: Option<Priority>) -> bool {
        let params = self.router.params();
        let ours = params.priority();
        priority == Some(ours)
            && ours == params.base_priority()
            && !ours.is_owner()
            && self.router.state().role() != Role::Initialize
    }

    fn note(&mut self, now: Instant, accepted: &Accepted) {
        let advert = accepted.advert;
        let rivals = match self.router.state() {
            State::Active(_) => advert.priority.is_some(),
            State::Claimant(claimant) => advert.priority.is_some() && !claimant.is_silent(),
            State::Initialize(_) | State::Backup(_) => false,
        };
        let other_form = accepted.notes.checksum_form.is_some_and(|form| form != self.checksum_form());
        let counters = &mut self.rest.counters;
        counters.adverts_received += 1;
        // What is seldom stays out of the caches: adding nothing would fetch it.
        for (seen, counter) in [
            (advert.priority.is_none(), &mut counters.resignations_received),
            (accepted.notes.interval_differs, &mut counters.interval_differs),
            (accepted.notes.is_address_list_error(), &mut counters.address_list_differs),
            (rivals, &mut counters.rivals_seen),
            (other_form, &mut counters.other_checksum_form),
        ] {
            if seen {
                *counter += 1;
            }
        }
        self.heard_checksum = accepted.notes.checksum_form.or(self.heard_checksum);
        self.rest.status.last_advert = Some((advert.source, now));
    }

    /// Takes over a change of role.
    pub(super) fn enter(&mut self, now: Instant, change: Transition) {
        let status = &mut self.rest.status;
        let before = status.last_transition.replace((change, now));
        if change.from == Role::Initialize {
            status.up_since = Some(now);
        }
        match change.to {
            Role::Initialize => status.up_since = None,
            Role::Backup | Role::Claimant => {}
            Role::Active => {
                self.rest.counters.became_active += 1;
                let claim = before.filter(|_| change.cause == Cause::Confirmed).map(|(claim, _)| claim.cause);
                status.became_active = Some(claim.unwrap_or(change.cause));
            }
        }
        self.promoting |= super::is_promotion(Action::Transition(change));
    }

    /// A deadline of `due` is handled.
    pub(super) fn fired(&mut self, now: Instant, due: Instant) {
        let late = now.since(due);
        if late.is_zero() {
            return;
        }
        let interval = self.router.params().advert_interval().as_duration();
        self.rest.counters.late_timers += u64::from(late > interval / 2);
        self.rest.status.worst_lateness = self.rest.status.worst_lateness.max(late);
    }
}
