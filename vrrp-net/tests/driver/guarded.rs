//! A guardian that is bound to the driver: what happens when the process dies.

use std::time::Duration;

use vrrp_net::now;

use super::{Agent, PATIENCE, Pair, VIP, eventually};

/// Kills an agent on `a` that is Active while `b` waits; returns how long it took `b` to advertise.
fn takeover(net: &Pair, add: &str) -> Duration {
    let (mut a, mut b) = (Agent::start_guarded(&net.a), Agent::start(&net.b));
    a.tell(&format!("add {add} priority=150"));
    a.expect("-> Active");
    b.tell(&format!("add {add} priority=100"));
    b.expect("Initialize -> Backup");
    // So that it has learned the interval.
    std::thread::sleep(Duration::from_millis(1500));
    let killed = now();
    a.process().kill().unwrap();
    b.expect("Backup -> Active: the Active resigned");
    let took = now().since(killed);
    eprintln!("the other one was Active {took:?} after kill -9");
    let address = add.split(' ').next().unwrap().split('/').next().unwrap().parse().unwrap();
    assert!(net.a.wait_for_address(address, false, PATIENCE).unwrap(), "it is gone from the dead one's host");
    assert!(net.b.has_address(address).unwrap());
    b.stop();
    took
}

#[test]
fn a_killed_process_is_replaced_far_within_skew_time() {
    let Some(net) = Pair::new() else { return };
    // Skew_Time at 1 s is 609 ms, Active_Down_Interval 3.6 s.
    assert!(takeover(&net, "192.0.2.100") < Duration::from_millis(500));
}

#[test]
fn a_killed_process_is_replaced_over_ipv6_too() {
    let Some(net) = Pair::new() else { return };
    assert!(takeover(&net, "fe80::5e:100") < Duration::from_millis(500));
}

#[test]
fn a_killed_process_is_replaced_in_unicast_and_with_a_virtual_mac_too() {
    let Some(net) = Pair::new() else { return };
    assert!(takeover(&net, "192.0.2.100 mac=virtual") < Duration::from_millis(500));
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start_guarded(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 priority=150 peer=192.0.2.2");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 priority=100 peer=192.0.2.1");
    b.expect("Initialize -> Backup");
    std::thread::sleep(Duration::from_millis(1500));
    a.process().kill().unwrap();
    b.expect("Backup -> Active: the Active resigned");
    b.stop();
}

#[test]
fn a_killed_process_is_replaced_over_ipv6_with_a_virtual_mac_too() {
    let Some(net) = Pair::new() else { return };
    // The interface that is made for the virtual MAC address has no address of its own to send from.
    assert!(takeover(&net, "fe80::5e:100 mac=virtual") < Duration::from_millis(500));
}

#[test]
fn a_clean_stop_leaves_the_guardian_nothing_to_say() {
    let Some(net) = Pair::new() else { return };
    let capture = net.lan.capture().unwrap();
    let mut a = Agent::start_guarded(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    let adverts: Vec<_> = capture.frames().into_iter().filter(|frame| frame.bytes.get(23) == Some(&112)).collect();
    let resignations = adverts.iter().filter(|frame| frame.bytes[36] == 0).count();
    assert_eq!(resignations, 1);
    assert_eq!(adverts.last().unwrap().bytes[36], 0, "and nothing after it");
}

#[test]
fn the_application_is_told_when_its_guardian_is_gone() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start_guarded(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    kill_guardian_of(&net, &mut a);
    a.expect("the guardian is gone");
    assert!(eventually(|| net.a.has_address(VIP).unwrap()), "and it serves on");
    a.stop();
}

/// `kill -9` of the guardian of an agent on `a`.
fn kill_guardian_of(net: &Pair, a: &mut Agent) {
    let output = net.a.command("pgrep").args(["-x", "vrrp-guardian"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Those of other tests have other network namespaces.
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace(&a.process().id().to_string());
    let guardian = text.split_whitespace().find(|process| namespace(process) == own).expect("a guardian");
    assert!(net.a.command("kill").args(["-9", guardian]).status().unwrap().success());
}

#[test]
fn with_its_guardian_killed_too_a_process_leaves_its_addresses_to_their_lease() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start_guarded(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("Initialize -> Backup");
    // Neither is to see the other's end.
    a.process().stop().unwrap();
    kill_guardian_of(&net, &mut a);
    a.process().kill().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    assert!(net.b.has_address(VIP).unwrap());
    b.stop();
}
