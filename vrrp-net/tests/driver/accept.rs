//! `Accept_Mode`: whether the Active takes packets for the addresses (RFC 9568 §6.4.3).

use std::net::IpAddr;

use vrrp_net::lab::Host;

use super::{Agent, PATIENCE, Pair, VIP, eventually};

fn answers(host: &Host, address: &str) -> bool {
    let output = host.command("ping").args(["-c", "1", "-W", "1", address]).output().unwrap();
    output.status.success()
}

#[test]
fn an_12_an_14_accept_mode_false_drops_what_is_for_the_addresses_and_nothing_else() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 accept=no");
    a.tell("add fe80::5e:100 2001:db8::100/64 interval=10 accept=no");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    let six: IpAddr = "2001:db8::100".parse().unwrap();
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert!(net.a.wait_for_address(six, true, PATIENCE).unwrap());
    assert!(answers(&net.client, "192.0.2.1"), "its own address");
    assert!(answers(&net.client, "2001:db8::1"), "its own address");
    assert!(!answers(&net.client, "192.0.2.100"));
    assert!(!answers(&net.client, "2001:db8::100"));
    // ARP and neighbour discovery answer: it forwards what is sent to the MAC address.
    assert!(net.client.neighbor(VIP).unwrap().is_some());
    assert!(net.client.neighbor(six).unwrap().is_some());
    // Live, and back.
    a.tell("reconfigure 192.0.2.100 interval=10");
    assert!(eventually(|| answers(&net.client, "192.0.2.100")));
    assert!(!answers(&net.client, "2001:db8::100"));
    a.tell("reconfigure 192.0.2.100 interval=10 accept=no");
    assert!(eventually(|| !answers(&net.client, "192.0.2.100")));
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
}

#[test]
fn a_killed_process_leaves_no_drop_rule() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 accept=no lease=off");
    a.expect("-> Active");
    assert!(!answers(&net.client, "192.0.2.100"));
    a.process().kill().unwrap();
    assert!(
        eventually(|| answers(&net.client, "192.0.2.100")),
        "the address is there, and nothing drops packets for it"
    );
}

#[test]
fn an_14_an_owner_takes_packets_whatever_accept_mode_says() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 accept=no priority=255");
    a.expect("-> Active");
    assert!(eventually(|| answers(&net.client, "192.0.2.100")));
    a.stop();
}
