//! Virtual routers as people write them down, in TOML or on a command line: the same words in both.

mod daemon;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IntoDeserializer};
use vrrp_net::vrrp_core::hmac::{self, Key, KeyId, Keys};
use vrrp_net::vrrp_core::wire::{Authentication, ChecksumPolicy, Password, TtlPolicy};
use vrrp_net::vrrp_core::{Addressing, Family, Interval, Preempt, Priority, Version, Vrid};
use vrrp_net::{Announcements, RouterConfig, VirtualMac};

use crate::daemon::config::settle_time;

pub use self::daemon::{Commands, Fifo, File, Group, Mail, Number, Process, Script, Words};
pub use self::text::{Address, Lease, Peer, Span, TrackInterface, TrackNamed};

/// One virtual router. What is left out has the protocol's default.
#[derive(Clone, Debug, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Router {
    /// Interface to run on
    #[arg(long, value_name = "NAME", required = false, required_unless_present = "config")]
    pub interface: String,

    /// Virtual Router Identifier, 1..=255: the same on all hosts that share the addresses
    #[arg(long, value_name = "ID", required = false, required_unless_present = "config")]
    pub vrid: u64,

    /// Virtual address; may be given several times. Over IPv6 a link-local one comes first. After it, in the words of
    /// `ip address`: dev NAME, scope SCOPE, label TEXT, broadcast +, metric NUMBER, noprefixroute
    #[arg(long = "address", value_name = "ADDRESS[/PREFIX]", required_unless_present = "config")]
    pub addresses: Vec<Address>,

    /// Address that is moved with the others but not advertised; of either family
    #[arg(long = "excluded-address", value_name = "ADDRESS[/PREFIX]")]
    #[serde(default)]
    pub excluded_addresses: Vec<Address>,

    /// Priority in the election, 1..=255; 255 if the addresses are this host's own [default: 100]
    #[arg(long)]
    pub priority: Option<u64>,

    /// Advertisement interval: 10ms, 1s, or a number of seconds [default: 1s]
    #[arg(long, value_name = "TIME")]
    pub interval: Option<Span>,

    /// Protocol version: 2 or 3 [default: 3]
    #[arg(long)]
    pub version: Option<u8>,

    /// Leave an Active of lower priority alone
    #[arg(long)]
    #[serde(default)]
    pub nopreempt: bool,

    /// Leave an Active of lower priority alone for this long
    #[arg(long, value_name = "TIME", conflicts_with = "nopreempt")]
    pub preempt_delay: Option<Span>,

    /// With nopreempt: how long after its promotion an Active that never heard another one calls an election, so that all hosts
    /// started together end with the highest priority; 0: it does not [default: twice Active_Down_Interval]
    #[arg(long, value_name = "TIME", requires = "nopreempt")]
    pub settle: Option<Span>,

    /// Peer that is advertised to by unicast, and the only ones that are heard; may be given several times
    #[arg(long = "unicast-peer", value_name = "ADDRESS")]
    #[serde(default)]
    pub unicast_peers: Vec<Peer>,

    /// The unicast peers are behind routers: take advertisements of at least this TTL, instead of 255 alone
    #[arg(long, value_name = "TTL")]
    pub least_ttl: Option<u8>,

    /// Address to advertise from [default: the interface's first; over IPv6 a link-local one]
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<Peer>,

    /// Answer for the addresses with the virtual router's own MAC address, on an interface made for it
    #[arg(long)]
    #[serde(default)]
    pub virtual_mac: bool,

    /// Name of that interface [default: vrrp.ID or vrrp6.ID]
    #[arg(long, value_name = "NAME")]
    pub virtual_mac_name: Option<String>,

    /// Another interface that counts: NAME, then if wanted weight NUMBER, then reverse. Without a weight, leave the election while it is down
    #[arg(long = "track-interface", value_name = "NAME [weight NUMBER]")]
    #[serde(default)]
    pub track_interfaces: Vec<TrackInterface>,

    /// For how long the kernel keeps the addresses of a process that died: auto, off, or whole seconds [default: auto]
    #[arg(long, value_name = "TIME")]
    pub lease: Option<Lease>,

    /// Checksum of VRRPv3 over IPv4: auto, message_only (RFC 9568) or pseudo_header (RFC 5798) [default: auto]
    #[arg(long, value_name = "FORM", value_parser = word::<ChecksumPolicy>)]
    pub checksum: Option<ChecksumPolicy>,

    /// Simple-text password of at most 8 characters, VRRPv2 only
    #[arg(long, value_name = "PASSWORD")]
    pub auth_pass: Option<String>,

    /// File with a secret that signs advertisements: a text of 32 to 64 octets, or hex: and 64 to 128 digits
    #[arg(long, value_name = "FILE")]
    pub hmac_key_file: Option<PathBuf>,

    /// Number of that secret, 1..=255, the same on all hosts [default: 1]
    #[arg(long, value_name = "ID")]
    pub hmac_key_id: Option<u64>,

    /// What of advertisements without a signature: enforce drops them, permissive and receive-only (which does not sign
    /// itself) accept them [default: enforce]
    #[arg(long, value_name = "MODE", value_parser = word::<hmac::Mode>)]
    pub hmac_mode: Option<hmac::Mode>,

    /// How the hosts on the link are told where the addresses are; a table in a file.
    #[arg(skip)]
    #[serde(default)]
    pub announce: Announce,

    /// What it is called where it is told of [default: INTERFACE/ID].
    #[arg(skip)]
    pub name: Option<String>,

    /// Checks that it tracks, each as `NAME`, then if wanted `weight NUMBER`, then `reverse`.
    #[arg(skip)]
    #[serde(default)]
    pub track_scripts: Vec<TrackNamed>,

    /// Files that it tracks, in the same words.
    #[arg(skip)]
    #[serde(default)]
    pub track_files: Vec<TrackNamed>,

    /// Programs that it tracks, in the same words.
    #[arg(skip)]
    #[serde(default)]
    pub track_processes: Vec<TrackNamed>,

    /// What is run when its role changes.
    #[arg(skip)]
    #[serde(default)]
    pub notify: Commands,

    /// Whether changes of its role are mailed.
    #[arg(skip)]
    #[serde(default)]
    pub mail: bool,

    /// Whether pipes are told of changes of its priority.
    #[arg(skip)]
    #[serde(default)]
    pub notify_priority: bool,
}

