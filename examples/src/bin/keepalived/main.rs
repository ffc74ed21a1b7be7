//! keepalived.conf, run by these libraries: the way over for whoever runs keepalived.

mod options;
mod pid;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use examples::daemon::config::Config;
use examples::daemon::{self, Reload};
use examples::keepalived::{self, Disk, Reading, build};
use examples::logging::{LevelFilter, Logging};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use self::options::Options;
use self::pid::PidFiles;

/// The exit status of a test of a configuration that cannot be run (keepalived(8)).
const CANNOT_BE_RUN: u8 = 3;

/// Where scripts look for the number of the process.
const PID_FILE: &str = "/run/keepalived.pid";

fn main() -> ExitCode {
    if daemon::caretaker::is_wanted() {
        return daemon::caretaker::run();
    }
    let options = Options::parse();
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            // Nothing may be logged to yet.
            eprintln!("keepalived: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(what) = &options.signum {
        println!("{}", signal_number(what));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.namespace {
        enter(name).with_context(|| format!("network namespace {name:?}"))?;
    }
    if let Some(file) = &options.config_test {
        return test(options, file.as_deref());
    }
    if options.dump {
        let (reading, _) = read(options)?;
        serde_json::to_writer_pretty(std::io::stdout(), &reading.configuration)?;
        println!();
        return Ok(ExitCode::SUCCESS);
    }
    let logging = Logging {
        console: options.log_console,
        file: options.log_file.clone(),
        syslog: (!options.no_syslog).then(|| options.facility()),
    };
    logging.start("keepalived", if options.log_detail > 0 { LevelFilter::DEBUG } else { LevelFilter::INFO })?;
    match serve(options) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn serve(options: &Options) -> anyhow::Result<()> {
    options.notices().iter().for_each(|notice| tracing::info!("{notice}"));
    let mut files = PidFiles::default();
    match &options.pid {
        Some(path) => files.write(path)?,
        // Who is not root may have no place for it, and who did not ask for it need not have it.
        None => drop(files.write(Path::new(PID_FILE)).inspect_err(|error| tracing::info!("{error:#}"))),
    }
    [&options.vrrp_pid, &options.checkers_pid].into_iter().flatten().try_for_each(|path| files.write(path))?;
    let load = || {
        let (reading, config) = read(options)?;
        if options.dump_conf {
            tracing::info!("{}", serde_json::to_string(&reading.configuration)?);
        }
        for diagnostic in reading.report.diagnostics() {
            tracing::warn!("{}", diagnostic.line(&reading.sources));
        }
        Ok(config)
    };
    let first = load()?;
    daemon::run(first, Some(Box::new(load) as Reload<'_>))
}

/// Goes into a network namespace of `ip netns`: all that is done from now on is done there.
fn enter(name: &str) -> anyhow::Result<()> {
    let file = std::fs::File::open(Path::new("/run/netns").join(name))?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Reads the configuration.
///
/// # Errors
/// All that is wrong with it, with the lines that it is about.
fn read(options: &Options) -> anyhow::Result<(Reading, Config)> {
    let mut reading = parse(options);
    let config = build::config(&mut reading);
    if reading.report.has_errors() {
        anyhow::bail!("the configuration cannot be run:\n{}", reading.report.display(&reading.sources));
    }
    let program = concat!("keepalived ", env!("CARGO_PKG_VERSION")).to_owned();
    let (control, metrics) = (options.control(), options.metrics);
    let guardian = !options.no_guardian;
    let mut config = Config { program, control, metrics, guardian, ..config };
    if options.vrrp {
        config.director = None;
    }
    if options.check {
        (config.routers, config.groups) = (Vec::new(), Vec::new());
        // Nobody says here which role is taken: it balances at all times.
        config.director.iter_mut().for_each(|director| director.routers.clear());
    }
    config.validate()?;
    Ok((reading, config))
}

fn parse(options: &Options) -> Reading {
    let id = options.config_id.clone().unwrap_or_else(host_name);
    keepalived::read(&options.use_file, &Disk, &keepalived::Options::new(id))
}

/// Without its domain.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// `--config-test`: says all that is wrong.
fn test(options: &Options, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut reading = parse(options);
    let config = build::config(&mut reading);
    let display = reading.report.display(&reading.sources);
    let is_terminal = file.is_none() && std::io::stderr().is_terminal();
    let mut text = if is_terminal { display.styled() } else { display }.to_string();
    let refused = match reading.report.has_errors() {
        true => true,
        false => config.validate().inspect_err(|error| text.push_str(&format!("error: {error}\n"))).is_err(),
    };
    match file {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => std::io::stderr().write_all(text.as_bytes())?,
    }
    Ok(if refused { ExitCode::from(CANNOT_BE_RUN) } else { ExitCode::SUCCESS })
}

/// What `kill -s` takes.
fn signal_number(what: &str) -> i32 {
    match what {
        "RELOAD" => signal_hook::consts::SIGHUP,
        "DATA" => signal_hook::consts::SIGUSR1,
        "STATS" => signal_hook::consts::SIGUSR2,
        _ => signal_hook::consts::SIGTERM,
    }
}
