//! Modes, keys, marks and clocks.

use super::*;

/// AUTH_HMAC 7, the whole table.
#[test]
fn each_mode_accepts_and_signs_what_the_table_says() {
    let malformed = {
        let mut octets = signed(2, NOW);
        octets[12] = 2;
        octets
    };
    let forged = {
        let mut octets = signed(2, NOW);
        *octets.last_mut().unwrap() ^= 1;
        octets
    };
    let unknown = signed_with(2, 9, &key(1), Sequence::at(wall(NOW)));
    for (mode, unsigned, signs) in [
        (Mode::Enforce, Err(Reason::AuthExtMissing), true),
        (Mode::Permissive, Ok(()), true),
        (Mode::ReceiveOnly, Ok(()), false),
    ] {
        let mut hmac = Authenticator::new(config(mode));
        assert_eq!(receive(&mut hmac, NOW, 2, &advert(2, None)), unsigned, "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Ok(()), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &malformed), Err(Reason::AuthExtMalformed), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &unknown), Err(Reason::AuthExtUnknownKey), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &forged), Err(Reason::AuthExtInvalidHmac), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 6)), Err(Reason::AuthExtStale), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &advert(2, None)), unsigned, "{mode:?}");

        let repr = Repr::new(V3_IPV4, vrid(51), &[VIP]);
        let (mut buffer, stamp) = ([0; 100], hmac.stamp(wall(NOW)));
        let form = ChecksumForm::PseudoHeader;
        let len = hmac.emit(stamp, &repr, host(1), Family::V4.group(), form, &mut buffer).unwrap();
        assert_eq!(len, if signs { 12 + Trailer::LEN } else { 12 }, "{mode:?}");
    }
    // Without it: signed ones are a length error, whatever is in the trailer.
    for payload in [&signed(2, NOW), &malformed, &forged, &unknown] {
        assert_eq!(Packet::parse(&envelope(host(2)), payload), Err(Discard::Length { expected: 12, got: 40 }));
    }
}

#[test]
fn keys_are_changed_without_a_gap() {
    let (old, new) = (key(1), key(2));
    let at = |n| Sequence::at(wall(NOW)).to_bits() + n;
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    let hear = |hmac: &mut Authenticator, id: u8, key: &Key, n: u64| {
        receive(hmac, NOW, 2, &signed_with(2, id, key, Sequence::from_bits(at(n))))
    };
    let signs_with = |hmac: &mut Authenticator| {
        let (repr, stamp) = (Repr::new(V3_IPV4, vrid(51), &[VIP]), hmac.stamp(wall(NOW)));
        let mut buffer = [0; 100];
        let form = ChecksumForm::PseudoHeader;
        let len = hmac.emit(stamp, &repr, host(1), Family::V4.group(), form, &mut buffer).unwrap();
        Packet::parse_signed(&envelope(host(1)), &buffer[..len]).unwrap().trailer().unwrap().key_id()
    };
    assert_eq!(hear(&mut hmac, 1, &old, 1), Ok(()));
    assert_eq!(hear(&mut hmac, 2, &new, 2), Err(Reason::AuthExtUnknownKey));
    assert_eq!(signs_with(&mut hmac), 1);

    let keys = keys().with(key_id(2), new.clone()).unwrap();
    hmac.reconfigure(Config { keys: keys.clone(), ..config(Mode::Enforce) });
    assert_eq!((hear(&mut hmac, 1, &old, 3), hear(&mut hmac, 2, &new, 4)), (Ok(()), Ok(())));
    // The right key under the wrong number, and the mark is the sender's, not the key's.
    assert_eq!(hear(&mut hmac, 2, &old, 5), Err(Reason::AuthExtInvalidHmac));
    assert_eq!(hear(&mut hmac, 1, &old, 4), Err(Reason::AuthExtReplay));
    assert_eq!(signs_with(&mut hmac), 1);

    let keys = keys.activate(key_id(2)).unwrap();
    hmac.reconfigure(Config { keys: keys.clone(), ..config(Mode::Enforce) });
    assert_eq!(hear(&mut hmac, 1, &old, 6), Ok(()));
    assert_eq!(signs_with(&mut hmac), 2);

    hmac.reconfigure(Config { keys: keys.without(key_id(1)).unwrap(), ..config(Mode::Enforce) });
    assert_eq!(hear(&mut hmac, 1, &old, 7), Err(Reason::AuthExtUnknownKey));
    assert_eq!(hear(&mut hmac, 2, &new, 8), Ok(()));
}

/// AUTH_HMAC 13.1: one packet for each check that comes after the signature.
#[test]
fn what_fails_a_later_check_does_not_move_the_mark() {
    let mut expected = Expected::new(V3_IPV4, vrid(51));
    expected.addresses = &[VIP];
    let payload = signed(2, NOW);
    let wrong_checksum = {
        let mut octets = payload.clone();
        octets[7] ^= 1;
        octets
    };
    let strict = with(expected, |expected| expected.checksum = ChecksumAcceptance::MessageOnly);
    let echo = with(expected, |expected| expected.primary = Some(host(2)));
    let elsewhere = with(expected, |expected| expected.destination = host(1));
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    for (expected, payload, discard) in [
        (&expected, &wrong_checksum, Discard::Checksum),
        (&strict, &payload, Discard::Checksum),
        (&echo, &payload, Discard::SelfReceived),
        (&elsewhere, &payload, Discard::Destination),
    ] {
        assert_eq!(hmac.receive(wall(NOW), &envelope(host(2)), payload, expected), Err(discard));
    }
    assert_eq!(receive(&mut hmac, NOW, 2, &payload), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &payload), Err(Reason::AuthExtReplay));

    // VRRPv2: the interval, and the list of addresses.
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(Version::V2, vrid(51), &[VIP]) };
    let signer = Signer { key_id: key_id(1), key: &key(1), sequence: Sequence::at(wall(NOW)) };
    let mut buffer = [0; 100];
    let form = ChecksumForm::MessageOnly;
    let len = repr.emit_signed(host(3), Family::V4.group(), form, signer, &mut buffer).unwrap();
    let mut expected = Expected::new(Version::V2, vrid(51));
    expected.addresses = &[VIP];
    let slow = with(expected, |expected| expected.interval = Interval::from_seconds(2).unwrap());
    let list = with(expected, |expected| expected.addresses = &[]);
    for (expected, discard) in [(&slow, Discard::Interval(100)), (&list, Discard::AddressList)] {
        assert_eq!(hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], expected), Err(discard));
    }
    let received = hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected).unwrap();
    // Not committed: as if it had not been received.
    assert_eq!(hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected), Ok(received));
    hmac.commit(received.pending);
    let again = hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected);
    assert_eq!(again, Err(Discard::AuthExtReplay));
}

