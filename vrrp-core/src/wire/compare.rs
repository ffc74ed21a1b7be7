//! How the address list of an advertisement compares with the local one, when it is not the same in the same order.

use core::net::IpAddr;

use super::AddressListMatch;

/// Compares two lists as sets: neither order nor repetition matter. Of `received` the first 255 count, which are all that
/// an advertisement can hold.
///
/// O(n log n) whatever a packet holds, and without allocation: whoever can send packets chooses what is compared.
pub(super) fn compare_sets(received: impl Iterator<Item = IpAddr>, local: &[IpAddr]) -> AddressListMatch {
    let mut sorted = [0; 255];
    let mut len = 0;
    for (place, address) in sorted.iter_mut().zip(received) {
        *place = key(address);
        len += 1;
    }
    let sorted = sorted.get_mut(..len).unwrap_or_default();
    sorted.sort_unstable();
    let mut seen = [false; 255];
    let mut all_known = true;
    for key in local.iter().copied().map(key) {
        let at = sorted.partition_point(|other| *other < key);
        match (sorted.get(at), seen.get_mut(at)) {
            (Some(found), Some(seen)) if *found == key => *seen = true,
            (Some(_) | None, Some(_) | None) => all_known = false,
        }
    }
    // Of those that are repeated only the first is looked up.
    let firsts = || {
        let mut last = None;
        sorted.iter().zip(seen).filter(move |(key, _)| last.replace(**key) != Some(**key)).map(|(_, seen)| seen)
    };
    match firsts().any(|seen| seen) {
        true if all_known && firsts().all(|seen| seen) => AddressListMatch::Same,
        true => AddressListMatch::Overlaps,
        false => AddressListMatch::Disjoint,
    }
}

/// A number for each address: those of IPv4 are where IPv6 maps them to, which is no address that a host has.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressListMatch::{Disjoint, Overlaps, Same};

    fn list(hosts: impl IntoIterator<Item = u8>) -> Vec<IpAddr> {
        hosts.into_iter().map(|host| IpAddr::from([192, 0, 2, host])).collect()
    }

    fn compare(received: &[IpAddr], local: &[IpAddr]) -> AddressListMatch {
        compare_sets(received.iter().copied(), local)
    }

    #[test]
    fn rx_16_lists_compare_as_sets() {
        let cases: [(&[u8], &[u8], AddressListMatch); 9] = [
            (&[1, 2, 3], &[3, 1, 2], Same),
            (&[1, 1, 2], &[2, 1], Same),
            (&[2, 1], &[1, 2, 2], Same),
            (&[1, 2], &[1], Overlaps),
            (&[1], &[1, 2], Overlaps),
            (&[1, 1], &[1, 2], Overlaps),
            (&[1, 2], &[3, 4], Disjoint),
            (&[], &[1], Disjoint),
            (&[1], &[], Disjoint),
        ];
        for (received, local, expected) in cases {
            let (received, local) = (list(received.iter().copied()), list(local.iter().copied()));
            assert_eq!(compare(&received, &local), expected, "{received:?} {local:?}");
        }
    }

    #[test]
    fn rx_16_the_longest_lists_compare_in_any_order() {
        let (up, down) = (list(1..=255), list((1..=255).rev()));
        assert_eq!(compare(&up, &down), Same);
        assert_eq!(compare(&up, &list((2..=255).rev())), Overlaps);
        let elsewhere: Vec<IpAddr> = (1..=255).map(|host| IpAddr::from([203, 0, 113, host])).collect();
        assert_eq!(compare(&up, &elsewhere), Disjoint);
    }

    #[test]
    fn addresses_of_two_families_are_different() {
        assert_eq!(compare(&list([1]), &["2001:db8::1".parse().unwrap()]), Disjoint);
    }
}
