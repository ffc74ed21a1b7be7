//! Which TTL an advertisement must have.

use super::TTL;

/// The TTL or hop limit of the advertisements of one virtual router.
///
/// No router can have forwarded a packet of TTL 255 (RFC 5082 §3), so that only those on the link can take part in the
/// election. [`Routed`](Self::Routed) gives that up: anybody who can send to the router may then, with the address of
/// a peer as the source. Use it with authentication (`auth_hmac`), and only between peers that are not on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TtlPolicy {
    /// Sent with 255, and anything else is dropped (RFC 9568 §5.1.1.3, §5.1.2.3).
    #[default]
    Strict,
    /// For unicast peers behind routers.
    Routed {
        /// The least that is accepted: 255 less the routers on the longest way.
        min: u8,
        /// The most that is accepted: 255 less the routers on the shortest way.
        max: u8,
        /// What is sent: 255, unless the peers expect another.
        send: u8,
    },
}

impl TtlPolicy {
    /// Whether an advertisement that arrives with `ttl` is accepted. An unknown one never is.
    pub const fn accepts(self, ttl: Option<u8>) -> bool {
        match (self, ttl) {
            (Self::Strict, Some(ttl)) => ttl == TTL,
            (Self::Routed { min, max, send: _ }, Some(ttl)) => min <= ttl && ttl <= max,
            (Self::Strict | Self::Routed { .. }, None) => false,
        }
    }

    /// The TTL to send with.
    pub const fn sent(self) -> u8 {
        match self {
            Self::Strict => TTL,
            Self::Routed { send, .. } => send,
        }
    }

    /// Whether the peers may be beyond the link.
    pub const fn is_routed(self) -> bool {
        match self {
            Self::Strict => false,
            Self::Routed { .. } => true,
        }
    }
}
