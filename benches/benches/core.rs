//! What `vrrp-core` costs: `cargo bench -p benches`.

fn main() {
    divan::main();
}

/// The receive path of one advertisement, and the writing of one.
mod wire {
    use std::net::{IpAddr, Ipv4Addr};

    use divan::{Bencher, black_box};
    use vrrp_core::wire::{Authentication, ChecksumForm, Envelope, Expected, Packet, Password, Repr};
    use vrrp_core::{Family, Priority, Version, Vrid};

    /// What is advertised.
    #[derive(Clone, Copy, Debug)]
    enum Case {
        V3OneAddress,
        V3PseudoHeader,
        V2Password,
        V3AllAddresses,
    }

    const CASES: [Case; 4] = [Case::V3OneAddress, Case::V3PseudoHeader, Case::V2Password, Case::V3AllAddresses];

    /// A case with what its packets and its expectations borrow.
    struct Advertised {
        version: Version,
        authentication: Authentication,
        form: ChecksumForm,
        addresses: Vec<IpAddr>,
        envelope: Envelope,
    }

    impl Advertised {
        fn new(case: Case) -> Self {
            let v3 = Version::V3(Family::V4);
            let (version, form, count) = match case {
                Case::V3OneAddress => (v3, ChecksumForm::MessageOnly, 1),
                Case::V3PseudoHeader => (v3, ChecksumForm::PseudoHeader, 1),
                Case::V2Password => (Version::V2, ChecksumForm::MessageOnly, 1),
                Case::V3AllAddresses => (v3, ChecksumForm::MessageOnly, 255),
            };
            let authentication = match version {
                Version::V2 => Authentication::SimpleText(Password::new("secret12").unwrap()),
                Version::V3(_) => Authentication::None,
            };
            let addresses = (1..=count).map(|host| Ipv4Addr::new(192, 0, 2, host).into()).collect();
            let envelope = Envelope {
                source: Ipv4Addr::new(198, 51, 100, 1).into(),
                destination: Family::V4.group(),
                ttl: Some(255),
            };
            Self { version, authentication, form, addresses, envelope }
        }

        fn repr(&self) -> Repr<'_> {
            let mut repr = Repr::new(self.version, Vrid::new(51).unwrap(), &self.addresses);
            repr.priority = Some(Priority::DEFAULT);
            repr.authentication = self.authentication;
            repr
        }

        fn expected(&self) -> Expected<'_> {
            let mut expected = Expected::new(self.version, Vrid::new(51).unwrap());
            expected.authentication = self.authentication;
            expected.addresses = &self.addresses;
            expected
        }

        fn payload(&self) -> Vec<u8> {
            let mut buffer = vec![0; Repr::MAX_LEN];
            let length =
                self.repr().emit(self.envelope.source, self.envelope.destination, self.form, &mut buffer).unwrap();
            buffer.truncate(length);
            buffer
        }
    }

    /// From the payload of the datagram to the event for the election.
    #[divan::bench(args = CASES)]
    fn parse_and_accept(bencher: Bencher<'_, '_>, case: Case) {
        let advertised = Advertised::new(case);
        let (payload, expected) = (advertised.payload(), advertised.expected());
        bencher.bench_local(|| {
            let envelope = black_box(&advertised.envelope);
            let packet = Packet::parse(envelope, black_box(&payload)).unwrap();
            packet.accept(envelope, black_box(&expected)).unwrap()
        });
    }

    /// The same with the local addresses in the order that takes longest to compare: the most a packet can cost.
    #[divan::bench]
    fn parse_and_accept_reversed(bencher: Bencher<'_, '_>) {
        let advertised = Advertised::new(Case::V3AllAddresses);
        let reversed: Vec<IpAddr> = advertised.addresses.iter().rev().copied().collect();
        let (payload, mut expected) = (advertised.payload(), advertised.expected());
        expected.addresses = &reversed;
        bencher.bench_local(|| {
            let envelope = black_box(&advertised.envelope);
            let packet = Packet::parse(envelope, black_box(&payload)).unwrap();
            packet.accept(envelope, black_box(&expected)).unwrap()
        });
    }

    /// From the payload to the reason to drop it, for an advertisement of another VRID.
    #[divan::bench]
    fn parse_and_discard(bencher: Bencher<'_, '_>) {
        let advertised = Advertised::new(Case::V3OneAddress);
        let (payload, mut expected) = (advertised.payload(), advertised.expected());
        expected.vrid = Vrid::new(52).unwrap();
        bencher.bench_local(|| {
            let envelope = black_box(&advertised.envelope);
            let packet = Packet::parse(envelope, black_box(&payload)).unwrap();
            packet.accept(envelope, black_box(&expected)).unwrap_err()
        });
    }

    /// From the fields to the payload, with its checksum.
    #[divan::bench(args = CASES)]
    fn emit(bencher: Bencher<'_, '_>, case: Case) {
        let advertised = Advertised::new(case);
        let (repr, mut buffer) = (advertised.repr(), [0; Repr::MAX_LEN]);
        let Envelope { source, destination, .. } = advertised.envelope;
        bencher.bench_local(|| {
            black_box(&repr).emit(source, destination, advertised.form, black_box(&mut buffer)).unwrap()
        });
    }
}

