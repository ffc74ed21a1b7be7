//! A received advertisement: a view of its octets, made only if the checks that hold for every router pass.

use core::fmt;
use core::iter::FusedIterator;
use core::net::IpAddr;
use core::slice;

use super::compare::compare_sets;
#[cfg(feature = "auth-hmac")]
use super::hmac::{Key, Trailer};
use super::{ADVERTISEMENT, AUTH_LEN, ChecksumForm, Discard, Envelope, HEADER_LEN, InternetChecksum, PROTOCOL};
use super::{AddressListMatch, TtlPolicy, message_len};
use crate::{Family, Interval, Priority, Version, Vrid};

/// A well-formed VRRPv2 or VRRPv3 advertisement, without a copy (RFC 9568 §5, RFC 3768 §5).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-------+---------------+---------------+---------------+
/// |Version| Type  | Virtual Rtr ID|   Priority    |     Count     |
/// +-------+-------+---------------+---------------+---------------+
/// |  v3: reserved (4), interval   |           Checksum            |
/// |  v2: auth type, interval in s |                               |
/// +-------------------------------+-------------------------------+
/// |  Count addresses of 4 or 16 octets; v2: 8 octets of auth data |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    version: Version,
    checksum_form: Option<ChecksumForm>,
    header: [u8; HEADER_LEN],
    addresses: &'a [u8],
    auth_data: Option<&'a [u8; AUTH_LEN]>,
    #[cfg(feature = "auth-hmac")]
    trailer: Option<&'a [u8; Trailer::LEN]>,
}

impl<'a> Packet<'a> {
    /// Checks the payload of an IP datagram, as far as that needs no configuration: source address and TTL, version,
    /// type, exact length, checksum (RFC 9568 §7.1, RFC 3768 §7.1). The first check that fails is the one reported.
    ///
    /// Both checksum forms of VRRPv3 over IPv4 pass; [`checksum_form`](Self::checksum_form) tells which one it was.
    ///
    /// # Errors
    /// The [`Discard`] to count.
    pub fn parse(envelope: &Envelope, payload: &'a [u8]) -> Result<Self, Discard> {
        Self::parse_with(envelope, payload, TtlPolicy::Strict)
    }

    /// As [`parse`](Self::parse), by the TTL policy of the virtual router that the packet is for. If peers may be behind
    /// routers, their IPv6 addresses need not be link-local either.
    ///
    /// # Errors
    /// The [`Discard`] to count.
    pub fn parse_with(envelope: &Envelope, payload: &'a [u8], policy: TtlPolicy) -> Result<Self, Discard> {
        Self::dissect(envelope, payload, policy)?.check_checksum(envelope, payload)
    }

    /// As [`parse`](Self::parse), but 28 octets after the message are a [`trailer`](Self::trailer) and no wrong length.
    /// Over IPv6 the checksum covers it, over IPv4 it does not.
    ///
    /// Nothing is authentic by that: for a virtual router with keys see
    /// [`Authenticator::receive`](crate::hmac::Authenticator::receive).
    ///
    /// # Errors
    /// The [`Discard`] to count.
    #[cfg(feature = "auth-hmac")]
    pub fn parse_signed(envelope: &Envelope, payload: &'a [u8]) -> Result<Self, Discard> {
        Self::dissect_signed(envelope, payload, TtlPolicy::Strict)?.check_checksum_signed(envelope, payload)
    }

    /// All the checks of [`parse`](Self::parse) but the checksum.
    #[inline]
    fn dissect(envelope: &Envelope, payload: &'a [u8], policy: TtlPolicy) -> Result<Self, Discard> {
        let family = envelope.check(policy.is_routed())?;
        let (header, rest) = payload.split_first_chunk::<HEADER_LEN>().ok_or(Discard::TooShort)?;
        let [version_type, _, _, count, _, _, _, _] = *header;
        if !policy.accepts(envelope.ttl) {
            return Err(Discard::Ttl(envelope.ttl));
        }
        let version = match (version_type >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, family) => Version::V3(family),
            (number, Family::V4 | Family::V6) => return Err(Discard::Version(number)),
        };
        if version_type & 0x0f != ADVERTISEMENT {
            return Err(Discard::Type(version_type & 0x0f));
        }

