//! Routes and rules.

use std::net::IpAddr;

use vrrp_net::netlink::Scope;
use vrrp_net::vrrp_core::Family;
use vrrp_net::{Hop, Prefix, RouteKind, RouteParameter, RuleAction, VirtualRoute, VirtualRule};

use super::Builder;
use crate::keepalived::config::{self, Route, Rule, Table};
use crate::keepalived::source::Span;

/// The place of the first rule that names none; those after it go before it, as with keepalived.
const FIRST_PLACE: u32 = 16_384;

/// Where the host names its tables.
const TABLE_NAMES: [&str; 2] = ["/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables"];

impl Builder<'_> {
    pub(super) fn route(&mut self, route: &Route) -> Option<VirtualRoute> {
        let (address, length) = route.destination;
        let mut made = VirtualRoute::new(self.prefix((address, length), route.span)?);
        made = made.with_kind(match route.kind {
            config::RouteKind::Unicast => RouteKind::Unicast,
            config::RouteKind::Blackhole => RouteKind::Blackhole,
            config::RouteKind::Unreachable => RouteKind::Unreachable,
            config::RouteKind::Prohibit => RouteKind::Prohibit,
            config::RouteKind::Throw => RouteKind::Throw,
        });
        let gateways: Vec<IpAddr> = [route.via, route.or].into_iter().flatten().collect();
        for gateway in &gateways {
            made = made.via(hop(Some(*gateway), route.dev.as_ref(), route.onlink)?);
        }
        if let (true, Some(dev)) = (gateways.is_empty() && route.next_hops.is_empty(), &route.dev) {
            made = made.via(Hop::out_of(dev.as_str()));
        }
        for next in &route.next_hops {
            let weight = u16::try_from(next.weight).unwrap_or(u16::MAX);
            made = made.via(hop(next.via, next.dev.as_ref(), next.onlink)?.with_weight(weight));
        }
        if let Some(table) = &route.table {
            made = made.with_table(self.table(table, route.span)?);
        }
        made = route.metric.into_iter().fold(made, VirtualRoute::with_metric);
        made = route.src.into_iter().fold(made, VirtualRoute::with_source);
        made = route.scope.into_iter().fold(made, |made, it| made.with_scope(scope(it)));
        made = route.tos.into_iter().fold(made, VirtualRoute::with_type_of_service);
        made = route.mtu.into_iter().fold(made, |made, mtu| made.with_parameter(RouteParameter::Mtu, mtu));
        made = if route.append { made.appended() } else { made };
        made = if route.no_track { made.untracked() } else { made };
        let checked = made.check();
        self.or_error(route.span, checked)?;
        Some(made)
    }

    pub(super) fn rule(&mut self, rule: &Rule) -> Option<VirtualRule> {
        let family = if rule.is_v6 { Family::V6 } else { Family::V4 };
        let action = match &rule.action {
            config::RuleAction::Table(table) => RuleAction::Table(self.table(table, rule.span)?),
            config::RuleAction::Goto(place) => RuleAction::Goto(*place),
            config::RuleAction::Nop => RuleAction::Nothing,
            config::RuleAction::Blackhole => RuleAction::Blackhole,
            config::RuleAction::Unreachable => RuleAction::Unreachable,
            config::RuleAction::Prohibit => RuleAction::Prohibit,
        };
        let place = rule.preference.unwrap_or_else(|| {
            let place = FIRST_PLACE.saturating_sub(self.rules);
            self.rules = self.rules.saturating_add(1);
            place
        });
        let mut made = VirtualRule::new(family, place, action);
        if let Some(from) = rule.from {
            made = made.from(self.prefix(from, rule.span)?);
        }
        if let Some(to) = rule.to {
            made = made.to(self.prefix(to, rule.span)?);
        }
        made = if rule.not { made.inverted() } else { made };
        made = rule.fwmark.into_iter().fold(made, |made, (mark, mask)| made.with_mark(mark, mask));
        made = rule.iif.iter().fold(made, |made, name| made.with_incoming(name.as_str()));
        made = rule.oif.iter().fold(made, |made, name| made.with_outgoing(name.as_str()));
        made = rule.tos.into_iter().fold(made, VirtualRule::with_type_of_service);
        made = if rule.no_track { made.untracked() } else { made };
        let checked = made.check();
        self.or_error(rule.span, checked)?;
        Some(made)
    }

    fn prefix(&mut self, (address, length): (IpAddr, u8), span: Span) -> Option<Prefix> {
        self.or_error(span, Prefix::masking(address, length))
    }

    fn table(&mut self, table: &Table, span: Span) -> Option<u32> {
        let name = match table {
            Table::Number(number) => return Some(*number),
            Table::Name(name) => name,
        };
        let number = TABLE_NAMES.iter().filter_map(|path| std::fs::read_to_string(path).ok()).find_map(|text| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let number = words.next()?.parse().ok()?;
                (words.next()? == name).then_some(number)
            })
        });
        let missing = || format!("there is no table {name:?} in {}: give its number", TABLE_NAMES.join(" or "));
        self.or_error(span, number.ok_or_else(missing))
    }
}

fn hop(via: Option<IpAddr>, dev: Option<&config::Name>, onlink: bool) -> Option<Hop> {
    let hop = match (via, dev) {
        (Some(gateway), Some(dev)) => Hop::through(gateway).on_interface(dev.as_str()),
        (Some(gateway), None) => Hop::through(gateway),
        (None, Some(dev)) => Hop::out_of(dev.as_str()),
        (None, None) => return None,
    };
    Some(if onlink { hop.onlink() } else { hop })
}

pub(super) fn scope(scope: config::Scope) -> Scope {
    match scope {
        config::Scope::Global => Scope::Global,
        config::Scope::Site => Scope::Site,
        config::Scope::Link => Scope::Link,
        config::Scope::Host => Scope::Host,
        // RT_SCOPE_NOWHERE of linux/rtnetlink.h.
        config::Scope::Nowhere => Scope::Other(255),
        config::Scope::Number(number) => Scope::Other(number),
    }
}
