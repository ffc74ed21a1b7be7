//! Elections between our `vrrpd` and another program, over real packets.
//!
//! Each member of an election is a host of a lab. What is asserted is what went over the wire, who serves the virtual
//! address, and that nobody complained.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use vrrp_net::Lease;
use vrrp_net::lab::{Bridge, Capture, Host, Interface, Lab};
use vrrp_net::vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_net::vrrp_core::{Family, Instant, Interval, Priority, Version};

use super::{Advert, Log, Node, PATIENCE, adverts, assert_no_two_actives, gratuitous_arps, in_parallel, now, reigns};
use super::{table, wait_until};

/// The virtual router of all elections.
pub const VRID: u8 = 51;
/// Its address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_millis(500);

/// A VRRP implementation that is not ours, running on a host.
pub trait Peer: Sized {
    /// What its log says when it takes part in the election as a Backup.
    const IS_BACKUP: &str;
    /// What its log says when it did not like something.
    const COMPLAINS: &[&str];
    /// What its log says in the same words, although all is well.
    const IS_CONTENT: &[&str];

    /// Whether its first advertisement as the new Active depends on its timers alone.
    const IS_PROMPT: bool = true;

    /// What the host needs before it can run.
    fn prepare(_host: &Host, _interface: &Interface) {}

    /// The MAC address that it announces the virtual address at.
    fn mac(interface: &Interface) -> [u8; 6] {
        interface.mac()
    }

    fn start(host: &Host, dialect: &Dialect, policy: Policy) -> Self;

    /// End it as a crash does.
    fn kill(&mut self);

    /// Ask it to end, and wait until it has.
    fn terminate(&mut self);

    fn log(&self) -> &Log;
}

/// A version of the protocol as it is spoken in an election.
#[derive(Clone, Copy)]
pub struct Dialect {
    pub version: Version,
    pub centiseconds: u64,
    pub password: Option<&'static str>,
}

/// keepalived's VRRPv2 has whole seconds only.
pub const V2: Dialect = Dialect { version: Version::V2, centiseconds: 100, password: Some("s3cret") };

/// The interval is short, to save time, but such that a busy machine is not taken for a dead one.
pub const V3: Dialect = Dialect { version: Version::V3(Family::V4), centiseconds: 30, password: None };

impl Dialect {
    fn interval(&self) -> Interval {
        Interval::from_centiseconds(self.centiseconds).expect("an interval")
    }

    fn active_down_interval(&self, priority: u8) -> Duration {
        active_down_interval(self.version, Priority::new(priority).expect("a priority"), self.interval())
    }

    fn skew_time(&self, priority: u8) -> Duration {
        skew_time(self.version, Priority::new(priority).expect("a priority"), self.interval())
    }
}

/// How a member stands in the election.
#[derive(Clone, Copy)]
pub struct Policy {
    pub priority: u8,
    pub preempt: bool,
}

/// Which program a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Peer,
}

/// How an Active ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Killed,
    Stopped,
}

/// Two members. The first, which is the better one, becomes Active, ends, and comes back: killed and stopped, with and
/// without preemption.
pub fn roles_pass<P: Peer>(dialect: &Dialect, first: Side) {
    let ends = [End::Killed, End::Stopped];
    let cases = ends.into_iter().flat_map(|end| [true, false].map(|preempt| (end, preempt)));
    let named = cases.map(|(end, preempt)| (format!("{end:?}, preempt {preempt}"), (end, preempt)));
    in_parallel(named, |(end, preempt)| roles_pass_once::<P>(dialect, first, end, preempt));
}

