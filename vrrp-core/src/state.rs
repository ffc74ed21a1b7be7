//! The state of a virtual router. Each role owns its deadlines, so a timer of another role cannot exist.

use core::fmt;

use crate::{After, Faults, Instant, Interval, Priority};

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
    /// Claiming the role, but without the addresses until the application confirms (not in the RFC).
    Claimant(Claimant),
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
    /// The name of a claim that was made in the instant of leaving, which the next one must not have.
    pub claimed: Option<Instant>,
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
    /// After a refused claim: until when it lets others go first.
    pub stand_back_until: Option<Instant>,
}

/// What a Backup last heard, which is why it will become Active if its timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Heard {
    /// Nobody, since it was started.
    Nobody,
    /// Nobody, since it gave up the role or a claim to it.
    Itself,
    /// An Active that it accepts.
    Active,
    /// An Active of lower priority, which it is about to preempt.
    LowerPriority,
    /// A resignation.
    Resignation,
}

/// Claiming the role, for the application to confirm. To the others it is the Active, so lower ones hold still; or it keeps
/// silent, because a lower Active serves meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Claimant {
    /// When it claimed the role: the name of the claim in [`Action::Prepare`](crate::Action::Prepare).
    pub since: Instant,
    /// When the next advertisement is due. While it keeps silent: when the lower Active counts as gone, and it speaks.
    pub advert_at: Instant,
    /// When the application's time is up.
    pub until: Instant,
    /// How many rivals may still be answered before the next periodic advertisement.
    pub answers_left: u8,
    /// Whether it came this far without hearing another Active.
    pub alone: bool,
    /// The interval of a lower Active that it would preempt, and that serves until the claim is confirmed.
    pub beside: Option<Interval>,
}

impl Claimant {
    /// Whether the others know nothing of the claim: a lower Active serves.
    pub const fn is_silent(&self) -> bool {
        self.beside.is_some()
    }
}

/// Holding the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Active {
    /// When it became Active.
    pub since: Instant,
    /// When Adver_Timer fires and the next advertisement is due.
    pub advert_at: Instant,
    /// The priority that it last advertised: the others know it by that.
    pub advertised: Priority,
    /// How many rivals may still be answered before the next periodic advertisement.
    pub answers_left: u8,
    /// Whether a rival told the hosts about itself and they were not told better: done with the next advertisement.
    pub announce_due: bool,
    /// What rivals that lose have claimed so far.
    pub rivalry: Option<Rivalry>,
    /// Whether it has yet to settle by priority what was decided by who was first.
    pub unsettled: bool,
    /// When it calls the next election: to settle, or because it is degraded.
    pub election_at: Option<Instant>,
    /// What it is doing beside serving.
    pub phase: Phase,
}

impl Active {
    /// Whether it was told to leave, and serves only until a successor speaks.
    pub const fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::HandingOver(_, After::Leave))
    }
}

/// Claims of rivals that lose against an Active, to tell one that yields from one that does not hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rivalry {
    /// When the first claim came since there was peace for two intervals.
    pub since: Instant,
    /// When the last claim came, counted or not.
    pub heard_at: Instant,
    /// When one was last counted: one for each interval.
    pub counted_at: Instant,
    /// How many were counted since then.
    pub unheeded: u8,
}

/// What an Active does beside holding the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Phase {
    /// It advertises.
    Advertising,
    /// It has called an election: it resigned, serves on, and takes the role again at this time if nobody else does.
    Standing(Instant),
    /// It hands over: it resigned, serves until a successor speaks, and at this time does without one.
    HandingOver(Instant, After),
}

/// The three roles of RFC 9568 §6.4, and the claimant between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Role {
    /// Not taking part.
    Initialize,
    /// Watching the Active.
    Backup,
    /// Claiming the role without the addresses, until the application confirms.
    Claimant,
    /// Holding the addresses.
    #[doc(alias = "Master")]
    Active,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initialize => "Initialize",
            Self::Backup => "Backup",
            Self::Claimant => "Claimant",
            Self::Active => "Active",
        })
    }
}

/// Which timer a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Active_Down_Timer (§6.2), in Backup, and in a Claimant that keeps silent.
    ActiveDown,
    /// Adver_Timer (§6.2), in Active and Claimant.
    Adver,
    /// The application's time to confirm, in Claimant.
    Gate,
    /// An election that this Active calls, or called and now takes part in.
    Election,
    /// The end of a hand-over, in Active.
    HandOver,
    /// The next attempt after a fault that nothing reports the end of, in Initialize.
    FaultHold,
}

impl State {
    /// The state of a router that was just made: not started, no fault.
    pub const fn new() -> Self {
        Self::Initialize(Initialize { started: false, faults: Faults::NONE, retry_at: None, claimed: None })
    }

    /// The role.
    pub const fn role(&self) -> Role {
        match self {
            Self::Initialize(_) => Role::Initialize,
            Self::Backup(_) => Role::Backup,
            Self::Claimant(_) => Role::Claimant,
            Self::Active(_) => Role::Active,
        }
    }

    /// When [`Event::Timeout`](crate::Event::Timeout) is due next, and for which timer. A deadline at the end of time
    /// never comes.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        let deadline = match self {
            Self::Initialize(Initialize { retry_at: Some(at), started: true, .. }) => Some((*at, Timer::FaultHold)),
            Self::Initialize(_) => None,
            Self::Backup(backup) => Some((backup.down_at, Timer::ActiveDown)),
            Self::Claimant(claimant) if claimant.until <= claimant.advert_at => Some((claimant.until, Timer::Gate)),
            Self::Claimant(claimant) if claimant.is_silent() => Some((claimant.advert_at, Timer::ActiveDown)),
            Self::Claimant(claimant) => Some((claimant.advert_at, Timer::Adver)),
            Self::Active(active) => Some(match (active.phase, active.election_at) {
                (Phase::Advertising, Some(at)) if at <= active.advert_at => (at, Timer::Election),
                (Phase::Advertising, _) => (active.advert_at, Timer::Adver),
                (Phase::Standing(at), _) => (at, Timer::Election),
                (Phase::HandingOver(at, _), _) => (at, Timer::HandOver),
            }),
        };
        deadline.filter(|(at, _)| *at < Instant::FAR_FUTURE)
    }

    /// The faults that keep the router out of the election.
    pub const fn faults(&self) -> Faults {
        match self {
            Self::Initialize(initialize) => initialize.faults,
            Self::Backup(_) | Self::Claimant(_) | Self::Active(_) => Faults::NONE,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
