//! The lab, and what it is built on: real namespaces, real netlink, real processes.
//!
//! Every test runs as whoever runs it. Root also runs them all a second time as an unprivileged user, see
//! `everything_works_without_root`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vrrp_net::lab::{Frame, Host, Interface, Lab, Process, longest_gap};
use vrrp_net::netlink::{AddressChange, AddressRequest, Change, InterfaceAddress, Monitor, Netlink};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lab, or `None` where none is allowed: then the test is skipped, loudly.
fn lab() -> Option<Lab> {
    match Lab::new() {
        Ok(lab) => Some(lab),
        Err(error) if std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all") => panic!("{error}"),
        Err(error) => {
            // Not by a macro: the test harness would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
            None
        }
    }
}

/// Two hosts on one switch: 192.0.2.1 and 192.0.2.2.
fn two_hosts(lab: &Lab) -> (Host, Interface, Host, Interface) {
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "2001:db8::1/64"]).unwrap();
    let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
    (a, a0, b, b0)
}

const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Whether `b` answers `a`. The kernel repeats an ARP request that was lost after a second only.
fn answers(a: &Host) -> bool {
    let pinger = a.ping(B, Duration::from_millis(5)).unwrap();
    pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some()).is_some()
}

/// Whether `b` does not answer `a` for a while.
fn is_silent(a: &Host) -> bool {
    let pinger = a.ping(B, Duration::from_millis(5)).unwrap();
    pinger.wait_for(Duration::from_millis(300), |reply| reply.received_at.is_some()).is_none()
}

/// Read changes until one is as wanted.
fn expect_change(monitor: &mut Monitor, wanted: impl Fn(&Change) -> bool) -> Change {
    let patience = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < patience {
        let changes = monitor.read(100).unwrap();
        if let Some(change) = changes.iter().find(|change| wanted(change)) {
            return change.clone();
        }
        seen.extend(changes);
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no such change among {seen:#?}");
}

/// The processes in the network namespace of this number, with their names.
fn processes_in(namespace: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let inside =
        entries.filter(|entry| std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|it| it == *namespace));
    inside.map(|entry| std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default()).collect()
}

fn namespace_of(process: &Process) -> String {
    let link = std::fs::read_link(format!("/proc/{}/ns/net", process.id())).unwrap();
    link.into_os_string().into_string().unwrap()
}

/// Wait until it is so. Returns whether it became so in time.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn address(number: u32) -> vrrp_core::VirtualAddr {
    let [_, _, high, low] = number.to_be_bytes();
    vrrp_core::VirtualAddr::host(IpAddr::from([198, 18, high, low])).unwrap()
}

#[test]
fn hosts_on_one_switch_reach_each_other() {
    let Some(lab) = lab() else { return };
    let (a, _, b, b0) = two_hosts(&lab);
    let pinger = a.ping(B, Duration::from_millis(5)).unwrap();
    let reply = pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some()).expect("a reply");
    assert_eq!(reply.mac, Some(b0.mac()));
    assert!(reply.received_at.unwrap() >= reply.sent_at);
    assert_eq!(a.neighbor(B.into()).unwrap(), Some(b0.mac()));
    assert!(b.has_address(B.into()).unwrap() && !a.has_address(B.into()).unwrap());
    assert!(a.addresses().unwrap().iter().all(|address| !address.tentative), "IPv6 addresses can be used at once");

    let replies = pinger.stop();
    let (first, last) = (reply.received_at.unwrap(), replies.iter().filter_map(|it| it.received_at).max().unwrap());
    assert!(longest_gap(&replies, first, last) < Duration::from_secs(5));
}

