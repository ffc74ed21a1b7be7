//! Vectors with a verdict in words, for the instance that VECTORS.md describes: 192.0.2.1 or fe80::ff:fe00:a, VRID 51,
//! 192.0.2.100 or fe80::100, 1 s, multicast, no authentication, either checksum form.

use std::net::IpAddr;

use anyhow::ensure;
use serde::Deserialize;
use vrrp_core::wire::{Accepted, Authentication, Discard, Expected, Packet, Password};
use vrrp_core::{Family, Interval, Version, Vrid};

use super::stated::Stated;
use super::{Outcome, octets, split, words};
use crate::fields::Fields;

#[derive(Deserialize)]
pub(crate) struct Vector {
    id: String,
    /// The IP datagram.
    ip: String,
    /// Its payload once more.
    pdu: Option<String>,
    verdict: String,
    /// What kind it is: of those that are valid or unicast the instance has the addresses and the VRID.
    #[serde(default)]
    cls: String,
    /// The password of the instance.
    auth: Option<String>,
}

pub(crate) fn run(vector: Vector) -> anyhow::Result<(String, Outcome)> {
    let datagram = octets("ip", &vector.ip)?;
    if let Some(pdu) = &vector.pdu {
        ensure!(datagram.ends_with(&octets("pdu", pdu)?), "pdu is not the end of ip");
    }
    let stated = Stated::read(&vector.verdict)?;
    let result = vector.receive(&datagram)?;
    let (ours, mut got) = words(result.map(|_| ()));
    let mut agrees = stated.agrees(result.map(|_| ()));
    if let (true, Ok(accepted)) = (agrees, result)
        && let Some(missing) = vector.missing(&accepted)
    {
        agrees = false;
        got = format!("{got} {missing}");
    }
    let outcome = Outcome::new(&vector.id, &vector.verdict, agrees, ours, got);
    Ok((vector.id, outcome))
}

impl Vector {
    fn receive(&self, datagram: &[u8]) -> anyhow::Result<Result<Accepted, Discard>> {
        let (envelope, payload) = match split(datagram) {
            Ok(split) => split,
            Err(discard) => return Ok(Err(discard)),
        };
        let family = Family::of(envelope.source);
        let fields = Fields::read(family, payload);
        let (primary, address) = match family {
            Family::V4 => ("192.0.2.1", "192.0.2.100"),
            Family::V6 => ("fe80::ff:fe00:a", "fe80::100"),
        };
        let (primary, mut addresses) = (primary.parse()?, vec![address.parse::<IpAddr>()?]);
        let peers = [envelope.source];

        let mut vrid = 51;
        let in_strict = self.verdict.contains("in strict;");
        if let Some(fields) = fields.as_ref().filter(|_| self.fits_the_instance() || in_strict) {
            addresses.clone_from(&fields.addresses);
            vrid = if in_strict { vrid } else { fields.vrid() };
        }
        let version = self.version(family, fields.as_ref().map_or(0, Fields::version));
        let mut expected = Expected::new(version, Vrid::new(vrid).or(Vrid::new(51))?);
        expected.interval = self.interval()?;
        expected.authentication = self.authentication()?;
        expected.addresses = &addresses;
        expected.primary = Some(primary);
        // Only the order of the list is wrong, and only where that matters.
        expected.strict_address_list = in_strict;
        if self.cls == "unicast" {
            expected.destination = primary;
            expected.peers = Some(&peers);
        }
        Ok(Packet::parse(&envelope, payload).and_then(|packet| packet.accept(&envelope, &expected)))
    }

    /// Whether the instance is to be configured with what the vector has.
    fn fits_the_instance(&self) -> bool {
        self.cls.starts_with("valid")
            || self.cls == "unicast"
            || (self.cls.is_empty() && self.verdict.starts_with("accept"))
    }

    /// The version of the instance: that of the packet, unless the packet is there to be of the wrong one.
    fn version(&self, family: Family, packets: u8) -> Version {
        let other = self.cls == "bad" && self.verdict.starts_with("drop: version");
        match (family, packets) {
            (Family::V4, 2) if !other => Version::V2,
            (Family::V4, 3) if other => Version::V2,
            (family, _) => Version::V3(family),
        }
    }

    /// 1 s, unless the verdict says "configured interval is 255 s".
    fn interval(&self) -> anyhow::Result<Interval> {
        let Some((_, rest)) = self.verdict.split_once("configured interval is ") else { return Ok(Interval::DEFAULT) };
        let seconds = rest.split(' ').next().unwrap_or_default().parse()?;
        Ok(Interval::from_seconds(seconds)?)
    }

    /// The password is a field of its own, or in the verdict; for the authentication failures that do not tell it is the
    /// one of the other instance of VECTORS.md.
    fn authentication(&self) -> anyhow::Result<Authentication> {
        let quoted = || self.verdict.split_once("PASS \"").and_then(|(_, rest)| rest.split('"').next());
        let fails = self.verdict.starts_with("drop: auth (").then_some("1234");
        match self.auth.as_deref().or_else(quoted).or(fails) {
            Some(password) => Ok(Authentication::SimpleText(Password::truncated(password)?)),
            None => Ok(Authentication::None),
        }
    }

    /// What the verdict says besides, and was not so.
    fn missing(&self, accepted: &Accepted) -> Option<String> {
        let Accepted { advert, notes, .. } = accepted;
        if self.verdict.contains("address-list counter") && !notes.is_address_list_error() {
            return Some("without an address list error".into());
        }
        if self.verdict.contains("interval counter") && !notes.interval_differs {
            return Some("without an interval error".into());
        }
        let (_, wanted) = self.verdict.split_once("accept with interval ")?;
        let got = advert.interval.as_centiseconds().to_string();
        (wanted != got).then(|| format!("with interval {got}"))
    }
}
