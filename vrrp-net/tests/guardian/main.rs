//! The crash guardian: processes that die in every way, real packets, real addresses.
//!
//! Every test runs as whoever runs it. Root also runs them all a second time as an unprivileged user, see
//! `everything_works_without_root`. A program that dies is this test program again, with what to do in the environment.

mod victim;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::net::IpAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use victim::ROLE;
use vrrp_net::lab::{Capture, Frame, Host, Interface, Lab};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must happen where nothing must happen.
const A_WHILE: Duration = Duration::from_millis(200);

/// A host of the lab, what is on its wire, and whoever makes both.
struct Place {
    host: Host,
    eth0: Interface,
    peer: Host,
    capture: Capture,
    _lab: Lab,
}

/// Two hosts on one switch, the first of which gets the victims; `None` where no lab is allowed: then the test is skipped,
/// loudly.
fn place() -> Option<Place> {
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) if std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all") => panic!("{error}"),
        Err(error) => {
            // Not by a macro: the test harness would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
            return None;
        }
    };
    let lan = lab.bridge("lan").unwrap();
    let host = lab.host("a").unwrap();
    let eth0 = host.attach(&lan, "eth0", &["192.0.2.1/24", "fe80::1/64", "2001:db8::1/64"]).unwrap();
    let peer = lab.host("b").unwrap();
    let capture = peer.attach(&lan, "eth0", &["192.0.2.2/24", "2001:db8::2/64"]).unwrap().capture().unwrap();
    Some(Place { host, eth0, peer, capture, _lab: lab })
}

/// A victim that has got as far as it goes before something happens to it.
struct Victim {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    guardian: u32,
}

impl Place {
    /// Starts a victim in the host, in a process group of its own; `role` says what it arms and how it dies.
    fn victim(&self, role: &str) -> Victim {
        let mut command = self.host.command("/proc/self/exe");
        command.args(["--exact", "victim::victim", "--nocapture", "--test-threads=1"]).env(ROLE, role);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut victim = Victim { child, output, guardian: 0 };
        victim.guardian = victim.reads("guardian=").parse().unwrap();
        victim
    }

    /// Whether the host has any virtual address.
    fn serves(&self) -> bool {
        self.host.addresses().unwrap().iter().any(|own| own.protocol == Some(112))
    }

    /// Waits until the host has no virtual address.
    fn wait_until_clean(&self) {
        assert!(eventually(|| !self.serves()), "left: {:?}", self.host.addresses().unwrap());
    }

    /// The VRRP packets of the host, as (VRID, priority, interval, is IPv6), with when they came.
    fn adverts(&self) -> Vec<Advert> {
        self.capture.frames().iter().filter(|it| it.bytes[6..12] == self.eth0.mac()).filter_map(Advert::read).collect()
    }

    fn wait_for_adverts(&self, count: usize) -> Vec<Advert> {
        assert!(eventually(|| self.adverts().len() >= count), "{} of {count}", self.adverts().len());
        self.adverts()
    }
}

impl Victim {
    /// What follows `key` in the line that begins with it.
    fn reads(&mut self, key: &str) -> String {
        let lines = self.output.by_ref().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix(key).map(str::to_owned)).next().expect("the victim gets that far")
    }

    fn tell(&mut self, word: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
    }

    /// Sends a signal to the victim itself.
    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    fn signal_guardian(&self, signal: Signal) {
        kill_process(pid(self.guardian), signal).unwrap();
    }

    fn kill(&mut self) -> vrrp_core::Instant {
        let at = vrrp_net::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        at
    }

    /// What `/proc` has of the guardian.
    fn guardian_file(&self, name: &str) -> std::io::Result<String> {
        std::fs::read(format!("/proc/{}/{name}", self.guardian)).map(|it| String::from_utf8_lossy(&it).into_owned())
    }

    fn guardian_is_gone(&self) -> bool {
        // A zombie is not there any more, but for whoever is to wait for it.
        self.guardian_file("stat").map_or(true, |stat| stat.contains(") Z "))
    }
}

