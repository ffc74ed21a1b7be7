//! When the hosts on the link are told where the addresses are.

use std::time::Duration;

/// When and how often addresses are announced: by gratuitous ARP, or by unsolicited neighbour advertisements.
///
/// The knobs are those of keepalived's `garp_*` settings, with the same meaning and the same defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcements {
    /// Packets for each address in a round (`garp_master_repeat`).
    pub repeat: u8,
    /// When the second round follows a promotion (`garp_master_delay`): a switch that was busy with its own failover may
    /// have lost the first. Zero: there is none. A single announcement goes between them, after four intervals, if that is
    /// sooner: by then either it is heard, or another router has noticed that nothing is.
    pub delay: Duration,
    /// How often they are announced while nothing happens (`garp_master_refresh`); `None`: never.
    pub refresh: Option<Duration>,
    /// Packets for each address in such a round (`garp_master_refresh_repeat`).
    pub refresh_repeat: u8,
    /// When the second round follows a rival that lost (`garp_lower_prio_delay`). The first comes at once.
    pub rival_delay: Duration,
    /// Packets for each address in such a round (`garp_lower_prio_repeat`).
    pub rival_repeat: u8,
    /// Least time between two packets on one interface (`garp_interval`): for switches that drop bursts. Zero: none.
    pub interval: Duration,
}

impl Default for Announcements {
    fn default() -> Self {
        Self {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: None,
            refresh_repeat: 1,
            rival_delay: Duration::from_secs(5),
            rival_repeat: 5,
            interval: Duration::ZERO,
        }
    }
}
