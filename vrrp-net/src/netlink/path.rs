//! Requests for routes, rules and lasting addresses, as an application says them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use vrrp_core::{Family, IfIndex};

use super::address::AddressRequest;
use super::attribute::Writer;
use super::route::{RTM_DELROUTE, RTM_NEWROUTE};
use super::rule::{RTM_DELRULE, RTM_NEWRULE, encode_rule};
use super::{AddressChange, Answer, Scope};
use crate::config::{Hop, RouteKind, RouteParameter, RouterPreference, VirtualRoute, VirtualRule};
use crate::driver::{PATH_MARK, STATIC_MARK};
use crate::error::Error;
use crate::{Address, Prefix, sys};

/// Something that is put on the host beside virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// An address that stays, with its interface.
    Address(String, Address),
    Route(VirtualRoute),
    Rule(VirtualRule),
}

impl Path {
    /// Each as one request can set it: over IPv6 every way of a route is one of its own, which the kernel joins.
    pub(crate) fn all(routes: &[VirtualRoute], rules: &[VirtualRule]) -> Vec<Self> {
        let part = |route: &VirtualRoute| match (route.destination.family(), route.hops.as_slice()) {
            (Family::V6, hops @ [_, _, ..]) => {
                hops.iter().map(|hop| VirtualRoute { hops: vec![hop.clone()], ..route.clone() }).collect()
            }
            (Family::V4 | Family::V6, _) => vec![route.clone()],
        };
        routes.iter().flat_map(part).map(Self::Route).chain(rules.iter().cloned().map(Self::Rule)).collect()
    }

    /// The interfaces that must be known before it can be asked for, one for each way of a route.
    pub(crate) fn interfaces(&self) -> Vec<Option<&str>> {
        match self {
            Self::Address(interface, _) => vec![Some(interface)],
            Self::Route(route) => route.hops.iter().map(|hop| hop.interface.as_deref()).collect(),
            Self::Rule(_) => Vec::new(),
        }
    }

    /// Whether it may go or come with an interface of this name.
    pub(crate) fn depends_on(&self, interface: &str) -> bool {
        self.interfaces().iter().any(|name| name.is_none_or(|name| name == interface))
    }

    /// Whether it is put back when it is removed.
    pub(crate) fn is_tracked(&self) -> bool {
        match self {
            Self::Address(..) => true,
            Self::Route(route) => route.tracked,
            Self::Rule(rule) => rule.tracked,
        }
    }