/// A VRRP packet on the wire.
#[derive(Clone, Debug)]
struct Advert {
    at: vrrp_core::Instant,
    vrid: u8,
    priority: u8,
    interval: u16,
    source: IpAddr,
    ttl: u8,
}

impl Advert {
    fn read(frame: &Frame) -> Option<Self> {
        let bytes = &frame.bytes;
        let (ttl, source, payload) = match bytes[12..14] {
            [0x08, 0x00] if bytes[23] == 112 => {
                (bytes[22], IpAddr::from(*bytes[26..].first_chunk::<4>()?), bytes.get(34..)?)
            }
            [0x86, 0xdd] if bytes[20] == 112 => {
                (bytes[21], IpAddr::from(*bytes[22..].first_chunk::<16>()?), bytes.get(54..)?)
            }
            _ => return None,
        };
        let interval = u16::from_be_bytes(*payload.get(4..)?.first_chunk()?);
        Some(Self { at: frame.at, vrid: payload[1], priority: payload[2], interval, source, ttl })
    }
}

/// Wait until it is so. Returns whether it became so in time.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

fn print_times(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let count = times.len();
    eprintln!("{what}: of {count}, median {:?}, 90 % {:?}, 99 % {:?}, most {:?}", at(50), at(90), at(99), at(100));
}

/// The farewell of the victim's one virtual router: its last advertisement, with the interval of 1 cs, and priority 0.
fn assert_farewell(adverts: &[Advert], source: &str) {
    let found: Vec<_> = adverts.iter().map(|it| (it.vrid, it.priority, it.interval, it.ttl)).collect();
    assert_eq!(found, [(51, 150, 1, 255), (51, 0, 1, 255)]);
    assert!(adverts.iter().all(|it| it.source == source.parse::<IpAddr>().unwrap()), "{adverts:?}");
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[test]
fn after_kill_9_the_address_is_gone_and_the_farewell_is_said_each_of_100_times() {
    let Some(place) = place() else { return };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 1..=100 {
        let mut victim = place.victim("one");
        assert!(place.serves());
        let killed = victim.kill();
        let adverts = place.wait_for_adverts(2 * round).split_off(2 * round - 2);
        // It goes before the farewell, so there is nothing to wait for.
        assert!(!place.serves(), "round {round}");
        assert_farewell(&adverts, "192.0.2.1");
        first.push(adverts[0].at.since(killed));
        second.push(adverts[1].at.since(killed));
        assert!(eventually(|| victim.guardian_is_gone()));
    }
    print_times("from kill -9 to the last advertisement", &mut first);
    print_times("from kill -9 to priority 0", &mut second);
    assert!(second.iter().all(|it| *it < Duration::from_secs(1)));
}

#[test]
fn ipv6_and_unicast_peers_are_served_as_well() {
    let Some(place) = place() else { return };
    place.victim("six").kill();
    assert_farewell(&place.wait_for_adverts(2), "fe80::1");
    assert!(!place.serves());
    place.victim("unicast").kill();
    assert_farewell(&place.wait_for_adverts(4)[2..], "2001:db8::1");
    assert!(!place.serves());
    // And nothing more comes.
    std::thread::sleep(A_WHILE);
    assert_eq!(place.adverts().len(), 4);
}

#[test]
fn every_other_way_to_die_counts_too() {
    for (word, signal, code) in [
        ("abort", Some(6), None),
        ("segfault", Some(11), None),
        ("exit", None, Some(7)),
        ("panic and exit", None, Some(101)),
        ("panic and go on", None, None),
        ("exec", None, None),
    ] {
        let Some(place) = place() else { return };
        let mut victim = place.victim("one");
        assert!(place.serves() && place.adverts().is_empty());
        victim.tell(word);
        assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
        assert!(!place.serves(), "{word}");
        if signal.is_none() && code.is_none() {
            assert_eq!(victim.child.try_wait().unwrap(), None, "{word}: the process goes on");
            continue;
        }
        let status = victim.child.wait().unwrap();
        assert_eq!((status.signal(), status.code()), (signal, code), "{word}");
    }
}

#[test]
fn a_process_that_the_oom_killer_ends_is_resigned_for() {
    let Some(place) = place() else { return };
    let Some(group) = MemoryGroup::new(128 * 1024 * 1024) else {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED test: no memory cgroup can be made here: no OOM kill without danger");
        return;
    };
    let mut victim = place.victim(&format!("one in {}", group.path.display()));
    victim.tell("eat");
    let status = victim.child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "by the OOM killer");
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(!place.serves());
    assert!(eventually(|| victim.guardian_is_gone()));
}

