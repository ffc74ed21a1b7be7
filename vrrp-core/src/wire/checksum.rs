//! The Internet checksum (RFC 1071), and the two readings of what it covers in VRRPv3 over IPv4.

use core::net::IpAddr;

/// What the checksum of a VRRPv3 message over IPv4 covers: the two forms in use exclude each other.
///
/// VRRPv2 has no pseudo-header (RFC 3768 §5.3.8) and VRRPv3 over IPv6 always has one (RFC 9568 §5.2.8): neither
/// has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ChecksumForm {
    /// The VRRP message alone: RFC 9568 §5.2.8; Cisco, Juniper, holo, keepalived with `v3_checksum_as_v2`.
    MessageOnly,
    /// The message after the 12 octets of an IPv4 pseudo-header: a reading of RFC 5798 §5.2.8; keepalived, FRR,
    /// Wireshark unless told otherwise.
    PseudoHeader,
}

/// Which [`ChecksumForm`] a virtual router sends. Which it accepts is [`ChecksumAcceptance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ChecksumPolicy {
    /// The form last heard from a peer of this virtual router; until one is heard, the pseudo-header. keepalived and
    /// FRR with their defaults drop the form of RFC 9568, Cisco, Juniper and holo drop the other.
    #[default]
    Auto,
    /// Always that of RFC 9568.
    MessageOnly,
    /// Always with the pseudo-header.
    PseudoHeader,
}

impl ChecksumPolicy {
    /// The form to send, given the form last `heard` from a peer.
    pub const fn form(self, heard: Option<ChecksumForm>) -> ChecksumForm {
        match (self, heard) {
            (Self::Auto, Some(heard)) => heard,
            (Self::Auto, None) | (Self::PseudoHeader, _) => ChecksumForm::PseudoHeader,
            (Self::MessageOnly, _) => ChecksumForm::MessageOnly,
        }
    }
}

/// Which [`ChecksumForm`] a virtual router accepts. VRRPv2, and VRRPv3 over IPv6, have no choice of forms: there it
/// changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ChecksumAcceptance {
    /// Both: a peer that uses the other form is heard all the same.
    #[default]
    Either,
    /// That of RFC 9568 alone. keepalived and FRR with their defaults send the other.
    MessageOnly,
    /// That with the pseudo-header alone, as keepalived and FRR with their defaults. Cisco, Juniper and holo send the
    /// other.
    PseudoHeader,
}

impl ChecksumAcceptance {
    /// Whether a message whose checksum has this form is accepted.
    pub const fn accepts(self, form: ChecksumForm) -> bool {
        match (self, form) {
            (Self::Either, _)
            | (Self::MessageOnly, ChecksumForm::MessageOnly)
            | (Self::PseudoHeader, ChecksumForm::PseudoHeader) => true,
            (Self::MessageOnly, ChecksumForm::PseudoHeader) | (Self::PseudoHeader, ChecksumForm::MessageOnly) => false,
        }
    }
}

/// A running one's complement sum (RFC 1071).
///
/// Kept modulo 2^64 - 1, of which 2^16 - 1 is a divisor: words of any width up to 64 bits can be added and are
/// folded once, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use]
pub struct InternetChecksum(u64);

