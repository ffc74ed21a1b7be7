//! `global_defs`: what holds for all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::announcements::{Announcements, MOST_INTERVAL};
use super::value::{Name, Script, Seconds};
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;
use crate::keepalived::keyword::{Keyword, read, unsupported};

/// What holds for all.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Global {
    /// What this host is called in mails. Default: its name.
    pub router_id: Option<String>,
    /// Mails.
    pub mail: Mail,
    /// The multicast group of IPv4. Default: 224.0.0.18.
    pub vrrp_mcast_group4: Option<Ipv4Addr>,
    /// The multicast group of IPv6. Default: ff02::12.
    pub vrrp_mcast_group6: Option<Ipv6Addr>,
    /// The interface of static addresses that name none. Default: eth0.
    pub default_interface: Option<Name>,
    /// The protocol's version. Default: 2, and 3 with IPv6.
    pub vrrp_version: Option<u8>,
    /// How the hosts on the link are told where addresses are.
    pub announcements: Announcements,
    /// One announcement at a time, none 5 s later.
    pub vrrp_min_garp: bool,
    /// After how many intervals without an advertisement a virtual router takes over. Default: 3.
    pub vrrp_down_timer_adverts: Option<u8>,
    /// A MASTER does not answer a lower priority.
    pub vrrp_lower_prio_no_advert: bool,
    /// A MASTER answers a higher priority before it leaves.
    pub vrrp_higher_prio_send_advert: bool,
    /// With unicast, only peers are heard.
    pub vrrp_check_unicast_src: bool,
    /// Not each advertisement's addresses are compared.
    pub vrrp_skip_check_adv_addr: bool,
    /// By the letter of the RFC.
    pub vrrp_strict: bool,
    /// Changes of priority go to the FIFOs.
    pub vrrp_notify_priority_changes: bool,
    /// How long virtual routers wait after the start. Default: 0.
    pub vrrp_startup_delay: Seconds,
    /// Advertisements of unknown virtual routers are logged.
    pub log_unknown_vrids: bool,
    /// What names of virtual MAC interfaces begin with. Default: vrrp.
    pub vmac_prefix: Option<String>,
    /// Interfaces may come and go.
    pub dynamic_interfaces: bool,
    /// Whom scripts run as: a user, and a group.
    pub script_user: Option<(String, Option<String>)>,
    /// A script that others than root can change does not run as root.
    pub enable_script_security: bool,
    /// Runs before all else.
    pub startup_script: Option<Script>,
    /// How long it may. Default: 10 s.
    pub startup_script_timeout: Option<Seconds>,
    /// Runs after all else.
    pub shutdown_script: Option<Script>,
    /// How long it may. Default: 10 s.
    pub shutdown_script_timeout: Option<Seconds>,
    /// Where all notices go: a FIFO.
    pub notify_fifo: Fifo,
    /// Where those of virtual routers go.
    pub vrrp_notify_fifo: Fifo,
    /// Where those of virtual servers go.
    pub lvs_notify_fifo: Fifo,
    /// States go to the FIFOs after each reading of the configuration.
    pub fifo_write_vrrp_states_on_reload: bool,
    /// Synchronisation daemons of IPVS.
    pub lvs_sync_daemon: Option<SyncDaemon>,
    /// Time-outs of IPVS.
    pub lvs_timeouts: Option<Timeouts>,
    /// The table of IPVS is emptied at the start.
    pub lvs_flush: bool,
    /// It is emptied at the end.
    pub lvs_flush_on_stop: bool,
    /// Each failed attempt of a check is logged.
    pub checker_log_all_failures: bool,
    /// Real servers tell that they start.
    pub rs_init_notifies: bool,
    /// A configuration is checked before it is read anew.
    pub reload_check_config: bool,
}

