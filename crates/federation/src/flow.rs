//! The code flow, as its client.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use form_urlencoded::Serializer;
use http::{HeaderName, HeaderValue, Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_egress::Call;
use portcullis_jose::{Alg, Audience, Verifier, VerifyError};
use portcullis_types::{Entropy, Timestamp, random_token, same_secret};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    UpstreamError, UpstreamProvider,
    metadata::{Known, Metadata, read},
};

/// Subjects are at most this long (Core, section 8).
const MAX_SUBJECT_CHARS: usize = 255;
/// Other texts of a provider are kept up to this length.
const MAX_TEXT_CHARS: usize = 254;
const MAX_CODE_CHARS: usize = 2_048;
/// Clocks differ by this many seconds at most.
const SKEW_SECS: i64 = 60;
/// A login there that is older than this is not taken. It is asked for so that the answer says how
/// old it is (Core, section 3.1.2.1).
const MAX_AGE_SECS: i64 = 30 * 24 * 3600;

/// What ties the answer to the request. The browser keeps it, sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// The name of the provider.
    pub provider: String,
    state: String,
    nonce: String,
    verifier: String,
    /// In seconds, the time after which the person must have proved there who they are, if it must
    /// be now.
    fresh_since: Option<i64>,
}

impl Attempt {
    /// Whether `state` is the one of this attempt. Any page can send a browser to our callback; what
    /// that brings must not use the attempt up.
    pub fn is_answered_by(&self, state: Option<&str>) -> bool {
        same_secret(state.unwrap_or_default().as_bytes(), self.state.as_bytes())
    }
}

/// What the browser came back with (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Debug, Clone, Copy, Default)]
pub struct Returned<'a> {
    /// The code.
    pub code: Option<&'a str>,
    /// The state.
    pub state: Option<&'a str>,
    /// The issuer.
    pub iss: Option<&'a str>,
    /// Why there is no code.
    pub error: Option<&'a str>,
}

/// Somebody as the provider knows them. Only an ID token that was checked makes one; it may be
/// sealed and opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamPerson {
    provider: String,
    subject: String,
    email: Option<String>,
    email_proven: bool,
    username: Option<String>,
    auth_time: Option<i64>,
}

impl UpstreamPerson {
    /// When they proved there who they are, in seconds; `None` if the provider does not say.
    pub fn auth_time(&self) -> Option<i64> {
        self.auth_time
    }

    /// The name of the provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The subject there, for good.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// An address.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Whether the address counts as proven here: the provider verified it and is trusted to.
    pub fn email_proven(&self) -> bool {
        self.email_proven
    }

    /// What they would like to be called here.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
    #[serde(default)]
    access_token: Option<String>,
}

/// Core, sections 2 and 5.1: what we need of it.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    aud: Option<Audience>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Truth>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    auth_time: Option<i64>,
}

/// Some providers write it as a text, which has to be read as exactly that.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Truth {
    Plain(bool),
    Text(String),
}

impl Truth {
    fn holds(&self) -> bool {
        match self {
            Self::Plain(truth) => *truth,
            Self::Text(text) => text == "true",
        }
    }
}

impl UpstreamProvider {
    /// Begins a login: where to send the browser, and what to keep until it comes back. `anew`:
    /// whoever is logged in there must prove once more who they are.
    pub async fn begin(
        &self,
        redirect_uri: &str,
        anew: bool,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(String, Attempt), UpstreamError> {
        let Known { metadata, .. } = self.known(now).await?;
        let attempt = Attempt {
            provider: self.settings.name.clone(),
            state: random_token(entropy),
            nonce: random_token(entropy),
            verifier: random_token(entropy),
            fresh_since: anew.then(|| now.secs() - SKEW_SECS),
        };
        let bad = UpstreamError::Answer("the metadata");
        let mut url = Url::parse(&metadata.authorization_endpoint)
            .ok()
            .filter(|url| url.scheme() == "https")
            .ok_or(bad)?;
        let challenge = digest(&SHA256, attempt.verifier.as_bytes());
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &BASE64URL_NOPAD.encode(challenge.as_ref()))
            .append_pair("code_challenge_method", "S256")
            .append_pair("max_age", &if anew { 0 } else { MAX_AGE_SECS }.to_string());
        if anew {
            url.query_pairs_mut().append_pair("prompt", "login");
        }
        Ok((url.into(), attempt))
    }

