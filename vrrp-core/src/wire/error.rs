//! Why a received datagram was not accepted: one reason each, so that one counter each.

use core::fmt;
use core::net::IpAddr;

/// The first check of the receive path (RFC 9568 §7.1) that a datagram failed.
///
/// A discarded datagram changes nothing but one counter: that of its [`reason`](Self::reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Discard {
    /// The IPv4 header contradicts itself or the datagram it is in (RFC 791 §3.1).
    #[error("the IPv4 header and its lengths do not fit the datagram")]
    IpHeader,
    /// The datagram is shorter than its IP header says, or than what was sent: the receive buffer cut it.
    #[error("the datagram was cut short on its way")]
    Truncated,
    /// A fragment: no advertisement needs to be one.
    #[error("a fragment of a datagram")]
    Fragment,
    /// The IP protocol; 51 is keepalived's `auth_type AH`.
    #[error("IP protocol {0} is not 112 (VRRP)")]
    Protocol(u8),
    /// The source address is not one host's, or over IPv6 not link-local (RFC 9568 §5.1.1.1, §5.1.2.1).
    #[error("source {0} is not a unicast address (IPv6: link-local) of one host")]
    Source(IpAddr),
    /// The payload does not even hold the fixed header (RFC 9568 §7.1).
    #[error("the payload is shorter than the 8 octets of a VRRP header")]
    TooShort,
    /// TTL or hop limit; `None` if the socket did not report one, which must not pass (RFC 9568 §7.1).
    #[error(fmt = ttl)]
    Ttl(Option<u8>),
    /// A version that is neither 2 nor 3, is 2 over IPv6, or is not the one configured (RFC 9568 §7.1).
    #[error("VRRP version {0} is not the one in use here")]
    Version(u8),
    /// A type that is not 1 (RFC 9568 §5.2.2).
    #[error("VRRP type {0} is not 1 (ADVERTISEMENT)")]
    Type(u8),
    /// Not the length that version and address count call for (RFC 9568 §7.1).
    #[error("the message has {got} octets, its version and address count call for {expected}")]
    Length {
        /// Octets that the header calls for.
        expected: u16,
        /// Octets that the IP payload has.
        got: u16,
    },
    /// The checksum does not verify, or only in the form that is not allowed here (RFC 9568 §5.2.8).
    #[error("the checksum does not verify")]
    Checksum,
    /// No virtual router with this VRID on this interface and family (RFC 9568 §7.1).
    #[error("VRID {0} is not configured here")]
    Vrid(u8),
    /// Sent to a group by a unicast peer, or to our own address by a multicast one.
    #[error("the destination address is not the one this virtual router listens on")]
    Destination,
    /// Our own address as the source: a loop in the network, or a duplicate address.
    #[error("the source address is our own")]
    SelfReceived,
    /// The source is not in the list of peers.
    #[error("the source address is not a configured peer")]
    NotPeer,
    /// An authentication type that RFC 2338 §5.3.6 does not define.
    #[error("authentication type {0} is unknown (known: 0 none, 1 simple text, 2 AH)")]
    AuthType(u8),
    /// An authentication type other than the configured one (RFC 3768 §7.1).
    #[error("the authentication type is not the configured one")]
    AuthTypeMismatch,
    /// The password is another one (RFC 2338 §5.3.6.2).
    #[error("the password is not the configured one")]
    AuthFailure,
    /// No trailer, where `auth_hmac` calls for one.
    #[error("no signature: the sender has no auth_hmac, or does not sign yet")]
    AuthExtMissing,
    /// A trailer whose type is not 1 or whose reserved octets are not zero: another revision of `auth_hmac`.
    #[error("the trailer is none of auth_hmac as of keepalived 2.4.2")]
    AuthExtMalformed,
    /// Signed too long ago, or too far in the future.
    #[error("signed {age} s ago by our clock, which is not within {window} s: set the clocks of both hosts")]
    AuthExtStale {
        /// Whole seconds; negative if it is in the future.
        age: i32,
        /// Seconds that pass.
        window: u16,
    },
    /// Signed with a key that is not known here.
    #[error("signed with key {0}, which is not configured here")]
    AuthExtUnknownKey(u8),
    /// The code is not the one that the key gives: another key of the same number, a forgery, or an address that was
    /// translated.
    #[error("the signature does not verify")]
    AuthExtInvalidHmac,
    /// Not later than what was last accepted from this sender.
    #[error("a replay: not later than the last advertisement of this sender")]
    AuthExtReplay,
    /// No address in the list (RFC 9568 §5.2.5, erratum 8299).
    #[error("the address list is empty")]
    CountZero,
    /// Centiseconds: 0 (RFC 9568 erratum 8301), or in VRRPv2 not the configured interval (RFC 3768 §7.1).
    #[error("advertisement interval of {0} cs: 0 or, in VRRPv2, not the configured one")]
    Interval(u16),
    /// In VRRPv2 the list differs and the sender is not the owner (RFC 3768 §7.1); in strict VRRPv3 over IPv6 it does
    /// not start with a link-local address (RFC 9568 erratum 8300).
    #[error("the address list is not the configured one, or does not start with a link-local address")]
    AddressList,
}