/// Announcements: gratuitous ARP and neighbour advertisements. The meanings and defaults are those of keepalived's `garp_*`.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Announce {
    /// Announcements of each address when it is installed, and again after the delay [default: 5]
    #[arg(long = "announce-repeat", value_name = "NUMBER")]
    pub repeat: Option<u8>,

    /// When they are repeated after a promotion; 0: not [default: 5s]
    #[arg(long = "announce-delay", value_name = "TIME")]
    pub delay: Option<Span>,

    /// How often they are repeated while nothing happens [default: never]
    #[arg(long = "announce-refresh", value_name = "TIME")]
    pub refresh: Option<Span>,

    /// Announcements of each address then [default: 1]
    #[arg(long = "announce-refresh-repeat", value_name = "NUMBER")]
    pub refresh_repeat: Option<u8>,

    /// When they are repeated after a rival of lower priority was heard [default: 5s]
    #[arg(long = "announce-rival-delay", value_name = "TIME")]
    pub rival_delay: Option<Span>,

    /// Announcements of each address then [default: 5]
    #[arg(long = "announce-rival-repeat", value_name = "NUMBER")]
    pub rival_repeat: Option<u8>,

    /// Least time between two announcements on an interface, for switches that drop bursts [default: 0]
    #[arg(id = "announce_interval", long = "announce-interval", value_name = "TIME")]
    pub interval: Option<Span>,
}

/// A word of the command line that is one of an enumeration's, as in a file.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, serde::de::value::Error> {
    T::deserialize(text.into_deserializer())
}

/// Reads a file of TOML.
///
/// # Errors
/// What is wrong with it, with the line.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // One line: the parser's own words draw the place on several.
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        anyhow::anyhow!("{}:{}: {}", path.display(), before.split('\n').count(), error.message())
    })
}

