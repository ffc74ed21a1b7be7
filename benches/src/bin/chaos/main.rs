//! Random faults, one after the other, on hosts of the lab that share addresses; after each the addresses must be right.
//!
//! `chaos --minutes 30 --seed 7` runs for half an hour. Faults are drawn from the seed, so a run that failed can be run
//! again; what the machine does in between is its own affair. Needs no root where user namespaces are allowed.

mod client;
mod fault;
mod host;
mod judge;
mod node;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, Subcommand};

use self::fault::{Random, Round};
use self::world::World;

/// Breaks things at random and looks whether the virtual addresses end up on exactly one live host.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// For how many minutes
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,

    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many rounds, whatever --minutes says: to see a failure again
    #[arg(long)]
    rounds: Option<u32>,

    /// Advertisement interval in centiseconds
    #[arg(long, default_value_t = 10)]
    interval: u64,

    /// Say what every host says
    #[arg(long)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Role {
    /// What runs on each host; for the program itself
    #[command(hide = true)]
    Node(node::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.role {
        Some(Role::Node(node)) => node::run(node),
        None => break_things(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn break_things(arguments: &Arguments) -> anyhow::Result<()> {
    let length = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes must be a length of time")?;
    let own = own_descriptors()?;
    let mut random = Random::new(arguments.seed);
    let mut world = World::new(arguments.interval, arguments.verbose)?;
    judge::settled(&mut world, "the start")?;
    let descriptors = world.descriptors()?;
    let (began, mut done, mut slowest) = (Instant::now(), 0_u32, Duration::ZERO);
    let goes_on = |done: u32| arguments.rounds.map_or_else(|| began.elapsed() < length, |rounds| done < rounds);
    while goes_on(done) {
        let round = Round::draw(&mut random);
        done += 1;
        println!("{:7.1} s  round {done}: {round}", began.elapsed().as_secs_f64());
        let told = format!(
            "round {done} ({round}); again with: chaos --seed {} --interval {} --rounds {done}",
            arguments.seed, arguments.interval
        );
        world.strike(&round).with_context(|| told.clone())?;
        slowest = slowest.max(judge::settled(&mut world, &told)?);
        world.leaks(descriptors).context(told)?;
    }
    world.end_all().context("at the end")?;
    let left = own_descriptors()?;
    anyhow::ensure!(left <= own, "the lab left {} descriptors open in this process", left - own);
    println!(
        "{done} rounds, seed {}: after each, one host had every address; at latest after {slowest:?}; nothing leaked",
        arguments.seed
    );
    Ok(())
}

/// Of this process, which holds the network namespaces by them.
fn own_descriptors() -> anyhow::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
