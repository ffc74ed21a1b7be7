//! What a virtual router wants done: the outputs of `step`, in order.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::state::Role;
use crate::wire::Reason;
use crate::{Fault, Instant, Interval, Priority};

/// One thing to do. The order of actions carries meaning: advertise, then install, then announce; remove, then resign.
///
/// Actions name sets, not addresses, so their number is bounded however many virtual addresses there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Action {
    /// Send an advertisement.
    SendAdvert(Claim),
    /// Put the virtual addresses on the interface. If that fails, give [`Event::Fault`](crate::Event::Fault) with
    /// [`Fault::Install`] back.
    InstallAddresses,
    /// Take the virtual addresses from the interface, also those that are there only in part.
    RemoveAddresses,
    /// Tell the hosts on the link where the virtual addresses are: gratuitous ARP, unsolicited neighbour advertisements
    /// (RFC 9568 §6.4.2).
    Announce,
    /// Make ready to serve: fence the old Active, promote the replica. Answer with [`Event::Confirm`](crate::Event) or
    /// [`Event::Refuse`](crate::Event) and this instant, which names the claim; a late answer to an earlier claim has no
    /// effect. While a lower Active serves that the router would preempt, the others do not know of the claim yet.
    Prepare(Instant),
    /// The role has changed; what the new role needs stands before this in the stream.
    Transition(Transition),
    /// Something an operator should know.
    Alarm(Alarm),
}

/// The contents of an advertisement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Claim {
    /// The priority to claim; `None` sends 0: this router resigns (§5.2.4).
    pub priority: Option<Priority>,
    /// The interval to announce (§5.2.7).
    pub interval: Interval,
}

/// A change of role, with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transition {
    /// The role before.
    pub from: Role,
    /// The role now.
    pub to: Role,
    /// What led to it.
    pub cause: Cause,
}

/// Why a role changed. The three ways to become Active of RFC 8347 (`new-master-reason`) are
/// [`Resigned`](Self::Resigned), [`Preempted`](Self::Preempted) and [`NoResponse`](Self::NoResponse).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// The router was started, or may take part again.
    Startup,
    /// The router was told to leave.
    Shutdown,
    /// No Active was heard for Active_Down_Interval.
    NoResponse,
    /// The Active resigned with priority 0.
    Resigned,
    /// This router has a higher priority than the Active.
    Preempted,
    /// This rival won the election.
    Outranked(IpAddr),
    /// This router was held up for so long that this rival took over, and it does not preempt.
    Stalled(IpAddr),
    /// It cannot serve.
    Fault(Fault),
    /// The application confirmed that it is ready.
    Confirmed,
    /// The application refused to serve.
    Refused,
    /// The application did not say in time whether it is ready.
    NotConfirmed,
    /// The planned hand-over is done: this successor serves.
    HandedOver(IpAddr),
    /// Nobody took over in time.
    NoSuccessor,
    /// The sync group gave up the role.
    Group,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Startup => f.write_str("started"),
            Self::Shutdown => f.write_str("told to leave"),
            Self::NoResponse => f.write_str("no Active was heard"),
            Self::Resigned => f.write_str("the Active resigned"),
            Self::Preempted => f.write_str("the Active has a lower priority"),
            Self::Outranked(rival) => write!(f, "{rival} won the election"),
            Self::Stalled(rival) => write!(f, "{rival} took over while this router was held up"),
            Self::Fault(Fault::Link) => f.write_str("the interface is down"),
            Self::Fault(Fault::PrimaryAddress) => f.write_str("the interface has no address to send from"),
            Self::Fault(Fault::Application) => f.write_str("the application cannot serve"),
            Self::Fault(Fault::Install) => f.write_str("the virtual addresses could not be installed"),
            Self::Fault(Fault::Tracking) => f.write_str("something that is tracked is down"),
            Self::Fault(Fault::Group) => f.write_str("another member of the sync group cannot serve"),
            Self::Confirmed => f.write_str("the application is ready"),
            Self::Refused => f.write_str("the application refused"),
            Self::NotConfirmed => f.write_str("the application was not ready in time"),
            Self::HandedOver(successor) => write!(f, "handed over to {successor}"),
            Self::NoSuccessor => f.write_str("nobody took over in time"),
            Self::Group => f.write_str("the sync group gave up the role"),
            Self::Fault(Fault::Send) => f.write_str("advertisements could not be sent"),
        }
    }
}

/// Something that the protocol goes on from but an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Alarm {
    /// Another router claims priority 255 too: two hosts believe that they own the addresses (RFC 9568 §8.3.2).
    SecondOwner(IpAddr),
    /// Another router advertises from our own address with our priority: nobody can win that election.
    SameAddress(IpAddr),
    /// A rival goes on claiming the role although it was answered, for so long now: it does not hear us, and both are Active.
    PersistentRival(IpAddr, Duration),
    /// A router that would be a peer is rejected for this reason. Both of us will be Active. One that advertises the interval
    /// 0 is among them: whoever configured it so believes that it takes part, and what it sends has no other effect.
    RejectedPeer(IpAddr, Reason),
    /// A router uses our VRID for addresses of which none is ours: two virtual routers collide.
    VridClash(IpAddr),
    /// One member of the sync group hears no Active while another one does: the group waits.
    PartialView,
    /// Another router is configured with our priority (RFC 9568 §8.3.2): the addresses of the two decide, which nobody has
    /// chosen. Nothing is wrong with it but that, and it is said once for each peer.
    EqualPriority(IpAddr),
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondOwner(rival) => write!(f, "{rival} claims to own the addresses too (priority 255)"),
            Self::PersistentRival(rival, lasting) => {
                write!(
                    f,
                    "{rival} has claimed the role too, for {lasting:.1?}: both are Active, and it does not hear us"
                )
            }
            Self::RejectedPeer(peer, reason) => write!(f, "{peer} is rejected ({reason}): both of us may be Active"),
            Self::VridClash(rival) => write!(f, "{rival} uses this virtual router id for other addresses"),
            Self::PartialView => f.write_str("a member of the sync group hears no Active, another one does"),
            Self::SameAddress(rival) => write!(f, "another router advertises from our own address {rival}"),
            Self::EqualPriority(peer) => write!(f, "{peer} has our priority: the higher address decides between us"),
        }
    }
}

#[cfg(feature = "alloc")]
impl Alarm {
    /// How many kinds of alarms there are.
    pub(crate) const KINDS: usize = 7;

    /// Which of them this is, from 0.
    pub(crate) const fn kind(&self) -> usize {
        match self {
            Self::SecondOwner(_) => 0,
            Self::SameAddress(_) => 1,
            Self::PersistentRival(..) => 2,
            Self::RejectedPeer(..) => 3,
            Self::VridClash(_) => 4,
            Self::PartialView => 5,
            Self::EqualPriority(_) => 6,
        }
    }
}

/// Most actions that one event can lead to.
const MAX_ACTIONS: usize = 5;

/// The actions of one step, in order; bounded, without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Actions {
    list: [Option<Action>; MAX_ACTIONS],
}

impl Actions {
    /// No action.
    pub const fn none() -> Self {
        Self { list: [None; MAX_ACTIONS] }
    }

    /// Appends `action`. More than one event can lead to is an error in `step`, which debug builds report.
    pub(crate) fn push(&mut self, action: Action) {
        match self.list.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(action),
            None => debug_assert!(false, "no room for {action:?} in {:?}", self.list),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The actions, first to last.
    pub fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        self.list.iter().copied().flatten()
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Action>, MAX_ACTIONS>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().flatten()
    }
}
