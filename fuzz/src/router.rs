//! `step` with any parameters, and any events in any order at any time: it never panics, its actions fit the role, and after
//! a timeout nothing is due.

use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use vrrp_core::{
    Action, Advert, After, Event, Fault, Gate, HandOver, Instant, Params, Phase, Preempt, Priority, Role, State, Step,
    Transition, Version, Yield, step,
};

use crate::roundtrip::{host, interval, version};

/// One router's life.
#[derive(Debug)]
pub struct Life {
    params: Params,
    happenings: Vec<(When, Happening)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum When {
    /// So many milliseconds after the one before.
    After(u16),
    /// At the deadline, or so many nanoseconds before or after it.
    Deadline(i8),
    /// Anywhere in time, also in the past.
    At(u64),
}

#[derive(Clone, Debug)]
enum Happening {
    Event(Event),
    /// The answer to the last [`Action::Prepare`].
    Answer(bool),
    NewParams(Params),
}

impl<'a> Arbitrary<'a> for Life {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let version = version(u)?;
        let params = params(u, version)?;
        let mut happenings = Vec::new();
        while !u.is_empty() && happenings.len() < 200 {
            happenings.push((u.arbitrary()?, happening(u, version)?));
        }
        Ok(Self { params, happenings })
    }
}

fn duration(u: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Duration::ZERO,
        1 => Duration::from_nanos(1),
        2 => Duration::MAX,
        3 => Duration::from_nanos(u.arbitrary()?),
        _ => Duration::from_millis(u.arbitrary::<u16>()?.into()),
    })
}

fn maybe<'a, T>(u: &mut Unstructured<'a>, some: impl FnOnce(&mut Unstructured<'a>) -> Result<T>) -> Result<Option<T>> {
    if u.arbitrary()? { some(u).map(Some) } else { Ok(None) }
}

fn priority(u: &mut Unstructured<'_>) -> Result<Priority> {
    Ok(Priority::new(u.int_in_range(1..=255)?).unwrap())
}

fn params(u: &mut Unstructured<'_>, version: Version) -> Result<Params> {
    let mut params = Params::new(version)
        .with_priority(priority(u)?)
        .with_advert_interval(interval(u, version)?)
        .unwrap()
        .with_accept_mode(u.arbitrary()?)
        .with_answer_rivals(u.arbitrary()?)
        .with_learn_v2_interval(u.arbitrary()?)
        .with_yield(*u.choose(&[Yield::Auto, Yield::Never, Yield::WhenDegraded])?)
        .with_re_election(duration(u)?)
        .with_settle(maybe(u, duration)?)
        .with_fault_hold(duration(u)?)
        .with_gate(maybe(u, |u| Ok(Gate { timeout: duration(u)?, back_off: duration(u)? }))?)
        .with_hand_over(HandOver { interval: interval(u, Version::V3(version.family()))?, deadline: duration(u)? })
        .with_preempt(match u.int_in_range(0..=2)? {
            0 => Preempt::Immediately,
            1 => Preempt::Never,
            _ => Preempt::After(duration(u)?),
        })
        .with_primary_address(maybe(u, |u| host(u, version.family()))?)
        .unwrap();
    if let Some(effective) = maybe(u, priority)? {
        params = params.with_effective_priority(effective);
    }
    Ok(params)
}

fn happening(u: &mut Unstructured<'_>, version: Version) -> Result<Happening> {
    let event = match u.int_in_range(0..=18)? {
        0 | 1 => Event::Startup,
        2 => Event::Shutdown,
        3..=6 => Event::Timeout,
        7..=10 => Event::Advert(Advert {
            source: host(u, version.family())?,
            priority: Priority::from_wire(u.arbitrary()?),
            interval: interval(u, version)?,
        }),
        11 => Event::Fault(*u.choose(&Fault::ALL)?),
        12 => Event::Recovered(*u.choose(&Fault::ALL)?),
        13 => return Ok(Happening::NewParams(params(u, version)?)),
        14 | 15 => return Ok(Happening::Answer(u.arbitrary()?)),
        16 => Event::HandOver(*u.choose(&[After::Leave, After::Stay])?),
        17 => Event::StepDown,
        _ if u.arbitrary()? => Event::Confirm(Instant::from_nanos(u.arbitrary()?)),
        _ => Event::Refuse(Instant::from_nanos(u.arbitrary()?)),
    };
    Ok(Happening::Event(event))
}

/// Lives it.
pub fn run(life: &Life) {
    let (mut params, mut state, mut now, mut asked) = (life.params, State::new(), Instant::ZERO, Instant::ZERO);
    let mut addresses = false;
    for (when, happening) in &life.happenings {
        let deadline = state.deadline().map_or(now, |(at, _)| at);
        now = match when {
            When::After(millis) => now + Duration::from_millis((*millis).into()),
            When::Deadline(by) => Instant::from_nanos(deadline.as_nanos().saturating_add_signed((*by).into())),
            When::At(nanos) => Instant::from_nanos(*nanos),
        };
        let event = match happening {
            Happening::Event(event) => *event,
            Happening::Answer(true) => Event::Confirm(asked),
            Happening::Answer(false) => Event::Refuse(asked),
            Happening::NewParams(changed) => {
                params = *changed;
                Event::Reconfigured
            }
        };
        let result = step(&params, state, now, event);
        assert_eq!(step(&params, state, now, event), result, "the same again gives something else");
        check(&params, state, now, event, &result, &mut addresses);
        for action in result.actions {
            if let Action::Prepare(claim) = action {
                asked = claim;
            }
        }
        state = result.state;
    }
}

/// What holds for every step.
fn check(params: &Params, before: State, now: Instant, event: Event, result: &Step, addresses: &mut bool) {
    let (from, to) = (before.role(), result.state.role());
    let mut transitions = Vec::new();
    for action in result.actions {
        match action {
            Action::InstallAddresses => {
                assert!(!*addresses, "installed twice");
                *addresses = true;
                if params.gate().is_some() || from == Role::Claimant {
                    let State::Claimant(claimant) = before else { panic!("a gated router installed as it liked") };
                    assert_eq!(event, Event::Confirm(claimant.since));
                }
            }
            Action::RemoveAddresses => *addresses = false,
            Action::Announce => assert!(*addresses, "announced without being there"),
            Action::SendAdvert(claim) if claim.priority.is_none() => {
                assert!(matches!(from, Role::Claimant | Role::Active), "{from} resigns");
                let serves_on = matches!(result.state, State::Active(active) if active.phase != Phase::Advertising);
                assert!(serves_on || (!*addresses && to != Role::Active), "it resigns and stays");
            }
            Action::SendAdvert(claim) => assert!(claim.interval <= params.advert_interval()),
            // Its name is the time, or a later one if that may have been the name of a claim before.
            Action::Prepare(claim) => {
                assert!(claim >= now, "a claim of {now} is named {claim}");
                assert!(matches!(result.state, State::Claimant(claimant) if claimant.since == claim));
            }
            Action::Transition(Transition { from, to, .. }) => transitions.push((from, to)),
            _ => {}
        }
    }
    assert_eq!(*addresses, to == Role::Active, "the addresses are there if and only if Active");
    assert_eq!(transitions, Vec::from_iter((from != to).then_some((from, to))));
    if let (Event::Timeout, Some((at, timer))) = (event, result.state.deadline()) {
        assert!(at > now || at == Instant::FAR_FUTURE, "{timer:?} is due at {at}, it is {now}");
    }
    // The types are plain: what was stored can be compared.
    let _ = format!("{result:?}");
}
