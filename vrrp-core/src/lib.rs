//! The Virtual Router Redundancy Protocol as pure functions of events: VRRPv3 (RFC 9568, RFC 5798) and VRRPv2 (RFC
//! 3768).
//!
//! One of several hosts holds a set of virtual addresses; when it fails, another takes over within the protocol's
//! bound. This crate decides; it does no I/O, reads no clock, starts no thread, and its kernel does not allocate.
//! `vrrp-net` is the part that talks to Linux.
//!
//! # The contract
//!
//! - **In**: [`Event`]s, or the datagrams that [`VrrpRouter`] makes events of, each with the time at which it happens.
//! - **Out**: [`Action`]s, to be carried out in order, and one deadline, at which [`Event::Timeout`] is due. The order
//!   carries meaning: advertise, install, announce; remove, then resign.
//! - **Time** is an [`Instant`], nanoseconds on a monotonic clock of the caller's, and never goes back. Deadlines are
//!   given back on the same clock. A timeout that comes early does nothing; after one that comes late nothing is made
//!   up for in a burst.
//! - **Failure is another input**: an action that cannot be carried out comes back as [`Event::Fault`], and what was to
//!   follow it must not happen ([`VrrpRouter::cancel_actions`]).
//! - **Every input is answered**: no event in any state, and no octets, lead to a panic. Values that no router can run
//!   with are refused where they are made, with the value and what would be right; datagrams are dropped with one
//!   [`Reason`](wire::Reason) each, and a dropped one changes nothing but a counter.
//! - The same events give the same actions, on every machine. [`State`] is `Copy + Eq + Hash`, so that a run can be
//!   replayed, searched by a model checker, or carried over an `exec`.
//!
//! # The loop
//!
//! 1. Sleep until the deadline ([`poll_timeout`](VrrpRouter::poll_timeout)) or until something can be read.
//! 2. Take the time, once.
//! 3. **Read before you act**: hand in every datagram that is waiting, and every fault that is known.
//! 4. [`handle_timeout`](VrrpRouter::handle_timeout), whether the deadline has come or not.
//! 5. Carry out what [`poll_action`](VrrpRouter::poll_action) gives until there is nothing left. Begin again.
//!
//! Step 3 before step 4 is the stall rule. A process that was held up (a paused machine, a long collection of garbage)
//! finds its deadline long past, and the advertisements of a healthy Active waiting; had it acted first, there would be
//! two. An Active that was held up for longer than Active_Down_Interval has been replaced, as far as it can know: if it
//! does not preempt it leaves the role to whoever it hears, else it goes on and announces its addresses again.
//!
//! # Layers
//!
//! | layer | what | allocates |
//! |---|---|---|
//! | [`step()`] | the transition function: [`Params`], [`State`], [`Event`] to [`State`], [`Action`]s | no |
//! | [`VirtualRouter`] | parameters and state of one virtual router, kept together | no |
//! | [`VrrpRouter`] | many of them by interface, VRID and family: datagrams in, actions out, one deadline | yes |
//! | [`wire`] | the packet: checked parsing, emitting into a buffer of yours | no |
//!
//! # Two routers, one failure
//!
//! ```
//! use std::time::Duration;
//! use vrrp_core::{Action, Advert, Event, Family, Instant, Params, Priority, Role, Version, VirtualRouter};
//!
//! let params = |priority, address: &str| {
//!     let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(priority).unwrap());
//!     params.with_primary_address(Some(address.parse().unwrap())).unwrap()
//! };
//! let mut routers =
//!     [VirtualRouter::new(params(150, "192.0.2.1")), VirtualRouter::new(params(100, "192.0.2.2"))];
//! for router in &mut routers {
//!     let _ = router.handle_event(Instant::ZERO, Event::Startup);
//! }
//!
//! // The loop: sleep until the earliest deadline, fire it, carry out the actions. Here the network is a function call.
//! let mut run = |routers: &mut [VirtualRouter], until: Instant| {
//!     while let Some((now, n)) =
//!         (0..routers.len()).filter_map(|n| Some((routers[n].poll_timeout()?, n))).min().filter(|(now, _)| *now <= until)
//!     {
//!         for action in routers[n].handle_timeout(now) {
//!             if let Action::SendAdvert(claim) = action {
//!                 let source = routers[n].params().primary_address().unwrap();
//!                 let advert = Advert { source, priority: claim.priority, interval: claim.interval };
//!                 for m in (0..routers.len()).filter(|m| *m != n) {
//!                     let _ = routers[m].handle_event(now, Event::Advert(advert));
//!                 }
//!             }
//!         }
//!     }
//! };
//! run(&mut routers, Instant::from_millis(10_000));
//! assert_eq!(routers.map(|router| router.state().role()), [Role::Active, Role::Backup]);
//!
//! // The first one's power fails: the second hears nothing for Active_Down_Interval, 3.609375 s at priority 100.
//! let survivors = &mut routers[1..];
//! run(survivors, Instant::from_millis(13_000));
//! assert_eq!(survivors[0].state().role(), Role::Backup);
//! run(survivors, Instant::from_millis(14_000));
//! assert_eq!(survivors[0].state().role(), Role::Active);
//! # assert_eq!(survivors[0].params().active_down_interval(survivors[0].params().advert_interval()),
//! #     Duration::from_nanos(3_609_375_000));
//! ```
//!
//! # What VRRP cannot promise
//!
//! - **One Active in a partition.** Two hosts that cannot hear each other both become Active: no protocol without a
//!   third party can tell a dead peer from a cut cable. Where that must not happen let a [`Gate`] ask a quorum or a
//!   fence first.
//! - **Security on the link.** It does not protect against somebody on the link who forges packets, or who answers ARP
//!   for the addresses; that the TTL must be 255 keeps out only those who are not on it (RFC 9568 §9, RFC 5082). The
//!   password of VRRPv2 is none that a reader of the wire could not read. [`auth-hmac`](#features) stops forged
//!   advertisements, and nothing else.
//! - **A takeover without a gap.** After a crash the others wait for Active_Down_Interval, three intervals and a part
//!   of one; only a planned [`HandOver`] has no gap.
//!
//! # Conformance
//!
//! `CONFORMANCE.md`, beside this crate's manifest, lists every rule of RFC 9568, 5798 and 3768 with the place where it
//! is done and the test that holds it, and what differs on purpose.
//!
//! # Features
//!
//! `std` (default) implies `alloc`, which brings [`VrrpRouter`]. `serde` lets states, events and actions be stored.
//! `auth-hmac` brings the signed advertisements of keepalived 2.4. Without any, the crate is `no_std` and needs no
//! allocator.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// Whatever arrives, nothing panics.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod action;
mod counters;
pub mod election;
mod event;
#[cfg(feature = "auth-hmac")]
pub mod hmac;
mod params;
#[cfg(feature = "alloc")]
mod queue;
#[cfg(feature = "alloc")]
mod router;
#[cfg(feature = "sim")]
pub mod sim;
mod state;
mod step;
pub mod sync_group;
pub mod time;
pub mod timers;
pub mod track;
mod types;
mod virtual_router;
pub mod wire;

pub use action::{Action, Actions, Alarm, Cause, Claim, Transition};
pub use counters::{Counters, Discards};
pub use event::{Advert, After, Event, Fault, Faults};
pub use params::{Gate, HandOver, Params, ParamsError, Preempt, Yield};
#[cfg(feature = "alloc")]
pub use router::{
    Addressing, AdvertError, ConfigError, GroupId, Outgoing, RouterId, Status, VirtualRouterConfig, VrrpRouter,
};
pub use state::{Active, Backup, Claimant, Heard, Initialize, Phase, Rivalry, Role, State, Timer};
pub use step::{Step, step};
pub use time::Instant;
pub use types::{Family, IfIndex, Interval, Priority, ValueError, Version, VirtualAddr, Vrid};
pub use virtual_router::VirtualRouter;
