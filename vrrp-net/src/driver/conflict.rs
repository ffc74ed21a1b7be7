//! Other hosts that claim addresses which are served here.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use vrrp_core::{Family, Instant, Role, RouterId};

use super::{Driver, DriverEvent, WATCHES};
use crate::error::Error;
use crate::interface::{Interface, family_number};
use crate::watch::AddressClaim;
use crate::{Announcement, sys};

/// An address is defended, and its conflict reported, once in this time (RFC 5227 §2.4, `DEFEND_INTERVAL`).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What the Active before this one has sent may still be on its way.
const SETTLING: Duration = Duration::from_secs(1);

/// Most claims that are looked at in one turn.
const CLAIMS_PER_TURN: usize = 64;

impl Driver {
    /// Listens on an interface for claims of what its virtual routers serve there, and of what they send from.
    pub(super) fn watch_addresses(&mut self, token: u64) -> Result<(), Error> {
        // What is sent to an interface with a virtual MAC address comes to its parent too.
        if self.interfaces.get(&token).is_none_or(|interface| interface.routers.is_empty()) {
            return Ok(());
        }
        for family in [Family::V4, Family::V6] {
            let addresses: Vec<IpAddr> =
                self.watched(token).into_iter().filter(|address| Family::of(*address) == family).collect();
            let Some(interface) = self.interfaces.get_mut(&token) else { return Ok(()) };
            if addresses.is_empty() {
                interface.close_watch(family);
                continue;
            }
            let opened = match interface.open_watch(family, &mut self.spares) {
                // With sockets that were handed in it was left out; the addresses are served all the same.
                Err(Error::MissingCapability { .. }) => continue,
                opened => opened?,
            };
            let Some(watch) = interface.watch(family) else { continue };
            watch.set_addresses(addresses)?;
            if opened {
                let token = token + WATCHES + u64::from(family_number(family) == 1);
                self.intake.sockets.add(watch.as_fd(), token).map_err(|error| Error::io("watch for claims", error))?;
            }
        }
        Ok(())
    }

    /// What is served on an interface, also under a virtual MAC address, and what is sent from.
    fn watched(&self, token: u64) -> Vec<IpAddr> {
        let on = |token: u64| self.owners.range((token, LOWEST)..(token + 1, LOWEST)).map(|((_, address), _)| *address);
        let routers = || self.interfaces.get(&token).into_iter().flat_map(|interface| &interface.routers);
        let senders = routers().filter_map(|id| Some(self.managed.get(id)?.sender)).filter(|sender| *sender != token);
        let primaries = routers().filter_map(|id| self.router.params(*id)?.primary_address());
        on(token).chain(senders.flat_map(on)).chain(primaries).collect()
    }

    pub(super) fn read_claims(&mut self, token: u64, family: Family) {
        let now = sys::boottime_now();
        for _ in 0..CLAIMS_PER_TURN {
            let watch = self.interfaces.get(&token).and_then(|interface| interface.watch(family));
            let Some(claim) = watch.and_then(crate::watch::AddressWatch::receive) else { return };
            self.judge(now, token, claim);
        }
    }

    fn judge(&mut self, now: Instant, token: u64, claim: AddressClaim) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        let of_interface = || interface.routers.iter().filter_map(|id| Some((*id, self.managed.get(id)?)));
        let owner = |token| self.owners.get(&(token, claim.address)).copied();
        let server = owner(token).or_else(|| of_interface().find_map(|(_, managed)| owner(managed.sender)));
        let router = match server {
            Some(id) if self.is_settled(now, id) => id,
            // To a Backup it is the Active who says so.
            Some(_) if Some(claim.mac) == interface.mac() => return,
            Some(id) => return self.successor_announces(id, claim.address),
            None => {
                let is_own = |id: &RouterId| {
                    self.router.params(*id).is_some_and(|params| params.primary_address() == Some(claim.address))
                };
                let Some(id) = interface.routers.iter().copied().find(is_own) else { return };
                id
            }
        };
        let virtual_mac = self.managed.get(&router).map(|it| it.config.vrid.virtual_mac(it.config.family()));
        if Some(claim.mac) == interface.mac() || Some(claim.mac) == virtual_mac {
            return;
        }
        let place = (token, claim.address);
        if self.conflicts.get(&place).is_some_and(|last| now < *last + DEFEND_INTERVAL) {
            return;
        }
        self.conflicts.retain(|_, last| now < *last + DEFEND_INTERVAL);
        self.conflicts.insert(place, now);
        self.events.push(DriverEvent::AddressConflict { router, address: claim.address, mac: claim.mac });
        if server.is_some() {
            self.defend(router, claim.address);
        }
    }

    /// Whether the addresses of a virtual router have been here for a while, and no other router has spoken for them:
    /// between routers the election decides, and has its own alarms.
    fn is_settled(&self, now: Instant, id: RouterId) -> bool {
        let is_active = self.router.state(id).is_some_and(|state| state.role() == Role::Active);
        let installed = self.managed.get(&id).and_then(|managed| managed.installed);
        let patience = self.router.params(id).map(|params| params.active_down_interval(params.advert_interval()));
        let heard = self.router.status(id).and_then(|status| status.last_advert).map(|(_, at)| at);
        is_active
            && installed.is_some_and(|installed| now >= installed + SETTLING)
            && heard.zip(patience).is_none_or(|(heard, patience)| now > heard + patience)
    }

    /// Says once where the address is.
    fn defend(&mut self, id: RouterId, address: IpAddr) {
        let Some(managed) = self.managed.get(&id) else { return };
        let Some(place) = managed.places.iter().find(|place| place.address.address() == address) else { return };
        let interface = self.interfaces.get(&place.interface);
        let Some((index, mac)) = interface.and_then(|it| Some((Interface::index(it)?, it.mac()?))) else { return };
        // Whoever claims it goes on, and so does this: one that is lost is made up for.
        let _ = self.link_socket.announce([Announcement::new(index, mac, address)]);
    }
}

/// Below every address.
const LOWEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
