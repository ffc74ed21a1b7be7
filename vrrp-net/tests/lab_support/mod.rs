//! What the tests in a lab share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vrrp_net::lab::{Host, Lab};

/// Longer than anything in these tests takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A lab, or `None` where none is allowed: then the test is skipped, loudly.
pub(crate) fn lab() -> Option<Lab> {
    match Lab::new() {
        Ok(lab) => Some(lab),
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

/// Say that a test is skipped, or fail if none may be.
pub(crate) fn skip(why: &str) {
    assert_ne!(std::env::var("VRRP_TEST_REQUIRE").as_deref(), Ok("all"), "{why}");
    // Not by a macro: the test harness would keep that to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED test: {why}");
}

/// Wait until it is so. Returns whether it became so in time.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Wait until frames pass both ways: the kernel drops the first ones of an interface whose queue it has not made yet.
pub(crate) fn wait_until_connected(host: &Host, target: [u8; 4]) {
    let pinger = host.ping(target.into(), Duration::from_millis(2)).unwrap();
    assert!(pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some()).is_some(), "{target:?} does not answer");
}

/// Octets that are written as hexadecimal digits.
pub(crate) fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Send a datagram, IP header included, through a socket of protocol 255.
pub(crate) fn inject(socket: &impl AsFd, datagram: &[u8]) {
    let destination: std::net::IpAddr = match datagram[0] >> 4 {
        4 => <[u8; 4]>::try_from(&datagram[16..20]).unwrap().into(),
        _ => <[u8; 16]>::try_from(&datagram[24..40]).unwrap().into(),
    };
    let address = std::net::SocketAddr::new(destination, 0).into();
    let sent = socket2::SockRef::from(socket).send_to(datagram, &address).unwrap();
    assert_eq!(sent, datagram.len());
}

const ROLE: &str = "VRRP_TEST_UNPRIVILEGED";

/// Runs all tests of this program a second time as `nobody`, if this is root.
pub(crate) fn again_without_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !root || std::env::var_os(ROLE).is_some() {
        return;
    }
    if let Err(error) = Lab::unprivileged() {
        skip(&error.to_string());
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.uid(65534).gid(65534).current_dir("/").env(ROLE, "1").args(["--skip", "everything_works_without_root"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok"), "{text}");
}

/// Say that a test is skipped because others than root may not do this; or fail if root may not either.
pub(crate) fn skip_if_unprivileged(why: &str) {
    assert!(std::env::var_os(ROLE).is_some() || std::env::var_os("VRRP_TEST_REQUIRE").is_none(), "{why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED test: {why}");
}
