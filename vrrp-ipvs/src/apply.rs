//! Carrying out a plan while others may change the same table.

use std::collections::HashSet;
use std::fmt;

use crate::client::Ipvs;
use crate::error::Error;
use crate::model::ServiceId;
use crate::plan::{Operation, Plan};

impl Ipvs {
    /// Carries out a plan.
    ///
    /// What another program did since the table was read does not stop it: what is there already is set instead of added,
    /// a destination that is gone is added again, a service that is gone is made again with its destinations, and what was
    /// to be removed and is gone is done. If a service cannot be had (its scheduler is missing, for example), the rest of
    /// what concerns that service is left out, so that nothing is taken away for which there is no replacement, and the
    /// other services are done all the same.
    ///
    /// However it ends, and if the process dies in the middle: reading the table, planning and applying again leads to the
    /// desired one. What was created by another program between reading and applying shows at the next reading.
    ///
    /// # Errors
    /// [`ApplyError`] with each service that failed and why.
    pub fn apply(&mut self, plan: &Plan<'_>) -> Result<Applied, ApplyError> {
        carry_out(self, plan)
    }
}

/// What [`Ipvs::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Applied {
    /// Operations carried out, the healed ones among them.
    pub operations: usize,
    /// Operations that met something another program had done, and came to what was wanted in another way. If there was
    /// one, look again soon.
    pub healed: usize,
}

/// A plan that was not carried out whole.
#[derive(Debug)]
#[non_exhaustive]
pub struct ApplyError {
    /// What was done nevertheless.
    pub applied: Applied,
    /// What was not: one operation for each service that failed, in the plan's order. One at least.
    pub failures: Vec<Failure>,
}

/// An operation that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// What was to be done.
    pub operation: Operation,
    /// Why it could not be.
    pub error: Error,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.failures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}cannot {}: {}", failure.operation, failure.error)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}

/// Who carries out operations: the kernel, or a table of a test.
pub(crate) trait Target {
    fn carry_out(&mut self, operation: &Operation) -> Result<(), Error>;
}

impl Target for Ipvs {
    fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::AddService(service) => self.add_service(service),
            Operation::SetService(service) => self.set_service(service),
            Operation::RemoveService(service) => self.remove_service(*service),
            Operation::AddDestination { service, destination } => self.add_destination(*service, destination),
            Operation::SetDestination { service, destination }
            | Operation::DrainDestination { service, destination } => self.set_destination(*service, destination),
            Operation::RemoveDestination { service, destination } => self.remove_destination(*service, *destination),
        }
    }
}

pub(crate) fn carry_out(target: &mut impl Target, plan: &Plan<'_>) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let mut failures: Vec<Failure> = Vec::new();
    let mut failed: HashSet<ServiceId> = HashSet::new();
    for operation in plan.operations() {
        if failed.contains(&operation.service()) {
            continue;
        }
        let error = match target.carry_out(operation) {
            Ok(()) => {
                applied.operations += 1;
                continue;
            }
            Err(error) => error,
        };
        match heal(target, plan, operation, error) {
            Ok(()) => {
                applied.operations += 1;
                applied.healed += 1;
            }
            Err(error) => {
                let hopeless = error.is_of_the_whole_kernel();
                failed.insert(operation.service());
                failures.push(Failure { operation: operation.clone(), error });
                if hopeless {
                    break;
                }
            }
        }
    }
    if failures.is_empty() { Ok(applied) } else { Err(ApplyError { applied, failures }) }
}

/// Comes to what `operation` is for in another way, if `error` says that somebody else has changed the table.
fn heal(target: &mut impl Target, plan: &Plan<'_>, operation: &Operation, error: Error) -> Result<(), Error> {
    match (operation, error) {
        (Operation::AddService(service), Error::ServiceExists { .. }) => {
            target.carry_out(&Operation::SetService(service.clone()))
        }
        (&Operation::AddDestination { service, destination }, Error::DestinationExists { .. }) => {
            target.carry_out(&Operation::SetDestination { service, destination })
        }
        (&Operation::SetDestination { service, destination }, Error::NoDestination { .. }) => {
            target.carry_out(&Operation::AddDestination { service, destination })
        }
        (Operation::RemoveDestination { .. } | Operation::DrainDestination { .. }, Error::NoDestination { .. }) => {
            Ok(())
        }
        (operation, Error::NoService { service }) => recreate(target, plan, service, operation),
        (_, error) => Err(error),
    }
}

