//! A rule that comes and goes with a role, or stays.

use std::fmt;
use std::ops::RangeInclusive;

use vrrp_core::Family;

use super::prefix::Prefix;
use super::route::is_interface_name;

/// A rule of the routing policy, which says by what table packets are routed (ip-rule(8)). It is on the host while a
/// virtual router is Active ([`RouterConfig::with_rule`]), or always ([`Statics::with_rule`]).
///
/// ```
/// use vrrp_net::{RuleAction, VirtualRule};
/// use vrrp_net::vrrp_core::Family;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rule = VirtualRule::new(Family::V4, 1000, RuleAction::Table(100)).from("192.0.2.100".parse()?);
/// rule.check()?;
/// # Ok(())
/// # }
/// ```
///
/// It carries a mark ([`PATH_MARK`](crate::PATH_MARK)) by which a successor knows it, unless it has another
/// [protocol](Self::with_protocol).
///
/// [`RouterConfig::with_rule`]: crate::RouterConfig::with_rule
/// [`Statics::with_rule`]: crate::Statics::with_rule
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRule {
    pub(crate) family: Family,
    pub(crate) priority: u32,
    pub(crate) action: RuleAction,
    pub(crate) inverted: bool,
    pub(crate) from: Option<Prefix>,
    pub(crate) to: Option<Prefix>,
    pub(crate) mark: Option<(u32, u32)>,
    pub(crate) incoming: Option<String>,
    pub(crate) outgoing: Option<String>,
    pub(crate) type_of_service: u8,
    pub(crate) ip_protocol: Option<u8>,
    pub(crate) source_ports: Option<(u16, u16)>,
    pub(crate) destination_ports: Option<(u16, u16)>,
    pub(crate) users: Option<(u32, u32)>,
    pub(crate) tunnel: Option<u64>,
    pub(crate) suppress_prefix_length: Option<u32>,
    pub(crate) suppress_group: Option<u32>,
    pub(crate) realms: Option<u32>,
    pub(crate) protocol: Option<u8>,
    pub(crate) tracked: bool,
}

/// What a rule does with the packets that it is for (`FR_ACT_*`, linux/fib_rules.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleAction {
    /// They are routed by this table, from 1 on; if it has no route for them, by what follows.
    Table(u32),
    /// They are routed by the table of their virtual routing domain (`l3mdev`).
    DomainTable,
    /// The look-up goes on at the rule of this priority, a higher one.
    Goto(u32),
    /// The look-up goes on.
    Nothing,
    /// They are dropped in silence.
    Blackhole,
    /// They are dropped, and their sender hears that the destination is unreachable.
    Unreachable,
    /// They are dropped, and their sender hears that this is prohibited.
    Prohibit,
}

/// What no rule can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {problem}")]
pub struct RuleError {
    /// The rule.
    pub rule: String,
    /// What is wrong with it, with the value and what would be right.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// An address of the other family.
    #[error("{0} is of the other family than the rule")]
    Family(Prefix),
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
    /// It goes back, and so in a circle.
    #[error("goto {target} does not lead on from {priority}: a higher number does")]
    Goto {
        /// Where to.
        target: u32,
        /// Where from.
        priority: u32,
    },
    /// No packet has such a mark.
    #[error("mark {mark:#x} has bits outside its mask {mask:#x}: no packet matches")]
    Mark {
        /// The mark.
        mark: u32,
        /// The mask.
        mask: u32,
    },
    /// The first is more than the last.
    #[error("the {what} {first}-{last} are none: the first is more than the last")]
    Range {
        /// What they are.
        what: &'static str,
        /// The first.
        first: u32,
        /// The last.
        last: u32,
    },
    /// It is for all packets, inverted.
    #[error("no packet matches: it is inverted, and nothing says what for")]
    Nothing,
    /// It suppresses routes of no table.
    #[error("suppressing routes needs a table: {0} has none")]
    Suppress(RuleAction),
    /// IPv4 alone has realms.
    #[error("a realm is for V4 only")]
    Realm,
    /// A name that no interface can have.
    #[error("{0:?} is no interface's name: 1 to 15 octets without white space, `/` and `:`")]
    Interface(String),
    /// It is there twice.
    #[error("it is given twice")]
    Twice,
}

