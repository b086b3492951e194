//! Puts what `npm run build` made of `console/` into the binary. Where it was not built there is nothing, and the
//! page says so.
#![expect(clippy::disallowed_methods, reason = "cargo says by the environment where things are")]

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let root =
        Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../console/dist");
    println!("cargo::rerun-if-changed={}", root.display());
    let root = root.join("app");
    let mut files = Vec::new();
    if root.is_dir() {
        collect(&root, &mut files)?;
    }
    files.sort();
    let mut table = String::from("pub const FILES: &[(&str, &[u8])] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        let whole = file.canonicalize()?;
        table.push_str(&format!(
            "    ({name:?}, include_bytes!({:?})),\n",
            whole.display().to_string()
        ));
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("files.rs"), table)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
