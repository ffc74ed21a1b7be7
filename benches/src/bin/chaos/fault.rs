//! What can happen to a host.

use std::fmt;
use std::time::Duration;

use super::world::HOSTS;

/// One round: what happens at the same time, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// One fault, or two of different hosts.
    pub(crate) faults: Vec<Fault>,
    /// From the first one's beginning to its end.
    pub(crate) lasts: Duration,
}

/// What happens to one host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Which host.
    pub(crate) host: usize,
    /// Picks an address, where one is needed.
    pub(crate) pick: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `kill -9`, and a restart: its guardian releases the addresses.
    Kill,
    /// `kill -9` of the guardian: the host gets itself another one.
    KillGuardian,
    /// `kill -9` of both, and a restart: only the lease releases the addresses.
    KillBoth,
    /// SIGTERM, and a restart.
    Stop,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// The same, for longer than a lease lasts.
    Hang,
    /// The cable is pulled.
    Unplug,
    /// A cut behind the next switch.
    Partition,
    /// It hears nobody.
    Deafen,
    /// Nobody hears it.
    Mute,
    /// Another program deletes a virtual address from whoever has it.
    DeleteAddress,
    /// Another program deletes all addresses of the interface but the link-local ones, and puts those back that were not
    /// virtual.
    Flush,
    /// The interface is taken away and made anew.
    Recreate,
    /// The interface gets another name, and then its own again.
    Rename,
    /// Malformed packets for everybody, as fast as they go.
    Flood,
}

const KINDS: [Kind; 15] = [
    Kind::Kill,
    Kind::KillGuardian,
    Kind::KillBoth,
    Kind::Stop,
    Kind::Pause,
    Kind::Hang,
    Kind::Unplug,
    Kind::Partition,
    Kind::Deafen,
    Kind::Mute,
    Kind::DeleteAddress,
    Kind::Flush,
    Kind::Recreate,
    Kind::Rename,
    Kind::Flood,
];

impl Round {
    /// The next round; what is drawn depends on nothing else.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let first = Fault::draw(random);
        let mut faults = vec![first];
        let second = Fault::draw(random);
        // One round in four has two, which leaves one host without. A flood is everybody's: there is one at a time.
        let floods = first.kind == Kind::Flood && second.kind == Kind::Flood;
        if random.below(4) == 0 && second.host != first.host && !floods {
            faults.push(second);
        }
        let millis = u64::try_from(random.below(2000)).unwrap_or_default();
        // A lease is 2 s at intervals far below one, and the kernel looks for those that ended now and then.
        let hangs = faults.iter().any(|fault| fault.kind == Kind::Hang);
        let least = if hangs { Duration::from_secs(3) } else { Duration::ZERO };
        Self { faults, lasts: least + Duration::from_millis(millis) }
    }
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        let kind = KINDS.get(random.below(KINDS.len())).copied().unwrap_or(Kind::Kill);
        Self { kind, host: random.below(HOSTS.len()), pick: random.below(1 << 16) }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        write!(f, "{} for {} ms", faults.join(", and "), self.lasts.as_millis())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Kill => "killed",
            Kind::KillGuardian => "loses its guardian",
            Kind::KillBoth => "killed with its guardian",
            Kind::Stop => "stopped in order",
            Kind::Pause => "paused",
            Kind::Hang => "hangs",
            Kind::Unplug => "unplugged",
            Kind::Partition => "cut off",
            Kind::Deafen => "deaf",
            Kind::Mute => "mute",
            Kind::DeleteAddress => return write!(f, "address {} deleted", self.pick % super::world::address_count()),
            Kind::Flush => "without addresses",
            Kind::Recreate => "gets a new interface",
            Kind::Rename => "has its interface renamed",
            Kind::Flood => return f.write_str("a flood"),
        };
        let name = HOSTS.get(self.host).map_or("?", |(name, _)| name);
        write!(f, "{name} {what}")
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_sequence_of_faults() {
        let sequence = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| Round::draw(&mut random).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn every_kind_of_fault_happens_and_one_host_is_always_left_alone() {
        let mut random = Random::new(1);
        let rounds: Vec<Round> = (0..5000).map(|_| Round::draw(&mut random)).collect();
        let has = |kind| rounds.iter().any(|round| round.faults.iter().any(|fault| fault.kind == kind));
        assert!(KINDS.into_iter().all(has));
        assert!(rounds.iter().any(|round| round.faults.len() == 2));
        let hit =
            |round: &Round| round.faults.iter().map(|fault| fault.host).collect::<std::collections::BTreeSet<_>>();
        let floods = |round: &Round| round.faults.iter().filter(|fault| fault.kind == Kind::Flood).count();
        assert!(rounds.iter().all(|round| floods(round) < 2));
        assert!(rounds.iter().all(|round| hit(round).len() == round.faults.len() && round.faults.len() < HOSTS.len()));
    }
}
