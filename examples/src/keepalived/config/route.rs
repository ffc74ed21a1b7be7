//! Routes: `static_routes` and `virtual_routes`, in the words of `ip route`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::address::{Scope, scope};
use super::value::Name;
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::{Entry, network, number_of};

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Where they go to: an address and the length of its prefix.
    pub destination: (IpAddr, u8),
    /// By which router.
    pub via: Option<IpAddr>,
    /// By which other one (`or`).
    pub or: Option<IpAddr>,
    /// By which interface.
    pub dev: Option<Name>,
    /// From which of our addresses.
    pub src: Option<IpAddr>,
    /// In which table; `None`: main.
    pub table: Option<Table>,
    /// How far it reaches.
    pub scope: Option<Scope>,
    /// Its metric.
    pub metric: Option<u32>,
    /// Its maximum transmission unit.
    pub mtu: Option<u32>,
    /// For which type of service.
    pub tos: Option<u8>,
    /// The router is on the link, whatever its address says.
    pub onlink: bool,
    /// After others that match, not before.
    pub append: bool,
    /// Several ways.
    pub next_hops: Vec<NextHop>,
    /// It may vanish without anybody caring.
    pub no_track: bool,
    /// Who cares if it vanishes: a `track_group`.
    pub track_group: Option<Name>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// They are sent on.
    #[default]
    Unicast,
    /// They vanish.
    Blackhole,
    /// The sender is told that they cannot be delivered.
    Unreachable,
    /// The sender is told that they may not be.
    Prohibit,
    /// The next table says it.
    Throw,
}

/// One of several ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextHop {
    /// By which router.
    pub via: Option<IpAddr>,
    /// By which interface.
    pub dev: Option<Name>,
    /// How much of the traffic it takes, beside the others. Default: 1.
    pub weight: u32,
    /// The router is on the link, whatever its address says.
    pub onlink: bool,
}

/// A table of routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// By number.
    Number(u32),
    /// By a name of the host's `rt_tables`.
    Name(String),
}

pub(super) fn table(entry: &mut Entry<'_>) -> Result<Table, Diagnostic> {
    let word = entry.word("the number or name of a table")?;
    Ok(match word.text.as_str() {
        "main" => Table::Number(254),
        "local" => Table::Number(255),
        "default" => Table::Number(253),
        text if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            Table::Number(number_of(word, 1..=i64::from(u32::MAX))?)
        }
        text => Table::Name(text.to_owned()),
    })
}

#[derive(Clone, Copy)]
enum Word {
    Kind(RouteKind),
    To,
    Via,
    Or,
    Dev,
    Source,
    Table,
    Scope,
    Metric,
    Mtu,
    Tos,
    OnLink,
    Append,
    NextHop,
    NoTrack,
    TrackGroup,
    /// The family, if the addresses do not tell.
    Family(bool),
    /// Known, with no value.
    Flag,
    /// Known, with a value; it may be locked against change.
    Value,
}

const WORDS: &[(&str, Word)] = &[
    ("unicast", Word::Kind(RouteKind::Unicast)),
    ("blackhole", Word::Kind(RouteKind::Blackhole)),
    ("unreachable", Word::Kind(RouteKind::Unreachable)),
    ("prohibit", Word::Kind(RouteKind::Prohibit)),
    ("throw", Word::Kind(RouteKind::Throw)),
    ("to", Word::To),
    ("via", Word::Via),
    ("gw", Word::Via),
    ("or", Word::Or),
    ("dev", Word::Dev),
    ("oif", Word::Dev),
    ("src", Word::Source),
    ("table", Word::Table),
    ("scope", Word::Scope),
    ("metric", Word::Metric),
    ("priority", Word::Metric),
    ("preference", Word::Metric),
    ("mtu", Word::Mtu),
    ("tos", Word::Tos),
    ("dsfield", Word::Tos),
    ("onlink", Word::OnLink),
    ("append", Word::Append),
    ("nexthop", Word::NextHop),
    ("no_track", Word::NoTrack),
    ("track_group", Word::TrackGroup),
    ("inet6", Word::Family(true)),
    ("inet", Word::Family(false)),
    ("protocol", Word::Value),
    ("proto", Word::Value),
    ("hoplimit", Word::Value),
    ("advmss", Word::Value),
    ("rtt", Word::Value),
    ("rttvar", Word::Value),
    ("reordering", Word::Value),
    ("window", Word::Value),
    ("cwnd", Word::Value),
    ("ssthresh", Word::Value),
    ("realms", Word::Value),
    ("realm", Word::Value),
    ("rto_min", Word::Value),
    ("initcwnd", Word::Value),
    ("initrwnd", Word::Value),
    ("quickack", Word::Value),
    ("congctl", Word::Value),
    ("pref", Word::Value),
    ("ttl-propagate", Word::Value),
    ("vrf", Word::Value),
    ("features", Word::Value),
    ("fastopen_no_cookie", Word::Value),
    ("as", Word::Value),
    ("encap", Word::Value),
    ("expires", Word::Value),
    ("weight", Word::Value),
    ("equalize", Word::Flag),
    ("ecn", Word::Flag),
];

