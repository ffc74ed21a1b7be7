//! Failure scenarios: what happens on the network. The numbers are those of `SCENARIOS.md`.

use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, client_reaches, elected, eventually, ip, only_on};

#[test]
fn scenario_09_an_active_whose_carrier_returns_announces_its_addresses() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    net.a0.cut().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    let capture = net.lan.capture().unwrap();
    net.a0.heal().unwrap();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    let announced = || {
        let arps = capture.frames().into_iter().filter(|frame| frame.bytes.get(12..14) == Some(&[8, 6]));
        arps.filter(|frame| frame.bytes[28..32] == [192, 0, 2, 100]).count()
    };
    assert!(eventually(|| announced() > 0));
    a.stop();
}

#[test]
fn scenario_18_after_a_partition_the_clients_are_back_at_the_one_that_won() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    assert!(client_reaches(&net, net.a0.mac()));
    net.a0.cut_silently().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    assert!(client_reaches(&net, net.b0.mac()));
    net.a0.heal().unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    // Whichever of the two was heard first: the cache of the client is right again.
    assert!(client_reaches(&net, net.a0.mac()));
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_21_an_active_that_is_not_heard_says_that_its_rival_persists() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    net.a0.mute().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    a.expect("both are Active, and it does not hear us");
    net.a0.heal().unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(client_reaches(&net, net.a0.mac()));
    a.stop();
    b.stop();
}

#[test]
fn scenario_22_an_active_that_hears_nobody_goes_on() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    net.a0.deafen().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    net.a0.heal().unwrap();
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    b.stop();
}

#[test]
fn scenario_30_carrier_loss_is_seen_at_once_and_on_return_the_addresses_are_announced() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    net.a0.cut().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    b.expect("Backup -> Active: no Active was heard");
    assert!(client_reaches(&net, net.b0.mac()));
    net.a0.heal().unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(client_reaches(&net, net.a0.mac()));
    a.stop();
    b.stop();
}

#[test]
fn scenario_31_one_that_is_promoted_into_a_blocked_port_is_reached_once_the_port_forwards() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    assert!(client_reaches(&net, net.a0.mac()));
    // The port has a carrier again, but does not forward yet.
    net.a0.cut_silently().unwrap();
    ip(&net.a, "link set eth0 down");
    a.expect("Active -> Initialize: the interface is down");
    b.expect("Backup -> Active: no Active was heard");
    assert!(client_reaches(&net, net.b0.mac()));
    ip(&net.a, "link set eth0 up");
    assert!(a.says("Backup -> Active: no Active was heard", 2), "{:#?}", a.lines());
    std::thread::sleep(Duration::from_millis(500));
    net.a0.heal().unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(client_reaches(&net, net.a0.mac()));
    a.stop();
    b.stop();
}

#[test]
fn scenario_32_a_link_that_flaps_is_used_again_only_after_it_has_held() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    for _ in 0..10 {
        net.a0.cut().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        net.a0.heal().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    b.expect("Backup -> Active");
    std::thread::sleep(Duration::from_millis(700));
    // Without a hold-down it would be back after its Active_Down_Interval of 341 ms.
    let starts = a.lines().iter().filter(|line| line.contains("Initialize -> Backup")).count();
    assert!(starts <= 4, "{:#?}", a.lines());
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}

#[test]
fn scenario_36_a_peer_without_a_daemon_that_answers_with_icmp_changes_nothing() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 peer=192.0.2.2");
    a.expect("-> Active");
    let capture = net.lan.capture().unwrap();
    let adverts = || capture.frames().iter().filter(|frame| frame.bytes.get(23) == Some(&112)).count();
    assert!(eventually(|| adverts() >= 10));
    assert!(!a.has_said("Active ->") && !a.has_said("send an advertisement"), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn scenario_55_a_flood_of_garbage_changes_no_role() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10");
    let socket = socket2::Socket::from(net.client.socket(2, 3, 112).unwrap());
    socket.set_multicast_ttl_v4(255).unwrap();
    socket.set_multicast_if_v4(&[192, 0, 2, 9].into()).unwrap();
    let group = std::net::SocketAddr::from(([224, 0, 0, 18], 0)).into();
    // The highest priority, an interval of 0, too short, empty; the checksums are wrong.
    let packets: [&[u8]; 4] = [
        &[0x31, 51, 0xff, 1, 0, 10, 0xba, 0xad, 192, 0, 2, 100],
        &[0x31, 51, 0xff, 1, 0, 0, 0xba, 0xad, 192, 0, 2, 100],
        &[0x31, 51, 0, 9, 0],
        &[],
    ];
    let until = std::time::Instant::now() + Duration::from_secs(2);
    let mut sent = 0_u64;
    while std::time::Instant::now() < until {
        for packet in packets {
            // A queue that is full is part of it.
            sent += u64::from(socket.send_to(packet, &group).is_ok());
        }
    }
    assert!(sent > 1000, "{sent}");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    a.stop();
    b.stop();
}

