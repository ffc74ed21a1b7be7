//! What the guardian and its parent share: a table of slots, and room for what is in them.
//!
//! Each slot has two parts, and each part two versions, of which a word says which one counts. The parent writes the
//! other version and then sets the word, so that one that dies in the middle of it leaves the last complete version.

use std::collections::BTreeMap;

use vrrp_core::Instant;

use super::{Farewell, Guardian, Removal};
use crate::error::Error;
use crate::sys::guardian::{FIRST_WORD, SharedMemory, Window};

/// Octets of the shared memory. They are reserved only: pages come into being when they are first written to.
#[cfg(target_pointer_width = "64")]
const LENGTH: usize = 256 * 1024 * 1024;
#[cfg(not(target_pointer_width = "64"))]
const LENGTH: usize = 64 * 1024 * 1024;

// Words of the memory: slots in use so far, then the table.
const SLOTS_USED: usize = 0;
const TABLE: usize = FIRST_WORD;
/// Words of a slot: two cache lines.
const SLOT: usize = 16;

// Words of a slot: which version of a part counts (0: none, else 1 or 2), and the two versions.
const REMOVAL: Part = Part { current: 0, versions: 1, words: 4 };
const FAREWELL: Part = Part { current: 9, versions: 10, words: 2 };
/// Until when the farewell may be sent, in nanoseconds of `CLOCK_BOOTTIME`.
const UNTIL: usize = 14;

/// Octets of the smallest piece of room; larger ones are powers of two.
const SMALLEST: usize = 256;

/// A part of a slot. Each version begins with where its octets are.
#[derive(Clone, Copy)]
struct Part {
    current: usize,
    versions: usize,
    words: usize,
}

/// Octets of the shared memory, as the child is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// A removal in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedRemoval {
    pub(super) requests: Place,
    /// How many requests there are.
    pub(super) count: usize,
    pub(super) clean_up: Place,
}

/// The parent's side.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) shared: SharedMemory,
    slots: BTreeMap<usize, Slot>,
    /// Where room that was never used begins.
    fresh: usize,
    /// Pieces that are free, by their size.
    free: BTreeMap<usize, Vec<usize>>,
}

/// The pieces of room that a slot has.
#[derive(Debug, Default)]
struct Slot {
    removal: Versions,
    farewell: Versions,
}

