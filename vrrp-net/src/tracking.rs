//! Sources for tracking: interfaces, addresses and routes that a virtual router's place in the election depends on.
//!
//! A [`HostView`] keeps what the kernel has told of them; it does no I/O of its own but [`HostView::reread`]. What it says of
//! a list of [`Source`]s goes to [`vrrp_core::track::assess`].
//!
//! ```
//! use vrrp_net::netlink::{Monitor, Netlink};
//! use vrrp_net::tracking::{HostView, Source, TrackedInterface};
//! use vrrp_net::vrrp_core::Priority;
//! use vrrp_net::vrrp_core::track::{Impact, assess};
//!
//! let uplink = TrackedInterface { name: "eth1".to_owned(), impact: Impact::Weight(-30), inverted: false };
//! let sources = [Source::Interface(uplink)];
//!
//! let (mut monitor, mut netlink) = (Monitor::open()?, Netlink::open()?);
//! let mut view = HostView::new();
//! sources.iter().for_each(|source| view.follow(source));
//! if view.follows_routes() {
//!     monitor.watch_routes()?;
//! }
//! // Subscribe first and list afterwards: then no change falls in between. Later, when the monitor is readable:
//! for change in monitor.read(100)? {
//!     view.apply(&change);
//! }
//! if view.is_stale() {
//!     view.reread(&mut netlink)?;
//! }
//! let assessment = assess(Priority::DEFAULT, view.tracked(&sources));
//! # let _ = assessment;
//! # Ok::<(), vrrp_net::Error>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vrrp_core::IfIndex;
use vrrp_core::track::{Impact, Tracked};

use crate::error::Error;
use crate::netlink::{Change, InterfaceAddress, Link, Netlink, NextHop, Route};

/// Something whose state counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// An interface is up.
    Interface(TrackedInterface),
    /// An address is there.
    Address(TrackedAddress),
    /// A route is there.
    Route(TrackedRoute),
}

/// An interface that is good while it exists under this name, is up and has carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedInterface {
    /// Its name. It need not exist.
    pub name: String,
    /// What it does to the virtual router.
    pub impact: Impact,
    /// Whether it counts the other way round.
    pub inverted: bool,
}

/// An address that is good while an interface has it and it can be used: one whose duplicate address detection is not
/// through, or has failed, is not there. The state of the interface does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface that it must be on; `None`: any.
    pub interface: Option<String>,
    /// What it does to the virtual router.
    pub impact: Impact,
    /// Whether it counts the other way round.
    pub inverted: bool,
}

/// A route that is good while the host has exactly this one, it leads somewhere, and an interface of it is up and has carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedRoute {
    /// Where it leads to: an address and the bits of its prefix that count. With 0 bits it is the default route.
    pub destination: (IpAddr, u8),
    /// The router that packets are given to; `None`: whichever, or none.
    pub gateway: Option<IpAddr>,
    /// The interface that packets leave through; `None`: whichever.
    pub interface: Option<String>,
    /// The table it is in; 254 is `main`.
    pub table: u32,
    /// Its metric; `None`: whichever.
    pub metric: Option<u32>,
    /// What it does to the virtual router.
    pub impact: Impact,
    /// Whether it counts the other way round.
    pub inverted: bool,
}

impl TrackedRoute {
    /// The table `main`.
    pub const MAIN: u32 = 254;

    /// The route in `main` to `destination`, whichever way.
    pub const fn new(destination: (IpAddr, u8), impact: Impact) -> Self {
        Self { destination, gateway: None, interface: None, table: Self::MAIN, metric: None, impact, inverted: false }
    }
}

impl Source {
    fn tracked(&self, up: bool) -> Tracked {
        let (impact, inverted) = match self {
            Self::Interface(TrackedInterface { impact, inverted, .. })
            | Self::Address(TrackedAddress { impact, inverted, .. })
            | Self::Route(TrackedRoute { impact, inverted, .. }) => (*impact, *inverted),
        };
        Tracked { impact, inverted, up }
    }
}

/// What is known of the host, as far as sources depend on it.
#[derive(Clone, Debug)]
pub struct HostView {
    interfaces: BTreeMap<IfIndex, Interface>,
    /// Those followed, with the interfaces that have them in a usable state.
    addresses: BTreeMap<IpAddr, BTreeSet<IfIndex>>,
    /// Those followed, by their network.
    routes: BTreeMap<(IpAddr, u8), Vec<Route>>,
    stale: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    /// It can carry packets.
    usable: bool,
    /// It is administratively up.
    up: bool,
}

impl Default for HostView {
    fn default() -> Self {
        Self::new()
    }
}

