//! Addresses in the kernel: exactly as asked for, many at once, and none lost because of another.

mod net;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use net::{eventually, labs, two_hosts};
use vrrp_core::{IfIndex, VirtualAddr};
use vrrp_net::netlink::{
    AddressChange, AddressRequest, Broadcast, InterfaceAddress, Netlink, Preferred, Scope, lost_with, reconcile,
};
use vrrp_net::sysctl::Setting;

const MARK: u8 = 112;

fn request(interface: IfIndex, text: &str) -> AddressRequest {
    AddressRequest { protocol: Some(MARK), ..AddressRequest::new(interface, text.parse().unwrap()) }
}

fn set(netlink: &mut Netlink, request: AddressRequest) {
    netlink.change_address(AddressChange::Set(request)).unwrap();
}

fn number(number: u32) -> VirtualAddr {
    let [_, _, high, low] = number.to_be_bytes();
    VirtualAddr::host(IpAddr::from([198, 18, high, low])).unwrap()
}

fn found(netlink: &mut Netlink, request: &AddressRequest) -> Option<InterfaceAddress> {
    let address = request.address.address();
    netlink.addresses(Some(request.interface)).unwrap().into_iter().find(|found| found.address == address)
}

/// Whether there is a route to the prefix over the interface.
fn has_route(netlink: &mut Netlink, prefix: &str, interface: IfIndex) -> bool {
    let (address, length) = prefix.split_once('/').unwrap();
    let destination = (address.parse().unwrap(), length.parse().unwrap());
    let over = |hop: &vrrp_net::netlink::NextHop| hop.interface == Some(interface);
    netlink.routes().unwrap().iter().any(|route| route.destination == destination && route.next_hops.iter().any(over))
}

#[test]
fn addresses_are_exactly_as_asked_for() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let (four, six) = (request(a0.index(), "203.0.113.100/24"), request(a0.index(), "2001:db8:1::100/64"));
        let wanted = [
            four,
            AddressRequest { scope: Some(Scope::Link), ..four },
            AddressRequest { scope: Some(Scope::Host), label: "eth0:vip".parse().ok(), ..four },
            AddressRequest { broadcast: Broadcast::Auto, metric: Some(50), ..four },
            AddressRequest { broadcast: Broadcast::Explicit([203, 0, 113, 200].into()), prefix_route: false, ..four },
            AddressRequest { lifetime: Some(50), preferred: Preferred::Seconds(20), ..four },
            AddressRequest { lifetime: Some(50), preferred: Preferred::Never, ..four },
            AddressRequest { peer: "203.0.113.1".parse().ok(), ..request(a0.index(), "203.0.113.100/32") },
            AddressRequest { metric: Some(50), ..six },
            AddressRequest { prefix_route: false, lifetime: Some(50), preferred: Preferred::Never, ..six },
            AddressRequest { peer: "2001:db8:2::1".parse().ok(), ..request(a0.index(), "2001:db8:1::100/128") },
        ];
        for wanted in wanted {
            set(&mut netlink, wanted);
            let found = found(&mut netlink, &wanted).expect("it is there");
            assert!(found.is_usable(), "AN-20: no duplicate address detection: {found:?}");
            netlink.verify_addresses(&[wanted]).unwrap().pop().unwrap().unwrap();
            assert_eq!(reconcile(&[wanted], &[found], Some(MARK)), [], "nothing to be done about {wanted:?}");
            netlink.change_address(wanted.removal()).unwrap();
            assert_eq!(self::found(&mut netlink, &wanted), None, "{wanted:?} is gone");
        }
    }
}

#[test]
fn reconciling_changes_what_is_there_into_what_is_wanted() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let plain = request(a0.index(), "203.0.113.100/24");
        let six = request(a0.index(), "2001:db8:1::100/64");
        let before = netlink.addresses(None).unwrap();
        set(&mut netlink, plain);
        set(&mut netlink, six);
        set(&mut netlink, request(a0.index(), "203.0.113.7/32"));
        let wanted = [
            AddressRequest { label: "eth0:vip".parse().ok(), lifetime: Some(60), ..plain },
            request(a0.index(), "2001:db8:1::100/128"),
            request(a0.index(), "203.0.113.8/32"),
        ];
        let found = netlink.addresses(None).unwrap();
        let changes = reconcile(&wanted, &found, Some(MARK));
        assert!(netlink.change_addresses(&changes).unwrap().iter().all(Result::is_ok));
        let found = netlink.addresses(None).unwrap();
        assert_eq!(reconcile(&wanted, &found, Some(MARK)), []);
        assert_eq!(found.len(), before.len() + wanted.len());
        let changes = reconcile(&[], &found, Some(MARK));
        assert!(netlink.change_addresses(&changes).unwrap().iter().all(Result::is_ok));
        assert_eq!(netlink.addresses(None).unwrap(), before, "what is not ours stays");
    }
}

