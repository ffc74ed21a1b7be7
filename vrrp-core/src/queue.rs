//! The next deadline of many: a binary heap that is put right lazily.
//!
//! A Backup moves its deadline away with every advertisement it hears. Those moves cost nothing here: the heap keeps one
//! entry a router, which is allowed to be early; only when it comes to the top is it put right.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::Instant;

/// Deadlines of slots `0..n`, at most one each.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeadlineQueue {
    /// May hold entries that are early or out of date, never none for a slot whose deadline is set.
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The deadline; the end of time if there is none.
    due: Instant,
    /// The earliest entry in the heap that stands for this slot, no later than `due`; the end of time if there is none.
    queued: Instant,
}

impl Slot {
    const IDLE: Self = Self { due: Instant::FAR_FUTURE, queued: Instant::FAR_FUTURE };
}

impl DeadlineQueue {
    /// Sets or clears the deadline of `slot`: O(1) if it moves away, else O(log n). The end of time is no deadline.
    pub(crate) fn set(&mut self, slot: usize, due: Option<Instant>) {
        if slot >= self.slots.len() {
            self.slots.resize(slot.saturating_add(1), Slot::IDLE);
        }
        let Some(entry) = self.slots.get_mut(slot) else { return };
        let due = due.unwrap_or(Instant::FAR_FUTURE);
        entry.due = due;
        if due < entry.queued {
            entry.queued = due;
            self.heap.push(Reverse((due, slot)));
        }
    }

    /// The slots whose deadline has come, in no order of time.
    #[cfg(feature = "sim")]
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = usize> + '_ {
        self.slots.iter().enumerate().filter(move |(_, entry)| entry.due <= now).map(|(slot, _)| slot)
    }

    /// The earliest deadline and its slot.
    pub(crate) fn next(&mut self) -> Option<(Instant, usize)> {
        while let Some(Reverse((at, slot))) = self.heap.peek().copied() {
            let Some(entry) = self.slots.get_mut(slot) else {
                self.heap.pop();
                continue;
            };
            if entry.queued == at && entry.due == at {
                return Some((at, slot));
            }
            self.heap.pop();
            if entry.queued == at {
                // It moved away or was cleared since it was queued.
                entry.queued = entry.due;
                if entry.due < Instant::FAR_FUTURE {
                    self.heap.push(Reverse((entry.due, slot)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn the_earliest_deadline_comes_first_however_it_moved() {
        let mut queue = DeadlineQueue::default();
        queue.set(0, Some(at(10)));
        queue.set(1, Some(at(20)));
        assert_eq!(queue.next(), Some((at(10), 0)));
        queue.set(0, Some(at(30)));
        assert_eq!(queue.next(), Some((at(20), 1)));
        queue.set(0, Some(at(5)));
        assert_eq!(queue.next(), Some((at(5), 0)));
        queue.set(0, None);
        queue.set(1, None);
        assert_eq!(queue.next(), None);
        queue.set(1, Some(at(7)));
        assert_eq!(queue.next(), Some((at(7), 1)));
    }

    #[test]
    fn it_agrees_with_a_sorted_list_over_a_long_random_run() {
        let mut queue = DeadlineQueue::default();
        let mut model = [None; 17];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let slot = usize::try_from(random >> 40).unwrap() % model.len();
            let due = (random >> 8 & 7 != 0).then(|| at(random >> 16 & 0xffff));
            queue.set(slot, due);
            model[slot] = due;
            let earliest = model.iter().flatten().min().copied();
            assert_eq!(queue.next().map(|(at, _)| at), earliest);
            #[cfg(feature = "sim")]
            {
                let come = |slot: &usize| model[*slot].is_some_and(|due| due <= at(0x7fff));
                assert!(queue.due(at(0x7fff)).eq((0..model.len()).filter(come)));
            }
        }
    }

    #[test]
    fn deadlines_that_only_move_away_do_not_grow_the_heap() {
        let mut queue = DeadlineQueue::default();
        for nanos in 1..100_000 {
            queue.set(0, Some(at(nanos)));
        }
        assert_eq!(queue.heap.len(), 1);
    }
}
