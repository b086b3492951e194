use portcullis_jose::access_token::AccessClaims;
use portcullis_store::{accounts, grants};
use serde_json::{Value, json};

use crate::{
    Provider, ProviderError,
    claims::{RequestedClaims, disclose},
};

/// Why userinfo is refused (RFC 6750, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserinfoError {
    Token,
    Scope,
}

impl Provider {
    /// OpenID Connect Core, section 5.3: what the scopes of the token and the names in the request
    /// allow to know.
    pub(crate) async fn userinfo(
        &self,
        claims: &AccessClaims,
    ) -> Result<Result<Value, UserinfoError>, ProviderError> {
        let scopes = claims.scopes();
        if !scopes.contains("openid") {
            return Ok(Err(UserinfoError::Scope));
        }
        let Ok(id) = claims.sub.parse() else {
            return Ok(Err(UserinfoError::Token));
        };
        let (db, tenant) = (&self.identity.db, self.tenant());
        let account = accounts::by_id(db, tenant, id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(Err(UserinfoError::Token));
        };
        let grant = match &claims.grant_id {
            Some(grant) => grants::by_id(db, tenant, grant).await?,
            None => None,
        };
        let named = grant.and_then(|grant| grant.claims);
        let mut info = json!({ "sub": account.id });
        let named = RequestedClaims::from_row(named.as_deref()).userinfo;
        disclose(&mut info, &account, &scopes, &named);
        Ok(Ok(info))
    }
}
