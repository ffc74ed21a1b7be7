//! Passwords and signatures: see [`fuzz::auth`]. Each input is both a packet with a trailer and a session.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    fuzz::auth::parse_signed(input);
    if let Ok(session) = fuzz::auth::Session::arbitrary_take_rest(Unstructured::new(input)) {
        fuzz::auth::run(&session);
    }
});
