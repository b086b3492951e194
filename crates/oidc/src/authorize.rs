use std::{sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_store::{
    DbError,
    accounts::Account,
    consents,
    grants::{self, Code, Grant},
    pushed, registrations,
    sessions::{self, Session},
    token_hash,
};
use portcullis_types::{Id, random_token};
use url::Url;

use crate::{
    Client, ErrorCode, GrantType, OAuthError, Params, Provider, ProviderError,
    claims::RequestedClaims,
    interaction::{Prompt, Wanted, read_max_age, read_prompt},
    pushed::{Pushed, URN},
    resources, wallet,
};

/// A code must be redeemed within this time.
pub const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// What people are asked for where a client wants them verified.
pub const VERIFIED_LOGIN: &str = "verified_login";
/// How long ago somebody may have logged in who puts a proof of who they are into a wallet.
const RECENT_LOGIN: Duration = Duration::from_secs(600);
/// `state` and `nonce` are at most this long.
const MAX_OPAQUE_CHARS: usize = 1_024;
/// A challenge or thumbprint is a SHA-256 in base64url (RFC 7636, section 4.2; RFC 7638).
const SHA256_CHARS: usize = 43;

/// An authorization request that may be answered at its redirect URI.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The client that asks.
    pub client: Arc<Client>,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// The scopes it asks for.
    pub scopes: Vec<String>,
    /// Returned unchanged.
    pub state: Option<String>,
    /// Put into the ID token.
    pub nonce: Option<String>,
    /// The PKCE challenge; none if the client relies on its nonce.
    pub code_challenge: Option<String>,
    /// What to ask.
    pub prompt: Vec<Prompt>,
    /// The login may be at most this old.
    pub max_age: Option<Duration>,
    /// The key that the code will be bound to (RFC 9449, section 10).
    pub dpop_jkt: Option<String>,
    /// Whom the client expects to log in, as a text for the login page.
    pub login_hint: Option<String>,
    /// Who must be logged in: the subject of `id_token_hint`, or the one asked for in `claims`.
    pub subject: Option<String>,
    /// The resources that the grant will be narrowed to, if any (RFC 8707).
    pub(crate) resources: Vec<String>,
    /// How sure it wants to be of who that is.
    pub(crate) wanted: Wanted,
    /// What it asks for by name.
    pub(crate) claims: RequestedClaims,
    /// The parameters as they came, to come back after the login.
    pub params: Params,
    /// The pushed request that it was taken from.
    pub(crate) pushed: Option<Pushed>,
}

