//! The programs that die: an application with virtual addresses and a guardian.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal};
use vrrp_core::wire::TtlPolicy;
use vrrp_core::{
    Addressing, Claim, Event, Family, IfIndex, Instant, Interval, Params, Priority, RouterId, Version, VirtualAddr,
    VirtualRouterConfig, Vrid, VrrpRouter,
};
use vrrp_net::filter::ReceiveFilter;
use vrrp_net::guardian::{Farewell, Removal};
use vrrp_net::netlink::{AddressChange, AddressRequest, Netlink};
use vrrp_net::{AdvertSocket, Guardian, Outgoing};

/// The variable that says what to be.
pub(crate) const ROLE: &str = "VRRP_GUARDIAN_TEST_ROLE";

/// A virtual router that is Active, and what is to be done at its end.
struct Service {
    slot: usize,
    removal: Removal,
    farewell: Farewell,
}

/// Not a test by itself.
#[test]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, group) = role.split_once(" in ").map_or((role.as_str(), None), |(role, group)| (role, Some(group)));
    if let Some(group) = group {
        std::fs::write(format!("{group}/cgroup.procs"), "0").unwrap();
    }
    // What the guardian must not have.
    let memory = match role {
        "rich" => vec![1_u8; 64 * 1024 * 1024],
        "huge" => vec![1_u8; 256 * 1024 * 1024],
        _ => Vec::new(),
    };
    let files: Vec<_> = (0..4).map(|_| std::fs::File::open("/proc/self/status").unwrap()).collect();
    let mut guardian = Guardian::spawn().unwrap();
    let services = services(role);
    for service in &services {
        guardian.arm(service.slot, &service.removal, &service.farewell).unwrap();
    }
    match role {
        "disarmed" => guardian.disarm(0),
        "expired" => guardian.extend(0, Some(vrrp_net::now())).unwrap(),
        "again" => {
            let Service { slot, removal, farewell } = services.first().unwrap();
            guardian.arm(*slot, &Removal::new(), &Farewell::new()).unwrap();
            guardian.disarm(*slot);
            guardian.arm(*slot, removal, &Farewell::new()).unwrap();
            guardian.renew(*slot, farewell).unwrap();
        }
        _ => {}
    }
    assert!(guardian.is_alive());
    println!("\nguardian={}", guardian.process_id());
    if let (true, [one, other]) = (role == "restless", &services[..]) {
        loop {
            for service in [one, other] {
                guardian.arm(0, &service.removal, &service.farewell).unwrap();
            }
        }
    }

    if role == "advertises" {
        advertise();
    }

    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
    match word.trim() {
        "abort" => std::process::abort(),
        "segfault" => loop {
            // The first one meets the handler of the standard library, which then makes way.
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::SEGV);
        },
        "exit" => std::process::exit(7),
        "panic and exit" => panic!("as it should"),
        "panic and go on" => {
            let thread = std::thread::spawn(move || {
                let _guardian = guardian;
                panic!("as it should");
            });
            assert!(thread.join().is_err());
        }
        "exec" => panic!("{}", Command::new("sleep").arg("1000").exec()),
        "eat" => loop {
            std::mem::forget(vec![1_u8; 1024 * 1024]);
        },
        "dismiss" => {
            guardian.dismiss();
            println!("\nstopped");
            std::process::exit(0);
        }
        "drop" => {
            drop(guardian);
            println!("\nstopped");
            std::process::exit(0);
        }
        "watch" => {
            println!("\nwatching");
            let mut polled = [rustix::event::PollFd::new(&guardian, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            assert!(!guardian.is_alive());
            drop(guardian);
            let mut another = Guardian::spawn().unwrap();
            for service in &services {
                another.arm(service.slot, &service.removal, &service.farewell).unwrap();
            }
            println!("\nguardian={}", another.process_id());
            sleep();
        }
        "spawn" => spawn_among_threads(),
        "share sockets" => {
            println!("\nheir={}", heir());
            sleep();
        }
        _ => sleep(),
    }
    drop((memory, files));
    sleep();
}

/// Advertises what [`services`] has armed, once a second.
fn advertise() -> ! {
    let interface = Netlink::open().unwrap().link_by_name("eth0").unwrap().index;
    let socket = AdvertSocket::open("eth0", interface, Family::V4, &ReceiveFilter::Everything).unwrap();
    let (mut router, id) = active(51, &["192.0.2.100".parse().unwrap()], interface, &[]);
    let claim = Claim { priority: Some(Priority::new(150).unwrap()), interval: Interval::DEFAULT };
    loop {
        let mut buffer = [0; 100];
        let advert = router.build_advert(id, claim, &mut buffer).unwrap();
        let outgoing = Outgoing::new(advert.source, advert.destination, &buffer[..advert.len]);
        assert_eq!(socket.send(&[outgoing], |_, error| panic!("{error}")), 1);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn sleep() -> ! {
    let _ = std::io::stdout().flush();
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// Spawns many guardians while other threads hold the locks of allocator and standard output most of the time.
fn spawn_among_threads() {
    for _ in 0..4 {
        std::thread::spawn(|| {
            loop {
                let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
                print!("{}", &texts.concat()[..1]);
            }
        });
    }
    let held = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        (fds, maps.lines().filter(|line| line.contains(" rw-s ")).count())
    };
    let before = held();
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let started = std::time::Instant::now();
            let guardian = Guardian::spawn().unwrap();
            let took = started.elapsed();
            assert!(guardian.is_alive());
            guardian.dismiss();
            took
        })
        .collect();
    assert_eq!(held(), before, "descriptors and shared mappings");
    times.sort_unstable();
    println!("\nspawned 100 guardians among 4 threads: median {:?}, most {:?}", times[50], times[99]);
}

