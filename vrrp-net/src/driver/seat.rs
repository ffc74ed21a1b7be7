//! Where a virtual router is on the host: its interfaces, its sockets and what they let in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;

use vrrp_core::wire::TtlPolicy;
use vrrp_core::{Family, IfIndex, RouterId};

use super::Driver;
use super::managed::{Managed, Place, Seat};
use crate::error::Error;
use crate::filter::{Plausible, ReceiveFilter};
use crate::interface::{Interface, family_number};
use crate::sysctl::Setting;
use crate::{RouterConfig, VirtualMacInterface, VirtualMacs};

impl Driver {
    /// Opens what a virtual router needs on its interfaces.
    pub(super) fn take_seat(&mut self, config: &RouterConfig) -> Result<Seat, Error> {
        let interface = self.interface_token(&config.interface, config.may_be_absent)?;
        self.open_socket(interface, config.family())?;
        let virtual_mac = self.create_virtual_mac(interface, config)?;
        let sender = match &virtual_mac {
            Some(virtual_mac) => self.interface_token(virtual_mac.name(), false)?,
            // If it is to have one and the parent is absent, it gets it with that.
            None => interface,
        };
        self.open_socket(sender, config.family())?;
        let places = self.places(sender, config)?;
        Ok(Seat { interface, sender, virtual_mac, places })
    }

    /// The interface with the virtual router's MAC address, if it is to have one and its parent is there.
    pub(super) fn create_virtual_mac(
        &mut self,
        parent: u64,
        config: &RouterConfig,
    ) -> Result<Option<VirtualMacInterface>, Error> {
        let parent = self.interfaces.get(&parent).and_then(Interface::index);
        let (Some(wanted), Some(parent)) = (&config.virtual_mac, parent) else { return Ok(None) };
        let virtual_macs = match &self.virtual_macs {
            Some(virtual_macs) => virtual_macs,
            None => self.virtual_macs.insert(VirtualMacs::open()?),
        };
        virtual_macs.create(parent, config.vrid, config.family(), wanted.name.as_deref()).map(Some)
    }

    /// Where the addresses of a virtual router go.
    pub(super) fn places(&mut self, sender: u64, config: &RouterConfig) -> Result<Vec<Place>, Error> {
        let mut places = Vec::with_capacity(config.addresses.len());
        for (number, address) in config.addresses.iter().enumerate() {
            let interface = match address.interface() {
                Some(name) if name != config.interface => self.interface_token(name, config.may_be_absent)?,
                Some(_) | None => sender,
            };
            places.push(Place { interface, address: address.installed(config), number: Some(number) });
        }
        Ok(places)
    }

    /// Opens the socket of an interface for a family, and watches it.
    pub(super) fn open_socket(&mut self, token: u64, family: Family) -> Result<(), Error> {
        let Some(interface) = self.interfaces.get_mut(&token) else { return Ok(()) };
        if interface.open_socket(family, &mut self.spares)?
            && let Some(socket) = interface.socket(family)
        {
            let token = token + if family_number(family) == 0 { 0 } else { 1 };
            self.intake.sockets.add(socket.as_fd(), token).map_err(|error| Error::io("watch a VRRP socket", error))?;
        }
        Ok(())
    }

    /// Opens what the virtual routers on an interface need, after it has come back.
    pub(super) fn reopen_sockets(&mut self, token: u64) -> Result<(), Error> {
        let uses = |managed: &&Managed| managed.interface == token || managed.sender == token;
        let families: Vec<Family> = self.managed.values().filter(uses).map(|it| it.config.family()).collect();
        for family in families {
            self.open_socket(token, family)?;
        }
        self.set_up_sockets(token)
    }

