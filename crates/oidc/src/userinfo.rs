use portcullis_jose::access_token::AccessClaims;
use portcullis_store::accounts;
use serde_json::{Value, json};

use crate::{Provider, ProviderError};

/// Why userinfo is refused (RFC 6750, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserinfoError {
    Token,
    Scope,
}

impl Provider {
    /// OpenID Connect Core, section 5.3: what the scopes of the token allow to know.
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
        let account = accounts::by_id(&self.identity.db, self.tenant(), id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(Err(UserinfoError::Token));
        };
        let mut info = json!({ "sub": account.id });
        if scopes.contains("profile") {
            info["preferred_username"] = account.username.into();
            info["name"] = account.display_name.into();
            info["updated_at"] = (account.updated_at / 1_000_000).into();
        }
        if scopes.contains("email") {
            info["email"] = account.email.into();
            // An account exists only for an address that was proven.
            info["email_verified"] = true.into();
        }
        Ok(Ok(info))
    }
}
