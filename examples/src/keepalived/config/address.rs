//! Addresses: `static_ipaddress`, `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::IpAddr;

use serde::Serialize;

use super::value::Name;
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;

/// An address and how it is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix. Default: that of a host.
    pub prefix: u8,
    /// The interface; `None` is the virtual router's, or `default_interface`.
    pub dev: Option<Name>,
    /// The label.
    pub label: Option<String>,
    /// The scope.
    pub scope: Option<Scope>,
    /// The broadcast address.
    pub broadcast: Option<Broadcast>,
    /// No route to the prefix comes with it.
    pub noprefixroute: bool,
    /// It may vanish without anybody caring.
    pub no_track: bool,
    /// Who cares if it vanishes: a `track_group`.
    pub track_group: Option<Name>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// How far an address or a route reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    Global,
    /// This site.
    Site,
    /// This link.
    Link,
    /// This host.
    Host,
    /// Nowhere.
    Nowhere,
    /// As a number of the kernel's table.
    Number(u8),
}

/// A broadcast address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broadcast {
    /// `+`: the prefix with all host bits set.
    Ones,
    /// `-`: with none.
    Zeros,
    /// This one.
    Address(IpAddr),
}

/// A scope, by name or number.
pub(super) fn scope(entry: &mut Entry<'_>) -> Result<Scope, Diagnostic> {
    if entry.peek().is_some_and(|word| word.text.starts_with(|first: char| first.is_ascii_digit())) {
        return entry.number(0..=255).map(Scope::Number);
    }
    entry.one_of(&[
        ("global", Scope::Global),
        ("site", Scope::Site),
        ("link", Scope::Link),
        ("host", Scope::Host),
        ("nowhere", Scope::Nowhere),
    ])
}

#[derive(Clone, Copy)]
enum Word {
    Broadcast,
    Dev,
    Scope,
    Label,
    Peer,
    NoPrefixRoute,
    NoTrack,
    TrackGroup,
    PreferredLifetime,
    /// What is so anyway.
    Nothing,
    Unsupported,
}

const WORDS: &[(&str, Word)] = &[
    ("brd", Word::Broadcast),
    ("broadcast", Word::Broadcast),
    ("dev", Word::Dev),
    ("scope", Word::Scope),
    ("label", Word::Label),
    ("peer", Word::Peer),
    ("home", Word::Unsupported),
    // A virtual address is never probed for: another host had it a moment ago.
    ("-nodad", Word::Nothing),
    ("nodad", Word::Nothing),
    ("mngtmpaddr", Word::Unsupported),
    ("noprefixroute", Word::NoPrefixRoute),
    ("autojoin", Word::Unsupported),
    ("use_vmac", Word::Unsupported),
    ("no_track", Word::NoTrack),
    ("track_group", Word::TrackGroup),
    ("preferred_lft", Word::PreferredLifetime),
];

/// A line of a list of addresses.
pub(super) fn address(entry: &mut Entry<'_>) -> Result<Address, Diagnostic> {
    let (address, prefix) = entry.network()?;
    let span = entry.last_span();
    let mut read = Address {
        address,
        prefix: prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 }),
        dev: None,
        label: None,
        scope: None,
        broadcast: None,
        noprefixroute: false,
        no_track: false,
        track_group: None,
        span,
    };
    while !entry.is_over() {
        match entry.one_of(WORDS)? {
            Word::Broadcast => read.broadcast = Some(broadcast(entry, address)?),
            Word::Dev => read.dev = Some(entry.interface()?),
            Word::Scope => read.scope = Some(scope(entry)?),
            Word::Label => read.label = Some(label(entry)?),
            Word::NoPrefixRoute => read.noprefixroute = true,
            Word::NoTrack => read.no_track = true,
            Word::TrackGroup => read.track_group = Some(entry.name("the name of a track_group")?),
            Word::Peer => {
                entry.unsupported("the address is installed without a peer");
                entry.network()?;
            }
            Word::PreferredLifetime => {
                entry.unsupported("a virtual address is preferred as long as it is here");
                if !entry.optional_word("forever") {
                    entry.number::<u32>(0..=i64::from(u32::MAX))?;
                }
            }
            Word::Nothing => {}
            Word::Unsupported => entry.unsupported("the address is installed without it"),
        }
    }
    Ok(read)
}

fn broadcast(entry: &mut Entry<'_>, address: IpAddr) -> Result<Broadcast, Diagnostic> {
    if entry.optional_word("+") {
        return Ok(Broadcast::Ones);
    }
    if entry.optional_word("-") {
        return Ok(Broadcast::Zeros);
    }
    let broadcast = entry.address()?;
    if address.is_ipv6() || broadcast.is_ipv6() {
        return Err(entry.wrong("IPv6 has no broadcast addresses"));
    }
    Ok(Broadcast::Address(broadcast))
}

/// The kernel keeps a label as the name of an interface (`IFNAMSIZ`).
fn label(entry: &mut Entry<'_>) -> Result<String, Diagnostic> {
    let label = entry.text("a label")?;
    if label.is_empty() || label.len() > 15 {
        return Err(entry.wrong(format!("label {label:?} is not 1 to 15 characters long")));
    }
    Ok(label)
}
