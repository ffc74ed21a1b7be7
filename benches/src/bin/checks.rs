//! What thousands of health checks cost: CPU time, memory, and how late the latest began. Servers are on loopback, in another
//! process.
//!
//! `cargo run --release -p benches --bin checks` makes 10,000 TCP checks every 6 s; `checks --help` names the rest.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, Timespec, clock_gettime};
use vrrp_ipvs::check::http::{Http, Url};
use vrrp_ipvs::check::{Check, Driver, Health, Probe, Schedule};

/// Measures health checks.
#[derive(Parser)]
#[command(name = "checks")]
struct Arguments {
    /// How many, each of an address of its own
    #[arg(long, default_value_t = 10_000)]
    checks: u32,
    /// How often each, in seconds
    #[arg(long, default_value_t = 6.0)]
    period: f64,
    /// How long to measure, in seconds, after one period to settle
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Pages instead of connections
    #[arg(long)]
    http: bool,
    /// Serves; for the program itself
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.serve {
        return serve(arguments.http);
    }
    let mut server = Command::new(std::env::current_exe()?);
    server.arg("--serve").args(arguments.http.then_some("--http")).stdout(Stdio::piped()).stdin(Stdio::piped());
    let mut server = server.spawn().context("start the server")?;
    let result = server.stdout.take().context("no pipe").and_then(|pipe| {
        let mut port = String::new();
        BufReader::new(pipe).read_line(&mut port)?;
        measure(&arguments, port.trim().parse().context("the server's port")?)
    });
    server.kill()?;
    server.wait()?;
    result
}

/// Takes connections, and ends them; after an answer if pages are asked for.
fn serve(http: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let mut stream: TcpStream = stream?;
        if http {
            std::io::Read::read(&mut stream, &mut [0; 1000])?;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }
    Ok(())
}

fn measure(arguments: &Arguments, port: u16) -> anyhow::Result<()> {
    let Arguments { checks, period, seconds, http, .. } = *arguments;
    let schedule = Schedule { delay_loop: Duration::from_secs_f64(period), ..Schedule::default() };
    let mut driver = Driver::new()?;
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    for number in 0..checks {
        let target = SocketAddr::from((Ipv4Addr::from(first + number), port));
        let probe = if http { Probe::Http(Http { urls: vec![Url::default()], ..Http::default() }) } else { Probe::Tcp };
        driver.add(Check { schedule, ..Check::new(target, probe) })?;
    }
    run(&mut driver, Duration::from_secs_f64(period))?;
    let attempts = |driver: &Driver| driver.status().iter().map(|status| status.attempts).sum::<u64>();
    let (cpu_before, attempts_before) = (cpu()?, attempts(&driver));
    let (turns, waited) = run(&mut driver, Duration::from_secs_f64(seconds))?;
    let used = cpu()?.saturating_sub(cpu_before);
    let status = driver.status();
    let made = attempts(&driver) - attempts_before;
    let down = status.iter().filter(|status| status.health == Health::Down).count();
    let failures: u64 = status.iter().map(|status| status.failures).sum();
    let latest = status.iter().map(|status| status.latest_start).max().unwrap_or_default();
    let latest = Duration::from_nanos(latest);
    println!("{checks} {} checks every {period} s, over {seconds} s:", if http { "HTTP" } else { "TCP" });
    println!(
        "  attempts          {made} ({:.0} a second), {failures} failed, {down} checks down",
        made as f64 / seconds
    );
    println!("  CPU               {:.1} % of a core", 100.0 * used.as_secs_f64() / seconds);
    println!("  of that a check   {:.1} us", used.as_secs_f64() * 1e6 / made as f64);
    println!("  turns             {turns}");
    println!("  memory            {} (at most {})", memory("VmRSS:")?, memory("VmHWM:")?);
    println!("  latest start      {latest:?} ({:.2} % of the period)", 100.0 * latest.as_secs_f64() / period);
    println!("  longest wait      {waited:?} for a processor, before one turn or in it");
    Ok(())
}

/// Runs the driver for this long; returns in how many turns, and how long it waited for a processor at most in one.
fn run(driver: &mut Driver, time: Duration) -> anyhow::Result<(u64, Duration)> {
    let end = Instant::now() + time;
    let (mut turns, mut waited, mut longest) = (0, time_waited()?, Duration::ZERO);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((turns, longest));
        }
        let timeout = Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()) };
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], Some(&timeout))?;
        let events = driver.process()?;
        ensure!(events.len() < 100, "the checks do not hold: {:?}", &events[..3]);
        turns += 1;
        let before = std::mem::replace(&mut waited, time_waited()?);
        longest = longest.max(waited.saturating_sub(before));
    }
}

/// How long this process, which has one thread, was ready to run and others ran.
fn time_waited() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split_whitespace().nth(1).context("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

/// CPU time of this process, user's and system's.
fn cpu() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

fn memory(name: &str) -> anyhow::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kib: f64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(format!("{:.1} MiB", kib / 1024.0))
}