#[test]
fn a_host_gets_through_a_router_with_a_route() {
    let Some(lab) = lab() else { return };
    let (west, east) = (lab.bridge("west").unwrap(), lab.bridge("east").unwrap());
    let (a, router, b) = (lab.host("a").unwrap(), lab.host("router").unwrap(), lab.host("b").unwrap());
    a.attach(&west, "eth0", &["198.51.100.1/24"]).unwrap();
    router.attach(&west, "west", &["198.51.100.254/24"]).unwrap();
    router.attach(&east, "east", &["192.0.2.254/24"]).unwrap();
    b.attach(&east, "eth0", &["192.0.2.2/24"]).unwrap();
    router.sysctl("net.ipv4.ip_forward", "1").unwrap();
    a.add_route("default", "198.51.100.254").unwrap();
    b.add_route("198.51.100.0/24", "192.0.2.254").unwrap();
    assert!(answers(&a));
    let error = router.sysctl("net.ipv4.no_such", "1").unwrap_err().to_string();
    assert!(error.contains("net.ipv4.no_such") && error.contains("No such file"), "{error}");
}

#[test]
fn a_cut_cable_is_seen_by_the_host_and_heals() {
    let Some(lab) = lab() else { return };
    let (a, a0, _b, _) = two_hosts(&lab);
    let mut monitor = a.monitor().unwrap();
    assert!(answers(&a));

    a0.cut().unwrap();
    assert!(!a.link("eth0").unwrap().carrier);
    let started = Instant::now();
    expect_change(&mut monitor, |change| matches!(change, Change::Link(link) if !link.carrier && !link.running));
    eprintln!("carrier loss seen after {:?}", started.elapsed());
    assert!(is_silent(&a));

    a0.heal().unwrap();
    expect_change(&mut monitor, |change| matches!(change, Change::Link(link) if link.carrier && link.running));
    assert!(answers(&a));
}

#[test]
fn a_silent_cut_leaves_the_carrier() {
    let Some(lab) = lab() else { return };
    let (a, a0, _b, _) = two_hosts(&lab);
    a0.cut_silently().unwrap();
    assert!(is_silent(&a));
    assert!(a.link("eth0").unwrap().carrier);
    a0.heal().unwrap();
    assert!(answers(&a));
}

#[test]
fn a_cable_can_be_cut_one_way() {
    let Some(lab) = lab() else { return };
    let (a, a0, b, b0) = two_hosts(&lab);
    // Whether an ARP request of one is seen at the other. Each asks for another address, since requests for the same
    // one are a second apart.
    let unknown = std::cell::Cell::new(100);
    let heard = |by: &Interface, from: &Interface| {
        let host = if from.host().name() == "a" { &a } else { &b };
        let (listening, sending) = (by.capture().unwrap(), from.capture().unwrap());
        unknown.set(unknown.get() + 1);
        let target = [192, 0, 2, unknown.get()];
        let _pinger = host.ping(target.into(), Duration::from_millis(5)).unwrap();
        let asks = |frame: &Frame| frame.bytes[12..14] == [8, 6] && frame.bytes[38..42] == target;
        assert!(eventually(|| sending.frames().iter().any(asks)));
        std::thread::sleep(Duration::from_millis(50));
        listening.frames().iter().any(asks)
    };
    assert!(heard(&b0, &a0) && heard(&a0, &b0));
    a0.deafen().unwrap();
    assert!(heard(&b0, &a0) && !heard(&a0, &b0), "deaf");
    a0.heal().unwrap();
    assert!(heard(&b0, &a0) && heard(&a0, &b0), "healed");
    a0.mute().unwrap();
    assert!(!heard(&b0, &a0) && heard(&a0, &b0), "mute");
    a0.heal().unwrap();
    assert!(heard(&b0, &a0) && heard(&a0, &b0), "healed again");
}

#[test]
fn an_interface_that_comes_back_has_another_number() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let host = lab.host("a").unwrap();
    let mut monitor = host.monitor().unwrap();
    let first = host.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    first.delete().unwrap();
    let gone = Change::LinkRemoved { index: first.index(), name: "eth0".to_owned() };
    expect_change(&mut monitor, |change| *change == gone);
    let second = host.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    assert_ne!(first.index(), second.index());
    assert!(first.cut().unwrap_err().to_string().contains("no interface with index"));
}

