//! What the kernel refuses: the router steps back whole, and the other one serves.

use std::fs::File;
use std::io::Write;

use crate::common::{PATIENCE, wait_until};
use crate::network::{Network, Place, VIP, parse};

#[test]
fn a_router_that_cannot_install_one_of_its_addresses_keeps_none_and_the_other_one_takes_over() {
    // The kernel wants one scope in one prefix, and 169.254.9.9 is link-local, while 169.1.2.3 is not.
    let Some(net) = Network::with_addresses(&["192.0.2.1/24", "169.254.9.9/8"]) else { return };
    let addresses = ["192.0.2.100", "169.1.2.3/8", "192.0.2.101"];
    let a = net.a.start_with(&addresses, 150, "100ms", &[]);
    let leaves = "Active -> Initialize: the virtual addresses could not be installed";
    assert!(a.log().wait_for(PATIENCE, leaves), "{:#?}", a.log().lines());
    let none_on_a = || addresses.iter().all(|address| !net.a.has(parse(address).address()));
    assert!(none_on_a());
    let errors = a.log().matching("ERROR");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("169.1.2.3/8"), "{errors:#?}");

    let b = net.b.start_with(&addresses, 100, "100ms", &[]);
    let all_on_b = || addresses.iter().all(|address| net.b.has(parse(address).address()));
    assert!(wait_until(PATIENCE, all_on_b), "{:#?}", b.log().lines());
    assert!(net.client_follows_to(&net.b));
    assert!(none_on_a());
    assert!(net.a.has(parse("169.254.9.9").address()), "the host keeps its own");
}

#[test]
fn a_router_that_cannot_send_releases_and_comes_back_when_it_can() {
    let Some(net) = Network::new() else { return };
    // An advertisement of 12 addresses has 76 octets with its IP header.
    let addresses: Vec<String> = (100..112).map(|number| format!("192.0.2.{number}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let a = net.a.start_with(&addresses, 150, "100ms", &[]);
    let b = net.b.start_with(&addresses, 100, "100ms", &[]);
    assert!(net.only(&net.a, PATIENCE));

    set_mtu(&net.a, 68);
    assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: advertisements could not be sent"));
    let errors = a.log().matching("ERROR");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("eth0") && errors[0].contains("Message too long"), "{errors:#?}");
    assert!(net.b.gets_vip(PATIENCE), "{:#?}", b.log().lines());
    assert!(addresses.iter().all(|address| !net.a.has(parse(address).address())));
    assert!(net.client_follows_to(&net.b));

    set_mtu(&net.a, 1500);
    assert!(net.only(&net.a, PATIENCE), "{:#?}", a.log().lines());
    assert!(net.client_follows_to(&net.a));
    assert!(net.a.has(VIP.into()));
}

/// By hand, for `Netlink` does not do that: RTM_NEWLINK with IFLA_MTU (linux/rtnetlink.h).
fn set_mtu(place: &Place, mtu: u32) {
    let index = place.cable.index().get();
    let mut request = Vec::new();
    // struct nlmsghdr: length, type, NLM_F_REQUEST, sequence, port.
    request.extend([40_u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat());
    request[4..6].copy_from_slice(&16_u16.to_ne_bytes());
    request[6..8].copy_from_slice(&1_u16.to_ne_bytes());
    // struct ifinfomsg: family and type, index, flags, mask of flags.
    request.extend([[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat());
    // struct rtattr: length, IFLA_MTU.
    request.extend([8_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat());
    request.extend(mtu.to_ne_bytes());
    // AF_NETLINK, SOCK_RAW, NETLINK_ROUTE. What is written goes to the kernel, which has done it when this returns.
    let mut socket = File::from(place.host.socket(16, 3, 0).expect("a netlink socket"));
    socket.write_all(&request).expect("a request to the kernel");
    assert_eq!(place.host.link("eth0").expect("eth0").mtu, mtu);
}