/// A group of processes that can have only so much memory.
struct MemoryGroup {
    path: std::path::PathBuf,
}

impl MemoryGroup {
    fn new(octets: u64) -> Option<Self> {
        ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].iter().find_map(|root| {
            let path = std::path::Path::new(root).join(format!("vrrp-guardian-{}", std::process::id()));
            std::fs::create_dir(&path).ok()?;
            let group = Self { path };
            let limit = ["memory.limit_in_bytes", "memory.max"].iter().find(|name| group.path.join(name).exists())?;
            std::fs::write(group.path.join(limit), octets.to_string()).ok()?;
            // No way out through swap.
            let _ = std::fs::write(group.path.join("memory.swap.max"), "0");
            Some(group)
        })
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        eventually(|| std::fs::remove_dir(&self.path).is_ok());
    }
}

#[test]
fn the_memory_of_the_application_is_not_waited_for() {
    let Some(place) = place() else { return };
    // Once is enough: another time something else may be in the way.
    let sooner = (1..=5).any(|round| {
        let mut victim = place.victim("huge");
        let killed = victim.kill();
        let gone = vrrp_net::now();
        let resigned = place.wait_for_adverts(2 * round)[2 * round - 1].at;
        eprintln!(
            "256 MiB: priority 0 {:?} after kill -9, the process gone {:?}",
            resigned.since(killed),
            gone.since(killed)
        );
        resigned < gone
    });
    assert!(sooner, "the guardian learns of the end only after the kernel has freed the memory");
}

#[test]
fn keepalived_takes_over_some_10_ms_after_kill_9() {
    let Some(place) = place() else { return };
    let folder = std::env::temp_dir().join(format!("vrrp-guardian-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("keepalived.conf");
    let configuration = "global_defs {\n vrrp_version 3\n}\nvrrp_instance a {\n state BACKUP\n interface eth0\n \
        virtual_router_id 51\n priority 100\n advert_int 1\n virtual_ipaddress {\n 192.0.2.100/32\n }\n}\n";
    std::fs::write(&file, configuration).unwrap();
    let mut command = place.peer.command("keepalived");
    command.args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog", "--use-file"]).arg(&file);
    command.arg("--pid").arg(folder.join("parent.pid")).arg("--vrrp_pid").arg(folder.join("child.pid"));
    let keepalived = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(keepalived) => Killed(keepalived),
        Err(error) if std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all") => panic!("{error}"),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED test: keepalived: {error} (apt-get install keepalived)");
            return;
        }
    };
    let of_keepalived = |since: vrrp_core::Instant| {
        let frames = place.capture.frames();
        let others = frames.iter().filter(|it| it.at > since && it.bytes[6..12] != place.eth0.mac());
        others.filter_map(Advert::read).find(|it| it.priority == 100)
    };
    let mut times = Vec::new();
    for _ in 0..5 {
        let before = place.adverts().len();
        let mut victim = place.victim("advertises");
        // By the second one keepalived is a Backup that knows the interval.
        let seen = place.wait_for_adverts(before + 2);
        let quiet = seen.last().unwrap().at;
        assert!(of_keepalived(quiet).is_none());
        let killed = victim.kill();
        assert!(eventually(|| of_keepalived(killed).is_some()), "keepalived does not take over");
        assert!(!place.serves());
        times.push(of_keepalived(killed).unwrap().at.since(killed));
    }
    print_times("from kill -9 to the first advertisement of keepalived", &mut times);
    // Without the farewell it is 2.6 s and more: three intervals of 1 s, less what has passed, and its Skew_Time.
    assert!(times.iter().all(|it| *it < Duration::from_secs(1)), "{times:?}");
    drop(keepalived);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A process that is killed with whoever started it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_255_virtual_routers_all_are_resigned_for() {
    let Some(place) = place() else { return };
    let mut last = Vec::new();
    for round in 0..5 {
        let mut victim = place.victim("many");
        let killed = victim.kill();
        let adverts = place.wait_for_adverts(510 * (round + 1)).split_off(510 * round);
        assert!(!place.serves());
        let said: BTreeSet<_> = adverts.iter().map(|it| (it.vrid, it.priority)).collect();
        assert_eq!((adverts.len(), said.len()), (510, 510));
        last.push(adverts.iter().map(|it| it.at.since(killed)).max().unwrap());
    }
    print_times("from kill -9 to the last priority 0 of 255", &mut last);
    assert!(last.iter().all(|it| *it < Duration::from_secs(1)));
}

