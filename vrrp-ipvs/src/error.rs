//! Why the kernel's IPVS could not be used.

use std::io;

use crate::genl;

/// An operation on IPVS that did not happen. The message says which one, why, and the way out where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The running kernel has no IPVS, and could not load the module `ip_vs` by itself when it was looked for; or the
    /// module was unloaded since.
    #[error("this kernel has no IPVS: load the module ip_vs (as root: modprobe ip_vs)")]
    ModuleMissing,
    /// The kernel has IPVS but refuses it to this process.
    #[error(
        "CAP_NET_ADMIN is missing: run as root, or setcap cap_net_admin=ep on the program \
         (in a user namespace IPVS is refused even to its root)"
    )]
    NotPermitted,
    /// There is no generic netlink to find IPVS with.
    #[error("no generic netlink socket: {0}")]
    Socket(io::Error),
    /// The kernel refused a request, or the exchange with it failed.
    #[error("{operation}: {error}")]
    Kernel {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The kernel's answer is not what its own headers describe.
    #[error("{operation}: the kernel's answer cannot be read: {reason}")]
    Malformed {
        /// What was asked of it.
        operation: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Error {
    /// The error of `operation` from that of the exchange it made.
    pub(crate) fn of(operation: &'static str, failure: genl::Error) -> Self {
        match failure {
            // A family that nobody has registered, by name or by number: the module is not there.
            genl::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => Self::ModuleMissing,
            genl::Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted,
            genl::Error::Io(error) => Self::Kernel { operation, error },
            genl::Error::Malformed(reason) => Self::Malformed { operation, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `asm-generic/errno-base.h`.
    const EPERM: i32 = 1;
    const ENOENT: i32 = 2;
    const EINVAL: i32 = 22;

    fn of(errno: i32) -> Error {
        Error::of("ask IPVS for its version", genl::Error::Io(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn a_family_the_kernel_does_not_know_is_a_missing_module() {
        assert!(matches!(of(ENOENT), Error::ModuleMissing));
        let text = of(ENOENT).to_string();
        assert!(text.contains("module ip_vs") && text.contains("modprobe ip_vs"), "{text}");
    }

    #[test]
    fn a_refusal_names_the_capability() {
        assert!(matches!(of(EPERM), Error::NotPermitted));
        assert!(of(EPERM).to_string().contains("CAP_NET_ADMIN"));
    }

    #[test]
    fn any_other_refusal_names_the_operation_and_the_reason() {
        assert_eq!(of(EINVAL).to_string(), "ask IPVS for its version: Invalid argument (os error 22)");
    }
}
