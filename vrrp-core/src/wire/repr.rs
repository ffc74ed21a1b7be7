//! An advertisement to be sent.

use core::net::IpAddr;

#[cfg(feature = "auth-hmac")]
use super::hmac::{Signer, Trailer};
use super::{
    ADVERTISEMENT, AUTH_LEN, Authentication, ChecksumForm, HEADER_LEN, InternetChecksum, PROTOCOL, message_len,
};
use crate::{Family, Interval, Priority, Version, Vrid};

/// The contents of an advertisement (RFC 9568 §5.2, RFC 3768 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr<'a> {
    /// Version and family.
    pub version: Version,
    /// VRID.
    pub vrid: Vrid,
    /// The sender's priority; `None` is priority 0: it resigns (RFC 9568 §5.2.4).
    pub priority: Option<Priority>,
    /// The sender's own interval, never one that it learned (RFC 9568 §6.1).
    pub interval: Interval,
    /// VRRPv2 only (RFC 2338 §5.3.6).
    pub authentication: Authentication,
    /// 1 to 255 addresses in the configured order, over IPv6 a link-local one first (RFC 9568 §5.2.9).
    pub addresses: &'a [IpAddr],
}

/// An advertisement that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The buffer is too small.
    #[error("the advertisement needs {need} octets, the buffer has {have}")]
    Buffer {
        /// Octets needed.
        need: usize,
        /// Octets there are.
        have: usize,
    },
    /// An advertisement names at least one address (RFC 9568 §5.2.5).
    #[error("no address to advertise: give 1 to 255")]
    NoAddress,
    /// More addresses than the count field can say (RFC 9568 §5.2.5).
    #[error("{0} addresses to advertise: a virtual router has at most 255")]
    TooManyAddresses(usize),
    /// An address of the other family, in the list, as the source or as the destination (RFC 9568 §5.2.9).
    #[error("{address} is not an {} address: one virtual router per family", .version.family())]
    Family {
        /// The address.
        address: IpAddr,
        /// The version, with the family it should have been of.
        version: Version,
    },
    /// VRRPv2 carries whole seconds (RFC 3768 §5.3.7), VRRPv3 up to 40.95 s (RFC 9568 §5.2.7).
    #[error(
        "{version} cannot carry an interval of {interval} \
         (VRRPv2: 1 s to 255 s in whole seconds; VRRPv3: up to 40.95 s)"
    )]
    Interval {
        /// The version.
        version: Version,
        /// The interval that it has no room for.
        interval: Interval,
    },
    /// VRRPv3 has no authentication field (RFC 9568 §9).
    #[error("VRRPv3 has no authentication field: use none, or VRRPv2")]
    Authentication,
}

impl<'a> Repr<'a> {
    /// Octets of the longest advertisement there is, 255 IPv6 addresses: a buffer that is always large enough.
    pub const MAX_LEN: usize = message_len(Version::V3(Family::V6), 255);

    /// The same with a trailer.
    #[cfg(feature = "auth-hmac")]
    pub const MAX_SIGNED_LEN: usize = Self::MAX_LEN + Trailer::LEN;

    /// A resignation (priority 0) with the default interval and no authentication.
    pub const fn new(version: Version, vrid: Vrid, addresses: &'a [IpAddr]) -> Self {
        Self {
            version,
            vrid,
            priority: None,
            interval: Interval::DEFAULT,
            authentication: Authentication::None,
            addresses,
        }
    }

    /// Octets that [`emit`](Self::emit) writes.
    pub const fn buffer_len(&self) -> usize {
        message_len(self.version, self.addresses.len())
    }

    /// Writes the advertisement, the payload of an IP datagram, to the start of `buffer`; the rest stays as it is.
    /// Gives the octets written.
    ///
    /// `source` and `destination` are those of the datagram: the checksum may cover them. `form` counts in VRRPv3
    /// over IPv4 alone.
    ///
    /// # Errors
    /// [`EmitError`]; the buffer may then hold a part of an advertisement.
    pub fn emit(
        &self,
        source: IpAddr,
        destination: IpAddr,
        form: ChecksumForm,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        let mut header = self.checked_header(source, destination)?;
        let (need, have) = (self.buffer_len(), buffer.len());
        let message = buffer.get_mut(..need).ok_or(EmitError::Buffer { need, have })?;
        let (head, body) = message.split_first_chunk_mut::<HEADER_LEN>().ok_or(EmitError::Buffer { need, have })?;
        self.write_body(body)?;

        let sum = self.pseudo_header(source, destination, form, need).with(&header).with(body);
        let [_, _, _, _, _, _, high, low] = &mut header;
        [*high, *low] = sum.field();
        *head = header;
        Ok(need)
    }