    /// By what the kernel tells whose it is.
    pub(crate) fn protocol(&self) -> u8 {
        match self {
            Self::Address(..) => STATIC_MARK,
            Self::Route(route) => route.protocol.unwrap_or(PATH_MARK),
            Self::Rule(rule) => rule.protocol.unwrap_or(PATH_MARK),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(interface, address) => write!(f, "address {address} dev {interface}"),
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

/// A path with the numbers of its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathRequest {
    pub(crate) path: Arc<Path>,
    /// One for each of [`Path::interfaces`].
    pub(crate) interfaces: Vec<Option<IfIndex>>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was carried out.
    Done,
    /// There was nothing to do.
    WasSo,
}

impl PathRequest {
    /// Append the request to add it. If it is there, the kernel says so and changes nothing.
    pub(crate) fn encode_addition(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        let flags = flags | NLM_F_CREATE;
        match &*self.path {
            Path::Address(_, address) => {
                if let Some(request) = self.address_request(address) {
                    request.encode(flags | NLM_F_EXCL, sequence, out);
                }
            }
            Path::Route(route) => {
                let flags = if route.appended { flags | NLM_F_APPEND } else { flags };
                self.encode_route(route, RTM_NEWROUTE, flags, sequence, out);
            }
            // There can be two of a kind.
            Path::Rule(rule) => encode_rule(rule, RTM_NEWRULE, flags | NLM_F_EXCL, sequence, out),
        }
    }

    /// Append the request to remove it; another program's is not removed, but for an address.
    pub(crate) fn encode_removal(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        match &*self.path {
            Path::Address(_, address) => {
                if let Some(request) = self.address_request(address) {
                    request.removal().encode(flags, sequence, out);
                }
            }
            Path::Route(route) => self.encode_route(route, RTM_DELROUTE, flags, sequence, out),
            Path::Rule(rule) => encode_rule(rule, RTM_DELRULE, flags, sequence, out),
        }
    }

    /// The interface of an address.
    pub(crate) fn interface(&self) -> Option<IfIndex> {
        self.interfaces.first().copied().flatten()
    }

    fn address_request(&self, address: &Address) -> Option<AddressRequest> {
        let request = address.lasting_request(self.interface()?);
        Some(AddressRequest { protocol: Some(STATIC_MARK), ..request })
    }

    /// What became of it.
    pub(crate) fn result(&self, adds: bool, answer: Answer) -> Result<Outcome, Error> {
        let so = match adds {
            true => answer.is(sys::EEXIST),
            false => [sys::ESRCH, sys::ENOENT, sys::ENODEV, sys::EADDRNOTAVAIL].iter().any(|it| answer.is(*it)),
        };
        if so {
            return Ok(Outcome::WasSo);
        }
        let way_out = (adds && answer.is(sys::ENETUNREACH))
            .then(|| "no interface reaches the gateway: name one, and say that it is onlink".to_owned());
        let word = if adds { "add" } else { "remove" };
        let result = answer.into_result(|| format!("{word} {}", self.path));
        result.map(|()| Outcome::Done).map_err(|error| error.with_way_out(way_out))
    }

    fn encode_route(&self, route: &VirtualRoute, kind: u16, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        let adds = kind == RTM_NEWROUTE;
        let family = route.destination.family();
        // struct rtmsg
        let [table, ..] = route.table.to_le_bytes();
        let fixed = [
            family_number(family),
            route.destination.prefix_len(),
            route.source_prefix.map_or(0, Prefix::prefix_len),
            route.type_of_service,
            if route.table > u32::from(u8::MAX) { TABLE_COMPAT } else { table },
            route.protocol.unwrap_or(PATH_MARK),
            if adds { scope(route) } else { SCOPE_NOWHERE },
            kind_number(route.kind),
        ];
        let single = match route.hops.as_slice() {
            // The kernel takes weights and realms of its own from the longer form only.
            [hop] if hop.weight == 1 || family == Family::V4 => Some(hop),
            _ => None,
        };
        let route_flags = if single.is_some_and(|hop| hop.onlink) { u32::from(ONLINK) } else { 0 };
        let fixed = [&fixed[..], &route_flags.to_ne_bytes()].concat();
        let mut writer = Writer::begin(out, kind, flags, sequence, &fixed);
        if route.destination.prefix_len() > 0 {
            writer.address(RTA_DST, route.destination.address());
        }
        if let Some(source) = route.source_prefix {
            writer.address(RTA_SRC, source.address());
        }
        writer.attribute(RTA_TABLE, &route.table.to_ne_bytes());
        if let Some(metric) = route.metric {
            writer.attribute(RTA_PRIORITY, &metric.to_ne_bytes());
        }
        if let Some(source) = route.source {
            writer.address(RTA_PREFSRC, source);
        }
        let realms = route.realms.or_else(|| single.and_then(|hop| hop.realms));
        if let Some(realms) = realms {
            writer.attribute(RTA_FLOW, &realms.to_ne_bytes());
        }
        if adds {
            encode_parameters(route, &mut writer);
            if let Some(preference) = route.preference {
                writer.attribute(RTA_PREF, &[preference_number(preference)]);
            }
        }
        match single {
            Some(hop) => {
                if let Some(index) = self.interface() {
                    writer.attribute(RTA_OIF, &index.get().to_ne_bytes());
                }
                encode_gateway(hop, family, &mut writer);
            }
            None if !route.hops.is_empty() => {
                let hops = route.hops.iter().zip(&self.interfaces);
                let octets: Vec<u8> = hops.flat_map(|(hop, index)| next_hop(hop, *index, family)).collect();
                writer.attribute(RTA_MULTIPATH, &octets);
            }
            None => {}
        }
        writer.finish();
    }
}

fn encode_gateway(hop: &Hop, family: Family, writer: &mut Writer<'_>) {
    match hop.gateway {
        None => {}
        Some(gateway) if Family::of(gateway) == family => writer.address(RTA_GATEWAY, gateway),
        // struct rtvia
        Some(gateway) => {
            let number = u16::from(family_number(Family::of(gateway))).to_ne_bytes();
            match gateway {
                IpAddr::V4(v4) => writer.attribute(RTA_VIA, &[&number[..], &v4.octets()].concat()),
                IpAddr::V6(v6) => writer.attribute(RTA_VIA, &[&number[..], &v6.octets()].concat()),
            }
        }
    }
}

/// A `struct rtnexthop` with its attributes.
fn next_hop(hop: &Hop, index: Option<IfIndex>, family: Family) -> Vec<u8> {
    let [weight, ..] = hop.weight.saturating_sub(1).to_le_bytes();
    let mut octets = vec![0, 0, if hop.onlink { ONLINK } else { 0 }, weight];
    octets.extend(index.map_or(0, IfIndex::get).to_ne_bytes());
    let mut writer = Writer::append(&mut octets);
    encode_gateway(hop, family, &mut writer);
    if let Some(realms) = hop.realms {
        writer.attribute(RTA_FLOW, &realms.to_ne_bytes());
    }
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_ne_bytes();
    if let Some(field) = octets.get_mut(..2) {
        field.copy_from_slice(&length);
    }
    octets
}

fn encode_parameters(route: &VirtualRoute, writer: &mut Writer<'_>) {
    if route.parameters.is_empty() && route.congestion_control.is_none() {
        return;
    }
    writer.nested(RTA_METRICS, |writer| {
        let locked = route.parameters.iter().filter(|(_, (_, locked))| *locked);
        let locks = locked.fold(0_u32, |locks, (parameter, _)| locks | 1 << parameter_number(*parameter));
        if locks != 0 {
            writer.attribute(RTAX_LOCK, &locks.to_ne_bytes());
        }
        for (parameter, (value, _)) in &route.parameters {
            writer.attribute(parameter_number(*parameter), &value.to_ne_bytes());
        }
        if let Some(name) = &route.congestion_control {
            writer.text(RTAX_CC_ALGO, name);
        }
    });
}

/// How far the kernel is told that the destination is.
fn scope(route: &VirtualRoute) -> u8 {
    let scope = route.scope.unwrap_or_else(|| match route.kind {
        RouteKind::Local => Scope::Host,
        RouteKind::Unicast if route.hops.iter().all(|hop| hop.gateway.is_none()) => Scope::Link,
        RouteKind::Unicast | RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw => {
            Scope::Global
        }
    });
    match route.destination.family() {
        Family::V4 => scope.number(),
        Family::V6 => 0,
    }
}

pub(super) const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

const fn kind_number(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
    }
}

const fn preference_number(preference: RouterPreference) -> u8 {
    match preference {
        RouterPreference::Medium => 0,
        RouterPreference::High => 1,
        RouterPreference::Low => 3,
    }
}

const fn parameter_number(parameter: RouteParameter) -> u16 {
    match parameter {
        RouteParameter::Mtu => 2,
        RouteParameter::Window => 3,
        RouteParameter::RoundTripTime => 4,
        RouteParameter::RoundTripVariance => 5,
        RouteParameter::SlowStartThreshold => 6,
        RouteParameter::CongestionWindow => 7,
        RouteParameter::AdvertisedSegmentSize => 8,
        RouteParameter::Reordering => 9,
        RouteParameter::HopLimit => 10,
        RouteParameter::InitialCongestionWindow => 11,
        RouteParameter::Features => 12,
        RouteParameter::MinimumRetransmissionTimeout => 13,
        RouteParameter::InitialReceiveWindow => 14,
        RouteParameter::QuickAcknowledgement => 15,
        RouteParameter::FastOpenWithoutCookie => 17,
    }
}

// linux/socket.h, linux/rtnetlink.h
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TABLE_COMPAT: u8 = 252;
const SCOPE_NOWHERE: u8 = 255;
const ONLINK: u8 = 4;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;
/// A change of what is on the host, of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostChange {
    Address(AddressChange),
    Add(PathRequest),
    Remove(PathRequest),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute::{Attributes, Messages, u32_at};

