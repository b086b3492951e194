//! Whom accounts belong to, by sessions that verified that.

use http::{Method, StatusCode};
use portcullis_verification::VerifiedIdentity;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, nothing, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const IDENTITIES: &str = "/idv/v1/accounts/{id}/identities";
    vec![
        Endpoint::new(
            Method::GET,
            IDENTITIES,
            Idv,
            "Whom an account belongs to, one for each trust framework and level",
            list,
        )
        .returns::<Page<IdentityView>>(StatusCode::OK),
        Endpoint::new(
            Method::DELETE,
            IDENTITIES,
            Idv,
            "Tell nobody any more whom an account belongs to; sessions that go on are not about it any more",
            revoke,
        )
        .returns_nothing(),
    ]
}

/// Whom an account belongs to.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityView {
    /// By whose rules.
    trust_framework: String,
    /// To which of their levels; empty if they have none.
    assurance_level: String,
    /// The session that verified it.
    session: String,
    /// When that was approved, RFC 3339.
    verified_at: String,
    /// What clients are told of it: an element of `verified_claims` (OpenID Connect for Identity Assurance 1.0).
    #[schema(value_type = Object)]
    verified_claims: Value,
}

impl From<VerifiedIdentity> for IdentityView {
    fn from(identity: VerifiedIdentity) -> Self {
        Self {
            trust_framework: identity.of.trust_framework,
            assurance_level: identity.of.assurance_level,
            session: identity.of.session.to_string(),
            verified_at: identity.at.to_rfc3339(),
            verified_claims: identity.verified,
        }
    }
}

async fn list(api: Api, call: Call) -> Reply {
    let identities = api.sessions.identities(call.id()?).await?;
    ok(Page { items: identities.into_iter().map(IdentityView::from).collect(), next: None })
}

async fn revoke(api: Api, call: Call) -> Reply {
    api.sessions.revoke_identities(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}
