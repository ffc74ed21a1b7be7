//! What a guardian is worth: how long after its process died the addresses are gone from the host, and another one is Active.
//!
//! `guardian --runs 100` kills an Active with an interval of 1 s a hundred times, once with this crate as the Backup and at
//! the same time, in another lab, with keepalived. `--death` takes other ways to die, `--routers 255` as many virtual
//! routers at once, `--unguarded` goes without. It prints the distributions, and fails if one is beyond `--limit`.

mod node;
mod peer;

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use vrrp_core::Instant;
use vrrp_net::ADDRESS_MARK;
use vrrp_net::lab::{Capture, Host, Interface, Lab, Process};

use self::peer::{Backup, MemoryGroup, Peer};

/// Kills an Active again and again, and prints how long it takes until another one has its addresses.
#[derive(Parser)]
#[command(name = "guardian")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// How often
    #[arg(long, default_value_t = 100)]
    runs: u32,

    /// Who is the Backup; each unless given
    #[arg(long)]
    peer: Vec<Peer>,

    /// How the process dies
    #[arg(long, value_enum, default_value = "kill")]
    death: Death,

    /// How many virtual routers there are
    #[arg(long, default_value_t = 1)]
    routers: u8,

    /// Without a guardian: the addresses are left to their lease
    #[arg(long)]
    unguarded: bool,

    /// At most this many milliseconds, each time; unless given only printed
    #[arg(long)]
    limit: Option<u64>,
}