    /// Ends a login: redeems the code and checks what comes for it.
    pub async fn finish(
        &self,
        redirect_uri: &str,
        attempt: &Attempt,
        returned: Returned<'_>,
        now: Timestamp,
    ) -> Result<UpstreamPerson, UpstreamError> {
        if !attempt.is_answered_by(returned.state) {
            return Err(UpstreamError::Mismatch);
        }
        let known = self.known(now).await?;
        // RFC 9207, section 2.4: an answer of another provider must not be redeemed at this one.
        let says_so = known.metadata.authorization_response_iss_parameter_supported;
        match returned.iss {
            Some(iss) if iss != self.settings.issuer => return Err(UpstreamError::Mismatch),
            None if says_so => return Err(UpstreamError::Mismatch),
            _ => {}
        }
        let code = match (returned.error, returned.code) {
            (None, Some(code)) if code.len() <= MAX_CODE_CHARS => code,
            _ => return Err(UpstreamError::Refused),
        };
        let answer = self.redeem(&known.metadata, redirect_uri, attempt, code).await?;
        let mut claims = self.check(&answer.id_token, attempt, &known, now).await?;
        if claims.email.is_none()
            && let (Some(endpoint), Some(token)) =
                (&known.metadata.userinfo_endpoint, &answer.access_token)
        {
            self.ask_more(endpoint, token, &mut claims).await?;
        }
        Ok(self.person(claims))
    }

    async fn redeem(
        &self,
        metadata: &Metadata,
        redirect_uri: &str,
        attempt: &Attempt,
        code: &str,
    ) -> Result<TokenAnswer, UpstreamError> {
        let (id, secret) = (&self.settings.client_id, self.settings.client_secret.expose());
        let in_form = metadata.secret_in_form();
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if !in_form {
            // RFC 6749, section 2.3.1.
            let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pair = BASE64.encode(format!("{}:{}", part(id), part(secret)).as_bytes());
            headers.push((header::AUTHORIZATION, sensitive(&format!("Basic {pair}"))?));
        }
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &attempt.verifier),
        ];
        if in_form {
            pairs.extend([("client_id", id.as_str()), ("client_secret", secret)]);
        }
        let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let url = &metadata.token_endpoint;
        let call = Call { method: Method::POST, url, headers: &headers, body: Some((kind, form)) };
        let answer = self.egress.call(call).await?;
        if answer.status.is_client_error() {
            tracing::info!(provider = self.settings.name, "a provider refused a code");
            return Err(UpstreamError::Refused);
        }
        read(&answer, "the token endpoint")
    }

    /// Core, section 3.1.3.7.
    async fn check(
        &self,
        id_token: &str,
        attempt: &Attempt,
        known: &Known,
        now: Timestamp,
    ) -> Result<Claims, UpstreamError> {
        let own = &self.settings.client_id;
        let verifier = Verifier::new(&self.settings.issuer, own, "JWT", &Alg::ALL).or_untyped();
        let verify =
            |known: &Known| verifier.verify::<Claims>(id_token, known.keys.as_slice(), now);
        let claims = match verify(known) {
            // It may have rotated its keys.
            Err(VerifyError::UnknownKey | VerifyError::Signature) => {
                verify(&self.known_anew(now).await?)?
            }
            claims => claims?,
        };
        let others = matches!(&claims.aud, Some(Audience::Many(many)) if many.len() > 1);
        let for_us = claims.azp.as_ref().map_or(!others, |azp| azp == own);
        let nonce = claims.nonce.as_deref().unwrap_or_default();
        let fresh = same_secret(nonce.as_bytes(), attempt.nonce.as_bytes());
        let named = (1..=MAX_SUBJECT_CHARS).contains(&claims.sub.len());
        if !(for_us && fresh && named) {
            return Err(UpstreamError::Mismatch);
        }
        let since = attempt.fresh_since;
        match since.is_none_or(|since| claims.auth_time.is_some_and(|at| at >= since)) {
            true => Ok(claims),
            false => Err(UpstreamError::NotFresh),
        }
    }

    /// Core, section 5.3: what the ID token did not say. It must be about the same person.
    async fn ask_more(
        &self,
        endpoint: &str,
        token: &str,
        claims: &mut Claims,
    ) -> Result<(), UpstreamError> {
        let headers = [(header::AUTHORIZATION, sensitive(&format!("Bearer {token}"))?)];
        let call = Call { method: Method::GET, url: endpoint, headers: &headers, body: None };
        let answer = self.egress.call(call).await.map_err(UpstreamError::from);
        let more = match answer.and_then(|answer| read::<Claims>(&answer, "userinfo")) {
            Ok(more) => more,
            // Who it is was proven already; only the address stays unknown.
            Err(error) => {
                tracing::info!(%error, "userinfo of a provider could not be read");
                return Ok(());
            }
        };
        if more.sub != claims.sub {
            return Err(UpstreamError::Mismatch);
        }
        claims.email = more.email;
        claims.email_verified = more.email_verified;
        claims.preferred_username = claims.preferred_username.take().or(more.preferred_username);
        Ok(())
    }

    fn person(&self, claims: Claims) -> UpstreamPerson {
        let verified = claims.email_verified.as_ref().is_some_and(Truth::holds);
        let short = |text: &String| text.chars().count() <= MAX_TEXT_CHARS;
        UpstreamPerson {
            provider: self.settings.name.clone(),
            subject: claims.sub,
            email_proven: verified && self.settings.trust_email,
            email: claims.email.filter(short),
            username: claims.preferred_username.filter(short),
            auth_time: claims.auth_time,
        }
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, UpstreamError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| UpstreamError::Answer("the token endpoint"))?;
    value.set_sensitive(true);
    Ok(value)
}
