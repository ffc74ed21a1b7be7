//! What it costs to plan a table of IPVS: 1,000 services of 10 destinations each.

use divan::Bencher;
use vrrp_ipvs::{Table, plan};

use crate::common::ipvs::{in_the_kernel, servers, table};

fn main() {
    divan::main();
}

mod common {
    pub(crate) mod ipvs;
}

/// Nothing to do: what a director finds almost every time.
#[divan::bench]
fn plan_against_itself(bencher: Bencher<'_, '_>) {
    let table = table();
    let actual = in_the_kernel();
    assert!(plan(&table, &actual, |_| true).is_empty());
    bencher.bench(|| plan(&table, &actual, |_| true));
}

/// All of it to do.
#[divan::bench]
fn plan_from_empty(bencher: Bencher<'_, '_>) {
    let table = table();
    assert_eq!(plan(&table, &[], |_| true).operations().len(), 11_000);
    bencher.bench(|| plan(&table, &[], |_| true));
}

/// Checking and sorting what was configured.
#[divan::bench]
fn table_of_servers(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(servers).bench_values(Table::new);
}
