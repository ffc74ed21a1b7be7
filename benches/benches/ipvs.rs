//! What it costs to plan a table of IPVS: 1,000 services of 10 destinations each.

use std::net::IpAddr;

use divan::Bencher;
use vrrp_ipvs::{Destination, DestinationId, Service, ServiceId, ServiceStatus, Table, VirtualServer, plan};

fn main() {
    divan::main();
}

/// 1,000 services on their own ports, with the same 10 destinations.
fn servers() -> Vec<VirtualServer> {
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

fn in_the_kernel(servers: Vec<VirtualServer>) -> Vec<ServiceStatus> {
    servers.into_iter().map(|server| ServiceStatus::new(server.service, server.destinations)).collect()
}

/// Nothing to do: what a director finds almost every time.
#[divan::bench]
fn plan_against_itself(bencher: Bencher<'_, '_>) {
    let table = Table::new(servers()).expect("no id is there twice");
    let actual = in_the_kernel(servers());
    assert!(plan(&table, &actual, |_| true).is_empty());
    bencher.bench(|| plan(&table, &actual, |_| true));
}

/// All of it to do.
#[divan::bench]
fn plan_from_empty(bencher: Bencher<'_, '_>) {
    let table = Table::new(servers()).expect("no id is there twice");
    assert_eq!(plan(&table, &[], |_| true).operations().len(), 11_000);
    bencher.bench(|| plan(&table, &[], |_| true));
}

/// Checking and sorting what was configured.
#[divan::bench]
fn table_of_servers(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(servers).bench_values(Table::new);
}
