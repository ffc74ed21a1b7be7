//! The transition function: see [`fuzz::router`].

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|life: fuzz::router::Life| fuzz::router::run(&life));
