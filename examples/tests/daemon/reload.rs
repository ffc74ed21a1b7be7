//! SIGHUP: the difference is carried out, and nothing else.

use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::checks::{Programs, configuration};
use crate::common::{Node, PATIENCE, wait_until};
use crate::network::{Network, VIP, transitions, undisturbed};

fn reload(node: &mut Node) {
    let pid = i32::try_from(node.process().id()).ok().and_then(Pid::from_raw).expect("a process number");
    kill_process(pid, Signal::HUP).expect("SIGHUP");
}

#[test]
fn what_changes_is_changed_without_leaving_a_role() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let second = |vrid, address: &str| {
            format!(
                "[[router]]\ninterface = \"eth0\"\nvrid = {vrid}\ninterval = \"100ms\"\naddresses = [\"{address}\"]\n"
            )
        };
        let file = programs.file("a.toml");
        let old = Ipv4Addr::new(192, 0, 2, 110);
        std::fs::write(&file, configuration(150, "", "") + &second(52, "192.0.2.110")).expect("a file");
        let mut a = Node::start(&net.a.host, ["--config", &file.display().to_string()]);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        assert!(wait_until(PATIENCE, || net.a.has(old.into())));
        let b = net.b.start(100, "100ms", &[]);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"));
        let pinger = net.client.host.ping(VIP, Duration::from_millis(10)).expect("a pinger");

        // 51 stands with another priority and has one address more, 52 goes, 53 comes with the address of 52.
        let more =
            configuration(140, "", "").replace(&format!("[\"{VIP}\"]"), &format!("[\"{VIP}\", \"192.0.2.120\"]"));
        std::fs::write(&file, more + &second(53, "192.0.2.110")).expect("a file");
        reload(&mut a);
        assert!(a.log().wait_for(PATIENCE, "reloaded"), "{:#?}", a.log().lines());
        assert!(
            a.log().wait_for(PATIENCE, "eth0/53: Backup -> Active") || wait_until(PATIENCE, || net.a.has(old.into()))
        );
        assert!(wait_until(PATIENCE, || net.a.has(Ipv4Addr::new(192, 0, 2, 120).into())), "{:#?}", a.log().lines());
        assert!(net.advertises(&net.a, 10));
        let of = |vrid| net.adverts_of(&net.a).into_iter().filter(|advert| advert.vrid == vrid).collect::<Vec<_>>();
        let first = of(51);
        assert_eq!(first.last().map(|advert| (advert.priority, advert.addresses.len())), Some((140, 2)));
        assert!(first.iter().all(|advert| advert.priority > 0), "it has left its role");
        let gap = first.windows(2).map(|two| two[1].at.since(two[0].at)).max().expect("adverts");
        assert!(gap < Duration::from_millis(300), "no advertisement for {gap:?}");
        assert_eq!(of(52).last().map(|advert| advert.priority), Some(0), "the one that went has resigned");
        assert!(wait_until(PATIENCE, || of(53).last().is_some_and(|advert| advert.priority == 100)));
        assert_eq!(transitions(&b).len(), 1, "{:#?}", b.log().lines());
        let replies = pinger.stop();
        let lost = replies.iter().filter(|reply| reply.received_at.is_none()).count();
        assert!(lost <= 1, "{lost} of {} pings were lost", replies.len());
        assert!(a.interrupt().success());
    });
}

#[test]
fn a_file_that_is_bad_changes_nothing() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let good = configuration(150, "", "");
        let mut a = programs.start(&net.a, 150, "", "");
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let path = programs.file(&format!("{}.toml", net.a.host.name()));
        let beside = good.replace("51", "52");
        let cases = [
            (good.replace("vrid", "vird"), "unknown field"),
            (good.replace("150", "0"), "priority 0 is not"),
            (good.clone() + "track-scripts = [\"none\"]", "script \"none\", which is not there"),
            // It is found out when others run already.
            (good.clone() + &beside, "is an address of virtual router 51 on eth0 already"),
        ];
        for (number, (text, words)) in cases.iter().enumerate() {
            std::fs::write(&path, text).expect("a file");
            reload(&mut a);
            let said = || a.log().matching("the configuration stays as it is");
            assert!(wait_until(PATIENCE, || said().len() > number), "{words}: {:#?}", a.log().lines());
            assert!(said()[number].contains(words), "{words:?}: {:#?}", said());
        }
        std::fs::write(&path, good.replace("150", "160")).expect("a file");
        reload(&mut a);
        assert!(a.log().wait_for(PATIENCE, "reloaded"), "{:#?}", a.log().lines());
        assert!(wait_until(PATIENCE, || net.adverts_of(&net.a).last().is_some_and(|advert| advert.priority == 160)));
        assert_eq!(transitions(&a).len(), 2, "{:#?}", a.log().lines());
        assert!(net.adverts_of(&net.a).iter().all(|advert| advert.priority > 0));
        let gap = net.adverts_of(&net.a).windows(2).map(|two| two[1].at.since(two[0].at)).max().expect("adverts");
        assert!(gap < Duration::from_millis(300), "no advertisement for {gap:?}");
    });
}

#[test]
fn a_virtual_router_that_becomes_another_one_is_replaced() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let told = programs.file("told");
    let tell = programs.shell("tell", &format!("echo $3 >> {}", told.display()));
    let router = format!("name = \"x\"\nnotify = {{ any = \"{tell}\" }}");
    let mut a = programs.start(&net.a, 150, &router, "");
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    let path = programs.file(&format!("{}.toml", net.a.host.name()));
    std::fs::write(&path, configuration(150, &router, "").replace("vrid = 51", "vrid = 61")).expect("a file");
    reload(&mut a);
    let of = |vrid| net.adverts_of(&net.a).into_iter().filter(|advert| advert.vrid == vrid).collect::<Vec<_>>();
    assert!(wait_until(PATIENCE, || of(61).len() > 2), "{:#?}", a.log().lines());
    assert_eq!(of(51).last().map(|advert| advert.priority), Some(0));
    assert!(net.a.has(VIP.into()));
    let lines = || std::fs::read_to_string(&told).unwrap_or_default();
    assert!(wait_until(PATIENCE, || lines() == "BACKUP\nMASTER\nBACKUP\nMASTER\n"), "{:?}", lines());
}

#[test]
fn checks_that_come_or_change_take_no_role_until_they_have_failed() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let marker = programs.file("broken");
        // Slow, so that nothing is known for a while.
        let check = programs.shell("check", &format!("sleep 0.5; test ! -e {}", marker.display()));
        let scripts = |names: &[&str], interval: &str| -> String {
            let one = |name: &&str| format!("[script.{name}]\ncommand = \"{check}\"\ninterval = \"{interval}\"\n");
            names.iter().map(one).collect()
        };
        let mut a = programs.start(&net.a, 150, "track-scripts = [\"one\"]", &scripts(&["one"], "2s"));
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let path = programs.file(&format!("{}.toml", net.a.host.name()));
        let both = configuration(150, "track-scripts = [\"one\", \"two\"]", &scripts(&["one", "two"], "1s"));
        std::fs::write(&path, both).expect("a file");
        reload(&mut a);
        assert!(a.log().wait_for(PATIENCE, "reloaded"), "{:#?}", a.log().lines());
        assert!(net.advertises(&net.a, 15));
        assert!(net.adverts_of(&net.a).iter().all(|advert| advert.priority == 150), "{:#?}", a.log().lines());
        std::fs::write(&marker, "").expect("a file");
        assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
        assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: something that is tracked is down"));
    });
}
