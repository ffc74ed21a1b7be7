//! A whole simulated LAN: see [`fuzz::lan`].

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|story: fuzz::lan::Story| fuzz::lan::run(&story));
