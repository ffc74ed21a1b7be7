//! Hosts that are not as their file would have them: interfaces that are missing or down, programs that may do little.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{PATIENCE, TempDir, root, wait_until};
use crate::node::{Kind, Node};
use crate::site::Site;

fn site() -> Option<Site> {
    Site::new("eth0", &["192.0.2.1/24", "192.0.2.2/24"], "192.0.2.100")
}

fn instance(name: &str, interface: &str, id: u8, more: &str) -> String {
    format!("vrrp_instance {name} {{\n interface {interface}\n virtual_router_id {id}\n{more}\n}}\n")
}

#[test]
fn an_interface_that_is_missing_at_the_start_keeps_no_other_instance_from_serving() {
    let Some(site) = site() else { return };
    let other = "use_vmac\n virtual_ipaddress {\n 198.51.100.100/24\n }";
    let text = instance("VI_1", "eth0", 51, "virtual_ipaddress {\n 192.0.2.100/24\n }");
    let text = text + &instance("VI_2", "eth9", 51, other) + "static_ipaddress {\n 10.9.0.1/24 dev eth9\n }\n";
    let mut node = Node::start(Kind::Ours, &site.hosts[0], &text);
    node.says("no interface \"eth9\" (have: lo, eth0)");
    site.wait_for_holders(&[0]);
    let _eth9 = site.hosts[0].attach(&site.lan, "eth9", &["198.51.100.1/24"]).unwrap();
    for address in ["198.51.100.100", "10.9.0.1"] {
        let there = site.hosts[0].wait_for_address(address.parse().unwrap(), true, PATIENCE).unwrap();
        assert!(there, "{address}: {:#?}", node.log().lines());
    }
    node.terminate();
}

#[test]
fn an_instance_leaves_while_another_interface_that_its_addresses_or_routes_are_on_is_down_unless_told_not_to() {
    let address = "virtual_ipaddress_excluded {\n 198.51.100.100/24 dev eth1\n }";
    let route = "virtual_routes {\n 203.0.113.0/24 via 198.51.100.9 dev eth1\n }";
    let untracked = address.replace("eth1", "eth1 no_track");
    for (more, leaves) in [(address, true), (route, true), (untracked.as_str(), false)] {
        let Some(site) = site() else { return };
        let own = format!("virtual_ipaddress {{\n 192.0.2.100/24\n }}\n{more}");
        let inner = site.hosts[0].attach(&site.lan, "eth1", &["198.51.100.1/24"]).unwrap();
        let mut node = Node::start(Kind::Ours, &site.hosts[0], &instance("VI_1", "eth0", 51, &own));
        site.wait_for_holders(&[0]);
        site.hosts[0].netlink().unwrap().set_up(inner.index(), false).unwrap();
        if leaves {
            node.says("something that is tracked is down");
            site.wait_for_holders(&[]);
            site.hosts[0].netlink().unwrap().set_up(inner.index(), true).unwrap();
            site.wait_for_holders(&[0]);
        } else {
            site.stays_with(&[0], std::time::Duration::from_secs(2));
        }
        node.terminate();
    }
}

#[test]
fn a_pipe_is_readable_for_the_user_that_scripts_run_as() {
    if !root("only root can run scripts as another user") {
        return;
    }
    let Some(site) = site() else { return };
    let folder = TempDir::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let place = folder.path().display().to_string();
    let reader = folder.write("reader.sh", &format!("#!/bin/sh\nexec cat \"$1\" >> {place}/told\n"));
    std::fs::set_permissions(&reader, std::fs::Permissions::from_mode(0o755)).unwrap();
    let global = format!(
        "global_defs {{\n script_user nobody\n notify_fifo {place}/pipe\n notify_fifo_script {}\n}}\n",
        reader.display()
    );
    let text = global + &instance("VI_1", "eth0", 51, "virtual_ipaddress {\n 192.0.2.100/24\n }");
    let mut node = Node::start_in(Kind::Ours, &site.hosts[0], &text, folder);
    site.wait_for_holders(&[0]);
    let expected = "INSTANCE \"VI_1\" BACKUP 100\nINSTANCE \"VI_1\" MASTER 100\n";
    let told = || std::fs::read_to_string(node.file("told")).unwrap_or_default();
    assert!(wait_until(PATIENCE, || told() == expected), "{:?} {:#?}", told(), node.log().lines());
    assert_ne!(std::fs::metadata(node.file("pipe")).unwrap().uid(), 0);
    node.terminate();
}

