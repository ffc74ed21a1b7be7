//! Two `director` processes, their clients and their servers, on a real IPVS (in user-mode-linux where the running kernel
//! has none).

#[path = "../../vrrp-ipvs/tests/kernel/guest.rs"]
mod guest;
#[allow(dead_code)]
#[path = "../../vrrp-ipvs/tests/kernel/net.rs"]
mod net;
#[allow(dead_code)]
#[path = "director/network.rs"]
mod network;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use guest::on_ipvs;
use net::{Host, cable, wait_for};
use network::{Web, bridge, counts, get_from};

/// Longer than anything here takes: the guest has one processor, and a slow one.
const PATIENCE: Duration = Duration::from_secs(60);

const VIP: &str = "10.0.0.100:80";

/// A client, two directors and three servers on one network; the third is the sorry server.
struct Network {
    switch: Host,
    client: Host,
    directors: [Host; 2],
    servers: [Host; 3],
}

impl Network {
    fn new() -> Self {
        let switch = Host::new();
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let network = Self {
            switch,
            client: Host::new(),
            directors: [Host::new(), Host::new()],
            servers: [Host::new(), Host::new(), Host::new()],
        };
        let hosts = [&network.client].into_iter().chain(&network.directors).chain(&network.servers);
        for (number, host) in hosts.enumerate() {
            let name = format!("port{number}");
            cable(&name, (host, &format!("10.0.0.{0}/24 fd00::{0}/64", 10 + number)), (&network.switch, ""));
            network.switch.ip(&format!("link set {name} master br0"));
        }
        network
    }

    /// Makes the servers ready with our own helper.
    fn prepare_servers(&self, interface: &str) {
        self.prepare_servers_for("10.0.0.100", interface);
    }

    fn prepare_servers_for(&self, address: &str, interface: &str) {
        for host in &self.servers {
            let output = host.inside(|| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_director"));
                command.args(["--real-server", address, "--interface", interface]).output().unwrap()
            });
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn director(&self, index: usize, priority: u8, more: &str) -> Director {
        let text = format!(
            r#"
            quorum-weight = -60
            {more}
            [router]
            interface = "port{port}"
            vrid = 51
            priority = {priority}
            addresses = ["10.0.0.100/32"]
            [[virtual-server]]
            name = "web"
            at = ["10.0.0.100 80"]
            forwarding = "direct"
            servers = [{{ address = "10.0.0.13:80" }}, {{ address = "10.0.0.14:80" }}]
            sorry-server = {{ address = "10.0.0.15:80" }}
            check = {{ http = "/health", every = "{EVERY}ms", timeout = "{TIMEOUT}ms", retries = {RETRIES} }}
            "#,
            port = index + 1
        );
        Director::spawn(&self.directors[index], &text)
    }
}

const EVERY: u64 = 500;
const TIMEOUT: u64 = 2000;
const RETRIES: u64 = 1;

/// What may pass until a server that refuses connections is out: the time to the next attempt, each retry a second later.
const CHECK_BOUND: Duration = Duration::from_millis(EVERY + RETRIES * 1000);

/// What a busy guest adds to it.
const SLACK: Duration = Duration::from_secs(5);

/// A `director` process, which ends with this.
struct Director {
    process: Child,
    files: [PathBuf; 2],
}

impl Director {
    fn spawn(host: &Host, text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = |end| std::env::temp_dir().join(format!("director-{}-{number}.{end}", std::process::id()));
        let (settings, log) = (file("toml"), file("log"));
        std::fs::write(&settings, text).unwrap();
        let output = File::create(&log).unwrap();
        let process = host.inside(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_director"));
            command.arg("--config").arg(&settings).args(["--log", "debug"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().unwrap()
        });
        Self { process, files: [settings, log] }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.files[1]).unwrap_or_default()
    }

