//! In steady state nothing is allocated: 10,000 virtual routers, half of them Active, under a counting allocator.
#![cfg(feature = "alloc")]

mod common;

use core::cell::Cell;
use core::net::IpAddr;
use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};

use common::{RIVAL_ABOVE, priority};
use vrrp_core::wire::{ChecksumForm, Discard, Envelope, Repr};
use vrrp_core::{
    Action, Event, Family, IfIndex, Instant, Priority, Role, RouterId, Version, VirtualRouterConfig, Vrid, VrrpRouter,
};

std::thread_local! {
    /// Allocations of this thread: other threads are the test harness's.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it came; counting neither allocates nor panics (the
// counter has no destructor, and no machine counts to the end of 64 bits).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`; `System` gave the pointer.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`; `System` gave the pointer.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INTERFACES: u32 = 40;
const VRIDS: u8 = 250;
const V3: Version = Version::V3(Family::V4);

/// A peer's advertisement for each VRID.
fn datagrams(value: u8) -> Vec<Vec<u8>> {
    let addresses: [IpAddr; 1] = [[198, 51, 100, 1].into()];
    let datagram = |vrid| {
        let repr = Repr { priority: Priority::from_wire(value), ..Repr::new(V3, Vrid::new(vrid).unwrap(), &addresses) };
        let mut octets = vec![0; repr.buffer_len()];
        repr.emit(RIVAL_ABOVE, Family::V4.group(), ChecksumForm::PseudoHeader, &mut octets).unwrap();
        octets
    };
    (1..=VRIDS).map(datagram).collect()
}

struct Network {
    router: VrrpRouter,
    now: Instant,
    /// What an Active of higher priority says, what one of lower says, and what is broken.
    higher: Vec<Vec<u8>>,
    lower: Vec<Vec<u8>>,
    broken: Vec<u8>,
    sent: u64,
    done: u64,
}

impl Network {
    /// Carries out everything there is to do: builds the advertisements.
    fn carry_out(&mut self) {
        let mut buffer = [0; 64];
        while let Some((id, action)) = self.router.poll_action() {
            if let Action::SendAdvert(claim) = action {
                let advert = self.router.build_advert(id, claim, &mut buffer).unwrap();
                assert_eq!(advert.len, 12);
                self.router.count_sent(id, claim);
                self.sent += 1;
            }
            self.done += 1;
        }
    }

    /// One second: every Backup hears its Active, some Actives a rival, every deadline is met.
    fn second(&mut self) {
        let envelope = Envelope { source: RIVAL_ABOVE, destination: Family::V4.group(), ttl: Some(255) };
        for index in 1..=INTERFACES {
            let interface = IfIndex::new(index).unwrap();
            for vrid in 1..=VRIDS {
                let at = usize::from(vrid) - 1;
                // Odd VRIDs have an Active elsewhere; of the others every tenth a rival that loses.
                if vrid % 2 == 1 {
                    self.router.handle_datagram(self.now, interface, &envelope, &self.higher[at]).unwrap();
                } else if vrid % 20 == 0 {
                    self.router.handle_datagram(self.now, interface, &envelope, &self.lower[at]).unwrap();
                }
            }
            let broken = self.router.handle_datagram(self.now, interface, &envelope, &self.broken);
            assert_eq!(broken, Err(Discard::Checksum));
            self.carry_out();
        }
        let end = self.now + Duration::from_secs(1);
        while let Some(at) = self.router.poll_timeout().filter(|at| *at < end) {
            self.now = at;
            self.router.handle_timeout(at);
            self.carry_out();
        }
        self.now = end;
    }
}

#[test]
fn ten_thousand_virtual_routers_allocate_nothing_in_steady_state() {
    let mut router = VrrpRouter::new();
    let mut ids = Vec::new();
    for index in 1..=INTERFACES {
        for id in 1..=VRIDS {
            let params = common::params(V3).with_priority(priority(100));
            let config = VirtualRouterConfig::new(Vrid::new(id).unwrap(), params, [[198, 51, 100, 1].into()]);
            let id: RouterId = router.add(IfIndex::new(index).unwrap(), config).unwrap();
            // Not all at once, so that the deadlines differ.
            router.handle_event(Instant::from_millis(u64::from(index)), id, Event::Startup);
            ids.push(id);
        }
    }
    let mut broken = datagrams(200).swap_remove(0);
    broken[2] ^= 1;
    let (higher, lower) = (datagrams(200), datagrams(50));
    let mut network = Network { router, now: Instant::from_millis(50), higher, lower, broken, sent: 0, done: 0 };
    for _ in 0..10 {
        network.second();
    }
    let role = |role| ids.iter().filter(|id| network.router.state(**id).unwrap().role() == role).count();
    assert_eq!((role(Role::Active), role(Role::Backup)), (5_000, 5_000));

    (network.sent, network.done) = (0, 0);
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..10 {
        network.second();
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(allocations, 0);
    // 5,000 Actives advertise each second, 480 of them once more to a rival.
    assert_eq!(network.sent, 10 * (5_000 + 480));
    assert!(network.done > network.sent, "they also announced");
    // That the counter counts.
    drop(Vec::<u8>::with_capacity(1));
    assert!(ALLOCATIONS.with(Cell::get) > before);
}
