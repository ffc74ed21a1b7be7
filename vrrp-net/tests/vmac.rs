//! Virtual MAC interfaces: who answers for the virtual addresses, with which MAC address, and what stays behind.

mod net;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use net::{PATIENCE, ROLE, eventually, inside, labs, two_hosts};
use vrrp_core::{Family, IfIndex, Vrid};
use vrrp_net::lab::{Host, Interface};
use vrrp_net::netlink::{AddressChange, AddressRequest, Netlink};
use vrrp_net::sysctl::Setting;
use vrrp_net::{Error, VirtualMacInterface, VirtualMacs};

const VIP4: &str = "192.0.2.100";
const VIP6: &str = "2001:db8::100";
const MAC4: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const MAC6: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];

fn vrid() -> Vrid {
    Vrid::new(51).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

// ---------------------------------------------------------------------------------------------------------------------
// The program in the host
// ---------------------------------------------------------------------------------------------------------------------

/// Not a test by itself: a program inside a host that has virtual MAC interfaces, and does what it is told.
#[test]
fn holder() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut netlink = Netlink::open().unwrap();
    let parent = netlink.link_by_name("eth0").unwrap().index;
    let virtual_macs = VirtualMacs::open().unwrap();
    println!("\nleftovers {}", virtual_macs.leftovers().len());
    let mut interfaces: Vec<VirtualMacInterface> = Vec::new();
    if role == "holds" {
        for (family, vip) in [(Family::V4, VIP4), (Family::V6, VIP6)] {
            let interface = virtual_macs.create(parent, vrid(), family, None).unwrap();
            interface.set_up(true).unwrap();
            let request = AddressRequest::new(interface.index(), vip.parse().unwrap());
            let request = AddressRequest { prefix_route: false, ..request };
            netlink.change_address(AddressChange::Set(request)).unwrap();
            interfaces.push(interface);
        }
        // What it says on its own must not say that the virtual address is at the parent's MAC address.
        let socket = UdpSocket::bind((ip(VIP4), 0)).unwrap();
        socket.send_to(b"hello", SocketAddr::from(([192, 0, 2, 2], 9))).unwrap();
    }
    println!("ready {}", interfaces.iter().filter(|interface| interface.is_adopted()).count());
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "drop" => interfaces.clear(),
            "down" => interfaces.iter().for_each(|interface| interface.set_up(false).unwrap()),
            "drift" => {
                let settings: Vec<_> = virtual_macs.drifted().unwrap().iter().map(|it| it.setting).collect();
                println!("drift {settings:?}");
            }
            "clean" => virtual_macs.remove_leftovers().unwrap(),
            "remove" => interfaces.drain(..).for_each(|interface| interface.remove().unwrap()),
            other => panic!("{other}"),
        }
        println!("done");
    }
}

/// A [`holder`] in a host.
struct Holder {
    program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    leftovers: u32,
    adopted: u32,
}

impl Holder {
    fn start(host: &Host, role: &str) -> Self {
        let mut command = inside(host, "holder", role);
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
        let mut holder = Self { program, input, output, leftovers: 0, adopted: 0 };
        holder.leftovers = holder.read("leftovers ").parse().unwrap();
        holder.adopted = holder.read("ready ").parse().unwrap();
        holder
    }

    /// The next line that begins so, without that.
    fn read(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended before it said {start:?}");
            if let Some(rest) = line.trim_end().strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.input, "{what}").unwrap();
        self.read("done");
    }

    fn kill(mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }

    fn end(self) {
        let Self { mut program, input, .. } = self;
        drop(input);
        assert!(program.wait().unwrap().success());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What the hosts have
// ---------------------------------------------------------------------------------------------------------------------

fn names(host: &Host) -> Vec<String> {
    host.links().unwrap().into_iter().map(|link| link.name).collect()
}

fn settings(host: &Host, interface: &Interface) -> [i32; 2] {
    let mut netlink = host.netlink().unwrap();
    [Setting::ArpIgnore, Setting::ArpAnnounce].map(|it| netlink.setting(interface.index(), it).unwrap().unwrap())
}

fn answers(host: &Host, target: &str) -> bool {
    let IpAddr::V4(target) = ip(target) else { panic!("{target}") };
    let pinger = host.ping(target, Duration::from_millis(20)).unwrap();
    pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some()).is_some()
}

