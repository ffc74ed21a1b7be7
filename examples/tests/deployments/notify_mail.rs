//! A check without weight, so that its failure is a fault, and scripts that are told of every state.

use std::path::Path;
use std::time::Duration;

use vrrp_net::lab::Host;

use crate::common::{PATIENCE, TempDir, in_parallel, root, wait_until};
use crate::node::{Kind, Node, PAIRS, file};
use crate::site::Site;

fn site() -> Option<Site> {
    Site::new("enp0s3", &["192.168.0.11/24", "192.168.0.12/24"], "192.168.0.99")
}

/// Scripts that write down how they were called, and a check that succeeds while a file is there.
fn scripts(folder: &TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let place = folder.path().display();
    let note = |name: &str| format!("#!/bin/sh\necho \"{name} $*\" >> {place}/told\n");
    let check = format!("#!/bin/sh\ntest -e {place}/healthy\n");
    let all = [
        ("mail_send.sh", note("mail_send")),
        ("mail_send_master.sh", note("master")),
        ("mail_send_backup.sh", note("backup")),
        ("mail_send_fault.sh", note("fault")),
        ("nginx_check.sh", check),
    ];
    for (name, text) in all {
        let path = folder.write(name, &text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.write("healthy", "");
}

/// The file, with the folder of its scripts exchanged.
fn start(kind: Kind, host: &Host, name: &str) -> (Node, std::path::PathBuf) {
    let folder = TempDir::new();
    scripts(&folder);
    let place = folder.path().to_owned();
    // Scripts run as another user where there is one of the name keepalived_script.
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let text = file("notify-mail", name).replace("/etc/keepalived", &place.display().to_string());
    (Node::start_in(kind, host, &text, folder), place)
}

fn told(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_for(folder: &Path, expected: &[&str]) {
    let so = wait_until(PATIENCE, || told(folder) == expected);
    assert!(so, "{:?} instead of {expected:?}", told(folder));
}

#[test]
fn every_state_is_told_once_in_order_and_a_failed_check_is_a_fault() {
    // A real keepalived runs its scripts as a user that it must be allowed to become.
    let pairs = if root("a real keepalived runs no scripts") { &PAIRS[..] } else { &PAIRS[..1] };
    in_parallel(pairs.iter().map(|(name, kinds)| ((*name).to_owned(), *kinds)), through_every_state);
}

fn through_every_state(kinds: [Kind; 2]) {
    let Some(site) = site() else { return };
    let (mut first, one) = start(kinds[0], &site.hosts[0], "node1.conf");
    site.wait_for_holders(&[0]);
    let (mut second, other) = start(kinds[1], &site.hosts[1], "node2.conf");
    wait_for(&other, &["mail_send backup"]);
    let begun = told(&one);
    assert_eq!(begun.last().map(String::as_str), Some("mail_send master"), "{begun:?}");
    // It may have been a Backup on the way.
    let start: Vec<&str> = begun.iter().map(String::as_str).collect();

    std::fs::remove_file(one.join("healthy")).unwrap();
    site.wait_for_holders(&[1]);
    wait_for(&one, &[&start[..], &["mail_send fault"]].concat());
    wait_for(&other, &["mail_send backup", "mail_send master"]);

    std::fs::write(one.join("healthy"), "").unwrap();
    site.wait_for_holders(&[0]);
    wait_for(&one, &[&start[..], &["mail_send fault", "mail_send backup", "mail_send master"]].concat());
    wait_for(&other, &["mail_send backup", "mail_send master", "mail_send backup"]);
    site.stays_with(&[0], Duration::from_secs(4));
    first.terminate();
    second.terminate();
    assert_eq!(told(&one).len(), start.len() + 3, "each once: {:?}", told(&one));
}

#[test]
fn scripts_named_without_quotes_run_as_their_user_and_group() {
    let Some(site) = site() else { return };
    let (mut node, folder) = start(Kind::Ours, &site.hosts[0], "notify-user-group.conf");
    site.wait_for_holders(&[0]);
    let so = wait_until(PATIENCE, || told(&folder).last().is_some_and(|it| it.trim() == "master"));
    assert!(so, "{:?} {:#?}", told(&folder), node.log().lines());
    site.interfaces[0].cut().unwrap();
    let so = wait_until(PATIENCE, || told(&folder).last().is_some_and(|it| it.trim() == "fault"));
    assert!(so, "{:?}", told(&folder));
    node.terminate();
}
