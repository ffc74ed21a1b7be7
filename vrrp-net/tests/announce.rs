//! Announcements: the frames against the vectors, and what hosts on a link make of them.

mod lab_support;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use lab_support::{again_without_root, eventually, lab, octets, wait_until_connected};
use serde_json::Value;
use vrrp_net::frame::{ArpForm, gratuitous_arp, neighbor_advert};
use vrrp_net::lab::{Capture, Host};
use vrrp_net::vrrp_core::{Family, IfIndex, Vrid};
use vrrp_net::{Announcement, Error, LinkSocket};

const FRAMES: &str = include_str!("vectors/frames.json");

const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const AN_INTERFACES_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

fn virtual_mac(family: Family) -> [u8; 6] {
    Vrid::new(51).unwrap().virtual_mac(family)
}

fn vector(id: &str) -> Vec<u8> {
    let frames: Vec<Value> = serde_json::from_str(FRAMES).unwrap();
    octets(frames.iter().find(|frame| frame["id"] == id).unwrap()["hex"].as_str().unwrap())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

// ---------------------------------------------------------------------------------------------------------------------
// The frames
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn an_03_a_gratuitous_arp_from_a_virtual_mac_is_vector_a_01() {
    assert_eq!(gratuitous_arp(ArpForm::Request, virtual_mac(Family::V4), VIP4).to_vec(), vector("A-01"));
}

#[test]
fn an_03_a_gratuitous_arp_from_an_interface_is_vector_a_02() {
    assert_eq!(gratuitous_arp(ArpForm::Request, AN_INTERFACES_MAC, VIP4).to_vec(), vector("A-02"));
}

#[test]
fn an_03_the_reply_form_names_the_same_mac_as_sender_and_target() {
    let mut expected = vector("A-02");
    // The operation, and the target hardware address.
    expected[21] = 2;
    expected[32..38].copy_from_slice(&AN_INTERFACES_MAC);
    assert_eq!(gratuitous_arp(ArpForm::Reply, AN_INTERFACES_MAC, VIP4).to_vec(), expected);
}

#[test]
fn an_04_an_unsolicited_neighbor_advert_of_a_link_local_address_is_vector_a_04() {
    let frame = neighbor_advert(virtual_mac(Family::V6), "fe80::100".parse().unwrap());
    assert_eq!(frame.to_vec(), vector("A-04"));
}

#[test]
fn an_04_an_unsolicited_neighbor_advert_of_a_global_address_is_vector_a_05() {
    let frame = neighbor_advert(virtual_mac(Family::V6), "2001:db8::100".parse().unwrap());
    assert_eq!(frame.to_vec(), vector("A-05"));
}

// ---------------------------------------------------------------------------------------------------------------------
// On a link
// ---------------------------------------------------------------------------------------------------------------------

const AF_PACKET: i32 = 17;
const SOCK_RAW: i32 = 3;

fn link_socket(host: &Host) -> LinkSocket {
    LinkSocket::from_fd(host.socket(AF_PACKET, SOCK_RAW, 0).unwrap()).unwrap()
}

/// The first of the recorded frames that is exactly this one.
fn records(capture: &Capture, frame: &[u8]) -> bool {
    eventually(|| capture.frames().iter().any(|recorded| recorded.bytes == frame))
}

#[test]
fn an_03_an_04_both_families_are_on_the_wire_as_they_are_in_the_vectors() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    let capture = b0.capture().unwrap();
    let announcements = [
        Announcement::new(a0.index(), virtual_mac(Family::V4), VIP4.into()),
        Announcement::new(a0.index(), AN_INTERFACES_MAC, VIP4.into()),
        Announcement::new(a0.index(), virtual_mac(Family::V6), address("fe80::100")),
        Announcement::new(a0.index(), virtual_mac(Family::V6), address("2001:db8::100")),
    ];
    let (sent, refused) = link_socket(&a).announce(announcements);
    assert!(sent == 4 && refused.is_none(), "{sent}, {refused:?}");
    for id in ["A-01", "A-02", "A-04", "A-05"] {
        assert!(records(&capture, &vector(id)), "{id}");
    }
}