        let wrong_length = || Discard::Length {
            expected: saturate(message_len(version, usize::from(count))),
            got: saturate(payload.len()),
        };
        let addresses_len = usize::from(count) * family.address_len();
        let (addresses, trailer) = rest.split_at_checked(addresses_len).ok_or_else(wrong_length)?;
        let auth_data = match version {
            Version::V2 => Some(trailer.try_into().map_err(|_| wrong_length())?),
            Version::V3(_) if trailer.is_empty() => None,
            Version::V3(_) => return Err(wrong_length()),
        };

        Ok(Self {
            version,
            checksum_form: None,
            header: *header,
            addresses,
            auth_data,
            #[cfg(feature = "auth-hmac")]
            trailer: None,
        })
    }

    /// The packet, if the checksum over `covered` verifies.
    #[inline]
    fn check_checksum(self, envelope: &Envelope, covered: &[u8]) -> Result<Self, Discard> {
        Ok(Self { checksum_form: verify(self.version, envelope, covered)?, ..self })
    }

    /// All the checks of [`parse_signed`](Self::parse_signed) but the checksum, which says nothing until the trailer is
    /// known to be authentic.
    ///
    /// Only the length tells whether there is a trailer, never what is in it.
    #[cfg(feature = "auth-hmac")]
    pub(crate) fn dissect_signed(envelope: &Envelope, payload: &'a [u8], policy: TtlPolicy) -> Result<Self, Discard> {
        match payload.split_last_chunk() {
            Some((message, trailer)) if is_whole(envelope, message) => {
                Ok(Self { trailer: Some(trailer), ..Self::dissect(envelope, message, policy)? })
            }
            Some(_) | None => Self::dissect(envelope, payload, policy),
        }
    }

    /// The packet, if the checksum verifies over what it covers of the `payload` that it was made of.
    #[cfg(feature = "auth-hmac")]
    pub(crate) fn check_checksum_signed(self, envelope: &Envelope, payload: &[u8]) -> Result<Self, Discard> {
        let covered = match (self.version.family(), self.trailer, payload.split_last_chunk::<{ Trailer::LEN }>()) {
            (Family::V4, Some(_), Some((message, _))) => message,
            (Family::V4 | Family::V6, Some(_) | None, Some(_) | None) => payload,
        };
        self.check_checksum(envelope, covered)
    }

    /// The trailer, if there is one and the packet was made by [`parse_signed`](Self::parse_signed).
    #[cfg(feature = "auth-hmac")]
    pub fn trailer(&self) -> Option<Trailer> {
        self.trailer.map(Trailer::from_octets)
    }

    /// Whether there is a trailer whose code `key` gives for this packet from this source. Constant in time. Neither
    /// the key id nor the time of signing is looked at.
    #[cfg(feature = "auth-hmac")]
    pub fn is_signed_by(&self, source: IpAddr, key: &Key) -> bool {
        let auth_data = self.auth_data.map_or(&[][..], |auth_data| auth_data);
        self.trailer().is_some_and(|trailer| trailer.verifies(key, source, &self.header, [self.addresses, auth_data]))
    }

    /// Version and family.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The VRID as it was sent (RFC 9568 §5.2.3): 0 too.
    pub const fn vrid_octet(&self) -> u8 {
        let [_, vrid, ..] = self.header;
        vrid
    }

    /// The VRID; `None` if it is 0, which no virtual router has.
    pub fn vrid(&self) -> Option<Vrid> {
        Vrid::new(self.vrid_octet()).ok()
    }

    /// The sender's priority; `None` is priority 0: it resigns (RFC 9568 §5.2.4).
    pub const fn priority(&self) -> Option<Priority> {
        let [_, _, priority, ..] = self.header;
        Priority::from_wire(priority)
    }

    /// How many addresses there are (RFC 9568 §5.2.5): 0 too.
    pub const fn count(&self) -> u8 {
        let [_, _, _, count, ..] = self.header;
        count
    }

    /// The sender's advertisement interval; `None` if it is 0.
    ///
    /// In VRRPv3 12 bits of centiseconds, of which the 4 bits before them are no part (RFC 9568 §5.2.6, §5.2.7); in
    /// VRRPv2 8 bits of seconds (RFC 3768 §5.3.7).
    pub fn interval(&self) -> Option<Interval> {
        let centiseconds = u64::from(self.interval_centiseconds());
        match self.version {
            Version::V2 => Interval::from_seconds(centiseconds / 100).ok(),
            Version::V3(_) => Interval::from_centiseconds(centiseconds).ok(),
        }
    }

    /// The interval field in centiseconds: 0 too.
    pub(super) const fn interval_centiseconds(&self) -> u16 {
        let [_, _, _, _, high, low, ..] = self.header;
        match self.version {
            Version::V2 => u16::from_be_bytes([0, low]) * 100,
            Version::V3(_) => u16::from_be_bytes([high & 0x0f, low]),
        }
    }

    /// The authentication type (RFC 3768 §5.3.6); `None` in VRRPv3, which has no such field.
    pub const fn auth_type(&self) -> Option<u8> {
        let [_, _, _, _, auth_type, ..] = self.header;
        match self.version {
            Version::V2 => Some(auth_type),
            Version::V3(_) => None,
        }
    }

    /// The authentication data (RFC 3768 §5.3.10); `None` in VRRPv3, which has no such field.
    pub const fn auth_data(&self) -> Option<&'a [u8; AUTH_LEN]> {
        self.auth_data
    }

    /// Which form of checksum verified, where there are two: in VRRPv3 over IPv4.
    pub const fn checksum_form(&self) -> Option<ChecksumForm> {
        self.checksum_form
    }

    /// The addresses of the virtual router, in the order sent (RFC 9568 §5.2.9).
    pub fn addresses(&self) -> Addresses<'a> {
        match self.version.family() {
            Family::V4 => Addresses(List::V4(self.addresses.as_chunks().0.iter())),
            Family::V6 => Addresses(List::V6(self.addresses.as_chunks().0.iter())),
        }
    }

    /// How the address list compares with `local`, as sets: neither order nor repetition matter.
    pub fn compare_addresses(&self, local: &[IpAddr]) -> AddressListMatch {
        let received = self.addresses();
        if received.len() == local.len() && received.clone().eq(local.iter().copied()) {
            return AddressListMatch::Same;
        }
        compare_sets(received, local)
    }
}