fn roles_pass_once<P: Peer>(dialect: &Dialect, first: Side, end: End, preempt: bool) {
    let lan = Lan::new(dialect);
    let second = if first == Side::Ours { Side::Peer } else { Side::Ours };
    let mut better = Member::<P>::new(&lan, first, 1, Policy { priority: 200, preempt });
    let mut other = Member::<P>::new(&lan, second, 2, Policy { priority: 100, preempt });

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

/// A lab with one switch, whose frames are recorded.
pub struct Lan {
    dialect: Dialect,
    capture: Capture,
    bridge: Bridge,
    lab: Lab,
}

impl Lan {
    pub fn new(dialect: &Dialect) -> Self {
        let lab = Lab::new().expect("a lab");
        let bridge = lab.bridge("lan").expect("a bridge");
        Self { dialect: *dialect, capture: bridge.capture().expect("a capture"), bridge, lab }
    }

    pub fn adverts(&self) -> Vec<Advert> {
        adverts(&self.capture.frames())
    }

    /// What one member sent from a time on.
    pub fn adverts_since(&self, since: Instant, source: IpAddr) -> Vec<Advert> {
        self.adverts().into_iter().filter(|advert| advert.source == source && advert.at >= since).collect()
    }

    /// It advertises from some time on, serves the address, and says so to all hosts.
    pub fn expect_active<P: Peer>(&self, member: &Member<P>, since: Instant) {
        let advertises = || !self.adverts_since(since, member.address()).is_empty();
        assert!(wait_until(PATIENCE, advertises), "{} is not Active\n{}", member.name, self.describe(&[member]));
        member.expect_to_serve(true, PATIENCE);
        let announced = || {
            let arps = gratuitous_arps(&self.capture.frames());
            arps.iter().any(|arp| arp.at >= since && arp.mac == member.mac() && arp.address == VIP)
        };
        assert!(wait_until(PATIENCE, announced), "{} does not announce {VIP}", member.name);
    }

    /// For longer than any of them would wait for a lost Active, this member is Active and those are not.
    pub fn expect_stable<P: Peer>(&self, active: &Member<P>, backups: &[&Member<P>]) {
        let members: Vec<&Member<P>> = [&[active], backups].concat();
        for backup in backups {
            backup.expect_backup();
            // If it was Active just before, it stops when it hears the other.
            backup.expect_to_serve(false, PATIENCE);
        }
        // What was sent before may be read a little later.
        let start = now() + SLACK / 2;
        let longest = members.iter().map(|member| self.dialect.active_down_interval(member.policy.priority)).max();
        std::thread::sleep(longest.unwrap_or_default() + 2 * self.dialect.interval().as_duration());
        let seen: Vec<Advert> = self.adverts().into_iter().filter(|advert| advert.at >= start).collect();
        let alone = seen.iter().all(|advert| advert.source == active.address() && advert.priority > 0);
        assert!(alone && seen.len() >= 2, "{} is not the only Active\n{}", active.name, self.describe(&members));
        active.expect_to_serve(true, Duration::ZERO);
        backups.iter().for_each(|backup| backup.expect_to_serve(false, Duration::ZERO));
    }

    /// The successor became Active in time after the last that the Active sent before it ended.
    pub fn expect_takeover<P: Peer>(&self, successor: &Member<P>, former: &Member<P>, end: End, ended: Instant) {
        self.expect_active(successor, ended);
        let took_over = self.adverts_since(ended, successor.address())[0].at;
        let sent = self.adverts_since(Instant::ZERO, former.address());
        let last = sent.iter().rfind(|advert| advert.at < took_over).expect("adverts of the former Active");
        assert_eq!(last.priority == 0, end == End::Stopped, "{}", self.describe(&[successor, former]));
        let priority = successor.policy.priority;
        let wait = match end {
            End::Killed => self.dialect.active_down_interval(priority),
            End::Stopped => self.dialect.skew_time(priority),
        };
        let waited = took_over.since(last.at);
        // The time of a frame is that of its reader, which may have been late for the earlier one.
        let is_prompt = successor.side == Side::Ours || P::IS_PROMPT;
        let in_time = waited + SLACK / 2 >= wait && (waited <= wait + SLACK || !is_prompt);
        assert!(in_time, "{} waited {waited:?}, not {wait:?}\n{}", successor.name, self.describe(&[successor, former]));

        match (end, former.side) {
            (End::Stopped, _) => former.expect_to_serve(false, PATIENCE),
            (End::Killed, Side::Ours) => {
                let lease = Lease::Auto.lifetime(self.dialect.active_down_interval(former.policy.priority));
                let seconds = lease.map_or(0, u32::from);
                former.expect_to_serve(false, Duration::from_secs(u64::from(seconds) + 2));
            }
            // Nobody takes it from a host whose program was killed, unless that has provided for it.
            (End::Killed, Side::Peer) => {}
        }
    }

    /// Looking back: nobody was Active beside another, the adverts were as configured, and nobody complained.
    pub fn expect_peace<P: Peer>(&self, members: &[&Member<P>]) {
        let adverts = self.adverts();
        assert_no_two_actives(&adverts);
        for advert in &adverts {
            let member = members.iter().find(|member| member.address() == advert.source).expect("a member");
            assert!([0, member.policy.priority].contains(&advert.priority), "{advert:?}");
            assert_eq!((advert.version, advert.vrid), (self.dialect.version.number(), VRID), "{advert:?}");
            assert_eq!(advert.interval, self.dialect.interval().as_duration(), "{advert:?}");
            assert_eq!(advert.addresses, [VIP], "{advert:?}");
            assert_eq!(advert.source_mac, member.mac(), "{advert:?}");
            let password = self.dialect.password.map(padded);
            assert_eq!((advert.auth_type, advert.auth_data), (password.map(|_| 1), password), "{advert:?}");
        }
        for member in members {
            let complaints = member.complaints();
            assert!(complaints.is_empty(), "{}: {complaints:#?}\n{}", member.name, self.describe(members));
        }
    }

    fn describe<P: Peer>(&self, members: &[&Member<P>]) -> String {
        let adverts = self.adverts();
        let logs = members.iter().map(|member| format!("{}: {:#?}\n", member.name, member.lines()));
        format!("{}{:#?}\n{}", table(&adverts), reigns(&adverts), logs.collect::<String>())
    }
}

/// A password as it is in a packet (RFC 2338 §5.3.6).
fn padded(password: &str) -> [u8; 8] {
    let mut octets = [0; 8];
    octets[..password.len()].copy_from_slice(password.as_bytes());
    octets
}

/// A host with one of the two programs, which can end and start again.
pub struct Member<P> {
    dialect: Dialect,
    side: Side,
    policy: Policy,
    name: String,
    number: u8,
    host: Host,
    interface: Interface,
    program: Option<Program<P>>,
    /// What those said that ran before.
    past: Vec<String>,
}

enum Program<P> {
    Ours(Node),
    Peer(P),
}

impl<P: Peer> Member<P> {
    pub fn new(lan: &Lan, side: Side, number: u8, policy: Policy) -> Self {
        let name = format!("{side:?} {number}");
        let host = lan.lab.host(&name).expect("a host");
        let interface = host.attach(&lan.bridge, "eth0", &[&format!("192.0.2.{number}/24")]).expect("an interface");
        if side == Side::Peer {
            P::prepare(&host, &interface);
        }
        let past = Vec::new();
        Self { dialect: lan.dialect, side, policy, name, number, host, interface, program: None, past }
    }

    pub fn address(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, self.number])
    }

    pub fn start(&mut self) {
        self.past = self.lines();
        self.program = Some(match self.side {
            Side::Ours => Program::Ours(Node::start(&self.host, self.arguments())),
            Side::Peer => Program::Peer(P::start(&self.host, &self.dialect, self.policy)),
        });
    }

    pub fn end(&mut self, end: End) {
        match (self.program.as_mut().expect("a running program"), end) {
            (Program::Ours(node), End::Killed) => node.kill(),
            (Program::Ours(node), End::Stopped) => assert!(node.terminate().success(), "{:#?}", node.log().lines()),
            (Program::Peer(peer), End::Killed) => peer.kill(),
            (Program::Peer(peer), End::Stopped) => peer.terminate(),
        }
    }

    fn mac(&self) -> [u8; 6] {
        match self.side {
            Side::Ours => self.interface.mac(),
            Side::Peer => P::mac(&self.interface),
        }
    }

    /// Whether the virtual address is on an interface that works.
    fn serves(&self) -> bool {
        let addresses = self.host.addresses().expect("the host's addresses");
        let links = self.host.links().expect("the host's interfaces");
        let mut having = addresses.iter().filter(|own| own.address == IpAddr::from(VIP));
        having.any(|own| links.iter().any(|link| link.index == own.interface && link.running))
    }

    fn expect_to_serve(&self, expected: bool, limit: Duration) {
        let so = wait_until(limit, || self.serves() == expected);
        assert!(so, "{} serves {VIP}: {}\n{:#?}", self.name, !expected, self.lines());
    }

    /// It takes part in the election, and it says so.
    fn expect_backup(&self) {
        let (log, text) = match self.program.as_ref().expect("a running program") {
            Program::Ours(node) => (node.log(), "-> Backup"),
            Program::Peer(peer) => (peer.log(), P::IS_BACKUP),
        };
        assert!(log.wait_for(PATIENCE, text), "{} is no Backup: {:#?}", self.name, log.lines());
    }

    /// All that was said on this host.
    fn lines(&self) -> Vec<String> {
        let current = match &self.program {
            Some(Program::Ours(node)) => node.log().lines(),
            Some(Program::Peer(peer)) => peer.log().lines(),
            None => Vec::new(),
        };
        [self.past.clone(), current].concat()
    }

    fn complaints(&self) -> Vec<String> {
        // Ours warns of what everybody does who is asked to end.
        let (complains, is_content) = match self.side {
            Side::Ours => (&[" WARN ", " ERROR "][..], &[": told to leave"][..]),
            Side::Peer => (P::COMPLAINS, P::IS_CONTENT),
        };
        let has = |line: &String, words: &[&str]| words.iter().any(|word| line.contains(word));
        self.lines().into_iter().filter(|line| has(line, complains) && !has(line, is_content)).collect()
    }

    fn arguments(&self) -> Vec<String> {
        let Dialect { version, centiseconds, password } = self.dialect;
        let mut arguments = format!(
            "--interface eth0 --vrid {VRID} --address {VIP} --priority {} --version {} --interval {}ms",
            self.policy.priority,
            version.number(),
            centiseconds * 10,
        );
        if let Some(password) = password {
            arguments += &format!(" --auth-pass {password}");
        }
        if !self.policy.preempt {
            arguments += " --nopreempt";
        }
        arguments.split(' ').map(str::to_owned).collect()
    }
}