/// Whether a TCP connection to a closed port is refused, that is: packets reach the host and come back.
fn refuses(host: &Host, target: &str) -> bool {
    // AF_INET6, SOCK_STREAM
    let socket = socket2::Socket::from(host.socket(10, 1, 0).unwrap());
    let result = socket.connect_timeout(&SocketAddr::new(ip(target), 9).into(), PATIENCE);
    result.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// The MAC addresses that ARP frames say the address is at.
fn said_macs(frames: &[vrrp_net::lab::Frame], address: Ipv4Addr) -> Vec<[u8; 6]> {
    let arp = |bytes: &[u8]| bytes.len() >= 42 && bytes[12..14] == [8, 6] && bytes[28..32] == address.octets();
    let mut macs: Vec<[u8; 6]> =
        frames.iter().filter(|it| arp(&it.bytes)).map(|it| it.bytes[22..28].try_into().unwrap()).collect();
    macs.sort_unstable();
    macs.dedup();
    macs
}

// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn an_05_an_06_the_virtual_addresses_are_at_the_virtual_mac_only() {
    for lab in labs() {
        let lan = lab.bridge("lan").unwrap();
        let capture = lan.capture().unwrap();
        let (a, client) = (lab.host("a").unwrap(), lab.host("client").unwrap());
        let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "2001:db8::1/64"]).unwrap();
        client.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
        let mut holder = Holder::start(&a, "holds");
        assert!(answers(&client, VIP4));
        assert_eq!(client.neighbor(ip(VIP4)).unwrap(), Some(MAC4));
        assert!(refuses(&client, VIP6));
        assert_eq!(client.neighbor(ip(VIP6)).unwrap(), Some(MAC6));
        // The host's own addresses are where they were. This one has not been spoken to yet, so it asks.
        let other = lab.host("other").unwrap();
        other.attach(&lan, "eth0", &["192.0.2.3/24", "2001:db8::3/64"]).unwrap();
        assert!(answers(&other, "192.0.2.1") && refuses(&other, "2001:db8::1"));
        assert_eq!(other.neighbor(ip("192.0.2.1")).unwrap(), Some(a0.mac()));
        assert_eq!(other.neighbor(ip("2001:db8::1")).unwrap(), Some(a0.mac()));

        // AN-21: nothing is derived from the virtual MAC address.
        let addresses = a.addresses().unwrap();
        let on = |name: &str| {
            let index = a.link(name).unwrap().index;
            addresses.iter().filter(|it| it.interface == index).map(|it| it.address).collect::<Vec<_>>()
        };
        assert_eq!((on("vrrp.51"), on("vrrp6.51")), (vec![ip(VIP4)], vec![ip(VIP6)]));
        // Nor would it be if there were a router that advertises.
        let mut netlink = a.netlink().unwrap();
        let mut is = |name: &str, setting| netlink.setting(a.link(name).unwrap().index, setting).unwrap();
        assert_eq!(is("vrrp.51", Setting::DisableIpv6), Some(1));
        assert_eq!((is("vrrp6.51", Setting::AcceptRa), is("vrrp6.51", Setting::Autoconf)), (Some(0), Some(0)));

        // A frame is captured a moment after it passed.
        let said = |address: [u8; 4]| said_macs(&capture.frames(), address.into());
        assert!(eventually(|| !said([192, 0, 2, 100]).is_empty() && !said([192, 0, 2, 1]).is_empty()));
        assert_eq!(said([192, 0, 2, 100]), [MAC4]);
        assert_eq!(said([192, 0, 2, 1]), [a0.mac()]);

        // Somebody undoes what keeps the parent silent.
        a.sysctl("net/ipv4/conf/eth0/arp_ignore", "0").unwrap();
        writeln!(holder.input, "drift").unwrap();
        assert_eq!(holder.read("drift "), "[ArpIgnore]");
        holder.read("done");

        // AN-09: while it is down, the virtual MAC address is nobody's.
        holder.tell("down");
        let pinger = client.ping(Ipv4Addr::new(192, 0, 2, 100), Duration::from_millis(20)).unwrap();
        assert!(pinger.wait_for(Duration::from_millis(300), |reply| reply.received_at.is_some()).is_none());
        holder.kill();
    }
}

#[test]
fn removal_leaves_nothing_and_sets_the_settings_back() {
    for lab in labs() {
        for how in ["remove", "drop"] {
            let lan = lab.bridge(how).unwrap();
            let a = lab.host(&format!("a-{how}")).unwrap();
            let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"]).unwrap();
            a.sysctl("net/ipv4/conf/eth0/arp_announce", "1").unwrap();
            assert_eq!(settings(&a, &a0), [0, 1]);
            let before = a.addresses().unwrap();
            let mut holder = Holder::start(&a, "holds");
            assert_eq!(settings(&a, &a0), [1, 2]);
            assert_eq!(names(&a), ["lo", "eth0", "vrrp.51", "vrrp6.51"]);
            holder.tell(how);
            assert_eq!(names(&a), ["lo", "eth0"]);
            assert_eq!(settings(&a, &a0), [0, 1]);
            assert_eq!(a.addresses().unwrap(), before);
            holder.end();
        }
    }
}

