//! The thread that keeps the database: starts it as what it is, watches it, promotes it, stops it. VRRP never waits for it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use vrrp_net::vrrp_core;

use super::server::{Directory, Server, Stop, Unfinished};
use super::settings::{Database, Fencing};
use super::{command, grant};

/// How often what is not possible now is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a rewind is tried again.
const REWIND_AGAIN: Duration = Duration::from_secs(10);

/// How many looks in a row have to fail for the database to be unwell.
const FAILURES: u32 = 3;

/// What the agent wants of the keeper.
#[derive(Debug)]
enum Order {
    /// Get ready to serve, for this claim.
    Prepare(vrrp_core::Instant),
    /// This host has the address now.
    Serve,
    /// This host has it no more.
    Yield,
    /// End the database, and this thread.
    End,
}

/// What the keeper tells.
#[derive(Debug)]
pub(crate) enum Report {
    /// Whether there is a database here that could serve.
    Able(bool),
    /// Whether the database is a primary without a standby: then nobody else has all there is.
    Alone(bool),
    /// The database is a primary, for this claim.
    Ready(vrrp_core::Instant),
    /// It cannot be one.
    Refused(vrrp_core::Instant),
    /// The database has ended, as asked for.
    Ended,
}

/// The agent's end of it.
#[derive(Debug)]
pub(crate) struct Handle {
    orders: Sender<Order>,
    interrupt: Arc<AtomicBool>,
    /// What has happened.
    pub(crate) reports: Receiver<Report>,
    /// Readable when there may be something in `reports`.
    pub(crate) wake: UnixStream,
}

impl Handle {
    /// Starts the thread. `believe`: this host's data is the newest, whatever the other one may have.
    pub(crate) fn spawn(database: Database, fencing: Fencing, believe: bool) -> anyhow::Result<Self> {
        let (orders, inbox) = channel();
        let (outbox, reports) = channel();
        let (wake, waker) = UnixStream::pair().context("cannot make a pipe")?;
        wake.set_nonblocking(true).context("cannot make a pipe")?;
        let interrupt = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            server: Server::new(database.clone(), Arc::clone(&interrupt)),
            database,
            fencing,
            interrupt: Arc::clone(&interrupt),
            duty: Duty::None,
            serving: false,
            able: false,
            alone: false,
            failures: 0,
            believe,
            not_before: Instant::now(),
            last_error: String::new(),
            outbox,
            waker,
        };
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || keeper.run(&inbox))
            .context("cannot start a thread")?;
        Ok(Self { orders, interrupt, reports, wake })
    }

    pub(crate) fn prepare(&self, claim: vrrp_core::Instant) {
        self.order(Order::Prepare(claim));
    }

    pub(crate) fn serve(&self) {
        self.order(Order::Serve);
    }

    /// Whatever it is about, it drops that: nothing is more urgent.
    pub(crate) fn yield_now(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
        self.order(Order::Yield);
    }

    /// As above.
    pub(crate) fn end(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
        self.order(Order::End);
    }

    fn order(&self, order: Order) {
        // It lives until it is told to end.
        let _ = self.orders.send(order);
    }
}

/// What the server that runs here is for.
#[derive(Debug)]
enum Duty {
    /// None runs.
    None,
    Standby {
        /// Its name in this run.
        name: String,
    },
    Primary {
        /// The standby that commits wait for; empty: none.
        waits_for: String,
        /// Since when that one has not been seen.
        missed: Option<Instant>,
    },
}

