//! The agent beside one PostgreSQL of a pair: a virtual address that is where the primary is, and a standby that is promoted
//! only if it has every commit that a client was told of.
//!
//! # What it does
//!
//! It starts `postgres` and stops it; the data directory says as what. Both databases answer on their host's own address too;
//! clients use the virtual one.
//!
//! | what happens | what follows |
//! |---|---|
//! | the primary's agent or host dies | the guardian, or the peer's timer, starts the election: the standby claims the address (`Gate`), finds that it is in step, has the other host fenced, is promoted, is written to, and only then has the address |
//! | the primary's agent alone dies | the kernel stops the database (`PR_SET_PDEATHSIG`), as a crash does; then as above |
//! | the primary's database dies, or does not answer | its agent leaves the election, and stops what is left; then as above |
//! | the standby is not in step, the fencing fails or takes too long, the promotion takes too long | it refuses: the address is nowhere, and it tries again |
//! | a primary loses the address, however | its database is stopped at once, as a crash does |
//! | a partition ends | the promoted standby has outranked the old primary since its promotion: that loses the address |
//! | an old primary is started again | it asks the other host. That is a primary on a later timeline: `pg_rewind`, and it is a standby. It does not answer, and may have been promoted: it waits for it, or for `--primary` |
//! | SIGTERM (SIGINT, SIGHUP) on the primary | the database is stopped cleanly, with the address still there: clients are refused, and the standby gets all there is. Then the address is handed over; the standby is told in the replicated data that it need not fence |
//!
//! # Commits
//!
//! All commits wait for the standby (`synchronous_standby_names`), which writes down what it has received before the client
//! is told. So a primary that cannot reach its standby tells no client of a commit, even if it does not know yet that it is
//! not the primary any more: that, and not the address, is what keeps commits. It rests on `synchronous_commit`: sessions that
//! set it to `off` or `local` are not protected, nor is a commit whose wait its own client cancels: PostgreSQL then says that it
//! is committed, with a warning. A commit that a client was not told of may or may not be there, as with any database whose
//! connection broke. Reads are not protected: a primary that is cut off goes on answering those who still reach it.
//!
//! A primary without a standby would wait for ever. So after a promotion it goes on alone, without waiting, and when the old
//! primary streams and has caught up it waits again. A primary that loses its standby has it fenced first, after
//! `alone-after`. Until that has succeeded, its commits wait.
//!
//! Whether a standby may be promoted is a row of the database (`vrrp_grant`), which the primary writes and replication brings to
//! the standby.
//!
//! # What it cannot do
//!
//! Two hosts cannot tell a dead peer from a cut cable. If they do not hear each other, both want to go on, and the fencing
//! command is what decides: the first whose command succeeds goes on. It must be worth that: switch the other's power
//! off, or end its virtual machine, or ask a third party (a witness, a cloud's API) which of the two it stands by. If it says
//! that it has fenced when it has not (`true`), both go on alone after a partition, both tell clients of commits, and one
//! of these histories is thrown away by `pg_rewind`. If it cannot reach the other host's power switch because that has no
//! power either, nobody goes on until an operator does.
//!
//! The fencing command must not let the other host back by itself: a standby that was only cut off for a while, and not
//! started anew, may be promoted once it is connected and before it has heard that the primary went on alone.
//!
//! Under systemd it needs `KillMode=mixed`: the agent stops the database itself, after what has to come before.
//!
//! It does not look after slots, archives, further standbys or old base backups, and does not notice a disk that takes reads
//! but no writes.

mod command;
mod grant;
mod keeper;
mod server;
mod settings;

use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing_subscriber::filter::LevelFilter;
use vrrp_net::vrrp_core::track::{Impact, Tracked};
use vrrp_net::vrrp_core::{Role, RouterId};
use vrrp_net::{Driver, DriverEvent, Guardian};

use self::keeper::{Handle, Report};
use self::settings::{File, Settings};

/// How long a hand-over is waited for; the virtual router ends its own sooner.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// What a primary that is alone has more of priority than any other. When a partition ends, a promoted standby stays, and an
/// old primary, which could not commit since, goes.
const OUTRANKS: i16 = 253;

/// Keeps one PostgreSQL of a pair, and has the virtual address where the primary is.
///
/// Runs in the foreground. SIGTERM, SIGINT and SIGHUP stop the database cleanly and hand over to the other host, without losing a
/// commit; a second signal ends the hand-over. Needs CAP_NET_RAW and CAP_NET_ADMIN.
#[derive(Parser)]
#[command(name = "database")]
struct Arguments {
    /// TOML file that says which database, and how to fence the other host
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// This host's data is the newest: start as the primary without asking the other host, which must not be one
    #[arg(long)]
    primary: bool,