    fn request(path: Path, interfaces: &[u32]) -> PathRequest {
        let interfaces = interfaces.iter().map(|index| IfIndex::new(*index).ok()).collect();
        PathRequest { path: Arc::new(path), interfaces }
    }

    type Values = Vec<(u16, Vec<u8>)>;

    /// Type, flags, fixed part and attributes of what is asked.
    fn read(bytes: &[u8]) -> (u16, u16, Vec<u8>, Values) {
        let message = Messages(bytes).next().unwrap();
        let (fixed, rest) = message.payload.split_at(12);
        let attributes = Attributes(rest).map(|it| (it.kind, it.value.to_vec())).collect();
        (message.kind, message.flags, fixed.to_vec(), attributes)
    }

    fn value(attributes: &[(u16, Vec<u8>)], kind: u16) -> Option<&[u8]> {
        attributes.iter().find(|(it, _)| *it == kind).map(|(_, value)| value.as_slice())
    }

    fn to(destination: &str) -> VirtualRoute {
        VirtualRoute::new(destination.parse().unwrap())
    }

    fn through(gateway: &str) -> Hop {
        Hop::through(gateway.parse().unwrap())
    }

    #[test]
    fn a_route_is_asked_for_with_its_mark_and_everything_said_of_it() {
        let route = to("198.51.100.0/24")
            .via(through("192.0.2.254").on_interface("eth0").onlink())
            .with_table(1000)
            .with_metric(5)
            .with_source("192.0.2.100".parse().unwrap())
            .with_parameter(RouteParameter::Mtu, 1400)
            .with_locked_parameter(RouteParameter::AdvertisedSegmentSize, 1300)
            .with_congestion_control("cubic");
        let request = request(Path::Route(route), &[7]);
        let mut bytes = Vec::new();
        request.encode_addition(0, 1, &mut bytes);
        let (kind, flags, fixed, attributes) = read(&bytes);
        assert_eq!(
            (kind, flags),
            (24, 0x401),
            "RTM_NEWROUTE, to be created, neither exclusive nor in the place of another"
        );
        assert_eq!(fixed, [2, 24, 0, 0, 252, 112, 0, 1, 4, 0, 0, 0]);
        assert_eq!(value(&attributes, RTA_DST), Some(&[198, 51, 100, 0][..]));
        assert_eq!(value(&attributes, RTA_GATEWAY), Some(&[192, 0, 2, 254][..]));
        assert_eq!(value(&attributes, RTA_PREFSRC), Some(&[192, 0, 2, 100][..]));
        for (kind, number) in [(RTA_OIF, 7_u32), (RTA_TABLE, 1000), (RTA_PRIORITY, 5)] {
            assert_eq!(value(&attributes, kind), Some(&number.to_ne_bytes()[..]), "{kind}");
        }
        let metrics = value(&attributes, RTA_METRICS).unwrap();
        let metrics: Vec<_> = Attributes(metrics).map(|it| (it.kind, u32_at(it.value, 0).unwrap_or(0))).collect();
        assert_eq!(metrics[..3], [(1, 1 << 8), (2, 1400), (8, 1300)]);
        assert_eq!(metrics[3].0, 16);
        bytes.clear();
        request.encode_removal(0, 1, &mut bytes);
        let (kind, flags, fixed, attributes) = read(&bytes);
        assert_eq!((kind, flags), (25, 1));
        assert_eq!(fixed[5..8], [112, 255, 1], "only what carries the mark, of whatever scope");
        assert_eq!(value(&attributes, RTA_METRICS), None);
    }

