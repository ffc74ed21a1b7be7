//! Why a table cannot be what is wanted.

use super::{DestinationId, ServiceId};

/// A service or destination that no kernel would take, or that a table cannot hold. The message names it, the value that
/// is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A name of a scheduler or a persistence engine that does not fit the kernel's field (`IP_VS_SCHEDNAME_MAXLEN`,
    /// `IP_VS_PENAME_MAXLEN`).
    #[error("{name:?} is no name of a {kind}: 1 to 15 octets of printable ASCII without spaces")]
    Name {
        /// What the name is for.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A persistence shorter or longer than IPVS keeps.
    #[error("{service}: persistence of {seconds} s is not 1..=2678400 (31 days)")]
    PersistenceTimeout {
        /// The service.
        service: ServiceId,
        /// Its timeout in seconds.
        seconds: u32,
    },
    /// A persistence granularity that the service's family does not have.
    #[error("{service}: {granularity} is no granularity of its family: {allowed}")]
    Granularity {
        /// The service.
        service: ServiceId,
        /// What was asked for.
        granularity: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// A weight that the kernel's signed number does not hold.
    #[error("{service}: weight {weight} of {destination} is not 0..=2147483647")]
    Weight {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
        /// Its weight.
        weight: u32,
    },
    /// A lower threshold above the upper one, which IPVS refuses.
    #[error("{service}: lower threshold {lower} of {destination} is above its upper threshold {upper}")]
    Thresholds {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
        /// Its lower threshold.
        lower: u32,
        /// Its upper threshold.
        upper: u32,
    },
    /// A destination of the other family that is not reached through a tunnel.
    #[error("{service}: {destination} is of the other address family, which only a tunnel reaches")]
    MixedFamily {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
    },
    /// One service twice.
    #[error("{0} is in the table twice")]
    DuplicateService(ServiceId),
    /// One destination twice in a service.
    #[error("{service}: {destination} is in its destinations twice")]
    DuplicateDestination {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
    },
}
