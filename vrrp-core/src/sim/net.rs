//! The virtual network: LANs, the lines between every two stations on them, and what is on its way.

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::random::Random;
use crate::time::nanos;
use crate::wire::Envelope;
use crate::{Event, Instant};

/// What happens to frames on their way from one station to another. Each direction has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long a frame takes.
    pub delay: Duration,
    /// How much longer it may take; frames still arrive in the order they were sent in.
    pub jitter: Duration,
    /// The chance that it is lost, in millionths.
    pub loss: u32,
    /// The chance that it arrives twice, in millionths.
    pub duplicate: u32,
    /// The chance that it is held back for as long again as `delay` and `jitter`, so that later ones overtake it, in
    /// millionths.
    pub reorder: u32,
    /// Whether nothing passes.
    pub cut: bool,
}

impl Default for Link {
    /// A healthy one: 100 us, nothing else.
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(100),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            cut: false,
        }
    }
}

impl Link {
    /// The longest that a frame takes.
    pub(super) fn slowest(&self) -> u64 {
        2 * (nanos(self.delay).saturating_add(nanos(self.jitter)))
    }
}

/// One direction between two stations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) link: Link,
    /// When it was last changed.
    pub(super) changed: Instant,
    /// When the last frame arrives.
    last: Instant,
    /// How many more frames to lose.
    lose: u32,
    /// For how long to hold the next frame back.
    hold: Option<Duration>,
}

impl Line {
    const fn new(link: Link, changed: Instant) -> Self {
        Self { link, changed, last: Instant::ZERO, lose: 0, hold: None }
    }

    /// Whether each frame arrives.
    pub(super) const fn is_clean(&self) -> bool {
        !self.link.cut && self.link.loss == 0 && self.lose == 0
    }

    /// Sends a frame: when it arrives, and when its double does.
    pub(super) fn send(&mut self, now: Instant, random: &mut Random) -> [Option<Instant>; 2] {
        if self.link.cut || random.chance(self.link.loss) {
            return [None, None];
        }
        if let Some(lose) = self.lose.checked_sub(1) {
            self.lose = lose;
            self.changed = now;
            return [None, None];
        }
        if let Some(hold) = self.hold.take() {
            return [Some(now + hold), None];
        }
        let jitter = nanos(self.link.jitter);
        let delay = match jitter {
            0 => self.link.delay,
            jitter => self.link.delay + Duration::from_nanos(random.below(jitter.saturating_add(1))),
        };
        let at = if random.chance(self.link.reorder) {
            now + delay + self.link.delay + self.link.jitter
        } else {
            self.last = self.last.max(now + delay);
            self.last
        };
        [Some(at), random.chance(self.link.duplicate).then_some(at)]
    }
}

/// Who can be on a LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Station {
    Node { node: usize, port: usize },
    Host(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Lan {
    pub(super) name: String,
    link: Link,
    pub(super) stations: Vec<Station>,
    /// From each station to each.
    lines: Vec<Line>,
    /// The longest that a frame takes between any two.
    pub(super) slowest: u64,
    /// Whether some line loses frames by chance.
    pub(super) lossy: bool,
}

impl Lan {
    pub(super) fn new(name: String, link: Link) -> Self {
        let lossy = link.loss > 0;
        Self { name, link, stations: Vec::new(), lines: Vec::new(), slowest: link.slowest(), lossy }
    }

    /// Adds a station; returns its number.
    pub(super) fn attach(&mut self, now: Instant, station: Station) -> usize {
        let before = self.stations.len();
        self.stations.push(station);
        let mut lines = Vec::with_capacity((before + 1) * (before + 1));
        for from in 0..=before {
            for to in 0..=before {
                let known = if from < before && to < before { self.lines.get(from * before + to) } else { None };
                lines.push(known.copied().unwrap_or(Line::new(self.link, now)));
            }
        }
        self.lines = lines;
        before
    }

    /// The line between two stations.
    pub(super) fn line(&self, from: usize, to: usize) -> Option<&Line> {
        let width = self.stations.len();
        if from < width && to < width { self.lines.get(from * width + to) } else { None }
    }

    pub(super) fn line_mut(&mut self, from: usize, to: usize) -> Option<&mut Line> {
        let width = self.stations.len();
        if from < width && to < width { self.lines.get_mut(from * width + to) } else { None }
    }

    /// Changes a line.
    pub(super) fn set(&mut self, now: Instant, from: usize, to: usize, link: Link) {
        if let Some(line) = self.line_mut(from, to)
            && line.link != link
        {
            line.link = link;
            line.changed = now;
        }
        self.slowest = self.lines.iter().map(|line| line.link.slowest()).max().unwrap_or(0);
        self.lossy = self.lines.iter().any(|line| line.link.loss > 0);
    }

    pub(super) fn lose(&mut self, now: Instant, from: usize, to: usize, frames: u32) {
        if let Some(line) = self.line_mut(from, to) {
            line.lose = frames;
            line.changed = now;
        }
    }

    pub(super) fn hold(&mut self, from: usize, to: usize, hold: Duration) {
        if let Some(line) = self.line_mut(from, to) {
            line.hold = Some(hold);
        }
    }
}

/// A datagram that is on its way, or waits in sockets.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    octets: Vec<u8>,
    len: usize,
    pub(super) envelope: Envelope,
    /// How many stations it still has to reach.
    waiting: u32,
}