impl Discard {
    /// Which counter this one belongs to.
    pub const fn reason(self) -> Reason {
        match self {
            Self::IpHeader => Reason::IpHeader,
            Self::Truncated => Reason::Truncated,
            Self::Fragment => Reason::Fragment,
            Self::Protocol(_) => Reason::Protocol,
            Self::Source(_) => Reason::Source,
            Self::TooShort => Reason::TooShort,
            Self::Ttl(_) => Reason::Ttl,
            Self::Version(_) => Reason::Version,
            Self::Type(_) => Reason::Type,
            Self::Length { .. } => Reason::Length,
            Self::Checksum => Reason::Checksum,
            Self::Vrid(_) => Reason::Vrid,
            Self::Destination => Reason::Destination,
            Self::SelfReceived => Reason::SelfReceived,
            Self::NotPeer => Reason::NotPeer,
            Self::AuthType(_) => Reason::AuthType,
            Self::AuthTypeMismatch => Reason::AuthTypeMismatch,
            Self::AuthFailure => Reason::AuthFailure,
            Self::AuthExtMissing => Reason::AuthExtMissing,
            Self::AuthExtMalformed => Reason::AuthExtMalformed,
            Self::AuthExtStale { .. } => Reason::AuthExtStale,
            Self::AuthExtUnknownKey(_) => Reason::AuthExtUnknownKey,
            Self::AuthExtInvalidHmac => Reason::AuthExtInvalidHmac,
            Self::AuthExtReplay => Reason::AuthExtReplay,
            Self::CountZero => Reason::CountZero,
            Self::Interval(_) => Reason::Interval,
            Self::AddressList => Reason::AddressList,
        }
    }
}

