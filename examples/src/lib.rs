//! What the example programs share: settings from a command line or a file, and the engine of the daemons.

#[cfg(feature = "daemons")]
pub mod control;
#[cfg(feature = "daemons")]
pub mod daemon;
pub mod keepalived;
#[cfg(feature = "daemons")]
pub mod logging;
#[cfg(feature = "daemons")]
pub mod settings;

/// The README's code compiles.
#[cfg(all(doctest, feature = "daemons"))]
#[doc = include_str!("../../README.md")]
struct Readme;
