//! The kernel's receive filter: the programs run in a small interpreter, and in the kernel.

mod lab_support;

use std::net::IpAddr;

use lab_support::{PATIENCE, again_without_root, eventually, inject, lab, octets, wait_until_connected};
use serde_json::Value;
use vrrp_net::filter::{Instruction, Plausible, ReceiveFilter};
use vrrp_net::vrrp_core::wire::{Discard, Envelope, Packet};
use vrrp_net::vrrp_core::{Family, Vrid};
use vrrp_net::{AdvertSocket, ReceiveBuffer};

const VECTORS: &str = include_str!("../../vrrp-core/tests/vectors/rfc_vectors.json");

/// Who sends the vectors to whom.
const OURS: [&str; 2] = ["192.0.2.1", "fe80::ff:fe00:a"];

// ---------------------------------------------------------------------------------------------------------------------
// An interpreter of classic BPF, as `linux/filter.h` and bpf(4) describe it
// ---------------------------------------------------------------------------------------------------------------------

/// What a program sees of a packet: offsets count from `data`, or from `network` if they are negative.
struct Packets<'a> {
    network: &'a [u8],
    data: usize,
}

impl<'a> Packets<'a> {
    /// As the raw socket of the datagram's family sees it.
    fn new(datagram: &'a [u8]) -> Self {
        Self { network: datagram, data: if datagram[0] >> 4 == 4 { 0 } else { 40 } }
    }

    fn load(&self, offset: u32, length: usize) -> Option<u32> {
        let start = match offset.checked_sub(0xfff0_0000) {
            Some(from_network) => from_network as usize,
            None => self.data + offset as usize,
        };
        let octets = self.network.get(start..start.checked_add(length)?)?;
        Some(octets.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)))
    }
}