impl HostView {
    /// Nothing is followed, and nothing known: [stale](Self::is_stale).
    pub const fn new() -> Self {
        Self { interfaces: BTreeMap::new(), addresses: BTreeMap::new(), routes: BTreeMap::new(), stale: true }
    }

    /// Keep from now on what this source depends on. If that is new, the view is [stale](Self::is_stale).
    pub fn follow(&mut self, source: &Source) {
        let new = match source {
            Source::Interface(_) => false,
            Source::Address(TrackedAddress { address, .. }) => {
                let known = self.addresses.contains_key(address);
                self.addresses.entry(*address).or_default();
                !known
            }
            Source::Route(TrackedRoute { destination, .. }) => {
                let network = network(*destination);
                let known = self.routes.contains_key(&network);
                self.routes.entry(network).or_default();
                !known
            }
        };
        self.stale |= new;
    }

    /// Forget what no source depends on any more.
    pub fn follow_only<'a>(&mut self, sources: impl IntoIterator<Item = &'a Source>) {
        let (mut addresses, mut networks) = (BTreeSet::new(), BTreeSet::new());
        for source in sources {
            match source {
                Source::Interface(_) => {}
                Source::Address(TrackedAddress { address, .. }) => drop(addresses.insert(*address)),
                Source::Route(TrackedRoute { destination, .. }) => drop(networks.insert(network(*destination))),
            }
        }
        self.addresses.retain(|address, _| addresses.contains(address));
        self.routes.retain(|network, _| networks.contains(network));
    }

    /// Whether a route is followed, so that the monitor has to [tell of routes](crate::netlink::Monitor::watch_routes).
    pub fn follows_routes(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Whether changes were lost, or something is followed that was never listed: [`reread`](Self::reread), or
    /// [`replace`](Self::replace).
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Take note of a change. Whether what is known has changed by it, so that sources have to be looked at again.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Link(link) => self.note_link(link),
            Change::LinkRemoved { index, .. } => self.forget_link(*index),
            // It is up or down as it was; and rules are not followed.
            Change::LinkMoved(_) | Change::RuleRemoved { .. } => false,
            Change::Address(address) => self.note_address(address, address.is_usable()),
            Change::AddressRemoved(address) => {
                // The kernel deletes IPv4 routes with it as their source, and does not tell.
                let v4 = address.address.is_ipv4();
                let dropped = v4 && self.drop_routes(|route, _| route.source == Some(address.address));
                self.note_address(address, false) | dropped
            }
            Change::Route { route, replaces } => self.note_route(route, *replaces),
            Change::RouteRemoved(route) => self.forget_route(route),
            Change::Overrun => {
                self.stale = true;
                false
            }
        }
    }

    /// Forget everything, and take these lists for the whole state: of every interface, address and route.
    pub fn replace(&mut self, links: &[Link], addresses: &[InterfaceAddress], routes: &[Route]) {
        self.interfaces = links.iter().map(|link| (link.index, Interface::from(link))).collect();
        self.addresses.values_mut().for_each(BTreeSet::clear);
        self.routes.values_mut().for_each(Vec::clear);
        for address in addresses {
            self.note_address(address, address.is_usable());
        }
        for route in routes {
            self.note_route(route, false);
        }
        self.stale = false;
    }

    /// Ask the kernel for everything anew.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn reread(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        let links = netlink.links()?;
        let addresses = if self.addresses.is_empty() { Vec::new() } else { netlink.addresses(None)? };
        let routes = if self.follows_routes() { netlink.routes()? } else { Vec::new() };
        self.replace(&links, &addresses, &routes);
        Ok(())
    }

    /// Whether it is as it should be; not while it is not [followed](Self::follow), or nothing is known yet.
    pub fn is_up(&self, source: &Source) -> bool {
        match source {
            Source::Interface(TrackedInterface { name, .. }) => {
                self.interfaces.values().any(|interface| interface.name == *name && interface.usable)
            }
            Source::Address(TrackedAddress { address, interface, .. }) => {
                let on = self.addresses.get(address);
                on.into_iter().flatten().any(|index| self.is_named(Some(*index), interface.as_deref()))
            }
            Source::Route(wanted) => {
                let routes = self.routes.get(&network(wanted.destination));
                routes.into_iter().flatten().any(|route| self.is_route(wanted, route))
            }
        }
    }

    /// These sources, as they are, for [`assess`](vrrp_core::track::assess).
    pub fn tracked<'a>(&'a self, sources: &'a [Source]) -> impl Iterator<Item = Tracked> + 'a {
        sources.iter().map(|source| source.tracked(self.is_up(source)))
    }

    fn is_route(&self, wanted: &TrackedRoute, route: &Route) -> bool {
        let leads = |hop: &NextHop| {
            let usable = |index| self.interfaces.get(&index).is_some_and(|interface: &Interface| interface.usable);
            let gateway = wanted.gateway.is_none() || hop.gateway == wanted.gateway;
            let interface = self.is_named(hop.interface, wanted.interface.as_deref());
            // Not what the route says of being dead: the kernel does not tell when that ends.
            gateway && interface && hop.interface.is_some_and(usable)
        };
        let metric = wanted.metric.is_none_or(|metric| metric == route.metric);
        route.unicast && route.table == wanted.table && metric && route.next_hops.iter().any(leads)
    }

    /// Whether the interface with this number has this name, if one is asked for.
    fn is_named(&self, index: Option<IfIndex>, name: Option<&str>) -> bool {
        name.is_none_or(|name| {
            let interface = index.and_then(|index| self.interfaces.get(&index));
            interface.is_some_and(|interface| interface.name == name)
        })
    }

    fn note_link(&mut self, link: &Link) -> bool {
        let interface = Interface::from(link);
        let went_down = !interface.up;
        let changed = self.interfaces.insert(link.index, interface.clone()) != Some(interface);
        // The kernel deletes the routes over an interface that goes down, those of IPv4 without telling.
        let dropped = went_down && self.drop_routes_over(link.index);
        changed | dropped
    }

    fn forget_link(&mut self, index: IfIndex) -> bool {
        let known = self.interfaces.remove(&index).is_some();
        let mut had_address = false;
        self.addresses.values_mut().for_each(|on| had_address |= on.remove(&index));
        known | had_address | self.drop_routes_over(index)
    }

    fn note_address(&mut self, address: &InterfaceAddress, usable: bool) -> bool {
        match self.addresses.get_mut(&address.address) {
            Some(on) if usable => on.insert(address.interface),
            Some(on) => on.remove(&address.interface),
            None => false,
        }
    }

    fn note_route(&mut self, route: &Route, replaces: bool) -> bool {
        let Some(known) = self.routes.get_mut(&network(route.destination)) else { return false };
        if replaces {
            known.retain(|other| !is_same_place(other, route));
        }
        if !known.contains(route) {
            known.push(route.clone());
        }
        true
    }

    fn forget_route(&mut self, route: &Route) -> bool {
        let Some(known) = self.routes.get_mut(&network(route.destination)) else { return false };
        let mut changed = false;
        known.retain_mut(|other| {
            if !is_same_place(other, route) {
                return true;
            }
            // An IPv6 multipath route is told of way by way.
            let before = other.next_hops.len();
            other.next_hops.retain(|hop| !route.next_hops.iter().any(|gone| is_same_way(hop, gone)));
            let keep = !other.next_hops.is_empty() || (before == 0 && !route.next_hops.is_empty());
            changed |= other.next_hops.len() != before || !keep;
            keep
        });
        changed
    }

    fn drop_routes_over(&mut self, index: IfIndex) -> bool {
        self.drop_routes(|route, interfaces| {
            let over = |hop: &NextHop| hop.interface == Some(index);
            let other_is_up = |hop: &NextHop| {
                let interface = hop.interface.and_then(|index| interfaces.get(&index));
                !over(hop) && interface.is_some_and(|interface| interface.up)
            };
            route.next_hops.iter().any(over) && !route.next_hops.iter().any(other_is_up)
        })
    }

    fn drop_routes(&mut self, is_gone: impl Fn(&Route, &BTreeMap<IfIndex, Interface>) -> bool) -> bool {
        let mut dropped = false;
        for known in self.routes.values_mut() {
            let before = known.len();
            known.retain(|route| !is_gone(route, &self.interfaces));
            dropped |= known.len() != before;
        }
        dropped
    }
}

