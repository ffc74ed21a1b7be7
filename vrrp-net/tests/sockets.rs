//! The sockets for advertisements, with real packets: what is on the wire, what is heard, and what is not.

mod lab_support;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use lab_support::{again_without_root, eventually, lab, wait_until_connected};
use vrrp_net::filter::{Plausible, ReceiveFilter};
use vrrp_net::lab::{Bridge, Host, Interface, Lab};
use vrrp_net::vrrp_core::wire::{Discard, Envelope};
use vrrp_net::vrrp_core::{Family, IfIndex, Vrid};
use vrrp_net::{AdvertSocket, Capability, Error, Outgoing, ReceiveBuffer};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const SOCK_STREAM: i32 = 1;
const SOCK_RAW: i32 = 3;
const VRRP: i32 = 112;

/// What is sent here. Its checksum is wrong, which is nobody's business below the protocol.
const PAYLOAD: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0xab, 0xcd, 192, 0, 2, 100];

fn domain(family: Family) -> i32 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

fn raw_socket(host: &Host, family: Family) -> OwnedFd {
    host.socket(domain(family), SOCK_RAW, VRRP).unwrap()
}

fn open(host: &Host, interface: &Interface, family: Family) -> AdvertSocket {
    let fd = raw_socket(host, family);
    AdvertSocket::from_fd(fd, interface.name(), interface.index(), &ReceiveFilter::Everything).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two hosts on one switch, with the addresses of [`source`].
struct Pair {
    _lab: Lab,
    lan: Bridge,
    a: Host,
    a0: Interface,
    b: Host,
    b0: Interface,
}

impl Pair {
    fn new() -> Option<Self> {
        let lab = lab()?;
        let lan = lab.bridge("lan").unwrap();
        let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
        let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "fe80::a/64"]).unwrap();
        let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24", "fe80::b/64"]).unwrap();
        // An interface answers for its own addresses only.
        b.sysctl("net.ipv4.conf.all.arp_ignore", "1").unwrap();
        wait_until_connected(&a, [192, 0, 2, 2]);
        Some(Self { _lab: lab, lan, a, a0, b, b0 })
    }
}

fn a_of(family: Family) -> IpAddr {
    address(if family == Family::V4 { "192.0.2.1" } else { "fe80::a" })
}

fn b_of(family: Family) -> IpAddr {
    address(if family == Family::V4 { "192.0.2.2" } else { "fe80::b" })
}

