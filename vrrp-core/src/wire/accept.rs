//! The part of the receive path that depends on what a virtual router is configured with.

use core::net::IpAddr;

use super::{Authentication, ChecksumAcceptance, ChecksumForm, Discard, Envelope, Packet, TtlPolicy};
use crate::{Advert, Interval, Version, Vrid};

/// What a virtual router expects of the advertisements that it takes part in elections with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expected<'e> {
    /// The configured version, and the family.
    pub version: Version,
    /// The configured VRID.
    pub vrid: Vrid,
    /// The local `Advertisement_Interval`: VRRPv2 drops any other (RFC 3768 §7.1), VRRPv3 notes it.
    pub interval: Interval,
    /// VRRPv2: accept other intervals too, and note them as in VRRPv3.
    pub any_v2_interval: bool,
    /// VRRPv2 only (RFC 2338 §5.3.6); VRRPv3 has no authentication field and does not look at this.
    pub authentication: Authentication,
    /// The local list of virtual addresses, in any order.
    pub addresses: &'e [IpAddr],
    /// Our own address, once there is one: what comes from it is an echo.
    pub primary: Option<IpAddr>,
    /// The address listened on: the family's group, or in unicast mode our own. Nothing sent to another is accepted, so
    /// a router is in exactly one of the two modes.
    pub destination: IpAddr,
    /// The only sources accepted: the peers of unicast mode, or a list of allowed senders in multicast mode. `None`
    /// accepts any.
    pub peers: Option<&'e [IpAddr]>,
    /// Which TTL is accepted. To be given to [`Packet::parse_with`]: [`Packet::accept`] does not look at it.
    pub ttl: TtlPolicy,
    /// Which of the two checksum forms of VRRPv3 over IPv4 are accepted (RFC 9568 §5.2.8).
    pub checksum: ChecksumAcceptance,
    /// Drop VRRPv3 lists over IPv6 that do not start with a link-local address (RFC 9568 erratum 8300). keepalived may
    /// send such lists. A list that merely differs is not dropped (RFC 9568 §7.1).
    pub strict_address_list: bool,
}

impl Expected<'_> {
    /// Multicast, the default interval of one second, no authentication, an empty address list, any sender, nothing
    /// strict.
    pub const fn new(version: Version, vrid: Vrid) -> Self {
        Self {
            version,
            vrid,
            interval: Interval::DEFAULT,
            any_v2_interval: false,
            authentication: Authentication::None,
            addresses: &[],
            primary: None,
            destination: version.family().group(),
            peers: None,
            ttl: TtlPolicy::Strict,
            checksum: ChecksumAcceptance::Either,
            strict_address_list: false,
        }
    }
}

/// An advertisement that this virtual router takes into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// What the election needs of it.
    pub advert: Advert,
    /// What is worth a counter although it is no reason to drop it.
    pub notes: Notes,
}

/// What is odd about an accepted advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Notes {
    /// VRRPv3: the sender's interval is not the local one (RFC 9568 §7.1). RFC 8347 `interval-errors`.
    pub interval_differs: bool,
    /// How the sender's address list compares with the local one (RFC 9568 §7.1). RFC 8347 `address-list-errors`,
    /// unless it is the same.
    pub address_list: AddressListMatch,
    /// VRRPv3 over IPv6: the list does not start with a link-local address (RFC 9568 erratum 8300). RFC 8347
    /// `address-list-errors`, once for this and the one above.
    pub first_not_link_local: bool,
    /// Which form the checksum had, where there are two: in VRRPv3 over IPv4. To be remembered for
    /// [`ChecksumPolicy::form`](super::ChecksumPolicy::form).
    pub checksum_form: Option<ChecksumForm>,
}

impl Notes {
    /// Whether RFC 8347 counts this one under `address-list-errors`.
    pub const fn is_address_list_error(self) -> bool {
        self.first_not_link_local
            || match self.address_list {
                AddressListMatch::Same => false,
                AddressListMatch::Overlaps | AddressListMatch::Disjoint => true,
            }
    }
}

/// How two address lists compare, as sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressListMatch {
    /// The same addresses, in whatever order.
    Same,
    /// Some are in both.
    Overlaps,
    /// None is in both: likely another virtual router that uses the same VRID by mistake.
    Disjoint,
}

