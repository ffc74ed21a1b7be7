//! What a process that died has left of routes, rules and lasting addresses, known by its mark.

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::address::InterfaceAddress;
use super::attribute::{Attributes, Message, Writer};
use super::path::Path;
use super::route::{RTM_DELROUTE, Route};
use super::rule::{FRA_PRIORITY, FRA_PROTOCOL, RTM_DELRULE};
use crate::driver::{PATH_MARK, STATIC_MARK};
use crate::error::Error;
use crate::sys;

/// One of them.
#[derive(Debug)]
pub(crate) enum LeftPath {
    Address(InterfaceAddress),
    /// As the kernel says it, which is also how it is removed.
    Route(Route, Vec<u8>),
    /// Its family and priority.
    Rule(u8, u32, Vec<u8>),
}

impl LeftPath {
    /// Whether it may be this one.
    pub(crate) fn may_be(&self, path: &Path) -> bool {
        match (self, path) {
            (Self::Address(left), Path::Address(_, wanted)) => {
                let wanted = wanted.address();
                (left.address, left.prefix_len) == (wanted.address(), wanted.prefix_len())
            }
            (Self::Route(left, _), Path::Route(wanted)) => {
                (left.destination, left.table)
                    == ((wanted.destination.address(), wanted.destination.prefix_len()), wanted.table)
            }
            (Self::Rule(family, priority, _), Path::Rule(wanted)) => {
                let four = *family == AF_INET;
                (four, *priority) == (wanted.family == vrrp_core::Family::V4, wanted.priority)
            }
            (Self::Address(_) | Self::Route(..) | Self::Rule(..), _) => false,
        }
    }

    /// Removes it; returns what it was.
    pub(crate) fn remove(self, netlink: &mut Netlink) -> Result<String, Error> {
        let (kind, payload, text) = match self {
            Self::Address(left) => {
                let text = format!("address {}/{}", left.address, left.prefix_len);
                if let Some(request) = left.request() {
                    netlink.change_address(request.removal())?;
                }
                return Ok(text);
            }
            Self::Route(left, payload) => {
                let (address, length) = left.destination;
                (RTM_DELROUTE, payload, format!("route {address}/{length} table {}", left.table))
            }
            Self::Rule(_, priority, payload) => (RTM_DELRULE, payload, format!("rule {priority}")),
        };
        let write = |sequence, out: &mut Vec<u8>| {
            Writer::begin(out, kind, NLM_F_ACK, sequence, &payload).finish();
        };
        let answer = netlink.ask_written(write)?;
        if !answer.is(sys::ESRCH) && !answer.is(sys::ENOENT) {
            answer.into_result(|| format!("remove {text}"))?;
        }
        Ok(text)
    }
}

impl Netlink {
    /// Everything that carries this crate's marks, apart from virtual addresses.
    pub(crate) fn left_paths(&mut self) -> Result<Vec<LeftPath>, Error> {
        let mut left = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut rules = RuleMessage::default();
            rules.header.family = family;
            let rules = self.dump(&RouteNetlinkMessage::GetRule(rules), "list rules", rule);
            match rules {
                Ok(rules) => left.extend(rules),
                // A kernel without rules, or without this family.
                Err(error) if error.raw_os_error() == Some(sys::EOPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
            let mut routes = RouteMessage::default();
            routes.header.address_family = family;
            left.extend(self.dump(&RouteNetlinkMessage::GetRoute(routes), "list routes", |message| {
                let route = Route::parse(message).filter(|route| route.protocol == PATH_MARK)?;
                Some(LeftPath::Route(route, message.payload.to_vec()))
            })?);
        }
        let addresses = self.addresses(None)?;
        left.extend(addresses.into_iter().filter(|it| it.protocol == Some(STATIC_MARK)).map(LeftPath::Address));
        Ok(left)
    }
}

fn rule(message: &Message<'_>) -> Option<LeftPath> {
    let attributes = Attributes(message.payload.get(12..)?);
    let find = |kind| attributes.into_iter().find(|attribute| attribute.kind == kind);
    let is_ours = find(FRA_PROTOCOL).and_then(|it| it.u8()) == Some(PATH_MARK);
    let priority = find(FRA_PRIORITY).and_then(|it| it.u32()).unwrap_or(0);
    is_ours.then_some(LeftPath::Rule(*message.payload.first()?, priority, message.payload.to_vec()))
}

const AF_INET: u8 = 2;
