//! Browsers in front of services that know nothing of OpenID Connect: the gate is the client. It
//! sends people to the provider, redeems the code, keeps the tokens in a sealed cookie that scripts
//! cannot read, renews them, and ends them.
//!
//! The provider is our own, in this process. People who log in elsewhere do so there.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use portcullis_events::{Origin, Stage};
use portcullis_types::{SharedEntropy, Timestamp, random_array, random_token};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{
    answer::{Refusal, prefers_html},
    body::{GateBody, full},
    content::read_whole,
    guard::Head,
    limits::LimitRule,
    same_origin::same_origin,
    session_kind::SessionKind,
    snapshot::LocalService,
};

/// What begins so is the gate's own.
pub(crate) const RESERVED: &str = "/.portcullis/";
/// A login is finished in this time.
const ATTEMPT_LIFETIME: Duration = Duration::from_secs(600);
/// The cookie is kept this long; the tokens in it decide whether it is worth anything.
const COOKIE_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);
/// A browser sends requests side by side. Those that still have the tokens that one of them has just
/// exchanged get what it got.
const EXCHANGED: Duration = Duration::from_secs(60);
/// Exchanges that are remembered; the oldest go.
const MAX_EXCHANGED: usize = 4_096;
/// What the provider says is at most this long.
const MAX_ANSWER: u64 = 64 * 1024;
/// A cookie that is longer is not ours. Browsers take some four thousand bytes.
const MAX_COOKIE: usize = 3_900;
const MAX_TARGET: usize = 1_024;
/// Requests that a browser has sent before it got another cookie are answered within this time.
const ON_THEIR_WAY: Duration = Duration::from_secs(3);
/// Of OpenID Connect: who is logged in does so again.
const LOGIN: &str = "login";
/// The console's page that tells the others.
const CONFIRMED: &str = "/console/confirmed";

/// What a session answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnPath {
    /// Back from the provider.
    Callback,
    /// On the way there once more.
    Again,
    /// Out.
    Logout,
}

/// How the gate is a client of the provider.
#[derive(Clone)]
pub struct Sessions {
    /// For whom.
    pub kind: SessionKind,
    /// The provider's issuer.
    pub issuer: String,
    /// What the gate is called there. A public client: PKCE proves who began a login.
    pub client_id: String,
    /// What it asks for.
    pub scopes: String,
    /// The provider's endpoints.
    pub oidc: LocalService,
    /// What may come back from the provider, or log out: it is not asked through its own doors.
    pub limits: Vec<Arc<LimitRule>>,
    /// What stays when the configuration changes.
    pub state: Arc<SessionState>,
}

/// The key of the cookies, and exchanges of the last moments.
pub struct SessionState {
    key: LessSafeKey,
    entropy: SharedEntropy,
    exchanges: tokio::sync::Mutex<()>,
    exchanged: Mutex<HashMap<[u8; 32], (Timestamp, Tokens)>>,
}

/// What a session is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    /// The access token.
    pub a: String,
    /// The refresh token.
    pub r: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Attempt {
    state: String,
    verifier: String,
    target: String,
    until: i64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
}

