//! A host with one of the programs, which can be struck by faults and come back.

use std::net::IpAddr;

use vrrp_net::lab::{Host, Interface};
use vrrp_net::vrrp_core::{Family, Vrid};

use crate::common::{Log, Node, PATIENCE, lab, tool, wait_until};
use crate::frr::Frr;
use crate::keepalived::Keepalived;
use crate::lan::{Dialect, Lan, VRID};

/// Which program a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Keepalived,
    Frr,
}

impl Kind {
    /// Whether what it needs is installed.
    pub(crate) fn can_run(self) -> bool {
        let packages: &[(&str, &str)] = match self {
            Self::Ours => &[],
            Self::Keepalived => &[("keepalived", "keepalived")],
            Self::Frr => &[("zebra", "frr"), ("vrrpd", "frr"), ("unshare", "util-linux"), ("mount", "mount")],
        };
        packages.iter().all(|(name, package)| tool(name, package).is_some()) && lab().is_some()
    }

    /// Whether its first advertisement as the new Active depends on its timers alone. FRR waits until the kernel has
    /// turned its device on, which can take seconds on a busy machine.
    pub(crate) fn is_prompt(self) -> bool {
        self != Self::Frr
    }
}

/// An election that settles a cold start would be a resignation among the rest.
const NOPREEMPT: &str = " --nopreempt --settle 0";

/// What happens to an Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `SIGKILL`. Ours has a guardian, and so it resigns.
    Killed,
    /// `SIGKILL`, without a guardian.
    KilledUnguarded,
    /// `SIGTERM`.
    Stopped,
    /// Its cable is pulled.
    Cut,
    /// `SIGSTOP`, and then `SIGCONT`.
    Paused,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [Self::Killed, Self::KilledUnguarded, Self::Stopped, Self::Cut, Self::Paused];
}

/// How a member stands in the election.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
}

/// A program that runs on a host.
pub(crate) trait Program {
    /// End it as a crash does.
    fn kill(&mut self);

    /// Ask it to end, and wait until it has.
    fn terminate(&mut self);

    /// Freeze it.
    fn pause(&mut self);

    /// Let it go on.
    fn resume(&mut self);

    fn log(&self) -> &Log;
}

pub(crate) struct Member {
    pub(crate) dialect: Dialect,
    pub(crate) kind: Kind,
    pub(crate) policy: Policy,
    pub(crate) name: String,
    pub(crate) host: Host,
    interface: Interface,
    /// The addresses of the others, for unicast.
    pub(crate) peers: Vec<IpAddr>,
    guarded: bool,
    program: Option<Box<dyn Program>>,
    /// What those said that ran before.
    past: Vec<String>,
}

impl Member {
    pub(crate) fn new(lan: &Lan, kind: Kind, number: u8, policy: Policy) -> Self {
        let name = format!("{kind:?} {number}");
        let host = lan.lab.host(&name).expect("a host");
        let addresses = [format!("192.0.2.{number}/24"), format!("2001:db8::{number}/64")];
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let interface = host.attach(&lan.bridge, "eth0", &addresses).expect("an interface");
        let dialect = lan.dialect;
        if kind == Kind::Frr {
            Frr::prepare(&host, &interface, &dialect);
        }
        let (peers, program, past) = (Vec::new(), None, Vec::new());
        Self { dialect, kind, policy, name, host, interface, peers, guarded: true, program, past }
    }

    /// Tells each of the others.
    pub(crate) fn introduce(members: &mut [&mut Self]) {
        let all: Vec<IpAddr> = members.iter().map(|member| member.source()).collect();
        for member in members {
            let own = member.source();
            member.peers = all.iter().copied().filter(|address| *address != own).collect();
        }
    }

    /// The address that it advertises from.
    pub(crate) fn source(&self) -> IpAddr {
        let sender = match (self.dialect.family(), self.kind) {
            // From its own device, which has the same MAC address everywhere but another link-local address.
            (Family::V6, Kind::Frr) => self.host.link("vrrp6").expect("the macvlan").index,
            _ => self.interface.index(),
        };
        let addresses = self.host.addresses().expect("the host's addresses");
        let virtual_addresses = self.dialect.addresses();
        let is_source = |address: &IpAddr| match address {
            IpAddr::V4(v4) => self.dialect.family() == Family::V4 && v4.octets().starts_with(&[192, 0, 2]),
            IpAddr::V6(v6) => self.dialect.family() == Family::V6 && v6.is_unicast_link_local(),
        };
        let own = addresses.iter().filter(|it| it.interface == sender).map(|it| it.address);
        own.filter(is_source)
            .find(|it| !virtual_addresses.contains(&it.to_string().as_str()))
            .expect("an address to advertise from")
    }

    pub(crate) fn start(&mut self) {
        self.past = self.lines();
        // What is left of the last one ends before the next one starts.
        self.program = None;
        self.program = Some(match self.kind {
            Kind::Ours => Box::new(Node::start(&self.host, self.arguments())),
            Kind::Keepalived => Box::new(Keepalived::start(self)),
            Kind::Frr => Box::new(Frr::start(self)),
        });
    }

