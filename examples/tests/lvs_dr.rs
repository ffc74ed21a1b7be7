//! A real deployment (`tests/configs/lvs-dr`) from its unmodified files but for shorter intervals, on a real IPVS (in
//! user-mode-linux where the running kernel has none): two hosts, each director and real server at once.

#[path = "../../vrrp-ipvs/tests/kernel/guest.rs"]
mod guest;
#[allow(dead_code)]
#[path = "../../vrrp-ipvs/tests/kernel/net.rs"]
mod net;
#[allow(dead_code)]
#[path = "director/network.rs"]
mod network;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use guest::{on_ipvs, skip};
use net::{Host, wait_for};
use network::{Web, bridge, get_from};

/// Longer than anything here takes: the guest has one processor, and a slow one.
const PATIENCE: Duration = Duration::from_secs(60);

const VIP: &str = "172.25.0.200:80";

/// Which program runs the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Real,
}

use Kind::{Ours, Real};

/// A client and the two hosts.
struct Site {
    client: Host,
    hosts: [Host; 2],
    _switch: Host,
}

impl Site {
    fn new() -> Self {
        let (client, hosts) = (Host::new(), [Host::new(), Host::new()]);
        let [one, two] = &hosts;
        let ends = [(&client, "172.25.0.10/24"), (one, "172.25.0.33/24"), (two, "172.25.0.34/24")];
        let switch = bridge("ens33", &ends);
        for host in &hosts {
            // A real server by direct routing has the virtual address, and leaves ARP for it to the director.
            host.sysctl("ipv4/conf/all/arp_ignore", "1");
            host.sysctl("ipv4/conf/all/arp_announce", "2");
            host.ip("address add 172.25.0.200/32 dev lo");
        }
        Self { client, hosts, _switch: switch }
    }

    /// The bodies of so many requests, one after the other.
    #[track_caller]
    fn bodies(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| get_from(&self.client, VIP).expect("the virtual address answers")).collect()
    }

    /// Each is answered by the other one than the one before.
    #[track_caller]
    fn alternates(&self) {
        let bodies = self.bodies(6);
        let changes = bodies.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(changes && bodies.iter().all(|body| body == "one" || body == "two"), "{bodies:?}");
    }
}

/// A program that runs a file of the deployment, which ends with this.
struct Node {
    kind: Kind,
    process: Child,
    files: [PathBuf; 3],
}

impl Node {
    fn start(kind: Kind, host: &Host, name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/lvs-dr").join(name);
        let mut text = std::fs::read_to_string(path).unwrap();
        for (long, short) in [("delay_loop 6", "delay_loop 1"), ("delay_before_retry 3", "delay_before_retry 1")] {
            assert!(text.contains(long));
            text = text.replace(long, short);
        }
        Self::run(kind, host, &text)
    }