    /// Has a virtual router hear the group that its peers speak to.
    pub(super) fn join_group(&mut self, id: RouterId) -> Result<(), Error> {
        let Some(managed) = self.managed.get(&id) else { return Ok(()) };
        let family = managed.config.family();
        let Some(group) = managed.config.addressing.group(family) else { return Ok(()) };
        let Some(interface) = self.interfaces.get_mut(&managed.interface) else { return Ok(()) };
        let joined = interface.socket(family).map(|socket| socket.join(group));
        match joined {
            Some(Ok(())) => drop(interface.groups.insert(group)),
            // Without an address there may be no group to join: it is joined with the address.
            Some(Err(error)) if self.router.params(id).is_some_and(|params| params.primary_address().is_some()) => {
                return Err(error);
            }
            Some(Err(_)) | None => {}
        }
        Ok(())
    }

    /// Lets in what may be for the virtual routers that were added since the last turn.
    pub(super) fn set_filters(&mut self) {
        while let Some(token) = self.unfiltered.pop_first() {
            if let Err(error) = self.set_up_sockets(token) {
                self.interface_failed(token, error);
            }
        }
    }

    /// Lets in what may be for the virtual routers of an interface, and nothing else.
    pub(super) fn set_up_sockets(&mut self, token: u64) -> Result<(), Error> {
        let Some(interface) = self.interfaces.get(&token) else { return Ok(()) };
        let mut joined = BTreeSet::new();
        for family in [Family::V4, Family::V6] {
            let Some(socket) = interface.socket(family) else { continue };
            let ids = || {
                let of_family =
                    |id: &&RouterId| self.managed.get(id).is_some_and(|managed| managed.config.family() == family);
                interface.routers.iter().filter(of_family)
            };
            let configs = || ids().filter_map(|id| self.managed.get(id)).map(|managed| &managed.config);
            let groups: BTreeSet<IpAddr> = configs().filter_map(|config| config.addressing.group(family)).collect();
            let own = ids().filter_map(|id| self.router.params(*id)?.primary_address());
            let destinations: Vec<IpAddr> = own.chain(groups.iter().copied()).collect();
            let least_ttl = configs().map(|config| match config.addressing.ttl() {
                TtlPolicy::Strict => vrrp_core::wire::TTL,
                TtlPolicy::Routed { min, .. } => min,
            });
            let plausible = Plausible::new(configs().map(|config| config.vrid), destinations);
            let least_ttl = least_ttl.min().unwrap_or(vrrp_core::wire::TTL);
            socket.set_filter(&ReceiveFilter::from(plausible.with_least_ttl(least_ttl)))?;
            // One that was handed in may have joined the usual group.
            let before = interface.groups.iter().copied().filter(|group| Family::of(*group) == family);
            before
                .chain([family.group()])
                .filter(|group| !groups.contains(group))
                .try_for_each(|it| socket.leave(it))?;
            // Without an address there may be no group to join, as where IPv6 is disabled; it is joined with the address.
            let has_address = ids().any(|id| self.router.params(*id).is_some_and(|it| it.primary_address().is_some()));
            match groups.iter().try_for_each(|group| socket.join(*group)) {
                Err(error) if has_address => return Err(error),
                Ok(()) | Err(_) => {}
            }
            joined.extend(groups);
        }
        if let Some(interface) = self.interfaces.get_mut(&token) {
            interface.groups = joined;
        }
        self.watch_addresses(token)
    }

    /// Keeps the kernel from deleting an address together with another one of its prefix.
    pub(super) fn keep_addresses_apart(&mut self, id: RouterId) {
        let Some(managed) = self.managed.get(&id) else { return };
        let shares = |place: &&Place| place.address.family() == Family::V4 && place.address.prefix_len() < 32;
        let tokens: BTreeSet<u64> = managed.places.iter().filter(shares).map(|place| place.interface).collect();
        for token in tokens {
            if let Some(index) = self.interfaces.get(&token).and_then(Interface::index) {
                self.keep_apart_on(index);
            }
        }
    }