#[derive(Debug, Default)]
struct Versions {
    /// Whether it is the second one that was written last.
    second: bool,
    pieces: [Option<Piece>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: usize,
    size: usize,
}

impl Memory {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            shared: SharedMemory::new(LENGTH)?,
            slots: BTreeMap::new(),
            fresh: (TABLE + SLOT * Guardian::SLOTS) * size_of::<u64>(),
            free: BTreeMap::new(),
        })
    }

    /// Whether anything is armed.
    pub(super) fn is_armed(&self) -> bool {
        !self.slots.is_empty()
    }

    pub(super) fn set_removal(&mut self, slot: usize, removal: &Removal) -> Result<(), Error> {
        let length = |octets: &[u8]| u64::try_from(octets.len()).unwrap_or(u64::MAX);
        let count = u64::try_from(removal.count).unwrap_or(u64::MAX);
        let words = [length(&removal.requests), count, length(&removal.clean_up)];
        self.put(slot, REMOVAL, |slot| &mut slot.removal, &[&removal.requests, &removal.clean_up], &words)
    }

    pub(super) fn set_farewell(&mut self, slot: usize, farewell: &Farewell) -> Result<(), Error> {
        let words = [u64::try_from(farewell.records.len()).unwrap_or(u64::MAX)];
        // Before the new version counts: it may be sent for longer than the old one, or the old one for a moment less.
        self.set_until(slot, farewell.until)?;
        self.put(slot, FAREWELL, |slot| &mut slot.farewell, &[&farewell.records], &words)
    }

    pub(super) fn set_until(&mut self, slot: usize, until: Option<Instant>) -> Result<(), Error> {
        self.shared.store(start_of(slot)? + UNTIL, until.map_or(u64::MAX, Instant::as_nanos));
        Ok(())
    }

    pub(super) fn clear(&mut self, slot: usize) {
        let (Ok(start), Some(Slot { removal, farewell })) = (start_of(slot), self.slots.remove(&slot)) else { return };
        self.shared.store(start + FAREWELL.current, 0);
        self.shared.store(start + REMOVAL.current, 0);
        removal.pieces.into_iter().chain(farewell.pieces).flatten().for_each(|piece| self.give_back(piece));
    }

    /// Writes the version of a part that does not count, and makes it count. `words` follow where it is.
    fn put(
        &mut self,
        slot: usize,
        part: Part,
        versions: fn(&mut Slot) -> &mut Versions,
        octets: &[&[u8]],
        words: &[u64],
    ) -> Result<(), Error> {
        let start = start_of(slot)?;
        let needed = octets.iter().map(|octets| octets.len()).sum();
        let entry = versions(self.slots.entry(slot).or_default());
        let second = !entry.second;
        let held = entry.pieces.get_mut(usize::from(second)).and_then(Option::take);
        let piece = match held.filter(|piece| piece.size >= needed) {
            Some(piece) => piece,
            None => {
                held.into_iter().for_each(|piece| self.give_back(piece));
                self.take(needed)?
            }
        };
        let mut offset = piece.offset;
        for octets in octets {
            self.shared.write(offset, octets);
            offset += octets.len();
        }
        let version = start + part.versions + if second { part.words } else { 0 };
        for (word, value) in std::iter::once(offset_word(piece.offset)).chain(words.iter().copied()).enumerate() {
            self.shared.store(version + word, value);
        }
        self.shared.store(start + part.current, if second { 2 } else { 1 });
        if let Some(entry) = self.slots.get_mut(&slot).map(versions) {
            entry.second = second;
            if let Some(place) = entry.pieces.get_mut(usize::from(second)) {
                *place = Some(piece);
            }
        }
        let used = self.slots.last_key_value().map_or(0, |(last, _)| last + 1);
        self.shared.store(SLOTS_USED, offset_word(used));
        Ok(())
    }

    fn take(&mut self, needed: usize) -> Result<Piece, Error> {
        let full = || Error::GuardianFull { octets: needed, capacity: LENGTH };
        let size = needed.max(SMALLEST).checked_next_power_of_two().ok_or_else(full)?;
        if let Some(offset) = self.free.get_mut(&size).and_then(Vec::pop) {
            return Ok(Piece { offset, size });
        }
        let offset = self.fresh;
        let end = offset.checked_add(size).filter(|end| *end <= self.shared.len()).ok_or_else(full)?;
        self.fresh = end;
        Ok(Piece { offset, size })
    }

    fn give_back(&mut self, piece: Piece) {
        self.free.entry(piece.size).or_default().push(piece.offset);
    }
}

/// The first word of a slot.
fn start_of(slot: usize) -> Result<usize, Error> {
    if slot < Guardian::SLOTS { Ok(TABLE + slot * SLOT) } else { Err(Error::GuardianSlot { slot }) }
}

fn offset_word(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}

// The child's side: it may read nonsense, and must not mind. See `sys::guardian` for what else it must not do.

/// How many slots to look at.
pub(super) fn slots_used(memory: &Window) -> usize {
    usize::try_from(memory.load(SLOTS_USED)).unwrap_or(0).min(Guardian::SLOTS)
}

/// What is to be removed for a slot, if it is armed.
pub(super) fn removal(memory: &Window, slot: usize) -> Option<SharedRemoval> {
    let [offset, requests, count, clean_up] = version(memory, slot, REMOVAL)?;
    let requests = Place { offset, length: requests };
    let clean_up = Place { offset: offset.checked_add(requests.length)?, length: clean_up };
    Some(SharedRemoval { requests, count, clean_up })
}

/// What is to be sent for a slot, if it is armed and not too old at `now`.
pub(super) fn farewell(memory: &Window, slot: usize, now: u64) -> Option<Place> {
    let [offset, length, ..] = version(memory, slot, FAREWELL)?;
    let until = memory.load(word(slot, UNTIL)?);
    if now <= until { Some(Place { offset, length }) } else { None }
}

/// The words of the version that counts, and possibly some of what follows it.
fn version(memory: &Window, slot: usize, part: Part) -> Option<[usize; 4]> {
    let first = match memory.load(word(slot, part.current)?) {
        1 => part.versions,
        2 => part.versions.checked_add(part.words)?,
        _ => return None,
    };
    let read =
        |at: usize| Some(usize::try_from(memory.load(word(slot, first.checked_add(at)?)?)).unwrap_or(usize::MAX));
    Some([read(0)?, read(1)?, read(2)?, read(3)?])
}

