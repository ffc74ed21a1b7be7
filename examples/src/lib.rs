//! What the example programs share: settings from a command line or a file, and the loop around a driver.

pub mod control;
pub mod daemon;
pub mod service;
pub mod settings;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