impl SessionState {
    /// With a key that stays the same, so that people stay logged in. `None` if it has not 32 bytes.
    pub fn new(key: &[u8], entropy: SharedEntropy) -> Option<Arc<Self>> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some(Arc::new(Self {
            key,
            entropy,
            exchanges: tokio::sync::Mutex::default(),
            exchanged: Mutex::default(),
        }))
    }

    /// Sealed for one cookie at one host: what is sealed for another opens nothing here.
    fn seal(&self, cookie: &str, host: &str, value: &impl Serialize) -> Option<String> {
        let nonce = random_array::<NONCE_LEN>(&*self.entropy);
        let mut sealed = serde_json::to_vec(value).ok()?;
        let aad = Aad::from(format!("{cookie} {host}"));
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, aad, &mut sealed).ok()?;
        Some(BASE64URL_NOPAD.encode(&[nonce.as_slice(), &sealed].concat()))
    }

    fn open<T: for<'de> Deserialize<'de>>(
        &self,
        cookie: &str,
        host: &str,
        text: &str,
    ) -> Option<T> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(format!("{cookie} {host}"));
        let opened = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut sealed);
        serde_json::from_slice(opened.ok()?).ok()
    }

    fn exchanged(&self, old: &str, now: Timestamp) -> Option<Tokens> {
        let all = self.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, tokens) = all.get(&sha256(old))?;
        (now.since(*at) < EXCHANGED).then(|| tokens.clone())
    }

    /// The newest of what these were exchanged for; nobody gets them for the old ones any more.
    fn forget(&self, mut tokens: Tokens) -> Tokens {
        let mut all = self.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, newer)) = tokens.r.as_deref().and_then(|old| all.remove(&sha256(old))) {
            tokens = newer;
        }
        tokens
    }

    fn remember(&self, old: &str, tokens: &Tokens, now: Timestamp) {
        let mut all = self.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_EXCHANGED {
            all.retain(|_, (at, _)| now.since(*at) < EXCHANGED);
        }
        if all.len() < MAX_EXCHANGED {
            all.insert(sha256(old), (now, tokens.clone()));
        }
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

impl Sessions {
    /// What it answers itself. A link or an image elsewhere must not log people out.
    pub(crate) fn own_path(&self, method: &Method, path: &str) -> Option<OwnPath> {
        let is = |known: &str| path == known;
        match *method {
            Method::POST if is(self.kind.logout()) => Some(OwnPath::Logout),
            Method::GET | Method::POST if is(self.kind.callback()) => Some(OwnPath::Callback),
            Method::GET if self.kind.again().is_some_and(is) => Some(OwnPath::Again),
            _ => None,
        }
    }

    /// The tokens that a browser shows.
    pub(crate) fn shown(&self, headers: &HeaderMap, head: &Head) -> Option<Tokens> {
        let text = cookie(headers, self.kind.cookie())?;
        self.state.open(self.kind.cookie(), &head.host, &text)
    }

    /// Sends a browser to log in; tells a program that it must.
    pub(crate) fn log_in<B>(&self, request: &Request<B>, head: &Head, now: Timestamp) -> Refusal {
        let detail = "this route needs a login";
        let refusal = |status| Refusal::new(Stage::Authenticate, status, "login_needed", detail);
        let navigates =
            request.headers().get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let reads = *request.method() == Method::GET && prefers_html(request.headers());
        if !reads || !navigates || head.upgrade {
            return refusal(StatusCode::UNAUTHORIZED);
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        self.begin(format!("{}{query}", head.path), None, head, now)
    }

    /// Has somebody prove who they are while a page of theirs waits: what has come of it is told to that page.
    pub(crate) fn again<B>(&self, request: &Request<B>, head: &Head, now: Timestamp) -> Refusal {
        // Whoever only has to log in may still be logged in at the provider.
        let prompt = (request.uri().query() != Some(LOGIN)).then_some(LOGIN);
        self.begin(CONFIRMED.to_owned(), prompt, head, now)
    }

    fn begin(&self, target: String, prompt: Option<&str>, head: &Head, now: Timestamp) -> Refusal {
        let refusal = |status| {
            let detail = "this route needs a login";
            Refusal::new(Stage::Authenticate, status, "login_needed", detail)
        };
        let attempt = Attempt {
            state: random_token(&*self.state.entropy),
            verifier: random_token(&*self.state.entropy),
            target: if target.len() <= MAX_TARGET { target } else { "/".to_owned() },
            until: now.plus(ATTEMPT_LIFETIME).secs(),
        };
        let name = self.kind.attempt();
        let Some(sealed) = self.state.seal(name, &head.host, &attempt) else {
            return refusal(StatusCode::UNAUTHORIZED);
        };
        let challenge = BASE64URL_NOPAD.encode(&sha256(&attempt.verifier));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.client_id),
                ("redirect_uri", &self.redirect_uri(head)),
                ("scope", &self.scopes),
                ("state", &attempt.state),
                ("nonce", &attempt.state),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .extend_pairs(prompt.map(|prompt| ("prompt", prompt)))
            .finish();
        refusal(StatusCode::SEE_OTHER)
            .with(header::LOCATION, &format!("{}/oauth2/authorize?{query}", self.issuer))
            .with(header::SET_COOKIE, &set_cookie(name, &sealed, ATTEMPT_LIFETIME))
    }

    /// The browser is back from the provider.
    pub(crate) async fn come_back<B>(
        &self,
        request: &Request<B>,
        head: &Head,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Response<GateBody>, Refusal> {
        let name = self.kind.attempt();
        let wrong = |detail: &str| {
            Refusal::new(Stage::Authenticate, StatusCode::BAD_REQUEST, "login", detail)
                .with(header::SET_COOKIE, &end_cookie(name))
        };
        let attempt = cookie(request.headers(), name)
            .and_then(|text| self.state.open::<Attempt>(name, &head.host, &text))
            .filter(|attempt| now.secs() < attempt.until);
        let attempt = attempt.ok_or_else(|| wrong("the login took too long; begin again"))?;
        let query = request.uri().query().unwrap_or_default();
        let given: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let same = |name: &str, own: &str| given.get(name).is_some_and(|value| value == own);
        // RFC 9207: an answer of another provider is not redeemed at ours.
        if !same("state", &attempt.state) || !same("iss", &self.issuer) {
            // Somebody else's answer must not use up the login that this browser has begun.
            let detail = "the answer does not belong to this login";
            return Err(Refusal::new(
                Stage::Authenticate,
                StatusCode::BAD_REQUEST,
                "login",
                detail,
            ));
        }
        let code = given.get("code").ok_or_else(|| wrong("the login was not finished"))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri(head)),
            ("client_id", &self.client_id),
            ("code_verifier", &attempt.verifier),
        ];
        let tokens = self.ask("/oauth2/token", &form, origin).await;
        let tokens = tokens.ok_or_else(|| wrong("the login could not be finished; begin again"))?;
        let kept = self.keep(head, &tokens).ok_or_else(|| wrong("the tokens are too large"))?;
        // What the browser had before would live on where somebody has stolen it. Requests on their way still show it.
        if let Some(before) = self.shown(request.headers(), head) {
            let (own, origin) = (self.clone(), origin.clone());
            tokio::spawn(async move {
                tokio::time::sleep(ON_THEIR_WAY).await;
                own.end(before, &origin).await;
            });
        }
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        let target = HeaderValue::from_str(&attempt.target);
        headers.insert(header::LOCATION, target.unwrap_or(HeaderValue::from_static("/")));
        headers.append(header::SET_COOKIE, kept);
        if let Ok(end) = HeaderValue::from_str(&end_cookie(name)) {
            headers.append(header::SET_COOKIE, end);
        }
        Ok(response)
    }

    /// New tokens for old ones. Only one exchange at a time: a refresh token that is used twice ends
    /// the session.
    pub(crate) async fn renew(
        &self,
        old: &Tokens,
        origin: &Origin,
        now: Timestamp,
    ) -> Option<Tokens> {
        let refresh = old.r.as_deref()?;
        if let Some(known) = self.state.exchanged(refresh, now) {
            return Some(known);
        }
        // A task of its own: where the browser gives up half-way, the new tokens must be known all the same.
        let (own, refresh, origin) = (self.clone(), refresh.to_owned(), origin.clone());
        tokio::spawn(async move { own.exchange(&refresh, &origin, now).await }).await.ok()?
    }

    async fn exchange(&self, refresh: &str, origin: &Origin, now: Timestamp) -> Option<Tokens> {
        let _alone = self.state.exchanges.lock().await;
        if let Some(known) = self.state.exchanged(refresh, now) {
            return Some(known);
        }
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh),
            ("client_id", self.client_id.as_str()),
        ];
        let tokens = self.ask("/oauth2/token", &form, origin).await?;
        self.state.remember(refresh, &tokens, now);
        Some(tokens)
    }

    /// Ends the session here, and then at the provider.
    pub(crate) async fn log_out<B>(
        &self,
        request: &Request<B>,
        head: &Head,
        origin: &Origin,
    ) -> Result<Response<GateBody>, Refusal> {
        same_origin(request, head)?;
        if let Some(shown) = self.shown(request.headers(), head) {
            self.end(shown, origin).await;
        }
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .finish();
        let out = format!("{}/oauth2/logout?{query}", self.issuer);
        if let (Ok(out), Ok(end)) =
            (HeaderValue::from_str(&out), HeaderValue::from_str(&end_cookie(self.kind.cookie())))
        {
            headers.insert(header::LOCATION, out);
            headers.append(header::SET_COOKIE, end);
        }
        headers.insert("clear-site-data", HeaderValue::from_static("\"cache\""));
        Ok(response)
    }

    /// Ends what the cookie of a browser stands for.
    async fn end(&self, shown: Tokens, origin: &Origin) {
        // What another request has just exchanged them for is what has to end.
        let _alone = self.state.exchanges.lock().await;
        let Tokens { a, r } = self.state.forget(shown);
        let token = r.as_deref().unwrap_or(&a);
        let form = [("token", token), ("client_id", self.client_id.as_str())];
        self.ask("/oauth2/revoke", &form, origin).await;
    }

    /// The cookie that keeps tokens.
    pub(crate) fn keep(&self, head: &Head, tokens: &Tokens) -> Option<HeaderValue> {
        let name = self.kind.cookie();
        let sealed = self.state.seal(name, &head.host, tokens)?;
        let fits = sealed.len() <= MAX_COOKIE;
        HeaderValue::from_str(&set_cookie(name, &sealed, COOKIE_LIFETIME)).ok().filter(|_| fits)
    }

    /// The cookie that ends it.
    pub(crate) fn forget(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&end_cookie(self.kind.cookie())).ok()
    }

    fn redirect_uri(&self, head: &Head) -> String {
        format!("https://{}{}", head.host, self.kind.callback())
    }

    /// Asks the provider, in this process.
    async fn ask(&self, path: &str, form: &[(&str, &str)], origin: &Origin) -> Option<Tokens> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::new(full(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().ok()?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        request.extensions_mut().insert(origin.of_gate());
        // A task of its own: a browser that gives up must not lose tokens half-way.
        let response = tokio::spawn((self.oidc)(request)).await.ok()?;
        let good = response.status().is_success();
        let body = read_whole(response.into_body(), MAX_ANSWER).await.ok()?;
        if !good {
            tracing::debug!(path, "the provider refused a session");
            return None;
        }
        let answer: TokenAnswer = serde_json::from_slice(&body).ok()?;
        Some(Tokens { a: answer.access_token, r: answer.refresh_token })
    }
}

