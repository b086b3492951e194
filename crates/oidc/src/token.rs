use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use portcullis_events::{Actor, Event, Origin, Outcome, TokenOperation};
use portcullis_identity::Memberships;
use portcullis_pki::PeerCertificate;
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    grants::{self, Code, Grant},
    token_hash, wallet,
};
use portcullis_types::{Id, Timestamp, same_secret, tags};

use crate::{
    Client, ErrorCode, GrantType, OAuthError, Params, Provider, ProviderError,
    claims::{Person, RequestedClaims},
    issue::{Prepared, TokenResponse},
};

/// Codes and refresh tokens longer than this are not ours.
const MAX_OPAQUE_CHARS: usize = 128;
/// Grants in use of one person to one client: more devices than anybody has, and few enough that
/// ending them all is one short transaction.
const MAX_GRANTS: i64 = 100;

/// A request at the token endpoint.
#[derive(Clone, Copy)]
pub(crate) struct TokenCall<'a> {
    /// The client, authenticated.
    pub client: &'a Client,
    /// What it sent.
    pub params: &'a Params,
    /// The thumbprint of the key it proved to hold, if it did.
    pub key: Option<&'a str>,
    /// The certificate that its connection showed, if it did.
    pub certificate: Option<&'a PeerCertificate>,
    /// Where it came from.
    pub origin: &'a Origin,
}

impl TokenCall<'_> {
    /// RFC 9449, section 5: what is bound to a key is no bearer token.
    pub fn token_type(&self) -> &'static str {
        if self.key.is_some() { "DPoP" } else { "Bearer" }
    }
}

impl Provider {
    /// The token endpoint, for a client that was authenticated.
    pub(crate) async fn token(&self, call: TokenCall<'_>) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, .. } = call;
        let grant_type =
            params.get("grant_type").ok_or(OAuthError::request("grant_type is missing"))?;
        let grant_type: GrantType = grant_type.parse().map_err(|()| {
            OAuthError::new(ErrorCode::UnsupportedGrantType, "the grant type is not supported")
        })?;
        if !client.grant_types.contains(&grant_type) {
            let text = "the client may not use this grant type";
            return Err(OAuthError::new(ErrorCode::UnauthorizedClient, text).into());
        }
        if client.settings.dpop_bound_access_tokens && call.key.is_none() {
            let text = "this client must prove to hold a key (DPoP)";
            return Err(OAuthError::new(ErrorCode::InvalidDpopProof, text).into());
        }
        // A certificate binds only the tokens of clients that are registered for it.
        let by_certificate = client.settings.tls_client_certificate_bound_access_tokens;
        let bound = call.key.is_some() || (by_certificate && call.certificate.is_some());
        if client.settings.must_bind() && !bound {
            let text = "this client must show a certificate, or prove to hold a key";
            return Err(OAuthError::request(text).into());
        }
        match grant_type {
            GrantType::AuthorizationCode => self.redeem_code(call).await,
            GrantType::RefreshToken => self.redeem_refresh(call).await,
            GrantType::DeviceCode => self.redeem_device(call).await,
            GrantType::ClientCredentials => self.client_credentials(call).await,
            GrantType::TokenExchange => self.exchange(call).await,
            GrantType::PreAuthorizedCode => self.redeem_offer(call).await,
        }
    }

