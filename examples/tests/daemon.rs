//! `vrrpd` as a process on real interfaces with real packets: what its operator, its peers and the hosts around it see.
//!
//! Every test has a network of its own (`vrrp_net::lab`), so they run side by side.

mod common;

#[path = "daemon/checks.rs"]
mod checks;
#[path = "daemon/election.rs"]
mod election;
#[path = "daemon/faults.rs"]
mod faults;
#[path = "daemon/hostile.rs"]
mod hostile;
#[path = "daemon/interface.rs"]
mod interface;
#[path = "daemon/network.rs"]
mod network;
#[path = "daemon/notify.rs"]
mod notify;
#[path = "daemon/operate.rs"]
mod operate;
#[path = "daemon/options.rs"]
mod options;
#[path = "daemon/partition.rs"]
mod partition;
#[path = "daemon/reload.rs"]
mod reload;
#[path = "daemon/startup.rs"]
mod startup;
#[path = "daemon/stopping.rs"]
mod stopping;
