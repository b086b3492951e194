use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use portcullis_cluster::{ApiKeyInfo, TokenFacts};
use portcullis_events::{Actor, Stage};
use portcullis_jose::{VerifyError, access_token::AccessClaims};
use portcullis_pki::SpiffeId;
use portcullis_types::Timestamp;

use crate::{
    answer::Refusal,
    snapshot::{Route, Shared, Snapshot},
};

const API_KEY_HEADER: &str = "x-api-key";
const REALM: &str = r#"Bearer realm="portcullis""#;

/// A way to prove who one is, as a route may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// An access token of ours (RFC 6750).
    Bearer,
    /// An API key of ours.
    ApiKey,
    /// A client certificate of the mesh.
    Mtls,
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

/// Finds out who is calling, in one of the ways the route allows. A credential that is shown and
/// does not hold is refused even where another way would do.
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    shared: &Shared,
    route: &Route,
    headers: &HeaderMap,
    peer: Option<&SpiffeId>,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let allows = |kind| route.authenticate.contains(&kind);
    if allows(AuthKind::Bearer) && headers.contains_key(header::AUTHORIZATION) {
        return bearer(snapshot, shared, headers, now);
    }
    if allows(AuthKind::ApiKey) && headers.contains_key(API_KEY_HEADER) {
        return api_key(shared, headers, now);
    }
    if let Some(id) = peer.filter(|_| allows(AuthKind::Mtls)) {
        return Ok(Principal::Workload(id.clone()));
    }
    if allows(AuthKind::Anyone) {
        return Ok(Principal::Anonymous);
    }
    Err(if allows(AuthKind::ApiKey) && !allows(AuthKind::Bearer) {
        missing().with(header::WWW_AUTHENTICATE, r#"ApiKey realm="portcullis""#)
    } else {
        missing().with(header::WWW_AUTHENTICATE, REALM)
    })
}

fn bearer(
    snapshot: &Snapshot,
    shared: &Shared,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.unwrap_or_default().split_once(' ').unwrap_or(("", ""));
    let bare = value.is_some_and(|value| value.eq_ignore_ascii_case("bearer"));
    if !bare && !scheme.eq_ignore_ascii_case("bearer") {
        // RFC 6750, section 3.1: another scheme is like no credential, and gets no error code.
        return Err(missing().with(header::WWW_AUTHENTICATE, REALM));
    }
    let token = token.trim_matches(' ');
    if token.is_empty() {
        let detail = "the Authorization field must hold a bearer token";
        let refusal = refuse(StatusCode::BAD_REQUEST, "invalid_request", detail);
        let challenge =
            format!(r#"{REALM}, error="invalid_request", error_description="{detail}""#);
        return Err(refusal.with(header::WWW_AUTHENTICATE, &challenge));
    }
    let claims = verify(snapshot, shared, token, now).map_err(|why| {
        let challenge = format!(r#"{REALM}, error="invalid_token", error_description="{why}""#);
        unauthorized("invalid_token", &why).with(header::WWW_AUTHENTICATE, &challenge)
    })?;
    Ok(Principal::Token(claims))
}

/// Signature, issuer, audience, times and revocation. What a signature proves is remembered; the
/// rest is looked at every time.
fn verify(
    snapshot: &Snapshot,
    shared: &Shared,
    token: &str,
    now: Timestamp,
) -> Result<Arc<AccessClaims>, String> {
    let check = || snapshot.verifier.verify(token, snapshot.keys.as_slice(), now);
    let verified: Result<_, VerifyError> = snapshot.tokens.verified(token, now, check);
    let claims = verified.map_err(|error| error.to_string())?;
    let void = shared.revocations.is_void(&TokenFacts {
        token: &claims.jti,
        grant: claims.grant_id.as_deref(),
        subject: &claims.sub,
        client: &claims.client_id,
        issued_at: claims.iat,
    });
    if void { Err("the token was revoked".into()) } else { Ok(claims) }
}

fn api_key(shared: &Shared, headers: &HeaderMap, now: Timestamp) -> Result<Principal, Refusal> {
    let mut values = headers.get_all(API_KEY_HEADER).iter();
    let key = values.next().and_then(|value| value.to_str().ok()).filter(|key| key.len() <= 256);
    let known = match (key, values.next()) {
        (Some(key), None) => shared.api_keys.find(&sha256(key), now),
        _ => None,
    };
    known.map(Principal::ApiKey).ok_or_else(|| {
        unauthorized("invalid_api_key", "the API key is not valid")
            .with(header::WWW_AUTHENTICATE, r#"ApiKey realm="portcullis""#)
    })
}

fn sha256(text: &str) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// Whether whoever is calling may pass: the SPIFFE ids and scopes of the route. Returns the policy
/// in words, for the log.
pub(crate) fn authorise(route: &Route, who: &Principal) -> Result<Option<String>, Refusal> {
    if let Principal::Workload(id) = who {
        if route.spiffe_ids.contains(id) {
            return Ok(Some(format!("spiffe_id {id}")));
        }
        let detail = "this service may not use this route";
        return Err(forbidden("spiffe_id", detail));
    }
    if matches!(who, Principal::Anonymous) || route.scopes.is_empty() {
        return Ok(None);
    }
    let own = who.scopes();
    if route.scopes.iter().all(|scope| own.contains(&scope.as_str())) {
        return Ok(Some(format!("scope {}", route.scopes.join(" "))));
    }
    let needed = route.scopes.join(" ");
    let challenge = format!(r#"{REALM}, error="insufficient_scope", scope="{needed}""#);
    let detail = format!("this route needs the scope {needed}");
    Err(forbidden("insufficient_scope", &detail).with(header::WWW_AUTHENTICATE, &challenge))
}

fn missing() -> Refusal {
    unauthorized("credentials_missing", "this route needs a credential")
}

fn unauthorized(reason: &'static str, detail: &str) -> Refusal {
    refuse(StatusCode::UNAUTHORIZED, reason, detail)
}

fn forbidden(reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Authorise, StatusCode::FORBIDDEN, reason, detail)
}

fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Authenticate, status, reason, detail)
}