#[test]
fn an_unknown_interface_is_named_with_those_there_are() {
    let Some(lab) = lab() else { return };
    let (a, ..) = two_hosts(&lab);
    assert_eq!(a.link("eth9").unwrap_err().to_string(), "no interface \"eth9\" (have: lo, eth0)");
    let mut netlink = a.netlink().unwrap();
    let nowhere = vrrp_core::IfIndex::new(99).unwrap();
    assert_eq!(netlink.set_up(nowhere, true).unwrap_err().to_string(), "no interface with index 99 (have: lo, eth0)");
}

#[test]
fn a_refusal_carries_the_operation_the_value_and_the_kernels_words() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut netlink = a.netlink().unwrap();
    // No lifetime: the kernel refuses it.
    let request = AddressRequest { lifetime: Some(0), ..AddressRequest::new(a0.index(), address(1)) };
    let error = netlink.change_address(AddressChange::Set(request)).unwrap_err().to_string();
    assert!(error.starts_with("set address 198.18.0.1/32 on eth0: Invalid argument (os error 22)"), "{error}");
    assert!(error.contains("(kernel: "), "{error}");
    eprintln!("{error}");
}

#[test]
fn a_thousand_addresses_are_all_acknowledged() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut netlink = a.netlink().unwrap();
    let before = netlink.addresses(Some(a0.index())).unwrap().len();
    let mut changes: Vec<_> = (1..=1000)
        .map(|number| AddressRequest {
            lifetime: Some(60),
            protocol: Some(112),
            ..AddressRequest::new(a0.index(), address(number))
        })
        .map(AddressChange::Set)
        .collect();
    // One is refused, and only that one.
    if let Some(AddressChange::Set(request)) = changes.get_mut(500) {
        request.lifetime = Some(0);
    }
    let started = Instant::now();
    let results = netlink.change_addresses(&changes).unwrap();
    eprintln!("1000 addresses in {:?}", started.elapsed());
    let refused: Vec<_> = results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(at, _)| at).collect();
    assert_eq!((results.len(), refused), (1000, vec![500]));

    let addresses = netlink.addresses(Some(a0.index())).unwrap();
    let ours: Vec<_> = addresses.iter().filter(|address| address.protocol == Some(112)).collect();
    assert_eq!((addresses.len(), ours.len()), (before + 999, 999));
    assert!(ours.iter().all(|address| address.lifetime.is_some_and(|seconds| seconds <= 60)));

    // Renewing changes nothing but the time; removing all, also the one that is not there, succeeds.
    let renewed = netlink.change_addresses(&changes[..500]).unwrap();
    assert!(renewed.iter().all(Result::is_ok));
    let removals: Vec<_> =
        (1..=1000).map(|number| AddressChange::Remove { interface: a0.index(), address: address(number) }).collect();
    assert!(netlink.change_addresses(&removals).unwrap().iter().all(Result::is_ok));
    assert_eq!(netlink.addresses(Some(a0.index())).unwrap().len(), before);
}

#[test]
fn changes_whose_acknowledgements_are_lost_are_made_again() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    // AF_NETLINK, SOCK_RAW, NETLINK_ROUTE
    let socket = a.socket(16, 3, 0).unwrap();
    // Room for a few acknowledgements only.
    socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
    let mut netlink = Netlink::from_fd(socket).unwrap();
    let changes: Vec<_> =
        (1..=300).map(|number| AddressChange::Set(AddressRequest::new(a0.index(), address(number)))).collect();
    let started = Instant::now();
    let results = netlink.change_addresses(&changes).unwrap();
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|result| result.is_err()));
    assert!(started.elapsed() < Duration::from_secs(1), "nothing was waited for: {:?}", started.elapsed());
    assert_eq!(results.len(), 300);
}

