use std::time::Duration;

use http::{Method, StatusCode};
use portcullis_jose::Alg;
use portcullis_oidc::{KeyChangedBy, KeyUse};
use portcullis_store::signing_keys::{self, SigningKeyRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, nothing, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/api/admin/v1/keys", Admin, "List signing keys", list)
            .returns::<Page<KeyView>>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/keys/rotate",
            Admin,
            "Make successors of signing keys, which are announced before they sign",
            rotate,
        )
        .takes::<Rotation>()
        .returns::<Rotated>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/keys/{id}/retire",
            Admin,
            "Take a signing key out of use at once: what it signed is no longer good",
            retire,
        )
        .returns_nothing(),
    ]
}

#[derive(Debug, Serialize, ToSchema)]
struct KeyView {
    /// As tokens name it.
    kid: String,
    /// `access_token`, `id_token` or `upstream`.
    #[serde(rename = "use")]
    key_use: String,
    alg: String,
    /// RFC 3339.
    active_from: String,
    /// When it is no longer published. RFC 3339.
    published_until: String,
    /// Whether somebody took it out of use before its time.
    retired: bool,
}

impl From<SigningKeyRow> for KeyView {
    fn from(row: SigningKeyRow) -> Self {
        Self {
            kid: row.kid,
            key_use: row.key_use,
            alg: row.alg,
            active_from: row.active_from.to_rfc3339(),
            published_until: row.expires_at.to_rfc3339(),
            retired: row.retired_at.is_some(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Only keys of this use.
    #[serde(default, rename = "use")]
    key_use: Option<String>,
    /// Only keys of this algorithm.
    #[serde(default)]
    alg: Option<String>,
    /// Let them sign at once, although nobody has seen them published.
    #[serde(default)]
    at_once: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Rotated {
    /// The new keys.
    kids: Vec<String>,
    /// When they begin to sign. RFC 3339.
    active_from: String,
}

async fn list(api: Api, _: Call) -> Reply {
    let rows = signing_keys::all(&api.identity.db, &api.identity.tenant).await?;
    ok(Page { items: rows.into_iter().map(KeyView::from).collect(), next: None })
}

async fn rotate(api: Api, call: Call) -> Reply {
    let asked: Rotation = call.json()?;
    let unknown = |field| ApiError::field(field, "is not one of the names that are known here");
    let key_use = match &asked.key_use {
        Some(name) => Some(KeyUse::parse(name).ok_or_else(|| unknown("use"))?),
        None => None,
    };
    let alg = match &asked.alg {
        Some(name) => Some(Alg::parse(name).ok_or_else(|| unknown("alg"))?),
        None => None,
    };
    let ring = &api.provider.keys;
    let overlap = if asked.at_once { Duration::ZERO } else { ring.schedule().published_before };
    let now = api.identity.now();
    let kids = ring.rotate((key_use, alg), overlap, by(&call), now).await?;
    ok(Rotated { kids, active_from: now.plus(overlap).to_rfc3339() })
}

async fn retire(api: Api, call: Call) -> Reply {
    let kid: String = call.id()?;
    let now = api.identity.now();
    api.provider.keys.retire(&kid, by(&call), now).await?;
    nothing()
}

fn by(call: &Call) -> KeyChangedBy<'_> {
    KeyChangedBy { actor: &call.caller.actor, origin: Some(&call.origin) }
}
