//! The difference between what the kernel has and what you want, as the fewest operations, in an order that serves clients
//! all along.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use vrrp_core::Instant;

use crate::model::{Destination, DestinationId, DestinationStatus, Service, ServiceId, ServiceStatus, Table};

/// What makes the kernel's table the `desired` one: empty if it is.
///
/// `owned` tells the services that may be touched. What is there and owned but not desired is removed at once, with its
/// connections; [`Drains::plan`] lets them end first. A desired service that is not owned is left alone and named in
/// [`Plan::foreign`].
///
/// The result depends on the arguments alone: no clock, no kernel.
///
/// # Order
/// First what is missing is added and what differs is set, service by service, then destinations are set to weight 0, then
/// others are removed, and services last: at no time has a service fewer destinations than in the worse of the two tables.
/// There is never a flush, and nothing is removed to be added again: connections survive.
pub fn plan<'t>(desired: &'t Table, actual: &[ServiceStatus], owned: impl Fn(ServiceId) -> bool) -> Plan<'t> {
    difference(desired, actual, owned, |_, _| Fate::Remove)
}

/// Destinations whose connections are ending: they get weight 0, and are removed once they are idle or their time is up.
///
/// Idle is [`DestinationStatus::is_idle`]. It is plain data; keep it between plans, and plan again every second or so while it
/// is not [empty](Self::is_empty). A service that is not desired any more is removed once all its destinations could be.
///
/// ```
/// # use std::time::Duration;
/// # use vrrp_ipvs::{Drains, ServiceStatus, Table};
/// # use vrrp_core::Instant;
/// # let (now, desired, actual) = (Instant::ZERO, Table::default(), Vec::<ServiceStatus>::new());
/// let mut drains = Drains::new(Duration::from_secs(60));
/// let plan = drains.plan(now, &desired, &actual, |_| true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Drains {
    limit: Duration,
    /// A list, not a map: the keys of JSON and TOML are text.
    since: Vec<Drain>,
}

/// A destination that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Drain {
    service: ServiceId,
    destination: DestinationId,
    since: Instant,
}

impl Drains {
    /// Nothing is drained yet; what will be is removed after `limit` at the latest.
    pub const fn new(limit: Duration) -> Self {
        Self { limit, since: Vec::new() }
    }

    /// As [`plan`](plan()), but lets the connections of what it removes end.
    pub fn plan<'t>(
        &mut self,
        now: Instant,
        desired: &'t Table,
        actual: &[ServiceStatus],
        owned: impl Fn(ServiceId) -> bool,
    ) -> Plan<'t> {
        let known: HashMap<_, _> =
            self.since.iter().map(|drain| ((drain.service, drain.destination), drain.since)).collect();
        let mut draining = Vec::new();
        let limit = self.limit;
        let plan = difference(desired, actual, owned, |service, status| {
            let destination = status.destination.id;
            let since = known.get(&(service, destination)).copied().unwrap_or(now);
            let quiesced = status.destination.weight == 0;
            // One with a weight can get a connection before it is removed, however idle it was when it was looked at.
            if now.since(since) >= limit || (quiesced && status.is_idle()) {
                return Fate::Remove;
            }
            draining.push(Drain { service, destination, since });
            if quiesced { Fate::Keep } else { Fate::Quiesce }
        });
        self.since = draining;
        plan
    }

    /// When the first of them is removed whatever it still does; `None` if there is none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.since.iter().map(|drain| drain.since + self.limit).min()
    }

    /// Whether nothing is drained.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// The destinations that are drained.
    pub fn iter(&self) -> impl Iterator<Item = (ServiceId, DestinationId)> + '_ {
        self.since.iter().map(|drain| (drain.service, drain.destination))
    }
}

/// Operations, for [`Ipvs::apply`](crate::Ipvs::apply).
///
/// It refers to the table it was made for, from which a service that another program has removed meanwhile is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<'t> {
    desired: &'t Table,
    operations: Vec<Operation>,
    foreign: Vec<ServiceId>,
}

impl<'t> Plan<'t> {
    /// Some of the operations of a plan that leads to `desired`.
    pub(crate) const fn part(desired: &'t Table, operations: Vec<Operation>) -> Self {
        Self { desired, operations, foreign: Vec::new() }
    }

    /// What is to be done, in this order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Desired services that are left alone because they are not owned.
    pub fn foreign(&self) -> &[ServiceId] {
        &self.foreign
    }

