use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The top of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command to its end and fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    println!("$ {}", shown.replace('"', ""));
    let status = command.status().with_context(|| format!("start {shown}"))?;
    if status.success() { Ok(()) } else { bail!("{shown} failed: {status}") }
}

/// Whether a command runs and succeeds.
pub fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

/// Cargo, in the workspace.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// A process that is asked to end, and waited for, when the value goes.
pub struct Running {
    name: String,
    child: Child,
}

impl Running {
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Whether it ended by itself, and how.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended: {status}", self.name))
    }

    fn ask(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.ask();
            let _ = self.child.wait();
        }
    }
}