fn word(slot: usize, word: usize) -> Option<usize> {
    TABLE.checked_add(slot.checked_mul(SLOT)?)?.checked_add(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal_of(count: usize) -> Removal {
        let interface = vrrp_core::IfIndex::new(2).unwrap();
        let mut removal = Removal::new();
        for host in 0..count {
            let [_, _, high, low] = u32::try_from(host).unwrap().to_be_bytes();
            removal.address(interface, vrrp_core::VirtualAddr::host([198, 18, high, low].into()).unwrap());
        }
        removal
    }

    fn armed(memory: &Memory) -> usize {
        let window = memory.shared.window();
        (0..slots_used(&window)).filter(|slot| removal(&window, *slot).is_some()).count()
    }

    #[test]
    fn the_version_that_counts_is_never_the_one_that_is_written() {
        let mut memory = Memory::new().unwrap();
        let mut last = None;
        // Miri takes a minute for all of them.
        let many = if cfg!(miri) { 300 } else { 5000 };
        for count in [1, many, 2, 1, 3] {
            memory.set_removal(7, &removal_of(count)).unwrap();
            let found = removal(&memory.shared.window(), 7).unwrap();
            assert_eq!(found.count, count);
            assert_eq!(found.requests.length, count * found.requests.length / count);
            assert_ne!(last, Some(found.requests.offset));
            last = Some(found.requests.offset);
        }
        assert_eq!(slots_used(&memory.shared.window()), 8);
    }

    #[test]
    fn four_thousand_slots_have_room_and_what_is_cleared_is_used_again() {
        let mut memory = Memory::new().unwrap();
        let (few, many) = (removal_of(20), removal_of(5000));
        for round in 0..3 {
            for slot in 0..4000 {
                memory.set_removal(slot, &few).unwrap();
                memory.set_removal(slot, &few).unwrap();
            }
            memory.set_removal(4000, &many).unwrap();
            assert_eq!(armed(&memory), 4001, "round {round}");
            (0..=4000).for_each(|slot| memory.clear(slot));
            assert!(armed(&memory) == 0 && !memory.is_armed());
        }
        assert!(memory.fresh < 32 * 1024 * 1024, "{} octets", memory.fresh);
    }

    #[test]
    fn a_slot_too_many_and_octets_too_many_are_errors_that_change_nothing() {
        let mut memory = Memory::new().unwrap();
        let error = memory.set_removal(Guardian::SLOTS, &removal_of(1)).unwrap_err().to_string();
        assert!(error.starts_with("slot 8192 is not 0..=8191"), "{error}");
        memory.set_removal(0, &removal_of(1)).unwrap();
        let huge = Removal { requests: vec![0; LENGTH], ..Removal::new() };
        let error = memory.set_removal(0, &huge).unwrap_err().to_string();
        assert!(error.contains("has no room for"), "{error}");
        assert_eq!(removal(&memory.shared.window(), 0).unwrap().count, 1);
        memory.set_removal(0, &removal_of(2)).unwrap();
        assert_eq!(removal(&memory.shared.window(), 0).unwrap().count, 2);
    }

    #[test]
    fn a_farewell_ends_with_its_time() {
        let mut memory = Memory::new().unwrap();
        let until = Instant::from_nanos(1000);
        memory.set_farewell(3, &Farewell { until: Some(until), ..Farewell::new() }).unwrap();
        let found = |memory: &Memory, now| farewell(&memory.shared.window(), 3, now).is_some();
        assert!(found(&memory, 1000) && !found(&memory, 1001));
        memory.set_until(3, Some(Instant::from_nanos(2000))).unwrap();
        assert!(found(&memory, 2000) && !found(&memory, 2001));
        memory.set_until(3, None).unwrap();
        assert!(found(&memory, u64::MAX));
    }

    #[test]
    fn nonsense_in_the_memory_is_harmless() {
        let mut memory = Memory::new().unwrap();
        for word in [SLOTS_USED].into_iter().chain(TABLE..TABLE + 4 * SLOT) {
            memory.shared.store(word, u64::MAX);
        }
        let window = memory.shared.window();
        assert_eq!(slots_used(&window), Guardian::SLOTS);
        assert_eq!((removal(&window, 0), farewell(&window, 0, 0)), (None, None));
        for part in [REMOVAL, FAREWELL] {
            memory.shared.store(TABLE + part.current, 2);
        }
        let window = memory.shared.window();
        assert_eq!(removal(&window, 0), None);
        assert!(farewell(&window, 0, 0).is_some_and(|place| place.length == usize::MAX));
    }
}
