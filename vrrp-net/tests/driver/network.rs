//! Both families, unicast, virtual MAC addresses, tracking: each through a failover.

use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

/// `b` takes over when `a` is stopped, and `a` takes back; every address moves each time.
fn moves_there_and_back(net: &Pair, a: &str, b: &str, addresses: &[&str]) {
    let has = |host: &vrrp_net::lab::Host, there| {
        let all = || addresses.iter().all(|it| host.has_address(it.parse().unwrap()).unwrap() == there);
        assert!(eventually(all), "{there}: {:#?}", host.addresses().unwrap());
    };
    let mut first = Agent::start(&net.a);
    first.tell(a);
    first.expect("-> Active");
    let mut second = Agent::start(&net.b);
    second.tell(b);
    second.expect("Initialize -> Backup");
    has(&net.a, true);
    has(&net.b, false);
    first.stop();
    second.expect("Backup -> Active");
    has(&net.a, false);
    has(&net.b, true);
    let mut first = Agent::start(&net.a);
    first.tell(a);
    first.expect("Backup -> Active: the Active has a lower priority");
    second.expect("Active -> Backup");
    has(&net.a, true);
    has(&net.b, false);
    first.stop();
    second.stop();
    has(&net.b, false);
}

#[test]
fn addresses_of_ipv6_move() {
    let Some(net) = Pair::new() else { return };
    let list = "fe80::5e:100 2001:db8::100/64";
    let (a, b) = (format!("add {list} priority=150 interval=10"), format!("add {list} interval=10"));
    let capture = net.lan.capture().unwrap();
    moves_there_and_back(&net, &a, &b, &["fe80::5e:100", "2001:db8::100"]);
    let frames = capture.frames();
    let ipv6 = || frames.iter().filter(|frame| frame.bytes.get(12..14) == Some(&[0x86, 0xdd]));
    let adverts: Vec<_> = ipv6().filter(|frame| frame.bytes[20] == 112).collect();
    assert!(adverts.iter().all(|frame| frame.bytes[21] == 255), "hop limit");
    assert!(adverts.iter().all(|frame| frame.bytes[22..24] == [0xfe, 0x80]), "a link-local source");
    assert!(adverts.iter().all(|frame| frame.bytes[38..54] == *b"\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x12"));
    // Unsolicited: to all nodes; Router and Override, not Solicited.
    let announced = ipv6().filter(|frame| frame.bytes[20] == 58 && frame.bytes.get(54) == Some(&136));
    let announced: Vec<_> = announced.filter(|frame| frame.bytes[38..54].ends_with(&[0, 1])).collect();
    assert!(announced.iter().any(|frame| frame.bytes[58] == 0xa0 && frame.bytes[62..64] == [0xfe, 0x80]));
    assert!(announced.iter().any(|frame| frame.bytes[58] == 0xa0 && frame.bytes[62..64] == [0x20, 0x01]));
}

#[test]
fn addresses_of_both_families_on_one_interface_move_apart() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.tell("add fe80::5e:100 interval=10 priority=150");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 priority=200");
    b.expect("Backup -> Active");
    a.expect("Active -> Backup");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    assert!(net.a.has_address("fe80::5e:100".parse().unwrap()).unwrap());
    a.stop();
    b.stop();
}

#[test]
fn addresses_move_by_unicast_and_nothing_is_sent_to_the_group() {
    let Some(net) = Pair::new() else { return };
    let capture = net.lan.capture().unwrap();
    let a = "add 192.0.2.100 priority=150 interval=10 peer=192.0.2.2";
    let b = "add 192.0.2.100 interval=10 peer=192.0.2.1";
    moves_there_and_back(&net, a, b, &["192.0.2.100"]);
    let frames = capture.frames();
    let adverts: Vec<_> = frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112)).collect();
    assert!(!adverts.is_empty() && adverts.iter().all(|frame| frame.bytes[30..33] == [192, 0, 2]));
}

