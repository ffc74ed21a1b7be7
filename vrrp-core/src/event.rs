//! What happens to a virtual router: the inputs of `step`.

use core::net::IpAddr;

use crate::{Instant, Interval, Priority};

/// An advertisement that passed every check of the receive path (RFC 9568 §7.1): what the election needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Advert {
    /// Source address in the IP header.
    pub source: IpAddr,
    /// The sender's priority; `None` is priority 0: it resigns (§5.2.4).
    pub priority: Option<Priority>,
    /// The sender's advertisement interval (§5.2.7).
    pub interval: Interval,
}

/// An input of [`step`](crate::step()).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Event {
    /// Take part in the election (§6.4.1). One that [is leaving](After::Leave) stays.
    Startup,
    /// Leave it in an orderly way (§6.4.2, §6.4.3).
    Shutdown,
    /// An advertisement for this virtual router arrived.
    Advert(Advert),
    /// Time has passed. Does nothing unless a deadline has come, so it may be given at any moment.
    Timeout,
    /// Something this router cannot serve without is gone, or an action could not be carried out.
    Fault(Fault),
    /// What a fault named is there again.
    Recovered(Fault),
    /// The parameters given with this event differ from those before.
    Reconfigured,
    /// The application is ready for the claim that [`Action::Prepare`](crate::Action::Prepare) named.
    Confirm(Instant),
    /// The application refuses that claim.
    Refuse(Instant),
    /// Hand the addresses to another router without a gap.
    HandOver(After),
    /// Give up the role but stay in the election: another member of the sync group did.
    StepDown,
}

/// What follows a planned hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum After {
    /// Leave the election, also if nobody takes over in time. What happens meanwhile does not take that back: a fault, or
    /// another hand-over after which it would stay. Only [`Event::Startup`] does.
    Leave,
    /// Stay as Backup; if nobody takes over in time, go on as Active.
    Stay,
}

/// Why a router cannot take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fault {
    /// The interface is down, has no carrier or does not exist. Lasts until [`Event::Recovered`].
    Link,
    /// The interface has no address to send advertisements from, or [`Params`](crate::Params) name none. Lasts until
    /// [`Event::Recovered`], or until they do.
    PrimaryAddress,
    /// The application says that it cannot serve. Lasts until [`Event::Recovered`].
    Application,
    /// A virtual address could not be installed. Tried again after [`Params::fault_hold`](crate::Params::fault_hold).
    Install,
    /// Something that is tracked is bad ([`track`](crate::track)). Lasts until [`Event::Recovered`].
    Tracking,
    /// Another member of the sync group has a fault. Lasts until [`Event::Recovered`].
    Group,
    /// Advertisements could not be sent for Active_Down_Interval, so the others have taken over. Tried again after
    /// [`Params::fault_hold`](crate::Params::fault_hold): if then the first advertisement of the next promotion fails too, give
    /// this at once in place of what follows that advertisement, so that addresses are not taken from a live Active.
    Send,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] =
        [Self::Link, Self::PrimaryAddress, Self::Application, Self::Tracking, Self::Group, Self::Install, Self::Send];

    /// Whether nothing will report its end, so that only another attempt shows whether it lasts.
    pub const fn is_retried(self) -> bool {
        match self {
            Self::Install | Self::Send => true,
            Self::Link | Self::PrimaryAddress | Self::Application | Self::Tracking | Self::Group => false,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Link => 1,
            Self::PrimaryAddress => 1 << 1,
            Self::Application => 1 << 2,
            Self::Install => 1 << 3,
            Self::Send => 1 << 4,
            Self::Group => 1 << 5,
            Self::Tracking => 1 << 6,
        }
    }
}

/// The faults that hold at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Faults(u8);

impl Faults {
    /// No fault.
    pub const NONE: Self = Self(0);

    /// Whether no fault holds.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `fault` holds.
    pub const fn contains(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// These and `fault`.
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | fault.bit())
    }

    /// These without `fault`.
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !fault.bit())
    }

    /// The faults in the order of [`Fault::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.contains(*fault))
    }
}
