use portcullis_jose::{Alg, Audience, Verifier};
use portcullis_types::Timestamp;
use serde::Deserialize;
use url::Url;

use crate::{Client, KeyUse, OAuthError, Params, Provider, ProviderError};

/// A logout that a client asks for (OpenID Connect RP-Initiated Logout 1.0).
#[derive(Debug)]
pub struct LogoutRequest {
    /// The session the ID token names. If it is the browser's own, nobody needs to be asked.
    pub session: Option<String>,
    /// Where to go afterwards; registered for the client.
    pub return_to: Option<String>,
    /// The client's name, for the page.
    pub client: Option<String>,
}

/// The request cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LogoutError {
    /// It is wrong; the person is told.
    #[error(transparent)]
    Page(#[from] OAuthError),
    /// We failed.
    #[error(transparent)]
    Failed(#[from] ProviderError),
}

/// What a client's `id_token_hint` is about.
pub(crate) struct IdTokenHint {
    pub client: String,
    pub subject: String,
    pub session: Option<String>,
}

#[derive(Deserialize)]
struct Hint {
    sub: String,
    aud: Audience,
    exp: i64,
    sid: Option<String>,
}

impl Provider {
    /// Reads and checks a logout request.
    pub async fn logout_request(&self, params: &Params) -> Result<LogoutRequest, LogoutError> {
        let wrong = |text| LogoutError::Page(OAuthError::request(text));
        let hint = params
            .get("id_token_hint")
            .map(|token| self.read_hint(token).ok_or(wrong("the ID token is not one of ours")));
        let hint = hint.transpose()?;
        let named = params.get("client_id");
        let id = match (&hint, named) {
            (Some(hint), Some(named)) if hint.client != named => {
                return Err(wrong("client_id is not the one of the ID token"));
            }
            (Some(hint), _) => Some(hint.client.as_str()),
            (None, named) => named,
        };
        let client = match id {
            Some(id) => self.client(id).await.map_err(ProviderError::from)?,
            None => None,
        };
        let return_to = match (params.get("post_logout_redirect_uri"), &client) {
            (None, _) => None,
            (Some(uri), Some(client)) => Some(
                returning(client, uri, params.get("state"))
                    .ok_or(wrong("the URI to return to is not registered for this client"))?,
            ),
            (Some(_), None) => {
                return Err(wrong("the URI to return to needs an ID token or client"));
            }
        };
        let session = hint.and_then(|hint| hint.session);
        Ok(LogoutRequest { session, return_to, client: client.map(|client| client.name.clone()) })
    }

    /// What one of our ID tokens says, which may have expired.
    pub(crate) fn read_hint(&self, token: &str) -> Option<IdTokenHint> {
        let compact = portcullis_jose::Compact::parse(token).ok()?;
        let claimed: Hint = portcullis_jose::from_slice_strict(&compact.payload).ok()?;
        let Audience::One(client) = claimed.aud else {
            return None;
        };
        let verifier = Verifier::new(&self.settings.issuer, &client, "JWT", &Alg::SIGNING);
        let just_before = Timestamp::from_secs(claimed.exp.checked_sub(1)?);
        let keys = self.keys.current();
        let hint: Hint =
            verifier.verify(token, keys.verifying(KeyUse::IdToken), just_before).ok()?;
        Some(IdTokenHint { client, subject: hint.sub, session: hint.sid })
    }
}

fn returning(client: &Client, uri: &str, state: Option<&str>) -> Option<String> {
    let mut url = Url::parse(uri).ok().filter(|_| client.may_return_to(uri))?;
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Some(url.into())
}
