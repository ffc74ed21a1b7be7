//! Addresses that are where the protocol says, whatever other programs do to them.

use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

#[test]
fn an_address_that_another_program_removed_is_put_back_without_giving_up_the_role() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    ip(&net.a, "address del 192.0.2.100/32 dev eth0");
    a.expect("192.0.2.100 was removed by another program: put back");
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert!(!a.lines().iter().any(|line| line.contains("Active ->")), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn a_program_that_removes_an_address_again_and_again_is_given_way_to() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    for count in 1..=5 {
        ip(&net.a, "address del 192.0.2.100/32 dev eth0");
        assert!(a.says("put back", count), "{:#?}", a.lines());
    }
    ip(&net.a, "address del 192.0.2.100/32 dev eth0");
    a.expect("again and again");
    a.expect("Active -> Initialize: the virtual addresses could not be installed");
    a.stop();
}

#[test]
fn an_address_that_another_program_puts_on_a_backup_is_reported() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("-> Backup");
    ip(&net.b, "address add 192.0.2.100/32 dev eth0");
    b.expect("192.0.2.100 is on this host, but another one is to have it");
    a.stop();
    b.stop();
}

#[test]
fn thousands_of_addresses_move_and_no_advertisement_waits_for_them() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    let capture = net.lan.capture().unwrap();
    a.tell("add 192.0.2.100 interval=10 excluded=3000");
    a.expect("-> Active");
    let count = || net.a.addresses().unwrap().iter().filter(|address| address.protocol == Some(112)).count();
    assert_eq!(count(), 3001, "all are there when the application is told");
    std::thread::sleep(Duration::from_millis(500));
    let frames = capture.frames();
    let adverts: Vec<_> = frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112)).collect();
    let gaps = adverts.windows(2).map(|pair| pair[1].at.since(pair[0].at));
    let longest = gaps.max().expect("two advertisements");
    // Active_Down_Interval of a Backup is 361 ms.
    assert!(longest < Duration::from_millis(300), "{longest:?}");
    a.stop();
    assert_eq!(count(), 0);
}

#[test]
fn every_address_is_announced_once_it_is_there() {
    let Some(net) = Pair::new() else { return };
    let capture = net.lan.capture().unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 excluded=300");
    a.expect("-> Active");
    let announced = || {
        let arps = capture.frames().into_iter().filter(|frame| frame.bytes.get(12..14) == Some(&[8, 6]));
        let own = arps.filter(|frame| frame.bytes[28..32] == frame.bytes[38..42]);
        own.map(|frame| frame.bytes[28..32].to_vec()).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(eventually(|| announced() == 301), "{}", announced());
    a.stop();
}

#[test]
fn addresses_of_one_prefix_come_and_go_one_by_one() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100/24 vrid=51 interval=10");
    a.tell("add 192.0.2.101/24 vrid=52 interval=10");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    b.tell("add 192.0.2.100/24 vrid=51 interval=10 priority=200");
    b.expect("-> Active");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    assert!(net.a.has_address("192.0.2.101".parse().unwrap()).unwrap());
    assert!(net.a.has_address("192.0.2.1".parse().unwrap()).unwrap());
    a.stop();
    b.stop();
}

#[test]
fn a_killed_agent_leaves_its_addresses_to_their_lease() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    a.process().kill().unwrap();
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    net.a0.heal().unwrap();
}
