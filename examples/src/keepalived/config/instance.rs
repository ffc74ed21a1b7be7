//! `vrrp_instance`: a virtual router.

use std::net::IpAddr;

use serde::Serialize;
use vrrp_net::vrrp_core::{Interval, Priority, Vrid};

use super::address::{Address, address};
use super::announcements::Announcements;
use super::authentication::{AUTHENTICATION, HMAC, Hmac, Legacy};
use super::notify::Notify;
use super::route::{Route, route};
use super::rule::{Rule, rule};
use super::track::Tracking;
use super::value::{Name, Seconds};
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;
use crate::keepalived::keyword::{Keyword, read, unsupported, unsupported_block};

/// A virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its name.
    pub name: Name,
    /// The role it begins in. Default: BACKUP.
    pub state: InitialState,
    /// The interface it runs on; may be missing with unicast.
    pub interface: Option<Name>,
    /// Its number; missing is an error.
    pub virtual_router_id: Option<Vrid>,
    /// Its priority. Default: 100.
    pub priority: Priority,
    /// Its advertisement interval, in centiseconds. Default: 100.
    pub advert_int: Interval,
    /// The protocol's version; `None`: as `vrrp_version` says, and 3 with IPv6.
    pub version: Option<u8>,
    /// The password of VRRPv2.
    pub authentication: Option<Legacy>,
    /// Signatures.
    pub auth_hmac: Option<Hmac>,
    /// What moves, and is advertised.
    pub virtual_ipaddress: Vec<Address>,
    /// What moves and is not advertised.
    pub virtual_ipaddress_excluded: Vec<Address>,
    /// Routes that move.
    pub virtual_routes: Vec<Route>,
    /// Rules that move.
    pub virtual_rules: Vec<Rule>,
    /// What it watches.
    pub track: Tracking,
    /// It goes on though its own interface is down.
    pub dont_track_primary: bool,
    /// It is in FAULT without the address it sends from.
    pub track_src_ip: bool,
    /// The peers to advertise to; multicast if there are none.
    pub unicast_peer: Vec<UnicastPeer>,
    /// The address that it sends from: `unicast_src_ip` or `mcast_src_ip`.
    pub source: Option<IpAddr>,
    /// Another multicast group.
    pub mcast_dst_ip: Option<IpAddr>,
    /// The TTL of what it sends by unicast.
    pub unicast_ttl: Option<u8>,
    /// It hears its peers only; `None`: as `vrrp_check_unicast_src` says.
    pub check_unicast_src: Option<bool>,
    /// Unicast without peers is FAULT, not multicast.
    pub unicast_fault_no_peer: bool,
    /// The old checksum of VRRPv3: without the pseudo header.
    pub old_unicast_checksum: Option<OldChecksum>,
    /// A virtual MAC address.
    pub use_vmac: Option<Vmac>,
    /// One on the interface of each address that names one.
    pub use_vmac_addr: bool,
    /// Advertisements use the interface below it.
    pub vmac_xmit_base: bool,
    /// How the hosts on the link are told where the addresses are.
    pub announcements: Announcements,
    /// After how many intervals without an advertisement it takes over; `None`: as `vrrp_down_timer_adverts` says.
    pub down_timer_adverts: Option<u8>,
    /// As MASTER it does not answer a lower priority; `None`: as `global_defs` says.
    pub lower_prio_no_advert: Option<bool>,
    /// As MASTER it answers a higher priority before it leaves; `None`: as `global_defs` says.
    pub higher_prio_send_advert: Option<bool>,
    /// It leaves a MASTER of lower priority alone.
    pub nopreempt: bool,
    /// It leaves it alone for so long. Default: 0.
    pub preempt_delay: Seconds,
    /// Whether it takes packets for its addresses; `None`: unless `vrrp_strict` says otherwise.
    pub accept: Option<bool>,
    /// Not each advertisement's addresses are compared; `None`: as `vrrp_skip_check_adv_addr` says.
    pub skip_check_adv_addr: Option<bool>,
    /// By the letter of the RFC; `None`: as `vrrp_strict` says.
    pub strict_mode: Option<bool>,
    /// Other addresses of a prefix stay when the first of them goes.
    pub promote_secondaries: bool,
    /// Whom it tells.
    pub notify: Notify,
}

