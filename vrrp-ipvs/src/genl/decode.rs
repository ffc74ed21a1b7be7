//! From the attributes of `linux/ip_vs.h` to the model.
//!
//! What this version does not know is passed over, at every level: later kernels send more.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use super::header::{AF_INET, AF_INET6, daemon, destination, service, statistics, top};
use super::{AttrError, Attribute, Attributes};
use crate::model::{
    Destination, DestinationId, DestinationStatus, Family, Forwarding, Granularity, Persistence, PersistenceEngine,
    Protocol, Scheduler, SchedulerFlags, Service, ServiceId, ServiceStatus, Statistics, SyncDaemon, SyncState, Timeouts,
};

/// The service that a message tells of, without its destinations.
pub(crate) fn service(message: &[u8]) -> Result<ServiceStatus, AttrError> {
    let nest = find(message, top::SERVICE)?.ok_or(AttrError::Missing { kind: top::SERVICE })?;
    let (mut family, mut protocol, mut address, mut port, mut mark) = (None, None, None, None, None);
    let (mut scheduler, mut engine, mut flags, mut timeout, mut mask) = (None, None, 0, 0, None);
    let (mut narrow, mut wide) = (None, None);
    for attribute in nest.nested() {
        let attribute = attribute?;
        match attribute.kind {
            service::AF => family = Some(self::family(&attribute)?),
            service::PROTOCOL => protocol = Some(Protocol::from_number(attribute.u16()?)),
            service::ADDR => address = Some(attribute),
            service::PORT => port = Some(attribute.be_u16()?),
            service::FWMARK => mark = NonZeroU32::new(attribute.u32()?),
            service::SCHED_NAME => scheduler = Some(attribute.text()?),
            service::PE_NAME => engine = Some(attribute.text()?),
            // The second half is the mask, which is all ones.
            service::FLAGS => flags = u32::from_ne_bytes(attribute.prefix()?),
            service::TIMEOUT => timeout = attribute.u32()?,
            service::NETMASK => mask = Some(attribute),
            service::STATS => narrow = Some(statistics(&attribute)?),
            service::STATS64 => wide = Some(statistics(&attribute)?),
            _ => {}
        }
    }
    let family = family.ok_or(AttrError::Missing { kind: service::AF })?;
    let id = match mark {
        Some(mark) => ServiceId::Fwmark { family, mark },
        None => ServiceId::Address {
            protocol: protocol.ok_or(AttrError::Missing { kind: service::PROTOCOL })?,
            address: self::address(address, service::ADDR, family)?,
            port: port.ok_or(AttrError::Missing { kind: service::PORT })?,
        },
    };
    let name = scheduler.ok_or(AttrError::Missing { kind: service::SCHED_NAME })?;
    let scheduler = Scheduler::new(name).map_err(|_| AttrError::Text { kind: service::SCHED_NAME })?;
    let engine = match engine {
        None | Some("") => None,
        Some(name) => {
            Some(PersistenceEngine::new(name).map_err(|_| AttrError::Text { kind: service::PE_NAME })?)
        }
    };
    let persistence = match mask {
        _ if flags & service::F_PERSISTENT == 0 => None,
        mask => Some(Persistence { timeout_seconds: timeout, granularity: granularity(mask, family)? }),
    };
    let scheduler_flags = SchedulerFlags {
        flag_1: flags & service::F_SCHED1 != 0,
        flag_2: flags & service::F_SCHED2 != 0,
        flag_3: flags & service::F_SCHED3 != 0,
    };
    let one_packet = flags & service::F_ONEPACKET != 0;
    let service = Service { id, scheduler, scheduler_flags, persistence, engine, one_packet };
    let mut status = ServiceStatus::new(service, []);
    status.statistics = wide.or(narrow).unwrap_or_default();
    Ok(status)
}

