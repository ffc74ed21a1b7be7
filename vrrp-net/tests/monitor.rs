//! The monitor: what it tells of addresses and routes, and what a program makes of it.

mod net;

use std::time::{Duration, Instant};

use net::{PATIENCE, labs, two_hosts};
use vrrp_net::netlink::{AddressChange, AddressRequest, Change, Monitor};

/// Read changes until one is as wanted.
fn expect_change(monitor: &mut Monitor, wanted: impl Fn(&Change) -> bool) -> Change {
    let patience = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < patience {
        for change in monitor.read(100).unwrap() {
            if wanted(&change) {
                return change;
            }
            seen.push(change);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no such change among {seen:#?}");
}

#[test]
fn routes_are_told_of_once_asked_for() {
    for lab in labs() {
        let (a, ..) = two_hosts(&lab);
        let (mut silent, mut monitor) = (a.monitor().unwrap(), a.monitor().unwrap());
        monitor.watch_routes().unwrap();
        for (destination, gateway) in [("198.51.100.0/24", "192.0.2.2"), ("2001:db8:5::/64", "2001:db8::2")] {
            a.add_route(destination, gateway).unwrap();
            let gateway = gateway.parse().ok();
            let is_it = |change: &Change| match change {
                Change::Route { route, .. } => route.next_hops.iter().any(|hop| hop.gateway == gateway),
                _ => false,
            };
            let Change::Route { route, .. } = expect_change(&mut monitor, is_it) else { unreachable!() };
            let (address, length) = route.destination;
            assert_eq!((format!("{address}/{length}"), route.table), (destination.to_owned(), 254));
            assert!(a.netlink().unwrap().routes().unwrap().contains(&route), "and it is listed so");
        }
        monitor.ignore_routes().unwrap();
        a.add_route("198.51.101.0/24", "192.0.2.2").unwrap();
        // The kernel tells before it answers the request.
        assert!(monitor.read(1000).unwrap().iter().all(|change| !format!("{change:?}").contains("198.51.101.0")));
        let of_routes = |change: &Change| matches!(change, Change::Route { .. } | Change::RouteRemoved(_));
        assert!(!silent.read(1000).unwrap().iter().any(of_routes));
    }
}

/// TX-11: the source of advertisements is a link-local address that can be used. Duplicate address detection takes a second.
#[test]
fn tx_11_an_ipv6_address_says_that_it_is_tentative_and_later_that_it_is_not() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        for setting in ["net/ipv6/conf/all/accept_dad", "net/ipv6/conf/eth0/accept_dad"] {
            a.sysctl(setting, "1").unwrap();
        }
        let mut monitor = a.monitor().unwrap();
        let mut netlink = a.netlink().unwrap();
        netlink.set_up(a0.index(), false).unwrap();
        netlink.set_up(a0.index(), true).unwrap();
        let is_link_local = |change: &Change| match change {
            Change::Address(it) => it.address.to_string().starts_with("fe80:"),
            _ => false,
        };
        // The kernel tells of it when it is through; until then only a list shows it.
        let tentative =
            || netlink.addresses(Some(a0.index())).unwrap().iter().any(|it| it.tentative && !it.is_usable());
        assert!(net::eventually(tentative));
        let usable = |change: &Change| is_link_local(change) && matches!(change, Change::Address(it) if it.is_usable());
        expect_change(&mut monitor, usable);
        assert!(netlink.addresses(Some(a0.index())).unwrap().iter().all(|it| !it.tentative || it.address.is_ipv4()));
    }
}

/// One that failed its duplicate address detection is there, but cannot be used.
#[test]
fn tx_11_an_ipv6_address_that_another_host_has_is_a_duplicate() {
    for lab in labs() {
        let (a, a0, _b, b0) = two_hosts(&lab);
        for setting in ["net/ipv6/conf/all/accept_dad", "net/ipv6/conf/eth0/accept_dad"] {
            a.sysctl(setting, "1").unwrap();
        }
        let mut netlink = a.netlink().unwrap();
        // Both hosts' interfaces have the same MAC address for a while, and so want the same link-local address.
        netlink.set_up(a0.index(), false).unwrap();
        netlink.set_mac(a0.index(), b0.mac()).unwrap();
        let mut monitor = a.monitor().unwrap();
        netlink.set_up(a0.index(), true).unwrap();
        let failed = |change: &Change| matches!(change, Change::Address(it) if it.duplicate && !it.is_usable());
        expect_change(&mut monitor, failed);
    }
}

#[test]
fn reads_are_bounded_and_lose_nothing() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut monitor = a.monitor().unwrap();
        let mut netlink = a.netlink().unwrap();
        let request = |low: u8| AddressRequest::new(a0.index(), format!("198.18.0.{low}").parse().unwrap());
        let changes: Vec<_> = (1..=200).map(|low| AddressChange::Set(request(low))).collect();
        assert!(netlink.change_addresses(&changes).unwrap().iter().all(Result::is_ok));
        let mut seen = Vec::new();
        loop {
            let changes = monitor.read(16).unwrap();
            if changes.is_empty() {
                break;
            }
            assert!(changes.len() <= 16, "a message is one change here");
            seen.extend(changes);
        }
        let told: Vec<_> = seen.iter().filter(|change| matches!(change, Change::Address(_))).collect();
        assert_eq!(told.len(), 200);
    }
}
