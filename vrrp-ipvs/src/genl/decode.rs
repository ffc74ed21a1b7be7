//! From the attributes of `linux/ip_vs.h` to the model.
//!
//! What this version does not know is passed over, at every level: later kernels send more.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use super::header::{AF_INET, AF_INET6, daemon, destination, service, statistics, top};
use super::{AttrError, Attribute, Attributes};
use crate::model::{
    Destination, DestinationId, DestinationStatus, Family, Forwarding, Granularity, Persistence, PersistenceEngine,
    Protocol, Scheduler, SchedulerFlags, Service, ServiceId, ServiceStatus, Statistics, SyncDaemon, SyncState,
    Timeouts,
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
        Some(name) => Some(PersistenceEngine::new(name).map_err(|_| AttrError::Text { kind: service::PE_NAME })?),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::table;
    use crate::genl::{Builder, encode};
    use crate::model::VirtualServer;

    /// A message of one nest.
    fn nest(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut inner = Builder::default();
        for (kind, value) in attributes {
            inner.push(*kind, value).unwrap();
        }
        let mut message = Builder::default();
        message.push_nested(kind, inner).unwrap();
        message.into_bytes()
    }

    fn replaced<'a>(attributes: &[(u16, &'a [u8])], kind: u16, value: Option<&'a [u8]>) -> Vec<(u16, &'a [u8])> {
        let mut changed: Vec<_> = attributes.iter().copied().filter(|(other, _)| *other != kind).collect();
        changed.extend(value.map(|value| (kind, value)));
        changed
    }

    const PORT_80: &[u8] = &[0, 80];
    const NUMBER_1: &[u8] = &1_u32.to_ne_bytes();
    const NUMBER_9: &[u8] = &9_u32.to_ne_bytes();

    /// A service as a kernel 6.1 sends it: 192.0.2.1:80, persistent for an hour under 255.255.255.0.
    fn service_attributes() -> Vec<(u16, &'static [u8])> {
        const AF: &[u8] = &AF_INET.to_ne_bytes();
        const TCP: &[u8] = &6_u16.to_ne_bytes();
        const ADDRESS: &[u8] = &[192, 0, 2, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        const FLAGS: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        const HOUR: &[u8] = &3600_u32.to_ne_bytes();
        vec![
            (service::AF, AF),
            (service::PROTOCOL, TCP),
            (service::ADDR, ADDRESS),
            (service::PORT, PORT_80),
            (service::SCHED_NAME, b"wlc\0"),
            (service::FLAGS, FLAGS),
            (service::TIMEOUT, HOUR),
            (service::NETMASK, &[255, 255, 255, 0]),
        ]
    }

    /// A destination as a kernel before 3.18 sends it: without a family.
    fn destination_attributes() -> Vec<(u16, &'static [u8])> {
        const ADDRESS: &[u8] = &[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        const METHOD: &[u8] = &0x0000_0103_u32.to_ne_bytes();
        vec![
            (destination::ADDR, ADDRESS),
            (destination::PORT, PORT_80),
            (destination::FWD_METHOD, METHOD),
            (destination::WEIGHT, NUMBER_9),
            (destination::U_THRESH, NUMBER_1),
            (destination::L_THRESH, NUMBER_1),
            (destination::ACTIVE_CONNS, NUMBER_1),
            (destination::INACT_CONNS, NUMBER_9),
            (destination::PERSIST_CONNS, NUMBER_1),
        ]
    }

    fn read_service(attributes: &[(u16, &[u8])]) -> Result<Service, AttrError> {
        service(&nest(top::SERVICE, attributes)).map(|status| status.service)
    }

    fn read_destination(attributes: &[(u16, &[u8])], family: Family) -> Result<DestinationStatus, AttrError> {
        destination(&nest(top::DEST, attributes), family)
    }

    #[test]
    fn a_service_is_read_with_every_flag_and_only_the_first_octets_of_an_ipv4_address() {
        let service = read_service(&service_attributes()).unwrap();
        assert_eq!(service.id, ServiceId::tcp("192.0.2.1".parse().unwrap(), 80));
        assert_eq!(service.scheduler, Scheduler::WEIGHTED_LEAST_CONNECTION);
        assert_eq!(
            service.persistence,
            Some(Persistence { timeout_seconds: 3600, granularity: Granularity::Prefix(24) })
        );
        assert_eq!(service.scheduler_flags, SchedulerFlags { flag_1: true, flag_2: true, flag_3: true });
        assert!(service.one_packet);
        assert_eq!(service.engine, None);
    }

    #[test]
    fn a_netmask_of_0_makes_all_clients_one() {
        let service = read_service(&replaced(&service_attributes(), service::NETMASK, Some(&[0; 4]))).unwrap();
        assert_eq!(service.persistence.unwrap().granularity, Granularity::Prefix(0));
        // Without persistence the mask says nothing, whatever it is.
        let attributes = replaced(&service_attributes(), service::FLAGS, Some(&[0; 8]));
        for mask in [Some(&[0; 4][..]), Some(&[]), None] {
            let service = read_service(&replaced(&attributes, service::NETMASK, mask)).unwrap();
            assert_eq!(service.persistence, None);
        }
    }

    #[test]
    fn a_destination_without_a_family_has_that_of_its_service() {
        let status = read_destination(&destination_attributes(), Family::V4).unwrap();
        assert_eq!(status.destination.id.to_string(), "10.0.0.1:80");
        let status = read_destination(&destination_attributes(), Family::V6).unwrap();
        assert_eq!(status.destination.id.to_string(), "[a00:1::]:80");
        // And one that says it has its own.
        let family = AF_INET.to_ne_bytes();
        let attributes = replaced(&destination_attributes(), destination::ADDR_FAMILY, Some(&family));
        let status = read_destination(&attributes, Family::V6).unwrap();
        assert_eq!(status.destination.id.to_string(), "10.0.0.1:80");
    }

    #[test]
    fn other_connection_flags_are_not_part_of_the_forwarding() {
        let status = read_destination(&destination_attributes(), Family::V4).unwrap();
        assert_eq!(status.destination.forwarding, Forwarding::Direct);
        assert_eq!((status.destination.weight, status.destination.upper_threshold), (9, 1));
        assert_eq!((status.active_connections, status.inactive_connections, status.persistent_connections), (1, 9, 1));
    }

    #[test]
    fn unknown_attributes_at_every_level_are_passed_over() {
        let mut statistics = Builder::default();
        statistics.push(statistics::CONNS, NUMBER_9).unwrap();
        statistics.push(statistics::INBYTES, &(1_u64 << 40).to_ne_bytes()).unwrap();
        statistics.push(77, b"odd").unwrap();
        let statistics = statistics.into_bytes();
        let mut attributes = service_attributes();
        attributes.insert(0, (300, b"from a later kernel"));
        attributes.push((service::STATS, &statistics));
        let mut message = nest(90, &[(1, b"unknown")]);
        message.extend(nest(top::SERVICE, &attributes));
        let status = service(&message).unwrap();
        assert_eq!(status.service, read_service(&service_attributes()).unwrap());
        assert_eq!((status.statistics.connections, status.statistics.incoming_octets), (9, 1 << 40));
    }

    #[test]
    fn statistics_of_64_bits_go_before_those_of_32() {
        let mut wide = Builder::default();
        wide.push(statistics::CONNS, &(1_u64 << 33).to_ne_bytes()).unwrap();
        let (wide, mut narrow) = (wide.into_bytes(), Builder::default());
        narrow.push(statistics::CONNS, NUMBER_1).unwrap();
        let narrow = narrow.into_bytes();
        for order in [
            [(service::STATS, &narrow[..]), (service::STATS64, &wide[..])],
            [(service::STATS64, &wide[..]), (service::STATS, &narrow[..])],
        ] {
            let mut attributes = service_attributes();
            attributes.extend(order);
            assert_eq!(service(&nest(top::SERVICE, &attributes)).unwrap().statistics.connections, 1 << 33);
        }
    }

    #[test]
    fn every_statistic_has_its_own_field() {
        let values: Vec<_> = (1_u16..=10).map(|kind| (kind, (u64::from(kind) << 32).to_ne_bytes())).collect();
        let mut inner = Builder::default();
        for (kind, value) in &values {
            inner.push(*kind, value).unwrap();
        }
        let inner = inner.into_bytes();
        let mut attributes = destination_attributes();
        attributes.push((destination::STATS64, &inner));
        let read = read_destination(&attributes, Family::V4).unwrap().statistics;
        let fields = [
            read.connections,
            read.incoming_packets,
            read.outgoing_packets,
            read.incoming_octets,
            read.outgoing_octets,
            read.connection_rate,
            read.incoming_packet_rate,
            read.outgoing_packet_rate,
            read.incoming_octet_rate,
            read.outgoing_octet_rate,
        ];
        assert_eq!(fields.map(|field| field >> 32), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn what_is_missing_is_named() {
        for kind in
            [service::AF, service::PROTOCOL, service::ADDR, service::PORT, service::SCHED_NAME, service::NETMASK]
        {
            let attributes = replaced(&service_attributes(), kind, None);
            assert_eq!(read_service(&attributes), Err(AttrError::Missing { kind }));
        }
        for kind in [destination::ADDR, destination::PORT, destination::FWD_METHOD, destination::WEIGHT] {
            let attributes = replaced(&destination_attributes(), kind, None);
            assert_eq!(read_destination(&attributes, Family::V4), Err(AttrError::Missing { kind }));
        }
        assert_eq!(service(&[]), Err(AttrError::Missing { kind: top::SERVICE }));
        assert_eq!(destination(&[], Family::V4), Err(AttrError::Missing { kind: top::DEST }));
        assert_eq!(daemon(&[]), Err(AttrError::Missing { kind: top::DAEMON }));
        assert_eq!(timeouts(&[]), Err(AttrError::Missing { kind: top::TIMEOUT_TCP }));
    }

    #[test]
    fn values_that_nothing_has_are_named() {
        let family = 77_u16.to_ne_bytes();
        let attributes = replaced(&service_attributes(), service::AF, Some(&family));
        assert_eq!(read_service(&attributes), Err(AttrError::Value { kind: service::AF, value: 77 }));
        let attributes = replaced(&service_attributes(), service::SCHED_NAME, Some(b"\xff\0"));
        assert_eq!(read_service(&attributes), Err(AttrError::Text { kind: service::SCHED_NAME }));
        let state = nest(top::DAEMON, &[(daemon::STATE, NUMBER_9)]);
        assert_eq!(daemon(&state), Err(AttrError::Value { kind: daemon::STATE, value: 9 }));
    }

    #[test]
    fn a_daemon_is_read_back_as_it_was_written() {
        let mut written = SyncDaemon::new(SyncState::Backup, "eth0", 255);
        for group in [None, Some([239, 0, 0, 1].into()), Some("ff02::1".parse().unwrap())] {
            written.group = group;
            let mut message = Builder::default();
            encode::push_daemon(&mut message, &written).unwrap();
            assert_eq!(daemon(&message.into_bytes()), Ok(written.clone()));
            (written.max_length, written.port, written.ttl) = (Some(1400), Some(8848), Some(1));
        }
    }

    #[test]
    fn timeouts_are_read_back_as_they_were_written() {
        let written = Timeouts { tcp_seconds: 1, tcp_fin_seconds: 2, udp_seconds: 3 };
        let mut message = Builder::default();
        encode::push_timeouts(&mut message, &written).unwrap();
        assert_eq!(timeouts(&message.into_bytes()), Ok(written));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(table in table()) {
            for VirtualServer { service: written, destinations } in Vec::from(table) {
                let mut message = Builder::default();
                encode::push_service(&mut message, &written).unwrap();
                prop_assert_eq!(service(&message.into_bytes()).unwrap().service, written.clone());
                for destination in destinations {
                    let mut message = Builder::default();
                    encode::push_destination(&mut message, &destination).unwrap();
                    let read = super::destination(&message.into_bytes(), written.id.family()).unwrap();
                    prop_assert_eq!(read.destination, destination);
                }
            }
        }

        #[test]
        fn no_octets_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 1_u16..7) {
            let nested = nest(kind, &[(kind, &bytes)]);
            for message in [&bytes, &nested] {
                let _ = service(message);
                let _ = destination(message, Family::V6);
                let _ = daemon(message);
                let _ = timeouts(message);
            }
        }

        #[test]
        fn cut_or_changed_anywhere_it_does_not_panic(at in 0_usize..150, value in any::<u8>(), cut in any::<bool>()) {
            let mut attributes = service_attributes();
            let own = nest(1, &[(1, NUMBER_1)]);
            attributes.push((service::STATS, &own));
            for mut message in [nest(top::SERVICE, &attributes), nest(top::DEST, &destination_attributes())] {
                if cut {
                    message.truncate(at);
                } else if let Some(octet) = message.get_mut(at) {
                    *octet = value;
                }
                let _ = service(&message);
                let _ = destination(&message, Family::V4);
            }
        }
    }
}
