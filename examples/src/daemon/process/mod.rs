//! Programs that the daemon runs: as somebody, for a bounded time, with a bounded output, and without waiting for them.

mod probe;
mod spawn;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use self::probe::Probe;
pub use self::spawn::{check_safe, find};
use super::config::{Command, Task, User};

/// How much of a program's output is kept for the log, in octets.
const KEPT: usize = 2_000;

/// How much output is read at once.
const PIECE: usize = 64 * 1024;

/// How much output is taken as fast as it comes; what is above that only every [`SLOWLY`].
const FAST: usize = 4 * PIECE;

/// The pause between two pieces of a flood.
const SLOWLY: Duration = Duration::from_millis(20);

/// From the request to end to the order.
const GRACE: Duration = Duration::from_secs(1);

/// How many outputs are read on whose program has ended but left somebody behind who has them still.
const MOST_ORPHANS: usize = 32;

/// How often those are read.
const ORPHANS_EVERY: Duration = Duration::from_millis(500);

/// The name of something that was started.
pub(super) type JobId = u64;

/// Runs programs and connections. Watch its descriptor, and call [`process`](Self::process).
#[derive(Debug)]
pub(super) struct Runner {
    epoll: OwnedFd,
    jobs: BTreeMap<JobId, Job>,
    next: JobId,
    /// What has not been told yet.
    reports: VecDeque<Report>,
    orphans: VecDeque<OwnedFd>,
    orphans_at: Instant,
    /// Who runs what nobody is named for.
    pub(super) default_user: Option<User>,
    /// See [`Config::script_security`](super::config::Config::script_security).
    pub(super) security: bool,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Report {
    /// Its time is over: it is being ended.
    Late(JobId),
    /// It has ended.
    Ended(JobId, Outcome),
}

/// How a job has ended, with the beginning of what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Why it failed, in words; `None`: it succeeded.
    pub(super) failure: Option<String>,
    /// What it printed, cut.
    pub(super) output: String,
}

#[derive(Debug)]
struct Job {
    doer: Doer,
    deadline: Option<Instant>,
    stage: Stage,
}

#[derive(Debug)]
enum Doer {
    Program { child: Child, pidfd: OwnedFd, output: Output },
    Probe(Probe),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// It was asked to end.
    Asked,
    /// It was killed.
    Killed,
}

#[derive(Debug)]
struct Output {
    /// `None`: nobody will write any more.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    read: usize,
    /// It floods: when to read on.
    resume: Option<Instant>,
}

