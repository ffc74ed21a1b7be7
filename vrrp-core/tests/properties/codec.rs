//! The codec, for any octets.

use super::*;

#[derive(Clone, Debug)]
struct Sent {
    version: Version,
    vrid: Vrid,
    priority: Option<Priority>,
    interval: Interval,
    password: Option<Password>,
    addresses: Vec<IpAddr>,
    source: IpAddr,
    form: ChecksumForm,
}

impl Sent {
    fn repr(&self) -> Repr<'_> {
        Repr {
            priority: self.priority,
            interval: self.interval,
            authentication: self.authentication(),
            ..Repr::new(self.version, self.vrid, &self.addresses)
        }
    }

    fn authentication(&self) -> Authentication {
        self.password.map_or(Authentication::None, Authentication::SimpleText)
    }

    fn envelope(&self) -> Envelope {
        Envelope { source: self.source, destination: self.version.family().group(), ttl: Some(255) }
    }

    fn octets(&self) -> Vec<u8> {
        let mut buffer = vec![0xa5; self.repr().buffer_len()];
        let envelope = self.envelope();
        let len = self.repr().emit(envelope.source, envelope.destination, self.form, &mut buffer).unwrap();
        assert_eq!(len, buffer.len());
        buffer
    }
}

fn vrid() -> impl Strategy<Value = Vrid> {
    (1..=255_u8).prop_map(|value| Vrid::new(value).unwrap())
}

fn any_address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    version().prop_flat_map(|version| {
        let family = version.family();
        let password = match version {
            Version::V2 => {
                proptest::option::of(vec(any::<u8>(), 1..=8).prop_map(|octets| Password::new(octets).unwrap())).boxed()
            }
            Version::V3(_) => Just(None).boxed(),
        };
        let form = prop_oneof![Just(ChecksumForm::MessageOnly), Just(ChecksumForm::PseudoHeader)];
        let addresses = prop_oneof![9 => vec(any_address(family), 1..4), 1 => vec(any_address(family), 255)];
        let who = (vrid(), proptest::option::of(priority()), interval(version), password);
        (who, addresses, address(family), form).prop_map(move |(who, addresses, source, form)| {
            let (vrid, priority, interval, password) = who;
            Sent { version, vrid, priority, interval, password, addresses, source, form }
        })
    })
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn pf_21_what_is_emitted_is_what_is_parsed(sent in sent()) {
        let (octets, envelope) = (sent.octets(), sent.envelope());
        let packet = Packet::parse(&envelope, &octets).unwrap();
        prop_assert_eq!(packet.version(), sent.version);
        prop_assert_eq!(packet.vrid(), Some(sent.vrid));
        prop_assert_eq!(packet.priority(), sent.priority);
        prop_assert_eq!(packet.interval(), Some(sent.interval));
        prop_assert!(packet.addresses().eq(sent.addresses.iter().copied()));
        let mut expected = Expected::new(sent.version, sent.vrid);
        expected.interval = sent.interval;
        expected.authentication = sent.authentication();
        expected.addresses = &sent.addresses;
        let accepted = packet.accept(&envelope, &expected).unwrap();
        let Sent { source, priority, interval, .. } = sent;
        prop_assert_eq!(accepted.advert, Advert { source, priority, interval });
        prop_assert!(!accepted.notes.interval_differs);
    }

    /// RFC 1071: one octet that differs is always noticed, except the two forms of zero.
    #[test]
    fn pf_08_a_packet_with_one_octet_changed_is_another_or_none(sent in sent(), at in any::<Index>(), octet: u8) {
        let (mut octets, envelope) = (sent.octets(), sent.envelope());
        let at = at.index(octets.len());
        prop_assume!(octets[at] != octet);
        octets[at] = octet;
        // Over IPv4 a change may turn one checksum form into the other, one in 65,536 times; then it is another packet.
        if let Ok(packet) = Packet::parse(&envelope, &octets) {
            prop_assert!(packet.version().family() == Family::V4 && packet.checksum_form() != Some(sent.form));
        }
    }

    #[test]
    fn pf_22_no_octets_panic(
        octets in vec(any::<u8>(), 0..200),
        source in family().prop_flat_map(any_address),
        destination in family().prop_flat_map(any_address),
        ttl in proptest::option::of(prop_oneof![Just(255), any::<u8>()]),
        vrid in vrid(),
        version in version(),
    ) {
        let _ = Envelope::split_ipv4(&octets);
        let envelope = Envelope { source, destination, ttl };
        if let Ok(packet) = Packet::parse(&envelope, &octets) {
            let _ = (packet.to_string(), format!("{packet:?}"), packet.addresses().count());
            let _ = packet.accept(&envelope, &Expected::new(version, vrid));
        }
    }

    /// As above with packets that are nearly right, so that the checks behind the first ones are reached.
    #[test]
    fn pf_21_pf_22_what_is_parsed_is_what_is_emitted(
        sent in sent(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in 0..4_usize,
    ) {
        let (mut octets, envelope) = (sent.octets(), sent.envelope());
        for (at, octet) in changes {
            let at = at.index(octets.len().min(12));
            octets[at] = octet;
        }
        octets.truncate(octets.len().saturating_sub(cut / 3));
        fix_checksum(&mut octets, &envelope);
        let Ok(packet) = Packet::parse(&envelope, &octets) else { return Ok(()) };
        let addresses: Vec<IpAddr> = packet.addresses().collect();
        let reserved = packet.version().number() == 3 && octets[4] & 0xf0 != 0;
        let (Some(vrid), Some(interval), false) = (packet.vrid(), packet.interval(), addresses.is_empty() || reserved)
        else {
            return Ok(());
        };
        let authentication = match (packet.auth_type(), packet.auth_data()) {
            (Some(0) | None, Some([0, 0, 0, 0, 0, 0, 0, 0]) | None) => Authentication::None,
            (Some(1), Some(data)) if *data != [0; 8] => Authentication::SimpleText(Password::new(data).unwrap()),
            _ => return Ok(()),
        };
        let repr = Repr {
            priority: packet.priority(),
            interval,
            authentication,
            ..Repr::new(packet.version(), vrid, &addresses)
        };
        let mut again = vec![0; repr.buffer_len()];
        let form = packet.checksum_form().unwrap_or(ChecksumForm::MessageOnly);
        repr.emit(envelope.source, envelope.destination, form, &mut again).unwrap();
        prop_assert_eq!(again, octets);
    }
}

/// Makes the checksum fit what the packet now says.
fn fix_checksum(octets: &mut [u8], envelope: &Envelope) {
    let Some(field) = octets.get_mut(6..8) else { return };
    field.fill(0);
    let message = vrrp_core::wire::InternetChecksum::new().with(octets);
    let Envelope { source, destination, .. } = *envelope;
    let sum = match Family::of(source) {
        Family::V4 => message,
        Family::V6 => message.join(vrrp_core::wire::InternetChecksum::pseudo_header(
            source,
            destination,
            vrrp_core::wire::PROTOCOL,
            octets.len(),
        )),
    };
    octets[6..8].copy_from_slice(&sum.field());
}
