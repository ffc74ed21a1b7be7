//! What a guardian is to do for one virtual router, in the form that it only has to hand to the kernel.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use vrrp_core::wire::{PROTOCOL, Repr};
use vrrp_core::{Claim, IfIndex, Instant, Phase, RouterId, State, Version, VirtualAddr, VrrpRouter};

use super::child::RECORD;
use crate::error::Error;
use crate::netlink::{self, AddressChange, PathRequest};

/// Room for the longest advertisement there is, and the 28 octets that it has more if it is signed.
const ADVERT: usize = Repr::MAX_LEN + 28;

/// Type of service CS6, network control, as of all advertisements (RFC 9568 §2.5).
const NETWORK_CONTROL: u8 = 0xc0;

/// What is to be removed from this host: netlink requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    pub(super) requests: Vec<u8>,
    /// How many requests those are.
    pub(super) count: usize,
    /// Requests that come after everything else.
    pub(super) clean_up: Vec<u8>,
}

impl Removal {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// This address of this interface, with the prefix length that it was added with (`RTM_DELADDR`).
    ///
    /// If it is not there, the kernel does nothing: add those that are still to be installed, too.
    pub fn address(&mut self, interface: IfIndex, address: VirtualAddr) {
        AddressChange::Remove { interface, address }.encode(0, 0, &mut self.requests);
        self.count += 1;
    }

    /// This route or rule.
    pub(crate) fn path(&mut self, request: &PathRequest) {
        request.encode_removal(0, 0, &mut self.requests);
        self.count += 1;
    }

    /// This interface, for instance the macvlan of a virtual MAC address (`RTM_DELLINK`).
    ///
    /// The kernel takes ten milliseconds and more for each, so this is done when all virtual routers have removed their
    /// addresses and said farewell.
    pub fn link(&mut self, interface: IfIndex) {
        netlink::encode(RouteNetlinkMessage::DelLink(netlink::indexed(interface)), 0, 0, &mut self.clean_up);
    }
}

/// What is to be sent: IP packets, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// Each packet behind its record; see `child::send_one`.
    pub(super) records: Vec<u8>,
    pub(super) until: Option<Instant>,
}

impl Farewell {
    /// Nothing, whenever it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes everything out again, and keeps the room for the next time.
    pub fn clear(&mut self) {
        self.records.clear();
        self.until = None;
    }

