//! A snapshot of everything, for people and for monitoring.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_core::wire::Reason;
use vrrp_core::{Counters, Discards, Faults, Instant, Interval, Phase, Preempt, Role, RouterId, State};

use super::Driver;
use super::managed::{Managed, Place};
use super::paths::Paths;
use crate::interface::Interface;
use crate::netlink::Path;

/// What a driver is doing at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DriverStatus {
    /// Its virtual routers, in the order in which they were added.
    pub routers: Vec<RouterStatus>,
    /// Packets that were discarded because they are for none of them, or cannot be told whose they are, by reason; only
    /// those that there were. What the kernel's filter drops is not among them: see [`filter`](crate::filter).
    pub discards: Vec<(String, u64)>,
    /// Whether a guardian looks after them.
    pub guarded: bool,
    /// What is on the host whatever the roles are: addresses, routes, rules.
    pub statics: Vec<PathStatus>,
}

/// What one virtual router is doing at one moment (RFC 8347 §2: `vrrp-instance`). Times are spans until now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RouterStatus {
    /// The interface that it advertises on.
    pub interface: String,
    /// The interface that has its MAC address, if there is one.
    pub virtual_mac_interface: Option<String>,
    /// Its number on the link (`vrid`).
    pub vrid: u8,
    /// The protocol (`version`): `VRRPv3/IPv4`.
    pub protocol: String,
    /// Its role (`state`).
    pub role: Role,
    /// For how long it has taken part (`up-datetime`); `None` while it does not.
    pub up_for: Option<Duration>,
    /// For how long it has been Active; `None` while it is not.
    pub active_for: Option<Duration>,
    /// Whether the addresses are its own (`is-owner`).
    pub owner: bool,
    /// Its configured priority (`priority`).
    pub base_priority: u8,
    /// Its priority in the election at present (`effective-priority`).
    pub priority: u8,
    /// Whether it takes over from an Active of lower priority (`preempt/enabled`).
    pub preempts: bool,
    /// How long it waits before it does (`preempt/hold-time`).
    pub preempt_delay: Duration,
    /// Whether packets for the addresses are taken (`accept-mode`).
    pub accepts_packets: bool,
    /// What keeps it out of the election.
    pub faults: Vec<String>,
    /// Why it has no address to advertise from, if it has none.
    pub no_primary_address: Option<String>,
    /// What it does beside serving: `standing`, `handing over`.
    pub phase: Option<String>,
    /// The address that it advertises from.
    pub primary_address: Option<IpAddr>,
    /// The address of the Active, itself or another one, if one is known (RFC 6527 `vrrpv3OperationsMasterIpAddr`).
    pub active_address: Option<IpAddr>,
    /// The peers that it sends to; none: the group.
    pub unicast_peers: Vec<IpAddr>,
    /// Its own interval between advertisements (`advertise-interval`).
    pub advertisement_interval: Duration,
    /// As Backup: the Active's interval, as learned from it.
    pub active_adver_interval: Option<Duration>,
    /// As Backup: how long it waits for an advertisement (`master-down-interval`).
    pub active_down_interval: Option<Duration>,
    /// Its Skew_Time (`skew-time`).
    pub skew_time: Duration,
    /// The last advertisement that was accepted (`last-adv-source`).
    pub last_advert: Option<LastAdvert>,
    /// The last change of its role (`last-event`).
    pub last_transition: Option<LastTransition>,
    /// Why it last became Active (`new-master-reason`).
    pub became_active: Option<String>,
    /// The most that a deadline was handled late.
    pub worst_lateness: Duration,
    /// The addresses (`virtual-ipv4-addresses`, `virtual-ipv6-addresses`).
    pub addresses: Vec<AddressStatus>,
    /// The routes that come and go with them.
    pub routes: Vec<PathStatus>,
    /// The rules that come and go with them.
    pub rules: Vec<PathStatus>,
    /// Whether the addresses are all on this host, and nothing is left to be done about them.
    pub installed: bool,
    /// What happened, in numbers.
    pub counters: RouterCounters,
}

/// A route, a rule or a static address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PathStatus {
    /// What it is, as ip-route(8) or ip-rule(8) write it, with what it is in front: `route 198.51.100.0/24 via 192.0.2.254`.
    pub path: String,
    /// Whether it is there, as far as this driver knows.
    pub installed: bool,
}