    /// What to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    match run(&arguments.config, arguments.primary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The virtual router and the database behind it.
struct Agent {
    driver: Driver,
    router: RouterId,
    keeper: Handle,
    /// The database has ended for good.
    ended: bool,
}

fn run(path: &Path, believe: bool) -> anyhow::Result<()> {
    let Settings { router, database, fencing } = File::read(path)?;
    // SIGHUP too: the end of its terminal is no reason to leave an address behind.
    let mut signals = pipe_of([SIGTERM, SIGINT, SIGHUP]).context("cannot catch signals")?;
    let mut driver = Driver::new()?;
    // Before there is much else: the guardian begins as a copy of this process.
    driver.set_guardian(Guardian::spawn()?)?;
    let router = driver.add(router).context("the virtual router")?;
    driver.set_able(router, false)?;
    driver.remove_leftovers()?;
    let keeper = Handle::spawn(database, fencing, believe)?;
    let mut agent = Agent { driver, router, keeper, ended: false };

    let mut told_to_leave = false;
    let mut leaving: Option<Instant> = None;
    while !leaving.is_some_and(|until| agent.driver.is_idle() || Instant::now() >= until) {
        agent.turn()?;
        if agent.ended && leaving.is_none() {
            agent.driver.hand_over_all()?;
            leaving = Some(Instant::now() + HAND_OVER_WITHIN);
        }
        let watched = [agent.driver.as_fd(), signals.as_fd(), agent.keeper.wake.as_fd()];
        let mut ready = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // A pipe that has said its last would be readable for ever.
        let number = if agent.ended { 2 } else { 3 };
        let patience =
            leaving.and_then(|until| Timespec::try_from(until.saturating_duration_since(Instant::now())).ok());
        match poll(&mut ready[..number], patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        if !ready[1].revents().is_empty() {
            if told_to_leave {
                break;
            }
            told_to_leave = true;
            let _ = signals.read(&mut [0; 64]).context("cannot read signals")?;
            tracing::info!("told to leave: first the database ends, then the address is handed over");
            agent.keeper.end();
        }
    }
    agent.driver.shutdown()?.iter().for_each(log);
    // What it waits for is bounded.
    while !agent.ended {
        match agent.keeper.reports.recv() {
            Ok(Report::Ended) | Err(_) => agent.ended = true,
            Ok(_) => {}
        }
    }
    Ok(())
}

impl Agent {
    /// Lets the driver do what is due, and carries between it and the keeper what each must know of the other.
    fn turn(&mut self) -> anyhow::Result<()> {
        for event in self.driver.process()? {
            log(&event);
            match event {
                DriverEvent::Prepare { claim, .. } => self.keeper.prepare(claim),
                DriverEvent::Transition { transition, .. } if transition.to == Role::Active => self.keeper.serve(),
                DriverEvent::Transition { transition, .. } if transition.from == Role::Active => {
                    self.keeper.yield_now();
                }
                DriverEvent::GuardianLost => {
                    self.driver.set_guardian(Guardian::spawn().context("cannot replace the guardian")?)?;
                }
                _ => {}
            }
        }
        let is_gone = self.drain()?;
        while let Ok(report) = self.keeper.reports.try_recv() {
            match report {
                Report::Able(able) => self.driver.set_able(self.router, able)?,
                Report::Alone(up) => {
                    let tracked = Tracked { impact: Impact::Weight(OUTRANKS), inverted: false, up };
                    self.driver.set_tracked(self.router, vec![tracked])?;
                }
                Report::Ready(claim) => self.driver.confirm(self.router, claim)?,
                Report::Refused(claim) => self.driver.refuse(self.router, claim)?,
                Report::Ended => self.ended = true,
            }
        }
        anyhow::ensure!(
            self.ended || !is_gone,
            "the thread that keeps the database has died, and the database with it"
        );
        Ok(())
    }

    /// Empties the pipe. Whether nothing will come any more.
    fn drain(&mut self) -> anyhow::Result<bool> {
        match self.keeper.wake.read(&mut [0; 64]) {
            Ok(number) => Ok(number == 0),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error).context("cannot hear the keeper"),
        }
    }
}

/// Readable with one of these signals, also if it comes just before the wait.
fn pipe_of<const N: usize>(signals: [i32; N]) -> std::io::Result<UnixStream> {
    let (sender, receiver) = UnixStream::pair()?;
    for signal in signals {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    Ok(receiver)
}

fn log(event: &DriverEvent) {
    match event {
        DriverEvent::Transition { .. } | DriverEvent::Prepare { .. } => tracing::info!("{event}"),
        _ => tracing::warn!("{event}"),
    }
}
