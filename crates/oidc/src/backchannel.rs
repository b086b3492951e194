//! Telling clients of a logout (OpenID Connect Back-Channel Logout 1.0).

use std::time::Duration;

use portcullis_store::logout_notices::{self, Notice};
use portcullis_types::{Id, tags};
use serde_json::json;

use crate::{Client, KeyUse, Provider, ProviderError};

/// The media type of a logout token (section 2.4).
const TYP: &str = "logout+jwt";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A logout token is of use for this long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(120);
/// A notice is given up after so many attempts: some four hours.
const MAX_ATTEMPTS: i64 = 13;
/// The first wait after a failure; each one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);

impl Provider {
    /// Sends the notices whose time has come. Called regularly.
    pub async fn send_logout_notices(&self) -> Result<(), ProviderError> {
        let now = self.now();
        let due = logout_notices::due(&self.identity.db, now).await?;
        let mut sending = Vec::new();
        for notice in due {
            let provider = self.clone();
            sending.push(tokio::spawn(async move {
                if let Err(error) = provider.send_logout_notice(&notice).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a logout notice was not sent"
                    );
                }
            }));
        }
        for task in sending {
            let _ = task.await;
        }
        Ok(())
    }

    async fn send_logout_notice(&self, notice: &Notice) -> Result<(), ProviderError> {
        let (db, now) = (&self.identity.db, self.now());
        let doubled = u32::try_from(notice.attempts.clamp(0, 12)).unwrap_or(0);
        let next = now.plus(FIRST_WAIT * 2_u32.pow(doubled));
        let taken = db.write(|tx| async move {
            Ok::<_, ProviderError>(logout_notices::take(&tx, notice, now, next).await?)
        });
        if !taken.await? {
            return Ok(());
        }
        let client = self.client(&notice.client_id).await?;
        let done = match client {
            Some(client) => self.tell(&client, notice).await?,
            None => true,
        };
        if done || notice.attempts + 1 >= MAX_ATTEMPTS {
            let remove = db.write(|tx| async move {
                Ok::<_, ProviderError>(logout_notices::remove(&tx, notice).await?)
            });
            remove.await?;
        }
        Ok(())
    }

    /// Whether the client knows now, or never will.
    async fn tell(&self, client: &Client, notice: &Notice) -> Result<bool, ProviderError> {
        let Some(uri) = &client.settings.backchannel_logout_uri else { return Ok(true) };
        let now = self.now();
        let claims = json!({
            "iss": self.settings.issuer,
            "sub": self.subject(client, notice.account_id),
            "aud": client.id,
            "iat": now.secs(),
            "exp": now.plus(TOKEN_LIFETIME).secs(),
            "jti": Id::<tags::Token>::new(now, &*self.identity.entropy).to_string(),
            "events": { EVENT: {} },
            "sid": notice.session_id,
        });
        let token = self.sign(KeyUse::IdToken, client.token_alg, TYP, &claims)?;
        let settings = &client.settings;
        // Section 2.4: encrypted like the ID tokens of the client.
        let alg = settings.id_token_encrypted_response_alg;
        let token = self.for_client(client, alg, settings.id_token_enc(), token)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", &token)
            .finish();
        match self.egress.post_form(uri, form).await {
            // Section 2.8: 400 is a final answer, which trying again would not change.
            Ok(answer) if matches!(answer.status.as_u16(), 200 | 204 | 400) => Ok(true),
            Ok(answer) => {
                tracing::info!(client = client.id, status = %answer.status, "a logout was not taken");
                Ok(false)
            }
            Err(error) => {
                tracing::info!(client = client.id, %error, "a logout was not delivered");
                Ok(false)
            }
        }
    }
}