    #[test]
    fn the_ways_of_a_route_are_one_request_over_ipv4_and_one_each_over_ipv6() {
        let four =
            to("0.0.0.0/0").via(through("192.0.2.1").on_interface("eth0").with_weight(3)).via(through("fe80::1"));
        let [path] = &Path::all(&[four], &[])[..] else { panic!("one") };
        assert_eq!(path.interfaces(), [Some("eth0"), None]);
        let mut bytes = Vec::new();
        request(path.clone(), &[7, 0]).encode_addition(0, 1, &mut bytes);
        let (_, _, fixed, attributes) = read(&bytes);
        assert_eq!((fixed[1], value(&attributes, RTA_DST)), (0, None), "the default route has no destination");
        let hops = value(&attributes, RTA_MULTIPATH).unwrap();
        // rtnh_len, flags, weight less one, interface; gateway.
        let first = [&[16, 0, 0, 2, 7, 0, 0, 0, 8, 0, 5, 0][..], &[192, 0, 2, 1]].concat();
        assert_eq!(hops[..16], first);
        assert_eq!(hops[16..24], [32, 0, 0, 0, 0, 0, 0, 0], "the other one has RTA_VIA: 4 + 2 + 16 octets, padded");
        assert_eq!(hops[24..30], [22, 0, 18, 0, 10, 0]);

        let six =
            to("2001:db8::/32").via(through("fe80::1").on_interface("eth0").with_weight(2)).via(through("2001:db8::1"));
        let parts = Path::all(&[six], &[]);
        assert_eq!(parts.len(), 2);
        let asked: Vec<_> = parts
            .iter()
            .map(|part| {
                let mut bytes = Vec::new();
                request(part.clone(), &[7]).encode_addition(0, 1, &mut bytes);
                let (_, _, _, attributes) = read(&bytes);
                (value(&attributes, RTA_MULTIPATH).is_some(), value(&attributes, RTA_GATEWAY).is_some())
            })
            .collect();
        assert_eq!(asked, [(true, false), (false, true)], "only one with a weight needs the long form");
    }

