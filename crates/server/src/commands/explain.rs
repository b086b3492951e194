use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    Place,
    commands::say,
    control::{Explain, Verdict, Where, ask},
};

/// A request that is not sent.
#[derive(clap::Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    place: Place,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The path, with the query if there is one
    #[arg(long)]
    path: String,
    /// The host; that of the issuer if left out
    #[arg(long)]
    host: Option<String>,
    /// An access token
    #[arg(long)]
    token: Option<String>,
    /// An API key
    #[arg(long, conflicts_with = "token")]
    api_key: Option<String>,
    /// A further header field, `Name: value`; may be repeated
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// Where it comes from
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Where it arrives
    #[arg(long, value_enum, default_value = "public")]
    listener: Where,
    /// The client's certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running gate what it would say. Nothing is sent on, and nothing is counted.
pub async fn run(asked: ExplainArguments) -> Result<ExitCode> {
    let mut headers = Vec::new();
    for field in &asked.header {
        let (name, value) = field.split_once(':').context("--header must be Name: value")?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    headers
        .extend(asked.token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    headers.extend(asked.api_key.map(|key| ("x-api-key".to_owned(), key)));
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
    };
    let question = Explain {
        method: asked.method,
        target: asked.path,
        host: asked.host,
        headers,
        address: asked.address,
        listener: asked.listener,
        certificate: asked.certificate.as_ref().map(read).transpose()?,
    };
    let verdicts: Vec<Verdict> = ask(&asked.place.data, "/explain", &question).await?;
    if asked.json {
        say(&serde_json::to_string_pretty(&verdicts)?);
    } else {
        verdicts.iter().for_each(|verdict| say(&line(verdict)));
    }
    let refused = verdicts.last().is_none_or(|last| last.refused.is_some());
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(verdict: &Verdict) -> String {
    let Verdict { stage, refused, said } = verdict;
    match refused {
        None => format!("pass    {stage:<13} {said}"),
        Some((status, reason)) => format!("REFUSE  {stage:<13} {status} {reason}: {said}"),
    }
}