/// Whether this is as long as the version and the count in it call for.
#[cfg(feature = "auth-hmac")]
fn is_whole(envelope: &Envelope, message: &[u8]) -> bool {
    let Some([version_type, _, _, count, ..]) = message.first_chunk::<HEADER_LEN>() else { return false };
    let version = match (version_type >> 4, Family::of(envelope.source)) {
        (2, Family::V4) => Version::V2,
        (3, family) => Version::V3(family),
        (_, Family::V4 | Family::V6) => return false,
    };
    message.len() == message_len(version, usize::from(*count))
}

/// Whether the checksum verifies, and in which form where there are two (RFC 9568 §5.2.8, RFC 3768 §5.3.8).
fn verify(version: Version, envelope: &Envelope, payload: &[u8]) -> Result<Option<ChecksumForm>, Discard> {
    let message = InternetChecksum::new().with(payload);
    let with_pseudo_header = || {
        let Envelope { source, destination, ttl: _ } = *envelope;
        message.join(InternetChecksum::pseudo_header(source, destination, PROTOCOL, payload.len())).verifies()
    };
    match version {
        Version::V2 if message.verifies() => Ok(None),
        Version::V3(Family::V4) if message.verifies() => Ok(Some(ChecksumForm::MessageOnly)),
        Version::V3(Family::V4) if with_pseudo_header() => Ok(Some(ChecksumForm::PseudoHeader)),
        Version::V3(Family::V6) if with_pseudo_header() => Ok(None),
        Version::V2 | Version::V3(Family::V4 | Family::V6) => Err(Discard::Checksum),
    }
}

fn saturate(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// `VRRPv3/IPv4 VRID 51 priority 100 interval 1 s, 1 address`.
impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} VRID {} priority ", self.version, self.vrid_octet())?;
        match self.priority() {
            Some(priority) => priority.fmt(f)?,
            None => f.write_str("0")?,
        }
        match self.interval() {
            Some(interval) => write!(f, " interval {interval}, ")?,
            None => f.write_str(" interval 0, ")?,
        }
        match self.count() {
            1 => f.write_str("1 address"),
            count => write!(f, "{count} addresses"),
        }
    }
}

