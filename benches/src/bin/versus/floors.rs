//! What the kernel takes for the bare system calls: nobody who makes them can be below that.

use std::time::Duration;

use anyhow::Context;
use benches::net::Net;
use benches::node::Arguments;
use rustix::time::{ClockId, clock_gettime};
use socket2::{SockAddr, Socket};
use vrrp_core::{Family, VirtualAddr};
use vrrp_net::lab::Host;
use vrrp_net::netlink::{AddressChange, AddressRequest};

/// An advertisement of one address.
const ADVERT: [u8; 12] = [0x31, 1, 100, 1, 0, 10, 0, 0, 10, 64, 0, 1];
/// How many are sent.
const PACKETS: u32 = 20_000;
/// How many wait to be read.
const WAITING: u32 = 100;

/// CPU time of one `sendto` of an advertisement, in microseconds, on a cable that ends in nothing.
pub(crate) fn send() -> anyhow::Result<f64> {
    let net = Net::new(1, 1)?;
    net.cable(1)?.cut_silently()?;
    let socket = raw(net.host(1)?, 1)?;
    let group = group();
    let before = cpu_time()?;
    for _ in 0..PACKETS {
        socket.send_to(&ADVERT, &group)?;
    }
    Ok((cpu_time()? - before).as_secs_f64() * 1e6 / f64::from(PACKETS))
}

/// CPU time of one `recv` of an advertisement that is there, in microseconds.
pub(crate) fn receive() -> anyhow::Result<f64> {
    let net = Net::new(2, 1)?;
    let (sender, receiver) = (raw(net.host(1)?, 1)?, raw(net.host(2)?, 2)?);
    let (group, mut used) = (group(), Duration::ZERO);
    receiver.join_multicast_v4(&[224, 0, 0, 18].into(), &[10, 0, 0, 2].into())?;
    receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 100];
    for _ in 0..PACKETS / WAITING {
        for _ in 0..WAITING {
            sender.send_to(&ADVERT, &group)?;
        }
        let before = cpu_time()?;
        for _ in 0..WAITING {
            receiver.recv(&mut buffer).context("an advertisement is lost")?;
        }
        used += cpu_time()? - before;
    }
    Ok(used.as_secs_f64() * 1e6 / f64::from(PACKETS / WAITING * WAITING))
}

/// What the additions of the addresses take by themselves, in batches.
pub(crate) struct Additions {
    /// On the clock.
    pub(crate) elapsed: Duration,
    /// CPU time.
    pub(crate) cpu: Duration,
}

/// Adds the addresses, and does nothing else.
pub(crate) fn add(own: &Arguments) -> anyhow::Result<Additions> {
    let net = Net::new(1, 1)?;
    let cable = net.cable(1)?;
    let mut netlink = net.host(1)?.netlink()?;
    let change = |it: std::net::Ipv4Addr| {
        let address = VirtualAddr::host(it.into())?;
        Ok(AddressChange::Set(AddressRequest::new(cable.index(), address)))
    };
    let changes: Vec<_> =
        own.list().flat_map(|(_, _, addresses)| addresses).map(change).collect::<anyhow::Result<_>>()?;
    let (began, before) = (vrrp_net::now(), cpu_time()?);
    for batch in changes.chunks(200) {
        for result in netlink.change_addresses(batch)? {
            result?;
        }
    }
    Ok(Additions { elapsed: vrrp_net::now().since(began), cpu: cpu_time()? - before })
}

/// A raw socket of a host for VRRP over IPv4. The numbers are those of `socket(2)`.
fn raw(host: &Host, number: u8) -> anyhow::Result<Socket> {
    let socket = Socket::from(host.socket(2, 3, i32::from(vrrp_core::wire::PROTOCOL))?);
    socket.set_multicast_if_v4(&[10, 0, 0, number].into())?;
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

fn group() -> SockAddr {
    std::net::SocketAddr::from((Family::V4.group(), 0)).into()
}

/// What this thread has had.
pub(crate) fn cpu_time() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}
