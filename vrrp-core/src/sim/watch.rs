//! The oracles at work: conditions that must not last, looked at whenever something changes, and rules about changes of
//! role.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::host::{NEIGHBOUR_TIMEOUT, TRAFFIC};
use super::node::{Lease, Member, Node, Process};
use super::oracle::{Oracle, Oracles, Violation};
use super::{MemberId, Service, Sim};
use crate::wire::Discard;
use crate::{Cause, Instant, Phase, Preempt, Role, State, Transition, Version};

/// Periods of the rival's advertisements until an Active must have noticed that it stays.
const NOTICE: u32 = 6;

/// Least time between two alarms of one kind.
const ALARM_PERIOD: Duration = Duration::from_secs(60);

/// Changes of role that past faults may leave for later.
const CREDIT: u32 = 6;

/// How many lines of the trace a violation takes along.
const EXCERPT: usize = 40;

#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// Whether something has changed that a condition may depend on.
    pub(super) dirty: bool,
    /// When the first condition has lasted too long.
    pub(super) due: Instant,
    oracles: Oracles,
    watches: Vec<Watch>,
    before: Vec<Watch>,
    /// Changes of role that the faults so far account for, for each virtual router.
    budget: u32,
    violations: Vec<Violation>,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            dirty: true,
            due: Instant::FAR_FUTURE,
            oracles: Oracles::of(&Oracle::ALL),
            watches: Vec::new(),
            before: Vec::new(),
            budget: 0,
            violations: Vec::new(),
        }
    }
}

impl Monitor {
    /// Something was done that may change roles so many times.
    pub(super) fn expect_changes(&mut self, changes: u32) {
        self.dirty = true;
        self.budget += changes;
    }
}

/// A condition that holds now and must not hold for long: the oracle, and whom it is about.
#[derive(Clone, Copy, Debug)]
struct Watch {
    oracle: Oracle,
    who: MemberId,
    other: Option<MemberId>,
    host: Option<usize>,
    since: Instant,
    due: Instant,
    reported: bool,
}

/// One member with what it stands on.
#[derive(Clone, Copy)]
struct View<'a> {
    id: MemberId,
    node: &'a Node,
    member: &'a Member,
    station: usize,
    interval: Duration,
}

impl View<'_> {
    fn is_active(&self) -> bool {
        self.node.is_running() && self.member.role() == Role::Active
    }

    fn advertises(&self) -> bool {
        match self.member.state {
            State::Active(active) => active.phase == Phase::Advertising,
            State::Claimant(claimant) => !claimant.is_silent(),
            State::Initialize(_) | State::Backup(_) => false,
        }
    }

    /// Whether it is Active, or claims to be on the wire.
    fn claims(&self) -> bool {
        self.member.role() == Role::Active || self.advertises()
    }

    /// Whether nothing but an Active keeps it from promoting itself.
    fn is_eligible(&self) -> bool {
        self.node.is_running()
            && self.node.has_carrier(self.member)
            && !self.node.sends_fail
            && !self.member.refused
            && !self.member.install_fails
            && self.member.role() == Role::Backup
    }

    fn down_interval(&self) -> Duration {
        let params = self.member.params();
        let interval = match self.member.state {
            State::Backup(backup) => backup.active_adver_interval.max(params.advert_interval()),
            State::Initialize(_) | State::Claimant(_) | State::Active(_) => params.advert_interval(),
        };
        params.active_down_interval(interval)
    }

    /// Since when it has been in its role, without being held up and without calling an election.
    fn settled_since(&self) -> Instant {
        let resigned = self.member.resigned.unwrap_or_default();
        self.member.role_since.max(self.node.since).max(resigned)
    }

    /// Whether it takes the role from a healthy Active of lower priority.
    fn never_preempts(&self) -> bool {
        let params = self.member.params();
        params.preempt() == Preempt::Never && !params.priority().is_owner()
    }
}

impl Sim {
    /// Judges by these only; all of them unless this is called.
    pub fn judge_by(&mut self, oracles: &[Oracle]) {
        self.monitor.oracles = Oracles::of(oracles);
    }

