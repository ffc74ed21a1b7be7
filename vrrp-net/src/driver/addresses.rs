//! The addresses on the host: installed, leased, put back and removed, in batches.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use vrrp_core::{Event, Fault, Instant, RouterId, State};

use super::event::DriverEvent;
use super::managed::{Chore, Place, Purpose, Task, Todo};
use super::paths::{Names, Owner, PathPurpose, PathTodo};
use super::{ADDRESS_MARK, Driver};
use crate::error::Error;
use crate::netlink::{AddressChange, AddressRequest, HostChange, Outcome};
use crate::{RouterConfig, sys};

/// Most and fewest changes of addresses in one turn. How many there are follows from how long the kernel takes: with
/// thousands of addresses on one interface that is a tenth of a millisecond for each.
pub(super) const LARGEST_BATCH: usize = 200;
const SMALLEST_BATCH: usize = 16;

/// The first batch after a promotion, so that the first of many addresses is announced at once.
const FIRST_BATCH: usize = 2;

/// How long the kernel may take for those of one turn: meanwhile no advertisement goes out.
const BATCH_TIME: Duration = Duration::from_millis(4);

/// A resignation waits for the removal of this many addresses; with more of them the others would wait too long.
pub(super) const REMOVED_BEFORE_RESIGNATION: usize = 1000;

/// How long a virtual router stays out after the kernel refused an address; doubled each time in a row.
const FAULT_HOLD: Duration = Duration::from_secs(10);
const LONGEST_FAULT_HOLD: Duration = Duration::from_secs(600);

/// What it takes at least to renew the lease of one address.
const RENEWAL_ESTIMATE: Duration = Duration::from_micros(10);

/// Renewals may take this part of the time.
const RENEWAL_SHARE: u32 = 200;

/// The kernel counts in seconds, and may be so much early.
const EARLY_EXPIRY: Duration = Duration::from_millis(100);

/// A successor that has not announced the addresses so long after its first advertisement, and so much longer for each of
/// them, is not waited for.
const LONGEST_LINGER: Duration = Duration::from_millis(2);
const ANNOUNCED_WITHIN: Duration = Duration::from_micros(100);

/// Another program that removes addresses this often in this time is given way to.
const REMOVALS_ALLOWED: u32 = 5;
const REMOVAL_WINDOW: Duration = Duration::from_secs(60);

impl Driver {
    /// Whether a virtual router (`id` if it is there already) can have its addresses there.
    pub(super) fn check_places(
        &self,
        config: &RouterConfig,
        places: &[Place],
        id: Option<RouterId>,
    ) -> Result<(), Error> {
        self.check_peers(config)?;
        let mut seen = BTreeSet::new();
        for place in places {
            let address = place.address.address();
            let Some(interface) = self.interfaces.get(&place.interface) else { continue };
            let configured = place.number.and_then(|number| config.addresses.get(number));
            if let (Some(configured), Some(index)) = (configured, interface.index()) {
                configured.request(index, config).check()?;
            }
            if !config.priority.is_owner() && interface.has_only(address) {
                return Err(Error::OwnAddress { address, interface: interface.name.clone() });
            }
            let owner = self.owners.get(&(place.interface, address)).filter(|owner| Some(**owner) != id);
            if let Some(other) = owner.and_then(|owner| self.managed.get(owner)) {
                let interface = interface.name.clone();
                return Err(Error::AddressTaken { address, vrid: other.config.vrid, interface });
            }
            if !seen.insert((place.interface, address)) {
                return Err(Error::Config(vrrp_core::ConfigError::DuplicateAddress(config.vrid, address)));
            }
        }
        Ok(())
    }

    /// A router that is its own peer would hear nobody.
    fn check_peers(&self, config: &RouterConfig) -> Result<(), Error> {
        let Some(peers) = config.addressing.sources() else { return Ok(()) };
        let interface = self.interfaces.values().find(|interface| interface.name == config.interface);
        let own = peers.iter().find(|peer| interface.is_some_and(|it| it.has_of_its_own(**peer)));
        match own {
            Some(own) => Err(Error::Config(vrrp_core::ConfigError::OwnAddressAsPeer(config.vrid, *own))),
            None => Ok(()),
        }
    }