    #[test]
    fn one_that_drops_packets_has_its_kind_and_no_way() {
        for (kind, number) in
            [(RouteKind::Blackhole, 6), (RouteKind::Unreachable, 7), (RouteKind::Prohibit, 8), (RouteKind::Throw, 9)]
        {
            let mut bytes = Vec::new();
            request(Path::Route(to("2001:db8::/32").with_kind(kind)), &[]).encode_addition(0, 1, &mut bytes);
            let (_, _, fixed, attributes) = read(&bytes);
            assert_eq!((fixed[0], fixed[1], fixed[7]), (10, 32, number));
            assert!([RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH].iter().all(|it| value(&attributes, *it).is_none()));
        }
    }

    #[test]
    fn a_rule_is_added_unless_it_is_there() {
        let rule = VirtualRule::new(Family::V6, 7, crate::RuleAction::Blackhole);
        let request = request(Path::Rule(rule), &[]);
        let mut bytes = Vec::new();
        request.encode_addition(0, 1, &mut bytes);
        let (kind, flags, ..) = read(&bytes);
        assert_eq!((kind, flags), (32, 0x601), "RTM_NEWRULE, to be created, exclusively: there could be two of a kind");
        bytes.clear();
        request.encode_removal(0, 1, &mut bytes);
        assert_eq!(read(&bytes).0, 33);
    }

    #[test]
    fn what_is_there_already_or_gone_already_is_no_failure() {
        let request = request(Path::Route(to("198.51.100.0/24").with_kind(RouteKind::Blackhole)), &[]);
        let refused = |errno| Answer::Refused { errno, words: None };
        assert_eq!(request.result(true, Answer::Done).unwrap(), Outcome::Done);
        assert_eq!(request.result(true, refused(sys::EEXIST)).unwrap(), Outcome::WasSo);
        assert_eq!(request.result(false, refused(sys::ESRCH)).unwrap(), Outcome::WasSo);
        let error = request.result(true, refused(sys::ENETUNREACH)).unwrap_err().to_string();
        assert!(error.starts_with("add route blackhole 198.51.100.0/24: "), "{error}");
        assert!(error.ends_with("say that it is onlink"), "{error}");
    }
}
