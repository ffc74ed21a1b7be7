//! Vectors that record what another implementation does, where this one does otherwise by decision.
//!
//! `vrrp-core`'s own tests hold the same verdicts, one by one.

/// Why this verdict for this vector is right although another is stated.
pub(crate) fn decision(name: &str, ours: &str) -> Option<&'static str> {
    DECISIONS.iter().find(|(other, verdict, _)| (*other, *verdict) == (name, ours)).map(|(_, _, why)| *why)
}

const SURPLUS: &str = "surplus octets within the IP payload are a wrong length, never padding (RX-05)";
const BOTH_FORMS: &str = "both checksum forms are taken unless one is asked for (PF-11)";
const V2_OVER_IPV6: &str = "there is no VRRPv2 over IPv6";
const LINK_LOCAL: &str = "over IPv6 the source must be link-local, in unicast too (RX-25, UC-05, UC-07)";
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
    ("cap-v3-ip4-checksum-as-v2-at-default-receiver", "accept", BOTH_FORMS),
    ("cap-v2-ip6-oddity", "version", V2_OVER_IPV6),
    ("cap-v3-ip4-ucast-ttl64", "ip-ttl", "TTL 255 is required in unicast too (RX-01, UC-05)"),
    ("cap-v3-ip6-ucast-peer2", "bad-source", LINK_LOCAL),
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
    ("v3-ip4-checksum-as-v2-at-default", "accept", BOTH_FORMS),
    ("v3-ip6-ucast-peer1", "bad-source", LINK_LOCAL),
    ("v3-ip6-ucast-peer2", "bad-source", LINK_LOCAL),
    ("v2-over-ip6-keepalived-oddity", "version", V2_OVER_IPV6),
    ("neg-v3-ip4-extra-2-padding", "length", SURPLUS),
];