#[test]
fn programs_users_and_pipes_that_are_missing_keep_no_address_from_being_served() {
    let Some(site) = site() else { return };
    let folder = TempDir::new();
    let place = folder.path().display().to_string();
    let text = format!(
        "global_defs {{\n notify_fifo {place}/none/pipe\n startup_script {place}/none\n}}\n\
         vrrp_script gone {{\n script {place}/none\n interval 1\n}}\n\
         vrrp_script whose {{\n script /bin/false\n interval 1\n user nobody-here\n}}\n{}",
        instance(
            "VI_1",
            "eth0",
            51,
            "virtual_ipaddress {\n 192.0.2.100/24\n }\n track_script {\n gone\n whose\n }\n\
             notify_master /bin/true nobody-here\n notify /none/none",
        )
    );
    let mut node = Node::start_in(Kind::Ours, &site.hosts[0], &text, folder);
    site.wait_for_holders(&[0]);
    for said in [
        "gone: ",
        "there is no user \"nobody-here\" on this host: what is to run as that user is not run",
        "nobody is told there: pipe ",
        "/none/none: cannot be run",
    ] {
        node.says(said);
    }
    assert!(node.log().matching("-> Initialize").is_empty(), "{:#?}", node.log().lines());
    node.terminate();
}

#[test]
fn an_address_given_twice_counts_once_and_a_host_is_no_peer_of_its_own() {
    let Some(site) = site() else { return };
    let more = "virtual_ipaddress {\n 192.0.2.100/24\n 192.0.2.100/24\n }\n unicast_peer {\n 192.0.2.1\n 192.0.2.2\n }";
    let mut node = Node::start(Kind::Ours, &site.hosts[0], &instance("VI_1", "eth0", 51, more));
    node.says("192.0.2.100 is given twice: it counts once");
    node.says("VI_1: 192.0.2.1 is this host's own address, and no peer");
    site.wait_for_holders(&[0]);
    let mut other = Node::start(Kind::Ours, &site.hosts[1], &instance("VI_1", "eth0", 51, more));
    other.says("-> Backup");
    site.stays_with(&[0], std::time::Duration::from_secs(5));
    node.terminate();
    site.wait_for_holders(&[1]);
    other.terminate();
}

#[test]
fn a_test_of_the_file_finds_what_could_not_be_run() {
    let first = instance("VI_1", "eth0", 51, "virtual_ipaddress {\n 192.0.2.100/24\n }");
    let beside = |id, more| first.clone() + &instance("VI_2", "eth0", id, more);
    let cases = [
        (beside(51, "virtual_ipaddress {\n 192.0.2.101/24\n }"), "VI_1 is virtual router 51 for IPv4 on eth0 already"),
        (beside(52, "virtual_ipaddress {\n 192.0.2.100/24\n }"), "192.0.2.100 is an address of VI_1 already"),
        (beside(52, "virtual_ipaddress_excluded {\n 192.0.2.101\n }"), "VI_2: it needs 1 to 255 addresses"),
    ];
    let folder = TempDir::new();
    for (text, words) in cases {
        let path = folder.write("keepalived.conf", &text);
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_keepalived"));
        let output = program.arg("-t").arg("-f").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(words) && said.contains("keepalived.conf:"), "{words:?} in {said}");
    }
    // Both families have numbers of their own, and so has each interface.
    let six = instance("VI_6", "eth0", 51, "virtual_ipaddress {\n 2001:db8::100\n }");
    let inner = instance("VI_I", "eth1", 51, "virtual_ipaddress {\n 192.0.2.100/24\n }");
    let path = folder.write("keepalived.conf", &(first.clone() + &six + &inner));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keepalived")).arg("-t").arg("-f").arg(&path).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

#[test]
fn a_namespace_that_is_not_there_is_named_and_nothing_runs_in_another_one() {
    let folder = TempDir::new();
    let path = folder.write("keepalived.conf", &instance("VI_1", "lo", 51, "virtual_ipaddress {\n 192.0.2.100\n }"));
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_keepalived"));
    let output = program.args(["-n", "-l", "-G", "-s", "no-such-namespace", "-f"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("network namespace \"no-such-namespace\""), "{said}");
}
