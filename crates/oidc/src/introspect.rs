use portcullis_cluster::Revoked;
use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_jose::access_token::AccessClaims;
use portcullis_store::{grants, token_hash};
use serde_json::{Value, json};

use crate::{AuthMethod, Client, ErrorCode, OAuthError, Params, Provider, ProviderError, token};

/// Clients with this scope may ask about every token; others only about their own.
const INTROSPECTION_SCOPE: &str = "introspection";

/// A token of ours that is good at this moment.
enum Active {
    Access(Box<AccessClaims>),
    Refresh(Box<grants::Grant>, grants::Refresh),
}

impl Provider {
    /// RFC 7662. What may not be known and what is not active look the same to whoever asks; the
    /// record tells them apart.
    pub(crate) async fn introspect(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<Value, ProviderError> {
        let text = params.get("token").ok_or(OAuthError::request("token is missing"))?;
        if client.auth_method == AuthMethod::None {
            return Err(OAuthError::client().into());
        }
        let everything = client.scopes.contains(INTROSPECTION_SCOPE);
        let mut asked = TokenOperation { operation: "introspect", ..TokenOperation::default() };
        let (said, outcome) = match self.find(text, false).await? {
            Some(Active::Access(claims)) => {
                asked.client.clone_from(&claims.client_id);
                asked.token_id = Some(claims.jti.clone());
                asked.grant.clone_from(&claims.grant_id);
                let own = claims.client_id == client.id || claims.aud.contains(&client.id);
                match own || everything {
                    true => (Some(describe(&claims)), Outcome::Success),
                    false => (None, Outcome::Failure("not_its_token")),
                }
            }
            Some(Active::Refresh(grant, refresh)) => {
                asked.client.clone_from(&grant.client_id);
                asked.grant = Some(grant.id.to_string());
                match grant.client_id == client.id {
                    true => {
                        let said = self.describe_refresh(client, &grant, &refresh);
                        (Some(said), Outcome::Success)
                    }
                    false => (None, Outcome::Failure("not_its_token")),
                }
            }
            None => (None, Outcome::Failure("not_active")),
        };
        let who = Actor::Client { id: client.id.clone() };
        // Nothing was changed, so nobody waits for the disk.
        self.identity.audit.record(self.token_event(origin, who, outcome, asked));
        Ok(said.unwrap_or_else(|| json!({ "active": false })))
    }

    fn describe_refresh(
        &self,
        client: &Client,
        grant: &grants::Grant,
        refresh: &grants::Refresh,
    ) -> Value {
        json!({
            "active": true,
            "client_id": grant.client_id,
            "sub": self.subject(client, grant.account_id),
            "scope": grant.scope,
            "exp": refresh.expires_at.secs(),
            "iat": refresh.created_at.secs(),
            "iss": self.settings.issuer,
        })
    }

    /// RFC 7009: an unknown token is as good as revoked.
    pub(crate) async fn revoke(
        &self,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<(), ProviderError> {
        let text = params.get("token").ok_or(OAuthError::request("token is missing"))?;
        // Its reader has the key, we do not.
        if text.split('.').count() == 5 {
            let text = "an encrypted access token is revoked by its refresh token";
            return Err(OAuthError::new(ErrorCode::UnsupportedTokenType, text).into());
        }
        // A refresh token that was used stands for its grant as the next one does, which may have been lost on its way.
        let (grant, token, subject) = match self.find(text, true).await? {
            Some(Active::Access(claims)) if claims.client_id == client.id => {
                let subject = claims.sub.clone();
                (None, Some(claims), subject)
            }
            Some(Active::Refresh(grant, _)) if grant.client_id == client.id => {
                let subject = grant.account_id.to_string();
                (Some(*grant), None, subject)
            }
            Some(_) => {
                let text = "the token was issued to another client";
                return Err(OAuthError::new(ErrorCode::InvalidGrant, text).into());
            }
            None => return Ok(()),
        };
        let now = self.now();
        let (grant, token, subject) = (&grant, &token, &subject);
        let revoked = self
            .identity
            .db
            .write(|tx| async move {
                let mut revoked = match grant {
                    Some(grant) => {
                        let family = vec![grant.clone()];
                        self.identity.revoke_grants(&tx, family, "revoked", now).await?
                    }
                    None => Vec::new(),
                };
                if let Some(claims) = token {
                    let id = Revoked::Token(&claims.jti);
                    revoked.push(self.identity.revocation(&tx, id, now).await?);
                    // What was exchanged stands where its subject's token does, which stays good.
                    if let (Some(status), None) = (&claims.status, &claims.act) {
                        let (place, grant) = (status.status_list.idx, claims.grant_id.as_deref());
                        revoked.push(self.identity.mark_token(&tx, place, grant, now).await?);
                    }
                }
                let operation = TokenOperation {
                    operation: "revoke",
                    client: client.id.clone(),
                    grant_type: String::new(),
                    scope: String::new(),
                    token_id: token.as_ref().map(|claims| claims.jti.clone()),
                    grant: grant.as_ref().map(|grant| grant.id.to_string()),
                };
                let who = Actor::User { id: subject.clone(), username: subject.clone() };
                tx.emit(self.token_event(origin, who, Outcome::Success, operation)).await?;
                Ok::<_, ProviderError>(revoked)
            })
            .await?;
        self.identity.apply(&revoked, now);
        Ok(())
    }

    async fn find(&self, text: &str, used: bool) -> Result<Option<Active>, ProviderError> {
        if text.contains('.') {
            return Ok(self.active_any(text).map(Box::new).map(Active::Access));
        }
        let (db, tenant) = (&self.identity.db, self.tenant());
        let refresh = grants::refresh(db, tenant, &token_hash(text)).await?;
        let live = |row: &grants::Refresh| {
            // The grant lives on with those that came after it.
            used || (row.consumed_at.is_none()
                && !token::is_over(row.expires_at.secs(), self.now()))
        };
        let Some(refresh) = refresh.filter(live) else {
            return Ok(None);
        };
        let grant = grants::by_id(db, tenant, &refresh.grant_id.to_string()).await?;
        let grant = grant.filter(|grant| grant.revoked_at.is_none());
        Ok(grant.map(|grant| Active::Refresh(Box::new(grant), refresh)))
    }
}

fn describe(claims: &AccessClaims) -> Value {
    let mut answer = serde_json::to_value(claims).unwrap_or_default();
    answer["active"] = true.into();
    let bound = claims.cnf.as_ref().is_some_and(|cnf| cnf.jkt.is_some());
    answer["token_type"] = if bound { "DPoP" } else { "Bearer" }.into();
    if let Some(name) = &claims.preferred_username {
        answer["username"] = name.clone().into();
    }
    answer
}
