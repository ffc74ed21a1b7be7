//! VRRP on the wire: from octets to a checked advertisement, and back.
//!
//! Receiving has three steps, in the order of RFC 9568 §7.1; the first check that fails gives the one [`Discard`]:
//!
//! 1. [`Envelope`]: what the IP layer says of the datagram. Over IPv4 [`Envelope::split_ipv4`] takes it from the
//!    datagram that a raw socket delivers; over IPv6 the socket reports it beside the payload.
//! 2. [`Packet::parse`]: the checks that hold for every virtual router, giving a view without a copy;
//!    [`Packet::parse_with`] where peers are behind routers.
//! 3. [`Packet::accept`]: the checks against what one virtual router is configured with ([`Expected`]).
//!
//! Sending is [`Repr::emit`] into a buffer of the caller's. Nothing here allocates, and no octets can make it panic.
//!
//! ```
//! use vrrp_core::wire::{ChecksumForm, Envelope, Expected, Packet, Repr};
//! use vrrp_core::{Family, Interval, Priority, Version, Vrid};
//!
//! let (version, vrid) = (Version::V3(Family::V4), Vrid::new(51)?);
//! let addresses = ["192.0.2.100".parse()?];
//! let envelope = Envelope { source: "192.0.2.2".parse()?, destination: Family::V4.group(), ttl: Some(255) };
//!
//! let mut buffer = [0; 1500];
//! let advert = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(version, vrid, &addresses) };
//! let len = advert.emit(envelope.source, envelope.destination, ChecksumForm::MessageOnly, &mut buffer)?;
//! assert_eq!(buffer[..len], [0x31, 51, 100, 1, 0, 100, 0xa8, 0x02, 192, 0, 2, 100]);
//!
//! let packet = Packet::parse(&envelope, &buffer[..len])?;
//! let mut expected = Expected::new(version, vrid);
//! expected.addresses = &addresses;
//! let accepted = packet.accept(&envelope, &expected)?;
//! assert_eq!(accepted.advert.interval, Interval::DEFAULT);
//! assert_eq!(accepted.notes.checksum_form, Some(ChecksumForm::MessageOnly));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod accept;
mod auth;
mod checksum;
mod compare;
mod envelope;
mod error;
#[cfg(feature = "auth-hmac")]
pub(crate) mod hmac;
mod packet;
mod repr;
mod ttl;

pub use accept::{Accepted, AddressListMatch, Expected, Notes};
pub use auth::{Authentication, Password, PasswordError};
pub use checksum::{ChecksumAcceptance, ChecksumForm, ChecksumPolicy, InternetChecksum};
pub use envelope::Envelope;
pub use error::{Discard, Reason};
pub use packet::{Addresses, Packet};
pub use repr::{EmitError, Repr};
pub use ttl::TtlPolicy;

/// IP protocol number and IPv6 next header of VRRP (RFC 9568 §5.1.1.4, §5.1.2.4).
pub const PROTOCOL: u8 = 112;

/// The TTL or hop limit that every advertisement carries: no router has forwarded it (RFC 9568 §5.1.1.3, §5.1.2.3).
pub const TTL: u8 = 255;

/// The only type of message there is (RFC 9568 §5.2.2).
const ADVERTISEMENT: u8 = 1;

/// Octets before the addresses, in both versions (RFC 9568 §5.1, RFC 3768 §5.1).
const HEADER_LEN: usize = 8;

/// Octets of authentication data after the addresses of VRRPv2 (RFC 3768 §5.1).
const AUTH_LEN: usize = 8;

/// Octets of the trailer that signs a message in `auth_hmac` (draft-cassen-vrrp-auth-hmac).
#[cfg(any(feature = "alloc", feature = "auth-hmac"))]
pub(crate) const SIGNATURE_LEN: usize = 28;

/// Octets of a whole message, and so the only length its IP payload may have.
const fn message_len(version: crate::Version, addresses: usize) -> usize {
    let trailer = match version {
        crate::Version::V2 => AUTH_LEN,
        crate::Version::V3(_) => 0,
    };
    addresses.saturating_mul(version.family().address_len()).saturating_add(HEADER_LEN + trailer)
}
