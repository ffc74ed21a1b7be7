//! Live changes: what stays is never touched.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_net::lab::Host;
use vrrp_net::netlink::{Change, Monitor};

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

const NEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 101));
const OLD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 102));

/// The addresses that were removed from a host since its monitor was last read.
fn removed(monitor: &mut Monitor) -> Vec<IpAddr> {
    let changes = monitor.read(10_000).unwrap();
    let gone = |change| match change {
        Change::AddressRemoved(address) => Some(address.address),
        Change::Overrun => panic!("changes were lost"),
        _ => None,
    };
    changes.into_iter().filter_map(gone).collect()
}

/// How often an address was announced by gratuitous ARP.
fn announced(capture: &vrrp_net::lab::Capture, address: IpAddr) -> usize {
    let IpAddr::V4(address) = address else { panic!("{address} is IPv6") };
    let arps = capture.frames().into_iter().filter(|frame| frame.bytes.get(12..14) == Some(&[8, 6]));
    arps.filter(|frame| frame.bytes[28..32] == address.octets() && frame.bytes[38..42] == address.octets()).count()
}

fn has(host: &Host, address: IpAddr) -> bool {
    host.has_address(address).unwrap()
}

#[test]
fn an_active_that_is_given_another_list_never_lets_go_of_an_address_that_stays() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100/24 192.0.2.102/24 interval=10");
    a.expect("-> Active");
    let capture = net.lan.capture().unwrap();
    let mut monitor = net.a.monitor().unwrap();
    a.tell("reconfigure 192.0.2.100/24 192.0.2.101/24 interval=10 priority=120");
    a.expect("reconfigured from");
    assert!(net.a.wait_for_address(OLD, false, PATIENCE).unwrap());
    assert!(net.a.wait_for_address(NEW, true, PATIENCE).unwrap());
    assert!(eventually(|| announced(&capture, NEW) > 0));
    // Renewals too leave it there.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(removed(&mut monitor), [OLD]);
    let advert = || {
        let frames = capture.frames();
        let mut adverts = frames.iter().rev().filter(|frame| frame.bytes.get(23) == Some(&112));
        adverts.next().map(|frame| frame.bytes[34..50].to_vec())
    };
    let is_new = |advert: Vec<u8>| advert[2] == 120 && advert[3] == 2 && advert[12..16] == [192, 0, 2, 101];
    assert!(eventually(|| advert().is_some_and(is_new)), "{:?}", advert());
    assert!(!a.lines().iter().any(|line| line.contains("Active ->")), "{:#?}", a.lines());
    a.stop();
    assert!(!has(&net.a, VIP) && !has(&net.a, NEW));
}

#[test]
fn the_first_address_of_a_prefix_can_go_and_those_after_it_stay() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 198.51.100.100/24 198.51.100.101/24 192.0.2.100 interval=10");
    a.expect("-> Active");
    let mut monitor = net.a.monitor().unwrap();
    a.tell("reconfigure 198.51.100.101/24 192.0.2.100 interval=10");
    a.expect("reconfigured from");
    let gone: IpAddr = "198.51.100.100".parse().unwrap();
    assert!(net.a.wait_for_address(gone, false, PATIENCE).unwrap());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(removed(&mut monitor), [gone]);
    a.stop();
}

#[test]
fn an_excluded_address_comes_and_goes_too() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 excluded=1");
    a.expect("-> Active");
    let capture = net.lan.capture().unwrap();
    let mut monitor = net.a.monitor().unwrap();
    a.tell("reconfigure 192.0.2.100 interval=10 excluded=2");
    let second: IpAddr = "10.1.0.2".parse().unwrap();
    assert!(net.a.wait_for_address(second, true, PATIENCE).unwrap());
    assert!(eventually(|| announced(&capture, second) > 0));
    assert!(removed(&mut monitor).is_empty());
    a.tell("reconfigure 192.0.2.100 interval=10");
    assert!(net.a.wait_for_address(second, false, PATIENCE).unwrap());
    assert!(has(&net.a, VIP));
    a.stop();
}