/// A [`Discard`] without its particulars: what counters and metrics go by.
///
/// ```
/// use vrrp_core::wire::{Discard, Reason};
///
/// let mut counters = [0_u64; Reason::COUNT];
/// counters[Discard::Ttl(Some(254)).reason().index()] += 1;
/// assert_eq!(counters[Reason::Ttl.index()], 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Reason {
    /// [`Discard::IpHeader`]; no RFC 8347 counter.
    IpHeader,
    /// [`Discard::Truncated`]; RFC 8347 `packet-length-errors`.
    Truncated,
    /// [`Discard::Fragment`]; no RFC 8347 counter.
    Fragment,
    /// [`Discard::Protocol`]; no RFC 8347 counter.
    Protocol,
    /// [`Discard::Source`]; no RFC 8347 counter.
    Source,
    /// [`Discard::TooShort`]; RFC 8347 `packet-length-errors`.
    TooShort,
    /// [`Discard::Ttl`]; RFC 8347 `ip-ttl-errors` (global).
    Ttl,
    /// [`Discard::Version`]; RFC 8347 `version-errors` (global).
    Version,
    /// [`Discard::Type`]; RFC 8347 `invalid-type-pkts-rcvd`.
    Type,
    /// [`Discard::Length`]; RFC 8347 `packet-length-errors`.
    Length,
    /// [`Discard::Checksum`]; RFC 8347 `checksum-errors` (global).
    Checksum,
    /// [`Discard::Vrid`]; RFC 8347 `vrid-errors` (global).
    Vrid,
    /// [`Discard::Destination`]; no RFC 8347 counter.
    Destination,
    /// [`Discard::SelfReceived`]; no RFC 8347 counter.
    SelfReceived,
    /// [`Discard::NotPeer`]; no RFC 8347 counter.
    NotPeer,
    /// [`Discard::AuthType`]; no RFC 8347 counter (RFC 2787 `vrrpStatsInvalidAuthType`).
    AuthType,
    /// [`Discard::AuthTypeMismatch`]; no RFC 8347 counter (RFC 2787 `vrrpStatsAuthTypeMismatch`).
    AuthTypeMismatch,
    /// [`Discard::AuthFailure`]; no RFC 8347 counter (RFC 2787 `vrrpStatsAuthFailures`).
    AuthFailure,
    /// [`Discard::AuthExtMissing`]; no RFC 8347 counter.
    AuthExtMissing,
    /// [`Discard::AuthExtMalformed`]; no RFC 8347 counter.
    AuthExtMalformed,
    /// [`Discard::AuthExtStale`]; no RFC 8347 counter.
    AuthExtStale,
    /// [`Discard::AuthExtUnknownKey`]; no RFC 8347 counter.
    AuthExtUnknownKey,
    /// [`Discard::AuthExtInvalidHmac`]; no RFC 8347 counter.
    AuthExtInvalidHmac,
    /// [`Discard::AuthExtReplay`]; no RFC 8347 counter.
    AuthExtReplay,
    /// [`Discard::CountZero`]; RFC 8347 `packet-length-errors`.
    CountZero,
    /// [`Discard::Interval`]; RFC 8347 `interval-errors`.
    Interval,
    /// [`Discard::AddressList`]; RFC 8347 `address-list-errors`.
    AddressList,
}

impl Reason {
    /// How many there are: the length of an array of counters.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of the checks; `ALL[n].index()` is `n`.
    pub const ALL: [Self; 27] = [
        Self::IpHeader,
        Self::Truncated,
        Self::Fragment,
        Self::Protocol,
        Self::Source,
        Self::TooShort,
        Self::Ttl,
        Self::Version,
        Self::Type,
        Self::Length,
        Self::Checksum,
        Self::Vrid,
        Self::Destination,
        Self::SelfReceived,
        Self::NotPeer,
        Self::AuthType,
        Self::AuthTypeMismatch,
        Self::AuthFailure,
        Self::AuthExtMissing,
        Self::AuthExtMalformed,
        Self::AuthExtStale,
        Self::AuthExtUnknownKey,
        Self::AuthExtInvalidHmac,
        Self::AuthExtReplay,
        Self::CountZero,
        Self::Interval,
        Self::AddressList,
    ];

    /// Where its counter stands in an array of [`COUNT`](Self::COUNT). May change between releases: store the
    /// [`name`](Self::name).
    pub const fn index(self) -> usize {
        self.row().0
    }