fn send(socket: &AdvertSocket, adverts: &[Outgoing<'_>]) {
    let sent = socket.send(adverts, |place, error| panic!("advertisement {place}: {error}"));
    assert_eq!(sent, adverts.len());
}

/// Something received: the envelope and a copy of the payload.
type Received = Result<(Envelope, Vec<u8>), Discard>;

/// All that has arrived.
fn receive(socket: &AdvertSocket) -> Vec<Received> {
    let mut buffer = ReceiveBuffer::new();
    let mut received = Vec::new();
    loop {
        let datagrams = socket.receive(&mut buffer).unwrap();
        let last = datagrams.len() < ReceiveBuffer::CAPACITY;
        received.extend(datagrams.map(|it| it.map(|(envelope, payload)| (envelope, payload.to_vec()))));
        if last {
            return received;
        }
    }
}

/// The next `count` datagrams.
fn wait_for(socket: &AdvertSocket, count: usize) -> Vec<Received> {
    let mut received = Vec::new();
    assert!(
        eventually(|| {
            received.extend(receive(socket));
            received.len() >= count
        }),
        "only {received:?}"
    );
    received
}

/// Whether `listener` hears what is sent now. A unicast advertisement comes after it, which every socket hears.
fn hears(listener: &AdvertSocket, sender: &AdvertSocket, advert: Outgoing<'_>) -> bool {
    let family = sender.family();
    let end = [0x31, 255, 0, 0, 0, 0, 0, 0];
    send(sender, &[advert, Outgoing::new(advert.source, b_of(family), &end)]);
    let mut received = Vec::new();
    assert!(eventually(|| {
        received.extend(receive(listener));
        received.last().is_some_and(|it| it.as_ref().is_ok_and(|(_, payload)| payload == &end))
    }));
    assert!(received.len() <= 2);
    received.len() == 2
}

// ---------------------------------------------------------------------------------------------------------------------
// On the wire
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn tx_01_tx_02_tx_03_tx_13_an_advertisement_to_the_group_over_ipv4() {
    let Some(pair) = Pair::new() else { return };
    let capture = pair.b0.capture().unwrap();
    let socket = open(&pair.a, &pair.a0, Family::V4);
    send(&socket, &[Outgoing::new(a_of(Family::V4), Family::V4.group(), &PAYLOAD)]);
    let vrrp = || capture.frames().into_iter().find(|frame| frame.bytes[12..14] == [8, 0]);
    assert!(eventually(|| vrrp().is_some()));
    let frame = vrrp().unwrap().bytes;
    assert_eq!(frame[..6], [0x01, 0, 0x5e, 0, 0, 0x12]);
    assert_eq!(frame[6..12], pair.a0.mac());
    // Version and length, type of service, total length.
    assert_eq!(frame[14..18], [0x45, 0xc0, 0, 32]);
    // No fragment, and none wanted: flags and offset, TTL, protocol.
    assert_eq!(frame[20..24], [0, 0, 255, 112]);
    assert_eq!(frame[26..34], [192, 0, 2, 1, 224, 0, 0, 18]);
    assert_eq!(frame[34..46], PAYLOAD);
}

#[test]
fn tx_01_tx_02_tx_03_tx_13_an_advertisement_to_the_group_over_ipv6() {
    let Some(pair) = Pair::new() else { return };
    let capture = pair.b0.capture().unwrap();
    let socket = open(&pair.a, &pair.a0, Family::V6);
    send(&socket, &[Outgoing::new(a_of(Family::V6), Family::V6.group(), &PAYLOAD)]);
    let vrrp =
        || capture.frames().into_iter().find(|frame| frame.bytes[12..14] == [0x86, 0xdd] && frame.bytes[20] == 112);
    assert!(eventually(|| vrrp().is_some()));
    let frame = vrrp().unwrap().bytes;
    assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
    // Version 6, traffic class c0.
    assert_eq!((frame[14], frame[15] & 0xf0), (0x6c, 0));
    // Payload length, next header, hop limit.
    assert_eq!(frame[18..22], [0, 12, 112, 255]);
    assert_eq!(IpAddr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap()), a_of(Family::V6));
    assert_eq!(IpAddr::from(<[u8; 16]>::try_from(&frame[38..54]).unwrap()), Family::V6.group());
    assert_eq!(frame[54..66], PAYLOAD, "the kernel leaves the checksum alone");
}

#[test]
fn a_datagram_says_how_long_it_has_waited_for_its_reader() {
    const WAIT: Duration = Duration::from_millis(50);
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        let mut buffer = ReceiveBuffer::new();
        let mut waits = || listener.receive(&mut buffer).unwrap().with_wait().map(|it| it.0).collect::<Vec<_>>();
        // The kernel begins a moment after it was asked to.
        assert!(eventually(|| {
            send(&sender, &[Outgoing::new(a_of(family), b_of(family), &PAYLOAD)]);
            std::thread::sleep(WAIT);
            waits().iter().any(|waited| (WAIT / 2..Duration::from_secs(60)).contains(waited))
        }));
    }
}

#[test]
fn uc_03_uc_05_unicast_has_the_source_and_the_ttl_that_were_asked_for() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        let strict = Outgoing::new(a_of(family), b_of(family), &PAYLOAD);
        let mut routed = strict;
        routed.ttl = 17;
        send(&sender, &[routed, strict]);
        let expected = |ttl| Envelope { source: a_of(family), destination: b_of(family), ttl: Some(ttl) };
        let received = wait_for(&listener, 2);
        assert_eq!(received, [17, 255].map(|ttl| Ok((expected(ttl), PAYLOAD.to_vec()))));
    }
}

