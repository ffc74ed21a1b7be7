//! Interfaces: what the kernel tells of them, and what that means for the virtual routers on them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_core::{Event, Family, Fault, IfIndex, Instant, RouterId};

use super::event::DriverEvent;
use super::managed::{Chore, Purpose};
use super::{ADDRESS_MARK, Driver, SOCKETS_PER_INTERFACE};
use crate::error::Error;
use crate::interface::Interface;
use crate::netlink::{Change, InterfaceAddress, Link};
use crate::sysctl::Setting;
use crate::{Announcement, sys};

/// Most netlink messages that are read in one turn.
const CHANGES_PER_TURN: usize = 256;

/// When an interface that could not be used is tried again.
const ATTACH_AGAIN: Duration = Duration::from_secs(1);

/// How often the application is told of an address that should not be here.
const MISPLACED_PERIOD: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) fn read_changes(&mut self) -> Result<(), Error> {
        let mut changed = BTreeSet::new();
        let (mut tracked_changed, mut paths_changed) = (false, false);
        for change in self.monitor.read(CHANGES_PER_TURN)? {
            let now = sys::boottime_now();
            tracked_changed |= self.note_for_tracking(&change);
            paths_changed |= self.note_for_paths(&change);
            match change {
                Change::Link(link) => self.link_changed(now, &link),
                Change::LinkRemoved { index, .. } => {
                    if let Some(token) = self.token_of(index) {
                        self.detach(now, token);
                    }
                }
                Change::LinkMoved(index) => {
                    if let Some(token) = self.token_of(index) {
                        self.join_anew(token);
                        self.announce_interface(token);
                        self.announce_sources(token);
                    }
                }
                Change::Address(address) => {
                    if let Some(token) = self.token_of(address.interface) {
                        self.look_for_misplaced(now, token, &address);
                        let ours = address.protocol == Some(ADDRESS_MARK);
                        let is_new = self
                            .interfaces
                            .get_mut(&token)
                            .is_some_and(|interface| interface.address_is_there(address));
                        if is_new && !ours {
                            changed.insert(token);
                        }
                    }
                }
                Change::AddressRemoved(address) => {
                    if let Some(token) = self.token_of(address.interface)
                        && let Some(interface) = self.interfaces.get_mut(&token)
                        && interface.address_is_gone(&address)
                    {
                        let owner = self.owners.get(&(token, address.address)).and_then(|id| self.managed.get(id));
                        // What we have just removed ourselves is no news.
                        if owner.is_none_or(|managed| managed.installed.is_some()) {
                            changed.insert(token);
                        }
                    }
                }
                Change::Route { .. } | Change::RouteRemoved(_) | Change::RuleRemoved { .. } => {}
                Change::Overrun => {
                    let tokens: Vec<u64> = self.interfaces.keys().copied().collect();
                    for token in tokens {
                        self.attach(now, token);
                        changed.insert(token);
                    }
                }
            }
        }
        // An address that is replaced is gone for a moment only: what counts is what is there in the end.
        for token in changed {
            if let Some(interface) = self.interfaces.get_mut(&token) {
                // One that cannot be read is gone, which its own message will tell.
                let _ = interface.reread_addresses(&mut self.netlink);
            }
            let now = sys::boottime_now();
            self.update_primary_addresses(now, token);
            if let Err(error) = self.set_up_sockets(token) {
                self.interface_failed(token, error);
            }
            // A router that lost its primary address leaves; what it has left is not put back.
            self.perform();
            self.restore_addresses(now, token);
        }
        if paths_changed {
            self.check_paths(sys::boottime_now());
        }
        if tracked_changed {
            self.assess_all(sys::boottime_now());
        }
        Ok(())
    }

    fn link_changed(&mut self, now: Instant, link: &Link) {
        let tokens: Vec<u64> = self.interfaces.keys().copied().collect();
        for token in tokens {
            let Some(interface) = self.interfaces.get_mut(&token) else { continue };
            if interface.name == link.name && interface.index() != Some(link.index) {
                self.attach(now, token);
            } else if interface.name != link.name && interface.index() == Some(link.index) {
                // It has another name now, so it is no longer the interface that was configured.
                self.renamed(now, token);
            } else if interface.index() == Some(link.index) {
                let was_at = interface.mac();
                // What was reported may be older than what was last read: only what is now counts.
                interface.link = Some(self.netlink.link(link.index).unwrap_or_else(|_| link.clone()));
                self.report_usability(now, token);
                if self.interfaces.get(&token).and_then(Interface::mac) != was_at {
                    self.announce_interface(token);
                    self.announce_sources(token);
                }
            }
        }
    }

    /// Somebody may have put a virtual address here although another host is to have it.
    fn look_for_misplaced(&mut self, now: Instant, token: u64, address: &InterfaceAddress) {
        let Some(id) = self.owners.get(&(token, address.address)).copied() else { return };
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let ours = address.protocol == Some(ADDRESS_MARK);
        let owner = managed.config.priority.is_owner();
        // What we have set ourselves is told of after the fact, and may be on its way off again.
        if ours || owner || managed.installed.is_some() || !managed.todo.is_empty() {
            return;
        }
        if managed.misplaced.is_none_or(|last| now >= last + MISPLACED_PERIOD) {
            managed.misplaced = Some(now);
            self.events.push(DriverEvent::AddressMisplaced { router: id, address: address.address });
        }
    }

    pub(super) fn token_of(&self, index: IfIndex) -> Option<u64> {
        self.interfaces.iter().find(|(_, interface)| interface.index() == Some(index)).map(|(token, _)| *token)
    }

    /// The token of the interface with this name, which is opened if it is not in use yet.
    pub(super) fn interface_token(&mut self, name: &str, may_be_absent: bool) -> Result<u64, Error> {
        if let Some((token, _)) = self.interfaces.iter().find(|(_, interface)| interface.name == name) {
            return Ok(*token);
        }
        let interface = match Interface::open(&mut self.netlink, name) {
            Err(error @ Error::UnknownInterface { .. }) if may_be_absent => {
                self.events.push(DriverEvent::InterfaceFailed { interface: name.to_owned(), error });
                Interface::absent(name)
            }
            other => other?,
        };
        let token = self.next_token;
        self.next_token += SOCKETS_PER_INTERFACE;
        self.interfaces.insert(token, interface);
        Ok(token)
    }

    pub(super) fn close_unused_interfaces(&mut self) {
        let owners = &self.owners;
        self.interfaces.retain(|token, interface| {
            let from = (*token, IpAddr::from([0, 0, 0, 0]));
            let has_addresses = owners.range(from..).next().is_some_and(|((at, _), _)| at == token);
            let is_cleared = self.managed.values().any(|managed| {
                managed.sender == *token || managed.todo.iter().any(|todo| todo.interface() == Some(*token))
            });
            has_addresses || !interface.routers.is_empty() || is_cleared
        });
    }

    /// Takes the interface as it is now: one that has come (back), or one that changes may have been missed of.
    fn attach(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        let before = interface.index();
        let result = interface.refresh(&mut self.netlink);
        let index = interface.index();
        let result = result.and_then(|()| self.reopen_sockets(token));
        match result {
            Ok(()) => {
                if index != before {
                    // If the old one went unnoticed, the addresses went with it: nothing of it is left to serve with.
                    self.take_out(now, token);
                    self.rebind(token, index);
                    self.rebuild_virtual_macs(token);
                    self.return_addresses(token);
                }
                if let Some(interface) = self.interfaces.get_mut(&token) {
                    interface.failing = false;
                }
                self.report_usability(now, token);
                self.update_primary_addresses(now, token);
                // Unicast is let in by the primary address, which may be known only now.
                if let Err(error) = self.set_up_sockets(token) {
                    self.interface_failed(token, error);
                }
            }
            Err(Error::UnknownInterface { .. }) => self.detach(now, token),
            Err(error) => {
                if let Some(interface) = self.interfaces.get_mut(&token)
                    && !std::mem::replace(&mut interface.failing, true)
                {
                    self.interface_failed(token, error);
                }
                self.detach(now, token);
                // It may be a want of descriptors or memory, of whose end nobody tells.
                self.chores.insert((now + ATTACH_AGAIN, Chore::Attach(token)));
            }
        }
    }

    pub(super) fn attach_again(&mut self, now: Instant, token: u64) {
        if self.interfaces.get(&token).is_some_and(|interface| interface.index().is_none()) {
            self.attach(now, token);
        }
    }

    /// Addresses of virtual routers that advertise elsewhere and are Active belong on an interface that is there again.
    fn return_addresses(&mut self, token: u64) {
        let first = (token, std::net::Ipv4Addr::UNSPECIFIED.into());
        let here = self.owners.range(first..).take_while(|((at, _), _)| *at == token);
        let ids: BTreeSet<RouterId> = here.map(|(_, id)| *id).collect();
        for id in ids {
            let active = self.managed.get(&id).is_some_and(|managed| managed.installed.is_some());
            let places: Vec<_> = self.own_places(id).into_iter().filter(|place| place.interface == token).collect();
            if active {
                self.queue(id, Purpose::Return, places);
            }
        }
    }

    /// Tells of an interface that cannot be used; one that is gone has its own message.
    pub(super) fn interface_failed(&mut self, token: u64, error: Error) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        let gone = interface.index().is_none_or(|index| self.netlink.link(index).is_err());
        if !gone {
            let interface = interface.name.clone();
            self.events.push(DriverEvent::InterfaceFailed { interface, error });
        }
    }

    /// The interface is gone: its routers leave the election until one of its name is there again.
    fn detach(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        interface.close();
        self.take_out(now, token);
        self.rebind(token, None);
        self.drop_virtual_macs(token);
    }

    /// The interface is there still, with the addresses, but it is not the one that was configured any more.
    fn renamed(&mut self, now: Instant, token: u64) {
        self.take_out(now, token);
        self.depart_all();
        while self.managed.values().any(|managed| managed.todo.iter().any(|todo| todo.interface() == Some(token))) {
            self.change_addresses();
        }
        self.perform();
        self.detach(now, token);
    }

    /// Its routers cannot use the interface. What they had on it went with it, and what follows must not find another
    /// interface at its number.
    fn take_out(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        if std::mem::replace(&mut interface.reported_usable, false) {
            interface.went_down(now);
            self.report(now, token, Event::Fault(Fault::Link));
        }
        self.perform();
    }

    fn rebind(&mut self, token: u64, index: Option<IfIndex>) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        for id in &interface.routers {
            if let Some(managed) = self.managed.get_mut(id) {
                managed.todo.retain(|todo| todo.interface() != Some(token));
            }
            // Two names cannot have one number, so there is no other virtual router in the way.
            let _ = self.router.rebind(*id, index);
        }
    }

    /// Tells the routers of an interface what has changed: at once if it cannot be used any more, after its hold-down if
    /// it can again.
    fn report_usability(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        match (interface.reported_usable, interface.is_usable()) {
            (true, false) => {
                interface.reported_usable = false;
                interface.went_down(now);
                self.report(now, token, Event::Fault(Fault::Link));
            }
            (false, true) => match self.hold(token) {
                hold if hold.is_zero() => self.link_is_up(now, token),
                hold => {
                    self.chores.insert((now + hold, Chore::LinkUp(token)));
                }
            },
            (true, true) | (false, false) => {}
        }
    }

    /// How long an interface must have been up before it is used again.
    fn hold(&self, token: u64) -> Duration {
        let Some(interface) = self.interfaces.get(&token) else { return Duration::ZERO };
        let configs = interface.routers.iter().filter_map(|id| Some(&self.managed.get(id)?.config));
        configs.map(|config| config.link_delay).fold(interface.hold(), Duration::max)
    }

    /// The interface can be used again, if it still can. One that went down meanwhile has a later hold-down to its name.
    pub(super) fn link_is_up(&mut self, now: Instant, token: u64) {
        let due = |(_, chore): &(Instant, Chore)| *chore == Chore::LinkUp(token);
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        if !interface.is_usable() || interface.reported_usable || self.chores.iter().any(due) {
            return;
        }
        interface.reported_usable = true;
        self.report(now, token, Event::Recovered(Fault::Link));
        self.announce_interface(token);
        self.announce_sources(token);
    }

    /// Gives an event to every virtual router of an interface.
    fn report(&mut self, now: Instant, token: u64, event: Event) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        for id in &interface.routers {
            self.router.handle_event(now, *id, event);
        }
    }

    /// Gives the routers of an interface the address to advertise from.
    fn update_primary_addresses(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        for id in interface.routers.iter().copied().collect::<Vec<_>>() {
            self.update_primary_address(now, token, id);
        }
    }

    /// Gives one virtual router the address to advertise from.
    pub(super) fn update_primary_address(&mut self, now: Instant, token: u64, id: RouterId) {
        let (Some(interface), Some(managed)) = (self.interfaces.get(&token), self.managed.get(&id)) else { return };
        let current = self.router.params(id).and_then(|params| params.primary_address());
        let (owner, source) = (managed.config.priority.is_owner(), managed.config.source);
        let (family, link_local) = (managed.config.family(), managed.config.link_local_source());
        let primary = interface.primary_address(family, link_local, source.or(current), |address| {
            let virtual_address = self.owners.contains_key(&(token, address.address));
            let marked = address.protocol == Some(ADDRESS_MARK);
            marked || (!owner && virtual_address) || source.is_some_and(|source| source != address.address)
        });
        let mut reason = None;
        if primary != current || current.is_none() {
            // The address is of the router's family, and the router is there; but it may be that of a peer.
            let refused = self.router.set_primary_address(now, id, primary).err();
            let usable = self.router.params(id).is_some_and(|params| params.primary_address().is_some());
            if !usable {
                reason = Some(refused.map_or_else(|| self.why_no_address(token, id), |error| error.to_string()));
            }
            self.announce_source(token, id);
        }
        let is_there = self.interfaces.get(&token).is_some_and(|interface| interface.index().is_some());
        let Some(managed) = self.managed.get_mut(&id) else { return };
        managed.rearm |= primary != current;
        if managed.no_primary_address != reason {
            managed.no_primary_address.clone_from(&reason);
            // That it is not there at all has its own message.
            if let Some(reason) = reason.filter(|_| is_there) {
                self.events.push(DriverEvent::NoPrimaryAddress { router: id, reason });
            }
        }
    }

    /// Why a virtual router has no address to advertise from.
    fn why_no_address(&mut self, token: u64, id: RouterId) -> String {
        let (Some(interface), Some(managed)) = (self.interfaces.get(&token), self.managed.get(&id)) else {
            return String::new();
        };
        let (name, family) = (&interface.name, managed.config.family());
        let Some(index) = interface.index() else { return format!("there is no interface {name}") };
        let mut v6_off = || self.netlink.setting(index, Setting::DisableIpv6).is_ok_and(|value| value == Some(1));
        if family == Family::V6 && v6_off() {
            return format!("IPv6 is disabled on {name}: set net.ipv6.conf.{name}.disable_ipv6 to 0");
        }
        if let Some(unready) = interface.unready(family, managed.config.source, managed.config.link_local_source()) {
            let address = unready.address;
            return match unready.duplicate {
                true => format!("{address} of {name} is another host's too: duplicate address detection has failed"),
                false => format!("{address} of {name} is not ready: duplicate address detection is under way"),
            };
        }
        match (managed.config.source, family) {
            (Some(source), _) => format!("{name} does not have {source}, which is to be advertised from"),
            (None, Family::V4) => format!("{name} has no IPv4 address but virtual ones: give it one of its own"),
            (None, Family::V6) => {
                format!(
                    "{name} has no link-local IPv6 address but virtual ones (RFC 9568 5.1.2.1): give it one of fe80::/64"
                )
            }
        }
    }

    /// Tells the link where the own addresses are that unicast peers send to.
    fn announce_sources(&self, token: u64) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        interface.routers.iter().for_each(|id| self.announce_source(token, *id));
    }

    /// The same for one virtual router. Its peers remember the MAC address that was there before, of an interface that has
    /// been replaced, for many seconds: so long it would hear none of them and claim the role beside another one.
    fn announce_source(&self, token: u64, id: RouterId) {
        let (Some(interface), Some(managed)) = (self.interfaces.get(&token), self.managed.get(&id)) else { return };
        let primary = self.router.params(id).and_then(|params| params.primary_address());
        if let (true, Some(index), Some(mac), Some(address)) = (
            interface.is_usable() && managed.config.addressing.is_unicast(),
            interface.index(),
            interface.mac(),
            managed.config.source.or(primary),
        ) {
            // One that is lost costs what it cost without.
            let _ = self.link_socket.announce([Announcement::new(index, mac, address)]);
        }
    }
}
