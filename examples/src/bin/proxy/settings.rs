//! The configuration file.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use examples::settings::{Router, Span, read_toml};
use serde::Deserialize;

/// What to pass on, and where to.
///
/// ```toml
/// port = 80
/// upstreams = ["198.51.100.11:8080", "198.51.100.12:8080"]
/// check-interval = "1s"    # each upstream is connected to this often
/// upstream-weight = -60    # what the priority loses with each upstream that does not answer
/// drain = "5s"             # connections may go on for so long before, or after, the address moves
/// connections = 10000      # at once; more of them wait
///
/// [router]                 # as for vrrpd
/// interface = "eth0"
/// vrid = 51
/// addresses = ["192.0.2.100"]
/// nopreempt = true         # the address moves only if it has to: every move cuts connections
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    pub(super) router: Router,
    /// On each of the router's addresses.
    pub(super) port: u16,
    pub(super) upstreams: Vec<SocketAddr>,
    #[serde(default = "check_interval")]
    check_interval: Span,
    #[serde(default = "upstream_weight")]
    pub(super) upstream_weight: i16,
    #[serde(default = "drain")]
    drain: Span,
    #[serde(default = "connections")]
    pub(super) connections: usize,
}

fn check_interval() -> Span {
    Span(Duration::from_secs(1))
}

fn upstream_weight() -> i16 {
    -60
}

fn drain() -> Span {
    Span(Duration::from_secs(5))
}

fn connections() -> usize {
    10_000
}

impl Settings {
    /// Reads and checks a file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let settings: Self = read_toml(path)?;
        let path = path.display();
        anyhow::ensure!(!settings.upstreams.is_empty(), "{path}: upstreams is empty: there is nowhere to pass on to");
        anyhow::ensure!(settings.port != 0, "{path}: port 0 is not 1..=65535");
        anyhow::ensure!(settings.connections != 0, "{path}: connections 0 would serve nobody: give at least 1");
        let weight = settings.upstream_weight;
        anyhow::ensure!((-253..=0).contains(&weight), "{path}: upstream-weight {weight} is not -253..=0");
        let interval = settings.check_interval();
        let least = Duration::from_millis(10);
        anyhow::ensure!(interval >= least, "{path}: check-interval {interval:?} is too short: give 10ms or more");
        Ok(settings)
    }

    pub(super) fn check_interval(&self) -> Duration {
        self.check_interval.0
    }

    pub(super) fn drain(&self) -> Duration {
        self.drain.0
    }
}
