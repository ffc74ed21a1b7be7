//! Virtual LANs in virtual time, to test failover with: what happens to your virtual addresses when hosts die, processes
//! hang, cables are cut and packets are lost (feature `sim`).
//!
//! Every node runs the real [`VrrpRouter`](crate::VrrpRouter) as the Linux driver of `vrrp-net` does: it reads its sockets
//! before it looks at its timers, renews leases, puts back what others remove, reports what fails. What is simulated is
//! what lies around it: clocks, networks, kernels, hosts with their neighbour caches, and the application. A run is
//! determined by its seed and by the calls that are made: the same again gives the same trace.
//!
//! While it runs, the [`Oracle`]s watch it: never two Actives for long, never none for long, addresses where the role is,
//! hosts that follow. The first [violation](Sim::violation) is kept with its time and the trace that led to it.
//!
//! ```
//! use vrrp_core::sim::{Detail, Setup, Sim};
//! use vrrp_core::{Family, Instant, Params, Priority, Version};
//!
//! let mut sim = Sim::new(1);
//! sim.show(Detail::Brief);
//! let lan = sim.lan("lan", Default::default());
//! let client = sim.host("client", lan);
//! let params = Params::new(Version::V3(Family::V4));
//! let a = sim.node("a");
//! let b = sim.node("b");
//! let on_a = sim.add(a, lan, Setup::new(params.with_priority(Priority::new(150)?)))?;
//! let on_b = sim.add(b, lan, Setup::new(params))?;
//! sim.start_all();
//!
//! sim.run_until(Instant::from_millis(10_000));
//! assert_eq!(sim.active(on_a), Some(a));
//!
//! sim.power_off(a);
//! sim.run_until(Instant::from_millis(15_000));
//! assert_eq!(sim.active(on_b), Some(b));
//! assert_eq!(sim.neighbour(client, sim.addresses(on_b)[0]), Some(b));
//! assert!(sim.violation().is_none(), "{}", sim.violation().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Processes and hosts
//!
//! A process that [crashes](Sim::crash) leaves its addresses to their lease; [started](Sim::start) again it knows nothing of
//! the one before. One that [stalls](Sim::stall) finds what was sent meanwhile in its socket, as does a host that is
//! [frozen](Sim::freeze) with its clock. [`power_off`](Sim::power_off) takes all at once.
//!
//! ```
//! # use core::time::Duration;
//! # use vrrp_core::sim::{Lease, Setup, Sim};
//! # use vrrp_core::{Family, Params, Priority, Role, Version};
//! # let mut sim = Sim::new(1);
//! # let lan = sim.lan("lan", Default::default());
//! # let params = Params::new(Version::V3(Family::V4));
//! # let (a, b) = (sim.node("a"), sim.node("b"));
//! # let better = params.with_priority(Priority::new(150)?);
//! let on_a = sim.add(a, lan, Setup { lease: Lease::Fixed(Duration::from_secs(8)), ..Setup::new(better) })?;
//! let on_b = sim.add(b, lan, Setup::new(params))?;
//! sim.start_all();
//! sim.run_for(Duration::from_secs(5));
//!
//! sim.crash(a);
//! sim.run_for(Duration::from_secs(4));
//! assert_eq!(sim.active(on_b), Some(b));
//! assert!(sim.holds(on_a), "its kernel still answers for the addresses");
//! sim.run_for(Duration::from_secs(3));
//! assert!(!sim.holds(on_a));
//!
//! sim.start(a);
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.active(on_a), Some(a), "it preempts");
//!
//! sim.stall(a, Duration::from_secs(6));
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!((sim.active(on_a), sim.is_running(a)), (Some(b), false));
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.state(on_b).role(), Role::Backup, "it has gone on, and its priority is higher");
//! # assert!(sim.violation().is_none(), "{}", sim.violation().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Links
//!
//! Each direction between two stations is a [`Link`] of its own: delay, jitter, and the chances that a frame is lost,
//! arrives twice or is overtaken. [`cut_one_way`](Sim::cut_one_way) lets one direction pass nothing,
//! [`lose_next`](Sim::lose_next) and [`hold_next`](Sim::hold_next) act on single frames.
//!
//! ```
//! # use core::time::Duration;
//! # use vrrp_core::sim::{Link, Setup, Sim};
//! # use vrrp_core::{Family, Params, Priority, Role, Version};
//! # let mut sim = Sim::new(1);
//! # let params = Params::new(Version::V3(Family::V4));
//! # let (a, b) = (sim.node("a"), sim.node("b"));
//! let poor = Link {
//!     delay: Duration::from_millis(2),
//!     jitter: Duration::from_millis(5),
//!     loss: 50_000,
//!     duplicate: 100_000,
//!     reorder: 100_000,
//!     ..Link::default()
//! };
//! let lan = sim.lan("lan", poor);
//! # let on_a = sim.add(a, lan, Setup::new(params.with_priority(Priority::new(150)?)))?;
//! # let on_b = sim.add(b, lan, Setup::new(params))?;
//! # sim.start_all();
//! sim.run_for(Duration::from_secs(60));
//! assert_eq!(sim.active(on_a), Some(a), "one advertisement in twenty is not missed");
//!
//! // b hears a no more, while a hears b: two Actives, until the link is whole again.
//! sim.set_link(a, b, Link::default());
//! sim.set_link(b, a, Link::default());
//! sim.cut_one_way(a, b);
//! sim.run_for(Duration::from_secs(10));
//! assert_eq!((sim.state(on_a).role(), sim.state(on_b).role()), (Role::Active, Role::Active));
//! assert_eq!(sim.active(on_a), None);
//! sim.heal(a, b);
//! sim.run_for(Duration::from_secs(2));
//! assert_eq!(sim.active(on_a), Some(a));
//! # assert!(sim.violation().is_none(), "{}", sim.violation().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Clocks
//!
//! Each node has a clock of its own, which may be [ahead](Sim::clock_ahead) and [drift](Sim::drift). VRRP needs none of them
//! to agree.
//!
//! ```
//! # use core::time::Duration;
//! # use vrrp_core::sim::{Setup, Sim};
//! # use vrrp_core::{Family, Params, Priority, Version};
//! # let mut sim = Sim::new(1);
//! # let lan = sim.lan("lan", Default::default());
//! # let params = Params::new(Version::V3(Family::V4));
//! # let (a, b) = (sim.node("a"), sim.node("b"));
//! # let on_a = sim.add(a, lan, Setup::new(params.with_priority(Priority::new(150)?)))?;
//! # sim.add(b, lan, Setup::new(params))?;
//! sim.clock_ahead(a, Duration::from_secs(3600));
//! sim.start_all();
//! sim.drift(a, -200);
//! sim.drift(b, 200);
//! sim.run_for(Duration::from_secs(3600));
//! assert_eq!(sim.active(on_a), Some(a));
//! # assert!(sim.violation().is_none(), "{}", sim.violation().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unicast
//!
//! With unicast [`addressing`](Setup::addressing) each peer gets a copy of each advertisement, with the TTL that is asked for.
//! Name the peers by the addresses that the nodes are given.
//!
//! ```
//! # use core::time::Duration;
//! # use vrrp_core::sim::{Setup, Sim};
//! # use std::net::IpAddr;
//! use vrrp_core::{Addressing, Family, Params, Priority, Version};
//! # let mut sim = Sim::new(1);
//! # let lan = sim.lan("lan", Default::default());
//! # let params = Params::new(Version::V3(Family::V4));
//!
//! let hosts = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
//! let mut members = Vec::new();
//! for (own, priority) in hosts.into_iter().zip([150, 100, 50]) {
//!     let node = sim.node(&own.to_string());
//!     let params = params.with_priority(Priority::new(priority)?).with_primary_address(Some(own))?;
//!     let peers = hosts.into_iter().filter(|peer| *peer != own);
//!     let setup = Setup { addressing: Addressing::unicast(peers), ..Setup::new(params) };
//!     members.push(sim.add(node, lan, setup)?);
//! }
//! sim.start_all();
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.active(members[0]), Some(members[0].node()));
//! sim.power_off(members[0].node());
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.active(members[0]), Some(members[1].node()));
//! # assert!(sim.violation().is_none(), "{}", sim.violation().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In words
//!
//! A [`script`] says the same in words, with the trace that comes of it: those are the golden scenarios of this crate's
//! own tests.