impl Packet<'_> {
    /// Checks the packet against what one virtual router is configured with (RFC 9568 §7.1, RFC 3768 §7.1).
    ///
    /// `envelope` is the one that the packet was parsed with. The first check that fails is the one reported: version,
    /// VRID, destination and source, authentication, interval, address list.
    ///
    /// # Errors
    /// The [`Discard`] to count. Nothing else may change then.
    pub fn accept(&self, envelope: &Envelope, expected: &Expected<'_>) -> Result<Accepted, Discard> {
        self.check_version(expected)?;
        check_addressing(envelope, expected)?;
        let interval = match self.version() {
            Version::V2 => self.check_v2(expected)?,
            Version::V3(_) => self.check_v3()?,
        };
        let (address_list, first_not_link_local) = self.check_address_list(expected)?;
        let notes = Notes {
            interval_differs: interval != expected.interval,
            address_list,
            first_not_link_local,
            checksum_form: self.checksum_form(),
        };
        Ok(Accepted { advert: Advert { source: envelope.source, priority: self.priority(), interval }, notes })
    }

    /// Version, checksum form, VRID. An advertisement of the other family is another virtual router's (RFC 9568 §6.4).
    pub(crate) fn check_version(&self, expected: &Expected<'_>) -> Result<(), Discard> {
        if self.version().number() != expected.version.number() {
            return Err(Discard::Version(self.version().number()));
        }
        if self.checksum_form().is_some_and(|form| !expected.checksum.accepts(form)) {
            return Err(Discard::Checksum);
        }
        if self.vrid() != Some(expected.vrid) || self.version() != expected.version {
            return Err(Discard::Vrid(self.vrid_octet()));
        }
        Ok(())
    }

    /// RFC 3768 §7.1: authentication and interval are those configured. Then count zero (RFC 9568 erratum 8299).
    fn check_v2(&self, expected: &Expected<'_>) -> Result<Interval, Discard> {
        let data = self.auth_data().copied().unwrap_or_default();
        match self.auth_type().unwrap_or_default() {
            known @ 0..=2 if known != expected.authentication.auth_type() => return Err(Discard::AuthTypeMismatch),
            0..=2 if !expected.authentication.verifies(data) => return Err(Discard::AuthFailure),
            0..=2 => {}
            unknown => return Err(Discard::AuthType(unknown)),
        }
        let interval = self.checked_interval()?;
        if interval != expected.interval && !expected.any_v2_interval {
            return Err(Discard::Interval(self.interval_centiseconds()));
        }
        self.check_count()?;
        Ok(interval)
    }

    /// RFC 9568 errata 8299 and 8301: count and interval are not zero.
    fn check_v3(&self) -> Result<Interval, Discard> {
        self.check_count()?;
        self.checked_interval()
    }

    fn check_count(&self) -> Result<(), Discard> {
        if self.count() == 0 { Err(Discard::CountZero) } else { Ok(()) }
    }

    fn checked_interval(&self) -> Result<Interval, Discard> {
        self.interval().ok_or(Discard::Interval(self.interval_centiseconds()))
    }

    /// How the list compares, and whether it lacks the link-local address that IPv6 puts first.
    ///
    /// VRRPv2 drops a list that differs unless the sender owns the addresses (RFC 3768 §7.1); VRRPv3 goes on (RFC 9568
    /// §7.1).
    fn check_address_list(&self, expected: &Expected<'_>) -> Result<(AddressListMatch, bool), Discard> {
        let compared = self.compare_addresses(expected.addresses);
        let owner = self.priority().is_some_and(|priority| priority.is_owner());
        if self.version() == Version::V2 && compared != AddressListMatch::Same && !owner {
            return Err(Discard::AddressList);
        }
        let first_not_link_local = match self.addresses().next() {
            Some(IpAddr::V6(first)) => !first.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => false,
        };
        if expected.strict_address_list && first_not_link_local {
            return Err(Discard::AddressList);
        }
        Ok((compared, first_not_link_local))
    }
}

