use std::time::Duration;

use http::{Method, StatusCode};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{PresentationAsked, PresentationStatus, PresentationView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    ApiError, Violation,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, nothing, ok},
};

const PATH: &str = "/idv/v1/presentations";
const ONE: &str = "/idv/v1/presentations/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::POST, PATH, Idv, "Ask somebody to show credentials", ask)
            .takes::<PresentationInput>()
            .returns::<PresentationReply>(StatusCode::CREATED),
        Endpoint::new(Method::GET, ONE, Idv, "What was shown", show)
            .returns::<PresentationReply>(StatusCode::OK),
        Endpoint::new(Method::DELETE, ONE, Idv, "Forget a request, with what was shown", forget)
            .returns_nothing(),
    ]
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PresentationInput {
    /// A query in DCQL (OpenID for Verifiable Presentations 1.0, section 6) for credentials of the format
    /// `dc+sd-jwt`.
    #[schema(value_type = Object)]
    dcql_query: Value,
    /// How long it can be answered, 60 to 3600; ten minutes if left out.
    ttl_seconds: Option<u64>,
}

/// A request, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
struct PresentationReply {
    id: String,
    /// `pending`, `answered`, `expired`
    #[schema(value_type = String)]
    status: PresentationStatus,
    /// For the wallet, as a link or as a QR code. None once it can be answered no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What was shown.
    credentials: Vec<CredentialView>,
    /// Why the last answer was refused, in a word; `access_denied` if the wallet says that the holder will not.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// RFC 3339.
    expires_at: String,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    /// When all of it is forgotten.
    forgotten_at: String,
}

/// A credential that was shown: signed by its issuer, whom the configuration trusts, not revoked, and in the hands of
/// its holder.
#[derive(Debug, Serialize, ToSchema)]
struct CredentialView {
    /// The id of the credential query that it answers.
    query: String,
    issuer: String,
    vct: String,
    /// `cryptographic`
    assurance: &'static str,
    /// What it says, no more than was asked for.
    #[schema(value_type = Object)]
    claims: Value,
}

impl From<PresentationView> for PresentationReply {
    fn from(view: PresentationView) -> Self {
        let time = |micros: i64| Timestamp::from_micros(micros).to_rfc3339();
        let shown = view.shown.into_iter().map(|shown| CredentialView {
            query: shown.query,
            issuer: shown.issuer,
            vct: shown.vct,
            assurance: "cryptographic",
            claims: shown.claims,
        });
        Self {
            id: view.row.id.to_string(),
            status: view.status,
            url: (view.status == PresentationStatus::Pending).then_some(view.url),
            credentials: shown.collect(),
            refused: view.row.refused,
            expires_at: view.row.expires_at.to_rfc3339(),
            answered_at: view.row.answered_at.map(time),
            forgotten_at: view.row.ends_at.to_rfc3339(),
        }
    }
}

async fn ask(api: Api, call: Call) -> Reply {
    let input: PresentationInput = call.json()?;
    let query = serde_json::from_value(input.dcql_query).map_err(|error| {
        let pointer = "/dcql_query".to_owned();
        ApiError::At(Violation { pointer, message: format!("must be a query in DCQL: {error}") })
    })?;
    let asked = PresentationAsked { query, ttl: input.ttl_seconds.map(Duration::from_secs) };
    let made = api.presentations.ask(asked, &call.caller.actor, &call.origin).await?;
    created(PresentationReply::from(made))
}

async fn show(api: Api, call: Call) -> Reply {
    let id: Id<tags::Presentation> = call.id()?;
    ok(PresentationReply::from(api.presentations.show(id).await?))
}

async fn forget(api: Api, call: Call) -> Reply {
    let id: Id<tags::Presentation> = call.id()?;
    api.presentations.forget(id, &call.caller.actor, &call.origin).await?;
    nothing()
}
