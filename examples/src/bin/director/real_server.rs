//! What a real server of direct routing or a tunnel needs: the virtual address, held without a word about it on the link.

use std::net::IpAddr;

use anyhow::Context;
use vrrp_net::netlink::{AddressChange, AddressRequest, Netlink};
use vrrp_net::vrrp_core::VirtualAddr;

/// Name of the interface that holds the address: it becomes a part of a path below `/proc/sys`.
#[derive(Clone, Debug)]
pub(crate) struct Interface(String);

impl std::str::FromStr for Interface {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.len() > 15 || name.contains(['/', ' ']) || name.starts_with('.') {
            return Err(format!("{name:?} is no interface: 1 to 15 octets without / and space"));
        }
        Ok(Self(name.to_owned()))
    }
}

/// Gives this host the addresses on `interface`, so that it takes packets for them but leaves ARP for them to the director.
pub(crate) fn prepare(Interface(interface): &Interface, addresses: &[IpAddr]) -> anyhow::Result<()> {
    // ARP is answered for addresses of the interface that the question came in by, and asked with such a one. The greater
    // one of the interface's setting and of `all` counts.
    set("all/arp_ignore", "1")?;
    set("all/arp_announce", "2")?;
    if interface != "lo" {
        // What comes out of a tunnel is not answered through it, which looks forged to this filter; here both must be 0.
        set("all/rp_filter", "0")?;
        set(&format!("{interface}/rp_filter"), "0")?;
    }
    let mut netlink = Netlink::open()?;
    let link = netlink.link_by_name(interface)?;
    netlink.set_up(link.index, true)?;
    for &address in addresses {
        // Alone: no other address of its network is here.
        let host = VirtualAddr::new(address, if address.is_ipv4() { 32 } else { 128 })?;
        let request = AddressRequest::new(link.index, host);
        netlink.change_address(AddressChange::Set(request)).with_context(|| format!("{address} on {interface}"))?;
        tracing::info!("{address} is on {interface}; ARP for it is left to the director");
    }
    Ok(())
}

fn set(setting: &str, value: &str) -> anyhow::Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{setting}");
    std::fs::write(&path, value).with_context(|| format!("cannot set {path} to {value}: run as root"))?;
    tracing::info!("net.ipv4.conf.{} = {value}", setting.replace('/', "."));
    Ok(())
}