    /// Starts it anew so that nobody acts for it if it is killed.
    pub(crate) fn restart_unguarded(&mut self) {
        self.program().terminate();
        self.guarded = false;
        self.start();
        self.guarded = true;
    }

    pub(crate) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Killed | Fault::KilledUnguarded => self.program().kill(),
            Fault::Stopped => self.program().terminate(),
            Fault::Paused => self.program().pause(),
            Fault::Cut => self.interface.cut().expect("cut the cable"),
        }
    }

    /// What a fault took away comes back.
    pub(crate) fn recover(&mut self, fault: Fault) {
        match fault {
            Fault::Killed | Fault::KilledUnguarded | Fault::Stopped => self.start(),
            Fault::Paused => self.program().resume(),
            Fault::Cut => self.interface.heal().expect("heal the cable"),
        }
    }

    fn program(&mut self) -> &mut dyn Program {
        &mut **self.program.as_mut().expect("a running program")
    }

    /// The MAC address that it has the virtual addresses at.
    pub(crate) fn mac(&self) -> [u8; 6] {
        if self.kind == Kind::Frr || self.dialect.virtual_mac {
            Vrid::new(VRID).expect("a VRID").virtual_mac(self.dialect.family())
        } else {
            self.own_mac()
        }
    }

    /// That of its interface.
    pub(crate) fn own_mac(&self) -> [u8; 6] {
        self.interface.mac()
    }

    /// Whether the virtual address is on an interface that works.
    pub(crate) fn serves(&self) -> bool {
        let addresses = self.host.addresses().expect("the host's addresses");
        let links = self.host.links().expect("the host's interfaces");
        let mut having = addresses.iter().filter(|own| own.address == self.dialect.address());
        having.any(|own| links.iter().any(|link| link.index == own.interface && link.running))
    }

    pub(crate) fn expect_to_serve(&self, expected: bool) {
        let so = wait_until(PATIENCE, || self.serves() == expected);
        assert!(so, "{} serves: {}\n{:#?}", self.name, !expected, self.lines());
    }

    /// It takes part in the election, and it says so.
    pub(crate) fn expect_backup(&self) {
        let log = self.program.as_ref().expect("a running program").log();
        let text = match self.kind {
            Kind::Ours => "-> Backup",
            Kind::Keepalived => Keepalived::IS_BACKUP,
            Kind::Frr => Frr::IS_BACKUP,
        };
        assert!(log.wait_for(PATIENCE, text), "{} is no Backup: {:#?}", self.name, log.lines());
    }

    /// All that was said on this host.
    pub(crate) fn lines(&self) -> Vec<String> {
        let current = self.program.as_ref().map(|program| program.log().lines()).unwrap_or_default();
        [self.past.clone(), current].concat()
    }

    /// What its log says when it did not like something, without what it says in the same words although all is well.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let (complains, is_content): (&[&str], &[&str]) = match self.kind {
            // What was cut off, and what the kernel took back at the end of its lease while it was paused.
            Kind::Ours => (&[" WARN ", " ERROR "], &[": the interface is down", ": put back"]),
            Kind::Keepalived => (Keepalived::COMPLAINS, Keepalived::IS_CONTENT),
            Kind::Frr => (Frr::COMPLAINS, Frr::IS_CONTENT),
        };
        let has = |line: &String, words: &[&str]| words.iter().any(|word| line.contains(word));
        self.lines().into_iter().filter(|line| has(line, complains) && !has(line, is_content)).collect()
    }

    fn arguments(&self) -> Vec<String> {
        let Dialect { version, centiseconds, password, unicast, virtual_mac, .. } = self.dialect;
        let mut arguments = format!(
            "--interface eth0 --vrid {VRID} --priority {} --version {} --interval {}ms",
            self.policy.priority,
            version.number(),
            centiseconds * 10,
        );
        for address in self.dialect.addresses() {
            arguments += &format!(" --address {address}");
        }
        if let Some(password) = password {
            arguments += &format!(" --auth-pass {password}");
        }
        if unicast {
            self.peers.iter().for_each(|peer| arguments += &format!(" --unicast-peer {peer}"));
        }
        for (wanted, option) in
            [(virtual_mac, " --virtual-mac"), (!self.policy.preempt, NOPREEMPT), (!self.guarded, " --no-guardian")]
        {
            arguments += if wanted { option } else { "" };
        }
        arguments.split(' ').map(str::to_owned).collect()
    }
}

impl Program for Node {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn terminate(&mut self) {
        let status = Self::terminate(self);
        assert!(status.success(), "{status}: {:#?}", self.log().lines());
    }

    fn pause(&mut self) {
        self.process().stop().expect("stop vrrpd");
    }

    fn resume(&mut self) {
        self.process().resume().expect("resume vrrpd");
    }

    fn log(&self) -> &Log {
        Self::log(self)
    }
}
