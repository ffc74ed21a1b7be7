//! What the guardian's process does: wait, remove, send, end.
//!
//! It runs in a fork of a program that may have threads: nothing here allocates, locks or can panic, and arithmetic is
//! checked, so that it cannot do so in a debug build either. See `sys::guardian`.

use std::cell::Cell;
use std::net::IpAddr;

use super::memory::{self, Place, SharedRemoval};
use crate::sys::guardian::{self as sys, Given, Wake};

/// Requests in one send, as everywhere; the kernel carries them out one by one all the same.
const BATCH: usize = 200;
/// Octets in one send, well below the smallest send buffer that the kernel gives.
const BATCH_OCTETS: usize = 16 * 1024;

/// Up to how many requests a slot goes with the first.
const FEW: usize = 8;
/// From more requests than this on they keep the others waiting for longer than their hosts need: the farewell first.
const MANY: usize = 200;

/// Packets that go out without a rest. A Backup for many virtual routers may read all of them from one socket, which by
/// default has room for less than three hundred, and has work to do after each; those it loses it notices only after
/// Active_Down_Interval. So 255 virtual routers take some 25 ms.
const PACKETS_AT_ONCE: u32 = 32;

/// Octets before each packet: interface, family, destination, length.
pub(super) const RECORD: usize = 32;

/// The child's life.
pub(crate) fn live(given: &Given) {
    match sys::wait(given) {
        Wake::Act => act(given),
        Wake::Leave => {}
    }
}

/// Removes the addresses and resigns: those first that are quickly done.
///
/// An address is to be gone before the successor takes it, so it goes first; but its successor is not to wait for
/// thousands of them, nor anybody for a link to go, which takes the kernel some ten milliseconds each.
fn act(given: &Given) {
    let (memory, now) = (&given.memory, sys::now());
    let slots = || 0..memory::slots_used(memory);
    let count = |slot| memory::removal(memory, slot).map_or(0, |removal| removal.count);
    let remove = |slot| {
        if let Some(SharedRemoval { requests, .. }) = memory::removal(memory, slot) {
            request(given, requests);
        }
    };
    let since_rest = Cell::new(0_u32);
    let speak = |slot| {
        if let Some(records) = memory::farewell(memory, slot, now) {
            since_rest.set(since_rest.get().saturating_add(send(given, records)));
        }
    };
    // Not between the removal of an address and its farewell.
    let rest = |slot| {
        if since_rest.get() >= PACKETS_AT_ONCE && memory::farewell(memory, slot, now).is_some() {
            sys::rest();
            since_rest.set(0);
        }
    };
    for (least, most) in [(0, FEW), (FEW.saturating_add(1), MANY)] {
        for slot in slots().filter(|slot| (least..=most).contains(&count(*slot))) {
            rest(slot);
            remove(slot);
            speak(slot);
        }
    }
    let many = || slots().filter(|slot| count(*slot) > MANY);
    for slot in many() {
        rest(slot);
        speak(slot);
    }
    many().for_each(remove);
    for removal in slots().filter_map(|slot| memory::removal(memory, slot)) {
        request(given, removal.clean_up);
    }
}

/// Hands requests to the kernel, in batches of whole ones.
fn request(given: &Given, all: Place) {
    let Some(end) = all.offset.checked_add(all.length) else { return };
    let (mut start, mut at, mut count) = (all.offset, all.offset, 0_usize);
    while let Some(length) = request_length(given, at, end) {
        let Some(next) = at.checked_add(length) else { break };
        if count >= BATCH || next.saturating_sub(start) > BATCH_OCTETS {
            sys::send_requests(given, start, at.saturating_sub(start));
            (start, count) = (at, 0);
        }
        (at, count) = (next, count.saturating_add(1));
    }
    if at > start {
        sys::send_requests(given, start, at.saturating_sub(start));
    }
}

/// Octets of the request here, with its padding: the first field of a `struct nlmsghdr`, which has 16.
fn request_length(given: &Given, at: usize, end: usize) -> Option<usize> {
    let length = usize::try_from(u32::from_ne_bytes(given.memory.octets(at)?)).ok()?;
    let padded = length.checked_next_multiple_of(4)?;
    if length >= 16 && at.checked_add(padded)? <= end { Some(padded) } else { None }
}

/// Sends packets. Returns how many.
fn send(given: &Given, records: Place) -> u32 {
    let (mut at, mut count) = (records.offset, 0_u32);
    let Some(end) = records.offset.checked_add(records.length) else { return count };
    while at < end {
        let Some(next) = send_one(given, at, end) else { break };
        (at, count) = (next, count.saturating_add(1));
    }
    count
}

/// Sends the packet whose record is here. Returns where the next one is.
fn send_one(given: &Given, at: usize, end: usize) -> Option<usize> {
    let record: [u8; RECORD] = given.memory.octets(at)?;
    let (interface, rest) = record.split_first_chunk::<4>()?;
    let (family, rest) = rest.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
    let destination = match u32::from_ne_bytes(*family) {
        4 => IpAddr::from(*destination.first_chunk::<4>()?),
        6 => IpAddr::from(*destination),
        _ => return None,
    };
    let packet = at.checked_add(RECORD)?;
    let next = packet.checked_add(length.checked_next_multiple_of(8)?)?;
    if next > end {
        return None;
    }
    sys::send_packet(given, u32::from_ne_bytes(*interface), destination, packet, length);
    Some(next)
}
