//! What is to be done about addresses, from what is wanted and what is there. Pure functions of a dump.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use vrrp_core::IfIndex;

use super::address::{AddressChange, AddressRequest, InterfaceAddress, Remedy};

/// The changes that make `found`, a dump, into what is `wanted`: removals first.
///
/// To be asked after notifications were lost ([`Change::Overrun`](super::Change::Overrun)), or after a predecessor died.
/// Only what carries `mark` is removed: because it is not wanted, or is there in a form that setting it anew does not
/// change. Without a mark (see [`Netlink::keeps_address_marks`](super::Netlink::keeps_address_marks)) what is not wanted
/// stays, and what is there in another form is removed whoever made it. A lifetime that is running is not renewed.
pub fn reconcile(wanted: &[AddressRequest], found: &[InterfaceAddress], mark: Option<u8>) -> Vec<AddressChange> {
    let key = |request: &AddressRequest| (request.interface, request.address.address());
    let by_key: BTreeMap<_, _> = wanted.iter().map(|request| (key(request), request)).collect();
    let mut right = BTreeSet::new();
    let mut changes = Vec::new();
    for address in found {
        let at = (address.interface, address.address);
        let marked = mark.is_some() && address.protocol == mark;
        match by_key.get(&at).map(|request| request.difference(address)) {
            Some(None) => drop(right.insert(at)),
            Some(Some((_, Remedy::Remove))) if marked || mark.is_none() => changes.extend(removal(address)),
            None if marked => changes.extend(removal(address)),
            Some(Some(_)) | None => {}
        }
    }
    let missing = wanted.iter().filter(|request| !right.contains(&key(request)));
    changes.extend(missing.map(|request| AddressChange::Set(*request)));
    changes
}

/// The addresses that the kernel removes along with those that `changes` remove, unless `promote_secondaries` is set for
/// the interface: IPv4 addresses of the same prefix that were added later.
///
/// Put them back by [`InterfaceAddress::request`]; or better prevent it, by
/// [`Setting::PromoteSecondaries`](crate::sysctl::Setting::PromoteSecondaries). Addresses with the prefix length 32 have
/// no such company.
pub fn lost_with<'a>(changes: &[AddressChange], found: &'a [InterfaceAddress]) -> Vec<&'a InterfaceAddress> {
    let removals = changes.iter().filter(|change| !matches!(change, AddressChange::Set(_)));
    let place =
        |change: &AddressChange| (change.interface(), change.address().address(), change.address().prefix_len());
    let removed: BTreeSet<_> = removals.map(place).collect();
    let is_removed = |it: &&InterfaceAddress| removed.contains(&(it.interface, it.address, it.prefix_len));
    let primaries: BTreeSet<_> =
        found.iter().filter(|it| !it.secondary).filter(is_removed).filter_map(subnet).collect();
    let is_lost = |it: &&InterfaceAddress| it.secondary && subnet(it).is_some_and(|subnet| primaries.contains(&subnet));
    found.iter().filter(is_lost).filter(|it| !is_removed(it)).collect()
}

/// The interface and the IPv4 network that an address belongs to; with a peer, the peer's.
fn subnet(address: &InterfaceAddress) -> Option<(IfIndex, Ipv4Addr, u8)> {
    let IpAddr::V4(v4) = address.peer.unwrap_or(address.address) else { return None };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(address.prefix_len))).unwrap_or(0);
    Some((address.interface, Ipv4Addr::from_bits(v4.to_bits() & mask), address.prefix_len))
}

