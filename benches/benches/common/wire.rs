//! What is advertised, as fields and as octets.

use std::net::{IpAddr, Ipv4Addr};

use vrrp_core::wire::{Authentication, ChecksumForm, Envelope, Expected, Password, Repr};
use vrrp_core::{Family, Priority, Version, Vrid};

/// What is advertised.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    V3OneAddress,
    V3PseudoHeader,
    V2Password,
    V3AllAddresses,
}

/// A case with what its packets and its expectations borrow.
pub(crate) struct Advertised {
    version: Version,
    authentication: Authentication,
    pub(crate) form: ChecksumForm,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) envelope: Envelope,
}

impl Advertised {
    pub(crate) fn new(case: Case) -> Self {
        let v3 = Version::V3(Family::V4);
        let (version, form, count) = match case {
            Case::V3OneAddress => (v3, ChecksumForm::MessageOnly, 1),
            Case::V3PseudoHeader => (v3, ChecksumForm::PseudoHeader, 1),
            Case::V2Password => (Version::V2, ChecksumForm::MessageOnly, 1),
            Case::V3AllAddresses => (v3, ChecksumForm::MessageOnly, 255),
        };
        let authentication = match version {
            Version::V2 => Authentication::SimpleText(Password::new("secret12").unwrap()),
            Version::V3(_) => Authentication::None,
        };
        let addresses = (1..=count).map(|host| Ipv4Addr::new(192, 0, 2, host).into()).collect();
        let envelope =
            Envelope { source: Ipv4Addr::new(198, 51, 100, 1).into(), destination: Family::V4.group(), ttl: Some(255) };
        Self { version, authentication, form, addresses, envelope }
    }

    pub(crate) fn repr(&self) -> Repr<'_> {
        let mut repr = Repr::new(self.version, Vrid::new(51).unwrap(), &self.addresses);
        repr.priority = Some(Priority::DEFAULT);
        repr.authentication = self.authentication;
        repr
    }

    pub(crate) fn expected(&self) -> Expected<'_> {
        let mut expected = Expected::new(self.version, Vrid::new(51).unwrap());
        expected.authentication = self.authentication;
        expected.addresses = &self.addresses;
        expected
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut buffer = vec![0; Repr::MAX_LEN];
        let length = self.repr().emit(self.envelope.source, self.envelope.destination, self.form, &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }
}
