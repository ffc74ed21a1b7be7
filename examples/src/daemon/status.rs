//! What a daemon is doing, and what it can be told to do: what a control socket speaks about.

use serde::{Deserialize, Serialize};
use vrrp_net::vrrp_core::Role;
use vrrp_net::{DriverStatus, RouterStatus};

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of this program.
    pub version: &'static str,
    /// The process.
    pub pid: u32,
    /// This host, as it is called in mails.
    pub host: String,
    /// Whether it is on its way out.
    pub leaving: bool,
    /// Whether a guardian releases the addresses if the process dies.
    pub guarded: bool,
    /// Its virtual routers, by name.
    pub routers: Vec<NamedRouter>,
    /// Its sync groups.
    pub groups: Vec<GroupStatus>,
    /// What is tracked.
    pub tracked: Vec<TrackedStatus>,
    /// What was discarded that is for none of the virtual routers, by reason.
    pub discards: Vec<(String, u64)>,
    /// What is balanced.
    pub director: Option<vrrp_ipvs::director::Status>,
}

/// One virtual router under its name.
#[derive(Clone, Debug, Serialize)]
pub struct NamedRouter {
    /// Its name.
    pub name: String,
    /// Whether it was [paused](Request::Pause).
    pub paused: bool,
    /// What it does.
    #[serde(flatten)]
    pub status: RouterStatus,
}

/// One sync group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its virtual routers.
    pub members: Vec<String>,
    /// The role that all of them have; `None` while they differ.
    pub role: Option<Role>,
}

/// One thing that is tracked.
#[derive(Clone, Debug, Serialize)]
pub struct TrackedStatus {
    /// `script`, `file` or `process`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it is up; `None`: not known yet, or a file.
    pub up: Option<bool>,
    /// A file's number.
    pub number: Option<i64>,
}

/// What a daemon can be told. A virtual router is named by its name; without one all are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command")]
pub enum Request {
    /// Hand the addresses to another host, and stay as Backup.
    HandOver {
        /// Which virtual router.
        router: Option<String>,
    },
    /// Stand with another priority, until the next reload changes it or it is told again.
    SetPriority {
        /// Which virtual router.
        router: String,
        /// 1..=254, or 255 for an owner.
        priority: u64,
    },
    /// Leave the election, at once, until [`Resume`](Self::Resume).
    Pause {
        /// Which virtual router.
        router: Option<String>,
    },
    /// Take part again.
    Resume {
        /// Which virtual router.
        router: Option<String>,
    },
    /// Read the configuration anew, as on SIGHUP.
    Reload,
}

impl Status {
    pub(super) fn of_driver(driver: DriverStatus, routers: Vec<NamedRouter>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            host: String::new(),
            leaving: false,
            guarded: driver.guarded,
            routers,
            groups: Vec::new(),
            tracked: Vec::new(),
            discards: driver.discards,
            director: None,
        }
    }
}
