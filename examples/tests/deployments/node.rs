//! A program that runs a keepalived.conf on a host: this project's, or the real one.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use vrrp_net::lab::{Host, Process};

use crate::common::{Log, PATIENCE, TempDir, tool};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Real,
}

use Kind::{Ours, Real};

/// Two of ours, and each mixed with a real one.
pub(crate) const PAIRS: [(&str, [Kind; 2]); 3] =
    [("ours, ours", [Ours, Ours]), ("ours, real", [Ours, Real]), ("real, ours", [Real, Ours])];

/// The file of a deployment, as it is.
pub(crate) fn file(deployment: &str, name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(deployment).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One that runs.
pub(crate) struct Node {
    kind: Kind,
    process: Process,
    log: Log,
    folder: TempDir,
}

impl Node {
    /// Starts it with this text as its file.
    pub(crate) fn start(kind: Kind, host: &Host, text: &str) -> Self {
        Self::start_in(kind, host, text, TempDir::new())
    }

    /// The same, with a folder in which something is already.
    pub(crate) fn start_in(kind: Kind, host: &Host, text: &str, folder: TempDir) -> Self {
        let text = if kind == Real { with_shell(text, &folder) } else { text.to_owned() };
        let path = folder.write("keepalived.conf", &text);
        let mut command = match kind {
            Ours => host.command(env!("CARGO_BIN_EXE_keepalived")),
            Real => host.command(tool("keepalived", "keepalived").expect("keepalived")),
        };
        command.args(["--dont-fork", "--log-console", "--log-detail", "--no-syslog", "--vrrp", "--use-file"]).arg(path);
        command.arg("--pid").arg(folder.file("pid")).arg("--vrrp_pid").arg(folder.file("child.pid"));
        if kind == Ours {
            command.arg("--control").arg(folder.file("control"));
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C").env("NO_COLOR", "1");
        let mut process = Process::start(&mut command).expect("start keepalived");
        let log = Log::of(&mut process);
        Self { kind, process, log, folder }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until its log has this.
    pub(crate) fn says(&self, text: &str) {
        assert!(self.log.wait_for(PATIENCE, text), "no {text:?} in {:#?}", self.log.lines());
    }

    /// Gives it another text, of which it is told.
    pub(crate) fn reload(&self, text: &str) {
        self.folder.write("keepalived.conf", text);
        self.signal(Signal::HUP);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let number = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(number, signal).expect("signal keepalived");
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.wait(std::time::Duration::ZERO).expect("wait for keepalived").is_none()
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        if self.kind == Real {
            // Its child too, which the parent would start again, and which would end in order after the parent.
            let child = std::fs::read_to_string(self.folder.file("child.pid")).expect("keepalived's child");
            let child = child.trim().parse().ok().and_then(Pid::from_raw).expect("a process number");
            self.process.stop().expect("stop keepalived");
            kill_process(child, Signal::KILL).expect("kill keepalived's child");
        }
        self.process.kill().expect("kill keepalived");
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        self.process.terminate().expect("terminate keepalived");
        let ended = self.process.wait(PATIENCE).expect("wait for keepalived");
        assert!(ended.is_some(), "it did not end: {:#?}", self.log.lines());
    }
}

/// A real keepalived starts no shell for `</dev/tcp/127.0.0.1/80`, which would be no check then: it gets a script that does.
fn with_shell(text: &str, folder: &TempDir) -> String {
    let script = folder.write("check_app.sh", "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/80\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("make it a program");
    text.replace("</dev/tcp/127.0.0.1/80", &script.display().to_string())
}
