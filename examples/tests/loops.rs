//! The shortest embeddings, one in each kind of loop, as processes that fail over to each other.

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use common::{Node, PATIENCE, in_parallel};
use vrrp_net::lab::Host;

const POLL: &str = env!("CARGO_BIN_EXE_poll_loop");
const MIO: &str = env!("CARGO_BIN_EXE_mio_loop");
const TOKIO: &str = env!("CARGO_BIN_EXE_tokio_loop");

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn start(program: &str, host: &Host) -> Node {
    Node::run(host, program, ["eth0", "51", &VIP.to_string()])
}

fn serves(host: &Host, yes: bool) {
    let became = host.wait_for_address(IpAddr::V4(VIP), yes, PATIENCE).expect("a list of addresses");
    assert!(became, "{} {} the address", host.name(), if yes { "did not get" } else { "kept" });
}

/// Waits for a line of the log.
fn says(node: &Node, text: &str) {
    assert!(node.log().wait_for(PATIENCE, text), "{text:?} is not in {:#?}", node.log().lines());
}

#[test]
fn each_kind_of_loop_takes_over_from_another_kind_that_is_killed_or_told_to_leave() {
    let Some(lab) = common::lab() else { return };
    drop(lab);
    let pairs = [("poll to mio", (POLL, MIO)), ("mio to tokio", (MIO, TOKIO)), ("tokio to poll", (TOKIO, POLL))];
    in_parallel(pairs.map(|(name, pair)| (name.to_owned(), pair)), |(first, second)| {
        let lab = common::lab().expect("a lab");
        let lan = lab.bridge("lan").expect("a bridge");
        let host = |name: &str, address: &str| {
            let host = lab.host(name).expect("a host");
            host.attach(&lan, "eth0", &[address]).expect("an interface");
            host
        };
        let (a, b) = (host("a", "192.0.2.1/24"), host("b", "192.0.2.2/24"));

        let mut on_a = start(first, &a);
        says(&on_a, "Backup -> Active");
        let mut on_b = start(second, &b);
        says(&on_b, "Initialize -> Backup");
        serves(&a, true);
        serves(&b, false);

        on_a.kill();
        serves(&b, true);
        serves(&a, false);
        // By its guardian: else the other one would have waited for Active_Down_Interval.
        says(&on_b, "Backup -> Active: the Active resigned");

        let on_a = start(first, &a);
        says(&on_a, "Initialize -> Backup");
        assert_eq!(on_b.terminate().code(), Some(0), "{:#?}", on_b.log().lines());
        says(&on_b, "Active -> Initialize: handed over to 192.0.2.1");
        serves(&b, false);
        serves(&a, true);
        says(&on_a, "Backup -> Active: the Active resigned");
    });
}

#[test]
fn a_backup_that_is_told_to_leave_ends_at_once_and_says_nothing_to_the_active() {
    let Some(lab) = common::lab() else { return };
    let lan = lab.bridge("lan").expect("a bridge");
    let active = lab.host("active").expect("a host");
    active.attach(&lan, "eth0", &["192.0.2.1/24"]).expect("an interface");
    let served = start(POLL, &active);
    says(&served, "Backup -> Active");
    for (number, program) in [POLL, MIO, TOKIO].into_iter().enumerate() {
        let host = lab.host(&format!("b{number}")).expect("a host");
        host.attach(&lan, "eth0", &[&format!("192.0.2.1{number}/24")]).expect("an interface");
        let mut backup = start(program, &host);
        says(&backup, "Initialize -> Backup");
        assert_eq!(backup.terminate().code(), Some(0), "{:#?}", backup.log().lines());
        says(&backup, "Backup -> Initialize");
    }
    assert_eq!(served.log().matching(" -> ").len(), 2, "{:#?}", served.log().lines());
}

#[test]
fn a_wrong_argument_is_named_with_what_would_be_right() {
    for program in [POLL, MIO, TOKIO] {
        let refused = |arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("start a program");
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        assert!(refused(&["eth0", "51"]).contains("INTERFACE VRID ADDRESS"));
        assert!(refused(&["eth0", "256", "192.0.2.100"]).contains("256 is not 1..=255"));
        assert!(refused(&["eth0", "x", "192.0.2.100"]).contains("the VRID \"x\""));
        assert!(refused(&["eth0", "51", "192.0.2"]).contains("the address \"192.0.2\""));
    }
}