struct Keeper {
    server: Server,
    database: Database,
    fencing: Fencing,
    interrupt: Arc<AtomicBool>,
    duty: Duty,
    /// Whether this host has the address.
    serving: bool,
    able: bool,
    alone: bool,
    failures: u32,
    believe: bool,
    /// Nothing is started before.
    not_before: Instant,
    /// Said once, not every second.
    last_error: String,
    outbox: Sender<Report>,
    waker: UnixStream,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(self.database.every.0) {
                Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(order) => {
                    self.interrupt.store(false, Ordering::Relaxed);
                    match order {
                        Order::Prepare(claim) => self.prepare(claim),
                        Order::Serve => self.serve(),
                        Order::Yield => self.give_way(),
                        Order::End => break,
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end();
    }

    fn tell(&mut self, report: Report) {
        let _ = self.outbox.send(report);
        let _ = self.waker.write_all(&[0]);
    }

    /// Tells what has changed.
    fn tell_state(&mut self) {
        let alone = matches!(&self.duty, Duty::Primary { waits_for, .. } if waits_for.is_empty());
        if std::mem::replace(&mut self.alone, alone) != alone {
            self.tell(Report::Alone(alone));
        }
        let able = !matches!(self.duty, Duty::None) && self.failures < FAILURES;
        if std::mem::replace(&mut self.able, able) != able {
            self.tell(Report::Able(able));
        }
    }

    fn complain(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if text != self.last_error {
            tracing::warn!("{text}");
            self.last_error = text;
        }
    }

    /// What is due without an order.
    fn look(&mut self) {
        let result = match self.duty {
            Duty::None if Instant::now() < self.not_before => return,
            Duty::None => {
                self.not_before = Instant::now() + RETRY;
                self.begin()
            }
            Duty::Standby { .. } | Duty::Primary { .. } if !self.server.is_running() => self.mourn(),
            Duty::Standby { .. } => self.watch_standby(),
            Duty::Primary { .. } => self.watch_primary(),
        };
        match result {
            Ok(()) => self.failures = 0,
            // There is an order that is more urgent.
            Err(_) if self.interrupt.load(Ordering::Relaxed) => return,
            Err(error) => {
                self.complain(&error);
                self.failures += 1;
            }
        }
        self.tell_state();
    }

    /// Starts the database as what it has to be.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.server.stop_leftover()?;
        match (self.server.unfinished(), self.server.directory()) {
            (Some(Unfinished::Copy), _) | (None, Directory::Missing) => self.begin_as_copy(),
            (Some(Unfinished::Rewind), Directory::Missing) => self.begin_as_copy(),
            (Some(Unfinished::Rewind), Directory::Standby | Directory::Primary) => self.begin_anew(),
            (None, Directory::Standby) => self.begin_as_standby(),
            (None, Directory::Primary) if self.believe => self.begin_as_primary(),
            (None, Directory::Primary) => self.begin_again(),
        }
    }

    fn begin_as_copy(&mut self) -> anyhow::Result<()> {
        let peer = self.server.peer().context("the data directory is to be filled, and there is nothing to copy")?;
        anyhow::ensure!(peer.primary, "the data directory is to be filled, and the other database is no primary");
        tracing::info!("copying all of the other host's data");
        self.server.copy()?;
        self.begin_as_standby()
    }

    /// With a data directory that is no use any more.
    fn begin_anew(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.database.rebuild,
            "pg_rewind has failed half way: set rebuild = true, or empty the data directory"
        );
        anyhow::ensure!(self.server.peer()?.primary, "the other database is no primary, of which all could be copied");
        self.server.move_aside()?;
        self.begin_as_copy()
    }

    /// It was a primary once. Whether it still is, the other host knows.
    fn begin_again(&mut self) -> anyhow::Result<()> {
        let own = self.server.timeline()?;
        match self.server.peer() {
            Ok(peer) if peer.primary && peer.timeline > own => {
                tracing::warn!("the other host was promoted meanwhile (timeline {}): joining it", peer.timeline);
                match self.server.rewind() {
                    Ok(()) => self.begin_as_standby(),
                    Err(error) if self.database.rebuild && !self.interrupt.load(Ordering::Relaxed) => {
                        tracing::warn!("{error:#}");
                        self.begin_anew()
                    }
                    Err(error) => {
                        self.not_before = Instant::now() + REWIND_AGAIN;
                        Err(error.context("cannot join (with rebuild = true all would be copied)"))
                    }
                }
            }
            Ok(peer) if peer.primary || peer.timeline > own => anyhow::bail!(
                "the other database is on timeline {}, this one on {own}, and which is the right one cannot be told yet",
                peer.timeline
            ),
            Ok(_) => self.begin_as_primary(),
            Err(error) if self.server.synchronous_standby()?.is_empty() => {
                tracing::info!("no standby may have been promoted, so it is no matter that none answers: {error:#}");
                self.begin_as_primary()
            }
            Err(error) => Err(error.context(
                "the other database may have been promoted meanwhile, and does not answer: start its host first, or this \
                 agent with --primary if that one was not",
            )),
        }
    }

