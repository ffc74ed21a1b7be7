//! What operators do: check a file, look, reload, send the signals that scripts send.

use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::{TempDir, in_parallel, table};
use crate::node::{Kind, Node, file};
use crate::site::Site;

fn keepalived(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keepalived")).args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn a_file_is_checked_without_running_it() {
    let folder = TempDir::new();
    let good = folder.write("good.conf", &file("unicast-nopreempt", "node1.conf"));
    let output = keepalived(&["-t", "-f", &good.display().to_string()]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));

    let bad =
        folder.write("bad.conf", &file("unicast-nopreempt", "node1.conf").replace("priority 100", "prioritty 100"));
    let output = keepalived(&["--config-test", "--use-file", &bad.display().to_string()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("prioritty 100") && said.contains("bad.conf:5") && said.contains("priority"), "{said}");

    let report = folder.file("report");
    let output = keepalived(&["-f", &bad.display().to_string(), &format!("--config-test={}", report.display())]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), String::new()));
    assert_eq!(std::fs::read_to_string(report).unwrap(), said);

    let user =
        folder.write("user.conf", &file("notify-mail", "notify-user-group.conf").replace(" root root", " nobody-here"));
    let output = keepalived(&["-t", "-f", &user.display().to_string()]);
    let said = text(&output.stderr);
    // No reason to serve nothing: what is to run as that user is not run.
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("there is no user \"nobody-here\"") && said.contains("user.conf:8"), "{said}");

    let output = keepalived(&["-f", "/nonexistent.conf", "-n", "-l", "-G"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nonexistent.conf"), "{}", text(&output.stderr));
}

#[test]
fn what_was_understood_is_printed_as_json() {
    let folder = TempDir::new();
    let path = folder.write("keepalived.conf", &file("lvs-dr", "node1.conf"));
    let output = keepalived(&["--dump", "-f", &path.display().to_string()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["vrrp_instances"][0]["virtual_router_id"], 51);
    assert_eq!(json["global_defs"]["vrrp_mcast_group4"], "224.0.100.19");
    assert_eq!(json["virtual_servers"][0]["real_servers"].as_array().unwrap().len(), 2);
    assert!(!text(&output.stdout).contains("1111"), "a password");
    let signals = ["STOP", "RELOAD", "DATA"].map(|what| text(&keepalived(&["--signum", what]).stdout));
    assert_eq!(signals, ["15\n", "1\n", "10\n"]);
}

#[test]
fn a_reload_keeps_the_role_and_misses_no_advertisement() {
    in_parallel([("reload".to_owned(), ())], |()| reload());
}

fn reload() {
    let Some(site) = Site::new("ens192", &["172.18.5.144/24", "172.18.5.145/24"], "172.18.5.148") else { return };
    let given = file("unicast-nopreempt", "node1.conf");
    let mut first = Node::start(Kind::Ours, &site.hosts[0], &given);
    site.wait_for_holders(&[0]);
    let mut second = Node::start(Kind::Ours, &site.hosts[1], &file("unicast-nopreempt", "node2.conf"));
    site.only_one_advertises(Duration::from_secs(2));
    let process = std::fs::read_to_string(first.file("pid")).unwrap();

    // Everything that may change changes: the priority, an address more, a check.
    let changed = given
        .replace("priority 100", "priority 120\n track_script {\n ok\n }")
        .replace("172.18.5.148", "172.18.5.148\n 172.18.5.149");
    first.reload(&format!("vrrp_script ok {{\n script /bin/true\n }}\n{changed}"));
    first.says("reloaded: Active for 1");
    let has = || site.hosts[0].has_address("172.18.5.149".parse().unwrap()).unwrap();
    assert!(crate::common::wait_until(crate::common::PATIENCE, has));
    // A bad one is told of, and changes nothing.
    first.reload(&changed.replace("interface ens192", "interfase ens192"));
    first.says("the configuration stays as it is");
    first.says("interfase");
    // What scripts send does no harm.
    first.signal(Signal::USR1);
    first.signal(Signal::USR2);
    first.says("\"virtual_servers\":[]");
    site.stays_with(&[0], Duration::from_secs(3));
    assert!(first.runs());
    let adverts = site.adverts();
    let own: Vec<_> = adverts.iter().filter(|it| it.source.to_string() == "172.18.5.144").collect();
    let longest = own.windows(2).map(|pair| pair[1].at.since(pair[0].at)).max().unwrap();
    assert!(longest < Duration::from_millis(1900), "{longest:?}\n{}", table(&adverts));
    assert!(own.iter().any(|advert| advert.priority == 120));
    assert!(adverts.iter().all(|it| it.source.to_string() == "172.18.5.144"), "{}", table(&adverts));
    // One process, whatever was reloaded; its files go with it.
    assert_eq!(std::fs::read_to_string(first.file("pid")).unwrap(), process);
    first.terminate();
    assert!(!first.file("pid").exists() && !first.file("child.pid").exists() && !first.file("control").exists());
    site.wait_for_holders(&[1]);
    second.terminate();
}
