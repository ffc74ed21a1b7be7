//! VRRP as pure functions of events.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod action;
pub mod election;
mod event;
mod params;
#[cfg(feature = "alloc")]
mod queue;
mod state;
mod step;
pub mod time;
pub mod timers;
mod types;
mod virtual_router;
pub mod wire;

pub use action::{Action, Actions, Alarm, Cause, Claim, Transition};
pub use event::{Advert, Event, Fault, Faults};
pub use params::{Params, ParamsError, Preempt};
pub use state::{Active, Backup, Heard, Initialize, Role, State, Timer};
pub use step::{Step, step};
pub use time::Instant;
pub use types::{Family, IfIndex, Interval, Priority, ValueError, Version, VirtualAddr, Vrid};
pub use virtual_router::VirtualRouter;