/// Starts a process that has all sockets of this one, as a fork would have.
fn heir() -> u32 {
    let this = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let is_socket = |link: std::path::PathBuf| link.to_string_lossy().starts_with("socket:");
    let sockets = entries.filter(|it| std::fs::read_link(it.path()).is_ok_and(is_socket));
    let numbers: Vec<i32> = sockets.map(|it| it.file_name().to_str().unwrap().parse().unwrap()).collect();
    let copies = numbers.iter().map(|fd| rustix::process::pidfd_getfd(&this, *fd, PidfdGetfdFlags::empty()).unwrap());
    let mut copies = copies.map(Stdio::from);
    let mut command = Command::new("sleep");
    command.arg("1000").stdout(Stdio::null()).stderr(Stdio::null());
    command.stdin(copies.next().expect("the guardian's control socket"));
    if let Some(copy) = copies.next() {
        command.stdout(copy);
    }
    if let Some(copy) = copies.next() {
        command.stderr(copy);
    }
    assert!(copies.next().is_none(), "there is a place for each: {numbers:?}");
    drop(copies);
    command.spawn().unwrap().id()
}

fn services(role: &str) -> Vec<Service> {
    let v4 = |number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        VirtualAddr::host(IpAddr::from([198, 18, high, low])).unwrap()
    };
    let six = || vec!["2001:db8::100".parse().unwrap()];
    match role {
        "six" => vec![service(0, 51, six(), &[], "eth0")],
        "unicast" => vec![service(0, 51, six(), &["2001:db8::2".parse().unwrap()], "eth0")],
        "many" => (1..=255_u8).map(|vrid| service(vrid.into(), vrid, vec![v4(vrid.into())], &[], "eth0")).collect(),
        "large" => vec![
            service(0, 51, (1..=5000).map(v4).collect(), &[], "eth0"),
            service(8191, 52, vec!["192.0.2.100".parse().unwrap()], &[], "eth0"),
        ],
        "restless" => {
            let address = || vec!["192.0.2.100".parse().unwrap()];
            vec![service(0, 51, address(), &[], "eth0"), service(0, 52, address(), &[], "eth0")]
        }
        "macvlan" => {
            let mut netlink = Netlink::open().unwrap();
            let eth0 = netlink.link_by_name("eth0").unwrap().index;
            let mac = Vrid::new(51).unwrap().virtual_mac(Family::V4);
            let link = netlink.create_macvlan("vrrp.51", eth0, mac).unwrap().index;
            netlink.set_up(link, true).unwrap();
            let mut service = service(0, 51, vec!["192.0.2.100".parse().unwrap()], &[], "eth0");
            service.removal.link(link);
            vec![service]
        }
        _ => vec![service(0, 51, vec!["192.0.2.100".parse().unwrap()], &[], "eth0")],
    }
}

/// An Active at priority 150 with an interval of 1 s and these addresses, which are installed.
fn service(slot: usize, vrid: u8, addresses: Vec<VirtualAddr>, peers: &[IpAddr], interface: &str) -> Service {
    let mut netlink = Netlink::open().unwrap();
    let interface = netlink.link_by_name(interface).unwrap().index;
    let changes: Vec<_> = addresses
        .iter()
        .map(|address| AddressRequest { protocol: Some(112), ..AddressRequest::new(interface, *address) })
        .map(AddressChange::Set)
        .collect();
    netlink.change_addresses(&changes).unwrap().into_iter().for_each(|result| result.unwrap());

    let mut removal = Removal::new();
    addresses.iter().for_each(|address| removal.address(interface, *address));
    let (mut router, id) = active(vrid, &addresses, interface, peers);
    let mut farewell = Farewell::new();
    farewell.resign(&mut router, id, interface, peers, 255).unwrap();
    Service { slot, removal, farewell }
}

fn active(vrid: u8, addresses: &[VirtualAddr], interface: IfIndex, peers: &[IpAddr]) -> (VrrpRouter, RouterId) {
    let family = addresses.first().unwrap().family();
    let own: IpAddr = match (family, peers) {
        (Family::V4, _) => "192.0.2.1".parse().unwrap(),
        (Family::V6, []) => "fe80::1".parse().unwrap(),
        (Family::V6, _) => "2001:db8::1".parse().unwrap(),
    };
    let params = Params::new(Version::V3(family)).with_priority(Priority::new(150).unwrap());
    let config = VirtualRouterConfig::new(
        Vrid::new(vrid).unwrap(),
        params.with_primary_address(Some(own)).unwrap(),
        addresses.iter().take(20).map(|address| address.address()),
    );
    // Only peers with routers between them have other addresses than link-local ones.
    let ttl = TtlPolicy::Routed { min: 255, max: 255, send: 255 };
    let addressing = match (family, peers) {
        (_, []) => Addressing::default(),
        (Family::V4, _) => Addressing::unicast(peers.iter().copied()),
        (Family::V6, _) => Addressing::unicast_with_ttl(peers.iter().copied(), ttl),
    };
    let mut router = VrrpRouter::new();
    let id = router.add(interface, config.with_addressing(addressing)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let due = router.poll_timeout().unwrap();
    router.handle_timeout(due);
    (router, id)
}
