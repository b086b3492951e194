use std::{sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_store::{
    accounts::Account,
    device::{self, DeviceRequest},
    grants::{self, Grant},
    sessions::{self, Session},
    token_hash,
};
use portcullis_types::{Entropy, Id, random_token, tags};
use serde::Serialize;

use crate::{
    Client, ErrorCode, GrantType, OAuthError, Params, Provider, ProviderError,
    authorize::allowed_scopes,
    issue::TokenResponse,
    token::{TokenCall, opaque_hash},
    wallet,
};

/// The codes work for this long.
const DEVICE_LIFETIME: Duration = Duration::from_secs(600);
/// Seconds between two questions of a device, at first and added when it asks too often.
const INTERVAL_SECS: i64 = 5;
/// Letters of a user code: no vowels, so that no words come about, and none that look alike
/// (RFC 8628, section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters in a user code: some 34 bits, guessed at ten tries a minute for ten minutes.
const USER_CODE_CHARS: usize = 8;
/// A user code that is taken is drawn again this often.
const DRAWS: usize = 4;

/// The answer of the device authorization endpoint (RFC 8628, section 3.2).
#[derive(Debug, Serialize)]
pub(crate) struct DeviceResponse {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: i64,
}

/// What a person decides about.
#[derive(Debug, Clone)]
pub struct DeviceQuestion {
    /// The code as the device shows it.
    pub user_code: String,
    /// The client on the device.
    pub client: Arc<Client>,
    /// What it asks for, as far as the person may give it.
    pub scopes: Vec<String>,
    request: DeviceRequest,
}

impl Provider {
    /// Begins a device authorization for a client that was authenticated.
    pub(crate) async fn device_authorization(
        &self,
        client: &Client,
        params: &Params,
    ) -> Result<DeviceResponse, ProviderError> {
        if !client.grant_types.contains(&GrantType::DeviceCode) {
            let text = "the client may not use the device grant";
            return Err(OAuthError::new(ErrorCode::UnauthorizedClient, text).into());
        }
        let beyond =
            OAuthError::new(ErrorCode::InvalidScope, "a scope is not registered for this client");
        let scopes = client.scopes_of(params.get("scope").unwrap_or_default()).ok_or(beyond)?;
        if scopes.contains(&wallet::CONFIGURATION) {
            let text = "a wallet asks for this with an offer or an authorization code";
            return Err(OAuthError::new(ErrorCode::InvalidScope, text).into());
        }
        let (now, entropy) = (self.now(), &*self.identity.entropy);
        let device_code = random_token(entropy);
        let mut request = DeviceRequest {
            device_hash: token_hash(&device_code),
            user_hash: Vec::new(),
            client_id: client.id.clone(),
            scope: scopes.join(" "),
            created_at: now,
            expires_at: now.plus(DEVICE_LIFETIME),
            interval_secs: INTERVAL_SECS,
            decided_at: None,
            grant_id: None,
            consumed_at: None,
        };
        for _ in 0..DRAWS {
            let user_code = draw_user_code(entropy);
            request.user_hash = token_hash(&user_code);
            let row = &request;
            let inserted = self.identity.db.write(|tx| async move {
                Ok::<_, ProviderError>(device::insert(&tx, self.tenant(), row).await?)
            });
            match inserted.await {
                Err(ProviderError::Db(error)) if error.constraint().is_some() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let user_code = shown(&user_code);
                    let uri = self.url("/device");
                    return Ok(DeviceResponse {
                        device_code,
                        verification_uri_complete: format!("{uri}?user_code={user_code}"),
                        verification_uri: uri,
                        user_code,
                        expires_in: DEVICE_LIFETIME.as_secs(),
                        interval: INTERVAL_SECS,
                    });
                }
            }
        }
        let text = "no code is free at the moment";
        Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, text).into())
    }

    /// What the user code `typed` stands for, if it is one that waits for a decision.
    pub async fn device_question(
        &self,
        typed: &str,
        account: &Account,
    ) -> Result<Option<DeviceQuestion>, ProviderError> {
        let Some(code) = canonical(typed) else { return Ok(None) };
        let (db, hash) = (&self.identity.db, token_hash(&code));
        let request = device::open_by_user_code(db, self.tenant(), &hash, self.now()).await?;
        let Some(request) = request else { return Ok(None) };
        let Some(client) = self.client(&request.client_id).await? else { return Ok(None) };
        let asked: Vec<String> = request.scope.split(' ').map(str::to_owned).collect();
        let scopes = allowed_scopes(&asked, account).into_iter().map(str::to_owned).collect();
        Ok(Some(DeviceQuestion { user_code: shown(&code), client, scopes, request }))
    }

    /// Allows or denies what a device asks for; `false` if somebody was faster or it is too late.
    ///
    /// The grant belongs to no browser session: the device stays logged in when the person logs out
    /// of the browser, and is logged out with the account.
    pub async fn decide_device(
        &self,
        question: &DeviceQuestion,
        account: &Account,
        session: &Session,
        allow: bool,
        origin: &Origin,
    ) -> Result<bool, ProviderError> {
        let (now, entropy) = (self.now(), &*self.identity.entropy);
        let grant = &Grant {
            id: Id::new(now, entropy),
            client_id: question.client.id.clone(),
            account_id: account.id,
            session_id: Id::<tags::Session>::new(now, entropy).to_string(),
            scope: question.scopes.join(" "),
            claims: None,
            resources: None,
            methods: session.methods.clone(),
            acr: String::new(),
            auth_time: session.authenticated_at,
            created_at: now,
            // Until the device has asked it lives no longer than the code.
            expires_at: question.request.expires_at,
            redeemed_at: None,
            status_epoch: 0,
            revoked_at: None,
        };
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = TokenOperation {
            operation: if allow { "consent" } else { "deny" },
            client: question.client.id.clone(),
            grant_type: GrantType::DeviceCode.as_str().into(),
            scope: grant.scope.clone(),
            token_id: None,
            grant: allow.then(|| grant.id.to_string()),
        };
        let outcome = if allow { Outcome::Success } else { Outcome::Failure("access_denied") };
        let event = &self.token_event(origin, who, outcome, operation);
        let (hash, by) = (&question.request.user_hash, &session.id.to_string());
        self.identity
            .db
            .write(|tx| async move {
                let live = sessions::live_by_id(&tx, self.tenant(), by, now).await?;
                if live.is_none() {
                    return Ok(false);
                }
                if allow {
                    grants::insert(&tx, self.tenant(), grant).await?;
                }
                let granted = allow.then_some(grant.id);
                if !device::decide(&tx, self.tenant(), hash, granted, now).await? {
                    let text = "the request was decided before or has expired";
                    return Err(OAuthError::new(ErrorCode::ExpiredToken, text).into());
                }
                tx.emit(event.clone()).await?;
                Ok::<_, ProviderError>(true)
            })
            .await
            .or_else(|error| match error {
                ProviderError::OAuth(_) => Ok(false),
                error => Err(error),
            })
    }

    /// A device asks whether it may have its tokens (RFC 8628, sections 3.4 and 3.5).
    pub(crate) async fn redeem_device(
        &self,
        call: TokenCall<'_>,
    ) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, origin, .. } = call;
        let now = self.now();
        let code =
            params.get("device_code").ok_or(OAuthError::request("device_code is missing"))?;
        let hash = &opaque_hash(code);
        let row = device::by_device(&self.identity.db, self.tenant(), hash).await?;
        let row = &row
            .filter(|row| row.client_id == client.id)
            .ok_or(OAuthError::grant("the device code is not valid"))?;
        let granted = row.grant_id.as_deref().and_then(|id| id.parse::<Id<tags::Grant>>().ok());
        if let (Some(grant), Some(_)) = (granted, row.consumed_at) {
            return self.replayed(grant, client, GrantType::DeviceCode.as_str(), origin).await;
        }
        if row.expires_at <= now {
            let text = "the device code has expired";
            return Err(OAuthError::new(ErrorCode::ExpiredToken, text).into());
        }
        let grant = match (row.decided_at, granted) {
            (None, _) => return Err(self.ask_later(row).await?.into()),
            (Some(_), None) => {
                let text = "the person did not allow it";
                return Err(OAuthError::new(ErrorCode::AccessDenied, text).into());
            }
            (Some(_), Some(grant)) => grant,
        };
        let (grant, person) = self.live_grant(grant, client).await?;
        let scope = grant.scope.clone();
        let prepared = self.prepare(call, &grant, &person, &scope, None)?;
        let event =
            self.issued(call, GrantType::DeviceCode, "issue", &person.account, &prepared, &grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                Ok(device::consume(&tx, self.tenant(), hash, now).await?)
            })
            .await?;
        if consumed {
            return Ok(prepared.response);
        }
        self.replayed(grant.id, client, GrantType::DeviceCode.as_str(), origin).await
    }

    async fn ask_later(&self, row: &DeviceRequest) -> Result<OAuthError, ProviderError> {
        let now = self.now();
        let in_time = self
            .identity
            .db
            .write(|tx| async move {
                let polled = device::poll(&tx, self.tenant(), row, INTERVAL_SECS, now).await?;
                Ok::<_, ProviderError>(polled)
            })
            .await?;
        Ok(if in_time {
            OAuthError::new(ErrorCode::AuthorizationPending, "nobody has decided yet")
        } else {
            OAuthError::new(ErrorCode::SlowDown, "wait five seconds longer between two questions")
        })
    }
}

