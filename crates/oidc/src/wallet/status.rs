//! The status lists of credentials (draft-ietf-oauth-status-list).

use std::{collections::HashMap, time::Duration};

use axum::body::Bytes;
use portcullis_jose::{Alg, status_list::Unsigned};
use portcullis_store::wallet;
use portcullis_types::Timestamp;
use tokio::sync::Mutex;

use crate::{ErrorCode, KeyUse, OAuthError, Provider, ProviderError};

/// Where the lists are, after the issuer.
pub(super) const PATH: &str = "/credentials/status";
/// A list is made anew when somebody asks and the last one is older than this.
const MADE_EVERY: Duration = Duration::from_secs(5);
/// After this a verifier should look again: so long a credential is good that is not any more.
const TTL_SECS: u64 = 60;
/// And after this it has to.
const LIFETIME_SECS: u64 = 300;
/// Lists that are kept as they were last made.
const KEPT_MAX: usize = 64;

/// The lists as they were last made. Locked while one is made anew, so that many who ask are one question.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<HashMap<i64, (Timestamp, Bytes)>>);

impl Provider {
    pub(super) fn credential_list_url(&self, list: i64) -> String {
        self.url(&format!("{PATH}/{list}"))
    }

    /// The status list token of a list, at most [`MADE_EVERY`] old; nothing if there is none.
    pub(super) async fn credential_list(&self, list: i64) -> Result<Option<Bytes>, ProviderError> {
        let mut kept = self.credential_lists.0.lock().await;
        let now = self.now();
        if let Some((made, token)) = kept.get(&list)
            && *made <= now
            && now.since(*made) < MADE_EVERY
        {
            return Ok(Some(token.clone()));
        }
        let (db, tenant) = (&self.identity.db, self.tenant());
        if !wallet::has_list(db, tenant, list).await? {
            return Ok(None);
        }
        let mut bitmap = vec![0_u8; wallet::PLACES as usize / 8];
        for one in wallet::standings(db, tenant, list, now).await? {
            let is_ours = |framework: &String| self.settings.trust_frameworks.contains(framework);
            let is_good =
                one.revoked_at.is_none() && one.trust_framework.as_ref().is_some_and(is_ours);
            let place = usize::try_from(one.place).unwrap_or(usize::MAX);
            if let Some(byte) = bitmap.get_mut(place / 8).filter(|_| !is_good) {
                *byte |= 1 << (place % 8);
            }
        }
        let keys = self.keys.current();
        let missing = || OAuthError::new(ErrorCode::ServerError, "no key for credentials");
        let key = keys.signing(KeyUse::Credential, Alg::Es256).ok_or_else(missing)?;
        let token = Unsigned {
            issuer: &self.settings.issuer,
            uri: &self.credential_list_url(list),
            now,
            lifetime: LIFETIME_SECS,
            ttl: TTL_SECS,
            bitmap: &bitmap,
        };
        let token = Bytes::from(token.sign(key)?);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(list, (now, token.clone()));
        Ok(Some(token))
    }
}