/// What signatures cost: of an advertisement of one address over VRRPv3 and IPv4, and of one of 89 over IPv6, the most
/// that an Ethernet frame holds.
mod hmac {
    use std::net::IpAddr;

    use divan::{Bencher, black_box};
    use vrrp_core::hmac::{Authenticator, Config, Key, KeyId, Keys, Sequence, Signer, WallClock};
    use vrrp_core::wire::{ChecksumForm, Envelope, Expected, Packet, Repr};
    use vrrp_core::{Family, Interval, Version, Vrid};

    const WALL: WallClock = WallClock::new(1_795_173_240, 500_000_000);

    #[derive(Clone, Copy, Debug)]
    enum Case {
        OneAddress,
        FullFrame,
    }

    const CASES: [Case; 2] = [Case::OneAddress, Case::FullFrame];

    struct Advertised {
        version: Version,
        envelope: Envelope,
        addresses: Vec<IpAddr>,
    }

    impl Advertised {
        fn new(case: Case) -> Self {
            let (family, source, first, count) = match case {
                Case::OneAddress => (Family::V4, "192.0.2.2", "192.0.2.100", 1),
                Case::FullFrame => (Family::V6, "fe80::2", "fe80::100", 89),
            };
            let envelope = Envelope { source: source.parse().unwrap(), destination: family.group(), ttl: Some(255) };
            Self { version: Version::V3(family), envelope, addresses: vec![first.parse().unwrap(); count] }
        }

        fn repr(&self) -> Repr<'_> {
            Repr::new(self.version, Vrid::new(51).unwrap(), &self.addresses)
        }

        fn expected(&self) -> Expected<'_> {
            let mut expected = Expected::new(self.version, Vrid::new(51).unwrap());
            expected.addresses = &self.addresses;
            expected
        }

        fn payload(&self) -> Vec<u8> {
            let (key, mut buffer) = (key(), vec![0; Repr::MAX_SIGNED_LEN]);
            let signer = Signer { key_id: KeyId::new(1).unwrap(), key: &key, sequence: Sequence::at(WALL) };
            let Envelope { source, destination, .. } = self.envelope;
            let form = ChecksumForm::PseudoHeader;
            let length = self.repr().emit_signed(source, destination, form, signer, &mut buffer).unwrap();
            buffer.truncate(length);
            buffer
        }
    }

    fn key() -> Key {
        Key::new(&[7; 32]).unwrap()
    }

    fn authenticator() -> Authenticator {
        Authenticator::new(Config::new(Keys::new(KeyId::new(1).unwrap(), key()), Interval::DEFAULT))
    }

    /// The code alone.
    #[divan::bench(args = CASES)]
    fn verify(bencher: Bencher<'_, '_>, case: Case) {
        let advertised = Advertised::new(case);
        let (payload, key) = (advertised.payload(), key());
        let packet = Packet::parse_signed(&advertised.envelope, &payload).unwrap();
        bencher.bench_local(|| black_box(&packet).is_signed_by(advertised.envelope.source, black_box(&key)));
    }

    /// From the payload of the datagram to the event for the election.
    #[divan::bench(args = CASES)]
    fn receive(bencher: Bencher<'_, '_>, case: Case) {
        let advertised = Advertised::new(case);
        let (payload, expected, hmac) = (advertised.payload(), advertised.expected(), authenticator());
        bencher.bench_local(|| {
            black_box(&hmac).receive(WALL, &advertised.envelope, black_box(&payload), black_box(&expected)).unwrap()
        });
    }

    /// From the payload to the reason to drop it, for one that is too old: what a flood of replays costs each.
    #[divan::bench]
    fn receive_stale(bencher: Bencher<'_, '_>) {
        let advertised = Advertised::new(Case::OneAddress);
        let (payload, expected, hmac) = (advertised.payload(), advertised.expected(), authenticator());
        let later = WallClock::new(WALL.seconds() + 60, 0);
        bencher.bench_local(|| {
            black_box(&hmac)
                .receive(later, &advertised.envelope, black_box(&payload), black_box(&expected))
                .unwrap_err()
        });
    }

    /// From the fields to the payload with its trailer.
    #[divan::bench(args = CASES)]
    fn sign(bencher: Bencher<'_, '_>, case: Case) {
        let advertised = Advertised::new(case);
        let (repr, mut hmac, mut buffer) = (advertised.repr(), authenticator(), [0; Repr::MAX_SIGNED_LEN]);
        let Envelope { source, destination, .. } = advertised.envelope;
        bencher.bench_local(|| {
            let stamp = hmac.stamp(WALL);
            hmac.emit(stamp, black_box(&repr), source, destination, ChecksumForm::PseudoHeader, black_box(&mut buffer))
                .unwrap()
        });
    }
}

