//! The pair of these tests: two hosts with an agent and a database each, and a client, on one switch.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use vrrp_net::lab::{Host, Interface, Lab, Process};

use crate::common::{Log, PATIENCE, TempDir, lab, tool, wait_until};

/// The address that moves.
pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));

/// Its own host may be gone before it was answered.
const CLIENT_WAITS: Duration = Duration::from_secs(2);

/// An agent that runs.
pub(crate) struct Node {
    process: Process,
    log: Log,
}

impl Node {
    /// Waits until a line of its log has this text.
    pub(crate) fn says(&self, text: &str) {
        assert!(self.log.wait_for(PATIENCE, text), "no {text:?}: {:#?}", self.log.lines());
    }

    /// What it has said.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kill the agent");
    }
}

/// What a host has.
struct Place {
    host: Host,
    cable: Interface,
    data: PathBuf,
    socket: PathBuf,
    config: PathBuf,
    /// `None`: it is not started, or was killed.
    node: Option<Node>,
}

/// Two hosts and a client.
pub(crate) struct Pair {
    places: [Place; 2],
    client: Host,
    bin: PathBuf,
    fence: PathBuf,
    fenced: PathBuf,
    _folder: TempDir,
    _lab: Lab,
}

impl Pair {
    /// A primary and a standby that is in step, made out of nothing; `None` where there is no lab or no PostgreSQL.
    pub(crate) fn in_step() -> Option<Self> {
        // The others are beside it, whatever is linked from elsewhere.
        let postgres = tool("pg_rewind", "postgresql")?.canonicalize().expect("a path");
        let lab = lab()?;
        let mut pair = Self::new(lab, postgres.parent().expect("a folder"));
        pair.start(0);
        pair.node(0).says("-> Active: ");
        pair.start(1);
        pair.node(1).says("the database is a standby");
        pair.node(0).says("in step");
        let made = pair.psql(0, "create table numbered (number bigint primary key)");
        assert_eq!(made.as_deref(), Ok(""));
        Some(pair)
    }

    fn new(lab: Lab, bin: &Path) -> Self {
        let folder = TempDir::new();
        // The database's user looks in.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
        let lan = lab.bridge("lan").expect("a bridge");
        let host = |name: &str, address: &str| {
            let host = lab.host(name).expect("a host");
            let cable = host.attach(&lan, "eth0", &[address]).expect("an interface");
            (host, cable)
        };
        let fenced = folder.write("fenced", "");
        let fence = folder.write("fence", "");
        std::fs::set_permissions(&fence, PermissionsExt::from_mode(0o755)).expect("permissions");
        let user = user();
        let place = |number: u8, name: &str| {
            let own = folder.file(name);
            std::fs::create_dir(&own).expect("a folder");
            if let Some((user, group)) = user {
                chown(&own, Some(user), Some(group)).expect("chown");
            }
            let (data, run_as) = (own.join("data"), run_as());
            let text = format!(
                r#"
                [router]
                interface = "eth0"
                vrid = 51
                interval = "200ms"
                priority = {priority}
                addresses = ["192.0.2.100/24"]
                [database]
                bin = {bin:?}
                data = {data:?}
                socket = {own:?}
                peer = "192.0.2.{peer}"
                run-as = {run_as:?}
                every = "100ms"
                alone-after = "2s"
                settings = {{ listen_addresses = "*" }}
                [fencing]
                command = [{fence:?}]
                "#,
                peer = 3 - number,
                priority = 150 - number,
            );
            let config = folder.write(&format!("{name}.toml"), &text);
            let (host, cable) = host(name, &format!("192.0.2.{number}/24"));
            Place { host, cable, data, socket: own, config, node: None }
        };
        let places = [place(1, "a"), place(2, "b")];
        let (client, _) = host("client", "192.0.2.66/24");
        let pair = Self { places, client, bin: bin.to_owned(), fence, fenced, _folder: folder, _lab: lab };
        pair.fence_by("true");
        pair.make_database();
        pair
    }

