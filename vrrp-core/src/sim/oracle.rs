//! What every run is judged by.

use alloc::string::String;
use core::fmt;

use crate::Instant;

/// A property that must hold throughout a run, whatever happens.
///
/// Each says where it does not apply: what no protocol without a third party can give, such as one Active on both sides of
/// a cut, is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    /// O1: of two nodes that hear each other, both ways and without loss, at most one is Active for longer than an
    /// advertisement interval.
    AtMostOne,
    /// O2: while an eligible node hears no Active, one becomes Active within its Active_Down_Interval.
    AtLeastOne,
    /// O3: a kernel has the addresses if and only if its process is Active; and for the time of a lease after a process
    /// has died or hangs.
    AddressIsRole,
    /// O4: the neighbour caches of hosts point to the Active within two advertisement intervals of any change; within the
    /// time of neighbour discovery if an announcement was lost.
    HostsFollow,
    /// O5: without preemption a healthy Active stays, whoever joins, pauses or restarts.
    NoPreempt,
    /// O6: a node of lowered priority is not Active for long beside a better one.
    HealthWins,
    /// O7: a fault changes the role of each node at most twice, a recovery once.
    BoundedChurn,
    /// O8: a packet that is discarded changes no state and no timer.
    InertGarbage,
    /// O9: a node that is told to leave gives up the addresses, and says so.
    CleanExit,
    /// O10: a rival that stays raises an alarm on the Active that hears it.
    Visible,
}

impl Oracle {
    /// Every oracle.
    pub const ALL: [Self; 10] = [
        Self::AtMostOne,
        Self::AtLeastOne,
        Self::AddressIsRole,
        Self::HostsFollow,
        Self::NoPreempt,
        Self::HealthWins,
        Self::BoundedChurn,
        Self::InertGarbage,
        Self::CleanExit,
        Self::Visible,
    ];

    const fn bit(self) -> u16 {
        match self {
            Self::AtMostOne => 1,
            Self::AtLeastOne => 1 << 1,
            Self::AddressIsRole => 1 << 2,
            Self::HostsFollow => 1 << 3,
            Self::NoPreempt => 1 << 4,
            Self::HealthWins => 1 << 5,
            Self::BoundedChurn => 1 << 6,
            Self::InertGarbage => 1 << 7,
            Self::CleanExit => 1 << 8,
            Self::Visible => 1 << 9,
        }
    }
}

/// `O1 at-most-one`.
impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOne => "O1 at-most-one",
            Self::AtLeastOne => "O2 at-least-one",
            Self::AddressIsRole => "O3 address = role",
            Self::HostsFollow => "O4 hosts follow",
            Self::NoPreempt => "O5 no-preempt",
            Self::HealthWins => "O6 health wins",
            Self::BoundedChurn => "O7 bounded churn",
            Self::InertGarbage => "O8 inert garbage",
            Self::CleanExit => "O9 clean exit",
            Self::Visible => "O10 visible",
        })
    }
}

/// A set of oracles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Oracles(u16);

impl Oracles {
    pub(super) fn of(oracles: &[Oracle]) -> Self {
        Self(oracles.iter().fold(0, |set, oracle| set | oracle.bit()))
    }

    pub(super) const fn contains(self, oracle: Oracle) -> bool {
        self.0 & oracle.bit() != 0
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub oracle: Oracle,
    /// When it was found.
    pub at: Instant,
    /// What was the case.
    pub what: String,
    /// The end of the trace; empty if none was kept.
    pub trace: String,
}

/// What it was and when, and the trace before it.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}\n{}", self.at, self.oracle, self.what, self.trace)
    }
}