#[test]
fn each_sender_has_its_own_mark() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    for from in 1..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW - 3)), Ok(()));
    }
    for from in 1..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW - 3)), Err(Reason::AuthExtReplay));
    }
    // The 17th takes the place of the first, which can be replayed then: a limit, and why there are 16.
    assert_eq!(receive(&mut hmac, NOW, 17, &signed(17, NOW)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 3)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 1, &signed(1, NOW - 3)), Ok(()));
}

#[test]
fn by_time_marks_out_of_the_window_give_way_to_new_senders() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    // The last one heard is the only old one: the next to be evicted all the same.
    for from in 2..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW)), Ok(()));
    }
    assert_eq!(receive(&mut hmac, NOW, 1, &signed(1, NOW - 5)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW + 1, 17, &signed(17, NOW + 1)), Ok(()));
    for from in 2..=16 {
        assert_eq!(receive(&mut hmac, NOW + 1, from, &signed(from, NOW)), Err(Reason::AuthExtReplay), "{from}");
    }
    assert_eq!(receive(&mut hmac, NOW + 1, 1, &signed(1, NOW - 5)), Err(Reason::AuthExtStale));
}

#[test]
fn a_receiver_whose_clock_was_set_back_recovers() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW + 5)), Ok(()));
    // The mark is ahead, but within the window.
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay));
    // A second more and it is forgotten; committing sets it back.
    assert_eq!(receive(&mut hmac, NOW - 1, 2, &signed(2, NOW - 1)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW - 1, 2, &signed(2, NOW - 1)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Ok(()));
}

