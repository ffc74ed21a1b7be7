//! What a node is made of: a host with a clock, ports and a kernel, and the process that runs the virtual routers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::clock::Clock;
use super::net::Chore;
use crate::track::Assessment;
use crate::wire::{Authentication, ChecksumPolicy};
use crate::{
    Addressing, Claim, Family, GroupId, IfIndex, Instant, Params, Role, RouterId, State, Transition,
    VirtualRouterConfig, Vrid, VrrpRouter,
};

/// Names a LAN of a [`Sim`](super::Sim).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanId(pub(super) usize);

/// Names a node of a [`Sim`](super::Sim).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) usize);

/// Names a host of a [`Sim`](super::Sim).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(super) usize);

/// Names one virtual router on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    pub(super) node: usize,
    pub(super) index: usize,
}

impl MemberId {
    /// The node that it runs on.
    pub const fn node(self) -> NodeId {
        NodeId(self.node)
    }
}

/// One virtual router of a node, as [`Sim::add`](super::Sim::add) takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What the state machine reads. A primary address is chosen if it has none.
    pub params: Params,
    /// Its number on the LAN: 51.
    pub vrid: Vrid,
    /// The virtual addresses; if empty one is made of the LAN and the VRID, the same on every node.
    pub addresses: Vec<IpAddr>,
    /// Authentication, VRRPv2 only.
    pub authentication: Authentication,
    /// Which checksum to send in VRRPv3 over IPv4.
    pub checksum: ChecksumPolicy,
    /// Where advertisements go, and from whom they are taken. Unicast peers are named by the primary addresses that they
    /// are given, or by those that the simulator chooses: 10.0.0.1 for the first station on the first LAN, and so on.
    pub addressing: Addressing,
    /// For how long the kernel keeps the addresses unless they are renewed.
    pub lease: Lease,
}

impl Setup {
    /// VRID 51 with an address of the simulator's choice and leased addresses.
    #[expect(clippy::panic, reason = "51 is a VRID")]
    pub const fn new(params: Params) -> Self {
        let vrid = match Vrid::new(51) {
            Ok(vrid) => vrid,
            Err(_) => panic!("51 is a VRID"),
        };
        Self {
            params,
            vrid,
            addresses: Vec::new(),
            authentication: Authentication::None,
            checksum: ChecksumPolicy::Auto,
            addressing: Addressing::MULTICAST,
            lease: Lease::Auto,
        }
    }
}

/// For how long the kernel keeps virtual addresses whose process is gone, as `vrrp-net` installs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lease {
    /// The next whole second after Active_Down_Interval, at least 2 s.
    #[default]
    Auto,
    /// This long.
    Fixed(Duration),
    /// For ever.
    Off,
}

impl Lease {
    pub(super) fn lifetime(self, params: &Params) -> Option<Duration> {
        match self {
            Self::Auto => {
                let down_interval = params.active_down_interval(params.advert_interval());
                Some(Duration::from_secs(down_interval.as_secs().saturating_add(1).max(2)))
            }
            Self::Fixed(lifetime) => Some(lifetime),
            Self::Off => None,
        }
    }
}

/// What an application says to [`Action::Prepare`](crate::Action::Prepare), and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is ready, after this long.
    Confirm(Duration),
    /// It refuses, after this long.
    Refuse(Duration),
    /// It says nothing.
    Silence,
}

/// The application on a node: what a user of this library puts to the test.
///
/// An [`Answer`] is one that always gives this answer.
pub trait Application {
    /// A virtual router claims the role; `now` is the node's own clock. What will the answer be?
    fn prepare(&mut self, now: Instant) -> Answer;

    /// A virtual router changed its role.
    fn changed(&mut self, now: Instant, transition: Transition) {
        let _ = (now, transition);
    }
}

impl Application for Answer {
    fn prepare(&mut self, _: Instant) -> Answer {
        *self
    }
}

/// What the process of a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// There is none.
    Gone,
    /// It runs.
    Running,
    /// It is held up; the kernel is not.
    Stalled,
    /// The whole host is held up.
    Frozen,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) clock: Clock,
    pub(super) powered: bool,
    pub(super) process: Process,
    /// When `process` last changed.
    pub(super) since: Instant,
    /// Whether its clock stood while it was last held up, so that it cannot know.
    pub(super) clock_stood: bool,
    /// For how long it was last held up.
    pub(super) stood: Duration,
    /// Which stop this is.
    pub(super) stop: u64,
    pub(super) router: VrrpRouter,
    pub(super) ports: Vec<Port>,
    pub(super) members: Vec<Member>,
    /// Whether the members are a sync group, and the group while the process runs.
    pub(super) grouped: bool,
    pub(super) group: Option<GroupId>,
    /// Frames that wait for a process that is held up.
    pub(super) socket: VecDeque<(usize, usize)>,
    /// Chores that came due while the process was held up.
    pub(super) late: Vec<Chore>,
    /// Whether nothing that the process sends leaves.
    pub(super) sends_fail: bool,
    /// When it last began or ceased to be able to send and to receive.
    pub(super) able_since: Instant,
}