/// What hosts say that they listen to, as it passes a host that listens to everything.
struct Reports {
    socket: socket2::Socket,
    frames: Vec<Vec<u8>>,
}

impl Reports {
    fn record(host: &vrrp_net::lab::Host) -> Self {
        // AF_PACKET, SOCK_RAW, every protocol.
        let socket = socket2::Socket::from(host.socket(17, 3, i32::from(3_u16.to_be())).unwrap());
        socket.set_nonblocking(true).unwrap();
        Self { socket, frames: Vec::new() }
    }

    /// The records about the groups of VRRP from this MAC address so far, by their types: of IGMPv3 (RFC 3376 §4.2.12) and
    /// of MLDv2 (RFC 3810 §5.2.12).
    fn of(&mut self, mac: [u8; 6]) -> [Vec<u8>; 2] {
        let mut octets = [0; 2048];
        while let Ok(length) = std::io::Read::read(&mut &self.socket, &mut octets) {
            self.frames.push(octets[..length].to_vec());
        }
        let sent = || self.frames.iter().filter(|it| it.len() >= 54 && it[6..12] == mac);
        let igmp = sent().filter(|it| it[12..14] == [8, 0] && it[23] == 2).filter_map(|it| {
            // Its header has options.
            let report = &it[14 + usize::from(it[14] & 0xf) * 4..];
            (report.len() >= 16 && report[0] == 0x22 && report[12..16] == [224, 0, 0, 18]).then(|| report[8])
        });
        // A hop-by-hop header of eight octets comes first.
        let mld = sent().filter(|it| it.len() >= 90 && it[12..14] == [0x86, 0xdd] && it[20] == 0 && it[62] == 143);
        let group: std::net::Ipv6Addr = "ff02::12".parse().unwrap();
        let mld = mld.filter(|it| it[74..90] == group.octets()).map(|it| it[70]);
        [igmp.collect(), mld.collect()]
    }
}

#[test]
fn scenario_29_switches_are_told_again_and_again_what_is_listened_to() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = elected(&net, "interval=10");
    // One after the other: two that start together may both become Active for a moment.
    a.tell("add fe80::5e:100 interval=10");
    assert!(a.says("-> Active", 2));
    b.tell("add fe80::5e:100 interval=10");
    assert!(b.says("-> Backup", 2));
    // What was joined at first has been told of by then: twice, a second apart.
    std::thread::sleep(Duration::from_secs(3));
    let mut reports = Reports::record(&net.client);
    b.tell("rejoin-every 100");
    let mac = net.b0.mac();
    let patience = std::time::Instant::now() + PATIENCE;
    while reports.of(mac).iter().any(|records| records.len() < 5) {
        assert!(std::time::Instant::now() < patience, "{:?}", reports.of(mac));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    // CHANGE_TO_EXCLUDE_MODE of no source: joined; never left.
    assert!(reports.of(mac).iter().flatten().all(|kind| *kind == 4), "{:?}", reports.of(mac));
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_59_two_with_the_same_address_to_send_from_hear_of_each_other_all_the_same() {
    let Some(net) = Pair::new() else { return };
    ip(&net.b, "address flush dev eth0 scope global");
    ip(&net.b, "address add 192.0.2.1/24 dev eth0");
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    // What is said at first may be meant for the time before.
    std::thread::sleep(Duration::from_millis(1100));
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10");
    b.expect("-> Active");
    // The kernel gives neither of them the advertisements of the other, but what is said of addresses.
    a.expect("192.0.2.100 is claimed by another host");
    b.expect("192.0.2.100 is claimed by another host");
    a.stop();
    b.stop();
}
