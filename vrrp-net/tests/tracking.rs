//! Tracking: what a view of the host says of its sources, as the kernel changes them.

mod net;

use net::{eventually, labs, two_hosts};
use vrrp_core::track::Impact;
use vrrp_net::lab::Host;
use vrrp_net::netlink::{AddressChange, AddressRequest, Monitor, Netlink};
use vrrp_net::tracking::{HostView, Source, TrackedAddress, TrackedInterface, TrackedRoute};

const IMPACT: Impact = Impact::Weight(-30);

/// A view that is fed as a program does it.
struct Watch {
    monitor: Monitor,
    netlink: Netlink,
    view: HostView,
}

impl Watch {
    fn new(host: &Host, source: &Source) -> Self {
        let mut watch =
            Self { monitor: host.monitor().unwrap(), netlink: host.netlink().unwrap(), view: HostView::new() };
        watch.view.follow(source);
        if watch.view.follows_routes() {
            watch.monitor.watch_routes().unwrap();
        }
        watch
    }

    /// Whether the source is as said, soon.
    fn becomes(&mut self, source: &Source, up: bool) -> bool {
        eventually(|| {
            for change in self.monitor.read(100).unwrap() {
                self.view.apply(&change);
            }
            if self.view.is_stale() {
                self.view.reread(&mut self.netlink).unwrap();
            }
            self.view.is_up(source) == up
        })
    }

    /// Whether a view that has just listed everything says the same.
    fn is_true(&mut self, source: &Source) -> bool {
        let mut fresh = HostView::new();
        fresh.follow(source);
        fresh.reread(&mut self.netlink).unwrap();
        fresh.is_up(source) == self.view.is_up(source)
    }

    fn expect(&mut self, source: &Source, up: bool, why: &str) {
        assert!(self.becomes(source, up), "{source:?}: {why}");
        assert!(self.is_true(source), "{source:?}: {why}: a list says otherwise");
    }
}

#[test]
fn an_interface_is_followed_through_its_life() {
    for lab in labs() {
        let lan = lab.bridge("lan").unwrap();
        let a = lab.host("a").unwrap();
        let uplink = TrackedInterface { name: "eth1".to_owned(), impact: IMPACT, inverted: false };
        let source = Source::Interface(uplink);
        let mut watch = Watch::new(&a, &source);
        watch.expect(&source, false, "it does not exist yet");
        let eth1 = a.attach(&lan, "eth1", &[]).unwrap();
        watch.expect(&source, true, "it was made");
        eth1.cut().unwrap();
        watch.expect(&source, false, "its cable is pulled");
        eth1.heal().unwrap();
        watch.expect(&source, true, "its cable is plugged in");
        let mut netlink = a.netlink().unwrap();
        netlink.set_up(eth1.index(), false).unwrap();
        watch.expect(&source, false, "it is down");
        netlink.rename(eth1.index(), "other").unwrap();
        netlink.set_up(eth1.index(), true).unwrap();
        watch.expect(&source, false, "it has another name");
        let again = a.attach(&lan, "eth1", &[]).unwrap();
        watch.expect(&source, true, "another one has the name");
        again.delete().unwrap();
        watch.expect(&source, false, "it was deleted");
    }
}

#[test]
fn an_address_is_followed_on_any_interface_or_on_one() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        for text in ["198.51.100.7/24", "2001:db8:7::7/64"] {
            let request = AddressRequest::new(a0.index(), text.parse().unwrap());
            let on = |interface: Option<&str>| {
                let interface = interface.map(str::to_owned);
                let address = request.address.address();
                Source::Address(TrackedAddress { address, interface, impact: IMPACT, inverted: false })
            };
            let (any, here, elsewhere) = (on(None), on(Some("eth0")), on(Some("eth1")));
            let mut watch = Watch::new(&a, &any);
            watch.expect(&any, false, "it is not there yet");
            netlink.change_address(AddressChange::Set(request)).unwrap();
            watch.expect(&any, true, "it was added");
            assert!(watch.view.is_up(&here) && !watch.view.is_up(&elsewhere));
            netlink.change_address(request.removal()).unwrap();
            watch.expect(&any, false, "it was removed");
        }
    }
}

#[test]
fn a_route_is_followed_also_where_the_kernel_does_not_tell() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let routes = [("default", "0.0.0.0", 0, "192.0.2.2"), ("2001:db8:5::/64", "2001:db8:5::", 64, "2001:db8::2")];
        for (destination, address, length, gateway) in routes {
            let mut wanted = TrackedRoute::new((address.parse().unwrap(), length), IMPACT);
            wanted.gateway = gateway.parse().ok();
            wanted.interface = Some("eth0".to_owned());
            let source = Source::Route(wanted);
            let mut watch = Watch::new(&a, &source);
            watch.expect(&source, false, "it is not there yet");
            a.add_route(destination, gateway).unwrap();
            watch.expect(&source, true, "it was added");
            a0.cut().unwrap();
            assert!(watch.becomes(&source, false), "its cable is pulled");
            a0.heal().unwrap();
            assert!(watch.becomes(&source, true), "its cable is plugged in");
            netlink.set_up(a0.index(), false).unwrap();
            watch.expect(&source, false, "its interface is down");
            netlink.set_up(a0.index(), true).unwrap();
            a0.heal().unwrap();
            // An IPv6 interface loses its addresses when it goes down.
            let address = AddressRequest::new(a0.index(), "2001:db8::1/64".parse().unwrap());
            netlink.change_address(AddressChange::Set(address)).unwrap();
            watch.expect(&source, false, "the kernel has deleted it");
            a.add_route(destination, gateway).unwrap();
            watch.expect(&source, true, "it was added again");
        }
    }
}

#[test]
fn after_an_overrun_the_view_is_true_again() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let address = |low: u8| AddressRequest::new(a0.index(), format!("198.18.0.{low}").parse().unwrap());
        let followed = address(200);
        let source = Source::Address(TrackedAddress {
            address: followed.address.address(),
            interface: None,
            impact: IMPACT,
            inverted: false,
        });
        let mut watch = Watch::new(&a, &source);
        watch.expect(&source, false, "it is not there yet");
        watch.monitor.set_receive_buffer(1).unwrap();
        let changes: Vec<_> = (1..=200).map(|low| AddressChange::Set(address(low))).collect();
        assert!(netlink.change_addresses(&changes).unwrap().iter().all(Result::is_ok));
        for change in watch.monitor.read(100).unwrap() {
            watch.view.apply(&change);
        }
        assert!(watch.view.is_stale(), "changes were lost");
        watch.expect(&source, true, "its message was lost");
    }
}
