//! Vectors that record what another implementation does, where this one does otherwise by decision.
//!
//! `vrrp-core`'s own tests hold the same verdicts, one by one.

/// Why this verdict for this vector is right although another is stated.
pub(crate) fn decision(name: &str, ours: &str) -> Option<&'static str> {
    DECISIONS.iter().find(|(other, verdict, _)| (*other, *verdict) == (name, ours)).map(|(_, _, why)| *why)
}

const SURPLUS: &str = "surplus octets within the IP payload are a wrong length, never padding (RX-05)";
const V2_OVER_IPV6: &str = "there is no VRRPv2 over IPv6";
const AH: &str = "AH, which RFC 3768 removed, is another IP protocol, and no socket here receives it";

/// Name of the vector, our verdict, and why.
const DECISIONS: &[(&str, &str, &str)] = &[
    ("flip-v3ip4-checksum-then-original", "accept", "what fails any check does not move the mark against replays"),
    ("trunc-14", "length", SURPLUS),
    ("trunc-14-permissive", "length", SURPLUS),
    ("trunc-26", "length", SURPLUS),
    ("trunc-26-permissive", "length", SURPLUS),
    ("extra-2", "length", SURPLUS),
    ("extra-2-permissive", "length", SURPLUS),
    ("mcast-table-replay-refreshes-lru", "auth-ext-replay", "there are marks for 16 senders, not for 4"),
    ("cap-v2-ip6-oddity", "version", V2_OVER_IPV6),
    ("v2-ah-mcast-prio0", "ip-protocol", AH),
    ("v2-ah-short-password", "ip-protocol", AH),
    ("v2-ah-ucast-peer2", "ip-protocol", AH),
    ("neg-v2-ah-spi-not-source", "ip-protocol", AH),
    ("neg-v2-ah-seq-zero", "ip-protocol", AH),
    ("neg-v2-ah-payload-len-ignored", "ip-protocol", AH),
    ("neg-v2-ah-ident-changed", "ip-protocol", AH),
    ("neg-v2-ah-ucast-ttl-changed", "ip-protocol", AH),
    ("neg-v2-ah-ucast-readdressed", "ip-protocol", AH),
    ("v3-ip4-ucast-old-checksum", "checksum", "the pseudo-header has the real destination (UC-08)"),
    ("v2-over-ip6-keepalived-oddity", "version", V2_OVER_IPV6),
    ("neg-v3-ip4-extra-2-padding", "length", SURPLUS),
];
