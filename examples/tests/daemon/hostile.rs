//! What is malformed, foreign or unauthenticated changes nothing, however much of it comes.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use crate::common::{Node, PATIENCE, table};
use crate::network::{Network, VIP, transitions, undisturbed};

/// The host of the forger, who has no place in the election.
const FORGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const PASSWORD: [u8; 8] = *b"secret\0\0";

#[test]
fn unsound_and_foreign_packets_change_no_role_in_vrrpv3() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (a, b) = net.settled("100ms", &[]);
        let forger = Forger::new(&net);
        for _ in 0..3 {
            hostile_v3().iter().for_each(|packet| forger.send(packet));
            assert!(net.advertises(&net.a, 3));
        }
        nothing_happened(&net, &a, &b);
        // The same way in, and sound: it is heard, or all of this shows nothing.
        forger.send(&Packet { payload: v3(254), ..Packet::default() });
        assert!(a.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.66 won the election"), "{:#?}", a.log().lines());
    });
}

#[test]
fn unauthenticated_and_foreign_packets_change_no_role_in_vrrpv2() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (a, b) = net.settled("1s", &["--version", "2", "--auth-pass", "secret"]);
        let forger = Forger::new(&net);
        hostile_v2().iter().for_each(|packet| forger.send(packet));
        assert!(net.advertises(&net.a, 3));
        nothing_happened(&net, &a, &b);
        let sound = V2 { priority: 254, ..V2::default() };
        forger.send(&Packet { payload: sound.emit(), ..Packet::default() });
        assert!(a.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.66 won the election"), "{:#?}", a.log().lines());
    });
}

#[test]
fn packets_from_its_own_address_change_no_role() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        // The kernel drops them unless it is told not to.
        net.a.host.sysctl("net.ipv4.conf.eth0.accept_local", "1").unwrap();
        let a = net.a.start(150, "100ms", &[]);
        assert!(net.a.gets_vip(PATIENCE));
        let forger = Forger::new(&net);
        for priority in [255, 150, 0] {
            forger.send(&Packet { source: Ipv4Addr::new(192, 0, 2, 1), payload: v3(priority), ..Packet::default() });
        }
        assert!(net.advertises(&net.a, 5));
        assert!(net.a.has(VIP.into()));
        assert_eq!(transitions(&a).len(), 2, "{:#?}", a.log().lines());
        forger.send(&Packet { payload: v3(254), ..Packet::default() });
        assert!(a.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.66 won the election"), "{:#?}", a.log().lines());
    });
}

#[test]
fn a_flood_of_unsound_packets_delays_no_advertisement_and_changes_no_role() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (a, b) = net.settled("100ms", &[]);
        let forger = Forger::new(&net);
        let started = std::time::Instant::now();
        for packet in hostile_v3().iter().cycle().take(20_000) {
            forger.send(packet);
        }
        eprintln!("20,000 packets in {:?}", started.elapsed());
        assert!(net.advertises(&net.a, 5));
        // The other node would have taken over had it missed three advertisements in a row: it is the witness that none
        // was late.
        nothing_happened(&net, &a, &b);
        assert!(net.client_follows_to(&net.a));
    });
}

/// Both are what they were, and have logged nothing but that they reject somebody, once.
fn nothing_happened(net: &Network, a: &Node, b: &Node) {
    let logs = || format!("{:#?} {:#?}\n{}", a.log().lines(), b.log().lines(), table(&net.adverts_of(&net.a)));
    assert!(net.a.has(VIP.into()) && !net.b.has(VIP.into()), "{}", logs());
    assert_eq!((transitions(a).len(), transitions(b).len()), (2, 1), "{}", logs());
    for node in [a, b] {
        let rejections = node.log().matching("is rejected").len();
        assert!(rejections <= 1, "{}", logs());
        assert_eq!(node.log().lines().len(), transitions(node).len() + rejections, "{}", logs());
    }
    assert!(net.adverts_of(&net.b).is_empty(), "{}", logs());
}

/// Puts IP packets on the wire as they are.
struct Forger {
    socket: UdpSocket,
}

impl Forger {
    fn new(net: &Network) -> Self {
        // AF_INET, SOCK_RAW, IPPROTO_RAW: the caller makes the IP header.
        let socket = net.client.host.socket(2, 3, 255).expect("a raw socket");
        Self { socket: UdpSocket::from(socket) }
    }

    fn send(&self, packet: &Packet) {
        let to = SocketAddrV4::new(packet.destination, 0);
        self.socket.send_to(&packet.datagram(), to).expect("send a packet");
    }
}

struct Packet {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    payload: Vec<u8>,
}

impl Default for Packet {
    fn default() -> Self {
        Self { source: FORGER, destination: GROUP, ttl: 255, payload: Vec::new() }
    }
}

impl Packet {
    /// The kernel fills in the length, the identification and the checksum.
    fn datagram(&self) -> Vec<u8> {
        let mut bytes = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, self.ttl, 112, 0, 0];
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.payload);
        bytes
    }
}