/// Makes a service again that is gone, with all its destinations; one that was to go anyway is gone.
fn recreate(target: &mut impl Target, plan: &Plan<'_>, service: ServiceId, operation: &Operation) -> Result<(), Error> {
    let Some(wanted) = plan.desired().get(service) else {
        debug_assert!(!matches!(operation, Operation::AddService(_) | Operation::AddDestination { .. }));
        return Ok(());
    };
    match target.carry_out(&Operation::AddService(wanted.service.clone())) {
        Err(Error::ServiceExists { .. }) => target.carry_out(&Operation::SetService(wanted.service.clone()))?,
        other => other?,
    }
    for &destination in wanted.destinations.values() {
        match target.carry_out(&Operation::AddDestination { service, destination }) {
            Err(Error::DestinationExists { .. }) => {
                target.carry_out(&Operation::SetDestination { service, destination })?;
            }
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{FakeKernel, kernel, table};
    use crate::model::{Destination, DestinationId, Scheduler, Service, Table, VirtualServer};
    use crate::plan::plan;

    impl Target for FakeKernel {
        fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
            self.carry_out(operation)
        }
    }

    fn id(port: u16) -> ServiceId {
        ServiceId::tcp("192.0.2.1".parse().unwrap(), port)
    }

    fn server(port: u16, hosts: &[u8]) -> VirtualServer {
        let destination = |&host: &u8| Destination::new(DestinationId::new([10, 0, 0, host].into(), 80));
        VirtualServer { service: Service::new(id(port)), destinations: hosts.iter().map(destination).collect() }
    }

    fn table_of(servers: &[VirtualServer]) -> Table {
        Table::new(servers.iter().cloned()).unwrap()
    }

    /// Plans from `read`, applies to what another program has made of it meanwhile, and expects the desired table.
    fn raced(desired: &[VirtualServer], read: &[VirtualServer], meanwhile: &[VirtualServer]) -> Applied {
        let desired = table_of(desired);
        let mut kernel = FakeKernel::of(&table_of(meanwhile));
        let dump = FakeKernel::of(&table_of(read)).dump();
        let applied = carry_out(&mut kernel, &plan(&desired, &dump, |_| true)).unwrap();
        assert_eq!(kernel, FakeKernel::of(&desired));
        applied
    }

    #[test]
    fn a_service_that_is_there_already_is_set() {
        let mut different = server(80, &[1]);
        different.service.scheduler = Scheduler::SOURCE_HASH;
        let applied = raced(&[server(80, &[1])], &[], &[different]);
        assert_eq!((applied.operations, applied.healed), (2, 2));
    }

    #[test]
    fn a_service_that_is_gone_is_made_again_with_its_destinations() {
        // Only one destination is to be added: the other two come back with the service.
        let applied = raced(&[server(80, &[1, 2, 3])], &[server(80, &[1, 2])], &[]);
        assert_eq!((applied.operations, applied.healed), (1, 1));
        // The same where only a removal meets it.
        raced(&[server(80, &[1])], &[server(80, &[1, 2])], &[]);
        let mut set = server(80, &[1, 2]);
        set.service.one_packet = true;
        raced(&[set], &[server(80, &[1, 2])], &[]);
    }

    #[test]
    fn a_destination_that_is_gone_is_added() {
        let mut heavier = server(80, &[1, 2]);
        heavier.destinations[0].weight = 7;
        let applied = raced(&[heavier], &[server(80, &[1, 2])], &[server(80, &[2])]);
        assert_eq!((applied.operations, applied.healed), (1, 1));
    }

    #[test]
    fn what_was_to_go_and_is_gone_is_done() {
        let applied = raced(&[server(80, &[1])], &[server(80, &[1, 2]), server(81, &[1])], &[server(80, &[1])]);
        assert_eq!((applied.operations, applied.healed), (2, 2));
    }

    #[test]
    fn a_drain_does_not_bring_back_what_is_gone() {
        let drained = server(80, &[2]).destinations[0].id;
        let desired = table_of(&[server(80, &[1])]);
        let read = FakeKernel::of(&table_of(&[server(80, &[1, 2])])).dump();
        let mut drains = crate::Drains::new(std::time::Duration::from_secs(60));
        let plan = drains.plan(vrrp_core::Instant::ZERO, &desired, &read, |_| true);
        assert!(matches!(plan.operations(), [Operation::DrainDestination { .. }]));
        for meanwhile in [&[server(80, &[1])][..], &[]] {
            let mut kernel = FakeKernel::of(&table_of(meanwhile));
            carry_out(&mut kernel, &plan).unwrap();
            assert!(!kernel.services[&id(80)].1.contains_key(&drained));
        }
    }

    #[test]
    fn a_service_that_cannot_be_had_does_not_stop_the_others() {
        let mut impossible = server(80, &[2]);
        impossible.service.scheduler = Scheduler::NEVER_QUEUE;
        let desired = table_of(&[impossible, server(81, &[1])]);
        let mut kernel = FakeKernel::of(&table_of(&[server(80, &[1]), server(82, &[])]));
        let before = kernel.services[&id(80)].clone();
        kernel.lacks = Some(Scheduler::NEVER_QUEUE);
        let plan = plan(&desired, &kernel.dump(), |_| true);
        let error = carry_out(&mut kernel, &plan).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot set TCP 192.0.2.1:80 (nq): TCP 192.0.2.1:80: the kernel has no scheduler \"nq\": \
             load the module ip_vs_nq (as root: modprobe ip_vs_nq)"
        );
        // Nothing was taken from it, and the rest was done.
        assert_eq!(kernel.services[&id(80)], before);
        assert_eq!(kernel.services.keys().copied().collect::<Vec<_>>(), [id(80), id(81)]);
        assert_eq!((error.applied.operations, error.failures.len()), (3, 1));
    }

    #[test]
    fn without_ipvs_the_first_operation_is_the_last() {
        struct Nothing(usize);
        impl Target for Nothing {
            fn carry_out(&mut self, _: &Operation) -> Result<(), Error> {
                self.0 += 1;
                Err(Error::ModuleMissing)
            }
        }
        let (desired, mut nothing) = (table_of(&[server(80, &[1]), server(81, &[1])]), Nothing(0));
        let error = carry_out(&mut nothing, &plan(&desired, &[], |_| true)).unwrap_err();
        assert_eq!((nothing.0, error.failures.len()), (1, 1));
        assert!(matches!(error.failures[0].error, Error::ModuleMissing));
    }

    proptest! {
        /// Two programs that want the same table, and a third that spoils it, one operation each in any order: whatever
        /// the first meets, the round after the others have stopped ends with the desired table.
        #[test]
        fn races_are_healed(
            desired in table(), mut kernel in kernel(), others in vec((0_usize..12, table()), 0..3),
        ) {
            struct Raced<'a> { kernel: &'a mut FakeKernel, step: usize, others: Vec<(usize, Table)> }
            impl Target for Raced<'_> {
                fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
                    for (at, table) in &self.others {
                        if *at == self.step {
                            *self.kernel = FakeKernel::of(table);
                        }
                    }
                    self.step += 1;
                    self.kernel.carry_out(operation)
                }
            }
            let dump = kernel.dump();
            let mut raced = Raced { kernel: &mut kernel, step: 0, others };
            // It may fail, where others are faster than it; it does not panic.
            let _ = carry_out(&mut raced, &plan(&desired, &dump, |_| true));
            let dump = kernel.dump();
            carry_out(&mut kernel, &plan(&desired, &dump, |_| true)).unwrap();
            prop_assert!(plan(&desired, &kernel.dump(), |_| true).is_empty());
        }
    }
}
