//! An nftables table that drops what comes in for addresses that are not accepted (`Accept_Mode` false, RFC 9568 §6.4.3).
//!
//! The table belongs to the socket (`NFT_TABLE_F_OWNER`, Linux 5.12): nobody else changes it, and the kernel removes it with
//! the process, however that ends.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLMSG_ERROR};
use netlink_sys::SocketAddr;

use super::attribute::{Messages, Writer};
use super::{Answer, BUFFER, receive_from_kernel};
use crate::error::Error;
use crate::sys;

/// `NETLINK_NETFILTER` of linux/netlink.h.
const NETLINK_NETFILTER: isize = 12;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END` of linux/netfilter/nfnetlink.h.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFNL_SUBSYS_NFTABLES`, in the high octet of a message's type.
const NFTABLES: u16 = 10;
/// Types of linux/netfilter/nf_tables.h.
const NEW_TABLE: u16 = NFTABLES << 8;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
const NEW_SET: u16 = NFTABLES << 8 | 9;
const NEW_ELEMENTS: u16 = NFTABLES << 8 | 12;
const DELETE_ELEMENTS: u16 = NFTABLES << 8 | 14;
/// `NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6` of linux/netfilter.h.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const NESTED: u16 = 0x8000;
/// `NFTA_LIST_ELEM`, `NFTA_DATA_VALUE`.
const LIST_ELEMENT: u16 = 1 | NESTED;
const DATA_VALUE: u16 = 1;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// `NLM_F_APPEND`: at the end of the chain.
const APPEND: u16 = 0x800;
/// Elements in one message: the length of an attribute is 16 bits.
const ELEMENTS: usize = 1000;

const CHAIN: &str = "input";

/// Drops what comes in for some addresses, but for IPv6 neighbour discovery.
#[derive(Debug)]
pub(crate) struct DropTable {
    /// Never cloned: the clone would close our descriptor, and the table would go with it.
    socket: netlink_sys::Socket,
    name: String,
    sequence: u32,
    buffer: Vec<u8>,
    /// By address, how many virtual routers have it.
    addresses: BTreeMap<IpAddr, usize>,
}