    fn run(kind: Kind, host: &Host, text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = |end| std::env::temp_dir().join(format!("lvs-dr-{}-{number}.{end}", std::process::id()));
        let (settings, log, other) = (file("conf"), file("log"), file("other"));
        std::fs::write(&settings, text).unwrap();
        let output = File::create(&log).unwrap();
        let mut command = match kind {
            Ours => Command::new(env!("CARGO_BIN_EXE_keepalived")),
            Real => Command::new("/usr/sbin/keepalived"),
        };
        command.args(["--dont-fork", "--log-console", "--log-detail"]).arg("--use-file").arg(&settings);
        match kind {
            Ours => command.arg("--no-syslog").arg("--control").arg(&other).arg("--pid").arg(file("pid")),
            Real => {
                command.arg("--pid").arg(file("pid")).arg("--vrrp_pid").arg(&other).arg("--checkers_pid").arg(file("c"))
            }
        };
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let process = host.inside(|| command.spawn().unwrap());
        Self { kind, process, files: [settings, log, other] }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.files[1]).unwrap_or_default()
    }

    #[track_caller]
    fn says(&self, text: &str) {
        let said = wait_for(PATIENCE, || self.log().contains(text).then_some(()));
        assert!(said.is_some(), "{text:?} was not said:\n{}", self.log());
    }

    #[track_caller]
    fn becomes(&self, role: &str) {
        match (self.kind, role) {
            (Ours, _) => self.says(&format!("-> {role}")),
            (Real, "Active") => self.says("Entering MASTER STATE"),
            (Real, _) => self.says("Entering BACKUP STATE"),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as a crash does.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let status = wait_for(PATIENCE, || self.process.try_wait().unwrap());
        assert!(status.is_some(), "{}", self.log());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The real one has children, which end with it in order only.
        let _ = (self.kind == Real && matches!(self.process.try_wait(), Ok(None))).then(|| self.terminate());
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Waits until the table of a host holds these servers.
#[track_caller]
fn pool(host: &Host, node: &Node, wanted: &[&str]) {
    let mut last = Vec::new();
    let found = wait_for(PATIENCE, || {
        last = host.listing();
        let servers: Vec<&str> =
            last.iter().filter_map(|line| line.strip_prefix("-> ")?.split_once(":80 ")).map(|(host, _)| host).collect();
        (servers == wanted).then_some(())
    });
    assert!(found.is_some(), "{wanted:?} are not the pool: {last:?}\n{}", node.log());
}

const BOTH: [&str; 2] = ["172.25.0.33", "172.25.0.34"];

#[test]
fn lvs_dr_holds_its_row() {
    on_ipvs(|| {
        let site = Site::new();
        let [one, two] = &site.hosts;
        let (first, second) = (Web::on(one, "one"), Web::on(two, "two"));
        let mut active = Node::start(Ours, one, "node1.conf");
        active.becomes("Active");
        let standby = Node::start(Ours, two, "node2.conf");
        standby.becomes("Backup");

        // Only the Active is heard, by the deployment's own group.
        let heard = site.client.inside(|| {
            let output = Command::new("timeout")
                .args(["60", "tcpdump", "-nn", "-c", "3", "-i", "ens33", "ip proto 112"])
                .output();
            String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
        });
        let advertisements: Vec<&str> = heard.lines().filter(|line| line.contains("VRRP")).collect();
        assert_eq!(advertisements.len(), 3, "{heard}");
        for line in advertisements {
            assert!(line.contains("172.25.0.33 > 224.0.100.19: ") && line.contains("vrid 51, prio 100"), "{line}");
        }

        // Requests alternate, also those that the other director serves: its own table is empty.
        pool(one, &active, &BOTH);
        site.alternates();
        pool(two, &standby, &[]);

        // A server that fails its check leaves, and returns when it is healthy.
        second.set_healthy(false);
        pool(one, &active, &BOTH[..1]);
        assert_eq!(site.bodies(3), ["one"; 3]);
        second.set_healthy(true);
        pool(one, &active, &BOTH);
        site.alternates();
        first.set_healthy(false);
        pool(one, &active, &BOTH[1..]);
        assert_eq!(site.bodies(3), ["two"; 3]);

        // Both down: the sorry server, which is the Active's own port 80, says that there is no service.
        second.set_healthy(false);
        pool(one, &active, &["127.0.0.1"]);
        assert_eq!(site.bodies(2), ["sorry from one"; 2]);
        first.set_healthy(true);
        second.set_healthy(true);
        pool(one, &active, &BOTH);
        site.alternates();

        // The director dies, its host does not: the other one balances, and what it sends there is served there.
        active.kill();
        standby.becomes("Active");
        pool(two, &standby, &BOTH);
        site.alternates();
        pool(one, &active, &[]);
        // It does not take the address back: equal priority does not preempt.
        let mut back = Node::start(Ours, one, "node2.conf");
        back.becomes("Backup");
        pool(one, &back, &[]);
        site.alternates();
        drop(active);

        // Told to end, a director hands over and leaves nothing.
        let mut standby = standby;
        standby.terminate();
        back.becomes("Active");
        pool(two, &standby, &[]);
        pool(one, &back, &BOTH);
        site.alternates();
        back.terminate();
        pool(one, &back, &[]);
    });
}

#[test]
fn lvs_dr_holds_beside_a_real_keepalived() {
    on_ipvs(|| {
        if !Path::new("/usr/sbin/keepalived").exists() {
            return skip("there is no keepalived: apt-get install keepalived");
        }
        let site = Site::new();
        let [one, two] = &site.hosts;
        let (first, _second) = (Web::on(one, "one"), Web::on(two, "two"));
        let mut active = Node::start(Real, one, "node1.conf");
        active.becomes("Active");
        let standby = Node::start(Ours, two, "node2.conf");
        standby.becomes("Backup");
        pool(one, &active, &BOTH);
        pool(two, &standby, &[]);
        site.alternates();
        first.set_healthy(false);
        pool(one, &active, &BOTH[1..]);
        assert_eq!(site.bodies(3), ["two"; 3]);
        first.set_healthy(true);
        pool(one, &active, &BOTH);

        active.terminate();
        standby.becomes("Active");
        pool(two, &standby, &BOTH);
        site.alternates();
    });
}

/// What a pipe is told of servers from the start to the end, and the table and the time-outs before the end.
fn told(kind: Kind) -> (BTreeSet<String>, Vec<String>, String) {
    let folder = std::env::temp_dir().join(format!("told-{}-{kind:?}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (pipe, output) = (folder.join("pipe"), folder.join("output"));
    net::run("mkfifo", &pipe.display().to_string());
    let copy = format!("exec cat <{} >{}", pipe.display(), output.display());
    let mut reader = Command::new("sh").args(["-c", &copy]).spawn().unwrap();
    let text = format!(
        "global_defs {{
            script_user root
            lvs_notify_fifo {}
            rs_init_notifies
            lvs_timeouts tcp 901 udp 77
        }}
        virtual_server_group web {{
            10.9.9.1-2 80
        }}
        virtual_server group web {{
            delay_loop 1
            protocol TCP
            lvs_sched rr
            lvs_method DR
            real_server 127.0.0.1 8080 {{
                weight 3
                TCP_CHECK {{
                    retry 0
                    connect_timeout 1
                }}
            }}
        }}
        virtual_server fwmark 5 {{
            delay_loop 1
            lvs_sched wrr
            lvs_method NAT
            sorry_server 127.0.0.1 99
            real_server 127.0.0.1 8080 {{
                TCP_CHECK {{
                    retry 0
                    connect_timeout 1
                }}
            }}
        }}
        virtual_server 10.9.9.9 53 {{
            lvs_method NAT
            protocol UDP
            omega
            persistence_timeout 50
            real_server 127.0.0.1 54 {{
                weight 2
            }}
        }}
        ",
        pipe.display()
    );
    let host = Host::new();
    let mut node = Node::run(kind, &host, &text);
    let lines = || -> BTreeSet<String> {
        std::fs::read_to_string(&output).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    for line in ["VS [web]:0 DOWN", "VS FWM 5 DOWN"] {
        let seen = wait_for(PATIENCE, || lines().contains(line).then_some(()));
        assert!(seen.is_some(), "{kind:?}: no {line:?} in {:#?}\n{}", lines(), node.log());
    }
    let mut table = Vec::new();
    // The sorry server comes after its virtual server was told of.
    wait_for(PATIENCE, || {
        table = host.listing();
        table.iter().any(|line| line.starts_with("-> 127.0.0.1:99 ")).then_some(())
    });
    table.sort();
    let timeouts = host.ipvsadm("-L --timeout");
    node.terminate();
    let _ = wait_for(PATIENCE, || reader.try_wait().unwrap());
    let _ = reader.kill();
    let lines = lines();
    std::fs::remove_dir_all(folder).unwrap();
    (lines, table, timeouts)
}

#[test]
fn servers_are_balanced_and_told_of_as_by_a_real_keepalived() {
    on_ipvs(|| {
        if !Path::new("/usr/sbin/keepalived").exists() {
            return skip("there is no keepalived: apt-get install keepalived");
        }
        let (ours, real) = (told(Ours), told(Real));
        assert_eq!(ours, real);
        let (lines, table, timeouts) = ours;
        for line in ["RS [127.0.0.1]:tcp:8080 [web]:0 UP", "RS [127.0.0.1]:none:8080 FWM 5 DOWN"] {
            assert!(lines.contains(line), "{line:?} is not in {lines:#?}");
        }
        assert!(table.contains(&"UDP 10.9.9.9:53 wlc persistent 50".to_owned()), "{table:#?}");
        assert_eq!(timeouts.trim(), "Timeout (tcp tcpfin udp): 901 120 77");
    });
}

/// A program with this file where there is no IPVS, or where it is refused: in a user namespace. `None` if there can be none.
fn without_ipvs(text: &str, more: &[&str]) -> Option<(Child, PathBuf)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const NETWORK: &str = "ip link set lo up && ip link add ens33 type veth peer name other && ip link set other up && \
                           ip link set ens33 up && ip address add 172.25.0.33/24 dev ens33";
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--", "sh", "-c"]);
        command
    };
    let tried = unshare().arg(NETWORK).output().unwrap();
    if !tried.status.success() {
        skip(&format!("there can be no user namespace: {}", String::from_utf8_lossy(&tried.stderr)));
        return None;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = |end| std::env::temp_dir().join(format!("without-ipvs-{}-{number}.{end}", std::process::id()));
    let (settings, log) = (file("conf"), file("log"));
    std::fs::write(&settings, text).unwrap();
    let mut command = unshare();
    command.arg(format!("{NETWORK} && exec \"$@\"")).arg("sh").arg(env!("CARGO_BIN_EXE_keepalived"));
    command
        .args(more)
        .args(["--log-console", "--no-syslog", "--use-file"])
        .arg(&settings)
        .arg("--control")
        .arg(file("control"));
    command.arg("--pid").arg(file("pid")).stdin(Stdio::null()).stdout(Stdio::null());
    Some((command.stderr(File::create(&log).unwrap()).spawn().unwrap(), log))
}

#[test]
fn where_ipvs_cannot_be_had_virtual_routers_go_on_and_nothing_else_does() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/lvs-dr/node1.conf"));
    let text = text.unwrap();
    let Some((mut process, log)) = without_ipvs(&text, &[]) else { return };
    let said = || std::fs::read_to_string(&log).unwrap();
    let active = wait_for(PATIENCE, || said().contains("-> Active").then_some(()));
    let lives = process.try_wait().unwrap().is_none();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(active.is_some() && lives, "{}", said());
    assert_eq!(said().matches("nothing is balanced, and virtual routers go on without").count(), 1, "{}", said());

    // Without virtual routers, in the file or because they are not wanted, it is the end.
    let only_servers = &text[text.find("virtual_server").unwrap()..];
    for (text, more) in [(only_servers, [].as_slice()), (&text, &["--check"])] {
        let (mut process, log) = without_ipvs(text, more).unwrap();
        let ended = wait_for(PATIENCE, || process.try_wait().unwrap());
        let _ = process.kill();
        let said = std::fs::read_to_string(log).unwrap();
        assert!(ended.is_some_and(|status| status.code() == Some(1)), "{ended:?}: {said}");
        assert!(said.contains("IPVS is refused") || said.contains("has no IPVS"), "{said}");
    }
}