#[test]
fn what_a_killed_predecessor_left_is_adopted_or_cleaned_and_its_settings_are_set_back() {
    for lab in labs() {
        let (a, a0, client, _) = two_hosts(&lab);
        Holder::start(&a, "holds").kill();
        assert_eq!(settings(&a, &a0), [1, 2], "nobody has set it back");
        let left = names(&a);
        assert_eq!(left, ["lo", "eth0", "vrrp.51", "vrrp6.51"]);

        let mut successor = Holder::start(&a, "holds");
        assert_eq!((successor.leftovers, successor.adopted), (2, 2));
        assert_eq!(names(&a), left, "no second ones");
        assert!(answers(&client, VIP4));
        successor.tell("remove");
        assert_eq!((names(&a), settings(&a, &a0)), (vec!["lo".to_owned(), "eth0".to_owned()], [0, 0]));
        successor.end();

        Holder::start(&a, "holds").kill();
        let mut cleaner = Holder::start(&a, "cleans");
        assert_eq!((cleaner.leftovers, cleaner.adopted), (2, 0));
        cleaner.tell("clean");
        assert_eq!((names(&a), settings(&a, &a0)), (vec!["lo".to_owned(), "eth0".to_owned()], [0, 0]));
        cleaner.end();
    }
}

#[test]
fn the_parent_hears_a_rival_that_has_the_same_mac_address() {
    for lab in labs() {
        let (a, _, b, b0) = two_hosts(&lab);
        let (active, rival) = (Holder::start(&a, "holds"), Holder::start(&b, "holds"));
        let group = Ipv4Addr::new(224, 0, 0, 18);
        // AF_INET, SOCK_DGRAM
        let listener = socket2::Socket::from(b.socket(2, 2, 0).unwrap());
        listener.bind(&SocketAddr::from(([0, 0, 0, 0], 5112)).into()).unwrap();
        listener.bind_device(Some(b"eth0")).unwrap();
        let index = socket2::InterfaceIndexOrAddress::Index(b0.index().get());
        listener.join_multicast_v4_n(&group, &index).unwrap();
        listener.set_read_timeout(Some(PATIENCE)).unwrap();

        let speaker = socket2::Socket::from(a.socket(2, 2, 0).unwrap());
        speaker.bind_device(Some(b"vrrp.51")).unwrap();
        // As advertisements are: from the virtual MAC address, but the host's own IP address (RFC 9568 §5.1.1.1).
        speaker.bind(&SocketAddr::new(ip("192.0.2.1"), 0).into()).unwrap();
        speaker.send_to(b"advertisement", &SocketAddr::from((group, 5112)).into()).unwrap();
        let mut buffer = [0; 64];
        let heard = std::io::Read::read(&mut &listener, &mut buffer).unwrap();
        assert_eq!(&buffer[..heard], b"advertisement");
        active.kill();
        rival.kill();
    }
}

#[test]
fn the_same_vrid_on_two_parents_gets_two_names() {
    for lab in labs() {
        let (lan, a) = (lab.bridge("lan").unwrap(), lab.host("a").unwrap());
        let parents = ["eth0", "eth1"].map(|name| a.attach(&lan, name, &[]).unwrap().index());
        let role = parents.map(|index| index.to_string()).join(" ");
        let output = inside(&a, "two_parents", &role).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(names(&a), ["lo", "eth0", "eth1"]);
    }
}

/// Not a test by itself: runs inside a host, with the numbers of two parents as its role.
#[test]
fn two_parents() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let parents: Vec<_> = role.split(' ').map(|it| IfIndex::new(it.parse().unwrap()).unwrap()).collect();
    let virtual_macs = VirtualMacs::open().unwrap();
    let create = |parent: IfIndex, family, name| virtual_macs.create(parent, vrid(), family, name);
    let first = create(parents[0], Family::V4, None).unwrap();
    let second = create(parents[1], Family::V4, None).unwrap();
    let named = create(parents[1], Family::V6, Some("vip6")).unwrap();
    assert_eq!((first.name(), second.name(), named.name()), ("vrrp.51", "vrrp.51.2", "vip6"));
    assert_eq!((first.mac(), named.mac(), second.parent()), (MAC4, MAC6, parents[1]));

    let refused = |parent, name| create(parent, Family::V4, name).unwrap_err();
    let taken = refused(parents[0], Some("eth1"));
    assert!(matches!(&taken, Error::InterfaceExists { name, .. } if name == "eth1"), "{taken}");
    assert!(matches!(refused(parents[0], Some("a/b")), Error::BadName { .. }));
    assert!(matches!(refused(IfIndex::new(4242).unwrap(), None), Error::UnknownInterface { .. }));

    // Two programs run the same virtual router: only one can have it up.
    let again = create(parents[0], Family::V4, Some("again")).unwrap();
    first.set_up(true).unwrap();
    let busy = again.set_up(true).unwrap_err().to_string();
    assert!(busy.contains("is another VRRP program running?"), "{busy}");

    // A parent that goes takes them along, and that is no error.
    let mut netlink = Netlink::open().unwrap();
    netlink.delete_link(first.index()).unwrap();
    first.remove().unwrap();
    let settings = |netlink: &mut Netlink| netlink.setting(parents[0], Setting::ArpIgnore).unwrap();
    assert_eq!(settings(&mut netlink), Some(1), "the other one still needs it");
    again.remove().unwrap();
    assert_eq!(settings(&mut netlink), Some(0));
}
