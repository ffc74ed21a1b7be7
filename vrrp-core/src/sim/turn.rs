//! What the process of a node does in a turn, as the driver of `vrrp-net` does it: read the sockets, fire the timers, then
//! carry out what follows, in order.

use alloc::format;
use core::net::IpAddr;
use core::time::Duration;

use super::net::{Chore, Job, Station};
use super::node::{Answer, Member, Node, Process, REMOVALS_WITHIN};
use super::{Happening, MemberId, Sim};
use crate::time::nanos;
use crate::wire::Envelope;
use crate::{Action, Alarm, Cause, Claim, Event, Fault, Instant, Phase, Role, RouterId, State, Transition};

/// Frames that the socket of a process that does not read has room for; later ones are lost.
const SOCKET_ROOM: usize = 256;

/// When addresses are announced for the second time.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// How often the kernel of a host that is paused looks whether it goes on.
const LEASE_CHECK: Duration = Duration::from_millis(100);

impl Sim {
    /// A frame reaches a node.
    pub(super) fn deliver(&mut self, node: usize, port: usize, frame: usize) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        let carrier = entry.powered && entry.ports.get(port).is_some_and(|port| port.carrier);
        match entry.process {
            Process::Running if carrier => match self.receive(node, port, frame, true) {
                taker @ Some(_) => self.finish_touched(node, taker),
                None => self.finish(node),
            },
            Process::Stalled | Process::Frozen if carrier && entry.socket.len() < SOCKET_ROOM => {
                return entry.socket.push_back((port, frame));
            }
            Process::Running | Process::Stalled | Process::Frozen | Process::Gone => {}
        }
        self.frames.release(frame);
    }

    /// The process reads a frame; `alone`: nothing else in this turn. Returns the virtual router that took it.
    pub(super) fn receive(&mut self, node: usize, port: usize, frame: usize, alone: bool) -> Option<usize> {
        let (entry, frame) = (self.nodes.get_mut(node)?, self.frames.get(frame)?);
        let interface = entry.ports.get(port)?.interface;
        let own = entry.clock.own(self.now);
        let source = frame.envelope.source;
        let payload = frame.payload();
        let said = (payload.get(2).copied(), payload.get(4..6).and_then(|field| <[u8; 2]>::try_from(field).ok()));
        self.events += 1;
        match entry.router.handle_datagram(own, interface, &frame.envelope, payload) {
            Ok(id) => {
                let index = entry.index_of(id)?;
                if self.trace.is_on() {
                    let (priority, interval) = (said.0.unwrap_or(0), said.1.map_or(0, u16::from_be_bytes));
                    self.trace_heard(MemberId { node, index }, source, priority, interval);
                }
                Some(index)
            }
            Err(discard) => {
                let untouched = entry.is_up_to_date();
                if self.trace.is_on() {
                    let name = entry.name.clone();
                    let peer = self.trace.who(source);
                    self.trace.aside(self.now, &name, format_args!("drops an advertisement from {peer}: {discard}"));
                }
                if !untouched && alone {
                    self.report_effect(node, discard);
                }
                None
            }
        }
    }

    fn trace_heard(&mut self, id: MemberId, source: IpAddr, priority: u8, interval: u16) {
        let now = self.now;
        let (label, peer) = (self.label(id), self.trace.who(source));
        let Some(member) = self.member_mut(id) else { return };
        let again = member.heard == Some((source, priority, interval));
        member.heard = Some((source, priority, interval));
        let what = match priority {
            0 => format_args!("hears {peer} resign"),
            _ => format_args!("hears {priority} from {peer}"),
        };
        if again { self.trace.aside(now, &label, what) } else { self.trace.line(now, &label, what) }
    }

    /// The process is called because of a deadline.
    pub(super) fn wake(&mut self, node: usize) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        if entry.is_running() {
            let own = entry.clock.own(self.now);
            self.events += 1;
            self.touched.extend(entry.router.due(own).filter_map(|id| entry.index_of(id)));
            entry.router.handle_timeout(own);
            self.finish_touched(node, None);
        } else {
            self.wakeups.set(node, None);
        }
    }

    /// Gives a virtual router an event, when its process runs.
    pub(super) fn give(&mut self, id: MemberId, event: Event) {
        self.chore(id.node, Chore::Tell { member: id.index, event });
    }

    /// The node of a virtual router whose process runs, its id there, and the time there.
    pub(super) fn running(&mut self, id: MemberId) -> Option<(&mut Node, RouterId, Instant)> {
        let now = self.now;
        let entry = self.nodes.get_mut(id.node).filter(|entry| entry.is_running())?;
        let router = entry.members.get(id.index)?.id?;
        let own = entry.clock.own(now);
        Some((entry, router, own))
    }

    /// Ends a turn in which any virtual router of a node may have changed: carries out what they want done, and asks when
    /// they want to be called next.
    pub(super) fn finish(&mut self, node: usize) {
        self.finish_touched(node, 0..self.nodes.get(node).map_or(0, |entry| entry.members.len()));
    }

    /// Ends a turn in which none has changed but these, those that are noted already, and those that want something done:
    /// with hundreds of them it would take longest to look at all.
    fn finish_touched(&mut self, node: usize, touched: impl IntoIterator<Item = usize>) {
        self.touched.extend(touched);
        while let Some((id, action)) = self.nodes.get_mut(node).and_then(|entry| entry.router.poll_action()) {
            if let Some(index) = self.nodes.get(node).and_then(|entry| entry.index_of(id)) {
                self.touched.push(index);
                self.perform(MemberId { node, index }, id, action);
            }
        }
        self.trace.settle();
        let Some(entry) = self.nodes.get_mut(node) else { return self.touched.clear() };
        // What happens to one member of a sync group happens to the others.
        if entry.group.is_some() {
            self.touched.extend(0..entry.members.len());
        }
        for index in self.touched.drain(..) {
            let Some(member) = entry.members.get_mut(index) else { continue };
            if let Some(state) = member.id.and_then(|id| entry.router.state(id)) {
                // One that kept silent speaks.
                let silent = |state| matches!(state, State::Claimant(claimant) if claimant.is_silent());
                self.monitor.dirty |= silent(member.state) != silent(state);
                member.state = state;
            }
        }
        debug_assert!(entry.is_up_to_date(), "{} changed a virtual router in a turn that did not touch it", entry.name);
        let wakeup = if entry.is_running() { entry.router.poll_timeout() } else { None };
        let wakeup = wakeup.and_then(|own| entry.clock.world(own)).map(|at| at.max(self.now));
        self.wakeups.set(node, wakeup);
    }

    fn perform(&mut self, id: MemberId, router: RouterId, action: Action) {
        match action {
            Action::SendAdvert(claim) => self.send(id, router, claim),
            Action::InstallAddresses => self.install(id, router),
            Action::RemoveAddresses => self.remove(id),
            Action::Announce => self.announce(id),
            Action::Transition(transition) => self.changed(id, transition),
            Action::Prepare(claim) => self.ask(id, claim),
            Action::Alarm(alarm) => self.alarm(id, alarm),
        }
    }

    fn send(&mut self, id: MemberId, router: RouterId, claim: Claim) {
        if self.trace.is_on() {
            self.trace_sent(id, claim);
        }
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        let Some(member) = entry.members.get_mut(id.index) else { return };
        let Some((lan, from)) = entry.ports.get(member.port).map(|port| (port.lan, port.station)) else { return };
        // The first advertisement after a resignation, or the other way round.
        self.monitor.dirty |= member.sent.is_some_and(|sent| sent.priority.is_none() != claim.priority.is_none());
        member.sent = Some(claim);
        if claim.priority.is_none() {
            member.resigned = Some(self.now);
        }
        let able = !entry.sends_fail && entry.ports.get(member.port).is_some_and(|port| port.carrier);
        self.remember_sent(id, claim, able);
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        if !able {
            entry.router.count_send_failed(router);
            if claim.priority.is_some() {
                self.send_failed(id, router);
            }
            return;
        }
        let failed_before = entry.members.get_mut(id.index).is_some_and(|member| member.send_failing.take().is_some());
        entry.router.count_sent(router, claim);
        self.send_copies(id.node, router, claim, (lan, from));
        if failed_before {
            self.announce(id);
        }
    }

    /// Sends an advertisement to the group, or to each peer, from a station of a LAN.
    fn send_copies(&mut self, node: usize, router: RouterId, claim: Claim, (lan, from): (usize, usize)) {
        let mut copies = 0;
        while let Some(entry) = self.nodes.get_mut(node)
            && let Some(destination) = entry.router.destinations(router).get(copies).copied()
        {
            let frame = self.frames.take(Envelope { source: destination, destination, ttl: None });
            let buffer = self.frames.buffer(frame);
            let built = match copies {
                0 => entry.router.build_advert(router, claim, buffer),
                _ => entry.router.build_copy(router, claim, destination, buffer),
            };
            if let Ok(advert) = built {
                let envelope = Envelope { source: advert.source, destination, ttl: Some(advert.ttl) };
                self.frames.filled(frame, advert.len, envelope);
                self.spread(lan, from, frame);
            }
            self.frames.release(frame);
            copies += 1;
        }
    }

    fn trace_sent(&mut self, id: MemberId, claim: Claim) {
        let now = self.now;
        let label = self.label(id);
        let Some(entry) = self.nodes.get(id.node) else { return };
        let Some(member) = entry.members.get(id.index) else { return };
        let every = if claim.interval == member.config.params.advert_interval() { None } else { Some(claim.interval) };
        let every = every.map(|every| format!(" (interval {every})")).unwrap_or_default();
        let lost = if entry.sends_fail || !entry.has_carrier(member) { ", which fails" } else { "" };
        // What is sent as before, on time, is shown only if more comes of it.
        let again = member.sent == Some(claim);
        match claim.priority {
            Some(priority) if again => self.trace.aside(now, &label, format_args!("sends {priority}{every}{lost}")),
            Some(priority) => self.trace.line(now, &label, format_args!("sends {priority}{every}{lost}")),
            None => self.trace.line(now, &label, format_args!("resigns{every}{lost}")),
        }
    }

    /// Puts a frame on its way to every other node on the LAN, or to that which has the address it is for.
    pub(super) fn spread(&mut self, lan: usize, from: usize, frame: usize) {
        let Some(lan) = self.lans.get_mut(lan) else { return };
        let to_one = self.frames.get(frame).map(|frame| frame.envelope.destination).filter(|to| !to.is_multicast());
        for to in 0..lan.stations.len() {
            let Some(Station::Node { node, port }) = lan.stations.get(to).copied().filter(|_| to != from) else {
                continue;
            };
            let is_for = |address| self.nodes.get(node).is_some_and(|entry| entry.has_address(port, address));
            if to_one.is_some_and(|address| !is_for(address)) {
                continue;
            }
            let Some(line) = lan.line_mut(from, to) else { continue };
            for at in line.send(self.now, &mut self.random).into_iter().flatten() {
                self.frames.hold(frame);
                self.agenda.add(at, Job::Datagram { node, port, frame });
            }
        }
    }

    /// Nobody hears this router. Once the others must have taken over, it leaves the election.
    fn send_failed(&mut self, id: MemberId, router: RouterId) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        let own = entry.clock.own(now);
        let (Some(member), Some(params)) = (entry.members.get_mut(id.index), entry.router.params(router)) else {
            return;
        };
        match member.send_failing {
            None => member.send_failing = Some(own),
            // A last word that is lost changes nothing.
            Some(_) if entry.router.state(router).is_some_and(|state| state.role() == Role::Backup) => {}
            Some(since) if own >= since + params.active_down_interval(params.advert_interval()) => {
                // Until one can be sent again: if the first one of the next promotion fails, it promotes in vain.
                self.events += 1;
                // What would have followed, above all an announcement, must not happen.
                entry.router.cancel_actions(router);
                entry.router.handle_event(own, router, Event::Fault(Fault::Send));
            }
            Some(_) => {}
        }
    }

    fn install(&mut self, id: MemberId, router: RouterId) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        let own = entry.clock.own(now);
        let Some(member) = entry.members.get_mut(id.index) else { return };
        if member.install_fails {
            // What would have followed, above all the announcement, must not happen.
            entry.router.cancel_actions(router);
            self.events += 1;
            entry.router.handle_event(own, router, Event::Fault(Fault::Install));
            return self.say(id, format_args!("cannot install the addresses"));
        }
        member.installed = Some(own);
        self.say(id, format_args!("installs the addresses"));
        self.put(id);
        self.schedule(id.node, now + ANNOUNCE_AGAIN, Chore::AnnounceAgain { member: id.index, installed: own });
        self.schedule_renewal(id, own);
    }

    /// The kernel has the addresses, for the time of a lease.
    pub(super) fn put(&mut self, id: MemberId) {
        let now = self.now;
        self.monitor.dirty |= !self.holds(id);
        self.remember_held(id, true);
        let Some(member) = self.member_mut(id) else { return };
        let had_lease = member.held && member.lease_until.is_some();
        member.held = true;
        member.lease_until = member.lease.lifetime(&member.config.params).map(|lifetime| now + lifetime);
        if let (false, Some(until)) = (had_lease, member.lease_until) {
            self.agenda.add(until, Job::Lease { node: id.node, member: id.index });
        }
    }

    fn schedule_renewal(&mut self, id: MemberId, installed: Instant) {
        let lifetime = self.member(id).and_then(|member| member.lease.lifetime(&member.config.params));
        if let Some(lifetime) = lifetime {
            self.schedule(id.node, self.now + lifetime / 3, Chore::Renew { member: id.index, installed });
        }
    }

    fn remove(&mut self, id: MemberId) {
        let Some(member) = self.member_mut(id) else { return };
        member.installed = None;
        if member.held {
            self.drop_addresses(id, format_args!("removes the addresses"));
        }
    }

    /// The kernel has the addresses no more.
    pub(super) fn drop_addresses(&mut self, id: MemberId, why: core::fmt::Arguments<'_>) {
        self.remember_held(id, false);
        if let Some(member) = self.member_mut(id) {
            member.held = false;
            member.lease_until = None;
            self.monitor.dirty = true;
            self.say(id, why);
        }
    }

    pub(super) fn announce(&mut self, id: MemberId) {
        let Some(entry) = self.nodes.get(id.node) else { return };
        // Who cannot answer a rival must not lead hosts to itself either: the rival would not know. A new Active may.
        let own = Some(entry.clock.own(self.now));
        let heard =
            |member: &&Member| member.installed.is_some() && (member.send_failing.is_none() || member.installed == own);
        let Some(member) = entry.members.get(id.index).filter(heard) else { return };
        let Some(port) = entry.port_of(member).filter(|port| port.carrier) else { return };
        let Some(lan) = self.lans.get_mut(port.lan) else { return };
        for to in 0..lan.stations.len() {
            let Some(Station::Host(host)) = lan.stations.get(to).copied() else { continue };
            let Some(line) = lan.line_mut(port.station, to) else { continue };
            match line.send(self.now, &mut self.random) {
                [None, None] => {
                    for address in &member.config.addresses {
                        if let Some(entry) = self.hosts.get_mut(host).and_then(|host| host.entry(*address)) {
                            entry.missed = true;
                        }
                    }
                }
                arrivals => {
                    for at in arrivals.into_iter().flatten() {
                        let (node, member) = (id.node, id.index);
                        self.agenda.add(at, Job::Learn { host, node, member, asked: false });
                    }
                }
            }
        }
        self.say(id, format_args!("announces the addresses"));
    }

    fn changed(&mut self, id: MemberId, transition: Transition) {
        if self.trace.is_on() {
            let address = match transition.cause {
                Cause::Outranked(peer) | Cause::Stalled(peer) | Cause::HandedOver(peer) => Some(peer),
                _ => None,
            };
            let cause = self.trace.with_name(format!("{}", transition.cause), address);
            self.say(id, format_args!("{} -> {}: {cause}", transition.from, transition.to));
        }
        self.remember(id, Happening::Role(transition.to));
        self.judge_transition(id, transition);
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        let own = entry.clock.own(now);
        if let Some(member) = entry.members.get_mut(id.index) {
            member.application.changed(own, transition);
        }
    }

    fn ask(&mut self, id: MemberId, claim: Instant) {
        let now = self.now;
        let Some(entry) = self.nodes.get_mut(id.node) else { return };
        let own = entry.clock.own(now);
        let Some(member) = entry.members.get_mut(id.index) else { return };
        let answer = member.application.prepare(own);
        let timeout = member.config.params.gate().map_or(0, |gate| nanos(gate.timeout));
        member.refused = match answer {
            Answer::Confirm(after) => nanos(after) >= timeout,
            Answer::Refuse(_) | Answer::Silence => true,
        };
        self.monitor.dirty = true;
        self.say(id, format_args!("asks the application"));
        let (after, confirm) = match answer {
            Answer::Confirm(after) => (after, true),
            Answer::Refuse(after) => (after, false),
            Answer::Silence => return,
        };
        let event = if confirm { Event::Confirm(claim) } else { Event::Refuse(claim) };
        self.schedule(id.node, now + after, Chore::Tell { member: id.index, event });
    }

    fn alarm(&mut self, id: MemberId, alarm: Alarm) {
        let now = self.now;
        self.monitor.dirty = true;
        // That two have one priority says nothing of a second Active.
        if let Some(member) = self.member_mut(id).filter(|_| !matches!(alarm, Alarm::EqualPriority(_))) {
            member.alarmed = Some(now);
        }
        if self.trace.is_on() {
            let address = match alarm {
                Alarm::SecondOwner(peer)
                | Alarm::PersistentRival(peer, _)
                | Alarm::RejectedPeer(peer, _)
                | Alarm::VridClash(peer)
                | Alarm::EqualPriority(peer) => Some(peer),
                _ => None,
            };
            let alarm = self.trace.with_name(format!("{alarm}"), address);
            self.say(id, format_args!("alarm: {alarm}"));
        }
    }

    /// The process has a chore to do, now or when it runs again.
    pub(super) fn chore(&mut self, node: usize, chore: Chore) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        match entry.process {
            _ if !entry.powered => {}
            Process::Gone => {}
            Process::Stalled | Process::Frozen => entry.late.push(chore),
            Process::Running => {
                self.do_chore(node, chore);
                self.finish_touched(node, Some(chore.member()));
            }
        }
    }

    pub(super) fn do_chore(&mut self, node: usize, chore: Chore) {
        let index = chore.member();
        let id = MemberId { node, index };
        let Some((entry, router, own)) = self.running(id) else { return };
        let Some(member) = entry.members.get(index) else { return };
        match chore {
            Chore::Renew { installed, .. } if member.installed == Some(installed) => {
                if member.install_fails {
                    entry.router.handle_event(own, router, Event::Fault(Fault::Install));
                } else {
                    self.put(id);
                    self.schedule_renewal(id, installed);
                }
            }
            // One that has resigned must not lead the hosts away from its successor.
            Chore::AnnounceAgain { installed, .. } if member.installed == Some(installed) => {
                let state = entry.router.state(router);
                if matches!(state, Some(State::Active(active)) if active.phase == Phase::Advertising) {
                    self.announce(id);
                }
            }
            Chore::Renew { .. } | Chore::AnnounceAgain { .. } => {}
            Chore::Tell { event, .. } => {
                entry.router.handle_event(own, router, event);
                self.events += 1;
                match event {
                    Event::Confirm(_) => self.say(id, format_args!("the application confirms")),
                    Event::Refuse(_) => self.say(id, format_args!("the application refuses")),
                    _ => {}
                }
            }
        }
    }

    /// The kernel looks at a lease.
    pub(super) fn check_lease(&mut self, node: usize, index: usize) {
        let id = MemberId { node, index };
        let now = self.now;
        let Some(entry) = self.nodes.get(node) else { return };
        let Some(member) = entry.members.get(index).filter(|member| member.held) else { return };
        match member.lease_until {
            // Its clock stands.
            Some(_) if !entry.answers() => self.agenda.add(now + LEASE_CHECK, Job::Lease { node, member: index }),
            Some(until) if until > now => self.agenda.add(until, Job::Lease { node, member: index }),
            Some(_) => {
                self.drop_addresses(id, format_args!("the kernel removes the addresses: the lease has ended"));
                self.put_back(id);
            }
            None => {}
        }
    }

    /// Puts addresses back that are ours, but were removed by others; not for ever.
    pub(super) fn put_back(&mut self, id: MemberId) {
        let Some((entry, router, own)) = self.running(id) else { return };
        let Some(member) = entry.members.get_mut(id.index) else { return };
        if member.installed.is_none() || member.held {
            return;
        }
        let free = member.removals.iter_mut().find(|at| at.is_none_or(|at| own >= at + REMOVALS_WITHIN));
        match free {
            Some(free) if !member.install_fails => {
                *free = Some(own);
                self.say(id, format_args!("puts the addresses back"));
                self.put(id);
                self.announce(id);
            }
            Some(_) | None => {
                entry.router.handle_event(own, router, Event::Fault(Fault::Install));
                self.events += 1;
                self.finish(id.node);
            }
        }
    }

    /// A line in the trace.
    pub(super) fn say(&mut self, id: MemberId, what: core::fmt::Arguments<'_>) {
        if self.trace.is_on() {
            let label = self.label(id);
            self.trace.line(self.now, &label, what);
        }
    }
}
