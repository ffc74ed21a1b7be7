//! keepalived's `PING_CHECK`: an ICMP echo request and its reply (RFC 792, RFC 4443 §4).

use super::probe::{Exchange, Progress};

/// The conversation of a ping check, over an ICMP socket: datagrams begin with the ICMP header.
///
/// The kernel replaces the identifier on sockets of its own kind for pings, so a reply is known by the random octets that
/// it carries back.
#[derive(Clone, Copy, Debug)]
pub struct PingExchange {
    family: Family,
    identifier: u16,
    random: [u8; 16],
}

/// Which ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

impl PingExchange {
    /// For one attempt, over ICMPv6 if `v6`.
    pub fn new(v6: bool, identifier: u16, random: [u8; 16]) -> Self {
        Self { family: if v6 { Family::V6 } else { Family::V4 }, identifier, random }
    }
}

impl Exchange for PingExchange {
    /// The request. Its ICMPv6 checksum, which covers addresses that only the kernel knows, is left to the kernel
    /// (RFC 3542 §3.1).
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress {
        let mut request = vec![self.family.request(), 0, 0, 0];
        request.extend(self.identifier.to_be_bytes());
        request.extend(SEQUENCE.to_be_bytes());
        request.extend(self.random);
        if self.family == Family::V4 {
            let sum = checksum(&request).to_be_bytes();
            for (place, octet) in request.iter_mut().skip(CHECKSUM_AT).zip(sum) {
                *place = octet;
            }
        }
        output.append(&mut request);
        Progress::Pending
    }

    /// Everything that is not the reply to this request is passed over: a raw socket sees all that the host gets.
    fn received(&mut self, input: &[u8], _: &mut Vec<u8>) -> Progress {
        let [kind, code, _, _, _, _, sequence_high, sequence_low, payload @ ..] = input else {
            return Progress::Pending;
        };
        let is_reply = *kind == self.family.reply()
            && *code == 0
            && [*sequence_high, *sequence_low] == SEQUENCE.to_be_bytes()
            && payload == self.random;
        let intact = self.family == Family::V6 || checksum(input) == 0;
        if is_reply && intact { Progress::PASSED } else { Progress::Pending }
    }

    fn ended(&mut self) -> Progress {
        Progress::Pending
    }
}

const SEQUENCE: u16 = 1;
const CHECKSUM_AT: usize = 2;

/// The Internet checksum (RFC 1071); 0 over a message that carries a right one.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(u16::from_be_bytes([*high, 0])),
        _ => 0,
    });
    // A message is at most 64 KiB, so the sum of its words fits.
    let sum: u32 = words.fold(0, u32::wrapping_add);
    let folded = (sum >> 16) + (sum & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

/// An IPv4 packet's content: what a raw socket gives has the IP header before it (RFC 791 §3.1).
pub(crate) fn without_ip_header(packet: &[u8]) -> &[u8] {
    let words = packet.first().map_or(0, |first| usize::from(first & 0x0f));
    packet.get(words * 4..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // The example of RFC 1071 §3: its sum is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
    }

    #[test]
    fn options_in_the_ip_header_are_skipped_too() {
        let mut packet = vec![0x46; 24];
        packet.push(9);
        assert_eq!(without_ip_header(&packet), [9]);
        assert!(without_ip_header(&[0x4f, 0]).is_empty());
        assert!(without_ip_header(&[]).is_empty());
    }
}
