//! Pairs of entities.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use portcullis_screening::{Pair, Policy};
use serde_json::json;

use super::answers::each_line;

pub fn run(file: &Path, policy: &Policy, explain: bool) -> Result<ExitCode> {
    each_line(file, |line| {
        let verdict = Pair::parse(line)?.score(policy);
        let mut answer = json!({"score": verdict.score, "match": verdict.is_match});
        if explain {
            answer["reasons"] = verdict.to_json();
            answer["text"] = verdict.text(policy).into();
        }
        Ok(answer)
    })
}
