//! What the driver tells the application.

use std::fmt;
use std::net::IpAddr;

use vrrp_core::{Alarm, Cause, Faults, Instant, RouterId, Transition};

use crate::error::Error;
use crate::netlink::mac_text;
use crate::{VirtualRoute, VirtualRule};

/// Something that the application may want to act on.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriverEvent {
    /// A virtual router changed its role. On the way to Active the addresses are installed when this comes.
    Transition {
        /// Which virtual router.
        router: RouterId,
        /// From where to where, and why.
        transition: Transition,
    },
    /// A virtual router with a [`Gate`](vrrp_core::Gate) is about to become Active: fence the old one, promote the
    /// replica, and then call [`Driver::confirm`](crate::Driver::confirm) or [`Driver::refuse`](crate::Driver::refuse).
    Prepare {
        /// Which virtual router.
        router: RouterId,
        /// The name of this claim, to be given back.
        claim: Instant,
    },
    /// A virtual router was started but cannot take part yet.
    Waiting {
        /// Which virtual router.
        router: RouterId,
        /// What it waits for the end of.
        faults: Faults,
    },
    /// A virtual router has no address to advertise from, and cannot take part until its interface has one.
    NoPrimaryAddress {
        /// Which virtual router.
        router: RouterId,
        /// Why, with the interface: IPv6 is disabled on it, duplicate address detection is under way.
        reason: String,
    },
    /// Another process of this host runs this virtual router: it takes part once that one has ended.
    RunByAnother {
        /// Which virtual router.
        router: RouterId,
        /// The number of the other process, if it could be found out.
        process: Option<u32>,
    },
    /// Something an operator should know.
    Alarm {
        /// Which virtual router.
        router: RouterId,
        /// What it is.
        alarm: Alarm,
    },
    /// The kernel refused an address. If it was one to install, the virtual router leaves the election for a while.
    AddressRefused {
        /// Which virtual router.
        router: RouterId,
        /// The kernel's words, with the address.
        error: Error,
    },
    /// Another program removed an address of the Active: it has been put back and announced.
    AddressRestored {
        /// Which virtual router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// The lease of an address ended while this process was held up, but no other router took over: the address has been put
    /// back and announced.
    LeaseExpired {
        /// Which virtual router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// Another program removes an address again and again: the virtual router leaves the election for a while.
    AddressContested {
        /// Which virtual router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// The kernel refused a route, or its interface does not exist. The virtual router serves on, and the route is tried again
    /// from time to time, in silence.
    RouteRefused {
        /// Which virtual router.
        router: RouterId,
        /// The route; of one over IPv6 with several ways, the way.
        route: Box<VirtualRoute>,
        /// The kernel's words.
        error: Error,
    },
    /// The kernel refused a rule, as a [route](Self::RouteRefused).
    RuleRefused {
        /// Which virtual router.
        router: RouterId,
        /// The rule.
        rule: Box<VirtualRule>,
        /// The kernel's words.
        error: Error,
    },
    /// A route of the Active was gone: it has been put back.
    RouteRestored {
        /// Which virtual router.
        router: RouterId,
        /// The route; of one over IPv6 with several ways, the way.
        route: Box<VirtualRoute>,
    },
    /// A rule of the Active was gone: it has been put back.
    RuleRestored {
        /// Which virtual router.
        router: RouterId,
        /// The rule.
        rule: Box<VirtualRule>,
    },
    /// Another program removes a route or a rule again and again: it is not put back for a minute.
    RouteContested {
        /// Which virtual router; `None`: it is one of the [statics](crate::Statics).
        router: Option<RouterId>,
        /// The route or rule.
        what: String,
    },
    /// The kernel refused something of the [statics](crate::Statics), or its interface does not exist. It is tried again from
    /// time to time, in silence.
    StaticRefused {
        /// What it was.
        what: String,
        /// The kernel's words.
        error: Error,
    },
    /// Something of the [statics](crate::Statics) was gone: it has been put back.
    StaticRestored {
        /// What it was.
        what: String,
    },
    /// An address is on this host although the virtual router is not Active: another program put it there, and hosts may
    /// reach this host instead of the Active.
    AddressMisplaced {
        /// Which virtual router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// Another host says that it has an address which is served here, or one that is sent from: hosts may reach either.
    /// Reported, and an address that is served announced again, once in 10 s for each address (RFC 5227 §2.4).
    AddressConflict {
        /// Which virtual router.
        router: RouterId,
        /// The address.
        address: IpAddr,
        /// The MAC address of the other host.
        mac: [u8; 6],
    },
    /// Advertisements cannot be sent; reported once until one can. After Active_Down_Interval the others have taken
    /// over, and the virtual router leaves the election for a while.
    SendFailed {
        /// Which virtual router.
        router: RouterId,
        /// What the kernel said.
        error: Error,
    },
    /// The guardian is gone: if this process dies now, its addresses stay until their leases end. Spawn another one.
    GuardianLost,
    /// The guardian cannot take over what it is to do for a virtual router.
    NotGuarded {
        /// Which virtual router.
        router: RouterId,
        /// Why.
        error: Error,
    },
    /// A setting that keeps addresses apart from each other cannot be made: removing one address may take others along.
    SettingRefused {
        /// What the kernel said.
        error: Error,
    },
    /// What a virtual router tracks cannot be looked at.
    TrackingFailed {
        /// Which virtual router.
        router: RouterId,
        /// What the kernel said.
        error: Error,
    },
    /// An interface that was created anew cannot be used.
    InterfaceFailed {
        /// Its name.
        interface: String,
        /// What the kernel said.
        error: Error,
    },
}

impl DriverEvent {
    /// The virtual router that it is about, unless it is about a whole interface.
    pub fn router(&self) -> Option<RouterId> {
        match self {
            Self::Transition { router, .. }
            | Self::Prepare { router, .. }
            | Self::Waiting { router, .. }
            | Self::Alarm { router, .. }
            | Self::AddressRefused { router, .. }
            | Self::AddressRestored { router, .. }
            | Self::NoPrimaryAddress { router, .. }
            | Self::RunByAnother { router, .. }
            | Self::LeaseExpired { router, .. }
            | Self::AddressContested { router, .. }
            | Self::AddressMisplaced { router, .. }
            | Self::AddressConflict { router, .. }
            | Self::NotGuarded { router, .. }
            | Self::TrackingFailed { router, .. }
            | Self::RouteRefused { router, .. }
            | Self::RuleRefused { router, .. }
            | Self::RouteRestored { router, .. }
            | Self::RuleRestored { router, .. }
            | Self::SendFailed { router, .. } => Some(*router),
            Self::RouteContested { router, .. } => *router,
            Self::StaticRefused { .. }
            | Self::StaticRestored { .. }
            | Self::InterfaceFailed { .. }
            | Self::GuardianLost
            | Self::SettingRefused { .. } => None,
        }
    }
}

/// Says what happened in one line.
impl fmt::Display for DriverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition { transition: Transition { from, to, cause }, .. } => {
                write!(f, "{from} -> {to}: {cause}")
            }
            Self::Prepare { .. } => f.write_str("about to become Active: waiting for the application to confirm"),
            Self::Waiting { faults, .. } => {
                let causes: Vec<String> = faults.iter().map(|fault| Cause::Fault(fault).to_string()).collect();
                write!(f, "cannot take part yet: {}", causes.join(", "))
            }
            Self::Alarm { alarm, .. } => alarm.fmt(f),
            Self::AddressRestored { address, .. } => write!(f, "{address} was removed by another program: put back"),
            Self::NoPrimaryAddress { reason, .. } => write!(f, "no address to advertise from: {reason}"),
            Self::RunByAnother { process, .. } => {
                f.write_str("another process of this host runs this virtual router: waiting until it ends")?;
                process.map_or(Ok(()), |process| write!(f, " (process {process})"))
            }
            Self::LeaseExpired { address, .. } => {
                write!(f, "the lease of {address} ended while this process was held up: put back")
            }
            Self::AddressContested { address, .. } => {
                write!(f, "{address} is removed by another program again and again: leaving the election for a while")
            }
            Self::AddressMisplaced { address, .. } => {
                write!(f, "{address} is on this host, but another one is to have it: who put it there?")
            }
            Self::AddressConflict { address, mac, .. } => {
                write!(
                    f,
                    "{address} is claimed by another host, {}: find it and take the address from it",
                    mac_text(*mac)
                )
            }
            Self::GuardianLost => {
                f.write_str("the guardian is gone: nobody releases the addresses if this process dies")
            }
            Self::NotGuarded { error, .. } => write!(f, "not guarded: {error}"),
            Self::RouteRestored { route, .. } => write!(f, "route {route} was gone: put back"),
            Self::RuleRestored { rule, .. } => write!(f, "rule {rule} was gone: put back"),
            Self::StaticRestored { what } => write!(f, "{what} was gone: put back"),
            Self::RouteContested { what, .. } => {
                write!(f, "{what} is removed by another program again and again: not put back for a minute")
            }
            Self::RouteRefused { route, error: error @ Error::UnknownInterface { .. }, .. } => {
                write!(f, "add route {route}: {error}")
            }
            Self::StaticRefused { what, error: error @ Error::UnknownInterface { .. } } => {
                write!(f, "add {what}: {error}")
            }
            Self::RouteRefused { error, .. } | Self::RuleRefused { error, .. } | Self::StaticRefused { error, .. } => {
                error.fmt(f)
            }
            Self::AddressRefused { error, .. } | Self::SendFailed { error, .. } | Self::SettingRefused { error } => {
                error.fmt(f)
            }
            Self::TrackingFailed { error, .. } => write!(f, "cannot look at what is tracked: {error}"),
            Self::InterfaceFailed { interface, error } => write!(f, "{interface} cannot be used: {error}"),
        }
    }
}
