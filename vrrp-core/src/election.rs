//! Who wins between two routers that both claim to be Active (RFC 9568 §6.4.3).

use core::net::IpAddr;

use crate::Priority;

/// How a rival's claim stands against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rival wins: we yield (RFC 9568 §6.4.3, (725)).
    RivalWins,
    /// We win: the rival has to yield, and is told so (§6.4.3, (750)).
    WeWin,
    /// Same priority from our own address: a reflection, or a second host with our address. Nobody can win. The RFC has no
    /// rule for it; by its letter we would win, and answer our own reflection for ever.
    Indistinguishable,
}

/// Judges a rival's advertisement while we are Active.
///
/// The higher priority wins; between equals the higher source address, compared as an unsigned number in network byte
/// order (RFC 9568 §6.4.3). Without an address of our own we cannot speak, so an equal rival wins.
pub fn judge(priority: Priority, address: Option<IpAddr>, rival: Priority, rival_address: IpAddr) -> Verdict {
    use core::cmp::Ordering::{Equal, Greater, Less};
    match (rival.cmp(&priority), Some(rival_address).cmp(&address)) {
        (Greater, _) | (Equal, Greater) => Verdict::RivalWins,
        (Less, _) | (Equal, Less) => Verdict::WeWin,
        (Equal, Equal) => Verdict::Indistinguishable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_addresses(ours: &str, theirs: &str) -> Verdict {
        judge(Priority::DEFAULT, Some(ours.parse().unwrap()), Priority::DEFAULT, theirs.parse().unwrap())
    }

    #[test]
    fn sm_21_equal_priorities_are_settled_by_the_unsigned_address_in_network_order() {
        assert_eq!(judge_addresses("10.0.0.9", "10.0.0.200"), Verdict::RivalWins);
        assert_eq!(judge_addresses("fe80::1", "fe80::2"), Verdict::RivalWins);
        assert_eq!(judge_addresses("192.0.2.1", "10.255.255.255"), Verdict::WeWin);
        assert_eq!(judge_addresses("192.0.2.1", "192.0.2.1"), Verdict::Indistinguishable);
    }

    #[test]
    fn priority_comes_before_the_address() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (low, high) = (Priority::new(1).unwrap(), Priority::OWNER);
        assert_eq!(judge(low, Some(address("192.0.2.9")), high, address("192.0.2.1")), Verdict::RivalWins);
        assert_eq!(judge(high, Some(address("192.0.2.1")), low, address("192.0.2.9")), Verdict::WeWin);
        assert_eq!(judge(low, None, low, address("192.0.2.1")), Verdict::RivalWins);
    }
}
