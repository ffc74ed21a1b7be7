//! Answers of the servers that are checked, from any octets: see [`fuzz::checks`].

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus { if fuzz::checks::read(input) { Corpus::Keep } else { Corpus::Reject } });
