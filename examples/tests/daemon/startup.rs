//! What cannot be run ends at the start, with one line that names the value and the way out, and leaves nothing behind.

use std::process::Stdio;

use vrrp_net::lab::{Host, Lab, Process};

use crate::common::{Log, PATIENCE, TempDir, lab, tool};

/// Arguments, the exit status, and what the line says.
type Case<'c> = (&'c [&'c str], i32, &'c [&'c str]);

const ON_ETH0: [&str; 4] = ["--interface", "eth0", "--vrid", "51"];
const ADDRESS: [&str; 2] = ["--address", "192.0.2.100"];

#[test]
fn an_impossible_value_is_named_with_what_would_be_right() {
    let Some((_lab, host)) = one_host() else { return };
    let cases: [Case<'_>; 20] = [
        (&["--priority", "0"], 1, &["priority 0", "1..=255"]),
        (&["--priority", "256"], 1, &["priority 256", "1..=255"]),
        (&["--interval", "15ms"], 1, &["15ms", "multiple of 10 ms"]),
        (&["--interval", "0"], 1, &["interval of 0", "10 ms to 40.95 s"]),
        (&["--interval", "50s"], 1, &["50 s", "10 ms to 40.95 s"]),
        (&["--interval", "soon"], 2, &["soon", "10ms, 1s or 0.5"]),
        (&["--version", "2", "--interval", "1.5"], 1, &["1500 ms", "VRRPv2", "whole seconds", "VRRPv3"]),
        (&["--version", "4"], 1, &["version 4", "2 or 3"]),
        (&["--auth-pass", "secret"], 1, &["password", "VRRPv3", "VRRPv2"]),
        (&["--version", "2", "--auth-pass", "ninechars"], 1, &["9 octets", "8", "use its first 8"]),
        (&["--version", "2", "--auth-pass", ""], 1, &["empty", "1 to 8"]),
        (&["--nopreempt", "--preempt-delay", "5s"], 2, &["--nopreempt", "--preempt-delay"]),
        (&["--log", "loud"], 2, &["loud"]),
        (&["--lease", "1.5"], 2, &["1.5", "auto, off or whole seconds"]),
        (&["--unicast-peer", "peer"], 2, &["peer", "not an address"]),
        (&["--unicast-peer", "fe80::2"], 1, &["fe80::2", "IPv4"]),
        (&["--least-ttl", "250"], 1, &["least-ttl", "unicast-peers"]),
        (&["--track-interface", "eth1 weight 300"], 2, &["300", "-253..=253"]),
        (&["--hmac-key-file", "/dev/null"], 1, &["/dev/null", "32 to 64"]),
        (&["--checksum", "none"], 2, &["none", "auto", "message_only", "pseudo_header"]),
    ];
    for (arguments, status, words) in cases {
        refused(&host, &[ON_ETH0.as_slice(), &ADDRESS, arguments].concat(), status, words);
    }
}

#[test]
fn a_router_id_outside_its_range_is_named_with_the_range() {
    let Some((_lab, host)) = one_host() else { return };
    for vrid in ["0", "256"] {
        let arguments = ["--interface", "eth0", "--vrid", vrid, "--address", "192.0.2.100"];
        refused(&host, &arguments, 1, &[&format!("router id {vrid}"), "1..=255"]);
    }
}

#[test]
fn an_unknown_interface_is_named_with_those_there_are() {
    let Some((_lab, host)) = one_host() else { return };
    let arguments = ["--interface", "eth9", "--vrid", "51", "--address", "192.0.2.100"];
    refused(&host, &arguments, 1, &["no interface \"eth9\"", "have: lo, eth0"]);
}

#[test]
fn an_impossible_address_is_named_with_what_would_be_right() {
    let Some((_lab, host)) = one_host() else { return };
    let cases: [Case<'_>; 7] = [
        (&["224.0.0.1"], 2, &["224.0.0.1", "unicast address"]),
        (&["127.0.0.1"], 2, &["127.0.0.1", "unicast address"]),
        (&["192.0.2.1/33"], 2, &["192.0.2.1/33", "prefix length 33", "0..=32"]),
        (&["192.0.2.300"], 2, &["192.0.2.300", "write it as"]),
        (&["2001:db8::100/129"], 2, &["2001:db8::100/129", "prefix length 129", "0..=128"]),
        (&["192.0.2.100", "2001:db8::100"], 1, &["2001:db8::100", "IPv4"]),
        (&["192.0.2.100", "192.0.2.100"], 1, &["192.0.2.100", "twice"]),
    ];
    for (addresses, status, words) in cases {
        let given: Vec<&str> = addresses.iter().flat_map(|address| ["--address", *address]).collect();
        refused(&host, &[ON_ETH0.as_slice(), given.as_slice()].concat(), status, words);
    }
}

#[test]
fn a_file_that_cannot_be_run_is_named_with_the_place_and_what_would_be_right() {
    let Some((_lab, host)) = one_host() else { return };
    let folder = TempDir::new();
    let router = "[[router]]\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.100\"]\n";
    // As an owner, the first router is Active before the second is looked at.
    let owner = format!("{router}priority = 255\n");
    let cases: [(&str, String, &[&str]); 5] = [
        ("unknown.toml", format!("{router}prio = 4\n"), &["unknown.toml:5", "prio", "priority"]),
        ("address.toml", router.replace("100", "300"), &["address.toml:4", "not an address"]),
        ("range.toml", router.replace("51", "256"), &["range.toml", "256", "1..=255"]),
        ("empty.toml", String::new(), &["empty.toml", "[[router]]"]),
        ("twice.toml", owner + &router.replace("100", "101"), &["eth0/51", "use another id"]),
    ];
    for (name, text, words) in cases {
        let path = folder.write(name, &text).display().to_string();
        refused(&host, &["--config", &path], 1, words);
    }
    let missing = folder.file("missing.toml").display().to_string();
    refused(&host, &["--config", &missing], 1, &[&missing, "No such file"]);
}

#[test]
fn a_file_and_options_for_one_router_exclude_each_other() {
    let Some((_lab, host)) = one_host() else { return };
    for option in ["--priority=5", "--interval=2s", "--nopreempt", "--unicast-peer=192.0.2.2", "--announce-repeat=1"] {
        refused(&host, &["--config", "/dev/null", option], 2, &["--config", "cannot be used with"]);
    }
}

#[test]
fn a_missing_capability_is_named_with_the_way_to_get_it() {
    let Some((_lab, host)) = one_host() else { return };
    let Some(setpriv) = tool("setpriv", "util-linux") else { return };
    let setpriv = setpriv.display().to_string();
    for (keep, missing) in [("-all", "CAP_NET_RAW"), ("-all,+net_raw", "CAP_NET_ADMIN")] {
        let (bounding, inheritable) = (format!("--bounding-set={keep}"), format!("--inh-caps={keep}"));
        let program = [setpriv.as_str(), &bounding, &inheritable, env!("CARGO_BIN_EXE_vrrpd")];
        let words = [missing, "is missing", "run as root", "setcap cap_net_raw,cap_net_admin+ep"];
        refused_by(&host, &[program.as_slice(), &ON_ETH0, &ADDRESS].concat(), 1, &words);
    }
}

/// A host with an interface that nobody else is on.
fn one_host() -> Option<(Lab, Host)> {
    let lab = lab()?;
    let lan = lab.bridge("lan").expect("a bridge");
    let host = lab.host("a").expect("a host");
    host.attach(&lan, "eth0", &["192.0.2.1/24"]).expect("an interface");
    Some((lab, host))
}

fn refused(host: &Host, arguments: &[&str], status: i32, words: &[&str]) {
    refused_by(host, &[&[env!("CARGO_BIN_EXE_vrrpd")], arguments].concat(), status, words);
}

/// The program ends by itself with this status and one line of error that contains these words, and the host has the
/// addresses that it had.
fn refused_by(host: &Host, command: &[&str], status: i32, words: &[&str]) {
    let addresses = || {
        let list = host.addresses().expect("a list of addresses");
        list.into_iter().map(|it| (it.interface, it.address, it.prefix_len)).collect::<Vec<_>>()
    };
    let before = addresses();
    let mut program = host.command(command[0]);
    program.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Process::start(&mut program).expect("start vrrpd");
    let log = Log::of(&mut process);
    let ended = process.wait(PATIENCE).expect("wait for vrrpd");
    let ended = ended.unwrap_or_else(|| panic!("{command:?} runs: {:#?}", log.lines()));
    let lines = log.finish();
    assert_eq!(ended.code(), Some(status), "{command:?}: {lines:#?}");
    assert_eq!(addresses(), before, "{command:?}");

    // What the parser of the command line adds is help, and what a router did before the error is no error.
    let help = ["Usage:", "For more information", "  --"];
    let is_help = |line: &str| line.is_empty() || help.iter().any(|start| line.starts_with(start));
    let errors: Vec<&String> =
        lines.iter().filter(|line| !is_help(line) && !line.contains(" INFO ") && !line.contains(" WARN ")).collect();
    assert_eq!(errors.len(), 1, "{command:?}: {lines:#?}");
    assert!(words.iter().all(|word| errors[0].contains(word)), "{command:?}: {words:?} in {:?}", errors[0]);
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "colours in a log that is no terminal: {lines:?}");
}

#[test]
fn an_address_of_two_virtual_routers_is_refused() {
    let Some((_lab, host)) = one_host() else { return };
    let folder = TempDir::new();
    let router = |vrid| format!("[[router]]\ninterface = \"eth0\"\nvrid = {vrid}\naddresses = [\"192.0.2.100\"]\n");
    let file = folder.write("twice.toml", &(router(51) + &router(52)));
    let words = ["eth0/52", "192.0.2.100 is an address of virtual router 51 on eth0 already"];
    refused(&host, &["--config", &file.display().to_string()], 1, &words);
}
