//! Live changes of a virtual router: what stays is never touched.

use std::collections::BTreeSet;

use vrrp_core::{ConfigError, Params, RouterId, VirtualRouterConfig};

use super::Driver;
use super::managed::{Chore, Place, Purpose, Task};
use super::paths::PathTodo;
use crate::config::check_paths;
use crate::error::Error;
use crate::interface::Interface;
use crate::netlink::Path;
use crate::{RouterConfig, sys};

impl Driver {
    /// Gives a virtual router another configuration, without leaving its role. Returns the one before.
    ///
    /// An Active puts the addresses that are new on the host and announces them, removes those that are gone, and leaves
    /// alone those that stay: they are there all the time. One that is to be there in another form (prefix length, label,
    /// scope, broadcast address, route) is removed and added again, since the kernel cannot change that. All the rest holds
    /// from the next advertisement on, sent or received.
    ///
    /// # Errors
    /// [`Error::Fixed`] for the interface, the VRID, the family or the virtual MAC address, which make it another virtual
    /// router: [`remove`](Self::remove) it and [`add`](Self::add) that. Otherwise what `add` would refuse. Nothing has
    /// changed then.
    pub fn reconfigure(&mut self, id: RouterId, config: RouterConfig) -> Result<RouterConfig, Error> {
        let now = sys::boottime_now();
        let managed = self.managed.get(&id).ok_or(Error::Config(ConfigError::Unknown))?;
        check_fixed(&managed.config, &config)?;
        let params = config.params().map_err(|error| Error::Config(error.into()))?;
        check_paths(&config.routes, &config.rules)?;
        let (interface, sender) = (managed.interface, managed.sender);
        let mtu = self.interfaces.get(&interface).and_then(|it| it.link.as_ref()).map_or(1500, |link| link.mtu);
        let prepared = self.places(sender, &config).and_then(|places| {
            self.check_places(&config, &places, Some(id))?;
            self.give_configuration(id, &config, router_config(&config, params, mtu))?;
            Ok(places)
        });
        let places = match prepared {
            Ok(places) => places,
            Err(error) => {
                self.close_unused_interfaces();
                return Err(error);
            }
        };
        let had = self.own_places(id);
        let Some(managed) = self.managed.get_mut(&id) else { return Err(Error::Config(ConfigError::Unknown)) };
        let before = std::mem::replace(&mut managed.config, config);
        let gone_paths = managed.paths.replaced(Path::all(&managed.config.routes, &managed.config.rules));
        for place in std::mem::replace(&mut managed.places, places) {
            self.owners.remove(&(place.interface, place.address.address()));
        }
        for place in &managed.places {
            self.owners.insert((place.interface, place.address.address()), id);
        }
        managed.rearm = true;
        self.update_primary_address(now, interface, id);
        // Without it they would only not be put back.
        let watched = self.watch_paths();
        self.move_addresses(id, &before, &had, gone_paths);
        watched?;
        if self.managed.get(&id).is_some_and(|managed| managed.installed.is_some())
            && let Err(error) = self.refuse_packets(id)
        {
            self.events.push(super::DriverEvent::AddressRefused { router: id, error });
            self.give_up_addresses(now, id);
        }
        if let Err(error) = self.set_up_sockets(interface) {
            self.interface_failed(interface, error);
        }
        if let Err(error) = self.follow_sources(id) {
            self.events.push(super::DriverEvent::TrackingFailed { router: id, error });
        }
        self.unfollow();
        self.assess(now, id);
        self.guard(id);
        self.finish_turn()?;
        self.close_unused_interfaces();
        Ok(before)
    }

    /// Gives the protocol a configuration, with its keys: all of it or nothing.
    fn give_configuration(
        &mut self,
        id: RouterId,
        config: &RouterConfig,
        core: VirtualRouterConfig,
    ) -> Result<(), Error> {
        let now = sys::boottime_now();
        #[cfg(feature = "auth-hmac")]
        {
            self.tell_time(now);
            let keys = self.managed.get(&id).and_then(|managed| managed.config.hmac.clone());
            // A password and keys exclude each other, so what is given up goes first.
            if keys.is_some() && config.hmac.is_none() {
                self.router.set_hmac(id, None)?;
            }
            let result = self.router.reconfigure(now, id, core).and_then(|before| {
                if config.hmac == keys || config.hmac.is_none() {
                    return Ok(());
                }
                self.router.set_hmac(id, config.hmac.clone()).inspect_err(|_| {
                    // It was valid a moment ago.
                    let _ = self.router.reconfigure(now, id, before);
                })
            });
            if let Err(error) = result {
                if keys.is_some() && config.hmac.is_none() {
                    // They were in use a moment ago.
                    let _ = self.router.set_hmac(id, keys);
                }
                return Err(error.into());
            }
        }
        #[cfg(not(feature = "auth-hmac"))]
        {
            let _ = config;
            self.router.reconfigure(now, id, core)?;
        }
        Ok(())
    }