impl DropTable {
    /// Makes the table, without addresses yet.
    ///
    /// # Errors
    /// [`Error::Refused`] if the kernel has no nftables, or is older than 5.12; [`Error::MissingCapability`].
    pub(crate) fn open() -> Result<Self, Error> {
        let operation = "open an nftables socket, to drop packets for addresses that are not accepted";
        let opened = |error| Error::io(operation, error);
        let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER).map_err(opened)?;
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        socket.set_non_blocking(true).map_err(opened)?;
        let mut address = SocketAddr::new(0, 0);
        socket.bind(&address).map_err(opened)?;
        socket.get_address(&mut address).map_err(opened)?;
        // One for each driver of this namespace.
        let name = format!("vrrp-net-{}", address.port_number());
        let mut table = Self { socket, name, sequence: 0, buffer: vec![0; BUFFER], addresses: BTreeMap::new() };
        table.make().map_err(|error| {
            error.with_way_out(Some(
                "Accept_Mode false needs nftables of Linux 5.12 or later; or accept packets".to_owned(),
            ))
        })?;
        Ok(table)
    }

    /// Drops what comes in for these addresses too.
    pub(crate) fn add(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        let new: Vec<IpAddr> = addresses.iter().copied().filter(|it| !self.addresses.contains_key(it)).collect();
        self.change(NEW_ELEMENTS, NLM_F_CREATE, &new)?;
        for address in addresses {
            *self.addresses.entry(*address).or_default() += 1;
        }
        Ok(())
    }

    /// Lets pass what comes in for these addresses, unless somebody else wants it dropped.
    pub(crate) fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        let mut gone = Vec::new();
        for address in addresses {
            match self.addresses.get_mut(address) {
                Some(1) => {
                    self.addresses.remove(address);
                    gone.push(*address);
                }
                Some(count) => *count -= 1,
                None => {}
            }
        }
        self.change(DELETE_ELEMENTS, 0, &gone)
    }

    fn make(&mut self) -> Result<(), Error> {
        let name = self.name.clone();
        let mut batch = Batch::new(self.sequence);
        batch.push(NEW_TABLE, NLM_F_CREATE, |it| {
            it.text(1, &name);
            // NFT_TABLE_F_OWNER.
            it.attribute(2, &2_u32.to_be_bytes());
        });
        for (number, set, length) in [(1, "v4", 4), (2, "v6", 16)] {
            batch.push(NEW_SET, NLM_F_CREATE, |it| {
                it.text(1, &name);
                it.text(2, set);
                // What `nft list` shows the keys as: ipv4_addr, ipv6_addr.
                it.attribute(4, &(if length == 4 { 7_u32 } else { 8 }).to_be_bytes());
                it.attribute(5, &u32::to_be_bytes(length));
                it.attribute(10, &u32::to_be_bytes(number));
            });
        }
        batch.push(NEW_CHAIN, NLM_F_CREATE, |it| {
            it.text(1, &name);
            it.text(3, CHAIN);
            it.nested(4 | NESTED, |hook| {
                // NF_INET_LOCAL_IN, at the priority of filters.
                hook.attribute(1, &1_u32.to_be_bytes());
                hook.attribute(2, &0_u32.to_be_bytes());
            });
            // NF_ACCEPT.
            it.attribute(5, &1_u32.to_be_bytes());
            it.text(7, "filter");
        });
        batch.rule(&name, |it| {
            family_is(it, IPV4);
            // The destination in the IPv4 header.
            load_payload(it, NETWORK_HEADER, 16, 4);
            is_in_set(it, "v4");
            verdict(it, DROP);
        });
        batch.rule(&name, |it| {
            family_is(it, IPV6);
            load_meta(it, LAYER4_PROTOCOL);
            compare(it, EQUAL, &[58]);
            // The type of ICMPv6: router and neighbour solicitations and advertisements, redirects (RFC 4861).
            load_payload(it, TRANSPORT_HEADER, 0, 1);
            compare(it, AT_LEAST, &[133]);
            compare(it, AT_MOST, &[137]);
            verdict(it, ACCEPT);
        });
        batch.rule(&name, |it| {
            family_is(it, IPV6);
            load_payload(it, NETWORK_HEADER, 24, 16);
            is_in_set(it, "v6");
            verdict(it, DROP);
        });
        self.send(batch, || format!("make the nftables table {name}"))
    }

    fn change(&mut self, kind: u16, flags: u16, addresses: &[IpAddr]) -> Result<(), Error> {
        if addresses.is_empty() {
            return Ok(());
        }
        let name = self.name.clone();
        let mut batch = Batch::new(self.sequence);
        for (set, v4) in [("v4", true), ("v6", false)] {
            let of_family: Vec<&IpAddr> = addresses.iter().filter(|address| address.is_ipv4() == v4).collect();
            for chunk in of_family.chunks(ELEMENTS) {
                batch.push(kind, flags, |it| {
                    it.text(1, &name);
                    it.text(2, set);
                    it.nested(3 | NESTED, |elements| {
                        for address in chunk {
                            elements.nested(LIST_ELEMENT, |element| {
                                element.nested(1 | NESTED, |key| key.address(DATA_VALUE, **address));
                            });
                        }
                    });
                });
            }
        }
        let first = addresses.first().map(ToString::to_string).unwrap_or_default();
        self.send(batch, || format!("change what is dropped by the nftables table {name}, from {first} on"))
    }

    /// All of it or nothing.
    fn send(&mut self, mut batch: Batch, operation: impl Fn() -> String) -> Result<(), Error> {
        batch.frame(BATCH_END);
        self.sequence = batch.sequence;
        let failed = |error| Error::io(operation(), error);
        self.socket.send_to(&batch.bytes, &SocketAddr::new(0, 0), 0).map_err(failed)?;
        let mut result = Answer::Lost;
        loop {
            let length = match receive_from_kernel(&self.socket, &mut self.buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(sys::ENOBUFS) => continue,
                Err(error) => return Err(failed(error)),
            };
            for message in Messages(self.buffer.get(..length).unwrap_or_default()) {
                // Those of an earlier batch may have been left unread.
                let is_ours = message.sequence.wrapping_sub(batch.first) <= batch.sequence.wrapping_sub(batch.first);
                if message.kind == NLMSG_ERROR && is_ours && !matches!(result, Answer::Refused { .. }) {
                    result = Answer::parse(&message);
                }
            }
        }
        result.into_result(operation)
    }
}

