//! Pairs of entities.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_screening::{PAIR_MAX_BYTES, Pair, Policy};
use serde_json::json;

pub fn run(file: &Path, policy: &Policy, explain: bool) -> Result<ExitCode> {
    let shown = file.display();
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| format!("open {shown}"))?))
    };
    let mut output = BufWriter::new(io::stdout().lock());
    let live = file == Path::new("-");
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let limit = u64::try_from(PAIR_MAX_BYTES)? + 2;
        let read = io::Read::take(&mut input, limit)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("read {shown}"))?;
        if read == 0 {
            break;
        }
        ensure!(
            line.len() <= PAIR_MAX_BYTES + 1,
            "{shown}, line {number}: the line is longer than {PAIR_MAX_BYTES} bytes"
        );
        let text = std::str::from_utf8(&line)
            .with_context(|| format!("{shown}, line {number} is not UTF-8"))?
            .trim();
        if text.is_empty() {
            continue;
        }
        let written =
            answer(text, policy, explain).with_context(|| format!("{shown}, line {number}"));
        // What was asked before a bad line is answered.
        let written = written.inspect_err(|_| drop(output.flush()))?;
        // Who asks line by line waits for each answer.
        let sent =
            writeln!(output, "{written}").and_then(|()| if live { output.flush() } else { Ok(()) });
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
pub fn closed(error: &io::Error) -> Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("write the answers: {error}");
}

fn answer(line: &str, policy: &Policy, explain: bool) -> Result<serde_json::Value> {
    let verdict = Pair::parse(line)?.score(policy);
    let mut answer = json!({"score": verdict.score, "match": verdict.is_match});
    if explain {
        answer["reasons"] = verdict.to_json();
        answer["text"] = verdict.text(policy).into();
    }
    Ok(answer)
}
