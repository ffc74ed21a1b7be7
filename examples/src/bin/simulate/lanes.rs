//! What there is to draw: a lane for each virtual router of each node.

use vrrp_net::vrrp_core::sim::{Happening, MemberId, ProcessState, Sim};
use vrrp_net::vrrp_core::{Instant, Role};

/// What happened to one virtual router.
pub(super) struct Lane {
    pub(super) name: String,
    /// The node it is on.
    pub(super) node: String,
    /// The times in a role; `None`: without a process.
    pub(super) roles: Vec<Span<Option<Role>>>,
    /// The times in which its process was held up.
    pub(super) held_up: Vec<Span<()>>,
    /// The times in which its kernel had the addresses.
    pub(super) addresses: Vec<Span<()>>,
    pub(super) adverts: Vec<(Instant, Advert)>,
}

/// A time in which something was so.
pub(super) struct Span<T> {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) what: T,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Advert {
    Sent,
    /// Priority 0.
    Resignation,
    /// It did not leave the node.
    Failed,
}

/// The lanes of all virtual routers, in the order in which they were made.
pub(super) fn of(sim: &Sim) -> Vec<Lane> {
    sim.members().map(|member| lane(sim, member)).collect()
}

fn lane(sim: &Sim, member: MemberId) -> Lane {
    let mut adverts = Vec::new();
    let mut roles = Track::new(None);
    let (mut held_up, mut addresses) = (Track::new(false), Track::new(false));
    for moment in sim.history().iter().filter(|moment| moment.whom == member) {
        let at = moment.at;
        match moment.what {
            Happening::Process(state) => {
                held_up.set(at, state == ProcessState::HeldUp);
                match state {
                    ProcessState::Gone => roles.set(at, None),
                    // It goes on in the role that it had.
                    ProcessState::Running => roles.set(at, roles.now.or(Some(Role::Initialize))),
                    ProcessState::HeldUp => {}
                }
            }
            Happening::Role(role) => roles.set(at, Some(role)),
            Happening::Holds(held) => addresses.set(at, held),
            Happening::Sends { leaves: false, .. } => adverts.push((at, Advert::Failed)),
            Happening::Sends { priority: None, .. } => adverts.push((at, Advert::Resignation)),
            Happening::Sends { priority: Some(_), .. } => adverts.push((at, Advert::Sent)),
            _ => {}
        }
    }
    let only = |track: Track<bool>| {
        let spans = track.end(sim.now()).into_iter().filter(|span| span.what);
        spans.map(|Span { from, to, .. }| Span { from, to, what: () }).collect()
    };
    Lane {
        name: sim.label(member),
        node: sim.name(member.node()).to_owned(),
        roles: roles.end(sim.now()),
        held_up: only(held_up),
        addresses: only(addresses),
        adverts,
    }
}

/// Something that changes over time.
struct Track<T> {
    now: T,
    since: Instant,
    past: Vec<Span<T>>,
}

impl<T: Copy + PartialEq> Track<T> {
    fn new(first: T) -> Self {
        Self { now: first, since: Instant::ZERO, past: Vec::new() }
    }

    fn set(&mut self, at: Instant, what: T) {
        if what != self.now {
            // What lasted no time is not seen.
            if at > self.since {
                self.past.push(Span { from: self.since, to: at, what: self.now });
            }
            (self.now, self.since) = (what, at);
        }
    }

    fn end(mut self, at: Instant) -> Vec<Span<T>> {
        self.past.push(Span { from: self.since, to: at, what: self.now });
        self.past
    }
}