fn set_cookie(name: &str, value: &str, lifetime: Duration) -> String {
    let age = lifetime.as_secs();
    format!("{name}={value}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax")
}

fn end_cookie(name: &str) -> String {
    format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(own, _)| own.trim() == name)?.1.trim();
    (!found.is_empty() && found.len() <= MAX_COOKIE).then(|| found.to_owned())
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionState")
    }
}

#[cfg(test)]
mod tests {
    use portcullis_types::Entropy;

    use super::*;

    #[derive(Debug)]
    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(4);
        }
    }

    #[test]
    fn what_is_sealed_for_one_host_opens_nothing_at_another() {
        let state = SessionState::new(&[7; 32], Arc::new(Fixed)).unwrap();
        let tokens = Tokens { a: "a".into(), r: None };
        let sealed = state.seal(SessionKind::Services.cookie(), "a.example", &tokens).unwrap();
        assert!(
            state.open::<Tokens>(SessionKind::Services.cookie(), "a.example", &sealed).is_some()
        );
        assert!(
            state.open::<Tokens>(SessionKind::Services.cookie(), "b.example", &sealed).is_none()
        );
        for other in [SessionKind::Services.attempt(), SessionKind::Console.cookie()] {
            assert!(state.open::<Tokens>(other, "a.example", &sealed).is_none());
        }
        assert!(state.open::<Tokens>(SessionKind::Services.cookie(), "a.example", "x").is_none());
        let mut changed = sealed.into_bytes();
        changed[20] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            state.open::<Tokens>(SessionKind::Services.cookie(), "a.example", &changed).is_none()
        );
    }

    #[test]
    fn whoever_leaves_ends_what_their_tokens_were_exchanged_for() {
        let state = SessionState::new(&[7; 32], Arc::new(Fixed)).unwrap();
        let now = Timestamp::from_secs(1);
        let tokens = |name: &str| Tokens { a: format!("a{name}"), r: Some(format!("r{name}")) };
        state.remember("r1", &tokens("2"), now);
        state.remember("r2", &tokens("3"), now);
        assert_eq!(state.forget(tokens("1")).r.unwrap(), "r3");
        assert!(state.exchanged("r1", now).is_none() && state.exchanged("r2", now).is_none());
        assert_eq!(state.forget(tokens("9")).a, "a9");
    }
}