#[test]
fn a_leased_address_goes_by_itself() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut netlink = a.netlink().unwrap();
    let six = "2001:db8::100".parse().unwrap();
    for address in [address(1), six] {
        let request = AddressRequest { lifetime: Some(1), ..AddressRequest::new(a0.index(), address) };
        netlink.change_address(AddressChange::Set(request)).unwrap();
    }
    let started = Instant::now();
    for address in [address(1), six] {
        assert!(a.wait_for_address(address.address(), false, PATIENCE).unwrap(), "{address} stays");
        eprintln!("{address} with a lifetime of 1 s went after {:?}", started.elapsed());
    }
}

#[test]
fn a_monitor_tells_of_links_and_addresses() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut monitor = a.monitor().unwrap();
    let mut netlink = a.netlink().unwrap();

    let request = AddressRequest { protocol: Some(112), ..AddressRequest::new(a0.index(), address(7)) };
    netlink.change_address(AddressChange::Set(request)).unwrap();
    let is_ours = |it: &InterfaceAddress| it.address == address(7).address();
    let added = expect_change(&mut monitor, |change| matches!(change, Change::Address(it) if is_ours(it)));
    let Change::Address(added) = added else { unreachable!() };
    assert_eq!((added.interface, added.prefix_len, added.protocol), (a0.index(), 32, Some(112)));

    netlink.change_address(AddressChange::Remove { interface: a0.index(), address: address(7) }).unwrap();
    expect_change(&mut monitor, |change| matches!(change, Change::AddressRemoved(it) if is_ours(it)));

    netlink.set_up(a0.index(), false).unwrap();
    expect_change(&mut monitor, |change| matches!(change, Change::Link(link) if link.index == a0.index() && !link.up));
    netlink.set_up(a0.index(), true).unwrap();
    expect_change(&mut monitor, |change| matches!(change, Change::Link(link) if link.index == a0.index() && link.up));
}

#[test]
fn a_monitor_that_is_not_read_says_that_it_lost_changes() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut monitor = a.monitor().unwrap();
    monitor.set_receive_buffer(1).unwrap();
    let mut netlink = a.netlink().unwrap();
    let changes: Vec<_> =
        (1..=200).map(|number| AddressChange::Set(AddressRequest::new(a0.index(), address(number)))).collect();
    assert!(netlink.change_addresses(&changes).unwrap().iter().all(Result::is_ok));
    expect_change(&mut monitor, |change| *change == Change::Overrun);
    // And it goes on.
    netlink.set_up(a0.index(), false).unwrap();
    let patience = Instant::now() + PATIENCE;
    loop {
        let changes = monitor.read(1000).unwrap();
        if changes.iter().any(|change| matches!(change, Change::Link(link) if !link.up)) {
            break;
        }
        assert!(Instant::now() < patience, "the monitor is silent after an overrun");
        // An overrun may have taken this one along, too.
        netlink.set_up(a0.index(), true).unwrap();
        netlink.set_up(a0.index(), false).unwrap();
    }
}

#[test]
fn interfaces_are_made_renamed_and_deleted() {
    let Some(lab) = lab() else { return };
    let (a, a0, ..) = two_hosts(&lab);
    let mut netlink = a.netlink().unwrap();
    let mac = vrrp_core::Vrid::new(51).unwrap().virtual_mac(vrrp_core::Family::V4);
    let link = netlink.create_macvlan("vrrp.51", a0.index(), mac).unwrap();
    assert_eq!((link.mac, link.kind.as_deref(), link.up), (Some(mac), Some("macvlan"), false));
    netlink.rename(link.index, "vrrp51").unwrap();
    netlink.set_mac(link.index, [2, 0, 0, 0, 0, 9]).unwrap();
    netlink.set_up(link.index, true).unwrap();
    let link = netlink.link(link.index).unwrap();
    assert_eq!((link.name.as_str(), link.mac, link.up), ("vrrp51", Some([2, 0, 0, 0, 0, 9]), true));
    let taken = netlink.create_macvlan("vrrp51", a0.index(), mac).unwrap_err().to_string();
    assert!(taken.starts_with("make macvlan interface \"vrrp51\": File exists"), "{taken}");
    netlink.delete_link(link.index).unwrap();
    assert!(netlink.link_by_name("vrrp51").is_err());
}

