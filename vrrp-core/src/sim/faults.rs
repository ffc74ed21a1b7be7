//! What happens to the nodes and to the network, and what applications and administrators ask for.

use alloc::vec::Vec;
use core::time::Duration;

use super::net::{Job, Link, Station};
use super::node::{HostId, LanId, MemberId, NodeId, Process};
use super::{Sim, Vrid};
use crate::track::Assessment;
use crate::wire::Envelope;
use crate::{After, ConfigError, Event, Fault, Instant, Params, Role, VirtualRouterConfig, VrrpRouter};

/// One end of a link: a node or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A node, on every LAN that it is on.
    Node(NodeId),
    /// A host.
    Host(HostId),
}

impl From<NodeId> for Endpoint {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl From<HostId> for Endpoint {
    fn from(host: HostId) -> Self {
        Self::Host(host)
    }
}

impl Sim {
    // Processes and hosts

    /// Starts the process of a node: a new one, that knows nothing of the one before.
    pub fn start(&mut self, node: NodeId) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        if !entry.powered || entry.process != Process::Gone {
            return;
        }
        entry.process = Process::Running;
        entry.since = now;
        entry.router = VrrpRouter::new();
        entry.late.clear();
        let own = entry.clock.own(now);
        for member in &mut entry.members {
            member.forget(now);
            let Some(port) = entry.ports.get(member.port) else { continue };
            let config = VirtualRouterConfig { params: member.config.params, ..member.config.clone() };
            member.id = entry.router.add(port.interface, config).ok();
        }
        let ids: Vec<_> = entry.members.iter().filter_map(|member| member.id).collect();
        if entry.grouped {
            entry.group = entry.router.add_group(own, &ids).ok();
        }
        for member in &entry.members {
            let Some(id) = member.id else { continue };
            if let Some(assessment) = member.assessment {
                entry.router.set_assessment(own, id, assessment);
            }
            if entry.ports.get(member.port).is_some_and(|port| !port.carrier) {
                entry.router.handle_event(own, id, Event::Fault(Fault::Link));
            }
        }
        for id in ids {
            entry.router.handle_event(own, id, Event::Startup);
            self.events += 1;
        }
        self.monitor.expect_changes(2);
        self.note(node, format_args!("starts"));
        self.remember_process(node);
        self.finish(node.0);
    }

