//! What the neighbors of a virtual router hear of its addresses (RFC 9568 §6.4.2, §6.4.3, §8.1, §8.2).

use vrrp_net::lab::{Frame, Host};
use vrrp_net::{Announcement, LinkSocket};

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 0x33];

const VIP6: &str = "2001:db8::100";

/// The MAC addresses that ARP frames say the address is at.
fn said_over_arp(frames: &[Frame], address: [u8; 4]) -> Vec<[u8; 6]> {
    let is = |bytes: &[u8]| bytes.len() >= 42 && bytes[12..14] == [8, 6] && bytes[28..32] == address;
    once(frames.iter().filter(|it| is(&it.bytes)).map(|it| it.bytes[22..28].try_into().unwrap()))
}

/// The source MAC addresses of ICMPv6 messages of this type about the address, with the flags of each.
fn said_over_icmp(frames: &[Frame], kind: u8, address: [u8; 16]) -> Vec<([u8; 6], u8)> {
    let is = |it: &[u8]| it.len() >= 78 && it[12..14] == [0x86, 0xdd] && it[20] == 58 && it[54] == kind;
    let about = frames.iter().filter(|it| is(&it.bytes) && it.bytes[62..78] == address);
    once(about.map(|it| (it.bytes[6..12].try_into().unwrap(), it.bytes[58])))
}

fn once<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn octets6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// The client asks anew who has the address, until somebody answers.
fn asks(client: &Host, address: &str) {
    let answered = eventually(|| {
        let _ = client.command("ip").args(["neigh", "flush", "dev", "eth0"]).status().unwrap();
        let ping = client.command("ping").args(["-c", "1", "-W", "1", address]).output().unwrap();
        ping.status.success()
    });
    assert!(answered, "nobody answers for {address}");
}

