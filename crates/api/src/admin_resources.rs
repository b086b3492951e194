use http::{Method, StatusCode};
use portcullis_identity::FieldError;
use portcullis_jose::{Enc, KeyManagement};
use portcullis_oidc::ResourceServerSpec;
use portcullis_store::resource_servers::{self, ResourceServer};
use portcullis_types::{Id, Timestamp, tags};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const SERVERS: &str = "/api/admin/v1/resource-servers";
    vec![
        Endpoint::new(
            Method::GET,
            SERVERS,
            Admin,
            "List resource servers that get their tokens encrypted",
            list,
        )
        .paged()
        .returns::<Page<ResourceServerView>>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            SERVERS,
            Admin,
            "Register a key: from now on tokens for this audience are encrypted to it",
            create,
        )
        .takes::<NewResourceServer>()
        .returns::<ResourceServerView>(StatusCode::CREATED),
        Endpoint::new(
            Method::DELETE,
            "/api/admin/v1/resource-servers/{id}",
            Admin,
            "Remove a key: tokens for its audience are in the clear again",
            delete,
        )
        .returns_nothing(),
    ]
}

#[derive(Debug, Serialize, ToSchema)]
struct ResourceServerView {
    id: String,
    audience: String,
    name: String,
    access_token_encryption_alg: String,
    access_token_encryption_enc: String,
    /// RFC 3339.
    created_at: String,
}

impl From<ResourceServer> for ResourceServerView {
    fn from(row: ResourceServer) -> Self {
        Self {
            id: row.id.to_string(),
            audience: row.audience,
            name: row.name,
            access_token_encryption_alg: row.alg,
            access_token_encryption_enc: row.enc,
            created_at: Timestamp::from_micros(row.created_at).to_rfc3339(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewResourceServer {
    /// What tokens for it say in `aud`.
    audience: String,
    name: String,
    /// Its public keys, as a JWK set.
    #[schema(value_type = Object)]
    jwks: Value,
    /// `RSA-OAEP-256`, `ECDH-ES` or `ECDH-ES+A256KW`.
    access_token_encryption_alg: String,
    /// `A256GCM` (the default) or `A128CBC-HS256`.
    access_token_encryption_enc: Option<String>,
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::ResourceServer>>()?;
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = resource_servers::page(db, tenant, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), ResourceServerView::from))
}

async fn create(api: Api, call: Call) -> Reply {
    let new = call.json::<NewResourceServer>()?;
    let unknown = |field| {
        let message = "is not one of the names that are known here".to_owned();
        ApiError::Invalid(vec![FieldError { field, message }])
    };
    let alg = KeyManagement::parse(&new.access_token_encryption_alg);
    let enc = Enc::parse(new.access_token_encryption_enc.as_deref().unwrap_or("A256GCM"));
    let spec = ResourceServerSpec {
        audience: new.audience,
        name: new.name,
        jwks: new.jwks,
        alg: alg.ok_or_else(|| unknown("access_token_encryption_alg"))?,
        enc: enc.ok_or_else(|| unknown("access_token_encryption_enc"))?,
    };
    let made = api.provider.create_resource_server(&spec, &call.caller.actor, &call.origin).await?;
    created(ResourceServerView::from(made))
}

async fn delete(api: Api, call: Call) -> Reply {
    api.provider.delete_resource_server(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}
