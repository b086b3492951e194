use std::sync::Arc;

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use portcullis_events::{Actor, Kind, LoginAttempt, Origin, Outcome};
use portcullis_jose::{Audience, Verifier, VerifyError};
use portcullis_pki::PeerCertificate;
use portcullis_store::{CLIENT_SECRET_PREFIX, clients, is_well_formed, token_hash};
use portcullis_types::{Timestamp, same_secret};
use serde::Deserialize;

use crate::{
    AuthMethod, Client, OAuthError, Params, Provider, ProviderError, client_admin::is_of_gate,
    known_clients::Known,
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion may not be valid for longer than this.
const MAX_ASSERTION_SECS: i64 = 300;
/// Client ids are at most this long.
const MAX_CLIENT_ID_CHARS: usize = 128;
const MAX_JTI_CHARS: usize = 256;
/// None of the keys that we know of the client signed it.
const BY_NO_KEY: &str = "assertion_key";

/// What a request offers as proof. Exactly one way may be used (RFC 6749, section 2.3).
enum Proof<'a> {
    Nothing(&'a str),
    Secret { client: String, secret: String, method: AuthMethod },
    Assertion { client: Option<&'a str>, assertion: &'a str },
}

#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    jti: String,
}

impl Provider {
    /// Finds out which client is calling, and makes sure of it. A refusal is an event, durable
    /// before the answer.
    pub(crate) async fn authenticate_client(
        &self,
        authorization: Option<&str>,
        params: &Params,
        certificate: Option<&PeerCertificate>,
        origin: &Origin,
    ) -> Result<Arc<Client>, ProviderError> {
        let proof = read_proof(authorization, params)?;
        let (id, factor) = match &proof {
            Proof::Nothing(client) => ((*client).to_owned(), "none"),
            Proof::Secret { client, method, .. } => (client.clone(), method.as_str()),
            Proof::Assertion { client, assertion } => {
                let claimed = client.map(str::to_owned).or_else(|| unverified_subject(assertion));
                (claimed.unwrap_or_default(), AuthMethod::PrivateKeyJwt.as_str())
            }
        };
        let plausible = id.len() <= MAX_CLIENT_ID_CHARS && !id.contains(char::is_control);
        let known = if plausible { self.known_client(&id).await? } else { None };
        let proven = match &known {
            // Their codes and tokens belong to cookies that the gate seals, and to nobody who has only the browser.
            Some(known) if is_of_gate(&known.client.id) && !origin.is_of_gate => {
                Err("not_the_gate")
            }
            Some(known) => self.check_proof(known, &proof, certificate).await?,
            None => Err("invalid_client"),
        };
        match (known, proven) {
            (Some(known), Ok(())) => Ok(known.client),
            // The answer says nothing of why; the record does.
            (_, proven) => {
                let reason = proven.err().unwrap_or("invalid_client");
                self.refused(&id, factor, reason, origin).await?;
                Err(OAuthError::client().into())
            }
        }
    }

    /// The method is the registered one, whatever the request would like.
    async fn check_proof(
        &self,
        known: &Known,
        proof: &Proof<'_>,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Result<(), &'static str>, ProviderError> {
        let client = &*known.client;
        let proven = match proof {
            Proof::Nothing(_) => match client.auth_method {
                AuthMethod::None => true,
                AuthMethod::TlsClientAuth => certificate.is_some_and(|own| {
                    let names = client.settings.certificate_names();
                    names.len() == 1 && names.into_iter().all(|name| own.is_called(name))
                }),
                AuthMethod::SelfSignedTlsClientAuth => certificate.is_some_and(|own| {
                    client.certificates.iter().any(|known| known == own.thumbprint())
                }),
                _ => false,
            },
            Proof::Secret { secret, method, .. } => {
                client.auth_method == *method && self.check_secret(known, secret)
            }
            Proof::Assertion { .. } if client.auth_method != AuthMethod::PrivateKeyJwt => false,
            Proof::Assertion { assertion, .. } => {
                return self.check_assertion_with_keys(client, assertion).await;
            }
        };
        Ok(if proven { Ok(()) } else { Err("invalid_client") })
    }

    /// With the keys at hand, and if they do not fit with fresh ones: the client may have rotated.
    async fn check_assertion_with_keys(
        &self,
        client: &Client,
        assertion: &str,
    ) -> Result<Result<(), &'static str>, ProviderError> {
        if client.settings.jwks_uri.is_none() {
            return self.check_assertion(client, assertion).await;
        }
        let known = self.with_keys(client.clone(), false).await;
        let checked = self.check_assertion(&known, assertion).await?;
        if checked != Err(BY_NO_KEY) {
            return Ok(checked);
        }
        let fresh = self.with_keys(client.clone(), true).await;
        if fresh.jwks == known.jwks {
            Ok(checked)
        } else {
            self.check_assertion(&fresh, assertion).await
        }
    }