impl Router {
    /// As the library takes it.
    ///
    /// # Errors
    /// The value that is out of its range, and the range.
    pub fn config(&self) -> anyhow::Result<RouterConfig> {
        let interval = self.interval.map_or(Ok(Interval::DEFAULT), |Span(span)| Interval::from_duration(span))?;
        let addresses = self.addresses.iter().map(|Address(address)| address.clone());
        let excluded = self.excluded_addresses.iter().map(|Address(address)| address.clone().excluded());
        let config = addresses.chain(excluded).fold(
            RouterConfig::new(&self.interface, Vrid::try_from(self.vrid)?, Vec::new()),
            RouterConfig::with_address,
        );
        let version = self.version()?;
        let priority = self.priority.map_or(Ok(Priority::DEFAULT), Priority::try_from)?;
        let mut config = config
            .with_version(version)
            .with_priority(priority)
            .with_interval(interval)
            .with_preempt(self.preempt()?)
            .with_addressing(self.addressing()?)
            .with_tracking(self.track_interfaces.iter().map(|TrackInterface(source)| source.clone()))
            .with_lease(self.lease.unwrap_or_default().0)
            .with_checksum(self.checksum.unwrap_or_default())
            .with_announcements(self.announce.announcements());
        if let Some(Peer(source)) = self.source {
            config = config.with_source(source);
        }
        let settles = self.settle.map(|Span(span)| span);
        let settles = settles.or_else(|| self.nopreempt.then(|| settle_time(version, priority, interval)));
        if let Some(after) = settles.filter(|after| !after.is_zero()) {
            config = config.with_settle(after);
        }
        anyhow::ensure!(
            self.virtual_mac || self.virtual_mac_name.is_none(),
            "virtual-mac-name is for a virtual MAC address: give virtual-mac too, or leave it out"
        );
        if self.virtual_mac {
            config = config.with_virtual_mac(self.virtual_mac_name.as_ref().map(VirtualMac::named).unwrap_or_default());
        }
        if let Some(password) = &self.auth_pass {
            config = config.with_authentication(Authentication::SimpleText(Password::new(password)?));
        }
        anyhow::ensure!(
            self.hmac_key_file.is_some() || (self.hmac_key_id.is_none() && self.hmac_mode.is_none()),
            "hmac-key-id and hmac-mode are for signatures: give hmac-key-file too, or leave them out"
        );
        if let Some(path) = &self.hmac_key_file {
            config = config.with_hmac(self.hmac(path, interval)?);
        }
        Ok(config)
    }

    fn version(&self) -> anyhow::Result<Version> {
        let first = self.addresses.first().map(|Address(address)| address.address().family());
        match self.version.unwrap_or(3) {
            2 => Ok(Version::V2),
            3 => Ok(Version::V3(first.unwrap_or(Family::V4))),
            other => anyhow::bail!("version {other} is not 2 or 3"),
        }
    }

    fn preempt(&self) -> anyhow::Result<Preempt> {
        match (self.nopreempt, self.preempt_delay) {
            (true, None) => Ok(Preempt::Never),
            (true, Some(_)) => anyhow::bail!("preempt-delay has no meaning with nopreempt: leave one out"),
            (false, None) => Ok(Preempt::Immediately),
            (false, Some(delay)) => Ok(Preempt::After(delay.0)),
        }
    }

    fn addressing(&self) -> anyhow::Result<Addressing> {
        let peers: Vec<_> = self.unicast_peers.iter().map(|Peer(address)| *address).collect();
        match self.least_ttl {
            None if peers.is_empty() => Ok(Addressing::MULTICAST),
            None => Ok(Addressing::unicast(peers)),
            Some(_) if peers.is_empty() => {
                anyhow::bail!("least-ttl is for unicast: give unicast-peers, or leave it out")
            }
            Some(min) => Ok(Addressing::unicast_with_ttl(peers, TtlPolicy::Routed { min, max: 255, send: 255 })),
        }
    }

    fn hmac(&self, path: &Path, interval: Interval) -> anyhow::Result<hmac::Config> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let key = match text.trim_end_matches('\n') {
            text if text.starts_with("hex:") => Key::from_hex(text.trim_start_matches("hex:")),
            text => Key::new(text.as_bytes()),
        };
        let key = key.with_context(|| format!("the key in {}", path.display()))?;
        let id = KeyId::try_from(self.hmac_key_id.unwrap_or(1))?;
        Ok(hmac::Config { mode: self.hmac_mode.unwrap_or_default(), ..hmac::Config::new(Keys::new(id, key), interval) })
    }
}

