//! `VrrpRouter`, for any order of calls.

use super::*;

#[derive(Clone, Debug)]
enum Call {
    Add {
        interface: u32,
        vrid: u8,
        version: Version,
        params: Box<Params>,
    },
    Remove(Index),
    Rebind(Index, Option<u32>),
    Event(Index, Event),
    Answer(Index, bool),
    Group(Vec<Index>),
    Ungroup(Index),
    SetParams(Index, Box<Params>),
    SetAddress(Index, Option<IpAddr>),
    Assess(Index, Priority, bool),
    Datagram {
        interface: u32,
        vrid: u8,
        advert: Advert,
        version: Version,
        flip: Option<usize>,
    },
    /// Lets time pass, at most to the next deadline, and fires it.
    Pass(Duration),
    Fire,
    Poll(usize),
    Cancel(Index),
}

fn call() -> BoxedStrategy<Call> {
    let interface = || 1..=2_u32;
    let id = || 1..=3_u8;
    let index = any::<Index>;
    let event = prop_oneof![
        6 => Just(Event::Startup),
        1 => Just(Event::Shutdown),
        1 => prop_oneof![Just(Fault::Link), Just(Fault::Install), Just(Fault::Send)].prop_map(Event::Fault),
        3 => prop_oneof![Just(Fault::Link), Just(Fault::Install), Just(Fault::Send)].prop_map(Event::Recovered),
        1 => prop_oneof![Just(After::Leave), Just(After::Stay)].prop_map(Event::HandOver),
        1 => Just(Event::StepDown),
    ];
    let added = version().prop_flat_map(|version| (Just(version), params(version)));
    let heard = version().prop_flat_map(|version| (Just(version), advert(version)));
    prop_oneof![
        4 => (interface(), id(), added).prop_map(|(interface, vrid, (version, params))| {
            Call::Add { interface, vrid, version, params: Box::new(params) }
        }),
        1 => index().prop_map(Call::Remove),
        1 => (index(), proptest::option::of(interface())).prop_map(|(n, to)| Call::Rebind(n, to)),
        8 => (index(), event).prop_map(|(n, event)| Call::Event(n, event)),
        2 => (index(), any::<bool>()).prop_map(|(n, confirm)| Call::Answer(n, confirm)),
        2 => vec(index(), 0..4).prop_map(Call::Group),
        1 => index().prop_map(Call::Ungroup),
        1 => (index(), version().prop_flat_map(params)).prop_map(|(n, params)| Call::SetParams(n, Box::new(params))),
        1 => (index(), proptest::option::of(family().prop_flat_map(address)))
            .prop_map(|(n, address)| Call::SetAddress(n, address)),
        2 => (index(), priority(), any::<bool>()).prop_map(|(n, priority, fault)| Call::Assess(n, priority, fault)),
        8 => (interface(), id(), heard, proptest::option::weighted(0.2, 0..12_usize))
            .prop_map(|(interface, vrid, (version, advert), flip)| {
                Call::Datagram { interface, vrid, advert, version, flip }
            }),
        4 => (0..3_000_u64).prop_map(|millis| Call::Pass(Duration::from_millis(millis))),
        8 => Just(Call::Fire),
        2 => (0..8_usize).prop_map(Call::Poll),
        1 => index().prop_map(Call::Cancel),
    ]
    .boxed()
}

fn virtual_addresses(family: Family) -> Vec<IpAddr> {
    match family {
        Family::V4 => vec!["198.51.100.1".parse().unwrap()],
        Family::V6 => vec!["fe80::100".parse().unwrap()],
    }
}

/// A VRRP Router beside a plain list of what it must know.
#[derive(Default)]
struct Beside {
    router: VrrpRouter,
    ids: Vec<RouterId>,
    groups: Vec<(GroupId, Vec<RouterId>)>,
    asked: Vec<(RouterId, Instant)>,
    now: Instant,
}

impl Beside {
    fn pick(&self, index: &Index) -> Option<RouterId> {
        (!self.ids.is_empty()).then(|| self.ids[index.index(self.ids.len())])
    }

