//! A host on a LAN that uses the virtual addresses: what its neighbour cache says is where its traffic goes.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::Instant;

/// How often a host uses each address, and asks for those that it has no entry for.
pub(super) const TRAFFIC: Duration = Duration::from_secs(1);

/// After how many tries without an answer a host drops its entry and asks anew: what Linux does within 5 s of
/// `delay_first_probe_time` and three probes.
const PATIENCE: u8 = 8;

/// The longest that a host sends to the wrong place if no announcement reaches it.
pub(super) const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) lan: usize,
    pub(super) station: usize,
    pub(super) cache: Vec<Neighbour>,
}

/// An entry of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) address: IpAddr,
    /// The node that it points to.
    pub(super) node: Option<usize>,
    /// Tries that were not answered.
    unanswered: u8,
    /// Whether an announcement on its way here was lost since the last one that was not.
    pub(super) missed: bool,
    /// When it last changed.
    pub(super) since: Instant,
}

impl Host {
    pub(super) fn new(name: String, lan: usize, station: usize) -> Self {
        Self { name, lan, station, cache: Vec::new() }
    }

    /// The entry for `address`, which it wants to use.
    pub(super) fn entry(&mut self, address: IpAddr) -> Option<&mut Neighbour> {
        let place = match self.cache.iter().position(|entry| entry.address == address) {
            Some(place) => place,
            None => {
                let entry = Neighbour { address, node: None, unanswered: 0, missed: false, since: Instant::ZERO };
                self.cache.push(entry);
                self.cache.len() - 1
            }
        };
        self.cache.get_mut(place)
    }
}

impl Neighbour {
    /// An announcement, or an answer. Returns whether it pointed elsewhere.
    pub(super) fn learn(&mut self, now: Instant, node: usize, asked: bool) -> bool {
        // The first of several answers counts.
        if asked && self.node.is_some() {
            return false;
        }
        self.unanswered = 0;
        self.missed &= asked;
        let changed = self.node != Some(node);
        if changed {
            self.node = Some(node);
            self.since = now;
        }
        changed
    }

    /// A packet was sent there; whether it has to be asked for anew.
    pub(super) fn used(&mut self, now: Instant, answered: bool) -> bool {
        self.unanswered = if answered { 0 } else { self.unanswered.saturating_add(1) };
        if self.unanswered >= PATIENCE && self.node.is_some() {
            self.node = None;
            self.since = now;
        }
        self.node.is_none()
    }
}