#[test]
fn addresses_move_with_their_mac_address() {
    let Some(net) = Pair::new() else { return };
    let watch = |mac: &str| {
        eventually(|| {
            let _ = net.client.command("ping").args(["-c", "1", "-W", "1", "192.0.2.100"]).output().unwrap();
            let neighbor = net.client.neighbor(VIP).unwrap();
            neighbor.is_some_and(|found| found.map(|octet| format!("{octet:02x}")).join(":") == mac)
        })
    };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 priority=150 interval=10 mac=virtual");
    a.expect("-> Active");
    assert!(watch("00:00:5e:00:01:33"));
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 mac=virtual");
    b.expect("Initialize -> Backup");
    // The Backup hears an Active that sends with the MAC address that is its own too.
    std::thread::sleep(Duration::from_millis(800));
    assert!(!b.lines().iter().any(|line| line.contains("-> Active")), "{:#?}", b.lines());
    a.stop();
    assert_eq!(net.a.links().unwrap().len(), 2, "the interface is gone: {:#?}", net.a.links().unwrap());
    b.expect("Backup -> Active");
    assert!(watch("00:00:5e:00:01:33"));
    b.stop();
}

#[test]
fn an_interface_with_a_virtual_mac_is_made_anew_with_its_parent() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 mac=virtual");
    a.expect("-> Active");
    net.a0.delete().unwrap();
    a.expect("the interface is down");
    let _a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    let capture = net.lan.capture().unwrap();
    let adverts = || capture.frames().iter().filter(|frame| frame.bytes.get(23) == Some(&112)).count();
    assert!(eventually(|| adverts() >= 3), "it advertises through the new one");
    a.stop();
}

#[test]
fn a_tracked_interface_that_goes_down_costs_the_role() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "link add uplink type bridge");
    ip(&net.a, "link add up0 type veth peer name up1");
    ip(&net.a, "link set up0 up");
    ip(&net.a, "link set up1 up");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150 track=up0");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10");
    b.expect("Initialize -> Backup");
    ip(&net.a, "link set up1 down");
    b.expect("Backup -> Active");
    a.expect("Active -> Backup");
    ip(&net.a, "link set up1 up");
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    a.stop();
    b.stop();
}

#[test]
fn one_vrid_twice_on_a_link_is_kept_apart_by_groups_of_their_own() {
    let Some(net) = Pair::new() else { return };
    let capture = net.lan.capture().unwrap();
    let mut other = Agent::start(&net.client);
    other.tell("add 192.0.2.200 interval=10 priority=200");
    other.expect("Backup -> Active");
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    // Both share their sockets with a virtual router of the usual group, which comes and goes.
    a.tell("add 192.0.2.100 interval=10 priority=150 group=224.0.100.19");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 interval=10 group=224.0.100.19");
    b.tell("add 192.0.2.101 vrid=52 interval=10");
    b.expect("Initialize -> Backup");
    assert!(b.says("-> Active", 1), "{:#?}", b.lines());
    a.stop();
    assert!(b.says("Backup -> Active", 2), "{:#?}", b.lines());
    assert!(net.b.has_address(VIP).unwrap());
    // Over IPv6 as well.
    b.tell("add fe80::5e:100 interval=10 group=ff02::1234");
    assert!(b.says("Backup -> Active", 3), "{:#?}", b.lines());
    b.stop();
    assert!(!other.lines().iter().any(|line| line.contains("Active ->")), "{:#?}", other.lines());
    other.stop();
    let frames = capture.frames();
    let to = |mac: [u8; 6], address: &[u8], at: usize| {
        frames.iter().any(|it| it.bytes[..6] == mac && it.bytes.get(at..at + address.len()) == Some(address))
    };
    assert!(to([1, 0, 0x5e, 0, 0x64, 0x13], &[224, 0, 100, 19], 30), "the MAC address of the group");
    assert!(to([0x33, 0x33, 0, 0, 0x12, 0x34], &[0xff, 2, 0, 0], 38));
}

#[test]
fn a_virtual_router_that_changes_its_group_is_heard_in_the_new_one() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("Initialize -> Backup");
    b.tell("reconfigure 192.0.2.100 interval=10 group=224.0.100.19");
    b.expect("Backup -> Active: no Active was heard");
    a.tell("reconfigure 192.0.2.100 interval=10 priority=150 group=224.0.100.19");
    b.expect("Active -> Backup");
    a.stop();
    b.stop();
}