#[derive(Subcommand)]
enum Role {
    /// What runs on each host; for the program itself
    #[command(hide = true)]
    Node(node::Arguments),
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Death {
    /// SIGKILL
    Kill,
    /// `abort(3)`
    Abort,
    /// SIGSEGV
    Segfault,
    /// By the kernel's OOM killer
    Oom,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.role {
        Some(Role::Node(node)) => node::run(node),
        None => measure(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let peers = if arguments.peer.is_empty() { Peer::value_variants() } else { &arguments.peer };
    // Labs do not see each other, and most of the time is spent waiting.
    let results = std::thread::scope(|scope| {
        let runs: Vec<_> =
            peers.iter().map(|peer| (*peer, scope.spawn(move || measure_with(arguments, *peer)))).collect();
        runs.into_iter().map(|(peer, run)| (peer, run.join())).collect::<Vec<_>>()
    });
    let mut worst = Duration::ZERO;
    for (peer, result) in results {
        let times = result.map_err(|_| anyhow::anyhow!("the runs with {peer} ended by themselves"))?;
        let Times { mut gone, mut taken_over } = times.with_context(|| format!("with {peer} as the Backup"))?;
        let what = format!("{:?}, {} virtual router(s), Backup {peer}", arguments.death, arguments.routers);
        print(&format!("{what}: addresses gone"), &mut gone);
        print(&format!("{what}: Backup Active"), &mut taken_over);
        worst = gone.into_iter().chain(taken_over).fold(worst, Duration::max);
    }
    if let Some(limit) = arguments.limit.map(Duration::from_millis) {
        anyhow::ensure!(worst <= limit, "{worst:?} is more than {limit:?}");
    }
    Ok(())
}

/// Of each run, from the death on.
#[derive(Default)]
struct Times {
    /// Until the dead host has none of the addresses.
    gone: Vec<Duration>,
    /// Until the Backup has advertised for each virtual router.
    taken_over: Vec<Duration>,
}

fn measure_with(arguments: &Arguments, peer: Peer) -> anyhow::Result<Times> {
    let lab = Lab::new()?;
    let lan = lab.bridge("lan")?;
    let (a, b) = (lab.host("a")?, lab.host("b")?);
    a.attach(&lan, "eth0", &["192.0.2.1/24"])?;
    let interface = b.attach(&lan, "eth0", &["192.0.2.2/24"])?;
    let mut backup = Backup::start(peer, &b, arguments.routers)?;
    let mut times = Times::default();
    for run in 0..arguments.runs {
        let (gone, taken_over) = die(arguments, &a, &b, &interface, run)
            .with_context(|| format!("run {run}: {:#?}", backup.last_words()))?;
        times.gone.push(gone);
        times.taken_over.push(taken_over);
    }
    Ok(times)
}

/// One death: how long it took until the addresses were gone, and until the Backup was Active.
fn die(
    arguments: &Arguments,
    a: &Host,
    b: &Host,
    interface: &Interface,
    run: u32,
) -> anyhow::Result<(Duration, Duration)> {
    let group = match arguments.death {
        Death::Oom => Some(MemoryGroup::new()?),
        Death::Kill | Death::Abort | Death::Segfault => None,
    };
    let mut command = a.command(std::env::current_exe()?);
    command.args(["node", "--priority", "200", "--routers", &arguments.routers.to_string()]);
    if !arguments.unguarded {
        command.arg("--guarded");
    }
    if let Some(group) = &group {
        command.arg("--group").arg(group.path());
    }
    command.stdin(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let expected = usize::from(arguments.routers);
    wait("the first host is Active", || Ok(served(a)? == expected && served(b)? == 0))?;
    // The Backup knows the interval, and death comes at another moment of it each time.
    std::thread::sleep(Duration::from_millis(1200 + u64::from(run * 37 % 1000)));
    let capture = interface.capture()?;
    let (died, gone) = std::thread::scope(|scope| {
        // Beside the end itself, which may return only when the kernel has taken the process apart.
        let gone = scope.spawn(|| wait("the addresses are gone", || Ok(served(a)? == 0)).map(|()| vrrp_net::now()));
        let died = end(arguments.death, &mut process, group.as_ref())?;
        let gone = gone.join().map_err(|_| anyhow::anyhow!("the look at the addresses ended by itself"))??;
        anyhow::Ok((died, gone))
    })?;
    wait("the Backup is Active", || Ok(first_adverts(&capture, interface, died).len() == expected))?;
    wait("the Backup has the addresses", || Ok(served(b)? == expected))?;
    let last = first_adverts(&capture, interface, died).into_values().max().context("no advertisement")?;
    Ok((gone.since(died), last.since(died)))
}

/// Has the process die, and returns when.
fn end(death: Death, process: &mut Process, group: Option<&MemoryGroup>) -> anyhow::Result<Instant> {
    use std::io::Write as _;
    let mut commands = process.take_stdin().context("no standard input")?;
    let word = match death {
        Death::Kill => {
            let at = vrrp_net::now();
            process.kill()?;
            return Ok(at);
        }
        Death::Abort => "abort",
        Death::Segfault => "segfault",
        Death::Oom => "oom",
    };
    writeln!(commands, "{word}")?;
    let mut at = vrrp_net::now();
    if let Some(group) = group {
        // The OOM killer comes at a time of its own, which its counter tells.
        wait("the OOM killer has come", || group.has_killed())?;
        at = vrrp_net::now();
    }
    let status = process.wait(Duration::from_secs(20))?.context("it did not die")?;
    anyhow::ensure!(!status.success(), "it ended with {status}");
    Ok(at)
}

/// How many virtual addresses a host has; keepalived of this version does not mark its own.
fn served(host: &Host) -> anyhow::Result<usize> {
    let addresses = host.addresses()?;
    let is_virtual =
        |address: &std::net::IpAddr| matches!(address, std::net::IpAddr::V4(v4) if v4.octets()[..2] == [198, 18]);
    Ok(addresses.iter().filter(|it| it.protocol == Some(ADDRESS_MARK) || is_virtual(&it.address)).count())
}

/// When the Backup first advertised each virtual router after it became Active.
fn first_adverts(capture: &Capture, interface: &Interface, since: Instant) -> BTreeMap<u8, Instant> {
    let mut first = BTreeMap::new();
    for frame in capture.frames() {
        let octet = |at: usize| frame.bytes.get(at).copied().unwrap_or_default();
        let own = frame.bytes.get(6..12) == Some(&interface.mac()[..]);
        // VRRP over IPv4: the header has no options.
        if own && octet(12) == 8 && octet(13) == 0 && octet(23) == 112 && octet(36) != 0 {
            first.entry(octet(35)).or_insert(frame.at.max(since));
        }
    }
    first
}

fn wait(what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !done()? {
        anyhow::ensure!(std::time::Instant::now() < patience, "waited in vain until {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Leaves them in order.
fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| {
        let time = times.get(times.len().saturating_sub(1) * part / 100).copied().unwrap_or_default();
        format!("{:.2}", time.as_secs_f64() * 1000.0)
    };
    println!(
        "{what}: of {}, least {} ms, median {}, 90 % {}, 99 % {}, most {}",
        times.len(),
        at(0),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}
