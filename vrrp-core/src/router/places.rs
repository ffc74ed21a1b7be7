//! Finds the place of a virtual router by interface, family and VRID: a hash table with open addressing.
//!
//! Each datagram is looked up here, so a look-up reads one place of 16 octets, or a few that follow it. What is in it is
//! the administrator's choice, not a sender's, so there is nothing to be gained from keys that collide.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::{Family, IfIndex, Vrid};

/// What is unique on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(NonZeroU64);

impl Key {
    pub(super) fn new(interface: IfIndex, family: Family, vrid: Vrid) -> Self {
        let family = match family {
            Family::V4 => 0,
            Family::V6 => 1 << 8,
        };
        let bits = u64::from(interface.get()) << 9 | family | u64::from(vrid.get());
        Self(NonZeroU64::MIN.saturating_add(bits))
    }
}

/// Slots by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// A power of two of them, at least a quarter of which are free; or none.
    entries: Vec<Option<(Key, usize)>>,
    taken: usize,
}

impl Places {
    pub(super) fn get(&self, key: Key) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            match self.entries.get(at)? {
                Some((other, slot)) if *other == key => return Some(*slot),
                Some(_) => at = self.after(at),
                None => return None,
            }
        }
    }

    /// Sets the slot of `key`.
    pub(super) fn insert(&mut self, key: Key, slot: usize) {
        if (self.taken + 1) * 4 > self.entries.len() * 3 {
            let grown = alloc::vec![None; (self.entries.len() * 2).max(8)];
            let old = core::mem::replace(&mut self.entries, grown);
            self.taken = 0;
            for (key, slot) in old.into_iter().flatten() {
                self.insert(key, slot);
            }
        }
        let mut at = self.home(key);
        while let Some(place) = self.entries.get_mut(at) {
            match place {
                Some((other, _)) if *other != key => at = self.after(at),
                Some(_) => return *place = Some((key, slot)),
                None => {
                    *place = Some((key, slot));
                    self.taken += 1;
                    return;
                }
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        let mut at = self.home(key);
        while let Some(Some((other, _))) = self.entries.get(at)
            && *other != key
        {
            at = self.after(at);
        }
        let Some(taken) = self.entries.get_mut(at).and_then(Option::take) else { return };
        debug_assert!(taken.0 == key, "the search ended at another key");
        self.taken -= 1;
        // Those that follow without a gap may have been put off by it: find each its place again.
        at = self.after(at);
        while let Some((key, slot)) = self.entries.get_mut(at).and_then(Option::take) {
            self.taken -= 1;
            self.insert(key, slot);
            at = self.after(at);
        }
    }

    /// Where the search for `key` starts: the upper bits of a product that mixes all of it (Fibonacci hashing), but for
    /// the last two. Four VRIDs in a row share a cache line, for what is on one interface is often heard in that order.
    fn home(&self, key: Key) -> usize {
        let key = key.0.get();
        let mixed = (key >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30;
        usize::try_from(mixed & !3 | key & 3).unwrap_or_default() & self.mask()
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    fn mask(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map_over_a_long_random_run() {
        let (mut places, mut model) = (Places::default(), BTreeMap::new());
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        // Miri takes minutes for all of them.
        let steps = if cfg!(miri) { 2_000 } else { 100_000 };
        for slot in 0..steps {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let interface = IfIndex::new(u32::try_from(random >> 40 & 7).unwrap() + 1).unwrap();
            let family = if random >> 50 & 1 == 0 { Family::V4 } else { Family::V6 };
            let vrid = Vrid::new(u8::try_from(random >> 52 & 63).unwrap() + 1).unwrap();
            let key = Key::new(interface, family, vrid);
            if random >> 33 & 3 == 0 {
                places.insert(key, slot);
                model.insert(key.0, slot);
            } else {
                places.remove(key);
                model.remove(&key.0);
            }
            assert_eq!(places.taken, model.len());
            assert_eq!(places.get(key), model.get(&key.0).copied());
            if slot % 1000 == 0 {
                assert!(model.iter().all(|(key, slot)| places.get(Key(*key)) == Some(*slot)));
            }
        }
    }

    #[test]
    fn an_empty_table_holds_nothing() {
        let key = Key::new(IfIndex::new(1).unwrap(), Family::V4, Vrid::new(1).unwrap());
        let mut places = Places::default();
        assert_eq!(places.get(key), None);
        places.remove(key);
        assert_eq!(places.get(key), None);
    }
}
