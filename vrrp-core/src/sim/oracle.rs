//! What every run is judged by.

use alloc::string::String;
use core::fmt;

use crate::Instant;

/// A property that must hold throughout a run, whatever happens.
///
/// Each says where it does not apply: what no protocol without a third party can give, such as one Active on both sides of
/// a cut, is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    /// O1: of two nodes that hear each other, both ways and without loss, at most one is Active for longer than an
    /// advertisement interval.
    AtMostOne,
    /// O2: while an eligible node hears no Active, one becomes Active within its Active_Down_Interval.
    AtLeastOne,
    /// O3: a kernel has the addresses if and only if its process is Active; and for the time of a lease after a process
    /// has died or hangs.
    AddressIsRole,
    /// O4: the neighbour caches of hosts point to the Active within two advertisement intervals of any change; within the
    /// time of neighbour discovery if an announcement was lost.
    HostsFollow,
    /// O5: without preemption a healthy Active stays, whoever joins, pauses or restarts.
    NoPreempt,
    /// O6: a node of lowered priority is not Active for long beside a better one.
    HealthWins,
    /// O7: a fault changes the role of each node at most twice, a recovery once.
    BoundedChurn,
    /// O8: a packet that is discarded changes no state and no timer.
    InertGarbage,
    /// O9: a node that is told to leave gives up the addresses, and says so.
    CleanExit,
    /// O10: a rival that stays raises an alarm on the Active that hears it.
    Visible,
}

impl Oracle {
    /// Every oracle.
    pub const ALL: [Self; 10] = [
        Self::AtMostOne,
        Self::AtLeastOne,
        Self::AddressIsRole,
        Self::HostsFollow,
        Self::NoPreempt,
        Self::HealthWins,
        Self::BoundedChurn,
        Self::InertGarbage,
        Self::CleanExit,
        Self::Visible,
    ];

    const fn bit(self) -> u16 {
        match self {
            Self::AtMostOne => 1,
            Self::AtLeastOne => 1 << 1,
            Self::AddressIsRole => 1 << 2,
            Self::HostsFollow => 1 << 3,
            Self::NoPreempt => 1 << 4,
            Self::HealthWins => 1 << 5,
            Self::BoundedChurn => 1 << 6,
            Self::InertGarbage => 1 << 7,
            Self::CleanExit => 1 << 8,
            Self::Visible => 1 << 9,
        }
    }
}

/// `O1 at-most-one`.
impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOne => "O1 at-most-one",
            Self::AtLeastOne => "O2 at-least-one",
            Self::AddressIsRole => "O3 address = role",
            Self::HostsFollow => "O4 hosts follow",
            Self::NoPreempt => "O5 no-preempt",
            Self::HealthWins => "O6 health wins",
            Self::BoundedChurn => "O7 bounded churn",
            Self::InertGarbage => "O8 inert garbage",
            Self::CleanExit => "O9 clean exit",
            Self::Visible => "O10 visible",
        })
    }
}

/// A set of oracles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Oracles(u16);

impl Oracles {
    pub(super) fn of(oracles: &[Oracle]) -> Self {
        Self(oracles.iter().fold(0, |set, oracle| set | oracle.bit()))
    }

    pub(super) const fn contains(self, oracle: Oracle) -> bool {
        self.0 & oracle.bit() != 0
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub oracle: Oracle,
    /// When it was found.
    pub at: Instant,
    /// What was the case.
    pub what: String,
    /// The end of the trace; empty if none was kept.
    pub trace: String,
}

/// What it was and when, and the trace before it.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}\n{}", self.at, self.oracle, self.what, self.trace)
    }
}