    async fn redeem_code(&self, call: TokenCall<'_>) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, origin, .. } = call;
        let now = self.now();
        let hash = &opaque_hash(params.get("code").ok_or(OAuthError::request("code is missing"))?);
        let code = grants::code(&self.identity.db, self.tenant(), hash)
            .await?
            .ok_or(OAuthError::grant("the code is not valid"))?;
        check_code(&code, call)?;
        if code.consumed_at.is_some() {
            return self.replayed(code.grant_id, client, "authorization_code", origin).await;
        }
        if code.expires_at <= now {
            return Err(OAuthError::grant("the code has expired").into());
        }
        let (grant, person) = self.live_grant(code.grant_id, client).await?;
        let scope = grant.scope.clone();
        let prepared = self.prepare(call, &grant, &person, &scope, code.nonce.as_deref())?;
        let kind = GrantType::AuthorizationCode;
        let event = self.issued(call, kind, "issue", &person.account, &prepared, &grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                Ok(grants::consume_code(&tx, self.tenant(), hash, now).await?)
            })
            .await?;
        if consumed {
            return Ok(prepared.response);
        }
        self.replayed(code.grant_id, client, "authorization_code", origin).await
    }

    async fn redeem_refresh(&self, call: TokenCall<'_>) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, origin, .. } = call;
        let now = self.now();
        let token = params.get("refresh_token");
        let hash = &opaque_hash(token.ok_or(OAuthError::request("refresh_token is missing"))?);
        let invalid = || OAuthError::grant("the refresh token is not valid");
        let refresh =
            grants::refresh(&self.identity.db, self.tenant(), hash).await?.ok_or_else(invalid)?;
        let id = refresh.grant_id.to_string();
        let grant = grants::by_id(&self.identity.db, self.tenant(), &id).await?;
        let grant = grant.filter(|grant| grant.client_id == client.id).ok_or_else(invalid)?;
        if refresh.dpop_jkt.as_deref().is_some_and(|key| call.key != Some(key)) {
            return Err(OAuthError::grant("the refresh token is bound to another key").into());
        }
        if refresh.consumed_at.is_some() {
            return self.replayed(refresh.grant_id, client, "refresh_token", origin).await;
        }
        let (grant, person) = self.live(grant, client).await?;
        let scope = narrowed(&grant.scope, params.get("scope"))?;
        let prepared = self.prepare(call, &grant, &person, &scope, None)?;
        let kind = GrantType::RefreshToken;
        let event = self.issued(call, kind, "refresh", &person.account, &prepared, &grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                if client.settings.keeps_refresh_tokens() {
                    let live = grants::refresh(&tx, self.tenant(), hash).await?;
                    return Ok(live.is_some_and(|live| live.expires_at > now));
                }
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
        call: TokenCall<'_>,
    ) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, origin, .. } = call;
        let beyond =
            OAuthError::new(ErrorCode::InvalidScope, "a scope is not registered for this client");
        let scopes = client.scopes_of(params.get("scope").unwrap_or_default()).ok_or(beyond)?;
        if scopes.iter().any(|scope| ["openid", "offline_access"].contains(scope)) {
            let text = "a client acting for itself has no identity to ask for";
            return Err(OAuthError::new(ErrorCode::InvalidScope, text).into());
        }
        let scope = scopes.join(" ");
        let claims = self.access_claims(call, &client.id, &scope, None)?;
        let claims = self.with_own_place(client, claims).await?;
        let token_id = claims.jti.clone();
        let access_token = self.access_token(client, &claims)?;
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
            token_type: call.token_type(),
            issued_token_type: None,
            expires_in: self.settings.access_token_lifetime.as_secs(),
            scope,
            refresh_token: None,
            id_token: None,
        })
    }

    /// The grant and its account, if both are still good.
    pub(crate) async fn live_grant(
        &self,
        id: Id<tags::Grant>,
        client: &Client,
    ) -> Result<(Grant, Person), ProviderError> {
        let grant = grants::by_id(&self.identity.db, self.tenant(), &id.to_string()).await?;
        self.live(grant.ok_or_else(over)?, client).await
    }

    /// The same for a grant that was read already.
    async fn live(&self, grant: Grant, client: &Client) -> Result<(Grant, Person), ProviderError> {
        let live = grant.revoked_at.is_none()
            && grant.expires_at > self.now()
            && grant.client_id == client.id;
        if !live {
            return Err(over().into());
        }
        let account = accounts::by_id(&self.identity.db, self.tenant(), grant.account_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none()).ok_or_else(over)?;
        let named = RequestedClaims::from_row(grant.claims.as_deref());
        let person = self.person(account, &named, &grant.scope).await?;
        let acr = self.acr_of(&grant).await?;
        Ok((grant, Person { acr, ..person }))
    }

    /// Somebody with the groups and roles that `named` or `scope` ask for.
    pub(crate) async fn person(
        &self,
        account: Account,
        named: &RequestedClaims,
        scope: &str,
    ) -> Result<Person, ProviderError> {
        let memberships = match named.wants_memberships(scope) {
            true => self.identity.memberships(&self.identity.db, &account).await?,
            false => Memberships::default(),
        };
        let known = !self.settings.trust_frameworks.is_empty() && named.wants_verified();
        let mut verified =
            if known { self.identity.verified(account.id).await? } else { Vec::new() };
        // What was verified by rules that are not ours any more is not told.
        verified.retain(|one| {
            let framework = one["verification"]["trust_framework"].as_str().unwrap_or_default();
            self.settings.trust_frameworks.iter().any(|own| own == framework)
        });
        Ok(Person { account, memberships, verified, acr: None })
    }

    /// Consumes what was redeemed and stores what was issued, together or not at all.
    pub(crate) async fn store<F>(
        &self,
        prepared: &Prepared,
        event: Event,
        consume: impl Fn(Tx) -> F,
    ) -> Result<bool, ProviderError>
    where
        F: Future<Output = Result<bool, ProviderError>>,
    {
        let (consume, event, now) = (&consume, &event, self.now());
        let stored = self
            .identity
            .db
            .write(|tx| async move {
                if !consume(tx.clone()).await? {
                    return Ok(None);
                }
                // The family may have been revoked since it was looked at.
                let grant = grants::by_id(&tx, self.tenant(), &prepared.grant).await?;
                let Some(grant) = grant.filter(|grant| grant.revoked_at.is_none()) else {
                    return Err(OAuthError::grant("the grant was revoked").into());
                };
                // Its tokens became void since, and these say what the person was before that.
                if grant.status_epoch != prepared.grant_epoch {
                    let text = "the grant changed meanwhile; try again";
                    return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, text).into());
                }
                let revoked = self.redeem(&tx, &grant, now).await?;
                if prepared.status_epoch > grant.status_epoch {
                    let (id, epoch) = (&prepared.grant, prepared.status_epoch);
                    grants::set_status_epoch(&tx, self.tenant(), id, epoch).await?;
                }
                if let Some((hash, row)) = &prepared.refresh {
                    grants::insert_refresh(&tx, self.tenant(), hash, row).await?;
                }
                tx.emit(event.clone()).await?;
                Ok::<_, ProviderError>(Some(revoked))
            })
            .await?;
        if let Some(revoked) = &stored {
            self.identity.apply(revoked, now);
        }
        Ok(stored.is_some())
    }

    /// The first tokens from a grant begin its life, and end that of the oldest grant of the
    /// same person to the same client if there are more than anybody uses.
    async fn redeem(
        &self,
        tx: &Tx,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Vec<grants::Revocation>, ProviderError> {
        let (tenant, id) = (self.tenant(), grant.id.to_string());
        if grant.redeemed_at.is_some() {
            return Ok(Vec::new());
        }
        if !grants::redeem(tx, tenant, &id, now, self.end_of(grant, now)).await? {
            return Ok(Vec::new());
        }
        let beyond =
            grants::beyond(tx, tenant, grant.account_id, &grant.client_id, MAX_GRANTS).await?;
        Ok(self.identity.revoke_grants(tx, beyond, "replaced", now).await?)
    }

    /// When a grant ends that is redeemed now, if it was not redeemed before.
    pub(crate) fn end_of(&self, grant: &Grant, now: Timestamp) -> Timestamp {
        match grant.redeemed_at {
            Some(_) => grant.expires_at,
            None => now.plus(self.settings.grant_lifetime),
        }
    }

    /// Somebody used a code or refresh token for the second time: one of the two is a thief, so
    /// everything that came from the grant ends (RFC 9700, section 4.14.2).
    pub(crate) async fn replayed<T>(
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
                let id = grant.to_string();
                wallet::revoke_all(&tx, self.tenant(), wallet::Of::Grant(&id), now).await?;
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

    pub(crate) fn issued(
        &self,
        call: TokenCall<'_>,
        grant_type: GrantType,
        operation: &'static str,
        account: &Account,
        prepared: &Prepared,
        grant: &Grant,
    ) -> Event {
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = TokenOperation {
            operation,
            client: call.client.id.clone(),
            grant_type: grant_type.as_str().into(),
            scope: prepared.response.scope.clone(),
            token_id: Some(prepared.token_id.clone()),
            grant: Some(grant.id.to_string()),
        };
        self.token_event(call.origin, who, Outcome::Success, operation)
    }
}

fn over() -> OAuthError {
    OAuthError::grant("the grant was revoked or has expired")
}

/// Rule R3: the code is bound to client, redirect URI, challenge and key, and all are compared.
fn check_code(code: &Code, call: TokenCall<'_>) -> Result<(), OAuthError> {
    let TokenCall { client, params, key, .. } = call;
    if code.client_id != client.id {
        return Err(OAuthError::grant("the code is not valid"));
    }
    if params.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(OAuthError::grant("redirect_uri is not the one of the authorization request"));
    }
    if code.dpop_jkt.as_deref().is_some_and(|bound| key != Some(bound)) {
        return Err(OAuthError::grant("the code is bound to another key"));
    }
    // A verifier for a request without challenge is somebody's attempt to mix two (RFC 9700,
    // section 4.8.2).
    if code.code_challenge.is_empty() {
        return match params.get("code_verifier") {
            None => Ok(()),
            Some(_) => Err(OAuthError::grant("the authorization request had no challenge")),
        };
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
    let mut asked: Vec<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
    asked.sort_unstable();
    asked.dedup();
    if asked.is_empty() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "the scope is empty"));
    }
    if asked.iter().all(|scope| granted.contains(scope)) {
        Ok(asked.join(" "))
    } else {
        Err(OAuthError::new(ErrorCode::InvalidScope, "the scope was not granted"))
    }
}

pub(crate) fn opaque_hash(token: &str) -> Vec<u8> {
    if token.len() > MAX_OPAQUE_CHARS { Vec::new() } else { token_hash(token) }
}

/// Whether the moment of a token's end has come; for callers that hold only the claims.
pub(crate) fn is_over(exp: i64, now: Timestamp) -> bool {
    now.secs() >= exp
}