#[test]
fn a_source_that_only_the_parent_interface_has_is_sent_from_a_virtual_mac() {
    let Some(pair) = Pair::new() else { return };
    let mut netlink = pair.a.netlink().unwrap();
    for family in FAMILIES {
        let mac = Vrid::new(51).unwrap().virtual_mac(family);
        let name = format!("vrrp{}", domain(family));
        let link = netlink.create_macvlan(&name, pair.a0.index(), mac).unwrap();
        netlink.set_up(link.index, true).unwrap();
        let fd = raw_socket(&pair.a, family);
        let socket = AdvertSocket::from_fd(fd, &name, link.index, &ReceiveFilter::Everything).unwrap();
        let listener = open(&pair.b, &pair.b0, family);
        listener.join(listener.family().group()).unwrap();
        let capture = pair.b0.capture().unwrap();
        // The interface is not ready at once.
        let advert = Outgoing::new(a_of(family), family.group(), &PAYLOAD);
        assert!(eventually(|| socket.send(&[advert], |_, _| ()) == 1 && !receive(&listener).is_empty()));
        assert!(eventually(|| capture.frames().iter().any(|frame| frame.bytes[6..12] == mac)));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What is heard
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn rx_21_rx_24_what_is_received_has_its_source_destination_and_ttl() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        assert_eq!((listener.family(), listener.interface()), (family, pair.b0.index()));
        listener.join(listener.family().group()).unwrap();
        assert!(receive(&listener).is_empty(), "nothing yet, and no error");
        send(&sender, &[Outgoing::new(a_of(family), family.group(), &PAYLOAD)]);
        let envelope = Envelope { source: a_of(family), destination: family.group(), ttl: Some(255) };
        assert_eq!(wait_for(&listener, 1), [Ok((envelope, PAYLOAD.to_vec()))]);
    }
}

#[test]
fn tx_14_a_socket_does_not_hear_itself() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (socket, other) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        socket.join(socket.family().group()).unwrap();
        other.join(other.family().group()).unwrap();
        send(&socket, &[Outgoing::new(a_of(family), family.group(), &PAYLOAD)]);
        wait_for(&other, 1);
        assert_eq!(receive(&socket), []);
    }
}

#[test]
fn the_group_is_heard_from_joining_until_leaving() {
    let Some(pair) = Pair::new() else { return };
    let joined = |family| {
        let (file, group) = match family {
            // In the octets' order of this machine, little-endian.
            Family::V4 => ("/proc/net/igmp", "120000E0"),
            Family::V6 => ("/proc/net/igmp6", "ff020000000000000000000000000012"),
        };
        let output = pair.b.command("cat").arg(file).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains(group)
    };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        let advert = Outgoing::new(a_of(family), family.group(), &PAYLOAD);
        assert!(!joined(family), "a unicast socket joins nothing");
        assert!(!hears(&listener, &sender, advert));
        listener.leave(listener.family().group()).unwrap();

        // Another socket's membership is not this one's; over IPv6 this takes a filter.
        let other = open(&pair.b, &pair.b0, family);
        other.join(other.family().group()).unwrap();
        assert!(joined(family));
        let vrids = [51, 255].map(|vrid| Vrid::new(vrid).unwrap());
        listener.set_filter(&Plausible::new(vrids, [b_of(family)]).into()).unwrap();
        assert!(!hears(&listener, &sender, advert));
        listener.set_filter(&ReceiveFilter::Everything).unwrap();
        assert_eq!(hears(&listener, &sender, advert), family == Family::V6);
        drop(other);

        listener.join(listener.family().group()).unwrap();
        listener.join(listener.family().group()).unwrap();
        assert!(joined(family));
        assert!(hears(&listener, &sender, advert));
        listener.leave(listener.family().group()).unwrap();
        // A process that another test is starting has the socket that was dropped until it runs its program.
        assert!(eventually(|| !joined(family)));
        assert!(!hears(&listener, &sender, advert));
    }
}

#[test]
fn rx_07_each_socket_hears_its_own_interface_only() {
    let Some(pair) = Pair::new() else { return };
    let b1 = pair.b.attach(&pair.lan, "eth1", &["192.0.2.3/24", "fe80::b1/64"]).unwrap();
    wait_until_connected(&pair.a, [192, 0, 2, 3]);
    // Both interfaces are on one switch, so both get what is sent to the group; eth1 is cut off for a while.
    for family in FAMILIES {
        let sender = open(&pair.a, &pair.a0, family);
        let sockets = [open(&pair.b, &pair.b0, family), open(&pair.b, &b1, family)];
        sockets.iter().for_each(|socket| socket.join(socket.family().group()).unwrap());
        let advert = Outgoing::new(a_of(family), family.group(), &PAYLOAD);
        send(&sender, &[advert]);
        for socket in &sockets {
            assert_eq!(wait_for(socket, 1).len(), 1, "one copy, not that of the other interface too");
        }
        b1.cut_silently().unwrap();
        assert!(hears(&sockets[0], &sender, advert));
        assert_eq!(receive(&sockets[1]), []);
        b1.heal().unwrap();
    }
}

