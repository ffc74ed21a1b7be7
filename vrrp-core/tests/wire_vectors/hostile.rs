//! Arbitrary and damaged octets, and all that can be emitted.

use super::*;

/// Knuth's linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn octet(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        let number = u32::from_be_bytes([self.octet(), self.octet(), self.octet(), self.octet()]);
        usize::try_from(number).unwrap() % end
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.octet()).collect()
    }
}

/// Reads everything there is to read of a datagram, through every kind of router.
fn read_everything(datagram: &[u8], envelopes: &[Envelope]) -> usize {
    let mut parsed = 0;
    let split = Envelope::split_ipv4(datagram).ok();
    for (envelope, payload) in envelopes.iter().map(|envelope| (*envelope, datagram)).chain(split) {
        let Ok(packet) = Packet::parse(&envelope, payload) else { continue };
        parsed += 1;
        assert_eq!(packet.addresses().count(), usize::from(packet.count()));
        assert_eq!(packet.addresses().len(), usize::from(packet.count()));
        assert!(!format!("{packet} {packet:?}").is_empty());
        let addresses: Vec<IpAddr> = packet.addresses().collect();
        assert!(packet.count() == 0 || packet.compare_addresses(&addresses) == AddressListMatch::Same);
        for version in [Version::V2, V3_IPV4, V3_IPV6] {
            let mut expected = Expected::new(version, packet.vrid().unwrap_or(Vrid::new(1).unwrap()));
            expected.addresses = &addresses;
            expected.interval = packet.interval().unwrap_or_default();
            expected.destination = envelope.destination;
            let result = packet.accept(&envelope, &expected);
            assert!(result.is_err() || (version == packet.version() && packet.interval().is_some()));
        }
    }
    parsed
}

fn envelopes() -> [Envelope; 2] {
    let ipv4 = Envelope { source: address("192.0.2.2"), destination: Family::V4.group(), ttl: Some(255) };
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into();
    [ipv4, Envelope { source, destination: Family::V6.group(), ttl: Some(255) }]
}

#[test]
fn pf_22_arbitrary_octets_never_panic() {
    let mut random = Random(1);
    for round in 0..60_000 {
        let len = random.below(if round % 100 == 0 { 65_536 } else { 64 });
        let mut datagram = random.octets(len);
        // Half of them get a plausible start, or hardly any would come past the first check.
        if let (0, [first, _, _, count, ..]) = (round % 2, &mut datagram[..]) {
            *first = [0x45, 0x46, 0x21, 0x31][random.below(4)];
            *count %= 5;
        }
        read_everything(&datagram, &envelopes());
    }
}

#[test]
fn pf_22_mutated_packets_never_panic() {
    let mut random = Random(2);
    let originals: Vec<Vec<u8>> = vectors(RFC).iter().map(|vector| octets(text(vector, "ip"))).collect();
    let payloads: Vec<Vec<u8>> = vectors(RFC).iter().map(|vector| octets(text(vector, "pdu"))).collect();
    let mut parsed = 0;
    for original in originals.iter().chain(&payloads) {
        for _ in 0..400 {
            let mut datagram = original.clone();
            for _ in 0..random.below(3) {
                match (random.below(4), datagram.len()) {
                    (_, 0) => datagram.push(random.octet()),
                    (0, len) => datagram.truncate(random.below(len)),
                    (1, _) => datagram.push(random.octet()),
                    (_, len) => datagram[random.below(len.min(64))] ^= 1 << random.below(8),
                }
            }
            parsed += read_everything(&datagram, &envelopes());
        }
    }
    assert!(parsed > 5_000, "only {parsed} of the mutants came through: this test has become blind");
}

#[test]
fn pf_08_any_flipped_bit_is_noticed() {
    let [ipv4, ipv6] = envelopes();
    let vips = [[192, 0, 2, 100].into(), [192, 0, 2, 101].into()];
    let vips6 = [address("fe80::100"), address("2001:db8::100")];
    let mut flipped = 0;
    for (version, envelope, addresses) in [(Version::V2, ipv4, vips), (V3_IPV4, ipv4, vips), (V3_IPV6, ipv6, vips6)] {
        let repr = Repr::new(version, Vrid::new(51).unwrap(), &addresses);
        let mut buffer = [0; 64];
        let len = repr.emit(envelope.source, envelope.destination, ChecksumForm::PseudoHeader, &mut buffer).unwrap();
        assert!(Packet::parse(&envelope, &buffer[..len]).is_ok());
        for bit in 0..len * 8 {
            let mut octets = buffer;
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(Packet::parse(&envelope, &octets[..len]).is_err(), "{version} bit {bit}");
            flipped += 1;
        }
    }
    assert_eq!(flipped, (24 + 16 + 40) * 8);
}

#[test]
fn pf_21_what_is_emitted_is_parsed_to_the_same_fields() {
    let mut random = Random(3);
    for round in 0..20_000 {
        let version = [Version::V2, V3_IPV4, V3_IPV6][round % 3];
        let [ipv4, ipv6] = envelopes();
        let envelope = if version == V3_IPV6 { ipv6 } else { ipv4 };
        let count = 1 + random.below(if round % 50 == 0 { 255 } else { 4 });
        let addresses: Vec<IpAddr> = (0..count)
            .map(|_| match version.family() {
                Family::V4 => IpAddr::from(<[u8; 4]>::try_from(random.octets(4)).unwrap()),
                Family::V6 => IpAddr::from(<[u8; 16]>::try_from(random.octets(16)).unwrap()),
            })
            .collect();
        let password = random.octets(1 + round % 8);
        let (interval, authentication) = match version {
            Version::V2 if round % 2 == 0 => {
                let seconds = seconds(1 + u64::from(random.octet()) % 255);
                (seconds, Authentication::SimpleText(Password::new(&password).unwrap()))
            }
            Version::V2 => (seconds(1 + u64::from(random.octet()) % 255), Authentication::None),
            Version::V3(_) => (centiseconds(1 + u64::try_from(random.below(4095)).unwrap()), Authentication::None),
        };
        let vrid = Vrid::new(random.octet().max(1)).unwrap();
        let priority = Priority::from_wire(random.octet());
        let repr = Repr { version, vrid, priority, interval, authentication, addresses: &addresses };
        let form = [ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader][random.below(2)];

        let mut buffer = [0xaa; Repr::MAX_LEN];
        let len = repr.emit(envelope.source, envelope.destination, form, &mut buffer).unwrap();
        let packet = Packet::parse(&envelope, &buffer[..len]).unwrap();
        assert_eq!(packet.version(), version);
        assert_eq!(packet.vrid(), Some(vrid));
        assert_eq!(packet.priority(), priority);
        assert_eq!(packet.interval(), Some(interval));
        assert_eq!(packet.checksum_form(), (version == V3_IPV4).then_some(form));
        assert!(packet.addresses().eq(addresses.iter().copied()));

        let mut expected = Expected::new(version, vrid);
        expected.interval = interval;
        expected.authentication = authentication;
        expected.addresses = &addresses;
        let accepted = packet.accept(&envelope, &expected).unwrap();
        assert_eq!(accepted.advert.source, envelope.source);
        assert_eq!((accepted.advert.priority, accepted.advert.interval), (priority, interval));
        assert_eq!(accepted.notes.address_list, AddressListMatch::Same);
    }
}
