//! What the programs of this crate have in common: hosts and their network, what runs on them, and what the recorded
//! frames say.

pub mod frames;
pub mod net;
pub mod node;
pub mod statistics;
pub mod subject;