impl Announce {
    fn announcements(&self) -> Announcements {
        let default = Announcements::default();
        let span = |given: Option<Span>, default| given.map_or(default, |Span(span)| span);
        Announcements {
            repeat: self.repeat.unwrap_or(default.repeat),
            delay: span(self.delay, default.delay),
            refresh: self.refresh.map(|Span(span)| span).or(default.refresh),
            refresh_repeat: self.refresh_repeat.unwrap_or(default.refresh_repeat),
            rival_delay: span(self.rival_delay, default.rival_delay),
            rival_repeat: self.rival_repeat.unwrap_or(default.rival_repeat),
            interval: span(self.interval, default.interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> anyhow::Result<Vec<RouterConfig>> {
        let file: File = toml::from_str(toml)?;
        file.router.iter().map(Router::config).collect()
    }

    #[test]
    fn a_file_with_all_keys_is_read() {
        let folder = std::env::temp_dir().join(format!("vrrp-settings-{}", std::process::id()));
        std::fs::write(&folder, "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
        let configs = parse(&format!(
            r#"
            [[router]]
            interface = "eth0"
            vrid = 51
            addresses = ["192.0.2.100", "192.0.2.101/24 dev eth1 label eth1:vip"]
            excluded-addresses = ["2001:db8::100/64"]
            priority = 150
            interval = 2
            version = 2
            nopreempt = true
            auth-pass = "secret"
            lease = 10
            track-interfaces = ["eth1 weight -30", "eth2"]

            [[router]]
            interface = "eth1"
            vrid = 52
            addresses = ["fe80::100", "2001:db8::100"]
            interval = "10ms"
            preempt-delay = "30s"
            unicast-peers = ["2001:db8::2"]
            least-ttl = 250
            source = "2001:db8::1"
            virtual-mac = true
            virtual-mac-name = "vip0"
            checksum = "message_only"
            hmac-key-file = {folder:?}
            hmac-key-id = 7
            hmac-mode = "permissive"
            announce = {{ repeat = 1, delay = 0, refresh = "60s", refresh-repeat = 2, rival-delay = "1s", rival-repeat = 3, interval = "1ms" }}
            "#
        ));
        std::fs::remove_file(&folder).unwrap();
        let configs = configs.unwrap();
        let advertised = |config: &RouterConfig| -> Vec<bool> {
            config.addresses().iter().map(vrrp_net::Address::is_advertised).collect()
        };
        assert_eq!(advertised(&configs[0]), [true, true, false]);
        assert_eq!((configs[0].family(), configs[1].family()), (Family::V4, Family::V6));
    }

    #[test]
    fn an_error_names_the_value_and_what_would_be_right() {
        let router = |more: &str| {
            let toml = format!("[[router]]\ninterface = \"eth0\"\naddresses = [\"192.0.2.1\"]\n{more}");
            parse(&toml).unwrap_err().to_string()
        };
        assert_eq!(router("vrid = 256"), "virtual router id 256 is not 1..=255");
        assert!(router("vrid = 1\npriority = 0").starts_with("priority 0 is not 1..=255"));
        assert!(router("vrid = 1\ninterval = \"15ms\"").contains("15ms is not a multiple of 10 ms"));
        assert!(router("vrid = 1\nversion = 4").contains("version 4 is not 2 or 3"));
        assert!(router("vrid = 1\nprio = 4").contains("unknown field `prio`"));
        assert!(router("vrid = 1\nversion = 2\nauth-pass = \"longer than 8\"").contains("8"));
        assert!(router("vrid = 1\nleast-ttl = 250").contains("give unicast-peers"));
        assert!(router("vrid = 1\nvirtual-mac-name = \"vip0\"").contains("give virtual-mac"));
        assert!(router("vrid = 1\nhmac-key-id = 1").contains("give hmac-key-file"));
        assert!(router("vrid = 1\nhmac-key-file = \"/none\"").contains("cannot read /none"));
        assert!(router("vrid = 1\nhmac-mode = \"some\"").contains("enforce"));
        assert!(router("vrid = 1\nannounce = { repeats = 1 }").contains("unknown field `repeats`"));
    }
}
