//! Golden traces of the schedule, in virtual time. Each file under `schedule/` has the check, how its attempts go, what else
//! happens, and after a rule the whole trace. `UPDATE_TRACES=1 cargo test -p vrrp-ipvs --test check schedule` writes the
//! traces anew; look at what has changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use vrrp_core::Instant;
use vrrp_ipvs::check::schedule::{Action, Defaults, Event, Health, Outcome, Params, Phase, Schedule, State, step};

/// How an attempt goes: what the server does with it.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// It ends after this long.
    Ends(Duration, Outcome),
    /// No connection, and no refusal.
    Hangs,
    /// A connection after 10 ms, and then nothing.
    Mute,
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text}")))
}

/// `pass`, `fail`, `hinder` (each with a time it takes: `pass@0.5`), `hang`, `mute`; `*3` repeats.
fn attempts(text: &str) -> Vec<Attempt> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let (word, times) = word.split_once('*').map_or((word, 1), |(word, times)| (word, times.parse().unwrap()));
        let (name, takes) = word.split_once('@').unwrap_or((word, "0"));
        let attempt = match name {
            "pass" => Attempt::Ends(seconds(takes), Outcome::Passed),
            "fail" => Attempt::Ends(seconds(takes), Outcome::Failed),
            "hinder" => Attempt::Ends(seconds(takes), Outcome::Hindered),
            "hang" => Attempt::Hangs,
            "mute" => Attempt::Mute,
            other => panic!("no attempt: {other}"),
        };
        all.extend(std::iter::repeat_n(attempt, times));
    }
    all
}

fn params(text: &str) -> Params {
    let mut schedule = Schedule { warmup: Some(Duration::ZERO), ..Schedule::default() };
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "delay_loop" => schedule.delay_loop = seconds(value),
            "retry" => schedule.retry = Some(value.parse().unwrap()),
            "delay_before_retry" => schedule.delay_before_retry = Some(seconds(value)),
            "connect_timeout" => schedule.connect_timeout = seconds(value),
            "reply_timeout" => schedule.reply_timeout = Some(seconds(value)),
            "warmup" => schedule.warmup = Some(seconds(value)),
            "rise" => schedule.rise = value.parse().unwrap(),
            "fall" => schedule.fall = value.parse().unwrap(),
            "alpha" => schedule.alpha = true,
            other => panic!("no parameter: {other}"),
        }
    }
    schedule.resolve(Defaults { retry: 1, delay_before_retry: Some(Duration::from_secs(1)) }).unwrap()
}

/// One check in virtual time.
struct World {
    params: Params,
    state: State,
    now: Instant,
    attempts: Vec<Attempt>,
    /// What the running attempt will come to.
    coming: Vec<(Instant, Event)>,
    trace: String,
}

impl World {
    fn say(&mut self, what: &str) {
        let [seconds, millis] = [self.now.as_nanos() / 1_000_000_000, self.now.as_nanos() / 1_000_000 % 1000];
        writeln!(self.trace, "{seconds:4}.{millis:03} {what}").unwrap();
    }

    fn give(&mut self, event: Event) {
        let step = step(&self.params, self.state, self.now, event);
        self.state = step.state;
        for action in step.actions.into_iter().flatten() {
            match action {
                Action::Attempt => {
                    let attempt = if self.attempts.len() > 1 { self.attempts.remove(0) } else { self.attempts[0] };
                    self.say(&format!("attempt: {attempt:?}"));
                    match attempt {
                        Attempt::Ends(takes, outcome) => {
                            self.coming.push((self.now + takes, Event::Finished(outcome)));
                        }
                        Attempt::Hangs => {}
                        Attempt::Mute => self.coming.push((self.now + Duration::from_millis(10), Event::Connected)),
                    }
                }
                Action::Expire => {
                    self.say("took too long");
                    self.coming.clear();
                    self.give(Event::Finished(Outcome::Failed));
                }
                Action::Abandon => {
                    self.say("abandoned");
                    self.coming.clear();
                }
                Action::Report(Health::Up) => self.say("UP"),
                Action::Report(Health::Down) => self.say("DOWN"),
                other => panic!("no such action: {other:?}"),
            }
        }
    }

    /// Everything that happens until `end`, which is not past what comes next.
    fn run(&mut self, end: Instant) {
        loop {
            let coming = self.coming.first().map(|(at, _)| *at);
            let deadline = self.state.deadline();
            let Some(at) = coming.into_iter().chain(deadline).min().filter(|at| *at < end) else { break };
            self.now = at;
            if coming == Some(at) {
                let (_, event) = self.coming.remove(0);
                self.give(event);
            } else {
                self.give(Event::Timeout);
            }
        }
        self.now = end;
    }
}

