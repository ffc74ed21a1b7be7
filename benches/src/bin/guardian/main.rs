//! The kinds of death: how long after its process died the addresses are gone from the host, and another one is Active.
//!
//! `guardian --runs 100` has an Active with a guardian and an interval of 1 s abort a hundred times, once with this crate as the
//! Backup and at the same time, in another lab, with keepalived. `--death` takes other ways to die, `--routers 255` as many
//! virtual routers at once. It prints the distributions, and fails if one is beyond `--limit`. `kill -9` is what `versus`
//! measures.

mod group;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use benches::frames::adverts;
use benches::net::Net;
use benches::node::{self, is_virtual};
use benches::statistics::{most, quantile};
use benches::subject::{Running, Subject};
use clap::{Parser, Subcommand, ValueEnum};
use vrrp_core::Instant;
use vrrp_net::lab::{Capture, Host};

use self::group::MemoryGroup;

/// Has an Active die again and again, and prints how long it takes until another one has its addresses.
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

    /// The keepalived
    #[arg(long, default_value = "keepalived")]
    keepalived: PathBuf,

    /// How the process dies
    #[arg(long, value_enum, default_value = "abort")]
    death: Death,

    /// How many virtual routers there are
    #[arg(long, default_value_t = 1)]
    routers: u8,

    /// At most this many milliseconds, each time; unless given only printed
    #[arg(long)]
    limit: Option<f64>,
}

#[derive(Subcommand)]
enum Role {
    /// What runs on each host; for the program itself
    #[command(hide = true)]
    Node(node::Arguments),
}

/// Who is the Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// This crate
    Ours,
    /// keepalived, VRRPv3
    Keepalived,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Keepalived => "keepalived",
        })
    }
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Death {
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
    let mut worst = 0.0_f64;
    for (peer, result) in results {
        let times = result.map_err(|_| anyhow::anyhow!("the runs with {peer} ended by themselves"))?;
        let Times { gone, taken_over } = times.with_context(|| format!("with {peer} as the Backup"))?;
        let what = format!("{:?}, {} virtual router(s), Backup {peer}", arguments.death, arguments.routers);
        print(&format!("{what}: addresses gone"), &gone);
        print(&format!("{what}: Backup Active"), &taken_over);
        worst = worst.max(most(&gone).unwrap_or_default()).max(most(&taken_over).unwrap_or_default());
    }
    if let Some(limit) = arguments.limit {
        anyhow::ensure!(worst <= limit, "{worst:.2} ms is more than {limit} ms");
    }
    Ok(())
}

/// Of each run, from the death on, in milliseconds.
#[derive(Default)]
struct Times {
    /// Until the dead host has none of the addresses.
    gone: Vec<f64>,
    /// Until the Backup has advertised for each virtual router.
    taken_over: Vec<f64>,
}

fn measure_with(arguments: &Arguments, peer: Peer) -> anyhow::Result<Times> {
    let net = Net::new(2, 1)?;
    let own = node::Arguments { interval: 100, on_each: 255, ..node::Arguments::new(u16::from(arguments.routers)) };
    let subject = match peer {
        Peer::Ours => Subject::Ours,
        Peer::Keepalived => Subject::Keepalived(arguments.keepalived.clone()),
    };
    let backup = Running::start(&subject, net.host(2)?, &own)?;
    let mut times = Times::default();
    for run in 0..arguments.runs {
        let (gone, taken_over) = die(arguments.death, &net, &own, run)
            .with_context(|| format!("run {run}; the Backup says: {}", backup.last_words()))?;
        times.gone.push(gone.as_secs_f64() * 1e3);
        times.taken_over.push(taken_over.as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// One death: how long it took until the addresses were gone, and until the Backup was Active.
fn die(death: Death, net: &Net, own: &node::Arguments, run: u32) -> anyhow::Result<(Duration, Duration)> {
    let group = match death {
        Death::Oom => Some(MemoryGroup::new()?),
        Death::Abort | Death::Segfault => None,
    };
    let path = group.as_ref().map(|group| group.path().to_owned());
    let active = node::Arguments { guarded: true, obey: true, group: path, ..own.better() };
    let (a, b) = (net.host(1)?, net.host(2)?);
    let mut running = Running::start(&Subject::Ours, a, &active)?;
    let expected = usize::from(own.routers);
    wait("the first host is Active", || Ok(served(a)? == expected && served(b)? == 0))?;
    // The Backup knows the interval, and death comes at another moment of it each time.
    std::thread::sleep(Duration::from_millis(1200 + u64::from(run * 37 % 1000)));
    let capture = net.cable(2)?.capture()?;
    let (died, gone) = std::thread::scope(|scope| {
        // Beside the end itself, which may return only when the kernel has taken the process apart.
        let gone = scope.spawn(|| wait("the addresses are gone", || Ok(served(a)? == 0)).map(|()| vrrp_net::now()));
        let died = end(death, &mut running, group.as_ref())?;
        let gone = gone.join().map_err(|_| anyhow::anyhow!("the look at the addresses ended by itself"))??;
        anyhow::Ok((died, gone))
    })?;
    wait("the Backup is Active", || Ok(first_adverts(&capture, died).len() == expected))?;
    wait("the Backup has the addresses", || Ok(served(b)? == expected))?;
    let last = first_adverts(&capture, died).into_values().max().context("no advertisement")?;
    Ok((gone.since(died), last.since(died)))
}

/// Has the process die, and returns when.
fn end(death: Death, running: &mut Running, group: Option<&MemoryGroup>) -> anyhow::Result<Instant> {
    running.tell(match death {
        Death::Abort => "abort",
        Death::Segfault => "segfault",
        Death::Oom => "oom",
    })?;
    let mut at = vrrp_net::now();
    if let Some(group) = group {
        // The OOM killer comes at a time of its own, which its counter tells.
        wait("the OOM killer has come", || group.has_killed())?;
        at = vrrp_net::now();
    }
    let status = running.wait(Duration::from_secs(20))?;
    anyhow::ensure!(!status.success(), "it ended with {status}");
    Ok(at)
}

/// How many virtual addresses a host has.
fn served(host: &Host) -> anyhow::Result<usize> {
    let is_virtual = |address: std::net::IpAddr| matches!(address, std::net::IpAddr::V4(v4) if is_virtual(v4));
    Ok(host.addresses()?.iter().filter(|it| is_virtual(it.address)).count())
}

/// When the Backup first advertised each virtual router after it became Active.
fn first_adverts(capture: &Capture, since: Instant) -> BTreeMap<u8, Instant> {
    let mut first = BTreeMap::new();
    for advert in adverts(&capture.frames()).iter().filter(|advert| advert.host() == 2 && advert.priority > 0) {
        first.entry(advert.vrid).or_insert(advert.at.max(since));
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

fn print(what: &str, times: &[f64]) {
    let at = |part: f64| format!("{:.2}", quantile(times, part).unwrap_or_default());
    println!(
        "{what}: of {}, least {} ms, median {}, 90 % {}, 99 % {}, most {}",
        times.len(),
        at(0.0),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