impl InternetChecksum {
    /// The sum over nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    /// The sum over the pseudo-header of `protocol` between two addresses of one family: 12 octets over IPv4
    /// (RFC 793 §3.1), 40 over IPv6 (RFC 8200 §8.1). `length` is that of what follows, in octets.
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        // Neither zero octets nor the width of a field change the sum, so both families add the same four things.
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        Self::new().add_address(source).add_address(destination).add_word(u64::from(protocol)).add_word(length)
    }

    /// With `octets` added to it, as big-endian words. Every piece but the last must have an even number of octets.
    #[inline]
    pub fn with(self, octets: &[u8]) -> Self {
        let (words, rest) = octets.as_chunks::<8>();
        let sum = words.iter().fold(self, |sum, word| sum.add_word(u64::from_be_bytes(*word)));
        let (pairs, rest) = rest.as_chunks::<2>();
        let sum = pairs.iter().fold(sum, |sum, pair| sum.add_word(u64::from(u16::from_be_bytes(*pair))));
        match rest.first() {
            Some(last) => sum.add_word(u64::from(u16::from_be_bytes([*last, 0]))),
            None => sum,
        }
    }

    /// What to put into a checksum field that was zero when it was added.
    #[inline]
    pub fn field(self) -> [u8; 2] {
        (!self.fold()).to_be_bytes()
    }

    /// Whether a message verifies whose checksum field was added along with the rest: the sum is 0xffff.
    ///
    /// Not the same as computing the field anew and comparing: a field of 0x0000 may arrive as 0xffff.
    #[inline]
    #[must_use]
    pub fn verifies(self) -> bool {
        self.fold() == u16::MAX
    }

    /// These two sums as one.
    #[inline]
    pub fn join(self, other: Self) -> Self {
        self.add_word(other.0)
    }

    #[inline]
    fn add_word(self, word: u64) -> Self {
        // The carry goes round to the other end. It cannot carry again: with a carry the sum is at most 2^64 - 2.
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum.wrapping_add(u64::from(carry)))
    }

    #[inline]
    fn add_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add_word(u64::from(address.to_bits())),
            IpAddr::V6(address) => self.with(&address.octets()),
        }
    }

    /// The sum as 16 bits: zero only if nothing but zeros was added.
    #[inline]
    fn fold(self) -> u16 {
        let [a, b, c, d, e, f, g, h] = self.0.to_be_bytes();
        let word = |high, low| u32::from(u16::from_be_bytes([high, low]));
        let sum = word(a, b) + word(c, d) + word(e, f) + word(g, h);
        let [_, carry, high, low] = sum.to_be_bytes();
        let (sum, again) = u16::from_be_bytes([high, low]).overflowing_add(u16::from(carry));
        sum.wrapping_add(u16::from(again))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 §4.1 to the letter: 16 bits at a time, a fold after each.
    fn reference(octets: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in octets.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let sum = InternetChecksum::new().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(sum.field(), [0x22, 0x0d]);
    }

    #[test]
    fn pf_08_wide_words_sum_as_sixteen_bits_do() {
        let mut random = 1_u64;
        let octets: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random.to_be_bytes()[0]
        })
        .take(300)
        .collect();
        for len in 0..octets.len() {
            for filler in [0x00, 0xff] {
                let mut octets = octets[..len].to_vec();
                assert_eq!(InternetChecksum::new().with(&octets).fold(), reference(&octets), "{len} octets");
                octets.fill(filler);
                assert_eq!(InternetChecksum::new().with(&octets).fold(), reference(&octets), "{len} x {filler:#x}");
            }
        }
    }

    #[test]
    fn pf_08_a_message_may_be_summed_in_even_pieces() {
        let octets: Vec<u8> = (0..=99).map(|n| n ^ 0xa5).collect();
        let whole = InternetChecksum::new().with(&octets).fold();
        for cut in (0..=octets.len()).step_by(2) {
            let (head, tail) = octets.split_at(cut);
            assert_eq!(InternetChecksum::new().with(head).with(tail).fold(), whole);
            assert_eq!(InternetChecksum::new().with(head).join(InternetChecksum::new().with(tail)).fold(), whole);
        }
    }

    #[test]
    fn pf_10_the_ipv4_pseudo_header_has_12_octets() {
        let sum = InternetChecksum::pseudo_header([192, 0, 2, 2].into(), [224, 0, 0, 18].into(), 112, 1028);
        assert_eq!(sum.fold(), reference(&[192, 0, 2, 2, 224, 0, 0, 18, 0, 112, 4, 4]));
    }

    #[test]
    fn pf_12_the_ipv6_pseudo_header_has_40_octets() {
        let source: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0x0b];
        let group: [u8; 16] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];
        let octets = [&source[..], &group, &[0, 0, 0x0f, 0xf8, 0, 0, 0, 112]].concat();
        let sum = InternetChecksum::pseudo_header(source.into(), group.into(), 112, 4088);
        assert_eq!(sum.fold(), reference(&octets));
    }

    #[test]
    fn pf_13_zero_and_all_ones_both_verify() {
        let field = |a, b| [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, a, b, 0xc0, 0x00, 0xaa, 0x66];
        assert_eq!(InternetChecksum::new().with(&field(0, 0)).field(), [0, 0]);
        assert!(InternetChecksum::new().with(&field(0, 0)).verifies());
        assert!(InternetChecksum::new().with(&field(0xff, 0xff)).verifies());
        assert!(!InternetChecksum::new().with(&field(0, 1)).verifies());
    }

    #[test]
    fn nothing_but_zeros_does_not_verify() {
        assert!(!InternetChecksum::new().verifies());
        assert!(!InternetChecksum::new().with(&[0; 20]).verifies());
    }

    #[test]
    fn pf_11_auto_sends_the_form_last_heard_and_until_then_the_pseudo_header() {
        use ChecksumForm::{MessageOnly, PseudoHeader};
        assert_eq!(ChecksumPolicy::default(), ChecksumPolicy::Auto);
        assert_eq!(ChecksumPolicy::Auto.form(None), PseudoHeader);
        for heard in [MessageOnly, PseudoHeader] {
            assert_eq!(ChecksumPolicy::Auto.form(Some(heard)), heard);
            assert_eq!(ChecksumPolicy::MessageOnly.form(Some(heard)), MessageOnly);
            assert_eq!(ChecksumPolicy::PseudoHeader.form(Some(heard)), PseudoHeader);
        }
    }
}
