//! For authors of services behind Portcullis: a tower layer that lets only requests with a token
//! for this service through.
//!
//! The gate gives every request a fresh access token (RFC 9068) whose audience is the service. This
//! layer checks it: signature, issuer, audience, type, times, and in the issuer's status list whether
//! it was revoked. It trusts no header, so a service stays protected even if somebody reaches it
//! without the gate.
//!
//! Keys and list are fetched from the issuer and kept. While the issuer cannot be reached, old keys
//! serve on; a status list that has ended does not, and requests get 503 until there is a new one.
//!
//! ```no_run
//! use portcullis_resource_server::{ResourceServer, ResourceServerLayer};
//! # fn f(clock: portcullis_types::SharedClock) -> Result<(), Box<dyn std::error::Error>> {
//! let ca = std::fs::read_to_string("portcullis-data/ca.pem")?;
//! let server = ResourceServer::new("https://localhost:8443", "profile", Some(&ca), clock)?;
//! let layer = ResourceServerLayer::new(server);
//! # let _ = layer; Ok(()) }
//! ```

mod fetch;
mod held;
mod layer;

pub use fetch::FetchError;
pub use layer::{ResourceServerLayer, ResourceServerService};
pub use portcullis_jose::access_token::AccessClaims;

use std::{sync::Arc, time::Duration};

use held::Held;
use portcullis_jose::{
    Alg, Verifier, VerifyError, VerifyingKey, access_token,
    status_list::{Reference, StatusList},
};
use portcullis_types::SharedClock;

/// Keys are fetched again after this time.
const KEYS_LIFETIME: Duration = Duration::from_secs(300);
/// A token with an unknown key makes us look at most this often.
const REFETCH_AFTER: Duration = Duration::from_secs(10);
/// A list that does not say how long it lives, lives this long.
const LIST_LIFETIME: Duration = Duration::from_secs(15);

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The token is bound to a key (RFC 9449), which the gate checks and this library does not.
    #[error("the token is bound to a key; present it at the gate")]
    Bound,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token names a status list that is not its issuer's, or no place in it.
    #[error("the token's status cannot be looked up")]
    Status,
    /// What the issuer publishes cannot be had, so nothing can be checked.
    #[error("the issuer's keys or status list cannot be fetched")]
    Issuer(#[from] FetchError),
}

/// Checks tokens of one issuer for one service.
#[derive(Clone)]
pub struct ResourceServer(Arc<Inner>);

struct Inner {
    verifier: Verifier,
    issuer: String,
    status_uri: String,
    source: fetch::Source,
    keys: Held<Vec<VerifyingKey>>,
    statuses: Held<StatusList>,
    clock: SharedClock,
}

impl ResourceServer {
    /// A checker for tokens from `issuer` whose audience is `audience`. `ca_pem` is trusted for the
    /// connection to the issuer; it is required, as the built-in authority is not a public one.
    pub fn new(
        issuer: &str,
        audience: &str,
        ca_pem: Option<&str>,
        clock: SharedClock,
    ) -> Result<Self, FetchError> {
        Ok(Self(Arc::new(Inner {
            verifier: Verifier::new(issuer, audience, access_token::TYP, &Alg::SIGNING),
            issuer: issuer.to_owned(),
            status_uri: format!("{issuer}{}", fetch::STATUS_PATH),
            source: fetch::Source::new(issuer, ca_pem.unwrap_or_default())?,
            keys: Held::new(clock.clone()),
            statuses: Held::new(clock.clone()),
            clock,
        })))
    }

    /// The claims of `token`, if it is for this service.
    pub async fn verify(&self, token: &str) -> Result<AccessClaims, TokenError> {
        let inner = &*self.0;
        let check = |keys: &[VerifyingKey]| inner.verifier.verify(token, keys, inner.clock.now());
        let claims: AccessClaims = self.with_keys(check).await??;
        if claims.cnf.is_some() {
            return Err(TokenError::Bound);
        }
        if let Some(status) = &claims.status {
            self.check_status(&status.status_list).await?;
        }
        Ok(claims)
    }

    /// What `check` says with the issuer's keys.
    async fn with_keys<T>(
        &self,
        check: impl Fn(&[VerifyingKey]) -> Result<T, VerifyError>,
    ) -> Result<Result<T, VerifyError>, FetchError> {
        let inner = &*self.0;
        let keys = match inner.keys.fresh(KEYS_LIFETIME, inner.source.keys()).await {
            Ok(keys) => keys,
            // Old keys are better than none while the issuer is away.
            Err(error) => inner.keys.newest().ok_or(error)?,
        };
        match check(&keys.value) {
            // The issuer may have rotated its keys; what is signed with them is not wrong because
            // we could not ask.
            Err(VerifyError::UnknownKey) => {
                let keys = inner.keys.fresh(REFETCH_AFTER, inner.source.keys()).await?;
                Ok(check(&keys.value))
            }
            result => Ok(result),
        }
    }

    async fn check_status(&self, place: &Reference) -> Result<(), TokenError> {
        let inner = &*self.0;
        if place.uri != inner.status_uri {
            return Err(TokenError::Status);
        }
        let mut lifetime = LIST_LIFETIME;
        if let Some(held) = inner.statuses.newest() {
            lifetime = held.value.lifetime().map_or(LIST_LIFETIME, Duration::from_secs);
            let ttl = held.value.ttl.map_or(lifetime / 3, Duration::from_secs);
            self.look_again_after(ttl);
        }
        let list = inner.statuses.fresh(lifetime, self.statuses()).await?;
        match list.value.get(place.idx) {
            Some(0) => Ok(()),
            Some(_) => Err(TokenError::Revoked),
            None => Err(TokenError::Status),
        }
    }

    /// Fetches the list in the background before it ends, so that a request waits for it only if
    /// nobody came for a while.
    fn look_again_after(&self, ttl: Duration) {
        if self.0.statuses.within(ttl).is_some() || !self.0.statuses.may_fetch() {
            return;
        }
        let again = self.clone();
        tokio::spawn(async move {
            if let Err(error) = again.0.statuses.fresh(ttl, again.statuses()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "no status list");
            }
        });
    }

    async fn statuses(&self) -> Result<StatusList, FetchError> {
        let inner = &*self.0;
        let token = inner.source.status_list().await?;
        let open = |keys: &[VerifyingKey]| {
            StatusList::open(&token, &inner.issuer, &inner.status_uri, keys, inner.clock.now())
        };
        self.with_keys(open).await?.map_err(FetchError::List)
    }
}

impl std::fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceServer").field("verifier", &self.0.verifier).finish_non_exhaustive()
    }
}
