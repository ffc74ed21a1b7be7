//! The state of a virtual router. Each role owns its deadlines, so a timer of another role cannot exist.

use core::fmt;

use crate::{Faults, Instant, Interval};

/// State of one virtual router: what [`step`](crate::step()) takes and gives back.
///
/// `Copy`, `Eq` and `Hash`: a run can be replayed, model-checked, and carried over an `exec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum State {
    /// Not taking part: not started, or faults (RFC 9568 §6.4.1).
    Initialize(Initialize),
    /// Watching the Active (§6.4.2).
    Backup(Backup),
    /// Holding the addresses (§6.4.3).
    #[doc(alias = "Master")]
    Active(Active),
}

/// Out of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Initialize {
    /// Whether it was told to take part: it starts once no fault holds.
    pub started: bool,
    /// What keeps it out.
    pub faults: Faults,
    /// When faults that nothing reports the end of are taken as gone.
    pub retry_at: Option<Instant>,
}

/// Watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Backup {
    /// When Active_Down_Timer was last set: at the last advertisement that was accepted, or on entering the role.
    pub armed_at: Instant,
    /// When Active_Down_Timer fires and this router becomes Active.
    pub down_at: Instant,
    /// Active_Adver_Interval: as learned from the Active, its own until one was heard.
    pub active_adver_interval: Interval,
    /// What was last heard.
    pub heard: Heard,
    /// With [`Preempt::After`](crate::Preempt::After): from when on a lower Active is no longer accepted.
    pub preempt_at: Option<Instant>,
}

/// What a Backup last heard, which is why it will become Active if its timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Heard {
    /// Nobody, since it entered the role.
    Nobody,
    /// An Active that it accepts.
    Active,
    /// An Active of lower priority, which it is about to preempt.
    LowerPriority,
    /// A resignation.
    Resignation,
}

/// Holding the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Active {
    /// When it became Active.
    pub since: Instant,
    /// When Adver_Timer fires and the next advertisement is due.
    pub advert_at: Instant,
    /// How many rivals may still be answered before the next periodic advertisement.
    pub answers_left: u8,
}

/// The three roles of RFC 9568 §6.4, without their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Role {
    /// Not taking part.
    Initialize,
    /// Watching the Active.
    Backup,
    /// Holding the addresses.
    #[doc(alias = "Master")]
    Active,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initialize => "Initialize",
            Self::Backup => "Backup",
            Self::Active => "Active",
        })
    }
}

/// Which timer a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Active_Down_Timer (§6.2), in Backup.
    ActiveDown,
    /// Adver_Timer (§6.2), in Active.
    Adver,
    /// The next attempt after a fault that nothing reports the end of, in Initialize.
    FaultHold,
}

impl State {
    /// The state of a router that was just made: not started, no fault.
    pub const fn new() -> Self {
        Self::Initialize(Initialize { started: false, faults: Faults::NONE, retry_at: None })
    }

    /// The role.
    pub const fn role(&self) -> Role {
        match self {
            Self::Initialize(_) => Role::Initialize,
            Self::Backup(_) => Role::Backup,
            Self::Active(_) => Role::Active,
        }
    }

    /// When [`Event::Timeout`](crate::Event::Timeout) is due next, and for which timer.
    pub const fn deadline(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Initialize(Initialize { retry_at: Some(at), started: true, .. }) => Some((*at, Timer::FaultHold)),
            Self::Initialize(_) => None,
            Self::Backup(backup) => Some((backup.down_at, Timer::ActiveDown)),
            Self::Active(active) => Some((active.advert_at, Timer::Adver)),
        }
    }

    /// The faults that keep the router out of the election.
    pub const fn faults(&self) -> Faults {
        match self {
            Self::Initialize(initialize) => initialize.faults,
            Self::Backup(_) | Self::Active(_) => Faults::NONE,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