#[test]
fn rx_22_a_datagram_that_is_too_long_is_cut_and_said_to_be() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let listener = open(&pair.b, &pair.b0, family);
        let sender = raw_socket(&pair.a, family);
        let sender = socket2::SockRef::from(&sender);
        sender.bind_device(Some(b"eth0")).unwrap();
        // The link-local destination needs the number of the link.
        let to: socket2::SockAddr = match b_of(family) {
            IpAddr::V4(_) => SocketAddr::new(b_of(family), 0).into(),
            IpAddr::V6(ip) => std::net::SocketAddrV6::new(ip, 0, 0, pair.a0.index().get()).into(),
        };
        for (length, fits) in [(vrrp_net::MAX_ADVERT_LEN, true), (6000, false)] {
            // In fragments, which the other kernel puts together.
            sender.send_to(&vec![7; length], &to).unwrap();
            match &wait_for(&listener, 1)[..] {
                [Ok((_, payload))] if fits => assert_eq!(payload.len(), length),
                [received] => assert!(!fits && *received == Err(Discard::Truncated), "{length}: {received:?}"),
                received => panic!("{received:?}"),
            }
        }
    }
}

#[test]
fn uc_09_icmp_errors_disturb_neither_sending_nor_receiving() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        // What a hears of ICMP: b has nobody who takes protocol 112.
        let (protocol, refusal) = match family {
            // Destination unreachable, protocol unreachable; the IPv4 header comes along.
            Family::V4 => (1, [3, 2]),
            // Parameter problem, unrecognized next header.
            Family::V6 => (58, [4, 1]),
        };
        let icmp = pair.a.socket(domain(family), SOCK_RAW, protocol).unwrap();
        let icmp = socket2::SockRef::from(&icmp);
        icmp.set_nonblocking(true).unwrap();
        let socket = open(&pair.a, &pair.a0, family);
        let mut refused = 0;
        assert!(eventually(|| {
            send(&socket, &[Outgoing::new(a_of(family), b_of(family), &PAYLOAD)]);
            assert_eq!(receive(&socket), []);
            let mut buffer = [0; 1500];
            while let Ok(length) = io::Read::read(&mut &*icmp, &mut buffer) {
                let message = &buffer[if family == Family::V4 { 20 } else { 0 }..length];
                refused += usize::from(message[..2] == refusal);
            }
            refused >= 3
        }));
        send(&socket, &[Outgoing::new(a_of(family), b_of(family), &PAYLOAD)]);
        let peer = open(&pair.b, &pair.b0, family);
        send(&peer, &[Outgoing::new(b_of(family), a_of(family), &PAYLOAD)]);
        assert_eq!(wait_for(&socket, 1).len(), 1);
    }
}

#[test]
fn a_socket_outlives_its_interface_being_down() {
    let Some(pair) = Pair::new() else { return };
    let mut netlink = pair.b.netlink().unwrap();
    let (sender, listener) = (open(&pair.a, &pair.a0, Family::V4), open(&pair.b, &pair.b0, Family::V4));
    sender.join(sender.family().group()).unwrap();
    listener.join(listener.family().group()).unwrap();
    netlink.set_up(pair.b0.index(), false).unwrap();
    let advert = Outgoing::new(b_of(Family::V4), Family::V4.group(), &PAYLOAD);
    let mut refused = Vec::new();
    assert_eq!(listener.send(&[advert], |place, error| refused.push((place, error.raw_os_error()))), 0);
    // ENETUNREACH or ENETDOWN
    assert!(matches!(refused[..], [(0, Some(100 | 101))]), "{refused:?}");
    assert_eq!(receive(&listener), []);
    netlink.set_up(pair.b0.index(), true).unwrap();
    pair.b0.heal().unwrap();
    let to_b = Outgoing::new(a_of(Family::V4), Family::V4.group(), &PAYLOAD);
    assert!(eventually(|| sender.send(&[to_b], |_, _| ()) == 1 && !receive(&listener).is_empty()));
    assert!(eventually(|| listener.send(&[advert], |_, _| ()) == 1 && !receive(&sender).is_empty()));
}

// ---------------------------------------------------------------------------------------------------------------------
// Batches
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn uc_03_a_hundred_go_with_one_call_and_arrive_in_order() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        let payloads: Vec<[u8; 12]> = (0..100).map(|number| [number; 12]).collect();
        let adverts: Vec<_> =
            payloads.iter().map(|payload| Outgoing::new(a_of(family), b_of(family), payload)).collect();
        send(&sender, &adverts);
        let received: Vec<_> = wait_for(&listener, 100).into_iter().map(|it| it.unwrap().1).collect();
        assert_eq!(received, payloads);
        send(&sender, &[]);
    }
}