    /// As [`emit`](Self::emit), with a trailer of 28 octets after the advertisement that proves who sent it.
    ///
    /// # Errors
    /// [`EmitError`]; the buffer may then hold a part of an advertisement.
    #[cfg(feature = "auth-hmac")]
    pub fn emit_signed(
        &self,
        source: IpAddr,
        destination: IpAddr,
        form: ChecksumForm,
        signer: Signer<'_>,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        let mut header = self.checked_header(source, destination)?;
        let (len, have) = (self.buffer_len(), buffer.len());
        let need = len + Trailer::LEN;
        let too_small = || EmitError::Buffer { need, have };
        let message = buffer.get_mut(..need).ok_or_else(too_small)?;
        let (head, rest) = message.split_first_chunk_mut::<HEADER_LEN>().ok_or_else(too_small)?;
        let (body, trailer) = rest.split_last_chunk_mut().ok_or_else(too_small)?;
        self.write_body(body)?;
        signer.write(source, &header, body, trailer);

        let covered = match self.version.family() {
            Family::V4 => self.pseudo_header(source, destination, form, len),
            Family::V6 => self.pseudo_header(source, destination, form, need).with(trailer),
        };
        let sum = covered.with(&header).with(body);
        let [_, _, _, _, _, _, high, low] = &mut header;
        [*high, *low] = sum.field();
        *head = header;
        Ok(need)
    }

    /// The header for a datagram between these two, its checksum zero.
    fn checked_header(&self, source: IpAddr, destination: IpAddr) -> Result<[u8; HEADER_LEN], EmitError> {
        let header = self.header()?;
        for address in [source, destination] {
            if Family::of(address) != self.version.family() {
                return Err(self.wrong_family(address));
            }
        }
        Ok(header)
    }

    /// The header, its checksum zero.
    fn header(&self) -> Result<[u8; HEADER_LEN], EmitError> {
        let version_type = self.version.number() << 4 | ADVERTISEMENT;
        let priority = self.priority.map_or(0, Priority::get);
        let count = match (u8::try_from(self.addresses.len()), self.addresses) {
            (_, []) => return Err(EmitError::NoAddress),
            (Ok(count), _) => count,
            (Err(_), addresses) => return Err(EmitError::TooManyAddresses(addresses.len())),
        };
        let [high, low] = self.auth_type_interval()?;
        Ok([version_type, self.vrid.get(), priority, count, high, low, 0, 0])
    }

    /// Octets 4 and 5: in VRRPv2 the authentication type and seconds (RFC 3768 §5.3.6, §5.3.7), in VRRPv3 four zero
    /// bits and 12 bits of centiseconds (RFC 9568 §5.2.6, §5.2.7).
    fn auth_type_interval(&self) -> Result<[u8; 2], EmitError> {
        let Self { version, interval, authentication, .. } = *self;
        match (version, authentication) {
            (Version::V2, authentication) => match interval.as_seconds() {
                Some(seconds) => Ok([authentication.auth_type(), seconds]),
                None => Err(EmitError::Interval { version, interval }),
            },
            (Version::V3(_), Authentication::SimpleText(_)) => Err(EmitError::Authentication),
            (Version::V3(_), Authentication::None) => match interval.as_centiseconds() {
                centiseconds @ ..=0x0fff => Ok(centiseconds.to_be_bytes()),
                _ => Err(EmitError::Interval { version, interval }),
            },
        }
    }

    /// The addresses and what follows them.
    fn write_body(&self, body: &mut [u8]) -> Result<(), EmitError> {
        match self.version {
            Version::V2 => {
                let have = body.len();
                let (addresses, auth_data) =
                    body.split_last_chunk_mut::<AUTH_LEN>().ok_or(EmitError::Buffer { need: AUTH_LEN, have })?;
                *auth_data = self.authentication.data();
                self.write_ipv4(addresses)
            }
            Version::V3(Family::V4) => self.write_ipv4(body),
            Version::V3(Family::V6) => self.write_ipv6(body),
        }
    }

