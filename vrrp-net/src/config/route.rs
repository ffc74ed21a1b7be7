//! A route that comes and goes with a role, or stays.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use vrrp_core::Family;

use super::prefix::Prefix;
use crate::netlink::Scope;

/// The most ways that a route may have: more do not fit into one request.
const MOST_HOPS: usize = 256;

/// A route that is on the host while a virtual router is Active ([`RouterConfig::with_route`]), or always
/// ([`Statics::with_route`]).
///
/// ```
/// use vrrp_net::{Hop, RouteKind, VirtualRoute};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway: std::net::IpAddr = "192.0.2.254".parse()?;
/// let route = VirtualRoute::new("198.51.100.0/24".parse()?)
///     .via(Hop::through(gateway).on_interface("eth0"))
///     .with_source("192.0.2.100".parse()?)
///     .with_table(100);
/// let dropped = VirtualRoute::new("203.0.113.0/24".parse()?).with_kind(RouteKind::Blackhole);
/// route.check()?;
/// dropped.check()?;
/// # Ok(())
/// # }
/// ```
///
/// It carries a mark ([`PATH_MARK`](crate::PATH_MARK)) by which a successor knows it, unless it has another
/// [protocol](Self::with_protocol). Another program's route to the same destination stays beside it: over IPv4 this one
/// comes before it, unless [`appended`](Self::appended); over IPv6 the kernel joins two of one metric that have gateways.
///
/// [`RouterConfig::with_route`]: crate::RouterConfig::with_route
/// [`Statics::with_route`]: crate::Statics::with_route
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRoute {
    pub(crate) destination: Prefix,
    pub(crate) kind: RouteKind,
    pub(crate) hops: Vec<Hop>,
    pub(crate) table: u32,
    pub(crate) metric: Option<u32>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) source_prefix: Option<Prefix>,
    pub(crate) scope: Option<Scope>,
    pub(crate) protocol: Option<u8>,
    pub(crate) type_of_service: u8,
    pub(crate) preference: Option<RouterPreference>,
    pub(crate) realms: Option<u32>,
    /// With whether it is locked.
    pub(crate) parameters: BTreeMap<RouteParameter, (u32, bool)>,
    pub(crate) congestion_control: Option<String>,
    pub(crate) appended: bool,
    pub(crate) tracked: bool,
}

/// What a route does with packets (`RTN_*`, linux/rtnetlink.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RouteKind {
    /// It forwards them.
    #[default]
    Unicast,
    /// It delivers them to this host.
    Local,
    /// It drops them in silence.
    Blackhole,
    /// It drops them and says that the destination is unreachable.
    Unreachable,
    /// It drops them and says that this is prohibited.
    Prohibit,
    /// It ends the look-up in its table, as if there were no route: the next rule counts.
    Throw,
}

/// One way that packets take: to a router, or out of an interface, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) interface: Option<String>,
    pub(crate) weight: u16,
    pub(crate) onlink: bool,
    pub(crate) realms: Option<u32>,
}

/// How much an IPv6 route counts among those of one metric (`ICMPV6_ROUTER_PREF_*`, RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterPreference {
    /// Less.
    Low,
    /// As usual.
    Medium,
    /// More.
    High,
}

/// A property of what goes along a route (`RTAX_*`, linux/rtnetlink.h; ip-route(8) has the same words). The values are in
/// the kernel's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RouteParameter {
    /// `mtu`: octets of a packet.
    Mtu,
    /// `window`: octets that are advertised to TCP peers at most.
    Window,
    /// `rtt`: the round trip time that TCP begins with, in eighths of a millisecond.
    RoundTripTime,
    /// `rttvar`: its variance, in quarters of a millisecond.
    RoundTripVariance,
    /// `ssthresh`: the slow start threshold, in segments.
    SlowStartThreshold,
    /// `cwnd`: the bound of the congestion window, in segments; the kernel heeds it if it is locked.
    CongestionWindow,
    /// `advmss`: the segment size that is advertised to TCP peers, in octets.
    AdvertisedSegmentSize,
    /// `reordering`: how much reordering TCP begins with, in segments.
    Reordering,
    /// `hoplimit`: the TTL or hop limit of packets from this host.
    HopLimit,
    /// `initcwnd`: the congestion window that TCP begins with, in segments.
    InitialCongestionWindow,
    /// `features`: bits of `RTAX_FEATURE_*`; 1 is `ecn`.
    Features,
    /// `rto_min`: the least retransmission timeout, in milliseconds.
    MinimumRetransmissionTimeout,
    /// `initrwnd`: the receive window that TCP begins with, in segments.
    InitialReceiveWindow,
    /// `quickack`: 1 has TCP acknowledge at once.
    QuickAcknowledgement,
    /// `fastopen_no_cookie`: 1 lets TCP Fast Open do without a cookie.
    FastOpenWithoutCookie,
}