/// Octets of the packet that pass, and how many instructions that took.
fn run(program: &[Instruction], packet: &Packets<'_>) -> (u32, usize) {
    let (mut a, mut x, mut memory, mut at, mut steps) = (0_u32, 0_u32, [0_u32; 16], 0, 0);
    loop {
        steps += 1;
        let Instruction { code, jump_true, jump_false, value: k } = program[at];
        at += 1;
        let length = match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 0,
        };
        let operand = if code & 0x08 == 0 { k } else { x };
        let loaded = match (code & 0x07, code & 0xe0) {
            // Load: immediate, absolute, indirect, memory, length.
            (0x00 | 0x01, 0x00) => Some(k),
            (0x00, 0x20) => packet.load(k, length),
            (0x00, 0x40) => x.checked_add(k).and_then(|offset| packet.load(offset, length)),
            (0x00 | 0x01, 0x60) => Some(memory[k as usize]),
            (0x00 | 0x01, 0x80) => Some(u32::try_from(packet.network.len() - packet.data).unwrap()),
            (0x01, 0xa0) => packet.load(k, 1).map(|octet| 4 * (octet & 0x0f)),
            (0x00 | 0x01, _) => panic!("unknown load {code:#x}"),
            _ => Some(0),
        };
        let Some(loaded) = loaded else { return (0, steps) };
        match (code & 0x07, code & 0xf0) {
            (0x00, _) => a = loaded,
            (0x01, _) => x = loaded,
            (0x02, _) => memory[k as usize] = a,
            (0x03, _) => memory[k as usize] = x,
            (0x04, 0x10) => a = a.wrapping_sub(operand),
            (0x04, 0x50) => a &= operand,
            (0x04, 0x60) => a <<= operand,
            (0x04, 0x70) => a >>= operand,
            (0x05, 0x00) => at += k as usize,
            (0x05, comparison) => {
                let holds = match comparison {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => panic!("unknown jump {code:#x}"),
                };
                at += usize::from(if holds { jump_true } else { jump_false });
            }
            (0x06, _) => return (k, steps),
            (0x07, 0x00) => x = a,
            (0x07, 0x80) => a = x,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

/// Whether the whole datagram passes. It passes whole or not at all.
fn passes(program: &[Instruction], datagram: &[u8]) -> bool {
    let (kept, _) = run(program, &Packets::new(datagram));
    assert!(kept == 0 || kept == u32::MAX);
    kept != 0
}

/// What the kernel asks of a program before it takes it (`bpf_check_classic`).
fn check(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()));
    assert_eq!(program.last().unwrap().code & 0x07, 0x06, "the last instruction returns");
    for (at, it) in program.iter().enumerate() {
        if it.code & 0x07 == 0x05 {
            let furthest = match it.code {
                0x05 => it.value as usize,
                _ => usize::from(it.jump_true.max(it.jump_false)),
            };
            assert!(at + 1 + furthest < program.len(), "instruction {at} jumps out of the program");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The same rule, said without a program
// ---------------------------------------------------------------------------------------------------------------------

/// What a filter should let through.
struct Rule {
    vrids: Vec<u8>,
    destinations: Vec<IpAddr>,
    least_ttl: u8,
}

impl Rule {
    fn new(vrids: &[u8]) -> Self {
        let groups = [Family::V4.group(), Family::V6.group()];
        let ours = OURS.map(|address| address.parse().unwrap());
        Self { vrids: vrids.to_vec(), destinations: [groups, ours].concat(), least_ttl: 255 }
    }

    fn filter(&self) -> ReceiveFilter {
        let vrids = self.vrids.iter().map(|vrid| Vrid::new(*vrid).unwrap());
        Plausible::new(vrids, self.destinations.clone()).with_least_ttl(self.least_ttl).into()
    }

    fn program(&self, family: Family) -> Vec<Instruction> {
        let program = self.filter().program(family);
        check(&program);
        program
    }

    fn lets_through(&self, datagram: &[u8]) -> bool {
        let (ttl, destination, payload): (_, IpAddr, _) = if datagram[0] >> 4 == 4 {
            if datagram[9] != 112 {
                return false;
            }
            let header_len = usize::from(datagram[0] & 0x0f) * 4;
            let destination = <[u8; 4]>::try_from(&datagram[16..20]).unwrap().into();
            (datagram[8], destination, datagram.get(header_len..).unwrap_or_default())
        } else {
            let destination = <[u8; 16]>::try_from(&datagram[24..40]).unwrap().into();
            (datagram[7], destination, &datagram[40..])
        };
        let versions: &[u8] = if destination.is_ipv4() { &[0x21, 0x31] } else { &[0x31] };
        ttl >= self.least_ttl
            && self.destinations.contains(&destination)
            && payload.len() >= 8
            && versions.contains(&payload[0])
            && self.vrids.contains(&payload[1])
    }
}

fn family_of(datagram: &[u8]) -> Family {
    if datagram[0] >> 4 == 4 { Family::V4 } else { Family::V6 }
}

/// Every vector: its id and the datagram.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors.iter().map(|it| (it["id"].as_str().unwrap().to_owned(), octets(it["ip"].as_str().unwrap())));
    let vectors: Vec<_> = vectors.collect();
    assert!(vectors.len() > 90);
    vectors
}

/// A valid advertisement of this VRID over IPv4.
fn advert(vrid: u8) -> Vec<u8> {
    let mut datagram = octets("45c0002000010000ff701898c0000202e0000012313364010064a802c0000264");
    datagram[21] = vrid;
    datagram
}

#[test]
fn every_vector_passes_or_not_as_the_rule_says() {
    let (rule, all) = (Rule::new(&[51]), Rule::new(&(1..=255).collect::<Vec<_>>()));
    let mut passed = 0;
    for (id, datagram) in vectors() {
        for rule in [&rule, &all] {
            let passes = passes(&rule.program(family_of(&datagram)), &datagram);
            assert_eq!(passes, rule.lets_through(&datagram), "{id}");
            passed += usize::from(passes);
        }
    }
    assert!(passed > 100, "{passed}");
}

#[test]
fn what_may_be_a_misconfigured_peer_passes_so_that_it_raises_its_alarm() {
    let rule = Rule::new(&[51]);
    let mut kinds = std::collections::BTreeSet::new();
    for (id, datagram) in vectors() {
        let (envelope, payload) = match family_of(&datagram) {
            Family::V4 => match Envelope::split_ipv4(&datagram) {
                Ok(split) => split,
                Err(_) => continue,
            },
            Family::V6 => {
                let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&datagram[at..at + 16]).unwrap());
                let envelope = Envelope { source: ip(8), destination: ip(24), ttl: Some(datagram[7]) };
                (envelope, &datagram[40..])
            }
        };
        let ours = rule.destinations.contains(&envelope.destination) && payload.get(1) == Some(&51);
        let dropped = !passes(&rule.program(family_of(&datagram)), &datagram);
        match Packet::parse(&envelope, payload) {
            // These the kernel drops, and nothing else that is for us.
            Err(Discard::Ttl(_) | Discard::Version(_) | Discard::Type(_) | Discard::TooShort) => {
                assert!(dropped, "{id}");
            }
            Err(discard) if ours => {
                assert!(!dropped, "{id}: {discard}");
                kinds.insert(discard.reason().index());
            }
            Ok(_) if ours => assert!(!dropped, "{id}"),
            Ok(_) | Err(_) => {}
        }
    }
    assert!(kinds.len() >= 3, "checksum, length and source at least: {kinds:?}");
}