#[test]
fn a_process_is_stopped_resumed_and_killed() {
    let Some(lab) = lab() else { return };
    let host = lab.host("a").unwrap();
    let state = |process: &Process| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim().chars().next().unwrap()
    };
    let mut process = host.spawn("sleep", ["1000"]).unwrap();
    assert_ne!(namespace_of(&process), std::fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy());
    process.stop().unwrap();
    assert!(eventually(|| state(&process) == 'T'));
    process.resume().unwrap();
    assert!(eventually(|| state(&process) == 'S'));
    assert_eq!(process.wait(Duration::ZERO).unwrap(), None);
    process.terminate().unwrap();
    assert!(process.wait(PATIENCE).unwrap().is_some_and(|status| !status.success()));
    process.kill().unwrap();

    let error = host.spawn("/no/such/program", [""; 0]).unwrap_err().to_string();
    assert!(error.starts_with("start \"/no/such/program\" in the lab: No such file"), "{error}");
}

#[test]
fn a_program_inside_sees_the_hosts_interfaces_as_root() {
    let Some(lab) = lab() else { return };
    let (a, ..) = two_hosts(&lab);
    let output = a.command("cat").args(["/proc/net/dev", "/proc/self/status"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut interfaces: Vec<_> = text.lines().filter_map(|line| line.split_once(": ").map(|it| it.0.trim())).collect();
    interfaces.sort_unstable();
    assert_eq!(interfaces, ["eth0", "lo"]);
    let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    assert_eq!(u64::from_str_radix(effective, 16).unwrap() >> 12 & 3, 3, "CAP_NET_ADMIN and CAP_NET_RAW");
}

#[test]
fn dropping_a_lab_kills_what_runs_in_it_also_what_left_its_group() {
    let Some(lab) = lab() else { return };
    let host = lab.host("a").unwrap();
    let process = host.spawn("sleep", ["1000"]).unwrap();
    let mut daemon = host.command("sleep").arg("1000").process_group(0).spawn().unwrap();
    let namespace = namespace_of(&process);
    assert_eq!(processes_in(&namespace).len(), 2);
    drop(lab);
    assert_eq!(processes_in(&namespace), [""; 0]);
    assert!(!daemon.wait().unwrap().success());
    // What is left of the lab can be asked, but starts nothing.
    assert_eq!(host.links().unwrap().len(), 1);
    assert!(host.spawn("sleep", ["1000"]).unwrap_err().to_string().contains("canceled"));
}

#[test]
fn a_capture_shows_arp_and_can_be_written_to_a_file() {
    let Some(lab) = lab() else { return };
    let lan = lab.bridge("lan").unwrap();
    let capture = lan.capture().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
    b.attach(&lan, "eth0", &["192.0.2.2/24"]).unwrap();
    assert!(answers(&a));
    let is_request = |bytes: &[u8]| bytes[12..14] == [8, 6] && bytes[6..12] == a0.mac();
    assert!(eventually(|| capture.frames().iter().any(|frame| is_request(&frame.bytes))));
    let path = std::env::temp_dir().join(format!("vrrp-lab-{}.pcap", std::process::id()));
    capture.write_pcap(&path).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::remove_file(&path).unwrap();
    assert!(length > 24);
    assert!(capture.write_pcap("/no/such/folder/x").unwrap_err().to_string().contains("/no/such/folder/x"));
}

#[test]
fn labs_in_parallel_do_not_see_each_other() {
    let Some(_) = lab() else { return };
    let labs: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                let lab = Lab::new().unwrap();
                let (a, _, b, b0) = two_hosts(&lab);
                let process = b.spawn("sleep", ["1000"]).unwrap();
                assert!(answers(&a));
                assert_eq!(a.neighbor(B.into()).unwrap(), Some(b0.mac()));
                // With the host the namespace stays, and so nobody else gets its number.
                (namespace_of(&process), b)
            })
        })
        .collect();
    let hosts: Vec<_> = labs.into_iter().map(|lab| lab.join().unwrap()).collect();
    let mut namespaces: Vec<_> = hosts.iter().map(|(namespace, _)| namespace).collect();
    for namespace in &namespaces {
        assert_eq!(processes_in(namespace), [""; 0]);
    }
    namespaces.sort();
    namespaces.dedup();
    assert_eq!(namespaces.len(), 8);
}