    /// From the places that it `had` under the configuration `before` to those that it has now.
    /// and the same with routes and rules.
    fn move_addresses(&mut self, id: RouterId, before: &RouterConfig, had: &[Place], gone_paths: Vec<PathTodo>) {
        let places = self.own_places(id);
        let Some(managed) = self.managed.get(&id) else { return };
        let request = |config: &RouterConfig, place: &Place| {
            let index = self.interfaces.get(&place.interface).and_then(Interface::index)?;
            config.addresses.get(place.number?).map(|address| {
                let mut request = address.request(index, config);
                // The kernel changes this where it is.
                request.metric = None;
                request
            })
        };
        let is_same = |earlier: &Place, place: &Place| {
            (earlier.interface, earlier.address) == (place.interface, place.address)
                && request(before, earlier) == request(&managed.config, place)
        };
        let (kept, new): (Vec<Place>, Vec<Place>) =
            places.iter().copied().partition(|place| had.iter().any(|earlier| is_same(earlier, place)));
        let kept_at: BTreeSet<_> = kept.iter().map(|place| (place.interface, place.address)).collect();
        let anonymous = |place: &Place| Place { number: None, ..*place };
        let gone = had.iter().filter(|place| !kept_at.contains(&(place.interface, place.address))).map(anonymous);
        let mut gone: Vec<Place> = gone.collect();
        let installed = managed.installed;
        // What was under way still is, but by the places as they are now.
        let todo = || {
            managed.todo.iter().filter_map(|task| match task {
                Task::Address(todo) => Some(todo),
                Task::Path(_) => None,
            })
        };
        let pending = todo().filter(|todo| todo.purpose == Purpose::Remove).map(|todo| anonymous(&todo.place));
        let stays = |place: &Place| installed.is_some() && kept_at.contains(&(place.interface, place.address));
        gone.extend(pending.filter(|place| !stays(place)).collect::<Vec<_>>());
        let unfinished: BTreeSet<_> = todo()
            .filter(|todo| todo.purpose == Purpose::Install)
            .map(|todo| (todo.place.interface, todo.place.address))
            .collect();
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.todo.retain(Task::removes_path);
        }
        let Some(installed) = installed else {
            // What is new may have been left there by a predecessor.
            gone.extend(new);
            // Or they are those of the process that is waited for.
            if let Some(managed) = self.managed.get(&id).filter(|managed| !managed.run_by_another) {
                let paths = gone_paths.into_iter().chain(managed.paths.removals()).collect();
                self.queue_paths(id, paths);
                if !gone.is_empty() {
                    self.queue(id, Purpose::Remove, gone);
                }
            }
            return;
        };
        self.keep_addresses_apart(id);
        self.queue_paths(id, gone_paths);
        self.queue(id, Purpose::Remove, gone);
        let (unfinished, kept): (Vec<Place>, Vec<Place>) =
            kept.into_iter().partition(|place| unfinished.contains(&(place.interface, place.address)));
        let adds = !new.is_empty() || !unfinished.is_empty();
        self.queue(id, Purpose::Install, new);
        self.queue(id, Purpose::Install, unfinished);
        // The lease may be another one.
        self.queue(id, Purpose::Renew, kept);
        let new_paths = self.managed.get(&id).map(|managed| managed.paths.installations()).unwrap_or_default();
        self.queue_paths(id, new_paths);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        managed.renews = true;
        managed.pass_began = sys::boottime_now();
        managed.spent = std::time::Duration::ZERO;
        managed.announce_installed |= adds;
        let refresh = managed.config.announcements.refresh;
        self.chores.retain(|(_, chore)| match chore {
            Chore::RenewLease(of, _) | Chore::RefreshAnnouncements(of, _) => *of != id,
            Chore::AnnounceAgain(of, _) | Chore::AnnounceOnceMore(of, _) => *of != id || !adds,
            Chore::AnnounceAfterRival(..)
            | Chore::Depart(_)
            | Chore::Resend(_)
            | Chore::Start(_)
            | Chore::LinkUp(_)
            | Chore::Attach(_)
            | Chore::CheckPaths
            | Chore::Rejoin(_) => true,
        });
        if let Some(period) = refresh.filter(|_| !adds) {
            self.chores.insert((sys::boottime_now() + period, Chore::RefreshAnnouncements(id, installed)));
        }
    }
}

/// What the protocol needs to know of a configuration.
pub(super) fn router_config(config: &RouterConfig, params: Params, mtu: u32) -> VirtualRouterConfig {
    let core = VirtualRouterConfig::new(config.vrid, params, config.advertised())
        .with_authentication(config.authentication)
        .with_checksum(config.checksum)
        .with_accepted_checksum(config.accepted_checksum)
        .with_strict_address_list(config.strict_address_list)
        .with_addressing(config.addressing.clone())
        .with_mtu(u16::try_from(mtu).unwrap_or(u16::MAX));
    match config.source {
        Some(source) => core.with_source(source),
        None => core,
    }
}

/// What makes it another virtual router if it changes.
fn check_fixed(before: &RouterConfig, after: &RouterConfig) -> Result<(), Error> {
    let fixed = |what, before: String, after: String| Err(Error::Fixed { what, before, after });
    if before.interface != after.interface {
        return fixed("interface", before.interface.clone(), after.interface.clone());
    }
    if before.vrid != after.vrid {
        return fixed("VRID", before.vrid.to_string(), after.vrid.to_string());
    }
    if before.family() != after.family() {
        return fixed("family", before.version.to_string(), after.version.to_string());
    }
    if before.virtual_mac != after.virtual_mac {
        let name = |config: &RouterConfig| match &config.virtual_mac {
            None => "none".to_owned(),
            Some(virtual_mac) => virtual_mac.name.clone().unwrap_or_else(|| "of the default name".to_owned()),
        };
        return fixed("virtual MAC interface", name(before), name(after));
    }
    Ok(())
}
