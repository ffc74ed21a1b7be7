//! Many virtual routers, and what happens to one after the other.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use vrrp_core::wire::{ChecksumForm, Envelope, Repr};
use vrrp_core::{
    Action, Event, Family, IfIndex, Instant, Params, Priority, Role, RouterId, Version, VirtualRouterConfig, Vrid,
    VrrpRouter,
};

const V3: Version = Version::V3(Family::V4);
const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const RIVAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// What one is told to do, if there is something.
type Told = Option<(RouterId, Action)>;

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

/// Backups that hear their Actives, one after the other.
pub(crate) struct Hearing {
    router: VrrpRouter,
    payloads: Vec<Vec<u8>>,
    envelope: Envelope,
    count: usize,
    stride: usize,
    apart: u64,
    n: usize,
    now: u64,
}

impl Hearing {
    /// After each of them has heard one, so that it is as it stays. The next to hear is `stride` further on.
    pub(crate) fn new(count: usize, stride: usize) -> Self {
        let payloads = (1..=250)
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
        let router = routers(count);
        let mut hearing = Self { router, payloads, envelope, count, stride, apart, n: 0, now: 1_000_000_000 };
        (0..count).for_each(|_| _ = hearing.hear());
        hearing
    }

    /// Parse, accept, step, and the next deadline.
    #[inline]
    pub(crate) fn hear(&mut self) -> (RouterId, Told, Option<Instant>) {
        let interface = IfIndex::new(u32::try_from(self.n / 250 + 1).unwrap()).unwrap();
        let (at, payload) = (Instant::from_nanos(self.now), &self.payloads[self.n % 250]);
        let taken = self.router.handle_datagram(at, interface, black_box(&self.envelope), black_box(payload));
        self.n = (self.n + self.stride) % self.count;
        self.now += self.apart;
        (taken.unwrap(), self.router.poll_action(), self.router.poll_timeout())
    }
}

/// So many Actives.
pub(crate) fn actives(count: usize) -> VrrpRouter {
    let mut router = routers(count);
    for _ in 0..count {
        let due = router.poll_timeout().unwrap();
        router.handle_timeout(due);
    }
    while router.poll_action().is_some() {}
    assert!(router.ids().all(|id| router.state(id).unwrap().role() == Role::Active));
    router
}

/// The next one advertises: step, the advertisement's action, and the next deadline.
#[inline]
pub(crate) fn advertise(router: &mut VrrpRouter) -> (Told, Told) {
    let due = router.poll_timeout().unwrap();
    router.handle_timeout(black_box(due));
    (router.poll_action(), router.poll_action())
}
