//! A kernel for tests: its table, its daemons, and its moods.

use super::kernel::Kernel;
use crate::apply::{Applied, ApplyError, Target, carry_out};
use crate::error::Error;
use crate::fake::FakeKernel;
use crate::model::{DestinationStatus, ServiceId, ServiceStatus, SyncDaemon, SyncState, Table};
use crate::plan::{Operation, Plan};

#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) table: FakeKernel,
    pub(super) daemons: Vec<SyncDaemon>,
    /// It has no IPVS.
    pub(super) missing: bool,
    /// After so many more operations it does nothing.
    pub(super) fails_after: Option<usize>,
    /// How often the list of services was read.
    pub(super) reads: usize,
    /// Whose destinations were read, in order.
    pub(super) destination_reads: Vec<ServiceId>,
    /// How many operations were carried out.
    pub(super) operations: usize,
}

impl Fake {
    pub(super) fn of(table: &Table) -> Self {
        Self { table: FakeKernel::of(table), ..Self::default() }
    }
}

impl Target for Fake {
    fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
        if let Some(left) = &mut self.fails_after {
            *left = left.checked_sub(1).ok_or(Error::NotPermitted)?;
        }
        self.operations += 1;
        self.table.carry_out(operation)
    }
}

impl Kernel for Fake {
    fn service_list(&mut self) -> Result<Vec<ServiceStatus>, Error> {
        self.reads += 1;
        if self.missing { Err(Error::ModuleMissing) } else { Ok(self.table.list()) }
    }

    fn destinations(&mut self, service: ServiceId) -> Result<Vec<DestinationStatus>, Error> {
        self.destination_reads.push(service);
        let destinations = self.table.services.get(&service).map(|(_, destinations)| destinations);
        Ok(destinations.into_iter().flat_map(|destinations| destinations.values().copied()).collect())
    }

    fn apply(&mut self, plan: &Plan<'_>) -> Result<Applied, ApplyError> {
        carry_out(self, plan)
    }

    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        Ok(self.daemons.clone())
    }

    fn start_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        if self.daemons.iter().any(|running| running.state == daemon.state) {
            return Err(Error::DaemonRuns(daemon.state));
        }
        self.daemons.push(daemon.clone());
        Ok(())
    }

    fn stop_daemon(&mut self, state: SyncState) -> Result<(), Error> {
        let before = self.daemons.len();
        self.daemons.retain(|running| running.state != state);
        if self.daemons.len() == before { Err(Error::DaemonDoesNotRun(state)) } else { Ok(()) }
    }
}