    /// Starts every process that does not run.
    pub fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(NodeId(node));
        }
    }

    /// Kills the process of a node. What it installed stays until its lease ends.
    pub fn crash(&mut self, node: NodeId) {
        self.note(node, format_args!("crashes"));
        self.end_process(node);
    }

    fn end_process(&mut self, node: NodeId) {
        let now = self.now;
        for index in 0..self.nodes.get(node.0).map_or(0, |entry| entry.members.len()) {
            self.excuse_unheard(MemberId { node: node.0, index }, true);
        }
        self.thaw(node.0);
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        entry.process = Process::Gone;
        entry.since = now;
        entry.router = VrrpRouter::new();
        entry.members.iter_mut().for_each(|member| member.forget(now));
        for (_, frame) in entry.socket.drain(..) {
            self.frames.release(frame);
        }
        self.wakeups.set(node.0, None);
        self.remember_process(node);
        self.monitor.expect_changes(2);
    }

    /// Cuts the power of a node: process, kernel and addresses are gone at once.
    pub fn power_off(&mut self, node: NodeId) {
        self.note(node, format_args!("loses power"));
        self.end_process(node);
        for index in 0..self.nodes.get(node.0).map_or(0, |entry| entry.members.len()) {
            self.remember_held(MemberId { node: node.0, index }, false);
        }
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        entry.powered = false;
        for member in &mut entry.members {
            member.held = false;
            member.lease_until = None;
        }
    }

    /// Gives the power back. Its process is not started.
    pub fn power_on(&mut self, node: NodeId) {
        self.note(node, format_args!("has power again"));
        if let Some(entry) = self.nodes.get_mut(node.0) {
            entry.powered = true;
            self.monitor.expect_changes(1);
        }
    }

    /// Holds the process of a node up for so long: it is stopped, or waits for a processor, a disk, its garbage
    /// collector. Its kernel goes on: frames wait in its socket, addresses are answered for until their lease ends.
    pub fn stall(&mut self, node: NodeId, duration: Duration) {
        self.note(node, format_args!("is held up for {duration:?}"));
        self.hold_up(node, duration, Process::Stalled);
    }

    /// Holds the whole host of a node up for so long, its clock too: a virtual machine that is paused. Frames wait.
    pub fn freeze(&mut self, node: NodeId, duration: Duration) {
        self.note(node, format_args!("is paused for {duration:?}, with its clock"));
        self.hold_up(node, duration, Process::Frozen);
        if let Some(entry) = self.nodes.get_mut(node.0).filter(|entry| entry.process == Process::Frozen) {
            entry.clock.stop(self.now);
        }
    }

    fn hold_up(&mut self, node: NodeId, duration: Duration, process: Process) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        if !entry.is_running() {
            return;
        }
        for index in 0..entry.members.len() {
            self.excuse_unheard(MemberId { node: node.0, index }, true);
        }
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        entry.process = process;
        entry.since = now;
        entry.clock_stood = process == Process::Frozen;
        entry.stop += 1;
        self.agenda.add(now + duration, Job::Resume { node: node.0, stop: entry.stop });
        self.remember_process(node);
        self.wakeups.set(node.0, None);
        self.monitor.expect_changes(2);
    }

    /// The clock of a node goes on, and what the kernel counts by it.
    fn thaw(&mut self, node: usize) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(node).filter(|entry| entry.process == Process::Frozen) else { return };
        entry.clock.go_on(now);
        let stood = now.since(entry.since);
        for member in &mut entry.members {
            member.lease_until = member.lease_until.map(|until| until + stood);
        }
    }

    /// A process goes on: it reads its sockets, and then looks at its timers.
    pub(super) fn resume(&mut self, node: usize, stop: u64) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(node) else { return };
        let held_up = matches!(entry.process, Process::Stalled | Process::Frozen);
        if !held_up || entry.stop != stop || !entry.powered {
            return;
        }
        self.thaw(node);
        let Some(entry) = self.nodes.get_mut(node) else { return };
        entry.process = Process::Running;
        entry.stood = now.since(entry.since);
        entry.since = now;
        let own = entry.clock.own(now);
        self.note(NodeId(node), format_args!("goes on"));
        self.remember_process(NodeId(node));
        self.tell_carriers(node);
        while let Some((port, frame)) = self.nodes.get_mut(node).and_then(|entry| entry.socket.pop_front()) {
            self.receive(node, port, frame, false);
            self.frames.release(frame);
        }
        // A health check that has changed is told only now: an election that is called before would be called unread.
        self.tell_assessments(node);
        let Some(entry) = self.nodes.get_mut(node) else { return };
        self.events += 1;
        entry.router.handle_timeout(own);
        // A lease that ended meanwhile: those that still have the role take the addresses back before they announce them.
        for index in 0..self.nodes.get(node).map_or(0, |entry| entry.members.len()) {
            let id = MemberId { node, index };
            if self.still_serves(id) && !self.holds(id) {
                self.say(id, format_args!("puts the addresses back"));
                self.put(id);
            }
        }
        // What follows from what was read comes first: it must not announce addresses that it has just given up.
        self.finish(node);
        let late = self.nodes.get_mut(node).map(|entry| core::mem::take(&mut entry.late)).unwrap_or_default();
        late.into_iter().for_each(|chore| self.do_chore(node, chore));
        self.finish(node);
        self.monitor.expect_changes(1);
    }

    /// Whether addresses that were installed are still to be served.
    fn still_serves(&self, id: MemberId) -> bool {
        let Some(entry) = self.nodes.get(id.node) else { return false };
        let Some(member) = entry.members.get(id.index).filter(|member| member.installed.is_some()) else {
            return false;
        };
        let state = member.id.and_then(|router| entry.router.state(router));
        state.is_some_and(|state| state.role() == Role::Active) && !member.install_fails
    }

    /// What a process reads of its interfaces.
    fn tell_carriers(&mut self, node: usize) {
        let Some(entry) = self.nodes.get_mut(node).filter(|entry| entry.is_running()) else { return };
        let own = entry.clock.own(self.now);
        for member in &entry.members {
            let up = entry.ports.get(member.port).is_some_and(|port| port.carrier);
            let event = if up { Event::Recovered(Fault::Link) } else { Event::Fault(Fault::Link) };
            if let Some(id) = member.id {
                entry.router.handle_event(own, id, event);
                self.events += 1;
            }
        }
    }

    fn tell_assessments(&mut self, node: usize) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        let own = entry.clock.own(self.now);
        for member in &entry.members {
            if let (Some(id), Some(assessment)) = (member.id, member.assessment) {
                entry.router.set_assessment(own, id, assessment);
            }
        }
    }

    /// Makes the clock of a node go `ppm` millionths too fast.
    pub fn drift(&mut self, node: NodeId, ppm: i32) {
        if let Some(entry) = self.nodes.get_mut(node.0) {
            entry.clock.drift(self.now, ppm);
            self.finish(node.0);
        }
    }

    // Kernels

    /// Takes the carrier of a node's interfaces to `lan` away, or gives it back.
    pub fn carrier(&mut self, node: NodeId, lan: LanId, up: bool) {
        self.note(node, format_args!("{}", if up { "has carrier again" } else { "loses its carrier" }));
        self.monitor.expect_changes(2);
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        entry.able_since = now;
        for port in entry.ports.iter_mut().filter(|port| port.lan == lan.0) {
            port.carrier = up;
        }
        self.tell_carriers(node.0);
        self.finish(node.0);
    }

    /// Makes every advertisement of a node fail to be sent, as a packet filter does, or no more.
    pub fn fail_sends(&mut self, node: NodeId, fail: bool) {
        self.note(node, format_args!("{}", if fail { "cannot send" } else { "can send again" }));
        self.monitor.expect_changes(2);
        let now = self.now;
        if let Some(entry) = self.nodes.get_mut(node.0) {
            entry.sends_fail = fail;
            entry.able_since = now;
        }
    }

    /// Makes a kernel refuse the virtual addresses, or no more.
    pub fn fail_installs(&mut self, member: MemberId, fail: bool) {
        self.monitor.expect_changes(2);
        if let Some(member) = self.member_mut(member) {
            member.install_fails = fail;
        }
    }

    /// Somebody else removes the virtual addresses from a node.
    pub fn remove_addresses(&mut self, member: MemberId) {
        self.monitor.expect_changes(2);
        if self.holds(member) {
            self.drop_addresses(member, format_args!("loses the addresses: somebody removed them"));
            self.put_back(member);
        }
    }

    // Networks

    /// Changes what happens to frames from `from` to `to`, on every LAN that both are on.
    pub fn set_link(&mut self, from: impl Into<Endpoint>, to: impl Into<Endpoint>, link: Link) {
        self.change_links(None, from.into(), to.into(), |_| link);
    }

    /// As [`set_link`](Self::set_link), on one LAN.
    pub fn set_link_on(&mut self, lan: LanId, from: impl Into<Endpoint>, to: impl Into<Endpoint>, link: Link) {
        self.change_links(Some(lan.0), from.into(), to.into(), |_| link);
    }

    /// Lets nothing through from `from` to `to`. The other direction stays.
    pub fn cut_one_way(&mut self, from: impl Into<Endpoint>, to: impl Into<Endpoint>) {
        self.change_links(None, from.into(), to.into(), |link| Link { cut: true, ..link });
    }

    /// Lets nothing through between two ends.
    pub fn cut(&mut self, one: impl Into<Endpoint>, other: impl Into<Endpoint>) {
        let (one, other) = (one.into(), other.into());
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Lets everything through again between two ends, both ways.
    pub fn heal(&mut self, one: impl Into<Endpoint>, other: impl Into<Endpoint>) {
        let (one, other) = (one.into(), other.into());
        self.change_links(None, one, other, |link| Link { cut: false, ..link });
        self.change_links(None, other, one, |link| Link { cut: false, ..link });
    }

    /// Cuts a node off from everybody, with its carrier: its switch does not forward.
    pub fn isolate(&mut self, node: NodeId) {
        self.note(node, format_args!("is cut off"));
        self.for_each_other(node, |sim, other| sim.cut(node, other));
    }

    /// Heals every link of a node.
    pub fn reconnect(&mut self, node: NodeId) {
        self.note(node, format_args!("is connected again"));
        self.for_each_other(node, |sim, other| sim.heal(node, other));
    }

    fn for_each_other(&mut self, node: NodeId, act: impl Fn(&mut Self, Endpoint)) {
        for other in (0..self.nodes.len()).filter(|other| *other != node.0) {
            act(self, NodeId(other).into());
        }
        for host in 0..self.hosts.len() {
            act(self, HostId(host).into());
        }
    }

    /// Makes every link healthy.
    pub fn heal_all(&mut self, link: Link) {
        let now = self.now;
        for lan in &mut self.lans {
            for from in 0..lan.stations.len() {
                for to in 0..lan.stations.len() {
                    lan.set(now, from, to, link);
                    lan.lose(now, from, to, 0);
                }
            }
        }
        self.monitor.expect_changes(2);
    }

    /// Loses the next `frames` frames from `from` to `to`.
    pub fn lose_next(&mut self, from: impl Into<Endpoint>, to: impl Into<Endpoint>, frames: u32) {
        let now = self.now;
        self.for_lines(None, from.into(), to.into(), |lan, from, to| lan.lose(now, from, to, frames));
        self.monitor.expect_changes(2);
    }

    /// Holds the next frame from `from` to `to` back for so long, and lets later ones overtake it.
    pub fn hold_next(&mut self, from: impl Into<Endpoint>, to: impl Into<Endpoint>, hold: Duration) {
        self.for_lines(None, from.into(), to.into(), |lan, from, to| lan.hold(from, to, hold));
        self.monitor.expect_changes(2);
    }

    fn change_links(&mut self, lan: Option<usize>, from: Endpoint, to: Endpoint, change: impl Fn(Link) -> Link) {
        let now = self.now;
        self.for_lines(lan, from, to, |lan, from, to| {
            if let Some(link) = lan.line(from, to).map(|line| change(line.link)) {
                lan.set(now, from, to, link);
            }
        });
        self.monitor.expect_changes(2);
    }

    fn for_lines(
        &mut self,
        only: Option<usize>,
        from: Endpoint,
        to: Endpoint,
        mut act: impl FnMut(&mut super::Lan, usize, usize),
    ) {
        let matches = |station: &Station, end: Endpoint| match (station, end) {
            (Station::Node { node, .. }, Endpoint::Node(NodeId(wanted))) => *node == wanted,
            (Station::Host(host), Endpoint::Host(HostId(wanted))) => *host == wanted,
            (Station::Node { .. }, Endpoint::Host(_)) | (Station::Host(_), Endpoint::Node(_)) => false,
        };
        let lans = self.lans.iter_mut().enumerate().filter(|(index, _)| only.is_none_or(|only| only == *index));
        for (_, lan) in lans {
            let from = lan.stations.iter().position(|station| matches(station, from));
            let to = lan.stations.iter().position(|station| matches(station, to));
            if let (Some(from), Some(to)) = (from, to) {
                act(lan, from, to);
            }
        }
    }

    /// Lets a datagram of IP protocol 112 arrive at once at every node on a LAN, or at that which it is for, whoever sent it.
    pub fn inject(&mut self, lan: LanId, envelope: Envelope, payload: &[u8]) {
        let Some(stations) = self.lans.get(lan.0).map(|lan| lan.stations.clone()) else { return };
        let frame = self.frames.take(envelope);
        let buffer = self.frames.buffer(frame);
        let len = payload.len().min(buffer.len());
        buffer.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        self.frames.filled(frame, len, envelope);
        for station in stations {
            if let Station::Node { node, port } = station
                && let Some(entry) = self.nodes.get(node)
                && (envelope.destination.is_multicast() || entry.has_address(port, envelope.destination))
            {
                self.frames.hold(frame);
                self.agenda.add(self.now, Job::Datagram { node, port, frame });
            }
        }
        self.frames.release(frame);
        self.monitor.expect_changes(2);
    }

    // Applications and administrators

    /// Tells a virtual router what came of what its application tracks. It holds until the next one, over restarts.
    pub fn assess(&mut self, id: MemberId, assessment: Assessment) {
        let now = self.now;
        if let Some(member) = self.member_mut(id) {
            member.params_since = now;
            member.assessment = Some(assessment);
        }
        self.monitor.expect_changes(2);
        let fault = if assessment.fault { ", which is a fault" } else { "" };
        self.say(id, format_args!("is assessed at {}{fault}", assessment.priority));
        if let Some((entry, router, own)) = self.running(id) {
            entry.router.set_assessment(own, router, assessment);
            self.events += 1;
            self.finish(id.node);
        }
    }

    /// Gives a virtual router an event, for instance [`Event::Fault`] of the application.
    pub fn event(&mut self, id: MemberId, event: Event) {
        self.monitor.expect_changes(2);
        self.give(id, event);
    }

    /// Changes the parameters of a virtual router, over restarts. Its primary address stays.
    ///
    /// # Errors
    /// As [`VrrpRouter::set_params`].
    pub fn set_params(&mut self, id: MemberId, params: Params) -> Result<(), ConfigError> {
        self.monitor.expect_changes(2);
        self.say(id, format_args!("is reconfigured"));
        let now = self.now;
        let member = self.member_mut(id).ok_or(ConfigError::Unknown)?;
        let params = params.with_primary_address(member.config.params.primary_address())?;
        // What tracking takes from the priority stays.
        let tracked = params.tracked_as(&member.params()).priority();
        member.assessment = member.assessment.map(|assessment| Assessment { priority: tracked, ..assessment });
        member.config.params = params;
        member.params_since = now;
        if let Some((entry, router, own)) = self.running(id) {
            entry.router.set_params(own, router, params)?;
            self.events += 1;
            self.finish(id.node);
        }
        Ok(())
    }

    /// Asks a virtual router to hand over.
    pub fn hand_over(&mut self, id: MemberId, after: After) {
        let now = self.now;
        self.say(id, format_args!("is asked to hand over"));
        if let Some(member) = self.member_mut(id).filter(|_| after == After::Leave) {
            member.leaving = Some(now);
        }
        self.event(id, Event::HandOver(after));
    }

    /// Stops the process of a node in an orderly way. It goes on without virtual routers.
    pub fn shut_down(&mut self, node: NodeId) {
        let now = self.now;
        self.note(node, format_args!("is told to leave"));
        for index in 0..self.nodes.get(node.0).map_or(0, |entry| entry.members.len()) {
            let id = MemberId { node: node.0, index };
            if let Some(member) = self.member_mut(id) {
                member.leaving = Some(now);
            }
            self.event(id, Event::Shutdown);
        }
    }

    /// Puts virtual routers that left back into the election.
    pub fn rejoin(&mut self, node: NodeId) {
        self.note(node, format_args!("takes part again"));
        for index in 0..self.nodes.get(node.0).map_or(0, |entry| entry.members.len()) {
            let id = MemberId { node: node.0, index };
            if let Some(member) = self.member_mut(id) {
                member.leaving = None;
            }
            self.event(id, Event::Startup);
        }
    }

    /// A line in the trace about a node.
    fn note(&mut self, node: NodeId, what: core::fmt::Arguments<'_>) {
        self.monitor.dirty = true;
        if let Some(entry) = self.nodes.get(node.0) {
            self.trace.line(self.now, &entry.name, what);
        }
    }

    /// The VRID that a virtual router has.
    pub fn vrid(&self, member: MemberId) -> Option<Vrid> {
        self.member(member).map(|member| member.config.vrid)
    }

    /// When the role of a virtual router last changed.
    pub fn role_since(&self, member: MemberId) -> Option<Instant> {
        self.member(member).map(|member| member.role_since)
    }
}
