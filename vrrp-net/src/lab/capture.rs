//! Recording frames.

use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use vrrp_core::{IfIndex, Instant};

use super::error::LabError;
use super::lock;
use super::namespace::Room;
use crate::filter::Instruction;
use crate::sys::lab::{AF_PACKET, SOCK_NONBLOCK, SOCK_RAW};
use crate::sys::{self, ETHERTYPE_ALL, Epoll, Ready};

/// A recording of the frames that matter to VRRP: VRRP itself, ARP, and IPv6 neighbor discovery. It runs until it is
/// dropped.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    /// Closing it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// A recorded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// When the kernel saw it, on `CLOCK_BOOTTIME`.
    pub at: Instant,
    /// All of it, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

impl Capture {
    pub(super) fn start(room: &Room, interface: IfIndex, filter: &[Instruction]) -> Result<Self, LabError> {
        let failed = |error| LabError::io(format!("record frames on interface {interface}"), error);
        // No protocol yet: nothing is received until the socket is bound to the interface.
        let socket = room.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0)?;
        // A smaller buffer works too, unless there are thousands of frames at once.
        let _ = sys::set_receive_buffer(socket.as_fd(), 16 * 1024 * 1024);
        sys::attach_filter(socket.as_fd(), filter).map_err(failed)?;
        sys::stamp_arrivals(socket.as_fd()).map_err(failed)?;
        sys::bind_packet(socket.as_fd(), interface, ETHERTYPE_ALL).map_err(failed)?;
        sys::set_promiscuous(socket.as_fd(), interface).map_err(failed)?;

        let (stopped, stop) = io::pipe().map_err(failed)?;
        let epoll = Epoll::new().map_err(failed)?;
        epoll.add(socket.as_fd(), SOCKET).and_then(|()| epoll.add(stopped.as_fd(), STOP)).map_err(failed)?;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&frames);
        let thread = std::thread::Builder::new().name("lab-capture".to_owned());
        let thread = thread.spawn(move || {
            record(&epoll, &socket, &recorded);
            drop(stopped);
        });
        Ok(Self { frames, stop: Some(stop), thread: Some(thread.map_err(failed)?) })
    }

    /// What was recorded so far.
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.frames).clone()
    }

    /// Write what was recorded so far to a file for `tshark` and its like. Times count from the start of the machine.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn write_pcap(&self, path: impl AsRef<Path>) -> Result<(), LabError> {
        let path = path.as_ref();
        let bytes = pcap(&self.frames());
        std::fs::File::create(path)
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(|error| LabError::io(format!("write {}", path.display()), error))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const SOCKET: u64 = 0;
const STOP: u64 = 1;

fn record(epoll: &Epoll, socket: &OwnedFd, frames: &Mutex<Vec<Frame>>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut ready = [Ready::EMPTY; 2];
    while let Ok(count) = epoll.wait(&mut ready, None) {
        loop {
            match sys::receive_stamped(socket.as_fd(), &mut buffer) {
                Ok((length, age)) => {
                    let at = sys::boottime_now() - age;
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if matters(bytes) {
                        lock(frames).push(Frame { at, bytes: bytes.to_vec() });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing there; or the interface is down or gone, which the socket says once.
                Err(_) => break,
            }
        }
        if ready.iter().take(count).any(|ready| ready.token() == STOP) {
            return;
        }
    }
}

/// Whether it is VRRP over IPv4 or IPv6, ARP, or an IPv6 neighbor solicitation or advertisement.
fn matters(frame: &[u8]) -> bool {
    const VRRP: u8 = 112;
    const ICMPV6: u8 = 58;
    let octet = |at: usize| frame.get(at).copied().unwrap_or(0);
    match [octet(12), octet(13)] {
        [0x08, 0x06] => true,
        [0x08, 0x00] => octet(23) == VRRP,
        [0x86, 0xdd] => octet(20) == VRRP || (octet(20) == ICMPV6 && matches!(octet(54), 135 | 136)),
        _ => false,
    }
}

/// The file format of libpcap, with nanoseconds.
fn pcap(frames: &[Frame]) -> Vec<u8> {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut words: Vec<u8> = Vec::new();
    let header = [0xa1b2_3c4d, if cfg!(target_endian = "big") { 0x0002_0004 } else { 0x0004_0002 }, 0, 0, 0x4_0000, 1];
    words.extend(header.iter().flat_map(|word: &u32| word.to_ne_bytes()));
    for frame in frames {
        let length = number(frame.bytes.len() as u64);
        let nanos = frame.at.as_nanos();
        let record = [number(nanos / 1_000_000_000), number(nanos % 1_000_000_000), length, length];
        words.extend(record.iter().flat_map(|word| word.to_ne_bytes()));
        words.extend_from_slice(&frame.bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_frames_do_not_matter() {
        assert!(!matters(&[]));
        assert!(!matters(&[0; 60]));
        let mut arp = [0; 14];
        arp[12..].copy_from_slice(&[8, 6]);
        assert!(matters(&arp));
    }

    #[test]
    fn a_recording_has_the_header_of_a_pcap_file() {
        let frame = Frame { at: Instant::from_nanos(1_500_000_000), bytes: vec![1, 2, 3] };
        let file = pcap(&[frame]);
        assert_eq!(file.len(), 24 + 16 + 3);
        assert_eq!(file[..4], 0xa1b2_3c4d_u32.to_ne_bytes());
        assert_eq!(file[4..6], 2_u16.to_ne_bytes());
        assert_eq!(file[24..28], 1_u32.to_ne_bytes());
        assert_eq!(file[28..32], 500_000_000_u32.to_ne_bytes());
    }
}
