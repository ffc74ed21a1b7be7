//! keepalived.conf from any octets: see [`fuzz::configuration`].

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::configuration::read(input));
