//! One line of JSON in, one line of JSON out.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_screening::PAIR_MAX_BYTES;
use serde_json::Value;

/// Answers every line of a file, or of standard input for `-`, in order. The first line that cannot be
/// answered ends it, told by its number; those before it are answered.
pub fn each_line(file: &Path, answer: impl Fn(&str) -> Result<Value>) -> Result<ExitCode> {
    let shown = file.display();
    let live = file == Path::new("-");
    let mut input: Box<dyn BufRead> = if live {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| format!("open {shown}"))?))
    };
    // What is buffered is written when it is dropped, also on an error below.
    let mut output = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let limit = u64::try_from(PAIR_MAX_BYTES)? + 2;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.with_context(|| format!("read {shown}"))? == 0 {
            break;
        }
        let place = || format!("{shown}, line {number}");
        ensure!(
            line.len() <= PAIR_MAX_BYTES + 1,
            "{}: the line is longer than {PAIR_MAX_BYTES} bytes",
            place()
        );
        let text =
            std::str::from_utf8(&line).with_context(|| format!("{} is not UTF-8", place()))?;
        if text.trim().is_empty() {
            continue;
        }
        let answered = answer(text.trim()).with_context(place)?;
        // Who asks line by line waits for each answer.
        let written = writeln!(output, "{answered}");
        let sent = written.and_then(|()| if live { output.flush() } else { Ok(()) });
        if let Err(error) = sent {
            return closed(&error);
        }
    }
    match output.flush() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => closed(&error),
    }
}

/// Whoever read the answers has seen enough, or the disk is full.
fn closed(error: &io::Error) -> Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("write the answers: {error}");
}