    /// The addresses move here.
    pub(super) fn install(&mut self, id: RouterId) {
        self.keep_addresses_apart(id);
        if let Err(error) = self.refuse_packets(id) {
            self.events.push(DriverEvent::AddressRefused { router: id, error });
            self.give_up_addresses(sys::boottime_now(), id);
            return;
        }
        let places = self.own_places(id);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        if managed.installed.is_some() {
            // Another list was given to an Active, which has been queued.
            return;
        }
        let now = sys::boottime_now();
        managed.installed = Some(now);
        managed.pass_began = now;
        if self.busy.is_empty() {
            self.batch = FIRST_BATCH;
        }
        managed.renews = true;
        managed.spent = Duration::ZERO;
        // The last intent wins: what was to be removed stays, unless it was not ours to have.
        let paths = &managed.paths;
        managed.todo.retain(|task| match task {
            Task::Address(todo) => todo.purpose == Purpose::Remove && !places.contains(&todo.place),
            Task::Path(todo) => todo.purpose == PathPurpose::Remove && !paths.has(todo.path()),
        });
        let paths = paths.installations();
        self.queue(id, Purpose::Install, places);
        // A route may have one of the addresses as its source.
        self.queue_paths(id, paths);
    }

    /// The addresses move away; also what a predecessor left with another prefix length.
    pub(super) fn uninstall(&mut self, id: RouterId) {
        let mut places = self.own_places(id);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        if managed.run_by_another {
            // They are that one's.
            return;
        }
        for place in &managed.places {
            let Some(interface) = self.interfaces.get(&place.interface) else { continue };
            let left = interface.marked(place.address.address()).filter(|address| *address != place.address);
            places.extend(left.map(|address| Place { address, number: None, ..*place }));
        }
        managed.installed = None;
        // What is configured no more is still to be taken away.
        let paths = &managed.paths;
        managed.todo.retain(|task| match task {
            Task::Address(_) => false,
            Task::Path(todo) => todo.purpose == PathPurpose::Remove && !paths.has(todo.path()),
        });
        managed.announce_installed = false;
        let paths = paths.removals();
        self.queue_paths(id, paths);
        self.queue(id, Purpose::Remove, places);
    }

