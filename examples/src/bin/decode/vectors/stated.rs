//! The words that vectors state their verdicts in.

use anyhow::bail;
use vrrp_core::wire::{Discard, Reason};

/// A verdict as far as it is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    /// It is taken.
    Accept,
    /// It is not, for one of these reasons.
    Discard(&'static [Reason]),
    /// It is not, for whatever reason: the other implementation never saw it.
    NotSeen,
}

/// How a verdict begins, longer words first. The first half are those of VECTORS.md, the others those of keepalived.
const WORDS: [(&str, Stated); 33] = [
    ("accept", Stated::Accept),
    ("as above, interop profile", Stated::Accept),
    ("drop: ip-ttl", Stated::Discard(&[Reason::Ttl])),
    ("drop: version", Stated::Discard(&[Reason::Version])),
    ("drop: type", Stated::Discard(&[Reason::Type])),
    ("drop: packet-length", Stated::Discard(&[Reason::TooShort, Reason::Length])),
    ("drop: count-zero", Stated::Discard(&[Reason::CountZero])),
    ("drop: checksum", Stated::Discard(&[Reason::Checksum])),
    ("drop(checksum)", Stated::Discard(&[Reason::Checksum])),
    ("drop: interval", Stated::Discard(&[Reason::Interval])),
    ("drop: auth-type", Stated::Discard(&[Reason::AuthType, Reason::AuthTypeMismatch])),
    ("drop: auth", Stated::Discard(&[Reason::AuthFailure])),
    ("drop: vrid", Stated::Discard(&[Reason::Vrid])),
    ("drop: address", Stated::Discard(&[Reason::AddressList])),
    ("drop: fragment", Stated::Discard(&[Reason::Fragment])),
    ("drop: self", Stated::Discard(&[Reason::SelfReceived])),
    ("drop: source", Stated::Discard(&[Reason::Source])),
    ("drop: destination", Stated::Discard(&[Reason::Destination])),
    ("reject:missing", Stated::Discard(&[Reason::AuthExtMissing])),
    ("reject:malformed", Stated::Discard(&[Reason::AuthExtMalformed])),
    ("reject:unknown_key", Stated::Discard(&[Reason::AuthExtUnknownKey])),
    ("reject:unknown_source", Stated::Discard(&[Reason::NotPeer])),
    ("reject:invalid_hmac", Stated::Discard(&[Reason::AuthExtInvalidHmac])),
    ("reject:stale", Stated::Discard(&[Reason::AuthExtStale])),
    ("reject:replay", Stated::Discard(&[Reason::AuthExtReplay])),
    ("reject:length", Stated::Discard(&[Reason::Length, Reason::TooShort])),
    ("reject:ttl", Stated::Discard(&[Reason::Ttl])),
    ("reject:type", Stated::Discard(&[Reason::Type])),
    ("reject:version", Stated::Discard(&[Reason::Version])),
    ("reject:authtype", Stated::Discard(&[Reason::AuthType, Reason::AuthTypeMismatch])),
    ("reject:auth_failure", Stated::Discard(&[Reason::AuthFailure])),
    ("reject:checksum", Stated::Discard(&[Reason::Checksum])),
    ("kernel_drop:checksum", Stated::Discard(&[Reason::Checksum])),
];

/// The same, of those that are one word.
const WHOLE: [(&str, Stated); 3] = [
    ("ignore:vrid", Stated::Discard(&[Reason::Vrid])),
    ("drop:advert_interval", Stated::Discard(&[Reason::Interval])),
    ("not_seen", Stated::NotSeen),
];

impl Stated {
    /// What `text` calls for.
    ///
    /// # Errors
    /// That it is no verdict that is known.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let known = WHOLE.iter().find(|(word, _)| text == *word);
        match known.or_else(|| WORDS.iter().find(|(word, _)| text.starts_with(word))) {
            Some((_, stated)) => Ok(*stated),
            None => bail!("{text:?} is no verdict that is known (accept, drop: checksum, reject:length, not_seen, …)"),
        }
    }

    /// Whether this is it.
    pub(crate) fn agrees(self, result: Result<(), Discard>) -> bool {
        match (self, result) {
            (Self::Accept, Ok(())) | (Self::NotSeen, Err(_)) => true,
            (Self::Discard(reasons), Err(discard)) => reasons.contains(&discard.reason()),
            (Self::Accept | Self::NotSeen | Self::Discard(_), _) => false,
        }
    }
}
