//! Files with the number of this process, for scripts that send it signals.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The files, which are removed with this.
#[derive(Debug, Default)]
pub(crate) struct PidFiles(Vec<PathBuf>);

impl PidFiles {
    /// Writes the number of this process into a file.
    ///
    /// # Errors
    /// It cannot be written, or names another process that runs this program.
    pub(crate) fn write(&mut self, path: &Path) -> anyhow::Result<()> {
        let own = std::process::id();
        let before = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(other) =
            before.filter(|other| *other != own && name(*other).is_some_and(|it| Some(it) == name(own)))
        {
            anyhow::bail!(
                "{} says that process {other} is running already: end it, or name another file with --pid",
                path.display()
            );
        }
        let draft = path.with_extension("pid.new");
        let written = std::fs::write(&draft, format!("{own}\n")).and_then(|()| std::fs::rename(&draft, path));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        self.0.push(path.to_owned());
        Ok(())
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that another process has taken over is not ours.
            let is_ours = |text: String| text.trim() == std::process::id().to_string();
            if std::fs::read_to_string(path).is_ok_and(is_ours) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// What a process is called, if there is one.
fn name(process: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/comm")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_running_process_is_left_and_that_of_a_dead_one_taken_over() {
        let path = std::env::temp_dir().join(format!("vrrp-pid-{}", std::process::id()));
        // One of the same name: the parent, if it is a copy of this process, is not there in a test; so this one's own.
        let mut files = PidFiles::default();
        std::fs::write(&path, "4194305\n").unwrap();
        files.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(files);
        assert!(!path.exists());
        assert!(
            PidFiles::default()
                .write(Path::new("/nonexistent/x.pid"))
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/x.pid")
        );
    }
}
