//! What the example programs share: settings from a command line or a file, and the engine of the daemons.

pub mod control;
pub mod daemon;
pub mod keepalived;
pub mod logging;
pub mod settings;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
