//! What a keepalived.conf says, checked word by word: plain data, which `--dump` prints as JSON.

mod address;
mod announcements;
mod authentication;
mod balance;
mod checker;
mod global;
mod instance;
mod notify;
mod references;
mod route;
mod rule;
mod sync_group;
mod track;
mod value;
mod watched;

use serde::Serialize;

pub use self::address::{Address, Broadcast, Scope};
pub use self::announcements::{Announcements, GarpGroup};
pub use self::authentication::{AntiReplay, AuthType, Hmac, HmacKey, HmacMode, KeyNumber, Legacy};
pub use self::balance::{
    Frontend, Granularity, IpFamily, RealServer, SorryServer, Ssl, VirtualServer, VirtualServerGroup,
};
pub use self::checker::{Checker, Question, Timing};
pub use self::global::{Fifo, Global, Mail, SyncDaemon, Timeouts};
pub use self::instance::{InitialState, Instance, OldChecksum, UnicastPeer, Vmac};
pub use self::notify::Notify;
pub use self::route::{NextHop, Route, RouteKind, Table};
pub use self::rule::{Rule, RuleAction};
pub use self::sync_group::SyncGroup;
pub use self::track::{Tracked, Tracking};
pub use self::value::{Name, Script, Seconds, Secret, Weight};
pub use self::watched::{ParamMatch, TrackFile, TrackProcess, VrrpScript};
use super::diagnostic::Report;
use super::entry::Entry;
use super::keyword::{Keyword, read, read_all, unsupported, unsupported_block};
use super::tree::Node;

/// What a keepalived.conf says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Configuration {
    /// What holds for all.
    pub global_defs: Global,
    /// Addresses that are always here.
    pub static_ipaddress: Vec<Address>,
    /// Routes that are always here.
    pub static_routes: Vec<Route>,
    /// Rules that are always here.
    pub static_rules: Vec<Rule>,
    /// Who cares about what is always here.
    pub track_groups: Vec<TrackGroup>,
    /// How long an interface must be down, or up, for it to count.
    pub interface_up_down_delays: Vec<InterfaceDelay>,
    /// Scripts that can be watched.
    pub vrrp_scripts: Vec<VrrpScript>,
    /// Files that can be watched.
    pub track_files: Vec<TrackFile>,
    /// Processes that can be watched.
    pub vrrp_track_processes: Vec<TrackProcess>,
    /// Interfaces that share a limit of announcements.
    pub garp_groups: Vec<GarpGroup>,
    /// Virtual routers that move together.
    pub vrrp_sync_groups: Vec<SyncGroup>,
    /// Virtual routers.
    pub vrrp_instances: Vec<Instance>,
    /// Addresses that are balanced together.
    pub virtual_server_groups: Vec<VirtualServerGroup>,
    /// What is balanced.
    pub virtual_servers: Vec<VirtualServer>,
    /// What `SSL_GET` shows, and trusts.
    pub ssl: Option<Ssl>,
}

/// Virtual routers that care if a static address, route or rule vanishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackGroup {
    /// Its name.
    pub name: Name,
    /// The virtual routers.
    pub group: Vec<Name>,
}

/// How long an interface must be down, or up, for it to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceDelay {
    /// The interface.
    pub interface: Name,
    /// Down.
    pub down: Seconds,
    /// Up.
    pub up: Seconds,
}

impl Configuration {
    /// From the blocks of the files.
    pub(super) fn from_tree(nodes: &[Node], report: &mut Report) -> Self {
        let mut configuration = Self::default();
        read_all(nodes, &[TOP], "keepalived.conf", &mut configuration, report);
        configuration.inherit();
        configuration.check_references(report);
        configuration
    }

    /// Puts in what virtual routers take from `global_defs`.
    fn inherit(&mut self) {
        let global = &self.global_defs;
        let mut announcements = global.announcements.clone();
        if global.vrrp_min_garp {
            let once = Announcements {
                master_repeat: Some(1),
                master_delay: Some(Seconds::default()),
                ..Announcements::default()
            };
            announcements = announcements.or(&once);
        }
        for instance in &mut self.vrrp_instances {
            instance.announcements = instance.announcements.or(&announcements);
            instance.version = instance.version.or(global.vrrp_version);
            instance.down_timer_adverts = instance.down_timer_adverts.or(global.vrrp_down_timer_adverts);
            instance.strict_mode.get_or_insert(global.vrrp_strict);
            instance.lower_prio_no_advert.get_or_insert(global.vrrp_lower_prio_no_advert);
            instance.higher_prio_send_advert.get_or_insert(global.vrrp_higher_prio_send_advert);
            instance.skip_check_adv_addr.get_or_insert(global.vrrp_skip_check_adv_addr);
            let has_ttl = instance.unicast_peer.iter().any(|peer| peer.min_ttl.or(peer.max_ttl).is_some());
            instance.check_unicast_src.get_or_insert(global.vrrp_check_unicast_src || has_ttl);
            instance.notify.priority_changes.get_or_insert(global.vrrp_notify_priority_changes);
        }
    }
}

