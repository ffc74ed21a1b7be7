//! The packet on the wire.