/// Mails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// Whom they go to.
    pub notification_email: Vec<String>,
    /// Whom they come from. Default: keepalived@ this host.
    pub notification_email_from: Option<String>,
    /// The server: a name or an address, and a port (default: 25).
    pub smtp_server: Option<(Name, u16)>,
    /// What this host calls itself. Default: its name.
    pub smtp_helo_name: Option<String>,
    /// How long a connection may take. Default: 30 s.
    pub smtp_connect_timeout: Seconds,
    /// Whether all changes send one.
    pub smtp_alert: Option<bool>,
    /// Whether those of virtual routers do.
    pub smtp_alert_vrrp: Option<bool>,
    /// Whether those of real servers do.
    pub smtp_alert_checker: Option<bool>,
    /// FAULT does not.
    pub no_email_faults: bool,
    /// A check that changes does not; a real server that comes or goes does.
    pub no_checker_emails: bool,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            notification_email: Vec::new(),
            notification_email_from: None,
            smtp_server: None,
            smtp_helo_name: None,
            smtp_connect_timeout: Seconds::new(30),
            smtp_alert: None,
            smtp_alert_vrrp: None,
            smtp_alert_checker: None,
            no_email_faults: false,
            no_checker_emails: false,
        }
    }
}

/// A FIFO for notices, and a script that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Fifo {
    /// The FIFO, with its owner and group.
    pub path: Option<(String, Option<String>, Option<String>)>,
    /// What reads it.
    pub script: Option<Script>,
}

/// Synchronisation daemons of IPVS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncDaemon {
    /// The interface that they use.
    pub interface: Name,
    /// The virtual router that says which of the two runs; `None`: both do.
    pub instance: Option<Name>,
    /// The same on all directors; `None`: the virtual router's number.
    pub id: Option<u8>,
    /// The longest packet.
    pub maxlen: Option<u16>,
    /// The port. Default: 8848.
    pub port: Option<u16>,
    /// The TTL.
    pub ttl: Option<u8>,
    /// The group. Default: 224.0.0.81.
    pub group: Option<IpAddr>,
}

/// Time-outs of IPVS, in seconds; `None` leaves what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Timeouts {
    /// Of TCP.
    pub tcp: Option<u32>,
    /// Of TCP after a FIN.
    pub tcpfin: Option<u32>,
    /// Of UDP.
    pub udp: Option<u32>,
}

const NO_CHILDREN: &str = "all runs in one process, which its service file sets up";
const NO_BUFFERS: &str = "what is lost by a full buffer is read anew";
const NO_FIREWALL: &str = "no firewall is used";
const NO_SNMP: &str = "the status socket and the metrics say what SNMP and DBus would";

/// Longest delay, in seconds, of what keepalived keeps in 32 bits of microseconds.
const LONGEST: u64 = 4294;

macro_rules! flag {
    ($name:literal, $($field:ident).+) => {
        read(&[$name], |global: &mut Global, entry| {
            global.$($field).+ = entry.boolean()?;
            Ok(())
        })
    };
}

macro_rules! seconds {
    ($name:literal, $most:expr, $($field:ident).+) => {
        read(&[$name], |global: &mut Global, entry| {
            global.$($field).+ = Some(entry.seconds(0..=$most)?);
            Ok(())
        })
    };
}

macro_rules! number {
    ($name:literal, $range:expr, $($field:ident).+) => {
        read(&[$name], |global: &mut Global, entry| {
            global.$($field).+ = Some(entry.number($range)?);
            Ok(())
        })
    };
}

macro_rules! text {
    ($name:literal, $what:literal, $($field:ident).+) => {
        read(&[$name], |global: &mut Global, entry| {
            global.$($field).+ = Some(entry.text($what)?);
            Ok(())
        })
    };
}