/// Why nothing of BFD is.
const BFD: &str = "there is no BFD here: use a short advert_int, or track_process of a BFD daemon";

fn place(entry: &Entry<'_>, name: &Name) -> String {
    format!("{} {}", entry.keyword(), name.text)
}

const TOP: &[Keyword<Configuration>] = &[
    read(&["global_defs"], |all, entry| entry.block(&[global::GLOBAL], "global_defs", &mut all.global_defs)),
    read(&["static_ipaddress"], |all, entry| {
        all.static_ipaddress.extend(entry.list(address::address)?);
        Ok(())
    }),
    read(&["static_routes"], |all, entry| {
        all.static_routes.extend(entry.list(route::route)?);
        Ok(())
    }),
    read(&["static_rules"], |all, entry| {
        all.static_rules.extend(entry.list(rule::rule)?.into_iter().flatten());
        Ok(())
    }),
    read(&["track_group"], |all, entry| {
        let mut group = TrackGroup { name: entry.name("the name of the group")?, group: Vec::new() };
        entry.block(&[TRACK_GROUP], &place(entry, &group.name), &mut group)?;
        all.track_groups.push(group);
        Ok(())
    }),
    read(&["interface_up_down_delays"], |all, entry| {
        let delays = entry.list(|line| {
            let interface = line.interface()?;
            let down = line.seconds(0..=255)?;
            let up = if line.is_over() { down } else { line.seconds(0..=255)? };
            Ok(InterfaceDelay { interface, down, up })
        })?;
        all.interface_up_down_delays.extend(delays);
        Ok(())
    }),
    read(&["vrrp_script"], |all, entry| {
        let mut script = VrrpScript::new(entry.name("the name of the script")?);
        entry.block(&[watched::SCRIPT], &place(entry, &script.name), &mut script)?;
        all.vrrp_scripts.push(script);
        Ok(())
    }),
    read(&["track_file", "vrrp_track_file"], |all, entry| {
        let mut file = TrackFile::new(entry.name("the name of the file's entry")?);
        entry.block(&[watched::FILE], &place(entry, &file.name), &mut file)?;
        all.track_files.push(file);
        Ok(())
    }),
    read(&["vrrp_track_process", "track_process"], |all, entry| {
        let mut process = TrackProcess::new(entry.name("the name of the process's entry")?);
        entry.block(&[watched::PROCESS], &place(entry, &process.name), &mut process)?;
        all.vrrp_track_processes.push(process);
        Ok(())
    }),
    read(&["garp_group"], |all, entry| {
        let mut group = GarpGroup::default();
        entry.block(&[announcements::GARP_GROUP], "garp_group", &mut group)?;
        all.garp_groups.push(group);
        Ok(())
    }),
    read(&["vrrp_sync_group"], |all, entry| {
        let mut group = SyncGroup::new(entry.name("the name of the group")?);
        entry.block(&[sync_group::SYNC_GROUP], &place(entry, &group.name), &mut group)?;
        all.vrrp_sync_groups.push(group);
        Ok(())
    }),
    read(&["vrrp_instance"], |all, entry| {
        let mut instance = Instance::new(entry.name("the name of the instance")?);
        entry.block(&[instance::INSTANCE], &place(entry, &instance.name), &mut instance)?;
        instance::check_presence(&instance, entry);
        all.vrrp_instances.push(instance);
        Ok(())
    }),
    read(&["virtual_server_group"], |all, entry| {
        let group = balance::virtual_server_group(entry)?;
        all.virtual_server_groups.push(group);
        Ok(())
    }),
    read(&["virtual_server"], |all, entry| {
        all.virtual_servers.push(balance::virtual_server(entry)?);
        Ok(())
    }),
    read(&["SSL"], |all, entry| entry.block(&[balance::SSL], "SSL", all.ssl.get_or_insert_default())),
    read(&["include_check"], |_, entry| {
        entry.rest();
        Ok(())
    }),
    unsupported_block(
        &["bfd_instance"],
        BFD,
        &[
            "neighbor_ip",
            "neighbour_ip",
            "source_ip",
            "min_rx",
            "min_tx",
            "idle_tx",
            "multiplier",
            "passive",
            "ttl",
            "hoplimit",
            "max_hops",
            "weight",
            "vrrp",
            "checker",
        ],
    ),
    unsupported_block(&["linkbeat_interfaces"], "the kernel tells of its links", &[]),
    unsupported(&["linkbeat_use_polling"], "the kernel tells of its links"),
    unsupported(
        &["net_namespace", "net_namespace_ipvs", "namespace_with_ipsets"],
        "run it in the namespace: ip netns exec, or NetworkNamespacePath= of its service file",
    ),
    unsupported(&["instance", "use_pid_dir"], "use the options -p, -r and -c"),
    unsupported(&["child_wait_time"], "there are no child processes to wait for"),
];

const TRACK_GROUP: &[Keyword<TrackGroup>] = &[read(&["group"], |group, entry| {
    group.group.extend(entry.list(|line| line.name("the name of a vrrp_instance"))?);
    Ok(())
})];