    fn says(&self, text: &str) {
        let said = wait_for(PATIENCE, || self.log().contains(text).then_some(()));
        assert!(said.is_some(), "{text:?} was not said:\n{}", self.log());
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// The body that the client gets from the virtual address.
fn get(client: &Host) -> std::io::Result<String> {
    get_from(client, VIP)
}

/// How often each body came in `count` requests.
fn bodies(client: &Host, count: usize) -> BTreeMap<String, usize> {
    let mut bodies = BTreeMap::new();
    for _ in 0..count {
        *bodies.entry(get(client).unwrap()).or_default() += 1;
    }
    bodies
}

/// Waits until the director's table holds these servers, by the last part of their addresses; how long that took.
fn pool(host: &Host, director: &Director, wanted: &[&str]) -> Duration {
    let begin = Instant::now();
    let mut last = Vec::new();
    let found = wait_for(PATIENCE, || {
        last = host.listing();
        let servers: Vec<&str> = last
            .iter()
            .filter_map(|line| line.strip_prefix("-> 10.0.0.")?.split_once(':'))
            .map(|(host, _)| host)
            .collect();
        (servers == wanted).then_some(())
    });
    assert!(found.is_some(), "{wanted:?} are not the pool: {last:?}\n{}", director.log());
    begin.elapsed()
}

#[test]
fn a_pair_of_directors_balances_through_every_failure() {
    on_ipvs(|| {
        let network = Network::new();
        network.prepare_servers("lo");
        let [one, two, sorry] = &network.servers;
        let (first, second) = (Web::on(one, "one"), Web::on(two, "two"));
        let _sorry = Web::on(sorry, "sorry");
        let mut active = network.director(0, 150, r#"sync = { interface = "port1", sync_id = 51 }"#);
        let standby = network.director(1, 100, r#"sync = { interface = "port2", sync_id = 51 }"#);
        let [active_host, standby_host] = &network.directors;
        active.says("-> Active");
        standby.says("connections of the other director are taken in");
        active.says("connections are told to the other director");
        // The table is there before the address, on both.
        pool(active_host, &active, &["13", "14"]);
        pool(standby_host, &standby, &["13", "14"]);
        assert_eq!(bodies(&network.client, 10), counts([("one", 5), ("two", 5)]));

        // A server that is killed leaves within its check's bounds, and returns.
        drop(first);
        let took = pool(active_host, &active, &["14"]);
        assert!(took <= CHECK_BOUND + SLACK, "it took {took:?}");
        active.says("web: 10.0.0.13:80 does not serve: no connection: ");
        assert_eq!(bodies(&network.client, 4), counts([("two", 4)]));
        let first = Web::on(one, "one");
        let took = pool(active_host, &active, &["13", "14"]);
        assert!(took <= CHECK_BOUND + SLACK, "it took {took:?}");
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("two", 2)]));

        // Both down: the sorry server. Nobody has a quorum, so the address stays.
        drop((first, second));
        pool(active_host, &active, &["15"]);
        pool(standby_host, &standby, &["15"]);
        assert_eq!(bodies(&network.client, 2), counts([("sorry", 2)]));
        let (_first, _second) = (Web::on(one, "one"), Web::on(two, "two"));
        pool(active_host, &active, &["13", "14"]);
        pool(standby_host, &standby, &["13", "14"]);

        // The director dies: the other serves, and tells of connections itself.
        active.signal(Signal::KILL);
        active.process.wait().unwrap();
        standby.says("connections are told to the other director");
        let answered = wait_for(PATIENCE, || get(&network.client).ok());
        assert!(answered.is_some(), "{}", standby.log());
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("two", 2)]));
        let daemon = standby_host.ipvsadm("-Ln --daemon");
        assert!(daemon.contains("master") && !daemon.contains("backup"), "{daemon}");
    });
}

#[test]
fn a_director_that_is_told_to_leave_hands_over_and_leaves_nothing() {
    on_ipvs(|| {
        let network = Network::new();
        network.prepare_servers("lo");
        let (_one, _two) = (Web::on(&network.servers[0], "one"), Web::on(&network.servers[1], "two"));
        let mut active = network.director(0, 150, r#"standby = "cold""#);
        active.says("-> Active");
        let standby = network.director(1, 100, r#"standby = "cold""#);
        let [active_host, standby_host] = &network.directors;
        standby.says("-> Backup");
        pool(active_host, &active, &["13", "14"]);
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("two", 2)]));
        assert_eq!(standby_host.listing(), Vec::<String>::new(), "a cold Backup's table is empty");
        active.signal(Signal::TERM);
        pool(standby_host, &standby, &["13", "14"]);
        let status = wait_for(PATIENCE, || active.process.try_wait().unwrap());
        assert!(status.is_some_and(|status| status.success()), "{}", active.log());
        assert_eq!(active_host.listing(), Vec::<String>::new());
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("two", 2)]));
    });
}

