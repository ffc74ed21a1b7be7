//! Health checks: what keepalived's `TCP_CHECK`, `HTTP_GET`, `SSL_GET`, `SMTP_CHECK`, `DNS_CHECK`, `UDP_CHECK`,
//! `PING_CHECK`, `MISC_CHECK` and `FILE_CHECK` do, and checks of the application's own.
//!
//! A check is two machines without I/O. [`schedule`] decides when it makes an attempt and what the outcomes make of its
//! server; an [`Exchange`] holds one attempt's conversation. [`Driver`] runs thousands of both behind one descriptor.
//!
//! ```
//! use vrrp_ipvs::check::http::{Http, Url};
//! use vrrp_ipvs::check::{Check, Probe};
//!
//! let page = Url { path: "/health".into(), ..Url::default() };
//! let probe = Probe::Http(Http { urls: vec![page], ..Http::default() });
//! let check = Check::new("192.0.2.10:80".parse().unwrap(), probe);
//! assert!(check.validate().is_ok());
//! ```

pub mod command;
pub mod dns;
mod driver;
pub mod file;
pub mod http;
pub mod ping;
mod probe;
pub mod schedule;
pub mod smtp;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod udp;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::driver::{CheckEvent, CheckId, CheckStatus, Driver, DriverError};
pub(crate) use self::driver::{io_error, now};
pub use self::probe::{Exchange, Failure, Part, Passed, Progress, Stage, Verdict, Weight};
use self::schedule::{Defaults, Params, ScheduleError};
pub use self::schedule::{Health, Schedule};

/// One check: whom it asks, from where, what, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Check {
    /// The server: keepalived's `connect_ip` and `connect_port`, or the real server's address. A command and a file are
    /// about it, but not connected to it; a ping takes no port.
    pub target: SocketAddr,
    /// Where it asks from.
    #[cfg_attr(feature = "serde", serde(default))]
    pub origin: Origin,
    /// When it asks.
    #[cfg_attr(feature = "serde", serde(default))]
    pub schedule: Schedule,
    /// Every attempt that fails while the check is up is said too ([`CheckEvent::AttemptFailed`]), not the last one alone
    /// (keepalived's `log_all_failures`). Default: false.
    #[cfg_attr(feature = "serde", serde(default))]
    pub say_all_failures: bool,
    /// What it asks.
    pub probe: Probe,
}

/// Where a check's connections come from; each part is the kernel's choice unless given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Origin {
    /// The source address (keepalived's `bindto`).
    pub address: Option<IpAddr>,
    /// The source port (`bind_port`). With one a check can have but one connection, and each waits until the last one of
    /// it is forgotten.
    pub port: Option<u16>,
    /// The interface (`bind_if`); needed for an IPv6 link-local address.
    pub interface: Option<String>,
    /// The mark on its packets (`fwmark`): needs `CAP_NET_ADMIN`.
    pub fwmark: Option<u32>,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Probe {
    /// For a TCP connection.
    Tcp,
    /// For pages.
    Http(http::Http),
    /// For pages over TLS.
    #[cfg(feature = "tls")]
    Https {
        /// The pages.
        http: http::Http,
        /// How TLS is spoken.
        #[cfg_attr(feature = "serde", serde(default))]
        tls: tls::Tls,
    },
    /// For a greeting of a mail server.
    Smtp(smtp::Smtp),
    /// For an answer of a name server.
    Dns(dns::Dns),
    /// For a datagram, or for no complaint about ours.
    Udp(udp::Udp),
    /// For an ICMP echo.
    Ping,
    /// A program.
    Command(command::Command),
    /// A file.
    File(file::File),
    /// Nobody: the application says how the server is ([`Driver::tell`]).
    Application,
}