impl Runner {
    /// Nothing runs.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub(super) fn new() -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot make an epoll set")?;
        Ok(Self {
            epoll,
            jobs: BTreeMap::new(),
            next: 0,
            reports: VecDeque::new(),
            orphans: VecDeque::new(),
            orphans_at: Instant::now(),
            default_user: None,
            security: false,
        })
    }

    /// Starts something, with more arguments behind its own, to be ended after `timeout` (`None`: never). What cannot be
    /// started has failed: that is reported as the rest is.
    pub(super) fn start(&mut self, command: &Command, more: &[String], timeout: Option<Duration>) -> JobId {
        let id = self.next;
        self.next += 1;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let doer = match &command.task {
            Task::Connect { host, port } => {
                let timeout = timeout.unwrap_or(Duration::from_secs(10));
                Probe::start(host.clone(), *port, timeout).map(Doer::Probe)
            }
            Task::Run { program, arguments } => {
                let user = command.user.or(self.default_user);
                match spawn::native(program, arguments) {
                    Some(outcome) => {
                        self.reports.push_back(Report::Ended(id, outcome));
                        return id;
                    }
                    None => spawn::spawn(program, arguments, more, user, self.security).map(|started| {
                        let spawn::Started { child, pidfd, pipe } = started;
                        Doer::Program { child, pidfd, output: Output::new(pipe) }
                    }),
                }
            }
        };
        let watched = doer.and_then(|doer| {
            let job = Job { doer, deadline, stage: Stage::Running };
            self.watch(id, &job).map(|()| job)
        });
        match watched {
            Ok(job) => {
                self.jobs.insert(id, job);
            }
            Err(error) => {
                let outcome = Outcome { failure: Some(format!("cannot be run: {error:#}")), output: String::new() };
                self.reports.push_back(Report::Ended(id, outcome));
            }
        }
        id
    }

    /// Has a job ended as if its time were over.
    pub(super) fn end(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage == Stage::Running) {
            job.deadline = Some(Instant::now());
        }
    }

    /// Whether nothing runs, and everything was told.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.reports.is_empty()
    }

    /// When [`process`](Self::process) has something to do although the descriptor is not readable.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let told = (!self.reports.is_empty()).then(Instant::now);
        let jobs = self.jobs.values().flat_map(|job| [job.deadline, job.resume()]).flatten();
        let orphans = (!self.orphans.is_empty()).then_some(self.orphans_at);
        jobs.chain(told).chain(orphans).min()
    }

    /// Waits until there is something to [`process`](Self::process), at most until then.
    ///
    /// # Errors
    /// Its own descriptor fails.
    pub(super) fn wait(&self, until: Instant) -> anyhow::Result<()> {
        let until = self.poll_timeout().map_or(until, |at| at.min(until));
        let patience = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let watched = PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN);
        match poll(&mut [watched], patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for programs"),
        }
    }

    /// Reads what there is, ends what is late, and tells what became of it all.
    ///
    /// # Errors
    /// Its own descriptor fails.
    pub(super) fn process(&mut self) -> anyhow::Result<Vec<Report>> {
        let mut events = Vec::with_capacity(64);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&zero)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for programs"),
        }
        for event in events {
            let token = event.data.u64();
            let (id, is_end) = (token >> 1, token & 1 == 1);
            if is_end { self.ended(id) } else { self.read(id) }
        }
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let resume: Vec<JobId> = self.jobs.iter().filter(|(_, job)| due(job.resume())).map(|(id, _)| *id).collect();
        resume.into_iter().for_each(|id| self.read(id));
        let late: Vec<JobId> = self.jobs.iter().filter(|(_, job)| due(job.deadline)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.late(id, now));
        if !self.orphans.is_empty() && now >= self.orphans_at {
            self.orphans_at = now + ORPHANS_EVERY;
            self.orphans.retain(|pipe| !matches!(read_piece(pipe), Ok(piece) if piece.is_empty()));
        }
        Ok(self.reports.drain(..).collect())
    }

    fn watch(&self, id: JobId, job: &Job) -> anyhow::Result<()> {
        let add = |fd: BorrowedFd<'_>, token| epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN);
        match &job.doer {
            Doer::Program { pidfd, output, .. } => {
                add(pidfd.as_fd(), end_token(id)).context("cannot watch a program")?;
                output
                    .pipe
                    .as_ref()
                    .map_or(Ok(()), |pipe| add(pipe.as_fd(), output_token(id)).context("cannot read from a program"))
            }
            Doer::Probe(probe) => add(probe.as_fd(), end_token(id)).context("cannot watch a connection"),
        }
    }

    /// There is output, or it has ended.
    fn read(&mut self, id: JobId) {
        let Some(Job { doer: Doer::Program { output, .. }, .. }) = self.jobs.get_mut(&id) else { return };
        let Some(pipe) = &output.pipe else { return };
        let Ok(piece) = read_piece(pipe) else { return };
        if piece.is_empty() {
            (output.pipe, output.resume) = (None, None);
            return;
        }
        output.take(&piece);
        if output.read < FAST {
            return;
        }
        // A flood: nobody waits for it, but it must not keep us from our work either.
        if output.resume.is_none()
            && let Some(pipe) = &output.pipe
        {
            let _ = epoll::delete(&self.epoll, pipe);
        }
        output.resume = Some(Instant::now() + SLOWLY);
    }

    /// The kernel says that it has ended.
    fn ended(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (failure, output) = match &mut job.doer {
            Doer::Probe(probe) => match probe.result() {
                Some(failure) => (failure, String::new()),
                None => return,
            },
            Doer::Program { child, output, .. } => {
                if job.stage != Stage::Running {
                    // What it has started and left. It is not reaped yet, so its number is still its own.
                    signal(child, Signal::KILL);
                }
                let failure = match child.try_wait() {
                    Ok(None) => return,
                    Ok(Some(status)) => match (status.code(), status.signal()) {
                        (Some(0), _) => None,
                        (Some(code), _) => Some(format!("exit status {code}")),
                        (None, number) => Some(format!("ended by signal {}", number.unwrap_or_default())),
                    },
                    Err(error) => Some(format!("cannot be waited for: {error}")),
                };
                while output.read < FAST
                    && let Some(pipe) = &output.pipe
                {
                    match read_piece(pipe) {
                        Ok(piece) if piece.is_empty() => output.pipe = None,
                        Ok(piece) => output.take(&piece),
                        Err(_) => break,
                    }
                }
                let kept = String::from_utf8_lossy(&output.kept).trim_end().to_owned();
                if let Some(pipe) = output.pipe.take() {
                    if output.resume.is_none() {
                        let _ = epoll::delete(&self.epoll, &pipe);
                    }
                    // Somebody that it has left behind may write on, and must not be ended by that.
                    self.orphans.push_back(pipe);
                    if self.orphans.len() > MOST_ORPHANS {
                        self.orphans.pop_front();
                    }
                }
                (failure, kept)
            }
        };
        let failure = if job.stage == Stage::Running { failure } else { Some("it took too long".to_owned()) };
        self.jobs.remove(&id);
        self.reports.push_back(Report::Ended(id, Outcome { failure, output }));
    }

    /// Its time is over.
    fn late(&mut self, id: JobId, now: Instant) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match (&mut job.doer, job.stage) {
            (Doer::Probe(_), _) => {
                // Its thread ends by itself, soon.
                self.jobs.remove(&id);
                let failure = Some("it took too long".to_owned());
                self.reports.push_back(Report::Late(id));
                self.reports.push_back(Report::Ended(id, Outcome { failure, output: String::new() }));
            }
            (Doer::Program { child, .. }, Stage::Running) => {
                signal(child, Signal::TERM);
                (job.stage, job.deadline) = (Stage::Asked, now.checked_add(GRACE));
                self.reports.push_back(Report::Late(id));
            }
            (Doer::Program { child, .. }, Stage::Asked | Stage::Killed) => {
                signal(child, Signal::KILL);
                (job.stage, job.deadline) = (Stage::Killed, None);
            }
        }
    }
}