    fn call(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let now = self.now;
        match call {
            Call::Add { interface, vrid, version, params } => {
                let addresses = virtual_addresses(version.family());
                let config = VirtualRouterConfig::new(Vrid::new(*vrid).unwrap(), **params, addresses);
                if let Ok(id) = self.router.add(IfIndex::new(*interface).unwrap(), config) {
                    prop_assert!(!self.ids.contains(&id));
                    self.ids.push(id);
                }
            }
            Call::Remove(n) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                for (_, members) in &mut self.groups {
                    members.retain(|member| *member != id);
                }
                prop_assert!(self.router.remove(self.now, id).is_some());
                self.ids.retain(|other| *other != id);
            }
            Call::Rebind(n, to) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                let _ = self.router.rebind(id, to.map(|to| IfIndex::new(to).unwrap()));
            }
            Call::Event(n, event) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                self.router.handle_event(now, id, *event);
            }
            Call::Answer(n, confirm) => {
                if self.asked.is_empty() {
                    return Ok(());
                }
                let (id, claim) = self.asked[n.index(self.asked.len())];
                let event = if *confirm { Event::Confirm(claim) } else { Event::Refuse(claim) };
                self.router.handle_event(now, id, event);
            }
            Call::Group(members) => {
                let mut members: Vec<RouterId> = members.iter().filter_map(|n| self.pick(n)).collect();
                members.sort_unstable();
                members.dedup();
                let free = members.iter().all(|id| self.groups.iter().all(|(_, others)| !others.contains(id)));
                let result = self.router.add_group(now, &members);
                prop_assert_eq!(result.is_ok(), free);
                if let Ok(group) = result {
                    self.groups.push((group, members));
                }
            }
            Call::Ungroup(n) => {
                if self.groups.is_empty() {
                    return Ok(());
                }
                let (group, _) = self.groups.remove(n.index(self.groups.len()));
                self.router.remove_group(now, group);
            }
            Call::SetParams(n, params) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                let _ = self.router.set_params(now, id, **params);
            }
            Call::SetAddress(n, address) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                let _ = self.router.set_primary_address(now, id, *address);
            }
            Call::Assess(n, priority, fault) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                let assessment = track::Assessment { priority: *priority, fault: *fault };
                self.router.set_assessment(now, id, assessment);
            }
            Call::Datagram { interface, vrid, advert, version, flip } => {
                let addresses = virtual_addresses(version.family());
                let repr = Repr {
                    priority: advert.priority,
                    interval: advert.interval,
                    ..Repr::new(*version, Vrid::new(*vrid).unwrap(), &addresses)
                };
                let mut octets = vec![0; repr.buffer_len()];
                let destination = version.family().group();
                repr.emit(advert.source, destination, ChecksumForm::PseudoHeader, &mut octets).unwrap();
                if let Some(at) = flip {
                    octets[*at] ^= 1;
                }
                let envelope = Envelope { source: advert.source, destination, ttl: Some(255) };
                let interface = IfIndex::new(*interface).unwrap();
                let before = self.router.discards().total();
                let result = self.router.handle_datagram(now, interface, &envelope, &octets);
                prop_assert_eq!(self.router.discards().total() - before, u64::from(result.is_err()));
            }
            Call::Pass(by) => {
                let until = now + *by;
                self.now = self.router.poll_timeout().map_or(until, |at| at.min(until)).max(now);
            }
            Call::Fire => {
                // Not to the end of time, which no deadline passes.
                if let Some(at) = self.router.poll_timeout().filter(|at| at.as_nanos() < u64::MAX >> 8) {
                    self.now = now.max(at);
                    self.router.handle_timeout(self.now);
                    self.check_after_timeout()?;
                }
            }
            Call::Poll(count) => {
                for _ in 0..*count {
                    let Some((id, action)) = self.router.poll_action() else { return Ok(()) };
                    prop_assert!(self.ids.contains(&id), "an action for a router that was removed");
                    if let Action::Prepare(claim) = action {
                        self.asked.push((id, claim));
                    }
                }
            }
            Call::Cancel(n) => {
                let Some(id) = self.pick(n) else { return Ok(()) };
                self.router.cancel_actions(id);
            }
        }
        Ok(())
    }

    fn group_of(&self, id: RouterId) -> Option<&[RouterId]> {
        self.groups.iter().map(|(_, members)| members.as_slice()).find(|members| members.contains(&id))
    }

    fn states<'a>(&'a self, members: &'a [RouterId]) -> impl Iterator<Item = State> + 'a {
        members.iter().filter_map(|id| self.router.state(*id))
    }

    fn deadline(&self, id: RouterId) -> Option<Instant> {
        self.router.state(id).and_then(|state| state.deadline()).map(|(at, _)| at)
    }

    /// A Backup in a sync group whose time has come but which waits for the others.
    fn may_be_held(&self, id: RouterId) -> bool {
        let overdue = self.deadline(id).is_some_and(|at| at <= self.now);
        let backup = self.router.state(id).is_some_and(|state| state.role() == Role::Backup);
        overdue && backup && self.group_of(id).is_some()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let next = self.router.poll_timeout();
        let must = self.ids.iter().filter(|id| !self.may_be_held(**id)).filter_map(|id| self.deadline(*id)).min();
        // One that is held is asked again when it wants to be.
        let held = self.ids.iter().any(|id| self.may_be_held(*id));
        let allowed = next == must || (held && next.is_some_and(|at| must.is_none_or(|must| at <= must)));
        prop_assert!(allowed, "the next deadline is {next:?}, not {must:?}");
        for (_, members) in &self.groups {
            let claims = self.states(members).filter(|state| sync_group::claims(*state)).count();
            prop_assert!(claims == 0 || claims == members.len(), "a part of a group: {members:?}");
        }
        for id in &self.ids {
            let state = self.router.state(*id).unwrap();
            let others: Vec<State> = self
                .group_of(*id)
                .into_iter()
                .flatten()
                .filter(|other| *other != id)
                .filter_map(|other| self.router.state(*other))
                .collect();
            let faulty = others.into_iter().any(sync_group::has_own_fault);
            prop_assert_eq!(state.faults().contains(Fault::Group), faulty, "{:?} {:?}", id, state);
        }
        Ok(())
    }

    /// Everything that was due is done, and no group waits that need not.
    fn check_after_timeout(&mut self) -> Result<(), TestCaseError> {
        let next = self.router.poll_timeout();
        prop_assert!(next.is_none_or(|at| at > self.now), "{next:?} is due at {}", self.now);
        for (_, members) in &self.groups {
            if sync_group::may_promote(self.now, self.states(members)) {
                prop_assert!(self.states(members).all(sync_group::claims), "the group could go, and waits");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn any_calls_in_any_order_leave_a_router_that_knows_its_next_deadline(calls in vec(call(), 0..120)) {
        let mut beside = Beside::default();
        for call in &calls {
            beside.call(call)?;
            beside.check()?;
        }
    }
}
