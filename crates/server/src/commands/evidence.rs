//! `portcullis idv evidence`: checks a bundle without the service that wrote it.

use std::{fs::File, io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::{Compact, JwkSet};
use portcullis_tlog::{NoteVerifier, OfflineProof};
use portcullis_verification::{EVIDENCE_SALT_BYTES, EVIDENCE_SCHEMA, evidence_digest};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::say;

/// Bytes of a bundle; more is refused without reading on.
const BUNDLE_MAX_BYTES: u64 = 64 << 20;
const TYP: &str = "idv-evidence+jwt";

#[derive(Args)]
pub struct EvidenceArgs {
    /// The key that signed the audit log of any year, noted down elsewhere
    #[arg(long, value_name = "VKEY")]
    vkey: String,
    /// The keys of the issuer (JWK Set), to check the signature of the bundle too
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The bundle, as `/idv/v1/sessions/{id}/evidence` gave it
    bundle: PathBuf,
}

/// What is in a bundle.
#[derive(Deserialize)]
struct Bundle {
    session: String,
    evidence: String,
    salt: String,
    log: Option<Logged>,
}

#[derive(Deserialize)]
struct Logged {
    entry: String,
    proof: String,
    log_key: String,
}

pub fn run(args: &EvidenceArgs) -> Result<ExitCode> {
    let trusted = NoteVerifier::parse(&args.vkey).context("--vkey")?;
    let token = read(&args.bundle)?;
    match check(token.trim(), &trusted, args.jwks.as_ref()) {
        Ok(()) => {
            say("verified     the decision was made on this and nothing else, and the log has it");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&format!("REFUSED      {error:#}"));
            Ok(ExitCode::from(2))
        }
    }
}

fn read(path: &PathBuf) -> Result<String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .with_context(|| format!("read {shown}"))?
        .take(BUNDLE_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read {shown}"))?;
    ensure!(text.len() as u64 <= BUNDLE_MAX_BYTES, "{shown} is too long for a bundle");
    Ok(text)
}

fn check(token: &str, trusted: &NoteVerifier, jwks: Option<&PathBuf>) -> Result<()> {
    let jws = Compact::parse_up_to(token, token.len()).context("the bundle is no JWS")?;
    ensure!(jws.typ.as_deref() == Some(TYP), "the bundle is not of type {TYP}");
    let bundle: Bundle =
        serde_json::from_slice(&jws.payload).context("the bundle does not say what it must")?;
    let signer = jwks.map(|path| signer(&jws, path)).transpose()?;
    let evidence: Value =
        serde_json::from_str(&bundle.evidence).context("the evidence is no JSON")?;
    let schema = &evidence["schema"];
    ensure!(schema == EVIDENCE_SCHEMA, "the evidence is of another form: {schema}");
    ensure!(evidence["session"] == bundle.session.as_str(), "the evidence is of another session");
    let meaning = evidence["workflow"]["meaning"].to_string();
    let digest = evidence_digest(&[], &meaning);
    ensure!(
        evidence["workflow"]["digest"] == digest.as_str(),
        "the workflow is not the one whose digest is named"
    );

    let log = bundle.log.context("the bundle has no proof that the log has the decision")?;
    let proof = OfflineProof::parse(&log.proof).context("the proof")?;
    let written = NoteVerifier::parse(&log.log_key).context("the key of the log")?;
    // Each year has a log of its own name and the same key.
    let verifier = trusted.renamed(written.name()).context("the name of the log")?;
    let checkpoint = proof
        .verify(log.entry.as_bytes(), &verifier)
        .context("the log of this key does not have the entry")?;
    let entry: Value = serde_json::from_str(&log.entry).context("the entry is no JSON")?;
    let said = &entry["unmapped"];
    ensure!(said["change"] == "decided", "the entry is not about a decision");
    ensure!(
        entry["entity"]["uid"] == bundle.session.as_str(),
        "the entry is about another session"
    );
    let salt = BASE64URL_NOPAD.decode(bundle.salt.as_bytes()).context("the salt")?;
    ensure!(salt.len() == EVIDENCE_SALT_BYTES, "the salt has another length");
    let digest = evidence_digest(&salt, &bundle.evidence);
    ensure!(said["evidence"] == digest.as_str(), "the entry is about other evidence");
    let same = |theirs: &str, ours: &Value| {
        ensure!(said[theirs] == *ours, "the entry and the evidence differ in {theirs}");
        Ok(())
    };
    same("verdict", &evidence["decision"]["verdict"])?;
    same("decided_by", &evidence["decision"]["by"])?;
    same("workflow", &evidence["workflow"]["id"])?;
    same("workflow_version", &evidence["workflow"]["version"])?;
    same("workflow_digest", &evidence["workflow"]["digest"])?;

    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (decision, workflow) = (&evidence["decision"], &evidence["workflow"]);
    say(&format!("session      {}", bundle.session));
    say(&format!(
        "decision     {} by {} at {}",
        text(&decision["verdict"]),
        text(&decision["by"]),
        text(&decision["at"])
    ));
    say(&format!(
        "workflow     {} version {}, {}",
        text(&workflow["id"]),
        workflow["version"],
        text(&workflow["digest"])
    ));
    say(&format!("log          {}, entry {} of {}", written.name(), proof.index, checkpoint.size));
    match signer {
        Some(kid) => say(&format!("signature    holds, by {kid}")),
        None => say("signature    not checked: give --jwks"),
    }
    Ok(())
}

/// The name of the key that signed the bundle.
fn signer(jws: &Compact<'_>, path: &PathBuf) -> Result<String> {
    let keys: JwkSet = serde_json::from_str(&read(path)?).context("--jwks")?;
    let keys = keys.verifying_keys().context("--jwks")?;
    let named = keys.iter().find(|key| key.kid() == jws.kid.as_deref() && key.alg() == jws.alg);
    let Some(key) = named else { bail!("the key that signed the bundle is not among --jwks") };
    ensure!(key.verify(jws.signed, &jws.signature), "the signature of the bundle does not hold");
    Ok(jws.kid.clone().unwrap_or_default())
}
