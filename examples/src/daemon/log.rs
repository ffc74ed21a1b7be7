//! How much what happens matters. Every event says in its own words what it is.

use vrrp_ipvs::director::DirectorEvent;
use vrrp_net::DriverEvent;
use vrrp_net::vrrp_core::{Cause, Role};

/// What happened to a virtual router.
pub(super) fn driver(router: &str, event: &DriverEvent) {
    match event {
        DriverEvent::Transition { transition, .. } => match (transition.to, transition.cause) {
            (Role::Initialize, Cause::Fault(_)) => tracing::warn!(router, "{event}"),
            _ => tracing::info!(router, "{event}"),
        },
        DriverEvent::Waiting { .. }
        | DriverEvent::AddressRestored { .. }
        | DriverEvent::RouteRestored { .. }
        | DriverEvent::RuleRestored { .. }
        | DriverEvent::StaticRestored { .. }
        | DriverEvent::AddressMisplaced { .. }
        | DriverEvent::GuardianLost => tracing::warn!(router, "{event}"),
        _ => tracing::error!(router, "{event}"),
    }
}

/// What happened to what is balanced.
pub(super) fn director(event: &DirectorEvent) {
    match event {
        DirectorEvent::Refused { .. } => tracing::error!("{event}"),
        DirectorEvent::ServerDown { .. }
        | DirectorEvent::AttemptFailed { .. }
        | DirectorEvent::CheckHindered { .. }
        | DirectorEvent::QuorumDown { .. }
        | DirectorEvent::SorryIn { .. } => tracing::warn!("{event}"),
        DirectorEvent::Applied(_) => tracing::debug!("{event}"),
        _ => tracing::info!("{event}"),
    }
}