    /// The table it leads to.
    pub fn desired(&self) -> &'t Table {
        self.desired
    }
}

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "the variants say what the fields are of")]
#[non_exhaustive]
pub enum Operation {
    /// Adds a service that is missing.
    AddService(Service),
    /// Changes a service in place.
    SetService(Service),
    /// Removes a service with the destinations it has left.
    RemoveService(ServiceId),
    /// Adds a destination that is missing.
    AddDestination { service: ServiceId, destination: Destination },
    /// Changes a destination in place.
    SetDestination { service: ServiceId, destination: Destination },
    /// Gives a destination that is to go weight 0, the rest of it as it is.
    DrainDestination { service: ServiceId, destination: Destination },
    /// Removes a destination.
    RemoveDestination { service: ServiceId, destination: DestinationId },
}

impl Operation {
    /// The service it is about.
    pub const fn service(&self) -> ServiceId {
        match self {
            Self::AddService(service) | Self::SetService(service) => service.id,
            Self::RemoveService(service)
            | Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::DrainDestination { service, .. }
            | Self::RemoveDestination { service, .. } => *service,
        }
    }
}

/// `add TCP 192.0.2.1:80`, `set destination 10.0.0.1:80 of TCP 192.0.2.1:80 (weight 3)`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService(service) => write!(f, "add {} ({})", service.id, service.scheduler),
            Self::SetService(service) => write!(f, "set {} ({})", service.id, service.scheduler),
            Self::RemoveService(service) => write!(f, "remove {service}"),
            Self::AddDestination { service, destination } => {
                write!(f, "add destination {} of {service} (weight {})", destination.id, destination.weight)
            }
            Self::SetDestination { service, destination } => {
                write!(f, "set destination {} of {service} (weight {})", destination.id, destination.weight)
            }
            Self::DrainDestination { service, destination } => {
                write!(f, "drain destination {} of {service}", destination.id)
            }
            Self::RemoveDestination { service, destination } => {
                write!(f, "remove destination {destination} of {service}")
            }
        }
    }
}

/// What becomes of a destination that is not desired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes now.
    Remove,
    /// It takes no new connections.
    Quiesce,
    /// It has been quiesced, and waits.
    Keep,
}

fn difference<'t>(
    desired: &'t Table,
    actual: &[ServiceStatus],
    owned: impl Fn(ServiceId) -> bool,
    mut fate: impl FnMut(ServiceId, &DestinationStatus) -> Fate,
) -> Plan<'t> {
    // A service that is listed twice, because the table changed while it was read, counts once.
    let actual: BTreeMap<ServiceId, &ServiceStatus> =
        actual.iter().map(|status| (status.service.id.canonical(), status)).collect();
    let (mut build, mut quiesce, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    let mut foreign = Vec::new();
    for wanted in desired.wanted() {
        let service = wanted.service.id;
        if !owned(service) {
            foreign.push(service);
            continue;
        }
        let present = actual.get(&service).copied();
        match present {
            None => build.push(Operation::AddService(wanted.service.clone())),
            Some(status) if status.service.canonical() != wanted.service => {
                build.push(Operation::SetService(wanted.service.clone()));
            }
            Some(_) => {}
        }
        let present: BTreeMap<DestinationId, &DestinationStatus> = present
            .iter()
            .flat_map(|status| &status.destinations)
            .map(|status| (status.destination.id, status))
            .collect();
        let mut set = Vec::new();
        for destination in wanted.destinations.values() {
            let destination = *destination;
            match present.get(&destination.id) {
                None => build.push(Operation::AddDestination { service, destination }),
                Some(status) if status.destination.canonical() == destination => {}
                Some(_) if destination.weight == 0 => quiesce.push(Operation::SetDestination { service, destination }),
                Some(_) => set.push(Operation::SetDestination { service, destination }),
            }
        }
        build.append(&mut set);
        for (&destination, status) in &present {
            if !wanted.destinations.contains_key(&destination) {
                match fate(service, status) {
                    Fate::Remove => remove.push(Operation::RemoveDestination { service, destination }),
                    Fate::Quiesce => quiesce.push(drain(service, status)),
                    Fate::Keep => {}
                }
            }
        }
    }
    let mut remove_services = Vec::new();
    for (&service, status) in &actual {
        if desired.contains(service) || !owned(service) {
            continue;
        }
        let mut removed = Vec::new();
        for status in &status.destinations {
            match fate(service, status) {
                Fate::Remove => {
                    removed.push(Operation::RemoveDestination { service, destination: status.destination.id });
                }
                Fate::Quiesce => quiesce.push(drain(service, status)),
                Fate::Keep => {}
            }
        }
        if removed.len() == status.destinations.len() {
            remove_services.push(Operation::RemoveService(service));
        } else {
            remove.append(&mut removed);
        }
    }
    let operations = [build, quiesce, remove, remove_services].concat();
    Plan { desired, operations, foreign }
}

