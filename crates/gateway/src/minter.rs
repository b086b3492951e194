use std::{sync::Arc, time::Duration};

use portcullis_jose::{
    Audience, JwsError, SigningKey,
    access_token::{self, AccessClaims},
    sign,
};
use portcullis_types::{Id, SharedEntropy, Timestamp, tags};

use crate::{authn::Principal, token_cache::TokenCache};

/// Signs tokens for the audience of an upstream, so that a service never holds one that opens
/// another door. A caller's requests share one for half of its life.
#[derive(Debug, Clone)]
pub struct Minter {
    /// The issuer.
    pub issuer: String,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// A token for an upstream lives this long: every request has half of it before it.
const MINTED_LIFETIME: Duration = Duration::from_secs(60);

impl Minter {
    pub(crate) fn mint(
        &self,
        who: &Principal,
        audience: &str,
        now: Timestamp,
        entropy: &SharedEntropy,
        tokens: &TokenCache,
    ) -> Result<Option<Arc<str>>, JwsError> {
        let claims = |subject: &str, client: &str, scope: String| AccessClaims {
            iss: self.issuer.clone(),
            sub: subject.to_owned(),
            aud: Audience::One(audience.to_owned()),
            exp: now.plus(MINTED_LIFETIME).secs(),
            iat: now.secs(),
            jti: Id::<tags::Token>::new(now, &**entropy).to_string(),
            client_id: client.to_owned(),
            scope,
            auth_time: None,
            acr: None,
            groups: Vec::new(),
            roles: Vec::new(),
            act: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
            cnf: None,
            status: None,
        };
        let claims = || match who {
            Principal::Anonymous => None,
            Principal::Token(own) => Some(AccessClaims {
                auth_time: own.auth_time,
                acr: own.acr.clone(),
                act: own.act.clone(),
                status: own.status.clone(),
                preferred_username: own.preferred_username.clone(),
                groups: own.groups.clone(),
                roles: own.roles.clone(),
                ..claims(&own.sub, &own.client_id, own.scope.clone())
            }),
            Principal::ApiKey(key) => Some(claims(&key.id, &key.id, key.scopes.join(" "))),
            Principal::Workload(id) => Some(claims(id.as_str(), id.as_str(), String::new())),
        };
        let sign = || {
            let signed = claims().map(|claims| sign(&self.key, access_token::TYP, &claims));
            let token = signed.transpose()?;
            Ok(token.map(|token| (token, now.plus(MINTED_LIFETIME / 2))))
        };
        tokens.minted(who, audience, now, sign)
    }
}
