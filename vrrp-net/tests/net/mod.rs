//! What the tests of this crate share.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use vrrp_net::lab::{Host, Interface, Lab};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Labs to test in: root's, and that of an unprivileged user, as far as this machine allows them. What it does not allow is
/// skipped, loudly.
pub(crate) fn labs() -> Vec<Lab> {
    let made = if is_root() { vec![Lab::new(), Lab::unprivileged()] } else { vec![Lab::new()] };
    let allowed = |lab: Result<Lab, _>| match lab {
        Ok(lab) => Some(lab),
        Err(error) if std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all") => panic!("{error}"),
        Err(error) => {
            // Not by a macro: the test harness would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
            None
        }
    };
    made.into_iter().filter_map(allowed).collect()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Two hosts on one switch: 192.0.2.1 and 192.0.2.2, each with an address and a prefix of IPv6 too.
#[allow(dead_code)]
pub(crate) fn two_hosts(lab: &Lab) -> (Host, Interface, Host, Interface) {
    let lan = lab.bridge("lan").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24", "2001:db8::1/64"]).unwrap();
    let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap();
    (a, a0, b, b0)
}

/// Wait until it is so. Returns whether it became so in time.
#[allow(dead_code)]
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// What says that a test program runs inside a host, and as what.
#[allow(dead_code)]
pub(crate) const ROLE: &str = "VRRP_NET_TEST_ROLE";

/// This test program again, inside a host, running one of its tests in a role: `/proc/sys` is that of the process.
#[allow(dead_code)]
pub(crate) fn inside(host: &Host, test: &str, role: &str) -> Command {
    let mut command = host.command("/proc/self/exe");
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}