    /// Until when it may be said, on the clock of [`now`](crate::now); without, for ever. Addresses are removed at any time.
    ///
    /// One that hung or was stopped for Active_Down_Interval before it died is not Active any more for its peers. Its last
    /// advertisement would make them hold still for a moment. So Active_Down_Interval after each advertisement is right, with
    /// [`extend`](super::Guardian::extend) at each.
    pub fn expire(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// The resignation of a virtual router as a planned hand-over does it: over VRRPv3 a last advertisement with the
    /// shortest interval by the priority that its peers know, which makes their Skew_Time short, then priority 0; over
    /// VRRPv2 priority 0 alone. Nothing if it is not Active.
    ///
    /// It goes out of `interface` to each of the `peers`, or to the group if there are none, with this TTL or hop limit.
    /// If the virtual router signs, this draws two stamps: see [`renew`](super::Guardian::renew) for when to do it.
    ///
    /// # Errors
    /// [`Error::Io`] if the advertisement cannot be built: the interface has no address, or a peer is of the other family.
    /// The farewell is then as it was.
    pub fn resign(
        &mut self,
        router: &mut VrrpRouter,
        id: RouterId,
        interface: IfIndex,
        peers: &[IpAddr],
        ttl: u8,
    ) -> Result<(), Error> {
        let (Some(State::Active(active)), Some(params)) = (router.state(id), router.params(id)) else { return Ok(()) };
        let usual = params.advert_interval();
        let interval = match params.version() {
            Version::V2 => usual,
            Version::V3(_) => params.hand_over().interval.min(usual),
        };
        // One that has resigned already, and serves until its successor speaks, does not claim the role once more.
        let again = interval < usual && matches!(active.phase, Phase::Advertising);
        let last = Claim { priority: Some(active.advertised), interval };
        let resignation = Claim { priority: None, interval };
        let before = self.records.len();
        let result = Some(last).filter(|_| again).into_iter().chain([resignation]).try_for_each(|claim| {
            let mut buffer = [0; ADVERT];
            // Also where it goes to peers alone: it draws the stamp that the copies share.
            let advert = router.build_advert(id, claim, &mut buffer).map_err(cannot_build)?;
            if peers.is_empty() {
                let payload = buffer.get(..advert.len).unwrap_or_default();
                return self.packet(interface, advert.source, advert.destination, ttl, payload);
            }
            peers.iter().try_for_each(|peer| {
                let copy = router.build_copy(id, claim, *peer, &mut buffer).map_err(cannot_build)?;
                let payload = buffer.get(..copy.len).unwrap_or_default();
                self.packet(interface, copy.source, copy.destination, ttl, payload)
            })
        });
        if result.is_err() {
            self.records.truncate(before);
        }
        result
    }

    /// A packet with VRRP in it (protocol 112), from any source, with this TTL or hop limit.
    ///
    /// # Errors
    /// [`Error::Io`] (`InvalidInput`) if the addresses are of two families, or the payload is too long.
    pub fn packet(
        &mut self,
        interface: IfIndex,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        payload: &[u8],
    ) -> Result<(), Error> {
        let invalid = |why: String| {
            let operation = format!("prepare a packet from {source} to {destination}");
            Error::io(operation, io::Error::new(io::ErrorKind::InvalidInput, why))
        };
        let too_long = |_| invalid(format!("{} octets do not fit into a packet", payload.len()));
        let (family, target, header) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [high, low] = u16::try_from(payload.len() + 20).map_err(too_long)?.to_be_bytes();
                // The kernel fills in the identification and the checksum, see raw(7).
                let start = [0x45, NETWORK_CONTROL, high, low, 0, 0, 0, 0, ttl, PROTOCOL, 0, 0];
                let mut target = [0; 16];
                for (to, octet) in target.iter_mut().zip(destination.octets()) {
                    *to = octet;
                }
                (4_u32, target, [&start[..], &source.octets(), &destination.octets()].concat())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let [high, low] = u16::try_from(payload.len()).map_err(too_long)?.to_be_bytes();
                // Version 6, the traffic class in the next 8 bits, no flow label.
                let start = [0x60 | NETWORK_CONTROL >> 4, NETWORK_CONTROL << 4, 0, 0, high, low, PROTOCOL, ttl];
                let target = destination.octets();
                (6, target, [&start[..], &source.octets(), &target].concat())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(invalid("the addresses are of two families".to_owned()));
            }
        };
        let length = u32::try_from(header.len() + payload.len()).unwrap_or(u32::MAX);
        let start = self.records.len();
        self.records.extend_from_slice(&interface.get().to_ne_bytes());
        self.records.extend_from_slice(&family.to_ne_bytes());
        self.records.extend_from_slice(&target);
        self.records.extend_from_slice(&length.to_ne_bytes());
        self.records.resize(start + RECORD, 0);
        self.records.extend_from_slice(&header);
        self.records.extend_from_slice(payload);
        self.records.resize(self.records.len().next_multiple_of(8), 0);
        Ok(())
    }
}

