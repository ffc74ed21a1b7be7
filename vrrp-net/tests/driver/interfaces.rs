//! Interfaces that come, go, change their names, or have nothing to advertise from yet.

use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

#[test]
fn an_interface_that_is_renamed_takes_no_address_along_and_is_found_again_by_its_name() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 lease=off");
    a.expect("-> Active");
    ip(&net.a, "link set eth0 down");
    a.expect("Active -> Initialize: the interface is down");
    ip(&net.a, "link set eth0 up");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    // Recent kernels rename one that is up.
    if net.a.command("ip").args(["link", "set", "eth0", "name", "other"]).status().unwrap().success() {
        assert!(a.says("Active -> Initialize: the interface is down", 2), "{:#?}", a.lines());
        assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap(), "nobody would ever remove it");
        ip(&net.a, "link set other name eth0");
        assert!(a.says("-> Active", 3), "{:#?}", a.lines());
        assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    }
    a.stop();
}

#[test]
fn an_interface_that_is_made_anew_is_used_again() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    net.a0.delete().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    let _a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    a.stop();
}

#[test]
fn an_interface_that_is_absent_at_the_start_is_waited_for_if_it_may_be_absent() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("try-add 198.51.100.100 interface=eth1 interval=10");
    a.expect("no interface \"eth1\" (have: lo, eth0)");
    a.tell("add 198.51.100.100 interface=eth1 interval=10 absent=yes");
    a.expect("eth1 cannot be used: no interface \"eth1\"");
    a.expect("cannot take part yet: the interface is down");
    // Its place is taken, although it is nowhere.
    a.tell("try-add 198.51.100.101 interface=eth1 interval=10 absent=yes");
    a.expect("there is a virtual router 51 on eth1 already");
    // The others serve meanwhile.
    a.tell("add 192.0.2.100 interval=10 absent=yes");
    a.expect("-> Active");
    let _eth1 = net.a.attach(&net.lan, "eth1", &["198.51.100.1/24"]).unwrap();
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    assert!(net.a.wait_for_address("198.51.100.100".parse().unwrap(), true, PATIENCE).unwrap());
    a.stop();
}

#[test]
fn one_with_a_virtual_mac_gets_it_when_its_interface_comes_also_beside_another_one_of_that_number() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 198.51.100.100 interface=eth1 interval=10 mac=virtual absent=yes");
    a.expect("cannot take part yet: the interface is down");
    a.tell("add 192.0.2.100 interval=10 mac=virtual");
    a.expect("-> Active");
    let capture = net.lan.capture().unwrap();
    let _eth1 = net.a.attach(&net.lan, "eth1", &["198.51.100.1/24"]).unwrap();
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    let at = |address: &str| {
        let all = net.a.addresses().unwrap();
        let found = all.iter().find(|it| it.address.to_string() == address).map(|it| it.interface);
        found.and_then(|index| net.a.netlink().unwrap().link(index).ok())
    };
    let mac = [0, 0, 0x5e, 0, 1, 51];
    assert!(eventually(|| at("198.51.100.100").is_some_and(|link| link.mac == Some(mac))), "{:#?}", a.lines());
    assert_ne!(at("198.51.100.100").map(|link| link.index), at("192.0.2.100").map(|link| link.index));
    // It advertises from there, with that MAC address.
    let advertises = || {
        capture
            .frames()
            .iter()
            .any(|it| it.bytes.get(6..12) == Some(&mac) && it.bytes.get(26..30) == Some(&[198, 51, 100, 1]))
    };
    assert!(eventually(advertises), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn a_carrier_that_returns_is_waited_for_as_long_as_configured() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 link-delay=700");
    a.expect("-> Active");
    ip(&net.a, "link set eth0 down");
    a.expect("Active -> Initialize: the interface is down");
    let up = vrrp_net::now();
    ip(&net.a, "link set eth0 up");
    // Another flap within the delay begins it anew.
    std::thread::sleep(Duration::from_millis(300));
    ip(&net.a, "link set eth0 down");
    ip(&net.a, "link set eth0 up");
    assert!(a.says("Initialize -> Backup", 2), "{:#?}", a.lines());
    let took = vrrp_net::now().since(up);
    assert!(took >= Duration::from_millis(1000), "{took:?}");
    a.stop();
}

