//! What the example programs share: settings from a command line or a file, and the loop around a driver.

pub mod service;
pub mod settings;
