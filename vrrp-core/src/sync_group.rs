//! Sync groups: virtual routers that are one election, such as the two sides of a firewall (not in the RFC).
//!
//! Pure functions of the members' states; [`VrrpRouter`](crate::VrrpRouter) asks them after each event and gives the
//! members the events that follow.

use crate::{Fault, Heard, Instant, State};

/// Whether the group may take over: each member would by itself at `now`, or has.
pub fn may_promote(now: Instant, members: impl IntoIterator<Item = State>) -> bool {
    members.into_iter().all(|state| match state {
        State::Initialize(_) => false,
        State::Backup(backup) => backup.down_at <= now,
        State::Claimant(_) | State::Active(_) => true,
    })
}

/// Whether some member hears an Active that it accepts, at `now`. If another member hears none, the group sees only a
/// part of its peers.
pub fn hears_an_active(now: Instant, members: impl IntoIterator<Item = State>) -> bool {
    members.into_iter().any(|state| match state {
        State::Backup(backup) => backup.heard == Heard::Active && now < backup.down_at,
        State::Initialize(_) | State::Claimant(_) | State::Active(_) => false,
    })
}

/// Whether a member has a fault of its own, and not only because another one has.
pub fn has_own_fault(state: State) -> bool {
    !state.faults().without(Fault::Group).is_empty()
}

/// Whether a member is in a role that it holds only together with the others.
pub fn claims(state: State) -> bool {
    match state {
        State::Claimant(_) | State::Active(_) => true,
        State::Initialize(_) | State::Backup(_) => false,
    }
}
