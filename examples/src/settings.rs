//! Virtual routers as people write them down, in TOML or on a command line.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use vrrp_net::RouterConfig;
use vrrp_net::vrrp_core::wire::{Authentication, Password};
use vrrp_net::vrrp_core::{Interval, Preempt, Priority, Version, VirtualAddr, Vrid};

/// A configuration file.
///
/// ```toml
/// [[router]]
/// interface = "eth0"
/// vrid = 51
/// addresses = ["192.0.2.100", "192.0.2.101/24"]
/// priority = 150           # 1..=255, default 100; 255: the addresses are this host's own
/// interval = "1s"          # or "10ms"; a bare number is in seconds
/// version = 3              # or 2
/// preempt = true           # false: nopreempt
/// preempt-delay = "30s"    # preempt, but only then
/// auth-pass = "secret"     # VRRPv2 only, 8 characters
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The virtual routers.
    #[serde(default)]
    pub router: Vec<Router>,
}

/// One virtual router.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Router {
    /// Name of the interface.
    pub interface: String,
    /// Virtual Router Identifier, 1..=255.
    pub vrid: u64,
    /// Virtual addresses, each with or without a prefix length.
    pub addresses: Vec<VirtualAddr>,
    /// Priority, 1..=255.
    #[serde(default = "default_priority")]
    pub priority: u64,
    /// Advertisement interval.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Protocol version, 2 or 3.
    #[serde(default = "default_version")]
    pub version: u8,
    /// Whether to take over from an Active of lower priority.
    #[serde(default = "default_preempt")]
    pub preempt: bool,
    /// For how long an Active of lower priority is left alone.
    pub preempt_delay: Option<Span>,
    /// Simple-text password, VRRPv2 only.
    pub auth_pass: Option<String>,
}

fn default_priority() -> u64 {
    u64::from(Priority::DEFAULT.get())
}

fn default_interval() -> Span {
    Span(Interval::DEFAULT.as_duration())
}

fn default_version() -> u8 {
    3
}

fn default_preempt() -> bool {
    true
}

/// A length of time: `10ms`, `1s`, `2m`; a bare number is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match seconds {
            Some(duration) => Ok(Self(duration)),
            None => humantime::parse_duration(text)
                .map(Self)
                .map_err(|error| format!("{text:?} is no length of time ({error}): write it as 10ms, 1s or 0.5")),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(seconds) => seconds.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it, with the place.
    pub fn read(path: &Path) -> anyhow::Result<Vec<RouterConfig>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // One line: the parser's own words draw the place on several.
        let file: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            anyhow::anyhow!("{}:{}: {}", path.display(), before.split('\n').count(), error.message())
        })?;
        anyhow::ensure!(!file.router.is_empty(), "{} has no [[router]]: there is nothing to do", path.display());
        file.router
            .iter()
            .map(|router| {
                router.config().with_context(|| format!("virtual router {} in {}", router.vrid, path.display()))
            })
            .collect()
    }
}

impl Router {
    /// As the library takes it.
    ///
    /// # Errors
    /// The value that is out of its range, and the range.
    pub fn config(&self) -> anyhow::Result<RouterConfig> {
        let config = RouterConfig::new(&self.interface, Vrid::try_from(self.vrid)?, self.addresses.clone())
            .with_priority(Priority::try_from(self.priority)?)
            .with_interval(Interval::from_duration(self.interval.0)?)
            .with_preempt(match (self.preempt, self.preempt_delay) {
                (false, None) => Preempt::Never,
                (false, Some(_)) => anyhow::bail!("preempt-delay has no meaning without preemption: leave one out"),
                (true, None) => Preempt::Immediately,
                (true, Some(delay)) => Preempt::After(delay.0),
            });
        let config = match self.version {
            2 => config.with_version(Version::V2),
            3 => config,
            other => anyhow::bail!("version {other} is not 2 or 3"),
        };
        Ok(match &self.auth_pass {
            Some(password) => config.with_authentication(Authentication::SimpleText(Password::new(password)?)),
            None => config,
        })
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
        let configs = parse(
            r#"
            [[router]]
            interface = "eth0"
            vrid = 51
            addresses = ["192.0.2.100", "192.0.2.101/24"]
            priority = 150
            interval = 2
            version = 2
            preempt = false
            auth-pass = "secret"

            [[router]]
            interface = "eth1"
            vrid = 52
            addresses = ["198.51.100.1"]
            interval = "10ms"
            preempt-delay = "30s"
            "#,
        );
        assert_eq!(configs.unwrap().len(), 2);
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
    }
}