#[test]
fn an_03_an_04_hosts_change_what_they_know_of_an_address() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    b.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    let socket = link_socket(&a);
    let mut number = 0;
    for vip in [IpAddr::V4(VIP4), address("2001:db8::100")] {
        for form in [ArpForm::Request, ArpForm::Reply] {
            number += 1;
            let (old, new) = ([2, 0, 0, 0, 0, 0x0b], [2, 0, 0, 0, 1, number]);
            let known =
                ["neigh", "replace", &vip.to_string(), "lladdr", "02:00:00:00:00:0b", "nud", "stale", "dev", "eth0"];
            assert!(b.command("ip").args(known).status().unwrap().success());
            assert_eq!(b.neighbor(vip).unwrap(), Some(old));
            let mut announcement = Announcement::new(a0.index(), new, vip);
            announcement.arp_form = form;
            // An entry that has just changed is not changed again for a second (net/ipv4/arp.c, locktime).
            b.sysctl("net.ipv4.neigh.eth0.locktime", "0").unwrap();
            assert_eq!(socket.announce([announcement]).0, 1);
            assert!(eventually(|| b.neighbor(vip).unwrap() == Some(new)), "{vip} by {form:?}");
        }
    }
}

#[test]
fn an_24_five_thousand_announcements_all_arrive_each_once() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    let capture = b0.capture().unwrap();
    let addresses: Vec<IpAddr> = (0..2500_u32)
        .map(|number| IpAddr::from((0xc612_0000 + number).to_be_bytes()))
        .chain((0..2500).map(|number| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number])))
        .collect();
    let announced = |bytes: &[u8]| -> Option<IpAddr> {
        if bytes[6..12] != a0.mac() {
            return None;
        }
        match (&bytes[12..14], bytes.get(54)) {
            ([8, 6], _) => Some(<[u8; 4]>::try_from(&bytes[28..32]).unwrap().into()),
            ([0x86, 0xdd], Some(136)) => Some(<[u8; 16]>::try_from(&bytes[62..78]).unwrap().into()),
            _ => None,
        }
    };
    let seen = || -> Vec<IpAddr> { capture.frames().iter().filter_map(|frame| announced(&frame.bytes)).collect() };
    let socket = link_socket(&a);
    let mut spent = std::time::Duration::ZERO;
    for (round, addresses) in addresses.chunks(250).enumerate() {
        // As a caller does that is told that the queue is full.
        let mut done = 0;
        assert!(eventually(|| {
            let left = addresses[done..].iter().map(|it| Announcement::new(a0.index(), a0.mac(), *it));
            let started = std::time::Instant::now();
            let (sent, refused) = socket.announce(left);
            spent += started.elapsed();
            done += sent;
            assert!(refused.is_some() || done == addresses.len());
            done == addresses.len()
        }));
        // The recorder must keep up: its buffer is small without privileges.
        assert!(eventually(|| seen().len() >= (round + 1) * 250), "{} seen after round {round}", seen().len());
    }
    eprintln!("5000 announcements in {spent:?}");
    assert_eq!(seen(), addresses, "in order, and none twice");
}

#[test]
fn what_cannot_be_sent_is_told_with_how_many_were() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let a = lab.host("a").unwrap();
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    let nowhere = IfIndex::new(99).unwrap();
    let announcements = (0..100).map(|number| {
        let interface = if number == 70 { nowhere } else { a0.index() };
        Announcement::new(interface, a0.mac(), IpAddr::from([198, 18, 0, number]))
    });
    let socket = link_socket(&a);
    let (sent, refused) = socket.announce(announcements.clone());
    assert_eq!(sent, 70);
    // ENXIO: no such device.
    assert_eq!(refused.unwrap().raw_os_error(), Some(6));
    let (sent, refused) = socket.announce(announcements.skip(71));
    assert!(sent == 29 && refused.is_none());
    assert!(matches!(socket.announce([]), (0, None)));
}

#[test]
fn only_an_ethernet_has_an_ethernet_address() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let a = lab.host("a").unwrap();
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    let socket = link_socket(&a);
    assert_eq!(socket.ethernet_address(a0.index()).unwrap(), a0.mac());
    let error = socket.ethernet_address(a.link("lo").unwrap().index).unwrap_err();
    assert!(matches!(&error, Error::NotEthernet { interface, kind: 772 } if interface == "lo"), "{error}");
    assert!(error.to_string().starts_with("lo is no Ethernet but of hardware type 772"), "{error}");
    let error = socket.ethernet_address(IfIndex::new(99).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("read the hardware address of interface 99: No such device"), "{error}");
}

#[test]
fn another_kind_of_descriptor_is_refused() {
    let fd: OwnedFd = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
    let error = LinkSocket::from_fd(fd).unwrap_err().to_string();
    assert_eq!(error, "the descriptor is not a raw packet socket: domain 2, type 2");
    let fd: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let error = LinkSocket::from_fd(fd).unwrap_err().to_string();
    assert!(error.contains("Socket operation on non-socket"), "{error}");
}

#[test]
fn everything_works_without_root() {
    again_without_root();
}
