//! What a client on the link sees: who answers, and which MAC address its own cache has.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use anyhow::Context;
use socket2::{SockAddr, Socket};
use vrrp_net::lab::Host;

/// The numbers of `socket(2)`.
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_RAW: i32 = 3;
const IPPROTO_ICMP: i32 = 1;
const IPPROTO_ICMPV6: i32 = 58;

/// Of the echo requests: nobody else in the client's namespace sends any.
const IDENTIFIER: [u8; 2] = [0xc4, 0xa0];

/// Sends echo requests the way every program does: through the kernel and its neighbor cache.
pub(crate) struct Client {
    host: Host,
    v4: Socket,
    v6: Socket,
    scope: u32,
    sequence: u16,
}

impl Client {
    /// Of a host with an interface `eth0`.
    pub(crate) fn new(host: Host) -> anyhow::Result<Self> {
        let v4 = Socket::from(host.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)?);
        let v6 = Socket::from(host.socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)?);
        for socket in [&v4, &v6] {
            socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        }
        let scope = host.link("eth0")?.index.get();
        Ok(Self { host, v4, v6, scope, sequence: 0 })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The MAC address at which the client reached an address within `limit`; `None` if nobody answered.
    pub(crate) fn ask(&mut self, address: IpAddr, limit: Duration) -> anyhow::Result<Option<[u8; 6]>> {
        self.sequence = self.sequence.wrapping_add(1);
        let (mut socket, request, reply) = if address.is_ipv4() { (&self.v4, 8, 0) } else { (&self.v6, 128, 129) };
        let to: SockAddr = match address {
            IpAddr::V4(_) => SocketAddr::new(address, 0).into(),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, self.scope).into(),
        };
        // It fails where nobody answered for the address before.
        let _ = socket.send_to(&echo(request, self.sequence), &to);
        let (began, mut buffer) = (Instant::now(), [0; 256]);
        while began.elapsed() < limit {
            let Ok(length) = socket.read(&mut buffer) else { continue };
            let read = buffer.get(..length).unwrap_or_default();
            // Over IPv4 with the IP header.
            let header = if address.is_ipv4() { usize::from(read.first().copied().unwrap_or(0) & 0x0f) * 4 } else { 0 };
            let message = read.get(header..).unwrap_or_default();
            let expected = echo(reply, self.sequence);
            if message.first() == Some(&reply) && message.get(4..8) == expected.get(4..8) {
                return self.host.neighbor(address).context("read the client's neighbor cache");
            }
        }
        Ok(None)
    }
}

/// An echo message without data. Over IPv6 the kernel puts its own checksum in.
fn echo(kind: u8, sequence: u16) -> [u8; 8] {
    let [high, low] = sequence.to_be_bytes();
    let [first, second] = IDENTIFIER;
    let sum = (u32::from(kind) << 8) + u32::from(u16::from_be_bytes(IDENTIFIER)) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [check_high, check_low] = (!u16::try_from(folded).unwrap_or_default()).to_be_bytes();
    [kind, 0, check_high, check_low, first, second, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_sums_to_all_ones() {
        for sequence in [0, 1, 0x3b5f, 0x3b60, u16::MAX] {
            let sum: u32 =
                echo(8, sequence).chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{sequence}");
        }
    }
}
