//! Through the whole VRRP Router.

use super::*;

const ETH0: u32 = 2;

fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn interface() -> IfIndex {
    IfIndex::new(ETH0).unwrap()
}

fn router_config(id: u8, version: Version, own: u8) -> VirtualRouterConfig {
    let params = Params::new(version).with_primary_address(Some(host(own))).unwrap();
    VirtualRouterConfig::new(vrid(id), params, [VIP])
}

/// A host with one virtual router that has keys and was started at 0, when it was [`NOW`].
fn router(own: u8, config: Config) -> (VrrpRouter, RouterId) {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(), router_config(51, V3_IPV4, own)).unwrap();
    router.set_wall_clock(Instant::ZERO, wall(NOW));
    router.set_hmac(id, Some(config)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    (router, id)
}

fn claim() -> Claim {
    Claim { priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT }
}

/// What a router sends when it is told to, and the alarms it raises on the way.
fn poll(router: &mut VrrpRouter) -> (Vec<Vec<u8>>, Vec<Alarm>) {
    let (mut sent, mut alarms) = (Vec::new(), Vec::new());
    while let Some((id, action)) = router.poll_action() {
        match action {
            Action::SendAdvert(claim) => {
                let mut buffer = [0; Repr::MAX_SIGNED_LEN];
                let outgoing = router.build_advert(id, claim, &mut buffer).unwrap();
                sent.push(buffer[..outgoing.len].to_vec());
            }
            Action::Alarm(alarm) => alarms.push(alarm),
            _ => {}
        }
    }
    (sent, alarms)
}

#[test]
fn two_routers_hear_each_other_and_a_stranger_is_not_heard() {
    let (mut active, active_id) = router(1, config(Mode::Enforce));
    let (mut backup, backup_id) = router(2, config(Mode::Enforce));
    let mut heard = 0;
    for turn in 0..=100 {
        let now = millis(3_700 + turn * 100);
        active.handle_timeout(now);
        for payload in poll(&mut active).0 {
            assert_eq!(payload.len(), 12 + Trailer::LEN);
            assert_eq!(backup.handle_datagram(now, interface(), &envelope(host(1)), &payload), Ok(backup_id));
            let replay = backup.handle_datagram(now, interface(), &envelope(host(1)), &payload);
            assert_eq!(replay, Err(Discard::AuthExtReplay));
            heard += 1;
        }
        if turn % 10 == 0 {
            let stranger = backup.handle_datagram(now, interface(), &envelope(host(9)), &advert(9, None));
            assert_eq!(stranger, Err(Discard::AuthExtMissing));
        }
        backup.handle_timeout(now);
        assert!(poll(&mut backup).0.is_empty());
    }
    assert_eq!(active.state(active_id).unwrap().role(), vrrp_core::Role::Active);
    assert_eq!(backup.state(backup_id).unwrap().role(), vrrp_core::Role::Backup);
    let counters = backup.counters(backup_id).unwrap();
    assert_eq!((heard, counters.adverts_received), (11, 11));
    assert_eq!(counters.discards.count(Reason::AuthExtReplay), 11);
    assert_eq!(counters.discards.count(Reason::AuthExtMissing), 11);
    assert_eq!(backup.discards().total(), 22);
    assert_eq!((counters.adverts_unsigned, counters.clock_skewed), (0, 0));
}

#[test]
fn a_rejected_peer_is_an_alarm() {
    let (mut router, _) = router(1, config(Mode::Enforce));
    let mut alarm = |at: u64, payload: &[u8]| {
        router.handle_datagram(millis(at), interface(), &envelope(host(2)), payload).unwrap_err();
        poll(&mut router).1
    };
    let rejected = |reason| vec![Alarm::RejectedPeer(host(2), reason)];
    assert_eq!(alarm(1, &advert(2, None)), rejected(Reason::AuthExtMissing));
    assert_eq!(alarm(2, &signed(2, NOW - 60)), []);
    assert_eq!(alarm(60_001, &signed(2, NOW)), rejected(Reason::AuthExtStale));
    assert_eq!(
        alarm(120_001, &signed_with(2, 1, &key(3), Sequence::at(wall(NOW + 120)))),
        rejected(Reason::AuthExtInvalidHmac)
    );
}

#[test]
fn the_wall_clock_goes_on_from_when_it_was_told() {
    let (mut router, id) = router(1, config(Mode::Enforce));
    let mut hear =
        |at: u64, sent: u64| router.handle_datagram(millis(at), interface(), &envelope(host(2)), &signed(2, sent));
    assert_eq!(hear(100_900, NOW + 95), Ok(id));
    assert_eq!(hear(101_000, NOW + 95), Err(Discard::AuthExtStale { age: 6, window: 5 }));
    // Told anew: it was an hour off.
    router.set_wall_clock(millis(101_000), wall(NOW + 3_600));
    let mut hear =
        |at: u64, sent: u64| router.handle_datagram(millis(at), interface(), &envelope(host(2)), &signed(2, sent));
    assert_eq!(hear(102_000, NOW + 3_601), Ok(id));
    // What is sent has the time of what happened last, and one sequence each.
    router.handle_event(millis(102_500), id, Event::Recovered(vrrp_core::Fault::Link));
    let build = |router: &mut VrrpRouter| {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        trailer_of(1, &buffer[..outgoing.len]).sequence()
    };
    let first = build(&mut router);
    assert_eq!(first, Sequence::at(WallClock::new(NOW + 3_601, 500_000_000)));
    assert_eq!(build(&mut router), first.next());
    router.set_wall_clock(millis(102_600), wall(NOW));
    assert_eq!(build(&mut router), Sequence::at(wall(NOW)));
}

