//! What can go wrong between this process and the kernel.

use std::fmt;
use std::io;

/// An operation on the host's network that failed.
///
/// The message names the operation, the value it was done with, what the kernel said, and the way out where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An interface that this network namespace does not have.
    #[error("no interface {wanted} (have: {})", .have.join(", "))]
    UnknownInterface {
        /// What was asked for: `"eth9"` with its quotes, or `with index 9`.
        wanted: String,
        /// The names of the interfaces that exist.
        have: Vec<String>,
    },

    /// This process lacks a privilege.
    #[error("{operation}: {capability} is missing: run as root, or: setcap cap_net_raw,cap_net_admin+ep PROGRAM")]
    MissingCapability {
        /// What was attempted.
        operation: String,
        /// The capability it needs.
        capability: Capability,
    },

    /// This process has the privilege, and is refused all the same.
    #[error(
        "{operation}: {source}, although {capability} is in effect: a security policy (seccomp, AppArmor, SELinux) is in \
         the way, or the network namespace belongs to another user namespace than this process: start it in that one"
    )]
    Forbidden {
        /// What was attempted.
        operation: String,
        /// The capability it needs.
        capability: Capability,
        /// The error number.
        source: io::Error,
    },

    /// The kernel has no IPv6.
    #[error(
        "{operation}: this kernel has no IPv6: boot it without ipv6.disable=1, load the module ipv6, or use IPv4 only"
    )]
    NoIpv6 {
        /// What was attempted.
        operation: String,
    },

    /// A descriptor that was handed in is of another kind than it should be.
    #[error("the descriptor is not {wanted}: {found}")]
    WrongDescriptor {
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },

    /// Addresses can be announced on Ethernet only.
    #[error(
        "{interface} is no Ethernet but of hardware type {kind} (ARPHRD of linux/if_arp.h): run the virtual router on an \
         Ethernet interface, or without announcements"
    )]
    NotEthernet {
        /// Its name.
        interface: String,
        /// The kind of link that it is on.
        kind: u16,
    },

    /// The kernel refused a netlink request.
    #[error("{operation}: {source}{}{}", Words(.words), WayOut(.way_out))]
    Refused {
        /// What was asked, with the value: `add address 192.0.2.100/24 to interface 2`.
        operation: String,
        /// The kernel's own explanation (its extended acknowledgement), if it gave one.
        words: Option<String>,
        /// The error number.
        source: io::Error,
        /// What would help, where that is known.
        way_out: Option<String>,
    },

    /// The kernel's answer to a netlink request did not arrive: whether it was done is unknown until the state is dumped.
    #[error("{operation}: the kernel's answer was lost; read the state back, then ask again")]
    Unanswered {
        /// What was asked, with the value.
        operation: String,
    },

    /// An address that cannot be on an interface as asked for.
    #[error("address {address} cannot be set like this: {problem}")]
    BadAddress {
        /// The address.
        address: vrrp_core::VirtualAddr,
        /// What is wrong.
        problem: String,
    },

    /// The kernel has an address otherwise than asked for: it is too old, or somebody has changed it since.
    #[error("address {address}: the kernel has another {what} than asked for")]
    NotKept {
        /// The address.
        address: vrrp_core::VirtualAddr,
        /// What differs, with the Linux version that is needed if not every one has it.
        what: &'static str,
    },

    /// A name that no interface, or no label of an address, can have.
    #[error(
        "{name:?} cannot be the {what}: 1 to 15 octets, without NUL; in an interface's also no white space, `/` or `:`"
    )]
    BadName {
        /// The name.
        name: String,
        /// What it was to be the name of.
        what: &'static str,
    },

    /// An interface that is in the way of one that is to be made.
    #[error("interface {name:?} is there already, as {what}: delete it, or choose another name for the virtual MAC's")]
    InterfaceExists {
        /// Its name.
        name: String,
        /// What it is, and why it cannot be adopted.
        what: String,
    },

    /// A setting of the kernel that could not be changed.
    #[error("set {file} to {value}: {source}. {way_out}")]
    Setting {
        /// The file below `/proc/sys`.
        file: String,
        /// What it was to be.
        value: i32,
        /// The error number.
        source: io::Error,
        /// What to set by hand.
        way_out: String,
    },

    /// A virtual router that cannot be run like this.
    #[error(transparent)]
    Config(#[from] vrrp_core::ConfigError),

    /// A live change of what makes a virtual router the one that it is.
    #[error(
        "the {what} cannot change from {before} to {after} while it runs: remove the virtual router and add the other one"
    )]
    Fixed {
        /// What would change.
        what: &'static str,
        /// What it is.
        before: String,
        /// What was asked for.
        after: String,
    },

    /// A virtual address that is the host's own.
    #[error(
        "{address} is the only address of {interface}: give the virtual router priority 255 if this host owns it, or the \
         interface another address to send from"
    )]
    OwnAddress {
        /// The address.
        address: std::net::IpAddr,
        /// The interface that has it.
        interface: String,
    },

    /// Two virtual routers cannot have one address: each would take it from the other.
    #[error("{address} is an address of virtual router {vrid} on {interface} already: give it to one of them")]
    AddressTaken {
        /// The address.
        address: std::net::IpAddr,
        /// The virtual router that has it.
        vrid: vrrp_core::Vrid,
        /// The interface of that one.
        interface: String,
    },

    /// Two virtual routers of one family and number on an interface that is yet to come.
    #[error("there is a virtual router {vrid} on {interface} already: use another id")]
    DuplicateRouter {
        /// The number.
        vrid: vrrp_core::Vrid,
        /// The interface of both.
        interface: String,
    },

    /// Another process of this host runs a virtual router, and has its MAC address.
    #[error(
        "virtual router {vrid} of {interface} is run by another process of this host{}: end that one first",
        Process(.process)
    )]
    RunByAnother {
        /// The virtual router.
        vrid: vrrp_core::Vrid,
        /// Its interface.
        interface: String,
        /// The number of the other process, if it could be found out.
        process: Option<u32>,
    },

    /// A route that cannot be.
    #[error(transparent)]
    Route(#[from] crate::RouteError),

    /// A rule that cannot be.
    #[error(transparent)]
    Rule(#[from] crate::RuleError),

    /// Something that this version does not do.
    #[error("{0}")]
    Unsupported(String),

    /// The driver's thread has ended.
    #[error("the driver's thread has ended: stop() says why")]
    Stopped,

    /// A guardian has no slot of this number.
    #[error("slot {slot} is not 0..={last}: a guardian has {count} slots", last = crate::Guardian::SLOTS - 1, count = crate::Guardian::SLOTS)]
    GuardianSlot {
        /// The number.
        slot: usize,
    },

    /// What a guardian is to do does not fit into the memory that it shares.
    #[error(
        "the guardian has no room for {octets} octets more ({capacity} for all virtual routers): give it fewer addresses, \
         or leave some to their lease"
    )]
    GuardianFull {
        /// Octets of what was to be armed.
        octets: usize,
        /// Octets of the memory.
        capacity: usize,
    },

    /// A system call failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was attempted, with the value.
        operation: String,
        /// The error number.
        source: io::Error,
    },
}

