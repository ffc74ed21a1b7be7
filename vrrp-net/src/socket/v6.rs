//! What is particular to VRRP over IPv6: the socket gives and takes payloads, and the header's fields beside them.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use socket2::Socket;
use vrrp_core::wire::TTL;
use vrrp_core::{Family, IfIndex};

use super::{Failure, NETWORK_CONTROL, first_failure};
use crate::sys;

/// The group that IPv6 advertisements go to.
const GROUP: Ipv6Addr = match Family::V6.group() {
    IpAddr::V6(group) => group,
    IpAddr::V4(_) => panic!("the IPv6 group is an IPv6 address"),
};

pub(super) fn set_options(socket: &Socket) -> Result<(), Failure> {
    // With a virtual MAC the source is the parent interface's address. Without this, the kernel refuses that one.
    let _ = socket.set_freebind_v6(true);
    first_failure([
        ("the kernel's IP header", socket.set_header_included_v6(false)),
        ("no loopback of our own", socket.set_multicast_loop_v6(false)),
        ("hop limit 255 to groups", socket.set_multicast_hops_v6(u32::from(TTL))),
        ("hop limit 255 to peers", socket.set_unicast_hops_v6(u32::from(TTL))),
        ("traffic class of network control", socket.set_tclass_v6(u32::from(NETWORK_CONTROL))),
        ("report hop limits", socket.set_recv_hoplimit_v6(true)),
        ("report destinations", sys::report_ipv6_destinations(socket.as_fd())),
        // The checksum is VRRP's own, and a wrong one must reach the protocol to be counted.
        ("no checksum by the kernel", sys::leave_ipv6_checksum_alone(socket.as_fd())),
    ])
}

pub(super) fn join(socket: &Socket, interface: IfIndex) -> io::Result<()> {
    socket.join_multicast_v6(&GROUP, interface.get())
}

pub(super) fn leave(socket: &Socket, interface: IfIndex) -> io::Result<()> {
    socket.leave_multicast_v6(&GROUP, interface.get())
}
