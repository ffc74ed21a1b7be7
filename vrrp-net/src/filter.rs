//! What the kernel drops before it wakes this process: the filter of an [`AdvertSocket`](crate::AdvertSocket).
//!
//! A flood of datagrams that cannot be for us then costs no wake-up, no copy and no place in the receive buffer. What
//! the kernel drops is not counted by this process: RFC 8347's counters of wrong TTLs, versions, types and VRIDs stay as they
//! are, unless the filter is [`ReceiveFilter::Everything`]. All that may mean a misconfigured peer passes, so that its
//! alarm is raised: a wrong checksum, length, password, interval or address list, and the other version over IPv4.

use std::net::IpAddr;

use vrrp_core::wire::{PROTOCOL, TTL};
use vrrp_core::{Family, Vrid};

/// Which datagrams reach the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReceiveFilter {
    /// All of IP protocol 112 that the kernel gives the socket: every error is counted.
    #[default]
    Everything,
    /// Only what may be an advertisement for a virtual router that is configured here.
    Plausible(Plausible),
}

impl ReceiveFilter {
    /// The program for a raw socket of this family, for `SO_ATTACH_FILTER`. It is never longer than 256 instructions.
    ///
    /// Over IPv4 the socket sees the datagram from its IP header on; over IPv6 from the VRRP header on, and the IP header
    /// is where `SKF_NET_OFF` (`linux/filter.h`) points.
    pub fn program(&self, family: Family) -> Vec<Instruction> {
        match self {
            Self::Everything => vec![ACCEPT],
            Self::Plausible(plausible) => plausible.program(family),
        }
    }
}

impl From<Plausible> for ReceiveFilter {
    fn from(plausible: Plausible) -> Self {
        Self::Plausible(plausible)
    }
}

/// What an advertisement for one of several virtual routers looks like from outside.
///
/// ```
/// use vrrp_net::filter::{Plausible, ReceiveFilter};
/// use vrrp_net::vrrp_core::{Family, Vrid};
///
/// let filter = ReceiveFilter::from(Plausible::new([Vrid::new(51)?], [Family::V4.group()]));
/// assert!(filter.program(Family::V4).len() <= 256);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plausible {
    /// A bit for each VRID.
    vrids: [u32; WORDS],
    /// Sorted, each once.
    destinations: Vec<IpAddr>,
    least_ttl: u8,
}

/// 256 VRIDs in words of 32.
const WORDS: usize = 8;

/// With more destinations than this the program does not look at them: it must stay short, and the protocol checks them
/// again.
const MOST_DESTINATIONS: usize = 16;

impl Plausible {
    /// Advertisements of these virtual routers, sent with TTL 255 to one of these addresses: the family's group for the
    /// multicast ones, the host's own addresses for the unicast ones.
    pub fn new(vrids: impl IntoIterator<Item = Vrid>, destinations: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut words = [0; WORDS];
        for vrid in vrids {
            if let Some(word) = words.get_mut(usize::from(vrid.get() >> 5)) {
                *word |= 1 << (vrid.get() & 31);
            }
        }
        let mut destinations: Vec<IpAddr> = destinations.into_iter().collect();
        destinations.sort_unstable();
        destinations.dedup();
        Self { vrids: words, destinations, least_ttl: TTL }
    }

    /// Accept a lower TTL or hop limit too, for peers behind routers. The socket is shared, so this is for every virtual
    /// router on it; the protocol checks again what each one allows.
    #[must_use]
    pub fn with_least_ttl(self, least_ttl: u8) -> Self {
        Self { least_ttl, ..self }
    }

    fn program(&self, family: Family) -> Vec<Instruction> {
        let mut program = Program(Vec::new());
        match family {
            Family::V4 => {
                program.load_byte(9);
                program.require(JUMP_EQUAL, u32::from(PROTOCOL));
                program.load_byte(8);
            }
            Family::V6 => program.load_byte(IPV6_HEADER + 7),
        }
        program.require(JUMP_AT_LEAST, u32::from(self.least_ttl));
        self.check_destination(family, &mut program);

        // X: where the VRRP header starts.
        match family {
            Family::V4 => program.push(LOAD_IPV4_HEADER_LENGTH, 0),
            Family::V6 => program.push(LOAD_X_IMMEDIATE, 0),
        }
        program.push(LOAD_LENGTH, 0);
        program.push(SUBTRACT_X, 0);
        // An IPv4 header that is said to be longer than the datagram makes this wrap, and the next load then fails,
        // which drops the datagram.
        program.require(JUMP_AT_LEAST, 8);
        program.push(LOAD_BYTE_AT_X, 0);
        match family {
            Family::V4 => {
                program.jump(JUMP_EQUAL, 0x21, 2, 0);
                program.jump(JUMP_EQUAL, 0x31, 1, 0);
                program.0.push(DROP);
            }
            // There is no VRRPv2 over IPv6.
            Family::V6 => program.require(JUMP_EQUAL, 0x31),
        }
        self.check_vrid(&mut program);
        program.0
    }

