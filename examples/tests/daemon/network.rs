//! The network of these tests: two places for `vrrpd`, and a client, on one switch.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use vrrp_net::lab::{Bridge, Capture, Frame, Host, Interface, Lab};
use vrrp_net::netlink::{AddressChange, AddressRequest};
use vrrp_net::vrrp_core::VirtualAddr;

use crate::common::{Advert, Node, PATIENCE, adverts, lab, wait_until};

/// The address that moves.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The address of the first place. Fewer than that of the second: it loses a tie.
pub(crate) const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The address of the second place.
pub(crate) const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// How long a client may take to follow: too short for its kernel to find out by itself (5 s), so it was told.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5);

/// A kernel that kept us waiting for longer than this may have broken an election by right.
const STILL: Duration = Duration::from_millis(100);

thread_local! {
    /// The longest wait that the [`Watch`]es of this thread's test have seen, in milliseconds.
    static LONGEST_WAIT: Arc<AtomicU64> = Arc::default();
}

/// Run what asserts that nothing happened for a while, or not before its time. A failure while this machine itself stood
/// still, as a busy one does, shows nothing: then try again.
pub(crate) fn undisturbed(attempt: impl Fn()) {
    let longest_wait = || Duration::from_millis(LONGEST_WAIT.with(|wait| wait.swap(0, Ordering::Relaxed)));
    for _ in 0..5 {
        match catch_unwind(AssertUnwindSafe(&attempt)) {
            Ok(()) => return,
            Err(panic) => match longest_wait() {
                wait if wait < STILL => resume_unwind(panic),
                wait => eprintln!("the machine stood still for {wait:?}: once more"),
            },
        }
    }
    panic!("it failed each time, and each time this machine stood still: it is too busy for this test");
}

/// A thread that does what `vrrpd` must be able to do in time: wake up, and change something in the kernel, which has one
/// lock for that, for all namespaces, that it holds for long while it takes namespaces down.
struct Watch {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(cable: &Interface) -> Self {
        let (ended, index) = (Arc::new(AtomicBool::new(false)), cable.index());
        let (stop, longest) = (Arc::clone(&ended), LONGEST_WAIT.with(Arc::clone));
        let mut netlink = cable.host().netlink().expect("netlink");
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let before = Clock::now();
                std::thread::sleep(Duration::from_millis(5));
                // It is up.
                let _ = netlink.set_up(index, true);
                let millis = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX);
                longest.fetch_max(millis, Ordering::Relaxed);
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A host where `vrrpd` can run, with its cable.
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) cable: Interface,
}

/// Two places and a client on one switch, all frames recorded.
pub(crate) struct Network {
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) client: Place,
    pub(crate) lan: Bridge,
    capture: Capture,
    _watch: Watch,
    _lab: Lab,
}

impl Network {
    /// `None` where no lab is allowed.
    pub(crate) fn new() -> Option<Self> {
        Self::with_addresses(&["192.0.2.1/24"])
    }

    /// The first place has other addresses.
    pub(crate) fn with_addresses(of_a: &[&str]) -> Option<Self> {
        let lab = lab()?;
        let lan = lab.bridge("lan").expect("a bridge");
        let capture = lan.capture().expect("a capture");
        let place = |name: &str, addresses: &[&str]| {
            let host = lab.host(name).expect("a host");
            let cable = host.attach(&lan, "eth0", addresses).expect("an interface");
            Place { host, cable }
        };
        let (a, b) = (place("a", of_a), place("b", &["192.0.2.2/24"]));
        let client = place("client", &["192.0.2.66/24"]);
        client.host.add_route("default", "192.0.2.2").expect("a route");
        let watch = Watch::start(&client.cable);
        Some(Self { a, b, client, lan, capture, _watch: watch, _lab: lab })
    }

