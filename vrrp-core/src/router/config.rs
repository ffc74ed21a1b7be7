//! What an application says of a virtual router, and why it may be refused.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::types::is_host_address;
use crate::wire::{Authentication, ChecksumAcceptance, ChecksumForm, ChecksumPolicy, EmitError, Repr, SIGNATURE_LEN};
use crate::{Family, IfIndex, Params, ParamsError, Version, Vrid};

use super::addressing::{Addressing, check_addressing, check_own_address};

/// One virtual router as [`VrrpRouter::add`](super::VrrpRouter::add) takes it: made by [`new`](Self::new), and changed by
/// its fields or by the methods of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Which of the two checksums of VRRPv3 over IPv4 to accept. If it is one alone, [`ChecksumPolicy::Auto`] sends that.
    pub accepted_checksum: ChecksumAcceptance,
    /// Drop VRRPv3 lists over IPv6 that do not start with a link-local address, and refuse such a list here (RFC 9568
    /// erratum 8300). keepalived may send such lists.
    pub strict_address_list: bool,
    /// Where advertisements go, and from whom they are taken.
    pub addressing: Addressing,
    /// The address to advertise from, whatever others the interface has; `None`: the one that
    /// [`VrrpRouter::set_primary_address`](super::VrrpRouter::set_primary_address) tells.
    pub source: Option<IpAddr>,
    /// Octets that an IP packet on the link can have. An advertisement must fit, since fragments are not accepted.
    pub mtu: u16,
}

impl VirtualRouterConfig {
    /// A virtual router that is reached by multicast, without authentication, and sends the checksum that its peers do,
    /// over a link with the MTU of Ethernet.
    pub fn new(vrid: Vrid, params: Params, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            vrid,
            params,
            addresses: addresses.into_iter().collect(),
            authentication: Authentication::None,
            checksum: ChecksumPolicy::Auto,
            accepted_checksum: ChecksumAcceptance::Either,
            strict_address_list: false,
            addressing: Addressing::MULTICAST,
            source: None,
            mtu: 1500,
        }
    }

    /// With other parameters.
    pub fn with_params(self, params: Params) -> Self {
        Self { params, ..self }
    }

    /// With authentication, VRRPv2 only.
    pub fn with_authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// With this checksum in VRRPv3 over IPv4.
    pub fn with_checksum(self, checksum: ChecksumPolicy) -> Self {
        Self { checksum, ..self }
    }

    /// Accepting this checksum in VRRPv3 over IPv4; both by default.
    pub fn with_accepted_checksum(self, accepted: ChecksumAcceptance) -> Self {
        Self { accepted_checksum: accepted, ..self }
    }

    /// Accepting only lists that start with a link-local address in VRRPv3 over IPv6, or all (the default).
    pub fn with_strict_address_list(self, strict: bool) -> Self {
        Self { strict_address_list: strict, ..self }
    }

    /// Reached in this way.
    pub fn with_addressing(self, addressing: Addressing) -> Self {
        Self { addressing, ..self }
    }

    /// Advertising from this address only: without it the virtual router stays out of the election.
    pub fn with_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// On a link with this MTU.
    pub fn with_mtu(self, mtu: u16) -> Self {
        Self { mtu, ..self }
    }

    /// The checksum to send, given the form last `heard` from a peer.
    pub(super) fn checksum_form(&self, heard: Option<ChecksumForm>) -> ChecksumForm {
        // What it does not accept it must not send: those like it would not accept it either.
        match self.accepted_checksum {
            ChecksumAcceptance::Either => self.checksum.form(heard),
            ChecksumAcceptance::MessageOnly => ChecksumForm::MessageOnly,
            ChecksumAcceptance::PseudoHeader => ChecksumForm::PseudoHeader,
        }
    }
}