#[test]
fn what_a_kernel_does_not_keep_is_told() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let plain = request(a0.index(), "203.0.113.100/24");
        set(&mut netlink, plain);
        let labelled = AddressRequest { label: "eth0:vip".parse().ok(), ..plain };
        let absent = request(a0.index(), "203.0.113.101/24");
        let told: Vec<_> = netlink.verify_addresses(&[plain, labelled, absent]).unwrap();
        let told: Vec<_> = told.into_iter().map(|result| result.map_err(|error| error.to_string())).collect();
        let text = |address: &str, what: &str| {
            Err(format!("address {address}/24: the kernel has another {what} than asked for"))
        };
        assert_eq!(told[0], Ok(()));
        assert_eq!(told[1], text("203.0.113.100", "label"));
        assert_eq!(told[2], text("203.0.113.101", "address itself"));
        let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut version = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let is_new = (version.next(), version.next()) >= (Some(5), Some(18));
        assert_eq!(netlink.keeps_address_marks().unwrap(), Some(is_new));
    }
}

/// The kernel's default is to delete the secondary addresses with their primary one; this is told beforehand, and can be put
/// back, or prevented.
#[test]
fn deleting_one_address_does_not_lose_another() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        netlink.set_setting(a0.index(), Setting::PromoteSecondaries, 0).unwrap();
        let names = ["203.0.113.100/24", "203.0.113.101/24", "203.0.113.102/24"];
        let [first, second, third] = names.map(|text| request(a0.index(), text));
        for request in [first, second, third] {
            set(&mut netlink, request);
        }
        let dump = netlink.addresses(None).unwrap();
        let lost = lost_with(&[first.removal()], &dump);
        netlink.change_address(first.removal()).unwrap();
        let left = netlink.addresses(None).unwrap();
        let gone: Vec<_> =
            dump.iter().filter(|it| !left.contains(it) && it.address != first.address.address()).collect();
        assert_eq!(lost, gone, "what was told is what was lost");
        assert_eq!(lost.len(), 2);
        let put_back: Vec<_> = lost.iter().filter_map(|it| it.request()).map(AddressChange::Set).collect();
        assert!(netlink.change_addresses(&put_back).unwrap().iter().all(Result::is_ok));
        assert!(netlink.verify_addresses(&[second, third]).unwrap().iter().all(Result::is_ok));
        assert!(has_route(&mut netlink, "203.0.113.0/24", a0.index()));

        netlink.set_setting(a0.index(), Setting::PromoteSecondaries, 1).unwrap();
        netlink.change_address(second.removal()).unwrap();
        assert!(netlink.verify_addresses(&[third]).unwrap().iter().all(Result::is_ok), "it was promoted");
        assert!(has_route(&mut netlink, "203.0.113.0/24", a0.index()), "and the route is there");
    }
}

#[test]
fn deleting_one_address_does_not_delete_the_route_of_another() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        for (vip, prefix) in [("192.0.2.100/24", "192.0.2.0/24"), ("2001:db8::100/64", "2001:db8::/64")] {
            for (prefix_route, lifetime) in [(true, None), (true, Some(60)), (false, Some(60))] {
                let vip = AddressRequest { prefix_route, lifetime, ..request(a0.index(), vip) };
                assert!(has_route(&mut netlink, prefix, a0.index()));
                set(&mut netlink, vip);
                // Renewed, as a lease is.
                set(&mut netlink, vip);
                assert!(has_route(&mut netlink, prefix, a0.index()), "{vip:?}");
                netlink.change_address(vip.removal()).unwrap();
                assert!(has_route(&mut netlink, prefix, a0.index()), "{vip:?} took the interface's route along");
            }
        }
        // Nor when its lease ends.
        let leased = AddressRequest { lifetime: Some(1), ..request(a0.index(), "2001:db8::100/64") };
        set(&mut netlink, leased);
        assert!(eventually(|| found(&mut netlink, &leased).is_none()));
        assert!(has_route(&mut netlink, "2001:db8::/64", a0.index()), "the lease's end took the route along");
    }
}

#[test]
fn refusals_say_what_for_which_address_and_the_way_out() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let nowhere = IfIndex::new(4242).unwrap();
        a.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        let wanted = [
            request(a0.index(), "203.0.113.100/24"),
            request(nowhere, "203.0.113.100/24"),
            request(a0.index(), "2001:db8:1::100/64"),
            AddressRequest { label: "vip".parse().ok(), ..request(a0.index(), "2001:db8:1::100/64") },
            AddressRequest {
                lifetime: Some(5),
                preferred: Preferred::Seconds(6),
                ..request(a0.index(), "203.0.113.9/24")
            },
            request(a0.index(), "203.0.113.101/24"),
        ];
        let changes: Vec<_> = wanted.into_iter().map(AddressChange::Set).collect();
        let results = netlink.change_addresses(&changes).unwrap();
        let texts: Vec<_> =
            results.iter().map(|it| it.as_ref().map_err(ToString::to_string).err().unwrap_or_default()).collect();
        eprintln!("{texts:#?}");
        assert!(results[0].is_ok() && results[5].is_ok(), "the others are not touched: {texts:?}");
        assert_eq!(texts[1], "no interface with index 4242 (have: lo, eth0)");
        assert!(texts[2].starts_with("set address 2001:db8:1::100/64 on eth0: Permission denied (os error 13)"));
        assert!(
            texts[2].ends_with("IPv6 is turned off there: sysctl -w net/ipv6/conf/eth0/disable_ipv6=0"),
            "{texts:?}"
        );
        assert!(texts[3].contains("IPv6 addresses have no label"));
        assert!(
            texts[4].starts_with("set address 203.0.113.9/24 on eth0: Invalid argument (os error 22)"),
            "{texts:?}"
        );
        // What is not there, or nowhere, is removed with success.
        let removals: Vec<_> = wanted.iter().map(AddressRequest::removal).collect();
        assert!(netlink.change_addresses(&removals).unwrap().iter().all(Result::is_ok));
    }
}