fn cannot_build(error: vrrp_core::AdvertError) -> Error {
    Error::io("prepare a resignation", io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrrp_core::{Event, Family, Params, Priority, VirtualRouterConfig, Vrid};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Destination and packet of each.
    fn packets(farewell: &Farewell) -> Vec<(u32, Vec<u8>)> {
        let mut rest = &farewell.records[..];
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let (record, tail) = rest.split_at(RECORD);
            let interface = u32::from_ne_bytes(*record.first_chunk().unwrap());
            let length = usize::try_from(u32::from_ne_bytes(*record[24..].first_chunk().unwrap())).unwrap();
            packets.push((interface, tail[..length].to_vec()));
            rest = &tail[length.next_multiple_of(8)..];
        }
        packets
    }

    /// A virtual router that is Active, at priority 150 and an interval of 1 s.
    fn active(version: Version) -> (VrrpRouter, RouterId) {
        let family = version.family();
        let (own, virtual_address) = match family {
            Family::V4 => (address("192.0.2.1"), address("192.0.2.100")),
            Family::V6 => (address("fe80::1"), address("fe80::100")),
        };
        let params = Params::new(version).with_priority(Priority::new(150).unwrap());
        let params = params.with_primary_address(Some(own)).unwrap();
        let config = VirtualRouterConfig::new(Vrid::new(51).unwrap(), params, [virtual_address]);
        let mut router = VrrpRouter::new();
        let id = router.add(IfIndex::new(2).unwrap(), config).unwrap();
        router.handle_event(Instant::ZERO, id, Event::Startup);
        let due = router.poll_timeout().unwrap();
        router.handle_timeout(due);
        (router, id)
    }

    #[test]
    fn over_vrrpv3_the_last_advertisement_shortens_the_skew_and_the_resignation_follows() {
        let interface = IfIndex::new(7).unwrap();
        let (mut router, id) = active(Version::V3(Family::V4));
        let mut farewell = Farewell::new();
        farewell.resign(&mut router, id, interface, &[], 255).unwrap();
        let found = packets(&farewell);
        assert_eq!(found.len(), 2);
        for ((index, packet), priority) in found.iter().zip([150, 0]) {
            assert_eq!((*index, &packet[..10]), (7, &[0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112][..]));
            assert_eq!(packet[12..20], [192, 0, 2, 1, 224, 0, 0, 18]);
            assert_eq!(packet[20..26], [0x31, 51, priority, 1, 0, 1], "the interval is 1 cs");
        }
    }

    #[test]
    fn over_ipv6_each_peer_gets_both() {
        let interface = IfIndex::new(7).unwrap();
        let (mut router, id) = active(Version::V3(Family::V6));
        let mut farewell = Farewell::new();
        let peers = [address("2001:db8::2"), address("2001:db8::3")];
        farewell.resign(&mut router, id, interface, &peers, 64).unwrap();
        let found: Vec<_> = packets(&farewell).into_iter().map(|(_, packet)| packet).collect();
        assert_eq!(found.len(), 4);
        for (packet, (peer, priority)) in found.iter().zip([(2, 150), (3, 150), (2, 0), (3, 0)]) {
            assert_eq!(packet[..8], [0x6c, 0, 0, 0, 0, 24, 112, 64]);
            assert_eq!((packet[39], packet[42]), (peer, priority));
        }
        let other = farewell.resign(&mut router, id, interface, &[address("192.0.2.2")], 255).unwrap_err();
        assert!(other.to_string().contains("192.0.2.2"), "{other}");
        assert_eq!(packets(&farewell).len(), 4, "as it was");
    }

    #[test]
    fn over_vrrpv2_there_is_the_resignation_alone_and_a_backup_has_none() {
        let interface = IfIndex::new(7).unwrap();
        let (mut router, id) = active(Version::V2);
        let mut farewell = Farewell::new();
        farewell.resign(&mut router, id, interface, &[], 255).unwrap();
        let found = packets(&farewell);
        assert_eq!((found.len(), &found[0].1[20..24]), (1, &[0x21, 51, 0, 1][..]));
        router.handle_event(Instant::from_nanos(1 << 40), id, Event::Shutdown);
        farewell.clear();
        farewell.resign(&mut router, id, interface, &[], 255).unwrap();
        assert_eq!(packets(&farewell), []);
    }

    #[test]
    fn a_signed_farewell_is_later_than_the_advertisement_and_earlier_than_the_next() {
        use vrrp_core::hmac::{Authenticator, Config, Key, KeyId, Keys, WallClock};
        use vrrp_core::wire::{Discard, Envelope, Expected};

        let version = Version::V3(Family::V4);
        let (mut router, id) = active(version);
        let wall = WallClock::new(1_795_173_231, 0);
        let config = Config::new(
            Keys::new(KeyId::new(1).unwrap(), Key::new(&[7; 32]).unwrap()),
            router.params(id).unwrap().advert_interval(),
        );
        // The clock stands still, so that the order is all by the tie breaker.
        router.set_wall_clock(Instant::ZERO, wall);
        router.set_hmac(id, Some(config.clone())).unwrap();
        let claim = Claim { priority: Some(Priority::new(150).unwrap()), interval: vrrp_core::Interval::DEFAULT };
        let mut advert = || {
            let mut buffer = [0; ADVERT];
            let len = router.build_advert(id, claim, &mut buffer).unwrap().len;
            let mut farewell = Farewell::new();
            farewell.resign(&mut router, id, IfIndex::new(2).unwrap(), &[], 255).unwrap();
            (buffer[..len].to_vec(), packets(&farewell).into_iter().map(|it| it.1[20..].to_vec()).collect::<Vec<_>>())
        };
        let ((first, farewell), (second, _)) = (advert(), advert());
        let envelope = Envelope { source: address("192.0.2.1"), destination: Family::V4.group(), ttl: Some(255) };
        let addresses = [address("192.0.2.100")];
        let mut expected = Expected::new(version, Vrid::new(51).unwrap());
        expected.addresses = &addresses;
        let receive = |receiver: &mut Authenticator, payload: &[u8]| {
            let received = receiver.receive(wall, &envelope, payload, &expected)?;
            receiver.commit(received.pending);
            Ok::<_, Discard>(())
        };
        // The process dies after the first advertisement.
        let mut receiver = Authenticator::new(config.clone());
        for payload in [&first, &farewell[0], &farewell[1]] {
            receive(&mut receiver, payload).unwrap();
        }
        // Or it goes on; then that farewell is of no use any more.
        let mut receiver = Authenticator::new(config);
        receive(&mut receiver, &first).unwrap();
        receive(&mut receiver, &second).unwrap();
        assert_eq!(receive(&mut receiver, &farewell[0]), Err(Discard::AuthExtReplay));
    }

    #[test]
    fn a_packet_that_cannot_be_is_an_error_with_the_reason() {
        let interface = IfIndex::new(7).unwrap();
        let mut farewell = Farewell::new();
        let error = farewell.packet(interface, address("192.0.2.1"), address("fe80::1"), 255, &[]).unwrap_err();
        let text = "prepare a packet from 192.0.2.1 to fe80::1: the addresses are of two families";
        assert_eq!(error.to_string(), text);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let error = farewell.packet(interface, one, other, 255, &[0; 65_516]).unwrap_err();
        assert!(error.to_string().ends_with("65516 octets do not fit into a packet"), "{error}");
        farewell.packet(interface, one, other, 255, &[0; 65_515]).unwrap();
        assert_eq!(packets(&farewell).len(), 1);
    }

    #[test]
    fn requests_are_counted_and_links_come_last() {
        let interface = IfIndex::new(7).unwrap();
        let mut removal = Removal::new();
        removal.address(interface, "192.0.2.100/24".parse().unwrap());
        removal.address(interface, "2001:db8::1".parse().unwrap());
        removal.link(interface);
        assert_eq!((removal.count, removal.requests.len() > 80), (2, true));
        // RTM_DELADDR is 21, RTM_DELLINK 17, and no acknowledgement is asked for: NLM_F_REQUEST alone.
        assert_eq!(removal.requests[4..8], [21_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        assert_eq!(removal.clean_up[4..8], [17_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
    }
}
