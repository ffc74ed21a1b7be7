//! A flood of packets that are no advertisements.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::{Agent, Pair};

/// Numbers of `socket(2)`.
const AF_INET: i32 = 2;
const SOCK_RAW: i32 = 3;

#[test]
fn a_flood_of_malformed_packets_changes_no_role() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 priority=150");
    a.expect("-> Active");
    b.tell("add 192.0.2.100");
    b.expect("Initialize -> Backup");

    let socket = socket2::Socket::from(net.client.socket(AF_INET, SOCK_RAW, 112).unwrap());
    socket.set_multicast_ttl_v4(255).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::new(192, 0, 2, 9)).unwrap();
    let group = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 18), 0).into();
    // The filter lets it through: the VRID and the TTL are right. The checksum is not.
    let packet = [0x31, 51, 0xff, 1, 0, 100, 0xba, 0xad, 192, 0, 2, 100];
    // Longer than Active_Down_Interval, and with rests for the tests beside this one.
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        (0..200).for_each(|_| sent += u32::from(socket.send_to(&packet, &group).is_ok()));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sent > 1000, "{sent} packets are no flood");

    let changes = |agent: &Agent| agent.lines().iter().filter(|line| line.contains(" -> ")).count();
    assert_eq!((changes(&a), changes(&b)), (2, 1), "{:#?} {:#?}", a.lines(), b.lines());
    a.tell("status");
    a.expect("checksum");
    a.stop();
    b.expect("Backup -> Active");
    b.stop();
}