/// The transition function.
mod step {
    use std::net::{IpAddr, Ipv4Addr};

    use divan::{Bencher, black_box};
    use vrrp_core::{Advert, Event, Family, Instant, Interval, Params, Priority, Role, State, Version, step};

    const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
    const RIVAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

    fn params() -> Params {
        Params::new(Version::V3(Family::V4)).with_primary_address(Some(ME)).unwrap()
    }

    fn advert(priority: u8) -> Event {
        Event::Advert(Advert { source: RIVAL, priority: Priority::from_wire(priority), interval: Interval::DEFAULT })
    }

    fn backup(params: &Params) -> State {
        step(params, State::new(), Instant::ZERO, Event::Startup).state
    }

    fn active(params: &Params) -> State {
        let backup = backup(params);
        let (down_at, _) = backup.deadline().unwrap();
        let active = step(params, backup, down_at, Event::Timeout).state;
        assert_eq!(active.role(), Role::Active);
        active
    }

    fn bench(bencher: Bencher<'_, '_>, params: &Params, state: State, now: Instant, event: Event) {
        bencher.bench_local(|| step(black_box(params), black_box(state), black_box(now), black_box(event)));
    }

    /// What nearly every event is: a Backup hears its Active.
    #[divan::bench]
    fn backup_hears_the_active(bencher: Bencher<'_, '_>) {
        let params = params();
        bench(bencher, &params, backup(&params), Instant::from_millis(1000), advert(200));
    }

    /// An Active advertises on time.
    #[divan::bench]
    fn active_timeout(bencher: Bencher<'_, '_>) {
        let params = params();
        let state = active(&params);
        let (due, _) = state.deadline().unwrap();
        bench(bencher, &params, state, due, Event::Timeout);
    }

    /// The longest way: an Active loses to a rival, with four actions.
    #[divan::bench]
    fn active_yields(bencher: Bencher<'_, '_>) {
        let params = params();
        let state = active(&params);
        let (due, _) = state.deadline().unwrap();
        bench(bencher, &params, state, due, advert(200));
    }
}

/// Many virtual routers: one event among them, with its actions and the queue of deadlines.
mod queue {
    use std::net::{IpAddr, Ipv4Addr};

    use divan::{Bencher, black_box};
    use vrrp_core::wire::{ChecksumForm, Envelope, Repr};
    use vrrp_core::{
        Event, Family, IfIndex, Instant, Params, Priority, Role, Version, VirtualRouterConfig, Vrid, VrrpRouter,
    };

    const V3: Version = Version::V3(Family::V4);
    const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
    const RIVAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    const COUNTS: [usize; 4] = [10, 1_000, 10_000, 65_000];

