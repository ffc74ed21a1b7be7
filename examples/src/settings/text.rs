//! Values as people write them, the same on a command line and in a file.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use vrrp_net::netlink::{Broadcast, Label, Scope};
use vrrp_net::tracking::{Source, TrackedInterface};
use vrrp_net::vrrp_core::track::Tracked;

use crate::daemon::config::Effect;

/// A length of time: `10ms`, `1s`, `2m`; a bare number is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match seconds {
            Some(duration) => Ok(Self(duration)),
            None => humantime::parse_duration(text)
                .map(Self)
                .map_err(|error| format!("{text:?} is no length of time ({error}): write it as 10ms, 1s or 0.5")),
        }
    }
}

/// A lease: `auto`, `off`, or whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lease(pub vrrp_net::Lease);

impl FromStr for Lease {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |Span(span): Span| match u32::try_from(span.as_secs()) {
            Ok(seconds) if span.subsec_nanos() == 0 => NonZeroU32::new(seconds),
            Ok(_) | Err(_) => None,
        };
        match text {
            "auto" => Ok(Self(vrrp_net::Lease::Auto)),
            "off" => Ok(Self(vrrp_net::Lease::Off)),
            _ => text
                .parse()
                .ok()
                .and_then(seconds)
                .map(|seconds| Self(vrrp_net::Lease::Fixed(seconds)))
                .ok_or_else(|| format!("{text:?} is no lease: write it as auto, off or whole seconds, 10s")),
        }
    }
}

/// An address, and how it is installed, in the words of `ip address`:
/// `192.0.2.100/24 dev eth1 scope link label eth1:vip broadcast + metric 10 noprefixroute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub vrrp_net::Address);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut address: vrrp_net::Address =
            words.next().unwrap_or_default().parse().map_err(|error| format!("{text:?}: {error}"))?;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{text:?}: a value is missing after {word:?}"));
            address = match word {
                "dev" => address.on_interface(value()?),
                "scope" => address.with_scope(scope(value()?)?),
                "label" => address.with_label(value()?.parse::<Label>().map_err(|error| error.to_string())?),
                "broadcast" | "brd" => address.with_broadcast(broadcast(value()?)?),
                "metric" => address.with_metric(number(word, value()?)?),
                "noprefixroute" => address.with_prefix_route(false),
                _ => {
                    let known = "dev, scope, label, broadcast, metric or noprefixroute";
                    return Err(format!("{text:?}: {word:?} is not {known}"));
                }
            };
        }
        Ok(Self(address))
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "global" => Ok(Scope::Global),
        "site" => Ok(Scope::Site),
        "link" => Ok(Scope::Link),
        "host" => Ok(Scope::Host),
        _ => text
            .parse()
            .map(Scope::Other)
            .map_err(|_| format!("scope {text:?} is not global, site, link, host or 0..=255")),
    }
}

fn broadcast(text: &str) -> Result<Broadcast, String> {
    match text {
        "+" => Ok(Broadcast::Auto),
        "-" => Ok(Broadcast::None),
        _ => text
            .parse()
            .map(Broadcast::Explicit)
            .map_err(|_| format!("broadcast {text:?} is not +, - or an IPv4 address")),
    }
}

/// An interface that is tracked, in the words of keepalived: `eth1`, `eth1 weight -30`, `eth1 weight 10 reverse`.
/// Without a weight the virtual router is out of the election while the interface is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInterface(pub Source);

impl FromStr for TrackInterface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let TrackNamed { name, effect } = text.parse()?;
        // In the driver's terms, which has a sign where keepalived has a word.
        let Tracked { impact, inverted, .. } = effect.unwrap_or(Effect::FAULT).tracked(true);
        Ok(Self(Source::Interface(TrackedInterface { name, impact, inverted })))
    }
}

/// Something that is tracked by its name, in the words of keepalived: `chk_app`, `chk_app weight -30`, `chk_app weight 10
/// reverse`. Without a weight it does what is said where it is defined; a weight of 0 is a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackNamed {
    /// Its name.
    pub name: String,
    /// What it does.
    pub effect: Option<Effect>,
}