    fn begin_as_standby(&mut self) -> anyhow::Result<()> {
        let name = grant::new_name();
        self.server.start(Some(&name))?;
        self.duty = Duty::Standby { name };
        tracing::info!("the database is a standby");
        Ok(())
    }

    fn begin_as_primary(&mut self) -> anyhow::Result<()> {
        self.server.start(None)?;
        self.take_office()
    }

    fn take_office(&mut self) -> anyhow::Result<()> {
        let waits_for = self.server.query(&["show synchronous_standby_names"])?;
        grant::write(&self.server, &waits_for)?;
        self.duty = Duty::Primary { waits_for, missed: None };
        tracing::info!("the database is a primary");
        Ok(())
    }

    /// The database has ended, and nobody asked it to.
    fn mourn(&mut self) -> anyhow::Result<()> {
        self.server.stop(Stop::Immediate)?;
        if matches!(self.duty, Duty::Primary { .. }) {
            self.not_before = Instant::now() + self.database.alone_after.0;
        }
        self.duty = Duty::None;
        anyhow::bail!("the database has ended by itself")
    }

    fn watch_standby(&mut self) -> anyhow::Result<()> {
        if self.server.standing()?.primary {
            tracing::warn!("somebody has promoted the database");
            self.take_office()?;
        }
        Ok(())
    }

    fn watch_primary(&mut self) -> anyhow::Result<()> {
        let Duty::Primary { waits_for, missed } = &mut self.duty else { return Ok(()) };
        match grant::streaming(&self.server, waits_for)? {
            Some(name) if name == *waits_for && missed.is_none() => {}
            Some(name) => {
                // Until it is told, it counts as missed: commits may wait for it already.
                waits_for.clone_from(&name);
                missed.get_or_insert_with(Instant::now);
                grant::wait_for(&self.server, &name)?;
                *missed = None;
                tracing::info!("in step: every commit waits for the standby, which may be promoted");
            }
            None if self.serving && !waits_for.is_empty() => {
                let since = *missed.get_or_insert_with(|| {
                    tracing::warn!("the standby is gone: commits wait for it");
                    Instant::now()
                });
                if since.elapsed() >= self.database.alone_after.0 {
                    self.go_on_alone()?;
                }
            }
            None => {}
        }
        if !self.serving {
            self.beware()?;
        }
        Ok(())
    }

    /// A standby that is gone may be one that cannot hear us and will be promoted. So it is made sure of that it is not.
    fn go_on_alone(&mut self) -> anyhow::Result<()> {
        let Duty::Primary { waits_for, missed } = &mut self.duty else { return Ok(()) };
        *missed = Some(Instant::now());
        fence(&self.fencing, &self.database, &self.interrupt).context("cannot go on alone, commits wait")?;
        // Before the first commit that does not wait: a standby that has that has this too.
        grant::write(&self.server, "")?;
        grant::wait_for_nobody(&self.server)?;
        waits_for.clear();
        tracing::warn!("the standby was fenced: going on alone, no commit waits any more");
        Ok(())
    }

    /// A primary without the address looks whether the other host has become one.
    fn beware(&mut self) -> anyhow::Result<()> {
        let Duty::Primary { waits_for, .. } = &self.duty else { return Ok(()) };
        let Ok(peer) = self.server.peer() else { return Ok(()) };
        // One that has just been promoted may still tell of its old timeline.
        if peer.primary && (!waits_for.is_empty() || peer.timeline > self.server.timeline()?) {
            tracing::warn!("the other host is the primary: stopping the database");
            self.server.stop(Stop::Immediate)?;
            self.duty = Duty::None;
        }
        Ok(())
    }