#[test]
fn any_set_of_vrids_passes_and_no_other() {
    let sets: Vec<Vec<u8>> = (1..=255)
        .map(|vrid| vec![vrid])
        .chain([vec![], (1..=255).collect(), (1..=255).step_by(2).collect(), (100..=200).collect(), vec![31, 32, 255]])
        .collect();
    for set in sets {
        let rule = Rule::new(&set);
        let program = rule.program(Family::V4);
        for vrid in 0..=255 {
            assert_eq!(passes(&program, &advert(vrid)), set.contains(&vrid), "{vrid} of {set:?}");
        }
    }
}

#[test]
fn the_header_length_is_heeded_and_cannot_lead_out_of_the_datagram() {
    let program = Rule::new(&[51]).program(Family::V4);
    for header_len in 0..16 {
        let mut datagram = advert(51);
        datagram[0] = 0x40 | header_len;
        // Where it points to, there is an advertisement, or the end.
        let start = usize::from(header_len) * 4;
        datagram.truncate(20);
        datagram.resize(start.max(20), 0);
        if header_len >= 5 {
            assert!(!passes(&program, &datagram), "nothing behind the header");
            datagram.extend([0x31, 51, 100, 0, 0, 100, 0]);
            assert!(!passes(&program, &datagram), "7 octets behind the header");
            datagram.push(0);
            assert!(passes(&program, &datagram), "8 octets behind the header");
        }
        datagram.truncate(20);
        assert!(!passes(&program, &datagram), "IHL {header_len} on 20 octets");
    }
}

#[test]
fn a_routed_peer_passes_if_a_lower_ttl_is_allowed() {
    let mut rule = Rule::new(&[51]);
    rule.least_ttl = 250;
    for (ttl, expected) in [(249, false), (250, true), (255, true)] {
        let mut datagram = advert(51);
        datagram[8] = ttl;
        assert_eq!(passes(&rule.program(Family::V4), &datagram), expected, "{ttl}");
    }
}

#[test]
fn each_of_the_destinations_passes_and_no_other() {
    for count in [0, 1, 2, 15, 16] {
        let mut rule = Rule::new(&[51]);
        let four = (0..count).map(|number| IpAddr::from([192, 0, 2, number]));
        let six = (0..count).map(|number| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0xff, number.into()]));
        rule.destinations = four.chain(six).collect();
        let (four, six) = (rule.program(Family::V4), rule.program(Family::V6));
        for number in 0..20 {
            let mut datagram = advert(51);
            datagram[16..20].copy_from_slice(&[192, 0, 2, number]);
            assert_eq!(passes(&four, &datagram), number < count, "{number} of {count} over IPv4");
            let mut datagram = [vec![0; 40], datagram.split_off(20)].concat();
            (datagram[0], datagram[7]) = (0x60, 255);
            datagram[24..40].copy_from_slice(&octets("fe800000000000000000000000ff0000"));
            datagram[39] = number;
            assert_eq!(passes(&six, &datagram), number < count, "{number} of {count} over IPv6");
            datagram[30] = 1;
            assert!(!passes(&six, &datagram), "a difference in the middle");
        }
    }
}

#[test]
fn with_very_many_destinations_the_protocol_alone_looks_at_them() {
    let mut rule = Rule::new(&[51]);
    rule.destinations = (0..100).map(|number| IpAddr::from([198, 51, 100, number])).collect();
    assert!(passes(&rule.program(Family::V4), &advert(51)));
}

#[test]
fn the_longest_program_is_short_and_quick() {
    let mut rule = Rule::new(&(1..=255).collect::<Vec<_>>());
    rule.destinations = (0..16).map(|number| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, number])).collect();
    rule.destinations.extend((0..16).map(|number| IpAddr::from([224, 0, 0, number + 3])));
    let (four, six) = (rule.program(Family::V4), rule.program(Family::V6));
    assert!(four.len() <= 256 && six.len() <= 256, "{} {}", four.len(), six.len());
    let (kept, steps) = run(&four, &Packets::new(&advert(255)));
    assert!(kept > 0 && steps < 100, "{steps}");
}

