//! A table of IPVS: 1,000 services of 10 destinations each.

use std::net::IpAddr;

use vrrp_ipvs::{Destination, DestinationId, Service, ServiceId, ServiceStatus, Table, VirtualServer};

/// 1,000 services on their own ports, with the same 10 destinations.
pub(crate) fn servers() -> Vec<VirtualServer> {
    let address = IpAddr::from([192, 0, 2, 1]);
    let destinations: Vec<_> = (1..=10)
        .map(|host| Destination::new(DestinationId::new(IpAddr::from([10, 0, 0, host]), 80)).with_weight(host.into()))
        .collect();
    (1..=1000)
        .map(|port| VirtualServer {
            service: Service::new(ServiceId::tcp(address, port)),
            destinations: destinations.clone(),
        })
        .collect()
}

pub(crate) fn table() -> Table {
    Table::new(servers()).expect("no id is there twice")
}

/// The same as the kernel tells of them.
pub(crate) fn in_the_kernel() -> Vec<ServiceStatus> {
    servers().into_iter().map(|server| ServiceStatus::new(server.service, server.destinations)).collect()
}
