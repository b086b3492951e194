use std::{fmt, sync::Arc};

use http::{HeaderMap, Request, StatusCode, header};
use portcullis_cluster::ApiKeyInfo;
use portcullis_events::{Actor, Stage};
use portcullis_jose::access_token::AccessClaims;
use portcullis_pki::{PeerCertificate, SpiffeId};
use portcullis_types::Timestamp;

use crate::{
    answer::Refusal,
    bearer::token,
    guard::Head,
    session_kind::SessionKind,
    snapshot::{Route, Shared, Snapshot},
};

const API_KEY_HEADER: &str = "x-api-key";
/// The longest key that is looked up.
const API_KEY_MAX_BYTES: usize = 256;
pub(crate) const REALM: &str = r#"Bearer realm="portcullis""#;
pub(crate) const DPOP: &str = r#"DPoP realm="portcullis", algs="EdDSA Ed25519 ES256 PS256""#;

/// A way to prove who one is, as a route may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// An access token of ours (RFC 6750), with proof of its key if it is bound to one (RFC 9449).
    Bearer,
    /// An API key of ours.
    ApiKey,
    /// A client certificate of the mesh.
    Mtls,
    /// A browser that has logged in.
    Session(SessionKind),
    /// Nothing is needed.
    Anyone,
}

/// Who is calling.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody who showed a credential.
    Anonymous,
    /// Whoever the token was issued to.
    Token(Arc<AccessClaims>),
    /// The holder of an API key.
    ApiKey(ApiKeyInfo),
    /// A service with a certificate.
    Workload(SpiffeId),
}

impl Principal {
    /// What limits count by; `None` for nobody.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Token(claims) => Some(&claims.sub),
            Self::ApiKey(key) => Some(&key.id),
            Self::Workload(id) => Some(id.as_str()),
        }
    }

    /// The grant or session that its token belongs to.
    pub fn session(&self) -> Option<&str> {
        match self {
            // One session has applications in several hands: browsers and servers.
            Self::Token(claims) => claims.grant_id.as_deref().or(claims.sid.as_deref()),
            _ => None,
        }
    }

    /// Its scopes.
    pub fn scopes(&self) -> Vec<&str> {
        match self {
            Self::Token(claims) => claims.scopes().into_iter().collect(),
            Self::ApiKey(key) => key.scopes.iter().map(String::as_str).collect(),
            Self::Anonymous | Self::Workload(_) => Vec::new(),
        }
    }

    /// The same for the log.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Anonymous => Actor::Anonymous,
            Self::Token(claims) => match &claims.preferred_username {
                Some(name) => Actor::User { id: claims.sub.clone(), username: name.clone() },
                None => Actor::Client { id: claims.sub.clone() },
            },
            Self::ApiKey(key) => Actor::ApiKey { id: key.id.clone() },
            Self::Workload(id) => Actor::Workload { spiffe_id: id.to_string() },
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("nobody who showed a credential"),
            Self::Token(claims) => {
                let AccessClaims { sub, client_id, scope, .. } = &**claims;
                write!(f, "{sub} through {client_id} with the scopes {scope:?}")
            }
            Self::ApiKey(key) => write!(f, "API key {} with {:?}", key.id, key.scopes.join(" ")),
            Self::Workload(id) => id.fmt(f),
        }
    }
}

/// Finds out who is calling, in one of the ways the route allows. A credential that is shown and
/// does not hold is refused even where another way would do.
pub(crate) async fn authenticate<B>(
    snapshot: &Snapshot,
    shared: &Shared,
    route: &Route,
    request: &Request<B>,
    head: &Head,
    peer: Option<&PeerCertificate>,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let headers = request.headers();
    let allows = |kind| route.authenticate.contains(&kind);
    if allows(AuthKind::ApiKey)
        && let Some(key) = key_of_scheme(headers)
    {
        // Of two credentials it is not known which was meant.
        let one = !headers.contains_key(API_KEY_HEADER)
            && headers.get_all(header::AUTHORIZATION).iter().count() == 1;
        return api_key(shared, Some(key).filter(|_| one), now);
    }
    if allows(AuthKind::Bearer) && headers.contains_key(header::AUTHORIZATION) {
        return token(snapshot, shared, route, request, head, peer, now).await;
    }
    if allows(AuthKind::ApiKey) && headers.contains_key(API_KEY_HEADER) {
        let mut values = headers.get_all(API_KEY_HEADER).iter();
        let key = values.next().and_then(|value| value.to_str().ok());
        return api_key(shared, key.filter(|_| values.next().is_none()), now);
    }
    let workload = peer.and_then(PeerCertificate::workload);
    if let Some(id) = workload.filter(|_| allows(AuthKind::Mtls)) {
        return Ok(Principal::Workload(id.clone()));
    }
    if allows(AuthKind::Anyone) {
        return Ok(Principal::Anonymous);
    }
    Err(if allows(AuthKind::ApiKey) && !allows(AuthKind::Bearer) {
        missing().with(header::WWW_AUTHENTICATE, r#"ApiKey realm="portcullis""#)
    } else {
        missing().with(header::WWW_AUTHENTICATE, REALM).with(header::WWW_AUTHENTICATE, DPOP)
    })
}

/// Whether an API key is shown, in one way or the other.
pub(crate) fn shows_api_key(headers: &HeaderMap) -> bool {
    headers.contains_key(API_KEY_HEADER) || key_of_scheme(headers).is_some()
}

/// The key of `Authorization: ApiKey …`, the scheme that we challenge with.
fn key_of_scheme(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("ApiKey").then(|| key.trim())
}

fn api_key(shared: &Shared, key: Option<&str>, now: Timestamp) -> Result<Principal, Refusal> {
    let key = key.filter(|key| key.len() <= API_KEY_MAX_BYTES);
    let known = key.and_then(|key| shared.api_keys.find(&sha256(key), now));

    known.map(Principal::ApiKey).ok_or_else(|| {
        unauthorized("invalid_api_key", "the API key is not valid")
            .with(header::WWW_AUTHENTICATE, r#"ApiKey realm="portcullis""#)
    })
}

fn sha256(text: &str) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

pub(crate) fn missing() -> Refusal {
    unauthorized("credentials_missing", "this route needs a credential")
}

pub(crate) fn unauthorized(reason: &'static str, detail: &str) -> Refusal {
    refuse(StatusCode::UNAUTHORIZED, reason, detail)
}

pub(crate) fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Authenticate, status, reason, detail)
}
