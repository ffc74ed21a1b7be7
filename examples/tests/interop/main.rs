//! Together with keepalived and FRR, over real packets: who is Active, whatever happens to whom, and what a client sees.
//!
//! [`matrix`] is the list of what is run: the cases of a test run side by side, each in a lab of its own. Debian's
//! keepalived 2.2.7 and FRR 8.4.4 are known to pass.

#[path = "../common/mod.rs"]
mod common;

mod election;
mod frr;
mod keepalived;
mod lan;
mod matrix;
mod member;
mod three;