    fn check_secret(&self, known: &Known, secret: &str) -> bool {
        if !is_well_formed(CLIENT_SECRET_PREFIX, secret) {
            return false;
        }
        let (hash, now) = (token_hash(secret), self.now().micros());
        let mut live =
            known.secrets.iter().filter(|own| own.expires_at.is_none_or(|end| end > now));
        live.any(|own| same_secret(&own.hash, &hash))
    }

    /// RFC 7523, section 3, with the audience of rule R10: exactly our issuer, as one string.
    async fn check_assertion(
        &self,
        client: &Client,
        assertion: &str,
    ) -> Result<Result<(), &'static str>, ProviderError> {
        let Some(jwks) = &client.jwks else {
            return Ok(Err(BY_NO_KEY));
        };
        let keys = jwks.verifying_keys().unwrap_or_default();
        let algs = client.settings.assertion_algs();
        let verifier = Verifier::new(&client.id, &self.settings.issuer, "JWT", algs)
            .or_type("client-authentication+jwt")
            .or_untyped();
        let now = self.now();
        let claims = match verifier.verify::<AssertionClaims>(assertion, keys.as_slice(), now) {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(reason(&error))),
        };
        let ours = claims.aud == Audience::One(self.settings.issuer.clone());
        let short = claims.exp <= now.secs() + MAX_ASSERTION_SECS;
        let named = (1..=MAX_JTI_CHARS).contains(&claims.jti.len())
            && !claims.jti.contains(char::is_control);
        if let Some(wrong) = [
            (claims.iss == client.id && claims.sub == client.id, "assertion_subject"),
            (ours, "assertion_audience"),
            (short, "assertion_lifetime"),
            (named, "assertion_jti"),
        ]
        .into_iter()
        .find_map(|(right, name)| (!right).then_some(name))
        {
            return Ok(Err(wrong));
        }
        let (id, jti, end) = (&client.id, &claims.jti, Timestamp::from_secs(claims.exp));
        let fresh = self
            .identity
            .db
            .write(|tx| async move {
                Ok::<_, ProviderError>(
                    clients::use_assertion(&tx, self.tenant(), id, jti, end).await?,
                )
            })
            .await?;
        Ok(if fresh { Ok(()) } else { Err("assertion_replayed") })
    }

    async fn refused(
        &self,
        client: &str,
        factor: &'static str,
        reason: &'static str,
        origin: &Origin,
    ) -> Result<(), ProviderError> {
        let attempt = LoginAttempt { factor, door: "token", ..LoginAttempt::default() };
        let actor = Actor::Client { id: portcullis_events::clean(client) };
        let outcome = Outcome::Failure(reason);
        let event = self.identity.event(origin, actor, outcome, Kind::Login(attempt));
        self.identity.audit.append(vec![event]).await.map_err(|e| ProviderError::Identity(e.into()))
    }
}

/// For the record.
fn reason(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Audience => "assertion_audience",
        VerifyError::Issuer => "assertion_subject",
        VerifyError::Expired | VerifyError::NotYetValid => "assertion_lifetime",
        VerifyError::Signature | VerifyError::UnknownKey => BY_NO_KEY,
        VerifyError::Algorithm => "assertion_algorithm",
        _ => "assertion_malformed",
    }
}

fn read_proof<'a>(
    authorization: Option<&str>,
    params: &'a Params,
) -> Result<Proof<'a>, OAuthError> {
    let (id, secret) = (params.get("client_id"), params.get("client_secret"));
    let assertion = (params.get("client_assertion_type"), params.get("client_assertion"));
    let several = OAuthError::request("the client must authenticate in exactly one way");
    match (authorization, secret, assertion) {
        (Some(header), None, (None, None)) => {
            let (client, secret) = read_basic(header).ok_or_else(OAuthError::client)?;
            if id.is_some_and(|id| id != client) {
                return Err(several);
            }
            Ok(Proof::Secret { client, secret, method: AuthMethod::ClientSecretBasic })
        }
        (None, Some(secret), (None, None)) => {
            let client = id.ok_or(OAuthError::request("client_id is missing"))?.to_owned();
            let secret = secret.to_owned();
            Ok(Proof::Secret { client, secret, method: AuthMethod::ClientSecretPost })
        }
        (None, None, (Some(ASSERTION_TYPE), Some(assertion))) => {
            Ok(Proof::Assertion { client: id, assertion })
        }
        (None, None, (None, None)) => id.map(Proof::Nothing).ok_or_else(OAuthError::client),
        (None, None, _) => {
            Err(OAuthError::request("client_assertion and its type must be given together"))
        }
        _ => Err(several),
    }
}

/// RFC 6749, section 2.3.1: both halves are form-encoded before they are put together.
fn read_basic(header: &str) -> Option<(String, String)> {
    let (scheme, blob) = header.split_once(' ')?;
    let decoded = BASE64.decode(blob.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

/// The `sub` that an assertion claims, only to find the keys that will prove or disprove it.
fn unverified_subject(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let compact = portcullis_jose::Compact::parse(assertion).ok()?;
    let claims: Subject = portcullis_jose::from_slice_strict(&compact.payload).ok()?;
    Some(claims.sub)
}
