//! The console, which the binary takes in where it was built.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Result, bail};

use crate::run::{self as tool, root, works};

/// What it is made of.
const SOURCES: &[&str] = &[
    "console/src",
    "console/index.html",
    "console/package-lock.json",
    "console/pack.mjs",
    "console/vite.config.ts",
    "docs/openapi.json",
];
const BUILT: &str = "console/dist/app/index.html";

/// Builds it if anything is newer than what was built. Without Node there is none, and that is said.
pub fn build() -> Result<()> {
    if !works("npm", &["--version"]) {
        println!("the console is left out: it needs Node 20.19 or newer");
        return Ok(());
    }
    let built = fs::metadata(root().join(BUILT)).and_then(|built| built.modified());
    let sources = SOURCES.iter().map(|source| newest(&root().join(source)));
    let sources = sources.collect::<io::Result<Vec<_>>>()?;
    if built.is_ok_and(|built| sources.iter().all(|source| *source < built)) {
        return Ok(());
    }
    packages()?;
    npm(&["run", "--silent", "build"])
}

/// Types and logic. What people do with it is tested with the clients.
pub fn test() -> Result<()> {
    if !works("npm", &["--version"]) {
        bail!("npm is missing: the console needs Node 20.19 or newer");
    }
    packages()?;
    npm(&["run", "--silent", "check"])?;
    npm(&["test", "--silent"])
}

fn packages() -> Result<()> {
    let lock = newest(&root().join("console/package-lock.json"))?;
    let kept = fs::metadata(root().join("console/node_modules/.package-lock.json"));
    if kept.and_then(|kept| kept.modified()).is_ok_and(|kept| kept >= lock) {
        return Ok(());
    }
    npm(&["ci", "--no-audit", "--no-fund", "--silent"])
}

fn npm(arguments: &[&str]) -> Result<()> {
    tool::run(Command::new("npm").current_dir(root().join("console")).args(arguments))
}

/// When anything at or below a path was changed last.
fn newest(path: &Path) -> io::Result<SystemTime> {
    let metadata = fs::metadata(path)?;
    let mut last = metadata.modified()?;
    if metadata.is_dir() {
        let entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        // What is generated is no source.
        for entry in entries.iter().filter(|entry| !entry.ends_with("openapi.d.ts")) {
            last = last.max(newest(entry)?);
        }
    }
    Ok(last)
}
