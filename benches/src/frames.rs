//! What the recorded frames say.

use std::net::Ipv4Addr;
use std::time::Duration;

use vrrp_core::Instant;
use vrrp_net::lab::Frame;

/// A VRRPv3 advertisement over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// When the kernel saw it.
    pub at: Instant,
    /// The sender's own address.
    pub source: Ipv4Addr,
    /// Of which virtual router.
    pub vrid: u8,
    /// 0: its Active leaves.
    pub priority: u8,
    /// In centiseconds.
    pub interval: u16,
}

impl Advert {
    /// The last octet of the sender's own address: its number in a [`Net`](crate::net::Net).
    pub fn host(&self) -> u8 {
        self.source.octets()[3]
    }
}

/// The advertisements among the frames.
pub fn adverts(frames: &[Frame]) -> Vec<Advert> {
    frames.iter().filter_map(|frame| advert(frame.at, &frame.bytes)).collect()
}

fn advert(at: Instant, bytes: &[u8]) -> Option<Advert> {
    let ip = bytes.get(14..).filter(|_| bytes.get(12..14) == Some(&[8, 0]))?;
    let source: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
    let header = usize::from(ip.first()? & 15) * 4;
    let vrrp = ip.get(header..).filter(|_| ip.get(9) == Some(&112))?;
    let interval = u16::from_be_bytes([*vrrp.get(4)? & 15, *vrrp.get(5)?]);
    Some(Advert { at, source: source.into(), vrid: *vrrp.get(1)?, priority: *vrrp.get(2)?, interval })
}

/// A gratuitous ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// When the kernel saw it.
    pub at: Instant,
    /// The Ethernet address that it came from.
    pub mac: [u8; 6],
    /// What it announces.
    pub address: Ipv4Addr,
}

/// The gratuitous ARPs among the frames.
pub fn announcements(frames: &[Frame]) -> Vec<Announcement> {
    frames.iter().filter_map(|frame| announcement(frame.at, &frame.bytes)).collect()
}

fn announcement(at: Instant, bytes: &[u8]) -> Option<Announcement> {
    let mac = bytes.get(6..12)?.try_into().ok()?;
    let arp = bytes.get(14..42).filter(|_| bytes.get(12..14) == Some(&[8, 6]))?;
    let (sender, target): ([u8; 4], [u8; 4]) = (arp.get(14..18)?.try_into().ok()?, arp.get(24..28)?.try_into().ok()?);
    (sender == target).then(|| Announcement { at, mac, address: sender.into() })
}

/// The times between one and the next.
pub fn gaps(times: impl IntoIterator<Item = Instant>) -> Vec<Duration> {
    let mut before = None;
    times.into_iter().filter_map(|at| before.replace(at).map(|one: Instant| at.since(one))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_host_7() -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 7, 224, 0, 0, 18]);
        bytes.extend([0x31, 51, 100, 1, 0x01, 0x2c, 0, 0, 10, 64, 0, 1]);
        bytes
    }

    #[test]
    fn an_advertisement_is_read_from_its_frame() {
        let at = Instant::from_millis(5);
        let read = advert(at, &of_host_7()).unwrap();
        assert_eq!(read, Advert { at, source: [10, 0, 0, 7].into(), vrid: 51, priority: 100, interval: 300 });
        assert_eq!(read.host(), 7);
    }

    #[test]
    fn what_is_cut_off_is_no_advertisement() {
        let whole = of_host_7();
        for length in 0..40 {
            assert_eq!(advert(Instant::ZERO, &whole[..length]), None, "{length} octets");
        }
    }

    #[test]
    fn only_a_gratuitous_arp_announces() {
        let mut arp = vec![0; 42];
        arp[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 8, 6]);
        arp[28..32].copy_from_slice(&[10, 64, 0, 1]);
        assert_eq!(announcement(Instant::ZERO, &arp), None);
        arp[38..42].copy_from_slice(&[10, 64, 0, 1]);
        let read = announcement(Instant::ZERO, &arp).unwrap();
        assert_eq!((read.mac, read.address), ([2, 0, 0, 0, 0, 9], [10, 64, 0, 1].into()));
        assert_eq!(announcement(Instant::ZERO, &arp[..41]), None);
    }

    #[test]
    fn gaps_lie_between() {
        assert!(gaps([]).is_empty());
        assert_eq!(gaps([1, 4, 6].map(Instant::from_millis)), [3, 2].map(Duration::from_millis));
    }
}
