//! VRRPv3 from any octets: see [`fuzz::packet`].

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus { if fuzz::packet::read(input, 3) { Corpus::Keep } else { Corpus::Reject } });
