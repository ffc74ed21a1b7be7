//! What is particular to VRRP over IPv6: the socket gives and takes payloads, and the header's fields beside them.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;

use socket2::Socket;
use vrrp_core::IfIndex;
use vrrp_core::wire::TTL;

use super::{Failure, NETWORK_CONTROL, first_failure};
use crate::sys;

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

pub(super) fn join(socket: &Socket, group: Ipv6Addr, interface: IfIndex) -> io::Result<()> {
    socket.join_multicast_v6(&group, interface.get())
}

pub(super) fn leave(socket: &Socket, group: Ipv6Addr, interface: IfIndex) -> io::Result<()> {
    socket.leave_multicast_v6(&group, interface.get())
}
