//! Access tokens as bearers show them (RFC 6750), with proof of their key if they are bound to one.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode, header};
use portcullis_cluster::TokenFacts;
use portcullis_jose::{
    Compact, VerifyError,
    access_token::AccessClaims,
    dpop::{DpopError, DpopRequest, verify_proof},
};
use portcullis_pki::PeerCertificate;
use portcullis_types::Timestamp;
use serde::Deserialize;

use crate::{
    answer::Refusal,
    authn::{DPOP, Principal, REALM, missing, refuse, unauthorized},
    guard::Head,
    issuers::Refused,
    snapshot::{Route, Shared, Snapshot},
    token_cache::Verified,
};

/// What an issuer said of a token is taken for true this long, and never beyond its end.
const INTROSPECTED: Duration = Duration::from_secs(15);
/// An opaque token is at most this long.
const MAX_OPAQUE_BYTES: usize = 2_048;

/// Checks the token of a request, which must be of an issuer that the route accepts.
pub(crate) async fn token<B>(
    snapshot: &Snapshot,
    shared: &Shared,
    route: &Route,
    request: &Request<B>,
    head: &Head,
    peer: Option<&PeerCertificate>,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let headers = request.headers();
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.unwrap_or_default().split_once(' ').unwrap_or(("", ""));
    let bare = value.is_some_and(|value| value.eq_ignore_ascii_case("bearer"));
    let bound = scheme.eq_ignore_ascii_case("dpop");
    if !bare && !bound && !scheme.eq_ignore_ascii_case("bearer") {
        // RFC 6750, section 3.1: another scheme is like no credential, and gets no error code.
        let refusal = missing().with(header::WWW_AUTHENTICATE, REALM);
        return Err(refusal.with(header::WWW_AUTHENTICATE, DPOP));
    }
    let token = token.trim_matches(' ');
    if token.is_empty() {
        let detail = "the Authorization field must hold a bearer token";
        let refusal = refuse(StatusCode::BAD_REQUEST, "invalid_request", detail);
        let challenge =
            format!(r#"{REALM}, error="invalid_request", error_description="{detail}""#);
        return Err(refusal.with(header::WWW_AUTHENTICATE, &challenge));
    }
    let scheme = if bound { DPOP } else { REALM };
    let void = |why: &str| {
        let challenge = format!(r#"{scheme}, error="invalid_token", error_description="{why}""#);
        unauthorized("invalid_token", why).with(header::WWW_AUTHENTICATE, &challenge)
    };
    let claims =
        verify(snapshot, shared, route, token, now).await.map_err(|error| match error {
            Refused::Void(why) => void(&why),
            Refused::Unavailable => {
                let detail = "the token cannot be checked now; try again";
                refuse(StatusCode::SERVICE_UNAVAILABLE, "issuer_unavailable", detail)
                    .with(header::RETRY_AFTER, "2")
            }
        })?;
    let confirmation = claims.cnf.as_ref();
    if let Some(bound_to) = confirmation.and_then(|cnf| cnf.x5t_s256.as_deref()) {
        // RFC 8705, section 3: the connection shows the certificate of the token.
        if peer.is_none_or(|peer| peer.thumbprint() != bound_to) {
            return Err(void("the token is bound to another certificate"));
        }
    }
    match (confirmation.and_then(|cnf| cnf.jkt.as_deref()), bound) {
        (None, false) => {}
        (Some(jkt), true) => {
            prove(snapshot, shared, request, head, token, jkt, now).map_err(|why| {
                let challenge =
                    format!(r#"{DPOP}, error="invalid_dpop_proof", error_description="{why}""#);
                unauthorized("invalid_dpop_proof", why).with(header::WWW_AUTHENTICATE, &challenge)
            })?;
        }
        (None, true) => return Err(void("the token is bound to no key; present it as Bearer")),
        (Some(_), false) => return Err(void("the token is bound to a key; present it as DPoP")),
    }
    Ok(Principal::Token(claims))
}

/// RFC 9449, section 7.1: the request shows that its sender holds the key of the token. The URL is
/// the one that was asked for, before its path is made canonical: that is what was signed. Its host
/// must be one of ours, or a proof for another server could be used here by whoever got it there.
fn prove<B>(
    snapshot: &Snapshot,
    shared: &Shared,
    request: &Request<B>,
    head: &Head,
    token: &str,
    jkt: &str,
    now: Timestamp,
) -> Result<(), &'static str> {
    let mut proofs = request.headers().get_all("dpop").iter();
    let proof = proofs.next().and_then(|proof| proof.to_str().ok());
    let proof = proof.filter(|_| proofs.next().is_none()).ok_or("one DPoP proof is needed")?;
    if !snapshot.is_own_host(&head.host) {
        return Err("the DPoP proof is for another host");
    }
    let url = format!("https://{}{}", head.host, request.uri().path());
    let method = request.method().as_str();
    let expected = DpopRequest { method, url: &url, access_token: Some(token) };
    let held = verify_proof(proof, expected, now).map_err(|error| match error {
        DpopError::Malformed => "the DPoP proof is malformed",
        DpopError::Signature => "the signature of the DPoP proof is not valid",
        DpopError::Request => "the DPoP proof is for another request",
        DpopError::Time => "the DPoP proof is not fresh",
        DpopError::Token => "the DPoP proof is for another token",
    })?;
    if held.jkt != jkt {
        return Err("the DPoP proof is of another key");
    }
    if !shared.replays.first(&[&held.jkt, &held.jti], now) {
        return Err("the DPoP proof was used before");
    }
    Ok(())
}

/// Signature, issuer, audience, times and revocation. What a signature proves is remembered; the
/// rest is looked at every time.
pub(crate) async fn verify(
    snapshot: &Snapshot,
    shared: &Shared,
    route: &Route,
    token: &str,
    now: Timestamp,
) -> Result<Arc<AccessClaims>, Refused> {
    let key = snapshot.tokens.key(token);
    let verified = match snapshot.tokens.verified(&key, now) {
        Some(verified) => verified,
        None => {
            let verified = check(snapshot, route, token, now).await?;
            snapshot.tokens.remember(key, verified.clone());
            verified
        }
    };
    // A token that one route accepts must not open another by having been seen before.
    if !route.accepts(verified.issuer()) {
        return Err(Refused::Void(VerifyError::Issuer.to_string()));
    }
    let claims = verified.claims;
    if is_revoked(shared, &claims) {
        return Err(Refused::Void("the token was revoked".into()));
    }
    Ok(claims)
}

/// Whether somebody ended it before its time.
fn is_revoked(shared: &Shared, claims: &AccessClaims) -> bool {
    shared.revocations.is_void(&TokenFacts {
        token: &claims.jti,
        grant: claims.grant_id.as_deref(),
        subject: &claims.sub,
        client: &claims.client_id,
        acted: claims.act.is_some(),
        place: claims.place(),
        issued_at: claims.iat,
    })
}

/// Whether what opened something long may keep it open. That a token ends does not count: it was good
/// when it was shown, and whoever showed it cannot show another in the middle of a WebSocket.
pub(crate) fn still_admitted(
    shared: &Shared,
    who: &Principal,
    peer: Option<&PeerCertificate>,
) -> bool {
    let now = shared.clock.now();
    let known = match who {
        Principal::Token(claims) => !is_revoked(shared, claims),
        Principal::ApiKey(key) => shared.api_keys.works(&key.id, now),
        Principal::Anonymous | Principal::Workload(_) => true,
    };
    known && peer.is_none_or(|own| own.still_stands(now))
}

/// Checks everything about a token that is not remembered.
async fn check(
    snapshot: &Snapshot,
    route: &Route,
    token: &str,
    now: Timestamp,
) -> Result<Verified, Refused> {
    let Ok(parsed) = Compact::parse(token) else {
        let asked = route.issuers.iter().find(|issuer| issuer.introspect.is_some());
        return match asked {
            Some(issuer) if is_opaque(token) => {
                let claims = issuer.ask(token, now).await?;
                let until = now.plus(INTROSPECTED).secs().min(claims.exp);
                Ok(Verified::theirs(claims, issuer, issuer.epoch()).until(until))
            }
            _ => ours(snapshot, token, now),
        };
    };
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    let issued: Option<Issued> = serde_json::from_slice(&parsed.payload).ok();
    let known = issued
        .and_then(|Issued { iss }| route.issuers.iter().find(|issuer| issuer.rules.issuer == iss));
    match known {
        Some(issuer) => {
            let (claims, epoch) = issuer.verify(token, now).await?;
            Ok(Verified::theirs(claims, issuer, epoch))
        }
        None => ours(snapshot, token, now),
    }
}

fn ours(snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Verified, Refused> {
    let verified = snapshot.verifier.verify(token, snapshot.keys.as_slice(), now);
    verified.map(Verified::ours).map_err(|error: VerifyError| Refused::Void(error.to_string()))
}

/// Something that could be a token of somebody else (RFC 6750, section 2.1) and is no JWT.
fn is_opaque(token: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    token.len() <= MAX_OPAQUE_BYTES && token.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        thread,
    };

    use portcullis_cluster::{
        ApiKeys, Blocks, Concurrency, Limiter, Quotas, Replays, Revocations, Revoked,
    };
    use portcullis_jose::{Alg, Audience, JwkSet, SigningKey, Verifier, access_token, sign};
    use portcullis_types::{Clock, Entropy, HashKey};

    use super::*;
    use crate::{
        AuthKind, Cookies, Counters, DEFAULT_BODY_LIMIT, Issuer, IssuerRules, ListenerKind, Minter,
        Target, full,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    #[derive(Debug)]
    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            NOW
        }
    }
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(3);
        }
    }

    fn claims(iss: &str, jti: String) -> AccessClaims {
        AccessClaims {
            iss: iss.into(),
            sub: format!("sub-{jti}"),
            aud: Audience::One("https://id.example".into()),
            exp: 2_000,
            iat: 990,
            client_id: format!("client-{jti}"),
            grant_id: Some(format!("grant-{jti}")),
            jti,
            scope: String::new(),
            auth_time: None,
            acr: None,
            groups: Vec::new(),
            roles: Vec::new(),
            act: None,
            sid: None,
            preferred_username: None,
            cnf: None,
            status: None,
        }
    }

    fn shared() -> Shared {
        Shared {
            counters: Counters {
                limiter: Arc::new(Limiter::new(&Fixed)),
                quotas: Arc::new(Quotas::new(HashKey::new(&Fixed))),
                concurrency: Concurrency::new(&Fixed),
            },
            overload: crate::Overload::new(&Fixed),
            blocks: Arc::new(Blocks::default()),
            revocations: Arc::new(Revocations::new(&Fixed)),
            replays: Arc::new(Replays::new(Duration::from_secs(60), &Fixed)),
            api_keys: Arc::new(ApiKeys::default()),
            clock: Arc::new(Fixed),
            entropy: Arc::new(Fixed),
            record: Arc::new(|_| {}),
            tracing: None,
            limit_blocked: Arc::new(|_| {}),
        }
    }

    fn route(issuers: Vec<Arc<Issuer>>) -> Route {
        let service: crate::LocalService =
            Arc::new(|_| Box::pin(async { http::Response::new(full("")) }));
        Route {
            name: "r".into(),
            listener: ListenerKind::Public,
            hosts: Vec::new(),
            path: "/r".into(),
            methods: Vec::new(),
            get_has_effects: false,
            target: Target::Local(service),
            authenticate: vec![AuthKind::Bearer],
            own_tokens: true,
            issuers,
            scopes: Vec::new(),
            step_up: None,
            fresh_session: None,
            policies: false,
            spiffe_ids: Vec::new(),
            any_workload: false,
            priority: crate::Priority::Normal,
            limits: Vec::new(),
            max_body: DEFAULT_BODY_LIMIT,
            contract: None,
            learning: false,
            checks_responses: false,
            checks_json: true,
            cookies: Cookies::default(),
            max_response: 0,
            cors: None,
        }
    }

    fn snapshot(key: SigningKey) -> Snapshot {
        let issuer = "https://id.example";
        let keys = JwkSet { keys: vec![key.public().clone()] }.verifying_keys().unwrap();
        let verifier = Verifier::new(issuer, issuer, access_token::TYP, &[Alg::EdDsa]);
        let minter = Minter { issuer: issuer.into(), key: Arc::new(key) };
        let parts = crate::SnapshotParts {
            routes: vec![],
            verifier,
            keys,
            minter,
            trusted_proxies: vec![],
            proxy_protocol: false,
            hosts: vec![],
            remembered_tokens: 64,
            policies: None,
            sessions: Vec::new(),
        };
        Snapshot::new(parts).unwrap()
    }

    /// Whatever was verified before, and however often, no request that begins after a revocation
    /// was made may pass; and none may be refused before.
    #[test]
    fn a_revocation_holds_for_whoever_asks_after_it() {
        let (key, _) = SigningKey::generate(Alg::EdDsa).unwrap();
        let tokens: HashMap<usize, String> = (0..48)
            .map(|n| {
                let made = claims("https://id.example", n.to_string());
                (n, sign(&key, access_token::TYP, &made).unwrap())
            })
            .collect();
        let (snapshot, shared, route) = (snapshot(key), shared(), route(Vec::new()));
        let revoked: Vec<AtomicBool> = (0..48).map(|_| AtomicBool::new(false)).collect();
        let begun: Vec<AtomicBool> = (0..48).map(|_| AtomicBool::new(false)).collect();
        let (asked, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for first in 0..4_usize {
                let (snapshot, shared, route) = (&snapshot, &shared, &route);
                let (revoked, begun, tokens) = (&revoked, &begun, &tokens);
                let (asked, done) = (&asked, &done);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let mut number = first * 11;
                    while !done.load(Ordering::SeqCst) {
                        number = (number + 7) % 48;
                        let over = revoked[number].load(Ordering::SeqCst);
                        let told = runtime.block_on(verify(
                            snapshot,
                            shared,
                            route,
                            &tokens[&number],
                            NOW,
                        ));
                        assert!(!over || told.is_err(), "a revoked token passed");
                        let started = begun[number].load(Ordering::SeqCst);
                        assert!(started || told.is_ok(), "a good token was refused");
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for number in 0..48 {
                let before = asked.load(Ordering::SeqCst);
                while asked.load(Ordering::SeqCst) < before + 200 {
                    thread::yield_now();
                }
                let (id, until) = (number.to_string(), Timestamp::from_secs(3_000));
                let (sub, client, grant) =
                    (format!("sub-{id}"), format!("client-{id}"), format!("grant-{id}"));
                let what = match number % 4 {
                    0 => Revoked::Token(&id),
                    1 => Revoked::Subject(&sub),
                    2 => Revoked::Client(&client),
                    _ => Revoked::Grant(&grant),
                };
                begun[number].store(true, Ordering::SeqCst);
                shared.revocations.add(what, NOW, until, NOW);
                revoked[number].store(true, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        assert!(asked.load(Ordering::SeqCst) > 48 * 200);
    }

    /// The same for an issuer that takes a key back.
    #[test]
    fn a_key_that_was_taken_back_opens_nothing_more() {
        let (own, _) = SigningKey::generate(Alg::EdDsa).unwrap();
        let (theirs, _) = SigningKey::generate(Alg::EdDsa).unwrap();
        let rules = IssuerRules {
            name: "x".into(),
            issuer: "https://x.example".into(),
            audiences: vec!["https://id.example".into()],
            algorithms: vec![Alg::EdDsa],
            typed: true,
            pins: Vec::new(),
            roles: None,
            groups: None,
        };
        let issuer = Arc::new(Issuer::new(rules, None));
        let token = sign(&theirs, access_token::TYP, &claims("https://x.example", "1".into()));
        let token = token.unwrap();
        let (snapshot, shared) = (snapshot(own), shared());
        let (open, closed) = (route(vec![issuer.clone()]), route(Vec::new()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let ask = |route: &Route| {
            runtime.block_on(verify(&snapshot, &shared, route, &token, NOW)).map(|c| c.sub.clone())
        };
        for _ in 0..50 {
            issuer.set_keys(JwkSet { keys: vec![theirs.public().clone()] });
            assert_eq!(ask(&open).unwrap(), "x:sub-1");
            // Having been seen on one route, it does not open another.
            assert!(ask(&closed).is_err());
            issuer.set_keys(JwkSet::default());
            assert!(ask(&open).is_err());
        }
    }
}
