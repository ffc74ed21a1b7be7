//! A switch whose frames are recorded, a client on it, and what must be true of the members of an election.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_net::lab::{Bridge, Capture, Host, Lab};
use vrrp_net::vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_net::vrrp_core::{Family, Instant, Interval, Priority, Version};

use crate::common::{
    Advert, PATIENCE, adverts, announcements, assert_no_two_actives, now, reigns, table, tool, wait_until,
};
use crate::member::{Fault, Kind, Member};

/// The virtual router of all elections.
pub(crate) const VRID: u8 = 51;

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_millis(500);

/// How the protocol is spoken in an election.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) version: Version,
    pub(crate) centiseconds: u64,
    pub(crate) password: Option<&'static str>,
    pub(crate) unicast: bool,
    /// Whether those that may do either use the virtual MAC address; FRR always does.
    pub(crate) virtual_mac: bool,
    /// Over IPv6, whether a link-local address is the first of those that move (RFC 9568 §5.2.9). FRR would advertise from
    /// it.
    pub(crate) link_local: bool,
}

/// The interval is short, to save time, but such that a busy machine is not taken for a dead one.
pub(crate) const V3: Dialect = Dialect {
    version: Version::V3(Family::V4),
    centiseconds: 30,
    password: None,
    unicast: false,
    virtual_mac: false,
    link_local: true,
};

pub(crate) const V6: Dialect = Dialect { version: Version::V3(Family::V6), ..V3 };

pub(crate) const V6_GLOBAL: Dialect = Dialect { link_local: false, ..V6 };

/// VRRPv2 has whole seconds only.
pub(crate) const V2_PLAIN: Dialect = Dialect { version: Version::V2, centiseconds: 100, ..V3 };

pub(crate) const V2: Dialect = Dialect { password: Some("s3cret"), ..V2_PLAIN };

impl Dialect {
    pub(crate) fn family(&self) -> Family {
        self.version.family()
    }

    /// The addresses that move.
    pub(crate) fn addresses(&self) -> &'static [&'static str] {
        match self.family() {
            Family::V4 => &["192.0.2.100"],
            Family::V6 if self.link_local => &["fe80::100", "2001:db8::100"],
            Family::V6 => &["2001:db8::100"],
        }
    }

    /// The one that the client uses.
    pub(crate) fn address(&self) -> IpAddr {
        self.addresses().last().and_then(|text| text.parse().ok()).expect("an address")
    }

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

pub(crate) struct Lan {
    pub(crate) dialect: Dialect,
    capture: Capture,
    pub(crate) bridge: Bridge,
    client: Host,
    pub(crate) lab: Lab,
}

