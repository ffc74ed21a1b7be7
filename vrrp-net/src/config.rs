//! What an application says of a virtual router.

mod address;
mod announcements;
mod prefix;
mod route;
mod rule;
mod statics;

use std::net::IpAddr;
use std::time::Duration;

use vrrp_core::wire::{Authentication, ChecksumAcceptance, ChecksumPolicy};
use vrrp_core::{
    Addressing, Family, Gate, HandOver, Interval, Params, ParamsError, Preempt, Priority, Version, VirtualAddr, Vrid,
    Yield,
};

pub use self::address::Address;
pub use self::announcements::Announcements;
pub use self::prefix::{Prefix, PrefixError};
pub use self::route::{Hop, RouteError, RouteKind, RouteParameter, RouteProblem, RouterPreference, VirtualRoute};
pub use self::rule::{RuleAction, RuleError, RuleProblem, VirtualRule};
pub use self::statics::Statics;
pub(crate) use self::statics::check_paths;
use crate::Lease;
use crate::tracking::Source;

/// One virtual router on one interface, to be given to [`Driver::add`](crate::Driver::add).
///
/// ```
/// use vrrp_net::RouterConfig;
/// use vrrp_net::vrrp_core::{Interval, Preempt, Priority, Vrid};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = RouterConfig::new("eth0", Vrid::new(51)?, vec!["192.0.2.100".parse()?])
///     .with_priority(Priority::new(150)?)
///     .with_interval(Interval::from_centiseconds(10)?)
///     .with_preempt(Preempt::Never);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    pub(crate) interface: String,
    pub(crate) vrid: Vrid,
    pub(crate) version: Version,
    pub(crate) priority: Priority,
    pub(crate) interval: Interval,
    pub(crate) preempt: Preempt,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<VirtualRoute>,
    pub(crate) rules: Vec<VirtualRule>,
    pub(crate) authentication: Authentication,
    pub(crate) checksum: ChecksumPolicy,
    pub(crate) accepted_checksum: ChecksumAcceptance,
    pub(crate) strict_address_list: bool,
    pub(crate) accept_mode: bool,
    pub(crate) link_delay: Duration,
    pub(crate) may_be_absent: bool,
    pub(crate) lease: Lease,
    pub(crate) announcements: Announcements,
    pub(crate) gate: Option<Gate>,
    pub(crate) yield_when: Yield,
    pub(crate) re_election: Option<Duration>,
    pub(crate) settle: Option<Duration>,
    pub(crate) hand_over: HandOver,
    pub(crate) answer_rivals: bool,
    pub(crate) learn_v2_interval: bool,
    pub(crate) addressing: Addressing,
    pub(crate) source: Option<IpAddr>,
    pub(crate) virtual_mac: Option<VirtualMac>,
    pub(crate) tracking: Vec<Source>,
    #[cfg(feature = "auth-hmac")]
    pub(crate) hmac: Option<vrrp_core::hmac::Config>,
}

/// How an interface with the virtual router's MAC address is made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VirtualMac {
    /// The interface's name; `None`: `vrrp.VRID` or `vrrp6.VRID`.
    pub name: Option<String>,
}

impl VirtualMac {
    /// On an interface of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()) }
    }
}

impl RouterConfig {
    /// A virtual router with the protocol's defaults: VRRPv3 of the addresses' family, priority 100, an advertisement
    /// each second, immediate preemption.
    pub fn new(interface: impl Into<String>, vrid: Vrid, addresses: Vec<VirtualAddr>) -> Self {
        let family = addresses.first().map_or(Family::V4, |address| address.family());
        Self {
            interface: interface.into(),
            vrid,
            version: Version::V3(family),
            priority: Priority::DEFAULT,
            interval: Interval::DEFAULT,
            preempt: Preempt::default(),
            addresses: addresses.into_iter().map(Address::from).collect(),
            routes: Vec::new(),
            rules: Vec::new(),
            authentication: Authentication::None,
            checksum: ChecksumPolicy::Auto,
            accepted_checksum: ChecksumAcceptance::Either,
            strict_address_list: false,
            accept_mode: true,
            link_delay: Duration::ZERO,
            may_be_absent: false,
            lease: Lease::Auto,
            announcements: Announcements::default(),
            gate: None,
            yield_when: Yield::default(),
            re_election: None,
            settle: None,
            hand_over: HandOver::default(),
            answer_rivals: true,
            learn_v2_interval: false,
            addressing: Addressing::MULTICAST,
            source: None,
            virtual_mac: None,
            tracking: Vec::new(),
            #[cfg(feature = "auth-hmac")]
            hmac: None,
        }
    }