impl VirtualRule {
    /// A rule for all packets of `family`, at this place among the others: the lowest `priority` comes first. The kernel's own
    /// are 0 (`local`), 32766 (`main`) and 32767 (`default`).
    pub const fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Self {
            family,
            priority,
            action,
            inverted: false,
            from: None,
            to: None,
            mark: None,
            incoming: None,
            outgoing: None,
            type_of_service: 0,
            ip_protocol: None,
            source_ports: None,
            destination_ports: None,
            users: None,
            tunnel: None,
            suppress_prefix_length: None,
            suppress_group: None,
            realms: None,
            protocol: None,
            tracked: true,
        }
    }

    /// For packets from these sources.
    pub fn from(self, source: Prefix) -> Self {
        Self { from: Some(source), ..self }
    }

    /// For packets to these destinations.
    pub fn to(self, destination: Prefix) -> Self {
        Self { to: Some(destination), ..self }
    }

    /// For all packets but those that it would be for (`not`).
    pub fn inverted(self) -> Self {
        Self { inverted: true, ..self }
    }

    /// For packets that have this mark in these bits (`fwmark MARK/MASK`); all bits: `u32::MAX`.
    pub fn with_mark(self, mark: u32, mask: u32) -> Self {
        Self { mark: Some((mark, mask)), ..self }
    }

    /// For packets that came in by this interface (`iif`); `lo`: those of this host. It need not exist.
    pub fn with_incoming(self, interface: impl Into<String>) -> Self {
        Self { incoming: Some(interface.into()), ..self }
    }

    /// For packets of sockets that are bound to this interface (`oif`). It need not exist.
    pub fn with_outgoing(self, interface: impl Into<String>) -> Self {
        Self { outgoing: Some(interface.into()), ..self }
    }

    /// For packets of this type of service; 0: of any.
    pub fn with_type_of_service(self, type_of_service: u8) -> Self {
        Self { type_of_service, ..self }
    }

    /// For packets of this IP protocol (`ipproto`); 6 is TCP.
    pub fn with_ip_protocol(self, ip_protocol: u8) -> Self {
        Self { ip_protocol: Some(ip_protocol), ..self }
    }

    /// For packets from these ports (`sport`).
    pub fn with_source_ports(self, ports: RangeInclusive<u16>) -> Self {
        Self { source_ports: Some(ports.into_inner()), ..self }
    }

    /// For packets to these ports (`dport`).
    pub fn with_destination_ports(self, ports: RangeInclusive<u16>) -> Self {
        Self { destination_ports: Some(ports.into_inner()), ..self }
    }

    /// For packets of these users' sockets (`uidrange`).
    pub fn with_users(self, users: RangeInclusive<u32>) -> Self {
        Self { users: Some(users.into_inner()), ..self }
    }

    /// For packets that came out of the tunnel with this key (`tun_id`).
    pub fn with_tunnel(self, key: u64) -> Self {
        Self { tunnel: Some(key), ..self }
    }

    /// Routes of this prefix length or shorter do not count: with 0 default routes (`suppress_prefixlength`).
    pub fn with_suppressed_prefix_length(self, length: u32) -> Self {
        Self { suppress_prefix_length: Some(length), ..self }
    }

    /// Routes over interfaces of this group do not count (`suppress_ifgroup`).
    pub fn with_suppressed_group(self, group: u32) -> Self {
        Self { suppress_group: Some(group), ..self }
    }

    /// With these realms (`FRA_FLOW`), IPv4 only: the source's in the upper 16 bits, the destination's in the lower.
    pub fn with_realms(self, realms: u32) -> Self {
        Self { realms: Some(realms), ..self }
    }

    /// As set by this program (`RTPROT_*`), instead of the [mark](crate::PATH_MARK). What carries another number is removed as
    /// any other, but is not known as this crate's after a crash.
    pub fn with_protocol(self, protocol: u8) -> Self {
        Self { protocol: Some(protocol), ..self }
    }

    /// If another program removes it, it is not put back before the next promotion (`no_track` of keepalived).
    pub fn untracked(self) -> Self {
        Self { tracked: false, ..self }
    }

    /// Its place among the others.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// The family of the packets that it is for.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether it is one that the kernel can have.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RuleError> {
        self.problem().map_or(Ok(()), |problem| Err(self.error(problem)))
    }

    pub(crate) fn error(&self, problem: RuleProblem) -> RuleError {
        RuleError { rule: self.to_string(), problem }
    }

    fn problem(&self) -> Option<RuleProblem> {
        let number = |what, value, right| Some(RuleProblem::Number { what, value, right });
        let foreign = |prefix: &Prefix| prefix.family() != self.family;
        if let Some(prefix) = [self.from, self.to].into_iter().flatten().find(foreign) {
            return Some(RuleProblem::Family(prefix));
        }
        match self.action {
            RuleAction::Table(0) => return number("table", 0, "1 or more"),
            RuleAction::Goto(target) if target <= self.priority => {
                return Some(RuleProblem::Goto { target, priority: self.priority });
            }
            RuleAction::Table(_)
            | RuleAction::DomainTable
            | RuleAction::Goto(_)
            | RuleAction::Nothing
            | RuleAction::Blackhole
            | RuleAction::Unreachable
            | RuleAction::Prohibit => {}
        }
        if self.protocol == Some(0) {
            return number("protocol", 0, "1..=255");
        }
        if self.type_of_service & 3 != 0 {
            // The kernel keeps these two bits for congestion notification (RFC 3168 §5).
            return number("type of service", self.type_of_service.into(), "a multiple of 4");
        }
        if let Some((mark, mask)) = self.mark.filter(|(mark, mask)| mark & !mask != 0) {
            return Some(RuleProblem::Mark { mark, mask });
        }
        let ports = [("source ports", self.source_ports), ("destination ports", self.destination_ports)];
        for (what, ports) in ports {
            match ports {
                Some((0, _)) => return number(what, 0, "1..=65535"),
                Some((first, last)) if first > last => {
                    return Some(RuleProblem::Range { what, first: first.into(), last: last.into() });
                }
                Some(_) | None => {}
            }
        }
        if let Some((first, last)) = self.users.filter(|(first, last)| first > last) {
            return Some(RuleProblem::Range { what: "users", first, last });
        }
        let suppresses = self.suppress_prefix_length.is_some() || self.suppress_group.is_some();
        if suppresses && !matches!(self.action, RuleAction::Table(_) | RuleAction::DomainTable) {
            return Some(RuleProblem::Suppress(self.action));
        }
        let most = match self.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        if let Some(length) = self.suppress_prefix_length.filter(|length| *length > most) {
            return number("suppressed prefix length", length, "0..=32, for IPv6 0..=128");
        }
        if self.realms.is_some() && self.family == Family::V6 {
            return Some(RuleProblem::Realm);
        }
        let names = [&self.incoming, &self.outgoing];
        if let Some(name) = names.into_iter().flatten().find(|name| !is_interface_name(name)) {
            return Some(RuleProblem::Interface(name.clone()));
        }
        (self.inverted && self.is_for_all()).then_some(RuleProblem::Nothing)
    }

    fn is_for_all(&self) -> bool {
        let prefix = |prefix: Option<Prefix>| prefix.is_none_or(|prefix| prefix.prefix_len() == 0);
        let names = self.incoming.is_none() && self.outgoing.is_none();
        let ports = self.source_ports.is_none() && self.destination_ports.is_none();
        let packet = self.type_of_service == 0 && self.ip_protocol.is_none() && ports && self.tunnel.is_none();
        let mark = self.mark.is_none_or(|(_, mask)| mask == 0);
        let domain = self.action != RuleAction::DomainTable;
        prefix(self.from) && prefix(self.to) && names && packet && mark && self.users.is_none() && domain
    }
}