    fn write_ipv4(&self, octets: &mut [u8]) -> Result<(), EmitError> {
        for (to, address) in octets.as_chunks_mut().0.iter_mut().zip(self.addresses) {
            match address {
                IpAddr::V4(address) => *to = address.octets(),
                IpAddr::V6(_) => return Err(self.wrong_family(*address)),
            }
        }
        Ok(())
    }

    fn write_ipv6(&self, octets: &mut [u8]) -> Result<(), EmitError> {
        for (to, address) in octets.as_chunks_mut().0.iter_mut().zip(self.addresses) {
            match address {
                IpAddr::V4(_) => return Err(self.wrong_family(*address)),
                IpAddr::V6(address) => *to = address.octets(),
            }
        }
        Ok(())
    }

    /// The sum over what the checksum covers before the message (RFC 3768 §5.3.8, RFC 9568 §5.2.8).
    fn pseudo_header(&self, source: IpAddr, destination: IpAddr, form: ChecksumForm, len: usize) -> InternetChecksum {
        match (self.version, form) {
            (Version::V2, _) | (Version::V3(Family::V4), ChecksumForm::MessageOnly) => InternetChecksum::new(),
            (Version::V3(Family::V4), ChecksumForm::PseudoHeader) | (Version::V3(Family::V6), _) => {
                InternetChecksum::pseudo_header(source, destination, PROTOCOL, len)
            }
        }
    }