#[test]
fn both_families_go_in_one_batch() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        let before = netlink.addresses(None).unwrap().len();
        let six = |low: u16| VirtualAddr::host(IpAddr::from([0x2001, 0xdb8, 9, 0, 0, 0, 0, low])).unwrap();
        let address = |at: u16| if at.is_multiple_of(2) { number(at.into()) } else { six(at) };
        let requests: Vec<_> = (1..=500).map(|at| AddressRequest::new(a0.index(), address(at))).collect();
        let changes: Vec<_> = requests.iter().map(|request| AddressChange::Set(*request)).collect();
        for chunk in changes.chunks(Netlink::ADDRESS_BATCH) {
            assert!(netlink.change_addresses(chunk).unwrap().iter().all(Result::is_ok));
        }
        assert!(netlink.verify_addresses(&requests).unwrap().iter().all(Result::is_ok));
        let removals: Vec<_> = requests.iter().map(AddressRequest::removal).collect();
        assert!(netlink.change_addresses(&removals).unwrap().iter().all(Result::is_ok));
        assert_eq!(netlink.addresses(None).unwrap().len(), before);
    }
}

/// Not a test of speed: it shows what it costs, beside the bare kernel, for
/// `cargo test --release --test addresses -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn what_five_thousand_addresses_cost() {
    for lab in labs() {
        let (a, a0, ..) = two_hosts(&lab);
        let mut netlink = a.netlink().unwrap();
        // AF_NETLINK, SOCK_RAW, NETLINK_ROUTE
        let bare = socket2::Socket::from(a.socket(16, 3, 0).unwrap());
        let renewed = AddressRequest { lifetime: Some(60), ..request(a0.index(), "192.0.2.9") };
        let requests: Vec<_> = (1..=5000).map(|at| AddressRequest { address: number(at), ..renewed }).collect();
        let changes: Vec<_> = requests.iter().map(|request| AddressChange::Set(*request)).collect();
        let removals: Vec<_> = requests.iter().map(AddressRequest::removal).collect();
        let mut measure = |changes: &[AddressChange], batch: usize| {
            let (started, mut longest) = (Instant::now(), Duration::ZERO);
            for chunk in changes.chunks(batch) {
                let turn = Instant::now();
                assert!(netlink.change_addresses(chunk).unwrap().iter().all(Result::is_ok));
                longest = longest.max(turn.elapsed());
            }
            (started.elapsed(), longest)
        };
        for _ in 0..5 {
            // The same in messages that were made before, and of whose answers nothing is read but their length.
            let batches: Vec<Vec<u8>> =
                requests.chunks(200).map(|batch| batch.iter().flat_map(bare_message).collect()).collect();
            let started = Instant::now();
            for batch in &batches {
                assert_eq!(bare.send(batch).unwrap(), batch.len());
                let mut room = [0_u8; 64 * 1024];
                for _ in 0..200 {
                    std::io::Read::read(&mut &bare, &mut room).unwrap();
                }
            }
            let floor = started.elapsed();
            for batch in [Netlink::ADDRESS_BATCH, 25] {
                measure(&removals, batch);
                let (added, longest) = measure(&changes, batch);
                let (renewed, _) = measure(&changes, batch);
                let (removed, _) = measure(&removals, batch);
                eprintln!(
                    "bare {floor:?}; by {batch}: added {added:?} (longest batch {longest:?}), renewed {renewed:?}, \
                     removed {removed:?}"
                );
            }
        }
    }
}

/// `RTM_NEWADDR` with the same attributes.
fn bare_message(request: &AddressRequest) -> Vec<u8> {
    let IpAddr::V4(address) = request.address.address() else { panic!("IPv4 only") };
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes =
            [&(4 + u16::try_from(value.len()).unwrap()).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let lifetimes = [60_u32.to_ne_bytes(), 60_u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
    let body = [
        vec![2, 32, 0, 0],
        request.interface.get().to_ne_bytes().to_vec(),
        attribute(2, &address.octets()),
        attribute(1, &address.octets()),
        attribute(8, &[0; 4]),
        attribute(6, &lifetimes),
        attribute(11, &[MARK]),
    ]
    .concat();
    // REQUEST, ACK, REPLACE, CREATE
    let length = u32::try_from(16 + body.len()).unwrap().to_ne_bytes();
    [&length[..], &20_u16.to_ne_bytes(), &0x505_u16.to_ne_bytes(), &[0; 8], &body].concat()
}
