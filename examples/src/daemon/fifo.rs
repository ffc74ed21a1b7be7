//! Named pipes that are told what happens.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

use super::config::{About, Fifo};
use super::process::{JobId, Runner};

/// One pipe that is open.
#[derive(Debug)]
pub(super) struct OpenFifo {
    pub(super) config: Fifo,
    file: File,
    /// It was made here.
    made: bool,
    /// Nobody reads: said once.
    full: bool,
    reader: Option<JobId>,
}

impl OpenFifo {
    /// Makes it, if it is not there, and starts its reader.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(super) fn open(config: Fifo, runner: &mut Runner) -> anyhow::Result<Self> {
        let path = config.path.clone();
        let opened = || -> anyhow::Result<(File, bool)> {
            let made = match mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR) {
                Ok(()) => true,
                Err(rustix::io::Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            let is_fifo = std::fs::symlink_metadata(&path)?.file_type().is_fifo();
            anyhow::ensure!(is_fifo, "it is there and is no pipe");
            // Who reads it runs as that user, too.
            if let Some(owner) = config.owner.or(runner.default_user) {
                std::os::unix::fs::lchown(&path, Some(owner.uid), Some(owner.gid))?;
            }
            // For reading too: then it does not matter whether somebody else reads.
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            Ok((File::from(rustix::fs::open(&path, flags, Mode::empty())?), made))
        };
        let (file, made) = opened().with_context(|| format!("pipe {}", path.display()))?;
        let mut fifo = Self { config, file, made, full: false, reader: None };
        fifo.start_reader(runner);
        Ok(fifo)
    }

    fn start_reader(&mut self, runner: &mut Runner) {
        let path = self.config.path.display().to_string();
        self.reader = self.config.script.as_ref().map(|script| runner.start(script, &[path], None));
    }

    /// Tells it a line. One that does not read loses what is new.
    pub(super) fn tell(&mut self, about: About, line: &str) {
        if self.config.about != About::All && self.config.about != about {
            return;
        }
        let path = self.config.path.display();
        // At once: a line is shorter than what a pipe takes as a whole or not at all.
        match self.file.write_all(format!("{line}\n").as_bytes()) {
            Ok(()) => self.full = false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !std::mem::replace(&mut self.full, true) {
                    tracing::warn!("nobody reads from {path}: what is said there is lost from now on");
                }
            }
            Err(error) => tracing::warn!("cannot write to {path}: {error}"),
        }
    }

    /// A job has ended. Whether it was the reader of this.
    pub(super) fn ended(&mut self, job: JobId, failure: Option<&str>) -> bool {
        if self.reader != Some(job) {
            return false;
        }
        self.reader = None;
        let path = self.config.path.display();
        tracing::error!("the program that reads {path} has ended ({})", failure.unwrap_or("by itself"));
        true
    }

    /// Closes it, ends its reader, and removes it if it was made here.
    pub(super) fn close(self, runner: &mut Runner) {
        if let Some(reader) = self.reader {
            runner.end(reader);
        }
        if self.made {
            remove(&self.config.path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}
