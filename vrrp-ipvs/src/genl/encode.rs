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

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::*;
    use crate::genl::Attributes;
    use crate::model::{Forwarding, PersistenceEngine, Protocol, Scheduler, Tunnel, TunnelChecksum};

    /// The attributes in the only one of a message.
    fn inside(write: impl FnOnce(&mut Builder) -> Result<(), AttrError>, kind: u16) -> Vec<(u16, Vec<u8>)> {
        let mut message = Builder::default();
        write(&mut message).unwrap();
        let bytes = message.into_bytes();
        let outer: Vec<_> = Attributes::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(outer.iter().map(|attribute| attribute.kind).collect::<Vec<_>>(), [kind]);
        outer[0].nested().map(|attribute| attribute.map(|one| (one.kind, one.value.to_vec())).unwrap()).collect()
    }

    fn web() -> Service {
        Service::new(ServiceId::tcp("192.0.2.1".parse().unwrap(), 0x1f90))
    }

    fn value(attributes: &[(u16, Vec<u8>)], kind: u16) -> Option<&[u8]> {
        attributes.iter().find(|(other, _)| *other == kind).map(|(_, value)| &value[..])
    }

    #[test]
    fn a_port_is_in_the_networks_byte_order_and_all_else_in_the_machines() {
        assert_eq!(
            inside(|message| push_service(message, &web()), top::SERVICE),
            [
                (service::AF, 2_u16.to_ne_bytes().to_vec()),
                (service::PROTOCOL, 6_u16.to_ne_bytes().to_vec()),
                (service::ADDR, vec![192, 0, 2, 1]),
                (service::PORT, vec![0x1f, 0x90]),
                (service::SCHED_NAME, b"rr\0".to_vec()),
                (service::FLAGS, [0_u32.to_ne_bytes(), 0x3d_u32.to_ne_bytes()].concat()),
                (service::TIMEOUT, 0_u32.to_ne_bytes().to_vec()),
                (service::NETMASK, vec![255; 4]),
            ]
        );
    }

    #[test]
    fn a_mark_stands_for_protocol_address_and_port() {
        let id = ServiceId::fwmark(Family::V6, NonZeroU32::new(7).unwrap());
        assert_eq!(
            inside(|message| push_service_id(message, &id), top::SERVICE),
            [(service::AF, 10_u16.to_ne_bytes().to_vec()), (service::FWMARK, 7_u32.to_ne_bytes().to_vec())]
        );
    }

    #[test]
    fn a_mask_is_octets_over_ipv4_and_a_number_of_bits_over_ipv6() {
        let mask = |id, granularity| {
            let service = Service::new(id).with_persistence(Persistence { timeout_seconds: 60, granularity });
            let attributes = inside(|message| push_service(message, &service), top::SERVICE);
            value(&attributes, service::NETMASK).unwrap().to_vec()
        };
        let (v4, v6) = (web().id, ServiceId::sctp("2001:db8::1".parse().unwrap(), 1));
        assert_eq!(mask(v4, Granularity::Host), [255, 255, 255, 255]);
        assert_eq!(mask(v4, Granularity::Prefix(20)), [255, 255, 240, 0]);
        assert_eq!(mask(v4, Granularity::Prefix(0)), [0, 0, 0, 0]);
        assert_eq!(mask(v4, Granularity::Netmask([255, 0, 255, 0].into())), [255, 0, 255, 0]);
        assert_eq!(mask(v6, Granularity::Host), 128_u32.to_ne_bytes());
        assert_eq!(mask(v6, Granularity::Prefix(64)), 64_u32.to_ne_bytes());
    }

    #[test]
    fn each_flag_has_its_bit_and_all_of_ours_count() {
        let flags = |change: fn(&mut Service)| {
            let mut service = web();
            change(&mut service);
            let attributes = inside(|message| push_service(message, &service), top::SERVICE);
            let (flags, mask) = value(&attributes, service::FLAGS).unwrap().split_at(4);
            assert_eq!(mask, 0x3d_u32.to_ne_bytes());
            u32::from_ne_bytes(flags.try_into().unwrap())
        };
        assert_eq!(flags(|_| ()), 0);
        assert_eq!(
            flags(|service| service.persistence =
                Some(Persistence { timeout_seconds: 1, granularity: Granularity::Host })),
            1
        );
        assert_eq!(flags(|service| service.one_packet = true), 4);
        assert_eq!(flags(|service| service.scheduler_flags.flag_1 = true), 8);
        assert_eq!(flags(|service| service.scheduler_flags.flag_2 = true), 16);
        assert_eq!(flags(|service| service.scheduler_flags.flag_3 = true), 32);
    }

    #[test]
    fn names_end_with_nul() {
        let mut service = web().with_scheduler(Scheduler::MAGLEV_HASH);
        service.engine = Some(PersistenceEngine::SIP);
        let attributes = inside(|message| push_service(message, &service), top::SERVICE);
        assert_eq!(value(&attributes, service::SCHED_NAME), Some(&b"mh\0"[..]));
        assert_eq!(value(&attributes, service::PE_NAME), Some(&b"sip\0"[..]));
    }

    #[test]
    fn a_destination_says_its_family_and_its_tunnel_only_if_it_is_not_ipip() {
        let id = DestinationId::new("2001:db8::2".parse().unwrap(), 0x0050);
        let mut plain = Destination::new(id).with_weight(3).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
        (plain.upper_threshold, plain.lower_threshold) = (9, 4);
        let address = "2001:db8::2".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
        let mut expected = vec![
            (destination::ADDR_FAMILY, 10_u16.to_ne_bytes().to_vec()),
            (destination::ADDR, address),
            (destination::PORT, vec![0x00, 0x50]),
            (destination::FWD_METHOD, 2_u32.to_ne_bytes().to_vec()),
            (destination::WEIGHT, 3_u32.to_ne_bytes().to_vec()),
            (destination::U_THRESH, 9_u32.to_ne_bytes().to_vec()),
            (destination::L_THRESH, 4_u32.to_ne_bytes().to_vec()),
        ];
        assert_eq!(inside(|message| push_destination(message, &plain), top::DEST), expected);
        let (port, checksum) = (NonZeroU16::new(6080).unwrap(), TunnelChecksum::Remote);
        let gue = plain.with_forwarding(Forwarding::Tunnel(Tunnel::Gue { port, checksum }));
        expected.extend([
            (destination::TUN_TYPE, vec![1]),
            (destination::TUN_PORT, 6080_u16.to_be_bytes().to_vec()),
            (destination::TUN_FLAGS, 2_u16.to_ne_bytes().to_vec()),
        ]);
        assert_eq!(inside(|message| push_destination(message, &gue), top::DEST), expected);
    }

    #[test]
    fn a_daemon_says_only_what_is_given() {
        let mut daemon = SyncDaemon::new(SyncState::Backup, "eth0", 7);
        let mut expected = vec![
            (daemon::STATE, 2_u32.to_ne_bytes().to_vec()),
            (daemon::MCAST_IFN, b"eth0\0".to_vec()),
            (daemon::SYNC_ID, 7_u32.to_ne_bytes().to_vec()),
        ];
        assert_eq!(inside(|message| push_daemon(message, &daemon), top::DAEMON), expected);
        daemon.max_length = Some(1400);
        daemon.group = Some([239, 0, 0, 1].into());
        (daemon.port, daemon.ttl) = (Some(0x2290), Some(3));
        expected.extend([
            (daemon::SYNC_MAXLEN, 1400_u16.to_ne_bytes().to_vec()),
            (daemon::MCAST_GROUP, vec![239, 0, 0, 1]),
            (daemon::MCAST_PORT, 0x2290_u16.to_ne_bytes().to_vec()),
            (daemon::MCAST_TTL, vec![3]),
        ]);
        assert_eq!(inside(|message| push_daemon(message, &daemon), top::DAEMON), expected);
        daemon.group = Some("ff02::1".parse().unwrap());
        let attributes = inside(|message| push_daemon(message, &daemon), top::DAEMON);
        assert_eq!(value(&attributes, daemon::MCAST_GROUP), None);
        assert_eq!(value(&attributes, daemon::MCAST_GROUP6).map(<[u8]>::len), Some(16));
    }

    #[test]
    fn another_protocol_keeps_its_number() {
        let id = ServiceId::Address { protocol: Protocol::Other(51), address: [192, 0, 2, 1].into(), port: 0 };
        let attributes = inside(|message| push_service_id(message, &id), top::SERVICE);
        assert_eq!(value(&attributes, service::PROTOCOL), Some(&51_u16.to_ne_bytes()[..]));
    }
}
