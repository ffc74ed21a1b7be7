//! The codec both ways: what is emitted is parsed to the same, what is accepted is emitted to the same octets.

use std::net::IpAddr;

use arbitrary::{Arbitrary, Result, Unstructured};
use vrrp_core::wire::{Authentication, ChecksumForm, EmitError, Envelope, Packet, Password, Repr};
use vrrp_core::{Family, Interval, Priority, Version, Vrid};

use crate::packet;

/// What is sent.
#[derive(Debug)]
pub struct Sent {
    version: Version,
    vrid: Vrid,
    priority: Option<Priority>,
    interval: Interval,
    password: Option<Password>,
    addresses: Vec<IpAddr>,
    source: IpAddr,
    destination: IpAddr,
    form: ChecksumForm,
    /// Octets of the buffer that are missing, or too many.
    room: i8,
}

impl<'a> Arbitrary<'a> for Sent {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let version = version(u)?;
        let password = match u.arbitrary::<Option<[u8; 8]>>()? {
            Some(octets) => Password::new(&octets[..1 + usize::from(octets[0] % 8)]).ok(),
            None => None,
        };
        let sent = Self {
            version,
            vrid: Vrid::new(u.int_in_range(1..=255)?).unwrap(),
            priority: Priority::from_wire(u.arbitrary()?),
            interval: interval(u, version)?,
            password,
            source: host(u, version.family())?,
            destination: if u.ratio(1, 4)? { host(u, version.family())? } else { version.family().group() },
            form: if u.arbitrary()? { ChecksumForm::MessageOnly } else { ChecksumForm::PseudoHeader },
            room: if u.ratio(1, 4)? { u.arbitrary()? } else { 0 },
            addresses: (0..u.arbitrary_len::<[u8; 16]>()?.min(300))
                .map(|_| address(u, version.family()))
                .collect::<Result<_>>()?,
        };
        Ok(sent)
    }
}

/// Any of the three.
pub(crate) fn version(u: &mut Unstructured<'_>) -> Result<Version> {
    Ok(*u.choose(&[Version::V2, Version::V3(Family::V4), Version::V3(Family::V6)])?)
}

/// One that this version can carry.
pub(crate) fn interval(u: &mut Unstructured<'_>, version: Version) -> Result<Interval> {
    Ok(match version {
        Version::V2 => Interval::from_seconds(u.int_in_range(1..=255)?).unwrap(),
        Version::V3(_) => Interval::from_centiseconds(u.int_in_range(1..=4095)?).unwrap(),
    })
}

/// Any address.
pub(crate) fn address(u: &mut Unstructured<'_>, family: Family) -> Result<IpAddr> {
    Ok(match family {
        Family::V4 => IpAddr::from(u.arbitrary::<[u8; 4]>()?),
        Family::V6 => IpAddr::from(u.arbitrary::<[u8; 16]>()?),
    })
}

/// One that an advertisement can be from.
pub(crate) fn host(u: &mut Unstructured<'_>, family: Family) -> Result<IpAddr> {
    let [a, b] = u.arbitrary::<u16>()?.to_be_bytes();
    Ok(match family {
        Family::V4 => IpAddr::from([10, 1, a, b]),
        Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 1, u16::from_be_bytes([a, b])]),
    })
}

/// `parse(emit(x)) = x`, and what cannot be emitted is refused for what is wrong with it.
pub fn emit_then_parse(sent: &Sent) {
    let authentication = sent.password.map_or(Authentication::None, Authentication::SimpleText);
    let repr = Repr {
        priority: sent.priority,
        interval: sent.interval,
        authentication,
        ..Repr::new(sent.version, sent.vrid, &sent.addresses)
    };
    let len = repr.buffer_len();
    let mut buffer = vec![0xa5; len.saturating_add_signed(sent.room.into())];
    match repr.emit(sent.source, sent.destination, sent.form, &mut buffer) {
        Ok(written) => {
            assert_eq!(written, len);
            assert!(buffer[len..].iter().all(|octet| *octet == 0xa5), "it wrote past its end");
        }
        Err(EmitError::Buffer { need, have }) => {
            assert!(sent.room < 0 && (need, have) == (len, buffer.len()));
            return;
        }
        Err(EmitError::NoAddress) => return assert!(sent.addresses.is_empty()),
        Err(EmitError::TooManyAddresses(count)) => return assert!(count > 255 && count == sent.addresses.len()),
        Err(EmitError::Authentication) => {
            return assert!(sent.password.is_some() && sent.version != Version::V2);
        }
        Err(error) => panic!("{error} of {sent:?}"),
    }
    let envelope = Envelope { source: sent.source, destination: sent.destination, ttl: Some(255) };
    let packet = Packet::parse(&envelope, &buffer[..len]).unwrap();
    let addresses: Vec<IpAddr> = packet.addresses().collect();
    assert_eq!(packet::representation(&packet, &addresses).as_ref(), Some(&repr));
    if sent.version == Version::V3(Family::V4) {
        // A sum of zero over the pseudo-header alone makes both forms one.
        assert!(packet.checksum_form() == Some(sent.form) || sent.form == ChecksumForm::PseudoHeader);
    }
}

/// `emit(parse(b)) = b`, for octets of either version.
pub fn parse_then_emit(input: &[u8]) {
    packet::read(input, 2);
    packet::read(input, 3);
}
