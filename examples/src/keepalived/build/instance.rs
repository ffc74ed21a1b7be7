//! `vrrp_instance`: a virtual router.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_net::vrrp_core::hmac::{self, Key, KeyId, Keys, Window};
use vrrp_net::vrrp_core::wire::{Authentication, ChecksumAcceptance, ChecksumPolicy, Password, TtlPolicy};
use vrrp_net::vrrp_core::{Addressing, Family, Preempt, Version};
use vrrp_net::{Announcements, RouterConfig, VirtualMac};

use super::{Builder, watched};
use crate::daemon::config::{Router, settle_time};
use crate::keepalived::config::{AntiReplay, Hmac, HmacKey, HmacMode, InitialState, Instance, KeyNumber, OldChecksum};

/// VRRPv2 has room for so much of a password.
const LONGEST_PASSWORD: usize = 8;

impl Builder<'_> {
    /// A virtual router; `None` if what it lacks was told of.
    pub(super) fn router(&mut self, instance: &Instance) -> Option<Router> {
        let (interface, vrid) = (instance.interface.as_ref(), instance.virtual_router_id?);
        let Some(interface) = interface else {
            self.error(instance.name.span, format!("{}: name its interface, also for unicast", instance.name.text));
            return None;
        };
        self.warn_of(instance);
        let version = version(instance);
        let mut config = RouterConfig::new(interface.as_str(), vrid, Vec::new())
            .with_version(version)
            .with_priority(instance.priority)
            .with_interval(instance.advert_int)
            .with_addressing(self.addressing(instance, version.family()))
            .with_announcements(announcements(instance, version.family()))
            .with_answer_rivals(!instance.lower_prio_no_advert.unwrap_or_default())
            .with_strict_address_list(instance.strict_mode.unwrap_or_default())
            .with_accept_mode(instance.accept.unwrap_or(!instance.strict_mode.unwrap_or_default()))
            .with_link_delay(self.link_delay(interface.as_str()))
            // The others are to serve meanwhile.
            .with_absent_interface(true);
        for (address, excluded) in self.distinct(instance) {
            let made = self.address(address)?;
            config = config.with_address(if excluded { made.excluded() } else { made });
        }
        for route in &instance.virtual_routes {
            config = self.route(route).into_iter().fold(config, RouterConfig::with_route);
        }
        for rule in &instance.virtual_rules {
            config = self.rule(rule).into_iter().fold(config, RouterConfig::with_rule);
        }
        config = instance.source.into_iter().fold(config, RouterConfig::with_source);
        config = match self.preempt(instance) {
            // A cold start of all hosts ends with the best one.
            Preempt::Never => config.with_preempt(Preempt::Never).with_settle(settle_time(
                version,
                instance.priority,
                instance.advert_int,
            )),
            other => config.with_preempt(other),
        };
        config = match instance.old_unicast_checksum {
            Some(OldChecksum::Always) => config.with_checksum(ChecksumPolicy::MessageOnly),
            Some(OldChecksum::Never) => config.with_accepted_checksum(ChecksumAcceptance::PseudoHeader),
            None => config,
        };
        if let Some(vmac) = &instance.use_vmac {
            let name = vmac.interface.as_ref().map(|name| VirtualMac::named(name.as_str()));
            config = config.with_virtual_mac(name.unwrap_or_default());
        }
        config = self.authenticated(config, instance, version);
        let groups = self.configuration.vrrp_sync_groups.iter().filter(|group| group.group.contains(&instance.name));
        let tracking = std::iter::once(&instance.track).chain(groups.map(|group| &group.track));
        let mut sources: Vec<_> = tracking.flat_map(|tracking| self.interfaces(tracking, interface.as_str())).collect();
        sources.extend(watched::implied(instance, &sources));
        Some(Router {
            tracks: self.tracks(&instance.track),
            notify: self.notify(&instance.notify),
            mail: self.mails(&instance.notify),
            notify_priority: instance.notify.priority_changes.unwrap_or_default(),
            ..Router::new(instance.name.text.clone(), config.with_tracking(sources))
        })
    }

    /// What it says and nothing is done of.
    fn warn_of(&mut self, instance: &Instance) {
        let vmac = instance.use_vmac.as_ref();
        let notices = [
            (
                instance.use_vmac_addr,
                "use_vmac_addr: the virtual MAC address is on the interface of the virtual router",
            ),
            (
                instance.vmac_xmit_base,
                "vmac_xmit_base: advertisements have the virtual MAC address (RFC 9568 section 7.2)",
            ),
            (
                vmac.is_some_and(|vmac| vmac.mac_address.is_some()),
                "another MAC address than the protocol's is not used",
            ),
            (
                instance.dont_track_primary,
                "dont_track_primary: without its own interface it cannot advertise, and leaves the election",
            ),
            (
                instance.down_timer_adverts.is_some_and(|count| count != 3),
                "down_timer_adverts: a Backup waits for three intervals (RFC 9568 section 6.1)",
            ),
            (
                instance.unicast_fault_no_peer && instance.unicast_peer.is_empty(),
                "unicast_fault_no_peer: without peers it is multicast",
            ),
        ];
        for (_, message) in notices.into_iter().filter(|(given, _)| *given) {
            self.warn(instance.name.span, format!("{}: {message}", instance.name.text));
        }
    }

    fn preempt(&mut self, instance: &Instance) -> Preempt {
        match (instance.nopreempt, instance.state) {
            // As keepalived has it.
            (true, InitialState::Master) => {
                let message = format!("{}: nopreempt is for state BACKUP, and does nothing here", instance.name.text);
                self.warn(instance.name.span, message);
                Preempt::Immediately
            }
            (true, InitialState::Backup) => Preempt::Never,
            (false, _) if instance.preempt_delay.0.is_zero() => Preempt::Immediately,
            (false, _) => Preempt::After(instance.preempt_delay.0),
        }
    }

    fn addressing(&mut self, instance: &Instance, family: Family) -> Addressing {
        let peers = self.peers(instance);
        if !peers.is_empty() {
            let bounds = || peers.iter();
            // Peers may be behind routers unless it is said that they are not, and one of the others sends 64 over IPv6.
            let ttl = TtlPolicy::Routed {
                min: bounds().filter_map(|peer| peer.min_ttl).min().unwrap_or(1),
                max: bounds().map(|peer| peer.max_ttl.unwrap_or(255)).max().unwrap_or(255),
                send: instance.unicast_ttl.unwrap_or(255),
            };
            return Addressing::unicast_with_ttl(bounds().map(|peer| peer.address), ttl);
        }
        let global = &self.configuration.global_defs;
        let group = match family {
            Family::V4 => global.vrrp_mcast_group4.map(IpAddr::V4),
            Family::V6 => global.vrrp_mcast_group6.map(IpAddr::V6),
        };
        match instance.mcast_dst_ip.or(group) {
            Some(group) if group != family.group() => Addressing::multicast_to(group),
            Some(_) | None => Addressing::MULTICAST,
        }
    }

    fn link_delay(&mut self, interface: &str) -> Duration {
        let delays = &self.configuration.interface_up_down_delays;
        let Some(delay) = delays.iter().find(|delay| delay.interface.as_str() == interface) else {
            return Duration::ZERO;
        };
        if !delay.down.0.is_zero() {
            let message =
                format!("{interface}: an interface that is down counts at once, one that is up after the delay");
            self.warn(delay.interface.span, message);
        }
        delay.up.0
    }

    fn authenticated(&mut self, config: RouterConfig, instance: &Instance, version: Version) -> RouterConfig {
        if let Some(hmac) = &instance.auth_hmac {
            return match self.hmac(hmac, instance) {
                Some(hmac) => config.with_hmac(hmac),
                None => config,
            };
        }
        let password =
            instance.authentication.as_ref().and_then(|legacy| legacy.auth_pass.as_ref().zip(legacy.auth_type));
        let Some((secret, _)) = password else { return config };
        if version != Version::V2 {
            let message = format!("{}: VRRPv3 has no passwords, and none is sent: use auth_hmac", instance.name.text);
            self.warn(instance.name.span, message);
            return config;
        }
        // What is too long is cut, of which the reader has told.
        let mut length = secret.0.len().min(LONGEST_PASSWORD);
        while !secret.0.is_char_boundary(length) {
            length -= 1;
        }
        let text = secret.0.get(..length).unwrap_or_default();
        match self.or_error(instance.name.span, Password::new(text)) {
            Some(password) => config.with_authentication(Authentication::SimpleText(password)),
            None => config,
        }
    }

    fn hmac(&mut self, hmac: &Hmac, instance: &Instance) -> Option<hmac::Config> {
        let mut keys: Option<Keys> = None;
        for described in &hmac.keys {
            let key = self.key(described)?;
            let id = self.or_error(described.span, KeyId::try_from(u64::from(described.id.0)))?;
            keys = Some(match keys {
                None => Keys::new(id, key),
                Some(keys) => self.or_error(described.span, keys.with(id, key))?,
            });
        }
        let mut keys = keys?;
        if let Some(KeyNumber(active)) = hmac.active_key {
            let id = self.or_error(hmac.span, KeyId::try_from(u64::from(active)))?;
            keys = self.or_error(hmac.span, keys.activate(id))?;
        }
        let mut config = hmac::Config::new(keys, instance.advert_int);
        config.mode = match hmac.mode {
            HmacMode::Enforce => hmac::Mode::Enforce,
            HmacMode::Permissive => hmac::Mode::Permissive,
            HmacMode::ReceiveOnly => hmac::Mode::ReceiveOnly,
        };
        match (hmac.anti_replay, hmac.time_window) {
            (AntiReplay::Monotonic, _) => config.anti_replay = hmac::AntiReplay::Monotonic,
            (AntiReplay::Time, Some(window)) => {
                let window = self.or_error(hmac.span, Window::new(window.0.as_secs()))?;
                config.anti_replay = hmac::AntiReplay::Time(window);
            }
            (AntiReplay::Time, None) => {}
        }
        Some(config)
    }

    fn key(&mut self, described: &HmacKey) -> Option<Key> {
        let text = match (&described.value, &described.file) {
            (Some(secret), _) => secret.0.clone(),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"));
                self.or_error(described.span, read)?.trim_end_matches('\n').to_owned()
            }
            (None, None) => return None,
        };
        let key = if text.starts_with("hex:") {
            Key::from_hex(text.trim_start_matches("hex:"))
        } else {
            Key::new(text.as_bytes())
        };
        self.or_error(described.span, key)
    }
}

