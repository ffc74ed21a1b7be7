//! The receive path on any octets: it never panics, and what it accepts is written again as it was.
//!
//! An input is an octet that says what follows:
//!
//! | first octet | what follows |
//! |---|---|
//! | 4 | TTL, source and destination of 4 octets each, the payload |
//! | 6 | hop limit, source and destination of 16 octets each, the payload |
//! | 0x40 to 0x4f | it is the first of an IPv4 datagram, as a raw socket delivers it |
//!
//! The seeds are test vectors, named by their ids: of valid advertisements (V2, V3-4, V3-6) and of bad ones (M).

use std::net::IpAddr;

use vrrp_core::wire::{
    AddressListMatch, Authentication, ChecksumForm, Discard, Envelope, Expected, InternetChecksum, PROTOCOL, Packet,
    Password, Repr,
};
use vrrp_core::{Version, Vrid};

/// Reads an input, if it is of this version or of none that there is; whether it was.
pub fn read(input: &[u8], version: u8) -> bool {
    let Some((envelope, payload)) = split(input) else { return false };
    if payload.first().is_some_and(|octet| matches!(octet >> 4, 2 | 3) && octet >> 4 != version) {
        return false;
    }
    let mut payload = payload.to_vec();
    if let Err(Discard::Checksum) = Packet::parse(&envelope, &payload) {
        repair_checksum(&envelope, &mut payload);
    }
    let Ok(packet) = Packet::parse(&envelope, &payload) else { return true };
    let _ = format!("{packet} {packet:?}");

    let addresses: Vec<IpAddr> = packet.addresses().collect();
    assert_eq!(addresses.len(), usize::from(packet.count()));
    assert_eq!(packet.compare_addresses(&addresses), AddressListMatch::Same);

    match representation(&packet, &addresses) {
        Some(repr) => {
            accepted_where_it_is_expected(&packet, &envelope, &repr);
            written_as_it_was(&packet, &envelope, &repr, &payload);
        }
        None => {
            assert!(has_a_field_out_of_range(&payload), "{packet:?}");
            refused_where_it_is_nearly_expected(&packet, &envelope, &addresses);
        }
    }
    true
}

/// The input as the IP layer would give it.
pub(crate) fn split(input: &[u8]) -> Option<(Envelope, &[u8])> {
    match *input.first()? {
        4 => addressed::<4>(input),
        6 => addressed::<16>(input),
        0x40..=0x4f => Envelope::split_ipv4(input).ok(),
        _ => None,
    }
}

fn addressed<const N: usize>(input: &[u8]) -> Option<(Envelope, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (&[_, ttl], rest) = input.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk::<N>()?;
    let (destination, payload) = rest.split_first_chunk::<N>()?;
    Some((Envelope { source: (*source).into(), destination: (*destination).into(), ttl: Some(ttl) }, payload))
}

/// Makes the checksum right: by chance it is so once in 65,536 inputs, and little would be seen of what comes after it.
///
/// Where there are two forms, the input decides by the checksum it came with.
pub(crate) fn repair_checksum(envelope: &Envelope, payload: &mut [u8]) {
    let length = payload.len();
    let Some([version, _, _, _, _, _, high, low]) = payload.first_chunk_mut() else { return };
    let with_pseudo_header = *version >> 4 == 3 && (envelope.source.is_ipv6() || *low & 1 == 1);
    (*high, *low) = (0, 0);
    let pseudo_header = if with_pseudo_header {
        InternetChecksum::pseudo_header(envelope.source, envelope.destination, PROTOCOL, length)
    } else {
        InternetChecksum::new()
    };
    let field = pseudo_header.with(payload).field();
    payload[6..8].copy_from_slice(&field);
}