impl AuthorizationRequest {
    /// Everything that the client will learn or do, as scopes: what a person is asked for.
    pub fn disclosed(&self, account: &Account) -> Vec<&str> {
        let mut scopes = allowed_scopes(&self.scopes, account);
        scopes.extend(self.claims.scopes());
        if !self.proof().rules.is_empty() {
            scopes.push(VERIFIED_LOGIN);
        }
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

/// The request cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// The redirect URI cannot be trusted, so the person is told and nobody is redirected.
    #[error(transparent)]
    Page(OAuthError),
    /// The client is told at this URL.
    #[error("the client is told by redirect")]
    Redirect(String),
    /// We failed.
    #[error(transparent)]
    Failed(#[from] ProviderError),
}

impl From<DbError> for AuthorizeError {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

/// Why a request is not followed, before anybody is told.
pub(crate) enum Refused {
    /// The redirect URI cannot be trusted.
    Untrusted(OAuthError),
    /// It can.
    Trusted { uri: String, state: Option<String>, error: OAuthError },
    /// We failed.
    Failed(ProviderError),
}

impl From<DbError> for Refused {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ProviderError> for Refused {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

impl Provider {
    /// Reads and checks an authorization request. Until client and redirect URI are known to
    /// belong together, errors stay on our own page.
    pub async fn authorization_request(
        &self,
        params: &Params,
    ) -> Result<AuthorizationRequest, AuthorizeError> {
        let request = match params.get("request_uri") {
            Some(uri) if uri.starts_with(URN) => self.pushed_request(params, uri).await,
            // A request object elsewhere is an error for the client, if we know where it is.
            _ => self.checked_request(params).await.and_then(unpushed),
        };
        request.map_err(|refused| match refused {
            Refused::Untrusted(error) => AuthorizeError::Page(error),
            Refused::Trusted { uri, state, error } => {
                AuthorizeError::Redirect(self.error_redirect(&uri, state.as_deref(), &error))
            }
            Refused::Failed(error) => AuthorizeError::Failed(error),
        })
    }

    /// A request that is complete in its parameters.
    pub(crate) async fn checked_request(
        &self,
        params: &Params,
    ) -> Result<AuthorizationRequest, Refused> {
        let page = |text| Refused::Untrusted(OAuthError::request(text));
        let id = params.get("client_id").ok_or(page("client_id is missing"))?;
        let client = self.client(id).await?.ok_or(page("the client is not registered"))?;
        let uri = params.get("redirect_uri").ok_or(page("redirect_uri is missing"))?;
        if !client.may_redirect_to(uri) {
            return Err(page("the redirect URI is not registered for this client"));
        }
        let redirect_uri = uri.to_owned();
        read_rest(self, client, redirect_uri, params).map_err(|error| {
            let state = params.get("state").filter(|state| state.len() <= MAX_OPAQUE_CHARS);
            Refused::Trusted { uri: uri.to_owned(), state: state.map(str::to_owned), error }
        })
    }

    /// Grants the request and returns where to send the browser, with the code.
    pub async fn grant(
        &self,
        request: &AuthorizationRequest,
        account: &Account,
        session: &Session,
        consented: bool,
        origin: &Origin,
    ) -> Result<String, AuthorizeError> {
        let now = self.now();
        let code = random_token(&*self.identity.entropy);
        let scope = &allowed_scopes(&request.scopes, account).join(" ");
        let consent = &request.disclosed(account).join(" ");
        let acr = self.proven_acr(request, session).await?;
        if acr.is_empty() && request.proof().is_needed {
            let code = ErrorCode::UnmetAuthenticationRequirements;
            return Err(AuthorizeError::Redirect(self.deny(request, code)));
        }
        let grant = &Grant {
            id: Id::new(now, &*self.identity.entropy),
            client_id: request.client.id.clone(),
            account_id: account.id,
            session_id: session.id.to_string(),
            scope: scope.clone(),
            claims: request.claims.to_row(),
            resources: resources::to_row(&request.resources),
            methods: session.methods.clone(),
            acr,
            auth_time: session.authenticated_at,
            created_at: now,
            // Until its code is redeemed it lives no longer than that.
            expires_at: now.plus(CODE_LIFETIME),
            redeemed_at: None,
            status_epoch: 0,
            revoked_at: None,
        };
        let stored = &Code {
            grant_id: grant.id,
            client_id: request.client.id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone().unwrap_or_default(),
            nonce: request.nonce.clone(),
            dpop_jkt: request.dpop_jkt.clone(),
            expires_at: now.plus(CODE_LIFETIME),
            consumed_at: None,
        };
        let hash = &token_hash(&code);
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = TokenOperation {
            operation: if consented { "consent" } else { "authorize" },
            client: request.client.id.clone(),
            grant_type: "authorization_code".into(),
            scope: scope.clone(),
            token_id: None,
            grant: Some(grant.id.to_string()),
        };
        let event = &self.token_event(origin, who, Outcome::Success, operation);
        self.identity
            .db
            .write(|tx| async move {
                // Whoever logged out in another window must not leave a code behind.
                let live = sessions::live_by_id(&tx, self.tenant(), &grant.session_id, now).await?;
                if live.is_none() {
                    let text = "the session has ended";
                    return Err(OAuthError::new(ErrorCode::LoginRequired, text).into());
                }
                if let Some(Pushed { uri_hash, .. }) = &request.pushed
                    && !pushed::consume(&tx, self.tenant(), uri_hash, now).await?
                {
                    let text = "the pushed request was used or has expired";
                    return Err(OAuthError::new(ErrorCode::InvalidRequestUri, text).into());
                }
                grants::insert(&tx, self.tenant(), grant).await?;
                registrations::used(&tx, self.tenant(), &request.client.id).await?;
                grants::insert_code(&tx, self.tenant(), hash, stored).await?;
                if consented {
                    let client = &request.client.id;
                    consents::consent(&tx, self.tenant(), account.id, client, consent, now).await?;
                }
                tx.emit(event.clone()).await?;
                Ok::<_, ProviderError>(())
            })
            .await?;
        let state = request.state.as_deref();
        Ok(self.redirect(&request.redirect_uri, &[("code", Some(&code)), ("state", state)]))
    }

    /// Where to send the browser to tell the client that it gets nothing.
    pub fn deny(&self, request: &AuthorizationRequest, error: ErrorCode) -> String {
        let text = match error {
            ErrorCode::LoginRequired => "nobody is logged in",
            ErrorCode::UnmetAuthenticationRequirements => {
                "the person cannot prove as much as was asked for"
            }
            ErrorCode::ConsentRequired => "the person must be asked first",
            ErrorCode::InteractionRequired => "the person must be verified first",
            ErrorCode::TemporarilyUnavailable => "nobody can be verified just now",
            _ => "the person did not allow it",
        };
        let error = OAuthError::new(error, text);
        self.error_redirect(&request.redirect_uri, request.state.as_deref(), &error)
    }

    fn error_redirect(&self, uri: &str, state: Option<&str>, error: &OAuthError) -> String {
        let code = error.error.as_str();
        let text = Some(error.error_description);
        self.redirect(uri, &[("error", Some(code)), ("error_description", text), ("state", state)])
    }

    /// Adds parameters and our issuer (RFC 9207) to a redirect URI that was checked.
    fn redirect(&self, uri: &str, params: &[(&str, Option<&str>)]) -> String {
        let Ok(mut url) = Url::parse(uri) else {
            return self.url("/");
        };
        for (name, value) in params {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url.query_pairs_mut().append_pair("iss", &self.settings.issuer);
        url.into()
    }
}

/// What is left when client and redirect URI are known to belong together.
fn read_rest(
    provider: &Provider,
    client: Arc<Client>,
    redirect_uri: String,
    params: &Params,
) -> Result<AuthorizationRequest, OAuthError> {
    let invalid = OAuthError::request;
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        if params.get(name).is_some() {
            return Err(OAuthError::new(code, "the parameter is not supported"));
        }
    }
    match params.get("response_type") {
        Some("code") => {}
        None => return Err(invalid("response_type is missing")),
        Some(_) => {
            let text = "only the response type code is supported";
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, text));
        }
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("only the response mode query is supported"));
    }
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        let text = "the client may not use authorization codes";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, text));
    }
    let scopes = client.scopes_of(params.get("scope").unwrap_or_default()).ok_or(
        OAuthError::new(ErrorCode::InvalidScope, "a scope is not registered for this client"),
    )?;
    let scopes: Vec<String> = scopes.into_iter().map(str::to_owned).collect();
    let max_age = read_max_age(params.get("max_age"))?.or(client.default_max_age());
    // A proof of who somebody is goes to nobody who only found a browser open.
    let recent = scopes.iter().any(|scope| scope == wallet::CONFIGURATION).then_some(RECENT_LOGIN);
    let max_age = [max_age, recent].into_iter().flatten().min();
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let sha256 = |text: &str| text.len() == SHA256_CHARS && text.bytes().all(base64url);
    let code_challenge = params.get("code_challenge").map(str::to_owned);
    match &code_challenge {
        None if may_leave_pkce_out(&client, params) => {}
        None => return Err(invalid("code_challenge is missing")),
        Some(_) if params.get("code_challenge_method") != Some("S256") => {
            return Err(invalid("code_challenge_method must be S256"));
        }
        Some(challenge) if !sha256(challenge) => {
            return Err(invalid("code_challenge must be a SHA-256 in base64url"));
        }
        Some(_) => {}
    }
    let resources = resources::asked(params)?;
    if !resources.iter().all(|resource| client.may_ask_for(resource)) {
        let text = "a resource is not registered for this client";
        return Err(OAuthError::new(ErrorCode::InvalidTarget, text));
    }
    let claims = params.get("claims").map(RequestedClaims::parse).transpose()?.unwrap_or_default();
    let hinted = params.get("id_token_hint").map(|token| {
        let hint = provider.read_hint(token).filter(|hint| hint.client == client.id);
        hint.ok_or(invalid("id_token_hint is not an ID token of this client"))
    });
    let hinted = hinted.transpose()?.map(|hint| hint.subject);
    if claims.subject.is_some() && hinted.is_some() && claims.subject != hinted {
        return Err(invalid("id_token_hint and claims name different people"));
    }
    let dpop_jkt = params.get("dpop_jkt").map(str::to_owned);
    if dpop_jkt.as_deref().is_some_and(|jkt| !sha256(jkt)) {
        return Err(invalid("dpop_jkt must be a SHA-256 in base64url"));
    }
    let opaque = |name: &str| match params.get(name) {
        Some(text) if text.len() > MAX_OPAQUE_CHARS => {
            Err(invalid("state, nonce and login_hint must be at most 1024 bytes"))
        }
        text => Ok(text.map(str::to_owned)),
    };
    Ok(AuthorizationRequest {
        state: opaque("state")?,
        nonce: opaque("nonce")?,
        prompt: read_prompt(params.get("prompt").unwrap_or_default())?,
        max_age,
        resources,
        wanted: Wanted::read(&provider.settings.proofs, params, &claims, &client),
        code_challenge,
        login_hint: opaque("login_hint")?,
        subject: hinted.or(claims.subject.clone()),
        claims: claims.within(&client.scopes),
        client,
        redirect_uri,
        scopes,
        dpop_jkt,
        params: params.clone(),
        pushed: None,
    })
}

