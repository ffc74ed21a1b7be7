//! Properties of `step` for any parameters and any order of events, of the codec for any octets, and of `VrrpRouter` for
//! any order of calls. A failing case is shrunk and printed; it then becomes a test with a name.

mod codec;
mod router;

use core::net::IpAddr;
use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use vrrp_core::wire::{Authentication, ChecksumForm, Envelope, Expected, Packet, Password, Repr};
use vrrp_core::{
    Action, Active, Advert, After, Backup, Claimant, Event, Family, Fault, Gate, GroupId, HandOver, IfIndex,
    Initialize, Instant, Interval, Params, Phase, Preempt, Priority, Rivalry, Role, RouterId, State, Step, Transition,
    Version, VirtualRouterConfig, Vrid, VrrpRouter, Yield, step, sync_group, track,
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
    let rest = (proptest::option::weighted(0.9, address(version.family())), any::<[bool; 3]>());
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
    fn sm_27_tx_08_any_events_in_any_order_keep_actions_and_role_together(script in script(anyhow())) {
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
                        prop_assert!(asks && *claim >= now);
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

    /// Only differences of time count: what `tests/model` rests on.
    #[test]
    fn tm_12_a_shift_of_time_shifts_everything(script in script(forwards()), by in 0..1_000_000_000_000_000_u64) {
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
            let Initialize { retry_at, claimed, .. } = initialize;
            State::Initialize(Initialize { retry_at: retry_at.map(at), claimed: claimed.map(at), ..initialize })
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
            rivalry: active.rivalry.map(|rivalry| Rivalry {
                since: at(rivalry.since),
                heard_at: at(rivalry.heard_at),
                counted_at: at(rivalry.counted_at),
                ..rivalry
            }),
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
