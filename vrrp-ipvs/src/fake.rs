//! A table that answers as the kernel does, and tables at random, for the tests of planning and applying.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::error::Error;
use crate::model::{
    Destination, DestinationId, DestinationStatus, Family, Forwarding, Granularity, Persistence, Scheduler, Service,
    ServiceId, ServiceStatus, Table, Tunnel, TunnelChecksum, VirtualServer,
};
use crate::plan::Operation;

/// Services with their destinations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FakeKernel {
    pub(crate) services: BTreeMap<ServiceId, (Service, BTreeMap<DestinationId, DestinationStatus>)>,
    /// Schedulers it has not.
    pub(crate) lacks: Option<Scheduler>,
}

impl FakeKernel {
    pub(crate) fn of(table: &Table) -> Self {
        let mut kernel = Self::default();
        for VirtualServer { service, destinations } in Vec::from(table.clone()) {
            let destinations = destinations.into_iter().map(|one| (one.id, DestinationStatus::new(one))).collect();
            kernel.services.insert(service.id, (service, destinations));
        }
        kernel
    }

    pub(crate) fn dump(&self) -> Vec<ServiceStatus> {
        let mut dump = Vec::new();
        for (service, destinations) in self.services.values() {
            let mut status = ServiceStatus::new(service.clone(), []);
            status.destinations = destinations.values().copied().collect();
            dump.push(status);
        }
        dump
    }

    /// The same without the destinations.
    pub(crate) fn list(&self) -> Vec<ServiceStatus> {
        self.services.values().map(|(service, _)| ServiceStatus::new(service.clone(), [])).collect()
    }

    /// The services that `of` has, as they are there.
    pub(crate) fn only(&self, owned: impl Fn(ServiceId) -> bool) -> Self {
        let mut kernel = self.clone();
        kernel.services.retain(|&id, _| owned(id));
        kernel
    }

    pub(crate) fn carry_out(&mut self, operation: &Operation) -> Result<(), Error> {
        let service = operation.service();
        if let Operation::AddService(wanted) | Operation::SetService(wanted) = operation
            && self.lacks.as_ref() == Some(&wanted.scheduler)
        {
            let scheduler = wanted.scheduler.clone();
            return Err(Error::SchedulerMissing { service, scheduler, engine: None });
        }
        let present = self.services.get_mut(&service);
        if let Operation::AddService(wanted) = operation {
            return match present {
                Some(_) => Err(Error::ServiceExists { service }),
                None => {
                    self.services.insert(service, (wanted.clone(), BTreeMap::new()));
                    Ok(())
                }
            };
        }
        let Some((present, destinations)) = present else { return Err(Error::NoService { service }) };
        match *operation {
            Operation::AddService(_) => unreachable!("above"),
            Operation::SetService(ref wanted) => *present = wanted.clone(),
            Operation::RemoveService(_) => {
                self.services.remove(&service);
            }
            Operation::AddDestination { destination, .. } => {
                if destinations.contains_key(&destination.id) {
                    return Err(Error::DestinationExists { service, destination: destination.id });
                }
                destinations.insert(destination.id, DestinationStatus::new(destination));
            }
            Operation::SetDestination { destination, .. } | Operation::DrainDestination { destination, .. } => {
                let Some(status) = destinations.get_mut(&destination.id) else {
                    return Err(Error::NoDestination { service, destination: destination.id });
                };
                status.destination = destination;
            }
            Operation::RemoveDestination { destination, .. } => {
                if destinations.remove(&destination).is_none() {
                    return Err(Error::NoDestination { service, destination });
                }
            }
        }
        Ok(())
    }
}

/// Few ids, so that two tables have much in common.
pub(crate) fn service_id() -> impl Strategy<Value = ServiceId> {
    let address = prop_oneof![Just("192.0.2.1"), Just("2001:db8::1")].prop_map(|text| text.parse::<IpAddr>().unwrap());
    let mark = (prop_oneof![Just(Family::V4), Just(Family::V6)], 1_u32..3);
    prop_oneof![
        (address.clone(), 80_u16..83).prop_map(|(address, port)| ServiceId::tcp(address, port)),
        (address.clone(), 80_u16..82).prop_map(|(address, port)| ServiceId::udp(address, port)),
        (address, 80_u16..81).prop_map(|(address, port)| ServiceId::sctp(address, port)),
        mark.prop_map(|(family, mark)| ServiceId::fwmark(family, NonZeroU32::new(mark).unwrap())),
    ]
}

fn service(id: ServiceId) -> impl Strategy<Value = Service> {
    let scheduler = prop_oneof![Just(Scheduler::ROUND_ROBIN), Just(Scheduler::SOURCE_HASH)];
    let granularity = prop_oneof![
        Just(Granularity::Host),
        (1_u8..=32).prop_map(Granularity::Prefix),
        (0..=32_u8).prop_map(move |prefix| match id.family() {
            Family::V4 => Granularity::Netmask(Granularity::Prefix(prefix).netmask()),
            Family::V6 => Granularity::Prefix(128),
        }),
    ];
    let persistence = proptest::option::of((1_u32..3, granularity));
    (scheduler, any::<[bool; 2]>(), persistence).prop_map(move |(scheduler, [flag_1, one_packet], persistence)| {
        let mut service = Service::new(id).with_scheduler(scheduler);
        service.scheduler_flags.flag_1 = flag_1;
        service.one_packet = one_packet;
        service.persistence =
            persistence.map(|(timeout_seconds, granularity)| Persistence { timeout_seconds, granularity });
        service
    })
}

fn destination(family: Family) -> impl Strategy<Value = Destination> {
    let forwarding = prop_oneof![
        Just(Forwarding::Masquerade),
        Just(Forwarding::Direct),
        Just(Forwarding::Tunnel(Tunnel::Ipip)),
        Just(Forwarding::Tunnel(Tunnel::Gre { checksum: true })),
        Just(Forwarding::Tunnel(Tunnel::Other { kind: 0, port: 0, flags: 0 })),
        Just(Forwarding::Tunnel(Tunnel::Gue { port: NonZeroU16::MIN, checksum: TunnelChecksum::Remote })),
    ];
    (0_u8..4, 0_u32..3, forwarding).prop_map(move |(host, weight, forwarding)| {
        let address = match family {
            Family::V4 => IpAddr::from([10, 0, 0, host]),
            Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host.into()]),
        };
        Destination::new(DestinationId::new(address, 80)).with_weight(weight).with_forwarding(forwarding)
    })
}

/// A table of up to six services with up to four destinations.
pub(crate) fn table() -> impl Strategy<Value = Table> {
    btree_set(service_id(), 0..6)
        .prop_flat_map(|ids| {
            ids.into_iter()
                .map(|id| {
                    (service(id), vec(destination(id.family()), 0..5)).prop_map(|(service, mut destinations)| {
                        destinations.sort_by_key(|destination| destination.id);
                        destinations.dedup_by_key(|destination| destination.id);
                        VirtualServer { service, destinations }
                    })
                })
                .collect::<Vec<_>>()
        })
        .prop_map(|servers| Table::new(servers).unwrap())
}

/// The same, as a kernel that some of it was used on.
pub(crate) fn kernel() -> impl Strategy<Value = FakeKernel> {
    (table(), btree_map(0_usize..20, 0_u32..2, 0..20)).prop_map(|(table, used)| {
        let mut kernel = FakeKernel::of(&table);
        let destinations = kernel.services.values_mut().flat_map(|(_, destinations)| destinations.values_mut());
        for (index, status) in destinations.enumerate() {
            status.active_connections = used.get(&index).copied().unwrap_or_default();
        }
        kernel
    })
}
