//! The fields of an advertisement, as far as there are any: also of one that no router takes.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use vrrp_core::Family;
use vrrp_core::hmac::Trailer;
use vrrp_core::wire::{Accepted, AddressListMatch, ChecksumForm, Discard, Envelope, InternetChecksum, PROTOCOL};

use crate::counter;

const HEADER_LEN: usize = 8;
const AUTH_LEN: usize = 8;

/// The payload of a VRRP datagram, taken apart by its version and its count, without any check.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    header: [u8; HEADER_LEN],
    family: Family,
    /// The addresses that are there, which may be fewer than the count says.
    pub(crate) addresses: Vec<IpAddr>,
    /// The authentication data of VRRPv2.
    pub(crate) auth_data: Option<[u8; AUTH_LEN]>,
    /// What follows, if it is as long as a trailer of `auth_hmac`.
    trailer: Option<Trailer>,
    /// Octets that follow, if it is not.
    surplus: usize,
    /// The payload without the trailer.
    message: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `None` if there is not even a header.
    pub(crate) fn read(family: Family, payload: &'a [u8]) -> Option<Self> {
        let (header, rest) = payload.split_first_chunk::<HEADER_LEN>()?;
        let [version_type, _, _, count, ..] = *header;
        let wanted = usize::from(count) * family.address_len();
        let (list, rest) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
        let addresses = match family {
            Family::V4 => list.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
            Family::V6 => list.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
        };
        let (auth_data, rest) = match (version_type >> 4, rest.split_first_chunk::<AUTH_LEN>()) {
            (2, Some((auth_data, rest))) => (Some(*auth_data), rest),
            _ => (None, rest),
        };
        let trailer = <&[u8; Trailer::LEN]>::try_from(rest).ok().map(Trailer::from_octets);
        let surplus = if trailer.is_some() { 0 } else { rest.len() };
        let message = payload.get(..payload.len() - rest.len()).unwrap_or(payload);
        Some(Self { header: *header, family, addresses, auth_data, trailer, surplus, message, payload })
    }

    /// The number of the version, whatever it is.
    pub(crate) fn version(&self) -> u8 {
        self.header[0] >> 4
    }

    /// The VRID: 0 too.
    pub(crate) fn vrid(&self) -> u8 {
        self.header[1]
    }

    /// The authentication type of VRRPv2.
    pub(crate) fn auth_type(&self) -> Option<u8> {
        (self.version() == 2).then_some(self.header[4])
    }

    /// The interval in centiseconds: 0 too.
    pub(crate) fn interval(&self) -> u16 {
        let [_, _, _, _, high, low, ..] = self.header;
        match self.version() {
            2 => u16::from(low) * 100,
            _ => u16::from_be_bytes([high & 0x0f, low]),
        }
    }

    fn priority_words(&self) -> String {
        match self.header[2] {
            0 => "0 (resigns)".into(),
            255 => "255 (owner of the addresses)".into(),
            priority => priority.to_string(),
        }
    }

    fn auth_words(&self) -> String {
        let quoted = |data: [u8; AUTH_LEN]| {
            let end = data.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
            data.get(..end).unwrap_or_default().escape_ascii().to_string()
        };
        match (self.auth_type(), self.auth_data) {
            (None, _) => "none (VRRPv3 has no such field)".into(),
            (Some(0), _) => "0 (none)".into(),
            (Some(1), Some(data)) => format!("1 (simple text \"{}\")", quoted(data)),
            (Some(1), None) => "1 (simple text, which is missing)".into(),
            (Some(2), _) => "2 (AH)".into(),
            (Some(other), _) => format!("{other} (unknown)"),
        }
    }

    fn checksum_words(&self, envelope: &Envelope) -> String {
        let [_, _, _, _, _, _, high, low] = self.header;
        let covered = if self.family == Family::V4 { self.message } else { self.payload };
        let forms: &[ChecksumForm] = match (self.version(), self.family) {
            (2, Family::V4) => &[ChecksumForm::MessageOnly],
            (_, Family::V4) => &[ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader],
            (_, Family::V6) => &[ChecksumForm::PseudoHeader],
        };
        let right = forms.iter().find(|form| sum(**form, envelope, covered).verifies());
        let mut words = format!("0x{high:02x}{low:02x} ");
        match right {
            Some(form) => _ = write!(words, "({})", name(*form)),
            None => {
                let mut blank = covered.to_vec();
                blank.iter_mut().skip(6).take(2).for_each(|octet| *octet = 0);
                let fields = forms.iter().map(|form| {
                    let [high, low] = sum(*form, envelope, &blank).field();
                    format!("0x{high:02x}{low:02x} ({})", name(*form))
                });
                _ = write!(words, "(wrong: it would be {})", fields.collect::<Vec<_>>().join(" or "));
            }
        }
        words
    }

    fn trailer_words(&self) -> String {
        match (self.trailer, self.surplus) {
            (Some(trailer), _) if trailer.is_well_formed() => {
                format!("auth_hmac, key {}, signed at {}", trailer.key_id(), trailer.sequence())
            }
            (Some(_), _) => "28 octets, which are no auth_hmac that is known".into(),
            (None, 0) => "none".into(),
            (None, 1) => "none, but 1 octet too many".into(),
            (None, surplus) => format!("none, but {surplus} octets too many"),
        }
    }
}

