//! What an application says of a virtual router, and why it may be refused.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::types::is_host_address;
use crate::wire::{Authentication, ChecksumPolicy, EmitError};
use crate::{Family, IfIndex, Params, ParamsError, Version, Vrid};

/// One virtual router as [`VrrpRouter::add`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouterConfig {
    /// Its number on the link.
    pub vrid: Vrid,
    /// What the state machine reads.
    pub params: Params,
    /// The addresses to advertise, in this order (RFC 9568 §5.2.9): 1 to 255 of one family.
    pub addresses: Vec<IpAddr>,
    /// Authentication, VRRPv2 only.
    pub authentication: Authentication,
    /// Which checksum to send in VRRPv3 over IPv4.
    pub checksum: ChecksumPolicy,
}

/// A virtual router that cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to advertise (RFC 9568 §5.2.5).
    #[error("virtual router {0} has no address: give it 1 to 255")]
    NoAddress(Vrid),
    /// The count of addresses is one octet (RFC 9568 §5.2.5).
    #[error("virtual router {0} has {1} addresses: it can advertise 1 to 255")]
    TooManyAddresses(Vrid, usize),
    /// The addresses are of the family of the packets that carry them (RFC 9568 §5.2.9).
    #[error("{address} is no {} address: virtual router {vrid} runs {version}", .version.family())]
    AddressFamily {
        /// The virtual router.
        vrid: Vrid,
        /// Its version.
        version: Version,
        /// The address of the other family.
        address: IpAddr,
    },
    /// Not an address that a host can hold.
    #[error("{1} cannot be an address of virtual router {0}: it must be a unicast address of one host")]
    NotUnicast(Vrid, IpAddr),
    /// An address that stands in the list twice.
    #[error("{1} is given twice to virtual router {0}")]
    DuplicateAddress(Vrid, IpAddr),
    /// The same interface, VRID and family twice (RFC 9568 §6.4: one machine each).
    #[error("virtual router {vrid} for {family} is there already on interface {interface}: use another id")]
    Duplicate {
        /// The interface.
        interface: IfIndex,
        /// The VRID.
        vrid: Vrid,
        /// The family.
        family: Family,
    },
    /// A virtual router is in one sync group at most.
    #[error("virtual router {0} is in another sync group already")]
    OtherGroup(Vrid),
    /// VRRPv3 has no authentication field (RFC 9568 §9).
    #[error("virtual router {0} has a password, but {1} carries none: leave it out, or use VRRPv2")]
    Authentication(Vrid, Version),
    /// With `auth_hmac` VRRPv2 has no password: keepalived sends none then, and drops ours.
    #[error("virtual router {0} has a password and auth_hmac: leave one of them out")]
    PasswordAndHmac(Vrid),
    /// Signatures carry the time of day.
    #[error("virtual router {0} cannot sign without the time of day: call set_wall_clock first")]
    NoWallClock(Vrid),
    /// The virtual router is not there (any more).
    #[error("no such virtual router: it was removed")]
    Unknown,
    /// Parameters that no router can run with.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// An advertisement that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvertError {
    /// The virtual router is not there (any more).
    #[error("no such virtual router: it was removed")]
    Unknown,
    /// Nothing to send from: the interface has no address.
    #[error("the interface has no address to send advertisements from")]
    NoPrimaryAddress,
    /// The codec refuses, for instance because the buffer is too small.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Whether a virtual router can be run like this.
pub(super) fn check(config: &VirtualRouterConfig) -> Result<(), ConfigError> {
    let (vrid, version) = (config.vrid, config.params.version());
    if config.addresses.is_empty() {
        return Err(ConfigError::NoAddress(vrid));
    }
    if config.addresses.len() > 255 {
        return Err(ConfigError::TooManyAddresses(vrid, config.addresses.len()));
    }
    for (n, address) in config.addresses.iter().copied().enumerate() {
        if Family::of(address) != version.family() {
            return Err(ConfigError::AddressFamily { vrid, version, address });
        }
        if !is_host_address(address) {
            return Err(ConfigError::NotUnicast(vrid, address));
        }
        if config.addresses.iter().take(n).any(|other| *other == address) {
            return Err(ConfigError::DuplicateAddress(vrid, address));
        }
    }
    match (config.authentication, version) {
        (Authentication::None, _) | (Authentication::SimpleText(_), Version::V2) => Ok(()),
        (Authentication::SimpleText(_), Version::V3(_)) => Err(ConfigError::Authentication(vrid, version)),
    }
}