/// A virtual router that cannot be added, or cannot be changed like this.
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
    /// With [`strict_address_list`](VirtualRouterConfig::strict_address_list) a list over IPv6 starts with the link-local
    /// address (RFC 9568 erratum 8300).
    #[error(
        "{1} is the first address of virtual router {0}, but not link-local: put one of fe80::/10 first, or accept all lists"
    )]
    FirstNotLinkLocal(Vrid, IpAddr),
    /// The [checksum that is accepted](VirtualRouterConfig::accepted_checksum) is not that which is
    /// [sent](VirtualRouterConfig::checksum): two like it would drop each other's advertisements.
    #[error("virtual router {0} sends the checksum that it does not accept: send the one it accepts, or accept both")]
    ChecksumNotAccepted(Vrid),
    /// A live change cannot give another VRID: it would be another virtual router.
    #[error("virtual router {0} cannot become virtual router {1}: remove it and add the other one")]
    OtherVrid(Vrid, Vrid),
    /// A live change cannot give another family: it would be another virtual router (RFC 9568 §6.4).
    #[error("virtual router {vrid} runs {before} and cannot change to {after}: remove it and add the other one")]
    OtherFamily {
        /// The virtual router.
        vrid: Vrid,
        /// The version that it runs.
        before: Version,
        /// The version of the other family.
        after: Version,
    },
    /// An address that stands in the list twice.
    #[error("{1} is given twice to virtual router {0}")]
    DuplicateAddress(Vrid, IpAddr),
    /// An advertisement that would have to be fragmented.
    #[error("virtual router {vrid} has {addresses} addresses: {fit} fit into an MTU of {mtu}")]
    Mtu {
        /// The virtual router.
        vrid: Vrid,
        /// How many addresses it has.
        addresses: usize,
        /// How many it can have, with a signature if there is one.
        fit: usize,
        /// Octets of the longest packet.
        mtu: u16,
    },
    /// A list of peers or of allowed sources with nobody in it: nothing would ever be heard.
    #[error("virtual router {0} has an empty list of peers: name one at least, or use multicast from anybody")]
    NoPeer(Vrid),
    /// A peer that no host can be.
    #[error("{1} cannot be a peer of virtual router {0}: it must be a unicast address of one host")]
    PeerNotUnicast(Vrid, IpAddr),
    /// Advertisements would go to an address that is no multicast group of the link.
    #[error("virtual router {0}: {1} is no multicast group: give one of 224.0.0.0/4, or of ff02::/16 over IPv6")]
    NotAGroup(Vrid, IpAddr),
    /// A peer that stands in the list twice.
    #[error("{1} is given twice as a peer of virtual router {0}")]
    DuplicatePeer(Vrid, IpAddr),
    /// Our own address among the unicast peers.
    #[error("{1} is this host's own address: take it from the peers of virtual router {0}")]
    OwnAddressAsPeer(Vrid, IpAddr),
    /// A source address that no host can have.
    #[error("virtual router {0} cannot advertise from {1}: it must be a unicast address of one host")]
    SourceNotUnicast(Vrid, IpAddr),
    /// Over IPv6, routers on one link use link-local addresses (RFC 9568 §5.1.2.1).
    #[error("{1} is not link-local: virtual router {0} needs fe80::/10 unless its peers are behind routers")]
    NotLinkLocal(Vrid, IpAddr),
    /// A TTL policy by which nothing could arrive.
    #[error("virtual router {vrid} cannot accept a TTL of {min}..={max} and send {send}: use 1..=255, the lower first")]
    Ttl {
        /// The virtual router.
        vrid: Vrid,
        /// The least that is accepted.
        min: u8,
        /// The most that is accepted.
        max: u8,
        /// What is sent.
        send: u8,
    },
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
pub(super) fn check(config: &VirtualRouterConfig, signed: bool) -> Result<(), ConfigError> {
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
    check_strictness(config)?;
    check_len(config, signed)?;
    check_addressing(config)?;
    if let Some(own) = config.params.primary_address() {
        check_own_address(config, own)?;
    }
    match (config.authentication, version) {
        (Authentication::SimpleText(_), Version::V2) if signed => Err(ConfigError::PasswordAndHmac(vrid)),
        (Authentication::None, _) | (Authentication::SimpleText(_), Version::V2) => Ok(()),
        (Authentication::SimpleText(_), Version::V3(_)) => Err(ConfigError::Authentication(vrid, version)),
    }
}

/// Whether a router like this would take what one like it sends.
fn check_strictness(config: &VirtualRouterConfig) -> Result<(), ConfigError> {
    match (config.params.version(), config.addresses.first()) {
        (Version::V3(Family::V4), _)
            if matches!(
                (config.accepted_checksum, config.checksum),
                (ChecksumAcceptance::MessageOnly, ChecksumPolicy::PseudoHeader)
                    | (ChecksumAcceptance::PseudoHeader, ChecksumPolicy::MessageOnly)
            ) =>
        {
            Err(ConfigError::ChecksumNotAccepted(config.vrid))
        }
        (Version::V3(Family::V6), Some(IpAddr::V6(first)))
            if config.strict_address_list && !first.is_unicast_link_local() =>
        {
            Err(ConfigError::FirstNotLinkLocal(config.vrid, IpAddr::V6(*first)))
        }
        (Version::V2 | Version::V3(_), _) => Ok(()),
    }
}

/// Whether the advertisement fits into one packet.
pub(super) fn check_len(config: &VirtualRouterConfig, signed: bool) -> Result<(), ConfigError> {
    let (vrid, mtu, family) = (config.vrid, config.mtu, config.params.version().family());
    let ip_header = match family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let signature = if signed { SIGNATURE_LEN } else { 0 };
    let bare = Repr::new(config.params.version(), vrid, &[]).buffer_len();
    let room = usize::from(mtu).saturating_sub(ip_header + signature + bare);
    let (addresses, fit) = (config.addresses.len(), room / family.address_len());
    if addresses > fit { Err(ConfigError::Mtu { vrid, addresses, fit, mtu }) } else { Ok(()) }
}
