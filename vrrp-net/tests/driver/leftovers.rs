//! What a process that died has left on its host.

use vrrp_net::lab::Host;

use super::{Agent, PATIENCE, Pair, VIP, eventually};

/// A setting of `eth0` below `net.ipv4.conf`.
fn setting(host: &Host, name: &str) -> i32 {
    let output = host.command("cat").arg(format!("/proc/sys/net/ipv4/conf/eth0/{name}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn has_link(host: &Host, name: &str) -> bool {
    host.links().unwrap().iter().any(|link| link.name == name)
}

#[test]
fn an_interface_with_a_virtual_mac_that_a_dead_process_left_is_adopted_and_its_settings_are_set_back() {
    let Some(net) = Pair::new() else { return };
    let before = (setting(&net.a, "arp_ignore"), setting(&net.a, "arp_announce"));
    let mut dead = Agent::start(&net.a);
    dead.tell("add 192.0.2.100 interval=10 mac=virtual");
    dead.expect("-> Active");
    dead.process().kill().unwrap();
    assert!(has_link(&net.a, "vrrp.51"));
    assert_eq!((setting(&net.a, "arp_ignore"), setting(&net.a, "arp_announce")), (1, 2));
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 mac=virtual");
    a.expect("-> Active");
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert_eq!(net.a.links().unwrap().len(), 3, "no second one");
    a.stop();
    assert!(!has_link(&net.a, "vrrp.51"));
    assert_eq!((setting(&net.a, "arp_ignore"), setting(&net.a, "arp_announce")), before);
}

#[test]
fn what_nobody_adopts_is_removed_but_not_what_a_live_process_has() {
    let Some(net) = Pair::new() else { return };
    let before = (setting(&net.a, "arp_ignore"), setting(&net.a, "arp_announce"));
    let (mut dead, mut live) = (Agent::start(&net.a), Agent::start(&net.a));
    dead.tell("add 192.0.2.100 interval=10 mac=virtual");
    dead.expect("-> Active");
    live.tell("add 192.0.2.101 vrid=52 interval=10 mac=virtual");
    live.expect("-> Active");
    let mut a = Agent::start(&net.a);
    a.tell("try-add 192.0.2.101 vrid=52 interval=10 mac=virtual");
    a.expect("refused: virtual router 52 of eth0 is run by another process of this host (process ");
    a.tell("clean-up");
    a.expect("removed: []");
    dead.process().kill().unwrap();
    a.tell("add 192.0.2.102 vrid=53 interval=10");
    a.expect("-> Active");
    a.tell("clean-up");
    a.expect("removed: [\"vrrp.51\"]");
    assert!(!has_link(&net.a, "vrrp.51") && has_link(&net.a, "vrrp.52"));
    assert_eq!(setting(&net.a, "arp_ignore"), 1, "the live one needs it");
    assert!(net.a.has_address("192.0.2.101".parse().unwrap()).unwrap());
    live.stop();
    a.stop();
    assert_eq!((setting(&net.a, "arp_ignore"), setting(&net.a, "arp_announce")), before);
}

#[test]
fn addresses_that_a_dead_process_left_are_removed_by_its_successor_at_once() {
    let Some(net) = Pair::new() else { return };
    let mut dead = Agent::start(&net.a);
    dead.tell("add 192.0.2.100/24 interval=100 lease=off");
    dead.expect("-> Active");
    dead.process().kill().unwrap();
    assert!(net.a.has_address(VIP).unwrap());
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100/32 interval=100");
    a.expect("Initialize -> Backup");
    assert!(eventually(|| !net.a.has_address(VIP).unwrap()));
    a.expect("-> Active");
    let all = net.a.addresses().unwrap();
    let found: Vec<u8> = all.iter().filter(|known| known.address == VIP).map(|known| known.prefix_len).collect();
    assert_eq!(found, [32]);
    a.stop();
}

#[test]
fn a_setting_that_keeps_addresses_apart_is_set_back_at_the_end() {
    let Some(net) = Pair::new() else { return };
    net.a.sysctl("net.ipv4.conf.eth0.promote_secondaries", "0").unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100/24 interval=10");
    a.expect("-> Active");
    assert_eq!(setting(&net.a, "promote_secondaries"), 1);
    a.stop();
    assert_eq!(setting(&net.a, "promote_secondaries"), 0);
}