fn drain(service: ServiceId, status: &DestinationStatus) -> Operation {
    Operation::DrainDestination { service, destination: status.destination.with_weight(0) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{FakeKernel, kernel, service_id, table};
    use crate::model::{Scheduler, VirtualServer};

    fn id(port: u16) -> ServiceId {
        ServiceId::tcp("192.0.2.1".parse().unwrap(), port)
    }

    fn destination(host: u8, weight: u32) -> Destination {
        Destination::new(DestinationId::new([10, 0, 0, host].into(), 80)).with_weight(weight)
    }

    fn server(port: u16, destinations: &[Destination]) -> VirtualServer {
        VirtualServer { service: Service::new(id(port)), destinations: destinations.to_vec() }
    }

    fn words(plan: &Plan<'_>) -> Vec<String> {
        plan.operations().iter().map(ToString::to_string).collect()
    }

    fn apply(plan: &Plan<'_>, kernel: &mut FakeKernel) {
        for operation in plan.operations() {
            kernel.carry_out(operation).unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }

    /// Where an operation stands in the order: what adds or sets, what quiesces, what removes, what removes services.
    fn phase(operation: &Operation) -> u8 {
        match operation {
            Operation::AddService(_) | Operation::SetService(_) | Operation::AddDestination { .. } => 0,
            Operation::SetDestination { destination, .. } if destination.weight > 0 => 0,
            Operation::SetDestination { .. } | Operation::DrainDestination { .. } => 1,
            Operation::RemoveDestination { .. } => 2,
            Operation::RemoveService(_) => 3,
        }
    }

    #[test]
    fn an_empty_kernel_gets_each_service_and_then_its_destinations() {
        let desired = Table::new([server(81, &[]), server(80, &[destination(2, 1), destination(1, 3)])]).unwrap();
        assert_eq!(
            words(&plan(&desired, &[], |_| true)),
            [
                "add TCP 192.0.2.1:80 (rr)",
                "add destination 10.0.0.1:80 of TCP 192.0.2.1:80 (weight 3)",
                "add destination 10.0.0.2:80 of TCP 192.0.2.1:80 (weight 1)",
                "add TCP 192.0.2.1:81 (rr)",
            ]
        );
    }

    #[test]
    fn a_replacement_is_there_before_what_it_replaces_goes() {
        let kernel = FakeKernel::of(
            &Table::new([server(80, &[destination(1, 1), destination(2, 1), destination(3, 0)]), server(82, &[])])
                .unwrap(),
        );
        let mut changed = server(80, &[destination(2, 0), destination(3, 7), destination(4, 1)]);
        changed.service.scheduler = Scheduler::LEAST_CONNECTION;
        let desired = Table::new([changed, server(81, &[])]).unwrap();
        assert_eq!(
            words(&plan(&desired, &kernel.dump(), |_| true)),
            [
                "set TCP 192.0.2.1:80 (lc)",
                "add destination 10.0.0.4:80 of TCP 192.0.2.1:80 (weight 1)",
                "set destination 10.0.0.3:80 of TCP 192.0.2.1:80 (weight 7)",
                "add TCP 192.0.2.1:81 (rr)",
                "set destination 10.0.0.2:80 of TCP 192.0.2.1:80 (weight 0)",
                "remove destination 10.0.0.1:80 of TCP 192.0.2.1:80",
                "remove TCP 192.0.2.1:82",
            ]
        );
    }

    #[test]
    fn a_service_of_somebody_else_is_named_and_left_alone() {
        let kernel = FakeKernel::of(&Table::new([server(80, &[destination(1, 1)]), server(82, &[])]).unwrap());
        let desired = Table::new([server(80, &[]), server(81, &[])]).unwrap();
        let plan = plan(&desired, &kernel.dump(), |service| service == id(81));
        assert_eq!(words(&plan), ["add TCP 192.0.2.1:81 (rr)"]);
        assert_eq!(plan.foreign(), [id(80)]);
    }

    #[test]
    fn a_destination_is_drained_and_removed_when_idle() {
        let mut kernel = FakeKernel::of(&Table::new([server(80, &[destination(1, 5), destination(2, 1)])]).unwrap());
        let desired = Table::new([server(80, &[destination(2, 1)])]).unwrap();
        let mut drains = Drains::new(Duration::from_secs(60));
        // It is idle, but has a weight: a connection may come any moment.
        let plan = drains.plan(Instant::from_millis(1_000), &desired, &kernel.dump(), |_| true);
        assert_eq!(words(&plan), ["drain destination 10.0.0.1:80 of TCP 192.0.2.1:80"]);
        apply(&plan, &mut kernel);
        assert_eq!(drains.poll_timeout(), Some(Instant::from_millis(61_000)));
        let first = destination(1, 0).id;
        for field in 0..3 {
            let status = kernel.services.get_mut(&id(80)).unwrap().1.get_mut(&first).unwrap();
            status.active_connections = u32::from(field == 0);
            status.inactive_connections = u32::from(field == 1);
            status.persistent_connections = u32::from(field == 2);
            let plan = drains.plan(Instant::from_millis(2_000), &desired, &kernel.dump(), |_| true);
            assert!(plan.is_empty(), "{:?}", words(&plan));
            assert_eq!(drains.iter().collect::<Vec<_>>(), [(id(80), first)]);
        }
        kernel.services.get_mut(&id(80)).unwrap().1.get_mut(&first).unwrap().persistent_connections = 0;
        let plan = drains.plan(Instant::from_millis(3_000), &desired, &kernel.dump(), |_| true);
        assert_eq!(words(&plan), ["remove destination 10.0.0.1:80 of TCP 192.0.2.1:80"]);
        assert!(drains.is_empty());
        assert_eq!(drains.poll_timeout(), None);
    }

    #[test]
    fn a_drain_ends_at_its_deadline_whatever_is_left() {
        let mut kernel = FakeKernel::of(&Table::new([server(80, &[destination(1, 5)])]).unwrap());
        kernel.services.get_mut(&id(80)).unwrap().1.values_mut().next().unwrap().active_connections = 9;
        let desired = Table::default();
        let mut drains = Drains::new(Duration::from_secs(60));
        let plan = drains.plan(Instant::ZERO, &desired, &kernel.dump(), |_| true);
        assert_eq!(words(&plan), ["drain destination 10.0.0.1:80 of TCP 192.0.2.1:80"]);
        apply(&plan, &mut kernel);
        assert!(drains.plan(Instant::from_millis(59_999), &desired, &kernel.dump(), |_| true).is_empty());
        let plan = drains.plan(Instant::from_millis(60_000), &desired, &kernel.dump(), |_| true);
        assert_eq!(words(&plan), ["remove TCP 192.0.2.1:80"]);
        assert!(drains.is_empty());
    }

    #[test]
    fn a_drained_destination_that_is_wanted_again_gets_its_weight_back() {
        let mut kernel = FakeKernel::of(&Table::new([server(80, &[destination(1, 5)])]).unwrap());
        let (without, with) =
            (Table::new([server(80, &[])]).unwrap(), Table::new([server(80, &[destination(1, 5)])]).unwrap());
        let mut drains = Drains::new(Duration::from_secs(60));
        apply(&drains.plan(Instant::ZERO, &without, &kernel.dump(), |_| true), &mut kernel);
        let plan = drains.plan(Instant::from_millis(1), &with, &kernel.dump(), |_| true);
        assert_eq!(words(&plan), ["set destination 10.0.0.1:80 of TCP 192.0.2.1:80 (weight 5)"]);
        assert!(drains.is_empty());
        // The next time it begins anew.
        apply(&plan, &mut kernel);
        apply(&drains.plan(Instant::from_millis(50_000), &without, &kernel.dump(), |_| true), &mut kernel);
        assert_eq!(drains.poll_timeout(), Some(Instant::from_millis(110_000)));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn drains_can_be_stored() {
        let kernel = FakeKernel::of(&Table::new([server(80, &[destination(1, 5)])]).unwrap());
        let mut drains = Drains::new(Duration::from_secs(60));
        let _ = drains.plan(Instant::from_millis(5), &Table::default(), &kernel.dump(), |_| true);
        let text = serde_json::to_string(&drains).unwrap();
        assert_eq!(serde_json::from_str::<Drains>(&text).unwrap(), drains);
        assert!(!drains.is_empty());
    }

    proptest! {
        #[test]
        fn applied_once_nothing_is_left_to_do(desired in table(), mut kernel in kernel()) {
            let first = plan(&desired, &kernel.dump(), |_| true);
            apply(&first, &mut kernel);
            prop_assert_eq!(words(&plan(&desired, &kernel.dump(), |_| true)), Vec::<String>::new());
            prop_assert_eq!(&kernel, &FakeKernel { services: with_counters(&desired, &kernel), ..FakeKernel::default() });
        }

        #[test]
        fn a_table_against_itself_is_no_operation(table in table()) {
            prop_assert_eq!(words(&plan(&table, &FakeKernel::of(&table).dump(), |_| true)), Vec::<String>::new());
        }

        #[test]
        fn only_what_is_owned_is_touched(
            desired in table(), mut kernel in kernel(), owned in btree_set(service_id(), 0..8), limit in 0_u64..2,
        ) {
            let before = kernel.only(|id| !owned.contains(&id));
            let is_owned = |id| owned.contains(&id);
            apply(&Drains::new(Duration::from_secs(limit)).plan(Instant::ZERO, &desired, &kernel.dump(), is_owned), &mut kernel);
            let plan = plan(&desired, &kernel.dump(), is_owned);
            apply(&plan, &mut kernel);
            prop_assert_eq!(kernel.only(|id| !is_owned(id)), before);
            let foreign: Vec<_> = desired.ids().filter(|&id| !is_owned(id)).collect();
            prop_assert_eq!(plan.foreign(), foreign);
        }

        #[test]
        fn adds_come_before_removals_and_nothing_is_asked_twice(desired in table(), kernel in kernel(), limit in 0_u64..2) {
            let mut drains = Drains::new(Duration::from_secs(limit));
            for plan in [plan(&desired, &kernel.dump(), |_| true), drains.plan(Instant::ZERO, &desired, &kernel.dump(), |_| true)] {
                prop_assert!(plan.operations().is_sorted_by_key(phase), "{:?}", words(&plan));
                let different: BTreeSet<_> = plan.operations().iter().map(|operation| match operation {
                    Operation::AddService(_) | Operation::SetService(_) | Operation::RemoveService(_) => {
                        (operation.service(), None)
                    }
                    Operation::AddDestination { destination, .. }
                    | Operation::SetDestination { destination, .. }
                    | Operation::DrainDestination { destination, .. } => (operation.service(), Some(destination.id)),
                    Operation::RemoveDestination { destination, .. } => (operation.service(), Some(*destination)),
                }).collect();
                prop_assert_eq!(different.len(), plan.operations().len());
            }
        }

        #[test]
        fn a_drain_comes_to_its_end(desired in table(), mut kernel in kernel()) {
            let mut drains = Drains::new(Duration::from_secs(10));
            let first = drains.plan(Instant::ZERO, &desired, &kernel.dump(), |_| true);
            for operation in first.operations() {
                // Whatever has a weight is quiesced before it goes; nothing else goes at once but what is idle.
                if let Operation::RemoveDestination { service, destination } = operation {
                    let status = kernel.services[service].1[destination];
                    prop_assert!(status.destination.weight == 0 && status.is_idle());
                }
            }
            apply(&first, &mut kernel);
            let last = drains.plan(Instant::from_millis(10_000), &desired, &kernel.dump(), |_| true);
            apply(&last, &mut kernel);
            prop_assert!(drains.is_empty());
            prop_assert!(plan(&desired, &kernel.dump(), |_| true).is_empty());
        }

        #[test]
        fn stopped_anywhere_the_next_plan_ends_it(desired in table(), mut kernel in kernel(), at in 0_usize..20) {
            let first = plan(&desired, &kernel.dump(), |_| true);
            for operation in first.operations().iter().take(at) {
                kernel.carry_out(operation).unwrap();
            }
            let rest = plan(&desired, &kernel.dump(), |_| true);
            // Minimal: what was done is not done again.
            prop_assert_eq!(rest.operations(), first.operations().get(at..).unwrap_or_default());
            apply(&rest, &mut kernel);
            prop_assert!(plan(&desired, &kernel.dump(), |_| true).is_empty());
        }
    }

    /// `desired` with what `kernel` has counted of it.
    fn with_counters(
        desired: &Table,
        kernel: &FakeKernel,
    ) -> BTreeMap<ServiceId, (Service, BTreeMap<DestinationId, DestinationStatus>)> {
        let mut services = FakeKernel::of(desired).services;
        for (id, (_, destinations)) in &mut services {
            for (destination, status) in destinations {
                let counted = kernel.services.get(id).and_then(|(_, present)| present.get(destination));
                status.active_connections = counted.map_or(0, |counted| counted.active_connections);
            }
        }
        // What means the same is the same: the kernel's own forms are compared by `plan`.
        for (id, (service, destinations)) in &mut services {
            if let Some((present, others)) = kernel.services.get(id) {
                if present.canonical() == service.canonical() {
                    *service = present.clone();
                }
                for (id, status) in destinations {
                    if let Some(other) = others.get(id)
                        && other.destination.canonical() == status.destination.canonical()
                    {
                        status.destination = other.destination;
                    }
                }
            }
        }
        services
    }
}
