//! What instances cannot both have, found before anything runs: also by a test of the file.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vrrp_net::ADDRESS_MARK;
use vrrp_net::netlink::Netlink;

use super::Builder;
use super::instance::version;
use crate::keepalived::config::{Address, Instance, UnicastPeer};

impl Builder<'_> {
    /// Finds virtual routers of one number on one link, addresses of two, and those that have none.
    pub(super) fn check_places(&mut self) {
        let (mut numbers, mut owners) = (BTreeMap::new(), BTreeMap::new());
        for instance in &self.configuration.vrrp_instances {
            let (Some(interface), Some(vrid)) = (&instance.interface, instance.virtual_router_id) else { continue };
            let (name, span) = (&instance.name.text, instance.name.span);
            let family = version(instance).family();
            if let Some(other) = numbers.insert((interface.as_str(), vrid, family), name) {
                let message = format!(
                    "{name}: {other} is virtual router {vrid} for {family} on {interface} already: use another id",
                    interface = interface.as_str()
                );
                self.error(span, message);
            }
            if instance.virtual_ipaddress.is_empty() {
                let message =
                    format!("{name}: it needs 1 to 255 addresses in virtual_ipaddress (RFC 9568 section 5.2.5)");
                self.error(span, message);
            }
            // One with a virtual MAC address has an interface of its own.
            let own = instance.use_vmac.is_some().then_some(vrid);
            for address in addresses(instance) {
                let place = match &address.dev {
                    Some(dev) if dev.as_str() != interface.as_str() => (dev.as_str(), None),
                    Some(_) | None => (interface.as_str(), own),
                };
                let other = owners.insert((place, address.address), name).filter(|other| *other != name);
                if let Some(other) = other {
                    let message =
                        format!("{} is an address of {other} already: give it to one of them", address.address);
                    self.error(address.span, message);
                }
            }
        }
    }

    /// The addresses of an instance, each once; with whether they are excluded.
    pub(super) fn distinct<'i>(&mut self, instance: &'i Instance) -> Vec<(&'i Address, bool)> {
        let mut distinct: Vec<(&Address, bool)> = Vec::new();
        let advertised = instance.virtual_ipaddress.iter().map(|address| (address, false));
        for (address, excluded) in advertised.chain(instance.virtual_ipaddress_excluded.iter().map(|it| (it, true))) {
            let is_it = |it: &&(&Address, bool)| (it.0.address, &it.0.dev) == (address.address, &address.dev);
            match distinct.iter().find(is_it) {
                Some(_) => {
                    let message = format!("{} is given twice: it counts once", address.address);
                    self.warn(address.span, message);
                }
                None => distinct.push((address, excluded)),
            }
        }
        distinct
    }

    /// The other hosts. One file for all of them may list this one, too.
    pub(super) fn peers<'i>(&mut self, instance: &'i Instance) -> Vec<&'i UnicastPeer> {
        if instance.unicast_peer.is_empty() {
            return Vec::new();
        }
        let own = self.own_addresses.get_or_insert_with(own_addresses).clone();
        let is_own = |peer: &UnicastPeer| Some(peer.address) == instance.source || own.contains(&peer.address);
        let (here, others): (Vec<_>, Vec<_>) = instance.unicast_peer.iter().partition(|peer| is_own(peer));
        if others.is_empty() {
            // Without any it would be multicast: let that be refused where it is known for sure.
            return here;
        }
        for peer in here {
            let message = format!("{}: {} is this host's own address, and no peer", instance.name.text, peer.address);
            self.warn(instance.name.span, message);
        }
        others
    }
}

fn addresses(instance: &Instance) -> impl Iterator<Item = &Address> {
    instance.virtual_ipaddress.iter().chain(&instance.virtual_ipaddress_excluded)
}

/// What this host has, but for what virtual routers have put there.
fn own_addresses() -> Vec<IpAddr> {
    let all = Netlink::open().and_then(|mut netlink| netlink.addresses(None)).unwrap_or_default();
    all.into_iter().filter(|it| it.protocol != Some(ADDRESS_MARK)).map(|it| it.address).collect()
}