/// What no route can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route {route}: {problem}")]
pub struct RouteError {
    /// The route.
    pub route: String,
    /// What is wrong with it, with the value and what would be right.
    pub problem: RouteProblem,
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteProblem {
    /// It leads nowhere.
    #[error("it leads nowhere: give it a gateway, an interface or both, or make it a blackhole")]
    NoHop,
    /// It drops packets and has a way for them.
    #[error("{0} leads nowhere: take its gateway and interface away")]
    Hops(RouteKind),
    /// A way without gateway and interface.
    #[error("a next hop has neither gateway nor interface: give it one of them")]
    EmptyHop,
    /// More ways than fit.
    #[error("{0} next hops are too many: 256 at most")]
    TooManyHops(usize),
    /// A weight that the kernel does not have.
    #[error("weight {0} is not 1..=256")]
    Weight(u16),
    /// A gateway that nobody can have.
    #[error("{0} is no router's address")]
    Gateway(IpAddr),
    /// A gateway, source or source prefix of the other family.
    #[error("the {what} {address} is of the other family than the destination")]
    Family {
        /// What it is.
        what: &'static str,
        /// The address.
        address: IpAddr,
    },
    /// A gateway is on the link of no interface.
    #[error("onlink needs a gateway and an interface")]
    OnLink,
    /// Something that only the other family has.
    #[error("{what} is for {family:?} only")]
    Only {
        /// What it is.
        what: &'static str,
        /// The family that has it.
        family: Family,
    },
    /// A number out of its range.
    #[error("{what} {value} is not {right}")]
    Number {
        /// What it is.
        what: &'static str,
        /// The value.
        value: u32,
        /// What would be right.
        right: &'static str,
    },
    /// A name that no interface can have.
    #[error("{0:?} is no interface's name: 1 to 15 octets without white space, `/` and `:`")]
    Interface(String),
    /// A name that no algorithm can have.
    #[error("{0:?} is no congestion control: 1 to 15 octets, such as cubic")]
    CongestionControl(String),
    /// It is there twice.
    #[error("it is given twice")]
    Twice,
}

impl Hop {
    /// To this router; over the interface that reaches it, unless one is [given](Self::on_interface).
    pub const fn through(gateway: IpAddr) -> Self {
        Self { gateway: Some(gateway), interface: None, weight: 1, onlink: false, realms: None }
    }

    /// Out of this interface, to the destination itself.
    pub fn out_of(interface: impl Into<String>) -> Self {
        Self { gateway: None, interface: Some(interface.into()), weight: 1, onlink: false, realms: None }
    }

    /// Over this interface. It need not exist: the route is there once it does.
    pub fn on_interface(self, interface: impl Into<String>) -> Self {
        Self { interface: Some(interface.into()), ..self }
    }

    /// With this share among several ways: 1, unless set, to 256.
    pub fn with_weight(self, weight: u16) -> Self {
        Self { weight, ..self }
    }

    /// The gateway is on the interface's link, even if no address of the interface says so.
    pub fn onlink(self) -> Self {
        Self { onlink: true, ..self }
    }

    /// With these realms (`RTA_FLOW`), IPv4 only: the source's in the upper 16 bits, the destination's in the lower.
    pub fn with_realms(self, realms: u32) -> Self {
        Self { realms: Some(realms), ..self }
    }
}

impl VirtualRoute {
    /// The table `main`.
    pub const MAIN: u32 = 254;

