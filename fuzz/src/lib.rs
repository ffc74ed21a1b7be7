//! What the fuzz targets share. Each target is a few lines around one of these modules.
//!
//! A failure is a panic: the assertions here are the rules.

pub mod auth;
pub mod checks;
pub mod configuration;
pub mod lan;
pub mod packet;
pub mod roundtrip;
pub mod router;
