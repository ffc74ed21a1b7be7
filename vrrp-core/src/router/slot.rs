//! What is kept of one virtual router.

#[cfg(feature = "auth-hmac")]
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use crate::state::Initialize;
use crate::wire::{ChecksumForm, Expected};
use crate::{
    Alarm, Counters, Family, Fault, Faults, IfIndex, Instant, Params, Priority, State, VirtualRouter, track::Assessment,
};

use super::places::Key;
use super::{Status, VirtualRouterConfig};

/// A virtual router, in one piece: what is behind a pointer is fetched from memory only when the pointer is there, and a
/// datagram for one of ten thousand virtual routers mostly waits for memory.
///
/// For the same reason the order is that of memory, from the start of a cache line on: what every advertisement needs
/// comes first, and lies close together.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Slot {
    pub(super) generation: u64,
    #[cfg(feature = "auth-hmac")]
    pub(super) hmac: Option<Box<crate::hmac::Authenticator>>,
    /// The sync group that it is a member of.
    pub(super) group: Option<usize>,
    pub(super) interface: Option<IfIndex>,
    /// Its faults as the sync group last saw them.
    pub(super) faults: Faults,
    /// Whether what its promotion asked for may still be among the actions.
    pub(super) promoting: bool,
    /// The form that a peer was last heard to use.
    pub(super) heard_checksum: Option<ChecksumForm>,
    /// Another router that was last heard with our priority.
    pub(super) equal: Option<IpAddr>,
    pub(super) router: VirtualRouter,
    pub(super) rest: Rest,
}

/// What the state machine does not read.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Rest {
    pub(super) config: VirtualRouterConfig,
    pub(super) counters: Counters,
    pub(super) status: Status,
    /// Where the last advertisement was sent from.
    pub(super) last_source: Option<IpAddr>,
    /// What tracking adds to the configured priority of this one.
    pub(super) tracked: i16,
    /// What is added: that, or what the worst member of its sync group adds.
    pub(super) added: i16,
    /// The claim that the application confirmed, while the rest of the sync group is asked.
    pub(super) confirmed: Option<Instant>,
    /// When an alarm of each kind was last raised.
    pub(super) alarmed: [Option<Instant>; Alarm::KINDS],
}

impl Slot {
    pub(super) fn new(
        generation: u64,
        interface: Option<IfIndex>,
        params: Params,
        config: VirtualRouterConfig,
    ) -> Self {
        // Without an address to advertise from it must not be Active: nobody would hear it.
        let faults = match params.primary_address() {
            Some(_) => Faults::NONE,
            None => Faults::NONE.with(Fault::PrimaryAddress),
        };
        let state = State::Initialize(Initialize { started: false, faults, retry_at: None, ..Initialize::default() });
        Self {
            generation,
            #[cfg(feature = "auth-hmac")]
            hmac: None,
            group: None,
            interface,
            faults,
            promoting: false,
            heard_checksum: None,
            equal: None,
            router: VirtualRouter::resume(params, state),
            rest: Rest {
                config,
                counters: Counters::default(),
                status: Status::default(),
                last_source: None,
                tracked: 0,
                added: 0,
                confirmed: None,
                alarmed: [None; Alarm::KINDS],
            },
        }
    }

    pub(super) fn family(&self) -> Family {
        self.router.params().version().family()
    }

    pub(super) fn key(&self) -> Option<Key> {
        Some(Key::new(self.interface?, self.family(), self.rest.config.vrid))
    }

    /// Whether its advertisements carry a trailer.
    pub(super) fn is_signed(&self) -> bool {
        #[cfg(feature = "auth-hmac")]
        return self.hmac.is_some();
        #[cfg(not(feature = "auth-hmac"))]
        false
    }

    /// The form that the next advertisement is sent in.
    pub(super) fn checksum_form(&self) -> ChecksumForm {
        self.rest.config.checksum_form(self.heard_checksum)
    }

    pub(super) fn expected(&self) -> Expected<'_> {
        let (params, config) = (self.router.params(), &self.rest.config);
        let mut expected = Expected::new(params.version(), config.vrid);
        expected.interval = params.advert_interval();
        expected.any_v2_interval = params.learns_v2_interval();
        expected.authentication = config.authentication;
        expected.addresses = &config.addresses;
        expected.primary = params.primary_address();
        expected.peers = config.addressing.sources();
        expected.ttl = config.addressing.ttl();
        expected.checksum = config.accepted_checksum;
        expected.strict_address_list = config.strict_address_list;
        // By unicast nothing can be for one without an address of its own.
        let own = || expected.primary.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        expected.destination = config.addressing.group(params.version().family()).unwrap_or_else(own);
        expected
    }

    /// Keeps what tracking makes of the priority.
    pub(super) fn track(&mut self, assessment: Assessment) {
        let of = |priority: Priority| i16::from(priority.get());
        self.rest.tracked = of(assessment.priority) - of(self.router.params().base_priority());
    }

    /// The configured priority with what tracking adds to it now.
    pub(super) fn tracked_priority(&self, base: Priority) -> Priority {
        let priority = i16::from(base.get()).saturating_add(self.rest.added).clamp(1, 254);
        u8::try_from(priority).ok().and_then(Priority::from_wire).unwrap_or(base)
    }

    /// `params` with what tracking last made of the priority, unless they say themselves.
    pub(super) fn tracked(&self, params: Params) -> Params {
        match params.priority() == params.base_priority() {
            true => params.with_effective_priority(self.tracked_priority(params.base_priority())),
            false => params,
        }
    }
}
