//! Netlink messages and attributes as the kernel sends them, read one by one.
//!
//! Reading is by hand and total: an attribute that is unknown, short or malformed is passed over, and the rest of the
//! message still counts. (Requests are built with netlink-packet-route, whose parser refuses the whole message.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Header octets of a message (`struct nlmsghdr`).
const MESSAGE_HEADER: usize = 16;
/// Header octets of an attribute (`struct nlattr`).
const ATTRIBUTE_HEADER: usize = 4;
/// The type without its two flag bits, nested and byte order.
const TYPE_MASK: u16 = 0x3fff;

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// The messages of a datagram, up to the first whose length does not fit.
#[derive(Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            payload: self.0.get(MESSAGE_HEADER..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// One attribute: its type without flag bits, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(crate) fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    pub(crate) fn u32(&self) -> Option<u32> {
        u32_at(self.value, 0)
    }

    /// A text up to its NUL; octets that are not UTF-8 (interface names may have them) are replaced.
    pub(crate) fn text(&self) -> String {
        let text = self.value.split(|octet| *octet == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// An address of 4 or 16 octets.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.value.len() {
            4 => <[u8; 4]>::try_from(self.value).ok().map(|octets| Ipv4Addr::from(octets).into()),
            16 => <[u8; 16]>::try_from(self.value).ok().map(|octets| Ipv6Addr::from(octets).into()),
            _ => None,
        }
    }

    /// An Ethernet address; `None` for the longer ones of other link types.
    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        self.value.try_into().ok()
    }

    /// The attributes inside this one.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

/// A run of attributes, up to the first whose length does not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(u16_at(self.0, 0)?);
        let attribute =
            Attribute { kind: u16_at(self.0, 2)? & TYPE_MASK, value: self.0.get(ATTRIBUTE_HEADER..length)? };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    }
}

/// The number at this octet, in the host's order as netlink has it.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The number at this octet, in the host's order as netlink has it.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u16, kind: u16) -> Vec<u8> {
        [length.to_ne_bytes(), kind.to_ne_bytes()].concat()
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + ATTRIBUTE_HEADER).unwrap();
        let mut bytes = header(length, kind);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_attribute_that_is_cut_off_does_not_lose_those_before_it() {
        let mut bytes = [attribute(3, b"eth0\0"), attribute(999, &[1, 2, 3])].concat();
        bytes.extend_from_slice(&header(200, 4));
        bytes.push(1);
        let read: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].text(), "eth0");
        assert_eq!((read[1].kind, read[1].value), (999, &[1, 2, 3][..]));
    }

    #[test]
    fn lengths_below_the_header_end_the_run() {
        assert_eq!(Attributes(&header(0, 1)).next(), None);
        assert_eq!(Attributes(&header(3, 1)).next(), None);
        assert_eq!(Attributes(&header(4, 1)).next(), Some(Attribute { kind: 1, value: &[] }));
        assert!(Messages(&[0; 16]).next().is_none());
        assert!(Messages(&[0xff; 64]).next().is_none());
        assert!(Messages(&[]).next().is_none());
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let bytes = attribute(11, &[18]);
        let read: Vec<_> = Attributes(&bytes[..5]).collect();
        assert_eq!(read.first().and_then(Attribute::u8), Some(18));
    }

    #[test]
    fn the_flag_bits_of_a_type_are_taken_off() {
        let bytes = attribute(0x8000 | 18, &attribute(1, b"veth\0"));
        let outer = Attributes(&bytes).next().unwrap();
        assert_eq!(outer.kind, 18);
        assert_eq!(outer.nested().next().unwrap().text(), "veth");
    }
}