impl Node {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            clock: Clock::new(Instant::ZERO),
            powered: true,
            process: Process::Gone,
            since: Instant::ZERO,
            clock_stood: false,
            stood: Duration::ZERO,
            stop: 0,
            router: VrrpRouter::new(),
            ports: Vec::new(),
            members: Vec::new(),
            grouped: false,
            group: None,
            socket: VecDeque::new(),
            late: Vec::new(),
            sends_fail: false,
            able_since: Instant::ZERO,
        }
    }

    /// The member that a virtual router of the process is.
    pub(super) fn index_of(&self, id: RouterId) -> Option<usize> {
        // They are named in the order they were added in.
        self.members.binary_search_by(|member| member.id.cmp(&Some(id))).ok()
    }

    /// Whether what is known of the members is what the process would say now.
    pub(super) fn is_up_to_date(&self) -> bool {
        let state = |member: &Member| member.id.and_then(|id| self.router.state(id));
        self.members.iter().all(|member| state(member).is_none_or(|state| state == member.state))
    }

    pub(super) fn is_running(&self) -> bool {
        self.powered && self.process == Process::Running
    }

    /// Whether the kernel answers.
    pub(super) fn answers(&self) -> bool {
        self.powered && self.process != Process::Frozen
    }

    pub(super) fn port_of(&self, member: &Member) -> Option<&Port> {
        self.ports.get(member.port)
    }

    /// Whether one of its interfaces has this address, which advertisements come from.
    pub(super) fn has_address(&self, port: usize, address: IpAddr) -> bool {
        self.members.iter().any(|member| member.port == port && member.address() == Some(address))
    }

    pub(super) fn has_carrier(&self, member: &Member) -> bool {
        self.powered && self.port_of(member).is_some_and(|port| port.carrier)
    }
}

/// An interface.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) lan: usize,
    pub(super) station: usize,
    pub(super) interface: IfIndex,
    pub(super) carrier: bool,
}

/// A virtual router: what is configured, what the process knows of it, and what the kernel has.
pub(super) struct Member {
    pub(super) config: VirtualRouterConfig,
    pub(super) lease: Lease,
    pub(super) port: usize,
    pub(super) application: Box<dyn Application>,
    pub(super) assessment: Option<Assessment>,
    /// Its name in the process that runs now.
    pub(super) id: Option<RouterId>,
    /// As of the end of the last turn.
    pub(super) state: State,
    /// When the process installed the addresses, as far as it knows.
    pub(super) installed: Option<Instant>,
    /// When sending began to fail.
    pub(super) send_failing: Option<Instant>,
    /// When addresses that are still ours were removed by others.
    pub(super) removals: [Option<Instant>; REMOVALS],
    /// What was sent last.
    pub(super) sent: Option<Claim>,
    /// When it last resigned.
    pub(super) resigned: Option<Instant>,
    /// What was last heard of whom, for the trace.
    pub(super) heard: Option<(IpAddr, u8, u16)>,

    /// Whether the kernel has the addresses.
    pub(super) held: bool,
    /// Until when it keeps them.
    pub(super) lease_until: Option<Instant>,
    pub(super) install_fails: bool,

    /// When the role was last entered, in the time of the simulation.
    pub(super) role_since: Instant,
    /// When its parameters last changed.
    pub(super) params_since: Instant,
    /// When it last raised an alarm.
    pub(super) alarmed: Option<Instant>,
    /// When it was told to leave.
    pub(super) leaving: Option<Instant>,
    /// Whether the application did not let the last claim pass.
    pub(super) refused: bool,
    /// How often it entered or left the role of the Active.
    pub(super) changes: u32,
}

/// How many times within [`REMOVALS_WITHIN`] addresses that others removed are put back.
pub(super) const REMOVALS: usize = 3;

/// See [`REMOVALS`].
pub(super) const REMOVALS_WITHIN: Duration = Duration::from_secs(60);

impl Member {
    pub(super) fn new(config: VirtualRouterConfig, lease: Lease, port: usize) -> Self {
        Self {
            config,
            lease,
            port,
            application: Box::new(Answer::Confirm(Duration::ZERO)),
            assessment: None,
            id: None,
            state: State::new(),
            installed: None,
            send_failing: None,
            removals: [None; REMOVALS],
            sent: None,
            resigned: None,
            heard: None,
            held: false,
            lease_until: None,
            install_fails: false,
            role_since: Instant::ZERO,
            params_since: Instant::ZERO,
            alarmed: None,
            leaving: None,
            refused: false,
            changes: 0,
        }
    }

    /// What a new process does not know.
    pub(super) fn forget(&mut self, now: Instant) {
        self.id = None;
        self.state = State::new();
        self.role_since = now;
        self.installed = None;
        self.send_failing = None;
        self.removals = [None; REMOVALS];
        self.sent = None;
        self.heard = None;
        self.alarmed = None;
        self.leaving = None;
        self.refused = false;
    }

    pub(super) fn role(&self) -> Role {
        self.state.role()
    }

    /// Its parameters, with what tracking makes of them.
    pub(super) fn params(&self) -> Params {
        match self.assessment {
            Some(assessment) => self.config.params.with_effective_priority(assessment.priority),
            None => self.config.params,
        }
    }

    /// Whether it takes what `other` sends, and `other` sends it here: by multicast or as a peer.
    pub(super) fn listens_to(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.config.addressing, &other.config.addressing);
        let takes = |sources: &[IpAddr]| other.address().is_some_and(|address| sources.contains(&address));
        let sends = |peers: &[IpAddr]| self.address().is_some_and(|address| peers.contains(&address));
        ours.is_unicast() == theirs.is_unicast()
            && ours.sources().is_none_or(takes)
            && (!theirs.is_unicast() || theirs.sources().is_none_or(sends))
            && ours.ttl().accepts(Some(theirs.ttl().sent()))
    }

    pub(super) fn family(&self) -> Family {
        self.config.params.version().family()
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.config.params.primary_address()
    }
}