#[test]
fn one_that_cannot_be_sent_does_not_stop_the_others() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let (sender, listener) = (open(&pair.a, &pair.a0, family), open(&pair.b, &pair.b0, family));
        let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
        let good = Outgoing::new(a_of(family), b_of(family), &PAYLOAD);
        let too_long = [0; vrrp_net::MAX_ADVERT_LEN + 1];
        let mut adverts = vec![good; 50];
        adverts[0].destination = b_of(other);
        adverts[1].source = a_of(other);
        adverts[35].payload = &too_long;
        // The kernel refuses this one: EINVAL, EACCES or ENETUNREACH.
        adverts[40].destination = address(if family == Family::V4 { "255.255.255.255" } else { "::1" });
        let mut refused = Vec::new();
        let sent = sender.send(&adverts, |place, error| refused.push((place, error.kind(), error.raw_os_error())));
        let places: Vec<_> = refused.iter().map(|(place, ..)| *place).collect();
        assert_eq!((sent, &places[..]), (46, &[0, 1, 35, 40][..]), "{refused:?}");
        assert!(refused[..3].iter().all(|(_, kind, number)| *kind == io::ErrorKind::InvalidInput && number.is_none()));
        assert!(refused[3].2.is_some(), "the kernel's own word");
        assert_eq!(wait_for(&listener, 46).len(), 46);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Kinds of interfaces
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn unicast_works_without_multicast() {
    let Some(pair) = Pair::new() else { return };
    for (host, _) in [(&pair.a, 0), (&pair.b, 1)] {
        let turn_off = ["link", "set", "eth0", "multicast", "off"];
        assert!(host.command("ip").args(turn_off).status().unwrap().success());
    }
    // Over IPv6 neighbors cannot be found without multicast, other than by hand.
    let (sender, listener) = (open(&pair.a, &pair.a0, Family::V4), open(&pair.b, &pair.b0, Family::V4));
    send(&sender, &[Outgoing::new(a_of(Family::V4), b_of(Family::V4), &PAYLOAD)]);
    assert_eq!(wait_for(&listener, 1).len(), 1);
}

#[test]
fn a_tunnel_without_ethernet_takes_a_socket() {
    let Some(pair) = Pair::new() else { return };
    let commands: [&[&str]; 3] = [
        &["tuntap", "add", "tun0", "mode", "tun"],
        &["address", "add", "198.51.100.1", "peer", "198.51.100.2", "dev", "tun0"],
        &["link", "set", "tun0", "up", "multicast", "off"],
    ];
    for command in commands {
        let output = pair.a.command("ip").args(command).output().unwrap();
        if !output.status.success() {
            // Not every kernel has tunnels, nor may everybody make one.
            lab_support::skip_if_unprivileged(&String::from_utf8_lossy(&output.stderr));
            return;
        }
    }
    let index = pair.a.link("tun0").unwrap().index;
    let fd = raw_socket(&pair.a, Family::V4);
    let socket = AdvertSocket::from_fd(fd, "tun0", index, &ReceiveFilter::Everything).unwrap();
    send(&socket, &[Outgoing::new(address("198.51.100.1"), address("198.51.100.2"), &PAYLOAD)]);
    assert_eq!(receive(&socket), []);
}

// ---------------------------------------------------------------------------------------------------------------------
// Descriptors that are handed in
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn what_came_by_another_interface_before_the_socket_was_bound_is_gone() {
    let Some(pair) = Pair::new() else { return };
    let b1 = pair.b.attach(&pair.lan, "eth1", &["192.0.2.3/24", "fe80::b1/64"]).unwrap();
    wait_until_connected(&pair.a, [192, 0, 2, 3]);
    for family in FAMILIES {
        let sender = open(&pair.a, &pair.a0, family);
        let (fd, witness) = (raw_socket(&pair.b, family), open(&pair.b, &pair.b0, family));
        send(&sender, &[Outgoing::new(a_of(family), b_of(family), &PAYLOAD)]);
        wait_for(&witness, 1);
        let socket = AdvertSocket::from_fd(fd, "eth1", b1.index(), &ReceiveFilter::Everything).unwrap();
        assert_eq!(receive(&socket), []);
    }
}

