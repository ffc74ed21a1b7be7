//! What `vrrp-core` costs: `cargo bench -p benches`.

fn main() {
    divan::main();
}

mod common {
    pub(crate) mod hmac;
    pub(crate) mod queue;
    pub(crate) mod step;
    pub(crate) mod wire;
}

/// The receive path of one advertisement, and the writing of one.
mod wire {
    use std::net::IpAddr;

    use divan::{Bencher, black_box};
    use vrrp_core::Vrid;
    use vrrp_core::wire::{Envelope, Packet, Repr};

    use crate::common::wire::{Advertised, Case};

    const CASES: [Case; 4] = [Case::V3OneAddress, Case::V3PseudoHeader, Case::V2Password, Case::V3AllAddresses];

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
    use divan::{Bencher, black_box};
    use vrrp_core::hmac::WallClock;
    use vrrp_core::wire::{ChecksumForm, Envelope, Packet, Repr};

    use crate::common::hmac::{Advertised, Case, WALL, authenticator, key};

    const CASES: [Case; 2] = [Case::OneAddress, Case::FullFrame];

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
    use divan::{Bencher, black_box};
    use vrrp_core::step;

    use crate::common::step::{self as given, Given};

    fn bench(bencher: Bencher<'_, '_>, given: Given) {
        let Given { params, state, now, event } = given;
        bencher.bench_local(|| step(black_box(&params), black_box(state), black_box(now), black_box(event)));
    }

    #[divan::bench]
    fn backup_hears_the_active(bencher: Bencher<'_, '_>) {
        bench(bencher, given::backup_hears_the_active());
    }

    #[divan::bench]
    fn active_timeout(bencher: Bencher<'_, '_>) {
        bench(bencher, given::active_timeout());
    }

    #[divan::bench]
    fn active_yields(bencher: Bencher<'_, '_>) {
        bench(bencher, given::active_yields());
    }
}

/// Many virtual routers: one event among them, with its actions and the queue of deadlines.
mod queue {
    use divan::Bencher;

    use crate::common::queue::{Hearing, actives, advertise};

    const COUNTS: [usize; 4] = [10, 1_000, 10_000, 65_000];

    /// Backups hear their Actives, in the order of their interfaces: parse, accept, step, and the next deadline.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn advert(bencher: Bencher<'_, '_>, count: usize) {
        let mut hearing = Hearing::new(count, 1);
        bencher.bench_local(|| hearing.hear());
    }

    /// The same in an order that has nothing to do with the one in memory: what the caches do not help with.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn advert_scattered(bencher: Bencher<'_, '_>, count: usize) {
        let mut hearing = Hearing::new(count, 7919);
        bencher.bench_local(|| hearing.hear());
    }

    /// Actives advertise, one after the other: step, the advertisement's action, and the next deadline.
    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn timeout(bencher: Bencher<'_, '_>, count: usize) {
        let mut router = actives(count);
        bencher.bench_local(|| advertise(&mut router));
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