/// The role that a virtual router begins in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InitialState {
    /// MASTER: it claims the addresses as soon as it may.
    Master,
    /// BACKUP.
    #[default]
    Backup,
}

/// A peer that is advertised to by unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnicastPeer {
    /// Its address.
    pub address: IpAddr,
    /// The lowest TTL of what it sends.
    pub min_ttl: Option<u8>,
    /// The highest TTL of what it sends.
    pub max_ttl: Option<u8>,
}

/// Checksums of keepalived 1.3.6 and before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OldChecksum {
    /// They are sent.
    Always,
    /// They are not even accepted.
    Never,
}

/// A virtual MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Vmac {
    /// The name of its interface.
    pub interface: Option<Name>,
    /// Another address than the protocol's.
    pub mac_address: Option<String>,
}

impl Instance {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            state: InitialState::default(),
            interface: None,
            virtual_router_id: None,
            priority: Priority::DEFAULT,
            advert_int: Interval::DEFAULT,
            version: None,
            authentication: None,
            auth_hmac: None,
            virtual_ipaddress: Vec::new(),
            virtual_ipaddress_excluded: Vec::new(),
            virtual_routes: Vec::new(),
            virtual_rules: Vec::new(),
            track: Tracking::default(),
            dont_track_primary: false,
            track_src_ip: false,
            unicast_peer: Vec::new(),
            source: None,
            mcast_dst_ip: None,
            unicast_ttl: None,
            check_unicast_src: None,
            unicast_fault_no_peer: false,
            old_unicast_checksum: None,
            use_vmac: None,
            use_vmac_addr: false,
            vmac_xmit_base: false,
            announcements: Announcements::default(),
            down_timer_adverts: None,
            lower_prio_no_advert: None,
            higher_prio_send_advert: None,
            nopreempt: false,
            preempt_delay: Seconds::default(),
            accept: None,
            skip_check_adv_addr: None,
            strict_mode: None,
            promote_secondaries: false,
            notify: Notify::default(),
        }
    }
}

/// Longest delays, in seconds, of what keepalived keeps in 32 bits of microseconds.
const LONGEST: u64 = 4294;

/// Longest pause between two refreshments, in seconds.
const LONGEST_REFRESH: u64 = 86_400;