    /// One more address, with everything that can be said of one.
    pub fn with_address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// A route that is on the host while this virtual router is Active: it comes after the addresses, so that it can have one
    /// of them as its source, and goes before them. One that is removed meanwhile is put back. One that the kernel refuses
    /// ([`DriverEvent::RouteRefused`](crate::DriverEvent::RouteRefused)) is tried again, and does not take the role: the
    /// addresses serve without it, and another host may be refused the same.
    pub fn with_route(mut self, route: VirtualRoute) -> Self {
        self.routes.push(route);
        self
    }

    /// A rule that is on the host while this virtual router is Active, as a [route](Self::with_route); it comes after the
    /// routes.
    pub fn with_rule(mut self, rule: VirtualRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The protocol version; peers must use the same.
    pub fn with_version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// The priority in the election; [`Priority::OWNER`] if the addresses are this host's own.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// How often to advertise while Active. VRRPv2 has whole seconds only.
    pub fn with_interval(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    /// Whether and when to take over from an Active of lower priority.
    pub fn with_preempt(self, preempt: Preempt) -> Self {
        Self { preempt, ..self }
    }

    /// Simple-text authentication, VRRPv2 only. It keeps misconfigured neighbours apart; it is no security.
    pub fn with_authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// Which checksum to send in VRRPv3 over IPv4, where implementations disagree.
    pub fn with_checksum(self, checksum: ChecksumPolicy) -> Self {
        Self { checksum, ..self }
    }

    /// Which of the two checksums of VRRPv3 over IPv4 to accept; both unless set.
    pub fn with_accepted_checksum(self, accepted: ChecksumAcceptance) -> Self {
        Self { accepted_checksum: accepted, ..self }
    }

    /// Whether to drop VRRPv3 lists over IPv6 that do not start with a link-local address (RFC 9568 erratum 8300).
    pub fn with_strict_address_list(self, strict: bool) -> Self {
        Self { strict_address_list: strict, ..self }
    }

    /// Whether this host takes packets for the addresses while it is Active (`Accept_Mode`, RFC 9568 §6.1). True unless set:
    /// what runs in this process is to be reached by them. The protocol's own default is false, for a router that only
    /// forwards: then an nftables rule drops what comes in for them, but for IPv6 neighbour discovery (§6.4.3). An owner
    /// (priority 255) always takes them.
    pub fn with_accept_mode(self, accept: bool) -> Self {
        Self { accept_mode: accept, ..self }
    }

    /// How long the interface must have been up again before the virtual router counts on it, so that one whose carrier comes
    /// and goes does not take the role each time. Not at all unless set: but an interface that went down more than three
    /// times within ten seconds is held down for a second, and twice as long each further time, up to thirty.
    pub fn with_link_delay(self, delay: Duration) -> Self {
        Self { link_delay: delay, ..self }
    }

    /// Whether it may be added although an interface of it (its own, or that of an address) is not there yet: then it waits for
    /// one of that name, as it does for one that was removed. Otherwise, and unless set, that is an error.
    pub fn with_absent_interface(self, may_be_absent: bool) -> Self {
        Self { may_be_absent, ..self }
    }

    /// For how long the kernel keeps the addresses of a process that died.
    pub fn with_lease(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// How often, and when, the hosts are told where the addresses are.
    pub fn with_announcements(self, announcements: Announcements) -> Self {
        Self { announcements, ..self }
    }

    /// Makes promotion wait for the application: [`DriverEvent::Prepare`](crate::DriverEvent::Prepare) comes, then
    /// [`Driver::confirm`](crate::Driver::confirm) or [`Driver::refuse`](crate::Driver::refuse) is due.
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// When to call an election after the priority was lowered.
    pub fn with_yield(self, yield_when: Yield) -> Self {
        Self { yield_when, ..self }
    }

    /// How often a router that stays Active although degraded asks again; 10 s unless set.
    pub fn with_re_election(self, period: Duration) -> Self {
        Self { re_election: Some(period), ..self }
    }

    /// How long after its promotion an Active that never heard another one calls an election, so that a cold start ends
    /// with the highest priority also without preemption. Not at all unless set.
    pub fn with_settle(self, after: Duration) -> Self {
        Self { settle: Some(after), ..self }
    }

    /// How a planned hand-over is done.
    pub fn with_hand_over(self, hand_over: HandOver) -> Self {
        Self { hand_over, ..self }
    }

    /// Whether an Active answers a rival that loses at once (RFC 9568 §6.4.3, the default) or in silence (RFC 5798).
    pub fn with_answer_rivals(self, answer: bool) -> Self {
        Self { answer_rivals: answer, ..self }
    }

    /// VRRPv2: take advertisements of any interval and learn it, instead of discarding those that differ.
    pub fn with_learn_v2_interval(self, learn: bool) -> Self {
        Self { learn_v2_interval: learn, ..self }
    }

    /// How it and its peers reach each other: by multicast, unless set.
    pub fn with_addressing(self, addressing: Addressing) -> Self {
        Self { addressing, ..self }
    }

    /// The address to advertise from, whatever others the interface has; over IPv6 a link-local one.
    pub fn with_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Has the addresses answered for with the virtual router's own MAC address (RFC 9568 §7.3), which moves with them, on
    /// an interface made for it. The hosts' caches stay right over a failover; clouds and some bonds do not carry it.
    pub fn with_virtual_mac(self, virtual_mac: VirtualMac) -> Self {
        Self { virtual_mac: Some(virtual_mac), ..self }
    }

    /// What of this host the driver watches for this virtual router, and what that does to its place in the election.
    pub fn with_tracking(self, tracking: impl IntoIterator<Item = Source>) -> Self {
        Self { tracking: tracking.into_iter().collect(), ..self }
    }

    /// Signs and verifies advertisements (`auth_hmac` of keepalived 2.4.2 and later).
    #[cfg(feature = "auth-hmac")]
    pub fn with_hmac(self, hmac: vrrp_core::hmac::Config) -> Self {
        Self { hmac: Some(hmac), ..self }
    }

    /// The name of the interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The number of the virtual router on its link.
    pub fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// The family of the packets, and of the addresses that are advertised.
    pub fn family(&self) -> Family {
        self.version.family()
    }

    /// The addresses that it moves between hosts.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The routes that come and go with the addresses.
    pub fn routes(&self) -> &[VirtualRoute] {
        &self.routes
    }

    /// The rules that come and go with the addresses.
    pub fn rules(&self) -> &[VirtualRule] {
        &self.rules
    }

    /// The addresses that peers are told of, in this order.
    pub(crate) fn advertised(&self) -> Vec<IpAddr> {
        self.addresses
            .iter()
            .filter(|address| address.is_advertised())
            .map(|address| address.address().address())
            .collect()
    }

    /// What the state machine reads of this.
    pub(crate) fn params(&self) -> Result<Params, ParamsError> {
        let params = Params::new(self.version)
            .with_priority(self.priority)
            .with_preempt(self.preempt)
            .with_gate(self.gate)
            .with_yield(self.yield_when)
            .with_settle(self.settle)
            .with_hand_over(self.hand_over)
            .with_answer_rivals(self.answer_rivals)
            .with_learn_v2_interval(self.learn_v2_interval)
            .with_accept_mode(self.accept_mode)
            .with_advert_interval(self.interval)?;
        Ok(match self.re_election {
            Some(period) => params.with_re_election(period),
            None => params,
        })
    }
}