impl Lan {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        let lab = Lab::new().expect("a lab");
        let bridge = lab.bridge("lan").expect("a bridge");
        let client = lab.host("client").expect("a host");
        client.attach(&bridge, "eth0", &["192.0.2.66/24", "2001:db8::66/64"]).expect("an interface");
        Self { dialect: *dialect, capture: bridge.capture().expect("a capture"), bridge, client, lab }
    }

    fn adverts(&self) -> Vec<Advert> {
        adverts(&self.capture.frames())
    }

    /// What one member sent from a time on.
    pub(crate) fn adverts_since(&self, since: Instant, source: IpAddr) -> Vec<Advert> {
        self.adverts().into_iter().filter(|advert| advert.source == source && advert.at >= since).collect()
    }

    /// It advertises from some time on, serves the addresses, and says so to all hosts.
    pub(crate) fn expect_active(&self, member: &Member, since: Instant) {
        self.expect_to_advertise(member, since);
        member.expect_to_serve(true);
        let is_it = |mac, address| mac == member.mac() && address == self.dialect.address();
        let announced = || {
            let all = announcements(&self.capture.frames());
            all.iter().any(|it| it.at >= since && is_it(it.mac, it.address))
        };
        assert!(wait_until(PATIENCE, announced), "{} announces nothing\n{}", member.name, self.describe(&[member]));
    }

    fn expect_to_advertise(&self, member: &Member, since: Instant) {
        let advertises =
            || self.adverts_since(since, member.source()).iter().any(|it| it.priority == member.policy.priority);
        assert!(wait_until(PATIENCE, advertises), "{} is not Active\n{}", member.name, self.describe(&[member]));
    }

    /// What was sent before is read a little later, and a Backup that was Active says so once more.
    pub(crate) fn let_settle(&self) {
        std::thread::sleep(SLACK / 2);
    }

    /// For longer than any of them would wait for a lost Active, this member is Active and those are not.
    pub(crate) fn expect_stable(&self, active: &Member, backups: &[&Member]) {
        let members: Vec<&Member> = [&[active], backups].concat();
        for backup in backups {
            backup.expect_backup();
            // If it was Active just before, it stops when it hears the other.
            backup.expect_to_serve(false);
        }
        self.let_settle();
        let start = now();
        let longest = members.iter().map(|member| self.dialect.active_down_interval(member.policy.priority)).max();
        std::thread::sleep(longest.unwrap_or_default() + 2 * self.dialect.interval().as_duration());
        let seen: Vec<Advert> = self.adverts().into_iter().filter(|advert| advert.at >= start).collect();
        let alone = seen.iter().all(|advert| advert.source == active.source() && advert.priority > 0);
        assert!(alone && seen.len() >= 2, "{} is not the only Active\n{}", active.name, self.describe(&members));
        assert!(active.serves() && !backups.iter().any(|it| it.serves()), "{}", self.describe(&members));
    }

    /// The successor became Active in time after the last that the Active sent before it was struck.
    pub(crate) fn expect_takeover(&self, successor: &Member, former: &Member, fault: Fault, struck: Instant) {
        self.expect_active(successor, struck);
        let took_over = self.adverts_since(struck, successor.source())[0].at;
        let sent = self.adverts_since(Instant::ZERO, former.source());
        let last = sent.iter().rfind(|advert| advert.at < took_over).expect("adverts of the former Active");
        let says = || format!("{fault:?}\n{}", self.describe(&[successor, former]));
        let resigns = fault == Fault::Stopped || (fault == Fault::Killed && former.kind == Kind::Ours);
        assert_eq!(last.priority == 0, resigns, "{}", says());
        let priority = successor.policy.priority;
        let wait = if resigns { self.dialect.skew_time(priority) } else { self.dialect.active_down_interval(priority) };
        let waited = took_over.since(last.at);
        // Ours resigns with an interval of 10 ms, which a Backup of VRRPv3 adopts. And the time of a frame is that of its
        // reader, which may have been late for the earlier one.
        let least = if resigns && former.kind == Kind::Ours { Duration::ZERO } else { wait };
        let in_time = waited + SLACK / 2 >= least && (waited <= wait + SLACK || !successor.kind.is_prompt());
        assert!(in_time, "{} waited {waited:?}, not {wait:?}: {}", successor.name, says());
        // Nobody takes the addresses from a host whose program hangs or was killed, unless that has provided for it.
        if former.kind == Kind::Ours || matches!(fault, Fault::Stopped | Fault::Cut) {
            former.expect_to_serve(false);
        }
    }

    /// It has taken the role back, and the client follows.
    pub(crate) fn expect_return(&self, better: &Member, other: &Member, fault: Fault, since: Instant) {
        match (fault, better.kind) {
            // FRR does not notice that it was away, and so does not announce anything: the client keeps to what it knows
            // until that is too old.
            (Fault::Paused | Fault::Cut, Kind::Frr) => self.expect_to_advertise(better, since),
            _ => {
                self.expect_active(better, since);
                self.expect_client_at(better);
            }
        }
        better.expect_to_serve(true);
        other.expect_to_serve(false);
    }

    /// What the client has for the address goes to this member, and is answered.
    pub(crate) fn expect_client_at(&self, member: &Member) {
        let (address, mac) = (self.dialect.address(), Some(member.mac()));
        // Answers may come from the host's own MAC address also where questions go to the virtual one.
        let own = [mac, Some(member.own_mac())];
        let follows = match address {
            IpAddr::V4(address) => {
                let pinger = self.client.ping(address, Duration::from_millis(20)).expect("a pinger");
                pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some() && own.contains(&reply.mac)).is_some()
            }
            IpAddr::V6(address) => {
                let Some(ping) = tool("ping", "iputils-ping") else { return };
                let address = address.to_string();
                let arguments = ["-6", "-n", "-q", "-c", "1", "-W", "1", address.as_str()];
                let answers = || {
                    let mut command = self.client.command(&ping);
                    let status = command.args(arguments).stdout(std::process::Stdio::null()).status();
                    status.expect("ping").success()
                };
                wait_until(PATIENCE, answers)
            }
        };
        let known = || self.client.neighbor(address).expect("a neighbor cache");
        let so = follows && wait_until(PATIENCE, || known() == mac);
        assert!(
            so,
            "the client is not answered by {} at {own:02x?} ({follows}), but knows {:02x?}\n{}",
            member.name,
            known(),
            self.describe(&[member])
        );
    }

    /// Looking back: nobody was Active beside another, the adverts were as configured, and nobody complained.
    pub(crate) fn expect_peace(&self, members: &[&Member]) {
        let adverts = self.adverts();
        assert_no_two_actives(&adverts);
        let addresses: Vec<IpAddr> =
            self.dialect.addresses().iter().map(|it| it.parse().expect("an address")).collect();
        for advert in &adverts {
            let member = members.iter().find(|member| member.source() == advert.source);
            let member = member.unwrap_or_else(|| panic!("{advert:?} of nobody"));
            assert!([0, member.policy.priority].contains(&advert.priority), "{advert:?}");
            assert_eq!((advert.version, advert.vrid), (self.dialect.version.number(), VRID), "{advert:?}");
            let hands_over = member.kind == Kind::Ours && advert.interval == Interval::SHORTEST.as_duration();
            assert!(hands_over || advert.interval == self.dialect.interval().as_duration(), "{advert:?}");
            assert_eq!(advert.addresses, addresses, "{advert:?}");
            let authentication = match (self.dialect.version, self.dialect.password) {
                (Version::V2, Some(password)) => (Some(1), Some(padded(password))),
                (Version::V2, None) => (Some(0), Some([0; 8])),
                (Version::V3(_), _) => (None, None),
            };
            assert_eq!((advert.auth_type, advert.auth_data), authentication, "{advert:?}");
        }
        for member in members {
            let complaints = member.complaints();
            assert!(complaints.is_empty(), "{}: {complaints:#?}\n{}", member.name, self.describe(members));
        }
    }

    fn describe(&self, members: &[&Member]) -> String {
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