#[test]
fn one_with_5000_addresses_keeps_nobody_waiting() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("large");
    let killed = victim.kill();
    let adverts = place.wait_for_adverts(4);
    let here = place.host.addresses().unwrap().len();
    place.wait_until_clean();
    eprintln!(
        "5000 addresses are gone {:?} after kill -9, {here} were there after priority 0",
        vrrp_net::now().since(killed)
    );
    // The small one, armed after the large one, goes first; of the large one the farewell does not wait for the addresses.
    let said: Vec<_> = adverts.iter().map(|it| (it.vrid, it.priority)).collect();
    assert_eq!(said, [(52, 150), (52, 0), (51, 150), (51, 0)]);
}

#[test]
fn an_interface_of_a_virtual_mac_goes_last() {
    let Some(place) = place() else { return };
    place.victim("macvlan").kill();
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(eventually(|| place.host.link("vrrp.51").is_err()));
    assert!(!place.serves());
}

#[test]
fn the_guardian_has_nothing_of_the_application() {
    let Some(place) = place() else { return };
    let victim = place.victim("rich");
    let links = |process: u32| -> BTreeSet<String> {
        let entries = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().filter_map(Result::ok);
        entries.map(|it| std::fs::read_link(it.path()).unwrap().to_string_lossy().into_owned()).collect()
    };
    let (its, ours) = (links(victim.child.id()), links(victim.guardian));
    let of_kind = |kind: &str| ours.iter().filter(|it| it.starts_with(kind)).count();
    // Files that it opened, its standard streams, and its end of the control socket.
    assert!(its.contains(&format!("/proc/{}/status", victim.child.id())), "{its:?}");
    assert!(its.iter().any(|it| it.starts_with("pipe:")) && its.iter().any(|it| it.starts_with("socket:")), "{its:?}");
    // Control, IPv4, IPv6, netlink; and its parent, whose kind kernels call by several names.
    assert_eq!((of_kind("socket:"), ours.len()), (4, 5), "{ours:?}");
    assert!(ours.iter().all(|it| it.starts_with("socket:") && !its.contains(it) || it.contains("pidfd")), "{ours:?}");

    let status = victim.guardian_file("status").unwrap();
    let field = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("Name:"), "vrrp-guardian");
    assert_eq!(victim.guardian_file("cmdline").unwrap().trim_end_matches('\0'), "vrrp-guardian");
    assert_eq!(u64::from_str_radix(&field("CapPrm:"), 16).unwrap(), 1 << 12, "CAP_NET_ADMIN alone");
    let anonymous: u64 = field("RssAnon:").trim_end_matches(" kB").parse().unwrap();
    let of_victim = std::fs::read_to_string(format!("/proc/{}/status", victim.child.id())).unwrap();
    eprintln!("anonymous memory: {anonymous} kB; {}", of_victim.lines().find(|it| it.starts_with("RssAnon")).unwrap());
    assert!(anonymous < 2048, "the application's memory is given back: {anonymous} kB");
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", victim.guardian)).unwrap();
    assert_eq!(cwd, std::path::Path::new("/"));
    // Session and process group (fields 6 and 5 of stat) are its own.
    let stat = victim.guardian_file("stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[2], fields[3]), (victim.guardian.to_string().as_str(), victim.guardian.to_string().as_str()));
    // The thread in the application takes no signal away from it.
    let threads = std::fs::read_dir(format!("/proc/{}/task", victim.child.id())).unwrap().filter_map(Result::ok);
    let threads = threads.filter_map(|it| std::fs::read_to_string(it.path().join("status")).ok());
    let thread = threads.into_iter().find(|it| it.starts_with("Name:\tvrrp-guarded\n")).expect("there is one");
    let blocked = thread.lines().find_map(|it| it.strip_prefix("SigBlk:")).unwrap().trim();
    const TERM: u64 = 1 << 14;
    assert!(u64::from_str_radix(blocked, 16).unwrap() & TERM != 0, "{blocked}");
    // Out of the OOM killer's reach, if that is allowed.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|it| it.strip_prefix("CapEff:")).unwrap();
    const SYS_RESOURCE: u64 = 1 << 24;
    let allowed = u64::from_str_radix(effective.trim(), 16).unwrap() & SYS_RESOURCE != 0;
    assert_eq!(victim.guardian_file("oom_score_adj").unwrap().trim() == "-1000", allowed);
}

