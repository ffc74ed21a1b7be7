//! What the recorded frames say.

use std::net::Ipv4Addr;

use vrrp_core::Instant;
use vrrp_net::lab::Frame;

/// An advertisement over IPv4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert {
    pub(crate) at: Instant,
    pub(crate) source: Ipv4Addr,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
}

pub(crate) fn adverts(frames: &[Frame]) -> Vec<Advert> {
    let parse = |frame: &Frame| {
        let ip = frame.bytes.get(14..).filter(|_| frame.bytes.get(12..14) == Some(&[8, 0]))?;
        let source: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
        let header = usize::from(ip.first()? & 15) * 4;
        let vrrp = ip.get(header..).filter(|_| ip.get(9) == Some(&112))?;
        let (vrid, priority) = (*vrrp.get(1)?, *vrrp.get(2)?);
        Some(Advert { at: frame.at, source: source.into(), vrid, priority })
    };
    frames.iter().filter_map(parse).collect()
}

/// Gratuitous ARPs: when, and for what.
pub(crate) fn announcements(frames: &[Frame]) -> Vec<(Instant, Ipv4Addr)> {
    let parse = |frame: &Frame| {
        let arp = frame.bytes.get(14..42).filter(|_| frame.bytes.get(12..14) == Some(&[8, 6]))?;
        let (sender, target): ([u8; 4], [u8; 4]) =
            (arp.get(14..18)?.try_into().ok()?, arp.get(24..28)?.try_into().ok()?);
        (sender == target).then(|| (frame.at, sender.into()))
    };
    frames.iter().filter_map(parse).collect()
}

/// The middle one; `None` of nothing.
pub(crate) fn median<T: Ord + Copy>(values: &[T]) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