/// VRRPv3 for virtual router 51, 100 ms, sound.
fn v3(priority: u8) -> Vec<u8> {
    v3_with(0x31, 51, priority, 1, 10, &[VIP])
}

fn v3_with(version: u8, vrid: u8, priority: u8, count: u8, interval: u8, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut bytes = vec![version, vrid, priority, count, 0, interval, 0, 0];
    bytes.extend(addresses.iter().flat_map(|address| address.octets()));
    summed(bytes)
}

/// VRRPv2 for virtual router 51, 1 s; by default sound.
#[derive(Clone, Copy)]
struct V2 {
    priority: u8,
    interval: u8,
    auth_type: u8,
    password: [u8; 8],
    address: Ipv4Addr,
}

impl Default for V2 {
    fn default() -> Self {
        Self { priority: 254, interval: 1, auth_type: 1, password: PASSWORD, address: VIP }
    }
}

impl V2 {
    fn emit(&self) -> Vec<u8> {
        let mut bytes = vec![0x21, 51, self.priority, 1, self.auth_type, self.interval, 0, 0];
        bytes.extend(self.address.octets());
        bytes.extend(self.password);
        summed(bytes)
    }
}

/// With the checksum at octets 6 and 7, over the message alone.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    bytes[6..8].copy_from_slice(&(!folded).to_be_bytes()[2..]);
    bytes
}

/// Each as a claim that would win and as a resignation, which would make the Backup take over.
fn hostile_v3() -> Vec<Packet> {
    let from_forger = |payload| Packet { payload, ..Packet::default() };
    let mut packets = Vec::new();
    for priority in [255, 254, 0] {
        let good = v3(priority);
        let mut bad_checksum = good.clone();
        bad_checksum[7] ^= 1;
        packets.extend([
            Packet { ttl: 254, ..from_forger(good.clone()) },
            Packet { ttl: 1, ..from_forger(good.clone()) },
            // Not to the group, although to a host that runs it.
            Packet { destination: Ipv4Addr::new(192, 0, 2, 1), ..from_forger(good.clone()) },
            Packet { destination: Ipv4Addr::new(192, 0, 2, 2), ..from_forger(good.clone()) },
            from_forger(bad_checksum),
            from_forger(v3_with(0x41, 51, priority, 1, 10, &[VIP])),
            from_forger(v3_with(0x32, 51, priority, 1, 10, &[VIP])),
            from_forger(V2 { priority, auth_type: 0, password: [0; 8], ..V2::default() }.emit()),
            // An interval of 0 makes a Backup take over at once that learns it.
            from_forger(v3_with(0x31, 51, priority, 1, 0, &[VIP])),
            from_forger(v3_with(0x31, 51, priority, 0, 10, &[])),
            // Virtual routers that are not here.
            from_forger(v3_with(0x31, 52, priority, 1, 10, &[VIP])),
            from_forger(v3_with(0x31, 0, priority, 1, 10, &[VIP])),
            // Lengths that do not fit the count.
            from_forger(v3_with(0x31, 51, priority, 2, 10, &[VIP])),
            from_forger(v3_with(0x31, 51, priority, 1, 10, &[VIP, VIP])),
            from_forger(v3_with(0x31, 51, priority, 255, 10, &[VIP])),
        ]);
        packets.extend((0..good.len()).map(|length| from_forger(good[..length].to_vec())));
    }
    packets
}

fn hostile_v2() -> Vec<Packet> {
    let from_forger = |payload| Packet { payload, ..Packet::default() };
    let mut packets = Vec::new();
    for priority in [255, 254, 0] {
        let good = V2 { priority, ..V2::default() };
        let mut bad_checksum = good.emit();
        bad_checksum[7] ^= 1;
        packets.extend([
            from_forger(V2 { password: *b"Secret\0\0", ..good }.emit()),
            from_forger(V2 { password: *b"secret\0x", ..good }.emit()),
            from_forger(V2 { auth_type: 0, ..good }.emit()),
            from_forger(V2 { auth_type: 0, password: [0; 8], ..good }.emit()),
            from_forger(V2 { auth_type: 2, ..good }.emit()),
            from_forger(V2 { auth_type: 9, ..good }.emit()),
            from_forger(V2 { interval: 2, ..good }.emit()),
            from_forger(V2 { interval: 0, ..good }.emit()),
            from_forger(bad_checksum),
            from_forger(v3_with(0x31, 51, priority, 1, 100, &[VIP])),
            Packet { ttl: 254, ..from_forger(good.emit()) },
        ]);
        // An owner may have another list (RFC 3768 §7.1).
        if priority != 255 {
            packets.push(from_forger(V2 { address: Ipv4Addr::new(192, 0, 2, 101), ..good }.emit()));
        }
        packets.extend((0..good.emit().len()).map(|length| from_forger(good.emit()[..length].to_vec())));
    }
    packets
}