impl Probe {
    /// Its name: for status and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            #[cfg(feature = "tls")]
            Self::Https { .. } => "https",
            Self::Smtp(_) => "smtp",
            Self::Dns(_) => "dns",
            Self::Udp(_) => "udp",
            Self::Ping => "ping",
            Self::Command(_) => "command",
            Self::File(_) => "file",
            Self::Application => "application",
        }
    }

    /// keepalived's defaults for its kind.
    pub const fn defaults(&self) -> Defaults {
        let (retry, seconds) = match self {
            Self::Dns(_) => return Defaults { retry: 3, delay_before_retry: None },
            Self::Http(_) => (1, 3),
            #[cfg(feature = "tls")]
            Self::Https { .. } => (1, 3),
            // A file has no retries in keepalived: what it says holds.
            Self::Command(_) | Self::File(_) | Self::Application => (0, 1),
            Self::Tcp | Self::Smtp(_) | Self::Udp(_) | Self::Ping => (1, 1),
        };
        Defaults { retry, delay_before_retry: Some(Duration::from_secs(seconds)) }
    }
}

impl Check {
    /// A check of `target` with keepalived's timing.
    pub fn new(target: SocketAddr, probe: Probe) -> Self {
        Self { target, origin: Origin::default(), schedule: Schedule::default(), say_all_failures: false, probe }
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`CheckError`] says what is wrong with it.
    pub fn validate(&self) -> Result<(), CheckError> {
        self.prepare().map(|_| ())
    }

    /// Its timing with every default filled in, and what every attempt needs, made once.
    pub(crate) fn prepare(&self) -> Result<(Params, Prepared), CheckError> {
        let mut params = self.schedule.resolve(self.probe.defaults())?;
        if let Some(address) = self.origin.address
            && address.is_ipv4() != self.target.is_ipv4()
        {
            return Err(CheckError::Family { origin: address, target: self.target.ip() });
        }
        let prepared = match &self.probe {
            Probe::Tcp => Prepared::Tcp,
            Probe::Http(http) => Prepared::Http(http.requests(Host(self.target, 80))?),
            #[cfg(feature = "tls")]
            Probe::Https { http, tls } => {
                Prepared::Https(http.requests(Host(self.target, 443))?, tls.client(self.target.ip())?)
            }
            Probe::Smtp(smtp) => {
                if smtp.helo_name.is_empty() || smtp.helo_name.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(CheckError::HeloName(smtp.helo_name.clone()));
                }
                Prepared::Smtp(smtp.clone())
            }
            Probe::Dns(dns) => Prepared::Dns(dns.question()?),
            Probe::Udp(udp) => Prepared::Udp(udp.clone()),
            Probe::Ping => Prepared::Ping,
            Probe::Command(command) => {
                let timeout = command.timeout.unwrap_or(params.delay_loop);
                params = Params { connect_timeout: timeout, reply_timeout: timeout, ..params };
                Prepared::Command(command.clone())
            }
            Probe::File(file) => Prepared::File(file.clone()),
            Probe::Application => Prepared::Application,
        };
        Ok((params, prepared))
    }
}

/// What a `Host` field says of an address: without the port if it is the usual one (RFC 9110 §7.2).
struct Host(SocketAddr, u16);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address, usual) = self;
        match address {
            _ if address.port() != *usual => match address {
                // Without the scope of a link-local address, which means nothing to the server.
                SocketAddr::V6(address) => write!(f, "[{}]:{}", address.ip(), address.port()),
                SocketAddr::V4(address) => write!(f, "{address}"),
            },
            SocketAddr::V4(address) => write!(f, "{}", address.ip()),
            SocketAddr::V6(address) => write!(f, "[{}]", address.ip()),
        }
    }
}

/// A [`Probe`] ready for its attempts.
#[derive(Debug)]
pub(crate) enum Prepared {
    Tcp,
    Http(http::Requests),
    #[cfg(feature = "tls")]
    Https(http::Requests, tls::TlsClient),
    Smtp(smtp::Smtp),
    Dns(Vec<u8>),
    Udp(udp::Udp),
    Ping,
    Command(command::Command),
    File(file::File),
    Application,
}

/// A check that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Its timing.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Its pages.
    #[error(transparent)]
    Http(#[from] http::HttpError),
    /// Its TLS.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The name that it asks for.
    #[error(transparent)]
    Name(#[from] dns::NameError),
    /// The name that it introduces itself with.
    #[error("HELO name {0:?} is none: at least one character, no space and no control character")]
    HeloName(String),
    /// Its source address cannot reach its target.
    #[error("source address {origin} and target {target} are of different families")]
    Family {
        /// Where it would ask from.
        origin: IpAddr,
        /// Whom it would ask.
        target: IpAddr,
    },
}