    /// Both run, the first place with the higher priority, and it is Active.
    pub(crate) fn settled(&self, interval: &str, more: &[&str]) -> (Node, Node) {
        let a = self.a.start(150, interval, more);
        assert!(a.log().wait_for(PATIENCE, "-> Active"), "{:#?}", a.log().lines());
        let b = self.b.start(100, interval, more);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"), "{:#?}", b.log().lines());
        assert!(self.advertises(&self.a, 1));
        assert!(self.only(&self.a, PATIENCE), "a is not Active alone: {:#?} {:#?}", a.log().lines(), b.log().lines());
        (a, b)
    }

    /// Whether, of the two places, it comes to have the address alone.
    #[must_use]
    pub(crate) fn only(&self, place: &Place, limit: Duration) -> bool {
        let holders = |wanted: bool| {
            let places = [&self.a, &self.b].into_iter();
            places.filter(|it| std::ptr::eq(*it, place) == wanted).all(|it| it.has(VIP.into()) == wanted)
        };
        wait_until(limit, || holders(true) && holders(false))
    }

    /// Whether the client comes to send what it has for the address to this place, and gets an answer.
    #[must_use]
    pub(crate) fn client_follows_to(&self, place: &Place) -> bool {
        let pinger = self.client.host.ping(VIP, Duration::from_millis(10)).expect("a pinger");
        let mac = Some(place.mac());
        let cached = || self.client.host.neighbor(VIP.into()).expect("a neighbor cache");
        pinger.wait_for(FOLLOWS_WITHIN, |reply| reply.received_at.is_some() && reply.mac == mac).is_some()
            && wait_until(FOLLOWS_WITHIN, || cached() == mac)
    }

    /// What this place has put on the wire.
    pub(crate) fn frames_of(&self, place: &Place) -> Vec<Frame> {
        let mut frames = self.capture.frames();
        frames.retain(|frame| frame.bytes.get(6..12) == Some(&place.mac()));
        frames
    }

    /// The advertisements of this place.
    pub(crate) fn adverts_of(&self, place: &Place) -> Vec<Advert> {
        adverts(&self.frames_of(place))
    }

    /// Whether this place sends this many advertisements from now on.
    #[must_use]
    pub(crate) fn advertises(&self, place: &Place, count: usize) -> bool {
        let before = self.adverts_of(place).len();
        wait_until(PATIENCE, || self.adverts_of(place).len() >= before + count)
    }
}

impl Place {
    /// `vrrpd` for virtual router 51 with the address that moves.
    pub(crate) fn start(&self, priority: u8, interval: &str, more: &[&str]) -> Node {
        self.start_with(&[&VIP.to_string()], priority, interval, more)
    }

    /// `vrrpd` for virtual router 51 with these addresses.
    pub(crate) fn start_with(&self, addresses: &[&str], priority: u8, interval: &str, more: &[&str]) -> Node {
        let priority = priority.to_string();
        let addresses = addresses.iter().flat_map(|address| ["--address", *address]);
        let own = ["--interface", "eth0", "--vrid", "51", "--priority", &priority, "--interval", interval];
        Node::start(&self.host, own.into_iter().chain(addresses).chain(more.iter().copied()))
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.cable.mac()
    }

    /// Whether it has this address now.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.host.has_address(address).expect("a list of addresses")
    }

    /// Whether it comes to have the address that moves.
    #[must_use]
    pub(crate) fn gets_vip(&self, limit: Duration) -> bool {
        self.host.wait_for_address(VIP.into(), true, limit).expect("a list of addresses")
    }

    /// Whether it comes to be without the address that moves.
    #[must_use]
    pub(crate) fn loses_vip(&self, limit: Duration) -> bool {
        self.host.wait_for_address(VIP.into(), false, limit).expect("a list of addresses")
    }

    /// Give its interface an address, as an administrator does: for ever.
    pub(crate) fn add(&self, address: &str) {
        let request = AddressRequest::new(self.cable.index(), parse(address));
        self.change(AddressChange::Set(request));
    }

    /// Take an address from its interface.
    pub(crate) fn delete(&self, address: &str) {
        self.change(AddressChange::Remove { interface: self.cable.index(), address: parse(address) });
    }

    pub(crate) fn change(&self, change: AddressChange) {
        self.host.netlink().expect("netlink").change_address(change).expect("a change of addresses");
    }
}

pub(crate) fn parse(address: &str) -> VirtualAddr {
    address.parse().expect("an address")
}

/// The changes of role that a node has logged.
pub(crate) fn transitions(node: &Node) -> Vec<String> {
    node.log().matching(" -> ")
}