#[test]
fn an_07_an_08_an_10_the_active_alone_answers_for_the_addresses() {
    let Some(net) = Pair::new() else { return };
    net.a.sysctl("net/ipv6/conf/all/forwarding", "1").unwrap();
    net.b.sysctl("net/ipv6/conf/all/forwarding", "1").unwrap();
    let commands = ["add 192.0.2.100 interval=10", "add fe80::5e:100 2001:db8::100/64 interval=10"];
    let [mut a, mut b] = [&net.a, &net.b].map(Agent::start);
    commands.iter().for_each(|command| a.tell(&format!("{command} priority=150")));
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    commands.iter().for_each(|command| b.tell(command));
    assert!(b.says("Initialize -> Backup", 2), "{:#?}", b.lines());

    // The kernel joins them a little after the addresses are there.
    let groups = || {
        let output = net.a.command("ip").args(["-6", "maddr", "show", "dev", "eth0"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let are_joined = || ["ff02::1:ff5e:100", "ff02::1:ff00:100"].into_iter().all(|group| groups().contains(group));
    assert!(eventually(are_joined), "{}", groups());

    let capture = net.lan.capture().unwrap();
    for _ in 0..3 {
        asks(&net.client, "192.0.2.100");
        asks(&net.client, VIP6);
    }
    let mac = net.a0.mac();
    let is_answered = || !said_over_icmp(&capture.frames(), 136, octets6(VIP6)).is_empty();
    assert!(eventually(|| !said_over_arp(&capture.frames(), [192, 0, 2, 100]).is_empty() && is_answered()));
    let frames = capture.frames();
    assert_eq!(said_over_arp(&frames, [192, 0, 2, 100]), [mac]);
    // Router, Solicited, Override.
    assert_eq!(said_over_icmp(&frames, 136, octets6(VIP6)), [(mac, 0xe0)]);
    let is_router_advert = |it: &Frame| it.bytes.len() > 54 && it.bytes[12..14] == [0x86, 0xdd] && it.bytes[54] == 134;
    assert!(!frames.iter().any(is_router_advert));
    a.stop();
    b.stop();
}

#[test]
fn tx_05_an_05_an_06_an_17_an_owner_that_restarts_speaks_with_its_virtual_mac_alone() {
    let Some(net) = Pair::new() else { return };
    let capture = net.lan.capture().unwrap();
    for _ in 0..2 {
        let mut a = Agent::start(&net.a);
        a.tell("add 192.0.2.100 interval=10 priority=255 mac=virtual");
        a.tell("add fe80::5e:100 interval=10 priority=255 mac=virtual");
        assert!(a.says("-> Active", 2), "{:#?}", a.lines());
        asks(&net.client, "192.0.2.100");
        a.stop();
    }
    let frames = capture.frames();
    assert_eq!(said_over_arp(&frames, [192, 0, 2, 100]), [VIRTUAL_MAC]);
    let virtual_mac = [0, 0, 0x5e, 0, 2, 0x33];
    let said = said_over_icmp(&frames, 136, octets6("fe80::5e:100"));
    assert!(!said.is_empty() && said.iter().all(|(mac, _)| *mac == virtual_mac), "{said:x?}");
    let advert = |it: &&Frame| it.bytes.len() > 34 && it.bytes[12..14] == [8, 0] && it.bytes[23] == 112;
    assert!(frames.iter().filter(advert).all(|it| it.bytes[6..12] == VIRTUAL_MAC));
    let sent: Vec<u8> = frames.iter().filter(advert).map(|it| it.bytes[36]).collect();
    assert!(sent.len() > 2, "priorities: {sent:?}");
}

#[test]
fn se_04_another_host_that_claims_an_address_is_reported_and_answered() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.tell("add fe80::5e:100 2001:db8::100/64 interval=10");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    let link = net.client.link("eth0").unwrap();
    // AF_PACKET, SOCK_RAW
    let rogue = LinkSocket::from_fd(net.client.socket(17, 3, 0).unwrap()).unwrap();
    let claim = |address: &str| {
        let claimed = rogue.announce([Announcement::new(link.index, link.mac.unwrap(), address.parse().unwrap())]);
        assert!(matches!(claimed, (1, None)), "{claimed:?}");
    };
    let is_reported = |address: &str| {
        let text = format!("{address} is claimed by another host, {}", mac_text(link.mac.unwrap()));
        eventually(|| {
            claim(address);
            a.lines().iter().any(|line| line.contains(&text))
        })
    };
    // At first it may be the last word of the Active before.
    assert!(is_reported("192.0.2.100") && is_reported(VIP6), "{:#?}", a.lines());
    // An address that is sent from, too: the kernel drops what comes from there, and the rival is not heard.
    assert!(is_reported("192.0.2.1"), "{:#?}", a.lines());
    // Once in a while, whatever the rival does.
    let reports = || a.lines().iter().filter(|line| line.contains("192.0.2.100 is claimed")).count();
    let before = reports();
    let capture = net.lan.capture().unwrap();
    (0..200).for_each(|_| claim("192.0.2.100"));
    claim(VIP6);
    let arrived = || capture.frames().iter().filter(|it| it.bytes[6..12] == link.mac.unwrap()).count() >= 201;
    assert!(eventually(arrived));
    assert!(reports() <= before + 1, "{:#?}", a.lines());
    a.stop();
}

#[test]
fn se_04_the_address_of_a_rival_is_defended() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    // Until then what is said may be meant for the time before.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let capture = net.lan.capture().unwrap();
    ip(&net.client, "addr add 192.0.2.100/24 dev eth0");
    let _ =
        net.client.command("ping").args(["-c", "1", "-W", "1", "-I", "192.0.2.100", "192.0.2.77"]).output().unwrap();
    a.expect("192.0.2.100 is claimed by another host");
    let defended = || said_over_arp(&capture.frames(), [192, 0, 2, 100]).contains(&net.a0.mac());
    assert!(eventually(defended));
    a.stop();
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

#[test]
fn an_09_a_backup_takes_nothing_that_is_sent_to_the_virtual_mac() {
    let Some(net) = Pair::new() else { return };
    let [mut a, mut b] = [&net.a, &net.b].map(Agent::start);
    a.tell("add 192.0.2.100 interval=10 priority=150 mac=virtual");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10 mac=virtual");
    b.expect("Initialize -> Backup");
    let state = |host: &Host| {
        let output = host.command("ip").args(["-o", "link", "show", "dev", "vrrp.51"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(state(&net.a).contains(",UP"), "{}", state(&net.a));
    assert!(!state(&net.b).contains(",UP"), "{}", state(&net.b));

    // To the Backup's own MAC address it is of no use either: it has no such address.
    let link = net.b.link("eth0").unwrap().mac.unwrap();
    let mac = mac_text(link);
    ip(&net.client, &format!("neigh replace 192.0.2.100 lladdr {mac} dev eth0 nud permanent"));
    let ping = net.client.command("ping").args(["-c", "2", "-i", "0.1", "-W", "1", "192.0.2.100"]).output().unwrap();
    assert!(!ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
    ip(&net.client, "neigh del 192.0.2.100 dev eth0");
    asks(&net.client, "192.0.2.100");
    a.stop();
    b.stop();
}

#[test]
fn an_13_an_15_the_active_forwards_for_its_neighbors_and_keeps_what_is_for_the_address() {
    let Some(net) = Pair::new() else { return };
    let inside = net._lab.bridge("inside").unwrap();
    let server = net._lab.host("server").unwrap();
    server.attach(&inside, "eth0", &["198.51.100.9/24"]).unwrap();
    server.add_route("192.0.2.0/24", "198.51.100.1").unwrap();
    net.a.attach(&inside, "eth1", &["198.51.100.1/24"]).unwrap();
    net.a.sysctl("net/ipv4/ip_forward", "1").unwrap();
    net.client.add_route("198.51.100.0/24", "192.0.2.100").unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 mac=virtual");
    a.expect("-> Active");
    asks(&net.client, "198.51.100.9");
    assert_eq!(net.client.neighbor(VIP).unwrap(), Some(VIRTUAL_MAC));
    // With a TTL that no router passes on.
    let once = ["-c", "1", "-W", "5", "-t", "1"];
    let ping = |address: &str| net.client.command("ping").args(once).arg(address).output().unwrap().status.success();
    assert!(ping("192.0.2.100") && !ping("198.51.100.9"));
    a.stop();
}

#[test]
fn an_18_an_interface_that_comes_back_is_announced_on() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    net.a0.cut().unwrap();
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    let capture = net.lan.capture().unwrap();
    net.a0.heal().unwrap();
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert!(eventually(|| said_over_arp(&capture.frames(), [192, 0, 2, 100]) == [net.a0.mac()]));
    a.stop();
}

#[test]
fn hosts_that_the_first_announcements_did_not_reach_hear_the_next_soon() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    b.tell("add 192.0.2.100 interval=50");
    b.expect("Backup -> Active");
    a.tell("add 192.0.2.100 interval=50");
    a.expect("Initialize -> Backup");
    asks(&net.client, "192.0.2.100");
    assert_eq!(net.client.neighbor(VIP).unwrap(), Some(net.b0.mac()));
    // A switch that forwards nothing of a port for a moment, and a takeover in that moment.
    net.a0.mute().unwrap();
    b.stop();
    a.expect("Backup -> Active");
    net.a0.heal().unwrap();
    assert_eq!(net.client.neighbor(VIP).unwrap(), Some(net.b0.mac()), "it has heard nothing");
    let healed = std::time::Instant::now();
    assert!(eventually(|| net.client.neighbor(VIP).unwrap() == Some(net.a0.mac())));
    // The second round is after 5 s.
    assert!(healed.elapsed() < std::time::Duration::from_millis(4500), "{:?}", healed.elapsed());
    a.stop();
}

#[test]
fn an_19_an_22_solicitations_and_unsolicited_advertisements_agree_on_the_mac() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add fe80::5e:100 2001:db8::100/64 interval=10 mac=virtual");
    a.expect("-> Active");
    assert!(eventually(|| net.a.has_address(VIP6.parse().unwrap()).unwrap()));
    let virtual_mac = [0, 0, 0x5e, 0, 2, 0x33];
    asks(&net.client, VIP6);
    assert_eq!(net.client.neighbor(VIP6.parse().unwrap()).unwrap(), Some(virtual_mac));

    // From the virtual address, to a neighbor that is not known yet: what asks for it says nothing else of the address.
    ip(&net.a, "neigh flush dev eth0");
    let capture = net.lan.capture().unwrap();
    let _ = net.a.command("ping").args(["-c", "1", "-W", "2", "-I", VIP6, "2001:db8::9"]).output().unwrap();
    let asked = |it: &Frame| it.bytes.len() >= 86 && it.bytes[12..14] == [0x86, 0xdd] && it.bytes[54] == 135;
    assert!(eventually(|| capture.frames().iter().any(asked)));
    for frame in capture.frames().iter().filter(|it| asked(it) && it.bytes[22..38] == octets6(VIP6)) {
        assert_eq!(frame.bytes[80..86], virtual_mac, "source link-layer address");
    }

    // A Backup that takes over without the virtual MAC tells the client, who believes it at once.
    a.stop();
    let mut b = Agent::start(&net.b);
    b.tell("add fe80::5e:100 2001:db8::100/64 interval=10");
    b.expect("-> Active");
    let mac = net.b.link("eth0").unwrap().mac;
    assert!(eventually(|| net.client.neighbor(VIP6.parse().unwrap()).unwrap() == mac));
    b.stop();
}

#[test]
fn an_08_a_link_local_address_without_a_prefix_length_on_a_virtual_mac_is_reached() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "link add uplink type veth peer name up1");
    ip(&net.a, "link set uplink up");
    ip(&net.a, "link set up1 up");
    let mut a = Agent::start(&net.a);
    a.tell("add fe80::5e:100 interval=10 mac=virtual elsewhere=10.9.0.1/24@uplink");
    a.expect("-> Active");
    // By name of the interface, since it is link-local.
    let ping = || {
        let ping = net.client.command("ping").args(["-c", "1", "-W", "1", "fe80::5e:100%eth0"]).output().unwrap();
        ping.status.success()
    };
    assert!(eventually(ping));
    assert_eq!(net.client.neighbor("fe80::5e:100".parse().unwrap()).unwrap(), Some([0, 0, 0x5e, 0, 2, 0x33]));
    // The route to the prefix is left out where the parent has it, and there only.
    let routes = net.a.command("ip").args(["route", "show", "dev", "uplink"]).output().unwrap();
    assert!(String::from_utf8_lossy(&routes.stdout).contains("10.9.0.0/24"));
    a.tell("reconfigure fe80::5e:100 fe80::5e:200 interval=10 mac=virtual elsewhere=10.9.0.1/24@uplink");
    a.expect("reconfigured from");
    assert!(net.a.wait_for_address("fe80::5e:200".parse().unwrap(), true, PATIENCE).unwrap());
    assert!(ping());
    // Found again with its prefix length: it is neither missed nor put back.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!a.has_said("another program") && !a.has_said("Active ->"), "{:#?}", a.lines());
    a.stop();
    assert!(!net.a.has_address("10.9.0.1".parse().unwrap()).unwrap());
}

#[test]
fn se_04_the_router_that_took_over_from_a_stopped_one_is_no_intruder() {
    let Some(net) = Pair::new() else { return };
    let [mut a, mut b] = [&net.a, &net.b].map(Agent::start);
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("Initialize -> Backup");
    // So that what is claimed then counts.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    a.process().stop().unwrap();
    b.expect("Backup -> Active");
    assert!(net.b.wait_for_address(VIP, true, PATIENCE).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    // It finds the advertisements of the other one and its announcements, all at once.
    a.process().resume().unwrap();
    b.expect("Active -> Backup");
    assert!(net.b.wait_for_address(VIP, false, PATIENCE).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!a.lines().iter().any(|line| line.contains("claimed")), "{:#?}", a.lines());
    a.stop();
    b.stop();
}