impl Error {
    /// `source`, which happened while doing `operation`.
    pub(crate) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation: operation.into(), source }
    }

    /// A refusal with what would help, if it is known and there is nothing better yet.
    pub(crate) fn with_way_out(self, help: Option<String>) -> Self {
        match self {
            Self::Refused { operation, words, source, way_out } => {
                Self::Refused { operation, words, source, way_out: way_out.or(help) }
            }
            other => other,
        }
    }

    /// As [`io`](Self::io), unless it was a refusal for want of `capability`, which this process does not have.
    pub(crate) fn privileged(operation: impl Into<String>, capability: Capability, source: io::Error) -> Self {
        let operation = operation.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied if capability.is_effective() => {
                Self::Forbidden { operation, capability, source }
            }
            io::ErrorKind::PermissionDenied => Self::MissingCapability { operation, capability },
            _ => Self::Io { operation, source },
        }
    }

    /// The system's error number, if there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. }
            | Self::Forbidden { source, .. }
            | Self::Io { source, .. }
            | Self::Setting { source, .. } => source.raw_os_error(),
            Self::UnknownInterface { .. }
            | Self::MissingCapability { .. }
            | Self::NoIpv6 { .. }
            | Self::WrongDescriptor { .. }
            | Self::NotEthernet { .. }
            | Self::Unanswered { .. }
            | Self::BadAddress { .. }
            | Self::NotKept { .. }
            | Self::BadName { .. }
            | Self::InterfaceExists { .. }
            | Self::Config(_)
            | Self::Route(_)
            | Self::Rule(_)
            | Self::Fixed { .. }
            | Self::RunByAnother { .. }
            | Self::OwnAddress { .. }
            | Self::AddressTaken { .. }
            | Self::DuplicateRouter { .. }
            | Self::Stopped
            | Self::GuardianSlot { .. }
            | Self::GuardianFull { .. }
            | Self::Unsupported(_) => None,
        }
    }
}

