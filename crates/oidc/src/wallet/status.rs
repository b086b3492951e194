//! The status lists of credentials (draft-ietf-oauth-status-list).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use portcullis_jose::{Alg, status_list::Unsigned};
use portcullis_store::wallet;
use portcullis_types::Timestamp;
use tokio::sync::Mutex as Turn;

use crate::{ErrorCode, KeyUse, OAuthError, Provider, ProviderError};

/// Where the lists are, after the issuer.
pub const PATH: &str = "/credentials/status";
/// A list is made anew when somebody asks and the last one is older than this.
const MADE_EVERY: Duration = Duration::from_secs(5);
/// While it is made anew, or cannot be, the last one is given that is not older than this.
const GIVEN_FOR: Duration = Duration::from_secs(30);
/// After this a verifier should look again: so long a credential is good that is not any more.
const TTL_SECS: u64 = 60;
/// And after this it has to.
const LIFETIME_SECS: u64 = 300;
/// A bit stays for so long after its credential has ended, for clocks that are behind.
const AFTER_THE_END: Duration = Duration::from_secs(24 * 3_600);
/// Lists that are kept as they were last made.
const KEPT_MAX: usize = 256;

/// The lists as they were last made.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<HashMap<i64, Arc<Slot>>>);

/// One list. Whoever makes it anew has the turn; whoever wants it meanwhile gets the last one.
#[derive(Debug, Default)]
struct Slot {
    made: ArcSwapOption<(Timestamp, Bytes)>,
    turn: Turn<()>,
}

impl Slot {
    fn younger_than(&self, age: Duration, now: Timestamp) -> Option<Bytes> {
        let made = self.made.load_full()?;
        (made.0 <= now && now.since(made.0) < age).then(|| made.1.clone())
    }
}

impl Published {
    fn slot(&self, list: i64) -> Option<Arc<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&list).cloned()
    }

    /// The slot of a list that is known to exist.
    fn add(&self, list: i64) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT_MAX && !slots.contains_key(&list) {
            let age = |slot: &Arc<Slot>| slot.made.load().as_ref().map(|made| made.0);
            let oldest = slots.iter().min_by_key(|(_, slot)| age(slot)).map(|(list, _)| *list);
            oldest.map(|oldest| slots.remove(&oldest));
        }
        slots.entry(list).or_default().clone()
    }
}

impl Provider {
    pub(super) fn credential_list_url(&self, list: i64) -> String {
        self.url(&format!("{PATH}/{list}"))
    }

    /// The status list token of a list, made just now or a moment ago; nothing if there is none.
    pub(super) async fn credential_list(&self, list: i64) -> Result<Option<Bytes>, ProviderError> {
        let slot = match self.credential_lists.slot(list) {
            Some(slot) => slot,
            None if wallet::has_list(&self.identity.db, self.tenant(), list).await? => {
                self.credential_lists.add(list)
            }
            None => return Ok(None),
        };
        let now = self.now();
        if let Some(token) = slot.younger_than(MADE_EVERY, now) {
            return Ok(Some(token));
        }
        let last = slot.younger_than(GIVEN_FOR, now);
        let turn = match (slot.turn.try_lock(), &last) {
            (Ok(turn), _) => turn,
            (Err(_), Some(last)) => return Ok(Some(last.clone())),
            (Err(_), None) => slot.turn.lock().await,
        };
        // Somebody else may have had the turn before.
        if let Some(token) = slot.younger_than(MADE_EVERY, now) {
            return Ok(Some(token));
        }
        let made = self.make_credential_list(list, now).await;
        if let Ok(token) = &made {
            slot.made.store(Some(Arc::new((now, token.clone()))));
        }
        drop(turn);
        match (made, last) {
            (Err(error), Some(last)) => {
                tracing::warn!(%error, "a status list could not be made anew");
                Ok(Some(last))
            }
            (made, _) => made.map(Some),
        }
    }

    async fn make_credential_list(
        &self,
        list: i64,
        now: Timestamp,
    ) -> Result<Bytes, ProviderError> {
        let (db, tenant) = (&self.identity.db, self.tenant());
        let mut bitmap = vec![0_u8; wallet::PLACES as usize / 8];
        for one in wallet::standings(db, tenant, list, now.minus(AFTER_THE_END)).await? {
            let is_ours = |framework: &String| self.settings.trust_frameworks.contains(framework);
            let is_good =
                one.revoked_at.is_none() && one.trust_framework.as_ref().is_some_and(is_ours);
            let place = usize::try_from(one.place).unwrap_or(usize::MAX);
            if let Some(byte) = bitmap.get_mut(place / 8).filter(|_| !is_good) {
                *byte |= 1 << (place % 8);
            }
        }
        let provider = self.clone();
        let signing = tokio::task::spawn_blocking(move || provider.sign_list(list, now, &bitmap));
        let failed = |_| OAuthError::new(ErrorCode::ServerError, "the list could not be made");
        signing.await.map_err(failed)?
    }

    /// Packing takes milliseconds, which other requests shall not wait for.
    fn sign_list(&self, list: i64, now: Timestamp, bitmap: &[u8]) -> Result<Bytes, ProviderError> {
        let keys = self.keys.current();
        let missing = || OAuthError::new(ErrorCode::ServerError, "no key for credentials");
        let key = keys.signing(KeyUse::Credential, Alg::Es256).ok_or_else(missing)?;
        let token = Unsigned {
            issuer: &self.settings.issuer,
            uri: &self.credential_list_url(list),
            now,
            lifetime: LIFETIME_SECS,
            ttl: TTL_SECS,
            bitmap,
        };
        Ok(Bytes::from(token.sign(key)?))
    }
}
