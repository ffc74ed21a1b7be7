//! Interfaces that go and come back, addresses of theirs that change, and what predecessors leave on them.

use std::time::Duration;

use vrrp_net::ADDRESS_MARK;
use vrrp_net::netlink::{AddressChange, AddressRequest};

use crate::checks::Programs;
use crate::common::{Node, PATIENCE, wait_until};
use crate::network::{A, Network, Place, VIP, parse, transitions, undisturbed};

#[test]
fn a_router_leaves_while_its_interface_is_set_down_and_comes_back_with_it() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (mut a, b) = net.settled("100ms", &[]);
        set_up(&net.a, false);
        has_left(&net, &a, "the interface is down");
        set_up(&net.a, true);
        is_back(&net, &mut a, &b);
    });
}

#[test]
fn a_router_leaves_when_its_interface_is_deleted_and_runs_on_the_next_one_of_that_name() {
    undisturbed(|| {
        let Some(mut net) = Network::new() else { return };
        let (mut a, b) = net.settled("100ms", &[]);
        net.a.cable.delete().unwrap();
        has_left(&net, &a, "the interface is down");

        let before = net.a.cable.index();
        net.a.cable = net.a.host.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
        assert_ne!(net.a.cable.index(), before);
        is_back(&net, &mut a, &b);
    });
}

#[test]
fn a_router_whose_interface_is_replaced_while_changes_are_lost_serves_on_the_new_one() {
    undisturbed(|| {
        let Some(mut net) = Network::new() else { return };
        let (mut a, b) = net.settled("100ms", &[]);
        a.process().stop().unwrap();
        net.a.cable.delete().unwrap();
        net.a.cable = net.a.host.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
        // More changes than the monitor's socket holds: the deletion is among those that are lost.
        let lo = net.a.host.link("lo").unwrap().index;
        let addresses: Vec<_> = (0..3000).map(|n| parse(&format!("10.9.{}.{}", n / 250, n % 250 + 1))).collect();
        let mut netlink = net.a.host.netlink().unwrap();
        for _ in 0..2 {
            let set = |address: &_| AddressChange::Set(AddressRequest::new(lo, *address));
            netlink.change_addresses(&addresses.iter().map(set).collect::<Vec<_>>()).unwrap();
        }
        a.process().resume().unwrap();
        is_back(&net, &mut a, &b);
    });
}

#[test]
fn a_backup_whose_interface_was_deleted_takes_over_on_the_next_one() {
    undisturbed(|| {
        let Some(mut net) = Network::new() else { return };
        let (mut a, mut b) = net.settled("100ms", &[]);
        net.b.cable.delete().unwrap();
        assert!(b.log().wait_for(PATIENCE, "Backup -> Initialize: the interface is down"), "{:#?}", b.log().lines());
        net.b.cable = net.b.host.attach(&net.lan, "eth0", &["192.0.2.2/24"]).unwrap();
        assert!(b.log().wait_for(PATIENCE, "Initialize -> Backup"), "{:#?}", b.log().lines());
        // It hears the Active, or it would not wait for longer than an Active_Down_Interval.
        assert!(net.advertises(&net.a, 8));
        assert!(!net.b.has(VIP.into()), "{:#?}", b.log().lines());

        a.kill();
        assert!(net.b.gets_vip(PATIENCE), "{:#?}", b.log().lines());
        assert!(net.client_follows_to(&net.b));
        assert!(b.terminate().success());
    });
}

#[test]
fn a_router_started_on_an_interface_that_is_down_takes_part_once_it_is_up() {
    let Some(net) = Network::new() else { return };
    set_up(&net.a, false);
    let a = net.a.start(150, "100ms", &[]);
    // Longer than an Active_Down_Interval.
    std::thread::sleep(Duration::from_millis(700));
    let lines = a.log().lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("cannot take part yet: the interface is down"), "{lines:#?}");
    set_up(&net.a, true);
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
}