/// A Linux capability that this crate needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// To change addresses, links and routes.
    NetAdmin,
    /// To open raw and packet sockets.
    NetRaw,
    /// To make and enter namespaces, in the lab only.
    SysAdmin,
}

impl Capability {
    /// Whether the calling thread has it in effect, in its own user namespace.
    pub fn is_effective(self) -> bool {
        effective_capabilities() >> self.bit() & 1 == 1
    }

    /// Its number in `linux/capability.h`.
    const fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::SysAdmin => 21,
        }
    }
}

/// As `capabilities(7)` writes it.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        })
    }
}

/// The effective set of the calling thread; empty if /proc cannot be read.
fn effective_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    field.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

/// The kernel's words as the tail of a message.
struct Words<'a>(&'a Option<String>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(words) => write!(f, " (kernel: {words})"),
            None => Ok(()),
        }
    }
}

/// A process as the middle of a message.
struct Process<'a>(&'a Option<u32>);

impl fmt::Display for Process<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(f, " (process {process})"),
            None => Ok(()),
        }
    }
}

/// What would help as the tail of a message.
struct WayOut<'a>(&'a Option<String>);

impl fmt::Display for WayOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(way_out) => write!(f, ": {way_out}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_interface_lists_the_known_ones() {
        let have = vec!["lo".to_owned(), "eth0".to_owned()];
        let error = Error::UnknownInterface { wanted: "\"eth9\"".to_owned(), have };
        assert_eq!(error.to_string(), "no interface \"eth9\" (have: lo, eth0)");
    }

    #[test]
    fn a_missing_capability_names_the_way_out() {
        let error = Error::MissingCapability { operation: "open".to_owned(), capability: Capability::NetRaw };
        let text = "open: CAP_NET_RAW is missing: run as root, or: setcap cap_net_raw,cap_net_admin+ep PROGRAM";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let source = io::Error::from_raw_os_error(22);
        let words = Some("Invalid prefix length".to_owned());
        let error = Error::Refused { operation: "add address 192.0.2.1/24".to_owned(), words, source, way_out: None };
        let text = "add address 192.0.2.1/24: Invalid argument (os error 22) (kernel: Invalid prefix length)";
        assert_eq!(error.to_string(), text);
        let helped = error.with_way_out(Some("use 24".to_owned()));
        assert_eq!(helped.to_string(), format!("{text}: use 24"));
    }

    #[test]
    fn a_refusal_of_a_privilege_says_whether_the_capability_is_missing() {
        let capability = Capability::NetRaw;
        let refusal = || io::Error::from_raw_os_error(1);
        let error = Error::privileged("open", capability, refusal());
        match capability.is_effective() {
            true => assert!(matches!(error, Error::Forbidden { .. }) && error.raw_os_error() == Some(1), "{error}"),
            false => assert!(matches!(error, Error::MissingCapability { .. }), "{error}"),
        }
        let error = Error::Forbidden { operation: "open".to_owned(), capability, source: refusal() }.to_string();
        let start = "open: Operation not permitted (os error 1), although CAP_NET_RAW is in effect: a security policy";
        assert!(error.starts_with(start), "{error}");
        let error = Error::privileged("open", capability, io::Error::from_raw_os_error(19));
        assert!(matches!(error, Error::Io { .. }), "another refusal has nothing to do with privileges: {error}");
    }

    #[test]
    fn a_kernel_without_ipv6_is_told_from_a_missing_privilege() {
        let error = Error::NoIpv6 { operation: "open".to_owned() }.to_string();
        assert!(error.starts_with("open: this kernel has no IPv6: boot it without ipv6.disable=1"), "{error}");
    }
}