    /// A route to `destination` in the table `main`. It needs a [way](Self::via), or another [kind](Self::with_kind).
    pub const fn new(destination: Prefix) -> Self {
        Self {
            destination,
            kind: RouteKind::Unicast,
            hops: Vec::new(),
            table: Self::MAIN,
            metric: None,
            source: None,
            source_prefix: None,
            scope: None,
            protocol: None,
            type_of_service: 0,
            preference: None,
            realms: None,
            parameters: BTreeMap::new(),
            congestion_control: None,
            appended: false,
            tracked: true,
        }
    }

    /// This way; given several times, packets are spread over all (multipath).
    pub fn via(mut self, hop: Hop) -> Self {
        self.hops.push(hop);
        self
    }

    /// What it does with packets.
    pub fn with_kind(self, kind: RouteKind) -> Self {
        Self { kind, ..self }
    }

    /// In this table, from 1 on; 254 is `main`.
    pub fn with_table(self, table: u32) -> Self {
        Self { table, ..self }
    }

    /// With this metric (`RTA_PRIORITY`): of several to one destination the lowest counts. Unless set 0, over IPv6 1024.
    pub fn with_metric(self, metric: u32) -> Self {
        Self { metric: Some(metric), ..self }
    }

    /// Packets from this host take this address as their source: a virtual one, above all.
    pub fn with_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// For packets from these sources only (`from` of ip-route(8)), IPv6 only.
    pub fn with_source_prefix(self, source: Prefix) -> Self {
        Self { source_prefix: Some(source), ..self }
    }

    /// How far the destination is, IPv4 only. Unless set [`Scope::Link`] without gateway, [`Scope::Host`] for a local one,
    /// [`Scope::Global`] otherwise.
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// As set by this program (`RTPROT_*`), instead of the [mark](crate::PATH_MARK). What carries another number is removed as
    /// any other, but is not known as this crate's after a crash.
    pub fn with_protocol(self, protocol: u8) -> Self {
        Self { protocol: Some(protocol), ..self }
    }

    /// For packets of this type of service only, IPv4 only; 0: of any.
    pub fn with_type_of_service(self, type_of_service: u8) -> Self {
        Self { type_of_service, ..self }
    }

    /// With this preference, IPv6 only.
    pub fn with_preference(self, preference: RouterPreference) -> Self {
        Self { preference: Some(preference), ..self }
    }

    /// With these realms (`RTA_FLOW`), IPv4 only: the source's in the upper 16 bits, the destination's in the lower.
    pub fn with_realms(self, realms: u32) -> Self {
        Self { realms: Some(realms), ..self }
    }

    /// With this property.
    pub fn with_parameter(mut self, parameter: RouteParameter, value: u32) -> Self {
        self.parameters.insert(parameter, (value, false));
        self
    }

    /// With this property, which the kernel then does not adapt (`lock`).
    pub fn with_locked_parameter(mut self, parameter: RouteParameter, value: u32) -> Self {
        self.parameters.insert(parameter, (value, true));
        self
    }

    /// With this congestion control (`congctl`), such as `cubic`.
    pub fn with_congestion_control(self, name: impl Into<String>) -> Self {
        Self { congestion_control: Some(name.into()), ..self }
    }

    /// Behind other programs' routes of the same destination and metric, not before them.
    pub fn appended(self) -> Self {
        Self { appended: true, ..self }
    }

    /// If another program removes it, it is not put back before the next promotion (`no_track` of keepalived).
    pub fn untracked(self) -> Self {
        Self { tracked: false, ..self }
    }

    /// Where it leads to.
    pub fn destination(&self) -> Prefix {
        self.destination
    }

    /// The table it is in.
    pub fn table(&self) -> u32 {
        self.table
    }

    /// Whether it is one that the kernel can have. What depends on the host at the time, such as whether a gateway can be
    /// reached, the kernel says when the route is installed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RouteError> {
        self.problem().map_or(Ok(()), |problem| Err(self.error(problem)))
    }

    pub(crate) fn error(&self, problem: RouteProblem) -> RouteError {
        RouteError { route: self.to_string(), problem }
    }

