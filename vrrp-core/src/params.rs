//! What `step` reads: the parameters of one virtual router.

use core::net::IpAddr;
use core::time::Duration;

use crate::timers::{active_down_interval, skew_time};
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

/// The parameters of one virtual router that its state machine reads. Plain values: `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    version: Version,
    priority: Priority,
    advert_interval: Interval,
    preempt: Preempt,
    primary_address: Option<IpAddr>,
    answer_rivals: bool,
    fault_hold: Duration,
}

impl Params {
    /// Parameters with the protocol's defaults: priority 100, an advertisement each second, immediate preemption.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            priority: Priority::DEFAULT,
            advert_interval: Interval::DEFAULT,
            preempt: Preempt::default(),
            primary_address: None,
            answer_rivals: true,
            fault_hold: Duration::from_secs(10),
        }
    }

    /// The priority that the router stands in the election with; [`Priority::OWNER`] if it owns the addresses.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
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
    /// the interface has none.
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
    pub fn with_answer_rivals(self, answer: bool) -> Self {
        Self { answer_rivals: answer, ..self }
    }

    /// How long a router stays out of the election after a fault that nothing reports the end of: addresses that
    /// could not be installed, advertisements that could not be sent. 10 s unless set.
    pub fn with_fault_hold(self, hold: Duration) -> Self {
        Self { fault_hold: hold, ..self }
    }

    /// Protocol version, with the family.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The priority in the election.
    pub fn priority(&self) -> Priority {
        self.priority
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
