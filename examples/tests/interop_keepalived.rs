//! Together with keepalived, over real packets: VRRPv2 with a password, and VRRPv3.
//!
//! Its version is Debian's 2.2.7. The cases of a test run side by side, each in a lab of its own.

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Advert, Log, Node, PATIENCE, TempDir, adverts, assert_no_two_actives, gratuitous_arps, in_parallel};
use common::{lab, now, reigns, table, tool, wait_until};
use vrrp_net::lab::{Bridge, Capture, Host, Interface, Lab, Process};
use vrrp_net::vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_net::vrrp_core::{Family, Instant, Interval, Priority, Version};

#[test]
fn vrrpv2_roles_pass_between_us_and_keepalived_when_we_are_active_first() {
    roles_pass(&V2, Side::Ours);
}

#[test]
fn vrrpv2_roles_pass_between_us_and_keepalived_when_it_is_active_first() {
    roles_pass(&V2, Side::Peer);
}

#[test]
fn vrrpv3_roles_pass_between_us_and_keepalived_when_we_are_active_first() {
    roles_pass(&V3, Side::Ours);
}

#[test]
fn vrrpv3_roles_pass_between_us_and_keepalived_when_it_is_active_first() {
    roles_pass(&V3, Side::Peer);
}

#[test]
fn vrrpv2_a_pair_of_keepalived_accepts_us_as_a_third_member() {
    a_pair_accepts_us(&V2);
}

#[test]
fn vrrpv3_a_pair_of_keepalived_accepts_us_as_a_third_member() {
    a_pair_accepts_us(&V3);
}

// The cases

/// How an Active ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

/// The first side is the better one. It becomes Active, ends, and comes back; with and without preemption.
fn roles_pass(dialect: &Dialect, first: Side) {
    let Some(ground) = ground() else { return };
    let ends = [End::Killed, End::Stopped];
    let cases = ends.into_iter().flat_map(|end| [true, false].map(|preempt| (end, preempt)));
    let named = cases.map(|(end, preempt)| (format!("{end:?}, preempt {preempt}"), (end, preempt)));
    in_parallel(named, |(end, preempt)| roles_pass_in(&ground, dialect, first, end, preempt));
}

fn roles_pass_in(ground: &Ground, dialect: &Dialect, first: Side, end: End, preempt: bool) {
    let lan = Lan::new(dialect);
    let member = |side, number, priority| Member::new(ground, &lan, side, number, Policy { priority, preempt });
    let mut better = member(first, 1, 200);
    let mut other = member(first.other(), 2, 100);

    better.start();
    lan.expect_active(&better, Instant::ZERO);
    other.start();
    lan.expect_stable(&better, &[&other]);

    let ended = now();
    better.end(end);
    lan.expect_takeover(&other, &better, end, ended);

    let returned = now();
    better.start();
    if preempt {
        lan.expect_active(&better, returned);
        lan.expect_stable(&better, &[&other]);
    } else {
        lan.expect_stable(&other, &[&better]);
        assert_eq!(lan.adverts_since(returned, better.address()), [], "a nopreempt router stays Backup");
    }
    lan.expect_peace(&[&better, &other]);
}

fn a_pair_accepts_us(dialect: &Dialect) {
    let Some(ground) = ground() else { return };
    let cases: [(String, fn(&Ground, &Dialect)); 2] =
        [("as the lowest".to_owned(), joins_as_lowest), ("as the highest".to_owned(), joins_as_highest)];
    in_parallel(cases, |case| case(&ground, dialect));
}

fn pair<'a>(ground: &'a Ground, lan: &'a Lan<'a>) -> (Member<'a>, Member<'a>) {
    let member = |number, priority| Member::new(ground, lan, Side::Peer, number, Policy { priority, preempt: true });
    let (mut active, mut backup) = (member(1, 150), member(2, 100));
    active.start();
    lan.expect_active(&active, Instant::ZERO);
    backup.start();
    (active, backup)
}

fn joins_as_lowest(ground: &Ground, dialect: &Dialect) {
    let lan = Lan::new(dialect);
    let (mut active, mut backup) = pair(ground, &lan);
    let mut ours = Member::new(ground, &lan, Side::Ours, 3, Policy { priority: 50, preempt: true });
    ours.start();
    lan.expect_stable(&active, &[&backup, &ours]);

    let ended = now();
    // The Backup first: it must not notice.
    backup.end(End::Killed);
    active.end(End::Killed);
    lan.expect_takeover(&ours, &active, End::Killed, ended);
    lan.expect_stable(&ours, &[]);
    assert_eq!(lan.adverts_since(Instant::ZERO, backup.address()), [], "the Backup of the pair was never Active");
    lan.expect_peace(&[&active, &backup, &ours]);
}