#[test]
fn all_copies_of_an_advertisement_have_one_trailer() {
    let (mut router, id) = router(1, config(Mode::Enforce));
    let mut trailers = Vec::new();
    for round in 0..2 {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        let trailer = trailer_of(1, &buffer[..outgoing.len]);
        for peer in 2..5 {
            let mut copy = [0; 100];
            let outgoing = router.build_copy(id, claim(), host(peer), &mut copy).unwrap();
            assert_eq!(outgoing.destination, host(peer));
            let envelope = Envelope { destination: host(peer), ..envelope(host(1)) };
            let packet = Packet::parse_signed(&envelope, &copy[..outgoing.len]).unwrap();
            assert_eq!(packet.trailer(), Some(trailer), "{round}");
            // Only the checksum differs, which covers the destination.
            assert!(copy[..6] == buffer[..6] && copy[6..8] != buffer[6..8] && copy[8..] == buffer[8..]);
        }
        trailers.push(trailer.sequence());
    }
    assert!(trailers[1].is_after(trailers[0]));
    // A copy of nothing is an advertisement of its own.
    let (mut router, id) = self::router(1, config(Mode::Enforce));
    let mut buffer = [0; 100];
    let outgoing = router.build_copy(id, claim(), Family::V4.group(), &mut buffer).unwrap();
    assert!(trailer_of(1, &buffer[..outgoing.len]).is_well_formed());
}

#[test]
fn virtual_routers_with_and_without_keys_live_side_by_side() {
    let (mut router, with_keys) = router(1, config(Mode::Enforce));
    let without = router.add(interface(), router_config(52, V3_IPV4, 1)).unwrap();
    router.handle_event(Instant::ZERO, without, Event::Startup);
    let to_52 = |payload: Vec<u8>| {
        let mut payload = payload;
        payload[1] = 52;
        payload[6..8].fill(0);
        let sum = InternetChecksum::new().with(&payload[..12]).field();
        payload[6..8].copy_from_slice(&sum);
        payload
    };
    let mut hear = |payload: &[u8]| router.handle_datagram(millis(1), interface(), &envelope(host(2)), payload);
    assert_eq!(hear(&signed(2, NOW)), Ok(with_keys));
    assert_eq!(hear(&to_52(advert(2, None))), Ok(without));
    assert_eq!(hear(&to_52(signed(2, NOW))), Err(Discard::Length { expected: 12, got: 40 }));
    // Nor is a trailer of use to a VRID that is not here.
    let mut elsewhere = signed(2, NOW);
    elsewhere[1] = 53;
    assert_eq!(hear(&elsewhere), Err(Discard::Length { expected: 12, got: 40 }));
    assert_eq!(router.hmac(with_keys), Some(&config(Mode::Enforce)));
    assert_eq!(router.hmac(without), None);
    let mut buffer = [0; 100];
    assert_eq!(router.build_advert(without, claim(), &mut buffer).unwrap().len, 12);
    assert_eq!(router.build_advert(with_keys, claim(), &mut buffer).unwrap().len, 40);
}

#[test]
fn reconfiguration_keeps_the_marks_and_the_sequence() {
    let (mut router, id) = router(1, config(Mode::Permissive));
    let hear = |router: &mut VrrpRouter, payload: &[u8]| {
        router.handle_datagram(millis(1), interface(), &envelope(host(2)), payload).map_err(Discard::reason)
    };
    let build = |router: &mut VrrpRouter| {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        trailer_of(1, &buffer[..outgoing.len]).sequence()
    };
    assert_eq!(hear(&mut router, &advert(2, None)), Ok(id));
    assert_eq!(router.counters(id).unwrap().adverts_unsigned, 1);
    assert_eq!(hear(&mut router, &signed(2, NOW + 3)), Ok(id));
    assert_eq!(router.counters(id).unwrap().clock_skewed, 1);
    let first = build(&mut router);

    let keys = keys().with(key_id(2), key(2)).unwrap();
    router.set_hmac(id, Some(Config { keys, ..config(Mode::Enforce) })).unwrap();
    router.set_params(millis(1), id, Params::new(V3_IPV4)).unwrap();
    assert_eq!(hear(&mut router, &signed(2, NOW + 3)), Err(Reason::AuthExtReplay));
    assert_eq!(hear(&mut router, &advert(2, None)), Err(Reason::AuthExtMissing));
    assert_eq!(build(&mut router), first.next());

    // Taken away, it is gone.
    router.set_hmac(id, None).unwrap();
    assert_eq!(hear(&mut router, &advert(2, None)), Ok(id));
    assert_eq!(hear(&mut router, &signed(2, NOW)), Err(Reason::Length));
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    let mut router = VrrpRouter::new();
    let plain = router.add(interface(), router_config(51, V3_IPV4, 1)).unwrap();
    let password = Authentication::SimpleText(Password::new("secret").unwrap());
    let with_password = router_config(52, Version::V2, 1).with_authentication(password);
    let with_password = router.add(interface(), with_password).unwrap();
    let refused = |router: &mut VrrpRouter, id| router.set_hmac(id, Some(config(Mode::Enforce))).unwrap_err();
    assert_eq!(refused(&mut router, plain), ConfigError::NoWallClock(vrid(51)));
    assert_eq!(
        refused(&mut router, plain).to_string(),
        "virtual router 51 cannot sign without the time of day: call set_wall_clock first"
    );
    router.set_wall_clock(Instant::ZERO, wall(NOW));
    assert_eq!(refused(&mut router, with_password), ConfigError::PasswordAndHmac(vrid(52)));
    assert_eq!(router.hmac(with_password), None);
    router.remove(Instant::ZERO, plain);
    assert_eq!(refused(&mut router, plain), ConfigError::Unknown);
    assert_eq!(router.hmac(plain), None);
}
