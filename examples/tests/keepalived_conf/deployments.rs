//! Real deployments: each file is read without a word, and means what it says.

use std::path::{Path, PathBuf};

use examples::keepalived::config::{Configuration, Frontend, InitialState, Question};
use examples::keepalived::{Disk, Options, read};
use serde_json::json;

fn deployment(file: &str) -> Configuration {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(file);
    let reading = read(&path, &Disk, &Options::new("main"));
    assert!(reading.report.diagnostics().is_empty(), "{}", reading.report.display(&reading.sources));
    reading.configuration
}

#[test]
fn every_deployment_is_read_without_a_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let files: Vec<_> = list(&folder).iter().flat_map(|folder| list(folder)).collect();
    assert_eq!(files.len(), 14);
    for file in files {
        let configuration = deployment(file.strip_prefix(&folder).unwrap().to_str().unwrap());
        assert_eq!(configuration.vrrp_instances.len(), 1, "{}", file.display());
    }
}

#[test]
fn unicast_nopreempt_means_what_it_says() {
    let configuration = deployment("unicast-nopreempt/node1.conf");
    let instance = serde_json::to_value(&configuration.vrrp_instances[0]).unwrap();
    for (key, value) in [
        ("name", json!("VI_1")),
        ("state", json!("BACKUP")),
        ("interface", json!("ens192")),
        ("virtual_router_id", json!(147)),
        ("priority", json!(100)),
        ("advert_int", json!(100)),
        ("nopreempt", json!(true)),
        ("source", json!("172.18.5.144")),
        ("authentication", json!({ "auth_type": "PASS", "auth_pass": "<secret>" })),
        ("unicast_peer", json!([{ "address": "172.18.5.145", "min_ttl": null, "max_ttl": null }])),
    ] {
        assert_eq!(instance[key], value, "{key}");
    }
    let address = &instance["virtual_ipaddress"][0];
    assert_eq!((&address["address"], &address["prefix"]), (&json!("172.18.5.148"), &json!(32)));
    assert_eq!(instance["virtual_ipaddress"].as_array().unwrap().len(), 1);
    let password = configuration.vrrp_instances[0].authentication.as_ref().unwrap().auth_pass.as_ref().unwrap();
    assert_eq!(password.0, "123789");
}

#[test]
fn master_backup_means_what_it_says() {
    let configuration = deployment("master-backup/node1.conf");
    let script = serde_json::to_value(&configuration.vrrp_scripts[0]).unwrap();
    assert_eq!(script["script"]["line"], json!("</dev/tcp/127.0.0.1/80"));
    assert_eq!((&script["interval"], &script["weight"]["value"]), (&json!(3.0), &json!(-2)));
    let instance = &configuration.vrrp_instances[0];
    assert_eq!((instance.state, instance.priority.get()), (InitialState::Master, 100));
    assert_eq!(instance.advert_int.as_seconds(), Some(2));
    assert_eq!(instance.announcements.master_delay.unwrap().0.as_secs(), 3);
    assert_eq!((instance.track.interfaces[0].name.as_str(), instance.track.interfaces[0].weight), ("eth0", None));
    assert_eq!(instance.track.scripts[0].name.as_str(), "chk_app");
    assert_eq!(instance.virtual_ipaddress[0].prefix, 24);
    let mail = &configuration.global_defs.mail;
    assert_eq!(mail.notification_email, ["test@example.com"]);
    assert_eq!(mail.smtp_server.as_ref().map(|(name, port)| (name.as_str(), *port)), Some(("mail.example.com", 25)));
    assert_eq!(deployment("master-backup/node2.conf").vrrp_instances[0].priority.get(), 99);
    assert_eq!(deployment("backup-backup/node2.conf").vrrp_instances[0].state, InitialState::Backup);
}

#[test]
fn lvs_dr_means_what_it_says() {
    let configuration = deployment("lvs-dr/node1.conf");
    assert_eq!(configuration.global_defs.router_id.as_deref(), Some("lvs"));
    assert_eq!(configuration.global_defs.vrrp_mcast_group4, Some("224.0.100.19".parse().unwrap()));
    let server = &configuration.virtual_servers[0];
    assert_eq!(server.frontend, Frontend::Address("172.25.0.200".parse().unwrap(), Some(80)));
    let shown = serde_json::to_value(server).unwrap();
    for (key, value) in [
        ("lvs_sched", json!("rr")),
        ("lvs_method", json!("direct")),
        ("protocol", json!("tcp")),
        ("persistence_timeout", json!(0)),
        ("sorry_server", json!({ "address": "127.0.0.1", "port": 80, "inhibit": false, "lvs_method": null })),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(shown["timing"]["delay_loop"], json!(6.0));
    assert_eq!(server.real_servers.len(), 2);
    let checker = &server.real_servers[1].checkers[0];
    let Question::Http(http) = &checker.question else { panic!("{checker:?}") };
    assert_eq!((http.urls.len(), http.urls[0].path.as_str()), (1, "/index.html"));
    assert_eq!(checker.timing.retry, Some(3));
    assert_eq!(checker.timing.delay_before_retry.map(|delay| delay.0.as_secs()), Some(3));
    assert_eq!(checker.timing.connect_timeout.map(|timeout| timeout.0.as_secs()), Some(3));
}

#[test]
fn weighted_nopreempt_means_what_it_says() {
    for (file, priority) in [("node1", 100), ("node2", 90), ("node3", 80)] {
        let configuration = deployment(&format!("weighted-nopreempt/{file}.conf"));
        let script = &configuration.vrrp_scripts[0];
        assert_eq!(script.script.as_ref().unwrap().command, ["killall", "-0", "memcached"]);
        assert_eq!((script.weight.value, script.weight.reverse), (-30, false));
        let instance = &configuration.vrrp_instances[0];
        assert_eq!((instance.priority.get(), instance.nopreempt), (priority, true));
    }
}

#[test]
fn notify_scripts_are_commands_with_a_user_and_a_group() {
    let quoted = deployment("notify-mail/node1.conf");
    let script = quoted.vrrp_instances[0].notify.master.clone().unwrap();
    assert_eq!((script.command.join("|").as_str(), script.user), ("/etc/keepalived/mail_send.sh|master", None));
    assert_eq!(quoted.vrrp_scripts[0].weight.value, 0);

    let named = deployment("notify-mail/notify-user-group.conf");
    let script = named.vrrp_instances[0].notify.fault.clone().unwrap();
    assert_eq!(script.command, ["/etc/keepalived/mail_send_fault.sh"]);
    assert_eq!((script.user.as_deref(), script.group.as_deref()), (Some("root"), Some("root")));
}