fn replay(script: &str) -> String {
    let (head, _) = script.split_once("----\n").expect("a trace after a rule");
    let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let params = params(line("check "));
    let mut world = World {
        params,
        state: State::new(&params),
        now: Instant::ZERO,
        attempts: attempts(line("attempts ")),
        coming: Vec::new(),
        trace: String::new(),
    };
    for line in head.lines().filter_map(|line| line.strip_prefix("at ")) {
        let (at, what) = line.split_once(' ').unwrap();
        world.run(Instant::ZERO + seconds(at));
        let (name, delay) = what.split_once(' ').unwrap_or((what, "0"));
        world.say(what);
        world.give(match name {
            "start" => Event::Start(seconds(delay)),
            "stop" => Event::Stop,
            "suspend" => Event::Suspend,
            "resume" => Event::Resume(seconds(delay)),
            "changed" => Event::Changed,
            "told-up" => Event::Told(Health::Up),
            "told-down" => Event::Told(Health::Down),
            "end" => break,
            other => panic!("nothing: {other}"),
        });
    }
    format!("{head}----\n{}", world.trace)
}

#[test]
fn every_trace_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/schedule");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} traces", files.len());
    let mut problems = String::new();
    for path in files {
        let expected = fs::read_to_string(&path).unwrap();
        let got = replay(&expected);
        if got != expected && std::env::var_os("UPDATE_TRACES").is_some() {
            fs::write(&path, got).unwrap();
        } else if got != expected {
            let differs = expected.lines().zip(got.lines()).find(|(expected, got)| expected != got);
            writeln!(problems, "{}: {differs:?}\n{got}", path.display()).unwrap();
        }
    }
    assert!(problems.is_empty(), "{problems}UPDATE_TRACES=1 writes the traces anew");
}

#[test]
fn a_check_without_options_has_keepalived_s_timing() {
    let defaults = Defaults { retry: 3, delay_before_retry: None };
    let params = Schedule::default().resolve(defaults).unwrap();
    let minute = Duration::from_secs(60);
    let five = Duration::from_secs(5);
    assert_eq!(
        params,
        Params {
            delay_loop: minute,
            retry: 3,
            delay_before_retry: minute,
            connect_timeout: five,
            reply_timeout: five,
            warmup: minute,
            rise: 1,
            fall: 1,
            alpha: false
        }
    );
}

#[test]
fn a_timing_that_never_rests_or_never_ends_is_refused_with_its_name() {
    let defaults = Defaults { retry: 1, delay_before_retry: None };
    let refused = |schedule: Schedule| schedule.resolve(defaults).unwrap_err().to_string();
    let zero = Duration::ZERO;
    assert_eq!(
        refused(Schedule { delay_loop: zero, ..Schedule::default() }),
        "delay_loop 0ns is too short: at least 1ms"
    );
    assert_eq!(
        refused(Schedule { connect_timeout: zero, ..Schedule::default() }),
        "connect_timeout 0ns is too short: at least 1ms"
    );
    assert_eq!(refused(Schedule { rise: 0, ..Schedule::default() }), "rise 0 is not 1 or more");
    assert_eq!(refused(Schedule { fall: 0, ..Schedule::default() }), "fall 0 is not 1 or more");
}

#[test]
fn the_schedule_is_total_whatever_comes_in_whatever_phase() {
    let base = params("delay_loop=2 retry=1");
    let events = [
        Event::Start(Duration::ZERO),
        Event::Stop,
        Event::Timeout,
        Event::Connecting,
        Event::Connected,
        Event::Finished(Outcome::Passed),
        Event::Finished(Outcome::Failed),
        Event::Finished(Outcome::Hindered),
        Event::Told(Health::Up),
        Event::Told(Health::Down),
        Event::Suspend,
        Event::Resume(Duration::MAX),
    ];
    for alpha in [false, true] {
        let params = Params { alpha, ..base };
        let now = Instant::FAR_FUTURE - Duration::from_secs(1);
        let mut states = vec![State::new(&params)];
        let mut at = 0;
        while at < states.len() {
            for event in events {
                let after = step(&params, states[at], now, event);
                // An attempt is asked for only where one then runs, and an end only where one ran.
                let runs = matches!(after.state.phase, Phase::Running { .. });
                let asked = after.actions.contains(&Some(Action::Attempt));
                assert!(!asked || runs, "{event:?} in {:?}", states[at]);
                if !states.contains(&after.state) && states.len() < 2000 {
                    states.push(after.state);
                }
            }
            at += 1;
        }
        assert!(states.len() > 10, "{} states", states.len());
    }
}