    /// The addresses were handed over: they stay until the successor has announced them, so that what the hosts send here
    /// until then has its answer. Two with the same virtual MAC address would confuse the switches, however; and with very
    /// many, hosts would hear of both for long.
    pub(super) fn linger(&mut self, id: RouterId) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let many = managed.todo.len() > REMOVED_BEFORE_RESIGNATION;
        if managed.virtual_mac.is_some() || many || !managed.is_removing() {
            return;
        }
        managed.lingers = true;
        let number = u32::try_from(managed.places.len()).unwrap_or(u32::MAX);
        let until = sys::boottime_now() + LONGEST_LINGER.saturating_add(ANNOUNCED_WITHIN.saturating_mul(number));
        self.busy.retain(|busy| *busy != id);
        self.chores.insert((until, Chore::Depart(id)));
    }

    /// Another router has announced this address. The last one is the last that a successor announces.
    pub(super) fn successor_announces(&mut self, id: RouterId, address: IpAddr) {
        let last = self.managed.get(&id).and_then(|managed| managed.places.last());
        if last.is_some_and(|last| last.address.address() == address) {
            self.depart(id);
        }
    }

    /// Nothing is waited for any more with the removal of addresses that were handed over.
    pub(super) fn depart(&mut self, id: RouterId) {
        let lingered = self.managed.get_mut(&id).is_some_and(|managed| std::mem::take(&mut managed.lingers));
        if lingered && !self.busy.contains(&id) {
            self.busy.push_back(id);
        }
    }

    pub(super) fn depart_all(&mut self) {
        let lingering: Vec<RouterId> = self.managed.iter().filter(|(_, it)| it.lingers).map(|(id, _)| *id).collect();
        lingering.into_iter().for_each(|id| self.depart(id));
    }

    /// The lease of the addresses is to go on.
    pub(super) fn renew_lease(&mut self, id: RouterId) {
        let places = self.own_places(id);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        managed.pass_began = sys::boottime_now();
        managed.renews = true;
        managed.spent = Duration::ZERO;
        self.queue(id, Purpose::Renew, places);
    }

    /// Puts back what another program removed from an interface.
    pub(super) fn restore_addresses(&mut self, now: Instant, token: u64) {
        let first = (token, std::net::Ipv4Addr::UNSPECIFIED.into());
        let here = self.owners.range(first..).take_while(|((at, _), _)| *at == token);
        let ids: BTreeSet<RouterId> = here.map(|(_, id)| *id).collect();
        for id in ids {
            self.restore(now, token, id);
        }
    }

    fn restore(&mut self, now: Instant, token: u64, id: RouterId) {
        if self.managed.get(&id).is_none_or(|managed| managed.installed.is_none() || !managed.todo.is_empty()) {
            return;
        }
        let own = self.own_places(id);
        let (Some(managed), Some(interface)) = (self.managed.get_mut(&id), self.interfaces.get(&token)) else { return };
        let missing: Vec<Place> =
            own.into_iter().filter(|place| place.interface == token && !interface.has(place.address)).collect();
        let Some(first) = missing.first() else { return };
        if managed.leased_until.is_some_and(|until| now + EARLY_EXPIRY >= until) {
            // This process was held up for so long that the kernel took them; the renewal is due too.
            self.queue(id, Purpose::Relet, missing);
            return;
        }
        let (count, since) = managed.removals;
        managed.removals = if now < since + REMOVAL_WINDOW { (count + 1, since) } else { (1, now) };
        if managed.removals.0 > REMOVALS_ALLOWED {
            managed.removals = (0, now);
            self.events.push(DriverEvent::AddressContested { router: id, address: first.address.address() });
            self.give_up_addresses(now, id);
            return;
        }
        self.queue(id, Purpose::Restore, missing);
    }

    pub(super) fn queue(&mut self, id: RouterId, purpose: Purpose, places: Vec<Place>) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        managed.lingers = false;
        managed.todo.extend(places.into_iter().map(|place| Task::Address(Todo { purpose, place })));
        if !self.busy.contains(&id) {
            self.busy.push_back(id);
        }
    }

    /// The addresses that are ours to install and remove: all but those that an address owner has as its own.
    pub(super) fn own_places(&self, id: RouterId) -> Vec<Place> {
        let Some(managed) = self.managed.get(&id) else { return Vec::new() };
        let is_own = |place: &&Place| {
            let interface = self.interfaces.get(&place.interface);
            !managed.config.priority.is_owner()
                || !interface.is_some_and(|interface| interface.has_of_its_own(place.address.address()))
        };
        managed.places.iter().filter(is_own).copied().collect()
    }

    /// One batch of what the kernel is to be asked for, and what follows from its answers. Whether there was anything.
    pub(super) fn change_addresses(&mut self) -> bool {
        if !self.has_todo() {
            return false;
        }
        let mut served: Vec<RouterId> = Vec::new();
        let mut asked: Vec<(Asked, HostChange)> = Vec::new();
        let mut failed: Vec<(Owner, PathTodo, Result<Outcome, Error>)> = Vec::new();
        let mut names = Names::new();
        while asked.len() + failed.len() < self.batch
            && let Some((owner, task)) = self.next_task(&mut served)
        {
            match (owner, task) {
                (Owner::Router(id), Task::Address(todo)) => {
                    let change = self.change(id, todo).map(HostChange::Address);
                    asked.extend(change.map(|change| (Asked::Address(id, todo), change)));
                }
                (owner, Task::Path(todo)) => match self.path_changes(owner, &todo, &mut names) {
                    Ok(mut changes) => {
                        let last = changes.pop();
                        asked.extend(changes.into_iter().map(|change| (Asked::Before, change)));
                        asked.extend(last.map(|change| (Asked::Path(owner, todo), change)));
                    }
                    Err(error) => failed.push((owner, todo, Err(error))),
                },
                (Owner::Statics, Task::Address(_)) => {}
            }
        }
        let (asked, requests): (Vec<Asked>, Vec<HostChange>) = asked.into_iter().unzip();
        let started = sys::boottime_now();
        let results = self.netlink.change_host(&requests).unwrap_or_else(|error| {
            // Nothing was sent: none of them is done.
            let words = error.to_string();
            let unsent = |change: &HostChange| {
                let operation = match change {
                    HostChange::Address(change) => format!("set or remove address {}", change.address()),
                    HostChange::Add(request) => format!("add {}", request.path),
                    HostChange::Remove(request) => format!("remove {}", request.path),
                };
                Err(Error::io(operation, std::io::Error::other(words.clone())))
            };
            requests.iter().map(unsent).collect()
        });
        let now = sys::boottime_now();
        self.batch = next_batch(self.batch, requests.len(), now.since(started));
        let share = now.since(started) / u32::try_from(asked.len().max(1)).unwrap_or(u32::MAX);
        for (asked, result) in asked.into_iter().zip(results) {
            match asked {
                Asked::Address(id, todo) => self.changed(now, id, todo, result.map(drop), share),
                Asked::Path(owner, todo) => self.path_changed(now, owner, &todo, result),
                Asked::Before => {}
            }
        }
        for (owner, todo, result) in failed {
            self.path_changed(now, owner, &todo, result);
        }
        self.send_announcements(now);
        for id in served {
            if self.managed.get(&id).is_none_or(|managed| managed.todo.is_empty()) {
                self.busy.retain(|busy| *busy != id);
                self.all_changed(now, id);
            }
        }
        true
    }

    /// What is to be asked for next. Virtual routers that it is asked for are noted down.
    fn next_task(&mut self, served: &mut Vec<RouterId>) -> Option<(Owner, Task)> {
        while let Some(id) = self.busy.front().copied() {
            if served.last() != Some(&id) {
                served.push(id);
            }
            match self.managed.get_mut(&id).and_then(|managed| managed.todo.pop_front()) {
                Some(task) => return Some((Owner::Router(id), task)),
                None => drop(self.busy.pop_front()),
            }
        }
        // Roles come first.
        self.statics.todo.pop_front().map(|todo| (Owner::Statics, Task::Path(todo)))
    }

    /// As the kernel takes it; `None` if there is no interface to do it on.
    fn change(&self, id: RouterId, todo: Todo) -> Option<AddressChange> {
        let interface = self.interfaces.get(&todo.place.interface)?.index()?;
        let address = todo.place.address;
        Some(match todo.purpose {
            Purpose::Remove => AddressChange::Remove { interface, address },
            Purpose::Install | Purpose::Renew | Purpose::Restore | Purpose::Relet | Purpose::Return => {
                let managed = self.managed.get(&id)?;
                let configured = todo.place.number.and_then(|number| managed.config.addresses.get(number));
                let request = match configured {
                    Some(configured) => configured.request(interface, &managed.config),
                    None => AddressRequest::new(interface, address),
                };
                let lifetime = self.lease(id).map(|(lifetime, _)| lifetime.get());
                AddressChange::Set(AddressRequest { lifetime, protocol: Some(ADDRESS_MARK), ..request })
            }
        })
    }

    /// The lifetime to set addresses with, and when to renew it. Both stretch with what a renewal costs.
    fn lease(&self, id: RouterId) -> Option<(NonZeroU32, Duration)> {
        let (managed, params) = (self.managed.get(&id)?, self.router.params(id)?);
        let down_interval = params.active_down_interval(params.advert_interval());
        // All virtual routers together may take no more than that part of the time.
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let each = (managed.cost / count(managed.places.len()).max(1)).max(RENEWAL_ESTIMATE);
        managed.config.lease.terms(down_interval, each.saturating_mul(count(self.owners.len())) * RENEWAL_SHARE)
    }

    /// What comes of one change.
    fn changed(&mut self, now: Instant, id: RouterId, todo: Todo, result: Result<(), Error>, cost: Duration) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let address = todo.place.address.address();
        match (todo.purpose, result) {
            (Purpose::Remove, Ok(())) => {}
            // An interface that is gone has taken its addresses along. The monitor is about to say so; with it they return.
            (_, Err(Error::UnknownInterface { .. })) => {}
            (Purpose::Remove, Err(error)) => self.events.push(DriverEvent::AddressRefused { router: id, error }),
            // A refusal before has undone all of it.
            (Purpose::Install | Purpose::Renew | Purpose::Restore | Purpose::Relet | Purpose::Return, _)
                if managed.installed.is_none() => {}
            (Purpose::Install, Ok(())) => {
                managed.spent += cost;
                if managed.announce_installed && managed.config.announcements.repeat > 0 {
                    self.announce_place(id, todo.place);
                }
            }
            (Purpose::Return, Ok(())) => self.announce_place(id, todo.place),
            (Purpose::Renew, Ok(())) => managed.spent += cost,
            (Purpose::Restore, Ok(())) => {
                self.events.push(DriverEvent::AddressRestored { router: id, address });
                self.announce_place(id, todo.place);
            }
            (Purpose::Relet, Ok(())) => {
                self.events.push(DriverEvent::LeaseExpired { router: id, address });
                self.announce_place(id, todo.place);
            }
            (Purpose::Install | Purpose::Renew | Purpose::Restore | Purpose::Relet | Purpose::Return, Err(error)) => {
                self.events.push(DriverEvent::AddressRefused { router: id, error });
                self.give_up_addresses(now, id);
            }
        }
    }

    /// Everything that was asked for a virtual router is done.
    fn all_changed(&mut self, now: Instant, id: RouterId) {
        let lease = self.lease(id);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let announced = std::mem::take(&mut managed.announce_installed);
        let renews = std::mem::take(&mut managed.renews);
        self.events.append(&mut managed.held);
        let deferred = std::mem::take(&mut managed.deferred);
        if let Some(installed) = managed.installed.filter(|_| renews) {
            managed.refusals = 0;
            managed.cost = std::mem::take(&mut managed.spent);
            let began = managed.pass_began;
            managed.leased_until = lease.map(|(lifetime, _)| began + Duration::from_secs(lifetime.get().into()));
            if let Some((_, period)) = lease {
                let at = match (self.router.state(id), self.router.params(id)) {
                    (Some(State::Active(active)), Some(params)) => with_an_advert(
                        now + period,
                        period / 4,
                        active.advert_at,
                        params.advert_interval().as_duration(),
                    ),
                    _ => now + period,
                };
                self.chores.insert((at, Chore::RenewLease(id, installed)));
            }
        }
        for claim in deferred {
            self.send_advert(id, claim);
        }
        if self.managed.get(&id).is_some_and(|managed| managed.installed.is_none()) {
            self.unguard(id);
            self.accept_packets(id);
            self.lower_virtual_mac(id);
        }
        if announced {
            self.announce_further(id);
        }
        self.check_paths_of(now, id);
    }

    /// An address cannot be had: the virtual router leaves, for longer each time, since every attempt takes the role from
    /// one that can serve. What would have followed, above all the announcement, must not happen.
    pub(super) fn give_up_addresses(&mut self, now: Instant, id: RouterId) {
        let (Some(managed), Some(params)) = (self.managed.get_mut(&id), self.router.params(id).copied()) else {
            return;
        };
        let hold = (FAULT_HOLD * 2_u32.saturating_pow(managed.refusals.min(16))).min(LONGEST_FAULT_HOLD);
        managed.refusals = managed.refusals.saturating_add(1);
        managed.installed = None;
        managed.forget_todo();
        self.router.cancel_actions(id);
        // The router is there, and nothing else changes.
        let _ = self.router.set_params(now, id, params.with_fault_hold(hold));
        self.router.handle_event(now, id, Event::Fault(Fault::Install));
    }
}

