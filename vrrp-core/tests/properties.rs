//! Properties of `step` for any parameters and any order of events, of the codec for any octets, and of `VrrpRouter` for
//! any order of calls. A failing case is shrunk and printed; it then becomes a test with a name.

mod common;

use core::net::IpAddr;
use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use vrrp_core::wire::{Authentication, ChecksumForm, Envelope, Expected, Packet, Password, Repr};
use vrrp_core::{
    Action, Active, Advert, After, Backup, Claimant, Event, Family, Fault, Gate, GroupId, HandOver, IfIndex,
    Initialize, Instant, Interval, Params, Phase, Preempt, Priority, Role, RouterId, State, Step, Transition, Version,
    VirtualRouterConfig, Vrid, VrrpRouter, Yield, step, sync_group, track,
};

// Values of every kind, the odd ones often.

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V2), family().prop_map(Version::V3)]
}

/// The parameters of a router's, one of few peers, or any address.
fn address(family: Family) -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 1..=4_u16).prop_map(move |(high, host)| {
        let host = if high { host << 8 } else { host };
        match family {
            Family::V4 => IpAddr::from([192, 0, host.to_be_bytes()[0], host.to_be_bytes()[1]]),
            Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host]),
        }
    })
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(1), Just(100), Just(101), Just(254), Just(255), 1..=255_u8]
        .prop_map(|value| Priority::new(value).unwrap())
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_secs(1)),
        Just(Duration::MAX),
        (0..20_000_u64).prop_map(Duration::from_millis),
        any::<u32>().prop_map(|millis| Duration::from_millis(millis.into())),
    ]
}

fn interval(version: Version) -> BoxedStrategy<Interval> {
    match version {
        Version::V2 => {
            prop_oneof![Just(1), Just(255), 1..=255_u64].prop_map(|s| Interval::from_seconds(s).unwrap()).boxed()
        }
        Version::V3(_) => prop_oneof![Just(1), Just(100), Just(4095), 1..=4095_u64]
            .prop_map(|cs| Interval::from_centiseconds(cs).unwrap())
            .boxed(),
    }
}

fn params(version: Version) -> BoxedStrategy<Params> {
    let preempt = prop_oneof![Just(Preempt::Immediately), Just(Preempt::Never), duration().prop_map(Preempt::After)];
    let yield_when = prop_oneof![Just(Yield::Auto), Just(Yield::Never), Just(Yield::WhenDegraded)];
    let gate = (duration(), duration()).prop_map(|(timeout, back_off)| Gate { timeout, back_off });
    let hand_over = (interval(Version::V3(Family::V4)), duration())
        .prop_map(|(interval, deadline)| HandOver { interval, deadline });
    let election = (priority(), proptest::option::of(priority()), interval(version), preempt, yield_when);
    let beyond = (duration(), proptest::option::of(duration()), proptest::option::of(gate), hand_over, duration());
    let rest = (proptest::option::of(address(version.family())), any::<[bool; 3]>());
    (election, beyond, rest)
        .prop_map(move |(election, beyond, rest)| {
            let (base, effective, interval, preempt, yield_when) = election;
            let (re_election, settle, gate, hand_over, fault_hold) = beyond;
            let (address, [accept, answer, learn]) = rest;
            Params::new(version)
                .with_priority(base)
                .with_effective_priority(effective.unwrap_or(base))
                .with_advert_interval(interval)
                .and_then(|params| params.with_primary_address(address))
                .unwrap()
                .with_preempt(preempt)
                .with_yield(yield_when)
                .with_re_election(re_election)
                .with_settle(settle)
                .with_gate(gate)
                .with_hand_over(hand_over)
                .with_fault_hold(fault_hold)
                .with_accept_mode(accept)
                .with_answer_rivals(answer)
                .with_learn_v2_interval(learn)
        })
        .boxed()
}

fn fault() -> impl Strategy<Value = Fault> {
    proptest::sample::select(&Fault::ALL[..])
}

fn advert(version: Version) -> impl Strategy<Value = Advert> {
    (address(version.family()), proptest::option::of(priority()), interval(version))
        .prop_map(|(source, priority, interval)| Advert { source, priority, interval })
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So long after the one before.
    After(Duration),
    /// At the deadline, or this much before or after it.
    Deadline(i64),
    /// Anywhere in time, also in the past.
    At(Instant),
}

