//! Pinging an address to see for how long it does not answer, and who does.

use std::io::{self, PipeWriter};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use vrrp_core::Instant;

use super::error::LabError;
use super::host::Host;
use super::lock;
use crate::filter;
use crate::sys::lab::{AF_INET, AF_PACKET, IPPROTO_ICMP, SOCK_NONBLOCK, SOCK_RAW};
use crate::sys::{self, Epoll, Ready, Timer};

/// A background thread that pings an address from a host and records the replies. Dropping it stops it.
#[derive(Debug)]
pub struct Pinger {
    record: Arc<Record>,
    /// Closing it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// An echo request, and the first reply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Its place in the row, from 0.
    pub sequence: usize,
    /// When the request was sent, on `CLOCK_BOOTTIME`. The kernel holds it back while it looks for the MAC address.
    pub sent_at: Instant,
    /// When the reply came; `None`: not yet.
    pub received_at: Option<Instant>,
    /// The Ethernet address that the reply came from.
    pub mac: Option<[u8; 6]>,
}

#[derive(Debug, Default)]
struct Record {
    replies: Mutex<Vec<Reply>>,
    changed: Condvar,
}

impl Pinger {
    pub(super) fn start(host: &Host, target: Ipv4Addr, interval: Duration) -> Result<Self, LabError> {
        let failed = |error| LabError::io(format!("ping {target} from {:?}", host.name()), error);
        let sender = host.socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP)?;
        // What it would receive is read from the other socket, with the Ethernet header.
        sys::attach_filter(sender.as_fd(), &[filter::DROP]).map_err(failed)?;
        let receiver = host.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, i32::from(ETHERTYPE_IPV4.to_be()))?;

        let (stopped, stop) = io::pipe().map_err(failed)?;
        let (epoll, timer) = (Epoll::new().map_err(failed)?, Timer::new().map_err(failed)?);
        for (fd, token) in [(receiver.as_fd(), RECEIVER), (timer.as_fd(), TIMER), (stopped.as_fd(), STOP)] {
            epoll.add(fd, token).map_err(failed)?;
        }
        let record = Arc::new(Record::default());
        let worker = Worker {
            target,
            // 0 would make a timer that never stops firing.
            interval: interval.max(Duration::from_micros(100)),
            identifier: NEXT_IDENTIFIER.fetch_add(1, Ordering::Relaxed),
            sender: sender.into(),
            receiver,
            timer,
            record: Arc::clone(&record),
        };
        let thread = std::thread::Builder::new().name("lab-pinger".to_owned());
        let thread = thread.spawn(move || {
            worker.run(&epoll);
            drop(stopped);
        });
        Ok(Self { record, stop: Some(stop), thread: Some(thread.map_err(failed)?) })
    }

    /// The requests so far, each with its reply if it came.
    pub fn replies(&self) -> Vec<Reply> {
        lock(&self.record.replies).clone()
    }

    /// Wait until a request, past or to come, is as `wanted` says, at most this long.
    pub fn wait_for(&self, limit: Duration, wanted: impl Fn(&Reply) -> bool) -> Option<Reply> {
        let replies = lock(&self.record.replies);
        let find = |replies: &Vec<Reply>| replies.iter().rev().find(|reply| wanted(reply)).copied();
        let waited = self.record.changed.wait_timeout_while(replies, limit, |replies| find(replies).is_none());
        let (replies, _) = waited.unwrap_or_else(PoisonError::into_inner);
        find(&replies)
    }

    /// Stop, and return all requests.
    pub fn stop(mut self) -> Vec<Reply> {
        self.halt();
        self.replies()
    }

    fn halt(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The longest time between `from` and `to` in which no reply came. The window's ends count as replies, so with none at
/// all it is the whole window.
pub fn longest_gap(replies: &[Reply], from: Instant, to: Instant) -> Duration {
    if from >= to {
        return Duration::ZERO;
    }
    let mut times: Vec<_> = replies.iter().filter_map(|reply| reply.received_at).collect();
    times.retain(|at| (from..=to).contains(at));
    times.extend([from, to]);
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}

const RECEIVER: u64 = 0;
const TIMER: u64 = 1;
const STOP: u64 = 2;
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Tells the pingers of this process apart.
static NEXT_IDENTIFIER: AtomicU16 = AtomicU16::new(1);

struct Worker {
    target: Ipv4Addr,
    interval: Duration,
    identifier: u16,
    sender: socket2::Socket,
    receiver: OwnedFd,
    timer: Timer,
    record: Arc<Record>,
}

impl Worker {
    fn run(&self, epoll: &Epoll) {
        let mut ready = [Ready::EMPTY; 3];
        let mut next = sys::boottime_now();
        let mut buffer = [0; 2048];
        while self.timer.arm(Some(next)).is_ok() {
            let Ok(count) = epoll.wait(&mut ready, None) else { return };
            while let Ok(length) = sys::receive(self.receiver.as_fd(), &mut buffer) {
                self.receive(buffer.get(..length).unwrap_or_default());
            }
            if ready.iter().take(count).any(|ready| ready.token() == STOP) {
                return;
            }
            let now = sys::boottime_now();
            if now >= next {
                self.send(now);
                // After a stall go on in step, without a burst.
                while next <= now {
                    next = next + self.interval;
                }
            }
        }
    }

    fn send(&self, now: Instant) {
        let mut replies = lock(&self.record.replies);
        let sequence = replies.len();
        replies.push(Reply { sequence, sent_at: now, received_at: None, mac: None });
        drop(replies);
        self.record.changed.notify_all();
        let request = echo_request(self.identifier, low_half(sequence));
        // Without a route, or while nobody has the address, this fails: then there is no reply.
        let _ = self.sender.send_to(&request, &SocketAddrV4::new(self.target, 0).into());
    }

    fn receive(&self, frame: &[u8]) {
        let Some((mac, sequence)) = parse_reply(frame, self.target, self.identifier) else { return };
        let now = sys::boottime_now();
        let mut replies = lock(&self.record.replies);
        // The last request with this number: they start over after 65536.
        let request = replies.iter_mut().rev().find(|reply| low_half(reply.sequence) == sequence);
        if let Some(request) = request.filter(|request| request.received_at.is_none()) {
            request.received_at = Some(now);
            request.mac = Some(mac);
        }
        drop(replies);
        self.record.changed.notify_all();
    }
}

/// The sequence number on the wire.
fn low_half(sequence: usize) -> u16 {
    u16::try_from(sequence & 0xffff).unwrap_or_default()
}

/// An ICMP echo request (RFC 792) without data.
fn echo_request(identifier: u16, sequence: u16) -> [u8; 8] {
    let [id_high, id_low] = identifier.to_be_bytes();
    let [sequence_high, sequence_low] = sequence.to_be_bytes();
    // The sum of the words that are not zero, in ones' complement.
    let sum = 0x0800 + u32::from(identifier) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [sum_high, sum_low] = (!u16::try_from(folded).unwrap_or_default()).to_be_bytes();
    [8, 0, sum_high, sum_low, id_high, id_low, sequence_high, sequence_low]
}

/// The source MAC address and the sequence number of a frame that is a reply to one of our requests.
fn parse_reply(frame: &[u8], target: Ipv4Addr, identifier: u16) -> Option<([u8; 6], u16)> {
    let mac: [u8; 6] = frame.get(6..12)?.try_into().ok()?;
    let packet = frame.get(14..)?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let icmp = packet.get(header..header + 8)?;
    let is_reply = *packet.get(9)? == 1 && icmp.first_chunk() == Some(&[0, 0]) && Ipv4Addr::from(from) == target;
    let ours = icmp.get(4..6)? == identifier.to_be_bytes();
    let sequence = u16::from_be_bytes(icmp.get(6..8)?.try_into().ok()?);
    if is_reply && ours { Some((mac, sequence)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(received_at: Option<u64>) -> Reply {
        Reply { sequence: 0, sent_at: Instant::ZERO, received_at: received_at.map(Instant::from_millis), mac: None }
    }

    #[test]
    fn the_longest_gap_counts_from_and_to_the_ends_of_the_window() {
        let gap = |replies: &[Option<u64>], from, to| {
            let replies: Vec<_> = replies.iter().map(|at| reply(*at)).collect();
            longest_gap(&replies, Instant::from_millis(from), Instant::from_millis(to)).as_millis()
        };
        assert_eq!(gap(&[], 100, 400), 300);
        assert_eq!(gap(&[Some(150), None, Some(380), Some(160)], 100, 400), 220);
        assert_eq!(gap(&[Some(50), Some(150), Some(900)], 100, 400), 250);
        assert_eq!(gap(&[Some(50)], 400, 100), 0);
    }

    #[test]
    fn an_echo_request_sums_to_all_ones() {
        for (identifier, sequence) in [(0, 0), (1, 2), (0xffff, 0xffff), (0xf7ff, 0), (0xf800, 0)] {
            let sum: u32 = echo_request(identifier, sequence)
                .chunks_exact(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{identifier} {sequence}");
        }
    }

    #[test]
    fn only_replies_to_us_are_ours() {
        let mut frame = vec![0; 14];
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        let mut packet = [0_u8; 28];
        packet[0] = 0x45;
        packet[9] = 1;
        packet[12..16].copy_from_slice(&[192, 0, 2, 7]);
        packet[24..28].copy_from_slice(&[0, 5, 0, 3]);
        frame.extend_from_slice(&packet);
        let target = Ipv4Addr::new(192, 0, 2, 7);
        assert_eq!(parse_reply(&frame, target, 5), Some(([2, 0, 0, 0, 0, 9], 3)));
        assert_eq!(parse_reply(&frame, target, 6), None);
        assert_eq!(parse_reply(&frame, Ipv4Addr::new(192, 0, 2, 8), 5), None);
        for end in 0..frame.len() {
            assert_eq!(parse_reply(&frame[..end], target, 5), None);
        }
    }
}
