//! Failure scenarios: what the kernel and other programs do to interfaces and addresses. The numbers are those of
//! `SCENARIOS.md`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, client_reaches, elected, eventually, ip, only_on};

#[test]
fn scenario_38_one_that_loses_all_addresses_leaves_and_returns_with_them() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    ip(&net.a, "address flush dev eth0 scope global");
    a.expect("Active -> Initialize: the interface has no address to send from");
    b.expect("Backup -> Active");
    assert!(only_on(&net.b, &net.a), "what was flushed is not put back");
    ip(&net.a, "address add 192.0.2.1/24 dev eth0");
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    assert!(client_reaches(&net, net.a0.mac()));
    a.stop();
    b.stop();
}

#[test]
fn scenario_39_one_that_loses_its_primary_address_leaves_also_where_the_virtual_one_shares_its_prefix() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100/24 interval=10 priority=150");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100/24 interval=10");
    b.expect("Initialize -> Backup");
    ip(&net.a, "address del 192.0.2.1/24 dev eth0");
    a.expect("Active -> Initialize: the interface has no address to send from");
    b.expect("Backup -> Active");
    assert!(only_on(&net.b, &net.a));
    ip(&net.a, "address add 192.0.2.1/24 dev eth0");
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_40_a_primary_address_that_changes_costs_nothing() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    let capture = net.lan.capture().unwrap();
    ip(&net.a, "address add 192.0.2.3/32 dev eth0");
    ip(&net.a, "address del 192.0.2.1/24 dev eth0");
    let from = |last: u8| {
        let frames = capture.frames();
        frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112) && frame.bytes[29] == last).count()
    };
    assert!(eventually(|| from(3) >= 3), "it advertises from the new one");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    assert_eq!(from(2), 0);
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    b.stop();
}

#[test]
fn scenario_43_an_ipv6_address_is_used_at_once_also_where_duplicates_are_looked_for() {
    let Some(net) = Pair::new() else { return };
    net.a.sysctl("net.ipv6.conf.all.accept_dad", "1").unwrap();
    net.a.sysctl("net.ipv6.conf.eth0.accept_dad", "1").unwrap();
    net.a.sysctl("net.ipv6.conf.eth0.dad_transmits", "20").unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add fe80::5e:100 2001:db8::100/64 interval=10");
    a.expect("-> Active");
    let addresses = net.a.addresses().unwrap();
    let own: Vec<_> = addresses.iter().filter(|address| address.protocol == Some(112)).collect();
    assert!(own.len() == 2 && own.iter().all(|address| address.is_usable()), "{own:#?}");
    a.stop();
}

#[test]
fn scenario_44_an_interface_that_is_made_anew_serves_again() {
    let Some(mut net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    net.a0.delete().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    b.expect("Backup -> Active");
    net.a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    assert!(client_reaches(&net, net.a0.mac()));
    a.stop();
    b.stop();
}

#[test]
fn scenario_44_an_interface_that_is_made_anew_unseen_hears_unicast_peers() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150 preempt=never peer=192.0.2.2");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 peer=192.0.2.1");
    b.expect("Initialize -> Backup");
    net.a0.delete().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    b.expect("Backup -> Active");
    // By the time it reads of the new interface, that has its address already.
    a.process().stop().unwrap();
    let _a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    a.process().resume().unwrap();
    assert!(a.says("Initialize -> Backup", 2), "{:#?}", a.lines());
    std::thread::sleep(Duration::from_secs(1));
    assert!(!a.says_more_than("Backup -> Active", 1), "it hears the other one: {:#?}", a.lines());
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}

#[test]
fn scenario_44_an_interface_that_goes_with_its_virtual_mac_takes_the_addresses_along_in_silence() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 mac=virtual");
    a.expect("-> Active");
    net.a0.delete().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    // What follows from it has been done by the time of the next change.
    net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    assert!(!a.has_said("no interface"), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn scenario_45_an_interface_that_is_renamed_is_left_at_once() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    ip(&net.a, "link set eth0 name other0");
    a.expect("Active -> Initialize: the interface is down");
    b.expect("Backup -> Active");
    assert!(only_on(&net.b, &net.a));
    ip(&net.a, "link set other0 name eth0");
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_45_an_interface_that_moves_to_another_namespace_is_left_at_once() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    let other = net.client.spawn("sleep", ["1000"]).unwrap();
    ip(&net.a, "link set eth0 name moved0");
    ip(&net.a, &format!("link set moved0 netns {}", other.id()));
    a.expect("Active -> Initialize: the interface is down");
    b.expect("Backup -> Active");
    assert!(!net.client.has_address(VIP).unwrap(), "and its addresses do not go with it");
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}

#[test]
fn scenario_46_a_mac_address_that_changes_is_announced() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    assert!(client_reaches(&net, net.a0.mac()));
    let other = [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee];
    ip(&net.a, "link set eth0 address 02:aa:bb:cc:dd:ee");
    assert!(eventually(|| net.client.neighbor(VIP).unwrap() == Some(other)), "{:x?}", net.client.neighbor(VIP));
    assert!(!a.has_said("Active ->"), "{:#?}", a.lines());
    a.stop();
}

/// Whether some netlink socket of a host has dropped what it was to tell: the ninth word of its line.
fn lost_changes(host: &vrrp_net::lab::Host) -> bool {
    let output = host.command("cat").arg("/proc/net/netlink").output().unwrap();
    let sockets = String::from_utf8(output.stdout).unwrap();
    let mut dropped = sockets.lines().skip(1).map(|line| line.split_whitespace().nth(8).unwrap().to_owned());
    dropped.any(|count| count != "0")
}

#[test]
fn scenario_48_changes_that_were_lost_are_made_up_for() {
    let Some(net) = Pair::new() else { return };
    // Its lease of 4 s outlives what follows.
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100");
    a.expect("-> Active");
    a.process().stop().unwrap();
    // What the others change while it does not read is more than its socket holds.
    let mut batch = net.a.command("ip");
    let mut batch = batch.args(["-force", "-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = batch.stdin.take().unwrap();
    writeln!(input, "address del 192.0.2.100/32 dev eth0").unwrap();
    for number in 0..4000 {
        let address = format!("10.9.{}.{}/32", number / 250, number % 250 + 1);
        writeln!(input, "address add {address} dev eth0\naddress del {address} dev eth0").unwrap();
    }
    drop(input);
    assert!(batch.wait().unwrap().success());
    assert!(!net.a.has_address(VIP).unwrap());
    assert!(lost_changes(&net.a), "its socket has overflowed");
    a.process().resume().unwrap();
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap(), "{:#?}", a.lines());
    assert!(!a.has_said("Active ->"), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn scenario_51_one_that_cannot_send_leaves_once_the_others_have_taken_over() {
    let Some(net) = Pair::new() else { return };
    let list = (100..120).map(|last| format!("192.0.2.{last}")).collect::<Vec<_>>().join(" ");
    let mut a = Agent::start(&net.a);
    a.tell(&format!("add {list} interval=10 priority=150"));
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell(&format!("add {list} interval=10"));
    b.expect("Initialize -> Backup");
    // The advertisement does not fit any more: the kernel refuses it.
    ip(&net.a, "link set eth0 mtu 68");
    a.expect("send an advertisement on eth0");
    a.expect("Active -> Initialize: advertisements could not be sent");
    b.expect("Backup -> Active: no Active was heard");
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}