/// Without the authentication data, which may be a password.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct List<'a>(Addresses<'a>);
        impl fmt::Debug for List<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.0.clone()).finish()
            }
        }
        f.debug_struct("Packet")
            .field("version", &self.version)
            .field("vrid", &self.vrid_octet())
            .field("priority", &self.priority())
            .field("interval", &self.interval())
            .field("auth_type", &self.auth_type())
            .field("checksum_form", &self.checksum_form)
            .field("addresses", &List(self.addresses()))
            .finish_non_exhaustive()
    }
}

/// The addresses of a [`Packet`], in the order sent.
#[derive(Clone, Debug)]
pub struct Addresses<'a>(List<'a>);

#[derive(Clone, Debug)]
enum List<'a> {
    V4(slice::Iter<'a, [u8; 4]>),
    V6(slice::Iter<'a, [u8; 16]>),
}

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    #[inline]
    fn next(&mut self) -> Option<IpAddr> {
        match &mut self.0 {
            List::V4(addresses) => addresses.next().map(|octets| IpAddr::from(*octets)),
            List::V6(addresses) => addresses.next().map(|octets| IpAddr::from(*octets)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            List::V4(addresses) => addresses.size_hint(),
            List::V6(addresses) => addresses.size_hint(),
        }
    }
}

impl ExactSizeIterator for Addresses<'_> {}

impl FusedIterator for Addresses<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// V2-01: VRID 51, priority 100, 192.0.2.100, 1 s, no authentication.
    const V2: [u8; 20] = [
        0x21, 0x33, 0x64, 0x01, 0x00, 0x01, 0xb8, 0x65, 192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0, //
    ];
    /// V3-4-01M: the same over VRRPv3, checksum over the message alone.
    const V3: [u8; 12] = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100];
    /// V3-6-01: fe80::100.
    const V6: [u8; 24] =
        [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x6d, 0xbd, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

    fn ipv4() -> Envelope {
        Envelope { source: [192, 0, 2, 2].into(), destination: Family::V4.group(), ttl: Some(255) }
    }

    fn ipv6() -> Envelope {
        let source = "fe80::ff:fe00:b".parse().unwrap();
        Envelope { source, destination: Family::V6.group(), ttl: Some(255) }
    }

    /// `octets` with some changed, and the checksum over the message made to fit again.
    fn forge<const N: usize>(mut octets: [u8; N], changes: &[(usize, u8)]) -> [u8; N] {
        for (at, octet) in changes {
            octets[*at] = *octet;
        }
        octets[6..8].fill(0);
        let field = InternetChecksum::new().with(&octets).field();
        octets[6..8].copy_from_slice(&field);
        octets
    }

    #[test]
    fn pf_01_pf_17_a_v2_advertisement_is_read() {
        let packet = Packet::parse(&ipv4(), &V2).unwrap();
        assert_eq!(packet.version(), Version::V2);
        assert_eq!(packet.vrid(), Vrid::new(51).ok());
        assert_eq!(packet.priority(), Some(Priority::DEFAULT));
        assert_eq!(packet.count(), 1);
        assert_eq!(packet.interval(), Interval::from_seconds(1).ok());
        assert_eq!((packet.auth_type(), packet.auth_data()), (Some(0), Some(&[0; 8])));
        assert_eq!(packet.checksum_form(), None);
        assert!(packet.addresses().eq([IpAddr::from([192, 0, 2, 100])]));
    }

    #[test]
    fn pf_01_a_v3_advertisement_is_read_over_both_families() {
        let packet = Packet::parse(&ipv4(), &V3).unwrap();
        assert_eq!(packet.version(), Version::V3(Family::V4));
        assert_eq!(packet.interval(), Some(Interval::DEFAULT));
        assert_eq!((packet.auth_type(), packet.auth_data()), (None, None));
        assert!(packet.addresses().eq([IpAddr::from([192, 0, 2, 100])]));
        let packet = Packet::parse(&ipv6(), &V6).unwrap();
        assert_eq!(packet.version(), Version::V3(Family::V6));
        assert_eq!(packet.checksum_form(), None);
        assert!(packet.addresses().eq(["fe80::100".parse::<IpAddr>().unwrap()]));
    }

    #[test]
    fn pf_04_every_priority_octet_is_read() {
        for octet in 0..=255 {
            let packet = forge(V3, &[(2, octet)]);
            assert_eq!(Packet::parse(&ipv4(), &packet).unwrap().priority().map_or(0, Priority::get), octet);
        }
    }

    #[test]
    fn pf_06_pf_07_the_interval_is_the_low_12_bits() {
        for value in 0..=u16::MAX {
            let [high, low] = value.to_be_bytes();
            let octets = forge(V3, &[(4, high), (5, low)]);
            let packet = Packet::parse(&ipv4(), &octets).unwrap();
            assert_eq!(packet.interval().map_or(0, Interval::as_centiseconds), value & 0x0fff);
        }
    }

    #[test]
    fn pf_19_a_v2_interval_is_whole_seconds() {
        for seconds in 0..=u8::MAX {
            let octets = forge(V2, &[(5, seconds)]);
            let packet = Packet::parse(&ipv4(), &octets).unwrap();
            assert_eq!(packet.interval().and_then(Interval::as_seconds).unwrap_or(0), seconds);
        }
    }

    #[test]
    fn rx_01_any_ttl_but_255_is_dropped() {
        for ttl in 0..255 {
            let envelope = Envelope { ttl: Some(ttl), ..ipv4() };
            assert_eq!(Packet::parse(&envelope, &V3), Err(Discard::Ttl(Some(ttl))));
        }
    }

    #[test]
    fn rx_21_an_unknown_ttl_is_dropped() {
        assert_eq!(Packet::parse(&Envelope { ttl: None, ..ipv6() }, &V6), Err(Discard::Ttl(None)));
    }

    #[test]
    fn rx_02_versions_but_2_and_3_are_dropped() {
        for version in (0..16).filter(|version| !matches!(version, 2 | 3)) {
            let octets = forge(V3, &[(0, version << 4 | 1)]);
            assert_eq!(Packet::parse(&ipv4(), &octets), Err(Discard::Version(version)));
        }
    }

    #[test]
    fn rx_02_there_is_no_v2_over_ipv6() {
        let mut octets = V6;
        octets[0] = 0x21;
        assert_eq!(Packet::parse(&ipv6(), &octets), Err(Discard::Version(2)));
    }

    #[test]
    fn pf_02_rx_03_any_type_but_1_is_dropped() {
        for kind in (0..16).filter(|kind| *kind != 1) {
            let octets = forge(V3, &[(0, 0x30 | kind)]);
            assert_eq!(Packet::parse(&ipv4(), &octets), Err(Discard::Type(kind)));
        }
    }

    #[test]
    fn rx_04_a_packet_that_is_not_whole_is_dropped() {
        for len in 0..8 {
            assert_eq!(Packet::parse(&ipv4(), &V2[..len]), Err(Discard::TooShort));
        }
        for len in 8..V2.len() {
            let got = u16::try_from(len).unwrap();
            assert_eq!(Packet::parse(&ipv4(), &V2[..len]), Err(Discard::Length { expected: 20, got }));
        }
        for len in 8..V6.len() {
            let got = u16::try_from(len).unwrap();
            assert_eq!(Packet::parse(&ipv6(), &V6[..len]), Err(Discard::Length { expected: 24, got }));
        }
    }

    #[test]
    fn rx_05_surplus_octets_are_a_length_error() {
        let octets = [&V3[..], &[0]].concat();
        assert_eq!(Packet::parse(&ipv4(), &octets), Err(Discard::Length { expected: 12, got: 13 }));
        let octets = [&V2[..], &[0; 70_000]].concat();
        assert_eq!(Packet::parse(&ipv4(), &octets), Err(Discard::Length { expected: 20, got: u16::MAX }));
    }

    #[test]
    fn rx_06_a_checksum_off_by_one_is_dropped() {
        for delta in [1, 0xff] {
            let (mut v2, mut v3, mut v6) = (V2, V3, V6);
            for octets in [&mut v2[..], &mut v3, &mut v6] {
                octets[7] = octets[7].wrapping_add(delta);
            }
            assert_eq!(Packet::parse(&ipv4(), &v2), Err(Discard::Checksum));
            assert_eq!(Packet::parse(&ipv4(), &v3), Err(Discard::Checksum));
            assert_eq!(Packet::parse(&ipv6(), &v6), Err(Discard::Checksum));
        }
    }

    #[test]
    fn pf_18_the_v2_checksum_covers_the_authentication_data() {
        for at in 12..20 {
            let mut octets = V2;
            octets[at] ^= 1;
            assert_eq!(Packet::parse(&ipv4(), &octets), Err(Discard::Checksum));
        }
    }

    #[test]
    fn pf_11_both_checksum_forms_pass_and_are_told_apart() {
        let form = |octets: &[u8]| Packet::parse(&ipv4(), octets).map(|packet| packet.checksum_form());
        assert_eq!(form(&V3), Ok(Some(ChecksumForm::MessageOnly)));
        let mut octets = V3;
        octets[6..8].copy_from_slice(&[0x05, 0x71]);
        assert_eq!(form(&octets), Ok(Some(ChecksumForm::PseudoHeader)));
    }

    #[test]
    fn pf_12_over_ipv6_the_checksum_covers_the_addresses_of_the_ip_header() {
        let other = Envelope { source: "fe80::1".parse().unwrap(), ..ipv6() };
        assert_eq!(Packet::parse(&other, &V6), Err(Discard::Checksum));
        let message_only = forge(V6, &[]);
        assert_eq!(Packet::parse(&ipv6(), &message_only), Err(Discard::Checksum));
    }

    #[test]
    fn the_first_check_that_fails_is_the_one_reported() {
        // Everything is wrong; one thing after the other is put right, in the order of CONFORMANCE section B.
        let bad_source = Envelope { source: [0; 4].into(), ttl: Some(1), ..ipv4() };
        let bad_ttl = Envelope { ttl: Some(1), ..ipv4() };
        let octets = |octet: u8| [octet, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(Packet::parse(&bad_source, &[]), Err(Discard::Source([0; 4].into())));
        assert_eq!(Packet::parse(&bad_ttl, &[]), Err(Discard::TooShort));
        assert_eq!(Packet::parse(&bad_ttl, &octets(0x42)), Err(Discard::Ttl(Some(1))));
        assert_eq!(Packet::parse(&ipv4(), &octets(0x42)), Err(Discard::Version(4)));
        assert_eq!(Packet::parse(&ipv4(), &octets(0x32)), Err(Discard::Type(2)));
        assert_eq!(Packet::parse(&ipv4(), &octets(0x31)), Err(Discard::Length { expected: 12, got: 8 }));
        assert_eq!(Packet::parse(&ipv4(), &[0x31, 0, 0, 0, 0, 0, 0, 1]), Err(Discard::Checksum));
    }

    #[test]
    fn address_lists_are_compared_as_sets() {
        let octets = [&forge(V3, &[])[..8], &[192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3]].concat();
        let octets: [u8; 20] = octets.try_into().unwrap();
        let octets = forge(octets, &[(3, 3)]);
        let packet = Packet::parse(&ipv4(), &octets).unwrap();
        let compare = |hosts: &[u8]| {
            let local: Vec<IpAddr> = hosts.iter().map(|host| IpAddr::from([192, 0, 2, *host])).collect();
            packet.compare_addresses(&local)
        };
        assert_eq!(compare(&[1, 2, 3]), AddressListMatch::Same);
        assert_eq!(compare(&[3, 1, 2]), AddressListMatch::Same);
        assert_eq!(compare(&[3, 1, 2, 2]), AddressListMatch::Same);
        assert_eq!(compare(&[1, 2]), AddressListMatch::Overlaps);
        assert_eq!(compare(&[1, 2, 3, 4]), AddressListMatch::Overlaps);
        assert_eq!(compare(&[4, 5, 3]), AddressListMatch::Overlaps);
        assert_eq!(compare(&[4, 5, 6]), AddressListMatch::Disjoint);
        assert_eq!(compare(&[]), AddressListMatch::Disjoint);
    }

    #[test]
    fn a_packet_is_shown_without_its_password() {
        let octets = forge(V2, &[(2, 0), (4, 1), (12, b'h'), (13, b'u'), (14, b's'), (15, b'h')]);
        let packet = Packet::parse(&ipv4(), &octets).unwrap();
        assert_eq!(packet.to_string(), "VRRPv2/IPv4 VRID 51 priority 0 interval 1 s, 1 address");
        let debug = format!("{packet:?}");
        assert!(debug.contains("auth_type: Some(1)") && debug.contains("[192.0.2.100]"), "{debug}");
        assert!(!debug.contains("104") && !debug.contains("hush"), "{debug}");
    }
}