    /// A name for metrics, kebab-case as in YANG; it stays the same over releases.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The counter of RFC 8347 (`ietf-vrrp`) that includes this one, if any does.
    pub const fn rfc8347_counter(self) -> Option<&'static str> {
        self.row().2
    }

    /// Index, name and RFC 8347 counter.
    const fn row(self) -> (usize, &'static str, Option<&'static str>) {
        match self {
            Self::IpHeader => (0, "ip-header", None),
            Self::Truncated => (1, "truncated", Some("packet-length-errors")),
            Self::Fragment => (2, "fragment", None),
            Self::Protocol => (3, "ip-protocol", None),
            Self::Source => (4, "bad-source", None),
            Self::TooShort => (5, "too-short", Some("packet-length-errors")),
            Self::Ttl => (6, "ip-ttl", Some("ip-ttl-errors")),
            Self::Version => (7, "version", Some("version-errors")),
            Self::Type => (8, "type", Some("invalid-type-pkts-rcvd")),
            Self::Length => (9, "length", Some("packet-length-errors")),
            Self::Checksum => (10, "checksum", Some("checksum-errors")),
            Self::Vrid => (11, "vrid", Some("vrid-errors")),
            Self::Destination => (12, "bad-destination", None),
            Self::SelfReceived => (13, "self-received", None),
            Self::NotPeer => (14, "not-peer", None),
            Self::AuthType => (15, "auth-type", None),
            Self::AuthTypeMismatch => (16, "auth-type-mismatch", None),
            Self::AuthFailure => (17, "auth-failure", None),
            Self::AuthExtMissing => (18, "auth-ext-missing", None),
            Self::AuthExtMalformed => (19, "auth-ext-malformed", None),
            Self::AuthExtStale => (20, "auth-ext-stale", None),
            Self::AuthExtUnknownKey => (21, "auth-ext-unknown-key", None),
            Self::AuthExtInvalidHmac => (22, "auth-ext-invalid-hmac", None),
            Self::AuthExtReplay => (23, "auth-ext-replay", None),
            Self::CountZero => (24, "count-zero", Some("packet-length-errors")),
            Self::Interval => (25, "interval", Some("interval-errors")),
            Self::AddressList => (26, "address-list", Some("address-list-errors")),
        }
    }
}

/// The [`name`](Reason::name).
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn ttl(ttl: &Option<u8>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match ttl {
        Some(ttl) => write!(f, "TTL or hop limit {ttl} is not 255"),
        None => f.write_str("TTL or hop limit unknown: the socket did not report it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn mg_08_every_reason_has_its_own_counter_and_name() {
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), n, "{reason}");
        }
        let names: BTreeSet<_> = Reason::ALL.into_iter().map(Reason::name).collect();
        assert_eq!(names.len(), Reason::COUNT);
        let kebab = |name: &str| name.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
        assert!(names.iter().all(|name| kebab(name)));
    }

    #[test]
    fn mg_01_mg_02_every_rfc_8347_error_counter_has_a_reason() {
        let counters: BTreeSet<_> = Reason::ALL.into_iter().filter_map(Reason::rfc8347_counter).collect();
        let rfc8347 = [
            "address-list-errors",
            "checksum-errors",
            "interval-errors",
            "invalid-type-pkts-rcvd",
            "ip-ttl-errors",
            "packet-length-errors",
            "version-errors",
            "vrid-errors",
        ];
        assert_eq!(counters, BTreeSet::from(rfc8347));
    }

    #[test]
    fn a_message_names_the_offending_value() {
        assert_eq!(Discard::Ttl(Some(254)).to_string(), "TTL or hop limit 254 is not 255");
        assert_eq!(Discard::Ttl(None).to_string(), "TTL or hop limit unknown: the socket did not report it");
        assert_eq!(
            Discard::Length { expected: 20, got: 12 }.to_string(),
            "the message has 12 octets, its version and address count call for 20"
        );
        let source = Discard::Source(IpAddr::from([0; 4]));
        assert_eq!(source.to_string(), "source 0.0.0.0 is not a unicast address (IPv6: link-local) of one host");
    }

    #[test]
    fn a_discard_is_small() {
        assert!(size_of::<Discard>() <= 24, "{}", size_of::<Discard>());
    }
}
