//! The driver on a real network: hosts of the lab run an agent that embeds it, driven by commands.

mod addresses;
mod agent;
mod flood;
mod guarded;
mod network;
mod promotion;

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
        b.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
        client.attach(&lan, "eth0", &["192.0.2.9/24", "2001:db8::9/64"]).unwrap();
        Some(Self { _lab: lab, lan, a, a0, b, client })
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

fn ip(host: &Host, arguments: &str) {
    let status = host.command("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Not a test: what an [`Agent`] runs.
#[test]
fn agent() {
    agent::run_if_asked();
}
