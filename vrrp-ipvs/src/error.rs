//! Why the kernel's IPVS could not be used, or did not do what was asked.

use std::io;

use crate::genl;
use crate::model::{DestinationId, ModelError, PersistenceEngine, Scheduler, ServiceId, SyncState};

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
    /// What was asked for is impossible on any kernel; it was not asked.
    #[error(transparent)]
    Invalid(#[from] ModelError),
    /// The kernel has no such scheduler, or persistence engine, and could not load it (`ENOENT`).
    ///
    /// It does not say which of the two, where there are two.
    #[error("{service}: the kernel has no {}", missing_modules(scheduler, engine.as_ref()))]
    SchedulerMissing {
        /// The service.
        service: ServiceId,
        /// Its scheduler.
        scheduler: Scheduler,
        /// Its persistence engine.
        engine: Option<PersistenceEngine>,
    },
    /// A service that was to be added is there already (`EEXIST`).
    #[error("{service} is in the kernel's table already (EEXIST): set it instead of adding it")]
    ServiceExists {
        /// The service.
        service: ServiceId,
    },
    /// The service that was meant is not there (`ESRCH`).
    #[error("{service} is not in the kernel's table (ESRCH): add it first")]
    NoService {
        /// The service.
        service: ServiceId,
    },
    /// A destination that was to be added is there already (`EEXIST`).
    #[error("{service} has the destination {destination} already (EEXIST): set it instead of adding it")]
    DestinationExists {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
    },
    /// The destination that was meant is not there (`ENOENT`).
    #[error("{service} has no destination {destination} (ENOENT): add it first")]
    NoDestination {
        /// The service.
        service: ServiceId,
        /// The destination.
        destination: DestinationId,
    },
    /// A synchronisation daemon that was to be started runs already (`EEXIST`).
    #[error("a synchronisation daemon of state {0:?} runs already (EEXIST): stop it first to change it")]
    DaemonRuns(SyncState),
    /// The synchronisation daemon that was to be stopped does not run (`ESRCH`).
    #[error("no synchronisation daemon of state {0:?} runs (ESRCH)")]
    DaemonDoesNotRun(SyncState),
    /// The kernel refused a request for another reason, or the exchange with it failed.
    #[error("{operation}: {error}")]
    Kernel {
        /// What was asked of it.
        operation: String,
        /// What it said.
        error: io::Error,
    },
    /// The kernel's answer is not what its own headers describe.
    #[error("{operation}: the kernel's answer cannot be read: {reason}")]
    Malformed {
        /// What was asked of it.
        operation: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// Numbers of `asm-generic/errno-base.h` that have a meaning here.
pub(crate) const ENOENT: i32 = 2;
pub(crate) const ESRCH: i32 = 3;
pub(crate) const EEXIST: i32 = 17;

impl Error {
    /// The error of `operation` from that of the exchange it made.
    pub(crate) fn of(operation: impl Into<String>, failure: genl::Error) -> Self {
        match failure {
            genl::Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted,
            genl::Error::Io(error) => Self::Kernel { operation: operation.into(), error },
            genl::Error::Malformed(reason) => Self::Malformed { operation: operation.into(), reason },
        }
    }

    /// Whether no other request would fare better: nothing that follows need be tried.
    pub(crate) const fn is_of_the_whole_kernel(&self) -> bool {
        matches!(self, Self::ModuleMissing | Self::NotPermitted | Self::Socket(_))
    }
}

fn missing_modules(scheduler: &Scheduler, engine: Option<&PersistenceEngine>) -> String {
    match engine {
        None => format!(
            "scheduler {scheduler:?}: load the module ip_vs_{scheduler} (as root: modprobe ip_vs_{scheduler})",
            scheduler = scheduler.name()
        ),
        Some(engine) => format!(
            "scheduler {scheduler:?} or no persistence engine {engine:?}: load the modules ip_vs_{scheduler} and \
             ip_vs_pe_{engine} (as root: modprobe -a ip_vs_{scheduler} ip_vs_pe_{engine})",
            scheduler = scheduler.name(),
            engine = engine.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `asm-generic/errno-base.h`.
    const EPERM: i32 = 1;
    const EINVAL: i32 = 22;

    fn of(errno: i32) -> Error {
        Error::of("ask IPVS for its version", genl::Error::Io(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn a_missing_module_is_named_and_how_to_load_it() {
        let text = Error::ModuleMissing.to_string();
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

    #[test]
    fn a_missing_scheduler_names_its_module() {
        let service = ServiceId::tcp("192.0.2.1".parse().unwrap(), 80);
        let scheduler = Scheduler::new("abc").unwrap();
        let error = Error::SchedulerMissing { service, scheduler: scheduler.clone(), engine: None };
        assert_eq!(
            error.to_string(),
            "TCP 192.0.2.1:80: the kernel has no scheduler \"abc\": load the module ip_vs_abc \
             (as root: modprobe ip_vs_abc)"
        );
        let error = Error::SchedulerMissing { service, scheduler, engine: Some(PersistenceEngine::SIP) };
        assert!(error.to_string().contains("modprobe -a ip_vs_abc ip_vs_pe_sip"), "{error}");
    }
}
