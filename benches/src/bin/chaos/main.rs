//! Random faults, one after the other, on hosts of the lab that share addresses; after each the addresses must be right.
//!
//! `chaos --minutes 30 --seed 7` runs for half an hour. Faults are drawn from the seed, so a run that failed can be run
//! again; what the machine does in between is its own affair. Needs no root where user namespaces are allowed.

mod fault;
mod judge;
mod node;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, Subcommand};

use self::fault::{Fault, Random};
use self::world::World;

/// Breaks things at random and looks whether the virtual addresses end up on exactly one live host.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// For how long
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,

    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,

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
    let mut random = Random::new(arguments.seed);
    let mut world = World::new(arguments.interval, arguments.verbose)?;
    judge::settled(&mut world, "the start")?;
    let before = world.descriptors()?;
    let (began, mut rounds, mut slowest) = (Instant::now(), 0_u32, Duration::ZERO);
    while began.elapsed() < length {
        let fault = Fault::draw(&mut random);
        println!("{:7.1} s  round {rounds}: {fault}", began.elapsed().as_secs_f64());
        world.strike(&fault)?;
        let told = || format!("round {rounds} ({fault}); again with: chaos --seed {}", arguments.seed);
        let took = judge::settled(&mut world, &told())?;
        slowest = slowest.max(took);
        rounds += 1;
    }
    world.nothing_leaks(&before)?;
    println!(
        "{rounds} faults, seed {}: after each, one host had every address; at latest after {slowest:?}",
        arguments.seed
    );
    Ok(())
}
