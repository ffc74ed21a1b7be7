//! Netlink messages and attributes as the kernel sends them, read one by one.
//!
//! Reading is by hand and total: an attribute that is unknown, short or malformed is passed over, and the rest of the
//! message still counts. (The parser of netlink-packet-route refuses the whole message.) Requests of which there are
//! thousands, or that netlink-packet-route does not have, are written by hand too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NLM_F_REQUEST;

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

/// A request that is being written at the end of a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Begin a request of this type with its fixed part, such as `struct ifaddrmsg`. Its flags are `flags` and
    /// `NLM_F_REQUEST`.
    pub(crate) fn begin(out: &'a mut Vec<u8>, kind: u16, flags: u16, sequence: u32, fixed: &[u8]) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(fixed);
        let mut writer = Self { out, start };
        writer.pad();
        writer
    }

    /// Append attributes to what is no request by itself, such as one way of a route.
    pub(crate) fn append(out: &'a mut Vec<u8>) -> Self {
        Self { out, start: 0 }
    }

    /// Append an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&length.to_ne_bytes());
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend_from_slice(value);
        self.pad();
    }

    /// Append a text with its NUL.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// Append an IP address.
    pub(crate) fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    /// Append an attribute that holds those which `fill` appends.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.attribute(kind, &[]);
        fill(self);
        let length = u16::try_from(self.out.len().saturating_sub(at)).unwrap_or(u16::MAX);
        if let Some(field) = self.out.get_mut(at..at + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// Write down how long the request has become.
    pub(crate) fn finish(self) {
        let length = u32::try_from(self.out.len().saturating_sub(self.start)).unwrap_or(u32::MAX);
        if let Some(field) = self.out.get_mut(self.start..self.start + 4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn pad(&mut self) {
        self.out.resize(self.start + (self.out.len() - self.start).next_multiple_of(4), 0);
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
    fn what_is_written_can_be_read() {
        let mut bytes = vec![0xff; 8];
        let mut writer = Writer::begin(&mut bytes, 20, 4, 7, &[2; 8]);
        writer.attribute(8, &5_u32.to_ne_bytes());
        writer.nested(26, |writer| writer.text(3, "eth0"));
        writer.address(1, "192.0.2.1".parse().unwrap());
        writer.finish();
        let message = Messages(&bytes[8..]).next().unwrap();
        assert_eq!((message.kind, message.flags, message.sequence), (20, 5, 7));
        let read: Vec<_> = Attributes(&message.payload[8..]).collect();
        assert_eq!(read[0].u32(), Some(5));
        assert_eq!(read[1].nested().next().map(|inner| inner.text()).as_deref(), Some("eth0"));
        assert_eq!((read[2].address(), read.len()), (Some("192.0.2.1".parse().unwrap()), 3));
    }

    #[test]
    fn the_flag_bits_of_a_type_are_taken_off() {
        let bytes = attribute(0x8000 | 18, &attribute(1, b"veth\0"));
        let outer = Attributes(&bytes).next().unwrap();
        assert_eq!(outer.kind, 18);
        assert_eq!(outer.nested().next().unwrap().text(), "veth");
    }
}
