//! Checks of providers and of credentials, outside of any session.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use portcullis_verification::{CredentialAsked, CredentialReport, ProviderAsked};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{input::ExpectedInput, sessions::identifiers};
use crate::{
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/database",
            Idv,
            "What a provider knows of somebody",
            of_provider,
        )
        .takes::<ProviderCheckInput>()
        .returns::<ProviderCheckView>(ok),
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/sd-jwt",
            Idv,
            "Whether a credential that somebody showed you holds, up to the issuers that are trusted",
            of_credential,
        )
        .takes::<CredentialCheckInput>()
        .returns::<CredentialCheckView>(ok),
    ]
}

/// What is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProviderCheckInput {
    /// The name of one in the configuration.
    provider: String,
    /// About whom. What the configuration does not let the provider have is not sent.
    subject: ExpectedInput,
    /// By what else they are known, as a session has it.
    #[serde(default)]
    identifiers: BTreeMap<String, Vec<String>>,
    /// In which language answers may be (BCP 47).
    locale: Option<String>,
}

/// What it says: the report of a check `database`.
#[derive(Serialize, ToSchema)]
struct ProviderCheckView {
    /// `id`, `check`, `status` (`passed`, `review`, `failed`, `not_performed`, `error`), `assurance`, `reasons`,
    /// `values`, `provider`
    #[serde(flatten)]
    #[schema(value_type = Object)]
    report: Value,
    /// Keyed digest of what was asked about, as it stands in the audit log.
    inputs_hash: String,
    /// RFC 3339.
    started_at: String,
}

/// A credential, and what its holder was asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CredentialCheckInput {
    /// An SD-JWT VC with its key binding (RFC 9901, section 4).
    presentation: String,
    /// For whom it was made, 1 to 256 bytes.
    audience: String,
    /// What you asked its holder to sign, 1 to 256 bytes. Make a new one each time: whether it was used before is not
    /// known here.
    nonce: String,
}

/// What it is.
#[derive(Serialize, ToSchema)]
struct CredentialCheckView {
    id: String,
    /// `sd-jwt`
    check: &'static str,
    /// `passed`, `failed`, or `error`: its issuer could not be asked
    status: &'static str,
    /// `cryptographic`
    assurance: &'static str,
    /// Why not.
    reasons: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vct: Option<String>,
    /// What is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    claims: Option<Value>,
    /// The thumbprint (RFC 7638) of the key of its holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// Keyed digest of what was shown, as it stands in the audit log.
    inputs_hash: String,
    /// RFC 3339.
    started_at: String,
}

impl From<CredentialReport> for CredentialCheckView {
    fn from(report: CredentialReport) -> Self {
        let severity = if report.status.as_str() == "failed" { "failure" } else { "information" };
        let reason = |code| json!({ "code": code, "severity": severity });
        let verified = report.verified;
        Self {
            id: report.id.to_string(),
            check: "sd-jwt",
            status: report.status.as_str(),
            assurance: "cryptographic",
            reasons: report.reason.map(reason).into_iter().collect(),
            issuer: verified.as_ref().map(|one| one.issuer.clone()),
            vct: verified.as_ref().map(|one| one.vct.clone()),
            holder: verified.as_ref().map(|one| one.holder.clone()),
            claims: verified.map(|one| Value::Object(one.claims)),
            inputs_hash: report.inputs_hash,
            started_at: report.at.to_rfc3339(),
        }
    }
}

async fn of_provider(api: Api, call: Call) -> Reply {
    let ProviderCheckInput { provider, subject, identifiers: given, locale } = call.json()?;
    let asked = ProviderAsked {
        provider,
        subject: subject.read()?.into(),
        identifiers: identifiers(given)?,
        locale,
    };
    let report = api.sessions.ask_alone(&asked, (&call.caller.actor, &call.origin)).await?;
    ok(ProviderCheckView {
        report: report.view,
        inputs_hash: report.inputs_hash,
        started_at: report.at.to_rfc3339(),
    })
}

async fn of_credential(api: Api, call: Call) -> Reply {
    let CredentialCheckInput { presentation, audience, nonce } = call.json()?;
    let asked = CredentialAsked { presentation, audience, nonce };
    let by = (&call.caller.actor, &call.origin);
    ok(CredentialCheckView::from(api.presentations.look_alone(&asked, by).await?))
}