/// The destination that a message tells of; `family` is its service's, which kernels before 3.18 mean when they name none.
pub(crate) fn destination(message: &[u8], family: Family) -> Result<DestinationStatus, AttrError> {
    let nest = find(message, top::DEST)?.ok_or(AttrError::Missing { kind: top::DEST })?;
    let (mut address, mut port, mut method, mut weight) = (None, None, None, None);
    let (mut upper, mut lower, mut tunnel) = (0, 0, crate::model::TunnelEncoding::default());
    let (mut active, mut inactive, mut persistent) = (0, 0, 0);
    let (mut family, mut narrow, mut wide) = (family, None, None);
    for attribute in nest.nested() {
        let attribute = attribute?;
        match attribute.kind {
            destination::ADDR => address = Some(attribute),
            destination::PORT => port = Some(attribute.be_u16()?),
            destination::FWD_METHOD => method = Some(attribute.u32()?),
            destination::WEIGHT => weight = Some(attribute.u32()?),
            destination::U_THRESH => upper = attribute.u32()?,
            destination::L_THRESH => lower = attribute.u32()?,
            destination::ACTIVE_CONNS => active = attribute.u32()?,
            destination::INACT_CONNS => inactive = attribute.u32()?,
            destination::PERSIST_CONNS => persistent = attribute.u32()?,
            destination::ADDR_FAMILY => family = self::family(&attribute)?,
            destination::STATS => narrow = Some(statistics(&attribute)?),
            destination::STATS64 => wide = Some(statistics(&attribute)?),
            destination::TUN_TYPE => tunnel.kind = attribute.u8()?,
            destination::TUN_PORT => tunnel.port = attribute.be_u16()?,
            destination::TUN_FLAGS => tunnel.flags = attribute.u16()?,
            _ => {}
        }
    }
    let id = DestinationId {
        address: self::address(address, destination::ADDR, family)?,
        port: port.ok_or(AttrError::Missing { kind: destination::PORT })?,
    };
    // Other bits of the connection flags may come with the method.
    let [low, ..] = method.ok_or(AttrError::Missing { kind: destination::FWD_METHOD })?.to_le_bytes();
    let destination = Destination {
        id,
        forwarding: Forwarding::from_kernel(low, tunnel),
        weight: weight.ok_or(AttrError::Missing { kind: destination::WEIGHT })?,
        upper_threshold: upper,
        lower_threshold: lower,
    };
    let mut status = DestinationStatus::new(destination);
    status.active_connections = active;
    status.inactive_connections = inactive;
    status.persistent_connections = persistent;
    status.statistics = wide.or(narrow).unwrap_or_default();
    Ok(status)
}

/// The synchronisation daemon that a message tells of.
pub(crate) fn daemon(message: &[u8]) -> Result<SyncDaemon, AttrError> {
    let nest = find(message, top::DAEMON)?.ok_or(AttrError::Missing { kind: top::DAEMON })?;
    let (mut state, mut interface, mut sync_id) = (None, None, None);
    let mut daemon = SyncDaemon::new(SyncState::Master, String::new(), 0);
    for attribute in nest.nested() {
        let attribute = attribute?;
        match attribute.kind {
            daemon::STATE => {
                state = Some(match attribute.u32()? {
                    daemon::MASTER => SyncState::Master,
                    daemon::BACKUP => SyncState::Backup,
                    value => return Err(AttrError::Value { kind: daemon::STATE, value: value.into() }),
                });
            }
            daemon::MCAST_IFN => interface = Some(attribute.text()?.to_owned()),
            daemon::SYNC_ID => {
                let value = attribute.u32()?;
                let wrong = AttrError::Value { kind: daemon::SYNC_ID, value: value.into() };
                sync_id = Some(u8::try_from(value).map_err(|_| wrong)?);
            }
            daemon::SYNC_MAXLEN => daemon.max_length = Some(attribute.u16()?),
            daemon::MCAST_GROUP => daemon.group = Some(IpAddr::from(attribute.prefix::<4>()?)),
            daemon::MCAST_GROUP6 => daemon.group = Some(IpAddr::from(attribute.prefix::<16>()?)),
            daemon::MCAST_PORT => daemon.port = Some(attribute.u16()?),
            daemon::MCAST_TTL => daemon.ttl = Some(attribute.u8()?),
            _ => {}
        }
    }
    daemon.state = state.ok_or(AttrError::Missing { kind: daemon::STATE })?;
    daemon.interface = interface.ok_or(AttrError::Missing { kind: daemon::MCAST_IFN })?;
    daemon.sync_id = sync_id.ok_or(AttrError::Missing { kind: daemon::SYNC_ID })?;
    Ok(daemon)
}

