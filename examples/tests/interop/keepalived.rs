//! keepalived: a parent, which does nothing but start its child again, and that child.

use std::fmt::Write as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use vrrp_net::lab::Process;

use crate::common::{Log, PATIENCE, TempDir, tool};
use crate::lan::{Dialect, VRID};
use crate::member::{Member, Program};

pub(crate) struct Keepalived {
    parent: Process,
    log: Log,
    folder: TempDir,
}

impl Keepalived {
    pub(crate) const IS_BACKUP: &str = "Entering BACKUP STATE";
    pub(crate) const COMPLAINS: &[&str] =
        &["nvalid", "ncorrect", "ismatch", "iscard", "gnoring", "Unknown", "bad ", "rror", "not match"];
    /// It tells of every advertisement that it is about to beat.
    pub(crate) const IS_CONTENT: &[&str] = &["received lower priority"];

    pub(crate) fn start(member: &Member) -> Self {
        let folder = TempDir::new();
        let file = folder.write("keepalived.conf", &configuration(member));
        let mut command = member.host.command(tool("keepalived", "keepalived").expect("keepalived"));
        command.args(["--vrrp", "--dont-fork", "--log-console", "--log-detail", "--no-syslog"]);
        command.arg("--use-file").arg(file);
        command.arg("--pid").arg(folder.file("parent.pid")).arg("--vrrp_pid").arg(folder.file("child.pid"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
        let mut parent = Process::start(&mut command).expect("start keepalived");
        let log = Log::of(&mut parent);
        Self { parent, log, folder }
    }

    fn child(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.file("child.pid")).expect("the file with keepalived's child");
        let child: i32 = text.trim().parse().expect("a process number");
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("keepalived's child");
        let parent = format!("PPid:\t{}\n", self.parent.id());
        assert!(status.contains(&parent), "process {child} is no child of keepalived:\n{status}");
        Pid::from_raw(child).expect("a process number")
    }
}

impl Program for Keepalived {
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

    fn pause(&mut self) {
        kill_process(self.child(), Signal::STOP).expect("stop keepalived's child");
    }

    fn resume(&mut self) {
        kill_process(self.child(), Signal::CONT).expect("resume keepalived's child");
    }

    fn log(&self) -> &Log {
        &self.log
    }
}

fn configuration(member: &Member) -> String {
    let Dialect { version, centiseconds, password, unicast, virtual_mac, .. } = member.dialect;
    let mut more = String::new();
    if !member.policy.preempt {
        more += " nopreempt\n";
    }
    if let Some(password) = password {
        let _ = writeln!(more, " authentication {{\n auth_type PASS\n auth_pass {password}\n }}");
    }
    if virtual_mac {
        more += " use_vmac\n";
    }
    if unicast {
        // Over IPv6 it sends a hop limit of 64 otherwise, which only those take who expect routers on the way.
        let peers: String = member.peers.iter().map(|peer| format!(" {peer}\n")).collect();
        let _ = writeln!(more, " unicast_src_ip {}\n unicast_ttl 255\n unicast_peer {{\n{peers} }}", member.source());
    }
    let addresses: String = member.dialect.addresses().iter().map(|address| format!(" {address}\n")).collect();
    format!(
        "global_defs {{\n vrrp_version {}\n }}\n\
         vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id {VRID}\n priority {}\n \
         advert_int {}.{:02}\n{more} virtual_ipaddress {{\n{addresses} }}\n }}\n",
        version.number(),
        member.policy.priority,
        centiseconds / 100,
        centiseconds % 100,
    )
}