impl When {
    fn instant(self, now: Instant, deadline: Option<Instant>) -> Instant {
        match self {
            Self::After(duration) => now + duration,
            Self::Deadline(by) => {
                let nanos = deadline.unwrap_or(now).as_nanos();
                Instant::from_nanos(nanos.saturating_add_signed(by))
            }
            Self::At(instant) => instant,
        }
    }
}

/// Time that goes on, to the deadline most often.
fn forwards() -> BoxedStrategy<When> {
    prop_oneof![
        4 => Just(When::Deadline(0)),
        1 => Just(When::Deadline(-1)),
        1 => Just(When::Deadline(1)),
        1 => Just(When::After(Duration::ZERO)),
        2 => (0..5_000_u64).prop_map(|millis| When::After(Duration::from_millis(millis))),
        1 => (0..600_u64).prop_map(|seconds| When::After(Duration::from_secs(seconds))),
    ]
    .boxed()
}

/// Time as no caller should give it: to and fro, and to its ends.
fn anyhow() -> BoxedStrategy<When> {
    prop_oneof![
        6 => forwards(),
        1 => Just(When::At(Instant::ZERO)),
        1 => Just(When::At(Instant::FAR_FUTURE)),
        1 => Just(When::At(Instant::from_nanos(u64::MAX - 1))),
        1 => any::<u64>().prop_map(|nanos| When::At(Instant::from_nanos(nanos))),
    ]
    .boxed()
}

/// What happens.
#[derive(Clone, Debug)]
enum Happening {
    Event(Event),
    /// The answer to the last [`Action::Prepare`].
    Answer {
        confirm: bool,
    },
    NewParams(Box<Params>),
}

fn happening(version: Version) -> BoxedStrategy<Happening> {
    let event = prop_oneof![
        3 => Just(Event::Startup),
        1 => Just(Event::Shutdown),
        8 => Just(Event::Timeout),
        6 => advert(version).prop_map(Event::Advert),
        1 => fault().prop_map(Event::Fault),
        2 => fault().prop_map(Event::Recovered),
        1 => Just(Event::Reconfigured),
        1 => any::<u64>().prop_map(|nanos| Event::Confirm(Instant::from_nanos(nanos))),
        1 => any::<u64>().prop_map(|nanos| Event::Refuse(Instant::from_nanos(nanos))),
        1 => prop_oneof![Just(After::Leave), Just(After::Stay)].prop_map(Event::HandOver),
        1 => Just(Event::StepDown),
        1 => Just(Event::Timeout),
    ];
    prop_oneof![
        20 => event.prop_map(Happening::Event),
        3 => any::<bool>().prop_map(|confirm| Happening::Answer { confirm }),
        1 => params(version).prop_map(|params| Happening::NewParams(Box::new(params))),
    ]
    .boxed()
}

type Script = (Params, Vec<(When, Happening)>);

fn script(when: BoxedStrategy<When>) -> BoxedStrategy<Script> {
    version().prop_flat_map(move |version| (params(version), vec((when.clone(), happening(version)), 0..60))).boxed()
}

