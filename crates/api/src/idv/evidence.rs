//! What outlives a session: the evidence of its decision, and the receipt that it was erased.

use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode, header};
use portcullis_store::idv::evidence::LogProof;
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{EVIDENCE_TYP, Erasure, Evidence};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::sessions::SESSION;
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/idv/v1/sessions/{id}/evidence",
            Idv,
            "What the decision of a session rests on, signed (JWT), with the proof that the audit log has it. \
             Where that was not found yet it is 409; `?proof=optional` takes the bundle without it",
            evidence,
        )
        .query(&["proof"]),
        Endpoint::new(
            Method::DELETE,
            SESSION,
            Idv,
            "Erase what a session was about, by destroying its key",
            erase,
        )
        .returns::<ReceiptView>(StatusCode::OK),
    ]
}

/// That what a session was about is gone.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptView {
    session: String,
    /// RFC 3339.
    erased_at: String,
    /// Keys that opened it, and are destroyed.
    keys_destroyed: u32,
    /// What is kept all the same.
    retained: Vec<RetainedView>,
    log_proof: ProofView,
}

#[derive(Debug, Serialize, ToSchema)]
struct RetainedView {
    what: &'static str,
    /// Why.
    basis: &'static str,
    /// Where, if it has an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// That it stands in the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct ProofView {
    /// `metadata.uid` of the entry.
    event: String,
    /// The entry as the log has it (OCSF, JSON). `null`, as is what follows, if it was not found at once.
    entry: Option<String>,
    /// That it is in the log: a C2SP `tlog-proof`.
    proof: Option<String>,
    /// The key that checks it (C2SP `signed-note`); trust only one that you have from elsewhere.
    log_key: Option<String>,
}

impl ProofView {
    fn of(event: Id<tags::Event>, proof: Option<&LogProof>) -> Self {
        Self {
            event: event.to_string(),
            entry: proof.map(|proof| proof.entry.clone()),
            proof: proof.map(|proof| proof.proof.clone()),
            log_key: proof.map(|proof| proof.log_key.clone()),
        }
    }
}

impl ReceiptView {
    fn of(erasure: &Erasure, proof: Option<&LogProof>) -> Self {
        let subject = erasure.aml_subject.map(|id| RetainedView {
            what: "screening",
            basis: "who was screened is kept on its own terms; erase it at /idv/v1/aml/subjects",
            id: Some(id.to_string()),
        });
        let log = RetainedView {
            what: "audit log",
            basis: "that there was a session, its workflow and what came of it; no personal data",
            id: None,
        };
        Self {
            session: erasure.session.to_string(),
            erased_at: erasure.at.to_rfc3339(),
            keys_destroyed: 1,
            retained: [Some(log), subject].into_iter().flatten().collect(),
            log_proof: ProofView::of(erasure.event, proof),
        }
    }
}

async fn evidence(api: Api, call: Call) -> Reply {
    let id: Id<tags::IdvSession> = call.id()?;
    let must_prove = match call.query.get("proof") {
        None => true,
        Some("optional") => false,
        Some(_) => return Err(ApiError::Parameter("proof")),
    };
    // It takes time to find the proof; what it is about is opened when nothing has to be waited for any more.
    let (decided, proof) = api.sessions.decided(id).await?;
    let proof = match proof {
        Some(proof) => Some(proof),
        None => {
            let found = found(&api, decided.event, decided.at).await;
            if let Some(found) = &found {
                api.sessions.prove(id, found).await?;
            }
            found
        }
    };
    if proof.is_none() && must_prove {
        let later = "nobody has found the decision in a log yet; ask again in a few seconds";
        return Err(ApiError::Conflict(later.to_owned()));
    }
    let exported = api.sessions.export_evidence(id, &call.caller.actor, &call.origin).await?;
    let Evidence { text, salt, event, .. } = exported;
    let claims = json!({
        "session": id.to_string(),
        "evidence": text,
        "salt": BASE64URL_NOPAD.encode(&salt),
        "log": proof.as_ref().map_or(Value::Null, |proof| json!(ProofView::of(event, Some(proof)))),
    });
    let bundle = api.provider.sign_statement(EVIDENCE_TYP, claims).map_err(ApiError::Signing)?;
    let reply = http::Response::builder()
        .header(header::CONTENT_TYPE, "application/jwt")
        .body(axum::body::Body::from(bundle));
    reply.map_err(|_| ApiError::NotFound)
}

/// Whoever cannot be shown a proof is told so, and that is all.
async fn found(api: &Api, event: Id<tags::Event>, at: Timestamp) -> Option<LogProof> {
    match api.identity.prove_event(event, at).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the audit log could not be asked for a proof");
            None
        }
    }
}

async fn erase(api: Api, call: Call) -> Reply {
    let id: Id<tags::IdvSession> = call.id()?;
    let erasure = api.sessions.erase(id, &call.caller.actor, &call.origin).await?;
    let proof = found(&api, erasure.event, erasure.at).await;
    ok(ReceiptView::of(&erasure, proof.as_ref()))
}
