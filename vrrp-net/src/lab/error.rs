//! Why a lab cannot be made, or not be what was asked for.

use std::io;

use vrrp_core::ValueError;

use crate::error::Error;
use crate::sys::lab::Step;

/// Something about a lab that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// This machine does not let this process make a lab.
    #[error("no lab can be made here: {missing}. Way out: {way_out}")]
    NotAllowed {
        /// What is in the way.
        missing: String,
        /// What would help.
        way_out: String,
    },

    /// The lab has a host of this name already.
    #[error("the lab has a host {0:?} already: names of hosts are unique")]
    HostExists(String),

    /// The lab has as many hosts as it can have.
    #[error("the lab has {0} hosts already, which is the most")]
    TooManyHosts(usize),

    /// A text that should be an address.
    #[error("{text:?}: {source}")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: ValueError,
    },

    /// An operation on the lab's network failed.
    #[error(transparent)]
    Network(#[from] Error),

    /// A system call failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was attempted, with the value.
        operation: String,
        /// The error number.
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation: operation.into(), source }
    }

    /// A failure on the way into new namespaces of an unprivileged process.
    pub(super) fn not_allowed(step: Step, error: &io::Error) -> Self {
        let number = |path| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        let limits = Limits {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            max_network_namespaces: number("/proc/sys/user/max_net_namespaces"),
            unprivileged: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        };
        let (missing, way_out) = explain(step, error, &limits);
        Self::NotAllowed { missing, way_out }
    }
}

/// What the system says about namespaces of unprivileged users; `None` where it has no such limit.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    max_user_namespaces: Option<u64>,
    max_network_namespaces: Option<u64>,
    unprivileged: Option<u64>,
    apparmor: Option<u64>,
}

/// What is missing, and the way out.
fn explain(step: Step, error: &io::Error, limits: &Limits) -> (String, String) {
    let as_root = |setting: &str| format!("run as root, or: sysctl -w {setting}");
    match step {
        Step::NewUser if limits.max_user_namespaces == Some(0) => (
            "user namespaces are turned off (user.max_user_namespaces is 0)".to_owned(),
            as_root("user.max_user_namespaces=10000"),
        ),
        Step::NewUser if limits.unprivileged == Some(0) => (
            "user namespaces are for root only (kernel.unprivileged_userns_clone is 0)".to_owned(),
            as_root("kernel.unprivileged_userns_clone=1"),
        ),
        Step::NewUser | Step::MapIds | Step::NewNetwork if limits.apparmor.is_some_and(|level| level > 0) => (
            "AppArmor takes the privileges inside user namespaces away \
             (kernel.apparmor_restrict_unprivileged_userns is not 0)"
                .to_owned(),
            as_root("kernel.apparmor_restrict_unprivileged_userns=0"),
        ),
        Step::NewNetwork if limits.max_network_namespaces == Some(0) => (
            "network namespaces are turned off (user.max_net_namespaces is 0)".to_owned(),
            as_root("user.max_net_namespaces=10000"),
        ),
        Step::NewUser | Step::NewNetwork if error.kind() == io::ErrorKind::InvalidInput => (
            "this kernel has no user or network namespaces".to_owned(),
            "a kernel with CONFIG_USER_NS and CONFIG_NET_NS".to_owned(),
        ),
        Step::NewUser | Step::MapIds | Step::NewNetwork => (
            format!("{} refused: {error}; a container's seccomp profile does that, or a chroot", name(step)),
            "run as root with CAP_SYS_ADMIN and CAP_NET_ADMIN; in Docker: --privileged, or \
             --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
                .to_owned(),
        ),
        _ => (format!("{} failed: {error}", name(step)), "run as root".to_owned()),
    }
}

/// What the lab was doing, in words.
pub(super) fn name(step: Step) -> &'static str {
    match step {
        Step::Fork => "fork",
        Step::EnterUser => "entering the lab's user namespace",
        Step::EnterNetwork => "entering the lab's network namespace",
        Step::NewUser => "making a user namespace",
        Step::MapIds => "mapping this user to root in the user namespace",
        Step::NewNetwork => "making a network namespace",
        Step::WriteFile => "writing a setting",
        Step::OpenNamespace => "opening a namespace",
        Step::Socket => "opening a socket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(step: Step, errno: i32, limits: Limits) -> String {
        let (missing, way_out) = explain(step, &io::Error::from_raw_os_error(errno), &limits);
        LabError::NotAllowed { missing, way_out }.to_string()
    }

    #[test]
    fn what_is_in_the_way_is_named_with_the_way_out() {
        let off = Limits { max_user_namespaces: Some(0), ..Limits::default() };
        assert_eq!(
            explained(Step::NewUser, 28, off),
            "no lab can be made here: user namespaces are turned off (user.max_user_namespaces is 0). \
             Way out: run as root, or: sysctl -w user.max_user_namespaces=10000"
        );
        let debian = Limits { unprivileged: Some(0), ..Limits::default() };
        assert!(explained(Step::NewUser, 1, debian).contains("kernel.unprivileged_userns_clone=1"));
        let ubuntu = Limits { apparmor: Some(1), unprivileged: Some(1), ..Limits::default() };
        assert!(explained(Step::MapIds, 13, ubuntu).contains("AppArmor"));
        assert!(explained(Step::NewUser, 1, Limits::default()).contains("seccomp"));
        assert!(explained(Step::NewUser, 22, Limits::default()).contains("CONFIG_USER_NS"));
    }
}