/// One address of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct AddressStatus {
    /// With its prefix length: `192.0.2.100/24`.
    pub address: String,
    /// The interface that it belongs on.
    pub interface: String,
    /// Whether peers are told of it.
    pub advertised: bool,
    /// Whether it is there now.
    pub installed: bool,
    /// For how long the kernel keeps it from when it was last set; `None`: for ever, or it is not there.
    pub lease: Option<Duration>,
}

/// The last advertisement that a virtual router has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LastAdvert {
    /// Who sent it.
    pub source: IpAddr,
    /// How long ago.
    pub ago: Duration,
}

/// The last change of a virtual router's role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LastTransition {
    /// The role before.
    pub from: Role,
    /// The role after.
    pub to: Role,
    /// Why.
    pub cause: String,
    /// How long ago.
    pub ago: Duration,
}

/// The counters of a virtual router (RFC 8347 §2: `statistics`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// `interval-errors`: accepted and discarded.
    pub interval_errors: u64,
    /// `address-list-errors`: accepted and discarded.
    pub address_list_errors: u64,
    /// `checksum-errors`.
    pub checksum_errors: u64,
    /// `version-errors`.
    pub version_errors: u64,
    /// `ip-ttl-errors`.
    pub ip_ttl_errors: u64,
    /// `packet-length-errors`.
    pub packet_length_errors: u64,
    /// `invalid-type-pkts-rcvd`.
    pub invalid_types_received: u64,
    /// Advertisements of another router that claims the role while this one has it or claims it too.
    pub rivals_seen: u64,
    /// Advertisements that could not be sent.
    pub sends_failed: u64,
    /// Deadlines that were handled more than half an Advertisement_Interval late.
    pub late_timers: u64,
    /// Accepted with the checksum form that this router does not send.
    pub other_checksum_form: u64,
    /// Accepted without a signature although this router has keys.
    pub adverts_unsigned: u64,
    /// Accepted although the sender's clock differs much.
    pub clock_skewed: u64,
    /// Packets that were discarded, by reason; only those that there were.
    pub discards: Vec<(String, u64)>,
}

impl From<&Counters> for RouterCounters {
    fn from(counters: &Counters) -> Self {
        let errors = |name| {
            let of = |(reason, _): &(Reason, u64)| reason.rfc8347_counter() == Some(name);
            counters.discards.iter().filter(of).map(|(_, count)| count).sum::<u64>()
        };
        Self {
            became_active: counters.became_active,
            adverts_sent: counters.adverts_sent,
            adverts_received: counters.adverts_received,
            resignations_sent: counters.resignations_sent,
            resignations_received: counters.resignations_received,
            interval_errors: counters.interval_differs + errors("interval-errors"),
            address_list_errors: counters.address_list_differs + errors("address-list-errors"),
            checksum_errors: errors("checksum-errors"),
            version_errors: errors("version-errors"),
            ip_ttl_errors: errors("ip-ttl-errors"),
            packet_length_errors: errors("packet-length-errors"),
            invalid_types_received: errors("invalid-type-pkts-rcvd"),
            rivals_seen: counters.rivals_seen,
            sends_failed: counters.sends_failed,
            late_timers: counters.late_timers,
            other_checksum_form: counters.other_checksum_form,
            adverts_unsigned: counters.adverts_unsigned,
            clock_skewed: counters.clock_skewed,
            discards: named(&counters.discards),
        }
    }
}

impl Driver {
    /// What everything is doing now.
    pub fn status(&self) -> DriverStatus {
        DriverStatus {
            routers: self.router.ids().filter_map(|id| self.router_status(id)).collect(),
            discards: named(self.router.discards()),
            guarded: self.has_guardian(),
            statics: path_status(&self.statics.paths, |_| true),
        }
    }

