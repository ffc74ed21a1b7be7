//! Rules: `static_rules` and `virtual_rules`, in the words of `ip rule`.

use std::net::IpAddr;

use serde::Serialize;

use super::route::{Table, octet, table};
use super::value::Name;
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::{Entry, network};

/// A rule: which packets are looked up in which table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// It is for IPv6; of its addresses, or by `inet6`.
    pub is_v6: bool,
    /// All packets but these.
    pub not: bool,
    /// From where.
    pub from: Option<(IpAddr, u8)>,
    /// To where.
    pub to: Option<(IpAddr, u8)>,
    /// That came in by this interface.
    pub iif: Option<Name>,
    /// That go out by this interface.
    pub oif: Option<Name>,
    /// With this mark, under a mask.
    pub fwmark: Option<(u32, u32)>,
    /// With this type of service.
    pub tos: Option<u8>,
    /// Its place among the others; lowest first.
    pub preference: Option<u32>,
    /// What becomes of them.
    pub action: RuleAction,
    /// It may vanish without anybody caring.
    pub no_track: bool,
    /// Who cares if it vanishes: a `track_group`.
    pub track_group: Option<Name>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// What a rule does with packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// They are looked up in a table.
    Table(Table),
    /// The rule with this preference is next.
    Goto(u32),
    /// The next rule is next.
    Nop,
    /// They vanish.
    Blackhole,
    /// The sender is told that they cannot be delivered.
    Unreachable,
    /// The sender is told that they may not be.
    Prohibit,
}

#[derive(Clone, Copy)]
enum Word {
    From,
    To,
    Table,
    InputInterface,
    OutputInterface,
    Mark,
    Tos,
    Preference,
    Goto,
    Nop,
    Blackhole,
    Unreachable,
    Prohibit,
    Not,
    NoTrack,
    TrackGroup,
    Family(bool),
    Flag,
    Value,
}

const WORDS: &[(&str, Word)] = &[
    ("from", Word::From),
    ("to", Word::To),
    ("table", Word::Table),
    ("lookup", Word::Table),
    ("dev", Word::InputInterface),
    ("iif", Word::InputInterface),
    ("oif", Word::OutputInterface),
    ("fwmark", Word::Mark),
    ("tos", Word::Tos),
    ("dsfield", Word::Tos),
    ("preference", Word::Preference),
    ("pref", Word::Preference),
    ("order", Word::Preference),
    ("priority", Word::Preference),
    ("goto", Word::Goto),
    ("nop", Word::Nop),
    ("blackhole", Word::Blackhole),
    ("unreachable", Word::Unreachable),
    ("prohibit", Word::Prohibit),
    ("not", Word::Not),
    ("no_track", Word::NoTrack),
    ("track_group", Word::TrackGroup),
    ("inet6", Word::Family(true)),
    ("inet", Word::Family(false)),
    ("l3mdev", Word::Flag),
    ("realms", Word::Value),
    ("realm", Word::Value),
    ("uidrange", Word::Value),
    ("protocol", Word::Value),
    ("ip_proto", Word::Value),
    ("ipproto", Word::Value),
    ("sport", Word::Value),
    ("dport", Word::Value),
    ("suppress_prefixlength", Word::Value),
    ("suppress_prefixlen", Word::Value),
    ("sup_pl", Word::Value),
    ("suppress_ifgroup", Word::Value),
    ("sup_group", Word::Value),
    ("tun_id", Word::Value),
];

const UNSUPPORTED: &str = "a rule without it would be about other packets: it is not installed";

/// A line of a list of rules. `None`: it depends on what is not supported.
pub(super) fn rule(entry: &mut Entry<'_>) -> Result<Option<Rule>, Diagnostic> {
    let span = entry.peek().map_or_else(|| entry.span(), |word| word.span);
    let (mut family, mut action, mut whole) = (None, None, true);
    let mut read = Rule {
        is_v6: false,
        not: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        tos: None,
        preference: None,
        action: RuleAction::Nop,
        no_track: false,
        track_group: None,
        span,
    };
    while !entry.is_over() {
        match entry.one_of(WORDS)? {
            Word::From => read.from = prefix(entry)?,
            Word::To => read.to = prefix(entry)?,
            Word::Table => action = Some(RuleAction::Table(table(entry)?)),
            Word::InputInterface => read.iif = Some(entry.interface()?),
            Word::OutputInterface => read.oif = Some(entry.interface()?),
            Word::Mark => read.fwmark = Some(mark(entry)?),
            Word::Tos => read.tos = Some(octet(entry)?),
            Word::Preference => read.preference = Some(entry.number(0..=i64::from(u32::MAX))?),
            Word::Goto => action = Some(RuleAction::Goto(entry.number(1..=i64::from(u32::MAX))?)),
            Word::Nop => action = Some(RuleAction::Nop),
            Word::Blackhole => action = Some(RuleAction::Blackhole),
            Word::Unreachable => action = Some(RuleAction::Unreachable),
            Word::Prohibit => action = Some(RuleAction::Prohibit),
            Word::Not => read.not = true,
            Word::NoTrack => read.no_track = true,
            Word::TrackGroup => read.track_group = Some(entry.name("the name of a track_group")?),
            Word::Family(v6) => family = Some(v6),
            Word::Flag => {
                entry.unsupported(UNSUPPORTED);
                whole = false;
            }
            Word::Value => {
                entry.unsupported(UNSUPPORTED);
                entry.word("a value")?;
                whole = false;
            }
        }
    }
    let families = [read.from, read.to].map(|prefix| prefix.map(|(address, _)| address.is_ipv6()));
    if let [Some(from), Some(to)] = families
        && from != to
    {
        return Err(Diagnostic::error(span, "a rule from one family of addresses to the other matches nothing"));
    }
    read.is_v6 = family.or(families.into_iter().flatten().next()).unwrap_or(false);
    if !whole {
        return Ok(None);
    }
    let missing = "this rule says nothing about the packets: table, goto, nop, blackhole, unreachable or prohibit";
    read.action = action.ok_or_else(|| Diagnostic::error(span, missing))?;
    Ok(Some(read))
}

fn prefix(entry: &mut Entry<'_>) -> Result<Option<(IpAddr, u8)>, Diagnostic> {
    let word = entry.word("an address with its prefix")?;
    if matches!(word.text.as_str(), "all" | "any" | "default") {
        return Ok(None);
    }
    let (address, prefix) = network(word)?;
    Ok(Some((address, prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 }))))
}

fn mark(entry: &mut Entry<'_>) -> Result<(u32, u32), Diagnostic> {
    let word = entry.word("a mark")?;
    let (value, mask) = word.text.split_once('/').unwrap_or((&word.text, "0xffffffff"));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    };
    let (value, mask) = (number(value), number(mask));
    value
        .and_then(|value| Ok((value, mask?)))
        .map_err(|_| entry.wrong(format!("{:?} is no mark, as 24 or 0x18/0xff", word.text)))
}
