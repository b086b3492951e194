//! The status list that resource servers fetch, and where our tokens stand in it.

use std::time::Duration;

use axum::body::Bytes;
use portcullis_identity::Identity;
use portcullis_jose::{
    access_token::AccessClaims,
    status_list::{PLACES, Reference, Status, Unsigned},
};
use portcullis_store::clients;
use portcullis_types::{Id, Timestamp, tags};
use tokio::sync::Mutex;

use crate::{Client, ErrorCode, KeyUse, OAuthError, Provider, ProviderError};

/// Where the list is, after the issuer.
pub(crate) const PATH: &str = "/oauth2/status-list";
/// A list is made anew when somebody asks and the last one is older than this.
const MADE_EVERY: Duration = Duration::from_secs(1);
/// Of the places of a client's block a few may be marked.
const TRIES: usize = 16;

/// The list as it was last made. Locked while somebody makes a new one.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<Option<(Timestamp, Bytes)>>);

impl Provider {
    /// The status list token, at most [`MADE_EVERY`] old.
    pub(crate) async fn status_list(&self) -> Result<Bytes, ProviderError> {
        let mut published = self.published.0.lock().await;
        let now = self.now();
        if let Some((made, list)) = &*published
            && now.since(*made) < MADE_EVERY
            && *made <= now
        {
            return Ok(list.clone());
        }
        // A full list takes milliseconds to pack, which other requests shall not wait for.
        let provider = self.clone();
        let made = tokio::task::spawn_blocking(move || provider.make_status_list(now)).await;
        let failed = |_| OAuthError::new(ErrorCode::ServerError, "the list could not be made");
        let list = Bytes::from(made.map_err(failed)??);
        *published = Some((now, list.clone()));
        Ok(list)
    }

    fn make_status_list(&self, now: Timestamp) -> Result<String, ProviderError> {
        let keys = self.keys.current();
        let missing = || OAuthError::new(ErrorCode::ServerError, "no key for the algorithm");
        let lifetime = self.settings.status_list_lifetime.as_secs();
        let list = Unsigned {
            issuer: &self.settings.issuer,
            uri: &self.status_uri(),
            now,
            lifetime,
            // Twice it may fail to be fetched before it ends.
            ttl: (lifetime / 3).max(1),
            bitmap: &self.identity.revocations.places.bitmap(PLACES, now),
        };
        Ok(list.sign(
            keys.signing(KeyUse::AccessToken, self.keys.schedule().preferred())
                .ok_or_else(missing)?,
        )?)
    }

    /// The claim of a token that stands at `place`.
    pub(crate) fn status_at(&self, place: u32) -> Status {
        Status { status_list: Reference { idx: place, uri: self.status_uri() } }
    }

    fn status_uri(&self) -> String {
        format!("{}{PATH}", self.settings.issuer)
    }

    /// A token of a client that acts for itself, at a place of its own in the client's block.
    pub(crate) async fn with_own_place(
        &self,
        client: &Client,
        mut claims: AccessClaims,
    ) -> Result<AccessClaims, ProviderError> {
        let now = self.now();
        let (block, epoch) = self.identity.block_of_client(&client.id, client.status_epoch, now);
        if epoch > client.status_epoch {
            let moved = self.identity.db.write(|tx| async move {
                clients::set_status_epoch(&tx, self.tenant(), &client.id, epoch).await?;
                Ok::<_, ProviderError>(())
            });
            moved.await?;
            self.forget_client(&client.id);
        }
        let issued_at = Timestamp::from_secs(claims.iat);
        let mut place = Identity::place_in_block(block, &claims.jti);
        for _ in 0..TRIES {
            if !self.identity.revocations.places.is_marked(place, issued_at) {
                break;
            }
            claims.jti = Id::<tags::Token>::new(now, &*self.identity.entropy).to_string();
            place = Identity::place_in_block(block, &claims.jti);
        }
        claims.status = Some(self.status_at(place));
        Ok(claims)
    }
}
