//! What happened, in numbers (RFC 8347 §2, RFC 6527 §5).

use crate::wire::{Discard, Reason};

/// Counters of one virtual router, from when it was added (RFC 8347: `discontinuity-datetime`). They only grow.
///
/// What RFC 8347 counts as an error although the packet is accepted stands here; what was dropped stands in
/// [`discards`](Self::discards), and [`Reason::rfc8347_counter`] tells which of its counters each belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Times that this router became Active (`master-transitions`).
    pub became_active: u64,
    /// Advertisements sent, resignations included (`advertisement-sent`).
    pub adverts_sent: u64,
    /// Advertisements that passed every check (`advertisement-rcvd`).
    pub adverts_received: u64,
    /// Resignations sent (`priority-zero-pkts-sent`).
    pub resignations_sent: u64,
    /// Resignations received (`priority-zero-pkts-rcvd`).
    pub resignations_received: u64,
    /// Accepted although the interval differs from ours (`interval-errors`, RFC 9568 §7.1).
    pub interval_differs: u64,
    /// Accepted although the address list differs from ours (`address-list-errors`, RFC 9568 §7.1).
    pub address_list_differs: u64,
    /// Advertisements of another router that claims the role while this one has it or claims it too.
    pub rivals_seen: u64,
    /// Advertisements that could not be sent, as the caller counted them.
    pub sends_failed: u64,
    /// Deadlines that were handled more than half an Advertisement_Interval late: a sign of a process that is held up, long
    /// before the others take it for dead.
    pub late_timers: u64,
    /// Accepted with the checksum form that this router does not send (VRRPv3 over IPv4).
    pub other_checksum_form: u64,
    /// Accepted without a signature although this router has keys: not in enforce mode (feature `auth-hmac`).
    pub adverts_unsigned: u64,
    /// Accepted although the sender's clock is more than half a window from ours (feature `auth-hmac`).
    pub clock_skewed: u64,
    /// Discarded (RFC 9568 §7.1), by reason. A packet whose VRID octet names this router counts here too.
    pub discards: Discards,
}

/// Packets that were discarded, by reason. One packet counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discards([u64; Reason::ALL.len()]);

impl Default for Discards {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

impl Discards {
    /// How many packets were discarded for `reason`.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0.get(reason.index()).copied().unwrap_or(0)
    }

    /// How many packets were discarded in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.0)
    }

    /// Counts one discarded packet.
    pub fn record(&mut self, discard: Discard) {
        if let Some(count) = self.0.get_mut(discard.reason().index()) {
            *count += 1;
        }
    }
}
