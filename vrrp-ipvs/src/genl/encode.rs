//! From the model to the attributes of `linux/ip_vs.h`.
//!
//! Ports are in the network's byte order, and so is the netmask of IPv4; all else is in the machine's.

use std::net::IpAddr;

use super::header::{AF_INET, AF_INET6, daemon, destination, service, top};
use super::{AttrError, Builder};
use crate::model::{
    Destination, DestinationId, Family, Granularity, Persistence, Service, ServiceId, SyncDaemon, SyncState, Timeouts,
};

/// Flags of a service that are ours to set; the kernel's own bit, `HASHED`, and those of later kernels stay as they are.
const SERVICE_FLAGS: u32 =
    service::F_PERSISTENT | service::F_ONEPACKET | service::F_SCHED1 | service::F_SCHED2 | service::F_SCHED3;

/// What tells which service is meant, as `IPVS_CMD_ATTR_SERVICE`.
pub(crate) fn push_service_id(message: &mut Builder, id: &ServiceId) -> Result<(), AttrError> {
    message.push_nested(top::SERVICE, service_id(id)?)
}

/// A service whole.
pub(crate) fn push_service(message: &mut Builder, service: &Service) -> Result<(), AttrError> {
    let mut attributes = service_id(&service.id)?;
    attributes.push_str(service::SCHED_NAME, service.scheduler.name())?;
    if let Some(engine) = &service.engine {
        attributes.push_str(service::PE_NAME, engine.name())?;
    }
    let mut flags = 0;
    for (set, flag) in [
        (service.persistence.is_some(), service::F_PERSISTENT),
        (service.one_packet, service::F_ONEPACKET),
        (service.scheduler_flags.flag_1, service::F_SCHED1),
        (service.scheduler_flags.flag_2, service::F_SCHED2),
        (service.scheduler_flags.flag_3, service::F_SCHED3),
    ] {
        if set {
            flags |= flag;
        }
    }
    // struct ip_vs_flags: the flags, and which of them count.
    attributes.push(service::FLAGS, &[flags.to_ne_bytes(), SERVICE_FLAGS.to_ne_bytes()].concat())?;
    let Persistence { timeout_seconds, granularity } =
        service.persistence.unwrap_or(Persistence { timeout_seconds: 0, granularity: Granularity::Host });
    attributes.push(service::TIMEOUT, &timeout_seconds.to_ne_bytes())?;
    // The kernel wants a mask of a service without persistence too.
    let mask = match (service.id.family(), granularity) {
        (Family::V4, granularity) => granularity.netmask().octets(),
        (Family::V6, Granularity::Prefix(prefix)) => u32::from(prefix).to_ne_bytes(),
        (Family::V6, Granularity::Host | Granularity::Netmask(_)) => 128_u32.to_ne_bytes(),
    };
    attributes.push(service::NETMASK, &mask)?;
    message.push_nested(top::SERVICE, attributes)
}

fn service_id(id: &ServiceId) -> Result<Builder, AttrError> {
    let mut attributes = Builder::default();
    attributes.push(service::AF, &family(id.family()).to_ne_bytes())?;
    match id {
        ServiceId::Address { protocol, address, port } => {
            attributes.push(service::PROTOCOL, &protocol.number().to_ne_bytes())?;
            push_address(&mut attributes, service::ADDR, *address)?;
            attributes.push(service::PORT, &port.to_be_bytes())?;
        }
        ServiceId::Fwmark { mark, .. } => attributes.push(service::FWMARK, &mark.get().to_ne_bytes())?,
    }
    Ok(attributes)
}

/// What tells which destination is meant, as `IPVS_CMD_ATTR_DEST`.
pub(crate) fn push_destination_id(message: &mut Builder, id: DestinationId) -> Result<(), AttrError> {
    message.push_nested(top::DEST, destination_id(id)?)
}