fn removal(address: &InterfaceAddress) -> Option<AddressChange> {
    address.request().map(|request| request.removal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Label, Scope};

    fn request(text: &str) -> AddressRequest {
        let interface = IfIndex::new(7).unwrap();
        AddressRequest { protocol: Some(112), ..AddressRequest::new(interface, text.parse().unwrap()) }
    }

    /// As the kernel would have it.
    fn found(request: &AddressRequest) -> InterfaceAddress {
        let v4 = request.address.address().is_ipv4();
        InterfaceAddress {
            interface: request.interface,
            address: request.address.address(),
            prefix_len: request.address.prefix_len(),
            peer: request.peer,
            protocol: request.protocol,
            lifetime: request.lifetime,
            preferred: request.lifetime,
            scope: request.scope.unwrap_or(Scope::Global),
            broadcast: request.broadcast.address(request.address),
            prefix_route: request.prefix_route,
            metric: request.metric,
            secondary: false,
            tentative: false,
            duplicate: false,
            deprecated: false,
            label: request.label.map(|label| label.to_string()).or(v4.then(|| "eth0".to_owned())),
        }
    }

    fn secondary(text: &str) -> InterfaceAddress {
        InterfaceAddress { secondary: true, ..found(&request(text)) }
    }

    #[test]
    fn what_is_as_wanted_is_let_be() {
        let label: Label = "eth0:vip".parse().unwrap();
        let wanted = [
            request("192.0.2.100/24"),
            AddressRequest { lifetime: Some(4), label: Some(label), ..request("192.0.2.101/32") },
            AddressRequest { lifetime: Some(4), ..request("2001:db8::1/64") },
        ];
        let mut dump: Vec<_> = wanted.iter().map(found).collect();
        // A second has passed.
        dump[1].lifetime = Some(3);
        dump[1].preferred = Some(3);
        assert_eq!(reconcile(&wanted, &dump, Some(112)), []);
    }

    #[test]
    fn what_is_missing_is_set_and_what_is_left_over_is_removed_first() {
        let (wanted, old) = (request("192.0.2.100/32"), request("192.0.2.99/32"));
        let others = AddressRequest { protocol: None, ..request("192.0.2.1/24") };
        let changes = reconcile(&[wanted], &[found(&others), found(&old)], Some(112));
        assert_eq!(changes, [old.removal(), AddressChange::Set(wanted)]);
        assert_eq!(
            reconcile(&[wanted], &[found(&old)], None),
            [AddressChange::Set(wanted)],
            "without a mark it is anyone's"
        );
    }

    #[test]
    fn what_setting_anew_does_not_change_is_removed_before() {
        let plain = request("192.0.2.100/24");
        let peer = "198.51.100.1".parse().ok();
        for wanted in [
            AddressRequest { scope: Some(Scope::Link), ..plain },
            AddressRequest { label: "eth0:vip".parse().ok(), ..plain },
            AddressRequest { prefix_route: false, ..plain },
            AddressRequest { peer, ..plain },
            request("192.0.2.100/32"),
        ] {
            assert_eq!(
                reconcile(&[wanted], &[found(&plain)], Some(112)),
                [plain.removal(), AddressChange::Set(wanted)]
            );
            // Whoever asks for no label takes any.
            if wanted.label.is_none() {
                let back = [wanted.removal(), AddressChange::Set(plain)];
                assert_eq!(reconcile(&[plain], &[found(&wanted)], Some(112))[..], back[..], "{wanted:?}");
            }
        }
        for wanted in [AddressRequest { lifetime: Some(4), ..plain }, AddressRequest { metric: Some(9), ..plain }] {
            assert_eq!(reconcile(&[wanted], &[found(&plain)], Some(112)), [AddressChange::Set(wanted)]);
        }
        let six = request("2001:db8::1/64");
        let failed = InterfaceAddress { duplicate: true, ..found(&six) };
        assert_eq!(reconcile(&[six], &[failed], Some(112)), [six.removal(), AddressChange::Set(six)]);
    }

    #[test]
    fn another_programs_address_is_never_removed() {
        let own = AddressRequest { protocol: None, ..request("192.0.2.100/24") };
        let wanted = request("192.0.2.100/32");
        assert_eq!(reconcile(&[wanted], &[found(&own)], Some(112)), [AddressChange::Set(wanted)]);
        assert_eq!(reconcile(&[], &[found(&own)], Some(112)), []);
    }

    #[test]
    fn deleting_a_primary_address_takes_the_later_ones_of_its_prefix_along() {
        let primary = found(&request("192.0.2.100/24"));
        let dump = [
            primary.clone(),
            secondary("192.0.2.101/24"),
            secondary("192.0.2.102/24"),
            found(&request("198.51.100.1/24")),
            secondary("198.51.100.2/24"),
            found(&request("192.0.2.103/32")),
            found(&request("2001:db8::1/64")),
        ];
        let removal = request("192.0.2.100/24").removal();
        let names = |lost: Vec<&InterfaceAddress>| lost.iter().map(|it| it.address.to_string()).collect::<Vec<_>>();
        assert_eq!(names(lost_with(&[removal], &dump)), ["192.0.2.101", "192.0.2.102"]);
        let both = [removal, request("192.0.2.102/24").removal()];
        assert_eq!(names(lost_with(&both, &dump)), ["192.0.2.101"], "what is removed anyway is not lost");
        for harmless in ["192.0.2.101/24", "192.0.2.103/32", "2001:db8::1/64", "192.0.2.100/32"] {
            assert_eq!(names(lost_with(&[request(harmless).removal()], &dump)), [""; 0], "{harmless}");
        }
        assert_eq!(names(lost_with(&[AddressChange::Set(request("192.0.2.100/24"))], &dump)), [""; 0]);
        let put_back = dump[1].request().unwrap();
        assert_eq!((put_back.address, put_back.protocol), (request("192.0.2.101/24").address, Some(112)));
    }
}