#[test]
fn any_octets_get_the_verdict_of_the_rule() {
    let rule = Rule::new(&[1, 51, 255]);
    let programs = [rule.program(Family::V4), rule.program(Family::V6)];
    let bases: Vec<_> = vectors().into_iter().map(|(_, datagram)| datagram).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let interesting = [0, 1, 0x21, 0x31, 0x45, 0x46, 0x4f, 51, 112, 254, 255];
    let mut passed = 0;
    for _ in 0..100_000 {
        let mut datagram = bases[next(bases.len())].clone();
        let least = if family_of(&datagram) == Family::V4 { 20 } else { 40 };
        for _ in 0..next(3) {
            // Not the version of IP: the socket has one family.
            let at = 1 + next(datagram.len().min(64) - 1);
            datagram[at] = interesting[next(interesting.len())];
        }
        if next(4) == 0 {
            datagram.truncate(least + next(datagram.len() - least + 1));
        }
        if family_of(&datagram) == Family::V4 && next(4) == 0 {
            datagram[0] = 0x40 | u8::try_from(next(16)).unwrap();
        }
        // A raw socket never sees less than the header that it says it has.
        if family_of(&datagram) == Family::V4 && datagram[0] & 0x0f < 5 {
            continue;
        }
        let program = &programs[usize::from(family_of(&datagram) == Family::V6)];
        let verdict = passes(program, &datagram);
        assert_eq!(verdict, rule.lets_through(&datagram), "{datagram:02x?}");
        passed += usize::from(verdict);
    }
    assert!(passed > 10_000, "{passed}");
}

// ---------------------------------------------------------------------------------------------------------------------
// In the kernel
// ---------------------------------------------------------------------------------------------------------------------

const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_RAW: i32 = 3;

/// What has arrived, until something of this VRID has.
fn received_until(socket: &AdvertSocket, buffer: &mut ReceiveBuffer, last: u8) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let done = eventually(|| {
        for datagram in socket.receive(buffer).unwrap() {
            // What the protocol cannot take apart has passed all the same.
            payloads.push(datagram.map_or(Vec::new(), |(_, payload)| payload.to_vec()));
        }
        payloads.last().is_some_and(|payload| payload.get(1) == Some(&last))
    });
    assert!(done, "not within {PATIENCE:?}");
    payloads.pop();
    payloads
}

