//! What `step` reads: the parameters of one virtual router.

use core::net::IpAddr;
use core::time::Duration;

use crate::timers::{active_down_interval, election_time, skew_time};
use crate::{Family, Interval, Priority, Version};

/// Parameters that no router can run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// VRRPv2 advertises whole seconds, VRRPv3 up to 40.95 s.
    #[error("{version} cannot advertise an interval of {interval}: {}", interval_range(*.version))]
    Interval {
        /// The version that was asked for.
        version: Version,
        /// The interval that it has no room for.
        interval: Interval,
    },
    /// The primary address belongs to the other family.
    #[error("{address} cannot be the source of {version} advertisements: it is not an {} address", .version.family())]
    PrimaryAddress {
        /// The version that was asked for.
        version: Version,
        /// The address of the other family.
        address: IpAddr,
    },
}

/// The intervals that `version` can advertise, in words.
fn interval_range(version: Version) -> &'static str {
    match version {
        Version::V2 => "use whole seconds, 1 s to 255 s, or VRRPv3",
        Version::V3(_) => "use 10 ms to 40.95 s",
    }
}

/// Whether a Backup takes over from an Active of lower priority (`Preempt_Mode`, RFC 9568 §6.1).
///
/// It has no influence on an Active (§6.4.3), nor on the address owner, who always takes over (§6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Preempt {
    /// Yes: the protocol's default.
    #[default]
    Immediately,
    /// Yes, once an Active of lower priority has been heard for this long. A dead or resigning Active is replaced
    /// without that delay.
    After(Duration),
    /// No: the Active stays, whoever joins.
    Never,
}

/// When an Active whose priority was lowered calls an election (not in the RFC).
///
/// With `Preempt::Never` a Backup never displaces a lower Active, so one whose health check lowered its priority would
/// keep the addresses for ever. Calling an election instead, it resigns but keeps serving, and stands with its lowered
/// priority: whoever is healthier takes over within Skew_Time; if nobody is, it goes on without a gap. It speaks just before
/// its equals, so among routers that are degraded alike the role stays where it is. Over VRRPv3 an election takes a fifth
/// of a second at most, by [`Interval::ELECTION`](crate::Interval::ELECTION).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Yield {
    /// [`WhenDegraded`](Self::WhenDegraded) where Backups do not preempt, [`Never`](Self::Never) where they do.
    #[default]
    Auto,
    /// Backups that preempt take over by themselves, after Active_Down_Interval.
    Never,
    /// At once, and again each [`Params::re_election`] for as long as the priority is lowered.
    WhenDegraded,
}

/// Promotion that waits for the application: for fencing, a quorum, a replica to be promoted (not in the RFC).
///
/// If there is no Active, the router advertises while it waits, so that lower ones hold still. If there is one of lower
/// priority, it keeps silent until it is confirmed, so that this one serves on if it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gate {
    /// How long the application may take to confirm or refuse.
    pub timeout: Duration,
    /// How long the router stands back after it refused or took too long, so that the next best router goes.
    pub back_off: Duration,
}

/// How a planned hand-over is done (not in the RFC, but works with any Backup that follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandOver {
    /// The interval that is advertised just before resigning. VRRPv3 Backups adopt it, and with it a Skew_Time that is a
    /// fraction of it. At the default of 1 cs two Backups one priority apart fire 39 us apart and may both promote
    /// themselves for a moment; with several Backups 5 or 10 cs set them further apart. VRRPv2 has no such means.
    pub interval: Interval,
    /// How long to go on serving while no successor speaks.
    pub deadline: Duration,
}

impl Default for HandOver {
    fn default() -> Self {
        Self { interval: Interval::SHORTEST, deadline: Duration::from_secs(2) }
    }
}

/// The parameters of one virtual router that its state machine reads. Plain values: `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    version: Version,
    base_priority: Priority,
    priority: Priority,
    advert_interval: Interval,
    preempt: Preempt,
    accept_mode: bool,
    primary_address: Option<IpAddr>,
    answer_rivals: bool,
    learn_v2_interval: bool,
    fault_hold: Duration,
    yield_when: Yield,
    re_election: Duration,
    settle: Option<Duration>,
    gate: Option<Gate>,
    hand_over: HandOver,
}