    /// A new database on the first host.
    fn make_database(&self) {
        let data = &self.places[0].data;
        let mut words: Vec<OsString> =
            if geteuid().is_root() { run_as().into_iter().map(OsString::from).collect() } else { Vec::new() };
        words.push(self.bin.join("initdb").into_os_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("-D").arg(data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "--no-instructions",
            // A promotion and each copy begin a new segment: of 16 MiB, unless told otherwise.
            "--wal-segsize=1",
        ]);
        let output = command.current_dir("/").output().expect("run initdb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let append = |name: &str, more: &str| {
            let path = data.join(name);
            let text = std::fs::read_to_string(&path).expect(name);
            std::fs::write(&path, text + more).expect(name);
        };
        append("pg_hba.conf", "host all all 192.0.2.0/24 trust\nhost replication all 192.0.2.0/24 trust\n");
        // What is killed here are processes, not hosts.
        append("postgresql.conf", "fsync = off\nshared_buffers = 16MB\nwal_keep_size = 64MB\nmin_wal_size = 2MB\n");
    }

    /// What the fencing command does: the host that it is to fence is in VRRP_PEER.
    pub(crate) fn fence_by(&self, script: &str) {
        let text = format!("#!/bin/sh\necho $VRRP_PEER >>{}\n{script}\n", self.fenced.display());
        // Nobody is to run half of it.
        let new = self.fence.with_extension("new");
        std::fs::write(&new, text).expect("write the fencing command");
        std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).expect("permissions");
        std::fs::rename(&new, &self.fence).expect("write the fencing command");
    }

    /// Cuts a host off, or connects it again.
    pub(crate) fn set_cut(&self, number: usize, cut: bool) {
        let cable = &self.places[number].cable;
        if cut { cable.cut_silently() } else { cable.heal() }.expect("the cable");
    }

    /// How often the fencing command ran.
    pub(crate) fn fenced(&self) -> usize {
        std::fs::read_to_string(&self.fenced).expect("what was fenced").lines().count()
    }

    /// Starts the agent of a host.
    pub(crate) fn start(&mut self, number: usize) {
        let place = &mut self.places[number];
        let mut command = place.host.command(env!("CARGO_BIN_EXE_database"));
        command.arg("--config").arg(&place.config).env("NO_COLOR", "1");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command).expect("start the agent");
        let log = Log::of(&mut process);
        place.node = Some(Node { process, log });
    }

    /// The agent of a host.
    pub(crate) fn node(&mut self, number: usize) -> &mut Node {
        self.places[number].node.as_mut().expect("an agent that was started")
    }

    /// Ends the agent of a host politely.
    pub(crate) fn terminate(&mut self, number: usize) -> ExitStatus {
        let node = self.node(number);
        node.process.terminate().expect("terminate the agent");
        let status = node.process.wait(PATIENCE).expect("wait for the agent");
        status.unwrap_or_else(|| panic!("it does not end: {:#?}", node.log.lines()))
    }

    /// Ends all of a host as a loss of power does: nothing of it acts any more.
    pub(crate) fn kill_host(&mut self, number: usize) {
        let postmaster = self.postmaster(number);
        self.node(number).kill();
        kill(postmaster);
        assert!(wait_until(PATIENCE, || !is_alive(postmaster)), "the database is there");
    }

    /// Leaves what an agent leaves that is killed in the middle of this.
    pub(crate) fn notes_unfinished(&self, number: usize, what: &str) {
        let mut path = self.places[number].data.clone().into_os_string();
        path.push(".unfinished");
        std::fs::write(path, what).expect("write a note");
    }

    /// The process of a host's database.
    pub(crate) fn postmaster(&self, number: usize) -> Pid {
        let path = self.places[number].data.join("postmaster.pid");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw).expect("a process number")
    }

    pub(crate) fn has(&self, number: usize, address: IpAddr) -> bool {
        self.places[number].host.has_address(address).expect("a list of addresses")
    }

    /// Asks the database of a host, past the virtual address.
    pub(crate) fn psql(&self, number: usize, sql: &str) -> Result<String, String> {
        let socket = self.places[number].socket.display().to_string();
        psql(Command::new(self.bin.join("psql")), &socket, sql)
    }

    /// As [`psql`](Self::psql), but does not wait for an answer for longer.
    pub(crate) fn psql_within(&self, number: usize, sql: &str, limit: Duration) -> Result<String, String> {
        let socket = self.places[number].socket.display().to_string();
        psql(self.patient(Command::new("timeout"), limit), &socket, sql)
    }

    fn patient(&self, mut command: Command, limit: Duration) -> Command {
        command.arg(limit.as_secs().to_string()).arg(self.bin.join("psql"));
        command
    }

    /// The numbers that the database of a host has.
    pub(crate) fn numbers(&self, number: usize) -> BTreeSet<i64> {
        let text = self.psql(number, "select number from numbered").unwrap_or_else(|error| panic!("{error}"));
        text.lines().map(|line| line.parse().expect("a number")).collect()
    }

    /// Checks that a host's database has all of these.
    pub(crate) fn holds(&self, number: usize, told: &BTreeSet<i64>) {
        let there = || told.difference(&self.numbers(number)).copied().collect::<Vec<_>>();
        // A standby shows a commit a moment after it has it.
        assert!(wait_until(Duration::from_secs(5), || there().is_empty()), "lost: {:?} of {told:?}", there());
    }

    /// A client that begins to commit.
    pub(crate) fn client(&self) -> Client {
        let (told, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (ours, ended, host, psql) =
            (Arc::clone(&told), Arc::clone(&stop), self.client.clone(), self.bin.join("psql"));
        let thread = std::thread::spawn(move || {
            for number in 1.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                // One commit each, and a number whose fate it is not told is not used again.
                let mut command = host.command("timeout");
                command.arg(CLIENT_WAITS.as_secs().to_string()).arg(&psql);
                match self::psql(command, &VIP.to_string(), &format!("insert into numbered values ({number})")) {
                    Ok(_) => drop(ours.lock().unwrap_or_else(PoisonError::into_inner).insert(number)),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Client { told, stop, thread: Some(thread) }
    }
}

/// A client that commits numbers, one after the other.
pub(crate) struct Client {
    told: Arc<Mutex<BTreeSet<i64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Waits for so many more commits. Returns all that it was told of.
    pub(crate) fn commits(&self, more: usize) -> BTreeSet<i64> {
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = told().len();
        assert!(wait_until(PATIENCE, || told().len() >= before + more), "{before} commits, and then {}", told().len());
        told()
    }

    /// Has it end. Returns all that it was told of.
    pub(crate) fn stop(mut self) -> BTreeSet<i64> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the client");
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        eprintln!("the client was told of {} commits", told.len());
        told
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn psql(mut command: Command, server: &str, sql: &str) -> Result<String, String> {
    command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-h", server, "-c", sql]);
    let output = command.env("PGCONNECT_TIMEOUT", "2").output().expect("run psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whose database it is, if this process is root: `postgres` refuses to be.
fn user() -> Option<(u32, u32)> {
    let id = |option: &str| {
        let output = Command::new("id").args([option, "postgres"]).output().expect("run id");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("the user postgres")
    };
    geteuid().is_root().then(|| (id("-u"), id("-g")))
}

/// What makes that user of an agent. In a lab without privileges everything is root's, until a namespace says otherwise.
fn run_as() -> Vec<&'static str> {
    if geteuid().is_root() {
        vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
    } else {
        vec!["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    }
}

/// Ends a process as a crash does.
pub(crate) fn kill(process: Pid) {
    // It may have ended by itself.
    let _ = kill_process(process, Signal::KILL);
}

/// Whether there is this process.
pub(crate) fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}
