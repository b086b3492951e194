//! For authors of services behind Portcullis: a tower layer that lets only requests with a token
//! for this service through.
//!
//! The gate gives every request a fresh access token (RFC 9068) whose audience is the service. This
//! layer checks it: signature, issuer, audience, type and times. It trusts no header, so a service
//! stays protected even if somebody reaches it without the gate.
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
mod layer;

pub use fetch::FetchError;
pub use layer::{ResourceServerLayer, ResourceServerService};
pub use portcullis_jose::access_token::AccessClaims;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_jose::{Alg, Verifier, VerifyError, VerifyingKey, access_token};
use portcullis_types::{SharedClock, Timestamp};
use tokio::sync::Mutex;

/// Keys are fetched again after this time.
const KEYS_LIFETIME: Duration = Duration::from_secs(300);
/// After a failure nobody tries for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A token with an unknown key makes us look at most this often.
const REFETCH_AFTER: Duration = Duration::from_secs(10);

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The token is bound to a key (RFC 9449), which the gate checks and this library does not.
    #[error("the token is bound to a key; present it at the gate")]
    Bound,
    /// The issuer's keys cannot be had, so nothing can be checked.
    #[error("the issuer's keys cannot be fetched")]
    Keys(#[from] FetchError),
}

/// Checks tokens of one issuer for one service.
#[derive(Clone)]
pub struct ResourceServer(Arc<Inner>);

struct Inner {
    verifier: Verifier,
    source: fetch::Source,
    keys: ArcSwap<Fetched>,
    /// When fetching failed last, if it did.
    fetching: Mutex<Option<Timestamp>>,
    clock: SharedClock,
}

#[derive(Default)]
struct Fetched {
    keys: Vec<VerifyingKey>,
    at: Timestamp,
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
        let verifier = Verifier::new(issuer, audience, access_token::TYP, &Alg::SIGNING);
        let source = fetch::Source::new(issuer, ca_pem.unwrap_or_default())?;
        let keys = ArcSwap::from_pointee(Fetched::default());
        Ok(Self(Arc::new(Inner { verifier, source, keys, fetching: Mutex::new(None), clock })))
    }

    /// The claims of `token`, if it is for this service.
    pub async fn verify(&self, token: &str) -> Result<AccessClaims, TokenError> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if now.since(inner.keys.load().at) > KEYS_LIFETIME {
            // Old keys are better than none while the issuer is away.
            let fetched = self.fetch(KEYS_LIFETIME).await;
            if inner.keys.load().keys.is_empty() {
                fetched?;
            }
        }
        match self.check(token, now) {
            // The issuer may have rotated its keys.
            Err(TokenError::Token(VerifyError::UnknownKey)) => {
                self.fetch(REFETCH_AFTER).await?;
                self.check(token, now)
            }
            result => result,
        }
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<AccessClaims, TokenError> {
        let claims: AccessClaims =
            self.0.verifier.verify(token, self.0.keys.load().keys.as_slice(), now)?;
        if claims.cnf.is_some() { Err(TokenError::Bound) } else { Ok(claims) }
    }

    /// Fetches the keys, unless somebody did within `fresh`.
    async fn fetch(&self, fresh: Duration) -> Result<(), FetchError> {
        let inner = &*self.0;
        let mut failed_at = inner.fetching.lock().await;
        let at = inner.clock.now();
        if at.since(inner.keys.load().at) <= fresh {
            return Ok(());
        }
        if failed_at.is_some_and(|failed| at.since(failed) < RETRY_AFTER) {
            return Err(FetchError::Recently);
        }
        match inner.source.keys().await {
            Ok(keys) => {
                *failed_at = None;
                inner.keys.store(Arc::new(Fetched { keys, at }));
                Ok(())
            }
            Err(error) => {
                *failed_at = Some(inner.clock.now());
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceServer").field("verifier", &self.0.verifier).finish_non_exhaustive()
    }
}