impl Params {
    /// Parameters with the protocol's defaults: priority 100, an advertisement each second, immediate preemption.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            base_priority: Priority::DEFAULT,
            priority: Priority::DEFAULT,
            advert_interval: Interval::DEFAULT,
            preempt: Preempt::default(),
            accept_mode: true,
            primary_address: None,
            answer_rivals: true,
            learn_v2_interval: false,
            fault_hold: Duration::from_secs(10),
            yield_when: Yield::default(),
            re_election: Duration::from_secs(10),
            settle: None,
            gate: None,
            hand_over: HandOver::default(),
        }
    }

    /// The priority that the router stands in the election with; [`Priority::OWNER`] if it owns the addresses.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { base_priority: priority, priority, ..self }
    }

    /// The priority that tracking leaves of the configured one for now. A router is degraded while it is lower. That of an
    /// address owner cannot be changed, nor can another become 255: the owner's priority says whose the addresses are
    /// (RFC 9568 §5.2.4).
    pub fn with_effective_priority(self, priority: Priority) -> Self {
        let changeable = !self.base_priority.is_owner() && !priority.is_owner();
        if changeable { Self { priority, ..self } } else { Self { priority: self.base_priority, ..self } }
    }

    /// These, with the priority as far from the configured one as tracking had moved it in `before`; unless they say
    /// themselves what is left of it.
    pub(crate) fn tracked_as(self, before: &Self) -> Self {
        if self.priority != self.base_priority {
            return self;
        }
        let moved = i16::from(before.priority.get()) - i16::from(before.base_priority.get());
        let priority = (i16::from(self.base_priority.get()) + moved).clamp(1, 254);
        match u8::try_from(priority).ok().and_then(Priority::from_wire) {
            Some(priority) if moved != 0 => self.with_effective_priority(priority),
            Some(_) | None => Self { priority: self.base_priority, ..self },
        }
    }

    /// `Advertisement_Interval`: how often this router advertises while Active.
    ///
    /// # Errors
    /// [`ParamsError::Interval`] if the version cannot carry it: VRRPv2 has whole seconds, VRRPv3 at most 40.95 s.
    pub fn with_advert_interval(self, interval: Interval) -> Result<Self, ParamsError> {
        let fits = match self.version {
            Version::V2 => interval.as_seconds().is_some(),
            Version::V3(_) => interval.as_centiseconds() <= 4095,
        };
        match fits {
            true => Ok(Self { advert_interval: interval, ..self }),
            false => Err(ParamsError::Interval { version: self.version, interval }),
        }
    }

    /// Whether and when to take over from an Active of lower priority.
    pub fn with_preempt(self, preempt: Preempt) -> Self {
        Self { preempt, ..self }
    }

    /// The address that advertisements are sent from, which settles equal priorities (RFC 9568 §6.4.3); `None` while
    /// the interface has none: a router without one takes no part.
    ///
    /// # Errors
    /// [`ParamsError::PrimaryAddress`] if it is of the other family.
    pub fn with_primary_address(self, address: Option<IpAddr>) -> Result<Self, ParamsError> {
        match address {
            Some(address) if Family::of(address) != self.version.family() => {
                Err(ParamsError::PrimaryAddress { version: self.version, address })
            }
            _ => Ok(Self { primary_address: address, ..self }),
        }
    }

    /// Whether an Active answers a rival that loses with an advertisement at once (RFC 9568 §6.4.3, the default), or
    /// discards it in silence (RFC 5798, RFC 3768).
    ///
    /// The default is to answer in VRRPv2 too, as keepalived does unless it is told `vrrp_strict`: to a router that follows
    /// RFC 3768 the answer is an advertisement like any other, and it ends the time of two Actives at once.
    pub fn with_answer_rivals(self, answer: bool) -> Self {
        Self { answer_rivals: answer, ..self }
    }

    /// How long a router stays out of the election after a fault that nothing reports the end of: addresses that
    /// could not be installed, advertisements that could not be sent. 10 s unless set.
    pub fn with_fault_hold(self, hold: Duration) -> Self {
        Self { fault_hold: hold, ..self }
    }

    /// `Accept_Mode`: whether a router that is not the owner takes packets for the addresses while Active (RFC 9568
    /// §6.1). True here, where the RFC has false: an application that moves an address wants to be reached at it.
    pub fn with_accept_mode(self, accept: bool) -> Self {
        Self { accept_mode: accept, ..self }
    }

    /// VRRPv2: take advertisements of any interval, and learn it as VRRPv3 does, instead of discarding those that differ
    /// (RFC 3768 §7.1, the default).
    pub fn with_learn_v2_interval(self, learn: bool) -> Self {
        Self { learn_v2_interval: learn, ..self }
    }

    /// When to call an election after the priority was lowered.
    pub fn with_yield(self, yield_when: Yield) -> Self {
        Self { yield_when, ..self }
    }

    /// How often a router that stays Active although degraded asks again. 10 s unless set.
    pub fn with_re_election(self, period: Duration) -> Self {
        Self { re_election: period, ..self }
    }

    /// How long after its promotion an Active that never heard another one calls an election; `None` (the default): not.
    ///
    /// Without preemption the first host up wins whatever its priority; with this, a whole cluster's cold start ends with
    /// the highest priority, while a single host that returns hears the Active and does not call one.
    pub fn with_settle(self, after: Option<Duration>) -> Self {
        Self { settle: after, ..self }
    }

    /// Makes promotion wait for the application; `None` (the default): it does not.
    pub fn with_gate(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// How a planned hand-over is done.
    pub fn with_hand_over(self, hand_over: HandOver) -> Self {
        Self { hand_over, ..self }
    }

    /// Protocol version, with the family.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The priority in the election.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The configured priority.
    pub fn base_priority(&self) -> Priority {
        self.base_priority
    }

    /// Whether the priority is lower than the configured one.
    pub fn is_degraded(&self) -> bool {
        self.priority < self.base_priority
    }

    /// Whether a degraded Active calls elections.
    pub fn yields_when_degraded(&self) -> bool {
        match (self.yield_when, self.preempt) {
            (Yield::WhenDegraded, _) | (Yield::Auto, Preempt::Never) => true,
            (Yield::Never, _) | (Yield::Auto, Preempt::Immediately | Preempt::After(_)) => false,
        }
    }

    /// How often a degraded Active calls elections.
    pub fn re_election(&self) -> Duration {
        self.re_election
    }

    /// When an Active that never heard another one calls an election.
    pub fn settle(&self) -> Option<Duration> {
        self.settle
    }

    /// What promotion waits for.
    pub fn gate(&self) -> Option<Gate> {
        self.gate
    }

    /// How a planned hand-over is done.
    pub fn hand_over(&self) -> HandOver {
        self.hand_over
    }

    /// Whether packets for the addresses are taken while Active: `Accept_Mode`, and always by the owner (RFC 9568
    /// §6.4.3).
    pub fn accepts_packets(&self) -> bool {
        self.accept_mode || self.priority.is_owner()
    }

    /// VRRPv2: whether other intervals are learned instead of discarded.
    pub fn learns_v2_interval(&self) -> bool {
        self.learn_v2_interval
    }

    /// `Advertisement_Interval` of this router.
    pub fn advert_interval(&self) -> Interval {
        self.advert_interval
    }

    /// `Preempt_Mode`.
    pub fn preempt(&self) -> Preempt {
        self.preempt
    }

    /// The address that advertisements are sent from.
    pub fn primary_address(&self) -> Option<IpAddr> {
        self.primary_address
    }

    /// Whether losing rivals are answered at once.
    pub fn answer_rivals(&self) -> bool {
        self.answer_rivals
    }

    /// How long a fault that nobody clears keeps the router out.
    pub fn fault_hold(&self) -> Duration {
        self.fault_hold
    }

    /// `Skew_Time` of this router beside an Active that advertises every `active_adver_interval` (RFC 9568 §6.1).
    pub fn skew_time(&self, active_adver_interval: Interval) -> Duration {
        skew_time(self.version, self.priority, active_adver_interval)
    }

    /// How long it waits in an election it called, of such an interval.
    pub(crate) fn election_time(&self, interval: Interval) -> Duration {
        election_time(self.version, self.priority, interval)
    }

    /// `Active_Down_Interval` of this router beside such an Active (RFC 9568 §6.1).
    pub fn active_down_interval(&self, active_adver_interval: Interval) -> Duration {
        active_down_interval(self.version, self.priority, active_adver_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pf_19_v2_refuses_intervals_that_are_not_whole_seconds() {
        let interval = Interval::from_centiseconds(150).unwrap();
        let error = Params::new(Version::V2).with_advert_interval(interval).unwrap_err();
        assert_eq!(
            error.to_string(),
            "VRRPv2/IPv4 cannot advertise an interval of 1500 ms: use whole seconds, 1 s to 255 s, or VRRPv3"
        );
    }

    #[test]
    fn pf_07_v3_refuses_intervals_past_4095_centiseconds() {
        let interval = Interval::from_seconds(41).unwrap();
        assert!(Params::new(Version::V3(Family::V6)).with_advert_interval(interval).is_err());
    }

    #[test]
    fn a_primary_address_of_the_other_family_is_refused() {
        let address = "fe80::1".parse().unwrap();
        assert!(Params::new(Version::V2).with_primary_address(Some(address)).is_err());
        assert!(Params::new(Version::V3(Family::V6)).with_primary_address(Some(address)).is_ok());
    }

    #[test]
    fn el_06_preempt_mode_is_true_unless_set() {
        assert_eq!(Params::new(Version::V2).preempt(), Preempt::Immediately);
    }
}