/// Sent to where this router listens, by another router, and by one that may.
pub(crate) fn check_addressing(envelope: &Envelope, expected: &Expected<'_>) -> Result<(), Discard> {
    if envelope.destination != expected.destination {
        Err(Discard::Destination)
    } else if Some(envelope.source) == expected.primary {
        Err(Discard::SelfReceived)
    } else if expected.peers.is_some_and(|peers| !peers.contains(&envelope.source)) {
        Err(Discard::NotPeer)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Password, Repr};
    use crate::{Family, Priority};
    use core::net::Ipv4Addr;

    const V3: Version = Version::V3(Family::V4);

    fn vrid() -> Vrid {
        Vrid::new(51).unwrap()
    }

    const VIPS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101))];

    fn envelope() -> Envelope {
        Envelope { source: [192, 0, 2, 2].into(), destination: Family::V4.group(), ttl: Some(255) }
    }

    fn cs(value: u64) -> Interval {
        Interval::from_centiseconds(value).unwrap()
    }

    fn simple(text: &str) -> Authentication {
        Authentication::SimpleText(Password::new(text).unwrap())
    }

    /// Sends `advert` and receives it at a router that expects `expected`.
    fn receive(envelope: &Envelope, advert: &Repr<'_>, expected: &Expected<'_>) -> Result<Accepted, Discard> {
        let mut buffer = [0; 2048];
        let form = ChecksumForm::PseudoHeader;
        let len = advert.emit(envelope.source, envelope.destination, form, &mut buffer).unwrap();
        Packet::parse(envelope, &buffer[..len]).and_then(|packet| packet.accept(envelope, expected))
    }

    fn advert<'a>(version: Version, addresses: &'a [IpAddr]) -> Repr<'a> {
        Repr { priority: Some(Priority::DEFAULT), ..Repr::new(version, vrid(), addresses) }
    }

    /// A router of `version` that expects the list `addresses` and has 192.0.2.1.
    fn expected(version: Version, addresses: &[IpAddr]) -> Expected<'_> {
        Expected { addresses, primary: Some([192, 0, 2, 1].into()), ..Expected::new(version, vrid()) }
    }

    #[test]
    fn what_is_as_expected_is_accepted_without_a_note() {
        for version in [Version::V2, V3] {
            let accepted = receive(&envelope(), &advert(version, &VIPS), &expected(version, &VIPS)).unwrap();
            let source = envelope().source;
            let expected = Advert { source, priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT };
            assert_eq!(accepted.advert, expected);
            assert!(!accepted.notes.interval_differs && !accepted.notes.is_address_list_error());
            let form = (version == V3).then_some(ChecksumForm::PseudoHeader);
            assert_eq!(accepted.notes.checksum_form, form);
        }
    }

    #[test]
    fn rx_02_the_version_must_be_the_configured_one() {
        let result = receive(&envelope(), &advert(V3, &VIPS), &expected(Version::V2, &VIPS));
        assert_eq!(result, Err(Discard::Version(3)));
        let result = receive(&envelope(), &advert(Version::V2, &VIPS), &expected(V3, &VIPS));
        assert_eq!(result, Err(Discard::Version(2)));
    }

    #[test]
    fn rx_07_the_vrid_must_be_the_configured_one_of_the_same_family() {
        let other = Repr { vrid: Vrid::new(52).unwrap(), ..advert(V3, &VIPS) };
        assert_eq!(receive(&envelope(), &other, &expected(V3, &VIPS)), Err(Discard::Vrid(52)));
        let result = receive(&envelope(), &advert(V3, &VIPS), &expected(Version::V3(Family::V6), &VIPS));
        assert_eq!(result, Err(Discard::Vrid(51)));
    }

    #[test]
    fn rx_07_vrid_0_never_matches() {
        let octets = [0x31, 0x00, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x35, 192, 0, 2, 100];
        let packet = Packet::parse(&envelope(), &octets).unwrap();
        assert_eq!(packet.accept(&envelope(), &expected(V3, &VIPS)), Err(Discard::Vrid(0)));
    }

    #[test]
    fn rx_24_uc_06_multicast_and_unicast_exclude_each_other() {
        let unicast = Envelope { destination: [192, 0, 2, 1].into(), ..envelope() };
        let result = receive(&unicast, &advert(V3, &VIPS), &expected(V3, &VIPS));
        assert_eq!(result, Err(Discard::Destination));
        let listener = Expected { destination: unicast.destination, ..expected(V3, &VIPS) };
        assert!(receive(&unicast, &advert(V3, &VIPS), &listener).is_ok());
        assert_eq!(receive(&envelope(), &advert(V3, &VIPS), &listener), Err(Discard::Destination));
    }

    #[test]
    fn rx_25_our_own_address_as_the_source_is_an_echo() {
        let echo = Envelope { source: [192, 0, 2, 1].into(), ..envelope() };
        assert_eq!(receive(&echo, &advert(V3, &VIPS), &expected(V3, &VIPS)), Err(Discard::SelfReceived));
    }

    #[test]
    fn uc_04_the_source_must_be_a_peer_where_there_is_a_list() {
        let peers = [[192, 0, 2, 3].into(), envelope().source];
        let listed = Expected { peers: Some(&peers), ..expected(V3, &VIPS) };
        assert!(receive(&envelope(), &advert(V3, &VIPS), &listed).is_ok());
        let stranger = Envelope { source: [192, 0, 2, 77].into(), ..envelope() };
        assert_eq!(receive(&stranger, &advert(V3, &VIPS), &listed), Err(Discard::NotPeer));
        let listed = Expected { peers: Some(&[]), ..listed };
        assert_eq!(receive(&envelope(), &advert(V3, &VIPS), &listed), Err(Discard::NotPeer));
    }

    #[test]
    fn pf_11_strict_accepts_only_the_checksum_of_rfc_9568() {
        let strict = Expected { checksum: ChecksumAcceptance::MessageOnly, ..expected(V3, &VIPS) };
        assert_eq!(receive(&envelope(), &advert(V3, &VIPS), &strict), Err(Discard::Checksum));
        let octets = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100];
        let accepted = Packet::parse(&envelope(), &octets).unwrap().accept(&envelope(), &strict).unwrap();
        assert_eq!(accepted.notes.checksum_form, Some(ChecksumForm::MessageOnly));
    }

    #[test]
    fn pf_11_the_defaults_of_keepalived_accept_only_the_pseudo_header() {
        let keepalived = Expected { checksum: ChecksumAcceptance::PseudoHeader, ..expected(V3, &VIPS) };
        let accepted = receive(&envelope(), &advert(V3, &VIPS), &keepalived).unwrap();
        assert_eq!(accepted.notes.checksum_form, Some(ChecksumForm::PseudoHeader));
        let octets = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100];
        let packet = Packet::parse(&envelope(), &octets).unwrap();
        assert_eq!(packet.accept(&envelope(), &keepalived), Err(Discard::Checksum));
    }

    #[test]
    fn pf_11_where_there_is_one_form_only_it_is_always_accepted() {
        for checksum in [ChecksumAcceptance::MessageOnly, ChecksumAcceptance::PseudoHeader] {
            let listener = Expected { checksum, ..expected(Version::V2, &VIPS) };
            assert!(receive(&envelope(), &advert(Version::V2, &VIPS), &listener).is_ok());
        }
    }

    #[test]
    fn rx_19_au_03_the_authentication_type_must_be_the_configured_one() {
        let plain = advert(Version::V2, &VIPS);
        let signed = Repr { authentication: simple("1234"), ..plain };
        let open = expected(Version::V2, &VIPS);
        let closed = Expected { authentication: simple("1234"), ..open };
        assert!(receive(&envelope(), &plain, &open).is_ok());
        assert!(receive(&envelope(), &signed, &closed).is_ok());
        assert_eq!(receive(&envelope(), &signed, &open), Err(Discard::AuthTypeMismatch));
        assert_eq!(receive(&envelope(), &plain, &closed), Err(Discard::AuthTypeMismatch));
    }

    #[test]
    fn au_02_another_password_is_dropped() {
        let closed = Expected { authentication: simple("1234"), ..expected(Version::V2, &VIPS) };
        for wrong in ["wrong", "123", "12345", "1234\0\0\0x"] {
            let signed = Repr { authentication: simple(wrong), ..advert(Version::V2, &VIPS) };
            assert_eq!(receive(&envelope(), &signed, &closed), Err(Discard::AuthFailure));
        }
    }

    #[test]
    fn rx_15_v3_notes_another_interval_and_adopts_it() {
        let slow = Repr { interval: cs(200), ..advert(V3, &VIPS) };
        let accepted = receive(&envelope(), &slow, &expected(V3, &VIPS)).unwrap();
        assert!(accepted.notes.interval_differs);
        assert_eq!(accepted.advert.interval, cs(200));
    }

    #[test]
    fn rx_18_v2_drops_another_interval() {
        let slow = Repr { interval: cs(200), ..advert(Version::V2, &VIPS) };
        assert_eq!(receive(&envelope(), &slow, &expected(Version::V2, &VIPS)), Err(Discard::Interval(200)));
    }

    #[test]
    fn rx_16_v3_notes_another_address_list() {
        let others = [[198, 51, 100, 9].into()];
        let accepted = receive(&envelope(), &advert(V3, &others), &expected(V3, &VIPS)).unwrap();
        assert_eq!(accepted.notes.address_list, AddressListMatch::Disjoint);
        assert!(accepted.notes.is_address_list_error());
        let [first, _] = VIPS;
        let accepted = receive(&envelope(), &advert(V3, &[first]), &expected(V3, &VIPS)).unwrap();
        assert_eq!(accepted.notes.address_list, AddressListMatch::Overlaps);
        assert!(accepted.notes.is_address_list_error());
    }

    #[test]
    fn rx_17_v2_drops_another_address_list_unless_the_owner_sends_it() {
        let others = [[198, 51, 100, 9].into()];
        let mut sent = advert(Version::V2, &others);
        assert_eq!(receive(&envelope(), &sent, &expected(Version::V2, &VIPS)), Err(Discard::AddressList));
        sent.priority = None;
        assert_eq!(receive(&envelope(), &sent, &expected(Version::V2, &VIPS)), Err(Discard::AddressList));
        sent.priority = Some(Priority::OWNER);
        let accepted = receive(&envelope(), &sent, &expected(Version::V2, &VIPS)).unwrap();
        assert_eq!(accepted.notes.address_list, AddressListMatch::Disjoint);
    }

    #[test]
    fn rx_11_an_ipv6_list_starts_with_a_link_local_address() {
        let version = Version::V3(Family::V6);
        let source = "fe80::2".parse().unwrap();
        let envelope = Envelope { source, destination: Family::V6.group(), ttl: Some(255) };
        let list: [IpAddr; 2] = ["2001:db8::100".parse().unwrap(), "fe80::100".parse().unwrap()];
        let lenient = Expected { addresses: &list, ..Expected::new(version, vrid()) };
        let accepted = receive(&envelope, &advert(version, &list), &lenient).unwrap();
        assert!(accepted.notes.first_not_link_local && accepted.notes.is_address_list_error());
        assert_eq!(accepted.notes.address_list, AddressListMatch::Same);
        let strict = Expected { strict_address_list: true, ..lenient };
        // Also from the owner, who may have another list only in VRRPv2.
        for priority in [Priority::DEFAULT, Priority::OWNER] {
            let advert = Repr { priority: Some(priority), ..advert(version, &list) };
            assert_eq!(receive(&envelope, &advert, &strict), Err(Discard::AddressList));
        }
        let list = [list[1], list[0]];
        let accepted = receive(&envelope, &advert(version, &list), &strict).unwrap();
        assert!(!accepted.notes.is_address_list_error());
    }

    #[test]
    fn the_first_check_that_fails_is_the_one_reported() {
        // A VRRPv2 packet with everything wrong; one expectation after the other is brought into line.
        let octets = [0x21, 52, 100, 0, 7, 2, 0x73, 0xc9, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = Packet::parse(&envelope(), &octets).unwrap();
        let discard = |expected: &Expected<'_>| packet.accept(&envelope(), expected).unwrap_err();
        let mut expected = expected(V3, &VIPS);
        expected.destination = [192, 0, 2, 1].into();
        expected.primary = Some(envelope().source);
        expected.peers = Some(&[]);
        assert_eq!(discard(&expected), Discard::Version(2));
        expected.version = Version::V2;
        assert_eq!(discard(&expected), Discard::Vrid(52));
        expected.vrid = Vrid::new(52).unwrap();
        assert_eq!(discard(&expected), Discard::Destination);
        expected.destination = Family::V4.group();
        assert_eq!(discard(&expected), Discard::SelfReceived);
        expected.primary = None;
        assert_eq!(discard(&expected), Discard::NotPeer);
        expected.peers = None;
        assert_eq!(discard(&expected), Discard::AuthType(7));
    }

    #[test]
    fn rx_10_count_zero_is_reported_before_the_list_it_differs_from() {
        let octets = [0x21, 51, 100, 0, 0, 1, 0x7a, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = Packet::parse(&envelope(), &octets).unwrap();
        assert_eq!(packet.accept(&envelope(), &expected(Version::V2, &VIPS)), Err(Discard::CountZero));
        let slow = Expected { interval: cs(200), ..expected(Version::V2, &VIPS) };
        assert_eq!(packet.accept(&envelope(), &slow), Err(Discard::Interval(100)));
    }
}