/// A destination whole.
pub(crate) fn push_destination(message: &mut Builder, destination: &Destination) -> Result<(), AttrError> {
    let mut attributes = destination_id(destination.id)?;
    attributes.push(destination::FWD_METHOD, &u32::from(destination.forwarding.number()).to_ne_bytes())?;
    attributes.push(destination::WEIGHT, &destination.weight.to_ne_bytes())?;
    attributes.push(destination::U_THRESH, &destination.upper_threshold.to_ne_bytes())?;
    attributes.push(destination::L_THRESH, &destination.lower_threshold.to_ne_bytes())?;
    let tunnel = destination.forwarding.tunnel().encoding();
    if tunnel != Default::default() {
        attributes.push(destination::TUN_TYPE, &[tunnel.kind])?;
        attributes.push(destination::TUN_PORT, &tunnel.port.to_be_bytes())?;
        attributes.push(destination::TUN_FLAGS, &tunnel.flags.to_ne_bytes())?;
    }
    message.push_nested(top::DEST, attributes)
}

fn destination_id(id: DestinationId) -> Result<Builder, AttrError> {
    let mut attributes = Builder::default();
    attributes.push(destination::ADDR_FAMILY, &family(Family::of(id.address)).to_ne_bytes())?;
    push_address(&mut attributes, destination::ADDR, id.address)?;
    attributes.push(destination::PORT, &id.port.to_be_bytes())?;
    Ok(attributes)
}

/// A synchronisation daemon to be started, as `IPVS_CMD_ATTR_DAEMON`.
pub(crate) fn push_daemon(message: &mut Builder, daemon: &SyncDaemon) -> Result<(), AttrError> {
    let mut attributes = daemon_state(daemon.state)?;
    attributes.push_str(daemon::MCAST_IFN, &daemon.interface)?;
    attributes.push(daemon::SYNC_ID, &u32::from(daemon.sync_id).to_ne_bytes())?;
    if let Some(length) = daemon.max_length {
        attributes.push(daemon::SYNC_MAXLEN, &length.to_ne_bytes())?;
    }
    match daemon.group {
        Some(IpAddr::V4(group)) => attributes.push(daemon::MCAST_GROUP, &group.octets())?,
        Some(IpAddr::V6(group)) => attributes.push(daemon::MCAST_GROUP6, &group.octets())?,
        None => {}
    }
    if let Some(port) = daemon.port {
        // Unlike every other port: in the machine's byte order.
        attributes.push(daemon::MCAST_PORT, &port.to_ne_bytes())?;
    }
    if let Some(ttl) = daemon.ttl {
        attributes.push(daemon::MCAST_TTL, &[ttl])?;
    }
    message.push_nested(top::DAEMON, attributes)
}

/// Which synchronisation daemon is to be stopped.
pub(crate) fn push_daemon_state(message: &mut Builder, state: SyncState) -> Result<(), AttrError> {
    message.push_nested(top::DAEMON, daemon_state(state)?)
}

fn daemon_state(state: SyncState) -> Result<Builder, AttrError> {
    let number = match state {
        SyncState::Master => daemon::MASTER,
        SyncState::Backup => daemon::BACKUP,
    };
    let mut attributes = Builder::default();
    attributes.push(daemon::STATE, &number.to_ne_bytes())?;
    Ok(attributes)
}

/// Timeouts, which are in the message itself.
pub(crate) fn push_timeouts(message: &mut Builder, timeouts: &Timeouts) -> Result<(), AttrError> {
    message.push(top::TIMEOUT_TCP, &timeouts.tcp_seconds.to_ne_bytes())?;
    message.push(top::TIMEOUT_TCP_FIN, &timeouts.tcp_fin_seconds.to_ne_bytes())?;
    message.push(top::TIMEOUT_UDP, &timeouts.udp_seconds.to_ne_bytes())
}

const fn family(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

fn push_address(attributes: &mut Builder, kind: u16, address: IpAddr) -> Result<(), AttrError> {
    match address {
        IpAddr::V4(address) => attributes.push(kind, &address.octets()),
        IpAddr::V6(address) => attributes.push(kind, &address.octets()),
    }
}
