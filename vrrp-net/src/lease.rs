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

    /// How often to renew: three times a lifetime, so that one late renewal loses nothing.
    pub fn renewal(self, active_down_interval: Duration) -> Option<Duration> {
        self.lifetime(active_down_interval).map(|lifetime| Duration::from_secs(u64::from(lifetime.get())) / 3)
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
        assert_eq!(Lease::Auto.renewal(Duration::from_millis(5609)), Some(Duration::from_secs(2)));
        assert_eq!(Lease::Off.renewal(Duration::from_secs(4)), None);
    }
}
