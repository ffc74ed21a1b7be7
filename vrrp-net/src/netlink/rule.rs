//! Requests for rules of the routing policy.

use super::attribute::Writer;
use super::path::family_number;
use crate::Prefix;
use crate::config::{RuleAction, VirtualRule};
use crate::driver::PATH_MARK;

/// Append a request of this type for a rule.
pub(super) fn encode_rule(rule: &VirtualRule, kind: u16, flags: u16, sequence: u32, out: &mut Vec<u8>) {
    let (action, table) = match rule.action {
        RuleAction::Table(table) => (FR_ACT_TO_TBL, table),
        RuleAction::DomainTable => (FR_ACT_TO_TBL, 0),
        RuleAction::Goto(_) => (FR_ACT_GOTO, 0),
        RuleAction::Nothing => (FR_ACT_NOP, 0),
        RuleAction::Blackhole => (FR_ACT_BLACKHOLE, 0),
        RuleAction::Unreachable => (FR_ACT_UNREACHABLE, 0),
        RuleAction::Prohibit => (FR_ACT_PROHIBIT, 0),
    };
    let [low, ..] = table.to_le_bytes();
    // struct fib_rule_hdr
    let fixed = [
        family_number(rule.family),
        rule.to.map_or(0, Prefix::prefix_len),
        rule.from.map_or(0, Prefix::prefix_len),
        rule.type_of_service,
        if table > u32::from(u8::MAX) { 0 } else { low },
        0,
        0,
        action,
    ];
    let inverted = if rule.inverted { FIB_RULE_INVERT } else { 0 };
    let fixed = [&fixed[..], &inverted.to_ne_bytes()].concat();
    let mut writer = Writer::begin(out, kind, flags, sequence, &fixed);
    let prefixes = [(FRA_DST, rule.to), (FRA_SRC, rule.from)];
    for (attribute, prefix) in prefixes {
        if let Some(prefix) = prefix.filter(|prefix| prefix.prefix_len() > 0) {
            writer.address(attribute, prefix.address());
        }
    }
    for (attribute, name) in [(FRA_IIFNAME, &rule.incoming), (FRA_OIFNAME, &rule.outgoing)] {
        if let Some(name) = name {
            writer.text(attribute, name);
        }
    }
    let (mark, mask) = rule.mark.unzip();
    let goto = match rule.action {
        RuleAction::Goto(target) => Some(target),
        _ => None,
    };
    let numbers = [
        (FRA_GOTO, goto),
        (FRA_PRIORITY, Some(rule.priority)),
        (FRA_FWMARK, mark),
        (FRA_FWMASK, mask),
        (FRA_FLOW, rule.realms),
        (FRA_SUPPRESS_IFGROUP, rule.suppress_group),
        (FRA_SUPPRESS_PREFIXLEN, rule.suppress_prefix_length),
        (FRA_TABLE, Some(table).filter(|table| *table != 0)),
    ];
    for (attribute, number) in numbers {
        if let Some(number) = number {
            writer.attribute(attribute, &number.to_ne_bytes());
        }
    }
    if let Some(key) = rule.tunnel {
        writer.attribute(FRA_TUN_ID, &key.to_be_bytes());
    }
    if rule.action == RuleAction::DomainTable {
        writer.attribute(FRA_L3MDEV, &[1]);
    }
    if let Some((first, last)) = rule.users {
        writer.attribute(FRA_UID_RANGE, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
    }
    if let Some(number) = rule.ip_protocol {
        writer.attribute(FRA_IP_PROTO, &[number]);
    }
    for (attribute, ports) in [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)] {
        if let Some((first, last)) = ports {
            writer.attribute(attribute, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
        }
    }
    writer.attribute(FRA_PROTOCOL, &[rule.protocol.unwrap_or(PATH_MARK)]);
    writer.finish();
}

// linux/fib_rules.h
pub(super) const RTM_NEWRULE: u16 = 32;
pub(super) const RTM_DELRULE: u16 = 33;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;
const FIB_RULE_INVERT: u32 = 2;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
pub(super) const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
pub(super) const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use vrrp_core::Family;

    use crate::netlink::attribute::{Attributes, Messages};

    type Values = Vec<(u16, Vec<u8>)>;

    /// Fixed part and attributes of what is asked.
    fn asked(rule: &VirtualRule) -> (Vec<u8>, Values) {
        let mut bytes = Vec::new();
        encode_rule(rule, RTM_NEWRULE, 0, 1, &mut bytes);
        let message = Messages(&bytes).next().unwrap();
        let (fixed, rest) = message.payload.split_at(12);
        (fixed.to_vec(), Attributes(rest).map(|it| (it.kind, it.value.to_vec())).collect())
    }

    fn value(attributes: &Values, kind: u16) -> Option<&[u8]> {
        attributes.iter().find(|(it, _)| *it == kind).map(|(_, value)| value.as_slice())
    }

    #[test]
    fn a_rule_is_asked_for_with_its_mark_and_everything_said_of_it() {
        let rule = VirtualRule::new(Family::V4, 1000, RuleAction::Table(300))
            .from("192.0.2.100".parse().unwrap())
            .to("198.51.100.0/24".parse().unwrap())
            .inverted()
            .with_mark(1, 3)
            .with_incoming("eth0")
            .with_ip_protocol(6)
            .with_destination_ports(80..=443)
            .with_users(5..=6)
            .with_tunnel(9)
            .with_suppressed_prefix_length(0);
        let (fixed, attributes) = asked(&rule);
        assert_eq!(fixed, [2, 24, 32, 0, 0, 0, 0, 1, 2, 0, 0, 0]);
        for (kind, octets) in [
            (FRA_SRC, &[192, 0, 2, 100][..]),
            (FRA_DST, &[198, 51, 100, 0]),
            (FRA_IIFNAME, b"eth0\0"),
            (FRA_IP_PROTO, &[6]),
            (FRA_DPORT_RANGE, &[80, 0, 187, 1]),
            (FRA_UID_RANGE, &[5, 0, 0, 0, 6, 0, 0, 0]),
            (FRA_TUN_ID, &[0, 0, 0, 0, 0, 0, 0, 9]),
            (FRA_PROTOCOL, &[112]),
            (FRA_FWMARK, &[1, 0, 0, 0]),
            (FRA_FWMASK, &[3, 0, 0, 0]),
            (FRA_TABLE, &[44, 1, 0, 0]),
            (FRA_SUPPRESS_PREFIXLEN, &[0, 0, 0, 0]),
            (FRA_PRIORITY, &[232, 3, 0, 0]),
        ] {
            assert_eq!(value(&attributes, kind), Some(octets), "{kind}");
        }
        let goto = VirtualRule::new(Family::V6, 5, RuleAction::Goto(6)).with_protocol(18);
        let (fixed, attributes) = asked(&goto);
        assert_eq!((fixed[0], fixed[7]), (10, 2));
        assert_eq!(value(&attributes, FRA_GOTO), Some(&[6, 0, 0, 0][..]));
        assert_eq!((value(&attributes, FRA_PROTOCOL), value(&attributes, FRA_TABLE)), (Some(&[18][..]), None));
    }
}