    /// The first property that did not hold, if any.
    pub fn violation(&self) -> Option<&Violation> {
        self.monitor.violations.first()
    }

    /// Every property that did not hold, in the order of time. A condition that lasts counts once.
    pub fn violations(&self) -> &[Violation] {
        &self.monitor.violations
    }

    fn view(&self, id: MemberId) -> Option<View<'_>> {
        let node = self.nodes.get(id.node)?;
        let member = node.members.get(id.index)?;
        let station = node.port_of(member)?.station;
        let interval = member.config.params.advert_interval().as_duration();
        Some(View { id, node, member, station, interval })
    }

    /// Whether what `from` sends arrives at `to`, mostly.
    fn is_heard(&self, service: &Service, from: View<'_>, to: View<'_>) -> bool {
        let line = self.lans.get(service.lan).and_then(|lan| lan.line(from.station, to.station));
        line.is_some_and(|line| !line.link.cut)
            && !from.node.sends_fail
            && from.node.has_carrier(from.member)
            && to.node.has_carrier(to.member)
            && to.member.listens_to(from.member)
    }

    /// Since when everything that `from` sends arrives at `to` and is taken by it; `None` if it does not.
    fn clean_since(&self, service: &Service, from: View<'_>, to: View<'_>) -> Option<Instant> {
        let line = self.lans.get(service.lan)?.line(from.station, to.station)?;
        let clean = line.is_clean() && self.is_heard(service, from, to) && are_compatible(from.member, to.member);
        let since = [from.node.since, to.node.since, from.node.able_since, to.node.able_since];
        clean.then(|| since.into_iter().fold(line.changed, Instant::max))
    }

    /// Since when two hear each other.
    fn both_ways_since(&self, service: &Service, one: View<'_>, other: View<'_>) -> Option<Instant> {
        Some(self.clean_since(service, one, other)?.max(self.clean_since(service, other, one)?))
    }

    /// When the network between two last changed.
    fn lines_changed(&self, service: &Service, one: View<'_>, other: View<'_>) -> Instant {
        let lan = self.lans.get(service.lan);
        let changed = |from: usize, to: usize| lan.and_then(|lan| lan.line(from, to)).map(|line| line.changed);
        let lines = [changed(one.station, other.station), changed(other.station, one.station)];
        lines.into_iter().flatten().fold(one.node.able_since.max(other.node.able_since), Instant::max)
    }

    /// `bound` by clocks that are a little off, with the time that frames take.
    fn allow(&self, service: &Service, bound: Duration) -> Duration {
        let slowest = self.lans.get(service.lan).map_or(0, |lan| lan.slowest);
        bound + bound / 128 + Duration::from_nanos(slowest.saturating_mul(2)) + Duration::from_millis(1)
    }

    /// Looks which conditions hold now, keeping since when they do.
    pub(super) fn watch(&mut self) {
        let mut monitor = core::mem::take(&mut self.monitor);
        monitor.dirty = false;
        core::mem::swap(&mut monitor.watches, &mut monitor.before);
        monitor.watches.clear();
        let now = self.now;
        for service in &self.services {
            self.look(service, &mut |oracle, who, other, host, after, bound| {
                if !monitor.oracles.contains(oracle) {
                    return;
                }
                let same =
                    |watch: &&Watch| (watch.oracle, watch.who, watch.other, watch.host) == (oracle, who, other, host);
                let known = monitor.before.iter().find(same);
                let since = known.map_or(now, |watch| watch.since);
                let reported = known.is_some_and(|watch| watch.reported);
                // A bound that has become stricter does not hold for what was before.
                let due = since.max(after) + self.allow(service, bound);
                let due = known.map_or(due, |watch| due.max(watch.due));
                monitor.watches.push(Watch { oracle, who, other, host, since, due, reported });
            });
        }
        monitor.due = first_due(&monitor.watches);
        self.monitor = monitor;
    }

    /// Tells `found` every condition that holds: whom it is about, when the last thing happened that would excuse it, and
    /// for how long it may last from then on.
    fn look(
        &self,
        service: &Service,
        found: &mut dyn FnMut(Oracle, MemberId, Option<MemberId>, Option<usize>, Instant, Duration),
    ) {
        let views = || service.members.iter().filter_map(|id| self.view(*id));
        for one in views() {
            self.look_at_one(service, one, found);
            for other in views().filter(|other| other.id != one.id) {
                self.look_at_pair(service, one, other, found);
            }
        }
        let mut actives = views().filter(|view| view.is_active() && view.member.held);
        if let (Some(active), None) = (actives.next(), actives.next()) {
            self.look_at_hosts(service, active, found);
        }
    }

    fn look_at_one(
        &self,
        service: &Service,
        one: View<'_>,
        found: &mut dyn FnMut(Oracle, MemberId, Option<MemberId>, Option<usize>, Instant, Duration),
    ) {
        let (id, member) = (one.id, one.member);
        let params = member.params();
        let is_active = member.role() == Role::Active;
        match one.node.process {
            Process::Running if member.held != is_active => {
                found(Oracle::AddressIsRole, id, None, None, one.node.since, Duration::ZERO);
            }
            Process::Gone | Process::Stalled if member.held => {
                let lease = member.lease.lifetime(&params).filter(|_| member.lease != Lease::Off);
                let bound = lease.unwrap_or(params.active_down_interval(params.advert_interval()) * 2);
                found(Oracle::AddressIsRole, id, None, None, one.node.since, bound);
            }
            Process::Running | Process::Gone | Process::Stalled | Process::Frozen => {}
        }
        if let Some(leaving) = member.leaving
            && one.node.is_running()
            && (member.role() != Role::Initialize || member.held)
        {
            found(Oracle::CleanExit, id, None, None, leaving.max(one.node.since), params.hand_over().deadline);
        }
        let siblings = one.node.members.iter().enumerate();
        let mut siblings = siblings.filter(|(index, _)| one.node.grouped || *index == id.index);
        let alone = siblings.all(|(index, _)| self.is_alone(MemberId { node: id.node, index }));
        if alone {
            let lan = self.lans.get(service.lan);
            let lines = lan.into_iter().flat_map(|lan| {
                (0..lan.stations.len()).filter_map(move |from| lan.line(from, one.station)).map(|line| line.changed)
            });
            // Whoever gave up the role a moment ago, even without having served, has been heard.
            let members = service.members.iter().filter_map(|id| self.member(*id));
            let lines = lines.chain(members.flat_map(|other| [other.role_since, other.resigned.unwrap_or_default()]));
            let after = lines.fold(one.node.since.max(member.params_since), Instant::max);
            let back_off = match member.state {
                State::Backup(backup) if backup.stand_back_until.is_some() => params.gate().map(|gate| gate.back_off),
                State::Backup(_) | State::Initialize(_) | State::Claimant(_) | State::Active(_) => None,
            };
            let bound = one.down_interval() + back_off.unwrap_or_default();
            found(Oracle::AtLeastOne, id, None, None, after, bound);
        }
    }

    /// Whether it could become Active and hears nobody who is.
    fn is_alone(&self, id: MemberId) -> bool {
        let Some(one) = self.view(id) else { return false };
        let Some(service) = self.services.iter().find(|service| service.members.contains(&id)) else { return false };
        let mut others = service.members.iter().filter(|other| **other != id).filter_map(|other| self.view(*other));
        one.is_eligible()
            && !others.any(|other| other.node.is_running() && other.claims() && self.is_heard(service, other, one))
    }

    fn look_at_pair(
        &self,
        service: &Service,
        one: View<'_>,
        other: View<'_>,
        found: &mut dyn FnMut(Oracle, MemberId, Option<MemberId>, Option<usize>, Instant, Duration),
    ) {
        let both = self.both_ways_since(service, one, other);
        if one.is_active() && other.is_active() {
            if let Some(after) = both.filter(|_| one.id < other.id) {
                // Two that have both resigned hear nothing of each other before one of them goes on or leaves.
                let hand_over =
                    one.member.params().hand_over().deadline.max(other.member.params().hand_over().deadline);
                let silence = if one.advertises() || other.advertises() { Duration::ZERO } else { hand_over };
                let bound = one.interval.max(other.interval) + silence;
                found(Oracle::AtMostOne, one.id, Some(other.id), None, after, bound);
            }
            let alarmed = one.member.alarmed.is_some_and(|at| self.now < at + ALARM_PERIOD);
            let line = self.lans.get(service.lan).and_then(|lan| lan.line(other.station, one.station));
            if let Some(line) = line.filter(|line| line.is_clean() && self.is_heard(service, other, one))
                && !alarmed
                && other.advertises()
            {
                let resigned = other.member.resigned.unwrap_or_default();
                let after = line.changed.max(one.node.since).max(other.node.since).max(resigned);
                found(Oracle::Visible, one.id, Some(other.id), None, after, other.interval * NOTICE);
            }
        }
        let (ours, theirs) = (one.member.params(), other.member.params());
        if one.is_active()
            && ours.is_degraded()
            && other.is_eligible()
            && theirs.priority() > ours.priority()
            && !one.node.grouped
            && self.is_only_active(service, one)
            && let Some(after) = both
        {
            let wait = match theirs.preempt() {
                _ if ours.yields_when_degraded() => Some(ours.re_election() + one.interval),
                Preempt::Immediately => Some(one.interval),
                Preempt::After(delay) => Some(one.interval + delay),
                Preempt::Never => None,
            };
            if let Some(wait) = wait {
                let bound = wait + other.down_interval();
                found(Oracle::HealthWins, one.id, Some(other.id), None, after, bound);
            }
        }
    }

    /// Whether nobody else claims the role: the others would hold still for that one.
    fn is_only_active(&self, service: &Service, one: View<'_>) -> bool {
        let mut others = service.members.iter().filter(|id| **id != one.id).filter_map(|id| self.view(*id));
        !others.any(|other| other.claims())
    }

    fn look_at_hosts(
        &self,
        service: &Service,
        active: View<'_>,
        found: &mut dyn FnMut(Oracle, MemberId, Option<MemberId>, Option<usize>, Instant, Duration),
    ) {
        let Some(lan) = self.lans.get(service.lan) else { return };
        let Some(address) = active.member.config.addresses.first() else { return };
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.lan == service.lan) {
            let lines = (lan.line(active.station, host.station), lan.line(host.station, active.station));
            let (Some(there), Some(back)) = lines else { continue };
            let Some(entry) = host.cache.iter().find(|entry| entry.address == *address) else { continue };
            if there.is_clean()
                && back.is_clean()
                && active.node.has_carrier(active.member)
                && !active.node.sends_fail
                && entry.node != Some(active.id.node)
            {
                let after = active.settled_since().max(active.node.able_since).max(there.changed).max(back.changed);
                let lease = active.member.lease.lifetime(&active.member.config.params).unwrap_or_default();
                let bound = match entry.node {
                    Some(_) if !entry.missed => active.interval * 2,
                    Some(_) => NEIGHBOUR_TIMEOUT + lease,
                    None => (active.interval * 2).max(TRAFFIC * 2),
                };
                let pointed = entry.node.map(|node| MemberId { node, index: 0 });
                found(Oracle::HostsFollow, active.id, pointed, Some(index), after, bound);
            }
        }
    }

    /// Reports what has lasted too long before `at`.
    pub(super) fn report_overdue(&mut self, at: Instant) {
        let overdue = self.monitor.watches.iter_mut().filter(|watch| watch.due < at && !watch.reported);
        let overdue: Vec<Watch> = overdue
            .map(|watch| {
                watch.reported = true;
                *watch
            })
            .collect();
        self.monitor.due = first_due(&self.monitor.watches);
        for watch in overdue {
            let what = self.say_what(watch);
            self.report(watch.oracle, watch.due, what);
        }
    }

    fn say_what(&self, watch: Watch) -> String {
        let who = self.label(watch.who);
        let other = watch.other.map(|other| self.label(other)).unwrap_or_default();
        let host = watch.host.and_then(|host| self.hosts.get(host)).map_or("", |host| host.name.as_str());
        let held = self.holds(watch.who);
        let since = watch.since;
        match watch.oracle {
            Oracle::AtMostOne => format!("{who} and {other} are both Active since {since}"),
            Oracle::AtLeastOne => format!("{who} hears no Active since {since}, and does not become one"),
            Oracle::AddressIsRole if held => format!("{who} has the addresses without the role since {since}"),
            Oracle::AddressIsRole => format!("{who} is Active without the addresses since {since}"),
            Oracle::HostsFollow => format!("{host} does not send to {who}, the Active, since {since}"),
            Oracle::HealthWins => format!("{who} is degraded and Active beside {other} since {since}"),
            Oracle::CleanExit => format!("{who} was told to leave, and is still there"),
            Oracle::Visible => format!("{who} hears a second Active, {other}, since {since}, and raises no alarm"),
            Oracle::NoPreempt | Oracle::BoundedChurn | Oracle::InertGarbage => who,
        }
    }

    fn report(&mut self, oracle: Oracle, at: Instant, what: String) {
        if !self.monitor.oracles.contains(oracle) {
            return;
        }
        self.trace.line(at, "!", format_args!("{oracle}: {what}"));
        let trace = self.trace.tail(EXCERPT).to_string();
        self.monitor.violations.push(Violation { oracle, at, what, trace });
    }

    /// A packet was discarded, and yet had an effect.
    pub(super) fn report_effect(&mut self, node: usize, discard: Discard) {
        let name = self.nodes.get(node).map(|node| node.name.clone()).unwrap_or_default();
        self.report(
            Oracle::InertGarbage,
            self.now,
            format!("{name} dropped a packet ({discard}), but it had an effect"),
        );
    }

    /// An Active that leaves without another one ever having heard of it leaves hosts that only their own discovery leads
    /// back.
    pub(super) fn excuse_unheard(&mut self, id: MemberId, gone: bool) {
        let Some(service) = self.services.iter().find(|service| service.members.contains(&id)) else { return };
        let Some(one) = self.view(id) else { return };
        let others = service.members.iter().filter(|other| **other != id).filter_map(|other| self.view(*other));
        let never_heard = |other: View<'_>| {
            // Nor may one be known that has had the role for less than an interval.
            let since = self.clean_since(service, one, other).map(|since| since.max(one.member.role_since));
            since.is_none_or(|since| gone && self.now < since + self.allow(service, one.interval))
        };
        let rivals: Vec<bool> = others.filter(|other| other.member.role() == Role::Active).map(never_heard).collect();
        let (now, unheard, interval) = (self.now, rivals.contains(&true), one.interval);
        let (lan, node) = (service.lan, id.node);
        for host in self.hosts.iter_mut().filter(|host| host.lan == lan) {
            // Or hosts were led to it since it last spoke.
            let fresh = |since: Instant| gone && !rivals.is_empty() && now < since + interval;
            let entries = host.cache.iter_mut().filter(|entry| entry.node == Some(node));
            entries.filter(|entry| unheard || fresh(entry.since)).for_each(|entry| entry.missed = true);
        }
    }

    /// The rules about changes of role.
    pub(super) fn judge_transition(&mut self, id: MemberId, transition: Transition) {
        self.monitor.dirty = true;
        self.judge_preemption(id, transition);
        let now = self.now;
        let lossy = self.lans.iter().any(|lan| lan.lossy);
        let budget = self.monitor.budget;
        let label = self.label(id);
        let Some(member) = self.member_mut(id) else { return };
        // One that kept silent has nothing to take back.
        let claimed = transition.from == Role::Claimant
            && !matches!(member.state, State::Claimant(claimant) if claimant.is_silent());
        member.role_since = now;
        // As of the last turn: a promotion that was undone in the same turn was none.
        let moved = (member.role() == Role::Active) != (transition.to == Role::Active);
        if moved && !lossy {
            member.changes = (member.changes + 1).max(budget.saturating_sub(CREDIT));
        }
        let (changes, sent) = (member.changes, member.sent);
        if changes > budget {
            self.report(
                Oracle::BoundedChurn,
                now,
                format!("{label} changes its role once more than the faults explain"),
            );
        }
        if transition.from == Role::Active {
            // As Backup it has said so, unless nobody could hear it.
            self.excuse_unheard(id, transition.to == Role::Initialize);
        }
        let left = (transition.from == Role::Active || claimed)
            && matches!(transition.cause, Cause::Shutdown | Cause::NoSuccessor | Cause::HandedOver(_));
        if left && transition.to == Role::Initialize && sent.is_none_or(|claim| claim.priority.is_some()) {
            self.report(Oracle::CleanExit, now, format!("{label} left without priority 0"));
        }
    }

    /// O5: a Backup takes a role that is not free, or an Active that was held up takes it back.
    fn judge_preemption(&mut self, id: MemberId, transition: Transition) {
        let Some(service) = self.services.iter().find(|service| service.members.contains(&id)) else { return };
        let Some(one) = self.view(id) else { return };
        let rises = transition.from == Role::Backup && matches!(transition.to, Role::Claimant | Role::Active);
        let outranked = match transition.cause {
            Cause::Outranked(winner) if transition.from == Role::Active => Some(winner),
            _ => None,
        };
        let views = || service.members.iter().filter(|other| **other != id).filter_map(|other| self.view(*other));
        let mut fault = None;
        // Two were Active, and one of them resigned.
        let resigned = |view: View<'_>| view.member.resigned.is_some_and(|at| self.now < at + one.down_interval());
        for other in views().filter(|other| !other.node.grouped) {
            if views().any(|third| third.id != other.id && resigned(third)) {
                continue;
            }
            let Some(clean) = self.both_ways_since(service, one, other) else { continue };
            let settled = self.allow(service, other.interval);
            if rises && one.never_preempts() && other.is_active() && other.advertises() {
                let healthy = !other.member.params().is_degraded();
                // It has had the time to say so.
                let line = self.lans.get(service.lan).and_then(|lan| lan.line(other.station, one.station));
                let since =
                    other.settled_since().max(other.node.able_since).max(line.map_or(clean, |line| line.changed));
                if healthy && self.now > since + settled {
                    fault = Some((id, other.id));
                }
            }
            if outranked.is_some()
                && other.member.address() == outranked
                && other.never_preempts()
                && one.never_preempts()
                && one.advertises()
                && !one.member.params().is_degraded()
                // The other one went on, on a healthy network, when this one had long been Active.
                && other.node.since > one.settled_since() + settled
                && !other.node.clock_stood
                // Else it may not have been silent for so long that it has to doubt its role.
                && other.node.stood > other.down_interval()
                && self.lines_changed(service, one, other) + settled <= other.node.since
                && self.now < other.node.since + settled
            {
                fault = Some((other.id, id));
            }
        }
        if let Some((taker, loser)) = fault {
            let what = format!("{} takes the role from {}, a healthy Active", self.label(taker), self.label(loser));
            self.report(Oracle::NoPreempt, self.now, what);
        }
    }
}

fn first_due(watches: &[Watch]) -> Instant {
    let open = watches.iter().filter(|watch| !watch.reported);
    open.map(|watch| watch.due).min().unwrap_or(Instant::FAR_FUTURE)
}

/// Whether two that are configured like this take each other's advertisements.
fn are_compatible(one: &Member, other: &Member) -> bool {
    let (ours, theirs) = (one.config.params, other.config.params);
    let same_interval = match ours.version() {
        Version::V2 => {
            let learn = ours.learns_v2_interval() && theirs.learns_v2_interval();
            learn || ours.advert_interval() == theirs.advert_interval()
        }
        Version::V3(_) => true,
    };
    ours.version() == theirs.version() && one.config.authentication == other.config.authentication && same_interval
}
