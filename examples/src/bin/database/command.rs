//! Programs that are run with a bound, so that one that hangs costs its time and nothing more.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

/// How much of what a program prints is kept.
const MOST: u64 = 64 * 1024;

/// How often a program is asked whether it has ended.
const STEP: Duration = Duration::from_millis(5);

/// For how long what it printed is waited for after its end: a process that it left behind may hold the other end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a program to its end, and returns what it printed. If it takes longer than `within`, or `interrupt` is set, it is
/// killed with all that it started. `name` is for the errors.
///
/// # Errors
/// It cannot be started, failed (with what it said), was interrupted or took too long.
pub(crate) fn run(
    name: &str,
    command: &mut Command,
    within: Duration,
    interrupt: &AtomicBool,
) -> anyhow::Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let text = |reader: Option<Receiver<String>>| {
        reader.and_then(|reader| reader.recv_timeout(LAST_WORDS).ok()).unwrap_or_default()
    };
    match wait(&mut child, within, interrupt)? {
        Some(status) if status.success() => Ok(text(stdout)),
        Some(status) => {
            let said = text(stderr);
            let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            anyhow::bail!("{name} failed ({status}): {said}")
        }
        None if interrupt.load(Ordering::Relaxed) => anyhow::bail!("{name} was interrupted"),
        None => anyhow::bail!("{name} did not end within {within:?}"),
    }
}

/// Its status, or `None` if it had to be killed.
fn wait(child: &mut Child, within: Duration, interrupt: &AtomicBool) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until || interrupt.load(Ordering::Relaxed) {
            // It is not reaped yet, so that the number is still its own.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(STEP);
    }
}

/// The first part of what comes; the rest is read and forgotten, so that nobody waits for us.
fn reader(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut pipe, mut bytes) = (pipe, Vec::new());
        let _ = pipe.by_ref().take(MOST).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, within: Duration) -> anyhow::Result<String> {
        run("sh", Command::new("sh").args(["-c", script]), within, &AtomicBool::new(false))
    }

    #[test]
    fn a_program_gives_what_it_prints_or_says_why_not() {
        let long = Duration::from_secs(60);
        assert_eq!(shell("echo yes", long).unwrap(), "yes\n");
        assert!(shell("echo no >&2; exit 3", long).unwrap_err().to_string().ends_with("3): no"));
        assert!(shell("head -c 1000000 /dev/zero; echo", long).is_ok(), "it floods, and nobody waits");
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_its_time() {
        let error = shell("sleep 600 & sleep 600", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "sh did not end within 50ms");
    }

    #[test]
    fn a_program_can_be_interrupted() {
        let interrupt = AtomicBool::new(true);
        let error = run("sleep", Command::new("sleep").arg("600"), Duration::from_secs(600), &interrupt).unwrap_err();
        assert_eq!(error.to_string(), "sleep was interrupted");
    }
}