    fn prepare(&mut self, claim: vrrp_core::Instant) {
        match self.become_primary() {
            Ok(()) => {
                // By which priority to claim, and then that it can.
                self.tell_state();
                self.tell(Report::Ready(claim));
            }
            Err(error) => {
                tracing::error!("not taking over: {error:#}");
                self.tell(Report::Refused(claim));
            }
        }
    }

    /// The gate: fit, then the other host fenced, then fit still, then promoted, then written to.
    fn become_primary(&mut self) -> anyhow::Result<()> {
        match &self.duty {
            Duty::None => anyhow::bail!("the database does not run"),
            Duty::Primary { waits_for, .. } if waits_for.is_empty() || self.believe => self.server.standing().map(drop),
            Duty::Primary { .. } => self.ask_again(),
            Duty::Standby { name } => {
                // First, because nobody is to be fenced for nothing.
                let is_released = released(&self.server, name)?;
                if is_released {
                    tracing::info!("the primary has stopped by itself: not fencing it");
                } else {
                    fence(&self.fencing, &self.database, &self.interrupt)?;
                    released(&self.server, name)?;
                }
                grant::wait_for_nobody(&self.server)?;
                self.server.promote()?;
                self.take_office()
            }
        }
    }

    /// A primary that was one before it was started, and whose standby may be promoted: it serves only if that one has
    /// not been, and will not be without fencing this host.
    fn ask_again(&self) -> anyhow::Result<()> {
        let peer = self.server.peer().context("the other database may have been promoted, and does not answer")?;
        anyhow::ensure!(!peer.primary, "the other database is a primary");
        let grant = grant::read_of_peer(&self.server)?;
        anyhow::ensure!(!grant.released, "the other database does not know yet that this one is back");
        Ok(())
    }

    fn serve(&mut self) {
        self.serving = true;
        self.believe = false;
        // By this the old primary knows whom to follow.
        if let Err(error) = self.server.checkpoint() {
            self.complain(&error);
        }
    }

    /// The address is gone from here. Another host may be promoted, so that nothing may be written here any more.
    fn give_way(&mut self) {
        self.serving = false;
        if matches!(self.duty, Duty::Primary { .. }) {
            tracing::warn!("this host does not have the address any more: stopping the database");
            if let Err(error) = self.server.stop(Stop::Immediate) {
                tracing::error!("{error:#}");
            }
            self.duty = Duty::None;
            self.not_before = Instant::now() + self.database.alone_after.0;
            self.tell_state();
        }
    }

    /// For good. A standby that is in step gets all there is, so that it can be promoted without a loss.
    fn end(mut self) {
        if matches!(self.duty, Duty::Primary { .. })
            && let Err(error) = grant::release(&self.server)
        {
            tracing::warn!("{error:#}");
        }
        if let Err(error) = self.server.stop(Stop::Fast) {
            tracing::error!("{error:#}");
        }
        tracing::info!("the database has ended");
        self.tell(Report::Ended);
    }
}

/// Whether the primary has stopped by itself. An error if this standby may lack a commit that a client was told of.
fn released(server: &Server, name: &str) -> anyhow::Result<bool> {
    let grant = grant::read(server)?;
    anyhow::ensure!(!grant.standby.is_empty(), "the primary went on alone: this standby lacks commits");
    anyhow::ensure!(grant.standby == name, "this standby was not in step with the primary since it was started");
    Ok(grant.released)
}

/// Makes sure that the other host does not serve any more.
fn fence(fencing: &Fencing, database: &Database, interrupt: &AtomicBool) -> anyhow::Result<()> {
    let Some((program, arguments)) = fencing.command.split_first() else {
        anyhow::bail!("there is no fencing command")
    };
    tracing::warn!("fencing {}: {program}", database.peer);
    let mut hook = Command::new(program);
    hook.args(arguments).env("VRRP_PEER", database.peer.to_string());
    command::run(program, &mut hook, fencing.within.0, interrupt).context("the other host is not fenced")?;
    Ok(())
}