    fn problem(&self) -> Option<RouteProblem> {
        let leads = matches!(self.kind, RouteKind::Unicast | RouteKind::Local);
        let family = self.destination.family();
        let only = |what, family| Some(RouteProblem::Only { what, family });
        let number = |what, value, right| Some(RouteProblem::Number { what, value, right });
        if leads && self.hops.is_empty() {
            return Some(RouteProblem::NoHop);
        }
        if !leads && !self.hops.is_empty() {
            return Some(RouteProblem::Hops(self.kind));
        }
        if self.hops.len() > MOST_HOPS {
            return Some(RouteProblem::TooManyHops(self.hops.len()));
        }
        if let Some(problem) = self.hops.iter().find_map(|hop| hop.problem(family)) {
            return Some(problem);
        }
        if let Some(source) = self.source.filter(|source| Family::of(*source) != family) {
            return Some(RouteProblem::Family { what: "source", address: source });
        }
        if let Some(source) = self.source_prefix.filter(|source| source.family() != family) {
            return Some(RouteProblem::Family { what: "source prefix", address: source.address() });
        }
        if self.table == 0 {
            return number("table", 0, "1 or more");
        }
        if self.protocol == Some(0) {
            return number("protocol", 0, "1..=255");
        }
        if self.type_of_service & 3 != 0 {
            // The kernel keeps these two bits for congestion notification (RFC 3168 §5).
            return number("type of service", self.type_of_service.into(), "a multiple of 4");
        }
        let name = self.congestion_control.as_ref();
        if let Some(name) = name.filter(|name| !matches!(name.len(), 1..=15) || name.contains('\0')) {
            return Some(RouteProblem::CongestionControl(name.clone()));
        }
        match family {
            Family::V4 if self.source_prefix.is_some() => only("a source prefix", Family::V6),
            Family::V4 if self.preference.is_some() => only("a preference", Family::V6),
            Family::V6 if self.scope.is_some() => only("a scope", Family::V4),
            Family::V6 if self.type_of_service != 0 => only("a type of service", Family::V4),
            Family::V6 if self.realms.is_some() => only("a realm", Family::V4),
            Family::V4 | Family::V6 => None,
        }
    }
}

impl Hop {
    fn problem(&self, family: Family) -> Option<RouteProblem> {
        match (self.gateway, &self.interface) {
            (None, None) => return Some(RouteProblem::EmptyHop),
            (Some(_), None) | (None, Some(_)) if self.onlink => return Some(RouteProblem::OnLink),
            (_, _) => {}
        }
        if let Some(name) = self.interface.as_ref().filter(|name| !is_interface_name(name)) {
            return Some(RouteProblem::Interface(name.clone()));
        }
        if !matches!(self.weight, 1..=256) {
            return Some(RouteProblem::Weight(self.weight));
        }
        if family == Family::V6 && self.realms.is_some() {
            return Some(RouteProblem::Only { what: "a realm", family: Family::V4 });
        }
        let gateway = self.gateway?;
        if gateway.is_unspecified() || gateway.is_multicast() || gateway.is_loopback() {
            return Some(RouteProblem::Gateway(gateway));
        }
        // IPv4 goes through IPv6 routers too (RFC 8950), but not the other way round.
        (family == Family::V6 && gateway.is_ipv4())
            .then_some(RouteProblem::Family { what: "gateway", address: gateway })
    }
}

/// Whether the kernel takes it for the name of an interface (`dev_valid_name`).
pub(super) fn is_interface_name(name: &str) -> bool {
    let wrong = |octet: u8| matches!(octet, 0 | b'/' | b':') || octet.is_ascii_whitespace();
    matches!(name.len(), 1..=15) && !matches!(name, "." | "..") && !name.bytes().any(wrong)
}

/// As ip-route(8) writes it.
impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        })
    }
}