#[test]
fn an_interface_without_an_address_is_waited_for() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "address flush dev eth0");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("no address to advertise from: eth0 has no IPv4 address but virtual ones");
    a.expect("cannot take part yet: the interface has no address to send from");
    ip(&net.a, "address add 192.0.2.1/24 dev eth0");
    a.expect("-> Active");
    ip(&net.a, "address del 192.0.2.1/24 dev eth0");
    a.expect("Active -> Initialize: the interface has no address to send from");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    ip(&net.a, "address add 192.0.2.1/24 dev eth0");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn an_address_that_turns_out_to_be_that_of_a_peer_is_not_advertised_from() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "address flush dev eth0");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 peer=192.0.2.1 peer=192.0.2.2");
    a.expect("no address to advertise from: eth0 has no IPv4 address but virtual ones");
    ip(&net.a, "address add 192.0.2.1/24 dev eth0");
    a.expect("no address to advertise from: 192.0.2.1");
    assert!(!a.has_said("-> Active"), "{:#?}", a.lines());
    ip(&net.a, "address add 192.0.2.3/32 dev eth0");
    ip(&net.a, "address del 192.0.2.1/24 dev eth0");
    a.expect("-> Active");
    a.stop();
}

#[test]
fn a_source_that_is_not_the_first_address_is_advertised_from() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "address add 192.0.2.7/24 dev eth0");
    let capture = net.lan.capture().unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 source=192.0.2.7");
    a.expect("-> Active");
    let adverts = capture.frames().into_iter().filter(|frame| frame.bytes.get(23) == Some(&112));
    assert!(adverts.map(|frame| frame.bytes[29]).all(|octet| octet == 7));
    a.stop();
}

#[test]
fn an_interface_with_ipv6_disabled_is_waited_for_and_says_so() {
    let Some(net) = Pair::new() else { return };
    net.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1").unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add fe80::5e:100 interval=10");
    a.expect("IPv6 is disabled on eth0: set net.ipv6.conf.eth0.disable_ipv6 to 0");
    // The other family on the same interface is not concerned.
    a.tell("add 192.0.2.100 interval=10");
    a.expect("Backup -> Active");
    let capture = net.lan.capture().unwrap();
    net.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", "0").unwrap();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    let address = "fe80::5e:100".parse().unwrap();
    assert!(net.a.wait_for_address(address, true, PATIENCE).unwrap());
    let adverts = || capture.frames().iter().filter(|frame| frame.bytes.get(20) == Some(&112)).count();
    assert!(eventually(|| adverts() > 3));
    net.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1").unwrap();
    assert!(a.says("Active -> Initialize: the interface has no address to send from", 1), "{:#?}", a.lines());
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
}

#[test]
fn an_interface_without_a_link_local_address_is_waited_for_and_says_so() {
    let Some(net) = Pair::new() else { return };
    let all = net.a.addresses().unwrap();
    let link_local = all.iter().find(|known| known.address.to_string().starts_with("fe80:")).unwrap().address;
    ip(&net.a, &format!("address del {link_local}/64 dev eth0"));
    let mut a = Agent::start(&net.a);
    a.tell("add fe80::5e:100 interval=10");
    a.expect("eth0 has no link-local IPv6 address but virtual ones");
    ip(&net.a, &format!("address add {link_local}/64 dev eth0 nodad"));
    a.expect("-> Active");
    a.stop();
}

#[test]
fn a_lease_that_ended_while_the_process_was_held_up_is_not_another_programs_doing() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 lease=1");
    a.expect("-> Active");
    a.process().stop().unwrap();
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    a.process().resume().unwrap();
    a.expect("the lease of 192.0.2.100 ended while this process was held up: put back");
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert!(!a.lines().iter().any(|line| line.contains("another program")), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn addresses_on_another_interface_return_with_it() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "link add uplink type veth peer name up1");
    ip(&net.a, "link set uplink up");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 elsewhere=10.9.0.1/32@uplink lease=off");
    a.expect("-> Active");
    let other = "10.9.0.1".parse().unwrap();
    assert!(net.a.has_address(other).unwrap());
    ip(&net.a, "link del uplink");
    assert!(net.a.wait_for_address(other, false, PATIENCE).unwrap());
    ip(&net.a, "link add uplink type veth peer name up1");
    assert!(net.a.wait_for_address(other, true, PATIENCE).unwrap());
    let is_wrong = |line: &String| line.contains("another program") || line.contains("Active ->");
    assert!(!a.lines().iter().any(is_wrong), "{:#?}", a.lines());
    a.stop();
    assert!(!net.a.has_address(other).unwrap());
}