#[test]
fn a_router_leaves_with_the_address_it_sends_from_and_comes_back_with_another() {
    let Some(net) = Network::new() else { return };
    let (mut a, b) = net.settled("100ms", &[]);
    net.a.delete("192.0.2.1/24");
    has_left(&net, &a, "the interface has no address to send from");
    // It resigned, from the address that it had: the others need not wait for Active_Down_Interval.
    assert!(wait_until(PATIENCE, || net.adverts_of(&net.a).last().is_some_and(|last| last.priority == 0)));
    assert!(b.log().wait_for(PATIENCE, "Backup -> Active: the Active resigned"), "{:#?}", b.log().lines());

    net.a.add("192.0.2.9/24");
    assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    assert!(b.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.9 won the election"));
    let new = parse("192.0.2.9").address();
    assert!(wait_until(PATIENCE, || net.adverts_of(&net.a).last().is_some_and(|last| last.source == new)));
    assert!(net.client_follows_to(&net.a));
    assert!(is_running(&mut a));
}

#[test]
fn an_active_keeps_its_role_when_its_address_is_replaced_and_advertises_from_the_new_one() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (a, b) = net.settled("300ms", &[]);
        // Of another prefix, or the kernel would delete it together with the first.
        net.a.add("192.0.2.9/25");
        net.a.delete("192.0.2.1/24");
        let new = parse("192.0.2.9").address();
        assert!(wait_until(PATIENCE, || net.adverts_of(&net.a).iter().filter(|it| it.source == new).count() >= 5));
        let adverts = net.adverts_of(&net.a);
        let first = adverts.iter().position(|it| it.source == new).expect("one from the new address");
        assert!(adverts[first..].iter().all(|it| it.source == new), "and none from the old one after it");
        assert!(adverts.iter().all(|it| it.priority == 150 && (it.source == A || it.source == new)));
        assert!(net.a.has(VIP.into()) && !net.b.has(VIP.into()));
        assert_eq!((transitions(&a).len(), transitions(&b).len()), (2, 1), "{:#?}", b.log().lines());
    });
}

#[test]
fn what_a_killed_predecessor_left_is_removed_at_the_start() {
    let Some(net) = Network::new() else { return };
    let mut dead = net.a.start(150, "100ms", &[]);
    assert!(net.a.gets_vip(PATIENCE));
    dead.kill();
    // The kernel's lease is not what removes it.
    for address in ["192.0.2.100", "192.0.2.100/24"] {
        let forever = AddressRequest::new(net.a.cable.index(), parse(address));
        net.a.change(AddressChange::Set(AddressRequest { protocol: Some(ADDRESS_MARK), ..forever }));
    }

    // At 40 s it becomes Active long after this test.
    let next = net.a.start(150, "40s", &[]);
    assert!(next.log().wait_for(PATIENCE, "Initialize -> Backup"));
    assert!(!net.a.has(VIP.into()));
    assert!(net.a.has(A), "the address of the host itself stays");
    // Nor does the leftover pass for the address to send from.
    assert_eq!(transitions(&next).len(), 1, "{:#?}", next.log().lines());
}

#[test]
fn an_interface_that_a_killed_predecessor_left_is_removed_though_it_is_configured_no_more() {
    let Some(net) = Network::new() else { return };
    let is_there = || net.a.host.links().unwrap().iter().any(|link| link.name == "vrrp.51");
    let mut dead = net.a.start(150, "100ms", &["--virtual-mac", "--no-guardian"]);
    assert!(net.a.gets_vip(PATIENCE));
    dead.kill();
    assert!(is_there());
    let next = net.a.start(150, "100ms", &[]);
    assert!(next.log().wait_for(PATIENCE, "removed vrrp.51, which a process that died has left"));
    assert!(!is_there());
    assert!(net.a.gets_vip(PATIENCE));
}

#[test]
fn an_interface_of_a_file_that_is_missing_at_the_start_keeps_no_other_router_from_serving() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let missing =
        "\n[[router]]\ninterface = \"eth9\"\nvrid = 51\naddresses = [\"198.51.100.100/24\"]\ninterval = \"100ms\"";
    let mut a = programs.start(&net.a, 150, missing, "");
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    assert_eq!(a.log().matching("no interface \"eth9\" (have: lo, eth0)").len(), 1, "{:#?}", a.log().lines());
    let _eth9 = net.a.host.attach(&net.lan, "eth9", &["198.51.100.1/24"]).unwrap();
    let there = net.a.host.wait_for_address("198.51.100.100".parse().unwrap(), true, PATIENCE).unwrap();
    assert!(there, "{:#?}", a.log().lines());
    assert!(a.terminate().success());
}

fn set_up(place: &Place, up: bool) {
    place.host.netlink().unwrap().set_up(place.cable.index(), up).unwrap();
}

/// It released and the other one has taken over.
fn has_left(net: &Network, a: &Node, why: &str) {
    assert!(a.log().wait_for(PATIENCE, &format!("Active -> Initialize: {why}")), "{:#?}", a.log().lines());
    assert!(!net.a.has(VIP.into()));
    assert!(net.b.gets_vip(PATIENCE));
    assert!(net.client_follows_to(&net.b));
}

/// It is Active again and hears others, in the same process.
fn is_back(net: &Network, a: &mut Node, b: &Node) {
    assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    assert!(b.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.1 won the election"), "{:#?}", b.log().lines());
    assert!(net.client_follows_to(&net.a));
    let _better = net.client.start(200, "100ms", &[]);
    assert!(a.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.66 won the election"), "{:#?}", a.log().lines());
    assert!(is_running(a));
    assert!(a.terminate().success());
}

fn is_running(node: &mut Node) -> bool {
    node.process().wait(Duration::ZERO).expect("ask for its end").is_none()
}