const UNSUPPORTED: &str = "the route is installed without it";

/// A line of a list of routes.
pub(super) fn route(entry: &mut Entry<'_>) -> Result<Route, Diagnostic> {
    let mut kind = RouteKind::default();
    let (mut destination, mut is_v6) = (None, None);
    let span = entry.peek().map_or_else(|| entry.span(), |word| word.span);
    let mut read = Route {
        kind,
        destination: (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        via: None,
        or: None,
        dev: None,
        src: None,
        table: None,
        scope: None,
        metric: None,
        mtu: None,
        tos: None,
        onlink: false,
        append: false,
        next_hops: Vec::new(),
        no_track: false,
        track_group: None,
        span,
    };
    while let Some(next) = entry.peek() {
        if destination.is_none()
            && (next.text == "default" || next.text.starts_with(|c: char| c.is_ascii_hexdigit()))
            && !WORDS.iter().any(|(name, _)| *name == next.text)
        {
            destination = Some(to(entry)?);
            continue;
        }
        match entry.one_of(WORDS)? {
            Word::Kind(of) => kind = of,
            Word::To => destination = Some(to(entry)?),
            Word::Via => read.via = Some(via(entry)?),
            Word::Or => read.or = Some(via(entry)?),
            Word::Dev => read.dev = Some(entry.interface()?),
            Word::Source => read.src = Some(entry.network()?.0),
            Word::Table => read.table = Some(table(entry)?),
            Word::Scope => read.scope = Some(scope(entry)?),
            Word::Metric => read.metric = Some(entry.number(0..=i64::from(u32::MAX))?),
            Word::Mtu => {
                entry.optional_word("lock");
                read.mtu = Some(entry.number(1..=65_535)?);
            }
            Word::Tos => read.tos = Some(octet(entry)?),
            Word::OnLink => read.onlink = true,
            Word::Append => read.append = true,
            Word::NextHop => read.next_hops.push(next_hop(entry)?),
            Word::NoTrack => read.no_track = true,
            Word::TrackGroup => read.track_group = Some(entry.name("the name of a track_group")?),
            Word::Family(v6) => is_v6 = Some(v6),
            Word::Flag => entry.unsupported(UNSUPPORTED),
            Word::Value => {
                entry.unsupported(UNSUPPORTED);
                entry.optional_word("lock");
                entry.word("a value")?;
            }
        }
    }
    let gateway = read.via.or(read.next_hops.iter().find_map(|hop| hop.via)).or(read.src);
    read.kind = kind;
    read.destination = match destination {
        // `default` is of the family that the rest is of.
        Some(None) => match is_v6.unwrap_or_else(|| gateway.is_some_and(|address| address.is_ipv6())) {
            true => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            false => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        },
        Some(Some(destination)) => destination,
        None => {
            return Err(Diagnostic::error(span, "this route has no destination")
                .with_help("write default, or an address with its prefix"));
        }
    };
    Ok(read)
}

/// A destination; `None` is `default`.
fn to(entry: &mut Entry<'_>) -> Result<Option<(IpAddr, u8)>, Diagnostic> {
    let word = entry.word("a destination")?;
    if matches!(word.text.as_str(), "default" | "any") {
        return Ok(None);
    }
    let (address, prefix) = network(word)?;
    Ok(Some((address, prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 }))))
}

fn via(entry: &mut Entry<'_>) -> Result<IpAddr, Diagnostic> {
    if !entry.optional_word("inet6") {
        entry.optional_word("inet");
    }
    entry.address()
}

/// A number of 8 bits, which may be hexadecimal.
pub(super) fn octet(entry: &mut Entry<'_>) -> Result<u8, Diagnostic> {
    let word = entry.word("a number")?;
    let hexadecimal = word.text.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    hexadecimal.map_or_else(|| number_of(word, 0..=255), Ok)
}

fn next_hop(entry: &mut Entry<'_>) -> Result<NextHop, Diagnostic> {
    let mut hop = NextHop { via: None, dev: None, weight: 1, onlink: false };
    while let Some(next) = entry.peek() {
        match next.text.as_str() {
            "via" => {
                entry.word("via")?;
                hop.via = Some(via(entry)?);
            }
            "dev" => {
                entry.word("dev")?;
                hop.dev = Some(entry.interface()?);
            }
            "weight" => {
                entry.word("weight")?;
                hop.weight = entry.number(1..=256)?;
            }
            "onlink" => {
                entry.word("onlink")?;
                hop.onlink = true;
            }
            _ => break,
        }
    }
    Ok(hop)
}