mod clock;
mod faults;
mod history;
mod host;
mod net;
mod node;
mod oracle;
mod random;
pub mod script;
mod trace;
mod turn;
mod watch;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use self::history::History;
use self::host::{Host, TRAFFIC};
use self::net::{Agenda, Chore, Frames, Job, Lan, Station};
use self::node::{Member, Node, Port, Process};
use self::trace::Trace;
use self::watch::Monitor;
use crate::queue::DeadlineQueue;
use crate::{ConfigError, Family, IfIndex, Instant, Params, Role, State, VirtualRouterConfig, Vrid};

pub use self::faults::Endpoint;
pub use self::history::{Happening, Moment, ProcessState};
pub use self::net::Link;
pub use self::node::{Answer, Application, HostId, LanId, Lease, MemberId, NodeId, Setup};
pub use self::oracle::{Oracle, Violation};
pub use self::random::Random;
pub use self::trace::Detail;

/// A simulation: LANs, nodes, hosts, and the time.
///
/// Ids of another simulation name nothing in this one, or something else.
pub struct Sim {
    now: Instant,
    random: Random,
    lans: Vec<Lan>,
    nodes: Vec<Node>,
    hosts: Vec<Host>,
    /// The members of each virtual router, over the nodes.
    services: Vec<Service>,
    frames: Frames,
    agenda: Agenda,
    /// When the process of each node wants to be called.
    wakeups: DeadlineQueue,
    /// The virtual routers, of the node whose turn it is, that may have changed in it.
    touched: Vec<usize>,
    trace: Trace,
    history: History,
    monitor: Monitor,
    events: u64,
}

