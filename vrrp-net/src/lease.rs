//! Leased virtual addresses: the kernel takes back what a dead process cannot.
//!
//! A process that is killed leaves its addresses behind, and a host that goes on answering for a virtual address is a
//! split brain that no election can see. So the addresses are installed with a lifetime a little above
//! Active_Down_Interval, and renewed while the router is Active. If the process dies or hangs, the kernel removes them
//! soon after another router takes over.
//!
//! The kernel removes them when its own periodic check comes by: mostly within half a second after the end of the
//! lifetime, but on a host whose processors are all asleep it was seen to take some seconds, since newer kernels do not
//! wake one for it.
//!
//! A renewal is a request that the kernel answers under its one lock for network configuration. Where something else holds
//! that lock for long (a host that starts and stops many containers), the process waits with it; at intervals far below a
//! second a longer [`Lease::Fixed`] means fewer such waits.

use std::num::NonZeroU32;
use std::time::Duration;

/// For how long the kernel keeps a virtual address that nobody renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lease {
    /// The next whole second after Active_Down_Interval, at least 2 s: the kernel counts in seconds.
    #[default]
    Auto,
    /// This many seconds.
    Fixed(NonZeroU32),
    /// For ever. A host whose process was killed then answers for the addresses until somebody removes them.
    Off,
}

impl Lease {
    /// The lifetime to install addresses with, in seconds; `None` is for ever.
    pub fn lifetime(self, active_down_interval: Duration) -> Option<NonZeroU32> {
        match self {
            Self::Auto => {
                let seconds = active_down_interval.as_secs().saturating_add(1).max(2);
                Some(u32::try_from(seconds).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
            }
            Self::Fixed(seconds) => Some(seconds),
            Self::Off => None,
        }
    }

    /// The lifetime, and how often to renew: three times in it, so that one late renewal loses nothing.
    ///
    /// With very many addresses a renewal takes the kernel long. [`Auto`](Self::Auto) then renews not more often than
    /// `least_period`, and for longer; a fixed lifetime stays as it is.
    pub fn terms(self, active_down_interval: Duration, least_period: Duration) -> Option<(NonZeroU32, Duration)> {
        let lifetime = match self {
            Self::Auto => {
                let stretched = least_period.as_millis().saturating_mul(3).div_ceil(1000);
                let seconds = u128::from(self.lifetime(active_down_interval)?.get()).max(stretched);
                u32::try_from(seconds).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
            }
            Self::Fixed(_) | Self::Off => self.lifetime(active_down_interval)?,
        };
        Some((lifetime, Duration::from_secs(u64::from(lifetime.get())) / 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_a_little_above_active_down_interval_in_whole_seconds() {
        let seconds = |millis| Lease::Auto.lifetime(Duration::from_millis(millis)).map(NonZeroU32::get);
        assert_eq!(seconds(3609), Some(4));
        assert_eq!(seconds(4000), Some(5));
        assert_eq!(seconds(36), Some(2));
        assert_eq!(Lease::Auto.lifetime(Duration::MAX), Some(NonZeroU32::MAX));
    }

    #[test]
    fn a_lease_is_renewed_three_times_in_its_lifetime() {
        let terms = |lease: Lease, millis| {
            let terms = lease.terms(Duration::from_millis(millis), Duration::ZERO);
            terms.map(|(lifetime, period)| (lifetime.get(), period))
        };
        assert_eq!(terms(Lease::Auto, 5609), Some((6, Duration::from_secs(2))));
        assert_eq!(terms(Lease::Off, 4000), None);
    }

    #[test]
    fn a_renewal_that_costs_much_is_done_less_often() {
        let down_interval = Duration::from_millis(3609);
        let seconds = |lease: Lease, least| lease.terms(down_interval, Duration::from_secs(least)).unwrap().0.get();
        assert_eq!(seconds(Lease::Auto, 1), 4);
        assert_eq!(seconds(Lease::Auto, 10), 30);
        assert_eq!(seconds(Lease::Fixed(NonZeroU32::MIN), 10), 1);
    }
}