/// A fresh user code in its canonical form.
fn draw_user_code(entropy: &dyn Entropy) -> String {
    let mut code = String::with_capacity(USER_CODE_CHARS);
    while code.len() < USER_CODE_CHARS {
        let mut byte = [0];
        entropy.fill(&mut byte);
        // 240 is the largest multiple of 20 in a byte; beyond it, letters would differ in odds.
        if byte[0] < 240 {
            code.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    code
}

/// `BCDFGHJK` as people see it: `BCDF-GHJK`.
fn shown(code: &str) -> String {
    let (left, right) = code.split_at(USER_CODE_CHARS / 2);
    format!("{left}-{right}")
}

/// The canonical form of what somebody typed: case, spaces and dashes do not matter.
fn canonical(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let letters = typed.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '_'));
    let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let known = code.bytes().all(|b| ALPHABET.contains(&b));
    (known && code.len() == USER_CODE_CHARS).then_some(code)
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::SeededEntropy;

    use super::*;

    #[test]
    fn user_codes_are_read_as_people_type_them() {
        let code = draw_user_code(&*SeededEntropy::new(1));
        for typed in [shown(&code), shown(&code).to_lowercase(), format!(" {code} ")] {
            assert_eq!(canonical(&typed).as_deref(), Some(code.as_str()));
        }
        for wrong in ["", "BCDF", "BCDF-GHJA", "BCDFGHJKL", "ＢCDF-GHJK", &"B".repeat(65)] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
        let other = draw_user_code(&*SeededEntropy::new(2));
        assert_ne!(code, other);
    }
}