    fn wrong_family(&self, address: IpAddr) -> EmitError {
        EmitError::Family { address, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Password;

    const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));
    const VIP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 100));
    const V3: Version = Version::V3(Family::V4);
    const V6: Version = Version::V3(Family::V6);

    fn advert(version: Version, addresses: &[IpAddr]) -> Repr<'_> {
        Repr { priority: Some(Priority::DEFAULT), ..Repr::new(version, Vrid::new(51).unwrap(), addresses) }
    }

    fn emit_with(repr: &Repr<'_>, source: IpAddr, form: ChecksumForm) -> Result<Vec<u8>, EmitError> {
        let mut buffer = [0xaa; Repr::MAX_LEN + 1];
        let len = repr.emit(source, Family::of(source).group(), form, &mut buffer)?;
        assert!(buffer[len..].iter().all(|octet| *octet == 0xaa), "wrote past the end");
        assert_eq!(len, repr.buffer_len());
        Ok(buffer[..len].to_vec())
    }

    fn emit(repr: &Repr<'_>) -> Result<Vec<u8>, EmitError> {
        emit_with(repr, SOURCE, ChecksumForm::MessageOnly)
    }

    #[test]
    fn pf_17_pf_18_v2_is_written() {
        let octets = emit(&advert(Version::V2, &[VIP])).unwrap();
        let expected = [0x21, 0x33, 0x64, 0x01, 0x00, 0x01, 0xb8, 0x65, 192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(octets, expected);
    }

    #[test]
    fn au_01_pf_18_v2_with_a_password_is_written() {
        let vips = [VIP, [192, 0, 2, 101].into(), [192, 0, 2, 102].into()];
        let authentication = Authentication::SimpleText(Password::new("1234").unwrap());
        let priority = Priority::from_wire(150);
        let octets = emit(&Repr { authentication, priority, ..advert(Version::V2, &vips) }).unwrap();
        assert_eq!(octets[..8], [0x21, 0x33, 0x96, 0x03, 0x01, 0x01, 0x9c, 0x30]);
        assert_eq!(octets[20..], *b"1234\0\0\0\0");
    }

    #[test]
    fn pf_09_pf_10_v3_over_ipv4_is_written_in_both_checksum_forms() {
        let advert = advert(V3, &[VIP]);
        let octets = emit_with(&advert, SOURCE, ChecksumForm::MessageOnly).unwrap();
        assert_eq!(octets, [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100]);
        let octets = emit_with(&advert, SOURCE, ChecksumForm::PseudoHeader).unwrap();
        assert_eq!(octets, [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x05, 0x71, 192, 0, 2, 100]);
    }

    #[test]
    fn uc_08_the_pseudo_header_has_the_real_destination() {
        let mut buffer = [0; 12];
        let form = ChecksumForm::PseudoHeader;
        advert(V3, &[VIP]).emit(SOURCE, [192, 0, 2, 1].into(), form, &mut buffer).unwrap();
        assert_eq!(buffer[6..8], [0x23, 0x82]);
    }

    #[test]
    fn pf_12_v3_over_ipv6_is_written_with_a_pseudo_header_whatever_the_form() {
        let vips = ["fe80::100".parse().unwrap()];
        for form in [ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader] {
            let octets = emit_with(&advert(V6, &vips), "fe80::ff:fe00:b".parse().unwrap(), form).unwrap();
            assert_eq!(octets[..8], [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x6d, 0xbd]);
        }
    }

    #[test]
    fn pf_07_v3_intervals_up_to_4095_are_written_with_a_zero_nibble() {
        for centiseconds in 1..=4095 {
            let interval = Interval::from_centiseconds(centiseconds).unwrap();
            let octets = emit(&Repr { interval, ..advert(V3, &[VIP]) }).unwrap();
            assert_eq!(u64::from(u16::from_be_bytes([octets[4], octets[5]])), centiseconds);
        }
    }

    #[test]
    fn pf_07_pf_19_an_interval_without_room_is_refused() {
        let interval = Interval::from_seconds(41).unwrap();
        let error = EmitError::Interval { version: V3, interval };
        assert_eq!(emit(&Repr { interval, ..advert(V3, &[VIP]) }), Err(error));
        let interval = Interval::from_centiseconds(150).unwrap();
        let error = EmitError::Interval { version: Version::V2, interval };
        assert_eq!(emit(&Repr { interval, ..advert(Version::V2, &[VIP]) }), Err(error));
        assert_eq!(
            error.to_string(),
            "VRRPv2/IPv4 cannot carry an interval of 1500 ms \
             (VRRPv2: 1 s to 255 s in whole seconds; VRRPv3: up to 40.95 s)"
        );
    }

    #[test]
    fn pf_05_1_to_255_addresses_are_written() {
        assert_eq!(emit(&advert(V3, &[])), Err(EmitError::NoAddress));
        assert_eq!(emit(&advert(V3, &[VIP; 255])).unwrap().len(), 1028);
        assert_eq!(emit(&advert(Version::V2, &[VIP; 255])).unwrap().len(), 1036);
        assert_eq!(emit(&advert(V3, &[VIP; 256])), Err(EmitError::TooManyAddresses(256)));
    }

    #[test]
    fn pf_20_the_longest_advertisement_fits_the_buffer_that_is_always_large_enough() {
        let vips = ["fe80::100".parse().unwrap(); 255];
        let octets = emit_with(&advert(V6, &vips), "fe80::1".parse().unwrap(), ChecksumForm::MessageOnly).unwrap();
        assert_eq!(octets.len(), Repr::MAX_LEN);
        assert_eq!(Repr::MAX_LEN, 4088);
    }

    #[test]
    fn pf_14_an_address_of_the_other_family_is_refused() {
        let address = "fe80::100".parse().unwrap();
        let wrong = |version, address| Err(EmitError::Family { address, version });
        assert_eq!(emit(&advert(V3, &[VIP, address])), wrong(V3, address));
        assert_eq!(emit(&advert(Version::V2, &[address])), wrong(Version::V2, address));
        assert_eq!(emit_with(&advert(V6, &[VIP]), address, ChecksumForm::MessageOnly), wrong(V6, VIP));
        assert_eq!(emit_with(&advert(V3, &[VIP]), address, ChecksumForm::MessageOnly), wrong(V3, address));
        let mut buffer = [0; 12];
        let group = Family::V6.group();
        assert_eq!(
            advert(V3, &[VIP]).emit(SOURCE, group, ChecksumForm::MessageOnly, &mut buffer),
            Err(EmitError::Family { address: group, version: V3 })
        );
    }

    #[test]
    fn au_07_v3_has_no_authentication() {
        let authentication = Authentication::SimpleText(Password::new("1234").unwrap());
        assert_eq!(emit(&Repr { authentication, ..advert(V3, &[VIP]) }), Err(EmitError::Authentication));
    }

    #[test]
    fn a_buffer_too_small_is_refused_with_what_it_needs() {
        for (version, need) in [(Version::V2, 20), (V3, 12)] {
            for have in 0..need {
                let result = advert(version, &[VIP]).emit(
                    SOURCE,
                    Family::V4.group(),
                    ChecksumForm::MessageOnly,
                    &mut vec![0; have],
                );
                assert_eq!(result, Err(EmitError::Buffer { need, have }));
            }
        }
    }
}
