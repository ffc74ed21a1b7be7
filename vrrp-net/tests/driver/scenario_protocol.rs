//! Failure scenarios: what other routers, or those that pretend to be some, send. The numbers are those of `SCENARIOS.md`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Agent, Pair, VIP, elected, eventually, only_on};

/// Sends from the client what claims VRID 51 with one address, `copies` times 20 ms apart; the checksum is right.
fn spoof(net: &Pair, to: Ipv4Addr, ttl: u32, priority: u8, interval: u16, copies: usize) {
    let [high, low] = interval.to_be_bytes();
    let mut packet = [0x31, 51, priority, 1, high, low, 0, 0, 192, 0, 2, 100];
    let pseudo = [192, 0, 2, 9].into_iter().chain(to.octets()).chain([0, 112, 0, 12]);
    let octets: Vec<u8> = pseudo.chain(packet).collect();
    let sum: u32 = octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[6..8].copy_from_slice(&(!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()).to_be_bytes());
    let socket = socket2::Socket::from(net.client.socket(2, 3, 112).unwrap());
    socket.set_multicast_ttl_v4(ttl).unwrap();
    socket.set_ttl_v4(ttl).unwrap();
    socket.set_multicast_if_v4(&[192, 0, 2, 9].into()).unwrap();
    for _ in 0..copies {
        assert_eq!(socket.send_to(&packet, &SocketAddr::from((to, 0)).into()).unwrap(), 12);
        std::thread::sleep(Duration::from_millis(20));
    }
}

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

#[test]
fn scenario_63_an_interval_of_0_from_a_higher_priority_changes_nothing_but_raises_an_alarm() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    spoof(&net, GROUP, 255, 250, 0, 20);
    a.expect("192.0.2.9 is rejected");
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    // The same with an interval is an Active: so it was the interval.
    spoof(&net, GROUP, 255, 250, 10, 1);
    a.expect("Active -> Backup: 192.0.2.9 won the election");
    a.stop();
    b.stop();
}

#[test]
fn scenario_68_lists_that_differ_by_one_address_still_are_one_virtual_router() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 192.0.2.101 interval=10 priority=150");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10");
    b.expect("Initialize -> Backup");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!b.has_said("-> Active"), "{:#?}", b.lines());
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.expect("Backup -> Active: the Active resigned");
    b.stop();
}

#[test]
fn scenario_67_two_pairs_with_one_vrid_are_told_of_each_other() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.200 interval=10");
    b.expect("192.0.2.1 uses this virtual router id for other addresses");
    a.stop();
    b.stop();
}

#[test]
fn scenario_69_unicast_hears_its_peers_only_and_only_from_the_link() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150 peer=192.0.2.2");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 peer=192.0.2.1");
    b.expect("Initialize -> Backup");
    for host in [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)] {
        for (ttl, priority) in [(10, 255), (10, 0), (255, 255), (255, 0)] {
            spoof(&net, host, ttl, priority, 10, 5);
        }
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    b.stop();
}

#[test]
fn scenario_72_a_priority_that_changes_while_active_keeps_role_and_address() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10");
    let capture = net.lan.capture().unwrap();
    a.tell("priority 120");
    let with = |priority: u8| {
        let frames = capture.frames();
        let mut adverts = frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112));
        adverts.any(|frame| frame.bytes[36] == priority)
    };
    assert!(eventually(|| with(120)));
    assert!(!with(0) && !a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?}", a.lines());
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    b.stop();
}