// ---------------------------------------------------------------------------------------------------------------------
// Programs that die: this test program starts itself, with what to do in the environment.
// ---------------------------------------------------------------------------------------------------------------------

const ROLE: &str = "VRRP_LAB_TEST_ROLE";

/// This test program again, running one of its tests in a role.
fn again(test: &str, role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role).stdin(Stdio::null());
    command
}

/// Not a test by itself: a program that makes a lab with processes in it, and dies.
#[test]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role != "panics" && role != "is killed" {
        return;
    }
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let process = host.spawn("sleep", ["1000"]).unwrap();
    let _daemon = Process::start(host.command("sleep").arg("1000").process_group(0)).unwrap();
    println!("\nprocess={}", process.id());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    assert_ne!(role, "panics", "as it should");
    loop {
        std::thread::park();
    }
}

fn no_trace_is_left_when_the_program(role: &str) {
    use std::io::{BufRead, BufReader, Write};

    let Some(_) = lab() else { return };
    let mut program = again("victim", role);
    let mut program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let process = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("process=").map(str::to_owned));
    let link = format!("/proc/{}/ns/net", process.expect("the victim gets that far"));
    let namespace = std::fs::read_link(&link).unwrap().to_string_lossy().into_owned();
    // Kept open, so that no other lab gets its number while this one looks for it.
    let _held = std::fs::File::open(link).unwrap();
    assert_eq!(processes_in(&namespace).len(), 2);

    match role {
        "is killed" => program.kill().unwrap(),
        _ => program.stdin.take().unwrap().write_all(b"\n").unwrap(),
    }
    assert!(!program.wait().unwrap().success());
    let started = Instant::now();
    assert!(eventually(|| processes_in(&namespace).is_empty()), "left: {:?}", processes_in(&namespace));
    eprintln!("clean {:?} after the program's end", started.elapsed());
    // Nobody but this test has it open, so otherwise the kernel would have removed it.
    assert!(eventually(|| holders_of(&namespace).is_empty()), "held by {:?}", holders_of(&namespace));
}

/// The processes that have this namespace open, without this one.
fn holders_of(namespace: &str) -> Vec<u32> {
    let is_it = |fd: std::fs::DirEntry| std::fs::read_link(fd.path()).is_ok_and(|link| link == *namespace);
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds_it = |process: &u32| {
        let fds = std::fs::read_dir(format!("/proc/{process}/fd"));
        fds.is_ok_and(|fds| fds.filter_map(Result::ok).any(is_it))
    };
    processes.filter(|process| *process != std::process::id()).filter(holds_it).collect()
}

#[test]
fn no_trace_is_left_of_a_program_that_panics() {
    no_trace_is_left_when_the_program("panics");
}

#[test]
fn no_trace_is_left_of_a_program_that_is_killed() {
    no_trace_is_left_when_the_program("is killed");
}

/// Runs all tests a second time as `nobody`, if this is root.
#[test]
fn everything_works_without_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !root || std::env::var_os(ROLE).is_some() {
        return;
    }
    if let Err(error) = Lab::unprivileged() {
        assert_ne!(std::env::var("VRRP_TEST_REQUIRE").as_deref(), Ok("all"), "{error}");
        let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.uid(65534).gid(65534).current_dir("/").env(ROLE, "unprivileged").args(["--skip", "everything_works"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new("/proc/self/ns/user").exists() && text.contains("test result: ok"), "{text}");
}