#[test]
fn a_socket_that_is_passed_on_keeps_what_it_has_heard_and_joined() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let sender = open(&pair.a, &pair.a0, family);
        let (listener, witness) = (open(&pair.b, &pair.b0, family), open(&pair.b, &pair.b0, family));
        listener.join(listener.family().group()).unwrap();
        witness.join(witness.family().group()).unwrap();
        let advert = Outgoing::new(a_of(family), family.group(), &PAYLOAD);
        send(&sender, &[advert]);
        wait_for(&witness, 1);
        let filter = Plausible::new([Vrid::new(51).unwrap()], [family.group()]).into();
        let listener = AdvertSocket::from_fd(listener.into_fd(), "eth0", pair.b0.index(), &filter).unwrap();
        assert_eq!(receive(&listener).len(), 1);
        listener.join(listener.family().group()).unwrap();
        send(&sender, &[advert]);
        wait_for(&witness, 1);
        assert_eq!(wait_for(&listener, 1).len(), 1);
    }
}

#[test]
fn another_kind_of_descriptor_is_refused_with_what_it_is() {
    let Some(pair) = Pair::new() else { return };
    let refusal = |fd: OwnedFd| match AdvertSocket::from_fd(fd, "eth0", pair.a0.index(), &ReceiveFilter::Everything) {
        Err(error @ Error::WrongDescriptor { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let wanted = "the descriptor is not an unconnected raw socket of protocol 112, bound to no address, and to eth0 or no interface: ";
    let tcp = pair.a.socket(2, SOCK_STREAM, 0).unwrap();
    assert_eq!(refusal(tcp), format!("{wanted}an IPv4 socket of type 1 and protocol 6"));
    let icmp = pair.a.socket(10, SOCK_RAW, 58).unwrap();
    assert_eq!(refusal(icmp), format!("{wanted}an IPv6 socket of type 3 and protocol 58"));
    let packet = pair.a.socket(17, SOCK_RAW, 0).unwrap();
    assert_eq!(refusal(packet), format!("{wanted}a socket of domain 17"));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(refusal(file.into()).contains("Socket operation on non-socket"));
    for family in FAMILIES {
        let connected = raw_socket(&pair.a, family);
        let connected_ref = socket2::SockRef::from(&connected);
        connected_ref.bind_device(Some(b"eth0")).unwrap();
        connected_ref.connect(&SocketAddr::new(b_of(family), 0).into()).unwrap();
        let refusal = refusal(connected);
        let found = refusal.strip_prefix(wanted).unwrap();
        assert!(found.starts_with("a socket that is connected, or bound to "), "{found}");
        assert_eq!(found.contains("fe80::"), family == Family::V6, "{found}");
    }
    let elsewhere = raw_socket(&pair.a, Family::V4);
    socket2::SockRef::from(&elsewhere).bind_device(Some(b"lo")).unwrap();
    assert_eq!(refusal(elsewhere), "the descriptor is not a socket that is bound to eth0: one that is bound to lo");
}

#[test]
fn joining_on_an_interface_that_is_gone_names_it() {
    let Some(pair) = Pair::new() else { return };
    for family in FAMILIES {
        let interface = pair.a.attach(&pair.lan, "eth9", &[]).unwrap();
        let socket = open(&pair.a, &interface, family);
        interface.delete().unwrap();
        let error = socket.join(socket.family().group()).unwrap_err().to_string();
        let start = format!("join {} on interface {}: No such device", family.group(), interface.index());
        assert!(error.starts_with(&start), "{error}");
        socket.leave(socket.family().group()).unwrap();
        assert!(socket.as_fd().try_clone_to_owned().is_ok());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Privileges
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn without_the_capability_opening_names_it_and_the_way_to_get_it() {
    if Capability::NetRaw.is_effective() {
        // As root there is nothing to see; `everything_works_without_root` sees it.
        return;
    }
    let loopback = IfIndex::new(1).unwrap();
    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        let error = AdvertSocket::open("lo", loopback, family, &ReceiveFilter::Everything).unwrap_err();
        let expected = format!(
            "open an {name} socket for VRRP on lo: CAP_NET_RAW is missing: run as root, or: setcap \
             cap_net_raw,cap_net_admin+ep PROGRAM"
        );
        assert_eq!(error.to_string(), expected);
    }
    let error = vrrp_net::LinkSocket::open().unwrap_err().to_string();
    assert!(error.starts_with("open a packet socket: CAP_NET_RAW is missing: run as root, or: setcap"), "{error}");
}

#[test]
fn everything_works_without_root() {
    again_without_root();
}