/// A request that the browser brought itself: not for clients that must push theirs.
fn unpushed(request: AuthorizationRequest) -> Result<AuthorizationRequest, Refused> {
    if request.client.settings.must_push() {
        let error = OAuthError::request("this client must push its authorization requests");
        return Err(Refused::Trusted { uri: request.redirect_uri, state: request.state, error });
    }
    Ok(request)
}

/// The scope `admin` is for administrators, `aml` and `idv` for them and whoever has the role `compliance`,
/// whatever a client asks for.
pub(crate) fn allowed_scopes<'a>(asked: &'a [String], account: &Account) -> Vec<&'a str> {
    let admin = account.has_role("admin");
    let compliance = admin || account.has_role("compliance");
    let may = |scope: &&str| match *scope {
        "admin" => admin,
        "aml" | "idv" => compliance,
        _ => true,
    };
    asked.iter().map(String::as_str).filter(may).collect()
}

/// OAuth 2.1, section 7.5.1: a confidential client that checks the nonce of its ID tokens notices
/// an injected code as well as PKCE would.
fn may_leave_pkce_out(client: &Client, params: &Params) -> bool {
    let openid = params.get("scope").is_some_and(|scope| scope.split(' ').any(|s| s == "openid"));
    client.settings.nonce_instead_of_pkce && openid && params.get("nonce").is_some()
}
