use portcullis_jose::access_token::AccessClaims;
use portcullis_store::{accounts, grants};
use serde_json::{Value, json};

use crate::{
    Client, KeyUse, Provider, ProviderError,
    claims::{RequestedClaims, disclose},
    verified,
};

/// Why userinfo is refused (RFC 6750, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserinfoError {
    Token,
    Scope,
}

/// What the endpoint answers.
pub(crate) enum Userinfo {
    /// JSON.
    Plain(Value),
    /// A JWT.
    Token(String),
}

impl Provider {
    /// OpenID Connect Core, section 5.3: what the scopes of the token and the names in the request
    /// allow to know.
    pub(crate) async fn userinfo(
        &self,
        claims: &AccessClaims,
    ) -> Result<Result<Userinfo, UserinfoError>, ProviderError> {
        let scopes = claims.scopes();
        if !scopes.contains("openid") {
            return Ok(Err(UserinfoError::Scope));
        }
        let (db, tenant) = (&self.identity.db, self.tenant());
        let grant = match &claims.grant_id {
            Some(grant) => grants::by_id(db, tenant, grant).await?,
            None => None,
        };
        // The subject of a pairwise client is no id, but its grant knows whose it is.
        let id = grant.as_ref().map(|grant| grant.account_id).or_else(|| claims.sub.parse().ok());
        let Some(id) = id else {
            return Ok(Err(UserinfoError::Token));
        };
        let account = accounts::by_id(db, tenant, id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(Err(UserinfoError::Token));
        };
        let named = grant.and_then(|grant| grant.claims);
        let mut info = json!({ "sub": claims.sub });
        let named = RequestedClaims::from_row(named.as_deref());
        let person = self.person(account, &named, &claims.scope).await?;
        disclose(&mut info, &person, &scopes, &named.userinfo);
        if let Some(told) = named.verified_userinfo.answer(&person.verified, self.now()) {
            info[verified::SCOPE] = told;
        }
        let client = self.client(&claims.client_id).await?;
        let Some(client) = client else { return Ok(Err(UserinfoError::Token)) };
        Ok(Ok(self.as_registered(&client, info)?))
    }

    /// Plain, signed, encrypted, or both, as the client is registered (section 5.3.2).
    fn as_registered(&self, client: &Client, mut info: Value) -> Result<Userinfo, ProviderError> {
        let settings = &client.settings;
        let (alg, enc) = (settings.userinfo_encrypted_response_alg, settings.userinfo_enc());
        let text = match (settings.userinfo_signed_response_alg, alg) {
            (None, None) => return Ok(Userinfo::Plain(info)),
            (None, Some(_)) => info.to_string(),
            (Some(signed), _) => {
                info["iss"] = self.settings.issuer.as_str().into();
                info["aud"] = client.id.as_str().into();
                self.sign(KeyUse::IdToken, signed, "JWT", &info)?
            }
        };
        Ok(Userinfo::Token(self.for_client(client, alg, enc, text)?))
    }
}
