//! How a program is started: as whom, with what, and without what.

use std::io::pipe;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getgid, getuid, pidfd_open};

use super::Outcome;
use crate::daemon::config::User;
use crate::daemon::processes;

/// Where programs are looked for, and what they get as PATH. All else of the environment is the daemon's own business.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that runs.
pub(super) struct Started {
    pub(super) child: Child,
    /// Becomes readable when it ends.
    pub(super) pidfd: OwnedFd,
    /// What it prints.
    pub(super) pipe: OwnedFd,
}

/// Starts a program in a process group of its own, without input, with both outputs in one pipe.
///
/// As another user it loses the daemon's capabilities with the user; the daemon's own [ambient ones](keep_nothing) are not
/// passed on. Root is root.
pub(super) fn spawn(
    program: &Path,
    arguments: &[String],
    more: &[String],
    user: Option<User>,
    security: bool,
) -> anyhow::Result<Started> {
    let path = find(program).with_context(|| format!("{} is not in {PATH}", program.display()))?;
    let own = User { uid: getuid().as_raw(), gid: getgid().as_raw() };
    let user = user.unwrap_or(own);
    if security && user.uid == 0 {
        check_safe(&path)?;
    }
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    rustix::io::ioctl_fionbio(&reader, true).context("cannot make a pipe")?;
    let start = |mut command: Program| {
        command.args(arguments).args(more).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer.try_clone()?);
        if user != own {
            // This takes the supplementary groups away too.
            command.gid(user.gid).uid(user.uid);
        }
        command.spawn()
    };
    let started = start(Program::new(&path)).or_else(|error| {
        // As execvp(3) does with a script that does not say what is to run it.
        if error.raw_os_error() != Some(Errno::NOEXEC.raw_os_error()) {
            return Err(error);
        }
        let mut shell = Program::new("/bin/sh");
        shell.arg(&path);
        start(shell)
    });
    let child = started.with_context(|| path.display().to_string())?;
    drop(writer);
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = number.ok_or(Errno::SRCH).and_then(|number| pidfd_open(number, PidfdFlags::empty()));
    match pidfd {
        Ok(pidfd) => Ok(Started { child, pidfd, pipe: reader.into() }),
        Err(error) => {
            super::signal(&child, rustix::process::Signal::KILL);
            let mut child = child;
            let _ = child.wait();
            Err(error).context("cannot watch a program")
        }
    }
}

/// What is done here because there is no program for it: `killall -0 NAME` where there is no `killall`.
pub(super) fn native(program: &Path, arguments: &[String]) -> Option<Outcome> {
    let [option, name] = arguments else { return None };
    if program != Path::new("killall") || option != "-0" || find(program).is_some() {
        return None;
    }
    let runs = processes::is_running(name);
    let failure = (!runs).then(|| format!("no process of the name {name:?} (looked up in /proc: there is no killall)"));
    Some(Outcome { failure, output: String::new() })
}

/// Where a program is: one that is named without a folder is looked for where the daemons look.
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Whether nobody but root can change the program, or put another one in its place.
///
/// # Errors
/// Who can, or that the program is not there.
pub fn check_safe(path: &Path) -> anyhow::Result<()> {
    let whole = path.canonicalize().with_context(|| path.display().to_string())?;
    for part in whole.ancestors() {
        let about = std::fs::metadata(part).with_context(|| part.display().to_string())?;
        let by_others = about.mode() & 0o022 != 0 && !(about.is_dir() && about.mode() & 0o1000 != 0);
        anyhow::ensure!(
            about.uid() == 0 && !by_others,
            "{} is not run as root: {} can be changed by others (chown root, chmod go-w, or have it run as another user)",
            path.display(),
            part.display()
        );
    }
    Ok(())
}