#[test]
fn the_kernel_gives_every_vector_the_same_verdict() {
    const MARK: u8 = 200;
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "fe80::ff:fe00:a/64"]).unwrap();
    b.attach(&lan, "eth0", &["192.0.2.2/24", "fe80::ff:fe00:b/64"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    // Not every vector comes from where the route back leads to.
    for setting in ["net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter"] {
        a.sysctl(setting, "0").unwrap();
    }
    let rule = Rule::new(&[51, MARK]);
    let mut buffer = ReceiveBuffer::new();

    for (family, domain) in [(Family::V4, AF_INET), (Family::V6, AF_INET6)] {
        let open = |filter| {
            let fd = a.socket(domain, SOCK_RAW, 112).unwrap();
            let socket = AdvertSocket::from_fd(fd, "eth0", a0.index(), filter).unwrap();
            socket.join(socket.family().group()).unwrap();
            socket
        };
        let (everything, plausible) = (open(&ReceiveFilter::Everything), open(&rule.filter()));
        let sender = b.socket(domain, SOCK_RAW, 255).unwrap();
        socket2::SockRef::from(&sender).bind_device(Some(b"eth0")).unwrap();
        let vectors: Vec<_> = vectors().into_iter().filter(|(_, datagram)| family_of(datagram) == family).collect();
        let baseline = if family == Family::V4 { "V3-4-01M" } else { "V3-6-01" };
        let mut mark = vectors.iter().find(|(id, _)| id == baseline).unwrap().1.clone();
        mark[if family == Family::V4 { 21 } else { 41 }] = MARK;
        // The first one to a host waits for an answer of that host, and others would overtake it.
        let mut first = mark.clone();
        match OURS[usize::from(family == Family::V6)].parse().unwrap() {
            IpAddr::V4(ip) => first[16..20].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => first[24..40].copy_from_slice(&ip.octets()),
        }
        inject(&sender, &first);
        for socket in [&everything, &plausible] {
            received_until(socket, &mut buffer, MARK);
        }

        let (mut arrived, mut passed) = (0, 0);
        for (id, datagram) in &vectors {
            inject(&sender, datagram);
            inject(&sender, &mark);
            let all = received_until(&everything, &mut buffer, MARK);
            let some = received_until(&plausible, &mut buffer, MARK);
            assert!(all.len() <= 1, "{id}");
            arrived += all.len();
            passed += some.len();
            let expected = if rule.lets_through(datagram) { all } else { Vec::new() };
            assert_eq!(some, expected, "{id}");
        }
        // Some the kernel itself does not deliver, such as those from 0.0.0.0.
        assert!(arrived * 10 >= vectors.len() * 8, "{arrived} of {} arrived", vectors.len());
        assert!(passed > 0 && passed < arrived, "{passed} of {arrived} passed");
        eprintln!("{family:?}: {} sent, {arrived} arrived, {passed} passed the filter", vectors.len());
    }
}

#[test]
fn a_filter_is_replaced_while_the_socket_is_open() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    b.attach(&lan, "eth0", &["192.0.2.2/24"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    let filter = |vrids: &[u8]| Rule::new(vrids).filter();
    let fd = a.socket(AF_INET, SOCK_RAW, 112).unwrap();
    let socket = AdvertSocket::from_fd(fd, "eth0", a0.index(), &filter(&[1, 9])).unwrap();
    socket.join(socket.family().group()).unwrap();
    let sender = b.socket(AF_INET, SOCK_RAW, 255).unwrap();
    socket2::SockRef::from(&sender).bind_device(Some(b"eth0")).unwrap();
    let mut buffer = ReceiveBuffer::new();
    let mut heard = || {
        for vrid in [1, 2, 3, 9] {
            inject(&sender, &advert(vrid));
        }
        received_until(&socket, &mut buffer, 9).iter().map(|payload| payload[1]).collect::<Vec<_>>()
    };
    assert_eq!(heard(), [1]);
    socket.set_filter(&filter(&[2, 3, 9])).unwrap();
    assert_eq!(heard(), [2, 3]);
    socket.set_filter(&ReceiveFilter::Everything).unwrap();
    assert_eq!(heard(), [1, 2, 3]);
    socket.set_filter(&filter(&(1..=255).collect::<Vec<_>>())).unwrap();
    assert_eq!(heard(), [1, 2, 3]);
}

#[test]
fn se_01_a_flood_of_what_is_not_for_us_takes_no_place_in_the_receive_buffer() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    b.attach(&lan, "eth0", &["192.0.2.2/24"]).unwrap();
    wait_until_connected(&b, [192, 0, 2, 1]);
    let sender = b.socket(AF_INET, SOCK_RAW, 255).unwrap();
    socket2::SockRef::from(&sender).bind_device(Some(b"eth0")).unwrap();
    let mut forwarded = advert(51);
    forwarded[8] = 254;
    let noise = [forwarded, advert(52)];
    let mut good = advert(51);
    // Its priority tells it from the noise.
    good[22] = 200;

    // With room for a few datagrams only; the good one comes last.
    let arrives = |filter: &ReceiveFilter| {
        let fd = a.socket(AF_INET, SOCK_RAW, 112).unwrap();
        let socket = AdvertSocket::from_fd(fd, "eth0", a0.index(), filter).unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
        socket.join(socket.family().group()).unwrap();
        for _ in 0..1000 {
            noise.iter().for_each(|datagram| inject(&sender, datagram));
        }
        inject(&sender, &good);
        // What was sent is delivered once an answer to something later is there.
        wait_until_connected(&b, [192, 0, 2, 1]);
        let mut buffer = ReceiveBuffer::new();
        let datagrams = socket.receive(&mut buffer).unwrap();
        datagrams.map(|it| it.unwrap().1[2]).collect::<Vec<_>>()
    };
    assert_eq!(arrives(&Rule::new(&[51]).filter()), [200]);
    let without = arrives(&ReceiveFilter::Everything);
    assert!(
        (1..32).contains(&without.len()) && !without.contains(&200),
        "the noise has filled the buffer: {without:?}"
    );
}

#[test]
fn everything_works_without_root() {
    again_without_root();
}