impl From<&Link> for Interface {
    fn from(link: &Link) -> Self {
        Self { name: link.name.clone(), usable: link.up && link.carrier, up: link.up }
    }
}

/// A destination without the bits that do not count.
fn network((address, prefix_len): (IpAddr, u8)) -> (IpAddr, u8) {
    let masked = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix_len.into())).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix_len.into())).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    };
    (masked, prefix_len)
}

/// Whether the kernel takes one for the other, apart from where they lead.
fn is_same_place(one: &Route, other: &Route) -> bool {
    let place = |route: &Route| (route.table, route.metric, route.type_of_service);
    place(one) == place(other)
}

fn is_same_way(one: &NextHop, other: &NextHop) -> bool {
    (one.gateway, one.interface) == (other.gateway, other.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPACT: Impact = Impact::Weight(-30);

    fn index(number: u32) -> IfIndex {
        IfIndex::new(number).unwrap()
    }

    fn link(number: u32, name: &str, up: bool, carrier: bool) -> Link {
        Link {
            index: index(number),
            name: name.to_owned(),
            mac: None,
            up,
            running: up && carrier,
            carrier,
            loopback: false,
            mtu: 1500,
            master: None,
            lower: None,
            kind: None,
            alias: None,
        }
    }

    fn hop(gateway: &str, over: u32) -> NextHop {
        NextHop { gateway: gateway.parse().ok(), interface: Some(index(over)), dead: false }
    }

    fn route(destination: &str, prefix_len: u8, metric: u32, next_hops: Vec<NextHop>) -> Route {
        Route {
            destination: (destination.parse().unwrap(), prefix_len),
            table: 254,
            metric,
            type_of_service: 0,
            source: None,
            protocol: 4,
            next_hops,
            unicast: true,
        }
    }

    fn on_interface(name: &str) -> Source {
        Source::Interface(TrackedInterface { name: name.to_owned(), impact: IMPACT, inverted: false })
    }

    fn on_route(change: impl FnOnce(&mut TrackedRoute)) -> Source {
        let mut wanted = TrackedRoute::new(("0.0.0.0".parse().unwrap(), 0), IMPACT);
        change(&mut wanted);
        Source::Route(wanted)
    }

    fn added(route: Route) -> Change {
        Change::Route { route, replaces: false }
    }

    #[test]
    fn an_interface_that_does_not_exist_vanishes_or_is_renamed_is_down() {
        let mut view = HostView::new();
        let eth1 = on_interface("eth1");
        assert!(view.is_stale() && !view.is_up(&eth1));
        view.replace(&[link(1, "lo", true, true)], &[], &[]);
        assert!(!view.is_stale() && !view.is_up(&eth1));

        assert!(view.apply(&Change::Link(link(7, "eth1", true, true))));
        assert!(view.is_up(&eth1));
        assert!(!view.apply(&Change::Link(link(7, "eth1", true, true))), "a repeat is no change");
        assert!(view.apply(&Change::Link(link(7, "eth1", true, false))) && !view.is_up(&eth1), "no carrier");
        assert!(view.apply(&Change::Link(link(7, "eth1", true, true))) && view.is_up(&eth1));
        assert!(view.apply(&Change::Link(link(7, "other", true, true))) && !view.is_up(&eth1), "renamed");
        assert!(view.is_up(&on_interface("other")));
        assert!(view.apply(&Change::Link(link(8, "eth1", true, true))) && view.is_up(&eth1), "another one");
        assert!(view.apply(&Change::LinkRemoved { index: index(8), name: "eth1".to_owned() }) && !view.is_up(&eth1));
    }

    #[test]
    fn sources_become_what_core_judges_by() {
        let mut view = HostView::new();
        view.replace(&[link(7, "eth1", true, true)], &[], &[]);
        let inverted = TrackedInterface { name: "eth2".to_owned(), impact: Impact::Fault, inverted: true };
        let sources = [on_interface("eth1"), Source::Interface(inverted)];
        let tracked: Vec<_> = view.tracked(&sources).collect();
        let expected = [
            Tracked { impact: IMPACT, inverted: false, up: true },
            Tracked { impact: Impact::Fault, inverted: true, up: false },
        ];
        assert_eq!(tracked, expected);
        let judged = vrrp_core::track::assess(vrrp_core::Priority::DEFAULT, view.tracked(&sources));
        assert_eq!((judged.priority, judged.fault), (vrrp_core::Priority::DEFAULT, false));
    }

    #[test]
    fn a_route_is_judged_by_all_that_is_asked_of_it() {
        let mut view = HostView::new();
        let any = on_route(|_| {});
        view.follow(&any);
        view.replace(&[link(7, "eth1", true, true)], &[], &[]);
        assert!(view.follows_routes() && !view.is_up(&any));
        assert!(!view.apply(&added(route("10.0.0.0", 8, 0, vec![hop("192.0.2.254", 7)]))), "nobody follows it");
        assert!(view.apply(&added(route("0.0.0.0", 0, 100, vec![hop("192.0.2.254", 7)]))));
        assert!(view.is_up(&any));
        for (wanted, up) in [
            (on_route(|wanted| wanted.gateway = "192.0.2.254".parse().ok()), true),
            (on_route(|wanted| wanted.gateway = "192.0.2.253".parse().ok()), false),
            (on_route(|wanted| wanted.metric = Some(100)), true),
            (on_route(|wanted| wanted.metric = Some(0)), false),
            (on_route(|wanted| wanted.interface = Some("eth1".to_owned())), true),
            (on_route(|wanted| wanted.interface = Some("eth2".to_owned())), false),
            (on_route(|wanted| wanted.table = 100), false),
        ] {
            assert_eq!(view.is_up(&wanted), up, "{wanted:?}");
        }
        let blackhole = Route { unicast: false, ..route("0.0.0.0", 0, 100, Vec::new()) };
        assert!(view.apply(&Change::Route { route: blackhole, replaces: true }));
        assert!(!view.is_up(&any), "it was replaced by one that leads nowhere");
    }

    #[test]
    fn a_route_goes_with_its_interface_and_its_source_address() {
        let mut view = HostView::new();
        let any = on_route(|_| {});
        view.follow(&any);
        let mut default = route("0.0.0.0", 0, 0, vec![hop("192.0.2.254", 7)]);
        default.source = "192.0.2.1".parse().ok();
        view.replace(&[link(7, "eth1", true, true)], &[], std::slice::from_ref(&default));
        assert!(view.is_up(&any));
        view.apply(&Change::Link(link(7, "eth1", true, false)));
        assert!(!view.is_up(&any), "no carrier");
        view.apply(&Change::Link(link(7, "eth1", true, true)));
        assert!(view.is_up(&any), "the kernel has kept it");
        view.apply(&Change::Link(link(7, "eth1", false, false)));
        view.apply(&Change::Link(link(7, "eth1", true, true)));
        assert!(!view.is_up(&any), "the kernel has deleted it");
        view.apply(&added(default.clone()));
        assert!(view.is_up(&any));
        view.apply(&Change::RouteRemoved(default));
        assert!(!view.is_up(&any));
    }

    #[test]
    fn a_multipath_route_is_up_as_long_as_one_way_is() {
        let mut view = HostView::new();
        let any = on_route(|_| {});
        view.follow(&any);
        let both = route("0.0.0.0", 0, 0, vec![hop("192.0.2.254", 7), hop("198.51.100.254", 8)]);
        view.replace(&[link(7, "eth1", true, true), link(8, "eth2", true, true)], &[], &[both]);
        view.apply(&Change::Link(link(7, "eth1", false, false)));
        assert!(view.is_up(&any));
        assert!(view.apply(&Change::RouteRemoved(route("0.0.0.0", 0, 0, vec![hop("192.0.2.254", 7)]))));
        assert!(view.is_up(&any));
        assert!(view.apply(&Change::RouteRemoved(route("0.0.0.0", 0, 0, vec![hop("198.51.100.254", 8)]))));
        assert!(!view.is_up(&any));
    }

    #[test]
    fn a_destination_is_known_by_the_bits_that_count() {
        let mut view = HostView::new();
        let wanted = on_route(|wanted| wanted.destination = ("10.1.2.3".parse().unwrap(), 8));
        view.follow(&wanted);
        view.replace(&[link(7, "eth1", true, true)], &[], &[route("10.0.0.0", 8, 0, vec![hop("192.0.2.254", 7)])]);
        assert!(view.is_up(&wanted));
    }

    #[test]
    fn what_no_source_depends_on_is_forgotten() {
        let mut view = HostView::new();
        let (any, other) = (on_route(|_| {}), on_route(|it| it.destination = ("10.0.0.0".parse().unwrap(), 8)));
        view.follow(&any);
        view.follow(&other);
        let ten = route("10.0.0.0", 8, 0, vec![hop("192.0.2.254", 7)]);
        view.replace(&[link(7, "eth1", true, true)], &[], std::slice::from_ref(&ten));
        view.follow_only([&other]);
        assert!(view.is_up(&other) && view.follows_routes());
        assert!(!view.apply(&added(route("0.0.0.0", 0, 100, vec![hop("192.0.2.254", 7)]))), "nobody follows it");
        view.follow_only([]);
        assert!(!view.follows_routes() && !view.apply(&Change::RouteRemoved(ten)));
        view.follow(&any);
        assert!(view.is_stale(), "it has to be listed anew");
    }

    #[test]
    fn what_is_newly_followed_or_lost_must_be_listed() {
        let mut view = HostView::new();
        view.replace(&[], &[], &[]);
        let any = on_route(|_| {});
        view.follow(&any);
        assert!(view.is_stale());
        view.replace(&[], &[], &[]);
        view.follow(&any);
        assert!(!view.is_stale(), "it is known already");
        view.apply(&Change::Overrun);
        assert!(view.is_stale());
    }
}