/// As ip-rule(8) writes it.
impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => write!(f, "table {table}"),
            Self::DomainTable => f.write_str("l3mdev"),
            Self::Goto(target) => write!(f, "goto {target}"),
            Self::Nothing => f.write_str("nop"),
            Self::Blackhole => f.write_str("blackhole"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Prohibit => f.write_str("prohibit"),
        }
    }
}

/// As ip-rule(8) writes it, as far as it tells one from another.
impl fmt::Display for VirtualRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} from ", self.priority, if self.inverted { " not" } else { "" })?;
        match self.from {
            Some(from) => from.fmt(f)?,
            None => f.write_str("all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        for (word, name) in [("iif", &self.incoming), ("oif", &self.outgoing)] {
            name.as_ref().map_or(Ok(()), |name| write!(f, " {word} {name}"))?;
        }
        if self.type_of_service != 0 {
            write!(f, " tos {:#04x}", self.type_of_service)?;
        }
        if let Some(number) = self.ip_protocol {
            write!(f, " ipproto {number}")?;
        }
        for (word, ports) in [("sport", self.source_ports), ("dport", self.destination_ports)] {
            ports.map_or(Ok(()), |(first, last)| write!(f, " {word} {first}-{last}"))?;
        }
        if let Some((first, last)) = self.users {
            write!(f, " uidrange {first}-{last}")?;
        }
        write!(f, " {}", self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> VirtualRule {
        VirtualRule::new(Family::V4, 1000, RuleAction::Table(100))
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn what_the_kernel_can_have_passes() {
        for rule in [
            rule(),
            rule().from(prefix("192.0.2.0/24")).to(prefix("198.51.100.0/24")).inverted(),
            rule().with_mark(0x20, 0xf0).with_incoming("eth0").with_outgoing("eth1"),
            rule().with_ip_protocol(17).with_source_ports(10..=20).with_destination_ports(53..=53),
            rule().with_users(0..=u32::MAX).with_tunnel(7).with_suppressed_prefix_length(0).with_suppressed_group(1),
            VirtualRule::new(Family::V6, 5, RuleAction::Goto(6)).from(prefix("2001:db8::/32")),
            VirtualRule::new(Family::V6, 0, RuleAction::DomainTable),
        ] {
            assert_eq!(rule.check(), Ok(()), "{rule}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_value_and_what_would_be_right() {
        let goto = |target| VirtualRule::new(Family::V4, 1000, RuleAction::Goto(target));
        let blackhole = VirtualRule::new(Family::V4, 1000, RuleAction::Blackhole);
        let six = VirtualRule::new(Family::V6, 1000, RuleAction::Table(1));
        // Made where it is not written down as such a range.
        let backwards = |first, last| RangeInclusive::new(first, last);
        for (rule, words) in [
            (rule().from(prefix("2001:db8::/32")), "2001:db8::/32 is of the other family"),
            (VirtualRule::new(Family::V4, 1000, RuleAction::Table(0)), "table 0 is not 1 or more"),
            (goto(1000), "goto 1000 does not lead on from 1000"),
            (rule().with_mark(0x21, 0xf0), "mark 0x21 has bits outside its mask 0xf0"),
            (rule().with_source_ports(0..=5), "source ports 0 is not 1..=65535"),
            (rule().with_destination_ports(backwards(6, 5)), "the destination ports 6-5 are none"),
            (rule().with_users(RangeInclusive::new(6, 5)), "the users 6-5 are none"),
            (rule().with_type_of_service(1), "type of service 1 is not a multiple of 4"),
            (rule().with_protocol(0), "protocol 0 is not 1..=255"),
            (rule().with_suppressed_prefix_length(33), "suppressed prefix length 33"),
            (blackhole.with_suppressed_group(1), "suppressing routes needs a table: blackhole has none"),
            (rule().inverted().from(Prefix::DEFAULT_V4), "no packet matches: it is inverted"),
            (rule().with_incoming("a/b"), "\"a/b\" is no interface's name"),
            (six.with_realms(1), "a realm is for V4 only"),
        ] {
            let error = rule.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn it_is_written_as_ip_rule_does() {
        assert_eq!(rule().to_string(), "1000: from all table 100");
        let rule = rule().from(prefix("192.0.2.100")).with_mark(1, 3).with_incoming("lo").inverted();
        assert_eq!(rule.to_string(), "1000: not from 192.0.2.100/32 fwmark 0x1/0x3 iif lo table 100");
    }
}