#[test]
fn monotonic_marks_never_expire() {
    let mut hmac = Authenticator::new(monotonic());
    // The first may be of any age.
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 31_536_000)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 31_536_001)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW + 100_000)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay));
}

/// AUTH_HMAC 8, "Sender" and "Receiver" together: no advertisement is lost to a clock, except as documented.
#[test]
fn a_receiver_follows_a_sender_whose_clock_is_set() {
    let form = ChecksumForm::PseudoHeader;
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(V3_IPV4, vrid(51), &[VIP]) };
    let run = |config: &Config, clocks: &[(u64, u64)]| -> Vec<Result<(), Reason>> {
        let (mut sender, mut receiver) = (Authenticator::new(config.clone()), Authenticator::new(config.clone()));
        let hear = |(sends, receives): &(u64, u64)| {
            let (mut buffer, stamp) = ([0; 100], sender.stamp(wall(*sends)));
            let len = sender.emit(stamp, &repr, host(2), Family::V4.group(), form, &mut buffer).unwrap();
            receive(&mut receiver, *receives, 2, &buffer[..len])
        };
        clocks.iter().map(hear).collect()
    };
    let enforce = config(Mode::Enforce);
    // Back by 3 s: frozen, but later each time.
    assert_eq!(run(&enforce, &[(NOW, NOW), (NOW - 3, NOW), (NOW - 2, NOW + 1), (NOW + 1, NOW + 4)]), [Ok(()); 4]);
    // From 10 s ahead back to the right time: rejected while it was ahead, accepted at once then.
    let ahead = [Err(Reason::AuthExtStale), Ok(()), Ok(())];
    assert_eq!(run(&enforce, &[(NOW + 10, NOW), (NOW + 1, NOW + 1), (NOW + 2, NOW + 2)]), ahead);
    // Both clocks an hour ahead, and set right together.
    assert_eq!(run(&enforce, &[(NOW + 3_600, NOW + 3_600), (NOW, NOW), (NOW + 1, NOW + 1)]), [Ok(()); 3]);
    // Across 2038 and 2106, and started after 2038.
    for border in [1 << 31, 1 << 32] {
        for config in [&enforce, &monotonic()] {
            let clocks = [(border - 2, border - 2), (border - 1, border + 1), (border + 1, border + 1)];
            assert_eq!(run(config, &clocks), [Ok(()); 3], "{border}");
            assert_eq!(run(config, &[(border + 5, border + 5), (border + 6, border + 6)]), [Ok(()); 2], "{border}");
        }
    }
}

#[test]
fn a_skewed_clock_shows_before_it_hurts() {
    let hmac = Authenticator::new(config(Mode::Enforce));
    let mut expected = Expected::new(V3_IPV4, vrid(51));
    expected.addresses = &[VIP];
    for (skew, skewed) in [(0, false), (2, false), (3, true), (5, true)] {
        for sent in [NOW - skew, NOW + skew] {
            let received = hmac.receive(wall(NOW), &envelope(host(2)), &signed(2, sent), &expected).unwrap();
            assert_eq!(received.pending.is_skewed(), skewed, "{skew}");
            assert!(received.pending.is_signed());
        }
    }
}

/// keepalived lets unsigned ones of strangers pass in the migration modes (AUTH_HMAC 13.7); we have a list of peers.
#[test]
fn an_unsigned_stranger_is_no_peer_in_any_mode() {
    for (mode, reason) in [
        (Mode::Enforce, Reason::AuthExtMissing),
        (Mode::Permissive, Reason::NotPeer),
        (Mode::ReceiveOnly, Reason::NotPeer),
    ] {
        let hmac = Authenticator::new(config(mode));
        let peers = [host(3)];
        let mut expected = Expected::new(V3_IPV4, vrid(51));
        expected.peers = Some(&peers);
        let result = hmac.receive(wall(NOW), &envelope(host(2)), &advert(2, None), &expected);
        assert_eq!(result.map_err(Discard::reason), Err(reason), "{mode:?}");
    }
}