/// VRRPv2 unless something else is said, and VRRPv3 over IPv6, which VRRPv2 does not have.
pub(super) fn version(instance: &Instance) -> Version {
    let first = instance.virtual_ipaddress.first().map(|address| Family::of(address.address));
    match (instance.version, first.unwrap_or(Family::V4)) {
        (Some(3), family) | (_, family @ Family::V6) => Version::V3(family),
        (_, Family::V4) => Version::V2,
    }
}

fn announcements(instance: &Instance, family: Family) -> Announcements {
    let (given, default) = (&instance.announcements, Announcements::default());
    let count = |number: Option<u32>, default: u8| number.map_or(default, |it| u8::try_from(it).unwrap_or(u8::MAX));
    let repeat = count(given.master_repeat, default.repeat);
    let delay = given.master_delay.map_or(default.delay, |delay| delay.0);
    let interval = match family {
        Family::V4 => given.garp_interval,
        Family::V6 => given.gna_interval,
    };
    Announcements {
        repeat,
        delay,
        refresh: given.master_refresh.map(|refresh| refresh.0).filter(|refresh| !refresh.is_zero()),
        refresh_repeat: count(given.master_refresh_repeat, default.refresh_repeat),
        rival_delay: given.lower_prio_delay.map_or(delay, |delay| delay.0),
        rival_repeat: count(given.lower_prio_repeat, repeat),
        interval: interval.map_or(default.interval, |interval| interval.0),
    }
}
