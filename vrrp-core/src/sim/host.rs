//! A host on a LAN that uses the virtual addresses: what its neighbour cache says is where its traffic goes.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::net::Job;
use super::{MemberId, Sim};
use crate::time::nanos;
use crate::{Instant, Role};

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

impl Sim {
    /// A host is told where addresses are.
    pub(super) fn learn(&mut self, host: usize, node: usize, member: usize, asked: bool) {
        let now = self.now;
        let (Some(entry), Some(host)) = (self.nodes.get(node), self.hosts.get_mut(host)) else { return };
        let Some(member) = entry.members.get(member) else { return };
        for address in &member.config.addresses {
            let Some(neighbour) = host.entry(*address) else { continue };
            let changed = neighbour.learn(now, node, asked);
            // It was overtaken on its way.
            neighbour.missed |= !asked && member.role() != Role::Active;
            // Or the kernel answers for a process that will not say when it has them no more.
            neighbour.missed |= !entry.is_running();
            if changed {
                self.monitor.dirty = true;
                self.trace.line(now, &host.name, format_args!("sends to {} from now on", entry.name));
            }
        }
    }

    /// A host uses every virtual address on its LAN.
    pub(super) fn traffic(&mut self, index: usize) {
        let now = self.now;
        self.agenda.add(now + TRAFFIC, Job::Traffic { host: index });
        let Some(host) = self.hosts.get_mut(index) else { return };
        let Some(lan) = self.lans.get(host.lan) else { return };
        let (lan_index, station) = (host.lan, host.station);
        for service in self.services.iter().filter(|service| service.lan == lan_index) {
            // Who would answer, and after how long.
            let holder = |id: &MemberId| {
                let entry = self.nodes.get(id.node).filter(|entry| entry.answers())?;
                let member = entry.members.get(id.index).filter(|member| member.held)?;
                let port = entry.port_of(member).filter(|port| port.carrier)?;
                let there = lan.line(station, port.station).filter(|line| !line.link.cut)?;
                let back = lan.line(port.station, station).filter(|line| !line.link.cut)?;
                Some(nanos(there.link.delay).saturating_add(nanos(back.link.delay)))
            };
            let addresses = service.members.iter().filter_map(|id| {
                let member = self.nodes.get(id.node)?.members.get(id.index)?;
                member.config.addresses.first().copied()
            });
            for address in addresses.collect::<BTreeSet<IpAddr>>() {
                let Some(neighbour) = host.entry(address) else { continue };
                let has_it = |id: &&MemberId| {
                    let member = self.nodes.get(id.node).and_then(|entry| entry.members.get(id.index));
                    member.is_some_and(|member| member.config.addresses.contains(&address))
                };
                let used = neighbour.node;
                let mut members = service.members.iter().filter(has_it);
                let answered = members.any(|id| Some(id.node) == used && holder(id).is_some());
                if neighbour.used(now, answered) {
                    self.monitor.dirty |= used.is_some();
                    for id in service.members.iter().filter(has_it) {
                        if let Some(after) = holder(id) {
                            let learn = Job::Learn { host: index, node: id.node, member: id.index, asked: true };
                            self.agenda.add(now + Duration::from_nanos(after), learn);
                        }
                    }
                }
            }
        }
    }
}
