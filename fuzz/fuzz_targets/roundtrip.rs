//! The codec both ways: see [`fuzz::roundtrip`]. Each input is both something to send and octets to receive.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    fuzz::roundtrip::parse_then_emit(input);
    if let Ok(sent) = fuzz::roundtrip::Sent::arbitrary_take_rest(Unstructured::new(input)) {
        fuzz::roundtrip::emit_then_parse(&sent);
    }
});