/// The timeouts in a message.
pub(crate) fn timeouts(message: &[u8]) -> Result<Timeouts, AttrError> {
    let seconds = |kind| find(message, kind)?.ok_or(AttrError::Missing { kind })?.u32();
    Ok(Timeouts {
        tcp_seconds: seconds(top::TIMEOUT_TCP)?,
        tcp_fin_seconds: seconds(top::TIMEOUT_TCP_FIN)?,
        udp_seconds: seconds(top::TIMEOUT_UDP)?,
    })
}

/// Statistics of either width: `STATS` has numbers of four octets except for the octets that passed, `STATS64` of eight.
fn statistics(nest: &Attribute<'_>) -> Result<Statistics, AttrError> {
    let mut read = Statistics::default();
    for attribute in nest.nested() {
        let attribute = attribute?;
        let field = match attribute.kind {
            statistics::CONNS => &mut read.connections,
            statistics::INPKTS => &mut read.incoming_packets,
            statistics::OUTPKTS => &mut read.outgoing_packets,
            statistics::INBYTES => &mut read.incoming_octets,
            statistics::OUTBYTES => &mut read.outgoing_octets,
            statistics::CPS => &mut read.connection_rate,
            statistics::INPPS => &mut read.incoming_packet_rate,
            statistics::OUTPPS => &mut read.outgoing_packet_rate,
            statistics::INBPS => &mut read.incoming_octet_rate,
            statistics::OUTBPS => &mut read.outgoing_octet_rate,
            // Padding, or of a later kernel.
            _ => continue,
        };
        *field = attribute.u64()?;
    }
    Ok(read)
}

/// The first attribute of this kind.
fn find(message: &[u8], kind: u16) -> Result<Option<Attribute<'_>>, AttrError> {
    let mut found = None;
    for attribute in Attributes::new(message) {
        let attribute = attribute?;
        if attribute.kind == kind && found.is_none() {
            found = Some(attribute);
        }
    }
    Ok(found)
}

fn family(attribute: &Attribute<'_>) -> Result<Family, AttrError> {
    match attribute.u16()? {
        AF_INET => Ok(Family::V4),
        AF_INET6 => Ok(Family::V6),
        value => Err(AttrError::Value { kind: attribute.kind, value: value.into() }),
    }
}

/// The kernel gives room for IPv6 always; an IPv4 address is its first four octets.
fn address(attribute: Option<Attribute<'_>>, kind: u16, family: Family) -> Result<IpAddr, AttrError> {
    let attribute = attribute.ok_or(AttrError::Missing { kind })?;
    Ok(match family {
        Family::V4 => IpAddr::from(attribute.prefix::<4>()?),
        Family::V6 => IpAddr::from(attribute.prefix::<16>()?),
    })
}

fn granularity(attribute: Option<Attribute<'_>>, family: Family) -> Result<Granularity, AttrError> {
    let attribute = attribute.ok_or(AttrError::Missing { kind: service::NETMASK })?;
    let granularity = match family {
        Family::V4 => Granularity::Netmask(Ipv4Addr::from(attribute.prefix::<4>()?)),
        Family::V6 => {
            let value = attribute.u32()?;
            let wrong = AttrError::Value { kind: service::NETMASK, value: value.into() };
            Granularity::Prefix(u8::try_from(value).map_err(|_| wrong)?)
        }
    };
    Ok(granularity.canonical(family))
}
