//! This library beside keepalived, in one run on one machine: both on hosts of the lab, in turns.
//!
//! `versus` measures everything; `--only` one thing, `--quick` the whole in under a minute. What is demanded is in
//! `targets.rs`. `versus growth` shows what an event costs as there is more of everything. It needs keepalived, and no root
//! where user namespaces are allowed.

mod addresses;
mod chart;
mod cpu;
mod crash;
mod failover;
mod flood;
mod floors;
mod growth;
mod jitter;
mod memory;
mod report;
mod row;
mod startup;
mod svg;
mod targets;
mod turns;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use benches::node;
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

use self::row::Row;
use self::turns::Turns;

/// Measures this library beside keepalived.
#[derive(Parser)]
#[command(name = "versus", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// The keepalived to compare with
    #[arg(long, default_value = "keepalived")]
    peer: PathBuf,

    /// Only this; may be given more than once
    #[arg(long, value_parser = PossibleValuesParser::new(MEASURES.iter().map(|(name, _)| *name)))]
    only: Vec<String>,

    /// Fewer sizes and rounds: the whole in under a minute
    #[arg(long)]
    quick: bool,

    /// At most so many rounds of each
    #[arg(long)]
    rounds: Option<u16>,

    /// Write the results there: an array of objects
    #[arg(long)]
    json: Option<PathBuf>,

    /// Draw the results there
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// What an event costs beside more and more virtual routers, addresses, services and checks
    Growth(growth::Arguments),
    /// What runs on a host; for the program itself
    #[command(hide = true)]
    Node(node::Arguments),
}

type Measure = fn(&Turns) -> anyhow::Result<Vec<Row>>;

/// By the first part of their rows' names.
const MEASURES: &[(&str, Measure)] = &[
    ("crash", crash::measure),
    ("failover", failover::measure),
    ("cpu", cpu::measure),
    ("jitter", jitter::measure),
    ("addresses", addresses::measure),
    ("startup", startup::measure),
    ("memory", memory::measure),
    ("flood", flood::measure),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.part {
        Some(Part::Node(node)) => node::run(node),
        Some(Part::Growth(growth)) => growth::run(growth),
        None => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let version = benches::subject::version(&arguments.peer)?;
    let turns = Turns { peer: arguments.peer.clone(), quick: arguments.quick, most: arguments.rounds };
    let title = format!("{} {} beside keepalived {version}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let title = title.replace("benches", "vrrp");
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (name, measure) in MEASURES {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("{name} ...");
        let missing = |rows: &Vec<Row>| if arguments.quick { Vec::new() } else { targets::unmeasured(name, rows) };
        match measure(&turns) {
            Ok(more) => {
                failed.extend(missing(&more).into_iter().map(|it| format!("{it}: there is a target, but no row")));
                rows.extend(more);
            }
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    println!("{title}\n\n{}", report::table(&rows));
    println!("{}", report::summary(&rows));
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::json(&rows)?).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &arguments.svg {
        std::fs::write(path, chart::bars(&title, &rows)).with_context(|| format!("write {}", path.display()))?;
    }
    anyhow::ensure!(failed.is_empty(), "not all could be measured:\n  {}", failed.join("\n  "));
    Ok(())
}