#[test]
fn an_address_that_is_to_be_there_in_another_form_gets_it() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100/32 interval=10");
    a.expect("-> Active");
    let form = || {
        let all = net.a.addresses().unwrap();
        let found: Vec<_> = all.into_iter().filter(|known| known.address == VIP).collect();
        found.iter().map(|known| (known.prefix_len, known.label.clone().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(form(), [(32, "eth0".to_owned())]);
    a.tell("reconfigure 192.0.2.100/24 interval=10");
    assert!(eventually(|| form() == [(24, "eth0".to_owned())]), "{:?}", form());
    a.tell("reconfigure 192.0.2.100/24 interval=10 label=eth0:vip");
    assert!(eventually(|| form() == [(24, "eth0:vip".to_owned())]), "{:?}", form());
    std::thread::sleep(Duration::from_millis(200));
    assert!(!a.lines().iter().any(|line| line.contains("removed by another program")), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn a_change_before_the_last_one_is_done_leaves_what_the_last_one_says() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 excluded=1000");
    a.expect("-> Active");
    let mut monitor = net.a.monitor().unwrap();
    for count in [10, 2000, 500, 1500] {
        a.tell(&format!("reconfigure 192.0.2.100 interval=10 excluded={count}"));
    }
    assert!(a.says("reconfigured from", 4), "{:#?}", a.lines().len());
    let count = || net.a.addresses().unwrap().iter().filter(|address| address.protocol == Some(112)).count();
    assert!(eventually(|| count() == 1501), "{}", count());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(), 1501);
    assert!(!removed(&mut monitor).contains(&VIP));
    a.stop();
    assert_eq!(count(), 0);
}

#[test]
fn a_lease_that_is_turned_off_keeps_the_addresses_for_ever() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    let lifetime = || {
        let all = net.a.addresses().unwrap();
        all.into_iter().find(|known| known.address == VIP).and_then(|known| known.lifetime)
    };
    assert!(lifetime().is_some());
    a.tell("reconfigure 192.0.2.100 interval=10 lease=off");
    assert!(eventually(|| lifetime().is_none()));
    a.tell("reconfigure 192.0.2.100 interval=10 lease=60");
    assert!(eventually(|| lifetime().is_some_and(|seconds| seconds > 30)));
    a.stop();
}

#[test]
fn priority_preemption_and_addressing_change_while_it_runs() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10 priority=100");
    b.expect("Initialize -> Backup");
    b.tell("reconfigure 192.0.2.100 interval=10 priority=200");
    b.expect("Backup -> Active");
    a.expect("Active -> Backup");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    // To unicast: first the one that hears both, so that the other hears it.
    let capture = net.lan.capture().unwrap();
    b.tell("reconfigure 192.0.2.100 interval=10 priority=200 peer=192.0.2.1");
    a.tell("reconfigure 192.0.2.100 interval=10 priority=150 peer=192.0.2.2");
    let unicast = || {
        let frames = capture.frames();
        frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112) && frame.bytes[30..34] == [192, 0, 2, 1]).count()
    };
    assert!(eventually(|| unicast() > 5));
    assert!(!has(&net.a, VIP) && has(&net.b, VIP));
    b.process().kill().unwrap();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn a_new_source_is_advertised_from_and_must_be_there() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "address add 192.0.2.7/24 dev eth0");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    let capture = net.lan.capture().unwrap();
    a.tell("reconfigure 192.0.2.100 interval=10 source=192.0.2.7");
    let from = |octet: u8| {
        let frames = capture.frames();
        frames.iter().any(|frame| frame.bytes.get(23) == Some(&112) && frame.bytes[29] == octet)
    };
    assert!(eventually(|| from(7)));
    a.tell("reconfigure 192.0.2.100 interval=10 source=192.0.2.77");
    a.expect("Active -> Initialize: the interface has no address to send from");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    a.tell("reconfigure 192.0.2.100 interval=10");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    assert!(!from(77));
    a.stop();
}

#[test]
fn what_makes_it_another_virtual_router_is_refused_and_nothing_changes() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    for (change, words) in [
        ("interface=lo 192.0.2.100", "refused: the interface cannot change from eth0 to lo"),
        ("vrid=52 192.0.2.100", "refused: the VRID cannot change from 51 to 52"),
        ("fe80::5e:100", "refused: the family cannot change from VRRPv3/IPv4 to VRRPv3/IPv6"),
        (
            "192.0.2.100 mac=virtual",
            "refused: the virtual MAC interface cannot change from none to of the default name",
        ),
        ("192.0.2.100 192.0.2.100", "refused: 192.0.2.100 is given twice"),
        ("192.0.2.1", "refused: 192.0.2.1 is the only address of eth0"),
        ("192.0.2.100 peer=192.0.2.1", "refused: 192.0.2.1"),
    ] {
        a.tell(&format!("reconfigure {change} interval=20"));
        a.expect(words);
    }
    a.tell("status");
    a.expect("advertisement_interval: 100ms");
    assert!(has(&net.a, VIP));
    assert!(!a.lines().iter().any(|line| line.contains("Active ->")), "{:#?}", a.lines());
    a.stop();
}

#[cfg(feature = "auth-hmac")]
#[test]
fn keys_are_rotated_without_a_change_of_role() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    let (at_a, at_b) = ("192.0.2.100 interval=10 priority=150", "192.0.2.100 interval=10");
    a.tell(&format!("add {at_a} keys=1:old"));
    a.expect("-> Active");
    b.tell(&format!("add {at_b} keys=1:old"));
    b.expect("Initialize -> Backup");
    // First both know the new one, then both sign with it, then the old one goes.
    for (round, keys) in (1..).zip(["1:old,2:new", "2:new,1:old", "2:new"]) {
        for (agent, config) in [(&mut b, at_b), (&mut a, at_a)] {
            agent.tell(&format!("reconfigure {config} keys={keys}"));
            assert!(agent.says("reconfigured", round), "{:#?}", agent.lines());
        }
        // Longer than Active_Down_Interval.
        std::thread::sleep(Duration::from_millis(500));
    }
    let roles = |agent: &Agent| agent.lines().iter().filter(|line| line.contains(" -> ")).count();
    assert_eq!((roles(&a), roles(&b)), (2, 1), "{:#?} {:#?}", a.lines(), b.lines());
    // Whoever does not follow is not heard, and says why.
    b.tell(&format!("reconfigure {at_b} keys=1:old"));
    b.expect("Backup -> Active");
    assert!(b.lines().iter().any(|line| line.contains("192.0.2.1") && line.contains("key")), "{:#?}", b.lines());
    b.tell(&format!("reconfigure {at_b} keys=2:new"));
    b.expect("Active -> Backup");
    assert!(has(&net.a, VIP) && net.b.wait_for_address(VIP, false, PATIENCE).unwrap());
    a.stop();
    b.stop();
}
