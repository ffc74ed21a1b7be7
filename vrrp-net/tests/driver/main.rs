//! The driver on a real network: hosts of the lab run an agent that embeds it, driven by commands.

mod accept;
mod addresses;
mod agent;
mod flood;
mod guarded;
mod interfaces;
mod leftovers;
mod neighbors;
mod network;
mod paths;
mod privileges;
mod promotion;
mod reconfigure;
mod refusals;
mod scenario_health;
mod scenario_host;
mod scenario_network;
mod scenario_process;
mod scenario_protocol;
mod scenario_table;
mod sending;
#[cfg(feature = "serde")]
mod status;
mod ways;

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use vrrp_net::lab::{Bridge, Host, Interface, Lab};

use self::agent::Agent;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(15);

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));

/// Two hosts on a switch, and a client.
struct Pair {
    _lab: Lab,
    lan: Bridge,
    a: Host,
    a0: Interface,
    b: Host,
    b0: Interface,
    client: Host,
}

impl Pair {
    /// `None`, loudly, where no lab can be made.
    fn new() -> Option<Self> {
        let lab = match Lab::new() {
            Ok(lab) => lab,
            Err(error) if std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all") => panic!("{error}"),
            Err(error) => {
                // Not by a macro: the test harness would keep that to itself.
                let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
                return None;
            }
        };
        let lan = lab.bridge("lan").unwrap();
        let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
        let client = lab.host("client").unwrap();
        let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "2001:db8::1/64"]).unwrap();
        let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
        client.attach(&lan, "eth0", &["192.0.2.9/24", "2001:db8::9/64"]).unwrap();
        Some(Self { _lab: lab, lan, a, a0, b, b0, client })
    }
}

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

/// Has `a` at priority 150 and `b` at 100, both with these further words, and `a` Active.
fn elected(net: &Pair, words: &str) -> (Agent, Agent) {
    let mut a = Agent::start(&net.a);
    a.tell(&format!("add 192.0.2.100 priority=150 {words}"));
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell(&format!("add 192.0.2.100 priority=100 {words}"));
    b.expect("Initialize -> Backup");
    (a, b)
}

/// Waits until the client reaches the address at the interface that has this MAC address.
fn client_reaches(net: &Pair, mac: [u8; 6]) -> bool {
    let pinger = net.client.ping(std::net::Ipv4Addr::new(192, 0, 2, 100), Duration::from_millis(10)).unwrap();
    let last_is_there = || pinger.replies().iter().rev().find_map(|reply| reply.mac) == Some(mac);
    eventually(last_is_there)
}

/// Whether all that is expected of each host's address list comes to be so.
fn only_on(with: &Host, without: &Host) -> bool {
    eventually(|| with.has_address(VIP).unwrap() && !without.has_address(VIP).unwrap())
}

fn ip(host: &Host, arguments: &str) {
    let status = host.command("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Not a test: what an [`Agent`] runs.
#[test]
fn agent() {
    agent::run_if_asked();
}