/// Requests that are carried out together.
struct Batch {
    bytes: Vec<u8>,
    first: u32,
    sequence: u32,
}

impl Batch {
    fn new(sequence: u32) -> Self {
        let mut batch = Self { bytes: Vec::new(), first: sequence.wrapping_add(1), sequence };
        batch.frame(BATCH_BEGIN);
        batch
    }

    fn frame(&mut self, kind: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        // `struct nfgenmsg`: no family, version 0, the subsystem.
        let [high, low] = NFTABLES.to_be_bytes();
        Writer::begin(&mut self.bytes, kind, 0, self.sequence, &[0, 0, high, low]).finish();
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer<'_>)) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut writer = Writer::begin(&mut self.bytes, kind, flags | NLM_F_ACK, self.sequence, &[INET, 0, 0, 0]);
        fill(&mut writer);
        writer.finish();
    }

    fn rule(&mut self, table: &str, fill: impl FnOnce(&mut Writer<'_>)) {
        self.push(NEW_RULE, NLM_F_CREATE | APPEND, |it| {
            it.text(1, table);
            it.text(2, CHAIN);
            it.nested(4 | NESTED, fill);
        });
    }
}

/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `NFT_META_NFPROTO`, `NFT_META_L4PROTO`.
const FAMILY: u32 = 15;
const LAYER4_PROTOCOL: u32 = 16;
/// `NFT_CMP_EQ`, `NFT_CMP_LTE`, `NFT_CMP_GTE`.
const EQUAL: u32 = 0;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

fn expression(list: &mut Writer<'_>, name: &str, fill: impl FnOnce(&mut Writer<'_>)) {
    list.nested(LIST_ELEMENT, |element| {
        element.text(1, name);
        element.nested(2 | NESTED, fill);
    });
}

fn family_is(list: &mut Writer<'_>, family: u8) {
    load_meta(list, FAMILY);
    compare(list, EQUAL, &[family]);
}

fn load_meta(list: &mut Writer<'_>, key: u32) {
    expression(list, "meta", |it| {
        it.attribute(1, &REGISTER.to_be_bytes());
        it.attribute(2, &key.to_be_bytes());
    });
}

fn compare(list: &mut Writer<'_>, operator: u32, value: &[u8]) {
    expression(list, "cmp", |it| {
        it.attribute(1, &REGISTER.to_be_bytes());
        it.attribute(2, &operator.to_be_bytes());
        it.nested(3 | NESTED, |data| data.attribute(DATA_VALUE, value));
    });
}

fn load_payload(list: &mut Writer<'_>, header: u32, offset: u32, length: u32) {
    expression(list, "payload", |it| {
        it.attribute(1, &REGISTER.to_be_bytes());
        it.attribute(2, &header.to_be_bytes());
        it.attribute(3, &offset.to_be_bytes());
        it.attribute(4, &length.to_be_bytes());
    });
}

fn is_in_set(list: &mut Writer<'_>, set: &str) {
    expression(list, "lookup", |it| {
        it.text(1, set);
        it.attribute(2, &REGISTER.to_be_bytes());
    });
}

fn verdict(list: &mut Writer<'_>, verdict: u32) {
    expression(list, "immediate", |it| {
        // NFT_REG_VERDICT.
        it.attribute(1, &0_u32.to_be_bytes());
        // NFTA_DATA_VERDICT with its code.
        it.nested(2 | NESTED, |data| {
            data.nested(2 | NESTED, |code| code.attribute(1, &verdict.to_be_bytes()));
        });
    });
}