/// What a sender of this packet had to say, if we could say it: no field is outside its range.
pub(crate) fn representation<'a>(packet: &Packet<'_>, addresses: &'a [IpAddr]) -> Option<Repr<'a>> {
    let authentication = match (packet.auth_type(), packet.auth_data()) {
        (None | Some(0), _) => Authentication::None,
        (Some(1), Some(data)) => Authentication::SimpleText(Password::new(data).unwrap()),
        _ => return None,
    };
    if addresses.is_empty() {
        return None;
    }
    let mut repr = Repr::new(packet.version(), packet.vrid()?, addresses);
    repr.priority = packet.priority();
    repr.interval = packet.interval()?;
    repr.authentication = authentication;
    Some(repr)
}

/// VRID, count or interval zero, or an authentication that is neither none nor a password.
fn has_a_field_out_of_range(payload: &[u8]) -> bool {
    let [version, vrid, _, count, high, low, ..] = *payload else { return true };
    let (auth_type, interval) = match version >> 4 {
        2 => (high, u16::from(low)),
        _ => (0, u16::from_be_bytes([high & 0x0f, low])),
    };
    vrid == 0 || count == 0 || interval == 0 || auth_type > 1
}

/// A virtual router with the same configuration takes it.
fn accepted_where_it_is_expected(packet: &Packet<'_>, envelope: &Envelope, repr: &Repr<'_>) {
    let mut expected = Expected::new(repr.version, repr.vrid);
    expected.interval = repr.interval;
    expected.authentication = repr.authentication;
    expected.addresses = repr.addresses;
    expected.destination = envelope.destination;
    let accepted = packet.accept(envelope, &expected).unwrap();
    assert_eq!(accepted.advert.source, envelope.source);
    assert_eq!(accepted.advert.priority, repr.priority);
    assert_eq!(accepted.advert.interval, repr.interval);
    assert!(!accepted.notes.interval_differs);
    assert_eq!(accepted.notes.address_list, AddressListMatch::Same);

    // The router itself does not.
    expected.primary = Some(envelope.source);
    assert!(packet.accept(envelope, &expected).is_err());
}

/// A virtual router that comes as near to it as one can does not take a packet with a field out of its range.
fn refused_where_it_is_nearly_expected(packet: &Packet<'_>, envelope: &Envelope, addresses: &[IpAddr]) {
    let vrid = packet.vrid().unwrap_or(Vrid::new(1).unwrap());
    let mut expected = Expected::new(packet.version(), vrid);
    expected.interval = packet.interval().unwrap_or_default();
    expected.addresses = addresses;
    expected.destination = envelope.destination;
    assert!(packet.accept(envelope, &expected).is_err(), "{packet:?}");
}

/// Written again it says the same, and in the same octets where there is one way to say it.
pub(crate) fn written_as_it_was(packet: &Packet<'_>, envelope: &Envelope, repr: &Repr<'_>, payload: &[u8]) {
    let form = packet.checksum_form().unwrap_or(ChecksumForm::MessageOnly);
    let mut buffer = vec![0xa5; repr.buffer_len()];
    let length = repr.emit(envelope.source, envelope.destination, form, &mut buffer).unwrap();
    assert_eq!(length, buffer.len());
    assert_eq!(length, payload.len());

    let again = Packet::parse(envelope, &buffer).unwrap();
    let addresses: Vec<IpAddr> = again.addresses().collect();
    assert_eq!(representation(&again, &addresses).as_ref(), Some(repr));
    assert_eq!(again.checksum_form(), packet.checksum_form());

    // Three fields are read more widely than they are written: the reserved bits of VRRPv3, the data of
    // authentication type 0, and a checksum of zero, which may arrive as its other form.
    let mut expected = payload.to_vec();
    match packet.version() {
        Version::V3(_) => expected[4] &= 0x0f,
        Version::V2 if repr.authentication == Authentication::None => expected[length - 8..].fill(0),
        Version::V2 => {}
    }
    if expected != payload {
        expected[6..8].copy_from_slice(&buffer[6..8]);
    } else if expected[6..8] == [0xff, 0xff] {
        expected[6..8].fill(0);
    }
    assert_eq!(buffer, expected);
}