pub(super) const INSTANCE: &[Keyword<Instance>] = &[
    read(&["state"], |instance, entry| {
        instance.state = entry.one_of(&[("MASTER", InitialState::Master), ("BACKUP", InitialState::Backup)])?;
        Ok(())
    }),
    read(&["interface"], |instance, entry| {
        instance.interface = Some(entry.interface()?);
        Ok(())
    }),
    read(&["virtual_router_id"], |instance, entry| {
        instance.virtual_router_id = Some(entry.checked()?);
        Ok(())
    }),
    read(&["priority"], |instance, entry| {
        instance.priority = entry.checked()?;
        Ok(())
    }),
    read(&["advert_int"], |instance, entry| {
        let Seconds(interval) = entry.seconds(0..=255)?;
        instance.advert_int = Interval::from_duration(interval).map_err(|error| entry.wrong(error.to_string()))?;
        Ok(())
    }),
    read(&["version"], |instance, entry| {
        instance.version = Some(entry.number(2..=3)?);
        Ok(())
    }),
    read(&["authentication"], |instance, entry| {
        entry.block(&[AUTHENTICATION], "authentication", instance.authentication.get_or_insert_default())
    }),
    read(&["auth_hmac"], |instance, entry| {
        let span = entry.span();
        let hmac = instance.auth_hmac.get_or_insert_with(|| Hmac { span, ..Hmac::default() });
        entry.block(&[HMAC], "auth_hmac", hmac)
    }),
    read(&["virtual_ipaddress"], |instance, entry| {
        instance.virtual_ipaddress.extend(entry.list(address)?);
        Ok(())
    }),
    read(&["virtual_ipaddress_excluded"], |instance, entry| {
        instance.virtual_ipaddress_excluded.extend(entry.list(address)?);
        Ok(())
    }),
    read(&["virtual_routes"], |instance, entry| {
        instance.virtual_routes.extend(entry.list(route)?);
        Ok(())
    }),
    read(&["virtual_rules"], |instance, entry| {
        instance.virtual_rules.extend(entry.list(rule)?.into_iter().flatten());
        Ok(())
    }),
    read(&["track_interface"], |instance, entry| instance.track.read_interfaces(entry)),
    read(&["track_script"], |instance, entry| instance.track.read_scripts(entry)),
    read(&["track_file"], |instance, entry| instance.track.read_files(entry)),
    read(&["track_process"], |instance, entry| instance.track.read_processes(entry)),
    unsupported_block(&["track_bfd"], super::BFD, &[]),
    read(&["dont_track_primary"], |instance, _| {
        instance.dont_track_primary = true;
        Ok(())
    }),
    read(&["track_src_ip"], |instance, _| {
        instance.track_src_ip = true;
        Ok(())
    }),
    read(&["unicast_peer"], |instance, entry| {
        instance.unicast_peer.extend(entry.list(unicast_peer)?);
        Ok(())
    }),
    read(&["unicast_src_ip", "mcast_src_ip"], |instance, entry| {
        instance.source = Some(entry.address()?);
        Ok(())
    }),
    read(&["mcast_dst_ip"], |instance, entry| {
        let group = entry.address()?;
        if !group.is_multicast() {
            return Err(entry.wrong(format!("{group} is no multicast address")));
        }
        instance.mcast_dst_ip = Some(group);
        Ok(())
    }),
    read(&["unicast_ttl"], |instance, entry| {
        instance.unicast_ttl = Some(entry.number(0..=255)?);
        Ok(())
    }),
    read(&["check_unicast_src"], |instance, entry| {
        instance.check_unicast_src = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["unicast_fault_no_peer"], |instance, _| {
        instance.unicast_fault_no_peer = true;
        Ok(())
    }),
    read(&["old_unicast_checksum"], |instance, entry| {
        let never = !entry.is_over() && entry.one_of(&[("never", true)])?;
        instance.old_unicast_checksum = Some(if never { OldChecksum::Never } else { OldChecksum::Always });
        Ok(())
    }),
    read(&["use_vmac"], |instance, entry| {
        instance.use_vmac = Some(vmac(entry)?);
        Ok(())
    }),
    read(&["use_vmac_addr"], |instance, _| {
        instance.use_vmac_addr = true;
        Ok(())
    }),
    read(&["vmac_xmit_base"], |instance, _| {
        instance.vmac_xmit_base = true;
        Ok(())
    }),
    read(&["garp_master_delay"], |instance, entry| {
        instance.announcements.master_delay = Some(entry.seconds(0..=LONGEST)?);
        Ok(())
    }),
    read(&["garp_master_repeat"], |instance, entry| {
        instance.announcements.master_repeat = Some(entry.number(0..=255)?);
        Ok(())
    }),
    read(&["garp_lower_prio_delay"], |instance, entry| {
        instance.announcements.lower_prio_delay = Some(entry.seconds(0..=LONGEST)?);
        Ok(())
    }),
    read(&["garp_lower_prio_repeat"], |instance, entry| {
        instance.announcements.lower_prio_repeat = Some(entry.number(0..=255)?);
        Ok(())
    }),
    read(&["garp_master_refresh"], |instance, entry| {
        instance.announcements.master_refresh = Some(entry.seconds(0..=LONGEST_REFRESH)?);
        Ok(())
    }),
    read(&["garp_master_refresh_repeat"], |instance, entry| {
        instance.announcements.master_refresh_repeat = Some(entry.number(0..=255)?);
        Ok(())
    }),
    unsupported(&["garp_extra_if"], "use garp_master_refresh: it is sent on every interface"),
    read(&["down_timer_adverts"], |instance, entry| {
        instance.down_timer_adverts = Some(entry.number(1..=100)?);
        Ok(())
    }),
    read(&["lower_prio_no_advert"], |instance, entry| {
        instance.lower_prio_no_advert = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["higher_prio_send_advert"], |instance, entry| {
        instance.higher_prio_send_advert = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["nopreempt"], |instance, _| {
        instance.nopreempt = true;
        Ok(())
    }),
    read(&["preempt"], |instance, _| {
        instance.nopreempt = false;
        Ok(())
    }),
    read(&["preempt_delay"], |instance, entry| {
        instance.preempt_delay = entry.seconds(0..=1000)?;
        Ok(())
    }),
    read(&["accept"], |instance, _| {
        instance.accept = Some(true);
        Ok(())
    }),
    read(&["no_accept"], |instance, _| {
        instance.accept = Some(false);
        Ok(())
    }),
    read(&["skip_check_adv_addr"], |instance, entry| {
        instance.skip_check_adv_addr = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["strict_mode"], |instance, entry| {
        instance.strict_mode = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["promote_secondaries"], |instance, _| {
        instance.promote_secondaries = true;
        Ok(())
    }),
    read(&["notify_master"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_backup"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_fault"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_stop"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_deleted"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_master_rx_lower_pri"], |instance, entry| instance.notify.read(entry)),
    read(&["notify"], |instance, entry| instance.notify.read(entry)),
    read(&["notify_priority_changes"], |instance, entry| instance.notify.read(entry)),
    read(&["smtp_alert"], |instance, entry| instance.notify.read(entry)),
    unsupported(&["vrf"], "name the interface: it is in its VRF already"),
    unsupported(&["use_ipvlan"], "use use_vmac"),
    unsupported(&["native_ipv6"], "the virtual addresses say which family it is"),
    unsupported(&["debug"], "the log's level is an option of the command line"),
    unsupported(&["kernel_rx_buf_size"], "the receive buffer holds enough for the slowest moment"),
    unsupported(&["linkbeat_use_polling"], "the kernel tells of its links"),
    unsupported(&["lvs_sync_daemon_interface"], "use lvs_sync_daemon in global_defs"),
];

/// Says what must be there and is not. What is there and wrong has been complained about.
pub(super) fn check_presence(instance: &Instance, entry: &mut Entry<'_>) {
    let name = &instance.name;
    let mut missing = |keyword: &str, help: &str| {
        if !entry.block_has(keyword) {
            let message = format!("{}: {keyword} is missing", name.text);
            entry.push(Diagnostic::error(name.span, message).with_help(help));
        }
    };
    if instance.virtual_router_id.is_none() {
        missing("virtual_router_id", "give it the number that the other hosts have: 1 to 255");
    }
    if instance.interface.is_none() && instance.unicast_peer.is_empty() {
        missing("interface", "only unicast does without: give it an interface, or unicast_peer");
    }
}

fn unicast_peer(line: &mut Entry<'_>) -> Result<UnicastPeer, Diagnostic> {
    let mut peer = UnicastPeer { address: line.address()?, min_ttl: None, max_ttl: None };
    while !line.is_over() {
        let is_least = line.one_of(&[("min_ttl", true), ("max_ttl", false)])?;
        let ttl = Some(line.number(0..=255)?);
        *(if is_least { &mut peer.min_ttl } else { &mut peer.max_ttl }) = ttl;
    }
    if let (Some(least), Some(most)) = (peer.min_ttl, peer.max_ttl)
        && least > most
    {
        return Err(line.wrong(format!("max_ttl {most} is below min_ttl {least}")));
    }
    Ok(peer)
}

fn vmac(entry: &mut Entry<'_>) -> Result<Vmac, Diagnostic> {
    let mut vmac = Vmac::default();
    while let Some(word) = entry.peek() {
        if word.text.contains(':') {
            let octets: Vec<_> = word.text.split(':').collect();
            let is_octet = |text: &&str| text.len() <= 2 && u8::from_str_radix(text, 16).is_ok();
            entry.optional();
            if !(5..=6).contains(&octets.len()) || !octets.iter().all(is_octet) {
                return Err(entry.wrong(format!("{:?} is no MAC address: 5 or 6 octets", word.text)));
            }
            vmac.mac_address = Some(word.text.clone());
        } else if vmac.interface.is_none() {
            vmac.interface = Some(entry.interface()?);
        } else {
            break;
        }
    }
    Ok(vmac)
}
