//! Writes the seeds of every target to `fuzz/corpus`, where `cargo fuzz` looks for them.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in portcullis_fuzz::targets() {
        let dir = corpus.join(target.name);
        fs::create_dir_all(&dir)?;
        for (number, seed) in target.seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