/// Runs a script and hands each step to `check`: parameters, state before, time, event, and what came of it.
fn run(
    script: &Script,
    mut check: impl FnMut(&Params, State, Instant, Event, &Step) -> Result<State, TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut params, mut state, mut now, mut asked) = (script.0, State::new(), Instant::ZERO, Instant::ZERO);
    for (when, happening) in &script.1 {
        now = when.instant(now, state.deadline().map(|(at, _)| at));
        let event = match happening {
            Happening::Event(event) => *event,
            Happening::Answer { confirm: true } => Event::Confirm(asked),
            Happening::Answer { confirm: false } => Event::Refuse(asked),
            Happening::NewParams(changed) => {
                params = **changed;
                Event::Reconfigured
            }
        };
        let result = step(&params, state, now, event);
        for action in result.actions {
            if let Action::Prepare(claim) = action {
                asked = claim;
            }
        }
        state = check(&params, state, now, event, &result)?;
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    // PROPTEST_CASES asks for more. A failing case becomes a test of its own instead of a line in a file of seeds.
    ProptestConfig { cases: cases.max(default.cases), failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config(500))]

    /// Nothing panics, whatever the parameters, the events and the time; actions fit their bound (a debug assertion in
    /// `Actions`); and in every role what was done fits the role.
    #[test]
    fn any_events_in_any_order_keep_actions_and_role_together(script in script(anyhow())) {
        let mut addresses = false;
        run(&script, |params, before, now, event, result| {
            let (from, to) = (before.role(), result.state.role());
            let actions: Vec<Action> = result.actions.into_iter().collect();
            let mut transitions = Vec::new();
            for (at, action) in actions.iter().enumerate() {
                match action {
                    Action::InstallAddresses => {
                        prop_assert!(!addresses, "sm_27: installed twice");
                        addresses = true;
                        if params.gate().is_some() || from == Role::Claimant {
                            let State::Claimant(claimant) = before else {
                                return Err(TestCaseError::fail("a gated router installed as it liked"));
                            };
                            prop_assert_eq!(event, Event::Confirm(claimant.since));
                        } else {
                            prop_assert!(matches!(actions[at - 1], Action::SendAdvert(_)), "advertise, then install");
                        }
                        prop_assert_eq!(actions[at + 1], Action::Announce);
                    }
                    Action::RemoveAddresses => addresses = false,
                    Action::Announce => prop_assert!(addresses, "announced without being there"),
                    Action::SendAdvert(claim) if claim.priority.is_none() => {
                        prop_assert!(matches!(from, Role::Claimant | Role::Active), "el_03: {from} resigns");
                        let serves_on = matches!(
                            result.state,
                            State::Active(active) if active.phase != Phase::Advertising
                        );
                        prop_assert!(serves_on || !addresses, "el_03: it resigns before it leaves");
                        prop_assert!(serves_on || to != Role::Active, "el_03: it resigns and stays");
                    }
                    Action::SendAdvert(claim) => {
                        let stays = matches!(to, Role::Claimant | Role::Active);
                        prop_assert!(stays || (from == Role::Active && !addresses), "tx_08: {to} advertises");
                        prop_assert!(claim.interval <= params.advert_interval());
                    }
                    Action::Transition(transition) => transitions.push(*transition),
                    Action::Prepare(claim) => {
                        let asks = matches!(result.state, State::Claimant(claimant) if claimant.since == *claim);
                        prop_assert!(asks && *claim == now);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(addresses, to == Role::Active, "sm_27: the addresses are there if and only if Active");
            let changed = (from != to).then_some((from, to));
            let reported: Vec<_> = transitions.iter().map(|Transition { from, to, .. }| (*from, *to)).collect();
            prop_assert_eq!(reported, Vec::from_iter(changed));
            Ok(result.state)
        })?;
    }

    /// The same again gives the same; and a state that was stored and read back goes on as the one that was not.
    #[test]
    fn a_stored_state_goes_on_as_the_one_it_was_stored_from(script in script(anyhow())) {
        run(&script, |params, before, now, event, result| {
            prop_assert_eq!(&step(params, before, now, event), result);
            let stored = serde_json::to_string(&result.state).unwrap();
            let resumed: State = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(resumed, result.state, "{}", stored);
            let event_again: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
            prop_assert_eq!(event_again, event);
            Ok(resumed)
        })?;
    }

    /// Otherwise a caller that sleeps until the deadline would spin.
    #[test]
    fn after_a_timeout_no_deadline_is_due(script in script(anyhow())) {
        run(&script, |_, _, now, event, result| {
            if let (Event::Timeout, Some((at, timer))) = (event, result.state.deadline()) {
                prop_assert!(at > now || at == Instant::FAR_FUTURE, "{timer:?} is due at {at}, it is {now}");
            }
            Ok(result.state)
        })?;
    }

    /// A timeout that comes early changes nothing.
    #[test]
    fn an_early_timeout_does_nothing(script in script(forwards())) {
        run(&script, |params, _, now, _, result| {
            if result.state.deadline().is_none_or(|(at, _)| at > now) {
                let early = step(params, result.state, now, Event::Timeout);
                prop_assert_eq!(early.state, result.state);
                prop_assert!(early.actions.is_empty());
            }
            Ok(result.state)
        })?;
    }

    /// Only differences of time count: what `tests/model.rs` rests on.
    #[test]
    fn a_shift_of_time_shifts_everything(script in script(forwards()), by in 0..1_000_000_000_000_000_u64) {
        let by = Duration::from_nanos(by);
        let start = Duration::from_secs(1_000_000);
        run(&script, |params, before, now, event, result| {
            // Away from the ends of time, where sums are cut off.
            if now.as_nanos() > u64::MAX >> 2 {
                return Ok(result.state);
            }
            let here = step(params, shifted(before, start), now + start, event_shifted(event, start));
            let there = step(params, shifted(before, start + by), now + start + by, event_shifted(event, start + by));
            prop_assert_eq!(shifted(here.state, by), there.state);
            let here: Vec<_> = here.actions.into_iter().map(|action| action_shifted(action, by)).collect();
            prop_assert_eq!(here, there.actions.into_iter().collect::<Vec<_>>());
            Ok(result.state)
        })?;
    }
}

fn event_shifted(event: Event, by: Duration) -> Event {
    match event {
        Event::Confirm(claim) => Event::Confirm(claim + by),
        Event::Refuse(claim) => Event::Refuse(claim + by),
        other => other,
    }
}

fn action_shifted(action: Action, by: Duration) -> Action {
    match action {
        Action::Prepare(claim) => Action::Prepare(claim + by),
        other => other,
    }
}

fn shifted(state: State, by: Duration) -> State {
    let at = |instant: Instant| instant + by;
    match state {
        State::Initialize(initialize) => {
            State::Initialize(Initialize { retry_at: initialize.retry_at.map(at), ..initialize })
        }
        State::Backup(backup) => State::Backup(Backup {
            armed_at: at(backup.armed_at),
            down_at: at(backup.down_at),
            preempt_at: backup.preempt_at.map(at),
            stand_back_until: backup.stand_back_until.map(at),
            ..backup
        }),
        State::Claimant(claimant) => State::Claimant(Claimant {
            since: at(claimant.since),
            advert_at: at(claimant.advert_at),
            until: at(claimant.until),
            ..claimant
        }),
        State::Active(active) => State::Active(Active {
            since: at(active.since),
            advert_at: at(active.advert_at),
            election_at: active.election_at.map(at),
            phase: match active.phase {
                Phase::Advertising => Phase::Advertising,
                Phase::Standing(until) => Phase::Standing(at(until)),
                Phase::HandingOver(until, after) => Phase::HandingOver(at(until), after),
            },
            ..active
        }),
    }
}

// The codec.

#[derive(Clone, Debug)]
struct Sent {
    version: Version,
    vrid: Vrid,
    priority: Option<Priority>,
    interval: Interval,
    password: Option<Password>,
    addresses: Vec<IpAddr>,
    source: IpAddr,
    form: ChecksumForm,
}

impl Sent {
    fn repr(&self) -> Repr<'_> {
        Repr {
            priority: self.priority,
            interval: self.interval,
            authentication: self.authentication(),
            ..Repr::new(self.version, self.vrid, &self.addresses)
        }
    }

    fn authentication(&self) -> Authentication {
        self.password.map_or(Authentication::None, Authentication::SimpleText)
    }

    fn envelope(&self) -> Envelope {
        Envelope { source: self.source, destination: self.version.family().group(), ttl: Some(255) }
    }

    fn octets(&self) -> Vec<u8> {
        let mut buffer = vec![0xa5; self.repr().buffer_len()];
        let envelope = self.envelope();
        let len = self.repr().emit(envelope.source, envelope.destination, self.form, &mut buffer).unwrap();
        assert_eq!(len, buffer.len());
        buffer
    }
}

fn vrid() -> impl Strategy<Value = Vrid> {
    (1..=255_u8).prop_map(|value| Vrid::new(value).unwrap())
}

fn any_address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    version().prop_flat_map(|version| {
        let family = version.family();
        let password = match version {
            Version::V2 => {
                proptest::option::of(vec(any::<u8>(), 1..=8).prop_map(|octets| Password::new(octets).unwrap())).boxed()
            }
            Version::V3(_) => Just(None).boxed(),
        };
        let form = prop_oneof![Just(ChecksumForm::MessageOnly), Just(ChecksumForm::PseudoHeader)];
        let addresses = prop_oneof![9 => vec(any_address(family), 1..4), 1 => vec(any_address(family), 255)];
        let who = (vrid(), proptest::option::of(priority()), interval(version), password);
        (who, addresses, address(family), form).prop_map(move |(who, addresses, source, form)| {
            let (vrid, priority, interval, password) = who;
            Sent { version, vrid, priority, interval, password, addresses, source, form }
        })
    })
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn pf_21_what_is_emitted_is_what_is_parsed(sent in sent()) {
        let (octets, envelope) = (sent.octets(), sent.envelope());
        let packet = Packet::parse(&envelope, &octets).unwrap();
        prop_assert_eq!(packet.version(), sent.version);
        prop_assert_eq!(packet.vrid(), Some(sent.vrid));
        prop_assert_eq!(packet.priority(), sent.priority);
        prop_assert_eq!(packet.interval(), Some(sent.interval));
        prop_assert!(packet.addresses().eq(sent.addresses.iter().copied()));
        let mut expected = Expected::new(sent.version, sent.vrid);
        expected.interval = sent.interval;
        expected.authentication = sent.authentication();
        expected.addresses = &sent.addresses;
        let accepted = packet.accept(&envelope, &expected).unwrap();
        let Sent { source, priority, interval, .. } = sent;
        prop_assert_eq!(accepted.advert, Advert { source, priority, interval });
        prop_assert!(!accepted.notes.interval_differs);
    }

    /// RFC 1071: one octet that differs is always noticed, except the two forms of zero.
    #[test]
    fn pf_08_a_packet_with_one_octet_changed_is_another_or_none(sent in sent(), at in any::<Index>(), octet: u8) {
        let (mut octets, envelope) = (sent.octets(), sent.envelope());
        let at = at.index(octets.len());
        prop_assume!(octets[at] != octet);
        octets[at] = octet;
        // Over IPv4 a change may turn one checksum form into the other, one in 65,536 times; then it is another packet.
        if let Ok(packet) = Packet::parse(&envelope, &octets) {
            prop_assert!(packet.version().family() == Family::V4 && packet.checksum_form() != Some(sent.form));
        }
    }

    #[test]
    fn pf_22_no_octets_panic(
        octets in vec(any::<u8>(), 0..200),
        source in family().prop_flat_map(any_address),
        destination in family().prop_flat_map(any_address),
        ttl in proptest::option::of(prop_oneof![Just(255), any::<u8>()]),
        vrid in vrid(),
        version in version(),
    ) {
        let _ = Envelope::split_ipv4(&octets);
        let envelope = Envelope { source, destination, ttl };
        if let Ok(packet) = Packet::parse(&envelope, &octets) {
            let _ = (packet.to_string(), format!("{packet:?}"), packet.addresses().count());
            let _ = packet.accept(&envelope, &Expected::new(version, vrid));
        }
    }

    /// As above with packets that are nearly right, so that the checks behind the first ones are reached.
    #[test]
    fn pf_21_pf_22_what_is_parsed_is_what_is_emitted(
        sent in sent(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in 0..4_usize,
    ) {
        let (mut octets, envelope) = (sent.octets(), sent.envelope());
        for (at, octet) in changes {
            let at = at.index(octets.len().min(12));
            octets[at] = octet;
        }
        octets.truncate(octets.len().saturating_sub(cut / 3));
        fix_checksum(&mut octets, &envelope);
        let Ok(packet) = Packet::parse(&envelope, &octets) else { return Ok(()) };
        let addresses: Vec<IpAddr> = packet.addresses().collect();
        let reserved = packet.version().number() == 3 && octets[4] & 0xf0 != 0;
        let (Some(vrid), Some(interval), false) = (packet.vrid(), packet.interval(), addresses.is_empty() || reserved)
        else {
            return Ok(());
        };
        let authentication = match (packet.auth_type(), packet.auth_data()) {
            (Some(0) | None, Some([0, 0, 0, 0, 0, 0, 0, 0]) | None) => Authentication::None,
            (Some(1), Some(data)) if *data != [0; 8] => Authentication::SimpleText(Password::new(data).unwrap()),
            _ => return Ok(()),
        };
        let repr = Repr {
            priority: packet.priority(),
            interval,
            authentication,
            ..Repr::new(packet.version(), vrid, &addresses)
        };
        let mut again = vec![0; repr.buffer_len()];
        let form = packet.checksum_form().unwrap_or(ChecksumForm::MessageOnly);
        repr.emit(envelope.source, envelope.destination, form, &mut again).unwrap();
        prop_assert_eq!(again, octets);
    }
}

/// Makes the checksum fit what the packet now says.
fn fix_checksum(octets: &mut [u8], envelope: &Envelope) {
    let Some(field) = octets.get_mut(6..8) else { return };
    field.fill(0);
    let message = vrrp_core::wire::InternetChecksum::new().with(octets);
    let Envelope { source, destination, .. } = *envelope;
    let sum = match Family::of(source) {
        Family::V4 => message,
        Family::V6 => message.join(vrrp_core::wire::InternetChecksum::pseudo_header(
            source,
            destination,
            vrrp_core::wire::PROTOCOL,
            octets.len(),
        )),
    };
    octets[6..8].copy_from_slice(&sum.field());
}

// Many virtual routers.

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