fn joins_as_highest(ground: &Ground, dialect: &Dialect) {
    let lan = Lan::new(dialect);
    let (active, backup) = pair(ground, &lan);
    let mut ours = Member::new(ground, &lan, Side::Ours, 3, Policy { priority: 200, preempt: true });
    let joined = now();
    ours.start();
    lan.expect_active(&ours, joined);
    lan.expect_stable(&ours, &[&active, &backup]);

    let ended = now();
    ours.end(End::Stopped);
    lan.expect_takeover(&active, &ours, End::Stopped, ended);
    lan.expect_stable(&active, &[&backup]);
    assert_eq!(lan.adverts_since(Instant::ZERO, backup.address()), [], "the Backup of the pair was never Active");
    lan.expect_peace(&[&active, &backup, &ours]);
}

// The parts

/// A version of the protocol as it is spoken here.
struct Dialect {
    version: Version,
    /// In centiseconds. keepalived's VRRPv2 has whole seconds only. In VRRPv3 it is short to save time, but such that a
    /// busy machine is not taken for a dead one.
    interval: u64,
    password: Option<&'static str>,
}

const V2: Dialect = Dialect { version: Version::V2, interval: 100, password: Some("s3cret") };
const V3: Dialect = Dialect { version: Version::V3(Family::V4), interval: 30, password: None };

const VRID: u8 = 51;
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

impl Dialect {
    fn interval(&self) -> Interval {
        Interval::from_centiseconds(self.interval).expect("an interval")
    }

    fn active_down_interval(&self, priority: u8) -> Duration {
        active_down_interval(self.version, Priority::new(priority).expect("a priority"), self.interval())
    }

    fn skew_time(&self, priority: u8) -> Duration {
        skew_time(self.version, Priority::new(priority).expect("a priority"), self.interval())
    }
}

/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(500);

/// What the tests need of the machine.
struct Ground {
    keepalived: std::path::PathBuf,
}

fn ground() -> Option<Ground> {
    let keepalived = tool("keepalived", "keepalived")?;
    lab().map(|_| Ground { keepalived })
}

/// A lab with one switch, whose frames are recorded.
struct Lan<'a> {
    dialect: &'a Dialect,
    capture: Capture,
    bridge: Bridge,
    lab: Lab,
}

impl<'a> Lan<'a> {
    fn new(dialect: &'a Dialect) -> Self {
        let lab = Lab::new().expect("a lab");
        let bridge = lab.bridge("lan").expect("a bridge");
        Self { dialect, capture: bridge.capture().expect("a capture"), bridge, lab }
    }

    fn adverts(&self) -> Vec<Advert> {
        adverts(&self.capture.frames())
    }

    /// What one member sent from a time on.
    fn adverts_since(&self, since: Instant, source: IpAddr) -> Vec<Advert> {
        self.adverts().into_iter().filter(|advert| advert.source == source && advert.at >= since).collect()
    }

    /// It advertises from some time on, has the address, and says so to all hosts.
    fn expect_active(&self, member: &Member<'_>, since: Instant) {
        let advertises = || !self.adverts_since(since, member.address()).is_empty();
        assert!(wait_until(PATIENCE, advertises), "{} is not Active\n{}", member.name, self.describe(&[member]));
        member.expect_address(true);
        let announced = || {
            let arps = gratuitous_arps(&self.capture.frames());
            arps.iter().any(|arp| arp.at >= since && arp.mac == member.interface.mac() && arp.address == VIP)
        };
        assert!(wait_until(PATIENCE, announced), "{} does not announce {VIP}", member.name);
    }

