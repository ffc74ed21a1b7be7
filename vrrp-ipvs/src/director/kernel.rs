//! What a director asks of a kernel.

use crate::apply::{Applied, ApplyError};
use crate::client::Ipvs;
use crate::error::Error;
use crate::model::{DestinationStatus, ServiceId, ServiceStatus, SyncDaemon, SyncState};
use crate::plan::Plan;

/// A kernel's IPVS: [`Ipvs`], or what takes its place in a test or on another machine.
#[allow(clippy::missing_errors_doc, reason = "as of Ipvs")]
pub trait Kernel {
    /// As [`Ipvs::service_list`].
    fn service_list(&mut self) -> Result<Vec<ServiceStatus>, Error>;
    /// As [`Ipvs::destinations`].
    fn destinations(&mut self, service: ServiceId) -> Result<Vec<DestinationStatus>, Error>;
    /// As [`Ipvs::apply`].
    fn apply(&mut self, plan: &Plan<'_>) -> Result<Applied, ApplyError>;
    /// As [`Ipvs::daemons`].
    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, Error>;
    /// As [`Ipvs::start_daemon`].
    fn start_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error>;
    /// As [`Ipvs::stop_daemon`].
    fn stop_daemon(&mut self, state: SyncState) -> Result<(), Error>;
}

impl Kernel for Ipvs {
    fn service_list(&mut self) -> Result<Vec<ServiceStatus>, Error> {
        self.service_list()
    }

    fn destinations(&mut self, service: ServiceId) -> Result<Vec<DestinationStatus>, Error> {
        self.destinations(service)
    }

    fn apply(&mut self, plan: &Plan<'_>) -> Result<Applied, ApplyError> {
        self.apply(plan)
    }

    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        self.daemons()
    }

    fn start_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        self.start_daemon(daemon)
    }

    fn stop_daemon(&mut self, state: SyncState) -> Result<(), Error> {
        self.stop_daemon(state)
    }
}