#[test]
fn a_director_that_reads_its_file_again_goes_on_with_what_is_in_it_now() {
    on_ipvs(|| {
        let network = Network::new();
        network.prepare_servers("lo");
        let (_one, _two) = (Web::on(&network.servers[0], "one"), Web::on(&network.servers[1], "two"));
        let host = &network.directors[0];
        // What a director that was killed has left, with another file.
        host.ipvsadm("-A -t 10.0.0.99:80 -s rr");
        host.ipvsadm("-a -t 10.0.0.99:80 -r 10.0.0.13:80 -g");
        let director = network.director(0, 150, "whole-table = true");
        director.says("-> Active");
        pool(host, &director, &["13", "14"]);
        assert!(!host.listing().iter().any(|line| line.contains("10.0.0.99")), "{:?}", host.listing());
        let text = std::fs::read_to_string(&director.files[0]).unwrap();
        let text =
            text.replace("10.0.0.14:80", "10.0.0.15:80").replace("sorry-server = { address = \"10.0.0.15:80\" }", "");
        std::fs::write(
            &director.files[0],
            text.replace("[\"10.0.0.100/32\"]", "[\"10.0.0.100/32\", \"10.0.0.101/32\"]"),
        )
        .unwrap();
        let _three = Web::on(&network.servers[2], "three");
        director.signal(Signal::HUP);
        director.says("reloaded: ");
        pool(host, &director, &["13", "15"]);
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("three", 2)]));
        assert!(host.ip("address show").contains("10.0.0.101/32"));
        // It did not leave its role.
        assert_eq!(director.log().matches("-> Active").count(), 1, "{}", director.log());

        std::fs::write(&director.files[0], "[router]\n").unwrap();
        director.signal(Signal::HUP);
        director.says("the configuration stays as it is: ");
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("three", 2)]));
    });
}

#[test]
fn a_director_that_sees_too_few_servers_lets_the_other_one_serve() {
    on_ipvs(|| {
        let network = Network::new();
        network.prepare_servers("lo");
        let (_one, _two) = (Web::on(&network.servers[0], "one"), Web::on(&network.servers[1], "two"));
        let active = network.director(0, 150, "");
        active.says("-> Active");
        let standby = network.director(1, 100, "");
        standby.says("-> Backup");
        pool(&network.directors[0], &active, &["13", "14"]);
        // The first director alone loses its way to the servers, not to the other director and the client.
        for server in ["10.0.0.13", "10.0.0.14"] {
            network.directors[0].ip(&format!("route add unreachable {server}"));
        }
        active.says("web: quorum lost");
        standby.says("-> Active");
        let answered = wait_for(PATIENCE, || get(&network.client).ok().filter(|body| body != "sorry"));
        assert!(answered.is_some(), "{}\n{}", active.log(), standby.log());
        assert_eq!(bodies(&network.client, 4), counts([("one", 2), ("two", 2)]));
    });
}

#[test]
fn servers_behind_every_kind_of_tunnel_are_made_ready_by_the_helper() {
    on_ipvs(|| {
        for module in ["ipip", "ip_gre", "fou"] {
            net::run("modprobe", module);
        }
        for (forwarding, interface) in [("\"ipip\"", "tunl0"), ("\"gre\"", "gre0"), ("{ gue = 6080 }", "tunl0")] {
            let network = Network::new();
            network.prepare_servers(interface);
            if forwarding.contains("gue") {
                for host in &network.servers {
                    host.ip("fou add port 6080 gue");
                }
            }
            let (_one, _two) = (Web::on(&network.servers[0], "one"), Web::on(&network.servers[1], "two"));
            let text = format!(
                r#"
                [router]
                interface = "port1"
                vrid = 51
                addresses = ["10.0.0.100/32"]
                [[virtual-server]]
                name = "web"
                at = ["10.0.0.100 80"]
                forwarding = {forwarding}
                servers = [{{ address = "10.0.0.13:80" }}, {{ address = "10.0.0.14:80" }}]
                "#
            );
            let director = Director::spawn(&network.directors[0], &text);
            director.says("-> Active");
            assert_eq!(bodies(&network.client, 6), counts([("one", 3), ("two", 3)]), "{forwarding}");
        }
    });
}

