//! What is tracked moves the priority, and a check can neither hang, flood nor be forgotten.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{Node, PATIENCE, TempDir, wait_until};
use crate::network::{Network, Place, VIP, transitions, undisturbed};

/// A folder that everybody may read, with programs in it.
pub(crate) struct Programs(pub(crate) TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("a folder for all");
        Self(folder)
    }

    /// A shell script, and its path.
    pub(crate) fn shell(&self, name: &str, text: &str) -> String {
        let path = self.0.write(name, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable");
        path.display().to_string()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// `vrrpd` with a file of one virtual router, with these lines of it, and these before it.
    pub(crate) fn start(&self, place: &Place, priority: u8, router: &str, before: &str) -> Node {
        let path = self.0.write(&format!("{}.toml", place.host.name()), &configuration(priority, router, before));
        Node::start(&place.host, ["--config", &path.display().to_string()])
    }
}

pub(crate) fn configuration(priority: u8, router: &str, before: &str) -> String {
    let own = "interface = \"eth0\"\nvrid = 51\ninterval = \"100ms\"\n";
    format!("{before}\n[[router]]\n{own}addresses = [\"{VIP}\"]\npriority = {priority}\n{router}\n")
}

#[test]
fn a_check_that_fails_moves_the_priority_and_the_address_and_both_come_back() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let marker = programs.file("broken");
        let check =
            programs.shell("check", &format!("test ! -e {} || {{ echo it is broken; exit 2; }}", marker.display()));
        let script =
            format!("[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\"\nfall = 2\nrise = 2\nweight = -60");
        let a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let b = net.b.start(100, "100ms", &[]);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"));

        std::fs::write(&marker, "").expect("a file");
        assert!(net.only(&net.b, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
        assert!(net.adverts_of(&net.a).iter().any(|advert| advert.priority == 90));
        assert!(a.log().wait_for(PATIENCE, "exit status 2 (it is broken)"), "{:#?}", a.log().lines());
        std::fs::remove_file(&marker).expect("a file");
        assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    });
}

#[test]
fn a_check_without_a_weight_is_a_fault_and_the_address_is_released() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let marker = programs.file("works");
    let check = programs.shell("check", &format!("test -e {}", marker.display()));
    let script = format!("[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\"");
    let a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
    assert!(a.log().wait_for(PATIENCE, "chk failed") || a.log().wait_for(PATIENCE, "exit status 1"));
    assert!(a.log().matching("-> Active").is_empty(), "{:#?}", a.log().lines());
    std::fs::write(&marker, "").expect("a file");
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    std::fs::remove_file(&marker).expect("a file");
    assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: something that is tracked is down"));
}

#[test]
fn a_check_that_hangs_has_failed_after_its_time_and_delays_nothing() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let marker = programs.file("hangs");
        let check = programs.shell("check", &format!("test ! -e {} || sleep 1000", marker.display()));
        let script =
            format!("[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\"\ntimeout = \"300ms\"\nweight = -60");
        let a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let b = net.b.start(100, "100ms", &[]);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"));
        std::fs::write(&marker, "").expect("a file");
        assert!(net.only(&net.b, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
        assert!(a.log().wait_for(PATIENCE, "it did not end within 300ms"), "{:#?}", a.log().lines());
        let late = net.adverts_of(&net.a).windows(2).map(|two| two[1].at.since(two[0].at)).max().expect("adverts");
        assert!(late < Duration::from_millis(300), "an advertisement was {late:?} late");
        std::fs::remove_file(&marker).expect("a file");
        assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    });
}

#[test]
fn a_check_that_floods_its_output_fills_no_memory_and_delays_nothing() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let check = programs.shell("check", "exec cat /dev/zero");
        let script = format!("[script.chk]\ncommand = \"{check}\"\ninterval = \"2s\"\ntimeout = \"2s\"\nweight = -10");
        let mut a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let before = resident(&mut a);
        assert!(a.log().wait_for(PATIENCE, "it did not end within 2s"), "{:#?}", a.log().lines());
        assert!(net.advertises(&net.a, 5));
        let grown = resident(&mut a).saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} octets more than before");
        let late = net.adverts_of(&net.a).windows(2).map(|two| two[1].at.since(two[0].at)).max().expect("adverts");
        assert!(late < Duration::from_millis(300), "an advertisement was {late:?} late");
    });
}

fn resident(node: &mut Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", node.process().id())).expect("a running process");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

#[test]
fn a_check_whose_program_is_missing_or_no_program_has_failed_and_is_named() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let plain = programs.0.write("plain", "text").display().to_string();
    for (command, words) in [("/none/such --fast", "No such file"), (plain.as_str(), "Permission denied")] {
        let script = format!("[script.chk]\ncommand = \"{command}\"\ninterval = \"50ms\"");
        let mut a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
        assert!(a.log().wait_for(PATIENCE, words), "{:#?}", a.log().lines());
        let line = a.log().matching(words).remove(0);
        assert!(line.contains(command) && line.contains("chk"), "{line}");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(a.log().matching(words).len(), 1, "said once: {:#?}", a.log().lines());
        assert!(a.log().matching("-> Active").is_empty() && !net.a.has(VIP.into()), "{:#?}", a.log().lines());
        assert!(a.interrupt().success());
    }
}

