//! What a driver says about its checks.

use std::net::SocketAddr;

use vrrp_core::Instant;

use super::CheckId;
use crate::check::schedule::{Health, State};
use crate::check::{Failure, Weight};

/// Something about a check has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CheckEvent {
    /// Its server serves (again).
    Up {
        /// The check.
        check: CheckId,
        /// What it says about the weight.
        weight: Option<Weight>,
    },
    /// Its server does not serve.
    Down {
        /// The check.
        check: CheckId,
        /// What the last attempt found.
        reason: Failure,
    },
    /// Its server goes on serving, with another weight.
    Weight {
        /// The check.
        check: CheckId,
        /// What it says about the weight.
        weight: Option<Weight>,
    },
    /// An attempt has failed, and its server is still said to serve: the check makes more, or waits for more failures. Only
    /// of checks with [`say_all_failures`](crate::check::Check::say_all_failures).
    AttemptFailed {
        /// The check.
        check: CheckId,
        /// What the attempt found.
        reason: Failure,
    },
    /// This machine cannot make the check's attempts; nothing is known of the server meanwhile, and what was last said of
    /// it holds. Said once until an attempt is made again.
    Hindered {
        /// The check.
        check: CheckId,
        /// What it cannot do, and why.
        reason: String,
    },
}

impl CheckEvent {
    /// The check that it is about.
    pub const fn check(&self) -> CheckId {
        match self {
            Self::Up { check, .. }
            | Self::Down { check, .. }
            | Self::Weight { check, .. }
            | Self::AttemptFailed { check, .. }
            | Self::Hindered { check, .. } => *check,
        }
    }
}

/// A check as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CheckStatus {
    /// The check.
    pub check: CheckId,
    /// Its server.
    pub target: SocketAddr,
    /// The kind of check.
    pub kind: &'static str,
    /// What it says of its server.
    pub health: Health,
    /// What it says about the weight.
    pub weight: Option<Weight>,
    /// Where its schedule stands; its instants are of CLOCK_BOOTTIME.
    pub schedule: State,
    /// What the last attempt that failed found.
    pub last_failure: Option<Failure>,
    /// When the last attempt ended.
    pub last_result: Option<Instant>,
    /// How many attempts were begun.
    pub attempts: u64,
    /// How many of them failed.
    pub failures: u64,
    /// By how many nanoseconds an attempt began later than it was due, at most.
    pub latest_start: u64,
}