    /// For longer than any of them would wait for a lost Active, this member is Active and those are not.
    fn expect_stable(&self, active: &Member<'_>, backups: &[&Member<'_>]) {
        let members: Vec<&Member<'_>> = [&[active], backups].concat();
        for backup in backups {
            backup.expect_backup();
            // If it was Active just before, it stops when it hears the other.
            backup.expect_address(false);
        }
        let start = now();
        let longest = backups.iter().map(|backup| self.dialect.active_down_interval(backup.policy.priority)).max();
        std::thread::sleep(longest.unwrap_or_default() + 2 * self.dialect.interval().as_duration());
        let seen: Vec<Advert> = self.adverts().into_iter().filter(|advert| advert.at >= start).collect();
        let alone = seen.iter().all(|advert| advert.source == active.address() && advert.priority > 0);
        assert!(alone && seen.len() >= 2, "{} is not the only Active\n{}", active.name, self.describe(&members));
        active.expect_address(true);
        backups.iter().for_each(|backup| backup.expect_address(false));
    }

    /// The successor became Active in time after the last that the Active sent before it ended.
    fn expect_takeover(&self, successor: &Member<'_>, former: &Member<'_>, end: End, ended: Instant) {
        self.expect_active(successor, ended);
        if former.side == Side::Ours || end == End::Stopped {
            // Our addresses have a lifetime. Those of a killed keepalived stay.
            former.expect_address(false);
        }
        let took_over = self.adverts_since(ended, successor.address())[0].at;
        let sent = self.adverts_since(Instant::ZERO, former.address());
        let last = sent.iter().rfind(|advert| advert.at < took_over).expect("adverts of the former Active");
        let priority = successor.policy.priority;
        let wait = match end {
            End::Killed => self.dialect.active_down_interval(priority),
            End::Stopped => self.dialect.skew_time(priority),
        };
        assert_eq!(last.priority == 0, end == End::Stopped, "{}", table(&self.adverts()));
        let waited = took_over.since(last.at);
        // The time of a frame is that of its reader, which may have been late for the earlier one.
        let in_time = (wait.saturating_sub(SLACK / 5)..=wait + SLACK).contains(&waited);
        assert!(in_time, "{} waited {waited:?}, not {wait:?}\n{}", successor.name, self.describe(&[successor, former]));
    }

    /// Looking back: nobody was Active beside another, the adverts were as configured, and nobody complained.
    fn expect_peace(&self, members: &[&Member<'_>]) {
        let adverts = self.adverts();
        assert_no_two_actives(&adverts);
        for advert in &adverts {
            let member = members.iter().find(|member| member.address() == advert.source).expect("a member");
            assert!([0, member.policy.priority].contains(&advert.priority), "{advert:?}");
            assert_eq!((advert.version, advert.vrid), (self.dialect.version.number(), VRID), "{advert:?}");
            assert_eq!(advert.interval, self.dialect.interval().as_duration(), "{advert:?}");
            assert_eq!(advert.addresses, [VIP], "{advert:?}");
            let password = advert.auth_data.map(|data| data.escape_ascii().to_string().replace("\\x00", ""));
            assert_eq!(password.as_deref(), self.dialect.password, "{advert:?}");
            assert_eq!(advert.auth_type, self.dialect.password.map(|_| 1), "{advert:?}");
        }
        for member in members {
            let complaints = member.complaints();
            assert!(complaints.is_empty(), "{}: {complaints:#?}\n{}", member.name, self.describe(members));
        }
    }

    fn describe(&self, members: &[&Member<'_>]) -> String {
        let adverts = self.adverts();
        let logs = members.iter().map(|member| format!("{}: {:#?}\n", member.name, member.log()));
        format!("{}{:#?}\n{}", table(&adverts), reigns(&adverts), logs.collect::<String>())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Peer,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Ours => Self::Peer,
            Self::Peer => Self::Ours,
        }
    }
}

#[derive(Clone, Copy)]
struct Policy {
    priority: u8,
    preempt: bool,
}

/// A host with one of the two programs, which can end and start again.
struct Member<'a> {
    ground: &'a Ground,
    dialect: &'a Dialect,
    side: Side,
    policy: Policy,
    name: String,
    number: u8,
    host: Host,
    interface: Interface,
    program: Option<Program>,
}

enum Program {
    Ours(Node),
    Peer(Keepalived),
}

impl<'a> Member<'a> {
    fn new(ground: &'a Ground, lan: &Lan<'a>, side: Side, number: u8, policy: Policy) -> Self {
        let name = format!("{side:?} {number}");
        let host = lan.lab.host(&name).expect("a host");
        let interface = host.attach(&lan.bridge, "eth0", &[&format!("192.0.2.{number}/24")]).expect("an interface");
        Self { ground, dialect: lan.dialect, side, policy, name, number, host, interface, program: None }
    }