/// A virtual router, over all nodes.
#[derive(Clone, Debug)]
struct Service {
    lan: usize,
    family: Family,
    vrid: Vrid,
    members: Vec<MemberId>,
}

impl Sim {
    /// An empty simulation at time 0. All that is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            random: Random::new(seed),
            lans: Vec::new(),
            nodes: Vec::new(),
            hosts: Vec::new(),
            services: Vec::new(),
            frames: Frames::default(),
            agenda: Agenda::default(),
            wakeups: DeadlineQueue::default(),
            touched: Vec::new(),
            trace: Trace::default(),
            history: History::default(),
            monitor: Monitor::default(),
            events: 0,
        }
    }

    // What there is

    /// Adds a LAN; `link` is between every two stations on it unless it is changed.
    pub fn lan(&mut self, name: &str, link: Link) -> LanId {
        self.lans.push(Lan::new(name.to_string(), link));
        LanId(self.lans.len() - 1)
    }

    /// Adds a node, whose process is not started.
    pub fn node(&mut self, name: &str) -> NodeId {
        self.nodes.push(Node::new(name.to_string()));
        NodeId(self.nodes.len() - 1)
    }

    /// Adds a host that uses every virtual address on `lan`.
    pub fn host(&mut self, name: &str, lan: LanId) -> HostId {
        let host = self.hosts.len();
        let station = self.lans.get_mut(lan.0).map_or(0, |lan| lan.attach(self.now, Station::Host(host)));
        self.hosts.push(Host::new(name.to_string(), lan.0, station));
        self.agenda.add(self.now + TRAFFIC, Job::Traffic { host });
        HostId(host)
    }

    /// Adds a virtual router to a node, on its interface to `lan`. It takes part once the node is started.
    ///
    /// # Errors
    /// As [`VrrpRouter::add`](crate::VrrpRouter::add), and [`ConfigError::Unknown`] if there is no such node or LAN.
    pub fn add(&mut self, node: NodeId, lan: LanId, setup: Setup) -> Result<MemberId, ConfigError> {
        let port = self.port(node.0, lan.0).ok_or(ConfigError::Unknown)?;
        let version = setup.params.version();
        let station = self.nodes.get(node.0).and_then(|node| node.ports.get(port)).map_or(0, |port| port.station);
        let primary = setup.params.primary_address().unwrap_or(own_address(version.family(), lan.0, station));
        let params = setup.params.with_primary_address(Some(primary))?;
        let addresses = match setup.addresses.is_empty() {
            true => vec![virtual_address(version.family(), lan.0, setup.vrid)],
            false => setup.addresses,
        };
        let Setup { vrid, authentication, checksum, addressing, lease, .. } = setup;
        let config = VirtualRouterConfig::new(vrid, params, addresses)
            .with_authentication(authentication)
            .with_checksum(checksum)
            .with_addressing(addressing);
        let entry = self.nodes.get_mut(node.0).ok_or(ConfigError::Unknown)?;
        // What the process would refuse is refused here.
        let interface = entry.ports.get(port).map(|port| port.interface).ok_or(ConfigError::Unknown)?;
        let mut trial = crate::VrrpRouter::new();
        for known in entry.members.iter().filter(|member| member.port == port) {
            trial.add(interface, known.config.clone())?;
        }
        trial.add(interface, config.clone())?;
        let member = MemberId { node: node.0, index: entry.members.len() };
        entry.members.push(Member::new(config, lease, port));
        self.trace.name(primary, entry.name.clone());
        let family = version.family();
        match self.services.iter_mut().find(|one| (one.lan, one.family, one.vrid) == (lan.0, family, vrid)) {
            Some(service) => service.members.push(member),
            None => self.services.push(Service { lan: lan.0, family, vrid, members: vec![member] }),
        }
        Ok(member)
    }

    /// Makes the virtual routers of a node one election, from its next start on.
    pub fn group(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.grouped = true;
        }
    }

    /// Puts an application beside a virtual router. Without one, claims are confirmed at once.
    pub fn application(&mut self, member: MemberId, application: impl Application + 'static) {
        if let Some(member) = self.member_mut(member) {
            member.application = Box::new(application);
        }
    }

    /// Makes a node's clock show `ahead` at the start of the simulation. To be called before it is started.
    pub fn clock_ahead(&mut self, node: NodeId, ahead: Duration) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.clock = clock::Clock::new(Instant::ZERO + ahead);
        }
    }

    // Time

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Instant) {
        loop {
            let job = self.agenda.next_at();
            let wakeup = self.wakeups.next();
            // What arrives at the same moment as a deadline is read first.
            let job_first = match (job, wakeup) {
                (Some(job), Some((wakeup, _))) => job <= wakeup,
                (Some(_), None) => true,
                (None, _) => false,
            };
            let next = if job_first { job } else { wakeup.map(|(at, _)| at) };
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.pass(at);
            match (job_first, wakeup) {
                (true, _) => {
                    if let Some(job) = self.agenda.pop() {
                        self.run(job);
                    }
                }
                (false, Some((_, node))) => self.wake(node),
                (false, None) => {}
            }
        }
        self.pass(end.max(self.now));
    }

    /// Runs for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// The time of the simulation.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many events the virtual routers were given so far: datagrams, timeouts, and what happened to them.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Lets time pass until `at`, at which something happens.
    fn pass(&mut self, at: Instant) {
        if self.monitor.dirty {
            self.watch();
        }
        if at > self.monitor.due {
            self.report_overdue(at);
        }
        self.now = at;
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::Datagram { node, port, frame } => self.deliver(node, port, frame),
            Job::Learn { host, node, member, asked } => self.learn(host, node, member, asked),
            Job::Traffic { host } => self.traffic(host),
            Job::Lease { node, member } => self.check_lease(node, member),
            Job::Chore { node, chore } => self.chore(node, chore),
            Job::Resume { node, stop } => self.resume(node, stop),
        }
    }

    // What is seen

    /// The one node that has the role, the process to serve in it, and the addresses, of the virtual router that `member`
    /// is of. `None` if there is none or more than one.
    pub fn active(&self, member: MemberId) -> Option<NodeId> {
        let service = self.services.iter().find(|service| service.members.contains(&member))?;
        let mut found = service.members.iter().filter(|id| {
            let running = self.nodes.get(id.node).is_some_and(Node::is_running);
            running && self.member(**id).is_some_and(|member| member.role() == Role::Active && member.held)
        });
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one.node()),
            _ => None,
        }
    }

    /// The state of a virtual router; that of one whose process is gone is as new.
    pub fn state(&self, member: MemberId) -> State {
        self.member(member).map(|member| member.state).unwrap_or_default()
    }

    /// Whether the kernel of a node has the addresses.
    pub fn holds(&self, member: MemberId) -> bool {
        self.member(member).is_some_and(|member| member.held)
    }

    /// The parameters of a virtual router as they are configured.
    pub fn params(&self, member: MemberId) -> Option<Params> {
        self.member(member).map(|member| member.config.params)
    }

    /// The virtual addresses.
    pub fn addresses(&self, member: MemberId) -> &[IpAddr] {
        self.member(member).map(|member| member.config.addresses.as_slice()).unwrap_or_default()
    }

    /// Every virtual router on every node.
    pub fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        let nodes = self.nodes.iter().enumerate();
        nodes.flat_map(|(node, entry)| (0..entry.members.len()).map(move |index| MemberId { node, index }))
    }

    /// The node that a host's neighbour cache points to for an address.
    pub fn neighbour(&self, host: HostId, address: IpAddr) -> Option<NodeId> {
        let host = self.hosts.get(host.0)?;
        host.cache.iter().find(|entry| entry.address == address)?.node.map(NodeId)
    }

    /// Whether the process of a node runs and is not held up.
    pub fn is_running(&self, node: NodeId) -> bool {
        self.nodes.get(node.0).is_some_and(Node::is_running)
    }

    /// The name of a node.
    pub fn name(&self, node: NodeId) -> &str {
        self.nodes.get(node.0).map(|node| node.name.as_str()).unwrap_or_default()
    }

    /// From now on, shows this much in the trace.
    pub fn show(&mut self, detail: Detail) {
        self.trace.detail = detail;
    }

    /// The trace: a line an event, with its time, the node, and what happened.
    pub fn trace(&self) -> &str {
        self.trace.text()
    }

    /// The trace since this was last called.
    pub fn take_trace(&mut self) -> String {
        self.trace.take()
    }

    /// Writes who is what, has what, and sends where to the trace.
    pub fn describe(&mut self) {
        for id in self.members().collect::<Vec<_>>() {
            let (Some(node), Some(member)) = (self.nodes.get(id.node), self.member(id)) else { continue };
            let state = match node.process {
                _ if !node.powered => "without power".to_string(),
                Process::Gone => "without a process".to_string(),
                Process::Running => format!("{}, priority {}", member.role(), member.params().priority()),
                Process::Stalled | Process::Frozen => format!("held up as {}", member.role()),
            };
            let held = if member.held { ", has the addresses" } else { "" };
            let label = self.label(id);
            self.trace.line(self.now, &label, format_args!("is {state}{held}"));
        }
        for host in &self.hosts {
            for entry in &host.cache {
                let to = entry.node.and_then(|node| self.nodes.get(node)).map_or("nobody", |node| node.name.as_str());
                self.trace.line(self.now, &host.name, format_args!("sends to {to}"));
            }
        }
    }

    // Finding one's way

    fn member(&self, id: MemberId) -> Option<&Member> {
        self.nodes.get(id.node)?.members.get(id.index)
    }

    fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.nodes.get_mut(id.node)?.members.get_mut(id.index)
    }

    /// The name of a virtual router in the trace: that of its node, and what tells it from others there.
    pub fn label(&self, id: MemberId) -> String {
        let (Some(node), Some(member)) = (self.nodes.get(id.node), self.member(id)) else { return String::new() };
        let lan = node.port_of(member).and_then(|port| self.lans.get(port.lan)).map(|lan| lan.name.as_str());
        let others = |same_port: bool| {
            let others = node.members.iter().enumerate().filter(|(index, _)| *index != id.index);
            others.filter(|(_, other)| (other.port == member.port) == same_port).count() > 0
        };
        let mut label = node.name.clone();
        if let (true, Some(lan)) = (others(false), lan) {
            label.push('@');
            label.push_str(lan);
        }
        if others(true) {
            label.push_str(&format!("#{}", member.config.vrid));
            if member.family() == Family::V6 {
                label.push_str("v6");
            }
        }
        label
    }

    /// The interface of a node to a LAN; it is added if there is none yet.
    fn port(&mut self, node: usize, lan: usize) -> Option<usize> {
        let entry = self.nodes.get_mut(node)?;
        if let Some(port) = entry.ports.iter().position(|port| port.lan == lan) {
            return Some(port);
        }
        let port = entry.ports.len();
        let interface = IfIndex::new(u32::try_from(port).ok()? + 2).ok()?;
        let station = self.lans.get_mut(lan)?.attach(self.now, Station::Node { node, port });
        entry.ports.push(Port { lan, station, interface, carrier: true });
        Some(port)
    }

    fn schedule(&mut self, node: usize, at: Instant, chore: Chore) {
        self.agenda.add(at, Job::Chore { node, chore });
    }
}

/// The address of a station: 10.LAN.0.N or fe80::LAN:N, counted from 1.
fn own_address(family: Family, lan: usize, station: usize) -> IpAddr {
    let (lan, station) = (u8::try_from(lan).unwrap_or(u8::MAX), u8::try_from(station + 1).unwrap_or(u8::MAX));
    match family {
        Family::V4 => IpAddr::from([10, lan, 0, station]),
        Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, u16::from(lan), u16::from(station)]),
    }
}

/// The virtual address of a virtual router that was given none: 10.LAN.1.VRID or fe80::LAN:1:VRID.
fn virtual_address(family: Family, lan: usize, vrid: Vrid) -> IpAddr {
    let lan = u8::try_from(lan).unwrap_or(u8::MAX);
    match family {
        Family::V4 => IpAddr::from([10, lan, 1, vrid.get()]),
        Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, u16::from(lan), 1, u16::from(vrid.get())]),
    }
}
