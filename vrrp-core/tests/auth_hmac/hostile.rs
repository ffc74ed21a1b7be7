//! What is damaged, forged or arbitrary, and clocks that jump.

use super::vectors::Vector;
use super::*;

/// Knuth's linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn octet(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        (usize::from(self.octet()) << 8 | usize::from(self.octet())) % end
    }
}

#[test]
fn any_flipped_bit_of_a_signed_advertisement_is_noticed() {
    let (key, ipv6) = (key(1), address("fe80::2"));
    let signer = Signer { key_id: key_id(1), key: &key, sequence: Sequence::at(wall(NOW)) };
    let hmac = Authenticator::new(config(Mode::Enforce));
    let mut flipped = BTreeMap::new();
    for (version, source, vip) in
        [(Version::V2, host(2), VIP), (V3_IPV4, host(2), VIP), (V3_IPV6, ipv6, address("fe80::100"))]
    {
        let (envelope, addresses) = (envelope(source), [vip]);
        let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(version, vrid(51), &addresses) };
        let (mut buffer, form) = ([0; 100], ChecksumForm::PseudoHeader);
        let len = repr.emit_signed(source, envelope.destination, form, signer, &mut buffer).unwrap();
        let mut expected = Expected::new(version, vrid(51));
        expected.addresses = &addresses;
        assert!(hmac.receive(wall(NOW), &envelope, &buffer[..len], &expected).is_ok());
        for bit in 0..len * 8 {
            let mut octets = buffer;
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            let discard = hmac.receive(wall(NOW), &envelope, &octets[..len], &expected).unwrap_err();
            *flipped.entry(discard.reason()).or_insert(0) += 1;
            // With a key or without, there is no way to make an unsigned one of it.
            assert!(Packet::parse(&envelope, &octets[..len]).is_err());
        }
    }
    // The version can turn into the other one, whose length is another; version and type nibble, count: 4 + 4 + 8 bits.
    assert_eq!(flipped.values().sum::<usize>(), (48 + 40 + 52) * 8);
    assert_eq!(flipped[&Reason::Checksum], 3 * 16);
    assert_eq!(flipped[&Reason::AuthExtMalformed], 3 * 24);
    assert_eq!(flipped[&Reason::AuthExtUnknownKey], 3 * 8);
}

#[test]
fn arbitrary_octets_never_panic_and_are_never_believed() {
    let mut random = Random(7);
    let originals: Vec<Vec<u8>> = Vector::all().into_iter().map(|vector| vector.datagram).collect();
    let (mut enforcing, mut permissive) =
        (Authenticator::new(config(Mode::Enforce)), Authenticator::new(config(Mode::Permissive)));
    let (mut trailers, mut unsigned) = (0, 0);
    for round in 0..60_000_u64 {
        let mut datagram = match round % 3 {
            0 => (0..random.below(100)).map(|_| random.octet()).collect(),
            _ => originals[random.below(originals.len())].clone(),
        };
        for _ in 0..random.below(3) {
            match (random.below(5), datagram.len()) {
                (_, 0) => datagram.push(random.octet()),
                (0, len) => datagram.truncate(random.below(len)),
                (1, _) => datagram.extend([0; 28]),
                (_, len) => datagram[random.below(len)] ^= 1 << random.below(8),
            }
        }
        let envelopes = [envelope(host(2)), envelope(address("fe80::2"))];
        let whole = envelopes.iter().map(|envelope| (*envelope, &datagram[..]));
        let inner = (datagram.len() > 40).then(|| split(&datagram).ok()).flatten();
        let ipv4 = Envelope::split_ipv4(&datagram).ok();
        for (envelope, payload) in whole.chain(inner).chain(ipv4) {
            if let Ok(packet) = Packet::parse_signed(&envelope, payload)
                && let Some(trailer) = packet.trailer()
            {
                assert!(!format!("{packet} {packet:?} {trailer:?} {}", trailer.sequence()).is_empty());
                assert!(!packet.is_signed_by(envelope.source, &key(1)));
                trailers += 1;
            }
            let now = WallClock::new(round << 22, u32::from(random.octet()) << 24);
            for version in [Version::V2, V3_IPV4, V3_IPV6] {
                let mut expected = Expected::new(version, vrid(51));
                expected.destination = envelope.destination;
                // None of them is signed with this key.
                assert!(enforcing.receive(now, &envelope, payload, &expected).is_err());
                if let Ok(received) = permissive.receive(now, &envelope, payload, &expected) {
                    assert!(!received.pending.is_signed());
                    permissive.commit(received.pending);
                    unsigned += 1;
                }
            }
            let stamp = enforcing.stamp(now);
            assert_eq!(enforcing.last_stamp(), Some(stamp));
        }
    }
    assert!(trailers > 10_000 && unsigned > 100, "{trailers} and {unsigned}: this test has become blind");
}

#[test]
fn sequences_of_one_sender_only_grow_whatever_its_clock_does() {
    let mut random = Random(8);
    for anti_replay in [AntiReplay::Monotonic, AntiReplay::Time(Window::new(300).unwrap())] {
        let mut sender = Authenticator::new(Config { anti_replay, ..config(Mode::Enforce) });
        let (mut time, mut last) = (Duration::from_secs(NOW), None);
        for _ in 0..20_000 {
            // Up to 255 s on, or back as far as the window reaches.
            let step = Duration::from_millis(u64::from(random.octet()) * 1_000 / (1 + u64::from(random.octet())));
            let behind = last.is_some_and(|last: Sequence| last.age(WallClock::from(time - step)) < -300);
            time = if random.octet() < 100 && !behind { time - step } else { time + step };
            let stamp = sender.stamp(WallClock::from(time));
            let (mut buffer, repr) = ([0; 100], Repr::new(V3_IPV4, vrid(51), &[VIP]));
            let form = ChecksumForm::MessageOnly;
            let len = sender.emit(stamp, &repr, host(2), Family::V4.group(), form, &mut buffer).unwrap();
            let sequence = trailer_of(2, &buffer[..len]).sequence();
            assert!(last.is_none_or(|last| sequence.is_after(last)), "{last:?} {sequence}");
            last = Some(sequence);
        }
    }
}