fn name(form: ChecksumForm) -> &'static str {
    match form {
        ChecksumForm::MessageOnly => "message only",
        ChecksumForm::PseudoHeader => "with pseudo-header",
    }
}

fn sum(form: ChecksumForm, envelope: &Envelope, covered: &[u8]) -> InternetChecksum {
    let message = InternetChecksum::new().with(covered);
    match form {
        ChecksumForm::MessageOnly => message,
        ChecksumForm::PseudoHeader => {
            let Envelope { source, destination, .. } = *envelope;
            message.join(InternetChecksum::pseudo_header(source, destination, PROTOCOL, covered.len()))
        }
    }
}

/// Writes the fields, one on a line.
pub(crate) fn write(out: &mut impl Write, number: usize, envelope: &Envelope, payload: &[u8]) -> io::Result<()> {
    let Envelope { source, destination, ttl } = *envelope;
    write!(out, "{number}: {source} > {destination}")?;
    ttl.map_or(Ok(()), |ttl| write!(out, ", TTL {ttl}"))?;
    writeln!(out, ", {} octets", payload.len())?;
    let Some(fields) = Fields::read(Family::of(source), payload) else { return Ok(()) };
    let kind = match fields.header[0] & 0x0f {
        1 => "1 (ADVERTISEMENT)".into(),
        other => format!("{other} (unknown)"),
    };
    let list: Vec<_> = fields.addresses.iter().map(ToString::to_string).collect();
    let centiseconds = fields.interval();
    let rows = [
        ("version", fields.version().to_string()),
        ("type", kind),
        ("vrid", fields.vrid().to_string()),
        ("priority", fields.priority_words()),
        ("interval", format!("{}.{:02} s", centiseconds / 100, centiseconds % 100)),
        ("auth", fields.auth_words()),
        ("count", fields.header[3].to_string()),
        ("addresses", if list.is_empty() { "none".into() } else { list.join(", ") }),
        ("checksum", fields.checksum_words(envelope)),
        ("trailer", fields.trailer_words()),
    ];
    rows.iter().try_for_each(|(name, value)| write_row(out, name, value))
}

/// Writes what a virtual router makes of it.
pub(crate) fn write_verdict(out: &mut impl Write, verdict: &Result<Accepted, Discard>) -> io::Result<()> {
    match verdict {
        Ok(accepted) => {
            write_row(out, "verdict", "accept")?;
            let notes = accepted.notes;
            if notes.interval_differs {
                write_row(out, "note", "the interval is not the configured one: interval-errors (RFC 8347)")?;
            }
            if notes.address_list != AddressListMatch::Same {
                write_row(out, "note", "the address list is not the configured one: address-list-errors (RFC 8347)")?;
            }
            if notes.first_not_link_local {
                write_row(out, "note", "the first address is not link-local: address-list-errors (RFC 8347)")?;
            }
        }
        Err(discard) => {
            write_row(out, "verdict", "discard")?;
            write_row(out, "reason", &format!("{}: {discard}", discard.reason()))?;
            write_row(out, "counter", &counter(discard.reason()))?;
        }
    }
    writeln!(out)
}

fn write_row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<10} {value}")
}
