//! Together with keepalived, over real packets: VRRPv2 with a password, and VRRPv3.
//!
//! The cases of a test run side by side, each in a lab of its own. Debian's keepalived 2.2.7 is known to pass.

mod common;

use std::process::Stdio;

use common::election::{Dialect, End, Lan, Member, Peer, Policy, Side, V2, V3, VIP, VRID, roles_pass};
use common::{Log, PATIENCE, TempDir, in_parallel, lab, now, tool};
use rustix::process::{Pid, Signal, kill_process};
use vrrp_net::lab::{Host, Process};
use vrrp_net::vrrp_core::Instant;

#[test]
fn vrrpv2_roles_pass_between_us_and_keepalived_when_we_are_active_first() {
    if can_run() {
        roles_pass::<Keepalived>(&V2, Side::Ours);
    }
}

#[test]
fn vrrpv2_roles_pass_between_us_and_keepalived_when_it_is_active_first() {
    if can_run() {
        roles_pass::<Keepalived>(&V2, Side::Peer);
    }
}

#[test]
fn vrrpv3_roles_pass_between_us_and_keepalived_when_we_are_active_first() {
    if can_run() {
        roles_pass::<Keepalived>(&V3, Side::Ours);
    }
}

#[test]
fn vrrpv3_roles_pass_between_us_and_keepalived_when_it_is_active_first() {
    if can_run() {
        roles_pass::<Keepalived>(&V3, Side::Peer);
    }
}

#[test]
fn vrrpv2_a_pair_of_keepalived_accepts_us_as_a_third_member() {
    if can_run() {
        a_pair_accepts_us(&V2);
    }
}

#[test]
fn vrrpv3_a_pair_of_keepalived_accepts_us_as_a_third_member() {
    if can_run() {
        a_pair_accepts_us(&V3);
    }
}

fn can_run() -> bool {
    tool("keepalived", "keepalived").is_some() && lab().is_some()
}

fn a_pair_accepts_us(dialect: &Dialect) {
    let cases: [(String, Case); 2] =
        [("the lowest".to_owned(), joins_as_lowest), ("the highest".to_owned(), joins_as_highest)];
    in_parallel(cases, |case| case(dialect));
}

type Case = fn(&Dialect);

/// It stays Backup while either of the others is there, and takes over when both are gone.
fn joins_as_lowest(dialect: &Dialect) {
    let lan = Lan::new(dialect);
    let (mut active, mut backup) = pair(&lan);
    let mut ours = Member::new(&lan, Side::Ours, 3, Policy { priority: 50, preempt: true });
    ours.start();
    lan.expect_stable(&active, &[&backup, &ours]);

    let ended = now();
    // The Backup first: it must not notice that the Active is gone.
    backup.end(End::Killed);
    active.end(End::Killed);
    lan.expect_takeover(&ours, &active, End::Killed, ended);
    lan.expect_stable(&ours, &[]);
    assert_eq!(lan.adverts_since(Instant::ZERO, backup.address()), [], "the Backup of the pair was never Active");
    lan.expect_peace(&[&active, &backup, &ours]);
}

/// It becomes the only Active, and gives the role back to the better one of the pair.
fn joins_as_highest(dialect: &Dialect) {
    let lan = Lan::new(dialect);
    let (active, backup) = pair(&lan);
    let mut ours = Member::new(&lan, Side::Ours, 3, Policy { priority: 200, preempt: true });
    let joined = now();
    ours.start();
    lan.expect_active(&ours, joined);
    lan.expect_stable(&ours, &[&active, &backup]);

    let ended = now();
    ours.end(End::Stopped);
    lan.expect_takeover(&active, &ours, End::Stopped, ended);
    lan.expect_stable(&active, &[&backup]);
    assert_eq!(lan.adverts_since(Instant::ZERO, backup.address()), [], "the Backup of the pair was never Active");
    lan.expect_peace(&[&active, &backup, &ours]);
}

fn pair(lan: &Lan) -> (Member<Keepalived>, Member<Keepalived>) {
    let mut active = Member::new(lan, Side::Peer, 1, Policy { priority: 150, preempt: true });
    let mut backup = Member::new(lan, Side::Peer, 2, Policy { priority: 100, preempt: true });
    active.start();
    lan.expect_active(&active, Instant::ZERO);
    backup.start();
    (active, backup)
}

/// keepalived: a parent, which does nothing but start its child again, and that child.
struct Keepalived {
    parent: Process,
    log: Log,
    folder: TempDir,
}

impl Peer for Keepalived {
    const IS_BACKUP: &str = "Entering BACKUP STATE";
    const COMPLAINS: &[&str] =
        &["nvalid", "ncorrect", "ismatch", "iscard", "gnoring", "Unknown", "bad ", "rror", "not match"];
    /// It tells of every advertisement that it is about to beat.
    const IS_CONTENT: &[&str] = &["received lower priority"];

    fn start(host: &Host, dialect: &Dialect, policy: Policy) -> Self {
        let folder = TempDir::new();
        let file = folder.write("keepalived.conf", &configuration(dialect, policy));
        let mut command = host.command(tool("keepalived", "keepalived").expect("keepalived"));
        command.args(["--vrrp", "--dont-fork", "--log-console", "--log-detail", "--no-syslog"]);
        command.arg("--use-file").arg(file);
        command.arg("--pid").arg(folder.file("parent.pid")).arg("--vrrp_pid").arg(folder.file("child.pid"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
        let mut parent = Process::start(&mut command).expect("start keepalived");
        let log = Log::of(&mut parent);
        Self { parent, log, folder }
    }

    /// Both end at once. The parent is stopped before, because it would start another child, and the child would end
    /// politely after the parent's death.
    fn kill(&mut self) {
        let child = self.child();
        self.parent.stop().expect("stop keepalived");
        kill_process(child, Signal::KILL).expect("kill keepalived's child");
        self.parent.kill().expect("kill keepalived");
    }

    fn terminate(&mut self) {
        self.parent.terminate().expect("terminate keepalived");
        let ended = self.parent.wait(PATIENCE).expect("wait for keepalived");
        assert!(ended.is_some(), "keepalived did not end on SIGTERM: {:#?}", self.log.lines());
    }

    fn log(&self) -> &Log {
        &self.log
    }
}

impl Keepalived {
    fn child(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.file("child.pid")).expect("the file with keepalived's child");
        let child: i32 = text.trim().parse().expect("a process number");
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("keepalived's child");
        let parent = format!("PPid:\t{}\n", self.parent.id());
        assert!(status.contains(&parent), "process {child} is no child of keepalived:\n{status}");
        Pid::from_raw(child).expect("a process number")
    }
}

fn configuration(dialect: &Dialect, policy: Policy) -> String {
    let Dialect { version, centiseconds, password } = dialect;
    let preempt = if policy.preempt { "" } else { "nopreempt" };
    let authentication = match password {
        Some(password) => format!("authentication {{\n auth_type PASS\n auth_pass {password}\n }}"),
        None => String::new(),
    };
    format!(
        "global_defs {{\n vrrp_version {}\n }}\n\
         vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id {VRID}\n priority {}\n \
         advert_int {}.{:02}\n {preempt}\n {authentication}\n virtual_ipaddress {{\n {VIP}/32\n }}\n }}\n",
        version.number(),
        policy.priority,
        centiseconds / 100,
        centiseconds % 100,
    )
}