#[test]
fn a_director_balances_ipv6_and_neither_checks_nor_tunnels_from_the_virtual_address() {
    on_ipvs(|| {
        net::run("modprobe", "ip6_tunnel");
        for (forwarding, interface) in [("direct", "lo"), ("ipip", "through")] {
            let network = Network::new();
            if forwarding == "ipip" {
                for (number, host) in network.servers.iter().enumerate() {
                    host.ip(&format!("link add through type ip6tnl mode any local fd00::{}", 13 + number));
                }
            }
            network.prepare_servers_for("fd00::100", interface);
            let (_one, _two) = (Web::on(&network.servers[0], "one"), Web::on(&network.servers[1], "two"));
            let text = format!(
                r#"
                [router]
                interface = "port1"
                vrid = 51
                addresses = ["fe80::100", "fd00::100"]
                [[virtual-server]]
                name = "web"
                at = ["fd00::100 80"]
                forwarding = "{forwarding}"
                servers = [{{ address = "[fd00::13]:80" }}, {{ address = "[fd00::14]:80" }}]
                sorry-server = {{ address = "[fd00::15]:80" }}
                check = {{ http = "/health", every = "{EVERY}ms", timeout = "{TIMEOUT}ms", retries = {RETRIES} }}
                "#
            );
            let director = Director::spawn(&network.directors[0], &text);
            director.says("-> Active");
            // The servers hold the address too: asked from it they would answer themselves, and be down for good by then.
            let asked_from_it = 2 * CHECK_BOUND + Duration::from_millis(4 * TIMEOUT);
            wait_for(asked_from_it, || director.log().contains("does not serve").then_some(()));
            let served = wait_for(PATIENCE, || {
                let mut answers = BTreeMap::new();
                for _ in 0..6 {
                    *answers.entry(get_from(&network.client, "[fd00::100]:80").ok()?).or_default() += 1;
                }
                (answers == counts([("one", 3), ("two", 3)])).then_some(())
            });
            assert!(served.is_some(), "{forwarding}: {}", director.log());
        }
    });
}

#[test]
fn a_masqueraded_connection_outlives_its_director() {
    on_ipvs(|| {
        let (client, directors, server) = (Host::new(), [Host::new(), Host::new()], Host::new());
        let [first, second] = &directors;
        let _outside =
            bridge("outside", &[(&client, "10.0.0.10/24"), (first, "10.0.0.11/24"), (second, "10.0.0.12/24")]);
        let _inside = bridge("inside", &[(&server, "10.1.0.13/24"), (first, "10.1.0.11/24"), (second, "10.1.0.12/24")]);
        // The way back is a virtual address too.
        server.ip("route add default via 10.1.0.100");
        for director in &directors {
            director.sysctl("ipv4/ip_forward", "1");
        }
        let start = |host: &Host, priority: u8| {
            let text = format!(
                r#"
                sync = {{ interface = "inside", sync_id = 51 }}
                [router]
                interface = "outside"
                vrid = 51
                priority = {priority}
                addresses = ["10.0.0.100/32"]
                excluded-addresses = ["10.1.0.100/32 dev inside"]
                [[virtual-server]]
                name = "long"
                at = ["10.0.0.100 9000"]
                servers = [{{ address = "10.1.0.13:9001" }}]
                "#
            );
            Director::spawn(host, &text)
        };
        let mut active = start(first, 150);
        active.says("connections are told to the other director");
        let standby = start(second, 100);
        standby.says("connections of the other director are taken in");
        let listener = server.inside(|| TcpListener::bind("0.0.0.0:9001").unwrap());
        let mut near = client.inside(|| {
            let server: SocketAddr = "10.0.0.100:9000".parse().unwrap();
            TcpStream::connect_timeout(&server, PATIENCE).unwrap()
        });
        let (mut far, _) = listener.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let mut exchange = || {
            let mut octet = [0];
            near.write_all(b"?").unwrap();
            far.read_exact(&mut octet).unwrap();
            far.write_all(b"!").unwrap();
            near.read_exact(&mut octet).unwrap();
        };
        // The kernel tells of a connection with a few of its packets.
        let learned = wait_for(PATIENCE, || {
            exchange();
            second.ipvsadm("-Lnc").contains("10.1.0.13:9001").then_some(())
        });
        assert!(learned.is_some(), "{}\n{}", second.ipvsadm("-Lnc"), standby.log());
        active.signal(Signal::KILL);
        active.process.wait().unwrap();
        standby.says("-> Active");
        exchange();
    });
}
