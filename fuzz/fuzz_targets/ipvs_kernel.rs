//! IPVS as the kernel tells of it, from any octets: see [`vrrp_ipvs::fuzzing`].
//!
//! The seeds are datagrams as a kernel 6.1 sends them, of request number 1.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vrrp_ipvs::fuzzing::kernel_answer(input));