    /// So many virtual routers, 250 on an interface, started a little apart.
    fn routers(count: usize) -> VrrpRouter {
        let mut router = VrrpRouter::new();
        for n in 0..count {
            let vrid = Vrid::new(u8::try_from(n % 250 + 1).unwrap()).unwrap();
            let params = Params::new(V3).with_primary_address(Some(ME)).unwrap();
            let config = VirtualRouterConfig::new(vrid, params, [ADDRESS]);
            let interface = IfIndex::new(u32::try_from(n / 250 + 1).unwrap()).unwrap();
            let id = router.add(interface, config).unwrap();
            let apart = 1_000_000_000 / u64::try_from(count).unwrap();
            router.handle_event(Instant::from_nanos(u64::try_from(n).unwrap() * apart), id, Event::Startup);
        }
        while router.poll_action().is_some() {}
        router
    }

    /// Backups hear their Actives, in the order of their interfaces: parse, accept, step, and the next deadline.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn advert(bencher: Bencher<'_, '_>, count: usize) {
        hear(bencher, count, 1);
    }

    /// The same in an order that has nothing to do with the one in memory: what the caches do not help with.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn advert_scattered(bencher: Bencher<'_, '_>, count: usize) {
        hear(bencher, count, 7919);
    }

    fn hear(bencher: Bencher<'_, '_>, count: usize, stride: usize) {
        let mut router = routers(count);
        let payloads: Vec<Vec<u8>> = (1..=250)
            .map(|vrid| {
                let addresses = [ADDRESS];
                let priority = Some(Priority::OWNER);
                let repr = Repr { priority, ..Repr::new(V3, Vrid::new(vrid).unwrap(), &addresses) };
                let mut payload = vec![0; repr.buffer_len()];
                repr.emit(RIVAL, Family::V4.group(), ChecksumForm::MessageOnly, &mut payload).unwrap();
                payload
            })
            .collect();
        let envelope = Envelope { source: RIVAL, destination: Family::V4.group(), ttl: Some(255) };
        let apart = 1_000_000_000 / u64::try_from(count).unwrap();
        let (mut n, mut now) = (0, 1_000_000_000);
        let mut hear = || {
            let interface = IfIndex::new(u32::try_from(n / 250 + 1).unwrap()).unwrap();
            let at = Instant::from_nanos(now);
            let taken = router.handle_datagram(at, interface, black_box(&envelope), black_box(&payloads[n % 250]));
            n = (n + stride) % count;
            now += apart;
            (taken.unwrap(), router.poll_action(), router.poll_timeout())
        };
        // Until it is as it stays.
        (0..count).for_each(|_| _ = hear());
        bencher.bench_local(hear);
    }

    /// Actives advertise, one after the other: step, the advertisement's action, and the next deadline.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn timeout(bencher: Bencher<'_, '_>, count: usize) {
        let mut router = routers(count);
        for _ in 0..count {
            let due = router.poll_timeout().unwrap();
            router.handle_timeout(due);
        }
        while router.poll_action().is_some() {}
        assert!(router.ids().all(|id| router.state(id).unwrap().role() == Role::Active));
        bencher.bench_local(|| {
            let due = router.poll_timeout().unwrap();
            router.handle_timeout(black_box(due));
            (router.poll_action(), router.poll_action())
        });
    }
}

/// The simulator: how long a run of 10,000 protocol events takes. The items of a second are the events.
mod simulator {
    use core::time::Duration;

    use divan::Bencher;
    use divan::counter::ItemsCount;
    use vrrp_core::sim::{Link, Setup, Sim};
    use vrrp_core::{Family, Params, Priority, Version, Vrid};

    const EVENTS: u64 = 10_000;

    /// Nodes, and virtual routers on each.
    const CASES: [(u8, u8); 4] = [(2, 1), (3, 1), (8, 1), (2, 200)];

    fn settled((nodes, routers): (u8, u8)) -> Sim {
        let mut sim = Sim::new(1);
        let lan = sim.lan("lan", Link { jitter: Duration::from_micros(50), ..Link::default() });
        for n in 1..=nodes {
            let node = sim.node(&format!("n{n}"));
            for vrid in 1..=routers {
                let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(10 * n).unwrap());
                sim.add(node, lan, Setup { vrid: Vrid::new(vrid).unwrap(), ..Setup::new(params) }).unwrap();
            }
        }
        sim.start_all();
        sim.run_for(Duration::from_secs(10));
        sim
    }

    #[divan::bench(args = CASES)]
    fn events(bencher: Bencher<'_, '_>, case: (u8, u8)) {
        let mut sim = settled(case);
        bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
            let end = sim.events() + EVENTS;
            while sim.events() < end {
                sim.run_for(Duration::from_millis(100));
            }
        });
    }
}
