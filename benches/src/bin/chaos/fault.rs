//! What can happen to a host.

use std::fmt;
use std::time::Duration;

/// One fault, from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// What happens.
    pub(crate) kind: Kind,
    /// To which host.
    pub(crate) host: usize,
    /// How long it lasts.
    pub(crate) lasts: Duration,
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
    /// Malformed packets, as fast as they go.
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

impl Fault {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let kind = KINDS.get(random.below(KINDS.len())).copied().unwrap_or(Kind::Kill);
        let millis = u64::try_from(random.below(2000)).unwrap_or_default();
        // A lease is at most 2 s at intervals far below one, and the kernel looks for those that ended now and then.
        let least = if kind == Kind::Hang { Duration::from_secs(3) } else { Duration::ZERO };
        Self { kind, host: random.below(super::world::HOSTS.len()), lasts: least + Duration::from_millis(millis) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Kill => "killed",
            Kind::KillGuardian => "loses its guardian, which is looked at",
            Kind::KillBoth => "killed with its guardian",
            Kind::Stop => "stopped in order",
            Kind::Pause => "paused",
            Kind::Hang => "hangs",
            Kind::Unplug => "unplugged",
            Kind::Partition => "cut off",
            Kind::Deafen => "deaf",
            Kind::Mute => "mute",
            Kind::DeleteAddress => "and all others have an address deleted, if they have it, which is looked at",
            Kind::Flush => "is without addresses",
            Kind::Recreate => "gets a new interface",
            Kind::Rename => "has its interface renamed",
            Kind::Flood => "flooded",
        };
        let name = super::world::HOSTS.get(self.host).map_or("?", |(name, _)| name);
        write!(f, "{name} {what} for {} ms", self.lasts.as_millis())
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
