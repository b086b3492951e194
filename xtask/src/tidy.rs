//! Rules that no compiler knows: who may use whom, how long a file may be, what must not be said.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{self as tool, cargo, root};

/// Lines of a file without its tests. Beyond it, the file is two rooms.
const MAX_LINES: usize = 500;
/// Lines of ARCHITECTURE.md: a map, not a book.
const MAX_MAP_LINES: usize = 300;

/// Everything that is checked without compiling the workspace.
fn run_checks() -> Result<Vec<String>> {
    let mut problems = edges()?;
    problems.extend(files()?);
    problems.extend(map()?);
    Ok(problems)
}

/// Format and rules.
pub fn run() -> Result<()> {
    tool::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let problems = run_checks()?;
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { bail!("{} rules are broken", problems.len()) }
}

/// Holds the dependencies between our crates against the list in ARCHITECTURE.md.
fn edges() -> Result<Vec<String>> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).context("read ARCHITECTURE.md")?;
    let allowed = allowed_edges(&map);
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(name) = package["name"].as_str().and_then(short) else {
            continue;
        };
        let Some(allowed) = allowed.get(&name) else {
            problems.push(format!("ARCHITECTURE.md: no line of edges for `{name}`"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let ours = dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().and_then(short));
        problems.extend(
            ours.filter(|used| !allowed.contains(used)).map(|used| {
                format!("`{name}` uses `{used}`, which ARCHITECTURE.md does not allow")
            }),
        );
    }
    Ok(problems)
}

fn short(name: &str) -> Option<String> {
    name.strip_prefix("portcullis-").map(str::to_owned)
}

/// Lines of the form "- `name` → `a`, `b`".
fn allowed_edges(map: &str) -> BTreeMap<String, Vec<String>> {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    map.lines()
        .filter(|line| line.starts_with("- `") && line.contains('→'))
        .filter_map(|line| {
            let (name, uses) = line.split_once('→')?;
            Some((quoted(name).into_iter().next()?, quoted(uses)))
        })
        .collect()
}

fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-co", "--exclude-standard", "*.rs"])
        .output()?;
    let mut problems = Vec::new();
    for name in String::from_utf8(output.stdout)?.lines() {
        let path: PathBuf = root().join(name);
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        if code > MAX_LINES && !name.contains("/tests/") {
            problems.push(format!("{name}: {code} lines; is it two rooms?"));
        }
        for (number, line) in text.lines().enumerate() {
            let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore")];
            if marks.iter().any(|mark| line.contains(mark)) {
                problems.push(format!("{name}:{}: unfinished", number + 1));
            }
        }
    }
    Ok(problems)
}

fn map() -> Result<Vec<String>> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let lines = map.lines().count();
    let long = (lines > MAX_MAP_LINES).then(|| format!("ARCHITECTURE.md has {lines} lines"));
    Ok(long.into_iter().collect())
}
