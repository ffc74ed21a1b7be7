//! What each sender was last heard to send.

use core::net::IpAddr;

use super::Sequence;

/// How many senders are remembered. One virtual router rarely has more than three or four routers.
const CAPACITY: usize = 16;

/// The last sequence accepted from each sender. Only who has a key gets in here, and only for its own address.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    marks: [Option<Mark>; CAPACITY],
    /// Counts what is set: the order in which marks were used.
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    source: IpAddr,
    sequence: Sequence,
    used: u64,
}

impl Marks {
    /// Nobody has been heard.
    pub(super) const NONE: Self = Self { marks: [None; CAPACITY], used: 0 };

    /// The mark of this sender.
    pub(super) fn of(&self, source: IpAddr) -> Option<Sequence> {
        self.marks.iter().flatten().find(|mark| mark.source == source).map(|mark| mark.sequence)
    }

    /// Sets the mark of this sender; not back, unless it is one that is `forgotten`.
    ///
    /// A sender without a mark takes the place of one whose mark is forgotten, or else of the one that was heard least
    /// recently. Who has lost its mark can be replayed, by time for as long as the window is.
    pub(super) fn set(&mut self, source: IpAddr, sequence: Sequence, forgotten: impl Fn(Sequence) -> bool) {
        self.used = self.used.saturating_add(1);
        let new = Some(Mark { source, sequence, used: self.used });
        // Own place first, then one that is free, then the oldest.
        let rank = |mark: &Option<Mark>| match mark {
            Some(mark) if mark.source == source => (0, 0),
            None => (1, 0),
            Some(mark) if forgotten(mark.sequence) => (2, mark.used),
            Some(mark) => (3, mark.used),
        };
        let Some(place) = self.marks.iter_mut().min_by_key(|mark| rank(mark)) else { return };
        match place {
            Some(own) if own.source == source && !sequence.is_after(own.sequence) && !forgotten(own.sequence) => {}
            Some(_) | None => *place = new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    fn sequence(bits: u64) -> Sequence {
        Sequence::from_bits(bits)
    }

    fn set(marks: &mut Marks, host: u8, bits: u64) {
        marks.set(source(host), sequence(bits), |_| false);
    }

    /// 16 senders, of which the first was heard first.
    fn full() -> Marks {
        let mut marks = Marks::NONE;
        for host in 1..=16 {
            set(&mut marks, host, 100 + u64::from(host));
        }
        marks
    }

    fn known(marks: &Marks) -> Vec<u8> {
        (1..=20).filter(|host| marks.of(source(*host)).is_some()).collect()
    }

    #[test]
    fn each_sender_has_its_own_mark() {
        let marks = full();
        for host in 1..=16 {
            assert_eq!(marks.of(source(host)), Some(sequence(100 + u64::from(host))));
        }
        assert_eq!(marks.of(source(17)), None);
    }

    #[test]
    fn a_mark_never_goes_back_unless_it_is_forgotten() {
        let mut marks = full();
        set(&mut marks, 1, 90);
        assert_eq!(marks.of(source(1)), Some(sequence(101)));
        marks.set(source(1), sequence(90), |mark| mark == sequence(101));
        assert_eq!(marks.of(source(1)), Some(sequence(90)));
    }

    #[test]
    fn one_sender_more_takes_the_place_of_the_one_heard_least_recently() {
        let mut marks = full();
        set(&mut marks, 1, 200);
        set(&mut marks, 17, 50);
        assert_eq!(known(&marks), (1..=17).filter(|host| *host != 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_forgotten_mark_gives_way_first() {
        let mut marks = full();
        marks.set(source(17), sequence(50), |mark| mark == sequence(109));
        assert_eq!(known(&marks), (1..=17).filter(|host| *host != 9).collect::<Vec<_>>());
        // As long as there is a free place, not even that.
        let mut marks = Marks::NONE;
        set(&mut marks, 1, 1);
        marks.set(source(2), sequence(2), |_| true);
        assert_eq!(known(&marks), [1, 2]);
    }
}