    fn address(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, self.number])
    }

    fn start(&mut self) {
        self.program = Some(match self.side {
            Side::Ours => Program::Ours(Node::start(&self.host, self.arguments())),
            Side::Peer => Program::Peer(Keepalived::start(&self.ground.keepalived, &self.host, &self.configuration())),
        });
    }

    fn end(&mut self, end: End) {
        match (self.program.as_mut().expect("a running program"), end) {
            (Program::Ours(node), End::Killed) => node.kill(),
            (Program::Ours(node), End::Stopped) => assert!(node.terminate().success(), "{:#?}", node.log().lines()),
            (Program::Peer(peer), End::Killed) => peer.kill(),
            (Program::Peer(peer), End::Stopped) => peer.terminate(),
        }
    }

    fn expect_address(&self, present: bool) {
        let so = self.host.wait_for_address(VIP.into(), present, PATIENCE).expect("the addresses");
        assert!(so, "{}: {VIP} is {}there\n{:#?}", self.name, if present { "not " } else { "" }, self.log());
    }

    /// It takes part in the election, and it says so.
    fn expect_backup(&self) {
        let (log, text) = match self.program.as_ref().expect("a running program") {
            Program::Ours(node) => (node.log(), "-> Backup"),
            Program::Peer(peer) => (&peer.log, "Entering BACKUP STATE"),
        };
        assert!(log.wait_for(PATIENCE, text), "{} is no Backup: {:#?}", self.name, log.lines());
    }

    fn log(&self) -> Vec<String> {
        match &self.program {
            Some(Program::Ours(node)) => node.log().lines(),
            Some(Program::Peer(peer)) => peer.log.lines(),
            None => Vec::new(),
        }
    }

    /// The lines that say that it did not like something.
    fn complaints(&self) -> Vec<String> {
        let words: &[&str] = match self.side {
            Side::Ours => &[" WARN ", " ERROR "],
            Side::Peer => &["nvalid", "ncorrect", "ismatch", "iscard", "gnoring", "bad ", "rror", "not match"],
        };
        let complains = |line: &String| words.iter().any(|word| line.contains(word));
        // Said by both on every polite end.
        let expected = |line: &String| line.contains("Active -> Initialize") || line.contains("Backup -> Initialize");
        self.log().into_iter().filter(|line| complains(line) && !expected(line)).collect()
    }

    fn arguments(&self) -> Vec<String> {
        let Dialect { version, interval, password } = self.dialect;
        let mut arguments = format!(
            "--interface eth0 --vrid {VRID} --address {VIP} --priority {} --version {} --interval {}ms",
            self.policy.priority,
            version.number(),
            interval * 10,
        );
        if let Some(password) = password {
            arguments += &format!(" --auth-pass {password}");
        }
        if !self.policy.preempt {
            arguments += " --nopreempt";
        }
        arguments.split(' ').map(str::to_owned).collect()
    }

    fn configuration(&self) -> String {
        let Dialect { version, interval, password } = self.dialect;
        let authentication = match password {
            Some(password) => format!("authentication {{\n auth_type PASS\n auth_pass {password}\n }}"),
            None => String::new(),
        };
        format!(
            "global_defs {{\n vrrp_version {}\n }}\n\
             vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id {VRID}\n priority {}\n \
             advert_int {}.{:02}\n {}\n {authentication}\n virtual_ipaddress {{\n {VIP}/32\n }}\n }}\n",
            version.number(),
            self.policy.priority,
            interval / 100,
            interval % 100,
            if self.policy.preempt { "" } else { "nopreempt" },
        )
    }
}

/// keepalived: a parent, which does nothing but start its child again, and that child.
struct Keepalived {
    parent: Process,
    log: Log,
    folder: TempDir,
}

impl Keepalived {
    fn start(program: &Path, host: &Host, configuration: &str) -> Self {
        let folder = TempDir::new();
        let file = folder.write("keepalived.conf", configuration);
        let mut command = host.command(program);
        command.args(["--vrrp", "--dont-fork", "--log-console", "--log-detail", "--no-syslog"]);
        command.arg("--use-file").arg(file);
        command.arg("--pid").arg(folder.file("parent.pid")).arg("--vrrp_pid").arg(folder.file("child.pid"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
        let mut parent = Process::start(&mut command).expect("start keepalived");
        let log = Log::of(&mut parent);
        Self { parent, log, folder }
    }

    /// End both as a crash of the host does. Stopped, the parent cannot start another child, and its death does not make the child
    /// end politely.
    fn kill(&mut self) {
        let child = self.child();
        self.parent.stop().expect("stop keepalived");
        rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("kill keepalived's child");
        self.parent.kill().expect("kill keepalived");
    }

    fn terminate(&mut self) {
        self.parent.terminate().expect("terminate keepalived");
        let ended = self.parent.wait(PATIENCE).expect("wait for keepalived");
        assert!(ended.is_some(), "keepalived did not end on SIGTERM: {:#?}", self.log.lines());
    }

    fn child(&self) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.folder.file("child.pid")).expect("the file with keepalived's child");
        let child: i32 = text.trim().parse().expect("a process number");
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("keepalived's child");
        let parent = format!("PPid:\t{}\n", self.parent.id());
        assert!(status.contains(&parent), "process {child} is no child of keepalived:\n{status}");
        rustix::process::Pid::from_raw(child).expect("a process number")
    }
}
