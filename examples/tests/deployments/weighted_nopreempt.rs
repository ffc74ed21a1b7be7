//! Three hosts, 100, 90 and 80, `nopreempt`, and a check that costs 30: `killall -0 memcached`.
//!
//! Each host has processes of its own, so that the check finds its own `memcached` only.

use std::io::Write;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use vrrp_net::lab::{Host, Process};

use crate::common::{Log, TempDir, in_parallel, tool};
use crate::node::{Kind, file};
use crate::site::Site;

/// Our daemon and a process called memcached, in a process namespace.
struct Box3 {
    _process: Process,
    shell: ChildStdin,
    log: Log,
    _folder: TempDir,
}

/// Does what it is told by its standard input. It is the first process of its namespace, with which all others end.
const SHELL: &str = r#"
    daemon() { "$0" "$@" & daemon=$!; }
    while read -r word; do
        case $word in
            healthy) ./memcached 10000 & memcached=$! ;;
            sick) kill $memcached; wait $memcached ;;
            start) daemon "$@" ;;
            kill) kill -KILL $daemon ;;
            stop) kill -TERM $daemon ;;
        esac
    done
"#;

impl Box3 {
    fn start(kind: Kind, host: &Host, name: &str) -> Self {
        let folder = TempDir::new();
        let path = folder.write("keepalived.conf", &file("weighted-nopreempt", name));
        let sleep = tool("sleep", "coreutils").expect("sleep");
        std::fs::copy(sleep, folder.file("memcached")).unwrap();
        let mut command = host.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SHELL]);
        match kind {
            Kind::Ours => command.arg(env!("CARGO_BIN_EXE_keepalived")).args(["--control", "none"]),
            Kind::Real => command.arg(tool("keepalived", "keepalived").expect("keepalived")),
        };
        command.args(["-n", "-l", "-G", "-P", "-f"]).arg(path).current_dir(folder.path());
        command.arg("-p").arg(folder.file("pid")).arg("-r").arg(folder.file("child.pid"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
        let mut process = Process::start(&mut command).expect("start unshare");
        let log = Log::of(&mut process);
        let shell = process.take_stdin().expect("a pipe");
        Self { _process: process, shell, log, _folder: folder }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.shell, "{word}").unwrap_or_else(|error| panic!("{error}: {:#?}", self.log.lines()));
    }
}

#[test]
fn the_address_goes_to_the_best_healthy_host_and_is_not_taken_back() {
    // A real keepalived stays Active with a failed check, so it is the one that is well.
    let cases = [("ours", Kind::Ours), ("ours, and a real one", Kind::Real)];
    in_parallel(cases.map(|(name, kind)| (name.to_owned(), kind)), all_four_points);
}

fn all_four_points(third: Kind) {
    let Some(site) = Site::new("eth0", &["172.31.23.11/24", "172.31.23.12/24", "172.31.23.13/24"], "172.31.23.6")
    else {
        return;
    };
    if tool("unshare", "util-linux").is_none() {
        return;
    }
    let files = [(Kind::Ours, "node1.conf"), (Kind::Ours, "node2.conf"), (third, "node3.conf")];
    let hosts = site.hosts.iter().zip(files);
    let mut boxes: Vec<Box3> = hosts.map(|(host, (kind, name))| Box3::start(kind, host, name)).collect();
    boxes.iter_mut().for_each(|it| it.tell("healthy"));
    // (1) A cold start, the worst first: the highest priority ends up Active. (Not after a real one.)
    let order = if third == Kind::Ours { [2, 1, 0] } else { [0, 1, 2] };
    for number in order {
        boxes[number].tell("start");
        std::thread::sleep(Duration::from_millis(300));
    }
    site.wait_for_holders(&[0]);
    site.stays_with(&[0], Duration::from_secs(15));
    // (2) and (3) The check runs on all; it fails on a Backup, and then on the Active: the best healthy one takes over.
    boxes[1].tell("sick");
    site.stays_with(&[0], Duration::from_secs(4));
    boxes[0].tell("sick");
    site.wait_for_holders(&[2]);
    // (4) Those that recover do not take it back.
    boxes[0].tell("healthy");
    boxes[1].tell("healthy");
    site.stays_with(&[2], Duration::from_secs(15));
    if third == Kind::Ours {
        // And again: now the first is the best one.
        boxes[2].tell("sick");
        site.wait_for_holders(&[0]);
        // A process dies, and returns.
        boxes[0].tell("kill");
        site.wait_for_holders(&[1]);
        boxes[0].tell("start");
        site.stays_with(&[1], Duration::from_secs(15));
    }
    boxes.iter_mut().for_each(|it| it.tell("stop"));
    site.wait_for_holders(&[]);
}
