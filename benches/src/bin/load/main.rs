//! What it costs and how fast it is, beside keepalived: both on hosts of the lab, one after the other in one run.
//!
//! `load all` prints everything; `load --help` names the parts. Needs keepalived for what is compared with it, and no root
//! where user namespaces are allowed.

mod addresses;
mod cpu;
mod failover;
mod flood;
mod frames;
mod net;
mod node;
mod period;
mod startup;
mod subject;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures virtual routers under load, beside keepalived.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Everything, one after the other
    All,
    /// CPU time of many virtual routers, as Active and as Backup
    Cpu(cpu::Arguments),
    /// How exact the advertisement interval is
    Period(period::Arguments),
    /// How long after the protocol's bound a Backup takes over, and when it tells the hosts
    Failover(failover::Arguments),
    /// Thousands of addresses in one virtual router
    Addresses(addresses::Arguments),
    /// From exec to the first advertisement of every virtual router
    Startup(startup::Arguments),
    /// Malformed packets at a high rate
    Flood(flood::Arguments),
    /// What runs on a host; for the program itself
    #[command(hide = true)]
    Node(node::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(part: Part) -> anyhow::Result<()> {
    match part {
        Part::All => {
            startup::run(&startup::Arguments::default())?;
            period::run(&period::Arguments::default())?;
            failover::run(&failover::Arguments::default())?;
            addresses::run(&addresses::Arguments::default())?;
            flood::run(&flood::Arguments::default())?;
            cpu::run(&cpu::Arguments::default())
        }
        Part::Cpu(arguments) => cpu::run(&arguments),
        Part::Period(arguments) => period::run(&arguments),
        Part::Failover(arguments) => failover::run(&arguments),
        Part::Addresses(arguments) => addresses::run(&arguments),
        Part::Startup(arguments) => startup::run(&arguments),
        Part::Flood(arguments) => flood::run(&arguments),
        Part::Node(arguments) => node::run(&arguments),
    }
}
