//! The settings of IPv4 and IPv6 on one interface, as netlink has them: all can be read, those of IPv4 be set.
//!
//! Unlike `/proc/sys` this works in containers that have it read-only, and in the namespace of the socket, whichever
//! thread it is used by.

use netlink_packet_core::NLM_F_ACK;
use vrrp_core::IfIndex;

use super::Netlink;
use super::attribute::{Attributes, Message, Writer, u32_at};
use super::link::{RTM_NEWLINK, fixed};
use crate::error::Error;

/// Every setting of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct InterfaceSettings {
    v4: Vec<i32>,
    v6: Vec<i32>,
}

impl InterfaceSettings {
    /// The IPv4 setting with this number in linux/ip.h, counted from 1; `None` if the kernel does not have it.
    pub(crate) fn v4(&self, number: u16) -> Option<i32> {
        self.v4.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The IPv6 setting with this number in linux/ipv6.h, counted from 0.
    pub(crate) fn v6(&self, number: u16) -> Option<i32> {
        self.v6.get(usize::from(number)).copied()
    }

    fn parse(message: &Message<'_>) -> Option<Self> {
        if message.kind != RTM_NEWLINK {
            return None;
        }
        let mut settings = Self::default();
        let spec = Attributes(message.payload.get(16..)?).find(|attribute| attribute.kind == IFLA_AF_SPEC);
        for family in spec.into_iter().flat_map(|spec| spec.nested()) {
            for attribute in family.nested() {
                match (family.kind, attribute.kind) {
                    (AF_INET, IFLA_INET_CONF) => settings.v4 = numbers(attribute.value),
                    (AF_INET6, IFLA_INET6_CONF) => settings.v6 = numbers(attribute.value),
                    _ => {}
                }
            }
        }
        Some(settings)
    }
}

impl Netlink {
    /// Every setting of an interface.
    pub(crate) fn interface_settings(&mut self, interface: IfIndex) -> Result<InterfaceSettings, Error> {
        let ask = |sequence, out: &mut Vec<u8>| {
            Writer::begin(out, RTM_GETLINK, 0, sequence, &fixed(Some(interface))).finish();
        };
        match self.look_up(ask, InterfaceSettings::parse)? {
            Ok(settings) => Ok(settings),
            Err(answer) => {
                self.link(interface)?;
                answer
                    .into_result(|| format!("read the settings of interface {interface}"))
                    .map(|()| Default::default())
            }
        }
    }

    /// Set one setting of IPv4, with its number in linux/ip.h. `name` is what it is called.
    pub(crate) fn set_v4_setting(
        &mut self,
        interface: IfIndex,
        number: u16,
        value: i32,
        name: &str,
    ) -> Result<(), Error> {
        let answer = self.ask_written(|sequence, out| {
            let mut writer = Writer::begin(out, RTM_NEWLINK, NLM_F_ACK, sequence, &fixed(Some(interface)));
            writer.nested(IFLA_AF_SPEC, |writer| {
                writer.nested(AF_INET, |writer| {
                    writer.nested(IFLA_INET_CONF, |writer| writer.attribute(number, &value.to_ne_bytes()));
                });
            });
            writer.finish();
        })?;
        answer.into_result(|| format!("set {name} of interface {interface} to {value}"))
    }
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).filter_map(|chunk| u32_at(chunk, 0)).map(u32::cast_signed).collect()
}

// linux/socket.h, linux/rtnetlink.h, linux/if_link.h
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const RTM_GETLINK: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_CONF: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_among_other_attributes_and_cut_messages_do_not_panic() {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, RTM_NEWLINK, 0, 1, &fixed(None));
        writer.text(3, "eth0");
        writer.nested(IFLA_AF_SPEC, |writer| {
            writer.nested(99, |writer| writer.attribute(1, &[1, 2, 3]));
            writer.nested(AF_INET, |writer| writer.attribute(IFLA_INET_CONF, &[[7, 0, 0, 0], [8, 0, 0, 0]].concat()));
            writer.nested(AF_INET6, |writer| writer.attribute(IFLA_INET6_CONF, &[[9, 0, 0, 0], [0xff; 4]].concat()));
        });
        writer.finish();
        let read = |end: usize| {
            let payload = bytes.get(16..end).unwrap();
            InterfaceSettings::parse(&Message { kind: RTM_NEWLINK, flags: 0, sequence: 1, payload })
        };
        if cfg!(target_endian = "little") {
            let settings = read(bytes.len()).unwrap();
            assert_eq!(
                (settings.v4(1), settings.v4(2), settings.v4(3), settings.v4(0)),
                (Some(7), Some(8), None, None)
            );
            assert_eq!((settings.v6(0), settings.v6(1), settings.v6(2)), (Some(9), Some(-1), None));
        }
        for end in 16..bytes.len() {
            let _ = read(end);
        }
    }
}