#[test]
fn a_clean_stop_sends_nothing_and_leaves_no_process() {
    for word in ["dismiss", "drop"] {
        let Some(place) = place() else { return };
        let mut victim = place.victim("one");
        victim.tell(word);
        victim.reads("stopped");
        // Not even a zombie.
        assert!(victim.guardian_file("stat").is_err(), "{word}");
        assert_eq!(victim.child.wait().unwrap().code(), Some(0));
        std::thread::sleep(A_WHILE);
        assert!(place.adverts().is_empty() && place.serves(), "{word}");
    }
}

#[test]
fn what_is_disarmed_is_left_alone_and_what_is_too_old_is_not_said() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("disarmed");
    victim.kill();
    assert!(eventually(|| victim.guardian_is_gone()));
    std::thread::sleep(A_WHILE);
    assert!(place.adverts().is_empty() && place.serves());
    place.victim("expired").kill();
    place.wait_until_clean();
    std::thread::sleep(A_WHILE);
    assert!(place.adverts().is_empty());
}

#[test]
fn what_was_armed_last_is_what_counts() {
    let Some(place) = place() else { return };
    place.victim("again").kill();
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(!place.serves());
    std::thread::sleep(A_WHILE);
    assert_eq!(place.adverts().len(), 2);
}

#[test]
fn one_that_dies_while_it_writes_leaves_a_complete_farewell() {
    let Some(place) = place() else { return };
    let mut of_each = [0; 2];
    for round in 1..=50 {
        let mut victim = place.victim("restless");
        // At another point of its work each time.
        std::thread::sleep(Duration::from_micros(37 * round));
        victim.kill();
        assert!(eventually(|| victim.guardian_is_gone()));
        let seen = usize::try_from(2 * round).unwrap();
        let adverts = place.wait_for_adverts(seen).split_off(seen - 2);
        let said: Vec<_> = adverts.iter().map(|it| (it.vrid, it.priority, it.interval)).collect();
        let which = usize::from(said[0].0 == 52);
        assert!(said == [(51, 150, 1), (51, 0, 1)] || said == [(52, 150, 1), (52, 0, 1)], "{said:?}");
        assert!(!place.serves());
        of_each[which] += 1;
    }
    eprintln!("of two that were armed in turn: {of_each:?}");
}