impl AsFd for Runner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Runner {
    /// Nobody is left to wait for what still runs.
    fn drop(&mut self) {
        for job in self.jobs.values_mut() {
            if let Doer::Program { child, .. } = &mut job.doer {
                signal(child, Signal::KILL);
                let _ = child.wait();
            }
        }
    }
}

impl Job {
    fn resume(&self) -> Option<Instant> {
        match &self.doer {
            Doer::Program { output, .. } => output.resume,
            Doer::Probe(_) => None,
        }
    }
}

impl Output {
    const fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), kept: Vec::new(), read: 0, resume: None }
    }

    fn take(&mut self, piece: &[u8]) {
        self.read = self.read.saturating_add(piece.len());
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend(piece.iter().take(room));
    }
}

const fn output_token(id: JobId) -> u64 {
    id << 1
}

const fn end_token(id: JobId) -> u64 {
    id << 1 | 1
}

/// What there is to read, at most a piece; empty: nobody will write any more.
fn read_piece(pipe: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    rustix::io::read(pipe, spare_capacity(&mut piece))?;
    Ok(piece)
}

/// To it, and to all that it has started in its process group. It must not be reaped yet.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // All of them may have ended.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn shell(text: &str) -> Command {
        let task = Task::Run { program: "sh".into(), arguments: vec!["-c".to_owned(), text.to_owned()] };
        Command { task, user: None }
    }

    fn run(command: &Command, timeout: Option<Duration>) -> (bool, Outcome) {
        let mut runner = Runner::new().unwrap();
        let id = runner.start(command, &[], timeout);
        let mut late = false;
        loop {
            runner.wait(Instant::now() + Duration::from_secs(60)).unwrap();
            for report in runner.process().unwrap() {
                match report {
                    Report::Late(of) => late |= of == id,
                    Report::Ended(of, outcome) => {
                        assert_eq!(of, id);
                        assert!(runner.is_idle());
                        return (late, outcome);
                    }
                }
            }
        }
    }

    #[test]
    fn the_exit_status_decides_and_the_output_is_kept() {
        let (late, outcome) = run(&shell("echo one; echo two >&2"), None);
        assert_eq!((late, outcome.failure, outcome.output.as_str()), (false, None, "one\ntwo"));
        assert_eq!(run(&shell("exit 3"), None).1.failure.as_deref(), Some("exit status 3"));
        assert_eq!(run(&shell("kill -9 $$"), None).1.failure.as_deref(), Some("ended by signal 9"));
    }

    #[test]
    fn one_that_is_late_is_ended_with_all_that_it_has_started() {
        // The one that it waits for ignores the request.
        let text = "sh -c 'trap \"\" TERM; while true; do sleep 0.05; done' & echo $!; wait";
        let (late, outcome) = run(&shell(text), Some(Duration::from_millis(300)));
        assert_eq!((late, outcome.failure.as_deref()), (true, Some("it took too long")));
        let path = format!("/proc/{}/stat", outcome.output);
        let ended = || std::fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z "));
        let patience = Instant::now() + Duration::from_secs(20);
        while !ended() {
            assert!(Instant::now() < patience, "{path} is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_flood_is_read_to_its_end_but_not_kept() {
        let (_, outcome) = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x"), None);
        assert_eq!((outcome.failure, outcome.output.len()), (None, KEPT));
    }

    #[test]
    fn what_cannot_be_run_has_failed_and_is_named() {
        let missing = Command { task: Task::Run { program: "/none/such".into(), arguments: Vec::new() }, user: None };
        let failure = run(&missing, None).1.failure.unwrap();
        assert!(failure.contains("/none/such") && failure.contains("No such file"), "{failure}");
        let unknown =
            Command { task: Task::Run { program: "no-such-program".into(), arguments: Vec::new() }, user: None };
        assert!(run(&unknown, None).1.failure.unwrap().contains("no-such-program"));
    }

    #[test]
    fn the_environment_is_clean_and_the_directory_is_the_root() {
        let (_, outcome) = run(&shell("env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; cat"), None);
        let names: Vec<&str> = outcome.output.split_whitespace().collect();
        // Those that the shell sets itself, and its directory.
        let others: Vec<&&str> = names.iter().filter(|name| !["OLDPWD", "SHLVL", "_", "PWD"].contains(name)).collect();
        assert_eq!(others, [&"PATH", &"/"]);
    }

    #[test]
    fn a_connection_succeeds_if_somebody_listens() {
        // A port that is taken, and at which nobody listens. A listener that was dropped would not do: the processes that
        // other tests start have it too until they run their program.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let connect = Command { task: Task::Connect { host: "127.0.0.1".to_owned(), port }, user: None };
        assert!(run(&connect, Some(Duration::from_secs(20))).1.failure.unwrap().contains("refused"));
        socket.listen(1).unwrap();
        assert_eq!(run(&connect, Some(Duration::from_secs(20))).1.failure, None);
    }
}
