//! Failover without a network: runs a scenario in virtual time, says what happens, and draws it.

mod lanes;
mod picture;
mod svg;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use vrrp_net::vrrp_core::sim::script::{Replay, play};

/// Runs a scenario file in the simulator, prints what happens, and draws it. Needs no privileges, and no time: an hour is
/// simulated in less than a second.
///
/// The commands of such a file are described at vrrp_core::sim::script; vrrp-core/tests/scenarios has many. Under a line
/// "----" the file may say what is to happen. Ends with 1 if something else happens, or what no failover should come to
/// (an oracle of the simulator), and with 2 if the file cannot be read.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// The scenario
    file: PathBuf,

    /// Draw a picture of it: a lane for each router, with its roles, advertisements and faults over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match simulate(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether all went as it should.
fn simulate(arguments: &Arguments) -> anyhow::Result<bool> {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("cannot read {path}"))?;
    let played = play(&text).map_err(|error| anyhow::anyhow!("{path}:{}: {}", error.line, error.problem))?;
    // What came of commands behind the last line "----" is not in the text.
    print!("{}{}", played.text, played.sim.trace());
    if let Some(target) = &arguments.svg {
        let picture = picture::draw(&title(&text, &arguments.file), &played);
        std::fs::write(target, picture).with_context(|| format!("cannot write {}", target.display()))?;
    }
    // One that the file itself tells of is what it wants to show.
    let told = |what: &str| text.lines().any(|line| line.trim_end().ends_with(what));
    let mut sound = true;
    for violation in played.sim.violations() {
        let what = format!("{}: {}", violation.oracle, violation.what);
        if !told(&what) {
            eprintln!("{path}: at {} s: {what}", violation.at);
            sound = false;
        }
    }
    if let Err(difference) = as_written(&text, &played) {
        eprintln!("{path}:{difference}");
        sound = false;
    }
    Ok(sound)
}

/// What the file says of itself: its first comment, up to the end of a sentence.
fn title(text: &str, path: &Path) -> String {
    let comment = text.lines().take_while(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let words = comment.collect::<Vec<_>>().join(" ");
    match words.split_inclusive(". ").next().map(str::trim) {
        Some(sentence) if !sentence.is_empty() => sentence.to_owned(),
        Some(_) | None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Whether the traces are those of the file; else the first line that differs.
fn as_written(text: &str, played: &Replay) -> Result<(), String> {
    let (mut expected, mut got) = (text.lines(), played.text.lines());
    for number in 1.. {
        match (expected.next(), got.next()) {
            (None, None) => break,
            (Some(one), Some(other)) if one == other => {}
            (one, other) => {
                let [one, other] = [one, other].map(|line| line.unwrap_or("(nothing more)").trim());
                return Err(format!("{number}: not as written:\n  written:  {one}\n  happened: {other}"));
            }
        }
    }
    Ok(())
}