/// What a change was asked for.
#[derive(Debug)]
enum Asked {
    Address(RouterId, Todo),
    Path(Owner, PathTodo),
    /// It makes room for the next one.
    Before,
}

/// When to renew until then: with the last advertisement, so that one wake-up does for both, unless that is earlier by more
/// than `most`. The next one is at `advert_at`.
fn with_an_advert(until: Instant, most: Duration, advert_at: Instant, interval: Duration) -> Instant {
    let early = until.since(advert_at).as_nanos().checked_rem(interval.as_nanos()).unwrap_or_default();
    let early = u64::try_from(early).map_or(Duration::MAX, Duration::from_nanos);
    if advert_at <= until && early <= most { until - early } else { until }
}

/// How many changes to ask for in the next turn, after `done` of at most `batch` took so long.
fn next_batch(batch: usize, done: usize, took: Duration) -> usize {
    let next = match took {
        took if took > BATCH_TIME => done / 2,
        took if took < BATCH_TIME / 4 && done == batch => batch * 2,
        _ => batch,
    };
    next.clamp(SMALLEST_BATCH, LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_asks_for_as_much_as_the_kernel_does_in_a_few_milliseconds() {
        assert_eq!(next_batch(200, 200, Duration::from_millis(20)), 100);
        assert_eq!(next_batch(20, 20, Duration::from_millis(20)), SMALLEST_BATCH);
        assert_eq!(next_batch(100, 100, Duration::from_micros(100)), LARGEST_BATCH);
        assert_eq!(next_batch(100, 3, Duration::from_micros(100)), 100, "three tell nothing of a hundred");
        assert_eq!(next_batch(100, 100, Duration::from_millis(3)), 100);
    }

    #[test]
    fn a_lease_is_renewed_with_an_advertisement_unless_that_is_much_too_early() {
        let renewed = |until: u64, advert_at: u64, interval: u64| {
            let [until, advert_at] = [until, advert_at].map(Instant::from_millis);
            let at = with_an_advert(until, Duration::from_millis(300), advert_at, Duration::from_millis(interval));
            at.since(Instant::ZERO).as_millis()
        };
        assert_eq!(renewed(666, 100, 100), 600);
        assert_eq!(renewed(600, 100, 100), 600);
        assert_eq!(renewed(666, 366, 1000), 366);
        assert_eq!(renewed(666, 365, 1000), 666, "so early would be often");
        assert_eq!(renewed(666, 667, 1000), 666, "the next one is later");
    }
}