#[test]
fn a_check_runs_as_the_user_that_is_named_with_nothing_of_ours() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let said = programs.file("said");
    std::fs::write(&said, "").expect("a file");
    std::fs::set_permissions(&said, std::fs::Permissions::from_mode(0o666)).expect("a file for all");
    let out = said.display();
    let text = format!(
        "{{ id -u; id -G; grep CapEff /proc/self/status; env; ls -l /proc/self/fd | grep -c -e '->'; ls -l /proc/self/fd >&2; }} > {out}.new; cat {out}.new > {out}"
    );
    let check = programs.shell("check", &text);
    std::fs::set_permissions(programs.0.path(), std::fs::Permissions::from_mode(0o777)).expect("a folder for all");
    let script =
        format!("[script.chk]\ncommand = {{ run = \"{check}\", user = \"65534:65534\" }}\ninterval = \"50ms\"");
    let a = programs.start(&net.a, 150, "track-scripts = [\"chk\"]", &script);
    let ran = wait_until(PATIENCE, || std::fs::read_to_string(&said).is_ok_and(|text| text.contains("PATH=")));
    if a.log().lines().iter().any(|line| line.contains("Operation not permitted") || line.contains("Invalid argument"))
    {
        // In a user namespace there is one user only.
        eprintln!("SKIPPED test: no other user can be had here");
        return;
    }
    assert!(ran, "{:#?}", a.log().lines());
    let said = std::fs::read_to_string(&said).expect("what it said");
    assert!(said.starts_with("65534\n65534\n"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
    assert!(!said.contains("NO_COLOR"), "{said}");
    // Its own three, and the one that lists them.
    assert!(said.ends_with("\n4\n"), "{said}");
}

#[test]
fn numbers_in_files_and_programs_that_run_count_too() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let number = programs.0.write("number", "7\n");
    let sleeper = programs.file("vrrp-sleeper");
    std::fs::copy("/bin/sleep", &sleeper).expect("a copy of sleep");
    std::fs::set_permissions(&sleeper, std::fs::Permissions::from_mode(0o755)).expect("an executable");
    let before = format!(
        "[file.load]\npath = \"{}\"\nweight = 2\n[process.sleeper]\nprogram = \"vrrp-sleeper\"\nweight = 50",
        number.display()
    );
    let a = programs.start(&net.a, 100, "track-files = [\"load\"]\ntrack-processes = [\"sleeper\"]", &before);
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    let last = || net.adverts_of(&net.a).last().map(|advert| advert.priority);
    assert!(wait_until(PATIENCE, || last() == Some(114)), "{:?} {:#?}", last(), a.log().lines());
    let mut command = net.a.host.command(&sleeper);
    let mut process = vrrp_net::lab::Process::start(command.arg("1000")).expect("a process");
    assert!(wait_until(PATIENCE, || last() == Some(164)), "{:?} {:#?}", last(), a.log().lines());
    process.kill().expect("kill");
    std::fs::write(&number, "-7").expect("a number");
    assert!(wait_until(PATIENCE, || last() == Some(86)), "{:?} {:#?}", last(), a.log().lines());
    // Less than -253 is a fault.
    std::fs::write(&number, "-200").expect("a number");
    assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: something that is tracked is down"));
}

#[test]
fn with_weights_and_nopreempt_the_address_ends_where_it_should_at_the_start_and_after_a_failure() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let programs = Programs::new();
        let start = |place: &Place, priority: u8| {
            let (broken, ran) = (of_host(place, "broken"), of_host(place, "ran"));
            let (broken, ran) = (programs.file(&broken), programs.file(&ran));
            let text = format!("echo >> {}; test ! -e {}", ran.display(), broken.display());
            let check = programs.shell(&of_host(place, "check"), &text);
            let script = format!("[script.chk]\ncommand = \"{check}\"\ninterval = \"100ms\"\nweight = -30");
            programs.start(place, priority, "nopreempt = true\ntrack-scripts = [\"chk\"]", &script)
        };
        // All of them at a start, the least first; it settles after 0.7 s.
        let c = start(&net.client, 80);
        let (a, b) = (start(&net.a, 100), start(&net.b, 90));
        let holders = || [&net.a, &net.b, &net.client].map(|place| place.has(VIP.into()));
        let holds = |which: [bool; 3]| wait_until(PATIENCE, || holders() == which);
        let logs = || [&a, &b, &c].map(transitions);
        assert!(holds([true, false, false]), "(1) the highest is not Active after a cold start: {:#?}", logs());
        for place in [&net.a, &net.b, &net.client] {
            assert!(
                wait_until(PATIENCE, || programs.file(&of_host(place, "ran")).exists()),
                "(2) the check runs on all"
            );
        }
        std::fs::write(programs.file(&of_host(&net.a, "broken")), "").expect("a file");
        assert!(holds([false, true, false]), "(3) the next best is not Active: {:#?}", logs());
        std::fs::remove_file(programs.file(&of_host(&net.a, "broken"))).expect("a file");
        assert!(a.log().wait_for(PATIENCE, " up script="), "{:#?}", a.log().lines());
        // Several times an Active_Down_Interval.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(holders(), [false, true, false], "(4) it was taken back: {:#?}", logs());
    });
}

fn of_host(place: &Place, name: &str) -> String {
    format!("{name}-{}", place.host.name())
}
