//! What is signed: an advertisement of one address over VRRPv3 and IPv4, and one of 89 over IPv6, the most that an
//! Ethernet frame holds.

use std::net::IpAddr;

use vrrp_core::hmac::{Authenticator, Config, Key, KeyId, Keys, Sequence, Signer, WallClock};
use vrrp_core::wire::{ChecksumForm, Envelope, Expected, Repr};
use vrrp_core::{Family, Interval, Version, Vrid};

/// When it was signed.
pub(crate) const WALL: WallClock = WallClock::new(1_795_173_240, 500_000_000);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    OneAddress,
    FullFrame,
}

pub(crate) struct Advertised {
    version: Version,
    pub(crate) envelope: Envelope,
    addresses: Vec<IpAddr>,
}

impl Advertised {
    pub(crate) fn new(case: Case) -> Self {
        let (family, source, first, count) = match case {
            Case::OneAddress => (Family::V4, "192.0.2.2", "192.0.2.100", 1),
            Case::FullFrame => (Family::V6, "fe80::2", "fe80::100", 89),
        };
        let envelope = Envelope { source: source.parse().unwrap(), destination: family.group(), ttl: Some(255) };
        Self { version: Version::V3(family), envelope, addresses: vec![first.parse().unwrap(); count] }
    }

    pub(crate) fn repr(&self) -> Repr<'_> {
        Repr::new(self.version, Vrid::new(51).unwrap(), &self.addresses)
    }

    pub(crate) fn expected(&self) -> Expected<'_> {
        let mut expected = Expected::new(self.version, Vrid::new(51).unwrap());
        expected.addresses = &self.addresses;
        expected
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let (key, mut buffer) = (key(), vec![0; Repr::MAX_SIGNED_LEN]);
        let signer = Signer { key_id: KeyId::new(1).unwrap(), key: &key, sequence: Sequence::at(WALL) };
        let Envelope { source, destination, .. } = self.envelope;
        let form = ChecksumForm::PseudoHeader;
        let length = self.repr().emit_signed(source, destination, form, signer, &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }
}

pub(crate) fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

pub(crate) fn authenticator() -> Authenticator {
    Authenticator::new(Config::new(Keys::new(KeyId::new(1).unwrap(), key()), Interval::DEFAULT))
}