    fn check_destination(&self, family: Family, program: &mut Program) {
        let ours = || self.destinations.iter().filter(|destination| Family::of(**destination) == family);
        let count = ours().count();
        if count > MOST_DESTINATIONS {
            return;
        }
        // Each group of instructions goes on to the next one if it does not match, and else to what is after all of them.
        let mut left = count;
        for destination in ours() {
            left -= 1;
            match destination {
                IpAddr::V4(address) => {
                    program.load_word(16);
                    program.jump(JUMP_EQUAL, address.to_bits(), 0, 1);
                    program.push(JUMP, distance(left * 3 + 1));
                }
                IpAddr::V6(address) => {
                    let [a, b, c, d] = words(address.octets());
                    for (place, word, last) in [(24, a, 7), (28, b, 5), (32, c, 3), (36, d, 1)] {
                        program.load_word(IPV6_HEADER + place);
                        program.jump(JUMP_EQUAL, word, 0, last);
                    }
                    program.push(JUMP, distance(left * 9 + 1));
                }
            }
        }
        program.0.push(DROP);
    }

    /// The bit of the VRID is looked up in the set: as long for 255 VRIDs as it gets, and shorter for a few.
    fn check_vrid(&self, program: &mut Program) {
        const BIT: u32 = 0;
        const VRID: u32 = 1;
        program.push(LOAD_BYTE_AT_X, 1);
        program.push(STORE, VRID);
        program.push(AND, 31);
        program.push(TO_X, 0);
        program.push(LOAD_IMMEDIATE, 1);
        program.push(SHIFT_LEFT_BY_X, 0);
        program.push(STORE, BIT);
        program.push(LOAD_MEMORY, VRID);
        program.push(SHIFT_RIGHT, 5);
        for (number, word) in (0_u32..).zip(self.vrids).filter(|(_, word)| *word != 0) {
            program.jump(JUMP_EQUAL, number, 0, 4);
            program.push(LOAD_MEMORY, BIT);
            program.jump(JUMP_ANY_BIT, word, 0, 1);
            program.0.push(ACCEPT);
            program.0.push(DROP);
        }
        program.0.push(DROP);
    }
}

/// A number of instructions to jump over.
fn distance(instructions: usize) -> u32 {
    u32::try_from(instructions).unwrap_or(u32::MAX)
}

fn words(octets: [u8; 16]) -> [u32; 4] {
    let bits = u128::from_be_bytes(octets);
    [96, 64, 32, 0].map(|shift| u32::try_from(bits >> shift & u128::from(u32::MAX)).unwrap_or_default())
}

/// One instruction of classic BPF: `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What to do: class, size and mode.
    pub code: u16,
    /// How many instructions to skip if true.
    pub jump_true: u8,
    /// How many instructions to skip if false.
    pub jump_false: u8,
    /// The operand.
    pub value: u32,
}

/// Let the whole datagram through.
pub(crate) const ACCEPT: Instruction = Instruction { code: RETURN, jump_true: 0, jump_false: 0, value: u32::MAX };

/// Let nothing of the datagram through.
pub(crate) const DROP: Instruction = Instruction { code: RETURN, jump_true: 0, jump_false: 0, value: 0 };

/// Let a packet socket have only what leaves: `PACKET_OUTGOING` of `linux/if_packet.h`, asked for at `SKF_AD_OFF` and
/// `SKF_AD_PKTTYPE`.
#[cfg(feature = "lab")]
pub(crate) const SENT: [Instruction; 4] = [
    Instruction { code: LOAD_BYTE, jump_true: 0, jump_false: 0, value: (-0x1000_i32 + 4).cast_unsigned() },
    Instruction { code: JUMP_EQUAL, jump_true: 1, jump_false: 0, value: 4 },
    DROP,
    ACCEPT,
];

/// `SKF_NET_OFF`: from here on an offset counts from the network header.
pub(crate) const IPV6_HEADER: u32 = (-0x0010_0000_i32).cast_unsigned();

// `linux/bpf_common.h`: class | size or operation | mode or source.
const LOAD_IMMEDIATE: u16 = 0x00;
const LOAD_X_IMMEDIATE: u16 = 0x01;
const STORE: u16 = 0x02;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;
const TO_X: u16 = 0x07;
pub(crate) const JUMP_EQUAL: u16 = 0x15;
const SUBTRACT_X: u16 = 0x1c;
pub(crate) const LOAD_WORD: u16 = 0x20;
pub(crate) const LOAD_BYTE: u16 = 0x30;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const LOAD_BYTE_AT_X: u16 = 0x50;
pub(crate) const AND: u16 = 0x54;
const LOAD_MEMORY: u16 = 0x60;
const SHIFT_LEFT_BY_X: u16 = 0x6c;
const SHIFT_RIGHT: u16 = 0x74;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_IPV4_HEADER_LENGTH: u16 = 0xb1;

/// A program that is being written.
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u16, value: u32) {
        self.jump(code, value, 0, 0);
    }

    fn jump(&mut self, code: u16, value: u32, jump_true: u8, jump_false: u8) {
        self.0.push(Instruction { code, jump_true, jump_false, value });
    }

    /// Drop the datagram unless the comparison holds.
    fn require(&mut self, comparison: u16, value: u32) {
        self.jump(comparison, value, 1, 0);
        self.0.push(DROP);
    }

    fn load_byte(&mut self, offset: u32) {
        self.push(LOAD_BYTE, offset);
    }

    fn load_word(&mut self, offset: u32) {
        self.push(LOAD_WORD, offset);
    }
}