#[test]
fn spawning_among_busy_threads_neither_hangs_nor_leaks() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("threads");
    victim.tell("spawn");
    eprintln!("{}", victim.reads("spawned "));
    assert!(place.adverts().is_empty());
}

#[test]
fn the_application_learns_that_the_guardian_was_killed_and_makes_another() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("one");
    victim.tell("watch");
    victim.reads("watching");
    victim.signal_guardian(Signal::KILL);
    victim.guardian = victim.reads("guardian=").parse().unwrap();
    assert!(place.adverts().is_empty());
    victim.kill();
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(!place.serves());
}

#[test]
fn if_both_are_killed_nothing_is_sent_and_the_address_is_left_to_its_lease() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("one");
    // Both at once, as far as that can be: neither runs in between.
    victim.signal_guardian(Signal::STOP);
    victim.signal(Signal::KILL);
    victim.signal_guardian(Signal::KILL);
    victim.child.wait().unwrap();
    assert!(eventually(|| victim.guardian_is_gone()));
    std::thread::sleep(A_WHILE);
    assert!(place.adverts().is_empty() && place.serves());
}

#[test]
fn signals_for_the_group_do_not_end_the_guardian() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("one");
    let orders = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::TSTP, Signal::TTIN];
    for signal in orders.into_iter().chain([Signal::USR1, Signal::USR2, Signal::PIPE, Signal::ALARM]) {
        victim.signal_guardian(signal);
    }
    std::thread::sleep(A_WHILE);
    assert!(!victim.guardian_is_gone() && place.adverts().is_empty() && place.serves());
    // The victim does not handle it.
    kill_process_group(pid(victim.child.id()), Signal::TERM).unwrap();
    assert_eq!(victim.child.wait().unwrap().signal(), Some(15));
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(!place.serves());
}

#[test]
fn a_stopped_application_is_not_a_dead_one() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("one");
    victim.signal(Signal::STOP);
    std::thread::sleep(2 * A_WHILE);
    assert!(place.adverts().is_empty() && place.serves());
    victim.signal(Signal::CONT);
    std::thread::sleep(A_WHILE);
    assert!(place.adverts().is_empty() && place.serves());
    victim.signal(Signal::STOP);
    victim.kill();
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
}

#[test]
fn the_death_is_noticed_while_other_processes_hold_the_applications_sockets() {
    let Some(place) = place() else { return };
    let mut victim = place.victim("one");
    victim.tell("share sockets");
    let heir: u32 = victim.reads("heir=").parse().unwrap();
    victim.kill();
    assert_farewell(&place.wait_for_adverts(2), "192.0.2.1");
    assert!(!place.serves());
    kill_process(pid(heir), Signal::KILL).unwrap();
}

#[test]
fn without_the_capability_there_is_an_error_that_names_it() {
    if vrrp_net::Capability::NetAdmin.is_effective() {
        // As `nobody` this runs once more, see below.
        return;
    }
    let error = vrrp_net::Guardian::spawn().unwrap_err().to_string();
    assert!(error.starts_with("remove addresses when this process dies: CAP_NET_ADMIN is missing"), "{error}");
}

/// Runs all tests a second time as `nobody`, if this is root.
#[test]
fn everything_works_without_root() {
    if !is_root() || std::env::var_os(ROLE).is_some() {
        return;
    }
    if let Err(error) = Lab::unprivileged() {
        assert_ne!(std::env::var("VRRP_TEST_REQUIRE").as_deref(), Ok("all"), "{error}");
        let _ = writeln!(std::io::stderr(), "SKIPPED test: {error}");
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.uid(65534).gid(65534).current_dir("/").args(["--skip", "everything_works", "--nocapture"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("test result: ok"), "{text}\n{errors}");
    for line in errors.lines().filter(|line| line.contains("median") || line.contains("SKIPPED")) {
        eprintln!("without root: {line}");
    }
}
