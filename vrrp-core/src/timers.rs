//! Skew_Time and Active_Down_Interval, in integer nanoseconds.
//!
//! Never rounded to centiseconds: at an interval of 1 cs that would make every Skew_Time zero, and all Backups would
//! promote themselves together. A product of 255 and 40.95 s in nanoseconds needs 44 bits, so nothing here overflows.

use core::time::Duration;

use crate::{Interval, Priority, Version};

/// `Skew_Time`: how long a Backup waits past three missed intervals, so that the highest priority goes first.
///
/// VRRPv3: `(256 - Priority) * Active_Adver_Interval / 256` (RFC 9568 §6.1). VRRPv2: `(256 - Priority) / 256` seconds,
/// whatever the interval (RFC 3768 §6.1).
///
/// Exact to the nanosecond, rounded down: from 39,062 ns (priority 255, 1 cs) to 40.79 s (priority 1, 40.95 s).
pub fn skew_time(version: Version, priority: Priority, active_adver_interval: Interval) -> Duration {
    skew_of(256 - u64::from(priority.get()), skew_unit(version, active_adver_interval))
}

/// How long an Active that has called an election waits before it claims the role again (not in the RFC): Skew_Time, less
/// half of what a priority counts. Its equals hear it before their own Skew_Time is over, so the role stays where it is;
/// whoever is better by one still speaks before it.
pub(crate) fn election_time(version: Version, priority: Priority, active_adver_interval: Interval) -> Duration {
    let unit = skew_unit(version, active_adver_interval);
    skew_of(256 - u64::from(priority.get()), unit).saturating_sub(skew_of(1, unit) / 2)
}

/// What 256 priorities count, in nanoseconds.
fn skew_unit(version: Version, active_adver_interval: Interval) -> u64 {
    match version {
        Version::V2 => 1_000_000_000,
        Version::V3(_) => active_adver_interval.as_nanos(),
    }
}

fn skew_of(priorities: u64, unit: u64) -> Duration {
    Duration::from_nanos(priorities * unit / 256)
}

/// `Active_Down_Interval`: how long a Backup hears nothing before it declares the Active down.
///
/// `3 * Active_Adver_Interval + Skew_Time` (RFC 9568 §6.1, RFC 3768 §6.1), exact to the nanosecond, rounded down. RFC
/// 5798 and RFC 3768 call it Master_Down_Interval.
#[doc(alias = "master_down_interval")]
pub fn active_down_interval(version: Version, priority: Priority, active_adver_interval: Interval) -> Duration {
    Duration::from_nanos(3 * active_adver_interval.as_nanos()) + skew_time(version, priority, active_adver_interval)
}
