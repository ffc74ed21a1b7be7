//! How many instructions the crates execute: what a busy machine does not change.
//!
//! `cargo bench -p benches --bench instructions`. valgrind counts them, called by gungraun. Where one of them is not
//! installed that is said, and is no failure.

use std::process::{Command, ExitCode};
use std::{env, io};

mod common {
    pub(crate) mod checks;
    pub(crate) mod hmac;
    pub(crate) mod ipvs;
    pub(crate) mod queue;
    pub(crate) mod step;
    pub(crate) mod wire;
}

/// gungraun refuses a runner of another version than its own, which the workspace's manifest has.
const VERSION: &str = "0.20.0";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--gungraun-run") {
        counted::run();
        return ExitCode::SUCCESS;
    }
    // Only `cargo bench` says so. A test has nothing to count.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    if let Some(missing) = missing() {
        println!("instructions: not counted, there is no {missing}");
        return ExitCode::SUCCESS;
    }
    let names: Vec<_> = arguments.into_iter().filter(|argument| argument != "--bench").collect();
    if names.is_empty() || names.iter().any(|name| name.starts_with('-') || name.contains('*')) {
        counted::run();
        return ExitCode::SUCCESS;
    }
    // The other benchmarks take parts of names, gungraun one pattern for the whole of a name.
    for name in names {
        if let Err(error) = count(&name) {
            eprintln!("instructions: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What must be installed first, and how.
fn missing() -> Option<String> {
    let valgrind = env::var("GUNGRAUN_VALGRIND_BIN").unwrap_or_else(|_| "valgrind".to_owned());
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    if version(&valgrind).is_none() {
        return Some("valgrind: apt-get install valgrind".to_owned());
    }
    let same = version(runner).is_some_and(|version| version.trim().ends_with(&format!(" {VERSION}")));
    (!same).then(|| format!("gungraun-runner {VERSION}: cargo install gungraun-runner --version ={VERSION} --locked"))
}

/// What the program says of its version; none if it cannot be run.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Counts what has this in its name.
fn count(name: &str) -> io::Result<()> {
    let status = Command::new(env::current_exe()?).arg("--bench").arg(format!("*{name}*")).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}

/// What is counted. What a function is given was made before, and what it returns is dropped afterwards.
// What gungraun generates is full of them.
#[allow(unused_qualifications)]
mod counted {
    use std::hint::black_box;
    use std::net::IpAddr;

    use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
    use vrrp_core::hmac::{Authenticator, Key, Received};
    use vrrp_core::wire::{Accepted, ChecksumForm, Envelope, Expected, Packet, Repr};
    use vrrp_core::{Step, VrrpRouter};
    use vrrp_ipvs::check::schedule::{self, Outcome};
    use vrrp_ipvs::{Plan, ServiceStatus, Table};

    use super::common::checks as health;
    use super::common::hmac::{self as signing, WALL, authenticator, key};
    use super::common::ipvs::{in_the_kernel, table};
    use super::common::queue::{Hearing, actives, advertise};
    use super::common::step::{self as given, Given};
    use super::common::wire::{Advertised, Case};

    pub(super) fn run() {
        main();
    }

    /// For what others borrow, to the end of the process.
    fn leak<T>(value: T) -> &'static mut T {
        Box::leak(Box::new(value))
    }

    struct Datagram {
        envelope: Envelope,
        payload: Vec<u8>,
        expected: Expected<'static>,
    }

    fn datagram(case: Case) -> &'static Datagram {
        let advertised = leak(Advertised::new(case));
        let (envelope, payload) = (advertised.envelope, advertised.payload());
        leak(Datagram { envelope, payload, expected: advertised.expected() })
    }

    // From the payload of the datagram to the event for the election.
    #[library_benchmark(setup = datagram)]
    #[bench::v3_one_address(Case::V3OneAddress)]
    #[bench::v3_pseudo_header(Case::V3PseudoHeader)]
    #[bench::v2_password(Case::V2Password)]
    #[bench::v3_all_addresses(Case::V3AllAddresses)]
    fn parse_and_accept(given: &'static Datagram) -> Accepted {
        let Datagram { envelope, payload, expected } = given;
        Packet::parse(envelope, payload).unwrap().accept(envelope, expected).unwrap()
    }

    struct Message {
        repr: Repr<'static>,
        advertised: &'static Advertised,
        buffer: [u8; Repr::MAX_LEN],
    }

    fn message(case: Case) -> &'static mut Message {
        let advertised: &'static Advertised = leak(Advertised::new(case));
        leak(Message { repr: advertised.repr(), advertised, buffer: [0; Repr::MAX_LEN] })
    }

    // From the fields to the payload, with its checksum.
    #[library_benchmark(setup = message)]
    #[bench::v3_one_address(Case::V3OneAddress)]
    #[bench::v3_pseudo_header(Case::V3PseudoHeader)]
    #[bench::v2_password(Case::V2Password)]
    #[bench::v3_all_addresses(Case::V3AllAddresses)]
    fn emit(given: &'static mut Message) -> usize {
        let Message { repr, advertised, buffer } = given;
        let Envelope { source, destination, .. } = advertised.envelope;
        repr.emit(source, destination, advertised.form, buffer).unwrap()
    }

    struct Signed {
        source: IpAddr,
        packet: Packet<'static>,
        key: Key,
    }

    fn signed(case: signing::Case) -> &'static Signed {
        let advertised = leak(signing::Advertised::new(case));
        let payload = leak(advertised.payload());
        let packet = Packet::parse_signed(&advertised.envelope, payload).unwrap();
        leak(Signed { source: advertised.envelope.source, packet, key: key() })
    }

    // The code alone.
    #[library_benchmark(setup = signed)]
    #[bench::one_address(signing::Case::OneAddress)]
    #[bench::full_frame(signing::Case::FullFrame)]
    fn verify(given: &'static Signed) -> bool {
        given.packet.is_signed_by(given.source, &given.key)
    }

    struct SignedDatagram {
        envelope: Envelope,
        payload: Vec<u8>,
        expected: Expected<'static>,
        hmac: Authenticator,
    }

    fn signed_datagram(case: signing::Case) -> &'static SignedDatagram {
        let advertised = leak(signing::Advertised::new(case));
        let (envelope, payload) = (advertised.envelope, advertised.payload());
        leak(SignedDatagram { envelope, payload, expected: advertised.expected(), hmac: authenticator() })
    }

    // From the payload of the datagram to the event for the election.
    #[library_benchmark(setup = signed_datagram)]
    #[bench::one_address(signing::Case::OneAddress)]
    #[bench::full_frame(signing::Case::FullFrame)]
    fn receive(given: &'static SignedDatagram) -> Received {
        let SignedDatagram { envelope, payload, expected, hmac } = given;
        hmac.receive(WALL, envelope, payload, expected).unwrap()
    }

    struct SignedMessage {
        repr: Repr<'static>,
        envelope: Envelope,
        hmac: Authenticator,
        buffer: [u8; Repr::MAX_SIGNED_LEN],
    }

    fn signed_message(case: signing::Case) -> &'static mut SignedMessage {
        let advertised = leak(signing::Advertised::new(case));
        let (repr, envelope) = (advertised.repr(), advertised.envelope);
        leak(SignedMessage { repr, envelope, hmac: authenticator(), buffer: [0; Repr::MAX_SIGNED_LEN] })
    }

    // From the fields to the payload with its trailer.
    #[library_benchmark(setup = signed_message)]
    #[bench::one_address(signing::Case::OneAddress)]
    #[bench::full_frame(signing::Case::FullFrame)]
    fn sign(given: &'static mut SignedMessage) -> usize {
        let SignedMessage { repr, envelope: Envelope { source, destination, .. }, hmac, buffer } = given;
        let stamp = hmac.stamp(WALL);
        hmac.emit(stamp, repr, *source, *destination, ChecksumForm::PseudoHeader, buffer).unwrap()
    }

    #[library_benchmark]
    #[bench::backup_hears_the_active(leak(given::backup_hears_the_active()))]
    #[bench::active_timeout(leak(given::active_timeout()))]
    #[bench::active_yields(leak(given::active_yields()))]
    fn transition(given: &'static mut Given) -> Step {
        vrrp_core::step(&given.params, given.state, given.now, given.event)
    }

    /// So many events are counted together, since one that moves far in the queue costs more than most.
    const EVENTS: u32 = 1000;

    fn hearing(count: usize) -> &'static mut Hearing {
        leak(Hearing::new(count, 1))
    }

    // Backups hear their Actives: parse, accept, step, and the next deadline.
    #[library_benchmark(setup = hearing)]
    #[bench::of_10(10)]
    #[bench::of_1000(1_000)]
    #[bench::of_10000(10_000)]
    #[bench::of_65000(65_000)]
    fn thousand_adverts(hearing: &'static mut Hearing) {
        for _ in 0..EVENTS {
            black_box(hearing.hear());
        }
    }

    fn active_routers(count: usize) -> &'static mut VrrpRouter {
        leak(actives(count))
    }

    // Actives advertise: step, the advertisement's action, and the next deadline.
    #[library_benchmark(setup = active_routers)]
    #[bench::of_10(10)]
    #[bench::of_1000(1_000)]
    #[bench::of_10000(10_000)]
    #[bench::of_65000(65_000)]
    fn thousand_timeouts(router: &'static mut VrrpRouter) {
        for _ in 0..EVENTS {
            black_box(advertise(router));
        }
    }

    type Tables = (Table, Vec<ServiceStatus>);

    /// After one plan, since the first of a process costs more or less with the memory that the allocator has at hand.
    fn planned(actual: Vec<ServiceStatus>) -> &'static Tables {
        let tables = leak((table(), actual));
        drop(vrrp_ipvs::plan(&tables.0, &tables.1, |_| true));
        tables
    }

    // 1,000 services of 10 destinations: nothing to do, and all of it.
    #[library_benchmark(setup = planned)]
    #[bench::against_itself(in_the_kernel())]
    #[bench::from_empty(Vec::new())]
    fn plan(given: &'static Tables) -> Plan<'static> {
        let (table, actual) = given;
        vrrp_ipvs::plan(table, actual, |_| true)
    }

    /// What the schedule of a health check is given.
    struct Attempt {
        params: schedule::Params,
        state: schedule::State,
        now: vrrp_core::Instant,
        event: schedule::Event,
    }

    fn due() -> &'static mut Attempt {
        let params = health::params();
        let state = health::waiting(&params);
        leak(Attempt { params, state, now: vrrp_core::Instant::ZERO, event: schedule::Event::Timeout })
    }

    fn ended(outcome: Outcome) -> &'static mut Attempt {
        let params = health::params();
        let (state, now) = health::running(&params);
        leak(Attempt { params, state, now, event: schedule::Event::Finished(outcome) })
    }

    #[library_benchmark]
    #[bench::step_timeout(due())]
    #[bench::step_passed(ended(Outcome::Passed))]
    #[bench::step_failed(ended(Outcome::Failed))]
    fn schedule_step(given: &'static mut Attempt) -> schedule::Step {
        schedule::step(&given.params, given.state, given.now, given.event)
    }

    library_benchmark_group!(name = wire, benchmarks = [parse_and_accept, emit]);
    library_benchmark_group!(name = hmac, benchmarks = [verify, receive, sign]);
    library_benchmark_group!(name = step, benchmarks = [transition]);
    library_benchmark_group!(name = queue, benchmarks = [thousand_adverts, thousand_timeouts]);
    library_benchmark_group!(name = ipvs, benchmarks = [plan]);
    library_benchmark_group!(name = checks, benchmarks = [schedule_step]);

    main!(
        config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
        library_benchmark_groups = [wire, hmac, step, queue, ipvs, checks]
    );
}
