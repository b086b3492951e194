//! `portcullis idv evidence`: checks a bundle without the service that wrote it.

use std::{fs::File, io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::{Compact, JwkSet};
use portcullis_tlog::{NoteVerifier, OfflineProof};
use portcullis_types::Timestamp;
use portcullis_verification::{
    EVIDENCE_SALT_BYTES, EVIDENCE_SCHEMA, EVIDENCE_TYP, evidence_digest,
};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::say;

/// Bytes of a bundle; more is refused without reading on.
const BUNDLE_MAX_BYTES: u64 = 64 << 20;
/// Milliseconds between a decision and its entry: they are made in one transaction.
const APART_MAX_MS: u64 = 60_000;
/// Characters of a line that others wrote.
const SHOWN_MAX_CHARS: usize = 400;

#[derive(Args)]
pub struct EvidenceArgs {
    /// The key that signed the audit log of any year, noted down elsewhere
    #[arg(long, value_name = "VKEY")]
    vkey: String,
    /// The keys of the issuer (JWK Set), which sign bundles
    #[arg(long, value_name = "FILE", required_unless_present = "unsigned")]
    jwks: Option<PathBuf>,
    /// Check the log alone: anybody may have made the bundle
    #[arg(long, conflicts_with = "jwks")]
    unsigned: bool,
    /// The bundle, as `/idv/v1/sessions/{id}/evidence` gave it
    bundle: PathBuf,
}

/// What is in a bundle.
#[derive(Deserialize)]
struct Bundle {
    iss: String,
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
    let keys = args.jwks.as_ref().map(read).transpose()?;
    match check(&token, &trusted, keys.as_deref()) {
        Ok(()) => {
            say(match keys {
                Some(_) => "verified     the issuer says so, and its log has the decision on this",
                None => {
                    "in the log   the log has a decision on this; who made the bundle nobody knows"
                }
            });
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&format!("REFUSED      {}", shown(&format!("{error:#}"))));
            Ok(ExitCode::from(2))
        }
    }
}

/// What others wrote, for a terminal.
fn shown(text: &str) -> String {
    let plain = |char: char| {
        !char.is_control() && !matches!(char, '\u{200b}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().filter(|char| plain(*char)).take(SHOWN_MAX_CHARS).collect()
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .with_context(|| format!("read {shown}"))?
        .take(BUNDLE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {shown}"))?;
    Ok(bytes)
}

fn check(token: &[u8], trusted: &NoteVerifier, jwks: Option<&[u8]>) -> Result<()> {
    ensure!(token.len() as u64 <= BUNDLE_MAX_BYTES, "the file is too long for a bundle");
    let token = std::str::from_utf8(token).context("the bundle is no text")?.trim();
    let jws = Compact::parse_up_to(token, token.len()).context("the bundle is no JWS")?;
    ensure!(jws.typ.as_deref() == Some(EVIDENCE_TYP), "the bundle is not of type {EVIDENCE_TYP}");
    let bundle: Bundle =
        serde_json::from_slice(&jws.payload).context("the bundle does not say what it must")?;
    let signer = jwks.map(|keys| signer(&jws, keys)).transpose()?;
    let evidence: Value =
        serde_json::from_str(&bundle.evidence).context("the evidence is no JSON")?;
    ensure!(evidence["schema"] == EVIDENCE_SCHEMA, "the evidence is not of {EVIDENCE_SCHEMA}");
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
    // Each node and year has a log of its own name; another house may have the same key, if it was put up from a
    // copy of this one.
    let house = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    ensure!(house(written.name()) == house(trusted.name()), "the log is of another house");
    let verifier = trusted.renamed(written.name()).context("the name of the log")?;
    let checkpoint = proof
        .verify(log.entry.as_bytes(), &verifier)
        .context("the log of this key does not have the entry")?;
    let entry: Value = serde_json::from_str(&log.entry).context("the entry is no JSON")?;
    let said = &entry["unmapped"];
    ensure!(
        said["change"] == "decided" && entry["metadata"]["event_code"] == "idv_session_decided",
        "the entry is not about a decision"
    );
    let apart = entry["time"].as_i64().unwrap_or_default().abs_diff(at(&evidence)?);
    ensure!(apart <= APART_MAX_MS, "the entry is of another time than the decision");
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
    let lines = [
        format!("issuer       {}", bundle.iss),
        format!("session      {}", bundle.session),
        format!(
            "decision     {} by {} at {}",
            text(&decision["verdict"]),
            text(&decision["by"]),
            text(&decision["at"])
        ),
        format!(
            "workflow     {} version {}, {}",
            text(&workflow["id"]),
            workflow["version"],
            text(&workflow["digest"])
        ),
        format!("log          {}, entry {} of {}", written.name(), proof.index, checkpoint.size),
        match signer {
            Some(kid) => format!("signature    holds, by {kid}"),
            None => "signature    not checked".to_owned(),
        },
    ];
    for line in lines {
        say(&shown(&line));
    }
    Ok(())
}

/// When the decision was made, as entries have it: milliseconds.
fn at(evidence: &Value) -> Result<i64> {
    let at = evidence["decision"]["at"].as_str().unwrap_or_default();
    let at = Timestamp::parse_rfc3339(at).ok().context("the time of the decision")?;
    Ok(at.micros().div_euclid(1_000))
}

/// The name of the key that signed the bundle.
fn signer(jws: &Compact<'_>, keys: &[u8]) -> Result<String> {
    let keys: JwkSet = serde_json::from_slice(keys).context("--jwks")?;
    let keys = keys.verifying_keys().context("--jwks")?;
    let named = keys.iter().find(|key| key.kid() == jws.kid.as_deref() && key.alg() == jws.alg);
    let Some(key) = named else { bail!("the key that signed the bundle is not among --jwks") };
    ensure!(key.verify(jws.signed, &jws.signature), "the signature of the bundle does not hold");
    Ok(jws.kid.clone().unwrap_or_default())
}