pub(super) const GLOBAL: &[Keyword<Global>] = &[
    text!("router_id", "a name", router_id),
    read(&["notification_email"], |global, entry| {
        global.mail.notification_email.extend(entry.list(|line| line.text("a mail address"))?);
        Ok(())
    }),
    text!("notification_email_from", "a mail address", mail.notification_email_from),
    read(&["smtp_server"], |global, entry| {
        let server = entry.name("a name or an address")?;
        let port = if entry.is_over() { 25 } else { entry.port()? };
        global.mail.smtp_server = Some((server, port));
        Ok(())
    }),
    text!("smtp_helo_name", "a name", mail.smtp_helo_name),
    read(&["smtp_connect_timeout"], |global, entry| {
        global.mail.smtp_connect_timeout = entry.seconds(1..=LONGEST)?;
        Ok(())
    }),
    read(&["smtp_alert"], |global, entry| {
        global.mail.smtp_alert = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["smtp_alert_vrrp"], |global, entry| {
        global.mail.smtp_alert_vrrp = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["smtp_alert_checker"], |global, entry| {
        global.mail.smtp_alert_checker = Some(entry.boolean()?);
        Ok(())
    }),
    flag!("checker_log_all_failures", checker_log_all_failures),
    flag!("no_email_faults", mail.no_email_faults),
    flag!("no_checker_emails", mail.no_checker_emails),
    read(&["vrrp_mcast_group4"], |global, entry| {
        let group: Ipv4Addr = entry.parse("an IPv4 address")?;
        if !group.is_multicast() {
            return Err(entry.wrong(format!("{group} is no multicast address: 224.0.0.0 to 239.255.255.255")));
        }
        global.vrrp_mcast_group4 = Some(group);
        Ok(())
    }),
    read(&["vrrp_mcast_group6"], |global, entry| {
        let group: Ipv6Addr = entry.parse("an IPv6 address")?;
        if !group.is_multicast() {
            return Err(entry.wrong(format!("{group} is no multicast address: they begin with ff")));
        }
        global.vrrp_mcast_group6 = Some(group);
        Ok(())
    }),
    read(&["default_interface"], |global, entry| {
        global.default_interface = Some(entry.interface()?);
        Ok(())
    }),
    read(&["lvs_sync_daemon"], |global, entry| {
        global.lvs_sync_daemon = Some(sync_daemon(entry)?);
        Ok(())
    }),
    read(&["lvs_timeouts"], |global, entry| {
        global.lvs_timeouts = Some(timeouts(entry)?);
        Ok(())
    }),
    flag!("lvs_flush", lvs_flush),
    read(&["lvs_flush_on_stop", "lvs_flush_onstop"], |global, entry| {
        global.lvs_flush_on_stop = true;
        if !entry.optional_word("VS") {
            entry.unsupported(
                "what is here goes at a stop, what other programs have in the table of IPVS stays: use lvs_flush",
            );
        }
        Ok(())
    }),
    seconds!("vrrp_garp_master_delay", LONGEST, announcements.master_delay),
    number!("vrrp_garp_master_repeat", 0..=255, announcements.master_repeat),
    seconds!("vrrp_garp_lower_prio_delay", LONGEST, announcements.lower_prio_delay),
    number!("vrrp_garp_lower_prio_repeat", 0..=255, announcements.lower_prio_repeat),
    seconds!("vrrp_garp_master_refresh", MOST_INTERVAL, announcements.master_refresh),
    number!("vrrp_garp_master_refresh_repeat", 0..=255, announcements.master_refresh_repeat),
    seconds!("vrrp_garp_interval", LONGEST, announcements.garp_interval),
    seconds!("vrrp_gna_interval", LONGEST, announcements.gna_interval),
    flag!("vrrp_min_garp", vrrp_min_garp),
    unsupported(
        &["vrrp_garp_extra_if", "vrrp_vmac_garp_intvl"],
        "use vrrp_garp_master_refresh: it is sent on every interface",
    ),
    number!("vrrp_down_timer_adverts", 1..=100, vrrp_down_timer_adverts),
    flag!("vrrp_lower_prio_no_advert", vrrp_lower_prio_no_advert),
    flag!("vrrp_higher_prio_send_advert", vrrp_higher_prio_send_advert),
    number!("vrrp_version", 2..=3, vrrp_version),
    flag!("vrrp_check_unicast_src", vrrp_check_unicast_src),
    flag!("vrrp_skip_check_adv_addr", vrrp_skip_check_adv_addr),
    flag!("vrrp_strict", vrrp_strict),
    flag!("vrrp_notify_priority_changes", vrrp_notify_priority_changes),
    read(&["vrrp_startup_delay"], |global, entry| {
        global.vrrp_startup_delay = entry.seconds(0..=LONGEST)?;
        Ok(())
    }),
    flag!("log_unknown_vrids", log_unknown_vrids),
    text!("vmac_prefix", "the beginning of a name", vmac_prefix),
    read(&["dynamic_interfaces"], |global, entry| {
        entry.optional_word("allow_if_changes");
        global.dynamic_interfaces = true;
        Ok(())
    }),
    read(&["script_user"], |global, entry| {
        let user = entry.text("the name of a user")?;
        global.script_user = Some((user, entry.optional().map(|word| word.text.clone())));
        Ok(())
    }),
    flag!("enable_script_security", enable_script_security),
    read(&["startup_script"], |global, entry| {
        global.startup_script = Some(entry.script()?);
        Ok(())
    }),
    read(&["startup_script_timeout"], |global, entry| {
        global.startup_script_timeout = Some(entry.seconds(1..=1000)?);
        Ok(())
    }),
    read(&["shutdown_script"], |global, entry| {
        global.shutdown_script = Some(entry.script()?);
        Ok(())
    }),
    read(&["shutdown_script_timeout"], |global, entry| {
        global.shutdown_script_timeout = Some(entry.seconds(1..=1000)?);
        Ok(())
    }),
    read(&["notify_fifo"], |global, entry| global.notify_fifo.read(entry)),
    read(&["notify_fifo_script"], |global, entry| global.notify_fifo.read_script(entry)),
    read(&["vrrp_notify_fifo"], |global, entry| global.vrrp_notify_fifo.read(entry)),
    read(&["vrrp_notify_fifo_script"], |global, entry| global.vrrp_notify_fifo.read_script(entry)),
    read(&["lvs_notify_fifo"], |global, entry| global.lvs_notify_fifo.read(entry)),
    read(&["lvs_notify_fifo_script"], |global, entry| global.lvs_notify_fifo.read_script(entry)),
    flag!("fifo_write_vrrp_states_on_reload", fifo_write_vrrp_states_on_reload),
    flag!("rs_init_notifies", rs_init_notifies),
    read(&["reload_check_config"], |global, entry| {
        entry.optional();
        global.reload_check_config = true;
        Ok(())
    }),
    // They have had their effect when the files were read.
    read(&["include_check", "random_seed"], |_, entry| {
        entry.rest();
        Ok(())
    }),
    unsupported(
        &[
            "process_names",
            "process_name",
            "vrrp_process_name",
            "checker_process_name",
            "lvs_process_name",
            "bfd_process_name",
            "max_auto_priority",
            "min_auto_priority_delay",
            "vrrp_priority",
            "checker_priority",
            "bfd_priority",
            "vrrp_no_swap",
            "checker_no_swap",
            "bfd_no_swap",
            "vrrp_cpu_affinity",
            "checker_cpu_affinity",
            "bfd_cpu_affinity",
            "vrrp_rt_priority",
            "checker_rt_priority",
            "bfd_rt_priority",
            "vrrp_rlimit_rttime",
            "checker_rlimit_rttime",
            "bfd_rlimit_rttime",
            "vrrp_rlimit_rtime",
            "checker_rlimit_rtime",
            "bfd_rlimit_rtime",
            "umask",
        ],
        NO_CHILDREN,
    ),
    unsupported(
        &[
            "vrrp_netlink_cmd_rcv_bufs",
            "vrrp_netlink_cmd_rcv_bufs_force",
            "vrrp_netlink_monitor_rcv_bufs",
            "vrrp_netlink_monitor_rcv_bufs_force",
            "lvs_netlink_cmd_rcv_bufs",
            "lvs_netlink_cmd_rcv_bufs_force",
            "lvs_netlink_monitor_rcv_bufs",
            "lvs_netlink_monitor_rcv_bufs_force",
            "process_monitor_rcv_bufs",
            "process_monitor_rcv_bufs_force",
            "vrrp_rx_bufs_policy",
            "vrrp_rx_bufs_multiplier",
        ],
        NO_BUFFERS,
    ),
    unsupported(
        &[
            "nftables",
            "nftables_priority",
            "nftables_counters",
            "nftables_ifindex",
            "nftables_ipvs",
            "nftables_ipvs_priority",
            "nftables_ipvs_start_fwmark",
            "vrrp_iptables",
            "vrrp_ipsets",
            "disable_local_igmp",
        ],
        NO_FIREWALL,
    ),
    unsupported(
        &[
            "snmp_socket",
            "enable_snmp_keepalived",
            "enable_snmp_vrrp",
            "enable_snmp_checker",
            "enable_snmp_rfc",
            "enable_snmp_rfcv2",
            "enable_snmp_rfcv3",
            "enable_traps",
            "enable_dbus",
            "dbus_service_name",
        ],
        NO_SNMP,
    ),
    unsupported(&["tmp_config_directory", "config_save_dir", "data_use_instance"], "--dump says what was understood"),
    unsupported(&["vmac_addr_prefix"], "vmac_prefix is for all of them"),
    unsupported(&["reload_time_file", "reload_repeat", "reload_file"], "send SIGHUP when it is time"),
];

impl Fifo {
    fn read(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        let path = entry.text("the name of a FIFO")?;
        let mut optional = || entry.optional().map(|word| word.text.clone());
        let (owner, group) = (optional(), optional());
        self.path = Some((path, owner, group));
        Ok(())
    }

    fn read_script(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        self.script = Some(entry.script()?);
        Ok(())
    }
}

fn sync_daemon(entry: &mut Entry<'_>) -> Result<SyncDaemon, Diagnostic> {
    #[derive(Clone, Copy)]
    enum Word {
        Instance,
        Id,
        Length,
        Port,
        Ttl,
        Group,
    }
    const WORDS: &[(&str, Word)] = &[
        ("inst", Word::Instance),
        ("id", Word::Id),
        ("maxlen", Word::Length),
        ("port", Word::Port),
        ("ttl", Word::Ttl),
        ("group", Word::Group),
    ];
    let interface = entry.interface()?;
    let mut daemon =
        SyncDaemon { interface, instance: None, id: None, maxlen: None, port: None, ttl: None, group: None };
    // The virtual router may come without `inst` before it.
    if entry.peek().is_some_and(|next| !WORDS.iter().any(|(name, _)| *name == next.text)) {
        daemon.instance = Some(entry.name("the name of a vrrp_instance")?);
    }
    while !entry.is_over() {
        match entry.one_of(WORDS)? {
            Word::Instance => daemon.instance = Some(entry.name("the name of a vrrp_instance")?),
            Word::Id => daemon.id = Some(entry.number(0..=255)?),
            Word::Length => daemon.maxlen = Some(entry.number(1..=65_507)?),
            Word::Port => daemon.port = Some(entry.port()?),
            Word::Ttl => daemon.ttl = Some(entry.number(1..=255)?),
            Word::Group => {
                let group = entry.address()?;
                if !group.is_multicast() {
                    return Err(entry.wrong(format!("{group} is no multicast address")));
                }
                daemon.group = Some(group);
            }
        }
    }
    Ok(daemon)
}

fn timeouts(entry: &mut Entry<'_>) -> Result<Timeouts, Diagnostic> {
    let mut timeouts = Timeouts::default();
    loop {
        let which = entry.one_of(&[("tcp", 0), ("tcpfin", 1), ("udp", 2)])?;
        let seconds = Some(entry.number(1..=2_147_483_647 / 1000)?);
        match which {
            0 => timeouts.tcp = seconds,
            1 => timeouts.tcpfin = seconds,
            _ => timeouts.udp = seconds,
        }
        if entry.is_over() {
            return Ok(timeouts);
        }
    }
}
