//! Captures: pcap in both byte orders, in microseconds or nanoseconds, and pcapng.

use std::time::Duration;

use etherparse::EtherType;
use pcap_parser::data::{PacketData, get_packetdata};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use vrrp_core::hmac::WallClock;

use crate::content::Content;

/// Room for the largest packet that captures have, and what is around it.
const ROOM: usize = 1 << 20;

/// A captured packet.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    /// When it was captured, if the capture says so.
    pub(crate) time: Option<WallClock>,
    linktype: Linktype,
    octets: &'a [u8],
}

/// Why reading ended before the end of the capture.
#[derive(Debug)]
pub(crate) enum Error {
    /// The capture is broken, or not what it seemed to be.
    Capture(String),
    /// What was done with a packet failed.
    Output(anyhow::Error),
}

impl<'a> Packet<'a> {
    /// What is in it.
    ///
    /// # Errors
    /// What is there instead.
    pub(crate) fn content(&self) -> Result<Content<'a>, &'static str> {
        match get_packetdata(self.octets, self.linktype, self.octets.len()) {
            Some(PacketData::L2(frame)) => Content::of_frame(frame),
            Some(PacketData::L3(kind, packet)) => Content::of_packet(EtherType(kind), packet),
            Some(PacketData::L4(..) | PacketData::Unsupported(_)) | None => Err("a link type that is not known here"),
        }
    }
}

/// Whether this begins like a capture.
pub(crate) fn is_capture(octets: &[u8]) -> bool {
    const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
    const MICROSECONDS: u32 = 0xa1b2_c3d4;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    let Some(magic) = octets.first_chunk::<4>() else { return false };
    let (big, little) = (u32::from_be_bytes(*magic), u32::from_le_bytes(*magic));
    *magic == PCAPNG || [big, little].iter().any(|magic| matches!(*magic, MICROSECONDS | NANOSECONDS))
}

/// Hands every packet of a capture to `each`, in the order captured.
///
/// # Errors
/// Where the capture is broken, or what `each` failed with.
pub(crate) fn read(octets: &[u8], mut each: impl FnMut(&Packet<'_>) -> anyhow::Result<()>) -> Result<(), Error> {
    const CUT: &str = "it ends within a packet";
    let broken = |at: usize, why: &str| Error::Capture(format!("the capture is broken after {at} packets: {why}"));
    let mut reader = create_reader(ROOM, octets).map_err(|error| broken(0, &words(&error)))?;
    let (mut clocks, mut nanoseconds, mut linktype, mut count) = (Vec::new(), false, Linktype::ETHERNET, 0);
    loop {
        let (used, block) = match reader.next() {
            Ok(next) => next,
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => {
                let before = reader.data().len();
                if !reader.reader_exhausted() {
                    reader.refill().map_err(|error| broken(count, &words(&error)))?;
                }
                match reader.data().len() {
                    0 => return Ok(()),
                    after if after == before => return Err(broken(count, CUT)),
                    _ => continue,
                }
            }
            Err(error) => return Err(broken(count, &words(&error))),
        };
        let packet = match &block {
            PcapBlockOwned::LegacyHeader(header) => {
                (nanoseconds, linktype) = (header.is_nanosecond_precision(), header.network);
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let unit = if nanoseconds { 1 } else { 1_000 };
                let time = WallClock::new(packet.ts_sec.into(), packet.ts_usec.saturating_mul(unit));
                Some(Packet { time: Some(time), linktype, octets: packet.data })
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                clocks.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                clocks.push((interface.linktype, interface.ts_resolution(), interface.ts_offset()));
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = usize::try_from(packet.if_id).ok().and_then(|interface| clocks.get(interface));
                let Some((linktype, resolution, offset)) = interface else {
                    return Err(broken(count, "a packet of an interface that is not described"));
                };
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let time = resolution.and_then(|resolution| time(ticks, resolution, *offset));
                Some(Packet { time, linktype: *linktype, octets: packet.packet_data() })
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => clocks.first().map(|(linktype, _, _)| Packet {
                time: None,
                linktype: *linktype,
                octets: packet.packet_data(),
            }),
            PcapBlockOwned::NG(_) => None,
        };
        if let Some(packet) = packet {
            each(&packet).map_err(Error::Output)?;
            count += 1;
        }
        reader.consume(used);
    }
}

/// `ticks` since 1970, `resolution` of them a second, and so many seconds more.
fn time(ticks: u64, resolution: u64, offset: i64) -> Option<WallClock> {
    let seconds = ticks.checked_div(resolution)?.checked_add_signed(offset)?;
    let part = u128::from(ticks.checked_rem(resolution)?) * 1_000_000_000 / u128::from(resolution);
    Some(WallClock::from(Duration::new(seconds, u32::try_from(part).ok()?)))
}

fn words<I: std::fmt::Debug>(error: &PcapError<I>) -> String {
    match error {
        PcapError::HeaderNotRecognized => "its header is none of pcap or pcapng".into(),
        PcapError::BufferTooSmall => format!("a block is longer than {ROOM} octets"),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("what follows is no block ({kind:?})")
        }
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => "it ends within its header".into(),
        PcapError::ReadError => "it cannot be read".into(),
    }
}