/// Each oracle can fail: what makes it fail is something that this crate's router does not do by itself, so it is done to
/// it, by packets that lie, by kernels that do not let go, or behind its back.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Detail, HostId, LanId, Lease, MemberId, Setup, Sim};
    use crate::track::Assessment;
    use crate::wire::{ChecksumForm, Envelope, Repr, TTL};
    use crate::{Event, Family, Fault, Params, Preempt, Priority, Role, Version, Vrid, Yield};
    use core::net::IpAddr;
    use core::time::Duration;

    const V3: Version = Version::V3(Family::V4);

    /// a, of priority 150, b, of 100, and a host.
    struct Pair {
        sim: Sim,
        lan: LanId,
        host: HostId,
        a: MemberId,
        b: MemberId,
    }

    fn params(preempt: Preempt) -> [Params; 2] {
        [150, 100].map(|priority| {
            Params::new(V3)
                .with_priority(Priority::new(priority).unwrap())
                .with_preempt(preempt)
                .with_yield(Yield::Never)
        })
    }

    impl Pair {
        fn new(setups: [Setup; 2]) -> Self {
            let mut sim = Sim::new(1);
            sim.show(Detail::Brief);
            let lan = sim.lan("lan", Default::default());
            let host = sim.host("host", lan);
            let [a, b] = ["a", "b"].map(|name| sim.node(name));
            let [on_a, on_b] = setups;
            let (a, b) = (sim.add(a, lan, on_a).unwrap(), sim.add(b, lan, on_b).unwrap());
            sim.start_all();
            Self { sim, lan, host, a, b }
        }

        /// After 10 s, in which a became Active and nothing is wrong.
        fn settled(setups: [Setup; 2]) -> Self {
            let mut pair = Self::new(setups);
            pair.run(10_000);
            assert_eq!(pair.sim.active(pair.a), Some(pair.a.node()));
            assert_eq!(pair.sim.violations(), []);
            pair
        }

        fn run(&mut self, millis: u64) {
            self.sim.run_for(Duration::from_millis(millis));
        }

        /// An advertisement of this priority arrives at both, as if it came from `source`.
        fn forge(&mut self, source: IpAddr, priority: u8) {
            let addresses = self.sim.addresses(self.a).to_vec();
            let vrid = Vrid::new(51).unwrap();
            let repr = Repr { priority: Priority::from_wire(priority), ..Repr::new(V3, vrid, &addresses) };
            let envelope = Envelope { source, destination: Family::V4.group(), ttl: Some(TTL) };
            let mut octets = [0; 64];
            let form = ChecksumForm::PseudoHeader;
            let len = repr.emit(source, envelope.destination, form, &mut octets).unwrap();
            self.sim.inject(self.lan, envelope, &octets[..len]);
        }

        fn address(&self, member: MemberId) -> IpAddr {
            self.sim.params(member).unwrap().primary_address().unwrap()
        }

        /// The first violation is of this oracle.
        #[track_caller]
        fn breaks(&self, oracle: Oracle) {
            let found = self.sim.violation().map(|violation| violation.oracle);
            assert_eq!(found, Some(oracle), "{:?}", self.sim.trace());
        }
    }

    fn setups(preempt: Preempt) -> [Setup; 2] {
        params(preempt).map(Setup::new)
    }

    const STRANGER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 77));

    #[test]
    fn o1_two_of_one_address_and_priority_do_not_settle() {
        let address = Some("10.0.0.50".parse().unwrap());
        let twin = || Setup::new(Params::new(V3).with_primary_address(address).unwrap());
        let mut pair = Pair::new([twin(), twin()]);
        pair.run(10_000);
        pair.breaks(Oracle::AtMostOne);
    }

    #[test]
    fn o2_a_stranger_that_claims_the_role_leaves_none() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        for _ in 0..10 {
            pair.forge(STRANGER, 254);
            pair.run(1000);
        }
        pair.breaks(Oracle::AtLeastOne);
    }

    #[test]
    fn o3_addresses_without_a_lease_outlive_their_process() {
        let mut pair = Pair::settled(setups(Preempt::Immediately).map(|setup| Setup { lease: Lease::Off, ..setup }));
        pair.sim.crash(pair.a.node());
        pair.run(10_000);
        pair.breaks(Oracle::AddressIsRole);
    }

    #[test]
    fn o4_a_host_that_heard_no_announcement_goes_on_sending_to_a_kernel_that_answers() {
        let mut pair = Pair::settled(setups(Preempt::Immediately).map(|setup| Setup { lease: Lease::Off, ..setup }));
        pair.sim.judge_by(&[Oracle::HostsFollow]);
        pair.sim.crash(pair.a.node());
        pair.sim.cut(pair.b.node(), pair.host);
        pair.run(10_000);
        pair.sim.heal(pair.b.node(), pair.host);
        assert_eq!(pair.sim.active(pair.b), Some(pair.b.node()));
        pair.run(60_000);
        pair.breaks(Oracle::HostsFollow);
    }

    #[test]
    fn o5_a_forged_resignation_makes_a_backup_take_a_healthy_actives_role() {
        let mut pair = Pair::settled(setups(Preempt::Never));
        let forged = pair.address(pair.a);
        pair.sim.judge_by(&[Oracle::NoPreempt]);
        // Just after an advertisement: Skew_Time, 0.6 s, is over before the next one.
        pair.run(500);
        pair.forge(forged, 0);
        pair.run(1000);
        pair.breaks(Oracle::NoPreempt);
    }

    #[test]
    fn o6_a_degraded_active_stays_beside_a_better_backup_that_is_lied_to() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        let forged = pair.address(pair.a);
        pair.sim.assess(pair.a, Assessment { priority: Priority::new(50).unwrap(), fault: false });
        for _ in 0..10 {
            // a takes it for an echo.
            pair.forge(forged, 200);
            pair.run(1000);
        }
        pair.breaks(Oracle::HealthWins);
    }

    #[test]
    fn o7_changes_of_role_that_nothing_explains_are_counted() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        for _ in 0..20 {
            // Behind its back: no call of the simulator's accounts for it.
            for event in [Event::Fault(Fault::Application), Event::Recovered(Fault::Application)] {
                pair.sim.give(pair.a, event);
                pair.run(6000);
            }
        }
        pair.breaks(Oracle::BoundedChurn);
    }

    #[test]
    fn o8_a_packet_that_is_dropped_and_changes_something_is_noticed() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        let node = pair.sim.nodes.first_mut().unwrap();
        let id = node.router.ids().next().unwrap();
        let own = node.clock.own(pair.sim.now);
        let envelope = Envelope { source: STRANGER, destination: Family::V4.group(), ttl: Some(TTL) };
        pair.sim.inject(pair.lan, envelope, &[0x31, 51]);
        pair.run(1);
        assert_eq!(pair.sim.violations(), [], "it is dropped");
        // The same, and something happens that nobody told the simulator.
        let node = pair.sim.nodes.first_mut().unwrap();
        node.router.handle_event(own, id, Event::StepDown);
        pair.sim.inject(pair.lan, envelope, &[0x31, 51]);
        pair.run(1);
        pair.breaks(Oracle::InertGarbage);
    }

    #[test]
    fn o9_one_that_was_told_to_leave_and_comes_back_by_itself_is_noticed() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        pair.sim.shut_down(pair.a.node());
        pair.run(5000);
        assert_eq!(pair.sim.violations(), []);
        pair.sim.give(pair.a, Event::Startup);
        pair.run(20_000);
        pair.breaks(Oracle::CleanExit);
    }

    #[test]
    fn o10_a_second_active_that_is_heard_without_an_alarm_is_noticed() {
        let mut pair = Pair::settled(setups(Preempt::Immediately));
        pair.sim.cut_one_way(pair.a.node(), pair.b.node());
        for _ in 0..20 {
            pair.run(1000);
            // As if it had raised none.
            pair.sim.member_mut(pair.a).unwrap().alarmed = None;
        }
        assert_eq!(pair.sim.state(pair.b).role(), Role::Active);
        pair.breaks(Oracle::Visible);
    }
}