impl FromStr for TrackNamed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().ok_or("a name is missing")?.to_owned();
        let (mut weight, mut reverse) = (None, false);
        while let Some(word) = words.next() {
            match word {
                "weight" => match number("weight", words.next().unwrap_or_default())? {
                    given @ -253..=253 => weight = Some(given),
                    given => return Err(format!("weight {given} is not -253..=253")),
                },
                "reverse" => reverse = true,
                _ => return Err(format!("{text:?}: {word:?} is not weight or reverse")),
            }
        }
        let effect = (weight.is_some() || reverse).then(|| Effect::weight(weight.unwrap_or(0), reverse));
        Ok(Self { name, effect })
    }
}

/// The address of a peer, or one to send from: without a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is not an address: write it as 192.0.2.2 or fe80::2"))
    }
}

fn number<N: FromStr>(what: &str, text: &str) -> Result<N, String>
where
    N::Err: Display,
{
    text.parse().map_err(|error| format!("{what} {text:?} is not a number in range: {error}"))
}

/// In a file these are texts or bare numbers.
macro_rules! read_as_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                written(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

read_as_text!(Span, Lease, Address, TrackInterface, TrackNamed, Peer);

fn written<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    })
}

#[cfg(test)]
mod tests {
    use vrrp_net::vrrp_core::track::Impact;

    use super::*;

    #[test]
    fn an_address_is_written_as_for_ip_address() {
        let text = "192.0.2.100/24 dev eth1 scope link label eth1:vip broadcast + metric 10 noprefixroute";
        let Address(address) = text.parse().unwrap();
        assert_eq!((address.to_string().as_str(), address.interface()), ("192.0.2.100/24", Some("eth1")));
        let expected = "192.0.2.100/24".parse::<vrrp_net::Address>().unwrap().on_interface("eth1");
        let expected = expected.with_scope(Scope::Link).with_label("eth1:vip".parse().unwrap());
        let expected = expected.with_broadcast(Broadcast::Auto).with_metric(10).with_prefix_route(false);
        assert_eq!(address, expected);
    }

    #[test]
    fn a_tracked_interface_has_a_weight_or_is_a_fault() {
        let tracked = |text: &str| match text.parse() {
            Ok(TrackInterface(Source::Interface(it))) => (it.name, it.impact, it.inverted),
            other => panic!("{other:?}"),
        };
        assert_eq!(tracked("eth1"), ("eth1".to_owned(), Impact::Fault, false));
        assert_eq!(tracked("eth1 weight -30"), ("eth1".to_owned(), Impact::Weight(-30), false));
        // It is raised while the interface is down.
        assert_eq!(tracked("eth1 weight -30 reverse"), ("eth1".to_owned(), Impact::Weight(30), true));
    }

    #[test]
    fn a_lease_is_auto_off_or_whole_seconds() {
        assert_eq!("10s".parse(), Ok(Lease(vrrp_net::Lease::Fixed(NonZeroU32::new(10).unwrap()))));
        assert_eq!("off".parse(), Ok(Lease(vrrp_net::Lease::Off)));
        for text in ["0", "1.5", "100ms", "for ever", ""] {
            assert!(text.parse::<Lease>().unwrap_err().contains("auto, off or whole seconds"), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_would_be_right() {
        let address = |text: &str| text.parse::<Address>().unwrap_err();
        assert!(address("192.0.2.1 dev").contains("missing after \"dev\""));
        assert!(address("192.0.2.1 scope far").contains("\"far\" is not global, site, link, host"));
        assert!(address("192.0.2.1 colour red").contains("\"colour\" is not dev, scope"));
        assert!(address("192.0.2.1 broadcast x").contains("\"x\" is not +, -"));
        let tracked = |text: &str| text.parse::<TrackInterface>().unwrap_err();
        assert!(tracked("eth1 weight 254").contains("254 is not -253..=253"));
        assert!(tracked("eth1 weight").contains("weight \"\" is not a number"));
        assert!(tracked("").contains("missing"));
        assert!("host".parse::<Peer>().unwrap_err().contains("\"host\" is not an address"));
    }
}