    /// The same on one interface.
    pub(super) fn keep_apart_on(&mut self, index: IfIndex) {
        if !self.kept_apart.insert(index) {
            return;
        }
        let held = self.settings.hold(&mut self.netlink, index, Setting::PromoteSecondaries, 1);
        if let Err(error) = held {
            self.events.push(super::DriverEvent::SettingRefused { error });
        }
    }

    /// Sets the settings back that this driver has made.
    pub(super) fn release_settings(&mut self) {
        for index in std::mem::take(&mut self.kept_apart) {
            // An interface that is gone needs nothing, and nobody is left to tell of another failure.
            let _ = self.settings.release(&mut self.netlink, index, Setting::PromoteSecondaries);
        }
    }

    /// The interface with the virtual MAC address is up while its virtual router is Active, and only then: nothing else may
    /// answer with that address.
    pub(super) fn raise_virtual_mac(&mut self, id: RouterId) {
        let active = self.router.state(id).is_some_and(|state| state.role() == vrrp_core::Role::Active);
        self.set_virtual_mac_up(id, active, true);
    }

    /// What is to be sent through it goes first.
    pub(super) fn lower_virtual_mac(&mut self, id: RouterId) {
        if self.managed.get(&id).is_some_and(|managed| managed.raised) {
            self.send_outbox();
        }
        self.set_virtual_mac_up(id, true, false);
    }

    /// The parent is gone, and its interfaces with virtual MAC addresses went with it.
    pub(super) fn drop_virtual_macs(&mut self, parent: u64) {
        for managed in self.managed.values_mut().filter(|managed| managed.interface == parent) {
            managed.virtual_mac = None;
            managed.raised = false;
            managed.rearm = true;
        }
    }

    /// The parent is there again, with another number: so are they.
    pub(super) fn rebuild_virtual_macs(&mut self, parent: u64) {
        self.drop_virtual_macs(parent);
        let Some(interface) = self.interfaces.get(&parent) else { return };
        for id in interface.routers.iter().copied().collect::<Vec<_>>() {
            let Some(config) = self.managed.get(&id).map(|managed| managed.config.clone()) else { continue };
            match self.create_virtual_mac(parent, &config) {
                Ok(None) => {}
                Ok(Some(virtual_mac)) => {
                    if let Err(error) = self.sit_on(id, &config, virtual_mac) {
                        self.events.push(super::DriverEvent::InterfaceFailed { interface: config.interface, error });
                    }
                }
                Err(error) => {
                    self.events.push(super::DriverEvent::InterfaceFailed { interface: config.interface, error });
                }
            }
        }
    }

    /// Has a virtual router send from its new interface with its MAC address, and have its addresses there: under another
    /// name than before if that is taken meanwhile, or if there was none before.
    fn sit_on(&mut self, id: RouterId, config: &RouterConfig, virtual_mac: VirtualMacInterface) -> Result<(), Error> {
        let sender = self.interface_token(virtual_mac.name(), false)?;
        let places = self.places(sender, config)?;
        let Some(managed) = self.managed.get_mut(&id) else { return Ok(()) };
        (managed.sender, managed.virtual_mac) = (sender, Some(virtual_mac));
        for place in std::mem::replace(&mut managed.places, places) {
            self.owners.remove(&(place.interface, place.address.address()));
        }
        for place in &managed.places {
            self.owners.insert((place.interface, place.address.address()), id);
        }
        self.open_socket(sender, config.family())
    }

    fn set_virtual_mac_up(&mut self, id: RouterId, wanted: bool, up: bool) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let Some(virtual_mac) = &managed.virtual_mac else { return };
        if !wanted || managed.raised == up {
            return;
        }
        managed.raised = up;
        match virtual_mac.set_up(up) {
            Ok(()) => {}
            // It went with its parent, of which the router has been told.
            Err(Error::UnknownInterface { .. }) if !up => {}
            Err(error) => {
                self.events.push(super::DriverEvent::AddressRefused { router: id, error });
                if up {
                    // On an interface that is down the addresses would answer nobody.
                    self.give_up_addresses(crate::now(), id);
                }
            }
        }
    }
}
