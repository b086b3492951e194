use aws_lc_rs::digest::{SHA256, SHA512, digest};
use data_encoding::BASE64URL_NOPAD;
use portcullis_events::{Actor, Event, Origin, Outcome, TokenOperation};
use portcullis_jose::{
    Alg, Audience,
    access_token::{self, AccessClaims},
    sign,
};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    grants::{self, Code, Grant, Refresh},
    token_hash,
};
use portcullis_types::{Id, Secret, Timestamp, random_token, same_secret, tags};
use serde::Serialize;
use serde_json::json;

use crate::{Client, ErrorCode, GrantType, OAuthError, Params, Provider, ProviderError};

/// Codes and refresh tokens longer than this are not ours.
const MAX_OPAQUE_CHARS: usize = 128;

/// The answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Debug, Serialize)]
pub(crate) struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// Tokens that are signed but count only when their artefacts are stored.
struct Prepared {
    response: TokenResponse,
    token_id: String,
    grant: String,
    refresh: Option<(Vec<u8>, Refresh)>,
}

impl Provider {
    /// The token endpoint, for a client that was authenticated.
    pub(crate) async fn token(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenResponse, ProviderError> {
        let grant_type =
            params.get("grant_type").ok_or(OAuthError::request("grant_type is missing"))?;
        let grant_type: GrantType = grant_type.parse().map_err(|()| {
            OAuthError::new(ErrorCode::UnsupportedGrantType, "the grant type is not supported")
        })?;
        if !client.grant_types.contains(&grant_type) {
            let text = "the client may not use this grant type";
            return Err(OAuthError::new(ErrorCode::UnauthorizedClient, text).into());
        }
        match grant_type {
            GrantType::AuthorizationCode => self.redeem_code(client, params, origin).await,
            GrantType::RefreshToken => self.redeem_refresh(client, params, origin).await,
            GrantType::ClientCredentials => self.client_credentials(client, params, origin).await,
        }
    }

    async fn redeem_code(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenResponse, ProviderError> {
        let now = self.now();
        let hash = &opaque_hash(params.get("code").ok_or(OAuthError::request("code is missing"))?);
        let code = grants::code(&self.identity.db, self.tenant(), hash)
            .await?
            .ok_or(OAuthError::grant("the code is not valid"))?;
        check_code(&code, client, params)?;
        if code.consumed_at.is_some() {
            return self.replayed(code.grant_id, client, "authorization_code", origin).await;
        }
        let (grant, account) = self.live_grant(code.grant_id, client).await?;
        let scope = grant.scope.clone();
        let prepared =
            self.prepare(client, &grant, &account, &scope, params, code.nonce.as_deref())?;
        let event = self.issued(origin, "issue", client, &account, &prepared, &grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                Ok(grants::consume_code(&tx, self.tenant(), hash, now).await?)
            })
            .await?;
        if consumed {
            return Ok(prepared.response);
        }
        if code.expires_at <= now {
            return Err(OAuthError::grant("the code has expired").into());
        }
        self.replayed(code.grant_id, client, "authorization_code", origin).await
    }

    async fn redeem_refresh(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenResponse, ProviderError> {
        let now = self.now();
        let token = params.get("refresh_token");
        let hash = &opaque_hash(token.ok_or(OAuthError::request("refresh_token is missing"))?);
        let invalid = || OAuthError::grant("the refresh token is not valid");
        let refresh =
            grants::refresh(&self.identity.db, self.tenant(), hash).await?.ok_or_else(invalid)?;
        let id = refresh.grant_id.to_string();
        let owner = grants::by_id(&self.identity.db, self.tenant(), &id).await?;
        if owner.is_none_or(|grant| grant.client_id != client.id) {
            return Err(invalid().into());
        }
        if refresh.consumed_at.is_some() {
            return self.replayed(refresh.grant_id, client, "refresh_token", origin).await;
        }
        let (grant, account) = self.live_grant(refresh.grant_id, client).await?;
        let scope = narrowed(&grant.scope, params.get("scope"))?;
        let prepared = self.prepare(client, &grant, &account, &scope, params, None)?;
        let event = self.issued(origin, "refresh", client, &account, &prepared, &grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                Ok(grants::consume_refresh(&tx, self.tenant(), hash, now).await?)
            })
            .await?;
        if consumed {
            return Ok(prepared.response);
        }
        if refresh.expires_at <= now {
            return Err(invalid().into());
        }
        self.replayed(refresh.grant_id, client, "refresh_token", origin).await
    }

    async fn client_credentials(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenResponse, ProviderError> {
        let beyond =
            OAuthError::new(ErrorCode::InvalidScope, "a scope is not registered for this client");
        let scopes = client.scopes_of(params.get("scope").unwrap_or_default()).ok_or(beyond)?;
        if scopes.iter().any(|scope| ["openid", "offline_access"].contains(scope)) {
            let text = "a client acting for itself has no identity to ask for";
            return Err(OAuthError::new(ErrorCode::InvalidScope, text).into());
        }
        let scope = scopes.join(" ");
        let claims = self.access_claims(client, &client.id, &scope, params)?;
        let token_id = claims.jti.clone();
        let access_token = self.sign_access_token(client, &claims)?;
        let operation = TokenOperation {
            operation: "issue",
            client: client.id.clone(),
            grant_type: GrantType::ClientCredentials.as_str().into(),
            scope: scope.clone(),
            token_id: Some(token_id),
            grant: None,
        };
        let actor = Actor::Client { id: client.id.clone() };
        let event = self.token_event(origin, actor, Outcome::Success, operation);
        let recorded = self.identity.audit.append(vec![event]).await;
        recorded.map_err(|error| ProviderError::Identity(error.into()))?;
        Ok(TokenResponse {
            access_token,
            token_type: "Bearer",
            expires_in: self.settings.access_token_lifetime.as_secs(),
            scope,
            refresh_token: None,
            id_token: None,
        })
    }

    /// The grant and its account, if both are still good.
    async fn live_grant(
        &self,
        id: Id<tags::Grant>,
        client: &Client,
    ) -> Result<(Grant, Account), ProviderError> {
        let over = || OAuthError::grant("the grant was revoked or has expired");
        let (db, tenant) = (&self.identity.db, self.tenant());
        let grant = grants::by_id(db, tenant, &id.to_string()).await?.ok_or_else(over)?;
        let live = grant.revoked_at.is_none()
            && grant.expires_at > self.now()
            && grant.client_id == client.id;
        if !live {
            return Err(over().into());
        }
        let account = accounts::by_id(db, tenant, grant.account_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none()).ok_or_else(over)?;
        Ok((grant, account))
    }

    /// Signs everything before the transaction begins: a signature must not hold up other writers.
    fn prepare(
        &self,
        client: &Client,
        grant: &Grant,
        account: &Account,
        scope: &str,
        params: &Params,
        nonce: Option<&str>,
    ) -> Result<Prepared, ProviderError> {
        let now = self.now();
        let claims = AccessClaims {
            auth_time: Some(grant.auth_time.secs()),
            sid: Some(grant.session_id.clone()),
            grant_id: Some(grant.id.to_string()),
            preferred_username: Some(account.username.clone()),
            ..self.access_claims(client, &account.id.to_string(), scope, params)?
        };
        let access_token = self.sign_access_token(client, &claims)?;
        let openid = scope.split(' ').any(|scope| scope == "openid");
        let id_token = openid
            .then(|| self.id_token(client, grant, account, &access_token, nonce))
            .transpose()?;
        let refresh = client.grant_types.contains(&GrantType::RefreshToken).then(|| {
            let token = Secret::new(random_token(&*self.identity.entropy));
            let row = Refresh {
                grant_id: grant.id,
                created_at: now,
                expires_at: now.plus(self.settings.refresh_token_lifetime).min(grant.expires_at),
                consumed_at: None,
            };
            (token, row)
        });
        let response = TokenResponse {
            access_token,
            token_type: "Bearer",
            expires_in: self.settings.access_token_lifetime.as_secs(),
            scope: scope.to_owned(),
            refresh_token: refresh.as_ref().map(|(token, _)| token.expose().clone()),
            id_token,
        };
        let refresh = refresh.map(|(token, row)| (token_hash(token.expose()), row));
        Ok(Prepared { response, token_id: claims.jti, grant: grant.id.to_string(), refresh })
    }

    /// Consumes what was redeemed and stores what was issued, together or not at all.
    async fn store<F>(
        &self,
        prepared: &Prepared,
        event: Event,
        consume: impl Fn(Tx) -> F,
    ) -> Result<bool, ProviderError>
    where
        F: Future<Output = Result<bool, ProviderError>>,
    {
        let (consume, event) = (&consume, &event);
        self.identity
            .db
            .write(|tx| async move {
                if !consume(tx.clone()).await? {
                    return Ok(false);
                }
                // The family may have been revoked since it was looked at.
                let grant = grants::by_id(&tx, self.tenant(), &prepared.grant).await?;
                if grant.is_none_or(|grant| grant.revoked_at.is_some()) {
                    return Err(OAuthError::grant("the grant was revoked").into());
                }
                if let Some((hash, row)) = &prepared.refresh {
                    grants::insert_refresh(&tx, self.tenant(), hash, row).await?;
                }
                tx.emit(event.clone()).await?;
                Ok::<_, ProviderError>(true)
            })
            .await
    }

    /// Somebody used a code or refresh token for the second time: one of the two is a thief, so
    /// everything that came from the grant ends (RFC 9700, section 4.14.2).
    async fn replayed<T>(
        &self,
        grant: Id<tags::Grant>,
        client: &Client,
        grant_type: &'static str,
        origin: &Origin,
    ) -> Result<T, ProviderError> {
        let now = self.now();
        let revoked = self
            .identity
            .db
            .write(|tx| async move {
                let row = grants::by_id(&tx, self.tenant(), &grant.to_string()).await?;
                let Some(row) = row else {
                    return Ok(Vec::new());
                };
                let actor = Actor::User {
                    id: row.account_id.to_string(),
                    username: row.account_id.to_string(),
                };
                let revoked = self.identity.revoke_grants(&tx, vec![row], "reuse", now).await?;
                let operation = TokenOperation {
                    operation: "reuse",
                    client: client.id.clone(),
                    grant_type: grant_type.into(),
                    scope: String::new(),
                    token_id: None,
                    grant: Some(grant.to_string()),
                };
                let outcome = Outcome::Failure("reused");
                tx.emit(self.token_event(origin, actor, outcome, operation)).await?;
                Ok::<_, ProviderError>(revoked)
            })
            .await?;
        self.identity.apply(&revoked, now);
        Err(OAuthError::grant("it was used before; everything issued from it is revoked").into())
    }

    fn access_claims(
        &self,
        client: &Client,
        subject: &str,
        scope: &str,
        params: &Params,
    ) -> Result<AccessClaims, ProviderError> {
        let now = self.now();
        Ok(AccessClaims {
            iss: self.settings.issuer.clone(),
            sub: subject.to_owned(),
            aud: self.audience(client, params.get("resource"))?,
            exp: now.plus(self.settings.access_token_lifetime).secs(),
            iat: now.secs(),
            jti: Id::<tags::Token>::new(now, &*self.identity.entropy).to_string(),
            client_id: client.id.clone(),
            scope: scope.to_owned(),
            auth_time: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
        })
    }

    /// The resource that was asked for (RFC 8707), or all that the client is registered for.
    fn audience(&self, client: &Client, resource: Option<&str>) -> Result<Audience, ProviderError> {
        match (resource, client.audiences.as_slice()) {
            (Some(resource), known) if known.iter().any(|one| one == resource) => {
                Ok(Audience::One(resource.to_owned()))
            }
            (Some(_), _) => {
                let text = "the resource is not registered for this client";
                Err(OAuthError::new(ErrorCode::InvalidTarget, text).into())
            }
            (None, []) => Ok(Audience::One(self.settings.issuer.clone())),
            (None, [one]) => Ok(Audience::One(one.clone())),
            (None, many) => Ok(Audience::Many(many.to_vec())),
        }
    }

    fn sign_access_token(
        &self,
        client: &Client,
        claims: &AccessClaims,
    ) -> Result<String, ProviderError> {
        self.sign(client.token_alg, access_token::TYP, claims)
    }

    fn sign(&self, alg: Alg, typ: &str, claims: &impl Serialize) -> Result<String, ProviderError> {
        let keys = self.keys.current();
        let missing = OAuthError::new(ErrorCode::ServerError, "no key for the algorithm");
        Ok(sign(keys.signing(alg).ok_or(missing)?, typ, claims)?)
    }

    /// OpenID Connect Core, section 2.
    fn id_token(
        &self,
        client: &Client,
        grant: &Grant,
        account: &Account,
        access_token: &str,
        nonce: Option<&str>,
    ) -> Result<String, ProviderError> {
        let now = self.now();
        let mut claims = json!({
            "iss": self.settings.issuer,
            "sub": account.id,
            "aud": client.id,
            "exp": now.plus(self.settings.access_token_lifetime).secs(),
            "iat": now.secs(),
            "auth_time": grant.auth_time.secs(),
            "sid": grant.session_id,
            "at_hash": at_hash(client.token_alg, access_token),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        self.sign(client.token_alg, "JWT", &claims)
    }

    fn issued(
        &self,
        origin: &Origin,
        operation: &'static str,
        client: &Client,
        account: &Account,
        prepared: &Prepared,
        grant: &Grant,
    ) -> Event {
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = TokenOperation {
            operation,
            client: client.id.clone(),
            grant_type: "authorization_code".into(),
            scope: prepared.response.scope.clone(),
            token_id: Some(prepared.token_id.clone()),
            grant: Some(grant.id.to_string()),
        };
        self.token_event(origin, who, Outcome::Success, operation)
    }
}

/// Rule R3: the code is bound to client, redirect URI and challenge, and all three are compared.
fn check_code(code: &Code, client: &Client, params: &Params) -> Result<(), OAuthError> {
    if code.client_id != client.id {
        return Err(OAuthError::grant("the code is not valid"));
    }
    if params.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(OAuthError::grant("redirect_uri is not the one of the authorization request"));
    }
    let verifier = params.get("code_verifier").unwrap_or_default();
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref());
    let fits = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        && same_secret(challenge.as_bytes(), code.code_challenge.as_bytes());
    if fits { Ok(()) } else { Err(OAuthError::grant("code_verifier does not fit the challenge")) }
}

/// A refresh may ask for less than was granted, never for more (RFC 6749, section 6).
fn narrowed(granted: &str, asked: Option<&str>) -> Result<String, OAuthError> {
    let Some(asked) = asked else {
        return Ok(granted.to_owned());
    };
    let granted: Vec<&str> = granted.split(' ').collect();
    let asked: Vec<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
    if asked.iter().all(|scope| granted.contains(scope)) {
        Ok(asked.join(" "))
    } else {
        Err(OAuthError::new(ErrorCode::InvalidScope, "the scope was not granted"))
    }
}

fn opaque_hash(token: &str) -> Vec<u8> {
    if token.len() > MAX_OPAQUE_CHARS { Vec::new() } else { token_hash(token) }
}

/// The left half of the hash that belongs to the algorithm (OpenID Connect Core, section 3.1.3.6);
/// for Ed25519 that is SHA-512.
fn at_hash(alg: Alg, access_token: &str) -> String {
    let algorithm = if alg == Alg::EdDsa { &SHA512 } else { &SHA256 };
    let hash = digest(algorithm, access_token.as_bytes());
    BASE64URL_NOPAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

/// Whether the moment of a token's end has come; for callers that hold only the claims.
pub(crate) fn is_over(exp: i64, now: Timestamp) -> bool {
    now.secs() >= exp
}
