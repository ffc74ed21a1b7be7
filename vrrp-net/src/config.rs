//! What an application says of a virtual router.

use vrrp_core::wire::{Authentication, ChecksumPolicy};
use vrrp_core::{Family, Interval, Params, ParamsError, Preempt, Priority, Version, VirtualAddr, Vrid};

use crate::Lease;

/// One virtual router on one interface, to be given to [`Driver::add`](crate::Driver::add).
///
/// ```
/// use vrrp_net::RouterConfig;
/// use vrrp_net::vrrp_core::{Interval, Preempt, Priority, Vrid};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = RouterConfig::new("eth0", Vrid::new(51)?, vec!["192.0.2.100".parse()?])
///     .with_priority(Priority::new(150)?)
///     .with_interval(Interval::from_centiseconds(10)?)
///     .with_preempt(Preempt::Never);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    pub(crate) interface: String,
    pub(crate) vrid: Vrid,
    pub(crate) version: Version,
    pub(crate) priority: Priority,
    pub(crate) interval: Interval,
    pub(crate) preempt: Preempt,
    pub(crate) addresses: Vec<VirtualAddr>,
    pub(crate) authentication: Authentication,
    pub(crate) checksum: ChecksumPolicy,
    pub(crate) lease: Lease,
}

impl RouterConfig {
    /// A virtual router with the protocol's defaults: VRRPv3 of the addresses' family, priority 100, an advertisement
    /// each second, immediate preemption.
    pub fn new(interface: impl Into<String>, vrid: Vrid, addresses: Vec<VirtualAddr>) -> Self {
        let family = addresses.first().map_or(Family::V4, |address| address.family());
        Self {
            interface: interface.into(),
            vrid,
            version: Version::V3(family),
            priority: Priority::DEFAULT,
            interval: Interval::DEFAULT,
            preempt: Preempt::default(),
            addresses,
            authentication: Authentication::None,
            checksum: ChecksumPolicy::Auto,
            lease: Lease::Auto,
        }
    }

    /// The protocol version; peers must use the same.
    pub fn with_version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// The priority in the election; [`Priority::OWNER`] if the addresses are this host's own.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// How often to advertise while Active. VRRPv2 has whole seconds only.
    pub fn with_interval(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    /// Whether and when to take over from an Active of lower priority.
    pub fn with_preempt(self, preempt: Preempt) -> Self {
        Self { preempt, ..self }
    }

    /// Simple-text authentication, VRRPv2 only. It keeps misconfigured neighbours apart; it is no security.
    pub fn with_authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// Which checksum to send in VRRPv3 over IPv4, where implementations disagree.
    pub fn with_checksum(self, checksum: ChecksumPolicy) -> Self {
        Self { checksum, ..self }
    }

    /// For how long the kernel keeps the addresses of a process that died.
    pub fn with_lease(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// The name of the interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The number of the virtual router on its link.
    pub fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// The addresses that it moves between hosts.
    pub fn addresses(&self) -> &[VirtualAddr] {
        &self.addresses
    }

    /// What the state machine reads of this.
    pub(crate) fn params(&self) -> Result<Params, ParamsError> {
        Params::new(self.version)
            .with_priority(self.priority)
            .with_preempt(self.preempt)
            .with_advert_interval(self.interval)
    }
}