/// As ip-route(8) writes it, as far as it tells one from another.
impl fmt::Display for VirtualRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind)?;
        }
        self.destination.fmt(f)?;
        if let Some(source) = self.source_prefix {
            write!(f, " from {source}")?;
        }
        if self.type_of_service != 0 {
            write!(f, " tos {:#04x}", self.type_of_service)?;
        }
        match self.hops.as_slice() {
            [hop] => hop.fmt(f)?,
            hops => hops.iter().try_for_each(|hop| write!(f, " nexthop{hop} weight {}", hop.weight))?,
        }
        if self.table != Self::MAIN {
            write!(f, " table {}", self.table)?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        self.source.map_or(Ok(()), |source| write!(f, " src {source}"))
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        self.interface.as_ref().map_or(Ok(()), |interface| write!(f, " dev {interface}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(destination: &str) -> VirtualRoute {
        VirtualRoute::new(destination.parse().unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn through(gateway: &str) -> Hop {
        Hop::through(address(gateway))
    }

    #[test]
    fn what_the_kernel_can_have_passes() {
        for route in [
            to("198.51.100.0/24").via(through("192.0.2.254")),
            to("198.51.100.0/24").via(through("fe80::1").on_interface("eth0")),
            to("198.51.100.0/24").via(through("192.0.2.254").on_interface("eth0").onlink()),
            to("0.0.0.0/0").via(through("192.0.2.254").with_weight(256)).via(Hop::out_of("eth1")),
            to("2001:db8:1::/48").via(through("fe80::1").on_interface("eth0")).with_preference(RouterPreference::High),
            to("203.0.113.0/24").with_kind(RouteKind::Throw).with_table(100).with_metric(7),
            to("198.51.100.0/24").via(Hop::out_of("eth0")).with_type_of_service(0x10).with_realms(7),
        ] {
            assert_eq!(route.check(), Ok(()), "{route}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_value_and_what_would_be_right() {
        let good = || to("198.51.100.0/24").via(through("192.0.2.254"));
        let six = || to("2001:db8:1::/48").via(through("fe80::1").on_interface("eth0"));
        for (route, words) in [
            (to("198.51.100.0/24"), "route 198.51.100.0/24: it leads nowhere: give it a gateway"),
            (good().with_kind(RouteKind::Blackhole), "blackhole leads nowhere"),
            (good().via(Hop { gateway: None, interface: None, ..through("192.0.2.1") }), "neither gateway nor"),
            (to("0.0.0.0/0").via(through("192.0.2.254").with_weight(257)), "weight 257 is not 1..=256"),
            (to("0.0.0.0/0").via(through("192.0.2.254").with_weight(0)), "weight 0 is not 1..=256"),
            (to("0.0.0.0/0").via(through("224.0.0.1")), "224.0.0.1 is no router's address"),
            (to("::/0").via(through("192.0.2.254")), "the gateway 192.0.2.254 is of the other family"),
            (to("0.0.0.0/0").via(through("192.0.2.254").onlink()), "onlink needs a gateway and an interface"),
            (to("0.0.0.0/0").via(Hop::out_of("eth 0")), "\"eth 0\" is no interface's name"),
            (good().with_source(address("2001:db8::1")), "the source 2001:db8::1 is of the other family"),
            (good().with_source_prefix(Prefix::DEFAULT_V4), "a source prefix is for V6 only"),
            (good().with_preference(RouterPreference::Low), "a preference is for V6 only"),
            (good().with_table(0), "table 0 is not 1 or more"),
            (good().with_protocol(0), "protocol 0 is not 1..=255"),
            (good().with_type_of_service(3), "type of service 3 is not a multiple of 4"),
            (good().with_congestion_control(""), "\"\" is no congestion control"),
            (six().with_scope(Scope::Link), "a scope is for V4 only"),
            (six().with_type_of_service(4), "a type of service is for V4 only"),
            (six().with_realms(4), "a realm is for V4 only"),
            (to("::/0").via(through("fe80::1").on_interface("eth0").with_realms(4)), "a realm is for V4 only"),
        ] {
            let error = route.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let many = (0..=256).fold(to("0.0.0.0/0"), |route, _| route.via(through("192.0.2.254")));
        assert_eq!(many.check().unwrap_err().problem, RouteProblem::TooManyHops(257));
    }

    #[test]
    fn it_is_written_as_ip_route_does() {
        let route = to("198.51.100.0/24").via(through("192.0.2.254").on_interface("eth0")).with_table(100);
        let text = "198.51.100.0/24 via 192.0.2.254 dev eth0 table 100 metric 5 src 192.0.2.100";
        assert_eq!(route.with_metric(5).with_source(address("192.0.2.100")).to_string(), text);
        let both = to("0.0.0.0/0").via(through("192.0.2.253")).via(Hop::out_of("eth1").with_weight(2));
        assert_eq!(both.to_string(), "0.0.0.0/0 nexthop via 192.0.2.253 weight 1 nexthop dev eth1 weight 2");
        assert_eq!(to("::/0").with_kind(RouteKind::Prohibit).to_string(), "prohibit ::/0");
    }
}