    /// What one virtual router is doing now.
    pub fn router_status(&self, id: RouterId) -> Option<RouterStatus> {
        let (managed, params, state) = (self.managed.get(&id)?, self.router.params(id)?, self.router.state(id)?);
        let now = crate::now();
        let past = self.router.status(id).copied().unwrap_or_default();
        let learned = match state {
            State::Backup(backup) => Some(backup.active_adver_interval),
            State::Initialize(_) | State::Claimant(_) | State::Active(_) => None,
        };
        let (active_for, phase) = match state {
            State::Active(active) => (Some(now.since(active.since)), phase_word(active.phase)),
            State::Initialize(_) | State::Backup(_) | State::Claimant(_) => (None, None),
        };
        let ago = |at: Instant| now.since(at);
        let heard = past.last_advert.map(|(source, _)| source);
        let addresses = managed.places.iter().map(|place| self.address_status(managed, place));
        Some(RouterStatus {
            interface: managed.config.interface.clone(),
            virtual_mac_interface: managed.virtual_mac.as_ref().map(|virtual_mac| virtual_mac.name().to_owned()),
            vrid: managed.config.vrid.get(),
            protocol: params.version().to_string(),
            role: state.role(),
            up_for: past.up_since.map(ago),
            active_for,
            owner: params.priority().is_owner(),
            base_priority: params.base_priority().get(),
            priority: params.priority().get(),
            preempts: params.preempt() != Preempt::Never,
            preempt_delay: match params.preempt() {
                Preempt::After(delay) => delay,
                Preempt::Immediately | Preempt::Never => Duration::ZERO,
            },
            accepts_packets: params.accepts_packets(),
            faults: {
                let another = "another process of this host runs it".to_owned();
                managed.run_by_another.then_some(another).into_iter().chain(words(state.faults())).collect()
            },
            no_primary_address: managed.no_primary_address.clone(),
            phase: phase.map(str::to_owned),
            primary_address: params.primary_address(),
            active_address: match state.role() {
                Role::Active => params.primary_address(),
                Role::Backup => heard,
                Role::Initialize | Role::Claimant => None,
            },
            unicast_peers: match managed.config.addressing.is_unicast() {
                true => managed.config.addressing.sources().unwrap_or_default().to_vec(),
                false => Vec::new(),
            },
            advertisement_interval: params.advert_interval().as_duration(),
            active_adver_interval: learned.map(Interval::as_duration),
            active_down_interval: learned.map(|interval| params.active_down_interval(interval)),
            skew_time: params.skew_time(learned.unwrap_or(params.advert_interval())),
            last_advert: past.last_advert.map(|(source, at)| LastAdvert { source, ago: ago(at) }),
            last_transition: past.last_transition.map(|(change, at)| LastTransition {
                from: change.from,
                to: change.to,
                cause: change.cause.to_string(),
                ago: ago(at),
            }),
            became_active: past.became_active.map(|cause| cause.to_string()),
            worst_lateness: past.worst_lateness,
            addresses: addresses.collect(),
            routes: path_status(&managed.paths, |path| matches!(path, Path::Route(_))),
            rules: path_status(&managed.paths, |path| matches!(path, Path::Rule(_))),
            installed: managed.installed.is_some() && managed.todo.is_empty(),
            counters: self.router.counters(id).map(RouterCounters::from).unwrap_or_default(),
        })
    }

    fn address_status(&self, managed: &Managed, place: &Place) -> AddressStatus {
        let interface = self.interfaces.get(&place.interface);
        let known = interface.and_then(|interface: &Interface| interface.known(place.address));
        let configured = place.number.and_then(|number| managed.config.addresses.get(number));
        AddressStatus {
            address: place.address.to_string(),
            interface: interface.map(|interface| interface.name.clone()).unwrap_or_default(),
            advertised: configured.is_some_and(crate::Address::is_advertised),
            installed: known.is_some(),
            lease: known.and_then(|known| known.lifetime).map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

fn path_status(paths: &Paths, which: impl Fn(&Path) -> bool) -> Vec<PathStatus> {
    let wanted = paths.items.iter().filter(|item| which(&item.path));
    wanted.map(|item| PathStatus { path: item.path.to_string(), installed: item.is_there }).collect()
}

fn phase_word(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Advertising => None,
        Phase::Standing(_) => Some("standing"),
        Phase::HandingOver(..) => Some("handing over"),
    }
}

fn named(discards: &Discards) -> Vec<(String, u64)> {
    let any = discards.iter().filter(|(_, count)| *count > 0);
    any.map(|(reason, count)| (reason.to_string(), count)).collect()
}

fn words(faults: Faults) -> Vec<String> {
    faults.iter().map(|fault| vrrp_core::Cause::Fault(fault).to_string()).collect()
}
