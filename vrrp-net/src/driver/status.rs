//! A snapshot of everything, for people and for monitoring.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_core::{Counters, Faults, Phase, Role, RouterId, State};

use super::Driver;

/// What a driver is doing at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DriverStatus {
    /// Its virtual routers, in the order in which they were added.
    pub routers: Vec<RouterStatus>,
}

/// What one virtual router is doing at one moment (RFC 8347 §2: `vrrp-instance`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouterStatus {
    /// The interface that it advertises on.
    pub interface: String,
    /// Its number on the link.
    pub vrid: u8,
    /// The protocol: `VRRPv3/IPv4`.
    pub protocol: String,
    /// Its role (`state`).
    pub role: Role,
    /// For how long it has been Active; `None` while it is not.
    pub active_for: Option<Duration>,
    /// Whether the addresses are its own (`is-owner`).
    pub owner: bool,
    /// Its configured priority (`priority`).
    pub base_priority: u8,
    /// Its priority in the election at present (`effective-priority`).
    pub priority: u8,
    /// What keeps it out of the election.
    pub faults: Vec<String>,
    /// What it does beside serving: `standing`, `handing over`.
    pub phase: Option<&'static str>,
    /// The address that it advertises from.
    pub primary_address: Option<IpAddr>,
    /// Its own interval between advertisements.
    pub advertisement_interval: Duration,
    /// As Backup: the Active's interval, as learned from it.
    pub active_adver_interval: Option<Duration>,
    /// As Backup: how long it waits for an advertisement (`master-down-interval`).
    pub active_down_interval: Option<Duration>,
    /// Its Skew_Time (`skew-time`).
    pub skew_time: Duration,
    /// The addresses, with their prefix lengths.
    pub addresses: Vec<String>,
    /// Whether they are on this host.
    pub installed: bool,
    /// What happened, in numbers.
    pub counters: RouterCounters,
}

/// The counters of a virtual router (RFC 8347 §2: `statistics`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouterCounters {
    /// `master-transitions`.
    pub became_active: u64,
    /// `advertisement-sent`.
    pub adverts_sent: u64,
    /// `advertisement-rcvd`.
    pub adverts_received: u64,
    /// `priority-zero-pkts-sent`.
    pub resignations_sent: u64,
    /// `priority-zero-pkts-rcvd`.
    pub resignations_received: u64,
    /// `interval-errors` that were accepted.
    pub interval_differs: u64,
    /// `address-list-errors` that were accepted.
    pub address_list_differs: u64,
    /// Packets that were discarded, by reason; only those that there were.
    pub discards: Vec<(String, u64)>,
}

impl From<&Counters> for RouterCounters {
    fn from(counters: &Counters) -> Self {
        let discards = counters.discards.iter().filter(|(_, count)| *count > 0);
        Self {
            became_active: counters.became_active,
            adverts_sent: counters.adverts_sent,
            adverts_received: counters.adverts_received,
            resignations_sent: counters.resignations_sent,
            resignations_received: counters.resignations_received,
            interval_differs: counters.interval_differs,
            address_list_differs: counters.address_list_differs,
            discards: discards.map(|(reason, count)| (reason.to_string(), count)).collect(),
        }
    }
}

impl Driver {
    /// What everything is doing now.
    pub fn status(&self) -> DriverStatus {
        DriverStatus { routers: self.router.ids().filter_map(|id| self.router_status(id)).collect() }
    }

    /// What one virtual router is doing now.
    pub fn router_status(&self, id: RouterId) -> Option<RouterStatus> {
        let (managed, params, state) = (self.managed.get(&id)?, self.router.params(id)?, self.router.state(id)?);
        let learned = match state {
            State::Backup(backup) => Some(backup.active_adver_interval),
            State::Initialize(_) | State::Claimant(_) | State::Active(_) => None,
        };
        let (active_for, phase) = match state {
            State::Active(active) => (
                Some(crate::now().since(active.since)),
                match active.phase {
                    Phase::Advertising => None,
                    Phase::Standing(_) => Some("standing"),
                    Phase::HandingOver(..) => Some("handing over"),
                },
            ),
            State::Initialize(_) | State::Backup(_) | State::Claimant(_) => (None, None),
        };
        Some(RouterStatus {
            interface: managed.config.interface.clone(),
            vrid: managed.config.vrid.get(),
            protocol: params.version().to_string(),
            role: state.role(),
            active_for,
            owner: params.priority().is_owner(),
            base_priority: params.base_priority().get(),
            priority: params.priority().get(),
            faults: words(state.faults()),
            phase,
            primary_address: params.primary_address(),
            advertisement_interval: params.advert_interval().as_duration(),
            active_adver_interval: learned.map(vrrp_core::Interval::as_duration),
            active_down_interval: learned.map(|interval| params.active_down_interval(interval)),
            skew_time: params.skew_time(learned.unwrap_or(params.advert_interval())),
            addresses: managed.config.addresses.iter().map(ToString::to_string).collect(),
            installed: managed.installed.is_some() && managed.todo.is_empty(),
            counters: self.router.counters(id).map(RouterCounters::from).unwrap_or_default(),
        })
    }
}

fn words(faults: Faults) -> Vec<String> {
    faults.iter().map(|fault| vrrp_core::Cause::Fault(fault).to_string()).collect()
}