impl Frame {
    pub(super) fn payload(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Octets that any advertisement fits in: 255 IPv6 addresses.
const FRAME_LEN: usize = 8 + 255 * 16 + 64;

/// The datagrams under way. Their buffers are used again, so that a long run does not allocate.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    pool: Vec<Frame>,
    free: Vec<usize>,
}

impl Frames {
    /// A frame to be filled; it is given back with [`release`](Self::release) if it is not.
    pub(super) fn take(&mut self, envelope: Envelope) -> usize {
        if let Some(index) = self.free.pop() {
            if let Some(frame) = self.pool.get_mut(index) {
                frame.envelope = envelope;
                frame.waiting = 1;
            }
            return index;
        }
        self.pool.push(Frame { octets: vec![0; FRAME_LEN], len: 0, envelope, waiting: 1 });
        self.pool.len() - 1
    }

    pub(super) fn buffer(&mut self, index: usize) -> &mut [u8] {
        self.pool.get_mut(index).map(|frame| frame.octets.as_mut_slice()).unwrap_or_default()
    }

    pub(super) fn filled(&mut self, index: usize, len: usize, envelope: Envelope) {
        if let Some(frame) = self.pool.get_mut(index) {
            frame.len = len;
            frame.envelope = envelope;
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Frame> {
        self.pool.get(index)
    }

    /// One more station waits for it.
    pub(super) fn hold(&mut self, index: usize) {
        if let Some(frame) = self.pool.get_mut(index) {
            frame.waiting += 1;
        }
    }

    /// One station less.
    pub(super) fn release(&mut self, index: usize) {
        if let Some(frame) = self.pool.get_mut(index) {
            frame.waiting = frame.waiting.saturating_sub(1);
            if frame.waiting == 0 {
                self.free.push(index);
            }
        }
    }
}

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A datagram reaches a node.
    Datagram { node: usize, port: usize, frame: usize },
    /// A host is told that a node has the addresses of one of its virtual routers, unasked or as it asked.
    Learn { host: usize, node: usize, member: usize, asked: bool },
    /// A host uses its cache, and asks for what is missing in it.
    Traffic { host: usize },
    /// The kernel looks whether a lease has ended.
    Lease { node: usize, member: usize },
    /// The process of a node has something to do.
    Chore { node: usize, chore: Chore },
    /// A process or a whole host that stood goes on.
    Resume { node: usize, stop: u64 },
}

/// What the process of a node has to do at a time, beside the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Renew the lease of addresses installed then.
    Renew { member: usize, installed: Instant },
    /// Announce addresses installed then once more.
    AnnounceAgain { member: usize, installed: Instant },
    /// Give a virtual router what it was told from outside.
    Tell { member: usize, event: Event },
}

impl Chore {
    /// The virtual router that it is about.
    pub(super) const fn member(self) -> usize {
        match self {
            Self::Renew { member, .. } | Self::AnnounceAgain { member, .. } | Self::Tell { member, .. } => member,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Scheduled {
    at: Instant,
    order: u64,
    job: Job,
}

/// The earliest is the greatest, as a heap wants it; of two at a time the first one that was scheduled.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

/// What will happen, in the order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Scheduled>,
    order: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Instant, job: Job) {
        self.order += 1;
        self.heap.push(Scheduled { at, order: self.order, job });
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|scheduled| scheduled.at)
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        self.heap.pop().map(|scheduled| scheduled.job)
    }
}
